"""What happened in each slice of a span: candles from bars, best prices and spread from books.  Pure, bounded by the
number of slices; blocks come in order of time and are used once.

Called by the readers of the three kinds of stored data.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.records import NO_TICK
from marketdata.core.units import NANOS
from marketdata.store.days.rows import NO_LOW, merged, of_books
from marketdata.store.days.span import Span


class Candles(NamedTuple):
    """(n,) each: number of the slice, in order; then ticks (n, 4) open, high, low, close; lots.  Slices without a bar
    are left out."""

    at: np.ndarray
    ticks: np.ndarray
    volume: np.ndarray


class Quotes(NamedTuple):
    """(n,) each, n slices of the span: best prices at the slice's end in ticks (NO_TICK: none, or none that is valid),
    the widest spread of it in ticks (NO_TICK: none), books, how many of them were not valid, and in ticks the lowest
    bid and the highest ask of its books (what stands where it has none; NO_TICK: none)."""

    bid: np.ndarray
    ask: np.ndarray
    widest: np.ndarray
    books: np.ndarray
    invalid: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray


NO_CANDLES = Candles(np.zeros(0, np.int64), np.zeros((0, 4), np.int64), np.zeros(0, np.int64))


def candles(span: Span, start_ns: np.ndarray, ticks: np.ndarray, volume: np.ndarray) -> Candles:
    """Bars in order, (n,), (n, 4), (n,), of which those inside the span count → candles."""
    inside = slice(*np.searchsorted(start_ns, [span.begin_ns, span.end_ns]).tolist())
    start_ns, ticks, volume = start_ns[inside], ticks[inside], volume[inside]
    if not start_ns.size:
        return NO_CANDLES
    at, first = np.unique((start_ns - span.begin_ns) // span.step_ns, return_index=True)
    last = np.append(first[1:], start_ns.size) - 1
    columns = (
        ticks[first, 0],
        np.maximum.reduceat(ticks[:, 1], first),
        np.minimum.reduceat(ticks[:, 2], first),
        ticks[last, 3],
    )
    return Candles(at, np.stack(columns, axis=1), np.add.reduceat(volume, first))


class QuoteSlices:
    """Takes books, or the seconds of books, in order of time.  What stood before the span stands at its begin; a slice
    without a book has the one before, up to the last event of the data."""

    def __init__(self, span: Span) -> None:
        self._span = span
        n = span.slices
        self._bid, self._ask = np.full(n, NO_TICK, np.int64), np.full(n, NO_TICK, np.int64)
        self._widest, self._highest = np.full(n, NO_TICK, np.int64), np.full(n, NO_TICK, np.int64)
        self._lowest = np.full(n, NO_LOW, np.int64)
        self._books, self._invalid = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self._before = NO_TICK, NO_TICK
        self._until = 0  # slices that the data reach into

    def see(self, ts_ns: np.ndarray, bid: np.ndarray, ask: np.ndarray, valid: np.ndarray) -> None:
        """(n,) each: times in order, best ticks or NO_TICK, and whether the book is valid."""
        first, end = np.searchsorted(ts_ns, [self._span.begin_ns, self._span.end_ns]).tolist()
        if first:
            stood = (bid[first - 1], ask[first - 1]) if valid[first - 1] else (NO_TICK, NO_TICK)
            self._before = int(stood[0]), int(stood[1])
        at = (ts_ns[first:end] - self._span.begin_ns) // self._span.step_ns
        self._put(of_books(at, bid[first:end], ask[first:end], valid[first:end]))

    def see_seconds(self, before: np.ndarray, inside: np.ndarray) -> None:
        """ROWs of seconds: the last one before the span that has a book, (1,) or (0,), and those inside, in order."""
        if before.size:
            self._before = int(before["bid"][0]), int(before["ask"][0])
        rows = inside[inside["books"] > 0].copy()
        rows["at"] = (rows["at"] * NANOS - self._span.begin_ns) // self._span.step_ns
        self._put(merged(rows))

    def _put(self, rows: np.ndarray) -> None:
        """ROWs of different slices, each with a book."""
        here = rows["at"]
        self._bid[here], self._ask[here] = rows["bid"], rows["ask"]
        self._widest[here] = np.maximum(self._widest[here], rows["widest"])
        self._highest[here] = np.maximum(self._highest[here], rows["highest"])
        self._lowest[here] = np.minimum(self._lowest[here], rows["lowest"])
        self._books[here] += rows["books"]
        self._invalid[here] += rows["invalid"]

    def passed(self, ts_ns: int) -> None:
        """The data reach to this time, whatever happened there."""
        reached = (ts_ns - self._span.begin_ns) // self._span.step_ns + 1
        self._until = min(max(self._until, reached), self._span.slices)

    def end(self) -> Quotes:
        """All slices, those without a book filled with what stood before them."""
        places = np.arange(self._span.slices)
        last = np.maximum.accumulate(np.where(self._books > 0, places, -1))
        known = places < self._until
        bid, ask = (
            np.where(known, np.where(last >= 0, column[last], before), NO_TICK)
            for column, before in zip((self._bid, self._ask), self._before, strict=True)
        )
        both = (bid != NO_TICK) & (ask != NO_TICK)
        standing = np.where(both, np.where(both, ask, 0) - np.where(both, bid, 0), NO_TICK)
        some = self._books > 0
        lowest = np.where(some, np.where(self._lowest == NO_LOW, NO_TICK, self._lowest), bid)
        highest = np.where(some, self._highest, ask)
        return Quotes(bid, ask, np.maximum(self._widest, standing), self._books, self._invalid, lowest, highest)
