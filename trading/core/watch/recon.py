"""The broker's truth against ours: positions, working orders, and the money of all that was traded (T-02, W-07).

BEGIN, its rows, END.  What differs is held (MISMATCH) and never invented away, and the account counts as unreconciled
until a truth agrees: only the venue's evidence ends that.  A position's row may tell its money (volume 1), which is
compared once the truth is of the very moment of our own books; a difference stands until one such truth agrees, or a
person states the figures.  Called by the kernel.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.sessions import MUST_BE_FLAT
from risk.core.holds import BIT
from risk.core.records import MOEX
from trading.core import orders as life
from trading.core.effects import ask_cancel, ask_missed_answers, list_open, order_effect, raise_hold, slot_of
from trading.core.past import MONEY_DIFFERS, MONEY_STATED
from trading.core.protect import pace_exit
from trading.core.records import (
    EXIT,
    INSTRUMENT_CAPACITY,
    ORDER_STATE,
    RECON_BEGIN,
    RECON_END,
    RECON_ORDER,
    RECON_POSITION,
    Params,
    State,
)

_MISMATCH = BIT["MISMATCH"]
_NOT_FLAT = BIT["NOT_FLAT_AT_CUTOFF"]
BALANCE_MICROS = 10_000  # $0.01
_FAR_TICKS = 2**26  # so much cash is more than a cent off at any value of a tick, whatever else is
_TOLD_MOST = 2**55


@inner
def on_recon(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """One row of it.  Returns the output count."""
    account = state.account[0]
    if e.code == RECON_BEGIN:  # what was agreed stays agreed until END says otherwise
        for i in range(INSTRUMENT_CAPACITY):
            p = state.positions[i]
            p.broker_qty = 0
            p.told_ticks, p.told_micros = NO_TICK, 0
        for slot in range(account.orders_used):
            state.orders[slot].seen = 0
    elif e.code == RECON_POSITION:
        p = state.positions[e.instrument]
        p.broker_qty = e.side * e.qty
        if e.volume == 1:  # a venue that says nothing of money is not compared
            p.told_ticks = max(-_TOLD_MOST, min(_TOLD_MOST, e.value))
            p.told_micros = max(-_TOLD_MOST, min(_TOLD_MOST, e.fee_micros))
    elif e.code == RECON_ORDER:
        n = _recon_order(state, e, out, n)
    elif e.code == RECON_END:
        n = _recon_end(state, params, e, out, n)
    return n


@inner
def _recon_order(state: State, e: np.record, out: np.ndarray, n: int) -> int:
    slot = slot_of(state, e.order_number)
    if slot < 0:  # works at the venue and is not ours (W-07)
        return raise_hold(state, out, n, _MISMATCH, NO_TIME, e.order_number, 0)
    order = state.orders[slot]
    order.seen = 1
    if order.status == life.UNKNOWN or order.status == life.NEW:
        if life.advance(order, life.ON_SEEN):
            n = order_effect(state, out, n, ORDER_STATE, slot)
    elif not life.is_open(order.status):  # we think it ended, the venue still works it
        order.status = life.WORKING
        order.request = life.NOTHING
        list_open(state)
        n = ask_cancel(state, out, n, slot)
    return n


@inner
def _recon_end(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    account = state.account[0]
    account.reconciled = 0
    if e.ref > account.venue_ref:  # answers that we have not seen: ask, stay unreconciled
        return ask_missed_answers(state, out, n)
    for k in range(account.open_count):
        slot = account.open_slots[k]
        order = state.orders[slot]
        if order.number > 0 and order.status == life.WORKING and order.seen == 0:
            if life.advance(order, life.ON_CANCELLED):
                if order.role == EXIT:
                    pace_exit(params, state.positions[order.instrument], order)
                n = order_effect(state, out, n, ORDER_STATE, slot)
    agreed = True
    for i in range(INSTRUMENT_CAPACITY):
        p = state.positions[i]
        if p.broker_qty != 0 and account.phase == MUST_BE_FLAT:
            n = raise_hold(state, out, n, _NOT_FLAT, NO_TIME, p.broker_qty, 0)
        if p.broker_qty != p.qty:
            agreed = False
            n = raise_hold(state, out, n, _MISMATCH, NO_TIME, p.broker_qty, p.qty)
    if e.ref == account.venue_ref:  # both of one moment
        n = _compare_money(state, params, out, n)
    if agreed and account.money_off != MONEY_DIFFERS:
        account.reconciled = 1
        account.recon_ts_ns = account.now_ns
        if account.rules == MOEX:
            account.clock_ns = account.now_ns  # the next event looks when this one is too old
    return n


@inner
def _compare_money(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """Average prices within a tick, the balance within a cent.  What differs does so until it was compared again.

    A venue that tells no money is not compared; what it tells first after a person's statement is taken as it is.
    """
    account = state.account[0]
    told, differs, balance = False, False, 0
    for i in range(account.instruments):
        p = state.positions[i]
        off = -p.cash_ticks  # of an instrument that it does not name the venue has no money
        if p.told_ticks != NO_TICK:
            told = True
            off += p.told_ticks
        far = abs(off) > _FAR_TICKS
        differs = differs or far or (p.qty != 0 and abs(off) > abs(p.qty))
        if not far:
            balance += off * params.specs[i].tick_value_micros
        balance -= p.told_micros - p.paid_micros
    if not told:
        return n
    if account.money_off == MONEY_STATED:
        _take_money(state)
    elif differs or abs(balance) > BALANCE_MICROS:
        account.money_off = MONEY_DIFFERS
        return raise_hold(state, out, n, _MISMATCH, NO_TIME, balance, BALANCE_MICROS)
    account.money_off = 0
    return n


@inner
def _take_money(state: State) -> None:
    for i in range(state.account[0].instruments):
        p = state.positions[i]
        p.cash_ticks = p.told_ticks if p.told_ticks != NO_TICK else 0
        p.paid_micros = p.told_micros
