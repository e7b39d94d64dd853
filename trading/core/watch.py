"""What time and marks do: holds that follow a condition, loss limits, the trading day, order deadlines.

Called by the kernel after market data and on timers.  Nothing here reads a machine's clock: `account.now_ns` is the
time of the latest event.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.sessions import AFTER_HOURS, AGGRESSIVE_EXIT, CLOSE_ONLY, MUST_BE_FLAT, day_at, window_at
from risk.core.holds import BIT, TIME_MASK, TRADING_DAY_MASK
from risk.core.records import UNKNOWN
from trading.core import ledger
from trading.core import orders as life
from trading.core.effects import ask_cancel, ask_query, clear_hold, raise_hold, set_condition
from trading.core.protect import BY_TIME, close, converge, watch_cover
from trading.core.records import ENTRY, INSTRUMENT_CAPACITY, MOVE_PARTS, Params, State

_FEED_STALE = BIT["FEED_STALE"]
_NOT_RECONCILED = BIT["NOT_RECONCILED"]
_EXECUTION_AWAY = BIT["EXECUTION_AWAY"]
_DATABASE_AWAY = BIT["DATABASE_AWAY"]
_STREAM_FULL = BIT["STREAM_FULL"]
_AFTER_HOURS = BIT["AFTER_HOURS"]
_CLOSE_ONLY = BIT["CLOSE_ONLY"]
_EOD = BIT["EOD"]
_DAILY_LOSS = BIT["DAILY_LOSS"]
_TOTAL_LOSS = BIT["TOTAL_LOSS"]
_PRICE_MOVE = BIT["PRICE_MOVE"]
_NO_LIMITS = BIT["NO_LIMITS"]
_STATE_UNREADABLE = BIT["STATE_UNREADABLE"]
_HOLD_BITS = tuple(sorted(BIT.values()))
_REPRESENTABLE = 2**61


@inner
def mark_equity(state: State, params: Params) -> None:
    """Equity = balance + open profit of every position at its mark; a position without a mark counts at cost."""
    account = state.account[0]
    equity = account.balance_micros
    for i in range(INSTRUMENT_CAPACITY):
        p = state.positions[i]
        if p.qty != 0 and p.mark_tick != NO_TICK:
            equity += ledger.open_micros(p.qty, p.cost_ticks, p.mark_tick, params.specs[i].tick_value_micros)
    account.equity_micros = equity


@inner
def check_losses(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """Daily and total loss limits, open profit included (P-15, MES-RISK-11); a breach raises its FLATTEN hold."""
    account = state.account[0]
    if account.version == 0:
        return n
    mark_equity(state, params)
    limits = params.limits[0]
    open_micros = account.equity_micros - account.balance_micros
    day = account.day_net_micros + min(0, open_micros)
    if -day >= limits.loss_day_micros_max:
        n = raise_hold(state, out, n, _DAILY_LOSS, NO_TIME, -day, limits.loss_day_micros_max)
    lost = account.reference_micros - account.equity_micros
    if lost >= limits.loss_total_micros_max:
        n = raise_hold(state, out, n, _TOTAL_LOSS, NO_TIME, lost, limits.loss_total_micros_max)
    if abs(account.equity_micros) > _REPRESENTABLE:
        n = raise_hold(state, out, n, _STATE_UNREADABLE, NO_TIME, account.equity_micros, _REPRESENTABLE)
    return n


@inner
def price_move(p: np.record) -> int:
    """P-11: ticks between the mark and the farthest mark of the window; UNKNOWN before the first mark."""
    if p.move_tick == NO_TICK:
        return UNKNOWN
    return max(p.mark_tick - p.move_low_tick, p.move_high_tick - p.mark_tick)


@inner
def watch_move(state: State, params: Params, out: np.ndarray, n: int, instrument: int) -> int:
    """P-11: note a known mark, and hold entries when it is too far from any mark of the last window.

    The window slides by eighths and keeps one eighth more: it spans `move_window_ns` at least, an eighth more at
    most.  A mark stands until the next one, so a jump after a silence is seen too.
    """
    p = state.positions[instrument]
    limits = params.limits[0]
    now_ns = state.account[0].now_ns
    mark = p.mark_tick
    part_ns = max(1, limits.move_window_ns // MOVE_PARTS)
    if p.move_tick == NO_TICK:
        _slide(p, mark, MOVE_PARTS + 1)
        p.move_ts_ns = now_ns
    elif now_ns - p.move_ts_ns >= part_ns:
        passed = (now_ns - p.move_ts_ns) // part_ns
        _slide(p, p.move_tick, min(passed, MOVE_PARTS + 1))
        p.move_ts_ns += passed * part_ns
    p.move_tick = mark
    p.part_low_tick[0] = min(p.part_low_tick[0], mark)
    p.part_high_tick[0] = max(p.part_high_tick[0], mark)
    p.move_low_tick = min(p.move_low_tick, mark)
    p.move_high_tick = max(p.move_high_tick, mark)
    far = price_move(p)
    if far > limits.move_ticks_max:
        n = raise_hold(state, out, n, _PRICE_MOVE, now_ns + limits.move_hold_ns, far, limits.move_ticks_max)
    return n


@inner
def _slide(p: np.record, tick: int, passed: int) -> None:
    """Forget `passed` parts of the window; the new ones begin at `tick`."""
    low, high = tick, tick
    for k in range(MOVE_PARTS, -1, -1):
        p.part_low_tick[k] = p.part_low_tick[k - passed] if k >= passed else tick
        p.part_high_tick[k] = p.part_high_tick[k - passed] if k >= passed else tick
        low = min(low, p.part_low_tick[k])
        high = max(high, p.part_high_tick[k])
    p.move_low_tick = low
    p.move_high_tick = high


@inner
def watch_feed(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """FEED_STALE follows the age of the last feed message and the gap flag (P-04)."""
    account = state.account[0]
    if account.version == 0:
        return n
    limit = params.limits[0].quote_age_ns_max
    age = limit + 1
    if account.feed_ts_ns != NO_TIME:
        age = account.now_ns - account.feed_ts_ns
    return set_condition(state, out, n, _FEED_STALE, age > limit or account.feed_gap == 1, age, limit)


@inner
def watch_links(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """Holds that follow the desk's own links, its reconciliation and its limits."""
    a = state.account[0]
    n = set_condition(state, out, n, _NO_LIMITS, a.version == 0, 0, 0)
    n = set_condition(state, out, n, _NOT_RECONCILED, a.reconciled != 1, a.recon_ts_ns, 0)
    n = set_condition(state, out, n, _EXECUTION_AWAY, a.execution_up != 1, 0, 0)
    n = set_condition(state, out, n, _DATABASE_AWAY, a.database_up != 1, 0, 0)
    return set_condition(state, out, n, _STREAM_FULL, a.stream_ok != 1, 0, 0)


@inner
def watch_clock(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """Phase and trading day by the session windows; the roll clears TRADING_DAY holds (MES-RISK-14, MES-EOD)."""
    account = state.account[0]
    at = window_at(params.windows, account.window_count, account.now_ns)
    phase = AFTER_HOURS if at < 0 else params.windows[at].phase
    account.phase = phase
    n = set_condition(state, out, n, _AFTER_HOURS, phase == AFTER_HOURS, phase, 0)
    n = set_condition(state, out, n, _CLOSE_ONLY, phase == CLOSE_ONLY, phase, 0)
    n = set_condition(state, out, n, _EOD, phase == AGGRESSIVE_EXIT or phase == MUST_BE_FLAT, phase, 0)
    day = day_at(params.windows, account.window_count, account.now_ns)
    if day != account.trading_day:
        account.trading_day = day
        account.day_net_micros = 0
        account.streak = 0
        for bit in _HOLD_BITS:
            if TRADING_DAY_MASK >> bit & 1:
                n = clear_hold(state, out, n, bit)
    for bit in _HOLD_BITS:
        if TIME_MASK >> bit & 1 and account.holds >> bit & 1 and account.now_ns >= state.holds[bit].until_ns:
            n = clear_hold(state, out, n, bit)
    return n


@inner
def watch_orders(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """Entries past their time are cancelled; requests without an answer are asked after (W-01), never sent again."""
    account = state.account[0]
    for slot in range(account.orders_used):
        order = state.orders[slot]
        if order.number == 0 or not life.is_open(order.status):
            continue
        if order.role == ENTRY and order.until_ns != NO_TIME and account.now_ns >= order.until_ns:
            n = ask_cancel(state, out, n, slot)
        waited_ns = account.now_ns - order.sent_ns
        if order.request != life.NOTHING and waited_ns > params.limits[0].ack_timeout_ns:
            n = ask_query(state, out, n, slot)
    return n


@inner
def watch_position(state: State, params: Params, out: np.ndarray, n: int, instrument: int) -> int:
    """After an event about this instrument: time exit, protection, cover."""
    p = state.positions[instrument]
    limits = params.limits[0]
    if p.qty != 0 and limits.hold_ns_max > 0 and p.closing == 0:
        if state.account[0].now_ns - p.opened_ns >= limits.hold_ns_max:
            close(p, BY_TIME)
    n = converge(state, params, out, n, instrument)
    return watch_cover(state, params, out, n, instrument)


@inner
def on_timer(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """Once a second of the session clock: everything that time alone can change."""
    n = watch_clock(state, params, out, n)
    n = watch_feed(state, params, out, n)
    n = watch_links(state, params, out, n)
    n = check_losses(state, params, out, n)
    if state.account[0].version != 0:
        n = watch_orders(state, params, out, n)
    return n
