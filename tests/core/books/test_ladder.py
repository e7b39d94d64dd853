"""Levels by place: every change, outcome and order as a dictionary has it, wherever the market goes."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest

from marketdata.core.books import ladder as rungs
from marketdata.core.books.bits import lowest_bit
from marketdata.core.books.ladder import WINDOW, Ladder, clear_side, fill_ladder, grow_ladder, levels_of, new_ladder
from marketdata.core.depth import CHANGED_DEEP, CHANGED_TOP, UNCHANGED
from marketdata.core.records import LEVELS, NO_TICK, new_depths

BID, ASK = 0, 1
Change = tuple[int, int, int]


class PlainSides:
    """The same in two dictionaries."""

    def __init__(self) -> None:
        self.sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def set(self, row: int, tick: int, size: int) -> int:
        side = self.sizes[row]
        if side.get(tick, 0) == size:
            return UNCHANGED
        better = sum(other > tick if row == BID else other < tick for other in side)
        if size == 0:
            del side[tick]
        else:
            side[tick] = size
        return CHANGED_TOP if better < LEVELS else CHANGED_DEEP

    def levels(self, row: int) -> list[tuple[int, int]]:
        return sorted(self.sizes[row].items(), reverse=row == BID)


def shown(ladder: Ladder) -> list[list[tuple[int, int]]]:
    depths = new_depths(1)
    fill_ladder(ladder, 0, depths, 0)
    depth = depths[0]
    sides = ((depth.bid_tick, depth.bid_qty), (depth.ask_tick, depth.ask_qty))
    return [list(zip(ticks.tolist(), sizes.tolist(), strict=True)) for ticks, sizes in sides]


def padded(levels: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return levels[:LEVELS] + [(NO_TICK, 0)] * (LEVELS - len(levels[:LEVELS]))


def walk(seed: int, steps: int) -> Iterator[list[Change]]:
    """Changes near a market that moves by ticks, by parts of a window and by several; deep ones, and clearings of what
    stands behind it."""
    rng = np.random.default_rng(seed)
    mid, told = 400_000, {BID: [], ASK: []}  # type: ignore[var-annotated]
    for _ in range(steps):
        mid += int(rng.choice([0, 0, 0, 1, -1, 5, -7, 900, -900, WINDOW // 3, -WINDOW // 2, 2 * WINDOW, -2 * WINDOW],
                              p=[0.4, 0.1, 0.1, 0.1, 0.1, 0.06, 0.06, 0.02, 0.02, 0.01, 0.01, 0.01, 0.01]))  # fmt: skip
        changes: list[Change] = []
        for _ in range(int(rng.integers(1, 9))):
            row = int(rng.integers(0, 2))
            away = int(rng.choice(np.array([rng.integers(1, 30), rng.geometric(0.01), rng.integers(1, 3 * WINDOW)])))
            tick = mid - away if row == BID else mid + away
            if told[row] and rng.random() < 0.5:
                tick = int(told[row][-int(rng.integers(1, min(80, len(told[row])) + 1))])
            changes.append((row, tick, int(rng.choice([0, 1, 2, 3, 4]))))
            told[row].append(tick)
        if rng.random() < 0.01:  # the market has gone through one side
            row = int(rng.integers(0, 2))
            changes += [(row, tick, 0) for tick in sorted(set(told[row][-300:]))]
        yield changes


def through(seed: int, steps: int, ladder: Ladder) -> Iterator[tuple[Ladder, int, list[Change]]]:
    for changes in walk(seed, steps):
        while max(ladder.sides[:, rungs.NEAR] + ladder.sides[:, rungs.FAR]) + len(changes) > ladder.rest.shape[1]:
            ladder = grow_ladder(ladder)
        array = np.array(changes, np.int64)
        yield ladder, rungs.set_levels(ladder, array, 0, len(array)), changes


@pytest.mark.parametrize("seed", range(6))
def test_every_change_is_that_of_a_dictionary_wherever_the_market_goes(seed: int) -> None:
    plain, outcomes, behind = PlainSides(), set(), 0
    for ladder, done, changes in through(seed, 700, new_ladder(1, 4)):
        assert done == max(plain.set(*change) for change in changes)
        outcomes.add(done)
        assert shown(ladder) == [padded(plain.levels(BID)), padded(plain.levels(ASK))]
        behind += int(ladder.sides[:, rungs.FAR].sum())
    for row in (BID, ASK):
        assert levels_of(ladder, row) == plain.levels(row)
    assert outcomes == {UNCHANGED, CHANGED_DEEP, CHANGED_TOP} and behind > 0


def test_one_change_at_a_time_and_many_leave_the_same_bytes() -> None:
    many, single = new_ladder(1, 1 << 12), new_ladder(1, 1 << 12)
    for changes in walk(11, 150):
        array = np.array(changes, np.int64)
        rungs.set_levels(many, array, 0, len(array))
        for k in range(len(array)):
            rungs.set_levels(single, array, k, 1)
        assert levels_of(many, BID) == levels_of(single, BID) and levels_of(many, ASK) == levels_of(single, ASK)
    assert len(levels_of(many, BID)) > 40


def test_a_cleared_side_is_as_a_new_one_and_the_other_stays() -> None:
    ladder = new_ladder(2, 8)
    rows = [(2, 100, 5), (2, 99, 5), (3, 101, 7), (3, 101 + 4 * WINDOW, 1), (0, 7, 7)]
    assert rungs.set_levels(ladder, np.array(rows, np.int64), 0, 5) == CHANGED_TOP
    clear_side(ladder, 3)
    assert levels_of(ladder, 3) == [] and levels_of(ladder, 2) == [(100, 5), (99, 5)]
    again = np.array([(3, 101 + 4 * WINDOW, 2), (3, 50, 0)], np.int64)
    assert rungs.set_levels(ladder, again, 0, 2) == CHANGED_TOP
    assert levels_of(ladder, 3) == [(101 + 4 * WINDOW, 2)] and levels_of(ladder, 0) == [(7, 7)]
    assert rungs.set_levels(ladder, again, 1, 1) == UNCHANGED, "nothing stands there"


def test_the_lowest_bit_of_every_place() -> None:
    for bit in range(64):
        for above in (0, 1, -1):
            word = np.int64(1) << np.int64(bit) | (np.int64(above) << np.int64(min(bit + 1, 63)) if bit < 63 else 0)
            assert lowest_bit(int(word)) == bit


def digest(steps: int) -> str:
    """Hash over outcomes and levels of a walk."""
    found = hashlib.sha256()
    for ladder, done, _ in through(5, steps, new_ladder(1, 1 << 11)):
        found.update(bytes([done]))
    found.update(repr([levels_of(ladder, row) for row in (BID, ASK)]).encode())
    return found.hexdigest()
