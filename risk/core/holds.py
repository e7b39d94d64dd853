"""Holds: the reasons why the desk may not enter, or must get out, as one table of data, keyed by (rulebook, code).

A hold goes up by itself and comes down only by its own clearing rule; clearing one never clears another.  Code,
database choices, admin, screen and the exhaustive test all read HOLDS.  State keeps one bit per hold: the bit is the
mechanism and part of the journal's format (append, never renumber); its name and effect belong to the rulebook.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from marketdata.core.units import PPM
from risk.core.records import MES, MOEX, RULEBOOKS

# effects
NO_ENTRY, FLATTEN, SCALE = 1, 2, 3
EFFECTS = {NO_ENTRY: "NO_ENTRY", FLATTEN: "FLATTEN", SCALE: "SCALE"}
# clearing rules
BY_TIME, BY_TRADING_DAY, BY_CONDITION, BY_MODEL_RELOAD, BY_OPERATOR = 1, 2, 3, 4, 5
CLEARINGS = {
    BY_TIME: "TIME",
    BY_TRADING_DAY: "TRADING_DAY",
    BY_CONDITION: "CONDITION",
    BY_MODEL_RELOAD: "MODEL_RELOAD",
    BY_OPERATOR: "OPERATOR",
}
# labels, strongest first (MES-RISK-16, MOEX-TERM-04)
HALTED, MANUAL_REVIEW, STOPPED_FOR_DAY, CALIBRATING, PAUSED, REDUCED, ACTIVE = range(7)
LABELS = ("HALTED", "MANUAL_REVIEW", "STOPPED_FOR_DAY", "CALIBRATING", "PAUSED", "REDUCED", "ACTIVE")
HALF_PPM = PPM // 2
HOLD_CAPACITY = 62


class Hold(NamedTuple):
    """One row of the table.  `scale_ppm` is the factor of a SCALE hold; the others do not scale."""

    bit: int
    code: str
    effect: int
    clearing: int
    label: int
    trigger: str
    scale_ppm: int = PPM


# Row order is the tie-break inside one label.
MES_HOLDS = (
    Hold(3, "EQUITY_KILL", FLATTEN, BY_OPERATOR, HALTED, "equity has lost the total limit from the reference"),
    Hold(0, "KILL_SWITCH", FLATTEN, BY_OPERATOR, HALTED, "operator's kill, or the latch on disk"),
    Hold(2, "NAKED_POSITION", FLATTEN, BY_OPERATOR, HALTED, "no working stop covers the position in time"),
    Hold(1, "STATE_UNREADABLE", NO_ENTRY, BY_OPERATOR, HALTED, "a figure of the state is not finite or out of range"),
    Hold(4, "DUPLICATE_STORM", NO_ENTRY, BY_OPERATOR, HALTED, "3 duplicate orders in 60 s (P-16)"),
    Hold(19, "ACCOUNT_DRAWDOWN", FLATTEN, BY_OPERATOR, MANUAL_REVIEW, "balance has fallen too far from its peak"),
    Hold(5, "MISMATCH", NO_ENTRY, BY_OPERATOR, MANUAL_REVIEW, "broker and desk differ after reconciliation"),
    Hold(20, "NOT_FLAT_AT_CUTOFF", FLATTEN, BY_OPERATOR, MANUAL_REVIEW, "a position stands where the phase is flat"),
    Hold(21, "ERROR_STORM", FLATTEN, BY_OPERATOR, MANUAL_REVIEW, "too many errors in 60 s (T-10)"),
    Hold(58, "REPEATED_ENTRIES", NO_ENTRY, BY_OPERATOR, MANUAL_REVIEW, "too many entries in a window (P-18)"),
    Hold(
        59, "CANCEL_UNPROVEN", NO_ENTRY, BY_CONDITION, MANUAL_REVIEW, "three retries of a cancel proved nothing (W-08)"
    ),
    Hold(22, "MIN_BALANCE", NO_ENTRY, BY_CONDITION, MANUAL_REVIEW, "risk balance is below its minimum"),
    Hold(6, "DAILY_LOSS", FLATTEN, BY_TRADING_DAY, STOPPED_FOR_DAY, "daily loss limit reached (P-15)"),
    Hold(23, "DAILY_DRAWDOWN", FLATTEN, BY_TRADING_DAY, STOPPED_FOR_DAY, "equity has fallen too far from today's peak"),
    Hold(24, "OPERATOR_LOCK", NO_ENTRY, BY_TIME, STOPPED_FOR_DAY, "operator asked to be locked out until then"),
    Hold(8, "EOD", FLATTEN, BY_CONDITION, STOPPED_FOR_DAY, "the phase demands to be flat"),
    Hold(9, "CLOSE_ONLY", NO_ENTRY, BY_CONDITION, STOPPED_FOR_DAY, "the phase admits no entries any more (EOD)"),
    Hold(7, "SESSION_STOPPED", FLATTEN, BY_OPERATOR, STOPPED_FOR_DAY, "operator stopped the session"),
    Hold(25, "MODEL_BLOCKED", NO_ENTRY, BY_MODEL_RELOAD, CALIBRATING, "no approved, calibrated network is loaded"),
    Hold(26, "FEATURES_COLD", NO_ENTRY, BY_CONDITION, CALIBRATING, "the present feature row is not valid"),
    Hold(10, "OPERATOR_PAUSE", NO_ENTRY, BY_OPERATOR, PAUSED, "operator's Pause, Cancel all or Flatten"),
    Hold(27, "PRESENCE", NO_ENTRY, BY_CONDITION, PAUSED, "no operator activity where attended operation is demanded"),
    Hold(28, "LOSS_STREAK", NO_ENTRY, BY_TIME, PAUSED, "too many losing trades in a row"),
    Hold(29, "SPREAD", NO_ENTRY, BY_TIME, PAUSED, "the quoted spread is too wide"),
    Hold(30, "NEWS", NO_ENTRY, BY_TIME, PAUSED, "inside a window of the operator's event list"),
    Hold(12, "FEED_STALE", NO_ENTRY, BY_CONDITION, PAUSED, "no feed message for too long, or a gap (P-04)"),
    Hold(13, "NOT_RECONCILED", NO_ENTRY, BY_CONDITION, PAUSED, "start, reconnect or an unknown outcome (P-05)"),
    Hold(31, "CONTRACT_ROLL", NO_ENTRY, BY_CONDITION, PAUSED, "the contract is past its roll day or inactive"),
    Hold(11, "AFTER_HOURS", NO_ENTRY, BY_CONDITION, PAUSED, "outside the session's trading phases"),
    Hold(14, "EXECUTION_AWAY", NO_ENTRY, BY_CONDITION, PAUSED, "no working link to the venue"),
    Hold(15, "DATABASE_AWAY", NO_ENTRY, BY_CONDITION, PAUSED, "ledger rows cannot be written"),
    Hold(16, "STREAM_FULL", NO_ENTRY, BY_CONDITION, PAUSED, "a stream of the desk is full"),
    Hold(17, "PRICE_MOVE", NO_ENTRY, BY_TIME, PAUSED, "price moved too far in the window (P-11)"),
    Hold(18, "NO_LIMITS", NO_ENTRY, BY_CONDITION, PAUSED, "no configuration version is active (P-07)"),
    Hold(55, "RESTRICTED", NO_ENTRY, BY_CONDITION, PAUSED, "the configuration restricts the instrument (P-25)"),
    Hold(57, "DAILY_LOSS_NEAR", NO_ENTRY, BY_CONDITION, PAUSED, "the day has lost its share of the daily limit (P-15)"),
    Hold(56, "CLOCK_OFFSET", NO_ENTRY, BY_CONDITION, PAUSED, "the clock is off, or nobody knows (P-04, T-09)"),
    Hold(32, "VOLATILITY", SCALE, BY_CONDITION, REDUCED, "ATR is far above normal", HALF_PPM),
    Hold(33, "VOLUME", SCALE, BY_CONDITION, REDUCED, "minute volume is far below normal", HALF_PPM),
    Hold(34, "EOD_REDUCED", SCALE, BY_CONDITION, REDUCED, "the last phase that admits entries", HALF_PPM),
)
MOEX_HOLDS = (
    Hold(37, "RVI_HIGH", FLATTEN, BY_OPERATOR, HALTED, "the volatility index is above its limit"),
    Hold(0, "KILL_SWITCH", FLATTEN, BY_OPERATOR, HALTED, "operator's kill, or the latch on disk"),
    Hold(2, "NAKED_POSITION", FLATTEN, BY_OPERATOR, HALTED, "no working stop covers the position in time"),
    Hold(3, "TOTAL_LOSS", FLATTEN, BY_OPERATOR, HALTED, "equity has lost the total limit from the reference"),
    Hold(42, "DRIFT_CRITICAL", NO_ENTRY, BY_MODEL_RELOAD, HALTED, "drift severity is critical"),
    Hold(1, "STATE_UNREADABLE", NO_ENTRY, BY_OPERATOR, HALTED, "a figure of the state is not finite or out of range"),
    Hold(4, "DUPLICATE_STORM", NO_ENTRY, BY_OPERATOR, HALTED, "3 duplicate orders in 60 s (P-16)"),
    Hold(54, "STATE_LOST", NO_ENTRY, BY_OPERATOR, MANUAL_REVIEW, "a journal without a valid checkpoint"),
    Hold(20, "FLATTEN_RESIDUAL", FLATTEN, BY_OPERATOR, MANUAL_REVIEW, "a flatten was not verified flat in time"),
    Hold(5, "RECON_MISMATCH", NO_ENTRY, BY_OPERATOR, MANUAL_REVIEW, "broker and desk differ after reconciliation"),
    Hold(21, "RISK_ERROR_REPEAT", NO_ENTRY, BY_OPERATOR, MANUAL_REVIEW, "too many errors in 60 s (T-10)"),
    Hold(58, "REPEATED_ENTRIES", NO_ENTRY, BY_OPERATOR, MANUAL_REVIEW, "too many entries in a window (P-18)"),
    Hold(
        59, "CANCEL_UNPROVEN", NO_ENTRY, BY_CONDITION, MANUAL_REVIEW, "three retries of a cancel proved nothing (W-08)"
    ),
    Hold(53, "BROKER_AUTH", NO_ENTRY, BY_OPERATOR, MANUAL_REVIEW, "the broker refuses the desk's token"),
    Hold(7, "SESSION_STOPPED", FLATTEN, BY_OPERATOR, STOPPED_FOR_DAY, "operator stopped the session"),
    Hold(6, "DAILY_LOSS", NO_ENTRY, BY_TRADING_DAY, STOPPED_FOR_DAY, "daily loss limit reached (P-15)"),
    Hold(24, "OPERATOR_LOCK", NO_ENTRY, BY_TIME, STOPPED_FOR_DAY, "operator asked to be locked out until then"),
    Hold(43, "CALIBRATION", NO_ENTRY, BY_CONDITION, CALIBRATING, "a calibration runs"),
    Hold(25, "MODEL_BLOCKED", NO_ENTRY, BY_MODEL_RELOAD, CALIBRATING, "no approved, calibrated network is loaded"),
    Hold(8, "SESSION_END", FLATTEN, BY_CONDITION, PAUSED, "the traded session is about to end"),
    Hold(28, "LOSS_STREAK", NO_ENTRY, BY_TIME, PAUSED, "too many losing trades in a row"),
    Hold(35, "EXPOSURE", NO_ENTRY, BY_CONDITION, PAUSED, "gross exposure is above its limit"),
    Hold(36, "INSTRUMENT_CAP", NO_ENTRY, BY_CONDITION, PAUSED, "one instrument is above its share of the capital"),
    Hold(38, "RVI_STALE", NO_ENTRY, BY_CONDITION, PAUSED, "no recent value of the volatility index"),
    Hold(40, "NET_FAILOVER", NO_ENTRY, BY_CONDITION, PAUSED, "the trading connection is lost or too slow"),
    Hold(46, "LATENCY", NO_ENTRY, BY_CONDITION, PAUSED, "a stage was too slow three times in a row"),
    Hold(47, "HEARTBEAT", NO_ENTRY, BY_CONDITION, PAUSED, "three heartbeats of the books were missed"),
    Hold(48, "INTEGRITY", NO_ENTRY, BY_CONDITION, PAUSED, "books and reconciliation have not passed the gate"),
    Hold(12, "FEED_STALE", NO_ENTRY, BY_CONDITION, PAUSED, "no feed message for too long, or a gap (P-04)"),
    Hold(13, "RECON", NO_ENTRY, BY_CONDITION, PAUSED, "no clean reconciliation since start or reconnect (P-05)"),
    Hold(49, "OUTCOME_UNKNOWN", NO_ENTRY, BY_CONDITION, PAUSED, "an order's outcome is unknown"),
    Hold(50, "STOP_UNPROTECTED", NO_ENTRY, BY_CONDITION, PAUSED, "a position without a confirmed stop"),
    Hold(51, "UNHEALTHY", NO_ENTRY, BY_CONDITION, PAUSED, "the instrument no longer meets its criteria"),
    Hold(15, "RECORD_DOWN", NO_ENTRY, BY_CONDITION, PAUSED, "ledger rows cannot be written"),
    Hold(11, "SESSION", NO_ENTRY, BY_CONDITION, PAUSED, "outside the entry window"),
    Hold(9, "CLOSE_ONLY", NO_ENTRY, BY_CONDITION, PAUSED, "the phase admits no entries any more"),
    Hold(10, "OPERATOR_PAUSE", NO_ENTRY, BY_OPERATOR, PAUSED, "operator's Pause, Cancel all or Flatten"),
    Hold(27, "PRESENCE", NO_ENTRY, BY_CONDITION, PAUSED, "no operator activity where attended operation is demanded"),
    Hold(14, "EXECUTION_AWAY", NO_ENTRY, BY_CONDITION, PAUSED, "no working link to the venue"),
    Hold(16, "STREAM_FULL", NO_ENTRY, BY_CONDITION, PAUSED, "a stream of the desk is full"),
    Hold(17, "PRICE_MOVE", NO_ENTRY, BY_TIME, PAUSED, "price moved too far in the window (P-11)"),
    Hold(18, "NO_LIMITS", NO_ENTRY, BY_CONDITION, PAUSED, "no configuration version is active (P-07)"),
    Hold(55, "RESTRICTED", NO_ENTRY, BY_CONDITION, PAUSED, "the configuration restricts the instrument (P-25)"),
    Hold(57, "DAILY_LOSS_NEAR", NO_ENTRY, BY_CONDITION, PAUSED, "the day has lost its share of the daily limit (P-15)"),
    Hold(56, "CLOCK_OFFSET", NO_ENTRY, BY_CONDITION, PAUSED, "the clock is off, or nobody knows (P-04, T-09)"),
    Hold(60, "NOT_ACTIVE", NO_ENTRY, BY_CONDITION, PAUSED, "the instrument is none of the active ones"),
    Hold(39, "NET_SLOW", SCALE, BY_CONDITION, REDUCED, "the trading connection is slow", HALF_PPM),
    Hold(41, "DRIFT_WARN", SCALE, BY_MODEL_RELOAD, REDUCED, "drift severity is warning", HALF_PPM),
    Hold(44, "ML_FALLBACK", SCALE, BY_MODEL_RELOAD, REDUCED, "networks failed: the heuristic alone signals", HALF_PPM),
    Hold(45, "ENSEMBLE_WEAK", SCALE, BY_CONDITION, REDUCED, "too little weight of the ensemble is healthy", HALF_PPM),
    Hold(52, "RISK_ERROR", SCALE, BY_OPERATOR, REDUCED, "an error in the risk step", HALF_PPM),
)
HOLDS = {MES: MES_HOLDS, MOEX: MOEX_HOLDS}
BIT = {hold.code: hold.bit for rows in HOLDS.values() for hold in rows}
BY_BIT = {rules: {hold.bit: hold for hold in rows} for rules, rows in HOLDS.items()}
CODES = tuple(BIT)  # every code of every rulebook: the database's choices

assert all(len(BY_BIT[rules]) == len(rows) for rules, rows in HOLDS.items()), "a bit stands twice in one rulebook"
assert max(BIT.values()) < HOLD_CAPACITY <= 62, "standing holds are one int64 without its sign"


def hold_of(rules: int, bit: int) -> Hold:
    """The row of a standing bit.  Raises KeyError for a bit that the rulebook does not have."""
    return BY_BIT[rules][bit]


def _masks(wanted: "dict[str, tuple[int, ...]]") -> np.ndarray:
    """One mask per rulebook of the rows whose fields are among the wanted."""
    found = np.zeros(len(RULEBOOKS), np.int64)
    for rules, rows in HOLDS.items():
        for hold in rows:
            if all(getattr(hold, name) in values for name, values in wanted.items()):
                found[rules] |= np.int64(1 << hold.bit)
    return found


# indexed by rulebook; a hold that the rulebook lacks is never raised under it
KNOWN_MASK = _masks({})
ENTRY_MASK = _masks({"effect": (NO_ENTRY, FLATTEN)})
FLATTEN_MASK = _masks({"effect": (FLATTEN,)})
SCALE_MASK = _masks({"effect": (SCALE,)})
TIME_MASK = _masks({"clearing": (BY_TIME,)})
TRADING_DAY_MASK = _masks({"clearing": (BY_TRADING_DAY,)})
MODEL_RELOAD_MASK = _masks({"clearing": (BY_MODEL_RELOAD,)})
RESUME_MASK = _masks({"clearing": (BY_OPERATOR,), "label": (MANUAL_REVIEW, PAUSED, REDUCED)})
RESET_MASK = _masks({"clearing": (BY_OPERATOR,), "label": (HALTED,)})

_STRENGTH = {NO_ENTRY: 1, FLATTEN: 0, SCALE: 2}  # MOEX-TERM-04's tie-break
_ORDER = {
    MES: sorted(MES_HOLDS, key=lambda h: h.label),
    MOEX: sorted(MOEX_HOLDS, key=lambda h: (h.label, _STRENGTH[h.effect])),
}
BY_STRENGTH = np.full((len(RULEBOOKS), HOLD_CAPACITY), -1, np.int64)
_LABEL_OF = np.full((len(RULEBOOKS), HOLD_CAPACITY), ACTIVE, np.int64)
_SCALE_OF = np.full((len(RULEBOOKS), HOLD_CAPACITY), PPM, np.int64)
RANK = np.full((len(RULEBOOKS), HOLD_CAPACITY), -1, np.int64)  # equal where the table leaves a tie (MOEX-TERM-04)
for _rules, _rows in _ORDER.items():
    for _at, _hold in enumerate(_rows):
        BY_STRENGTH[_rules, _at] = _hold.bit
        _LABEL_OF[_rules, _hold.bit] = _hold.label
        _SCALE_OF[_rules, _hold.bit] = _hold.scale_ppm
        RANK[_rules, _hold.bit] = 3 * _hold.label + _STRENGTH[_hold.effect]

HOLD = np.dtype(
    (np.record, [("since_ns", "<i8"), ("until_ns", "<i8"), ("value", "<i8"), ("limit", "<i8"), ("raised", "<i8")])
)


@njit(cache=True)
def strongest(rules: int, standing: int) -> int:
    """The bit of the strongest standing hold, −1 when none stands."""
    for at in range(HOLD_CAPACITY):
        bit = BY_STRENGTH[rules, at]
        if bit < 0:
            break
        if standing >> bit & 1:
            return bit
    return -1


@njit(cache=True)
def label(rules: int, standing: int) -> int:
    """The label that the account shows: that of the strongest standing hold, ACTIVE when none stands."""
    bit = strongest(rules, standing)
    return ACTIVE if bit < 0 else _LABEL_OF[rules, bit]


@njit(cache=True)
def scale_ppm(rules: int, standing: int) -> int:
    """The factor that applies to a size: the smallest of the standing SCALE holds, never their product."""
    factor = PPM
    left = standing & SCALE_MASK[rules]
    for bit in range(HOLD_CAPACITY):
        if left >> bit & 1:
            factor = min(factor, _SCALE_OF[rules, bit])
    return factor
