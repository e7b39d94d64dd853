"""What an account brings from its last session: told before the first limits, and with them in force (MES-RISK-22).

A session is no new account.  PAST events carry the closing figures of the one before and its standing holds; nothing
counts before CONFIG_COMMIT, and what came in part leaves STATE_UNREADABLE, never fresh limits.  Under that hold, while
nothing is held, a person may state the figures; a reset then takes it down.  Called by the kernel.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TIME
from risk.core.holds import BIT, HOLD_CAPACITY, TIME_MASK
from trading.core.effects import raise_hold
from trading.core.records import INSTRUMENT_CAPACITY, Params, State

# EVENT.code of PAST; ref = number of the session that it speaks of
PAST_SOURCE = 1  # order_number = its last seq; value, volume, qty, until_ns = SHA-256 of its state then
PAST_FIGURE = 2  # order_number = index in FIGURES, value
PAST_HOLD = 3  # order_number = bit, value, volume = limit, until_ns, ts_venue_ns = since
PAST_STATED = 4  # by a person, all at once: value = balance, volume = peak, qty = reference, fee_micros = today's net
# Part of the journal's format: append, never reorder.  Every one is a field of ACCOUNT.
FIGURES = (
    "balance_micros",
    "peak_micros",
    "reference_micros",
    "day_net_micros",
    "day_peak_micros",
    "day_base_micros",
    "capital_micros",
    "trading_day",
    "day_trades",
    "day_wins",
    "day_losses",
    "streak",
)
STATED = FIGURES[:4]  # what a person must know to take STATE_UNREADABLE down
MONEY = 7  # the first of them are money
MONEY_DIFFERS, MONEY_STATED = 1, 2  # ACCOUNT.money_off; the latter: the next truth's counts as ours
FIGURE_COUNT = len(FIGURES)
ALL_TOLD = (1 << FIGURE_COUNT) - 1
FIGURE_MOST = 2**61  # as `watch.limits`: what is beyond cannot be represented
_UNREADABLE = BIT["STATE_UNREADABLE"]


@inner
def on_past(state: State, params: Params, e: np.record) -> None:
    """One row.  After the first limits a statement alone is heard, under STATE_UNREADABLE while nothing is held."""
    a = state.account[0]
    if a.version != 0:
        if e.code == PAST_STATED and a.holds >> _UNREADABLE & 1 and not _holds_any(state):
            _restate(a, params.limits[0], e)
        return
    at = e.order_number
    a.past = e.ref
    if e.code == PAST_FIGURE and 0 <= at < FIGURE_COUNT:
        _take_figure(a, at, e.value)
    elif e.code == PAST_HOLD and 0 <= at < HOLD_CAPACITY:
        hold = state.holds[at]
        hold.since_ns = e.ts_venue_ns
        hold.until_ns = e.until_ns
        hold.value = e.value
        hold.limit = e.volume
        a.past_holds |= 1 << at


@inner
def _holds_any(state: State) -> bool:
    for i in range(INSTRUMENT_CAPACITY):
        if state.positions[i].qty != 0:
            return True
    return False


@inner
def _fits(value: int) -> bool:
    return -FIGURE_MOST < value < FIGURE_MOST


@inner
def _restate(a: np.record, limits: np.record, e: np.record) -> None:
    """What a person states counts whole or not at all: the day began where today's net says.

    What was traded until then is for the venue to say: a fill without a price is in its money and not in ours (T-02).
    """
    whole = _fits(e.value) and _fits(e.volume) and _fits(e.qty) and _fits(e.fee_micros)
    if not whole or e.volume < e.value:
        return
    a.balance_micros = e.value
    a.peak_micros = e.volume
    a.reference_micros = e.qty
    a.day_net_micros = e.fee_micros
    a.day_base_micros = e.value - e.fee_micros
    a.day_peak_micros = max(e.value, a.day_base_micros)
    a.capital_micros = min(e.value, limits.capital_micros)
    a.told = 1
    a.money_off = MONEY_STATED


@inner
def _take_figure(a: np.record, at: int, value: int) -> None:
    """One figure by its index in FIGURES; one that cannot be represented was not told."""
    if not _fits(value):
        return
    a.told |= 1 << at
    if at == 0:
        a.balance_micros = value
        a.equity_micros = value
    elif at == 1:
        a.peak_micros = value
    elif at == 2:
        a.reference_micros = value
    elif at == 3:
        a.day_net_micros = value
    elif at == 4:
        a.day_peak_micros = value
    elif at == 5:
        a.day_base_micros = value
    elif at == 6:
        a.capital_micros = value
    elif at == 7:
        a.trading_day = value
    elif at == 8:
        a.day_trades = value
    elif at == 9:
        a.day_wins = value
    elif at == 10:
        a.day_losses = value
    elif at == 11:
        a.streak = value


@inner
def open_account(state: State, params: Params) -> None:
    """With the first limits: the account as its last session left it, or a new one with its capital.

    A past without all of its figures is unreadable: the account shows its capital, and nothing is entered.
    """
    a = state.account[0]
    if a.told != ALL_TOLD:
        capital = params.limits[0].capital_micros
        a.balance_micros = capital
        a.reference_micros = capital
        a.peak_micros = capital
        a.day_peak_micros = capital
        a.day_base_micros = capital
        a.capital_micros = capital
        if a.told != 0:  # of a day nobody knows
            a.trading_day = 0
            a.day_net_micros = 0
            a.day_trades = 0
            a.day_wins = 0
            a.day_losses = 0
            a.streak = 0
        if a.past != 0 and a.past_holds >> _UNREADABLE & 1 == 0:
            hold = state.holds[_UNREADABLE]
            hold.since_ns, hold.until_ns = a.now_ns, NO_TIME
            hold.value, hold.limit = a.past, 0
            a.past_holds |= 1 << _UNREADABLE
    else:  # a smaller capital holds at once, a larger one from the next day on, as in a session (MOEX-RISK-01)
        a.capital_micros = min(a.capital_micros, params.limits[0].capital_micros)
    a.equity_micros = a.balance_micros
    a.told = 0


@inner
def raise_past(state: State, out: np.ndarray, n: int) -> int:
    """Every hold of the past that its rule has not ended, with its own times; its row names the session."""
    a = state.account[0]
    for bit in range(HOLD_CAPACITY):
        if a.past_holds >> bit & 1 == 0:
            continue
        hold = state.holds[bit]
        since_ns, before = hold.since_ns, n
        ends = TIME_MASK[a.rules] >> bit & 1 == 1 or hold.until_ns > 0  # so may a pause of shares
        if ends and hold.until_ns <= a.now_ns:
            continue
        n = raise_hold(state, out, n, bit, hold.until_ns, hold.value, hold.limit)
        if n > before:
            hold.since_ns = since_ns
            out[n - 1].ref = a.past
    a.past_holds = 0
    return n
