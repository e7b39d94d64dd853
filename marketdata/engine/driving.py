"""A feed's tape through the live data engine: events in order, a second of the engine at each whole second.

The same tape gives the same engine, however it is cut into batches: time is the events' and nothing else.  Where a feed
has no minute candles they are made from its one-second bars.  Called by whoever owns a feed and an engine.
"""

from collections.abc import Callable

import numpy as np

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

    def bootstrap(self, events: np.ndarray) -> int:
        """The candles of a feed's back-fill (MOEX-DATA-12); how many."""
        return sum(self._bar(event) for event in events[events["kind"] == BAR])

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
                event = events[at]
                data.trade(which, ts_ns, int(event["price_tick"]), int(event["qty"]), int(event["side"]))
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
        """Something is missing: nothing of what was before counts but the baselines (MOEX-DATA-15)."""
        self.gaps += 1
        self.data.resync()
        self._candles.gap()

    def _bar(self, event: np.void) -> int:
        which = int(event["instrument"])
        found = self._candles.take(event)
        return sum(self.data.candle(which, *candle) for candle in found)
