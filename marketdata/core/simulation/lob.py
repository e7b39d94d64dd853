"""A limit order book with price-time priority, for markets that we make ourselves.

Orders rest in first-in-first-out queues, one per price; a market order takes the oldest order of the best price first.
One Lob holds n independent books in fixed arrays.  Prices are ticks, sizes contracts or lots; nothing here draws random
numbers or knows time.  Called by `market`, beside it; recorded books, whose queues the venue keeps, are `core.depth`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from marketdata.core.records import BUY, LEVELS, NO_TICK

ORDERS = 1024  # resting orders per book
RING = 512  # prices per book; a power of two, wider than two RANGEs and any spread
RANGE = 160  # orders further than this from the best price of their side are pruned
NONE = -1

# indexes in Lob.scalars
COUNT, BEST_BID, BEST_ASK, BID_ORDERS, ASK_ORDERS = range(5)


class Lob(NamedTuple):
    """n books.  `live` is a permutation of order ids: the first COUNT rest in the book, the others are free."""

    tick: np.ndarray  # (n, ORDERS) int64
    qty: np.ndarray  # (n, ORDERS) int64, what is left
    side: np.ndarray  # (n, ORDERS) int64, +1 bid, −1 ask
    after: np.ndarray  # (n, ORDERS) int64, next younger order at the same price
    before: np.ndarray  # (n, ORDERS) int64, next older order at the same price
    live: np.ndarray  # (n, ORDERS) int64
    place: np.ndarray  # (n, ORDERS) int64, where in `live` the order stands
    level_qty: np.ndarray  # (n, RING) int64, sum at the price whose tick & (RING − 1) is the index
    oldest: np.ndarray  # (n, RING) int64
    youngest: np.ndarray  # (n, RING) int64
    scalars: np.ndarray  # (n, 5) int64


def new_lob(n: int) -> Lob:
    """`n` empty books."""
    ids = np.tile(np.arange(ORDERS, dtype=np.int64), (n, 1))
    scalars = np.zeros((n, 5), np.int64)
    scalars[:, BEST_BID] = NO_TICK
    scalars[:, BEST_ASK] = NO_TICK
    return Lob(
        tick=np.zeros((n, ORDERS), np.int64),
        qty=np.zeros((n, ORDERS), np.int64),
        side=np.zeros((n, ORDERS), np.int64),
        after=np.full((n, ORDERS), NONE, np.int64),
        before=np.full((n, ORDERS), NONE, np.int64),
        live=ids,
        place=ids.copy(),
        level_qty=np.zeros((n, RING), np.int64),
        oldest=np.full((n, RING), NONE, np.int64),
        youngest=np.full((n, RING), NONE, np.int64),
        scalars=scalars,
    )


@njit(cache=True)
def best_tick(lob: Lob, i: int, side: int) -> int:
    """Best price of this side (+1 bid, −1 ask); NO_TICK when it is empty."""
    return lob.scalars[i, BEST_BID] if side == BUY else lob.scalars[i, BEST_ASK]


@njit(cache=True)
def qty_at(lob: Lob, i: int, tick: int) -> int:
    """Quantity that rests at a price within RANGE of the best prices."""
    return lob.level_qty[i, tick & (RING - 1)]


@njit(cache=True)
def side_orders(lob: Lob, i: int, side: int) -> int:
    """Number of resting orders of this side."""
    return lob.scalars[i, BID_ORDERS] if side == BUY else lob.scalars[i, ASK_ORDERS]


@njit(cache=True)
def add_order(lob: Lob, i: int, side: int, tick: int, qty: int) -> int:
    """Rest an order at the end of its queue.  Returns its id, or NONE when the book is full.

    The price does not cross the other side and lies within RANGE of the best price of its own: the caller's duty.
    """
    count = lob.scalars[i, COUNT]
    if count == ORDERS:
        return NONE
    other = best_tick(lob, i, -side)
    assert qty > 0
    assert other == NO_TICK or side * (other - tick) > 0
    order = lob.live[i, count]
    lob.scalars[i, COUNT] = count + 1
    lob.tick[i, order] = tick
    lob.qty[i, order] = qty
    lob.side[i, order] = side
    at = tick & (RING - 1)
    last = lob.youngest[i, at]
    assert last == NONE or lob.tick[i, last] == tick
    lob.before[i, order] = last
    lob.after[i, order] = NONE
    if last == NONE:
        lob.oldest[i, at] = order
    else:
        lob.after[i, last] = order
    lob.youngest[i, at] = order
    lob.level_qty[i, at] += qty
    own = best_tick(lob, i, side)
    better = own == NO_TICK or side * (tick - own) > 0
    if side == BUY:
        lob.scalars[i, BID_ORDERS] += 1
        if better:
            lob.scalars[i, BEST_BID] = tick
    else:
        lob.scalars[i, ASK_ORDERS] += 1
        if better:
            lob.scalars[i, BEST_ASK] = tick
    return order


@njit(cache=True)
def remove_order(lob: Lob, i: int, order: int) -> None:
    """Take a resting order out, whole."""
    side, tick = lob.side[i, order], lob.tick[i, order]
    at = tick & (RING - 1)
    older, younger = lob.before[i, order], lob.after[i, order]
    if older == NONE:
        lob.oldest[i, at] = younger
    else:
        lob.after[i, older] = younger
    if younger == NONE:
        lob.youngest[i, at] = older
    else:
        lob.before[i, younger] = older
    lob.level_qty[i, at] -= lob.qty[i, order]
    lob.qty[i, order] = 0
    count = lob.scalars[i, COUNT] - 1
    here = lob.place[i, order]
    moved = lob.live[i, count]
    lob.live[i, here] = moved
    lob.place[i, moved] = here
    lob.live[i, count] = order
    lob.place[i, order] = count
    lob.scalars[i, COUNT] = count
    if side == BUY:
        lob.scalars[i, BID_ORDERS] -= 1
        if tick == lob.scalars[i, BEST_BID] and lob.level_qty[i, at] == 0:
            lob.scalars[i, BEST_BID] = _next_best(lob, i, side, tick)
    else:
        lob.scalars[i, ASK_ORDERS] -= 1
        if tick == lob.scalars[i, BEST_ASK] and lob.level_qty[i, at] == 0:
            lob.scalars[i, BEST_ASK] = _next_best(lob, i, side, tick)


@njit(cache=True)
def _next_best(lob: Lob, i: int, side: int, tick: int) -> int:
    """The next price, away from the touch, at which this side has an order; NO_TICK when it has none."""
    if side_orders(lob, i, side) == 0:
        return NO_TICK
    for step in range(1, RING):
        order = lob.oldest[i, (tick - side * step) & (RING - 1)]
        if order != NONE:
            assert lob.side[i, order] == side
            return lob.tick[i, order]
    return NO_TICK


@njit(cache=True)
def take_best(lob: Lob, i: int, side: int, qty: int) -> int:
    """A buyer (+1) or seller (−1) takes up to `qty` at the best price of the other side, oldest order first.

    Returns the quantity taken; 0 when the other side is empty.
    """
    tick = best_tick(lob, i, -side)
    if tick == NO_TICK:
        return 0
    at = tick & (RING - 1)
    left = qty
    while left > 0:
        order = lob.oldest[i, at]
        if order == NONE:
            break
        if lob.qty[i, order] > left:
            lob.qty[i, order] -= left
            lob.level_qty[i, at] -= left
            left = 0
        else:
            left -= lob.qty[i, order]
            remove_order(lob, i, order)
    return qty - left


@njit(cache=True)
def prune(lob: Lob, i: int) -> None:
    """Remove orders further than RANGE from the best price of their side, so that the ring of prices never laps."""
    for side in (1, -1):
        best = best_tick(lob, i, side)
        if best == NO_TICK:
            continue
        for distance in range(RANGE + 1, RANGE + 64):
            at = (best - side * distance) & (RING - 1)
            order = lob.oldest[i, at]
            while order != NONE and lob.side[i, order] == side:
                remove_order(lob, i, order)
                order = lob.oldest[i, at]


@njit(cache=True)
def write_levels(lob: Lob, i: int, depth: np.record) -> None:
    """The best 20 prices of both sides into a DEPTH record, best first; absent levels are NO_TICK with quantity 0."""
    for side in (1, -1):
        tick = best_tick(lob, i, side)
        level = 0
        left = side_orders(lob, i, side)
        steps = 0
        while level < LEVELS and left > 0 and steps <= RANGE:
            qty = lob.level_qty[i, tick & (RING - 1)]
            if qty > 0:
                if side == BUY:
                    depth.bid_tick[level] = tick
                    depth.bid_qty[level] = qty
                else:
                    depth.ask_tick[level] = tick
                    depth.ask_qty[level] = qty
                level += 1
            tick -= side
            steps += 1
        for rest in range(level, LEVELS):
            if side == BUY:
                depth.bid_tick[rest] = NO_TICK
                depth.bid_qty[rest] = 0
            else:
                depth.ask_tick[rest] = NO_TICK
                depth.ask_qty[rest] = 0
