"""A feed's tape through the live data engine: events in order, a second of the engine at each whole second.

The same tape gives the same engine, however it is cut into batches: time is the events' and nothing else.  Where a feed
has no minute candles (the simulated one) they are made from its trades.  Called by whoever owns a feed and an engine.
"""

import numpy as np

from marketdata.core.bars import add_trade, close_until, new_bars
from marketdata.core.records import BAR, BOOK, FLAG_BACKFILL, FLAG_CARRIED, STATUS, STATUS_OPEN, TRADE, new_events
from marketdata.core.universe.records import MINUTE_NS, SECOND_NS
from marketdata.engine.live import LiveData, News
from marketdata.feeds.port import Batch

ROOM = 16  # bars that one closing may write: more than carried bars last


class Driver:
    """Feeds `data`; instrument i of the tape is its instrument i."""

    def __init__(self, data: LiveData, makes_candles: bool = True) -> None:
        self.data = data
        self._bars = new_bars(len(data.symbols)) if makes_candles else None
        self._room, self._blank = new_events(ROOM), new_events(ROOM)
        self._second: int | None = None  # the last whole second that the engine lived

    def feed(self, batch: Batch) -> list[tuple[int, News]]:
        """Every event of a batch; what the universe did, each with the time of it."""
        done: list[tuple[int, News]] = []
        for at, event in enumerate(batch.events):
            done += self.until(int(event["ts_ns"]))
            self._take(event, batch, at)
            if event["kind"] == BOOK or event["kind"] == STATUS:
                done += [(int(event["ts_ns"]), news) for news in self.data.settle(int(event["ts_ns"]))]
        return done

    def until(self, now_ns: int) -> list[tuple[int, News]]:
        """Live the whole seconds up to `now_ns`, that one included; the first call sets the clock."""
        second = now_ns // SECOND_NS
        if self._second is None:
            self._second = second
        done = []
        while self._second < second:
            self._second += 1
            moment = self._second * SECOND_NS
            self._close_candles(moment)
            done += [(moment, news) for news in self.data.second(moment)]
        return done

    def _take(self, event: np.void, batch: Batch, at: int) -> None:
        which, ts_ns, kind = int(event["instrument"]), int(event["ts_ns"]), int(event["kind"])
        if not 0 <= which < len(self.data.symbols):
            return
        if kind == BOOK and batch.depth_of[at] >= 0:
            self.data.book(which, batch.depths, int(batch.depth_of[at]), ts_ns, int(event["ts_venue_ns"]))
        elif kind == TRADE:
            tick, lots = int(event["price_tick"]), int(event["qty"])
            self.data.trade(which, ts_ns, tick, lots, int(event["side"]))
            if self._bars is not None:
                add_trade(self._bars, which, ts_ns, tick, lots, MINUTE_NS)
        elif kind == BAR and event["value"] == MINUTE_NS and not event["flags"] & FLAG_CARRIED:
            self._candle(event)
        elif kind == STATUS and not event["flags"] & FLAG_BACKFILL:
            self.data.set_trading(which, int(event["code"]) == STATUS_OPEN)

    def _close_candles(self, now_ns: int) -> None:
        if self._bars is None or now_ns % MINUTE_NS:
            return
        for which in range(len(self.data.symbols)):
            self._room[:] = self._blank
            made = close_until(self._bars, which, now_ns, MINUTE_NS, now_ns, self._room, 0)
            for event in self._room[:made]:
                if not event["flags"] & FLAG_CARRIED:
                    self._candle(event)

    def _candle(self, event: np.void) -> None:
        start_ns = int(event["ts_venue_ns"]) - MINUTE_NS
        ticks = (int(event[name]) for name in ("high_tick", "low_tick", "close_tick"))
        self.data.candle(int(event["instrument"]), start_ns, *ticks)
