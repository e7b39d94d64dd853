"""The trading day of an account on the simulated market: each session begins a day after the last one closed."""

import shutil
from datetime import datetime

import msgspec
import pytest

from risk.core.holds import BIT
from tests.shell.account.kit import LOST, SIMULATED, USD, account_of, continued, lived, losing, made, spec_of
from tests.shell.frames import shipped
from trading import configs, services
from trading.accounts import past
from trading.core import states
from trading.core.records import TIMER
from trading.models import Session
from trading.preflight import planning
from trading.run.journal.closing import read_closing
from trading.run.journal.recovery import account_event
from trading.run.replica import Kernel
from trading.run.spec import FeedSpec, ScorerSpec, SessionSpec, setup_events

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]


def planned(profile: str = "demo-mes", feed: FeedSpec = SIMULATED) -> SessionSpec:
    """What the page would plan for the profile's account now."""
    version = shipped(profile)
    values = {"account": account_of(profile), "version": version, "profile": configs.profile_of(version)}
    return planning.plan_session(
        feed=past.going_on(values["account"], "paper", values["profile"], feed), scorer=ScorerSpec("none"), **values
    )


@pytest.mark.parametrize(
    ("closed", "day", "start"),
    [
        ("2026-03-04T15:10", 20260304, "2026-03-05T15:00:00+00:00"),  # ten minutes later: the next day
        ("2026-03-04T23:30", 20260305, "2026-03-06T15:00:00+00:00"),  # the roll has passed: the day after that
        ("2026-03-06T21:00", 20260306, "2026-03-09T15:00:00+00:00"),  # Friday: Monday
        ("2026-03-19T00:00", 20260318, "2026-03-19T15:00:00+00:00"),  # far beyond its windows
    ],
)
def test_a_simulated_session_begins_on_the_day_after_the_last(closed, day, start, monkeypatch):
    """Else its clock would stand on one day for ever, and so would a day's loss."""
    lived(losing())
    at_ns = int(datetime.fromisoformat(f"{closed}:00+00:00").timestamp()) * 10**9

    def told(folder, session, *patience):
        closing = read_closing(folder, session)
        return msgspec.structs.replace(closing, now_ns=at_ns, figures=closing.figures | {"trading_day": day})

    monkeypatch.setattr(past, "read_closing", told)
    spec = planned()
    assert spec.feed.options["start"] == start
    assert spec.created_ns == int(datetime.fromisoformat(start).timestamp()) * 10**9
    assert past.opening_day(spec) == int(start[:10].replace("-", ""))
    brought = continued(spec)
    shown = past.figures_of(brought, spec)
    assert shown["new_day"] and shown["holds"] == [] and shown["day_net_micros"] == 0
    assert "on a new trading day: balance 9,749.16, may lose −500.00 USD, no holds" in past.in_words(brought, spec)
    kernel = Kernel()
    kernel.apply(setup_events(msgspec.structs.replace(spec, past=brought), spec.created_ns))
    kernel.apply(account_event(TIMER, 0, spec.created_ns + 1))
    account = kernel.state.account[0]
    assert not account.holds >> BIT["DAILY_LOSS"] & 1 and account.trading_day == past.opening_day(spec)
    assert account.balance_micros == 10_000 * USD + LOST and account.day_net_micros == 0


def test_a_start_that_is_given_stays_and_its_day_ends_with_its_day():
    """`--option start=…` on a day long gone: what the last day lost counts for this one, and no longer."""
    lived(losing())
    given = msgspec.structs.replace(SIMULATED, options={"start": "2026-01-06T10:00:00-05:00"})
    assert past.going_on(account_of(), "paper", configs.profile_of(shipped("demo-mes")), given) == given
    spec = msgspec.structs.replace(spec_of(made()), created_ns=10**9, windows=[(0, 1, 0, 2 * 10**9, 20200101)])
    assert continued(spec).figures["trading_day"] <= 20200101


def test_the_first_session_and_the_unread_one():
    profile = configs.profile_of(shipped("demo-mes"))
    assert past.going_on(account_of(), "paper", profile, SIMULATED) == SIMULATED
    first = lived(losing())
    shutil.rmtree(services.session_folder(first.id))
    assert past.going_on(account_of(), "paper", profile, SIMULATED).options == {"start": "2026-03-05T15:00:00+00:00"}
    Session.objects.filter(id=first.id).update(status=states.RUNNING)
    assert past.going_on(account_of(), "paper", profile, SIMULATED) == SIMULATED, "it may not start anyway"
