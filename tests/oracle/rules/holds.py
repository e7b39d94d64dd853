"""The table of holds of the futures rulebook, typed from its text: code → effect, clearing rule, label (MES-HOLD-…),
and what follows from such a table for any rulebook.

A hold goes up by itself and comes down only by its own rule.  Rows in the order of the document's table, then those of
the general controls; a tie of labels goes to the earlier row (MES-RISK-16).
"""

from collections.abc import Iterable, Mapping

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
    "REPEATED_ENTRIES": ("NO_ENTRY", "OPERATOR", "MANUAL_REVIEW"),
    "CANCEL_UNPROVEN": ("NO_ENTRY", "CONDITION", "MANUAL_REVIEW"),
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
    "DAILY_LOSS_NEAR": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "CLOCK_OFFSET": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "VOLATILITY": ("SCALE", "CONDITION", "REDUCED"),
    "VOLUME": ("SCALE", "CONDITION", "REDUCED"),
    "EOD_REDUCED": ("SCALE", "CONDITION", "REDUCED"),
}
HALF = 500_000  # every SCALE hold of both rulebooks halves

Row = tuple[str, str, str]


class Rulebook:
    """A table of holds and what follows from it.  A hold that it does not have is never raised under it."""

    def __init__(
        self, rules: int, table: dict[str, tuple[str, str, str]], called: dict[str, str] | None = None
    ) -> None:
        self.rules = rules  # the journal's number of this rulebook
        self.table = table
        self.called = called or {}  # what the other rulebook calls it → what this one does
        self.order = {code: at for at, code in enumerate(table)}
        self.flattens = frozenset(self._codes(effect="FLATTEN"))
        self.stops_entry = self.flattens.union(self._codes(effect="NO_ENTRY"))
        self.scales = frozenset(self._codes(effect="SCALE"))
        self.by_roll = self._codes(clearing="TRADING_DAY")
        self.by_clock = self._codes(clearing="TIME")
        self.by_model = self._codes(clearing="MODEL_RELOAD")
        # what the two commands may clear (MES-RISK-13, MOEX-RISK-06)
        by_person = self._codes(clearing="OPERATOR")
        self.by_resume = tuple(c for c in table if c in by_person and table[c][2] in RESUMED)
        self.by_reset = tuple(c for c in table if c in by_person and table[c][2] == "HALTED")

    def _codes(self, effect: str = "", clearing: str = "") -> tuple[str, ...]:
        rows = self.table.items()
        return tuple(code for code, row in rows if effect in ("", row[0]) and clearing in ("", row[1]))

    def name(self, code: str) -> str:
        """This rulebook's name of a hold that both have; "" when it has none."""
        code = self.called.get(code, code)
        return code if code in self.table else ""

    def strongest(self, codes: Iterable[str], since: Mapping[str, int]) -> str:
        """The strongest of some holds: label first, then the table's order (MES-RISK-16); "" of none."""
        return min(codes, key=lambda code: (LABELS.index(self.table[code][2]), self.order[code]), default="")

    def label(self, standing: Iterable[str]) -> str:
        """The label that the account shows."""
        return min((self.table[code][2] for code in standing), key=LABELS.index, default="ACTIVE")


RESUMED = ("MANUAL_REVIEW", "PAUSED", "REDUCED")
MES_BOOK = Rulebook(0, TABLE)
