"""One-second bars → the one-minute candles of MOEX-TERM-02, where a feed brings no candles of its own.

A minute counts when it was watched from its first second on and had a print.  Bars come in order, from back-fill, tape
or journal alike; one that was there already changes nothing, so whoever starts anew may be told the past again.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.records import BAR, FLAG_CARRIED, NO_TICK, NO_TIME
from marketdata.core.units import NANOS

MINUTE_NS = 60 * NANOS


class Candle(NamedTuple):
    """A closed minute, prices in ticks."""

    start_ns: int
    high_tick: int
    low_tick: int
    close_tick: int


class _Minute:
    """The minute in progress of one instrument."""

    def __init__(self) -> None:
        self.first_ns = NO_TIME  # start of the first bar that was ever seen: what lies before was not watched
        self.end_ns = NO_TIME  # of the newest bar
        self.reset(NO_TIME)

    def reset(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self.high = self.low = self.close = NO_TICK


class Candles:
    """Candles of `count` instruments."""

    def __init__(self, count: int) -> None:
        self._minutes = [_Minute() for _ in range(count)]

    def gap(self) -> None:
        """What lies between the bars before and the next one is unknown: the minute in progress does not count."""
        for minute in self._minutes:
            minute.first_ns = NO_TIME
            minute.reset(NO_TIME)

    def take(self, event: np.void) -> list[Candle]:
        """One BAR of EVENT; the minutes that it closes, at most two: the one that it follows, and its own."""
        which, bar_ns, end_ns = int(event["instrument"]), int(event["value"]), int(event["ts_venue_ns"])
        if not 0 <= which < len(self._minutes) or int(event["kind"]) != BAR:
            return []
        ticks = tuple(int(event[name]) for name in ("high_tick", "low_tick", "close_tick"))
        if bar_ns == MINUTE_NS:
            printed = not int(event["flags"]) & FLAG_CARRIED
            return [Candle(end_ns - MINUTE_NS, *ticks)] if printed else []
        if not 0 < bar_ns < MINUTE_NS or MINUTE_NS % bar_ns:
            return []
        printed = not int(event["flags"]) & FLAG_CARRIED and ticks[2] != NO_TICK
        return self._second(self._minutes[which], end_ns - bar_ns, end_ns, ticks if printed else None)

    def _second(self, minute: _Minute, start_ns: int, end_ns: int, ticks: tuple[int, ...] | None) -> list[Candle]:
        if minute.end_ns != NO_TIME and end_ns <= minute.end_ns:
            return []
        minute.end_ns = end_ns
        if minute.first_ns == NO_TIME:
            minute.first_ns = start_ns
        found = []
        begins = start_ns - start_ns % MINUTE_NS
        if minute.start_ns != begins:
            found += _closed(minute)
            minute.reset(begins)
        if ticks is not None:
            high, low, close = ticks
            minute.high = high if minute.high == NO_TICK else max(minute.high, high)
            minute.low = low if minute.low == NO_TICK else min(minute.low, low)
            minute.close = close
        if end_ns == begins + MINUTE_NS:
            found += _closed(minute)
            minute.reset(end_ns)
        return found


def _closed(minute: _Minute) -> list[Candle]:
    watched = minute.start_ns != NO_TIME and minute.start_ns >= minute.first_ns
    if not watched or minute.close == NO_TICK:
        return []
    return [Candle(minute.start_ns, minute.high, minute.low, minute.close)]
