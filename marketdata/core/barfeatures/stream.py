"""The bar features' one step: live, paper, replay, training and batch all call `add` and `carry` (MES-FEAT-01).

`carry` makes the row of a second without a print, `add` the row of a printed bar; `batch` is those two in a loop over
columns.  A state goes on from call to call, so bars may come one at a time or in chunks of any size: every bit of the
rows is the same.  Row s holds nothing that was not known at s + 1 s.  Called by `engine`, benchmarks and tests.
"""

from typing import Any

import numpy as np
from numba import njit

from marketdata.core.barfeatures.grid import bar_verdict, begins_segment, carries, enter_day
from marketdata.core.barfeatures.labels import label_row
from marketdata.core.barfeatures.observe import begin_segment, observe
from marketdata.core.barfeatures.records import (
    COLD,
    NOT_FINITE,
    OUTSIDE,
    ROW_CARRIED,
    ROW_SEGMENT,
    ROW_VALID,
    VALID,
    Bars,
    Rows,
)
from marketdata.core.barfeatures.schema import ANCHOR_S, FEATURE_COUNT, WARM_BUCKETS
from marketdata.core.barfeatures.vector import write_vector
from marketdata.core.compiled import inlined

Record = Any  # one record of BAR_STATE or LABEL_STATE: the type checker cannot know its fields


@inlined
def is_warm(state: Record) -> bool:
    """MES-FEAT-05: four five-minute buckets have begun since the segment's first, and 30 s passed since the anchor."""
    return state.fives >= WARM_BUCKETS and state.second - state.anchor >= ANCHOR_S


@inlined
def _is_finite(out: np.ndarray, at: int) -> bool:
    """Whether all 56 are: infinity or NaN times 0 is NaN."""
    odd = 0
    for i in range(out.shape[1]):
        if out[at, i] * 0.0 != 0.0:
            odd += 1
    return odd == 0


@inlined
def _row(
    state: Record,
    second: int,
    open_tick: int,
    high_tick: int,
    low_tick: int,
    close_tick: int,
    volume: int,
    out: np.ndarray,
    at: int,
) -> int:
    """Observe one second and write its features into row `at`: VALID, COLD (56 NaN) or NOT_FINITE."""
    observe(state, second, open_tick, high_tick, low_tick, close_tick, volume)
    if not is_warm(state):
        for i in range(FEATURE_COUNT):
            out[at, i] = np.nan
        return COLD
    write_vector(state, open_tick, high_tick, low_tick, volume, out, at)
    return VALID if _is_finite(out, at) else NOT_FINITE


@inlined
def _enter(
    state: Record,
    days: np.ndarray,
    second: int,
    open_tick: int,
    high_tick: int,
    low_tick: int,
    close_tick: int,
    volume: int,
    contract: int,
    outage: int,
) -> int:
    """Make the state ready for this print, in its segment: VALID, or a fault that leaves the state as it was."""
    verdict = bar_verdict(state, second, open_tick, high_tick, low_tick, close_tick, volume)
    if verdict != VALID:
        return verdict
    if begins_segment(state, second, contract, outage):
        if enter_day(state, days, second) != VALID:
            return OUTSIDE
        begin_segment(state, second, contract)
    state.print_second = second
    return VALID


# From Python, an array and an index: numba looks a record's type up anew on each call, which costs 6 us.


@njit(cache=True)
def due(states: np.ndarray, which: int, until_second: int) -> bool:
    """Whether `carry` comes before anything at `until_second`: a second of states[which] before it had no print."""
    return carries(states[which], until_second)


@njit(cache=True)
def carry(states: np.ndarray, which: int, out: np.ndarray, at: int) -> int:
    """The row of the second after the newest one of states[which], which had no print; only while `due`.

    Writes row `at` of `out` (n, 56) float64.  Returns VALID or COLD, or the fault NOT_FINITE.
    """
    state = states[which]
    close = state.close_tick
    return _row(state, state.second + 1, close, close, close, close, 0, out, at)


@njit(cache=True)
def add(
    states: np.ndarray,
    which: int,
    days: np.ndarray,
    second: int,
    open_tick: int,
    high_tick: int,
    low_tick: int,
    close_tick: int,
    volume: int,
    contract: int,
    outage: int,
    out: np.ndarray,
    at: int,
) -> int:
    """The row of a printed bar.  `days`: (n,) BAR_DAY that cover it; the bar as in `records.Bars`.

    Writes row `at` of `out` (n, 56) float64.  Returns VALID or COLD, or a fault (records.FAULTS): then no row was made.
    """
    state = states[which]
    verdict = _enter(state, days, second, open_tick, high_tick, low_tick, close_tick, volume, contract, outage)
    if verdict != VALID:
        return verdict
    return _row(state, second, open_tick, high_tick, low_tick, close_tick, volume, out, at)


@njit(cache=True, nogil=True)
def batch(
    states: np.ndarray, labels: np.ndarray, which: int, days: np.ndarray, bars: Bars, first: int, out: Rows, until: int
) -> tuple[int, int, int, int]:
    """Bars of states[which] from index `first` on → rows and labels, until the bars end or `out` is full.

    `until`: second of the print that follows these bars, when it is known: the seconds before it are carried, too;
    NO_TIME where it is not.

    Returns (next bar, rows written, labels written, verdict): VALID, or the fault of the bar at `next bar`, with the
    rows before it written.  Labels come LABEL_S rows after their rows, in the order of the rows (`labels`).
    """
    state, label = states[which], labels[which]
    # taken out of their tuples once: in the loop each would be counted in and out anew
    seconds, opens, highs, lows, closes, volumes, contracts, outages = bars
    row_seconds, marks, features, row_labels = out
    at, labelled = 0, 0
    i = first
    while at < len(row_seconds):
        bar = i
        mark = 0
        second = seconds[i] if i < len(seconds) else until
        if carries(state, second):
            mark = ROW_CARRIED
            second = state.second + 1
            open_tick = high_tick = low_tick = close_tick = state.close_tick
            volume = 0
        elif i == len(seconds):
            break
        else:
            open_tick, high_tick, low_tick = opens[i], highs[i], lows[i]
            close_tick, volume = closes[i], volumes[i]
            verdict = _enter(
                state, days, second, open_tick, high_tick, low_tick, close_tick, volume, contracts[i], outages[i]
            )
            if verdict != VALID:
                return bar, at, labelled, verdict
            i += 1
        verdict = _row(state, second, open_tick, high_tick, low_tick, close_tick, volume, features, at)
        if verdict < 0:
            return bar, at, labelled, verdict
        begins = state.row == 0
        row_seconds[at] = second
        marks[at] = mark | (ROW_SEGMENT if begins else 0) | (ROW_VALID if verdict == VALID else 0)
        labelled = label_row(label, begins, close_tick, row_labels, labelled)
        at += 1
    return i, at, labelled, VALID
