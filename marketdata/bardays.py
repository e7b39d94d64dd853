"""The bar features' clock, asked for as the data goes on: BAR_DAYs of a stretch at a time, however long the data is.

Calendars know local time, features know integers; this stands between them.  It also says which bars lie in a session
and which trading day they belong to.  Called by whoever feeds the bar features: training, the inference loop.
"""

from datetime import UTC, date, datetime, timedelta

import numpy as np

from marketdata.calendars import bar_days
from marketdata.core.barfeatures.records import BAR_DAY
from marketdata.core.units import NANOS

BEFORE, AHEAD = timedelta(days=10), timedelta(days=120)
MARGIN = timedelta(days=5)  # a second's trading day may begin or end that far from its date: weekends, holidays


def _date(second: int) -> date:
    return datetime.fromtimestamp(second, UTC).date()


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


class BarDays:
    """CME sessions around the seconds that were asked for last; `days`: (n,) BAR_DAY, sorted."""

    def __init__(self) -> None:
        self.days = np.zeros(0, BAR_DAY)
        self._from_s = self._until_s = 0

    def cover(self, first_s: int, last_s: int) -> np.ndarray:
        """(n,) BAR_DAY of every session that touches [first_s, last_s], seconds UTC.  Raises CalendarError."""
        if not (self._from_s <= first_s and last_s < self._until_s):
            first, last = _date(first_s) - BEFORE, _date(last_s) + AHEAD
            self.days = bar_days(first, last)
            self._from_s, self._until_s = _midnight(first + MARGIN), _midnight(last - MARGIN)
        return self.days

    def places(self, seconds: np.ndarray) -> np.ndarray:
        """Sorted seconds UTC (n,) → (n,) int64, index in `days` of the session that each lies in, -1 for none."""
        if not seconds.size:
            return np.zeros(0, np.int64)
        days = self.cover(int(seconds[0]), int(seconds[-1]))
        places = np.full(seconds.size, -1)
        begins, ends = np.searchsorted(seconds, days["open_s"]), np.searchsorted(seconds, days["close_s"])
        for k in np.flatnonzero(ends > begins).tolist():  # days are few, seconds are many
            places[begins[k] : ends[k]] = k
        return places

    def inside(self, start_ns: np.ndarray) -> np.ndarray:
        """Sorted starts, ns UTC (n,) → (n,) bool: within a session (MES-DATA-03, rule 9)."""
        inside: np.ndarray = self.places(start_ns // NANOS) >= 0
        return inside
