"""The venue of the random world: it takes what the desk sends, and answers as venues do, late, twice, or not at all.

Its answers are numbered without gaps and kept; delivery may skip one (the desk asks, then gets both), repeat one, or
wait.  It fills in parts, too much, after a cancel, at bad prices.  It never looks at the desk's state.
"""

import random
from typing import NamedTuple

from marketdata.core.records import ACCOUNT_SCOPE
from tests.oracle.rules.facts import ENTRY, EXIT, Event
from tests.oracle.rules.sending import Output
from trading.core import records as r

OFF = ((1, 0), (-1, 0), (5, 0), (2**40, 0), (0, 10_000), (0, 10_001), (0, -10_001))  # ticks and fees of a wrong truth


class Resting:
    """An order that the venue knows."""

    def __init__(self, number: int, instrument: int, side: int, role: int, qty: int, price: int | None) -> None:
        self.number, self.instrument, self.side, self.role = number, instrument, side, role
        self.left, self.price = qty, price
        self.filled = 0
        self.works = True


class Message(NamedTuple):
    """One message on the wire."""

    kind: int
    number: int
    instrument: int
    side: int
    role: int
    qty: int
    price: int | None
    order_type: int = 0
    starts: int = 0  # not before


class Venue:
    """Orders, a numbered log of answers, and how far the log was delivered."""

    def __init__(self, rng: random.Random, instruments: int = 2) -> None:
        self.rng = rng
        self.refuses = 0.04  # share of the entries that it refuses at the door
        self.wire: list[Message] = []
        self.orders: dict[int, Resting] = {}
        self.log: list[dict[str, int]] = []
        self.delivered = 0
        self.qty = [0] * instruments
        self.cash, self.fees = [0] * instruments, [0] * instruments

    def hear(self, outputs: list[Output]) -> None:
        """Messages of the desk go onto the wire."""
        for kind, instrument, side, _, order_type, role, number, qty, price, _, starts in outputs:
            if kind in (r.SUBMIT, r.CANCEL, r.MODIFY, r.QUERY):
                self.wire.append(Message(kind, number, instrument, side, role, qty, price, order_type, starts))

    def undelivered(self) -> bool:
        return self.delivered < len(self.log)

    def answer(self, now: int, prices: list[int]) -> Event | None:
        """The next thing that the desk hears from the venue; None when a message was lost or only taken."""
        rng = self.rng
        if self.undelivered() and (not self.wire or rng.random() < 0.6):
            dice = rng.random()
            if dice < 0.03 and self.delivered + 1 < len(self.log):
                return self._logged(now, self.delivered + 1)  # one is skipped: the desk must ask
            self.delivered += 1
            return self._logged(now, self.delivered - 1)
        return self._take(self.wire.pop(0), now, prices)

    def delivery(self, now: int) -> list[Event]:
        """Everything that was not delivered yet, in order."""
        rows = [self._logged(now, at) for at in range(self.delivered, len(self.log))]
        self.delivered = len(self.log)
        return rows

    def _logged(self, now: int, at: int) -> Event:
        return Event(ref=at + 1, ts=now, **self.log[at])

    def _take(self, message: Message, now: int, prices: list[int]) -> Event | None:
        rng = self.rng
        dice = rng.random()
        if message.kind == r.QUERY:
            return self._asked(message, now)
        if dice < 0.04:  # lost on its way, or on the way back
            if dice < 0.02:
                self._arrive(message, prices)
            return self._bare(r.UNKNOWN_OUTCOME, message, now) if rng.random() < 0.5 else None
        if dice < 0.04 + (self.refuses if message.role == ENTRY else 0.04) and message.kind == r.SUBMIT:
            return self._bare(r.REJECT, message, now, code=rng.choice((1, 2, 3, 5)))
        self._arrive(message, prices)
        return None

    def _arrive(self, message: Message, prices: list[int]) -> None:
        if message.kind == r.SUBMIT:
            order = Resting(message.number, message.instrument, message.side, message.role, message.qty, message.price)
            self.orders[message.number] = order
            if self.rng.random() < 0.05:
                order.works = False
                self._write(r.REJECT, order, code=r.REJECTED_BY_VENUE)
                return
            if self.rng.random() < 0.85:
                self._write(r.ACK, order)
            if message.role in (ENTRY, EXIT):
                self._fill_market(order, prices)
            return
        order = self.orders.get(message.number)  # type: ignore[assignment]
        if order is None:
            return
        if message.kind == r.CANCEL:
            self._cancel(order, prices)
        elif order.works and message.qty > order.filled and self.rng.random() < 0.9:
            order.left, order.price = message.qty - order.filled, message.price
            self._write(r.ACK, order)
        else:
            self._write(r.REJECT, order, code=r.REJECTED_BY_VENUE)

    def _cancel(self, order: Resting, prices: list[int]) -> None:
        dice = self.rng.random()
        if not order.works:
            self._write(r.REJECT, order, code=r.REJECTED_UNKNOWN_ORDER)
        elif dice < 0.08:
            self._fill(order, order.left, self._price(order, prices))  # it traded first
        elif dice < 0.12:
            self._write(r.REJECT, order, code=r.REJECTED_BY_VENUE)
        else:
            order.works = False
            self._write(r.CANCELLED, order, code=r.CANCELLED_ON_REQUEST)
            if dice > 0.98:
                self._fill(order, order.left, self._price(order, prices))  # a fill after "cancelled" is a fill

    def _fill_market(self, order: Resting, prices: list[int]) -> None:
        rng = self.rng
        if rng.random() < 0.1:
            return  # rests for a while
        parts = rng.randint(1, order.left) if rng.random() < 0.3 else order.left
        self._fill(order, parts, self._price(order, prices))
        if order.left and rng.random() < 0.7:
            self._fill(order, order.left, self._price(order, prices))

    def _price(self, order: Resting, prices: list[int]) -> int:
        if order.price is not None and self.rng.random() < 0.8:
            return order.price
        return max(1, prices[order.instrument] + order.side * self.rng.choice((0, 0, 1, 1, 2, 8)))

    def _fill(self, order: Resting, qty: int, price: int) -> None:
        if qty <= 0:
            return
        if self.rng.random() < 0.01:
            qty += 1  # more than was asked for
        if self.rng.random() < 0.001:
            price = self.rng.choice((0, 2**31 + 1))  # no price at all
        order.filled += qty
        order.left = max(0, order.left - qty)
        order.works = order.works and order.left > 0
        self.qty[order.instrument] += order.side * qty
        fee = 420_000 * qty
        if order.instrument == 1:
            fee = min(self.rng.choice((420_000 * qty, 1_000_003, 0)), 100_000 * qty * price)
        fee = max(0, fee)
        self.cash[order.instrument] -= order.side * qty * price
        self.fees[order.instrument] += fee
        said = {"side": order.side, "qty": qty, "price": price, "fee": fee}
        if self.rng.random() < 0.001:
            said |= self.rng.choice(self._senseless(order))
        self._write(r.FILL, order, **said)

    @staticmethod
    def _senseless(order: Resting) -> tuple[dict[str, int], ...]:
        """What no venue could mean: another side or instrument than the order's, a fee beyond all that was traded."""
        return (
            {"side": 0}, {"side": -order.side}, {"side": 2}, {"instrument": 1 - order.instrument}, {"instrument": -1},
            {"instrument": 40}, {"fee": -1}, {"fee": 2**60}, {"fee": -(2**60)}, {"qty": 2**50}, {"number": 77_777},
        )  # fmt: skip

    def _write(self, kind: int, order: Resting, **fields: int) -> None:
        self.log.append({"kind": kind, "number": order.number, "instrument": order.instrument} | fields)

    def _bare(self, kind: int, message: Message, now: int, **fields: int) -> Event:
        return Event(kind, now, number=message.number, instrument=message.instrument, **fields)

    def _asked(self, message: Message, now: int) -> Event | None:
        """W-01: what became of an order; number 0 asks for the missed answers, which are delivered anyway."""
        if message.number == 0:
            return None
        order = self.orders.get(message.number)
        if order is None:
            return self._bare(r.REJECT, message, now, code=r.REJECTED_UNKNOWN_ORDER)
        if order.works:
            return self._bare(r.ACK, message, now)
        if not self.undelivered() and order.filled == 0:
            return self._bare(r.CANCELLED, message, now, code=r.CANCELLED_BY_VENUE)
        self.wire.append(message)  # its answers are on their way; asked again later
        return None

    def noise(self, now: int, prices: list[int]) -> Event | None:
        """What the venue does by itself: a resting order trades or is cancelled, an old answer comes again."""
        rng = self.rng
        if self.delivered and rng.random() < 0.3:
            return self._logged(now, rng.randrange(self.delivered))
        resting = [order for order in self.orders.values() if order.works]
        if not resting:
            return None
        order = rng.choice(resting)
        if rng.random() < 0.01:
            self._write(r.FILL, order, side=order.side, price=prices[order.instrument], qty=0)  # nothing was traded
        elif rng.random() < 0.85:
            self._fill(order, rng.randint(1, order.left), self._price(order, prices))
        else:
            order.works = False
            self._write(r.CANCELLED, order, code=r.CANCELLED_BY_VENUE)
        return None

    def truth(self, now: int) -> list[Event]:
        """A reconciliation; in one of twelve the venue names what is not ours, or forgets what is."""
        rng = self.rng
        scope = {"instrument": ACCOUNT_SCOPE}
        rows = [Event(r.RECON, now, code=r.RECON_BEGIN, **scope)]
        wrong, tells = rng.random(), rng.random() < 0.5  # of its money, too
        off = rng.choice(OFF) if rng.random() < 0.1 else (0, 0)
        for index, qty in enumerate(self.qty):
            told = qty + (wrong < 0.03 and index == 0)
            money: dict[str, int] = {}
            if tells and (self.cash[index] or self.fees[index]):
                money = {"volume": 1, "value": self.cash[index] + off[0], "fee": self.fees[index] + off[1]}
            if told or money:
                row = {"instrument": index, "side": (told > 0) - (told < 0), "qty": abs(told)} | money
                rows.append(Event(r.RECON, now, code=r.RECON_POSITION, **row))
        working = [order.number for order in self.orders.values() if order.works]
        if 0.03 < wrong < 0.05:
            working.append(99_999)
        elif 0.05 < wrong < 0.08:
            working = working[1:]
        rows += [Event(r.RECON, now, code=r.RECON_ORDER, number=number) for number in working]
        rows.append(Event(r.RECON, now, code=r.RECON_END, ref=len(self.log), **scope))
        return rows
