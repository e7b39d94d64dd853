"""Sessions that lived: a row, a folder and the journal of a real kernel, as the loops leave them."""

import msgspec
import numpy as np
from django.utils import timezone

from risk.core.records import SPEC_FIELDS
from tests.kernel.desk import Desk
from tests.kernel.test_limits import lose
from tests.shell.frames import shipped
from trading import configs, services
from trading.accounts import past
from trading.core import states
from trading.models import Account, Session
from trading.run.journal.writer import JournalWriter
from trading.run.replica import Kernel
from trading.run.spec import FeedSpec, InstrumentSpec, PastSpec, ScorerSpec, SessionSpec, VenueSpec

USD = 1_000_000
LOST = -(200 * 1_250_000 + 840_000)  # of `losing`: the ticks and the fees
SIMULATED = FeedSpec("simulated", ["MES"], seed=7)
OPENS_NS = 1_772_636_400_000_000_000  # where the simulated market begins: 2026-03-04 15:00 UTC


def account_of(profile: str = "demo-mes") -> Account:
    return services.demo_account(configs.profile_of(shipped(profile)))


def made(feed: FeedSpec = SIMULATED, profile: str = "demo-mes", account: Account | None = None) -> Session:
    """A session as the form stores it, not started; no tape is read for it."""
    version = shipped(profile)
    limits = configs.profile_of(version).limits()
    plan = SessionSpec(
        id=1,
        key="s1",
        mode="paper",
        profile=profile,
        version_id=version.id,
        version_hash=version.hash,
        currency="USD",
        capital_micros=limits["capital_micros"],
        limits=limits,
        instruments=[InstrumentSpec("MES", dict.fromkeys(SPEC_FIELDS, 1) | {"hedge": 0})],
        feed=feed,
        venue=VenueSpec(),
        scorer=ScorerSpec("none"),
        windows=[],
        created_ns=OPENS_NS,
        venue_socket=str(services.var() / "venue" / "venue.sock"),
        redis_url="redis://127.0.0.1:1/0",
    )
    return services.store_session(plan, account or account_of(profile), version, "alice")


def spec_of(session: Session) -> SessionSpec:
    """The plan of a session that was made."""
    return msgspec.convert(session.spec, SessionSpec)


def continued(spec: SessionSpec) -> PastSpec:
    """What this plan of the demo's account would open with."""
    found = past.find_past(account_of(), spec)
    assert found is not None
    return found


def losing(ticks: int = 200) -> Desk:
    """A day that went wrong: one contract loses `ticks` ($1.25 each) and a fee; a daily limit of 200 dollars."""
    free = {"cooldown_entry_ns": 0, "cooldown_exit_ns": 0, "move_ticks_max": 10**4}
    desk = Desk({"loss_day_micros_max": 200 * USD} | free)
    lose(desk, ticks)
    return desk


def lived(desk: Desk, status: str = states.ENDED, account: Account | None = None, **spec: object) -> Session:
    """A session of the account that is over, with the journal of what this desk was given."""
    session = made(account=account)
    now = timezone.now()
    Session.objects.filter(id=session.id).update(
        status=status, started_at=now, ended_at=now, spec=session.spec | spec, journal_seq=1
    )
    frames = Kernel().apply(np.concatenate(desk.given)).copy()
    writer = JournalWriter(services.session_folder(session.id), session.id, 1, "code")
    writer.append(frames, np.zeros((len(frames), 2), np.int64), np.zeros(len(frames), np.int64), durable=False)
    writer.close()
    session.refresh_from_db()
    return session
