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
from trading.core.watch.moves import note_move
from trading.core.watch.shares import note

_FEED_STALE = BIT["FEED_STALE"]
_SPREAD = BIT["SPREAD"]
# what may follow a market event, bits
FEED_SAYS, STALE, SHOCKED, WIDE, MOVED, MARKED, HELD = 1, 2, 4, 8, 16, 32, 64
_VOLATILITY, _VOLUME = BIT["VOLATILITY"], BIT["VOLUME"]


@inner
def note_market(a: np.record, p: np.record, g: np.record, limits: np.record, e: np.record) -> int:
    """What one market event changes by itself: mark, grid, trailing stop.  Returns what must follow, 0 = nothing.

    Records alone, no arrays: this is the whole cost of a bar that means nothing (an array as an argument costs more
    than all of it).
    """
    if a.rules == MOEX:
        note(p, g, e)
    if e["flags"] & FLAG_BACKFILL:
        return SHOCKED if e.kind == market.BAR and _grid(g, e) else 0
    a.feed_ts_ns = max(a.feed_ts_ns, e.ts_ns)  # its own time: what waited in a queue is old
    if e.kind == market.FEED:
        return FEED_SAYS
    wants = STALE if a.holds >> _FEED_STALE & 1 else 0
    by_mid = a.rules == MOEX
    is_mark = _remember(p, e, by_mid, not by_mid or limits.bar_mode == 1)
    if e.kind == market.BAR:
        if _grid(g, e):
            wants |= SHOCKED
        if p.qty != 0:
            _trail(p, limits, e)
    if e.kind == market.STATUS or a.version == 0 or p.mark_tick == NO_TICK:
        return wants
    if (e.kind == market.QUOTE or e.kind == market.BOOK) and limits.spread_hold_ns > 0 and p.book_ok == 1:
        if p.ask_tick - p.bid_tick > limits.spread_ticks_max:
            wants |= WIDE
    if note_move(p, limits, a.now_ns):
        wants |= MOVED
    if p.qty != 0:
        wants |= MARKED if is_mark else HELD
    return wants


@inner
def follow_market(state: State, params: Params, e: np.record, out: np.ndarray, n: int, wants: int) -> int:
    """What `note_market` asked for, in this order: the feed, shocks, spread, price move, limits and protection."""
    account = state.account[0]
    if wants & FEED_SAYS:
        return _feed(state, params, e, out, n)
    if wants & STALE:
        n = watch_feed(state, params, out, n)
    if wants & SHOCKED:
        n = _shocks(state, out, n)
    limits = params.limits[0]
    p = state.positions[e.instrument]
    if wants & WIDE:
        wide = p.ask_tick - p.bid_tick
        n = raise_hold(state, out, n, _SPREAD, account.now_ns + limits.spread_hold_ns, wide, limits.spread_ticks_max)
    if wants & MOVED:
        n = watch_move(state, params, out, n, e.instrument)
    if wants & (MARKED | HELD):
        n = check_limits(state, params, out, n, wants & MARKED != 0)
        n = watch_position(state, params, out, n, e.instrument)
    return n


@inner
def _feed(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """The feed's own state.  An outage that is not back-filled ends every segment (MES-DATA-21)."""
    account = state.account[0]
    if e.code != market.FEED_BEAT:
        account.feed_gap = 0 if e.code == market.FEED_UP else 1
        account.idle = 0
        if account.feed_gap == 1:
            for i in range(account.instruments):
                breakers.new_segment(state.grids[i])
            n = _shocks(state, out, n)
        return watch_feed(state, params, out, n)
    if account.holds >> _FEED_STALE & 1:
        n = watch_feed(state, params, out, n)
    return n


@inner
def _grid(g: np.record, e: np.record) -> bool:
    """One completed bar into the grid.  Returns True when VOLATILITY or VOLUME changed by it (MES-BREAK-02)."""
    if e.close_tick == NO_TICK or e["flags"] & FLAG_INVALID or e.value <= 0:
        return False
    before = 2 * g.volatile + g.quiet
    end_ns = e.ts_venue_ns
    carried = e["flags"] & FLAG_CARRIED != 0
    breakers.take_bar(g, end_ns - e.value, end_ns, e.high_tick, e.low_tick, e.close_tick, e.volume, carried)
    return 2 * g.volatile + g.quiet != before


@inner
def _shocks(state: State, out: np.ndarray, n: int) -> int:
    volatile, quiet = 0, 0
    for i in range(state.account[0].instruments):
        volatile |= state.grids[i].volatile
        quiet |= state.grids[i].quiet
    n = set_condition(state, out, n, _VOLATILITY, volatile == 1, volatile, 0)
    return set_condition(state, out, n, _VOLUME, quiet == 1, quiet, 0)


@inner
def _trail(p: np.record, limits: np.record, e: np.record) -> None:
    """MES-STOP-05: after a completed bar the stop of a position may only tighten."""
    if p.closing == 1 or p.stop_tick == NO_TICK or limits.trail_ticks <= 0 or p.trade_entry_qty == 0:
        return
    if e.close_tick == NO_TICK or e["flags"] & FLAG_INVALID:
        return
    entry = ledger.nearest_average(p.trade_entry_ticks, p.trade_entry_qty)
    tick = trailed(limits, p.trade_side, entry, p.stop_tick, e.close_tick)
    if tick != p.stop_tick:
        p.stop_tick = tick
        p.trailed = 1


@inner
def _remember(p: np.record, e: np.record, by_mid: bool, bars_print: bool) -> bool:
    """What the market said last about one instrument.  Returns True when that was a mark.

    The mark is the last print, before the first one the mid (MES-RISK-02); `by_mid`: the mid of the last valid book,
    before the first one the last print (MOEX-RISK-01).  `bars_print`: a bar closes with a print of now; where there are
    books its close is up to a minute old and says nothing of the present (MOEX-STOP-04).
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
        p.quote_ts_ns = e.ts_ns
        if p.book_ok == 1 and (by_mid or p.last_tick == NO_TICK):
            p.mark_tick = (e.bid_tick + e.ask_tick) // 2
            p.mark_half = (e.bid_tick + e.ask_tick) % 2
            p.mid_seen = 1
            return True
        return False
    unpriced = e["flags"] & FLAG_INVALID != 0
    if e.kind == market.BAR:
        price = e.close_tick
        if price == NO_TICK or unpriced:
            return False  # no trade in it: no mark, and no bad one
    else:
        price = NO_TICK if unpriced else e.price_tick
    if not 0 < price <= TICK_MAX:
        p.bad_marks += 1
        p.mark_bad = 1
        return False
    p.mark_bad = 0
    if e.kind == market.BAR and not bars_print:
        return False
    p.last_tick = price
    p.last_ts_ns = e.ts_ns
    if by_mid and p.mid_seen == 1:
        return False
    p.mark_tick = price
    p.mark_half = 0
    return True
