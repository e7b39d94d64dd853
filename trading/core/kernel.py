"""The one function that decides: `step(state, params, events, index, out)`.

Everything that can change what we hold arrives here as one EVENT, in the order of the journal, and leaves as outputs.
Backtest, replay, paper and live call this same function; they differ in who fills the inbox and who serves the outbox.
No clock, no I/O, no randomness: the same events give the same outputs, bit for bit.
"""

import numpy as np
from numba import njit

from marketdata.core import records as market
from marketdata.core.compiled import inner
from marketdata.core.records import FLAG_BACKFILL, FLAG_INVALID, NO_TICK
from risk.core.holds import BIT
from trading.core.answers import on_answer, on_recon
from trading.core.commands import apply_pending, on_command, on_commit, on_config
from trading.core.policy import on_score
from trading.core.records import (
    ACK,
    COMMAND,
    CONFIG,
    CONFIG_COMMIT,
    INSTRUMENT_CAPACITY,
    LINK,
    LINK_DATABASE,
    LINK_EXECUTION,
    LINK_LATCH,
    LINK_STREAM,
    RECON,
    SCORE,
    TIMER,
    UNKNOWN_OUTCOME,
    WINDOW_SET,
    Params,
    State,
)
from trading.core.watch import check_losses, on_timer, watch_clock, watch_feed, watch_links, watch_move, watch_position

_FEED_STALE = BIT["FEED_STALE"]


@njit(cache=True)
def step(state: State, params: Params, events: np.ndarray, index: int, out: np.ndarray) -> int:
    """Apply events[index]; write its outputs to out[0..n) and return n.

    The caller has numbered the event (`seq` = account.seq + 1); outputs are numbered on from there, so that the
    journal's order is: input, its outputs, next input.  `events` is not changed.
    """
    e = events[index]
    account = state.account[0]
    if e.ts_ns > account.now_ns:
        account.now_ns = e.ts_ns
    account.seq = e.seq
    held = account.holds
    if e.kind <= market.FEED:
        n = _on_market(state, params, e, out)
    else:
        n = _dispatch(state, params, e, out)
    if account.holds & ~held:  # a hold went up: what it asks for is asked everywhere, at once
        n = _settle(state, params, out, n)
    for k in range(n):
        out[k].seq = e.seq + 1 + k
    account.seq = e.seq + n
    return n


@inner
def _dispatch(state: State, params: Params, e: np.record, out: np.ndarray) -> int:
    n = 0
    kind = e.kind
    if kind == SCORE:
        n = on_score(state, params, e, out, n)
        return watch_position(state, params, out, n, e.instrument)
    if kind == TIMER:
        n = on_timer(state, params, out, n)
    elif ACK <= kind <= UNKNOWN_OUTCOME:
        n = on_answer(state, params, e, out, n)
        n = check_losses(state, params, out, n)
    elif kind == COMMAND:
        n = on_command(state, params, e, out, n)
    elif kind == RECON:
        n = on_recon(state, params, e, out, n)
        n = watch_links(state, params, out, n)
    elif kind == LINK:
        _on_link(state, e)
        n = watch_links(state, params, out, n)
    elif kind == CONFIG:
        on_config(state, params, e)
        return n
    elif kind == CONFIG_COMMIT:
        n = on_commit(state, params, e, out, n)
        n = watch_links(state, params, out, n)
    elif kind == WINDOW_SET:
        _on_window(state, params, e)
        return watch_clock(state, params, out, n)
    return _settle(state, params, out, n)


@inner
def _settle(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """After an event that may concern any instrument: protection everywhere, and a loosening that waited for flat."""
    if state.account[0].version == 0:
        return n
    for i in range(INSTRUMENT_CAPACITY):
        if params.specs[i].tradable == 1:
            n = watch_position(state, params, out, n, i)
    return apply_pending(state, params, out, n)


@inner
def _on_market(state: State, params: Params, e: np.record, out: np.ndarray) -> int:
    """Quotes, trades, bars and the feed's own state.  History (FLAG_BACKFILL) decides nothing."""
    account = state.account[0]
    n = 0
    if e["flags"] & FLAG_BACKFILL:
        return n
    account.feed_ts_ns = max(account.feed_ts_ns, e.ts_ns)  # its own time: what waited in a queue is old
    if e.kind == market.FEED and e.code != market.FEED_BEAT:
        account.feed_gap = 0 if e.code == market.FEED_UP else 1
        return watch_feed(state, params, out, n)
    if account.holds >> _FEED_STALE & 1:
        n = watch_feed(state, params, out, n)
    if e.kind == market.FEED:
        return n
    p = state.positions[e.instrument]
    _remember(p, e)
    if e.kind == market.STATUS or account.version == 0 or p.mark_tick == NO_TICK:
        return n
    n = watch_move(state, params, out, n, e.instrument)
    if p.qty != 0:
        n = check_losses(state, params, out, n)
        n = watch_position(state, params, out, n, e.instrument)
    return n


@inner
def _remember(p: np.record, e: np.record) -> None:
    """What the market said last about one instrument, and the mark: the last print, before the first the book's mid."""
    if e.kind == market.STATUS:
        p.status = e.code
        return
    if e.kind == market.QUOTE or e.kind == market.BOOK:
        p.book_ok = 1 if e["flags"] & FLAG_INVALID == 0 and 0 < e.bid_tick < e.ask_tick else 0
        p.bid_tick = e.bid_tick
        p.ask_tick = e.ask_tick
        p.bid_qty = e.bid_qty
        p.ask_qty = e.ask_qty
        p.quote_ts_ns = e.ts_ns
        if p.book_ok == 1 and p.last_tick == NO_TICK:
            p.mark_tick = (e.bid_tick + e.ask_tick) // 2
        return
    price = e.close_tick if e.kind == market.BAR else e.price_tick
    if price == NO_TICK or e["flags"] & FLAG_INVALID:
        return
    p.last_tick = price
    p.last_ts_ns = e.ts_ns
    p.mark_tick = price


@inner
def _on_link(state: State, e: np.record) -> None:
    """The desk's own links.  A lost execution link is unreconciled until the next reconciliation ends."""
    account = state.account[0]
    if e.code == LINK_EXECUTION:
        account.execution_up = e.value
        if e.value != 1:
            account.reconciled = 0
    elif e.code == LINK_DATABASE:
        account.database_up = e.value
    elif e.code == LINK_STREAM:
        account.stream_ok = e.value
    elif e.code == LINK_LATCH:
        account.latched = e.value


@inner
def _on_window(state: State, params: Params, e: np.record) -> None:
    """Append one session window; the oldest goes when the table is full.  Windows come sorted."""
    account = state.account[0]
    count = account.window_count
    capacity = params.windows.shape[0]
    if count > 0 and e.value < params.windows[count - 1].end_ns:
        return  # known already, or out of order
    if count == capacity:
        for i in range(1, capacity):
            params.windows[i - 1] = params.windows[i]
        count -= 1
    w = params.windows[count]
    w.start_ns = e.value
    w.end_ns = e.until_ns
    w.phase = e.code
    w.trading_day = e.ref
    account.window_count = count + 1


@njit(cache=True)
def run(state: State, params: Params, events: np.ndarray, out: np.ndarray) -> int:
    """The batch loop: number and apply all events, keep only the count of outputs.  For benchmarks and warm-up."""
    total = 0
    one = events[:1].copy()
    for i in range(events.shape[0]):
        one[0] = events[i]
        one[0].seq = state.account[0].seq + 1
        total += step(state, params, one, 0, out)
    return total
