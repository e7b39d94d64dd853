"""The table of holds of the shares' rulebook, typed from its text: code → effect, clearing rule, label (MOEX-RISK-05).

Rows by label.  A tie of labels goes to FLATTEN before
NO_ENTRY before SCALE, then to the hold that stands longest (MOEX-TERM-04).
"""

from collections.abc import Iterable, Mapping

from tests.oracle.rules.holds import LABELS, Rulebook

# code: (effect, clearing, label)
TABLE = {
    "RVI_HIGH": ("FLATTEN", "OPERATOR", "HALTED"),
    "KILL_SWITCH": ("FLATTEN", "OPERATOR", "HALTED"),
    "NAKED_POSITION": ("FLATTEN", "OPERATOR", "HALTED"),
    "TOTAL_LOSS": ("FLATTEN", "OPERATOR", "HALTED"),
    "DRIFT_CRITICAL": ("NO_ENTRY", "MODEL_RELOAD", "HALTED"),
    "STATE_UNREADABLE": ("NO_ENTRY", "OPERATOR", "HALTED"),
    "DUPLICATE_STORM": ("NO_ENTRY", "OPERATOR", "HALTED"),
    "STATE_LOST": ("NO_ENTRY", "OPERATOR", "MANUAL_REVIEW"),
    "FLATTEN_RESIDUAL": ("FLATTEN", "OPERATOR", "MANUAL_REVIEW"),
    "RECON_MISMATCH": ("NO_ENTRY", "OPERATOR", "MANUAL_REVIEW"),
    "RISK_ERROR_REPEAT": ("NO_ENTRY", "OPERATOR", "MANUAL_REVIEW"),
    "REPEATED_ENTRIES": ("NO_ENTRY", "OPERATOR", "MANUAL_REVIEW"),
    "CANCEL_UNPROVEN": ("NO_ENTRY", "CONDITION", "MANUAL_REVIEW"),
    "BROKER_AUTH": ("NO_ENTRY", "OPERATOR", "MANUAL_REVIEW"),
    "SESSION_STOPPED": ("FLATTEN", "OPERATOR", "STOPPED_FOR_DAY"),
    "DAILY_LOSS": ("NO_ENTRY", "TRADING_DAY", "STOPPED_FOR_DAY"),
    "OPERATOR_LOCK": ("NO_ENTRY", "TIME", "STOPPED_FOR_DAY"),
    "CALIBRATION": ("NO_ENTRY", "CONDITION", "CALIBRATING"),
    "MODEL_BLOCKED": ("NO_ENTRY", "MODEL_RELOAD", "CALIBRATING"),
    "SESSION_END": ("FLATTEN", "CONDITION", "PAUSED"),
    "LOSS_STREAK": ("NO_ENTRY", "TIME", "PAUSED"),
    "EXPOSURE": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "INSTRUMENT_CAP": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "RVI_STALE": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "NET_FAILOVER": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "LATENCY": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "HEARTBEAT": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "INTEGRITY": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "FEED_STALE": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "RECON": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "OUTCOME_UNKNOWN": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "STOP_UNPROTECTED": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "UNHEALTHY": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "RECORD_DOWN": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "SESSION": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "CLOSE_ONLY": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "OPERATOR_PAUSE": ("NO_ENTRY", "OPERATOR", "PAUSED"),
    "PRESENCE": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "EXECUTION_AWAY": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "STREAM_FULL": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "PRICE_MOVE": ("NO_ENTRY", "TIME", "PAUSED"),
    "NO_LIMITS": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "RESTRICTED": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "DAILY_LOSS_NEAR": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "CLOCK_OFFSET": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "NOT_ACTIVE": ("NO_ENTRY", "CONDITION", "PAUSED"),
    "NET_SLOW": ("SCALE", "CONDITION", "REDUCED"),
    "DRIFT_WARN": ("SCALE", "MODEL_RELOAD", "REDUCED"),
    "ML_FALLBACK": ("SCALE", "MODEL_RELOAD", "REDUCED"),
    "ENSEMBLE_WEAK": ("SCALE", "CONDITION", "REDUCED"),
    "RISK_ERROR": ("SCALE", "OPERATOR", "REDUCED"),
}
# what the futures' document calls the same mechanism
CALLED = {
    "EQUITY_KILL": "TOTAL_LOSS", "MISMATCH": "RECON_MISMATCH", "ERROR_STORM": "RISK_ERROR_REPEAT",
    "NOT_FLAT_AT_CUTOFF": "FLATTEN_RESIDUAL", "EOD": "SESSION_END", "AFTER_HOURS": "SESSION",
    "NOT_RECONCILED": "RECON", "DATABASE_AWAY": "RECORD_DOWN",
}  # fmt: skip

EFFECTS = ("FLATTEN", "NO_ENTRY", "SCALE")


class SharesBook(Rulebook):
    """The strongest hold by MOEX-TERM-04."""

    def strongest(self, codes: Iterable[str], since: Mapping[str, int]) -> str:
        """`since`: when each went up; one that is due and does not stand yet comes last."""

        def place(code: str) -> tuple[int, int, int]:
            effect, _, label = self.table[code]
            return LABELS.index(label), EFFECTS.index(effect), since.get(code, 2**62)

        return min(sorted(codes, key=self.order.__getitem__), key=place, default="")


MOEX_BOOK = SharesBook(1, TABLE, CALLED)
