"""Verdicts on books: what is wrong with this one, in words; a book is never repaired in silence (MOEX-DATA-03).

A delivered book has a set of faults, as bits; a message to a book that is kept here (`deltas`, `orders`) has one
outcome, which goes on where `core.depth`'s codes end.  Faults end in FLAG_INVALID and in counts; what follows from them
is the caller's to decide.
"""

from typing import Any

import numpy as np
from numba import njit

from marketdata.core.quality import CROSSED, ONE_SIDED, book_verdict
from marketdata.core.records import FLAG_INVALID, NO_TIME

Record = Any  # one record of DEPTH: the type checker cannot know its fields

# faults of a book, as bits; 0: VALID
HALF, LOCKED_OR_CROSSED, UNSORTED, INCONSISTENT, UNBOUNDED, STALE, GAPPED = 1, 2, 4, 8, 16, 32, 64
FAULTS = {
    HALF: "one side of the book is empty",
    LOCKED_OR_CROSSED: "the best bid is at or above the best ask",
    UNSORTED: "a side was delivered out of order",
    INCONSISTENT: "the venue says that it is not consistent",
    UNBOUNDED: "a price or quantity is beyond what the desk carries: that level was left out",
    STALE: "older than allowed",
    GAPPED: "updates are missing since the last snapshot",
}
# outcomes of a message to a kept book, beside UNCHANGED .. LEVELS_FULL of core.depth
OLD = 5  # not newer than the book: dropped
GAP = 6  # updates before it are missing: the book is withheld until the next snapshot
WAITING = 7  # no snapshot yet: kept until one comes
REFUSED = 8  # a price, size or side that cannot be: dropped, and the book is withheld until the next snapshot


@njit(cache=True)
def side_faults(bid_tick: int, ask_tick: int) -> int:
    """HALF or LOCKED_OR_CROSSED of these best prices (NO_TICK: none), 0 when they are fit."""
    verdict = book_verdict(bid_tick, ask_tick)
    if verdict == ONE_SIDED:
        return HALF
    return LOCKED_OR_CROSSED if verdict == CROSSED else 0


@njit(cache=True)
def faults_at(depths: np.ndarray, at: int, now_ns: int, age_max_ns: int, gapped: bool) -> int:
    """Faults of depths[at] looked at when it is `now_ns`: sides, age by receipt, and whether its source has a gap.

    Exactly `age_max_ns` old is not stale yet.  A flag that says invalid without a reason of these counts as
    INCONSISTENT.
    """
    depth = depths[at]
    faults = side_faults(depth.bid_tick[0], depth.ask_tick[0])
    if faults == 0 and depth["flags"] & FLAG_INVALID != 0:
        faults = INCONSISTENT
    if depth.ts_ns == NO_TIME or now_ns - depth.ts_ns > age_max_ns:
        faults |= STALE
    if gapped:
        faults |= GAPPED
    return faults


def named(faults: int) -> list[str]:
    """The faults in words, in the order of their bits."""
    return [text for bit, text in FAULTS.items() if faults & bit]
