"""The shares' own profile on the simulated market: a whole ring under `moex-tinvest` that really enters (issue 4).

Its rules are those of the file, its feed and its scorer those of the desk.  Only the time that a loaded machine may
leave a fill uncovered is longer.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from marketdata.core.records import BUY
from marketdata.core.units import NANOS
from risk.core import codes
from risk.core.holds import BIT
from risk.core.records import MOEX
from tests.simulation.ring import Ring, replayed
from trading import configs
from trading.core.records import DECISION, ENTRY, FILL, HOLD_CLEARED, HOLD_RAISED, INDEX, PROBE, START, SUBMIT
from trading.models import Account, ConfigVersion
from trading.preflight.planning import plan_session
from trading.run.clock import load_clock
from trading.run.spec import FeedSpec, ScorerSpec, restrictions
from trading.run.streams import INBOX, Stream

pytestmark = [pytest.mark.processes, pytest.mark.slow]
SPEED = 4.0  # a score is stale after 500 ms of session time: 125 ms here
WAIT_S = 300.0  # for a signal that is sure enough; a usual machine needs a small part of it


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Ring]:
    """The session that pre-flight would plan for this profile, without a database."""
    profile = configs.load_file(configs.FOLDER / "moex-tinvest.yaml")
    account = Account(name="paper", venue="moex", currency="RUB", balance_micros=profile.limits()["capital_micros"])
    version = ConfigVersion(id=3, profile=profile.profile, number=1, hash="ab" * 32)
    feed = FeedSpec("simulated", ["SBER"], seed=1, speed=SPEED)
    plan = plan_session(account=account, version=version, profile=profile, feed=feed, scorer=ScorerSpec("baseline"))
    names = ("profile", "currency", "capital_micros", "instruments", "feed", "venue", "scorer", "windows", "created_ns")
    changes = {name: getattr(plan, name) for name in names}
    ring = Ring(tmp_path, limits=plan.limits | {"naked_ns_max": 1_000 * NANOS}, **changes)
    yield ring
    ring.close()


def test_a_session_of_the_shares_profile_enters_on_the_simulated_market_moex_risk_05_moex_risk_08(ring: Ring) -> None:
    """RVI_STALE stands until the index comes, then every rule of the gate approves, and the venue fills.

    After it, in the same ring: a restriction, a feed that ends, a venue that dies.
    """
    assert ring.spec.limits["rules"] == MOEX and ring.spec.limits["rvi_max"] == 4000
    ring.start()
    ring.until(ring.reconciled, "a reconciliation")
    ring.command(START, 1)
    ring.until(lambda: len(ring.events(INDEX)) > 0, "a value of the index")

    def filled() -> bool:
        entries = {int(e["order_number"]) for e in ring.events(SUBMIT) if e["role"] == ENTRY}
        return any(int(e["order_number"]) in entries for e in ring.events(FILL))

    try:
        ring.until(filled, "an entry and its fill", WAIT_S)
    except AssertionError as error:
        refused: dict[int, int] = {}
        for code in ring.events(DECISION)["code"].tolist():
            refused[code] = refused.get(code, 0) + 1
        raise AssertionError(f"refusals by code: {refused}; {error}") from None
    entry = next(e for e in ring.events(SUBMIT) if e["role"] == ENTRY)
    assert int(entry["side"]) == BUY, "the profile sells nothing short"
    stale = BIT["RVI_STALE"]
    cleared = [int(e["seq"]) for e in ring.events(HOLD_CLEARED) if e["code"] == stale]
    raised = [int(e["seq"]) for e in ring.events(HOLD_RAISED) if e["code"] == stale]
    before = int(entry["seq"])
    assert sum(seq < before for seq in raised) == sum(seq < before for seq in cleared), "it did not stand at the entry"
    _restricted(ring)
    _without_books(ring)
    _without_venue(ring)
    assert replayed(ring).account["holds"][0] >> BIT["NET_FAILOVER"] & 1, "by the journal alone"


def _raised(ring: Ring, code: str, kind: int = HOLD_RAISED) -> list[int]:
    """Instruments of the rows about this hold."""
    return [int(e["instrument"]) for e in ring.events(kind) if e["code"] == BIT[code]]


def _restricted(ring: Ring) -> None:
    """P-25: a list that grows reaches a running session; its instrument is left and not entered."""
    events = restrictions(ring.spec, ["SBER"])
    events["ts_ns"] = load_clock(ring.folder).now()
    Stream(ring.redis.client(), ring.spec.key, INBOX).append(events, fence=0, loop="desk")
    ring.until(lambda: _raised(ring, "RESTRICTED") == [0], "the restriction")
    refused = codes.HOLD_BASE + BIT["RESTRICTED"]
    ring.until(lambda: refused in ring.events(DECISION)["code"], "a decision that it refuses", WAIT_S)


def _without_books(ring: Ring) -> None:
    """MOEX-MON-05: the risk loop says so, for the feed loop is away; books end it."""
    ring.stop("feed")
    ring.until(lambda: len(_raised(ring, "HEARTBEAT")) == 1, "15 s without a book")
    ring.start("feed")
    ring.until(lambda: len(_raised(ring, "HEARTBEAT", HOLD_CLEARED)) == 1, "books again")


def _without_venue(ring: Ring) -> None:
    """MOEX-RISK-05: good probes all along, then a lost one."""
    assert (ring.events(PROBE)["code"] == 0).any()
    before = len(_raised(ring, "NET_FAILOVER"))
    if before == len(_raised(ring, "NET_FAILOVER", HOLD_CLEARED)):  # a loaded machine may have lost one already
        ring.venue.kill()
        ring.until(lambda: len(_raised(ring, "NET_FAILOVER")) > before, "a lost connection")
