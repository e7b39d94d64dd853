"""What a desk says and sends, and which holds stand: the outputs of the oracle, as plain tuples.

The mechanism of both rulebooks and no rule of either.  A hold goes up once, and says so; another message about an order
waits until the one before was answered.
"""

from typing import Any

from marketdata.core import records as m
from tests.oracle.rules.facts import (
    CANCELLING,
    MODIFYING,
    NEW,
    NOTHING,
    OPEN,
    QUERYING,
    SUBMITTING,
    UNKNOWN,
    WORKING,
    Instrument,
    Order,
    S,
)
from tests.oracle.rules.holds import MES_BOOK, Rulebook
from trading.core import records as r

Output = tuple[Any, ...]
SLOTS_KEPT = 64  # terminal orders that the desk remembers before it forgets the oldest


class Sending:
    """Orders, holds and outputs of one desk."""

    book: Rulebook = MES_BOOK

    def __init__(self) -> None:
        self.now: Any = None
        self.orders: list[Order | None] = []
        self.next_order = 1
        self.holds: dict[str, int | None] = {}  # code → until
        self.since: dict[str, int] = {}  # code → when it went up
        self.next_look = 0  # when time alone next changes something
        self.sent: list[int] = []  # the second of every message to the venue
        self.out: list[Output] = []

    def say(self, kind: int, instrument: int, **fields: Any) -> None:
        """One output: (kind, instrument, side, code, type, role, number, qty, price, until, value)."""
        names = ("side", "code", "type", "role", "number", "qty", "price", "until", "value")
        empty = (0, 0, 0, 0, 0, 0, None, None, 0)
        self.out.append(
            (kind, instrument, *(fields.get(name, nothing) for name, nothing in zip(names, empty, strict=True)))
        )

    def send(self, kind: int, o: Order) -> None:
        """One message to the venue about an order."""
        o.sent = self.now
        self.sent.append(self.now // S)
        qty, price = (o.asked_qty, o.asked_price) if kind == r.MODIFY else (o.qty, o.price)
        self.say(
            kind, o.instrument, side=o.side, type=o.kind, role=o.role, number=o.number, qty=qty, price=price,
            until=o.until,
        )  # fmt: skip

    def submit(
        self, i: Instrument, side: int, kind: int, role: int, qty: int, price: int | None, until: int | None = None
    ) -> None:
        order = Order(self.next_order, i.index, side, kind, role, qty, price, until, self.now)
        self.next_order += 1
        self._remember(order)
        self.send(r.SUBMIT, order)

    def _remember(self, order: Order) -> None:
        """The desk remembers 64 orders, more only while they are open; the oldest ended one makes room."""
        ended = [k for k, o in enumerate(self.orders) if o is not None and o.status not in OPEN]
        if len(self.orders) < SLOTS_KEPT or not ended:
            self.orders.append(order)
        else:
            self.orders[min(ended, key=lambda k: self.orders[k].number)] = order  # type: ignore[union-attr]

    def ask_cancel(self, o: Order) -> None:
        """Not again while a cancel is in flight, not while the outcome is unknown."""
        if o.status in OPEN and o.status != UNKNOWN and o.request != CANCELLING and self.now >= o.cancel_retry:
            o.status = NEW if o.request == SUBMITTING else o.status  # the submit's own answer comes first
            o.request = CANCELLING
            self.send(r.CANCEL, o)
            o.ending += 1
            self.escalate(o)

    def ask_modify(self, o: Order, qty: int, price: int) -> None:
        """Only while nothing else is in flight."""
        if o.status == WORKING and o.request == NOTHING and self.now >= o.modify_retry:
            o.request, o.asked_qty, o.asked_price = MODIFYING, qty, price
            self.send(r.MODIFY, o)

    def ask_query(self, o: Order) -> None:
        """W-01: what became of it?  An order that never was acknowledged is unknown from now on, never "rejected"."""
        if o.status == NEW or o.request == SUBMITTING:
            o.status = UNKNOWN
        o.request = QUERYING
        self.send(r.QUERY, o)
        if o.ending:
            o.ending += 1
            self.escalate(o)

    def escalate(self, o: Order) -> None:
        """W-08: a cancel and three retries without the venue's word that the order ended."""
        if o.ending > 4:
            self.raise_hold("CANCEL_UNPROVEN")

    def proofs(self) -> None:
        """W-08: it ends when the venue has said of each of them that it ended."""
        if all(o is None or o.status not in OPEN or o.ending <= 4 for o in self.orders):
            self.clear_hold("CANCEL_UNPROVEN")

    def ask_missed(self) -> None:
        """The venue's numbers have a gap: ask for everything after the last one applied."""
        self.sent.append(self.now // S)
        self.say(r.QUERY, m.ACCOUNT_SCOPE)

    def raise_hold(self, code: str, until: int | None = None) -> None:
        """Up; a TIME hold that stands may get longer, never shorter."""
        code = self.book.name(code)
        if not code:
            return
        if code in self.book.by_clock and until is not None:
            self.next_look = min(self.next_look, until)
        if code in self.holds:
            if code in self.book.by_clock and until is not None and until > self.holds[code]:  # type: ignore[operator]
                self.holds[code] = until
            return
        self.holds[code], self.since[code] = until, self.now
        self.say(r.HOLD_RAISED, m.ACCOUNT_SCOPE, code=code, until=until)

    def clear_hold(self, code: str) -> None:
        """This one down; every other stays."""
        code = self.book.name(code)
        if code in self.holds:
            self.say(r.HOLD_CLEARED, m.ACCOUNT_SCOPE, code=code, until=self.holds.pop(code))
            del self.since[code]

    def follow(self, code: str, on: bool) -> None:
        """A CONDITION hold follows its condition."""
        if on:
            self.raise_hold(code)
        else:
            self.clear_hold(code)
