"""The account against its limits: what is breached now, and which holds that raises (MES-HOLD, MOEX-RISK-05).

`breached` is a pure read that the gate uses too: a limit in breach refuses entries from the first mark on, before its
hold stands.  `check_limits` raises the holds in table order; one that rests on open money waits until the breach is
confirmed (MES-RISK-11).  Called by the kernel after fills, marks, timers and commands.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.units import NANOS
from risk.core.exact import value_at_half_ticks
from risk.core.holds import BIT
from risk.core.records import MES, MOEX, UNKNOWN
from risk.core.sizing import share
from trading.core import ledger
from trading.core import orders as life
from trading.core.effects import clear_hold, hold_on, raise_hold, set_condition
from trading.core.protect import cancel_entries
from trading.core.records import ENTRY, Params, State
from trading.core.watch.routes import is_hedge

_TOTAL_LOSS = BIT["EQUITY_KILL"]
_DRAWDOWN = BIT["ACCOUNT_DRAWDOWN"]
_MIN_BALANCE = BIT["MIN_BALANCE"]
_DAILY_LOSS = BIT["DAILY_LOSS"]
_DAILY_DRAWDOWN = BIT["DAILY_DRAWDOWN"]
_LOSS_NEAR = BIT["DAILY_LOSS_NEAR"]
_STREAK = BIT["LOSS_STREAK"]
_EXPOSURE = BIT["EXPOSURE"]
_INSTRUMENT_CAP = BIT["INSTRUMENT_CAP"]
_UNREADABLE = BIT["STATE_UNREADABLE"]
MONEY_REPRESENTABLE = 2**61
CONFIRM_MARKS, CONFIRM_NS = 3, 1 * NANOS
ON_TOTAL, ON_DAY, ON_DAY_DRAWDOWN = 0, 1, 2  # places in account.open_marks
EXPOSURE_CLEARS_PPM = 960_000  # of the limit (MOEX-RISK-05)


@inner
def mark_equity(state: State, params: Params) -> None:
    """Equity = balance + open profit of every position at its mark; a position without a mark counts at cost."""
    account = state.account[0]
    equity = account.balance_micros
    for i in range(account.instruments):
        p = state.positions[i]
        if p.qty != 0 and p.mark_tick != NO_TICK:
            tick_value = params.specs[i].tick_value_micros
            equity += ledger.open_micros(p.qty, p.cost_ticks, p.mark_tick, tick_value)
            equity += p.qty * p.mark_half * tick_value // 2  # half a tick, rounded down (MOEX-RISK-04)
    account.equity_micros = equity
    if equity > account.day_peak_micros:
        account.day_peak_micros = equity


@inner
def day_limit(account: np.record, limits: np.record) -> int:
    """The daily loss limit: the smaller of the amount and the share of the capital (MOEX-RISK-04)."""
    limit = limits.loss_day_micros_max
    if limits.loss_day_share_ppm_max > 0:
        limit = min(limit, share(max(0, account.capital_micros), limits.loss_day_share_ppm_max))
    return limit


@inner
def near_limit(account: np.record, limits: np.record) -> int:
    """P-15: the loss of the day from which nothing is entered any more; out of reach while the limit has no such share.

    Unconfirmed, as every breach stops entries at once (N15): it closes nothing, and ends when the loss does.
    """
    if limits.loss_day_soft_ppm_max <= 0:
        return MONEY_REPRESENTABLE
    return share(day_limit(account, limits), limits.loss_day_soft_ppm_max)


@inner
def lost(account: np.record, limits: np.record, which: int, money: int) -> int:
    """What is lost against one limit if equity were `money`: with the balance, the booked part alone."""
    if which == ON_TOTAL:
        return account.reference_micros - money
    if which == ON_DAY_DRAWDOWN:
        return account.day_peak_micros - money
    if limits.day_loss_open == 1:
        return account.day_base_micros - money
    return -account.day_net_micros


@inner
def limit_of(account: np.record, limits: np.record, which: int) -> int:
    """The limit that `lost` is compared with."""
    if which == ON_TOTAL:
        return limits.loss_total_micros_max
    if which == ON_DAY_DRAWDOWN:
        return limits.drawdown_day_micros_max
    return day_limit(account, limits)


@inner
def breached(state: State, params: Params) -> int:
    """Bits of the money limits that the present state breaches, confirmed or not.  Reads only."""
    a = state.account[0]
    limits = params.limits[0]
    found = 0
    if lost(a, limits, ON_TOTAL, a.equity_micros) >= limit_of(a, limits, ON_TOTAL):
        found |= 1 << _TOTAL_LOSS
    if lost(a, limits, ON_DAY, a.equity_micros) >= limit_of(a, limits, ON_DAY):
        found |= 1 << _DAILY_LOSS
    if lost(a, limits, ON_DAY, a.equity_micros) >= near_limit(a, limits):
        found |= 1 << _LOSS_NEAR
    if a.rules == MES:
        if a.peak_micros - a.balance_micros >= limits.drawdown_micros_max:
            found |= 1 << _DRAWDOWN
        if a.balance_micros < limits.balance_micros_min:
            found |= 1 << _MIN_BALANCE
        if lost(a, limits, ON_DAY_DRAWDOWN, a.equity_micros) >= limits.drawdown_day_micros_max:
            found |= 1 << _DAILY_DRAWDOWN
    return found


@inner
def _check_open(state: State, params: Params, out: np.ndarray, n: int, which: int, bit: int, is_mark: bool) -> int:
    """One limit that open money takes part in: raised once the breach is confirmed (MES-RISK-11)."""
    a = state.account[0]
    limits = params.limits[0]
    limit = limit_of(a, limits, which)
    loss = lost(a, limits, which, a.equity_micros)
    if loss < limit:
        a.open_marks[which] = 0
        a.open_since_ns[which] = NO_TIME
        return n
    if a.open_since_ns[which] == NO_TIME:
        a.open_since_ns[which] = a.now_ns
    if is_mark:
        a.open_marks[which] += 1
    # today's equity peak holds open money itself: its fall is booked once nothing is open any more
    booked = lost(a, limits, which, a.balance_micros) >= limit
    if which == ON_DAY_DRAWDOWN:
        booked = not _any_open(state)
    lasts = a.now_ns - a.open_since_ns[which] >= CONFIRM_NS
    if booked or lasts or limits.bar_mode == 1 or a.open_marks[which] >= CONFIRM_MARKS:
        n = raise_hold(state, out, n, bit, NO_TIME, loss, limit)
    return n


@inner
def _any_open(state: State) -> bool:
    for i in range(state.account[0].instruments):
        if state.positions[i].qty != 0:
            return True
    return False


@inner
def check_limits(state: State, params: Params, out: np.ndarray, n: int, is_mark: bool) -> int:
    """Every limit of the account in table order; each true one raises its hold (MES-RISK-21)."""
    a = state.account[0]
    if a.version == 0:
        return n
    mark_equity(state, params)
    limits = params.limits[0]
    if not -MONEY_REPRESENTABLE < a.equity_micros < MONEY_REPRESENTABLE:
        n = raise_hold(state, out, n, _UNREADABLE, NO_TIME, a.equity_micros, MONEY_REPRESENTABLE)
    n = _check_open(state, params, out, n, ON_TOTAL, _TOTAL_LOSS, is_mark)
    if a.rules == MES:
        fallen = a.peak_micros - a.balance_micros
        if fallen >= limits.drawdown_micros_max:
            n = raise_hold(state, out, n, _DRAWDOWN, NO_TIME, fallen, limits.drawdown_micros_max)
        poor = a.balance_micros < limits.balance_micros_min
        n = set_condition(state, out, n, _MIN_BALANCE, poor, a.balance_micros, limits.balance_micros_min)
    n = _check_open(state, params, out, n, ON_DAY, _DAILY_LOSS, is_mark)
    n = check_near(state, params, out, n)
    if a.rules == MES:
        n = _check_open(state, params, out, n, ON_DAY_DRAWDOWN, _DAILY_DRAWDOWN, is_mark)
    if a.rules == MOEX:
        n = _check_exposure(state, params, out, n)
    return _check_streak(state, params, out, n)


@inner
def check_near(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """DAILY_LOSS_NEAR follows what the day has lost of its limit (P-15), by the equity marked last."""
    a = state.account[0]
    loss, near = lost(a, params.limits[0], ON_DAY, a.equity_micros), near_limit(a, params.limits[0])
    return set_condition(state, out, n, _LOSS_NEAR, loss >= near, loss, near)


@inner
def _check_streak(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """A loss that made the streak long enough asked for a pause; a later one may lengthen it (MES-RISK-12)."""
    a = state.account[0]
    if a.streak_until_ns == NO_TIME:
        return n
    limits = params.limits[0]
    n = raise_hold(state, out, n, _STREAK, a.streak_until_ns, a.streak, limits.streak_soft)
    a.streak_until_ns = NO_TIME
    if limits.streak_restarts == 1:
        a.streak = 0
    return n


@inner
def note_loss(a: np.record, limits: np.record) -> None:
    """One losing trade ended now: the streak, and the pause that it asks for (MES-HOLD-LOSS_STREAK)."""
    a.losses += 1
    a.day_losses += 1
    a.streak += 1
    if limits.streak_hard > 0 and a.streak >= limits.streak_hard:
        a.streak_until_ns = a.now_ns + limits.streak_hard_pause_ns
    elif limits.streak_soft > 0 and a.streak >= limits.streak_soft:
        a.streak_until_ns = a.now_ns + limits.streak_soft_pause_ns


@inner
def _check_exposure(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """EXPOSURE follows the gross exposure, down to its lower mark, INSTRUMENT_CAP that of each; 0 is no limit.

    A hedge counts in gross and has no cap (MOEX-HEDGE-03).
    """
    a = state.account[0]
    limits = params.limits[0]
    capital = max(0, a.capital_micros)
    cap = share(capital, limits.instrument_ppm_max) if limits.instrument_ppm_max > 0 else 0
    gross = 0
    for i in range(a.instruments):
        term = exposure_of(state, params, i, 0, 0, NO_TICK)
        gross += term
        over = limits.instrument_ppm_max > 0 and term > cap and not is_hedge(params.specs[i], limits)
        stood = state.positions[i].holds
        n = hold_on(state, out, n, i, _INSTRUMENT_CAP, over, term, cap)
        if state.positions[i].holds & ~stood:  # whichever instrument the event is of (MOEX-RISK-09)
            n = cancel_entries(state, out, n, i)
    if limits.gross_ppm_max <= 0:
        return clear_hold(state, out, n, _EXPOSURE)
    limit = share(capital, limits.gross_ppm_max)
    if gross > limit:
        return raise_hold(state, out, n, _EXPOSURE, NO_TIME, gross, limit)
    if gross <= share(limit, EXPOSURE_CLEARS_PPM):
        return set_condition(state, out, n, _EXPOSURE, False, gross, limit)
    return n


@inner
def exposure(state: State, params: Params, instrument: int, buys: int, sells: int, limit_tick: int) -> tuple[int, int]:
    """MOEX-RISK-04: (gross of all instruments, that of `instrument`), micros, with working orders and the given lots at
    `limit_tick`, NO_TICK for none."""
    gross, own = 0, 0
    for i in range(state.account[0].instruments):
        if i == instrument:
            own = exposure_of(state, params, i, buys, sells, limit_tick)
            gross += own
        else:
            gross += exposure_of(state, params, i, 0, 0, NO_TICK)
    return gross, own


@inner
def exposure_of(state: State, params: Params, instrument: int, buys: int, sells: int, limit_tick: int) -> int:
    """The term of one instrument, micros, with its working orders and the given lots at `limit_tick`.

    Price = the higher of mark and highest limit; lots without a mark count at their cost.  Rounded up to a micro.
    """
    p = state.positions[instrument]
    more, less = working(state, instrument)
    lots = max(abs(p.qty + more + buys), abs(p.qty - less - sells))
    if lots == 0:
        return 0
    if p.mark_tick != NO_TICK:
        twice = 2 * p.mark_tick + p.mark_half
    else:
        twice = -(-2 * abs(p.cost_ticks) // max(1, abs(p.qty)))
    twice = max(twice, 2 * max(0, limit_tick, highest_limit(state, instrument)))
    return value_at_half_ticks(lots, twice, params.specs[instrument].tick_value_micros)


@inner
def highest_limit(state: State, instrument: int) -> int:
    """The highest limit of the working entries of one instrument; NO_TICK when none has one."""
    tick = NO_TICK
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number > 0 and order.instrument == instrument and order.role == ENTRY and life.is_open(order.status):
            tick = max(tick, order.price_tick)
    return tick


@inner
def working(state: State, instrument: int) -> tuple[int, int]:
    """Lots of working entries of one instrument: (to buy, to sell)."""
    buys, sells = 0, 0
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number == 0 or order.role != ENTRY or order.instrument != instrument or not life.is_open(order.status):
            continue
        if order.side > 0:
            buys += order.qty - order.filled
        else:
            sells += order.qty - order.filled
    return buys, sells


@inner
def margin_elsewhere(state: State, params: Params, instrument: int) -> int:
    """P-13: margin of what the other instruments hold and what their working entries may add; UNKNOWN without one."""
    total = 0
    for i in range(state.account[0].instruments):
        if i == instrument:
            continue
        buys, sells = working(state, i)
        lots = abs(state.positions[i].qty) + buys + sells
        if lots == 0:
            continue
        if params.specs[i].margin_micros < 0:
            return UNKNOWN
        total += lots * params.specs[i].margin_micros
    return total


@inner
def open_risk(state: State, params: Params) -> int:
    """MES-RISK-06: loss to the stops of positions and working entries, with fees; UNKNOWN without a stop.

    A hedge has none and adds none: what it loses, the shares that it hedges gain.
    """
    a = state.account[0]
    limits = params.limits[0]
    total = 0
    for i in range(a.instruments):
        p = state.positions[i]
        if p.qty == 0:
            continue
        if p.stop_tick == NO_TICK:
            if is_hedge(params.specs[i], limits):
                continue
            return UNKNOWN
        spec = params.specs[i]
        fee = ledger.fee_per_unit(p.stop_tick, spec.tick_value_micros, spec.fee_micros, spec.fee_ppm)
        total += ledger.loss_to_stop(p, spec.tick_value_micros) + abs(p.qty) * fee
    for k in range(a.open_count):
        slot = a.open_slots[k]
        order = state.orders[slot]
        if order.number == 0 or order.role != ENTRY or not life.is_open(order.status):
            continue
        spec = params.specs[order.instrument]
        if is_hedge(spec, limits):
            continue
        p = state.positions[order.instrument]
        if p.mark_tick == NO_TICK or p.stop_ticks <= 0:
            return UNKNOWN
        fee = ledger.fee_per_unit(p.mark_tick + p.mark_half, spec.tick_value_micros, spec.fee_micros, spec.fee_ppm)
        lots = order.qty - order.filled
        total += lots * ((p.stop_ticks + limits.slip_ticks_assumed) * spec.tick_value_micros + 2 * fee)
    return total


@inner
def remaining_day_risk(state: State, params: Params, risk: int) -> int:
    """MES-RISK-07.  `risk`: open risk; a daily profit does not enlarge it."""
    a = state.account[0]
    return max(0, day_limit(a, params.limits[0]) - max(0, -a.day_net_micros) - risk)
