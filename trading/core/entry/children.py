"""An approved entry of shares as the orders that leave: one aggressive child, or with more than five lots a passive one
after it (MOEX-ROUTE-01, -03, -04).

Both leave the step together.  The passive one's SUBMIT carries the limit of the first as its price, the time before
which it may not be sent as `ts_venue_ns`, and the end of that right as `until_ns`; its first child is the number before
its own.  The server of the outbox holds it, prices it, and ends it `PASSIVE_TTL_NS` after it was sent.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK
from marketdata.core.units import NANOS, QTY_MAX, TICK_MAX
from risk.core.costs import expected_cost_micros
from risk.core.shares.routing import ENTRY_VALID_NS, PASSIVE_TTL_NS, passive_gap_ns, passive_window
from trading.core.effects import slot_of, submit
from trading.core.entry.plan import Asked, Plan
from trading.core.records import ENTRY, FILL_AND_KILL, PASSIVE, State
from trading.core.watch.routes import traded_last_minute

OVERDUE_NS = NANOS  # after the server should have ended a passive child the kernel asks for it


@inner
def send_children(state: State, out: np.ndarray, n: int, asked: Asked, plan: Plan, entry_ttl_ns: int) -> int:
    """Send exactly the slices of the plan, each with a life of 500 ms at most.  Returns the output count."""
    a = state.account[0]
    i, side, tick, first = asked.instrument, asked.side, plan.price_tick, plan.first_qty
    n = submit(
        state, out, n, i, side, FILL_AND_KILL, ENTRY, first, tick, a.now_ns + min(entry_ttl_ns, ENTRY_VALID_NS), 0
    )
    if plan.slices < 2:
        return n
    gap_ns = passive_gap_ns(plan.qty, traded_last_minute(state.positions[i], a.now_ns))
    starts_ns, ends_ns = passive_window(a.now_ns, gap_ns)
    n = submit(state, out, n, i, side, PASSIVE, ENTRY, plan.qty - first, tick, ends_ns, 0)
    out[n - 1].ts_venue_ns = starts_ns
    order = state.orders[slot_of(state, a.next_order - 1)]
    order.sent_ns = starts_ns  # no answer is due before
    order.until_ns = ends_ns + PASSIVE_TTL_NS + OVERDUE_NS
    return n


@inner
def expected_cost(spec: np.record, x: np.record, plan: Plan) -> int:
    """Half the spread and the commission of an entry (MOEX-ROUTE-02), micros; 0 where there is nothing to send."""
    known = x.bid_tick != NO_TICK and 0 < x.bid_tick < x.ask_tick <= TICK_MAX
    if plan.qty <= 0 or plan.qty > QTY_MAX or not known or plan.price_tick == NO_TICK:
        return 0
    spread = x.ask_tick - x.bid_tick
    return expected_cost_micros(plan.qty, spread, plan.price_tick, spec.tick_value_micros, spec.fee_ppm)
