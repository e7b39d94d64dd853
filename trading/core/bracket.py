"""A person moves the stop or the target of what is held: `move_stop`, `move_target` (UI-15, MOEX-ACC-103).

A stop only comes closer, and stays on its side of the market: a stop that would fire at once is a close, and has a
command of its own.  A target may go either way on its own side, once the entry is filled: until then it follows the
average.  The order at the venue follows through `converge`; nothing here sends anything.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK
from marketdata.core.units import TICK_MAX
from trading.core import orders as life
from trading.core.records import ENTRY, MOVE_STOP, Params, State


@inner
def move_leg(state: State, params: Params, e: np.record) -> bool:
    """Apply MOVE_STOP or MOVE_TARGET to `e.instrument`; `e.value`: the new tick.  False: refused, nothing changed."""
    if not 0 <= e.instrument < state.account[0].instruments:
        return False
    p = state.positions[e.instrument]
    if p.qty == 0 or p.closing == 1 or p.stop_tick == NO_TICK or not 0 < e.value <= TICK_MAX:
        return False
    side = 1 if p.qty > 0 else -1
    market_tick = _leaving_tick(p, side, state.account[0].now_ns, params.limits[0])
    if market_tick == NO_TICK:
        return False  # nobody knows on which side of the market the order would be
    if e.code == MOVE_STOP:
        if (e.value - p.stop_tick) * side <= 0 or (market_tick - e.value) * side <= 0:
            return False
        p.stop_tick = e.value
        p.trailed = 1
        return True
    if e.value == p.target_tick or (e.value - market_tick) * side <= 0 or _entry_works(state, e.instrument):
        return False
    p.target_tick = e.value
    return True


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
    for slot in range(state.account[0].orders_used):
        order = state.orders[slot]
        if order.number > 0 and order.instrument == instrument and order.role == ENTRY and life.is_open(order.status):
            return True
    return False
