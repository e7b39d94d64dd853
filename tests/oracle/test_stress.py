"""Random lives through kernel and oracle (a bounded number; `make stress` lives longer): no difference, no broken rule.

Compared after every event: decisions with their first refusing rule, sizes, orders sent, holds that went up and came
down, the label, every figure of the ledger, what is held and where its bracket stands.  Most lives die in between, and
go on from a snapshot and the journal behind it (MES-ACC-X7).
"""

import pytest

from tests.oracle.campaign import Result, run
from tests.oracle.compare import Batch
from tests.oracle.rules.holds import STOPS_ENTRY, TABLE

LIVES, EVENTS = 1_000, 200
# row 4 leaves these to other rows, or an earlier row refuses first
NOT_NAMED_BY_ROW_4 = {"NOT_RECONCILED", "FEED_STALE", "CLOSE_ONLY", "NO_LIMITS", "SESSION_STOPPED"}
ROWS = """
NOT_TRADING LATCHED LIMITS_UNKNOWN INPUT_INVALID:side INPUT_INVALID:score_ppm INPUT_INVALID:confidence_ppm
NOT_RECONCILED FEED_STALE SCORE_STALE NO_SIGNAL LOW_CONFIDENCE IN_POSITION ENTRY_WORKING COOLDOWN REVERSAL_LIMIT
BALANCE_TIER RISK_TIER RISK_PER_TRADE RISK_DAILY SIZE_HALF_SKIPPED MARGIN VENUE_LIMIT SHORT_NOT_ALLOWED CLOSED QTY_LIMIT
VALUE_LIMIT COLLAR PRICE_MOVE POSITION_LIMIT MESSAGE_RATE OPEN_ORDERS SPREAD BAD_STOP DUPLICATE APPROVED
"""


@pytest.fixture(scope="module")
def lived() -> Result:
    return run(1, LIVES, EVENTS, Batch(EVENTS + 512))


@pytest.mark.slow
def test_kernel_and_oracle_never_differ_mes_acc_x7(lived: Result) -> None:
    assert not lived.faults, "\n\n".join(lived.faults)
    assert lived.sequences == LIVES and lived.events >= LIVES * EVENTS


@pytest.mark.slow
def test_every_refusal_is_reached_mes_risk_20(lived: Result) -> None:
    reached = {name.removeprefix("decision ") for name in lived.reached if name.startswith("decision ")}
    wanted = set(ROWS.split()) | {f"HOLD:{code}" for code in STOPS_ENTRY - NOT_NAMED_BY_ROW_4}
    assert not wanted - reached


@pytest.mark.slow
def test_every_hold_goes_up_and_comes_down_mes_risk_13(lived: Result) -> None:
    up = {name.removeprefix("raised ") for name in lived.reached if name.startswith("raised ")}
    down = {name.removeprefix("cleared ") for name in lived.reached if name.startswith("cleared ")}
    assert up == set(TABLE)
    assert down == up - {"SESSION_STOPPED"}, "a stopped session stays stopped"


@pytest.mark.slow
def test_accounts_live_through_several_sessions_mes_risk_22(lived: Result) -> None:
    """One in ten; each opens with what the one before left, by the oracle and by the product alike (MES-RISK-01)."""
    assert lived.reached["heirs"] >= LIVES // 10
