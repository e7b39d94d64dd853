"""Books delivered whole: each rule of MOEX-DATA-03, by hand and against a plain statement of it; ages and faults."""

import numpy as np
import pytest

from marketdata.core.books import delivered, verdicts
from marketdata.core.records import FLAG_INVALID, LEVELS, NO_TICK, NO_TIME, new_depths

HALF, CROSSED, UNSORTED, INCONSISTENT, UNBOUNDED = (
    verdicts.HALF,
    verdicts.LOCKED_OR_CROSSED,
    verdicts.UNSORTED,
    verdicts.INCONSISTENT,
    verdicts.UNBOUNDED,
)
Levels = list[tuple[int, int]]


def taken(bids: Levels, asks: Levels, consistent: bool = True, last_ns: int = NO_TIME, venue_ns: int = 5):
    """(faults, shown bids, shown asks, flagged)"""
    depths = new_depths(1)
    arrays = [np.array(side, np.int64).reshape(-1, 2) for side in (bids, asks)]
    faults = delivered.accept(last_ns, 9, venue_ns, arrays[0], len(bids), arrays[1], len(asks), consistent, depths, 0)
    depth = depths[0]
    sides = []
    for tick, qty in (("bid_tick", "bid_qty"), ("ask_tick", "ask_qty")):
        pairs = list(zip(depth[tick].tolist(), depth[qty].tolist(), strict=True))
        count = sum(pair != (NO_TICK, 0) for pair in pairs)
        assert pairs[count:] == [(NO_TICK, 0)] * (LEVELS - count)
        sides.append(pairs[:count])
    return faults, *sides, bool(depth["flags"] & FLAG_INVALID)


BIDS, ASKS = [(100, 5), (99, 6)], [(102, 7), (103, 8)]


@pytest.mark.parametrize(
    ("bids", "asks", "consistent", "faults", "shown_bids", "shown_asks"),
    [
        (BIDS, ASKS, True, 0, BIDS, ASKS),
        (BIDS, ASKS, False, INCONSISTENT, BIDS, ASKS),
        (BIDS, [], True, HALF, BIDS, []),
        ([], [], True, HALF, [], []),
        (BIDS, [(100, 1)], True, CROSSED, BIDS, [(100, 1)]),
        (BIDS, [(99, 1)], True, CROSSED, BIDS, [(99, 1)]),
        ([(99, 6), (100, 5)], ASKS, True, UNSORTED, BIDS, ASKS),
        (BIDS, [(103, 8), (102, 7)], True, UNSORTED, BIDS, ASKS),
        # equal prices are merged and count as sorted
        ([(100, 2), (100, 3), (99, 6)], ASKS, True, 0, BIDS, ASKS),
        # apart from each other they are merged too, but the side came unsorted
        ([(100, 2), (99, 6), (100, 3)], ASKS, True, UNSORTED, BIDS, ASKS),
        # without price or quantity: removed before the order is looked at
        ([(100, 5), (0, 9), (150, 0), (-1, 4), (160, -2), (99, 6)], ASKS, True, 0, BIDS, ASKS),
        ([(0, 1), (7, 0)], ASKS, True, HALF, [], ASKS),
        ([(1 << 25, 1), *BIDS], ASKS, True, UNBOUNDED, BIDS, ASKS),
        (BIDS, [*ASKS, (104, 1 << 40)], True, UNBOUNDED, BIDS, ASKS),
        ([(99, 6), (101, 5)], [(101, 3)], False, CROSSED | UNSORTED | INCONSISTENT, [(101, 5), (99, 6)], [(101, 3)]),
    ],
)
def test_each_rule(bids, asks, consistent, faults, shown_bids, shown_asks):
    """MOEX-DATA-03."""
    assert taken(bids, asks, consistent) == (faults, shown_bids, shown_asks, faults != 0)


def test_more_levels_than_a_venue_delivers_are_not_read():
    """51 levels, and a count beyond the array: the book is flagged, nothing beyond is touched."""
    many = [(1_000 - i, 1) for i in range(51)]
    assert taken(many, [(2_000, 1)])[0] == UNBOUNDED and taken(many[:50], [(2_000, 1)])[0] == 0
    depths, levels = new_depths(1), np.array(BIDS, np.int64)
    faults = delivered.accept(NO_TIME, 9, 5, levels, 3, np.array(ASKS, np.int64), 2, True, depths, 0)
    assert faults == UNBOUNDED and depths["bid_tick"][0, :3].tolist() == [100, 99, NO_TICK]


def test_only_an_older_book_is_dropped():
    """MOEX-DATA-03: older by the venue's time; the same time is accepted."""
    assert taken(BIDS, ASKS, last_ns=6, venue_ns=5) == (delivered.DROPPED, [], [], False)
    assert taken(BIDS, ASKS, last_ns=5, venue_ns=5)[0] == 0
    assert taken(BIDS, ASKS, last_ns=4, venue_ns=5)[0] == 0


def test_random_books_equal_the_rule_said_plainly():
    """1,500 books of 0 to 50 levels a side, with nonsense in them."""
    rng = np.random.default_rng(4)
    sorted_books = 0
    for _ in range(1_500):
        sides = []
        for _ in range(2):
            count = int(rng.choice([0, 1, 5, 21, 50]))
            ticks = rng.integers(-1, 60, count)
            sides.append(list(zip(ticks.tolist(), rng.integers(-1, 6, count).tolist(), strict=True)))
        if rng.random() < 0.5:
            sides = [sorted(sides[0], reverse=True), sorted(sides[1])]
        want, faults = [], 0
        for sign, side in zip((1, -1), sides, strict=True):
            kept = [(tick, qty) for tick, qty in side if tick > 0 and qty > 0]
            prices = [sign * tick for tick, _ in kept]
            if prices != sorted(prices, reverse=True):
                faults |= UNSORTED
            sums: dict[int, int] = {}
            for tick, qty in kept:
                sums[tick] = sums.get(tick, 0) + qty
            want.append(sorted(sums.items(), reverse=sign == 1)[:LEVELS])
        if not want[0] or not want[1]:
            faults |= HALF
        elif want[0][0][0] >= want[1][0][0]:
            faults |= CROSSED
        assert taken(sides[0], sides[1]) == (faults, *want, faults != 0)
        sorted_books += faults & UNSORTED == 0
    assert sorted_books > 300


def test_faults_of_a_book_looked_at_later():
    """Age counts from receipt; exactly the limit is not stale; a flag without a visible reason is not forgotten."""
    depths = new_depths(1)
    bids, asks = (np.array(side, np.int64) for side in (BIDS, ASKS))
    assert delivered.accept(NO_TIME, 1_000, 900, bids, 2, asks, 2, True, depths, 0) == 0
    assert verdicts.faults_at(depths, 0, 6_000, 5_000, False) == 0
    assert verdicts.faults_at(depths, 0, 6_001, 5_000, False) == verdicts.STALE
    assert verdicts.faults_at(depths, 0, 6_001, 5_000, True) == verdicts.STALE | verdicts.GAPPED
    depths["flags"] = FLAG_INVALID
    assert verdicts.faults_at(depths, 0, 2_000, 5_000, False) == INCONSISTENT
    depths["ask_tick"][0, 0] = 100
    assert verdicts.faults_at(depths, 0, 2_000, 5_000, False) == CROSSED
    depths["ask_tick"][0, 0] = NO_TICK
    assert verdicts.faults_at(depths, 0, 2_000, 5_000, False) == HALF
    assert verdicts.named(HALF | verdicts.STALE) == ["one side of the book is empty", "older than allowed"]
    assert set(verdicts.FAULTS) == {1 << k for k in range(len(verdicts.FAULTS))}
