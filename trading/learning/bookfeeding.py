"""The 88 book features of every instrument for the inference loop: each accepted book moves them (MOEX-FEAT).

The same compiled step as in batch and in the feed's engine.  Market indicators come as METRIC events, as whole numbers,
so a replay of the same stream gives the same vectors to the bit; candles come from the feed, or of its one-second bars.
Back-fill makes candles alone.  Called by the inference loop.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from marketdata.core.bookfeatures import stream
from marketdata.core.bookfeatures.records import VALID, new_book_states, no_intervals
from marketdata.core.bookfeatures.schema import FEATURE_COUNT
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import (
    BAR,
    BOOK,
    FEED,
    FEED_DOWN,
    FEED_GAP,
    FLAG_BACKFILL,
    FLAG_INVALID,
    METRIC,
    NO_TIME,
    TRADE,
    new_depths,
)
from marketdata.engine.candles import Candles
from marketdata.engine.telling import indicators

THROTTLE_NS = 100_000_000  # by the venue's time, as `scoring` has it
CANDLES = ("candles", "candle_ns", "candle_ret")  # all that a reset takes of them
BOOKS_MIN = 10  # HISTORY_SHORT of MOEX-RISK-08


class BookFeeding:
    """See feeding.Feeding."""

    keeps_history = True  # of the journal: its bars are the candles of the session so far

    def __init__(self, symbols: Sequence[str]) -> None:
        self.counts: Counter[str] = Counter()
        self.states = new_book_states([INSTRUMENTS[symbol].tick_nanos for symbol in symbols])
        self._count = len(self.states)
        self._row = np.full((1, FEATURE_COUNT), np.nan)
        self.vector = self._row[0]
        self._intervals = no_intervals()
        self._candles = Candles(self._count)
        self._scored_ns = [NO_TIME] * self._count
        for which in range(self._count):
            stream.reset(self.states, which)

    def moments(self, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray) -> Iterator[int]:
        """See Feeding."""
        own = depths.copy() if len(depths) > 0 else new_depths(1)  # jitted code is compiled for writable arrays
        columns = ("kind", "instrument", "ts_ns", "ts_venue_ns", "flags")
        rows = zip(*(events[name].tolist() for name in columns), depth_of.tolist(), strict=True)
        for index, (kind, which, ts_ns, venue_ns, flags, row) in enumerate(rows):
            if kind == BOOK and row >= 0 and 0 <= which < self._count:
                if flags & FLAG_BACKFILL == 0 and self._book(which, own, row, ts_ns, venue_ns, flags):
                    yield index
            elif kind == TRADE and 0 <= which < self._count and flags & FLAG_BACKFILL == 0:
                e = events[index]
                tick, lots, side = int(e["price_tick"]), int(e["qty"]), int(e["side"])
                stream.add_trade(self.states, which, ts_ns, tick, lots, side)
            elif kind == BAR:
                self._bar(events[index])
            elif kind == METRIC:
                self._market(events[index])
            elif kind == FEED and int(events["code"][index]) in (FEED_GAP, FEED_DOWN):
                for which in range(self._count):
                    stream.reset(self.states, which)
                self._candles.gap()

    def step_ns(self, which: int) -> int:
        """See Feeding: a vector belongs to a book, not to a grid."""
        return 0

    def mid2(self, which: int) -> int:
        """See Feeding."""
        return int(self.states["mid2"][which])

    def missed(self) -> None:
        """What was before is not continued: windows and the book before begin anew; candles stay."""
        for which in range(self._count):
            kept = [self.states[name][which].copy() for name in CANDLES]
            stream.reset(self.states, which)
            for name, value in zip(CANDLES, kept, strict=True):
                self.states[name][which] = value

    def warm(self) -> int:
        """Instruments with books enough for a signal."""
        return int((self.states["books"] >= BOOKS_MIN).sum())

    def _book(self, which: int, depths: np.ndarray, row: int, ts_ns: int, venue_ns: int, flags: int) -> bool:
        """Move one instrument by one book; whether its row is to be scored."""
        made = stream.add_book(self.states, which, depths, row, ts_ns, venue_ns, self._intervals, self._row, 0)
        if made != VALID:
            self.counts["refused_books"] += 1
            return False
        last = self._scored_ns[which]
        if flags & FLAG_INVALID or (last != NO_TIME and venue_ns - last < THROTTLE_NS):
            return False
        if self.states["books"][which] < BOOKS_MIN:
            return False
        self._scored_ns[which] = venue_ns
        return True

    def _bar(self, event: np.void) -> None:
        which = int(event["instrument"])
        for candle in self._candles.take(event):
            stream.add_candle(self.states, which, *candle)

    def _market(self, event: np.void) -> None:
        told = indicators(event)
        if told is not None:
            known = int(told.known)
            stream.set_market(self.states, told.ts_ns, known, told.volatility, told.liquidity, told.market_index)


def rehearse() -> None:
    """Compile (or load) what the first book of a session needs."""
    states, row = new_book_states([10_000_000]), np.zeros((1, FEATURE_COUNT))
    stream.reset(states, 0)
    stream.add_trade(states, 0, 1, 1, 1, 1)
    stream.add_candle(states, 0, 0, 1, 1, 1)
    stream.set_market(states, 1, 0, 0.0, 0.0, 0.0)
    stream.add_book(states, 0, new_depths(1), 0, 1, 1, no_intervals(), row, 0)
