"""Two trade lists of the common work, compared: how many round trips are the same, and how many begin the same.

Lists are (n, 5) int64 rows of `Trip`, in order of their entries.  Pure; called by `sidebyside`.
"""

from typing import NamedTuple

import numpy as np


class Agreement(NamedTuple):
    """Of `theirs` and `ours` trips: `same` in all five numbers, `begun` with one side at one decision."""

    ours: int
    theirs: int
    same: int
    begun: int

    @property
    def text(self) -> str:
        if self.ours == self.theirs == self.same:
            return f"{self.ours} trades, all the same"
        return f"{self.theirs} trades against {self.ours}: {self.begun} begin the same, {self.same} are the same"


def agreement(ours: np.ndarray, theirs: np.ndarray, start_ns: np.ndarray) -> Agreement:
    """A decision is acted upon at its own bar's close or at the next open: both begin the same way."""
    same = {tuple(row) for row in ours.tolist()} & {tuple(row) for row in theirs.tolist()}
    bars = set(_begins(ours, start_ns))
    begun = sum((bar, side) in bars or (bar + 1, side) in bars for bar, side in _begins(theirs, start_ns))
    return Agreement(len(ours), len(theirs), len(same), begun)


def _begins(trips: np.ndarray, start_ns: np.ndarray) -> list[tuple[int, int]]:
    """(index of the bar that filled the entry, side) of each trip."""
    return list(zip(np.searchsorted(start_ns, trips[:, 0]).tolist(), trips[:, 2].tolist(), strict=True))
