"""The shares' own profile on the simulated market: a whole ring under `moex-tinvest` that really enters (issue 4).

Its rules are those of the file, its feed and its scorer those of the desk.  Only the time that a loaded machine may
leave a fill uncovered is longer.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from marketdata.core.records import BUY
from marketdata.core.units import NANOS
from risk.core.holds import BIT
from risk.core.records import MOEX
from tests.simulation.ring import Ring
from trading import configs
from trading.core.records import DECISION, ENTRY, FILL, HOLD_CLEARED, HOLD_RAISED, INDEX, START, SUBMIT
from trading.models import Account, ConfigVersion
from trading.preflight.planning import plan_session
from trading.run.spec import FeedSpec, ScorerSpec

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
    """RVI_STALE stands until the index comes, then every rule of the gate approves, and the venue fills."""
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
