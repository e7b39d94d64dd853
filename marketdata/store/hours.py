"""The exchange's sessions as an import sees them: which bars lie inside (MES-DATA-03, rule 9), where bars are missing.

Sessions come from `marketdata.calendars`, a stretch at a time.  Only CME hours of the past are known; for the others
nothing is put aside and no gap is told.  Called by `marketdata.store.importing`.
"""

import numpy as np

from marketdata.calendars import CalendarError, open_hours
from marketdata.core.records import NO_TIME
from marketdata.core.units import NANOS
from marketdata.feeds.port import FeedError

STRETCH_S = 60 * 86_400  # traded seconds asked for at a time, about a quarter of a year
BEFORE_NS = 7 * 86_400 * NANOS
HOUR_NS = 3600 * NANOS
# Until 2015-09-20 a regular session closed at 17:15 New York; the calendar's library gives today's 17:00 for all years.
OLD_CLOSE_UNTIL_NS, OLD_CLOSE_LATER_NS = 1_442_786_400 * NANOS, 900 * NANOS
REGULAR_CLOSES_NS = (21 * HOUR_NS, 22 * HOUR_NS)  # 17:00 New York as time of the UTC day
GAP_NS = 300 * NANOS  # MES-DBN-09
GAPS_MAX = 10_000  # told one by one


class Hours:
    """Sessions of one calendar, asked for as the data goes on."""

    def __init__(self, calendar: str) -> None:
        self._calendar = calendar
        self._open = np.zeros(0, np.int64)
        self._close = np.zeros(0, np.int64)

    def _cover(self, first_ns: int, last_ns: int) -> None:
        at = int(self._close[-1]) if self._close.size else first_ns - BEFORE_NS
        while not self._close.size or self._close[-1] <= last_ns:
            try:
                found = np.array(open_hours(self._calendar, at, STRETCH_S), np.int64).reshape(-1, 2)
            except CalendarError as error:
                raise FeedError(
                    f"the sessions of this data are not known: {error}; give the option hours=any"
                ) from None
            at = int(found[-1, 1])
            old = (found[:, 1] < OLD_CLOSE_UNTIL_NS) & np.isin(found[:, 1] % (24 * HOUR_NS), REGULAR_CLOSES_NS)
            self._open = np.concatenate((self._open, found[:, 0]))
            self._close = np.concatenate((self._close, found[:, 1] + old * OLD_CLOSE_LATER_NS))

    def inside(self, start_ns: np.ndarray) -> np.ndarray:
        """(n,) sorted starts → (n,) bool: in a session, half-open."""
        if not start_ns.size:
            return np.ones(0, bool)
        self._cover(int(start_ns[0]), int(start_ns[-1]))
        place = np.searchsorted(self._open, start_ns, side="right") - 1
        inside: np.ndarray = (place >= 0) & (start_ns < self._close[place])
        return inside

    def open_ns(self, begin_ns: int, end_ns: int) -> int:
        """Traded time within [begin, end)."""
        self._cover(begin_ns, end_ns)
        spans = np.minimum(self._close, end_ns) - np.maximum(self._open, begin_ns)
        return int(spans[spans > 0].sum())


class Gaps:
    """Stretches within sessions that have no bar for longer than the limit."""

    def __init__(self, hours: Hours | None, found: list[tuple[int, int]] | None = None, end_ns: int = NO_TIME) -> None:
        self._hours = hours
        self.found = [(begin, end) for begin, end in found or []]
        self.end_ns = end_ns  # end of the last bar

    def see(self, start_ns: np.ndarray, bar_ns: int) -> None:
        """The next bars, in order."""
        if self._hours is None or not start_ns.size:
            return
        ends = start_ns + bar_ns
        before = np.concatenate(([self.end_ns if self.end_ns != NO_TIME else start_ns[0]], ends[:-1]))
        for k in np.flatnonzero(start_ns - before > max(GAP_NS, bar_ns)).tolist():
            missing = self._hours.open_ns(int(before[k]), int(start_ns[k]))
            if missing > max(GAP_NS, bar_ns) and len(self.found) < GAPS_MAX:
                self.found.append((int(before[k]), int(start_ns[k])))
        self.end_ns = int(ends[-1])

    def told(self) -> list[tuple[int, int]] | None:
        """The gaps; None where the hours are not known."""
        return None if self._hours is None else self.found
