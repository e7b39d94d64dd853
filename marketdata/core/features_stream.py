"""Streaming features, first cut: one jitted step that live, paper, replay, training and batch all call.

A FEATURE_STATE record per instrument is moved by QUOTE, BOOK, TRADE and BAR events; `vector` writes the features named
in `features_schema` at that moment.  Time is the venue's stamp of the event.  Windows are counted in grid steps: 1 s,
or, on a tape of bars alone, the bar's length.  Window sums are integers (no drift); work per event is bounded by RING
steps.  Nothing here knows a clock, a model or the future.  Called by trading.learning and the inference loop.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from marketdata.core import features_schema as f
from marketdata.core.features_schema import EMA_FAST_SHIFT, EMA_SLOW_SHIFT, FEATURE_COUNT, RING, STEP_NS, WARM_STEPS
from marketdata.core.records import (
    BAR,
    BOOK,
    BUY,
    FEED,
    FEED_DOWN,
    FEED_GAP,
    FLAG_INVALID,
    LEVELS,
    NO_TICK,
    NO_TIME,
    QUOTE,
    SELL,
    TRADE,
)

Record = Any  # one record of FEATURE_STATE, EVENT or DEPTH: the type checker cannot know its fields
MASK = RING - 1
EMA_ONE = 65_536  # fixed point of the averages
CHANGE_MAX = 1 << 20  # half ticks a step: keeps the sum of 30 squares far inside int64
DEEP = 5

FEATURE_STATE = np.dtype(
    (
        np.record,
        [
            ("now_ns", "<i8"),  # newest venue time seen
            ("step_ns", "<i8"),
            ("step", "<i8"),  # index of the present grid step
            ("steps", "<i8"),  # grid steps passed in this segment
            ("started", "<i8"),  # 1 once a price of this segment is known
            ("quoted", "<i8"),  # 1 once a quote or book was seen: bars and trades no longer set the mid
            ("book_ok", "<i8"),
            ("bid_tick", "<i8"),
            ("ask_tick", "<i8"),
            ("bid_qty", "<i8"),
            ("ask_qty", "<i8"),
            ("bid_5", "<i8"),  # summed quantity, best 5 and best 20 levels
            ("ask_5", "<i8"),
            ("bid_20", "<i8"),
            ("ask_20", "<i8"),
            ("flow", "<i8"),  # e_1 of the last book
            ("flow_depth", "<i8"),  # B + A + Bp + Ap
            ("mid2", "<i8"),  # half ticks: bid + ask
            ("high2", "<i8"),  # over the 59 closed steps
            ("low2", "<i8"),
            ("ema_fast", "<i8"),  # half ticks x EMA_ONE
            ("ema_slow", "<i8"),
            ("last_trade_ns", "<i8"),
            ("buy_10", "<i8"),
            ("sell_10", "<i8"),
            ("buy_30", "<i8"),
            ("sell_30", "<i8"),
            ("trades_10", "<i8"),
            ("squares_30", "<i8"),  # sum of squared changes, half ticks squared
            ("mid2_ring", "<i8", (RING,)),  # by step & MASK: at the step's end
            ("high2_ring", "<i8", (RING,)),
            ("low2_ring", "<i8", (RING,)),
            ("buy_ring", "<i8", (RING,)),
            ("sell_ring", "<i8", (RING,)),
            ("trades_ring", "<i8", (RING,)),
            ("square_ring", "<i8", (RING,)),
        ],
    )
)


def new_states(count: int) -> np.ndarray:
    """(count,) FEATURE_STATE that have seen nothing; index = EVENT.instrument."""
    states = np.zeros(count, FEATURE_STATE)
    for name in ("now_ns", "last_trade_ns"):
        states[name] = NO_TIME
    states["step_ns"] = STEP_NS
    return states


@njit(cache=True)
def _start(state: Record, mid2: int) -> None:
    """Begin a segment at its first price: every window holds that price and nothing else."""
    state.started = 1
    state.steps = 0
    state.step = state.now_ns // state.step_ns
    state.mid2 = mid2
    state.high2 = mid2
    state.low2 = mid2
    state.ema_fast = mid2 * EMA_ONE
    state.ema_slow = mid2 * EMA_ONE
    state.buy_10 = 0
    state.sell_10 = 0
    state.buy_30 = 0
    state.sell_30 = 0
    state.trades_10 = 0
    state.squares_30 = 0
    state.last_trade_ns = NO_TIME
    for i in range(RING):
        state.mid2_ring[i] = mid2
        state.high2_ring[i] = mid2
        state.low2_ring[i] = mid2
        state.buy_ring[i] = 0
        state.sell_ring[i] = 0
        state.trades_ring[i] = 0
        state.square_ring[i] = 0


@njit(cache=True)
def _close_step(state: Record) -> None:
    """Close the present grid step at the present mid and open the next one."""
    mid2 = state.mid2
    here = state.step & MASK
    change = mid2 - state.mid2_ring[(state.step - 1) & MASK]
    change = min(max(change, -CHANGE_MAX), CHANGE_MAX)
    state.squares_30 += change * change - state.square_ring[(state.step - 30) & MASK]
    state.square_ring[here] = change * change
    state.mid2_ring[here] = mid2
    state.ema_fast += (mid2 * EMA_ONE - state.ema_fast) >> EMA_FAST_SHIFT
    state.ema_slow += (mid2 * EMA_ONE - state.ema_slow) >> EMA_SLOW_SHIFT
    state.step += 1
    state.steps += 1
    left_10 = (state.step - 10) & MASK
    left_30 = (state.step - 30) & MASK
    state.buy_10 -= state.buy_ring[left_10]
    state.sell_10 -= state.sell_ring[left_10]
    state.trades_10 -= state.trades_ring[left_10]
    state.buy_30 -= state.buy_ring[left_30]
    state.sell_30 -= state.sell_ring[left_30]
    here = state.step & MASK
    state.buy_ring[here] = 0
    state.sell_ring[here] = 0
    state.trades_ring[here] = 0
    state.high2_ring[here] = mid2
    state.low2_ring[here] = mid2


@njit(cache=True)
def _advance(state: Record, now_ns: int) -> None:
    """Move the grid to `now_ns`.  A silence of RING steps or more ends the segment: the next price begins a new one."""
    if now_ns <= state.now_ns:
        return  # the same moment, or a stamp older than one already seen: counted at the newest time
    state.now_ns = now_ns
    if state.started == 0:
        return
    passed = now_ns // state.step_ns - state.step
    if passed >= RING:
        state.started = 0
        state.book_ok = 0
        return
    if passed == 0:
        return
    for _ in range(passed):
        _close_step(state)
    high2 = state.mid2
    low2 = state.mid2
    for k in range(1, 60):
        high2 = max(high2, state.high2_ring[(state.step - k) & MASK])
        low2 = min(low2, state.low2_ring[(state.step - k) & MASK])
    state.high2 = high2
    state.low2 = low2


@njit(cache=True)
def _price(state: Record, mid2: int) -> None:
    """The mid is now `mid2`."""
    if state.started == 0:
        _start(state, mid2)
    state.mid2 = mid2
    _extreme(state, mid2, mid2)


@njit(cache=True)
def _extreme(state: Record, high2: int, low2: int) -> None:
    here = state.step & MASK
    state.high2_ring[here] = max(state.high2_ring[here], high2)
    state.low2_ring[here] = min(state.low2_ring[here], low2)


@njit(cache=True)
def _set_grid(state: Record, step_ns: int) -> None:
    """Another grid step: what the windows hold no longer fits, so a new segment begins."""
    if state.step_ns != step_ns:
        state.step_ns = step_ns
        state.started = 0


@njit(cache=True)
def _flow(state: Record, bid_tick: int, bid_qty: int, ask_tick: int, ask_qty: int) -> None:
    """Order flow of the best level against the book before (MOEX-FEAT-04); 0 where there is none."""
    state.flow = 0
    state.flow_depth = 0
    if state.book_ok != 1:
        return
    if bid_tick > state.bid_tick:
        bid_part = bid_qty
    elif bid_tick == state.bid_tick:
        bid_part = bid_qty - state.bid_qty
    else:
        bid_part = -state.bid_qty
    if ask_tick < state.ask_tick:
        ask_part = ask_qty
    elif ask_tick == state.ask_tick:
        ask_part = ask_qty - state.ask_qty
    else:
        ask_part = -state.ask_qty
    state.flow = bid_part - ask_part
    state.flow_depth = bid_qty + ask_qty + state.bid_qty + state.ask_qty


@njit(cache=True)
def _book(state: Record, event: Record, depth: Record, has_depth: bool) -> None:
    """A quote or book: its best level, its sums, the flow since the one before."""
    bid_tick, ask_tick = event.bid_tick, event.ask_tick
    # by name: the attribute of that name is numpy's own
    usable = event["flags"] & FLAG_INVALID == 0 and bid_tick != NO_TICK and ask_tick != NO_TICK and bid_tick < ask_tick
    if not usable:
        state.book_ok = 0  # the mid stays the last good one; flow starts afresh with the next good book
        return
    if state.quoted == 0:
        state.quoted = 1
        _set_grid(state, STEP_NS)
    _flow(state, bid_tick, event.bid_qty, ask_tick, event.ask_qty)
    if has_depth:
        bids = 0
        asks = 0
        for i in range(LEVELS):
            bids += depth.bid_qty[i]
            asks += depth.ask_qty[i]
            if i == DEEP - 1:
                state.bid_5 = bids
                state.ask_5 = asks
        state.bid_20 = bids
        state.ask_20 = asks
    elif state.bid_20 < event.bid_qty or state.ask_20 < event.ask_qty or state.book_ok != 1:
        state.bid_5 = event.bid_qty  # no depth is known, or it contradicts the quote
        state.ask_5 = event.ask_qty
        state.bid_20 = event.bid_qty
        state.ask_20 = event.ask_qty
    state.bid_tick = bid_tick
    state.ask_tick = ask_tick
    state.bid_qty = event.bid_qty
    state.ask_qty = event.ask_qty
    state.book_ok = 1
    _price(state, bid_tick + ask_tick)


@njit(cache=True)
def _trade(state: Record, event: Record) -> None:
    """A print: quantity by aggressor, count, extremes; the mid only on a tape that never quoted."""
    if event.price_tick == NO_TICK:
        return
    if state.quoted == 0:
        _price(state, 2 * event.price_tick)
    if state.started == 0:
        return
    _extreme(state, 2 * event.price_tick, 2 * event.price_tick)
    here = state.step & MASK
    if event.side == BUY:
        state.buy_ring[here] += event.qty
        state.buy_10 += event.qty
        state.buy_30 += event.qty
    elif event.side == SELL:
        state.sell_ring[here] += event.qty
        state.sell_10 += event.qty
        state.sell_30 += event.qty
    state.trades_ring[here] += 1
    state.trades_10 += 1
    state.last_trade_ns = state.now_ns


@njit(cache=True)
def _bar(state: Record, event: Record) -> None:
    """A closed bar; counts only on a tape without quotes, where its length is the grid step."""
    if event.close_tick == NO_TICK or state.quoted == 1:
        return
    if event.value > STEP_NS:
        _set_grid(state, event.value)
    _price(state, 2 * event.close_tick)
    if event.high_tick != NO_TICK and event.low_tick != NO_TICK:
        _extreme(state, 2 * event.high_tick, 2 * event.low_tick)
    if event.volume > 0:
        state.last_trade_ns = state.now_ns


@njit(cache=True)
def step(state: Record, event: Record, depth: Record, has_depth: bool) -> None:
    """Move one instrument's state by one event.  `depth` is read only when `has_depth`.  Other kinds change nothing."""
    kind = event.kind
    if kind == FEED:
        if event.code == FEED_GAP or event.code == FEED_DOWN:
            state.book_ok = 0  # what happened in the gap is unknown: no flow across it
        return
    if kind != BAR and kind != QUOTE and kind != TRADE and kind != BOOK:
        return
    _advance(state, event.ts_venue_ns)
    if kind == TRADE:
        _trade(state, event)
    elif kind == BAR:
        _bar(state, event)
    else:
        _book(state, event, depth, has_depth)


@njit(cache=True)
def ready(state: Record) -> bool:
    """True once the segment is warm: from here on every vector is finite and counts."""
    return state.started == 1 and state.steps >= WARM_STEPS


@njit(cache=True)
def _share(plus: int, minus: int) -> float:
    total = plus + minus
    return (plus - minus) / total if total > 0 else 0.0


@njit(cache=True)
def vector(state: Record, out: np.ndarray) -> None:
    """Write the features of this moment into `out` (FEATURE_COUNT,) float64.  Only meaningful while `ready`."""
    for i in range(FEATURE_COUNT):
        out[i] = 0.0
    mid2 = state.mid2
    if state.book_ok == 1:
        out[f.IMBALANCE_1] = _share(state.bid_qty, state.ask_qty)
        out[f.IMBALANCE_5] = _share(state.bid_5, state.ask_5)
        out[f.IMBALANCE_20] = _share(state.bid_20, state.ask_20)
        # (a B + b A)/(B + A) - (a + b)/2 = (a - b)/2 x (B - A)/(B + A)
        out[f.MICROPRICE_REL_TICKS] = (state.ask_tick - state.bid_tick) * 0.5 * out[f.IMBALANCE_1]
        out[f.SPREAD_TICKS] = float(state.ask_tick - state.bid_tick)
        if state.flow_depth > 0:
            out[f.OFI_CKS_1] = min(max(2.0 * state.flow / state.flow_depth, -2.0), 2.0)
    out[f.RET_1] = (mid2 - state.mid2_ring[(state.step - 1) & MASK]) * 0.5
    out[f.RET_5] = (mid2 - state.mid2_ring[(state.step - 5) & MASK]) * 0.5
    out[f.RET_30] = (mid2 - state.mid2_ring[(state.step - 30) & MASK]) * 0.5
    out[f.RET_60] = (mid2 - state.mid2_ring[(state.step - 60) & MASK]) * 0.5
    out[f.MOMENTUM_FAST] = (mid2 * EMA_ONE - state.ema_fast) / (2.0 * EMA_ONE)
    out[f.MOMENTUM_SLOW] = (mid2 * EMA_ONE - state.ema_slow) / (2.0 * EMA_ONE)
    out[f.TRADE_IMBALANCE_10] = _share(state.buy_10, state.sell_10)
    out[f.TRADE_IMBALANCE_30] = _share(state.buy_30, state.sell_30)
    out[f.TRADE_RATE_10] = min(f.TRADE_RATE_MAX, state.trades_10 / 10.0)
    out[f.RV_30] = math.sqrt(state.squares_30 / 30.0) * 0.5
    out[f.SINCE_TRADE] = f.SINCE_TRADE_MAX
    if state.last_trade_ns != NO_TIME:
        out[f.SINCE_TRADE] = min(f.SINCE_TRADE_MAX, (state.now_ns - state.last_trade_ns) / state.step_ns)
    here = state.step & MASK
    out[f.RANGE_60] = (max(state.high2, state.high2_ring[here]) - min(state.low2, state.low2_ring[here])) * 0.5


@njit(cache=True)
def update(states: np.ndarray, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray, index: int) -> None:
    """`step` for events[index] of a batch.  `depth_of[index]` is its row in `depths` or -1; `depths` is never empty.

    An event of the whole account (FEED) reaches every instrument; an instrument outside `states` changes nothing.
    """
    row = depth_of[index]
    has_depth = row >= 0
    if not has_depth:
        row = 0
    which = events[index].instrument
    if which >= 0:
        if which < len(states):
            step(states[which], events[index], depths[row], has_depth)
        return
    for i in range(len(states)):
        step(states[i], events[index], depths[row], has_depth)


@njit(cache=True)
def batch(
    states: np.ndarray, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray, out: np.ndarray, valid: np.ndarray
) -> None:
    """The same step over arrays: row i of `out` (n, FEATURE_COUNT) is the vector after event i, NaN where not `valid`.

    Lengths are the caller's to keep; `states` goes on, so a tape may come in chunks of any size.
    """
    for i in range(len(events)):
        update(states, events, depths, depth_of, i)
        which = events[i].instrument
        valid[i] = 0 <= which < len(states) and ready(states[which])
        if valid[i]:
            vector(states[which], out[i])
        else:
            for j in range(FEATURE_COUNT):
                out[i, j] = np.nan
