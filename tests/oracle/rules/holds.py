"""The table of holds, typed from the rulebook: code → effect, clearing rule, label; and the set that stands.

A hold goes up by itself and comes down only by its own rule.  Rows in the order of the table; a tie of labels goes to
the earlier row (MES-RISK-16).
"""

from risk.core.holds import BIT as BITS  # the journal's numbers of the codes: vocabulary, not rules

__all__ = ["BITS"]

LABELS = ("HALTED", "MANUAL_REVIEW", "STOPPED_FOR_DAY", "CALIBRATING", "PAUSED", "REDUCED", "ACTIVE")

# code: (effect, clearing, label)
TABLE = {
    "KILL_SWITCH": ("FLATTEN", "OPERATOR", "HALTED"),
    "STATE_UNREADABLE": ("NO_ENTRY", "OPERATOR", "HALTED"),
    "NAKED_POSITION": ("FLATTEN", "OPERATOR", "HALTED"),
    "TOTAL_LOSS": ("FLATTEN", "OPERATOR", "HALTED"),
    "DUPLICATE_STORM": ("NO_ENTRY", "OPERATOR", "HALTED"),
    "MISMATCH": ("NO_ENTRY", "OPERATOR", "MANUAL_REVIEW"),
    "DAILY_LOSS": ("FLATTEN", "TRADING_DAY", "STOPPED_FOR_DAY"),
    "SESSION_STOPPED": ("FLATTEN", "OPERATOR", "STOPPED_FOR_DAY"),
    "EOD": ("FLATTEN", "CONDITION", "STOPPED_FOR_DAY"),
    "CLOSE_ONLY": ("NO_ENTRY", "CONDITION", "STOPPED_FOR_DAY"),
    "OPERATOR_PAUSE": ("NO_ENTRY", "OPERATOR", "PAUSED"),
    "AFTER_HOURS": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "FEED_STALE": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "NOT_RECONCILED": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "EXECUTION_AWAY": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "DATABASE_AWAY": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "STREAM_FULL": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "PRICE_MOVE": ("NO_ENTRY", "TIME", "PAUSED"),
    "NO_LIMITS": ("NO_ENTRY", "CONDITION", "PAUSED"),
}
FLATTENS = frozenset(code for code, row in TABLE.items() if row[0] == "FLATTEN")
STOPS_ENTRY = frozenset(code for code, row in TABLE.items() if row[0] in ("FLATTEN", "NO_ENTRY"))
# what the two commands may clear (MES-RISK-13)
BY_RESUME = tuple(c for c, row in TABLE.items() if row[1] == "OPERATOR" and row[2] in ("MANUAL_REVIEW", "PAUSED"))
BY_RESET = tuple(c for c, row in TABLE.items() if row[1] == "OPERATOR" and row[2] == "HALTED")
BY_ROLL = tuple(code for code, row in TABLE.items() if row[1] == "TRADING_DAY")
BY_CLOCK = tuple(code for code, row in TABLE.items() if row[1] == "TIME")


def strongest_label(standing: dict[str, int | None]) -> str:
    """The label that the account shows."""
    return min((TABLE[code][2] for code in standing), key=LABELS.index, default="ACTIVE")
