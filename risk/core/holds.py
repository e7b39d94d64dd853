"""Holds: the reasons why the desk may not enter, or must get out, as one table of data.

A hold goes up by itself and comes down only by its own clearing rule; clearing one never clears another.  Code,
database choices, admin, screen and the exhaustive test all read HOLDS.  State keeps one bit per code and scope.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

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


class Hold(NamedTuple):
    """One row of the table.  `by_resume`: an OPERATOR hold that `resume` clears; the others need `reset_halt`."""

    bit: int
    code: str
    effect: int
    clearing: int
    label: int
    trigger: str


# The bit is part of the journal's format: append, never renumber.
HOLDS = (
    Hold(0, "KILL_SWITCH", FLATTEN, BY_OPERATOR, HALTED, "operator's kill, or the latch on disk"),
    Hold(1, "STATE_UNREADABLE", NO_ENTRY, BY_OPERATOR, HALTED, "a figure of the state is not finite or out of range"),
    Hold(2, "NAKED_POSITION", FLATTEN, BY_OPERATOR, HALTED, "no working stop covers the position in time"),
    Hold(3, "TOTAL_LOSS", FLATTEN, BY_OPERATOR, HALTED, "equity has lost the total limit from the reference"),
    Hold(4, "DUPLICATE_STORM", NO_ENTRY, BY_OPERATOR, HALTED, "3 duplicate orders in 60 s (P-16)"),
    Hold(5, "MISMATCH", NO_ENTRY, BY_OPERATOR, MANUAL_REVIEW, "broker and desk differ after reconciliation"),
    Hold(6, "DAILY_LOSS", FLATTEN, BY_TRADING_DAY, STOPPED_FOR_DAY, "daily loss limit reached (P-15)"),
    Hold(7, "SESSION_STOPPED", FLATTEN, BY_OPERATOR, STOPPED_FOR_DAY, "operator stopped the session"),
    Hold(8, "EOD", FLATTEN, BY_CONDITION, STOPPED_FOR_DAY, "the phase demands to be flat"),
    Hold(9, "CLOSE_ONLY", NO_ENTRY, BY_CONDITION, STOPPED_FOR_DAY, "the phase admits no entries any more"),
    Hold(10, "OPERATOR_PAUSE", NO_ENTRY, BY_OPERATOR, PAUSED, "operator's Pause, Cancel all or Flatten"),
    Hold(11, "AFTER_HOURS", NO_ENTRY, BY_CONDITION, PAUSED, "outside the session's trading phases"),
    Hold(12, "FEED_STALE", NO_ENTRY, BY_CONDITION, PAUSED, "no feed message for too long, or a gap (P-04)"),
    Hold(13, "NOT_RECONCILED", NO_ENTRY, BY_CONDITION, PAUSED, "start, reconnect or an unknown outcome (P-05)"),
    Hold(14, "EXECUTION_AWAY", NO_ENTRY, BY_CONDITION, PAUSED, "no working link to the venue"),
    Hold(15, "DATABASE_AWAY", NO_ENTRY, BY_CONDITION, PAUSED, "ledger rows cannot be written"),
    Hold(16, "STREAM_FULL", NO_ENTRY, BY_CONDITION, PAUSED, "a stream of the desk is full"),
    Hold(17, "PRICE_MOVE", NO_ENTRY, BY_TIME, PAUSED, "price moved too far in the window (P-11)"),
    Hold(18, "NO_LIMITS", NO_ENTRY, BY_CONDITION, PAUSED, "no configuration version is active (P-07)"),
)
BIT = {h.code: h.bit for h in HOLDS}
HOLD_CAPACITY = 48

assert [h.bit for h in HOLDS] == list(range(len(HOLDS))) and len(HOLDS) <= HOLD_CAPACITY


def _mask(*effects: int) -> int:
    return sum(1 << h.bit for h in HOLDS if h.effect in effects)


ENTRY_MASK = _mask(NO_ENTRY, FLATTEN)
FLATTEN_MASK = _mask(FLATTEN)
OPERATOR_MASK = sum(1 << h.bit for h in HOLDS if h.clearing == BY_OPERATOR)
RESUME_MASK = sum(1 << h.bit for h in HOLDS if h.clearing == BY_OPERATOR and h.label in (MANUAL_REVIEW, PAUSED))
RESET_MASK = sum(1 << h.bit for h in HOLDS if h.clearing == BY_OPERATOR and h.label == HALTED)
TRADING_DAY_MASK = sum(1 << h.bit for h in HOLDS if h.clearing == BY_TRADING_DAY)
TIME_MASK = sum(1 << h.bit for h in HOLDS if h.clearing == BY_TIME)
_LABEL_OF = np.array([h.label for h in HOLDS], np.int64)
_BY_STRENGTH = np.array([h.bit for h in sorted(HOLDS, key=lambda h: (h.label, h.bit))], np.int64)

HOLD = np.dtype(
    (np.record, [("since_ns", "<i8"), ("until_ns", "<i8"), ("value", "<i8"), ("limit", "<i8"), ("raised", "<i8")])
)


@njit(cache=True)
def strongest(standing: int) -> int:
    """The bit of the strongest standing hold, −1 when none stands."""
    for bit in _BY_STRENGTH:
        if standing >> bit & 1:
            return bit
    return -1


@njit(cache=True)
def label(standing: int) -> int:
    """The label that the account shows: that of the strongest standing hold, ACTIVE when none stands."""
    bit = strongest(standing)
    return ACTIVE if bit < 0 else _LABEL_OF[bit]
