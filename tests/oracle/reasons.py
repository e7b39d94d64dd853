"""What random lives must reach: every reason of both gates, every one that two persons may let pass, every hold; and
what they cannot, each with its cause.

SELF_MATCH is none of them: the rule before it enters only where no own order works (tests/core/test_gate_order.py).
"""

from tests.oracle.rules.commands import MAY_PASS
from tests.oracle.rules.holds import MES_BOOK
from tests.oracle.shares.holds import MOEX_BOOK

# row 4 leaves these to other rows, or an earlier row refuses first
NOT_NAMED_BY_ROW_4 = {"NOT_RECONCILED", "FEED_STALE", "CLOSE_ONLY", "NO_LIMITS", "SESSION_STOPPED"}
MES_ROWS = """
NOT_TRADING LATCHED LIMITS_UNKNOWN INPUT_INVALID:side INPUT_INVALID:score_ppm INPUT_INVALID:confidence_ppm
NOT_RECONCILED FEED_STALE SCORE_STALE NO_SIGNAL LOW_CONFIDENCE IN_POSITION ENTRY_WORKING COOLDOWN REVERSAL_LIMIT
BALANCE_TIER RISK_TIER RISK_PER_TRADE RISK_DAILY SIZE_HALF_SKIPPED MARGIN VENUE_LIMIT SHORT_NOT_ALLOWED CLOSED QTY_LIMIT
VALUE_LIMIT COLLAR PRICE_MOVE POSITION_LIMIT MESSAGE_RATE OPEN_ORDERS SPREAD BAD_STOP DUPLICATE FILTERED REPEATED DEPTH
TRADES_DAY APPROVED
"""
MOEX_ROWS = """
LIMITS_UNKNOWN INPUT_INVALID:side INPUT_INVALID:score_ppm INPUT_INVALID:confidence_ppm INPUT_INVALID:bid_tick
NOT_TRADING LATCHED CLOSED FEED_STALE SCORE_STALE SPREAD NO_SIGNAL LOW_CONFIDENCE IN_POSITION ENTRY_WORKING
SHORT_NOT_ALLOWED BAD_STOP CAP_INSTRUMENT CAP_STOP CAP_EXPOSURE CAP_POSITION CAP_DEPTH CAP_BROKER SIZE_ZERO
SIZE_HALF_SKIPPED LIMIT_EXPOSURE LIMIT_INSTRUMENT POSITION_LIMIT COLLAR RATE MESSAGE_RATE NOT_RECONCILED QTY_LIMIT
VALUE_LIMIT PRICE_MOVE MARGIN RISK_PER_TRADE RISK_DAILY DUPLICATE OPEN_ORDERS HOLD:FEATURES_COLD COOLDOWN FILTERED
REPEATED DEPTH TRADES_DAY APPROVED
"""
# of the account, hence refused before; or nothing raises it
NOT_NAMED_BY_ROW_3 = {"NO_LIMITS", "SESSION_STOPPED"}

REASONS = {
    "mes": set(MES_ROWS.split()) | {f"HOLD:{code}" for code in MES_BOOK.stops_entry - NOT_NAMED_BY_ROW_4},
    "moex": set(MOEX_ROWS.split())
    | {f"HOLD:{code}" for code in MOEX_BOOK.stops_entry - NOT_NAMED_BY_ROW_3}
    | {"HOLD:ML_FALLBACK"},
}
NEVER_DOWN = {"SESSION_STOPPED"}  # a session that was stopped stays so
BOOKS = {"mes": MES_BOOK, "moex": MOEX_BOOK}


def wanted(rules: str) -> set[str]:
    """Everything that lives under one rulebook must reach, as `Life.count` names it."""
    table = set(BOOKS[rules].table)
    found = {f"decision {reason}" for reason in REASONS[rules]} | {f"passed {reason}" for reason in MAY_PASS.values()}
    found |= {f"raised {code}" for code in table}
    return found | {f"cleared {code}" for code in table - NEVER_DOWN}


# met in few lives of a hundred: a whole run must reach them, the suite's few hundred lives need not
RARE = {
    "mes": """
    cleared DAILY_LOSS, decision SIZE_HALF_SKIPPED, decision HOLD:EQUITY_KILL, decision VENUE_LIMIT,
    decision HOLD:DAILY_LOSS, decision MESSAGE_RATE, cleared EQUITY_KILL, decision HOLD:ERROR_STORM,
    decision HOLD:EXECUTION_AWAY, raised DAILY_LOSS, raised EQUITY_KILL, decision SHORT_NOT_ALLOWED, decision SPREAD,
    decision HOLD:DAILY_LOSS_NEAR, cleared DAILY_LOSS_NEAR,
    raised DAILY_LOSS_NEAR, decision HOLD:CANCEL_UNPROVEN, raised CANCEL_UNPROVEN, cleared CANCEL_UNPROVEN,
    passed COOLDOWN, passed SPREAD, passed TRADES_DAY
    """,
    "moex": """
    decision HOLD:EXPOSURE, cleared EXPOSURE, cleared INSTRUMENT_CAP, cleared TOTAL_LOSS, decision HOLD:INSTRUMENT_CAP,
    decision HOLD:TOTAL_LOSS, decision PRICE_MOVE, decision QTY_LIMIT, decision SIZE_HALF_SKIPPED, raised EXPOSURE,
    raised INSTRUMENT_CAP, raised TOTAL_LOSS, cleared DAILY_LOSS, cleared DUPLICATE_STORM, decision CAP_POSITION,
    decision DUPLICATE, decision HOLD:DAILY_LOSS, decision HOLD:DUPLICATE_STORM, decision HOLD:EXECUTION_AWAY,
    raised DAILY_LOSS, raised DUPLICATE_STORM, decision INPUT_INVALID:bid_tick, decision RATE,
    decision RISK_PER_TRADE, decision COOLDOWN, cleared CLOSE_ONLY, decision CAP_EXPOSURE, decision HOLD:CLOSE_ONLY,
    decision HOLD:FEATURES_COLD, decision HOLD:RECORD_DOWN, raised CLOSE_ONLY, cleared STATE_UNREADABLE,
    decision NOT_RECONCILED, decision RISK_DAILY, raised FLATTEN_RESIDUAL, cleared FLATTEN_RESIDUAL,
    decision HOLD:FLATTEN_RESIDUAL, decision FILTERED, decision REPEATED, raised REPEATED_ENTRIES,
    cleared REPEATED_ENTRIES, decision HOLD:DAILY_LOSS_NEAR, cleared DAILY_LOSS_NEAR,
    raised DAILY_LOSS_NEAR, decision HOLD:CANCEL_UNPROVEN, raised CANCEL_UNPROVEN, cleared CANCEL_UNPROVEN,
    passed COOLDOWN, passed DEPTH, passed FILTERED, passed TRADES_DAY
    """,
}


def often(rules: str) -> set[str]:
    """What a few hundred lives must reach."""
    rare = {name.strip() for name in RARE[rules].split(",")}
    assert rare <= wanted(rules)
    return wanted(rules) - rare
