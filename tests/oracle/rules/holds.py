"""The table of holds of the futures rulebook, typed from its text: code → effect, clearing rule, label (MES-HOLD-…).

A hold goes up by itself and comes down only by its own rule.  Rows in the order of the document's table, then those of
the general controls; a tie of labels goes to the earlier row (MES-RISK-16).
"""

from risk.core.holds import BIT as BITS  # the journal's numbers of the codes: vocabulary, not rules

__all__ = ["BITS"]

LABELS = ("HALTED", "MANUAL_REVIEW", "STOPPED_FOR_DAY", "CALIBRATING", "PAUSED", "REDUCED", "ACTIVE")

# code: (effect, clearing, label)
TABLE = {
    "EQUITY_KILL": ("FLATTEN", "OPERATOR", "HALTED"),
    "KILL_SWITCH": ("FLATTEN", "OPERATOR", "HALTED"),
    "NAKED_POSITION": ("FLATTEN", "OPERATOR", "HALTED"),
    "STATE_UNREADABLE": ("NO_ENTRY", "OPERATOR", "HALTED"),
    "DUPLICATE_STORM": ("NO_ENTRY", "OPERATOR", "HALTED"),
    "ACCOUNT_DRAWDOWN": ("FLATTEN", "OPERATOR", "MANUAL_REVIEW"),
    "MISMATCH": ("NO_ENTRY", "OPERATOR", "MANUAL_REVIEW"),
    "NOT_FLAT_AT_CUTOFF": ("FLATTEN", "OPERATOR", "MANUAL_REVIEW"),
    "ERROR_STORM": ("FLATTEN", "OPERATOR", "MANUAL_REVIEW"),
    "MIN_BALANCE": ("NO_ENTRY", "CONDITION", "MANUAL_REVIEW"),
    "DAILY_LOSS": ("FLATTEN", "TRADING_DAY", "STOPPED_FOR_DAY"),
    "DAILY_DRAWDOWN": ("FLATTEN", "TRADING_DAY", "STOPPED_FOR_DAY"),
    "OPERATOR_LOCK": ("NO_ENTRY", "TIME", "STOPPED_FOR_DAY"),
    "EOD": ("FLATTEN", "CONDITION", "STOPPED_FOR_DAY"),
    "CLOSE_ONLY": ("NO_ENTRY", "CONDITION", "STOPPED_FOR_DAY"),
    "SESSION_STOPPED": ("FLATTEN", "OPERATOR", "STOPPED_FOR_DAY"),
    "MODEL_BLOCKED": ("NO_ENTRY", "MODEL_RELOAD", "CALIBRATING"),
    "FEATURES_COLD": ("NO_ENTRY", "CONDITION", "CALIBRATING"),
    "OPERATOR_PAUSE": ("NO_ENTRY", "OPERATOR", "PAUSED"),
    "PRESENCE": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "LOSS_STREAK": ("NO_ENTRY", "TIME", "PAUSED"),
    "SPREAD": ("NO_ENTRY", "TIME", "PAUSED"),
    "NEWS": ("NO_ENTRY", "TIME", "PAUSED"),
    "FEED_STALE": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "NOT_RECONCILED": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "CONTRACT_ROLL": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "AFTER_HOURS": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "EXECUTION_AWAY": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "DATABASE_AWAY": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "STREAM_FULL": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "PRICE_MOVE": ("NO_ENTRY", "TIME", "PAUSED"),
    "NO_LIMITS": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "RESTRICTED": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "VOLATILITY": ("SCALE", "CONDITION", "REDUCED"),
    "VOLUME": ("SCALE", "CONDITION", "REDUCED"),
    "EOD_REDUCED": ("SCALE", "CONDITION", "REDUCED"),
}
ORDER = {code: at for at, code in enumerate(TABLE)}
HALF = 500_000  # every SCALE hold of this rulebook halves
FLATTENS = frozenset(code for code, row in TABLE.items() if row[0] == "FLATTEN")
STOPS_ENTRY = frozenset(code for code, row in TABLE.items() if row[0] in ("FLATTEN", "NO_ENTRY"))
SCALES = frozenset(code for code, row in TABLE.items() if row[0] == "SCALE")
# what the two commands may clear (MES-RISK-13)
BY_RESUME = tuple(c for c, row in TABLE.items() if row[1] == "OPERATOR" and row[2] in ("MANUAL_REVIEW", "PAUSED"))
BY_RESET = tuple(c for c, row in TABLE.items() if row[1] == "OPERATOR" and row[2] == "HALTED")
BY_ROLL = tuple(code for code, row in TABLE.items() if row[1] == "TRADING_DAY")
BY_CLOCK = tuple(code for code, row in TABLE.items() if row[1] == "TIME")
BY_MODEL = tuple(code for code, row in TABLE.items() if row[1] == "MODEL_RELOAD")


def strongest(codes: "set[str] | dict[str, int | None]") -> str:
    """The strongest of some holds: label first, then the table's order; "" of none."""
    return min(codes, key=lambda code: (LABELS.index(TABLE[code][2]), ORDER[code]), default="")


def strongest_label(standing: dict[str, int | None]) -> str:
    """The label that the account shows."""
    return min((TABLE[code][2] for code in standing), key=LABELS.index, default="ACTIVE")
