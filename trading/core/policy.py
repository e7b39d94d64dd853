"""From a score to an order: what the strategy asks for, put into the gate's form.

The scorer proposes a side with a confidence; size and bracket are the version's numbers; the gate disposes.  An
opposite score with enough confidence closes a position (MES-REV-01, exit only); it never flips one.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import BUY, NO_TICK, NO_TIME
from marketdata.core.units import NANOS
from risk.core import gate
from risk.core.holds import BIT
from risk.core.records import UNKNOWN, GateInput
from trading.core import ledger
from trading.core import orders as life
from trading.core.effects import blank, raise_hold, roll_messages, submit
from trading.core.protect import BY_SIGNAL, close
from trading.core.records import DECISION, ENTRY, INSTRUMENT_CAPACITY, MARKET, Params, State
from trading.core.watch import price_move

_DUPLICATE_STORM = BIT["DUPLICATE_STORM"]
STORM_NS = 60 * NANOS


@inner
def on_score(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """One decision: refused with a reason, or an entry order; an exit when the score speaks against the position.

    Always leaves one DECISION row.  The exit needs no check but the score's own (MES-REV-01): no hold may stop it.
    """
    account = state.account[0]
    account.decisions += 1
    i = e.instrument
    position = state.positions[i]
    limits = params.limits[0]
    if position.qty * e.side < 0 and _convinces(e, limits, account.now_ns):
        close(position, BY_SIGNAL)
    x = gate_input(state, params, e)
    code = gate.approve(x, limits)
    n = _decision(state, params, e, x, code, out, n)
    if code == gate.APPROVED:
        position.asked_ns = e.ts_venue_ns
        until_ns = account.now_ns + limits.entry_ttl_ns
        return submit(state, out, n, i, e.side, MARKET, ENTRY, x.qty, NO_TICK, until_ns, 0)
    account.refusals += 1
    if code == gate.DUPLICATE:
        n = _count_duplicate(state, out, n)
    return n


@inner
def _convinces(e: np.record, limits: np.record, now_ns: int) -> bool:
    """A fresh score with a signal and confidence enough to act on."""
    if not 0 <= now_ns - e.ts_venue_ns <= limits.score_age_ns_max:
        return False
    return e.score_ppm * e.side >= limits.score_ppm_min and e.confidence_ppm >= limits.confidence_ppm_min


@inner
def gate_input(state: State, params: Params, e: np.record) -> GateInput:
    """Everything that a gate rule may look at, at this moment, for the entry that this score asks for."""
    a = state.account[0]
    p = state.positions[e.instrument]
    spec = params.specs[e.instrument]
    limits = params.limits[0]
    bar_mode = limits.bar_mode == 1
    price = p.last_tick if bar_mode else (p.ask_tick if e.side == BUY else p.bid_tick)
    known = price != NO_TICK and price > 0 and spec.tick_value_micros > 0
    fee = ledger.fee_per_unit(price, spec.tick_value_micros, spec.fee_micros, spec.fee_ppm) if known else UNKNOWN
    open_count, buys, sells, unknown, same_ns = _working(state, e, limits.qty_entry)
    second = a.now_ns // NANOS
    roll_messages(state, second)
    in_a_minute = 0
    for k in range(60):
        in_a_minute += a.messages[k]
    limits_known = 1 if a.version != 0 and gate.all_known(params.limit_values) else 0
    used = 1 if e.ts_venue_ns <= p.asked_ns else 0
    priced_ns = p.last_ts_ns if bar_mode else p.quote_ts_ns
    book_ok = 1 if bar_mode else p.book_ok
    return GateInput(
        a.now_ns,
        e.side,
        limits.qty_entry,
        MARKET,
        price,
        limits.stop_ticks,
        e.score_ppm,
        e.confidence_ppm,
        a.trading,
        spec.tradable,
        limits_known,
        a.latched,
        a.phase,
        a.holds,
        p.holds,
        a.feed_ts_ns,
        priced_ns,
        e.ts_venue_ns,
        a.feed_gap,
        book_ok,
        p.status,
        p.bid_tick,
        p.ask_tick,
        p.last_tick,
        p.last_ts_ns,
        price_move(p),
        a.reconciled,
        a.recon_ts_ns,
        unknown,
        p.qty,
        _open_on(state, e.instrument),
        buys,
        sells,
        open_count,
        p.entry_fill_ns,
        p.exit_fill_ns,
        spec.tick_value_micros,
        fee,
        spec.margin_micros,
        margin_elsewhere(state, params, e.instrument),
        open_risk(state, params),
        a.day_net_micros,
        a.equity_micros,
        a.reference_micros,
        same_ns,
        used,
        a.messages[second % 60],
        in_a_minute,
    )


@inner
def _open_on(state: State, instrument: int) -> int:
    """Open orders of any role on one instrument: while flat, each of them must end before a new entry."""
    open_count = 0
    for slot in range(state.account[0].orders_used):
        order = state.orders[slot]
        if order.number > 0 and order.instrument == instrument and life.is_open(order.status):
            open_count += 1
    return open_count


@inner
def _working(state: State, e: np.record, qty: int) -> tuple[int, int, int, int, int]:
    """(open orders, entries to buy, entries to sell, unknown outcomes, time of the same order)."""
    open_count, buys, sells, unknown, same_ns = 0, 0, 0, 0, NO_TIME
    for slot in range(state.account[0].orders_used):
        order = state.orders[slot]
        if order.number == 0 or not life.is_open(order.status):
            continue
        open_count += 1
        if order.status == life.UNKNOWN or order.request == life.QUERYING:
            unknown += 1
        if order.role != ENTRY or order.instrument != e.instrument:
            continue
        if order.side == BUY:
            buys += order.qty - order.filled
        else:
            sells += order.qty - order.filled
        if order.side == e.side and order.qty == qty and order.order_type == MARKET:
            same_ns = max(same_ns, order.sent_ns)
    return open_count, buys, sells, unknown, same_ns


@inner
def margin_elsewhere(state: State, params: Params, instrument: int) -> int:
    """P-13: margin of what the other instruments hold and what their working entries may add; UNKNOWN without one."""
    total = 0
    for i in range(INSTRUMENT_CAPACITY):
        lots = abs(state.positions[i].qty)
        if i == instrument or lots == 0:
            continue
        if params.specs[i].margin_micros < 0:
            return UNKNOWN
        total += lots * params.specs[i].margin_micros
    for slot in range(state.account[0].orders_used):
        order = state.orders[slot]
        if order.number == 0 or order.role != ENTRY or order.instrument == instrument or not life.is_open(order.status):
            continue
        if params.specs[order.instrument].margin_micros < 0:
            return UNKNOWN
        total += (order.qty - order.filled) * params.specs[order.instrument].margin_micros
    return total


@inner
def open_risk(state: State, params: Params) -> int:
    """MES-RISK-06: loss to the stops of positions and working entries, with fees; UNKNOWN without a stop."""
    total = 0
    for i in range(INSTRUMENT_CAPACITY):
        p = state.positions[i]
        if p.qty == 0:
            continue
        if p.stop_tick == NO_TICK:
            return UNKNOWN
        spec = params.specs[i]
        fee = ledger.fee_per_unit(p.stop_tick, spec.tick_value_micros, spec.fee_micros, spec.fee_ppm)
        total += ledger.loss_to_stop(p, spec.tick_value_micros) + abs(p.qty) * fee
    limits = params.limits[0]
    for slot in range(state.account[0].orders_used):
        order = state.orders[slot]
        if order.number == 0 or order.role != ENTRY or not life.is_open(order.status):
            continue
        spec = params.specs[order.instrument]
        price = state.positions[order.instrument].mark_tick
        if price == NO_TICK:
            return UNKNOWN
        fee = ledger.fee_per_unit(price, spec.tick_value_micros, spec.fee_micros, spec.fee_ppm)
        lots = order.qty - order.filled
        total += lots * ((limits.stop_ticks + limits.slip_ticks_assumed) * spec.tick_value_micros + 2 * fee)
    return total


@inner
def _decision(state: State, params: Params, e: np.record, x: GateInput, code: int, out: np.ndarray, n: int) -> int:
    """The row that says why, or why not: score, first refusing rule, the price and figures that it saw (N6)."""
    blank(out, n, DECISION, e.instrument, state.account[0].now_ns)
    o = out[n]
    o.side = e.side
    o.code = code
    o.ref = e.seq
    o.score_ppm = e.score_ppm
    o.confidence_ppm = e.confidence_ppm
    o.qty = x.qty
    o.price_tick = x.price_tick
    o.bid_tick = x.bid_tick
    o.ask_tick = x.ask_tick
    o.value = x.holds | x.instrument_holds
    o.volume = x.position
    o.until_ns = x.quote_ts_ns
    o.ts_venue_ns = e.ts_venue_ns
    o.order_number = state.account[0].next_order if code == gate.APPROVED else 0
    return n + 1


@inner
def _count_duplicate(state: State, out: np.ndarray, n: int) -> int:
    """Three duplicate refusals in 60 s halt the strategy (P-16)."""
    a = state.account[0]
    oldest = a.duplicates[0]
    a.duplicates[0] = a.duplicates[1]
    a.duplicates[1] = a.duplicates[2]
    a.duplicates[2] = a.now_ns
    if a.duplicates[0] != NO_TIME and a.now_ns - a.duplicates[0] <= STORM_NS and oldest != a.now_ns:
        n = raise_hold(state, out, n, _DUPLICATE_STORM, NO_TIME, 3, 3)
    return n
