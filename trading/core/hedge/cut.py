"""A position is taken down to what it may keep, without being left: unhedging, and reductions instead of a hedge.

The lots beyond `keep_qty` leave by the ladder of exits (MOEX-ROUTE-03) until they are gone; the stop goes on covering
everything that is held, and follows as it shrinks.  An exit, so no hold refuses it.  Called by `clock.watch_position`
of shares alone; a position that is being left needs none of it.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TIME
from trading.core import orders as life
from trading.core.effects import ask_cancel, submit
from trading.core.protect import BY_HEDGE, BY_REDUCTION, attempt_ns, cancel_entries
from trading.core.records import EXIT, KEEP_ALL, Params, State
from trading.core.watch.routes import is_hedge, next_exit


@inner
def cut(state: State, params: Params, out: np.ndarray, n: int, instrument: int) -> int:
    """Bring the exits of one instrument towards `keep_qty`.  Returns the output count."""
    p = state.positions[instrument]
    if p.keep_qty == KEEP_ALL:
        return n
    held = abs(p.qty)
    if p.closing == 1 or held <= p.keep_qty:
        _done(p)
        return n
    account, limits = state.account[0], params.limits[0]
    n = cancel_entries(state, out, n, instrument)  # an exit of the instrument takes them back (MOEX-ROUTE-04)
    side = -1 if p.qty > 0 else 1
    leaving = 0
    for slot in range(account.orders_used):
        order = state.orders[slot]
        if order.number == 0 or order.instrument != instrument or not life.is_open(order.status):
            continue
        if order.role != EXIT or order.side != side:
            continue
        leaving += order.qty - order.filled
        if order.status == life.WORKING and account.now_ns - order.made_ns >= attempt_ns(limits):
            n = ask_cancel(state, out, n, slot)
    missing = held - p.keep_qty - leaving
    if missing > 0 and account.now_ns >= p.exit_retry_ns:
        sent_as, tick = next_exit(account, p, limits)
        reason = BY_HEDGE if is_hedge(params.specs[instrument], limits) else BY_REDUCTION
        n = submit(state, out, n, instrument, side, sent_as, EXIT, missing, tick, NO_TIME, reason)
    return n


@inner
def _done(p: np.record) -> None:
    """What was to leave has left, or all of it leaves: the ladder begins anew for the next."""
    p.keep_qty = KEEP_ALL
    if p.closing == 0:
        p.exit_tries = 0
        p.exit_allowed = 0
        p.exit_retry_ns = NO_TIME
