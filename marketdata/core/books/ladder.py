"""Levels of absolute size (L2), best first: to set one and to find the next costs the same however many there are.

A side keeps a window of WINDOW ticks that moves with its best level: a size and a bit a tick.  What is worse than the
window rests in a sorted list; nothing is better than it.  Prices are turned into places, of which the smaller is the
better on either side.  Whether a change touches the 20 best levels is asked of the place of the twentieth, which is
looked up anew only when it may have moved.  Called by `deltas`; it knows nothing of time, order or venues.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from marketdata.core.books.bits import lowest_bit
from marketdata.core.compiled import inlined, inner
from marketdata.core.depth import CHANGED_DEEP, CHANGED_TOP, UNCHANGED
from marketdata.core.records import LEVELS

WINDOW = 1 << 14  # ticks, a power of two
INSIDE = WINDOW - 1
WORD_SHIFT = 6  # a word of marks has 64 bits
WORDS = WINDOW >> WORD_SHIFT
LEAD = WINDOW // 4  # ticks before the best when a window is placed: it may improve by so much and nothing moves
DRIFT = WINDOW // 2  # so far behind the window's beginning the best may be when a level comes behind its end
ONE = np.int64(1)

# columns of changes: row of the Ladder, price in ticks, absolute size; 0 takes the level out
ROW, TICK, SIZE = 0, 1, 2
# columns of Ladder.rest and Ladder.sides
PLACE, RESTS = 0, 1
LOW, NEAR, FAR, FIRST, LAST = range(5)
NOWHERE = 1 << 62  # LOW of an empty side: no place lies in its window
UNKNOWN = -(1 << 62)  # LAST: to be looked up
ALL = 1 << 62  # LAST: there are fewer than 20 levels, every one is among the best


class Ladder(NamedTuple):
    """Levels of n instruments.  Row 2 * i is the bid side of instrument i, row 2 * i + 1 its ask side."""

    sizes: np.ndarray  # (2n, WINDOW) int64, by place & INSIDE; 0 where nothing stands
    marks: np.ndarray  # (2n, WORDS) int64, a bit for each size that is not 0
    rest: np.ndarray  # (2n, capacity, 2) int64 place, size of the levels behind the window; the best is the last
    sides: np.ndarray  # (2n, 8) int64: first place of the window, levels in it, levels behind it, a word of marks that
    #                    no level comes before, place of the twentieth level


def new_ladder(instruments: int, levels: int) -> Ladder:
    """No level on any side; room for `levels` a side."""
    assert instruments > 0 and levels > 0
    rows = 2 * instruments
    ladder = Ladder(
        sizes=np.zeros((rows, WINDOW), np.int64),
        marks=np.zeros((rows, WORDS), np.int64),
        rest=np.zeros((rows, levels, 2), np.int64),
        sides=np.zeros((rows, 8), np.int64),
    )
    ladder.sides[:, LOW], ladder.sides[:, LAST] = NOWHERE, UNKNOWN
    return ladder


def grow_ladder(ladder: Ladder) -> Ladder:
    """The same with twice the room."""
    return ladder._replace(rest=np.concatenate((ladder.rest, np.zeros_like(ladder.rest)), axis=1))


def levels_of(ladder: Ladder, row: int) -> list[tuple[int, int]]:
    """(tick, size) of every level of a side, best first."""
    sign = 1 if row % 2 else -1
    low, far = int(ladder.sides[row, LOW]), int(ladder.sides[row, FAR])
    window = np.roll(ladder.sizes[row], -(low % WINDOW))  # from its first place on
    near = [(sign * (low + k), int(window[k])) for k in np.flatnonzero(window).tolist()]
    return near + [(sign * place, size) for place, size in ladder.rest[row, :far][::-1].tolist()]


@inlined
def level_count(ladder: Ladder, row: int) -> int:
    """Levels of a side."""
    return ladder.sides[row, NEAR] + ladder.sides[row, FAR]


@njit(cache=True)
def clear_side(ladder: Ladder, row: int) -> None:
    """Take every level of a side out."""
    if ladder.sides[row, NEAR] > 0:
        ladder.marks[row, :] = 0
        ladder.sizes[row, :] = 0
    ladder.sides[row, LOW] = NOWHERE
    ladder.sides[row, NEAR] = 0
    ladder.sides[row, FAR] = 0
    ladder.sides[row, LAST] = UNKNOWN


@njit(cache=True)
def set_levels(ladder: Ladder, changes: np.ndarray, first: int, count: int) -> int:
    """changes[first : first + count], (m, 3) int64, one after another: each level now holds that size in all.

    The caller has made sure of room for `count` more on either side.  Returns the strongest outcome: UNCHANGED,
    CHANGED_DEEP, or CHANGED_TOP when one of them came to, changed in or left the 20 best levels of its side.
    """
    sizes, marks, sides = ladder.sizes, ladder.marks, ladder.sides
    done = UNCHANGED
    for i in range(first, first + count):
        row, tick, size = changes[i, ROW], changes[i, TICK], changes[i, SIZE]
        place = tick if row & 1 else -tick
        away = place - sides[row, LOW]
        if away < 0 or away >= WINDOW:
            done = max(done, _set_elsewhere(ladder, row, place, size))
        elif sizes[row, place & INSIDE] != size:
            if done != CHANGED_TOP:
                done = CHANGED_TOP if place <= _twentieth(ladder, row) else CHANGED_DEEP
            _put(sizes, marks, sides, row, place, size)
    return done


@inlined
def _put(sizes: np.ndarray, marks: np.ndarray, sides: np.ndarray, row: int, place: int, size: int) -> None:
    """A place in the window gets another size than it has: a level comes, changes or goes."""
    held = sizes[row, place & INSIDE]
    sizes[row, place & INSIDE] = size
    if held != 0 and size != 0:
        return
    word = place >> WORD_SHIFT
    marks[row, word & (WORDS - 1)] ^= ONE << (place & 63)
    if held == 0:
        sides[row, NEAR] += 1
        sides[row, FIRST] = min(sides[row, FIRST], word)
    else:
        sides[row, NEAR] -= 1
    if place <= sides[row, LAST]:
        sides[row, LAST] = UNKNOWN


@inlined
def _first(ladder: Ladder, row: int) -> int:
    """The word of marks that has the best level of the window; only while there is one."""
    word = ladder.sides[row, FIRST]
    while ladder.marks[row, word & (WORDS - 1)] == 0:
        word += 1
    ladder.sides[row, FIRST] = word
    return word


@inner
def _twentieth(ladder: Ladder, row: int) -> int:
    """The place of the twentieth level; ALL where there is none."""
    last = ladder.sides[row, LAST]
    if last != UNKNOWN:
        return last
    near, far = ladder.sides[row, NEAR], ladder.sides[row, FAR]
    last = ALL
    if near >= LEVELS:
        word = _first(ladder, row)
        bits = ladder.marks[row, word & (WORDS - 1)]
        for _ in range(LEVELS):
            while bits == 0:
                word += 1
                bits = ladder.marks[row, word & (WORDS - 1)]
            bit = lowest_bit(bits)
            bits ^= ONE << bit
            last = (word << WORD_SHIFT) + bit
    elif near + far >= LEVELS:
        last = ladder.rest[row, near + far - LEVELS, PLACE]
    ladder.sides[row, LAST] = last
    return last


@inner
def _set_elsewhere(ladder: Ladder, row: int, place: int, size: int) -> int:
    """A place outside the window: the window comes to it where it must, else the list behind takes it."""
    sides = ladder.sides
    if level_count(ladder, row) == 0 or place < sides[row, LOW]:
        if size == 0:
            return UNCHANGED
        _leave_behind(ladder, row, place)
    else:
        _catch_up(ladder, row, place)
        if place - sides[row, LOW] >= WINDOW:
            return _set_behind(ladder, row, place, size)
        if ladder.sizes[row, place & INSIDE] == size:
            return UNCHANGED
    done = CHANGED_TOP if place <= _twentieth(ladder, row) else CHANGED_DEEP
    _put(ladder.sizes, ladder.marks, sides, row, place, size)
    return done


@inlined
def _place_window(sides: np.ndarray, row: int, best: int) -> None:
    """Let the window begin LEAD ticks before the best level, at the border of a word."""
    word = best >> WORD_SHIFT
    sides[row, LOW] = (word << WORD_SHIFT) - LEAD
    sides[row, FIRST] = word


@inner
def _leave_behind(ladder: Ladder, row: int, best: int) -> None:
    """The window moves to a level better than all, or the first one: what falls out of it goes to the list behind."""
    marks, sides = ladder.marks, ladder.sides
    old = sides[row, LOW] >> WORD_SHIFT
    _place_window(sides, row, best)
    if sides[row, NEAR] == 0:
        return
    begin = max(old, (sides[row, LOW] >> WORD_SHIFT) + WORDS)
    left = 0
    for word in range(begin, old + WORDS):
        bits = marks[row, word & (WORDS - 1)]
        while bits != 0:
            bits ^= ONE << lowest_bit(bits)
            left += 1
    sides[row, NEAR] -= left
    sides[row, FAR] += left
    at = sides[row, FAR]
    for word in range(begin, old + WORDS):
        bits = marks[row, word & (WORDS - 1)]
        marks[row, word & (WORDS - 1)] = 0
        while bits != 0:
            bit = lowest_bit(bits)
            bits ^= ONE << bit
            place = (word << WORD_SHIFT) + bit
            at -= 1
            ladder.rest[row, at, PLACE] = place
            ladder.rest[row, at, RESTS] = ladder.sizes[row, place & INSIDE]
            ladder.sizes[row, place & INSIDE] = 0


@inner
def _catch_up(ladder: Ladder, row: int, place: int) -> None:
    """Before a level is put behind the window: where the best has fallen far back in it, or all have left it, the
    window follows, and the front of the list comes into it."""
    rest, sides = ladder.rest, ladder.sides
    if sides[row, NEAR] > 0:
        best = _first(ladder, row) << WORD_SHIFT
        if best - sides[row, LOW] <= DRIFT:
            return
    else:
        best = min(place, rest[row, sides[row, FAR] - 1, PLACE])
    _place_window(sides, row, best)
    while sides[row, FAR] > 0:
        at = sides[row, FAR] - 1
        moved = rest[row, at, PLACE]
        if moved - sides[row, LOW] >= WINDOW:
            return
        sides[row, FAR] = at
        sides[row, NEAR] += 1
        ladder.sizes[row, moved & INSIDE] = rest[row, at, RESTS]
        ladder.marks[row, (moved >> WORD_SHIFT) & (WORDS - 1)] |= ONE << (moved & 63)


@inner
def _set_behind(ladder: Ladder, row: int, place: int, size: int) -> int:
    """A level of the sorted list behind the window."""
    rest, sides = ladder.rest, ladder.sides
    count = sides[row, FAR]
    at, end = 0, count
    while at < end:
        middle = (at + end) // 2
        if rest[row, middle, PLACE] > place:
            at = middle + 1
        else:
            end = middle
    known = at < count and rest[row, at, PLACE] == place
    if size == (rest[row, at, RESTS] if known else 0):
        return UNCHANGED
    done = CHANGED_TOP if place <= _twentieth(ladder, row) else CHANGED_DEEP
    if known and size != 0:
        rest[row, at, RESTS] = size
        return done
    if size == 0:
        for i in range(at, count - 1):
            rest[row, i, PLACE] = rest[row, i + 1, PLACE]
            rest[row, i, RESTS] = rest[row, i + 1, RESTS]
        sides[row, FAR] = count - 1
    else:
        for i in range(count, at, -1):
            rest[row, i, PLACE] = rest[row, i - 1, PLACE]
            rest[row, i, RESTS] = rest[row, i - 1, RESTS]
        rest[row, at, PLACE] = place
        rest[row, at, RESTS] = size
        sides[row, FAR] = count + 1
    if place <= sides[row, LAST]:
        sides[row, LAST] = UNKNOWN
    return done


@njit(cache=True)
def fill_ladder(ladder: Ladder, instrument: int, depths: np.ndarray, at: int) -> None:
    """Write the best 20 levels of both sides into `depths[at]` (a fresh record: absent levels are already absent)."""
    record = depths[at]
    _fill_side(ladder, 2 * instrument, record.bid_tick, record.bid_qty)
    _fill_side(ladder, 2 * instrument + 1, record.ask_tick, record.ask_qty)


@inlined
def _fill_side(ladder: Ladder, row: int, ticks: np.ndarray, qtys: np.ndarray) -> None:
    sign = 1 if row & 1 else -1
    near = min(ladder.sides[row, NEAR], LEVELS)
    if near > 0:
        word = _first(ladder, row)
        bits = ladder.marks[row, word & (WORDS - 1)]
        for i in range(near):
            while bits == 0:
                word += 1
                bits = ladder.marks[row, word & (WORDS - 1)]
            bit = lowest_bit(bits)
            bits ^= ONE << bit
            place = (word << WORD_SHIFT) + bit
            ticks[i] = sign * place
            qtys[i] = ladder.sizes[row, place & INSIDE]
    far = ladder.sides[row, FAR]
    for i in range(near, min(LEVELS, near + far)):
        at = far - 1 - (i - near)
        ticks[i] = sign * ladder.rest[row, at, PLACE]
        qtys[i] = ladder.rest[row, at, RESTS]
