"""Labels by the clock, LABEL_S seconds late (MES-LABEL-01, -02): where the close went, within one segment's grid.

A row waits until the row LABEL_S seconds later is made; where its segment ends before, it has no label.  Inside a
segment every second is a row, so seconds are counted in rows.  No feature reads a label.  Called by `stream.batch`.
"""

from typing import Any

import numpy as np
from numba import njit

from marketdata.core.barfeatures.schema import LABEL_S, LABEL_TICKS
from marketdata.core.compiled import inlined

Record = Any  # one record of LABEL_STATE: the type checker cannot know its fields
DOWN, FLAT, UP, NO_LABEL = 0, 1, 2, -1
RING = 32  # a power of two above LABEL_S

LABEL_STATE = np.dtype(
    (
        np.record,
        [
            ("rows", "<i8"),  # made
            ("labelled", "<i8"),  # of them, the oldest ones
            ("close_ring", "<i8", (RING,)),  # by row & (RING - 1)
        ],
    )
)


def new_label_states(count: int) -> np.ndarray:
    """(count,) LABEL_STATE without a row."""
    return np.zeros(count, LABEL_STATE)


@njit(cache=True)
def flush(state: Record, out: np.ndarray, at: int) -> int:
    """The rows that wait get NO_LABEL: their segment, or the data, is over.  Returns the next free index of `out`."""
    while state.labelled < state.rows:
        out[at] = NO_LABEL
        state.labelled += 1
        at += 1
    return at


@inlined
def label_row(state: Record, begins: bool, close_tick: int, out: np.ndarray, at: int) -> int:
    """Count a row; write the labels that this decides into `out` from index `at`; returns the next free index."""
    if begins:
        at = flush(state, out, at)
    state.close_ring[state.rows & (RING - 1)] = close_tick
    state.rows += 1
    if state.rows - state.labelled > LABEL_S:
        move = close_tick - state.close_ring[state.labelled & (RING - 1)]
        out[at] = UP if move > LABEL_TICKS else (DOWN if move < -LABEL_TICKS else FLAT)
        state.labelled += 1
        at += 1
    return at
