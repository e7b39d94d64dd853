"""What time does: phases, the roll, holds that end or follow a condition, order deadlines, links and presence.

`watch_clock` runs at the first event at or past the next moment at which time alone changes something, so a phase, a
roll or the end of a hold counts from the event's own clock on, never from a machine's.  Called by the kernel.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TIME
from marketdata.core.sessions import (
    AFTER_HOURS,
    AGGRESSIVE_EXIT,
    CLOSE_ONLY,
    MUST_BE_FLAT,
    NORMAL,
    REDUCED,
    day_at,
    window_at,
)
from risk.core.holds import BIT, HOLD_CAPACITY, TIME_MASK, TRADING_DAY_MASK
from risk.core.records import MES, MOEX
from trading.core import orders as life
from trading.core.effects import ask_cancel, ask_query, clear_hold, hold_on, raise_hold, set_condition
from trading.core.entry.override import forget_overrides
from trading.core.hedge.cut import cut
from trading.core.protect import BY_TIME, close, converge, watch_cover
from trading.core.records import ENTRY, Params, State
from trading.core.watch.limits import check_limits, check_near, mark_equity
from trading.core.watch.moves import price_move
from trading.core.watch.routes import is_hedge
from trading.core.watch.shares import by_formula, check

_FEED_STALE = BIT["FEED_STALE"]
_NOT_RECONCILED = BIT["NOT_RECONCILED"]
_EXECUTION_AWAY = BIT["EXECUTION_AWAY"]
_DATABASE_AWAY = BIT["DATABASE_AWAY"]
_STREAM_FULL = BIT["STREAM_FULL"]
_AFTER_HOURS = BIT["AFTER_HOURS"]
_CLOSE_ONLY = BIT["CLOSE_ONLY"]
_EOD = BIT["EOD"]
_EOD_REDUCED = BIT["EOD_REDUCED"]
_NOT_FLAT = BIT["NOT_FLAT_AT_CUTOFF"]
_PRICE_MOVE = BIT["PRICE_MOVE"]
_NO_LIMITS = BIT["NO_LIMITS"]
_PRESENCE = BIT["PRESENCE"]
_PAUSE = BIT["OPERATOR_PAUSE"]
_NEWS = BIT["NEWS"]
_RVI_STALE = BIT["RVI_STALE"]
_OUTCOME = BIT["OUTCOME_UNKNOWN"]
_NET_SLOW, _NET_FAILOVER = BIT["NET_SLOW"], BIT["NET_FAILOVER"]
# holds that a timer may clear by itself
WATCHED_MASK = sum(
    1 << BIT[code]
    for code in (
        "FEED_STALE",
        "NOT_RECONCILED",
        "EXECUTION_AWAY",
        "DATABASE_AWAY",
        "STREAM_FULL",
        "NO_LIMITS",
        "EXPOSURE",
        "MIN_BALANCE",
        "DAILY_LOSS_NEAR",
        "PRESENCE",
        "RVI_STALE",
        "NET_SLOW",
        "NET_FAILOVER",
    )
)
NEVER_NS = 2**62
RVI_DEAD_NS = 96 * 3_600_000_000_000


@inner
def watch_move(state: State, params: Params, out: np.ndarray, n: int, instrument: int) -> int:
    """P-11: hold entries, for a while, when the mark is too far from any mark of the last window."""
    limits = params.limits[0]
    until_ns = state.account[0].now_ns + limits.move_hold_ns
    far = price_move(state.positions[instrument])
    return raise_hold(state, out, n, _PRICE_MOVE, until_ns, far, limits.move_ticks_max)


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
    n = _reconciled(state, params, out, n)
    n = set_condition(state, out, n, _EXECUTION_AWAY, a.execution_up != 1, 0, 0)
    n = set_condition(state, out, n, _DATABASE_AWAY, a.database_up != 1, 0, 0)
    return set_condition(state, out, n, _STREAM_FULL, a.stream_ok != 1, 0, 0)


@inner
def _reconciled(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """NOT_RECONCILED follows the last reconciliation; of shares one that is too old is none (MOEX-RISK-05, RECON).

    Futures ask for its age at the gate (MES-RISK-20, row 3).
    """
    a = state.account[0]
    away = a.reconciled != 1
    if a.rules == MOEX and a.recon_ts_ns != NO_TIME:
        away = away or a.now_ns - a.recon_ts_ns > params.limits[0].recon_age_ns_max
    return set_condition(state, out, n, _NOT_RECONCILED, away, a.recon_ts_ns, 0)


@inner
def watch_clock(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """Everything that the event's clock decides, in this order: roll, ends of TIME holds, phase, news, presence, the
    age of the last reconciliation."""
    account = state.account[0]
    n = _roll(state, params, out, n)
    next_ns = NEVER_NS
    standing = account.holds & TIME_MASK[account.rules]
    if account.rules == MOEX and account.holds >> _PAUSE & 1 and state.holds[_PAUSE].until_ns > 0:
        standing |= 1 << _PAUSE  # a pause with an end (MOEX-RISK-06)
    for bit in range(HOLD_CAPACITY):
        if standing >> bit & 1 == 0:
            continue
        if account.now_ns >= state.holds[bit].until_ns:
            n = clear_hold(state, out, n, bit)
        else:
            next_ns = min(next_ns, state.holds[bit].until_ns)
    n = _phase(state, params, out, n)
    next_ns = min(next_ns, next_window_ns(params.windows, account.window_count, account.now_ns))
    for i in range(account.news):
        if account.news_start_ns[i] <= account.now_ns < account.news_end_ns[i]:
            n = raise_hold(state, out, n, _NEWS, account.news_end_ns[i], i, 0)
            next_ns = min(next_ns, account.news_end_ns[i])
        elif account.now_ns < account.news_start_ns[i]:
            next_ns = min(next_ns, account.news_start_ns[i])
    n = _presence(state, params, out, n)
    limit = params.limits[0].presence_ns_max
    if limit > 0 and account.presence_ns != NO_TIME and account.now_ns < account.presence_ns + limit:
        next_ns = min(next_ns, account.presence_ns + limit)
    if account.rules == MOEX and account.recon_ts_ns != NO_TIME:
        old_ns = account.recon_ts_ns + params.limits[0].recon_age_ns_max + 1
        if account.now_ns >= old_ns:
            n = raise_hold(state, out, n, _NOT_RECONCILED, NO_TIME, account.recon_ts_ns, 0)
        else:
            next_ns = min(next_ns, old_ns)
    account.clock_ns = next_ns
    return n


@inner
def next_window_ns(windows: np.ndarray, count: int, now_ns: int) -> int:
    """When the phase next changes: the end of this window, or the start of the next; NEVER_NS after the last."""
    for i in range(count):
        if windows[i].start_ns > now_ns:
            return windows[i].start_ns
        if windows[i].end_ns > now_ns:
            return windows[i].end_ns
    return NEVER_NS


@inner
def _roll(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """The first event of a new trading day (MES-RISK-14, MOEX-RISK-03): TRADING_DAY holds and today's figures end.

    An account's day never goes back: a session whose clock begins before the day that its past brought is still in it.
    """
    account = state.account[0]
    day = day_at(params.windows, account.window_count, account.now_ns)
    if day <= account.trading_day:
        return n
    account.trading_day = day
    account.day_net_micros = 0
    account.day_trades = 0
    account.day_wins = 0
    account.day_losses = 0
    if account.rules == MES:
        account.streak = 0
    account.day_peak_micros = account.balance_micros
    mark_equity(state, params)
    account.day_peak_micros = account.equity_micros
    account.day_base_micros = account.equity_micros
    if account.version != 0:
        account.capital_micros = min(account.equity_micros, params.limits[0].capital_micros)
    for k in range(account.open_marks.shape[0]):
        account.open_marks[k] = 0
        account.open_since_ns[k] = NO_TIME
    forget_overrides(state)
    ending = account.holds & TRADING_DAY_MASK[account.rules]
    for bit in range(HOLD_CAPACITY):
        if ending >> bit & 1:
            n = clear_hold(state, out, n, bit)
    if account.version == 0:
        return n
    return check_near(state, params, out, n)  # no bar of a flat account would look at it: it ended with its day


@inner
def _phase(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """The phase of this moment and the holds that follow it (MES-EOD, MOEX-OPS-01)."""
    account = state.account[0]
    at = window_at(params.windows, account.window_count, account.now_ns)
    phase = AFTER_HOURS if at < 0 else params.windows[at].phase
    account.phase = phase
    n = set_condition(state, out, n, _AFTER_HOURS, phase == AFTER_HOURS, phase, 0)
    n = set_condition(state, out, n, _CLOSE_ONLY, phase == CLOSE_ONLY, phase, 0)
    n = set_condition(state, out, n, _EOD, phase == AGGRESSIVE_EXIT or phase == MUST_BE_FLAT, phase, 0)
    n = set_condition(state, out, n, _EOD_REDUCED, phase == REDUCED, phase, 0)
    if phase == MUST_BE_FLAT:
        for i in range(account.instruments):
            p = state.positions[i]
            if p.qty != 0:
                n = raise_hold(state, out, n, _NOT_FLAT, NO_TIME, p.qty, 0)
    return n


@inner
def _presence(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """Where attended operation is demanded, no activity for too long stops entries until there is some."""
    account = state.account[0]
    limit = params.limits[0].presence_ns_max
    if account.version == 0:
        return n
    away = limit > 0 and (account.presence_ns == NO_TIME or account.now_ns - account.presence_ns >= limit)
    return set_condition(state, out, n, _PRESENCE, away, account.presence_ns, limit)


@inner
def watch_index(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """RVI_STALE follows the age of the index."""
    account = state.account[0]
    limits = params.limits[0]
    if limits.rvi_max <= 0:
        return clear_hold(state, out, n, _RVI_STALE)  # nobody watches it any more
    stale = index_is_stale(account, limits)
    return set_condition(state, out, n, _RVI_STALE, stale, account.index_ts_ns, limits.rvi_age_ns_max)


@inner
def index_is_stale(account: np.record, limits: np.record) -> bool:
    """No value within its age while entries are possible, none for days, or never (MOEX-RISK-05)."""
    if account.index_ts_ns == NO_TIME:
        return True
    age = account.now_ns - account.index_ts_ns
    return age > RVI_DEAD_NS or (account.phase == NORMAL and age > limits.rvi_age_ns_max)


@inner
def watch_probes(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """A connection that is not watched any more is neither slow nor lost: no probe would ever end these holds."""
    if params.limits[0].probe_slow_ns > 0:
        return n
    n = clear_hold(state, out, n, _NET_SLOW)
    return clear_hold(state, out, n, _NET_FAILOVER)


@inner
def watch_orders(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """Entries past their time are cancelled; requests without an answer are asked after (W-01), never sent again."""
    account = state.account[0]
    for k in range(account.open_count):
        slot = account.open_slots[k]
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
    """After an event about this instrument: time exit, protection, cover.

    Futures leave at `hold_ns_max` (MES-STOP-06), shares after more than it, a hedge never; with stops by formula their
    own check is the first to look (MOEX-STOP-05).
    """
    p = state.positions[instrument]
    limits = params.limits[0]
    if p.qty != 0 and by_formula(state.account[0], limits):
        check(state.account[0], p, params.specs[instrument], limits)
    if p.qty != 0 and limits.hold_ns_max > 0:
        held_ns = state.account[0].now_ns - p.opened_ns
        late = held_ns > limits.hold_ns_max or (held_ns == limits.hold_ns_max and state.account[0].rules != MOEX)
        if late and not is_hedge(params.specs[instrument], limits):
            p.rev_side = 0  # a time exit ends a reversal that waits for its exit's fill (MES-REV-02)
            close(p, BY_TIME)
    if state.account[0].rules == MOEX:
        n = _outcomes(state, out, n, instrument)
        n = cut(state, params, out, n, instrument)
    n = converge(state, params, out, n, instrument)
    return watch_cover(state, params, out, n, instrument)


@inner
def _outcomes(state: State, out: np.ndarray, n: int, instrument: int) -> int:
    """OUTCOME_UNKNOWN stands while the venue has not said what became of an order of this instrument (MOEX-RISK-05)."""
    unknown = 0
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number > 0 and order.instrument == instrument and life.is_open(order.status):
            if order.status == life.UNKNOWN or order.request == life.QUERYING:
                unknown += 1
    return hold_on(state, out, n, instrument, _OUTCOME, unknown > 0, unknown, 0)


@inner
def is_idle(state: State, params: Params) -> bool:
    """Nothing is held, works, waits or is wrong: before `clock_ns` time alone changes nothing but the feed's age."""
    a = state.account[0]
    if a.version == 0 or a.config_pending != 0 or a.holds & WATCHED_MASK != 0 or params.limits[0].rvi_max > 0:
        return False
    if params.limits[0].hedge_every_ns > 0:
        return False  # tasks run by the schedule
    if a.reconciled != 1 or a.execution_up != 1 or a.database_up != 1 or a.stream_ok != 1 or a.feed_gap == 1:
        return False
    for k in range(a.open_since_ns.shape[0]):
        if a.open_since_ns[k] != NO_TIME:
            return False
    for i in range(a.instruments):
        if state.positions[i].qty != 0 or state.positions[i].closing != 0 or state.positions[i].rev_side != 0:
            return False
    for k in range(a.open_count):
        slot = a.open_slots[k]
        if state.orders[slot].number > 0 and life.is_open(state.orders[slot].status):
            return False
    return True


@inner
def on_timer(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """Once a second of the session clock: everything that time alone can change."""
    n = watch_clock(state, params, out, n)
    n = watch_feed(state, params, out, n)
    n = watch_links(state, params, out, n)
    n = check_limits(state, params, out, n, False)
    if state.account[0].version != 0:
        n = watch_index(state, params, out, n)
        n = watch_probes(state, params, out, n)
        n = watch_orders(state, params, out, n)
    return n
