"""The one function that decides: `step(state, params, events, index, out)`.

Everything that can change what we hold arrives here as one EVENT, in the order of the journal, and leaves as outputs.
Backtest, replay, paper and live call this same function; they differ in who fills the inbox and who serves the outbox.
No clock, no I/O, no randomness: the same events give the same outputs, bit for bit.
"""

import numpy as np
from numba import njit

from marketdata.core import records as market
from marketdata.core.compiled import borrowed, inner
from marketdata.core.records import ACCOUNT_SCOPE
from risk.core.holds import BIT
from trading.core.answers import on_answer
from trading.core.commands import apply_pending, on_command, on_commit, on_config
from trading.core.effects import set_condition, watch_proofs
from trading.core.entry.policy import continue_reversal, on_score
from trading.core.market import follow_market, note_market
from trading.core.past import on_past
from trading.core.records import (
    ACK,
    COMMAND,
    CONFIG,
    CONFIG_COMMIT,
    LINK,
    LINK_CONTRACT,
    LINK_DATABASE,
    LINK_EXECUTION,
    LINK_LATCH,
    LINK_STREAM,
    MODEL,
    PAST,
    RECON,
    SCORE,
    TIMER,
    TRANSFER,
    UNKNOWN_OUTCOME,
    WINDOW_SET,
    Params,
    State,
)
from trading.core.watch.clock import is_idle, on_timer, watch_clock, watch_links, watch_position
from trading.core.watch.limits import check_limits
from trading.core.watch.notices import on_notice
from trading.core.watch.recon import on_recon
from trading.core.watch.tasks import run_tasks

_CONTRACT_ROLL = BIT["CONTRACT_ROLL"]
NOT_IDLE = 1 << 20


@njit(cache=True)
def step(state: State, params: Params, events: np.ndarray, index: int, out: np.ndarray) -> int:
    """Apply events[index]; write its outputs to out[0..n) and return n.

    The caller has numbered the event (`seq` = account.seq + 1); outputs are numbered on from there, so that the
    journal's order is: input, its outputs, next input.  `events` is not changed.
    """
    state, params, events, out = borrowed((state, params, events, out))
    e = events[index]
    account = state.account[0]
    if e.ts_ns > account.now_ns:
        account.now_ns = e.ts_ns
    account.seq = e.seq
    held = account.holds
    n = 0
    if account.now_ns >= account.clock_ns and account.version != 0:
        n = watch_clock(state, params, out, n)
    if e.kind <= market.FEED:
        at = e.instrument
        wants = note_market(account, state.positions[at], state.grids[at], params.limits[0], e)
        if wants != 0:
            n = follow_market(state, params, e, out, n, wants)
    else:
        n = _dispatch(state, params, e, out, n)
    return finish(state, params, out, n, held, e.seq)


@inner
def finish(state: State, params: Params, out: np.ndarray, n: int, held: int, seq: int) -> int:
    """A hold that went up: what it asks for is asked everywhere, at once.  Outputs are numbered on from their input.

    Another may go up while it is asked, after some instruments were looked at: each bit is asked for once at most.
    """
    account = state.account[0]
    while account.holds & ~held:
        held |= account.holds
        n = _settle(state, params, out, n)
    for k in range(n):
        out[k].seq = seq + 1 + k
    account.seq = seq + n
    return n


@inner
def _dispatch(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    kind = e.kind
    if kind == TIMER:
        return _on_timer(state, params, out, n)
    state.account[0].idle = 0
    if kind == SCORE:
        n = on_score(state, params, e, out, n)
        return watch_position(state, params, out, n, e.instrument)
    if ACK <= kind <= UNKNOWN_OUTCOME:
        n = on_answer(state, params, e, out, n)
        n = watch_proofs(state, out, n)
        n = check_limits(state, params, out, n, False)
    elif kind == COMMAND:
        n = on_command(state, params, e, out, n)
        n = check_limits(state, params, out, n, False)
    elif kind == RECON:
        n = on_recon(state, params, e, out, n)
        n = watch_proofs(state, out, n)
        n = watch_links(state, params, out, n)
    elif kind == LINK:
        n = _on_link(state, e, out, n)
        n = watch_links(state, params, out, n)
    elif kind == CONFIG:
        on_config(state, params, e)
        return n
    elif kind == CONFIG_COMMIT:
        n = on_commit(state, params, e, out, n)
        n = watch_links(state, params, out, n)
        n = check_limits(state, params, out, n, False)
    elif kind == WINDOW_SET:
        _on_window(state, params, e)
        return watch_clock(state, params, out, n)
    elif kind == PAST:
        on_past(state, params, e)
        n = check_limits(state, params, out, n, False)
    elif MODEL <= kind <= TRANSFER:
        n = on_notice(state, params, e, out, n)
        n = check_limits(state, params, out, n, False)
    return _settle(state, params, out, n)


@inner
def _on_timer(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """Once a second.  While the account is idle and the feed is fresh there is nothing to look at."""
    account = state.account[0]
    if timer_is_idle(account, params.limits[0]):
        return n
    n = on_timer(state, params, out, n)
    if params.limits[0].hedge_every_ns > 0:
        n = run_tasks(state, params, out, n)
    n = _settle(state, params, out, n)
    account.idle = 1 if is_idle(state, params) else 0
    return n


@inner
def timer_is_idle(account: np.record, limits: np.record) -> bool:
    """True when a timer now would change nothing at all."""
    return account.idle == 1 and account.now_ns - account.feed_ts_ns <= limits.quote_age_ns_max


@inner
def _settle(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """After an event that may concern any instrument: protection everywhere, and a loosening that waited for flat."""
    if state.account[0].version == 0:
        return n
    for i in range(state.account[0].instruments):
        if params.specs[i].tradable == 1:
            n = watch_position(state, params, out, n, i)
            n = continue_reversal(state, params, out, n, i)
    return apply_pending(state, params, out, n)


@inner
def _on_link(state: State, e: np.record, out: np.ndarray, n: int) -> int:
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
    elif e.code == LINK_CONTRACT:
        n = _on_contract(state, e, out, n)
    return n


@inner
def _on_contract(state: State, e: np.record, out: np.ndarray, n: int) -> int:
    """One instrument's contract, or everyone's: CONTRACT_ROLL stands until the last inactive one is active again."""
    inactive = False
    for i in range(state.positions.shape[0]):
        p = state.positions[i]
        everyone = e.instrument == ACCOUNT_SCOPE and i < state.account[0].instruments
        if e.value == 1 and (e.instrument == i or e.instrument == ACCOUNT_SCOPE):
            p.holds &= ~(1 << _CONTRACT_ROLL)
        elif e.value != 1 and (e.instrument == i or everyone):
            p.holds |= 1 << _CONTRACT_ROLL
        inactive = inactive or p.holds >> _CONTRACT_ROLL & 1 == 1
    return set_condition(state, out, n, _CONTRACT_ROLL, inactive, np.int64(e.instrument), 0)


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
    """The batch loop: number and apply all events, keep only the count of outputs.  For benchmarks and warm-up.

    The same decisions as `step`, event by event; what a market event or an idle timer changes by itself is done here,
    without handing arrays to a function.
    """
    state, params, events, out = borrowed((state, params, events, out))
    total = 0
    one = events[:1].copy()
    account = state.account[0]
    limits = params.limits[0]
    for i in range(events.shape[0]):
        e = events[i]
        now_ns = max(e.ts_ns, account.now_ns)
        if account.version != 0 and now_ns < account.clock_ns and (e.kind <= market.FEED or e.kind == TIMER):
            seq = account.seq + 1
            account.now_ns = now_ns
            if e.kind == TIMER:
                wants = 0 if timer_is_idle(account, limits) else NOT_IDLE
            else:
                at = e.instrument
                wants = note_market(account, state.positions[at], state.grids[at], limits, e)
            account.seq = seq
            if wants == 0:
                continue
            if wants != NOT_IDLE:
                held = account.holds
                n = follow_market(state, params, e, out, 0, wants)
                total += finish(state, params, out, n, held, seq)
                continue
            account.seq = seq - 1
        one[0] = e
        one[0].seq = account.seq + 1
        total += step(state, params, one, 0, out)
    return total
