"""What the market of one share showed, as plain lists: candles, books, trades (MOEX-FEAT-05, MOEX-ROUTE-04).

Nothing is summed ahead: range, mid and pace are computed from the rows when somebody asks.  Prices in ticks, exact.
"""

from fractions import Fraction
from typing import NamedTuple

from marketdata.core import records as m
from tests.oracle.measures.grid import MINUTE, Grid
from tests.oracle.rules.facts import PRICE_MOST, Event, S

RANGES = 5
RING = 30  # books of the history ring (MOEX-DATA-12)
NEAR = 300 * S  # a candle that starts later has no candle before it
PAIR = 60 * S
FRESH = S


class Candle(NamedTuple):
    """One closed minute."""

    start: int
    high: int
    low: int
    close: int


class Book(NamedTuple):
    """The touches of one book; None: a side without a price."""

    ts: int
    bid: int | None
    ask: int | None

    def mid(self) -> Fraction:
        return Fraction((self.bid or 0) + (self.ask or 0), 2)


class Tape:
    """One instrument's."""

    def __init__(self) -> None:
        self.candles: list[Candle] = []
        self.books: list[Book] = []
        self.valid: Book | None = None  # the last one that may price a stop
        self.trades: list[tuple[int, int]] = []  # second, lots

    def note(self, e: Event, grid: Grid) -> None:
        if e.kind == m.BAR:
            self._bar(e, grid)
        elif e.flags & m.FLAG_BACKFILL:
            return
        elif e.kind in (m.QUOTE, m.BOOK):
            self._book(e)
        elif e.kind == m.TRADE and not e.flags & m.FLAG_INVALID and e.qty > 0 and _is_price(e.price):
            self.trades.append((e.ts // S, e.qty))

    def _bar(self, e: Event, grid: Grid) -> None:
        """A bar of a minute is a candle; of shorter ones, the minute that ended whole and with a print."""
        if e.close is None or e.flags & m.FLAG_INVALID or e.value <= 0:
            return
        start = e.venue_ts - e.value
        if e.value == MINUTE:
            if not e.flags & m.FLAG_CARRIED:
                self._candle(Candle(start, e.high, e.low, e.close))
        elif e.value < MINUTE and grid.end is not None and start >= grid.end:
            minute = grid.minutes[-1]
            if start // MINUTE != minute.number and minute.full and grid.printed > minute.number * MINUTE:
                self._candle(Candle(minute.number * MINUTE, max(minute.highs), min(minute.lows), grid.close))

    def _candle(self, candle: Candle) -> None:
        newer = not self.candles or candle.start > self.candles[-1].start
        if newer and 0 < candle.low <= candle.high <= PRICE_MOST:
            self.candles = [*self.candles, candle][-RANGES - 1 :]

    def _book(self, e: Event) -> None:
        bid, ask = (tick if _is_price(tick) else None for tick in (e.bid, e.ask))
        book = Book(e.ts, bid, ask)
        self.books = [*self.books, book][-RING:]
        if bid is not None and ask is not None and bid < ask and not e.flags & m.FLAG_INVALID:
            self.valid = book

    def average_range(self) -> Fraction | None:
        """ATR5 in ticks, by candles, before five of them by pairs of books; None: missing."""
        if len(self.candles) >= RANGES:
            return Fraction(sum(self._true_range(k) for k in range(-RANGES, 0)), RANGES)
        ranges = [found for found in map(_pair_range, self.books, self.books[1:]) if found is not None][-RANGES:]
        return sum(ranges, Fraction(0)) / len(ranges) if ranges else None

    def _true_range(self, k: int) -> int:
        candle = self.candles[k]
        before = self.candles[k - 1] if len(self.candles) >= 1 - k else None
        if before is None or candle.start - before.start > NEAR:
            return candle.high - candle.low
        return max(candle.high, before.close) - min(candle.low, before.close)

    def traded(self, now: int) -> int:
        """Lots of the last 60 s by whole seconds, the present one included."""
        second = now // S
        self.trades = [(at, lots) for at, lots in self.trades if at > second - 60]
        return sum(lots for _, lots in self.trades)


def _is_price(tick: int | None) -> bool:
    return tick is not None and 0 < tick <= PRICE_MOST


def _pair_range(before: Book, book: Book) -> Fraction | None:
    """Range of two books that follow each other; None when they make none."""
    if None in (before.bid, before.ask, book.bid, book.ask) or not 0 <= book.ts - before.ts <= PAIR:
        return None
    assert book.bid is not None and book.ask is not None
    return max(Fraction(book.ask), before.mid()) - min(Fraction(book.bid), before.mid())
