"""What a person or the shell asks: commands and configuration.  Reductions always work; loosening waits for flat.

Each command leaves one RECEIPT, which says why it was refused; a target that the venue then does not take leaves
another.  The right to give a command was checked by the service that put it into the inbox; the kernel checks only what
the state must be.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import ACCOUNT_SCOPE, NO_TIME
from risk.core.holds import BIT, HOLD_CAPACITY, RESET_MASK, RESUME_MASK
from risk.core.records import ENTRIES_KEPT, MES, MOEX, UNSET, loosens
from trading.core import orders as life
from trading.core import states as why
from trading.core.bracket import move_leg
from trading.core.effects import blank, clear_hold, raise_hold, receipt, renew_hold
from trading.core.entry.override import forget_overrides, grant_override
from trading.core.past import open_account, raise_past
from trading.core.protect import BY_OPERATOR, cancel_entries, flatten
from trading.core.records import (
    CANCEL_ALL,
    CONFIG_ACTIVE,
    ENTRY,
    FLATTEN_ALL,
    INSTRUMENT_CAPACITY,
    KILL,
    LOCK,
    MOVE_STOP,
    MOVE_TARGET,
    OVERRIDE,
    PAUSE,
    PRESENCE,
    RESET_HALT,
    RESUME,
    START,
    STOP_SESSION,
    Params,
    State,
)
from trading.core.watch.clock import index_is_stale
from trading.core.watch.limits import ON_DAY
from trading.core.watch.told import lift_restrictions

KEEPS_OVERRIDES = (OVERRIDE, PRESENCE, MOVE_STOP, MOVE_TARGET)  # every other command stops or starts entries
_PAUSE = BIT["OPERATOR_PAUSE"]
_STOPPED = BIT["SESSION_STOPPED"]
_KILL = BIT["KILL_SWITCH"]
_UNREADABLE = BIT["STATE_UNREADABLE"]
_LOCK = BIT["OPERATOR_LOCK"]
_PRESENCE = BIT["PRESENCE"]
_TOTAL_LOSS = BIT["EQUITY_KILL"]
_DRAWDOWN = BIT["ACCOUNT_DRAWDOWN"]
_DAILY_LOSS = BIT["DAILY_LOSS"]
_RVI_HIGH = BIT["RVI_HIGH"]
_REPEATED = BIT["REPEATED_ENTRIES"]


@inner
def is_flat(state: State) -> bool:
    """No position and no open order anywhere."""
    for i in range(INSTRUMENT_CAPACITY):
        if state.positions[i].qty != 0:
            return False
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        if state.orders[slot].number > 0 and life.is_open(state.orders[slot].status):
            return False
    return True


@inner
def on_command(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """Apply one command and answer it.  `e.value`: a bit mask that narrows RESUME and RESET_HALT (0 = all); of PAUSE
    its end, 0 = none (shares).

    STATE_UNREADABLE goes once a person stated the figures under it (`past`); before that it is refused.  What stops
    entries takes every open override back.
    """
    account = state.account[0]
    refusal = 0
    if e.code not in KEEPS_OVERRIDES:
        forget_overrides(state)
    if e.ref != 0:  # a person gave it
        account.presence_ns = account.now_ns
        account.clock_ns = account.now_ns  # the next event looks when the presence will end
        n = clear_hold(state, out, n, _PRESENCE)
    if e.code == START:
        refusal = _start_refusal(account)
        if refusal == 0:
            account.trading = 1
    elif e.code == PAUSE:
        n = _pause(state, e.value, out, n)
    elif e.code == CANCEL_ALL:
        n = _pause(state, NO_TIME, out, n)
        n = _cancel_all(state, out, n)
    elif e.code == FLATTEN_ALL:
        n = _pause(state, NO_TIME, out, n)
        n = _cancel_all(state, out, n)
        _close_all(state)
    elif e.code == STOP_SESSION:
        account.trading = 0
        n = raise_hold(state, out, n, _STOPPED, NO_TIME, 0, 0)
        _close_all(state)
    elif e.code == KILL:
        account.latched = 1
        n = raise_hold(state, out, n, _KILL, NO_TIME, 0, 0)
        _close_all(state)
    elif e.code == LOCK:
        refusal = 0 if e.value > account.now_ns else why.OVER
        if refusal == 0:
            n = raise_hold(state, out, n, _LOCK, e.value, 0, 0)
            n = _cancel_all(state, out, n)
            _close_all(state)
    elif e.code == PRESENCE:
        refusal = 0 if e.ref != 0 else why.NOBODY
    elif e.code == MOVE_STOP or e.code == MOVE_TARGET:
        refusal = move_leg(state, params, e)
    elif e.code == OVERRIDE:
        refusal = grant_override(state, e)
    elif e.code == RESUME:
        mask = _resumed(account, params.limits[0], e.value)
        refusal = why.NONE_NAMED if mask == 0 else 0
        n = _resume(state, mask, out, n)
    elif e.code == RESET_HALT:
        refusal = _reset_refusal(state, params, e)
        if refusal == 0:
            n = _reset_halt(state, e, out, n)
    else:
        refusal = why.NO_SUCH_COMMAND
    return receipt(state, out, n, e.code + 0, e.ref, refusal)


@inner
def _start_refusal(account: np.record) -> int:
    if account.version == 0:
        return why.NO_LIMITS
    if account.holds >> _STOPPED & 1 == 1:
        return why.STOPPED
    return why.LATCHED if account.latched != 0 else 0


@inner
def _reset_refusal(state: State, params: Params, e: np.record) -> int:
    account = state.account[0]
    mask = _narrowed(RESET_MASK[account.rules], e.value)
    if mask == 0:
        return why.NONE_NAMED
    if not is_flat(state):
        return why.NOT_FLAT
    if not _index_is_calm(account, params, mask):
        return why.INDEX_HIGH
    unreadable = account.holds & mask & 1 << _UNREADABLE != 0
    return why.NOT_STATED if unreadable and account.told != 1 else 0


@inner
def _pause(state: State, until_ns: int, out: np.ndarray, n: int) -> int:
    """OPERATOR_PAUSE until somebody resumes; of shares, with `until_ns` ahead of us, until then (MOEX-RISK-06).

    A pause without an end replaces a timed one, never the reverse; a shorter time never shortens a longer one.
    """
    account = state.account[0]
    hold = state.holds[_PAUSE]
    timed = account.rules == MOEX and until_ns > account.now_ns
    if account.holds >> _PAUSE & 1 == 0:
        n = raise_hold(state, out, n, _PAUSE, until_ns if timed else NO_TIME, 0, 0)
    elif account.rules == MOEX and not timed:
        n = renew_hold(state, out, n, _PAUSE, NO_TIME)
    elif timed and hold.until_ns > 0:
        n = renew_hold(state, out, n, _PAUSE, max(hold.until_ns, until_ns))
    if timed and hold.until_ns > 0:
        account.clock_ns = min(account.clock_ns, hold.until_ns)
    return n


@inner
def _resumed(account: np.record, limits: np.record, asked: int) -> int:
    """The holds that a RESUME clears where they stand.  Shares: the pause alone, the others where they are named
    (MOEX-RISK-06), so is DAILY_LOSS while open money counts in it; that an admin named it was checked by the service.
    """
    if account.rules != MOEX:
        return _narrowed(RESUME_MASK[account.rules], asked)
    if asked == 0:
        return 1 << _PAUSE
    day_loss = asked & 1 << _DAILY_LOSS if limits.day_loss_open == 1 else 0
    return RESUME_MASK[account.rules] & asked | day_loss


@inner
def _resume(state: State, mask: int, out: np.ndarray, n: int) -> int:
    """A row's re-basing happens only when that row's hold is cleared (MES-RISK-13, MOEX-RISK-05)."""
    account = state.account[0]
    clearing = account.holds & mask
    if clearing >> _DRAWDOWN & 1:
        account.peak_micros = account.balance_micros
    if clearing >> _DAILY_LOSS & 1:
        account.day_base_micros = account.equity_micros  # only a further full limit sets it again, until the roll
        account.open_marks[ON_DAY] = 0
        account.open_since_ns[ON_DAY] = NO_TIME
    if clearing >> _REPEATED & 1:
        for k in range(ENTRIES_KEPT):
            account.entries_ns[k] = NO_TIME  # a person looked at them: the window begins anew (P-18)
    return _clear(state, out, n, mask)


@inner
def _reset_halt(state: State, e: np.record, out: np.ndarray, n: int) -> int:
    """Open the latch and lift halts.  After it nobody trades on by itself: a pause stays until `resume` (K-05)."""
    account = state.account[0]
    mask = _narrowed(RESET_MASK[account.rules], e.value)
    if account.holds & mask != 0 or (mask >> _KILL & 1 and account.latched == 1):
        n = _pause(state, NO_TIME, out, n)
    if mask >> _KILL & 1:
        account.latched = 0
    if mask >> _UNREADABLE & 1:
        account.told = 0
    if account.holds >> _TOTAL_LOSS & 1 and mask >> _TOTAL_LOSS & 1:
        account.reference_micros = account.equity_micros
    return _clear(state, out, n, mask)


@inner
def _index_is_calm(account: np.record, params: Params, mask: int) -> bool:
    """RVI_HIGH is not cleared while the index is high or stale (MOEX-RISK-05).

    A reset that leaves it standing asks nothing of the index, nor does one while nobody watches it.
    """
    limits = params.limits[0]
    if account.holds & mask & 1 << _RVI_HIGH == 0 or limits.rvi_max <= 0:
        return True
    return not index_is_stale(account, limits) and account.index_value <= limits.rvi_clear_max


@inner
def _narrowed(allowed: int, mask: int) -> int:
    return allowed if mask == 0 else allowed & mask


@inner
def _cancel_all(state: State, out: np.ndarray, n: int) -> int:
    for i in range(state.account[0].instruments):
        n = cancel_entries(state, out, n, i)
    return n


@inner
def _close_all(state: State) -> None:
    """Close what is held and what an open entry may still make."""
    for i in range(INSTRUMENT_CAPACITY):
        if state.positions[i].qty != 0:
            flatten(state.account[0], state.positions[i], BY_OPERATOR)
    for k in range(state.account[0].open_count):
        slot = state.account[0].open_slots[k]
        order = state.orders[slot]
        if order.number > 0 and order.role == ENTRY and life.is_open(order.status):
            flatten(state.account[0], state.positions[order.instrument], BY_OPERATOR)


@inner
def _clear(state: State, out: np.ndarray, n: int, mask: int) -> int:
    for bit in range(HOLD_CAPACITY):
        if mask >> bit & 1:
            n = clear_hold(state, out, n, bit)
    return n


@inner
def on_config(state: State, params: Params, e: np.record) -> None:
    """One staged value.  Instrument specifications take effect at once, while nothing trades, is held or works."""
    if e.instrument == ACCOUNT_SCOPE:
        if 0 <= e.code < params.staged.shape[0]:
            params.staged[e.code] = e.value
    elif state.account[0].trading == 0 and is_flat(state) and 0 <= e.code < params.spec_values.shape[1]:
        params.spec_values[e.instrument, e.code] = e.value
        state.account[0].instruments = max(state.account[0].instruments, np.int64(e.instrument) + 1)


@inner
def on_commit(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """The staged limits become the version `e.ref`: the first whole, later ones tighter at once, looser when flat.

    What two persons let pass under other limits is taken back (P-27).
    """
    account = state.account[0]
    first = account.version == 0
    account.config_pending = 0
    for i in range(params.staged.shape[0]):
        new = params.staged[i]
        if new == UNSET:
            continue  # a version never takes a limit away
        if first or params.limit_values[i] == UNSET or not loosens(i, params.limit_values[i], new):
            params.limit_values[i] = new
        elif new != params.limit_values[i]:
            account.config_pending = 1
        params.pending[i] = new
    account.pending_version = e.ref
    if first:
        open_account(state, params)
        account.rules = MOEX if params.limits[0].rules == MOEX else MES  # never changes in a session
    else:
        params.limits[0].rules = account.rules
        forget_overrides(state)
    account.version = e.ref
    account.clock_ns = account.now_ns
    n = raise_past(state, out, n) if first else n
    return _config_row(state, e.ref, out, n)


@inner
def apply_pending(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """The looser part of a committed version, once everything is flat: restrictions that it lifts, and its limits."""
    account = state.account[0]
    if (account.config_pending == 0 and account.lifting == 0) or not is_flat(state):
        return n
    n = lift_restrictions(state, out, n)
    if account.config_pending == 0:
        return n
    for i in range(params.pending.shape[0]):
        if params.pending[i] != UNSET:
            params.limit_values[i] = params.pending[i]
    params.limits[0].rules = account.rules
    forget_overrides(state)
    account.config_pending = 0
    account.clock_ns = account.now_ns  # the next event looks at the clock with the new limits
    return _config_row(state, account.pending_version, out, n)


@inner
def _config_row(state: State, version: int, out: np.ndarray, n: int) -> int:
    blank(out, n, CONFIG_ACTIVE, ACCOUNT_SCOPE, state.account[0].now_ns)
    out[n].ref = version
    out[n].value = state.account[0].config_pending
    return n + 1
