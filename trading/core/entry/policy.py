"""From a score to an order: what the strategy asks for, put into the gate's form.

The scorer proposes a side with a confidence; stop, target and size follow from the version's methods; the gate
disposes.  An opposite score closes a position, and with enough confidence reverses it: an exit, then, once that is
filled and nothing works any more, a new approval of a new entry (MES-REV).  Every approval leaves one DECISION row.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import FLAG_INVALID, NO_TICK, NO_TIME
from marketdata.core.units import NANOS, PPM
from risk.core import codes, gate
from risk.core.holds import BIT
from risk.core.records import ENTRIES_KEPT, MOEX
from risk.core.shares.moex_stops import reverses
from trading.core.effects import blank, raise_hold, set_condition, submit
from trading.core.entry.children import expected_cost, send_children
from trading.core.entry.override import end_override
from trading.core.entry.plan import Asked, Plan, gate_input, open_on, plan_entry
from trading.core.protect import BY_REVERSAL, BY_SIGNAL, close
from trading.core.records import DECISION, ENTRY, FLAG_DECIDED, MARKET, Params, State
from trading.core.watch.routes import is_hedge, routed
from trading.core.watch.shares import by_formula, check, keep_plan

_DUPLICATE_STORM = BIT["DUPLICATE_STORM"]
_FEATURES_COLD = BIT["FEATURES_COLD"]
_REPEATED = BIT["REPEATED_ENTRIES"]
STORM_NS = 60 * NANOS


@inner
def on_score(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """One decision: refused with a reason, or an entry order; and an exit when the score speaks against a position."""
    valid = 1 if e["flags"] & FLAG_INVALID == 0 else 0
    asked = Asked(  # + 0: a field of two bytes, widened
        e.instrument + 0,
        e.side + 0,
        e.score_ppm,
        e.confidence_ppm,
        e.ts_venue_ns,
        e.qty,
        valid,
        0,
        e.seq,
        e.code + 0,
    )
    n = set_condition(state, out, n, _FEATURES_COLD, valid == 0, 0, 0)
    p = state.positions[asked.instrument]
    if by_formula(state.account[0], params.limits[0]):  # every exit before a reversal (MOEX-STOP-05)
        check(state.account[0], p, params.specs[asked.instrument], params.limits[0])
    exits = _exit_wanted(state, params, asked)
    _, n = _decide(state, params, asked, exits == codes.REVERSAL_LIMIT, out, n)
    if exits == BY_REVERSAL:
        p.rev_side = asked.side
        p.rev_score_ppm = asked.score_ppm
        p.rev_confidence_ppm = asked.confidence_ppm
        p.rev_score_ns = asked.score_ns
        close(p, BY_REVERSAL)
    elif exits != 0:
        close(p, BY_SIGNAL)
    return n


@inner
def _exit_wanted(state: State, params: Params, asked: Asked) -> int:
    """MES-REV-01 and -03: BY_REVERSAL, BY_SIGNAL, REVERSAL_LIMIT (an exit only), or 0.

    An exit needs no check but the score's own: fresh, with a signal, sure enough.  No hold may stop it.
    """
    p = state.positions[asked.instrument]
    limits = params.limits[0]
    if p.qty * asked.side >= 0 or p.closing == 1 or asked.row_valid != 1:
        return 0
    if is_hedge(params.specs[asked.instrument], limits):
        return 0  # its target, the session's end or a flatten end it (MOEX-HEDGE-05)
    if state.account[0].rules == MOEX:  # of any age and strength, never a reversal (MOEX-STOP-05)
        sure = reverses(1 if p.qty > 0 else -1, asked.side, asked.confidence_ppm, limits.exit_confidence_ppm_min)
        return BY_SIGNAL if sure and asked.confidence_ppm <= PPM else 0
    if not 0 <= state.account[0].now_ns - asked.score_ns <= limits.score_age_ns_max:
        return 0
    if asked.score_ppm * asked.side < limits.score_ppm_min:
        return 0
    if limits.reverse_confidence_ppm_min > 0 and asked.confidence_ppm > limits.reverse_confidence_ppm_min:
        waited = p.rev_exit_ns == NO_TIME or state.account[0].now_ns - p.rev_exit_ns >= limits.reverse_wait_ns
        if waited and p.rev_count < limits.reversals_max:
            return BY_REVERSAL
        return codes.REVERSAL_LIMIT
    return BY_SIGNAL if asked.confidence_ppm >= limits.exit_confidence_ppm_min else 0


@inner
def continue_reversal(state: State, params: Params, out: np.ndarray, n: int, instrument: int) -> int:
    """MES-REV-02: the new entry, once the exit is filled and nothing works any more.  Refused: the chain ends."""
    p = state.positions[instrument]
    a = state.account[0]
    if p.rev_side == 0 or p.qty != 0:
        return n
    stale = a.now_ns - p.rev_score_ns > params.limits[0].score_age_ns_max
    if open_on(state, instrument) > 0 and not stale:
        return n
    asked = Asked(instrument, p.rev_side, p.rev_score_ppm, p.rev_confidence_ppm, p.rev_score_ns, 0, 1, 1, a.seq, 0)
    p.rev_side = 0
    code, n = _decide(state, params, asked, False, out, n)
    p.rev_count = p.rev_count + 1 if code == codes.APPROVED else 0
    return n


@inner
def _decide(state: State, params: Params, asked: Asked, over_limit: bool, out: np.ndarray, n: int) -> tuple[int, int]:
    """Plan, ask the gate, leave the DECISION row, send what was approved.  Returns (code, output count)."""
    account = state.account[0]
    account.decisions += 1
    plan = plan_entry(state, params, asked)
    x = gate_input(state, params, asked, plan)
    code = gate.approve(x, params.asking_values, params.limits[0])
    if over_limit and code == codes.IN_POSITION:
        code = codes.REVERSAL_LIMIT
    n = _decision(state, asked, x, plan, code, out, n)
    if x.passed != codes.APPROVED:  # used up, whatever a later rule said
        end_override(state.positions[asked.instrument])
    if routed(params.limits[0]):
        out[n - 1].fee_micros = expected_cost(params.specs[asked.instrument], x, plan)
    if code == codes.APPROVED:
        return code, _enter(state, params, asked, plan, out, n)
    account.refusals += 1
    if code == codes.DUPLICATE:
        n = _count_duplicate(state, out, n)
    if code == codes.REPEATED:
        most = params.limits[0].entries_max
        n = raise_hold(state, out, n, _REPEATED, NO_TIME, x.entries_recent, most)
    return code, n


@inner
def _enter(state: State, params: Params, asked: Asked, plan: Plan, out: np.ndarray, n: int) -> int:
    account = state.account[0]
    limits = params.limits[0]
    p = state.positions[asked.instrument]
    p.asked_ns = asked.score_ns
    account.entries_ns[account.entered % ENTRIES_KEPT] = account.now_ns
    account.entered += 1
    p.stop_ticks = plan.stop_ticks
    p.target_ticks = plan.target_ticks
    if by_formula(account, limits):
        keep_plan(p, account.now_ns)
    p.plan_tick = p.last_tick if limits.bar_mode == 1 else plan.price_tick
    if limits.bucket_capacity > 0:
        account.bucket_full_ns = max(account.now_ns, account.bucket_full_ns) + plan.slices * limits.bucket_refill_ns
    if routed(limits):
        return send_children(state, out, n, asked, plan, limits.entry_ttl_ns)
    until_ns = account.now_ns + limits.entry_ttl_ns
    n = submit(state, out, n, asked.instrument, asked.side, MARKET, ENTRY, plan.qty, NO_TICK, until_ns, 0)
    out[n - 1]["flags"] = FLAG_DECIDED if asked.reversing == 1 else 0
    return n


@inner
def _decision(state: State, asked: Asked, x: np.record, plan: Plan, code: int, out: np.ndarray, n: int) -> int:
    """The row that says why, or why not: score, first refusing rule, the price and figures that it saw (N6)."""
    blank(out, n, DECISION, asked.instrument, state.account[0].now_ns)
    o = out[n]
    o.side = asked.side
    o.code = code
    o.ref = asked.ref
    o.score_ppm = asked.score_ppm
    o.confidence_ppm = asked.confidence_ppm
    o.qty = x.qty
    o.price_tick = x.price_tick
    o.bid_tick = x.bid_tick
    o.ask_tick = x.ask_tick
    o.stop_tick = plan.stop_ticks
    o.target_tick = plan.target_ticks
    o.value = x.holds | x.instrument_holds
    o.volume = x.position
    o.until_ns = x.quote_ts_ns
    o.ts_venue_ns = asked.score_ns
    o.order_number = state.account[0].next_order if code == codes.APPROVED else 0
    if x.passed != codes.APPROVED:
        o.role = x.passed
        o.bid_qty = state.positions[asked.instrument].override_ref
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
