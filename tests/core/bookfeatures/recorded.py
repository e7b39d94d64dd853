"""Recorded books as tapes: a future's orders, level changes of three markets, a share's orders; with their trades.

Candles are made from the trades of the recording, and come at the first event after their end.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.core import tape as vendor
from marketdata.core.bars import bars_of, new_bars
from marketdata.core.bookfeatures.records import Tape, no_markets
from marketdata.core.bookfeatures.schema import CANDLE_NS
from marketdata.core.depth import grow_levels, grow_orders, new_book
from marketdata.core.records import BAR, BOOK, FLAG_CARRIED, NO_TICK, TRADE, new_depths, new_events
from marketdata.feeds.dbn import DbnReader
from tests.core.bookfeatures.kit import cut
from tests.core.bookfeatures.oracle import Book, Candle, Event, Trade
from tests.core.books.recordings import COIN, SPOT, USD, Grid, binance, lobster
from tests.core.books.run import Made, Parts, through_l2, through_orders


class Recorded(NamedTuple):
    """A recording as a tape, and how much of it the slow oracle looks at."""

    tape: Tape
    tick_nanos: int
    sessions: list[tuple[int, int]]
    least: int  # books
    first: int  # events that the oracle reads
    every: int  # it computes each so manieth book
    compared: int

    def head(self, count: int) -> Tape:
        return cut(self.tape, 0, count)

    def events(self) -> list[Event]:
        """The first events for the oracle."""
        found: list[Event] = []
        tape = self.tape
        for i in range(min(self.first, len(tape.events))):
            event = tape.events[i]
            if event.kind == BOOK:
                depth = tape.depths[tape.depth_of[i]]
                sides = []
                for tick, qty in (("bid_tick", "bid_qty"), ("ask_tick", "ask_qty")):
                    pairs = zip(depth[tick].tolist(), depth[qty].tolist(), strict=True)
                    sides.append(tuple(pair for pair in pairs if pair[0] != NO_TICK))
                found.append(Book(int(event.ts_ns), int(event.ts_venue_ns), *sides))
            elif event.kind == TRADE:
                found.append(Trade(int(event.ts_ns), int(event.price_tick), int(event.qty), int(event.side)))
            elif event.kind == BAR and event.value == CANDLE_NS and event["flags"] == 0:
                start = int(event.ts_venue_ns) - CANDLE_NS
                found.append(Candle(start, int(event.high_tick), int(event.low_tick), int(event.close_tick)))
        return found


def with_candles(made: Made) -> Tape:
    """The run's events with one-minute candles of its trades between them."""
    bars = new_events(2_000)
    done, count = bars_of(new_bars(1), made.events, 0, CANDLE_NS, bars)
    assert done == len(made.events)
    bars = bars[:count]
    places = np.searchsorted(made.events["ts_ns"], bars["ts_venue_ns"], side="left")
    assert (np.diff(made.events["ts_ns"]) >= 0).all() and (bars["flags"] & ~FLAG_CARRIED == 0).all()
    events = np.insert(made.events, places, bars)
    depth_of = np.insert(made.depth_of, places, -1).astype(np.int32)
    return Tape(events, made.depths, depth_of, no_markets(), np.full(len(events), -1, np.int32))


def session_of(tape: Tape) -> list[tuple[int, int]]:
    first, last = int(tape.events["ts_ns"][0]), int(tape.events["ts_ns"][-1])
    return [(first - 60 * 10**9, (first + last) // 2), ((first + last) // 2 + 10**9, last + 10**9)]


@cache
def es_orders(folder: Path) -> Recorded:
    """ESH4 of 2023-12-25 from 22:00 to 23:30: one-sided, crossed before the open, then a quiet market."""
    records = DbnReader(folder / "cme_es_mbo" / "esh4_20231225_to2330.mbo.dbn.zst", "mbo").read(100_000)
    tape, book, parts, k = vendor.new_tape({17077: 0}, [250_000_000]), new_book(1), Parts(1 << 15), 0
    while k < len(records):
        room = parts.fresh()
        k, count, books, why = vendor.mbo_events(tape, book, records, k, *room)
        parts.keep(*room, count, books)
        if why == vendor.GROW_ORDERS:
            book = grow_orders(book)
        elif why == vendor.GROW_LEVELS:
            book = grow_levels(book)
    made = with_candles(parts.whole())
    return Recorded(made, 250_000_000, session_of(made), 20_000, 1 << 20, 61, 300)


def level_changes(folder: Path, grid: Grid, lines: int, least: int) -> Recorded:
    recorded = binance(folder, grid, lines)
    made, _ = through_l2(recorded.messages, recorded.changes, 1 << 14)
    tape = with_candles(made)
    return Recorded(tape, grid.tick_nanos, session_of(tape), least, 5_000, 13, 50)


@cache
def coin_changes(folder: Path) -> Recorded:
    """BTCUSD_PERP: a book every twenty milliseconds."""
    return level_changes(folder, COIN, 20_000, 7_000)


@cache
def usd_changes(folder: Path) -> Recorded:
    """BTCUSDT perpetual: many trades between the books."""
    return level_changes(folder, USD, 12_000, 700)


@cache
def spot_changes(folder: Path) -> Recorded:
    """BTCUSDT spot: a book each 100 ms."""
    return level_changes(folder, SPOT, 20_000, 1_000)


@cache
def share_orders(folder: Path) -> Recorded:
    """AAPL, the first seconds of 2012-06-21."""
    recorded = lobster(folder)
    made, _, _ = through_orders(recorded.messages, recorded.before)
    tape = with_candles(made)
    depths = new_depths(len(tape.depths))
    depths[:] = tape.depths
    return Recorded(tape._replace(depths=depths), 10_000_000, session_of(tape), 800, 1 << 20, 5, 100)


RECORDED: list[Callable[[Path], Recorded]] = [es_orders, coin_changes, usd_changes, spot_changes, share_orders]
