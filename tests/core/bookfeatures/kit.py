"""What these tests share: events as a tape of the product, and the tape through it whole, in chunks, or one by one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from marketdata.core.bookfeatures.engine import BookFeatures
from marketdata.core.bookfeatures.records import INTERVAL, MARKET, Tape
from marketdata.core.bookfeatures.schema import CANDLE_NS, FEATURE_NAMES
from marketdata.core.records import (
    ACCOUNT_SCOPE,
    BAR,
    BOOK,
    FEED,
    FEED_BEAT,
    FEED_GAP,
    FLAG_CARRIED,
    TRADE,
    new_depths,
    new_events,
)
from tests.core.bookfeatures.oracle import Book, Candle, Event, Levels, Market, Reset, Trade

TICK_NANOS = 10_000_000


class Rows(NamedTuple):
    """All rows of a tape, and the state at the end."""

    event: np.ndarray
    verdict: np.ndarray
    features: np.ndarray
    state: bytes

    def column(self, name: str) -> np.ndarray:
        return self.features[:, FEATURE_NAMES.index(name)]


def fill(depths: np.ndarray, at: int, bids: Levels, asks: Levels) -> None:
    for side, names in ((bids, ("bid_tick", "bid_qty")), (asks, ("ask_tick", "ask_qty"))):
        for i, level in enumerate(side):
            depths[names[0]][at, i], depths[names[1]][at, i] = level


def as_tape(events: Sequence[Event]) -> Tape:
    """Events in inbox order → the product's arrays, one EVENT each."""
    n = len(events)
    rows, depths = new_events(n), new_depths(max(1, sum(isinstance(e, Book) for e in events)))
    depth_of, market_of = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    markets = np.zeros(max(1, sum(isinstance(e, Market) for e in events)), MARKET)
    books = known = 0
    for i, event in enumerate(events):
        row = rows[i]
        if isinstance(event, Book):
            row.kind, row.ts_ns, row.ts_venue_ns = BOOK, event.ts, event.venue
            fill(depths, books, event.bids, event.asks)
            depth_of[i] = books
            books += 1
        elif isinstance(event, Trade):
            row.kind, row.ts_ns, row.price_tick, row.qty, row.side = TRADE, event.ts, event.tick, event.lots, event.side
        elif isinstance(event, Candle):
            row.kind, row.value, row.ts_venue_ns = BAR, CANDLE_NS, event.start + CANDLE_NS
            row.high_tick, row.low_tick, row.close_tick = event.high, event.low, event.close
        elif isinstance(event, Market):
            row.kind, row.code, row.instrument = FEED, FEED_BEAT, ACCOUNT_SCOPE
            markets[known] = (event.ts, int(event.known), event.volatility, event.liquidity, event.market_index)
            market_of[i] = known
            known += 1
        else:
            assert isinstance(event, Reset)
            row.kind, row.code, row.instrument = FEED, FEED_GAP, ACCOUNT_SCOPE
    return Tape(rows, depths, depth_of, markets, market_of)


def intervals(sessions: Sequence[tuple[int, int]]) -> np.ndarray:
    return np.array(list(sessions), INTERVAL)


def cut(tape: Tape, start: int, stop: int) -> Tape:
    return tape._replace(
        events=tape.events[start:stop], depth_of=tape.depth_of[start:stop], market_of=tape.market_of[start:stop]
    )


def in_chunks(
    tape: Tape,
    size: int,
    sessions: Sequence[tuple[int, int]] = (),
    block_rows: int = 2048,
    tick_nanos: int = TICK_NANOS,
) -> Rows:
    """The tape cut into pieces of `size` events, through one engine."""
    engine = BookFeatures(tick_nanos, FEATURE_NAMES, intervals(sessions), block_rows)
    parts: list[tuple[np.ndarray, ...]] = []
    for at in range(0, len(tape.events), size):
        for block in engine.blocks(cut(tape, at, at + size)):
            parts.append((block.event + at, block.verdict.copy(), block.features.copy()))
    event, verdict, features = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rows(event, verdict, features, engine.states.tobytes())


def whole(tape: Tape, sessions: Sequence[tuple[int, int]] = (), tick_nanos: int = TICK_NANOS) -> Rows:
    return in_chunks(tape, max(1, len(tape.events)), sessions, 1 << 15, tick_nanos)


def one_at_a_time(tape: Tape, sessions: Sequence[tuple[int, int]] = (), tick_nanos: int = TICK_NANOS) -> Rows:
    """The tape as live brings it: each event by itself, through the calls for one event."""
    engine = BookFeatures(tick_nanos, FEATURE_NAMES, intervals(sessions))
    places, verdicts, vectors = [], [], []
    events = tape.events
    for i in range(len(events)):
        if tape.market_of[i] >= 0:
            ts, known, volatility, liquidity, index = tape.markets[tape.market_of[i]].tolist()
            engine.market(ts, bool(known), volatility, liquidity, index)
        event = events[i]
        kind = int(event.kind)
        if kind == BOOK:
            verdicts.append(engine.book(tape.depths, int(tape.depth_of[i]), int(event.ts_ns), int(event.ts_venue_ns)))
            vectors.append(engine.vector.copy())
            places.append(i)
        elif kind == TRADE:
            engine.trade(int(event.ts_ns), int(event.price_tick), int(event.qty), int(event.side))
        elif kind == BAR and event.value == CANDLE_NS and not event["flags"] & FLAG_CARRIED:
            start = int(event.ts_venue_ns) - CANDLE_NS
            engine.candle(start, int(event.high_tick), int(event.low_tick), int(event.close_tick))
        elif kind == FEED and event.code == FEED_GAP:
            engine.reset()
    return Rows(np.array(places), np.array(verdicts, np.int8), np.array(vectors), engine.states.tobytes())
