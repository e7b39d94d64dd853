"""A person moves the stop or the target of what is held: `move_stop`, `move_target` (UI-15, MOEX-ACC-103); and what
becomes of a leg that the venue refuses.

A stop only comes closer, and stays on its side of the market: a stop that would fire at once is a close, and has a
command of its own.  A target may go either way on its own side, once the entry is filled: until then it follows the
average.  The order at the venue follows through `converge`; nothing here sends anything.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK
from marketdata.core.units import NANOS, TICK_MAX
from trading.core import orders as life
from trading.core import states as why
from trading.core.effects import receipt
from trading.core.records import ENTRY, MOVE_STOP, MOVE_TARGET, Params, State

AGAIN_NS = 1 * NANOS  # a refused price is not asked for again sooner, and each time twice as late …
AGAIN_DOUBLED_MOST = 5  # … up to 32 s


@inner
def move_leg(state: State, params: Params, e: np.record) -> int:
    """Apply MOVE_STOP or MOVE_TARGET to `e.instrument`; `e.value`: the new tick.

    Returns 0, or why it is refused (`states.REFUSALS`) and nothing changed.
    """
    if not 0 <= e.instrument < state.account[0].instruments:
        return why.NOTHING_HELD
    p = state.positions[e.instrument]
    if p.qty == 0:
        return why.NOTHING_HELD
    if p.closing == 1 or p.stop_tick == NO_TICK:
        return why.LEAVING
    if not 0 < e.value <= TICK_MAX:
        return why.NO_PRICE
    side = 1 if p.qty > 0 else -1
    market_tick = _leaving_tick(p, side, state.account[0].now_ns, params.limits[0])
    if market_tick == NO_TICK:
        return why.MARKET_UNKNOWN  # nobody knows on which side of the market the order would be
    if e.code == MOVE_STOP:
        if (e.value - p.stop_tick) * side <= 0:
            return why.NOT_CLOSER
        if (market_tick - e.value) * side <= 0:
            return why.THROUGH_MARKET
        p.stop_tick = e.value
        p.trailed = 1
        p.stop_ref = e.ref if p.net_tick == NO_TICK else 0  # behind a wider stop at the venue ours is tested here
        p.stop_refused_tick = NO_TICK
        return 0
    if e.value == p.target_tick:
        return why.NOT_MOVED
    if (e.value - market_tick) * side <= 0:
        return why.THROUGH_MARKET
    if _entry_works(state, e.instrument):
        return why.ENTRY_WORKS
    if p.target_ref == 0:
        p.target_before_tick = p.target_tick
    p.target_ref = e.ref
    p.target_tick = e.value
    p.refused_tick = NO_TICK  # somebody wants it: asked for at once, whatever was refused before
    return 0


@inner
def _leaving_tick(p: np.record, side: int, now_ns: int, limits: np.record) -> int:
    """The price at which the position would be left now: the quote's near side; of bars, or without a valid quote, the
    mark.  NO_TICK for a quote that is older than an entry may rest on."""
    if p.book_ok != 1 or limits.bar_mode == 1:
        return p.mark_tick
    if now_ns - p.quote_ts_ns > limits.quote_age_ns_max:
        return NO_TICK
    return p.bid_tick if side > 0 else p.ask_tick


@inner
def _entry_works(state: State, instrument: int) -> bool:
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number > 0 and order.instrument == instrument and order.role == ENTRY and life.is_open(order.status):
            return True
    return False


@inner
def forget_legs(p: np.record) -> None:
    """Nothing is held, or something else: no target was asked for, no leg refused."""
    p.stop_ref = 0
    p.stop_refused_tick = NO_TICK
    p.stop_refused_times = 0
    p.target_tick = NO_TICK
    p.target_before_tick = NO_TICK
    p.target_ref = 0
    p.refused_tick = NO_TICK
    p.refused_qty = 0
    p.refused_times = 0


@inner
def withheld(p: np.record, qty: int, tick: int, now_ns: int) -> bool:
    """Whether this target, for so much at this price, was refused too lately to be asked for again."""
    return tick == p.refused_tick and qty == p.refused_qty and now_ns < p.target_retry_ns


@inner
def target_works(p: np.record, order: np.record) -> None:
    """The venue works a target at its price: a person's move that asked for it is done."""
    if order.price_tick == p.target_tick:
        p.target_ref = 0
        p.refused_tick = NO_TICK


@inner
def target_refused(state: State, p: np.record, order: np.record, asked: int, out: np.ndarray, n: int) -> int:
    """The venue refused to place (`asked` SUBMITTING) or to change (MODIFYING) a target.  Returns the output count.

    The same is not asked for again before `target_retry_ns`; another price or size is.  A price that a person asked
    for is given up: the target belongs where it was, and the command gets a second receipt, which says refused.
    """
    changing = asked == life.MODIFYING
    tick = order.asked_tick if changing else order.price_tick
    qty = (order.asked_qty if changing else order.qty) - order.filled
    if changing and tick == order.price_tick and qty < order.qty - order.filled:
        return n  # larger than what is held it may not stay: asked for again as soon as any change
    if tick != p.refused_tick or qty != p.refused_qty:
        p.refused_times = 0
    p.refused_tick = tick
    p.refused_qty = qty
    p.target_retry_ns = state.account[0].now_ns + (AGAIN_NS << p.refused_times)
    p.refused_times = min(p.refused_times + 1, AGAIN_DOUBLED_MOST)
    answers_move = changing or asked == life.SUBMITTING
    if p.target_ref == 0 or tick != p.target_tick or not answers_move or (changing and tick == order.price_tick):
        return n
    n = receipt(state, out, n, MOVE_TARGET, p.target_ref, why.VENUE_REFUSED)
    p.target_tick = order.price_tick if changing else p.target_before_tick
    p.target_ref = 0
    return n


@inner
def stop_withheld(p: np.record, tick: int, now_ns: int) -> bool:
    """Whether the venue refused to move the stop to this price too lately to be asked again."""
    return tick == p.stop_refused_tick and now_ns < p.stop_retry_ns


@inner
def stop_works(p: np.record, order: np.record) -> None:
    """The venue works a stop at its price: a person's move that asked for it is done."""
    if order.stop_tick == p.stop_tick:
        p.stop_ref = 0
        p.stop_refused_tick = NO_TICK


@inner
def stop_refused(state: State, p: np.record, order: np.record, out: np.ndarray, n: int) -> int:
    """The venue refused to move a stop: the old one works on.  Returns the output count.

    The same price is not asked for again before `stop_retry_ns`; another one is, and so is another size at the old
    price.  What a person asked for is given up: the stop belongs where it works, and the command gets a second receipt.
    """
    tick = order.asked_tick
    if tick == order.stop_tick:
        return n  # the size alone: it must cover what is held, asked for again as soon as any change
    if tick != p.stop_refused_tick:
        p.stop_refused_times = 0
    p.stop_refused_tick = tick
    p.stop_retry_ns = state.account[0].now_ns + (AGAIN_NS << p.stop_refused_times)
    p.stop_refused_times = min(p.stop_refused_times + 1, AGAIN_DOUBLED_MOST)
    if p.stop_ref == 0 or tick != p.stop_tick:
        return n
    n = receipt(state, out, n, MOVE_STOP, p.stop_ref, why.VENUE_REFUSED)
    p.stop_tick = order.stop_tick
    p.stop_ref = 0
    return n
