"""Which part of a UTC day is drawn, and in slices of what length: a picture has at most so many points.

Pure.  Called by `store.days` and the data pages.
"""

from datetime import date
from typing import NamedTuple

from marketdata.core.units import NANOS
from marketdata.store.coverage import day_start

STEPS_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 14_400, 28_800, 86_400)
POINTS_MAX = 1500
DAY_MINUTES = 1440
MINUTE_NS = 60 * NANOS


class Span(NamedTuple):
    """[begin, end) in ns UTC, in slices of `step`; the last one may be shorter."""

    begin_ns: int
    end_ns: int
    step_ns: int

    @property
    def slices(self) -> int:
        """How many slices."""
        return -(-(self.end_ns - self.begin_ns) // self.step_ns)

    def time_s(self, at: int) -> int:
        """Where the slice of this number begins, s UTC."""
        return (self.begin_ns + at * self.step_ns) // NANOS


def span_of(day: date, first: int = 0, last: int = DAY_MINUTES, bar_ns: int = 0) -> Span:
    """Minutes [first, last) of a UTC day.  A slice holds whole bars of `bar_ns`; 0: of events."""
    first = min(max(first, 0), DAY_MINUTES - 1)
    last = min(max(last, first + 1), DAY_MINUTES)
    begin = day_start(day)
    length = (last - first) * MINUTE_NS
    fitting = (step * NANOS for step in STEPS_S if step * NANOS * POINTS_MAX >= length)
    step = next((step for step in fitting if step >= bar_ns and (not bar_ns or step % bar_ns == 0)), bar_ns)
    return Span(begin + first * MINUTE_NS, begin + last * MINUTE_NS, step)
