"""Small deterministic tapes for the tests of features, learning and inference: a random walk with a book around it.

No market is claimed; what matters is that every kind of event, gap, invalid book and late stamp occurs.
"""

import numpy as np

from marketdata.core.records import (
    BAR,
    BOOK,
    FEED,
    FEED_GAP,
    FLAG_INVALID,
    LEVELS,
    QUOTE,
    TRADE,
    new_depths,
    new_events,
)
from marketdata.feeds.port import Batch

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def book_tape(count: int, seed: int, *, instruments: int = 1, mean_gap_ms: int = 80, faults: bool = False) -> Batch:
    """`count` events of quotes, books with 20 levels, trades; with `faults` also gaps, crossed books, late stamps."""
    rng = np.random.default_rng(seed)
    events, depths = new_events(count), new_depths(count)
    depth_of = np.full(count, -1, np.int32)
    mid = [20_000 + 50 * i for i in range(instruments)]
    now, used = START, 0
    for i in range(count):
        now += int(rng.exponential(mean_gap_ms)) * 1_000_000
        if faults and rng.random() < 0.002:
            now += int(rng.integers(2, 90)) * SECOND
        which = int(rng.integers(instruments))
        mid[which] += int(rng.integers(-1, 2))
        event = events[i]
        event["instrument"], event["ts_venue_ns"] = which, now
        if faults and rng.random() < 0.05:
            event["ts_venue_ns"] = now - int(rng.integers(1, 3_000)) * 1_000_000
        event["ts_ns"] = event["ts_venue_ns"]
        choice = rng.random()
        if faults and choice < 0.005:
            event["kind"], event["code"], event["instrument"] = FEED, FEED_GAP, -1
        elif choice < 0.3:
            event["kind"], event["price_tick"] = TRADE, mid[which] + int(rng.integers(2))
            event["qty"], event["side"] = int(rng.integers(1, 20)), int(rng.integers(-1, 2))
        else:
            event["kind"] = QUOTE if choice < 0.5 else BOOK
            bids, asks = rng.integers(1, 100, LEVELS), rng.integers(1, 100, LEVELS)
            event["bid_tick"], event["ask_tick"] = mid[which], mid[which] + int(rng.integers(1, 3))
            event["bid_qty"], event["ask_qty"] = bids[0], asks[0]
            if event["kind"] == BOOK:
                depth_of[i] = used
                depths[used]["bid_tick"] = event["bid_tick"] - np.arange(LEVELS)
                depths[used]["ask_tick"] = event["ask_tick"] + np.arange(LEVELS)
                depths[used]["bid_qty"], depths[used]["ask_qty"] = bids, asks
                event["volume"], event["value"] = bids.sum(), asks.sum()
                used += 1
            if faults and rng.random() < 0.02:
                event["ask_tick"] = event["bid_tick"] - 1
                event["flags"] = FLAG_INVALID
    return Batch(events, depths[: max(1, used)], depth_of, count, True)


def bar_tape(count: int, seed: int, *, seconds: int = 1) -> Batch:
    """`count` bars of this length in a row."""
    rng = np.random.default_rng(seed)
    events = new_events(count)
    close = 20_000 + np.cumsum(rng.integers(-3, 4, count))
    events["kind"], events["value"] = BAR, seconds * SECOND
    events["ts_venue_ns"] = START + (1 + np.arange(count)) * seconds * SECOND
    events["ts_ns"] = events["ts_venue_ns"]
    events["open_tick"] = close
    events["close_tick"] = events["price_tick"] = close
    events["high_tick"], events["low_tick"] = close + 2, close - 2
    events["volume"] = rng.integers(0, 50, count)
    return Batch(events, new_depths(1), np.full(count, -1, np.int32), count, True)
