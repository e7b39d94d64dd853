"""What market data does: marks, the grid of bars, the spread, a trailing stop.  Called by the kernel.

A price outside what can be represented is no mark: it is discarded, counted, and keeps entries out until a good one
comes (MES-RISK-11).  History (FLAG_BACKFILL) primes the grid and decides nothing.
"""

import numpy as np

from marketdata.core import records as market
from marketdata.core.compiled import inner
from marketdata.core.records import FLAG_BACKFILL, FLAG_CARRIED, FLAG_INVALID, NO_TICK
from marketdata.core.units import TICK_MAX
from risk.core import breakers
from risk.core.holds import BIT
from risk.core.records import MOEX
from risk.core.stops import trailed
from trading.core import ledger
from trading.core.effects import raise_hold, set_condition
from trading.core.records import Params, State
from trading.core.watch.clock import watch_feed, watch_move, watch_position
from trading.core.watch.limits import check_limits

_FEED_STALE = BIT["FEED_STALE"]
_SPREAD = BIT["SPREAD"]
_VOLATILITY, _VOLUME = BIT["VOLATILITY"], BIT["VOLUME"]


@inner
def on_market(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """Quotes, trades, bars and the feed's own state."""
    account = state.account[0]
    if e["flags"] & FLAG_BACKFILL:
        if e.kind == market.BAR:
            n = _grid(state, e, out, n)
        return n
    account.feed_ts_ns = account.now_ns
    if e.kind == market.FEED:
        return _feed(state, params, e, out, n)
    if account.holds >> _FEED_STALE & 1:
        n = watch_feed(state, params, out, n)
    p = state.positions[e.instrument]
    is_mark = _remember(p, e, account.now_ns, account.rules == MOEX)
    if e.kind == market.BAR:
        n = _grid(state, e, out, n)
        _trail(p, params, e)
    if e.kind == market.STATUS or account.version == 0 or p.mark_tick == NO_TICK:
        return n
    limits = params.limits[0]
    if e.kind != market.BAR and e.kind != market.TRADE and limits.spread_hold_ns > 0 and p.book_ok == 1:
        wide = p.ask_tick - p.bid_tick
        if wide > limits.spread_ticks_max:
            until_ns = account.now_ns + limits.spread_hold_ns
            n = raise_hold(state, out, n, _SPREAD, until_ns, wide, limits.spread_ticks_max)
    fresh = p.move_tick == NO_TICK or account.now_ns - p.move_ts_ns >= limits.move_window_ns
    if fresh or abs(p.mark_tick - p.move_tick) > limits.move_ticks_max:
        n = watch_move(state, params, out, n, e.instrument)
    if p.qty != 0:
        n = check_limits(state, params, out, n, is_mark)
        n = watch_position(state, params, out, n, e.instrument)
    return n


@inner
def _feed(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """The feed's own state.  An outage that is not back-filled ends every segment (MES-DATA-21)."""
    account = state.account[0]
    if e.code != market.FEED_BEAT:
        account.feed_gap = 0 if e.code == market.FEED_UP else 1
        if account.feed_gap == 1:
            for i in range(account.instruments):
                breakers.new_segment(state.grids[i])
            n = _shocks(state, out, n)
        return watch_feed(state, params, out, n)
    if account.holds >> _FEED_STALE & 1:
        n = watch_feed(state, params, out, n)
    return n


@inner
def _grid(state: State, e: np.record, out: np.ndarray, n: int) -> int:
    """One completed bar into the grid; at a minute's end VOLATILITY and VOLUME follow it (MES-BREAK-02)."""
    if e.close_tick == NO_TICK or e["flags"] & FLAG_INVALID or e.value <= 0:
        return n
    end_ns = e.ts_venue_ns
    start_ns = end_ns - e.value
    carried = e["flags"] & FLAG_CARRIED != 0
    g = state.grids[e.instrument]
    if breakers.take_bar(g, start_ns, end_ns, e.high_tick, e.low_tick, e.close_tick, e.volume, carried):
        n = _shocks(state, out, n)
    return n


@inner
def _shocks(state: State, out: np.ndarray, n: int) -> int:
    volatile, quiet = 0, 0
    for i in range(state.account[0].instruments):
        volatile |= state.grids[i].volatile
        quiet |= state.grids[i].quiet
    n = set_condition(state, out, n, _VOLATILITY, volatile == 1, volatile, 0)
    return set_condition(state, out, n, _VOLUME, quiet == 1, quiet, 0)


@inner
def _trail(p: np.record, params: Params, e: np.record) -> None:
    """MES-STOP-05: after a completed bar the stop of a position may only tighten."""
    limits = params.limits[0]
    if p.qty == 0 or p.closing == 1 or p.stop_tick == NO_TICK or limits.trail_ticks <= 0 or p.trade_entry_qty == 0:
        return
    if e.close_tick == NO_TICK or e["flags"] & FLAG_INVALID:
        return
    entry = ledger.nearest_average(p.trade_entry_ticks, p.trade_entry_qty)
    tick = trailed(limits, p.trade_side, entry, p.stop_tick, e.close_tick)
    if tick != p.stop_tick:
        p.stop_tick = tick
        p.trailed = 1


@inner
def _remember(p: np.record, e: np.record, now_ns: int, by_mid: bool) -> bool:
    """What the market said last about one instrument.  Returns True when that was a mark.

    The mark is the last print, before the first one the mid (MES-RISK-02); `by_mid`: the mid of the last valid book,
    before the first one the last print (MOEX-RISK-01).
    """
    if e.kind == market.STATUS:
        p.status = e.code
        return False
    if e.kind == market.QUOTE or e.kind == market.BOOK:
        p.book_ok = 1 if e["flags"] & FLAG_INVALID == 0 and 0 < e.bid_tick < e.ask_tick <= TICK_MAX else 0
        p.bid_tick = e.bid_tick
        p.ask_tick = e.ask_tick
        p.bid_qty = e.bid_qty
        p.ask_qty = e.ask_qty
        p.quote_ts_ns = now_ns
        if p.book_ok == 1 and (by_mid or p.last_tick == NO_TICK):
            p.mark_tick = (e.bid_tick + e.ask_tick) // 2
            p.mid_seen = 1
            return True
        return False
    price = e.close_tick if e.kind == market.BAR else e.price_tick
    if price == NO_TICK or e["flags"] & FLAG_INVALID:
        return False
    if not 0 < price <= TICK_MAX:
        p.bad_marks += 1
        p.mark_bad = 1
        return False
    p.mark_bad = 0
    p.last_tick = price
    p.last_ts_ns = now_ns
    if by_mid and p.mid_seen == 1:
        return False
    p.mark_tick = price
    return True
