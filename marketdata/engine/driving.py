"""A feed's tape through the live data engine: events in order, a second of the engine at each whole second.

The same tape gives the same engine, however it is cut into batches: time is the events' and nothing else.  Where a feed
has no minute candles they are made from its one-second bars.  Called by whoever owns a feed and an engine.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np

from marketdata.core.bookfeatures.records import VALID
from marketdata.core.records import (
    BAR,
    BOOK,
    FEED,
    FEED_DOWN,
    FEED_GAP,
    FLAG_BACKFILL,
    STATUS,
    STATUS_OPEN,
    TRADE,
)
from marketdata.core.universe.records import SECOND_NS
from marketdata.engine.candles import Candles
from marketdata.engine.live import LiveData, News
from marketdata.feeds.port import Batch

SECONDS_MAX = 600  # lived one by one at a time; of a longer silence the rest is passed over


class Driver:
    """Feeds `data`; instrument i of the tape is its instrument i.  `on_second` is called after each second.

    Attributes: second (the last whole one that the engine lived, None before the first), gaps (how often the tape said
    that something is missing).
    """

    def __init__(self, data: LiveData, on_second: Callable[[int], None] = lambda moment: None) -> None:
        self.data, self._on_second = data, on_second
        self.second: int | None = None
        self.gaps = 0
        self._candles = Candles(len(data.symbols))

    def bootstrap(self, batch: Batch) -> Counter[str]:
        """A feed's back-fill into the rings, at the times it tells (MOEX-DATA-12); how many of each it had.

        Metrics and states begin with the first live second; nobody is ready by a book of the past.
        """
        events, data, count, found = batch.events, self.data, len(self.data.symbols), Counter[str]()
        columns = (events["kind"], events["instrument"], events["ts_venue_ns"], batch.depth_of)
        for at, (kind, which, venue_ns, row) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            if kind == BAR:
                found["candles"] += self._bar(events[at])
            elif kind == BOOK and row >= 0 and 0 <= which < count:
                found["old_books"] += data.book(which, batch.depths, row, venue_ns, venue_ns) == VALID
            elif kind == TRADE and 0 <= which < count:
                found["old_trades"] += self._trade(which, venue_ns, events[at])
        data.history_ends()
        return found

    def feed(self, batch: Batch) -> list[tuple[int, News]]:
        """Every event of a batch; what the universe did, each with the time of it."""
        done: list[tuple[int, News]] = []
        events, data, count = batch.events, self.data, len(self.data.symbols)
        columns = (events["kind"], events["instrument"], events["ts_ns"], events["ts_venue_ns"], batch.depth_of)
        for at, (kind, which, ts_ns, venue_ns, row) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            if self.second is None or ts_ns >= (self.second + 1) * SECOND_NS:
                done += self.until(ts_ns)
            if kind == BOOK and row >= 0 and 0 <= which < count:
                data.book(which, batch.depths, row, ts_ns, venue_ns)
            elif kind == TRADE and 0 <= which < count:
                self._trade(which, ts_ns, events[at])
                continue
            elif not self._other(events[at], kind, which, count):
                continue
            if data.joining:
                done += [(ts_ns, news) for news in data.settle(ts_ns)]
        return done

    def until(self, now_ns: int) -> list[tuple[int, News]]:
        """Live the whole seconds up to `now_ns`, that one included; the first call sets the clock."""
        second = now_ns // SECOND_NS
        if self.second is None:
            self.second = second
        done = []
        self.second = max(self.second, second - SECONDS_MAX)
        while self.second < second:
            self.second += 1
            moment = self.second * SECOND_NS
            done += [(moment, news) for news in self.data.second(moment)]
            self._on_second(moment)
        return done

    def _other(self, event: np.void, kind: int, which: int, count: int) -> bool:
        """A bar, a status, or what the feed says of itself.  Whether somebody may be ready by it."""
        if kind == BAR:
            self._bar(event)
        elif kind == STATUS and 0 <= which < count and not int(event["flags"]) & FLAG_BACKFILL:
            self.data.set_trading(which, int(event["code"]) == STATUS_OPEN)
            return True
        elif kind == FEED and int(event["code"]) in (FEED_GAP, FEED_DOWN):
            self.gap()
        return False

    def gap(self) -> None:
        """Something is missing: nothing of what was before counts but the baselines, and the minutes that were closed
        by then: a tape has no other history of now (MOEX-DATA-15)."""
        self.gaps += 1
        self.data.resync()
        self.data.refill()
        self._candles.gap()

    def _trade(self, which: int, ts_ns: int, event: np.void) -> bool:
        return self.data.trade(which, ts_ns, int(event["price_tick"]), int(event["qty"]), int(event["side"]))

    def _bar(self, event: np.void) -> int:
        which = int(event["instrument"])
        found = self._candles.take(event)
        return sum(self.data.candle(which, *candle) for candle in found)
