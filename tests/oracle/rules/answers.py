"""What the venue says, re-stated: an order's life, fills into position and money, reconciliation (W-01 …, T-02)."""

from typing import TYPE_CHECKING

from marketdata.core.records import ACCOUNT_SCOPE
from tests.oracle.rules.facts import (
    BY_EXCESS,
    BY_REVERSAL,
    BY_STOP,
    BY_TARGET,
    BY_TRAIL,
    CANCELLED,
    CANCELLING,
    ENTRY,
    EXIT,
    FILLED,
    MODIFYING,
    MUST_BE_FLAT,
    NEW,
    NOTHING,
    OPEN,
    PASSIVE,
    PPM,
    PRICE_MOST,
    QUERYING,
    REJECTED,
    STOP_LOSS,
    SUBMITTING,
    TARGET,
    UNKNOWN,
    WORKING,
    Event,
    Instrument,
    Order,
    S,
    average,
)
from tests.oracle.rules.limits import note_loss
from tests.oracle.rules.protect import attempt_failed, close, forget_legs
from trading.core import records as r
from trading.core import states

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk


def on_answer(d: "Desk", e: Event) -> None:
    """The venue numbers its answers: one seen before is ignored, after a gap the missed ones are asked for."""
    if e.ref != 0:
        if e.ref <= d.venue_ref:
            return
        if e.ref > d.venue_ref + 1:
            d.reconciled = False
            d.ask_missed()
            return
        d.venue_ref = e.ref
    order = find(d, e.number)
    if e.kind == r.FILL:
        fill(d, e, order)
    elif order is not None:
        answer(d, e, order)


def find(d: "Desk", number: int) -> Order | None:
    return next((o for o in d.orders if o is not None and o.number == number), None)


def answer(d: "Desk", e: Event, o: Order) -> None:
    """One answer moves an order, or is stale and moves nothing."""
    i = d.instruments[o.instrument]
    was_open = o.status in OPEN
    if not was_open:
        return
    if e.kind == r.ACK:
        if o.request == MODIFYING:
            o.qty, o.price = o.asked_qty, o.asked_price
        if o.kind == PASSIVE and e.price is not None:
            o.price = e.price  # where its server sent it (MOEX-ROUTE-04)
        if o.role == TARGET and o.price == i.target:  # where it was asked for: a move of it is done
            i.mover, i.refused = 0, None
        if o.role == STOP_LOSS and o.price == i.stop:
            i.stop_mover, i.stop_refused = 0, None
        # a cancel that is in flight stays in flight: the venue acknowledged the submit
        kept = o.kind == PASSIVE and o.status == UNKNOWN and e.ref == 0  # the venue did not speak yet
        o.request = CANCELLING if o.request == CANCELLING else SUBMITTING if kept else NOTHING
        o.status = WORKING
    elif e.kind == r.CANCELLED:
        o.status, o.request = CANCELLED, NOTHING
    elif e.kind == r.REJECT:
        asked = o.request
        asked_price = o.asked_price if asked == MODIFYING else o.price
        asked_qty = o.asked_qty if asked == MODIFYING else o.qty
        rejected(o, e.ref == 0 and e.code == r.REJECTED_UNKNOWN_ORDER)
        if o.status in OPEN and asked != NOTHING:  # a request about it was refused
            if asked != CANCELLING:
                o.modify_retry = d.now + S
            if asked != MODIFYING:
                o.cancel_retry = d.now + S
        if o.role == TARGET and (asked == MODIFYING or o.status not in OPEN):
            target_refused(d, i, o, asked, asked_qty - o.filled, asked_price)
        if o.role == STOP_LOSS and asked == MODIFYING and o.status in OPEN:
            stop_refused(d, i, o)
    elif not (o.status == UNKNOWN or o.request == NOTHING):
        o.status = UNKNOWN if o.status == NEW or o.request == SUBMITTING else o.status
        o.request = QUERYING
    if o.role == EXIT and o.status not in OPEN:
        attempt_failed(d, i, o)
        if e.kind == r.REJECT and e.code in (r.REJECTED_LIMIT_ONLY, r.REJECTED_BEST_ONLY):
            i.allowed = e.code  # the one type that the venue takes now (MOEX-ROUTE-03)
    if e.kind == r.REJECT and o.status not in OPEN and o.role == STOP_LOSS and i.qty != 0:
        close(i, BY_STOP)  # a refused stop means out at once (MES-LIVE-08)
        i.exit_retry = 0


def target_refused(d: "Desk", i: Instrument, o: Order, asked: int, qty: int, price: int | None) -> None:
    """The same is asked for again after 1, 2, 4 … 32 s; what a person moved goes back, and its receipt says refused."""
    assert price is not None
    if asked == MODIFYING and price == o.price and qty < o.left:  # it is too large: no longer wait than any change has
        return
    i.refused_times = i.refused_times + 1 if i.refused == (qty, price) else 1
    i.refused, i.target_retry = (qty, price), d.now + 2 ** (min(i.refused_times, 6) - 1) * S
    moved = i.mover != 0 and price == i.target
    if moved and (asked == SUBMITTING or (asked == MODIFYING and price != o.price)):
        d.say(
            r.RECEIPT, ACCOUNT_SCOPE, code=r.RECEIPT_REFUSED, value=r.MOVE_TARGET, number=i.mover,
            qty=states.VENUE_REFUSED,
        )  # fmt: skip
        i.target, i.mover = i.before if asked == SUBMITTING else o.price, 0


def stop_refused(d: "Desk", i: Instrument, o: Order) -> None:
    """A price is asked for again after 1, 2, 4 … 32 s, a size alone as soon as ever; what a person moved goes back."""
    price = o.asked_price
    if price == o.price:
        return
    i.stop_refusals = i.stop_refusals + 1 if i.stop_refused == price else 1
    i.stop_refused, i.stop_retry = price, d.now + 2 ** (min(i.stop_refusals, 6) - 1) * S
    if i.stop_mover != 0 and price == i.stop:
        d.say(
            r.RECEIPT, ACCOUNT_SCOPE, code=r.RECEIPT_REFUSED, value=r.MOVE_STOP, number=i.stop_mover,
            qty=states.VENUE_REFUSED,
        )  # fmt: skip
        i.stop, i.stop_mover = o.price, 0


def rejected(o: Order, absent: bool) -> None:
    """A refused submit ends the order; a refused change leaves it working; `absent`: the venue does not know it."""
    if o.status in (NEW, UNKNOWN) or o.request == SUBMITTING:
        o.status, o.request = REJECTED, NOTHING
    elif o.request in (CANCELLING, MODIFYING):
        o.request = NOTHING
    elif o.request == QUERYING:
        o.status, o.request = (CANCELLED if absent else WORKING), NOTHING


def fill(d: "Desk", e: Event, o: Order | None) -> None:
    """Booked whatever the state of its order says (W-09)."""
    priced = e.price is not None and 0 < e.price <= PRICE_MOST
    sense = makes_sense(d, e, o)
    if e.qty <= 0 or not priced or not sense:  # nothing was traded, at no price, or it cannot have been
        d.raise_hold("STATE_UNREADABLE")
    if e.qty <= 0:
        return
    if not sense:  # not booked: only the venue can say what is held now
        d.reconciled = False
        d.ask_missed()
        return
    i = d.instruments[e.instrument]
    if o is not None:
        o.filled += e.qty
        if o.status in OPEN:
            if o.filled >= o.qty:
                o.status, o.request = FILLED, NOTHING
            else:
                if o.status == UNKNOWN or o.request == SUBMITTING:
                    o.request = NOTHING
                o.status = WORKING
        if not i.closing and o.role == STOP_LOSS:
            i.reason = BY_TRAIL if i.trailed else BY_STOP
        elif not i.closing and o.role == TARGET:
            i.reason = BY_TARGET
    book(d, i, e, priced)
    if o is not None and o.role == ENTRY:
        bracket(d, i)
    elif o is not None:
        d.left(i)
    if not priced and i.qty != 0:  # no stop can be measured from it
        close(i, BY_EXCESS)


def makes_sense(d: "Desk", e: Event, o: Order | None) -> bool:
    """P-06: known instrument, bought or sold, as its order said; a fee of nothing up to all that was traded."""
    if e.instrument not in range(len(d.instruments)) or e.side not in (1, -1) or e.qty > 1_000_000:
        return False
    if o is not None and (o.instrument, o.side) != (e.instrument, e.side):
        return False
    value = d.instruments[e.instrument].tick_value
    if not value:
        return False
    if e.price is None or not 0 < e.price <= PRICE_MOST:
        return e.fee >= 0 and d.instruments[e.instrument].mark is not None  # else nobody knows what it is worth
    return 0 <= e.fee <= e.qty * e.price * value


def book(d: "Desk", i: Instrument, e: Event, priced: bool) -> None:
    """Average price method: a partial close takes the floor of its share of the cost, the last close the rest.

    Of a fill without a price the position is known and no money: until that round trip is over no result is booked.
    """
    before, price, fee = i.qty, (e.price if priced else i.mark), (e.fee if priced else 0)
    assert price is not None
    i.unpriced = i.unpriced or not priced
    closed = min(abs(before), e.qty) if before * e.side < 0 else 0
    share = (i.cost if before > 0 else -i.cost) * closed // abs(before) if closed else 0
    gained = (closed * price - share) if before > 0 else (share - closed * price)
    gross = gained * (i.tick_value or 0) if closed and not i.unpriced else 0
    i.cost += (-share if before > 0 else share) + e.side * (e.qty - closed) * price
    i.qty += e.side * e.qty
    if priced:
        i.cash, i.paid = i.cash - e.side * e.qty * price, i.paid + fee
    d.realised += gross
    d.fees += fee
    d.balance += gross - fee
    d.peak = max(d.peak, d.balance)
    d.day_net += gross - fee
    if i.last is None:
        i.last = price
    if i.mark is None:
        i.mark = i.exact = price
    closing_fee = -(-fee * closed // e.qty)  # rounded up; the opening share is the rest (MOEX-RISK-02)
    if closed:
        i.exit_fill = d.now
        i.trip_gross += gross
        i.trip_fee += closing_fee
    if before != 0 and before * i.qty <= 0:
        trip_over(d, i, price)
    if before * i.qty <= 0:  # what is held from now on is of this fill
        i.unpriced = not priced and i.qty != 0
    if i.qty != 0 and before * i.qty <= 0:
        trip_begins(d, i)
    if closed < e.qty:
        i.trip_fee += fee - closing_fee
        i.trip_entry_ticks += (e.qty - closed) * price
        i.trip_entry_qty += e.qty - closed
    i.trip_qty = max(i.trip_qty, abs(i.qty))


def trip_over(d: "Desk", i: Instrument, price: int) -> None:
    """MES-RISK-08, -09: a trade is flat to flat, net of fees; zero changes no streak, nor does what nobody knows."""
    net = i.trip_gross - i.trip_fee
    d.trades += 1
    d.day_trades += 1
    if i.unpriced:
        pass
    elif net > 0:
        d.wins, d.streak = d.wins + 1, 0
        d.day_wins += 1
    elif net < 0:
        note_loss(d)
    d.say(
        r.TRADE_CLOSED,
        i.index,
        side=i.trip_side,
        code=i.reason,
        qty=i.trip_qty,
        price=price,
        until=i.opened,
        value=net,
    )
    i.opened = None
    if i.reason == BY_REVERSAL:
        i.rev_exit = d.now
    else:  # a chain ends when the position becomes flat in any other way (MES-REV-03)
        i.rev_side = i.rev_count = 0


def trip_begins(d: "Desk", i: Instrument) -> None:
    i.opened = i.naked_since = d.now
    i.leaving_since, i.exit_retry, i.tries, i.allowed = None, 0, 0, 0
    i.trip_side = 1 if i.qty > 0 else -1
    i.trip_qty = abs(i.qty)
    d.begins(i)
    i.trip_gross = i.trip_fee = i.trip_entry_ticks = i.trip_entry_qty = 0
    i.stop = i.net = None
    forget_legs(i)
    i.trailed = False


def bracket(d: "Desk", i: Instrument) -> None:
    """MES-STOP-04: from the average entry fill, or the decision's price; a later fill may only tighten the stop."""
    if i.qty == 0 or i.trip_entry_qty == 0:
        return
    i.entry_fill = d.now
    if i.plan_stop <= 0:  # a fill that nobody planned
        i.plan_stop, ratio = d.limits.stop_ticks, d.limits.target_ratio_ppm
        i.plan_target = d.limits.target_ticks or (max(4, i.plan_stop * ratio // PPM) if ratio else 0)
    anchor, side = average(i.trip_entry_ticks, i.trip_entry_qty), i.trip_side
    if d.limits.bracket_anchor == 1 and i.plan_price is not None:
        anchor = i.plan_price
    d.stop_from_fill(i, anchor)
    target = anchor + side * i.plan_target
    i.target = target if i.plan_target > 0 and target > 0 else None


def on_recon(d: "Desk", e: Event) -> None:
    """The broker's truth, row by row; what differs is held, never invented away (T-02, W-07)."""
    if e.code == r.RECON_BEGIN:
        for i in d.instruments:
            i.broker_qty, i.told_money = 0, None
        for o in d.orders:
            if o is not None:
                o.seen = False
    elif e.code == r.RECON_POSITION:
        i = d.instruments[e.instrument]
        i.broker_qty, i.told_money = e.side * e.qty, (e.value, e.fee) if e.volume == 1 else None
    elif e.code == r.RECON_ORDER:
        recon_order(d, e)
    elif e.code == r.RECON_END:
        recon_end(d, e)


def recon_order(d: "Desk", e: Event) -> None:
    o = find(d, e.number)
    if o is None:
        d.raise_hold("MISMATCH")
        return
    o.seen = True
    if o.status in (UNKNOWN, NEW):
        if (o.status, o.request) != (NEW, CANCELLING):
            o.status, o.request = WORKING, SUBMITTING  # the answer to its submit is still to come
    elif o.status not in OPEN:  # ended for us, works for the venue
        o.status, o.request = WORKING, NOTHING
        d.ask_cancel(o)


def recon_end(d: "Desk", e: Event) -> None:
    d.reconciled = False
    if e.ref > d.venue_ref:
        d.ask_missed()
        return
    for o in d.orders:
        if o is not None and o.status == WORKING and not o.seen:
            o.status, o.request = CANCELLED, NOTHING
            if o.role == EXIT:
                attempt_failed(d, d.instruments[o.instrument], o)
    if d.phase == MUST_BE_FLAT and any(i.broker_qty != 0 for i in d.instruments):
        d.raise_hold("NOT_FLAT_AT_CUTOFF")
    differing = [i for i in d.instruments if i.broker_qty != i.qty]
    if e.ref == d.venue_ref and any(i.told_money is not None for i in d.instruments):
        if d.money_taken:
            for i in d.instruments:
                i.cash, i.paid = i.told_money or (0, 0)
        d.money_taken, d.money_off = False, money_differs(d)
        if d.money_off:
            d.raise_hold("MISMATCH")
    if differing:
        d.raise_hold("MISMATCH")
    elif not d.money_off:
        d.reconciled, d.recon_ts = True, d.now


def money_differs(d: "Desk") -> bool:
    """T-02: an average price by more than a tick, or the balance by more than a cent."""
    balance = 0
    for i in d.instruments:
        cash, fees = i.told_money or (0, 0)
        if i.qty != 0 and abs(cash - i.cash) > abs(i.qty):
            return True
        balance += (cash - i.cash) * (i.tick_value or 0) - (fees - i.paid)
    return abs(balance) > 10_000
