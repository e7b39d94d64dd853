"""What an entry would be, and everything the gate may look at: the plan, and the gate's form filled in.

Stop, target and size follow from the version's methods (MES-STOP, MES-SIZE, MOEX-SIZE-01).  Nothing here decides and
nothing is sent.  Called by `policy`, once for each entry that somebody asks for.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import BUY, NO_TICK, NO_TIME
from marketdata.core.units import NANOS, PPM, TICK_MAX
from risk.core import breakers, codes, gate, sizing, stops
from risk.core.asking import ATR_SUM_MAX, COUNT_MAX
from risk.core.holds import BY_STRENGTH, ENTRY_MASK, HALF_PPM, HOLD_CAPACITY, RANK, scale_ppm
from risk.core.records import ENTRIES_KEPT, MOEX, SIZE_CAPS, SIZE_FIXED, STOP_STRUCTURE, UNKNOWN
from risk.core.shares.routing import route
from trading.core import ledger
from trading.core import orders as life
from trading.core.effects import roll_messages
from trading.core.entry.override import open_override
from trading.core.records import ENTRY, FILL_AND_KILL, MARKET, REGIME_HIGH, STOP, Params, State
from trading.core.watch.limits import (
    ON_DAY,
    breached,
    exposure,
    lost,
    margin_elsewhere,
    open_risk,
    remaining_day_risk,
)
from trading.core.watch.moves import price_move
from trading.core.watch.routes import entry_tick, is_hedge, routed, simplified
from trading.core.watch.shares import by_formula, planned_distance

NEVER_NS = 2**62


class Asked(NamedTuple):
    """One entry that somebody asks for.  int64 throughout."""

    instrument: int
    side: int
    score_ppm: int
    confidence_ppm: int
    score_ns: int  # time of the market data behind the score
    qty: int  # an operator's own size, 0 = the rulebook's
    row_valid: int
    reversing: int
    ref: int  # seq of the score
    regime: int  # of volatility, by the score; 0 = it names none


class Plan(NamedTuple):
    """What the version's methods make of it."""

    price_tick: int
    stop_ticks: int
    target_ticks: int
    qty: int
    size_code: int
    fee_micros: int
    open_risk_micros: int
    slices: int  # orders that it is cut into (MOEX-ROUTE-01)
    first_qty: int  # lots of the first of them


@inner
def plan_entry(state: State, params: Params, asked: Asked) -> Plan:
    """Stop, target and size of this entry by the version's methods; a price that is not known sizes nothing."""
    a = state.account[0]
    p = state.positions[asked.instrument]
    spec = params.specs[asked.instrument]
    limits = params.limits[0]
    grid = state.grids[asked.instrument]
    price = p.ask_tick if asked.side == BUY else p.bid_tick
    if limits.bar_mode == 1:
        price = p.last_tick
    elif routed(limits):
        price = entry_tick(p, asked.side)  # the limit of the aggressive child, before stop and size (MOEX-ROUTE-02)
    if a.version == 0:
        return Plan(price, UNKNOWN, 0, 0, 0, 0, UNKNOWN, 1, 0)
    swing = UNKNOWN
    if limits.stop_method == STOP_STRUCTURE and p.last_tick != NO_TICK:
        highs = np.empty(stops.SWING_BARS, np.int64)
        lows = np.empty(stops.SWING_BARS, np.int64)
        count = breakers.swings(grid, highs, lows)
        swing = stops.swing_ticks(highs, lows, count, asked.side, p.last_tick)
    stop = stops.stop_ticks(limits, a.phase, breakers.atr_sum(grid), swing)
    if by_formula(a, limits):
        stop = planned_distance(p, spec, limits, asked.side, price, a.now_ns)
    target = stops.target_ticks(limits, stop)
    risk = open_risk(state, params)
    if price == NO_TICK or price <= 0 or spec.tick_value_micros <= 0:
        return Plan(price, stop, target, 0, 0, 0, risk, 1, 0)
    fee = ledger.fee_per_unit(price, spec.tick_value_micros, spec.fee_micros, spec.fee_ppm)
    if limits.sizing == SIZE_FIXED:
        qty, code = _fixed(state, limits, asked)
    elif limits.sizing == SIZE_CAPS:
        qty, code = _capped(state, params, asked, price, stop)
    else:
        left = remaining_day_risk(state, params, max(0, risk))
        scale = scale_ppm(a.rules, a.holds | p.holds)
        loss = stop * spec.tick_value_micros
        qty, code = sizing.mes_size(
            a.balance_micros, loss, 2 * fee, asked.confidence_ppm, scale, limits, left, spec.margin_micros, asked.qty
        )
    slices, first = 1, qty
    if routed(limits) and qty > 0:
        _, _, slices, first, _ = route(qty, simplified(a))
    return Plan(price, stop, target, qty, code, fee, risk, slices, first)


@inner
def _fixed(state: State, limits: np.record, asked: Asked) -> tuple[int, int]:
    """The version's own size, or the asked one; a SCALE hold is in it (MES-SIZE-04)."""
    if asked.qty > 0:
        return asked.qty, codes.APPROVED
    a = state.account[0]
    qty = limits.qty_entry * scale_ppm(a.rules, a.holds | state.positions[asked.instrument].holds) // PPM
    if qty == 0 and limits.half_keep_one == 1:
        qty = 1
    return (qty, codes.APPROVED) if qty > 0 else (0, codes.SIZE_HALF_SKIPPED)


@inner
def _capped(state: State, params: Params, asked: Asked, price: int, stop: int) -> tuple[int, int]:
    """MOEX-SIZE-01 with the best opposite quantity as the depth that is known."""
    a = state.account[0]
    p = state.positions[asked.instrument]
    tick_value = params.specs[asked.instrument].tick_value_micros
    entry = price if p.mark_tick == NO_TICK else max(price, p.mark_tick + p.mark_half)
    loss = stop * tick_value + _ceil_share(price * tick_value, 2 * params.limits[0].costs_ppm)
    gross, _ = exposure(state, params, asked.instrument, 0, 0, NO_TICK)
    held = abs(p.qty) + _working_on(state, asked.instrument)
    depth = p.ask_qty if asked.side == BUY else p.bid_qty
    scale = scale_ppm(a.rules, a.holds | p.holds)
    confidence = asked.confidence_ppm if asked.qty == 0 else PPM
    lots, code = sizing.moex_size(
        a.capital_micros, entry * tick_value, loss, confidence, scale, params.limits[0], held, gross, max(0, depth),
        HALF_PPM if asked.regime == REGIME_HIGH else PPM,
    )  # fmt: skip
    if asked.qty > 0 and asked.qty <= lots:
        return asked.qty, codes.APPROVED
    return (lots, code) if asked.qty == 0 else (0, max(code, codes.SIZE_ZERO))


@inner
def _ceil_share(amount: int, ppm: int) -> int:
    return (amount // PPM) * ppm + ((amount % PPM) * ppm + PPM - 1) // PPM


@inner
def gate_input(state: State, params: Params, asked: Asked, plan: Plan) -> np.record:
    """Everything that a gate rule may look at, at this moment, for the entry that is asked for."""
    x = params.asking[0]
    x.now_ns = state.account[0].now_ns
    x.side = asked.side
    x.qty = plan.qty
    x.order_type = FILL_AND_KILL if routed(params.limits[0]) else MARKET
    x.price_tick = plan.price_tick
    x.stop_ticks = plan.stop_ticks
    x.score_ppm = asked.score_ppm
    x.confidence_ppm = asked.confidence_ppm
    x.score_ts_ns = asked.score_ns
    x.size_code = plan.size_code
    x.row_valid = asked.row_valid
    x.reversing = asked.reversing
    x.hedging = 0
    x.override = open_override(state.positions[asked.instrument], x.now_ns)
    x.open_risk_micros = plan.open_risk_micros
    x.fee_per_unit_micros = plan.fee_micros
    x.slices = plan.slices
    x.margin_elsewhere_micros = margin_elsewhere(state, params, asked.instrument)
    x.score_used = 1 if asked.score_ns <= state.positions[asked.instrument].asked_ns else 0
    _market(x, state, params, asked.instrument, asked.side)
    _orders(x, state, asked, plan.first_qty)
    _account(x, state, params, asked, plan.qty)
    return x


@inner
def _market(x: np.record, state: State, params: Params, instrument: int, side: int) -> None:
    """What the market and the venue say about the instrument."""
    a = state.account[0]
    p = state.positions[instrument]
    spec = params.specs[instrument]
    bars = params.limits[0].bar_mode == 1
    x.tradable = 1 if spec.tradable == 1 and not is_hedge(spec, params.limits[0]) else 0
    x.tick_value_micros = spec.tick_value_micros
    x.margin_per_unit_micros = spec.margin_micros
    x.feed_ts_ns = a.feed_ts_ns
    x.quote_ts_ns = p.last_ts_ns if bars else p.quote_ts_ns
    x.gap = a.feed_gap
    x.book_ok = 1 if p.mark_bad == 0 and (bars or p.book_ok == 1) else 0
    x.status = p.status
    x.bid_tick = p.bid_tick
    x.ask_tick = p.ask_tick
    x.last_tick = p.last_tick
    x.last_ts_ns = p.last_ts_ns
    x.move_ticks = price_move(p)
    x.opposite_qty = min(max(0, p.ask_qty if side == BUY else p.bid_qty), COUNT_MAX)
    x.atr_sum = min(max(-1, breakers.atr_sum(state.grids[instrument])), ATR_SUM_MAX)
    x.position = p.qty
    x.instrument_holds = p.holds
    x.entry_fill_ns = p.entry_fill_ns
    x.exit_fill_ns = p.exit_fill_ns


@inner
def _orders(x: np.record, state: State, asked: Asked, qty: int) -> None:
    """What works at the venue, and how much was said to it."""
    a = state.account[0]
    open_count, buys, sells, unknown, same_ns = _working(state, asked, qty, x.order_type)
    x.orders_open = open_count
    x.working_buy = buys
    x.working_sell = sells
    x.unknown_orders = unknown
    x.same_order_ts_ns = same_ns
    x.entries_working = open_on(state, asked.instrument)
    x.opposite_tick = _own_opposite(state, asked)
    second = a.now_ns // NANOS
    roll_messages(state, second)
    in_a_minute = 0
    for k in range(60):
        in_a_minute += a.messages[k]
    x.messages_1s = a.messages[second % 60]
    x.messages_60s = in_a_minute


@inner
def _account(x: np.record, state: State, params: Params, asked: Asked, qty: int) -> None:
    """Holds, standing or due, and money."""
    a = state.account[0]
    x.trading = a.trading
    x.latched = a.latched
    x.phase = a.phase
    x.reconciled = a.reconciled
    x.recon_ts_ns = a.recon_ts_ns
    x.day_net_micros = a.day_net_micros
    x.equity_micros = a.equity_micros
    x.reference_micros = a.reference_micros
    x.limits_known = 1 if a.version != 0 and gate.all_known(params.limit_values) else 0
    x.holds = a.holds
    x.bucket_tokens = 0
    x.entries_recent = 0
    x.day_trades = a.day_trades + _begun(state, params)
    x.capital_micros = a.balance_micros
    x.gross_micros = 0
    x.instrument_micros = 0
    if x.limits_known == 1:
        x.holds |= breached(state, params)
        x.day_net_micros = -lost(a, params.limits[0], ON_DAY, a.equity_micros)  # what DAILY_LOSS counts
        x.bucket_tokens = tokens(a, params.limits[0])
        x.entries_recent = _entries_since(a, a.now_ns - params.limits[0].entries_window_ns)
    x.held_first = 0
    if a.rules == MOEX:
        x.held_first = longest_of_the_strongest(state, x.holds & ENTRY_MASK[MOEX]) + 1
        buys, sells = qty * (asked.side > 0), qty * (asked.side < 0)
        limit_tick = x.price_tick if routed(params.limits[0]) else NO_TICK
        x.gross_micros, x.instrument_micros = exposure(state, params, asked.instrument, buys, sells, limit_tick)
        x.capital_micros = a.capital_micros


@inner
def longest_of_the_strongest(state: State, standing: int) -> int:
    """The strongest of these holds, of one label and effect the one that stands longest (MOEX-TERM-04); −1: none.

    What is due and does not stand yet comes last; of one moment the earlier row.
    """
    found, since_ns = -1, NEVER_NS
    for at in range(HOLD_CAPACITY):
        bit = BY_STRENGTH[MOEX, at]
        if bit < 0 or (found >= 0 and RANK[MOEX, bit] != RANK[MOEX, found]):
            break
        if standing >> bit & 1 == 0:
            continue
        stands_ns = state.holds[bit].since_ns if state.account[0].holds >> bit & 1 else NEVER_NS
        if found < 0 or stands_ns < since_ns:
            found, since_ns = bit, stands_ns
    return found


@inner
def tokens(a: np.record, limits: np.record) -> int:
    """Entry slices that the bucket holds at this moment (MOEX-RISK-10)."""
    capacity = limits.bucket_capacity
    if capacity <= 0 or limits.bucket_refill_ns <= 0 or a.bucket_full_ns <= a.now_ns:
        return max(0, capacity)
    missing = (a.bucket_full_ns - a.now_ns + limits.bucket_refill_ns - 1) // limits.bucket_refill_ns
    return max(0, capacity - missing)


@inner
def _entries_since(a: np.record, since_ns: int) -> int:
    """Entries that were decided after this moment, as far as they are kept (P-18)."""
    count = 0
    for k in range(ENTRIES_KEPT):
        if a.entries_ns[k] > since_ns:
            count += 1
    return count


@inner
def _begun(state: State, params: Params) -> int:
    """Round trips in progress, or asked for; a hedge is none (MOEX-HEDGE-05)."""
    count = 0
    for i in range(state.account[0].instruments):
        begun = state.positions[i].qty != 0 or _working_on(state, i) > 0
        if begun and not is_hedge(params.specs[i], params.limits[0]):
            count += 1
    return count


@inner
def _own_opposite(state: State, asked: Asked) -> int:
    """P-19: the nearest price at which an own order of the other side stands, 0 = none.

    One at market meets any price; a stop stands in no book.
    """
    nearest = 0
    for k in range(state.account[0].open_count):
        order = state.orders[state.account[0].open_slots[k]]
        if order.number == 0 or order.instrument != asked.instrument or not life.is_open(order.status):
            continue
        if order.side == asked.side or order.order_type == STOP:
            continue
        buys = asked.side == BUY
        tick = (1 if buys else TICK_MAX) if order.price_tick == NO_TICK else order.price_tick
        if nearest == 0 or (tick < nearest if buys else tick > nearest):
            nearest = tick
    return nearest


@inner
def open_on(state: State, instrument: int) -> int:
    """Open orders of any role on one instrument: while flat, each of them must end before a new entry."""
    open_count = 0
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number > 0 and order.instrument == instrument and life.is_open(order.status):
            open_count += 1
    return open_count


@inner
def _working_on(state: State, instrument: int) -> int:
    """Lots of working entries of one instrument, either side."""
    lots = 0
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number > 0 and order.instrument == instrument and order.role == ENTRY and life.is_open(order.status):
            lots += order.qty - order.filled
    return lots


@inner
def _working(state: State, asked: Asked, qty: int, order_type: int) -> tuple[int, int, int, int, int]:
    """(open orders, entries to buy, entries to sell, unknown outcomes, time of the same order)."""
    open_count, buys, sells, unknown, same_ns = 0, 0, 0, 0, NO_TIME
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number == 0 or not life.is_open(order.status):
            continue
        open_count += 1
        if order.status == life.UNKNOWN or order.request == life.QUERYING:
            unknown += 1
        if order.role != ENTRY or order.instrument != asked.instrument:
            continue
        if order.side == BUY:
            buys += order.qty - order.filled
        else:
            sells += order.qty - order.filled
        if order.side == asked.side and order.qty == qty and order.order_type == order_type:
            same_ns = max(same_ns, order.sent_ns)
    return open_count, buys, sells, unknown, same_ns
