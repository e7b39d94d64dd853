"""The hedging task of shares: first what exceeds its cap, then the net exposure, hedged or reduced (MOEX-HEDGE).

Growing a hedge is an entry: it passes the gate's rules for hedges and can be refused, then positions are reduced
instead.  Unhedging and reducing are exits: nothing refuses them, and they are worked off by `hedge.cut`.  Every
adjustment leaves one ADJUSTMENT row.  Called by the kernel's schedule, every `hedge_every`.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import BUY, NO_TICK
from marketdata.core.units import PPM
from risk.core import gate
from risk.core.codes import APPROVED
from risk.core.exact import share_floor, value_at_half_ticks
from risk.core.shares import hedging
from risk.core.shares.routing import ENTRY_VALID_NS
from trading.core import ledger
from trading.core import orders as life
from trading.core.effects import blank, submit
from trading.core.entry.plan import Asked, Plan, gate_input
from trading.core.records import (
    ADJUSTMENT,
    ENTRY,
    FILL_AND_KILL,
    KEEP_ALL,
    Params,
    State,
)
from trading.core.watch.routes import entry_tick, is_hedge


@inner
def adjust(state: State, params: Params, task_ns: int, out: np.ndarray, n: int) -> int:
    """One run of the task of `task_ns`.  Returns the output count."""
    a, limits = state.account[0], params.limits[0]
    capital = max(0, a.capital_micros)
    at = hedge_at(state, params)
    busy = at >= 0 and _busy(state, at)
    for i in range(a.instruments):
        if not is_hedge(params.specs[i], limits):
            if not busy:  # nothing new is decided while a hedge order works, and what was decided goes on
                state.positions[i].keep_qty = KEEP_ALL  # measured anew
            n = _to_cap(state, params, i, capital, task_ns, out, n)
    net, gross = exposure_held(state, params)
    ratio = hedging.ratio_ppm(limits.instrument_ppm_max)
    on = hedging.is_on(a.hedge_on == 1, net, gross, capital, ratio, limits.hedge_min_net_ppm)
    a.hedge_on = 1 if on else 0
    if busy:
        return n  # nothing is sent while a hedge order works (MOEX-HEDGE-02)
    wanted, possible = 0, True
    if on:
        lot = 0 if at < 0 else lot_micros(state.positions[at], params.specs[at].tick_value_micros)
        possible = lot > 0
        wanted = hedging.desired_lots(True, net, lot, limits.hedge_beta_ppm)
        if possible and abs(wanted) > abs(state.positions[at].qty) and wanted * state.positions[at].qty >= 0:
            possible, n = _grow(state, params, at, wanted - state.positions[at].qty, net, gross, task_ns, out, n)
            if possible:
                return n
    if not possible:
        n = _reduce(state, params, net, gross, capital, ratio, task_ns, out, n)
        a.hedge_on, wanted = 0, 0  # the trigger is false once this is done, which ends the on state
    return n if at < 0 else _unhedge(state, params, at, wanted, net, gross, task_ns, out, n)


@inner
def hedge_at(state: State, params: Params) -> int:
    """The instrument that hedges; −1 when the session has none."""
    for i in range(state.account[0].instruments):
        if is_hedge(params.specs[i], params.limits[0]):
            return i
    return -1


@inner
def _busy(state: State, at: int) -> bool:
    """Whether an order of the hedge instrument works, or its position is being left by somebody else's reason."""
    if state.positions[at].closing == 1:
        return True
    for slot in range(state.account[0].orders_used):
        order = state.orders[slot]
        if order.number > 0 and order.instrument == at and life.is_open(order.status):
            return True
    return False


@inner
def _twice_tick(p: np.record) -> int:
    """Twice the price that a position counts at: the last valid mid, without one its cost rounded up."""
    if p.mark_tick != NO_TICK:
        return 2 * p.mark_tick + p.mark_half
    return -(-2 * abs(p.cost_ticks) // max(1, abs(p.qty)))


@inner
def lot_micros(p: np.record, tick_value_micros: int) -> int:
    """Notional of one lot, rounded up to a micro; 0 while no price is known."""
    return value_at_half_ticks(1, max(0, _twice_tick(p)), tick_value_micros) if tick_value_micros > 0 else 0


@inner
def _counted(p: np.record) -> int:
    """Signed lots once the reductions that were decided are done."""
    if p.keep_qty == KEEP_ALL or abs(p.qty) <= p.keep_qty:
        return p.qty
    return p.keep_qty if p.qty > 0 else -p.keep_qty


@inner
def exposure_held(state: State, params: Params) -> tuple[int, int]:
    """(N, G) of MOEX-HEDGE-01, micros, each rounded up in size: held lots that are not the hedge."""
    net, gross = 0, 0  # in half micros
    for i in range(state.account[0].instruments):
        p = state.positions[i]
        if p.qty == 0 or is_hedge(params.specs[i], params.limits[0]):
            continue
        value = _counted(p) * _twice_tick(p) * params.specs[i].tick_value_micros
        net += value
        gross += abs(value)
    size = (abs(net) + 1) // 2
    return (size if net > 0 else -size), (gross + 1) // 2


@inner
def _to_cap(state: State, params: Params, i: int, capital: int, task_ns: int, out: np.ndarray, n: int) -> int:
    """MOEX-HEDGE-04: above 105 % of its cap a position is reduced to the cap; a share of 0 is no cap."""
    p, limits = state.positions[i], params.limits[0]
    cap_ppm = limits.instrument_ppm_max
    if p.qty == 0 or p.closing == 1 or cap_ppm <= 0:
        return n
    lot = lot_micros(p, params.specs[i].tick_value_micros)
    lots = hedging.lots_over_cap(p.qty, lot, capital, cap_ppm)
    if lots == 0 or abs(_counted(p)) <= abs(p.qty) - lots:  # a reduction under way takes off as much, or more
        return n
    held, cap = abs(p.qty) * lot, share_floor(capital, cap_ppm, PPM)
    p.keep_qty = abs(p.qty) - lots
    return _row(state, i, hedging.REDUCE, -lots if p.qty > 0 else lots, hedging.FOR_CAP, held, cap, task_ns, out, n)


@inner
def _grow(
    state: State, params: Params, at: int, lots: int, net: int, gross: int, task_ns: int, out: np.ndarray, n: int
) -> tuple[bool, int]:
    """Open or grow the hedge by signed `lots`, whole or not at all.  Returns (whether it was sent, output count)."""
    a, limits = state.account[0], params.limits[0]
    p, spec = state.positions[at], params.specs[at]
    side, qty = (1 if lots > 0 else -1), abs(lots)
    tick = entry_tick(p, side)
    fee = 0
    if tick != NO_TICK and tick > 0:
        fee = ledger.fee_per_unit(tick, spec.tick_value_micros, spec.fee_micros, spec.fee_ppm)
    asked = Asked(at, side, 0, 0, a.now_ns, 0, 1, 0, a.seq, 0)
    x = gate_input(state, params, asked, Plan(tick, 0, 0, qty, 0, fee, 0, 1, qty))
    x.hedging = 1
    x.override = APPROVED  # nobody lets a hedge pass: no score asks for it
    x.tradable = 1 if spec.tradable == 1 else 0
    x.instrument_micros = 0  # exempt from INSTRUMENT_CAP, not from gross (MOEX-HEDGE-03)
    code = gate.approve(x, params.asking_values, limits)
    n = _row(state, at, hedging.HEDGE, lots, hedging.FOR_IMBALANCE, net, gross, task_ns, out, n)
    out[n - 1].score_ppm = code
    if code != APPROVED:
        return False, n
    out[n - 1].order_number = a.next_order
    p.keep_qty = KEEP_ALL
    if limits.bucket_capacity > 0:
        a.bucket_full_ns = max(a.now_ns, a.bucket_full_ns) + limits.bucket_refill_ns
    until_ns = a.now_ns + min(limits.entry_ttl_ns, ENTRY_VALID_NS)
    return True, submit(state, out, n, at, side, FILL_AND_KILL, ENTRY, qty, tick, until_ns, 0)


@inner
def _unhedge(
    state: State, params: Params, at: int, wanted: int, net: int, gross: int, task_ns: int, out: np.ndarray, n: int
) -> int:
    """Take the hedge down towards `wanted`; past zero it first goes to zero, the next task opens the other side."""
    p = state.positions[at]
    action, lots = hedging.hedge_order(wanted, p.qty, 0)
    if action != hedging.UNHEDGE:
        p.keep_qty = KEEP_ALL
        return n
    p.keep_qty = abs(p.qty) - abs(lots)
    return _row(state, at, hedging.UNHEDGE, lots, hedging.FOR_IMBALANCE, net, gross, task_ns, out, n)


@inner
def _reduce(
    state: State,
    params: Params,
    net: int,
    gross: int,
    capital: int,
    ratio: int,
    task_ns: int,
    out: np.ndarray,
    n: int,
) -> int:
    """Where no hedge is possible: from the largest position on N's side down, until the trigger is false."""
    limits, count = params.limits[0], state.account[0].instruments
    lots, each, off = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64)
    for i in range(count):
        if not is_hedge(params.specs[i], limits):
            lots[i] = _counted(state.positions[i])
            each[i] = lot_micros(state.positions[i], params.specs[i].tick_value_micros)
    hedging.plan_reductions(lots, each, capital, ratio, limits.hedge_min_net_ppm, off)
    for i in range(count):
        p = state.positions[i]
        if off[i] == 0 or p.closing == 1:  # what is being left anyway needs no reduction
            continue
        p.keep_qty = abs(lots[i]) - off[i]
        signed = -off[i] if lots[i] > 0 else off[i]
        n = _row(state, i, hedging.REDUCE, signed, hedging.FOR_IMBALANCE, net, gross, task_ns, out, n)
    return n


@inner
def _row(
    state: State,
    instrument: int,
    action: int,
    lots: int,
    why: int,
    size: int,
    whole: int,
    task_ns: int,
    out: np.ndarray,
    n: int,
) -> int:
    """The record of one adjustment (MOEX-HEDGE-05)."""
    blank(out, n, ADJUSTMENT, instrument, state.account[0].now_ns)
    o = out[n]
    o.code = action
    o.side = BUY if lots > 0 else -1
    o.qty = abs(lots)
    o.ref = why
    o.value = size
    o.volume = whole
    o.until_ns = task_ns
    return n + 1
