"""Made-up books with everything that breaks features: empty, one-sided, short and crossed ones, gaps, late stamps."""

from functools import cache

import numpy as np

from tests.core.bookfeatures.oracle import Book, Candle, Event, Levels, Market, Reset, Trade

S = 10**9
START = 1_732_000_000 * S + 123_456_789
SESSIONS = [(START - 50 * S, START + 40 * S), (START + 41 * S, START + 300 * S), (START + 400 * S, START + 10**6 * S)]


def side(rng: np.random.Generator, best: int, sign: int, most: int) -> Levels:
    """0 to `most` levels from `best` on, with holes between them."""
    count = int(rng.integers(0, most + 1)) if rng.random() < 0.5 else most
    steps = np.concatenate([[0], np.cumsum(rng.choice([1, 1, 1, 2, 5], 20))])
    sizes = rng.choice([1, 3, 10, 200, 5_000], 20)
    levels = [(best - sign * int(steps[i]), int(sizes[i])) for i in range(count)]
    return tuple(level for level in levels if level[0] >= 1)


def changed(rng: np.random.Generator, levels: Levels) -> Levels:
    """The same prices, some other sizes."""
    return tuple((tick, int(rng.choice([size, size, size, 1, 7, 300]))) for tick, size in levels)


def step_ns(rng: np.random.Generator, gaps: bool) -> int:
    if gaps and rng.random() < 0.02:
        at = (0.9999, 1, 4, 59.9, 60, 60.000000001, 63.9, 64, 64.1, 70, 301)
        return int(float(rng.choice(at)) * S)
    return int(rng.choice([0, 1, 30_000_000, 99_999_999, 100_000_000, 200_000_000, 1_000_000_000]))


@cache
def tape(seed: int, count: int = 400) -> tuple[Event, ...]:
    """About `count` events; which oddities it has depends on the seed."""
    rng = np.random.default_rng(seed)
    price = int(rng.choice([40, 400, 10_000, 250_000]))
    move = int(rng.choice([0, 1, 1, 40]))
    most = int(rng.choice([1, 3, 7, 10, 20, 20, 20]))
    gaps, odd = rng.random() < 0.7, rng.random() < 0.6
    now, venue, minute = START + int(rng.integers(0, S)), START, START - 3_000 * S
    last: tuple[Levels, Levels] = ((), ())
    events: list[Event] = []
    for _ in range(count):
        now += step_ns(rng, gaps)
        stamp = now - (int(rng.integers(0, 2 * S)) if rng.random() < 0.02 else 0)  # received out of order
        kind = rng.random()
        if kind < 0.55:
            price = max(4, price + int(rng.integers(-move, move + 1)))
            wide = 1 + int(rng.choice([0, 0, 1, 3, -1 if odd else 0, -3 if odd else 0]))
            bids, asks = side(rng, price, 1, most), side(rng, max(1, price + wide), -1, most)
            if rng.random() < 0.5:
                bids, asks = changed(rng, last[0]), changed(rng, last[1])
            if odd and rng.random() < 0.15:
                bids, asks = [((), asks), (bids, ()), ((), ())][int(rng.integers(3))]
            last = bids, asks
            venue += int(rng.choice([0, 1, 10**8]))
            late = odd and rng.random() < 0.04
            events.append(Book(stamp, venue - (10 if late else 0), bids, asks))
        elif kind < 0.85:
            tick = max(1, price + int(rng.integers(-3, 4)))
            events.append(Trade(stamp, tick, int(rng.choice([1, 2, 30, 4_000])), int(rng.choice([1, -1, 1, -1, 0]))))
        elif kind < 0.93:
            minute += int(rng.choice([0, 60, 60, 60, 120, 300, 360])) * S
            low = max(1, price - int(rng.integers(0, 9)))
            high = low + int(rng.integers(0, 20))
            events.append(Candle(minute, high, low, int(rng.integers(low, high + 1))))
        elif kind < 0.99:
            values = rng.choice([0.0, 0.2, 0.7, 1.0, 3.0, 12.0, -1.0, np.nan, np.inf], 3, p=[0.16] * 5 + [0.05] * 4)
            age = int(rng.choice([0, 1, 4, 5, 6])) * S
            events.append(Market(now - age, bool(rng.random() < 0.9), *values.tolist()))
        elif odd and rng.random() < 0.3:
            events.append(Reset())
    events.append(Book(now, venue, *last))
    return tuple(events)
