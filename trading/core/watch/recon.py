"""The broker's truth against ours: positions and working orders (T-02, W-07).

BEGIN, its rows, END.  What differs is held (MISMATCH) and never invented away.  Called by the kernel.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TIME
from marketdata.core.sessions import MUST_BE_FLAT
from risk.core.holds import BIT
from risk.core.records import MOEX
from trading.core import orders as life
from trading.core.effects import ask_cancel, ask_missed_answers, list_open, order_effect, raise_hold, slot_of
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


@inner
def on_recon(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """One row of it.  Returns the output count."""
    account = state.account[0]
    if e.code == RECON_BEGIN:  # what was agreed stays agreed until END says otherwise
        for i in range(INSTRUMENT_CAPACITY):
            state.positions[i].broker_qty = 0
        for slot in range(account.orders_used):
            state.orders[slot].seen = 0
    elif e.code == RECON_POSITION:
        state.positions[e.instrument].broker_qty = e.side * e.qty
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
    if agreed:
        account.reconciled = 1
        account.recon_ts_ns = account.now_ns
        if account.rules == MOEX:
            account.clock_ns = account.now_ns  # the next event looks when this one is too old
    return n
