"""Protection: what must work at the venue for the position that we hold, and the difference to what works now.

`converge` is the one place that places, moves and cancels stops, targets and exits.  It compares the wanted with the
working orders after every event that may have changed either, so that start, reconnect, partial fills, a double fill of
both bracket legs and a refused stop are no special cases.  Entries are never made here.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.units import NANOS
from risk.core.holds import BIT, ENTRY_MASK, FLATTEN_MASK
from risk.core.records import MOEX, STOP_SHARES
from trading.core import orders as life
from trading.core.bracket import forget_legs, stop_withheld, withheld
from trading.core.effects import ask_cancel, ask_modify, hold_on, raise_hold, submit
from trading.core.records import ENTRY, EXIT, FLAG_DECIDED, LIMIT, STOP, STOP_LOSS, TARGET, Params, State
from trading.core.watch.routes import LADDER, is_hedge, next_exit, routed

# why a position is closed (POSITION.close_reason, TRADE_CLOSED.code)
BY_STOP, BY_TARGET, BY_HOLD, BY_OPERATOR, BY_TIME, BY_SIGNAL, BY_NAKED, BY_EXCESS, BY_TRAIL, BY_REVERSAL = range(1, 11)
BY_HEDGE, BY_REDUCTION = 11, 12  # taken down, not left: the hedging task (MOEX-HEDGE)
CLOSE_REASONS = {
    BY_STOP: "stop",
    BY_TARGET: "target",
    BY_HOLD: "hold",
    BY_OPERATOR: "manual",
    BY_TIME: "time",
    BY_SIGNAL: "signal",
    BY_NAKED: "naked",
    BY_EXCESS: "excess",
    BY_TRAIL: "trailing stop",
    BY_REVERSAL: "reversal",
    BY_HEDGE: "hedge",
    BY_REDUCTION: "reduction",
}
RETRY_NS = 1 * NANOS  # a refused modification or cancel is not sent again sooner
EXIT_ATTEMPTS = 3  # to leave a position, before a person is called (MES-EOD-06)
EXIT_LATER_NS = 5 * NANOS  # between the attempts after those
_NAKED = BIT["NAKED_POSITION"]
_UNPROTECTED = BIT["STOP_UNPROTECTED"]
_RESIDUAL = BIT["FLATTEN_RESIDUAL"]
RESIDUAL_NS = 30 * NANOS  # within which a flatten of shares must be proved (MOEX-EXEC-10)


@inner
def close(position: np.record, reason: int) -> None:
    """From now on only exits until flat.  The first reason stays."""
    if position.closing == 0:
        position.closing = 1
        position.close_reason = reason


@inner
def flatten(account: np.record, position: np.record, reason: int) -> None:
    """`close`, by demand: of shares the time that it takes is measured from here, whatever they leave for already."""
    if account.rules == MOEX and position.flatten_ns == NO_TIME:
        position.flatten_ns = account.now_ns
    close(position, reason)


@inner
def name_reason(position: np.record, order: np.record) -> None:
    """An order that is no entry fills: should it end the round trip, this is why."""
    if position.closing == 1:
        return
    if order.role == STOP_LOSS:
        position.close_reason = BY_TRAIL if position.trailed == 1 else BY_STOP
    elif order.role == TARGET:
        position.close_reason = BY_TARGET
    elif order.reason >= BY_HEDGE:
        position.close_reason = order.reason  # taken down, not left


@inner
def cancel_entries(state: State, out: np.ndarray, n: int, instrument: int) -> int:
    """Cancel every open entry of one instrument and end its time: found working later, the next timer asks again."""
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.instrument == instrument and order.role == ENTRY and order.number > 0 and life.is_open(order.status):
            order.until_ns = min(order.until_ns, state.account[0].now_ns)
            n = ask_cancel(state, out, n, slot)
    return n


@inner
def left(state: State, out: np.ndarray, n: int, instrument: int) -> int:
    """An exit of routed shares filled: it takes back what is left of the entry, held or resting (MOEX-ROUTE-04).

    What of it still fills after the position has gone leaves at once.
    """
    p = state.positions[instrument]
    if p.qty == 0:
        close(p, p.close_reason)
    return cancel_entries(state, out, n, instrument)


@inner
def converge(state: State, params: Params, out: np.ndarray, n: int, instrument: int) -> int:
    """Bring the orders of one instrument towards what its position needs.  Returns the new output count."""
    position = state.positions[instrument]
    account = state.account[0]
    held = abs(position.qty)
    standing = account.holds | position.holds
    if held > 0 and standing & FLATTEN_MASK[account.rules] != 0:
        position.rev_side = 0  # so does a demand to be flat
        flatten(account, position, BY_HOLD)
    # what could not be asked for now must not fill either
    if standing & ENTRY_MASK[account.rules] != 0 or position.closing == 1:
        n = cancel_entries(state, out, n, instrument)
    if held == 0:
        return _clean_up(state, out, n, instrument)
    if position.closing == 0 and not _well_formed(position):
        if is_hedge(params.specs[instrument], params.limits[0]):
            return n  # it has no stop by rule (MOEX-HEDGE-05)
        close(position, BY_EXCESS)
    if position.closing == 1:
        return _exit(state, params, out, n, instrument)
    if position.net_tick != NO_TICK and params.limits[0].stop_method != STOP_SHARES:
        position.net_tick = NO_TICK  # another version tests our stop no more: it works at the venue
    behind = position.stop_tick if position.net_tick == NO_TICK else position.net_tick
    n = _leg(state, out, n, instrument, STOP_LOSS, STOP, behind)
    if position.closing == 1:  # the stop was refused
        return _exit(state, params, out, n, instrument)
    if position.target_tick != NO_TICK:
        n = _leg(state, out, n, instrument, TARGET, LIMIT, position.target_tick)
    return n


@inner
def _well_formed(position: np.record) -> bool:
    """A held position has a plan: the side that it was opened with, and a stop."""
    return position.qty * position.trade_side > 0 and position.stop_tick != NO_TICK


@inner
def _clean_up(state: State, out: np.ndarray, n: int, instrument: int) -> int:
    """Flat: nothing but an entry may still work."""
    open_count = 0
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number > 0 and order.instrument == instrument and life.is_open(order.status):
            open_count += 1
            if order.role != ENTRY:
                n = ask_cancel(state, out, n, slot)
    position = state.positions[instrument]
    position.naked_since_ns = NO_TIME
    position.exit_since_ns = NO_TIME
    position.exit_retry_ns = NO_TIME
    position.exit_tries = 0
    position.exit_allowed = 0
    if open_count == 0:
        position.closing = 0
        position.close_reason = 0
        position.flatten_ns = NO_TIME
        position.stop_tick = NO_TICK
        position.net_tick = NO_TICK
        forget_legs(position)
    return n


@inner
def attempt_ns(limits: np.record) -> int:
    """How long one attempt to leave may take: three of them end when the position may no longer be naked (2 s of 6)."""
    return 2 * limits.naked_ns_max // EXIT_ATTEMPTS


@inner
def pace_exit(params: Params, position: np.record, order: np.record) -> None:
    """An exit ended unfilled: attempts follow each other `attempt_ns` apart, those after the third 5 s (MES-EOD-06).

    Of routed shares the first three follow at once, the others a second apart (MOEX-ROUTE-03).
    """
    if routed(params.limits[0]):
        position.exit_retry_ns = order.made_ns + (RETRY_NS if position.exit_tries >= LADDER else 0)
        return
    apart_ns = attempt_ns(params.limits[0])
    if position.exit_since_ns != NO_TIME and order.made_ns - position.exit_since_ns >= (EXIT_ATTEMPTS - 1) * apart_ns:
        apart_ns = max(apart_ns, EXIT_LATER_NS)
    position.exit_retry_ns = order.made_ns + apart_ns


@inner
def _exit(state: State, params: Params, out: np.ndarray, n: int, instrument: int) -> int:
    """Close at market, routed shares by their ladder.  The stop stays until the exit is filled; target and duplicate
    exits go (MES-LIVE-11).

    An exit that works for longer than an attempt is cancelled; the next one leaves once the venue has proved it away,
    so that no two of them can turn the position.  Bars fill an exit when the next one comes.
    """
    limits = params.limits[0]
    position = state.positions[instrument]
    side = -1 if position.qty > 0 else 1
    leaving = 0
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number == 0 or order.instrument != instrument or not life.is_open(order.status):
            continue
        if order.role == TARGET or (order.role != ENTRY and order.side != side):
            n = ask_cancel(state, out, n, slot)
        elif order.role == EXIT:
            leaving += order.qty - order.filled
            late = state.account[0].now_ns - order.made_ns >= attempt_ns(limits) and limits.bar_mode != 1
            if late and order.status == life.WORKING:
                n = ask_cancel(state, out, n, slot)
    missing = abs(position.qty) - leaving
    if missing > 0 and state.account[0].now_ns >= position.exit_retry_ns:
        if position.exit_since_ns == NO_TIME:
            position.exit_since_ns = state.account[0].now_ns
        sent_as, tick = next_exit(state.account[0], position, limits)
        n = submit(state, out, n, instrument, side, sent_as, EXIT, missing, tick, NO_TIME, position.close_reason)
        decided = position.close_reason == BY_SIGNAL or position.close_reason == BY_REVERSAL
        if decided and not routed(limits):  # fills of shares slip by no mode
            out[n - 1]["flags"] = FLAG_DECIDED
    return n


@inner
def _leg(state: State, out: np.ndarray, n: int, instrument: int, role: int, order_type: int, tick: int) -> int:
    """One bracket leg: exactly one order of this role, on the closing side, for all that is held, at `tick`."""
    position = state.positions[instrument]
    side = -1 if position.qty > 0 else 1
    held = abs(position.qty)
    kept = -1
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number == 0 or order.instrument != instrument or order.role != role or not life.is_open(order.status):
            continue
        if order.side != side or kept >= 0 or order.request == life.CANCELLING:
            n = ask_cancel(state, out, n, slot)
        else:
            kept = slot
    if role == TARGET and withheld(position, held, tick, state.account[0].now_ns):
        return n
    if kept < 0:
        return submit(state, out, n, instrument, side, order_type, role, held, tick, NO_TIME, 0)
    order = state.orders[kept]
    at = order.stop_tick if order_type == STOP else order.price_tick
    if at != tick and order_type == STOP and stop_withheld(position, tick, state.account[0].now_ns):
        tick = at  # the old one works on, for all that is held
    if order.qty - order.filled != held or at != tick:
        n = ask_modify(state, out, n, kept, order.filled + held, tick)
    return n


@inner
def covered(state: State, params: Params, instrument: int) -> bool:
    """True when working stops cover the whole position, by the venue's own word (N1, W-03).

    An exit protects nothing while it works; only with bars, which fill it at the next one, does it count.  A hedge
    needs no cover.
    """
    position = state.positions[instrument]
    cover = 0
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number == 0 or order.instrument != instrument or order.status != life.WORKING:
            continue
        counts = order.role == STOP_LOSS or (order.role == EXIT and params.limits[0].bar_mode == 1)
        if counts and order.side * position.qty < 0:
            cover += order.qty - order.filled
    return cover >= abs(position.qty) or is_hedge(params.specs[instrument], params.limits[0])


@inner
def watch_cover(state: State, params: Params, out: np.ndarray, n: int, instrument: int) -> int:
    """Stop or flat (MES-LIVE-08): uncovered for `naked_ns_max` → market exit; twice that → NAKED_POSITION.

    As long after the first attempt to leave the three attempts are used up, covered or not: a person must look.
    """
    position = state.positions[instrument]
    limit = params.limits[0].naked_ns_max
    if position.qty != 0 and position.exit_since_ns != NO_TIME and params.limits[0].bar_mode != 1:
        leaving_ns = state.account[0].now_ns - position.exit_since_ns
        if leaving_ns >= EXIT_ATTEMPTS * attempt_ns(params.limits[0]):
            n = raise_hold(state, out, n, _NAKED, NO_TIME, leaving_ns, limit)
        asked_ns = state.account[0].now_ns - max(position.flatten_ns, position.exit_since_ns)
        if position.flatten_ns != NO_TIME and asked_ns >= RESIDUAL_NS:
            n = raise_hold(state, out, n, _RESIDUAL, NO_TIME, position.qty, 0)
    if position.qty == 0 or covered(state, params, instrument):
        position.naked_since_ns = NO_TIME
        return hold_on(state, out, n, instrument, _UNPROTECTED, False, 0, limit)
    now_ns = state.account[0].now_ns
    if position.naked_since_ns == NO_TIME:
        position.naked_since_ns = now_ns
        return n
    naked_ns = now_ns - position.naked_since_ns
    if naked_ns > limit:
        n = hold_on(state, out, n, instrument, _UNPROTECTED, True, naked_ns, limit)  # shares (MOEX-RISK-05)
        close(position, BY_NAKED)
        n = converge(state, params, out, n, instrument)
    if naked_ns > 2 * limit:
        n = raise_hold(state, out, n, _NAKED, NO_TIME, naked_ns, limit)
    return n
