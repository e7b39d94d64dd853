"""What the feed loop sees of itself: how long a book takes from the tape into ring and engine.

Stage `book` of LATENCY (MOEX-MON-04), of shares alone.  A batch's time is shared by the books in it: of a backlog each
one costs what it costs, and a Redis that is slow for a single book is seen.  On a tape nothing is measured.  Used by
the feed loop alone.
"""

import numpy as np

from marketdata.core.records import new_events
from risk.core.records import MES
from trading.run.clock import SessionClock, boot_ns
from trading.run.spec import SessionSpec, watch_of
from trading.run.telling.conditions import Conditions
from trading.run.telling.stages import Stages

LOOK_NS = 250_000_000  # boot clock
_NOTHING = new_events(0)


class BookWatch:
    """One holding of the feed loop."""

    def __init__(self, spec: SessionSpec) -> None:
        self._conditions = Conditions(spec.limits.get("rules", MES))
        self._watched = self._conditions.knows("LATENCY")
        self._stages = Stages(self._conditions, watch_of(spec), "feed")
        self._next_ns = 0

    def took(self, ns: int, books: int, clock: SessionClock) -> None:
        """A batch with so many books."""
        if self._watched and books > 0 and not clock.tape:
            self._stages.sample("book", ns // books, clock.now())

    def due(self, clock: SessionClock) -> np.ndarray:
        """CONDITION EVENTs (n,) that the ring has not heard, or not for long; they count as heard."""
        boot, now_ns = boot_ns(), clock.now()
        if not self._watched or boot < self._next_ns or clock.tape:
            return _NOTHING
        self._next_ns = boot + LOOK_NS
        self._stages.begin(now_ns, "book")
        self._stages.look(now_ns)
        events = self._conditions.due(now_ns, boot)
        self._conditions.note(events, boot)
        return events

    def shown(self) -> dict[str, object]:
        """Figures for the loop's beat."""
        return self._stages.shown()
