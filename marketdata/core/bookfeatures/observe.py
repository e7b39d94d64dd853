"""One accepted book into the state: totals, imbalances, and what changed since the book before it (MOEX-FEAT-03, -04).

Prices, lots and their sums are integers; a ratio is taken once, from whole sums.  An absent level has tick NO_TICK and
0 lots, so it is worse than every price and adds nothing.  Called by `stream` alone; it decides nothing on time.
"""

from typing import Any

import numpy as np

from marketdata.core.bookfeatures.records import PAIRS, QTY_MAX, TICK_MAX
from marketdata.core.compiled import inlined
from marketdata.core.records import LEVELS, NO_TICK

Record = Any  # one record of BOOK_STATE or DEPTH: the type checker cannot know its fields
NO_ASK = np.iinfo(np.int64).max  # an absent ask is worse than every price
SMALL = 1e-8
OFI_MAX = 10.0
CKS_MAX = 2.0
SPREAD_MAX = 0.1


@inlined
def clip(x: float, low: float, high: float) -> float:
    """x within [low, high]."""
    return min(max(x, low), high)


@inlined
def ratio(part: int, whole: int) -> float:
    """part / whole, 0 where whole is 0."""
    return part / whole if whole != 0 else 0.0


@inlined
def present_levels(ticks: np.ndarray, qtys: np.ndarray, sign: int) -> int:
    """How many levels of a side are present: best first, no price twice, no hole, within bounds.  -1: not so.

    `sign` is 1 for bids and -1 for asks.
    """
    count = 0
    for i in range(LEVELS):
        tick, qty = ticks[i], qtys[i]
        if tick == NO_TICK:
            if qty != 0:
                return -1
            continue
        if count != i or tick < 1 or tick > TICK_MAX or qty < 1 or qty > QTY_MAX:
            return -1
        if i > 0 and sign * tick >= sign * ticks[i - 1]:
            return -1
        count += 1
    return count


@inlined
def _flow(tick: int, qty: int, before_tick: int, before_qty: int) -> int:
    """One side's part of e_i, for prices that are better when larger; absent: the smallest number there is."""
    if tick > before_tick:
        return qty
    if tick == before_tick:
        return qty - before_qty
    return -before_qty


@inlined
def _ask(tick: int) -> int:
    """An ask's price turned round, so that larger is better and absent is the smallest."""
    return -tick if tick != NO_TICK else -NO_ASK


@inlined
def _queue(tick: int, qty: int, before_tick: int, before_qty: int) -> float:
    """queue_delta of one side; prices as in `_flow`."""
    if tick > before_tick:
        return 1.0
    if tick < before_tick:
        return -1.0
    return ratio(qty - before_qty, qty + before_qty)


@inlined
def _no_change(state: Record) -> None:
    state.ofi = 0.0
    state.gradient = 0.0
    state.cks_1 = 0.0
    state.cks_5 = 0.0
    state.cks_20 = 0.0
    state.queue_bid = 0.0
    state.queue_ask = 0.0


@inlined
def _flows(state: Record, depth: Record, start: int, stop: int) -> tuple[int, int]:
    """Sums over levels [start, stop): e_i, and B_i + A_i + B_ip + A_ip."""
    flow, lots = 0, 0
    for i in range(start, stop):
        bid, ask = depth.bid_qty[i], depth.ask_qty[i]
        bid_before, ask_before = state.bid_qty[i], state.ask_qty[i]
        flow += _flow(depth.bid_tick[i], bid, state.bid_tick[i], bid_before)
        flow -= _flow(_ask(depth.ask_tick[i]), ask, _ask(state.ask_tick[i]), ask_before)
        lots += bid + ask + bid_before + ask_before
    return flow, lots


@inlined
def _cks(flow: int, lots: int) -> float:
    """Flow over half of the lots of both books."""
    return clip(ratio(2 * flow, lots), -CKS_MAX, CKS_MAX)


@inlined
def _changes(state: Record, depth: Record, imbalance: float) -> None:
    """What changed between the state's book and `depth`."""
    flow_1, lots_1 = _flows(state, depth, 0, 1)
    flow_5, lots_5 = _flows(state, depth, 1, 5)
    flow_20, lots_20 = _flows(state, depth, 5, LEVELS)
    state.cks_1 = _cks(flow_1, lots_1)
    state.cks_5 = _cks(flow_1 + flow_5, lots_1 + lots_5)
    state.cks_20 = _cks(flow_1 + flow_5 + flow_20, lots_1 + lots_5 + lots_20)
    change = imbalance - state.imbalance
    state.ofi = clip(change / (abs(state.imbalance) + SMALL), -OFI_MAX, OFI_MAX)
    state.gradient = clip(change / (abs(imbalance) + SMALL), -OFI_MAX, OFI_MAX)
    state.queue_bid = _queue(depth.bid_tick[0], depth.bid_qty[0], state.bid_tick[0], state.bid_qty[0])
    ask, ask_before = _ask(depth.ask_tick[0]), _ask(state.ask_tick[0])
    state.queue_ask = _queue(ask, depth.ask_qty[0], ask_before, state.ask_qty[0])


@inlined
def _sum(values: np.ndarray, start: int, stop: int) -> int:
    total = 0
    for i in range(start, stop):
        total += values[i]
    return total


@inlined
def _share(bids: int, asks: int) -> float:
    return ratio(bids - asks, bids + asks)


@inlined
def _slopes(state: Record, depth: Record, bids: int, asks: int) -> None:
    """Lots times ticks away from the best price, of the present levels."""
    bid_slope, ask_slope = 0, 0
    best_bid, best_ask = depth.bid_tick[0], depth.ask_tick[0]
    for i in range(1, bids):
        bid_slope += depth.bid_qty[i] * (best_bid - depth.bid_tick[i])
    for i in range(1, asks):
        ask_slope += depth.ask_qty[i] * (depth.ask_tick[i] - best_ask)
    state.bid_slope = bid_slope
    state.ask_slope = ask_slope


@inlined
def _pair_range(state: Record, depth: Record, two_sided: bool, has_before: bool) -> int:
    """max(a_1, mid_p) - min(b_1, mid_p) in half ticks; -1 where the pair does not count (MOEX-FEAT-05)."""
    if not (two_sided and has_before and state.bids > 0 and state.asks > 0):
        return -1
    return max(2 * depth.ask_tick[0], state.mid2) - min(2 * depth.bid_tick[0], state.mid2)


@inlined
def _mid2(state: Record, depth: Record, bids: int, asks: int) -> int:
    """The mid in half ticks; of a book without two sides the one before, else the present side; 0: there is none."""
    if bids > 0 and asks > 0:
        return depth.bid_tick[0] + depth.ask_tick[0]
    if state.mid2 > 0:
        return state.mid2
    if bids > 0:
        return 2 * depth.bid_tick[0]
    if asks > 0:
        return 2 * depth.ask_tick[0]
    return 0


@inlined
def observe(state: Record, depth: Record, bids: int, asks: int, has_before: bool) -> None:
    """Make `depth`, with that many levels a side, the newest book; `has_before`: the one before is young enough."""
    two_sided = bids > 0 and asks > 0
    bid_1, ask_1 = depth.bid_qty[0], depth.ask_qty[0]
    bid_5, ask_5 = bid_1 + _sum(depth.bid_qty, 1, 5), ask_1 + _sum(depth.ask_qty, 1, 5)
    bid_10, ask_10 = bid_5 + _sum(depth.bid_qty, 5, 10), ask_5 + _sum(depth.ask_qty, 5, 10)
    bid_20, ask_20 = bid_10 + _sum(depth.bid_qty, 10, LEVELS), ask_10 + _sum(depth.ask_qty, 10, LEVELS)
    imbalance = _share(bid_20, ask_20)
    if has_before:
        _changes(state, depth, imbalance)
    else:
        _no_change(state)
    state.pair_ring[state.books & (PAIRS - 1)] = _pair_range(state, depth, two_sided, has_before)
    _slopes(state, depth, bids, asks)
    state.bid_total = bid_20
    state.ask_total = ask_20
    state.imbalance = imbalance
    state.imbalance_1 = _share(bid_1, ask_1)
    state.imbalance_5 = _share(bid_5, ask_5)
    state.imbalance_10 = _share(bid_10, ask_10)
    state.mid2 = _mid2(state, depth, bids, asks)
    state.spread_rel = 0.0
    if two_sided:
        spread2 = 2 * (depth.ask_tick[0] - depth.bid_tick[0])
        state.spread_rel = clip(spread2 / state.mid2, -SPREAD_MAX, SPREAD_MAX)
    for i in range(LEVELS):
        state.bid_tick[i] = depth.bid_tick[i]
        state.bid_qty[i] = depth.bid_qty[i]
        state.ask_tick[i] = depth.ask_tick[i]
        state.ask_qty[i] = depth.ask_qty[i]
    state.bids = bids
    state.asks = asks
    state.books += 1
