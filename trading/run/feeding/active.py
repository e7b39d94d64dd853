"""Which instruments may be scored: those that the feed's engine tells ACTIVE (MOEX-DATA-05); without one, all.

Called by the inference loop with every entry of the market stream, those that only warm it up included: so a new holder
knows what the one before knew.  Until the engine was heard nothing is active.
"""

import numpy as np

from marketdata.core.universe.records import ACTIVE
from marketdata.engine.telling import states_of


class ActiveSet:
    """`watched`: an engine tells who is active."""

    def __init__(self, count: int, watched: bool) -> None:
        self._active = [not watched] * count
        self._watched = watched

    def note(self, events: np.ndarray) -> None:
        """Follow EVENTs in order."""
        if not self._watched:
            return
        for which, state in states_of(events):
            if 0 <= which < len(self._active):
                self._active[which] = state == ACTIVE

    def has(self, which: int) -> bool:
        """Whether this instrument may be scored."""
        return self._active[which]

    def count(self) -> int:
        """How many may be."""
        return sum(self._active)
