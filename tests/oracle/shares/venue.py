"""The venue of shares: fill-and-kill orders end at once, filled or not; passive children are kept until their time.

The server of the outbox and the broker in one (MOEX-ROUTE-03, -04), late, twice and wrong as that of the futures.
"""

import random

from tests.oracle.around.venue import Message, Resting, Venue
from tests.oracle.rules.facts import BEST_PRICE, EXIT, FILL_AND_KILL, MARKET, PASSIVE, Event
from trading.core import records as r

AT_ONCE = (MARKET, FILL_AND_KILL, BEST_PRICE)
ONE_TYPE = (r.REJECTED_LIMIT_ONLY, r.REJECTED_BEST_ONLY)


class SharesVenue(Venue):
    """Orders, those kept back, a numbered log of answers."""

    def __init__(self, rng: random.Random, instruments: int) -> None:
        super().__init__(rng, instruments)
        self.kept: list[Message] = []

    def release(self, now: int, prices: list[int]) -> None:
        """Children whose time has come: sent at our own best price, and now and then refused, or dropped."""
        for message in [message for message in self.kept if message.starts <= now]:
            self.kept.remove(message)
            order, first = self.orders[message.number], self.orders.get(message.number - 1)
            if not order.works:
                continue
            if first is None or self.rng.random() < 0.1:
                self._drop(order, r.CANCELLED_UNSENT)
                continue
            if self.rng.random() < 0.2:
                order.works = False
                self._write(r.REJECT, order, code=r.REJECTED_BY_VENUE)
                continue
            own = prices[order.instrument] + (order.side < 0)
            limit = message.price or own
            order.price = max(1, min(own, limit) if order.side > 0 else max(own, limit))
            self._write(r.ACK, order, price=order.price)

    def _take(self, message: Message, now: int, prices: list[int]) -> Event | None:
        """Now and then the reply to a child that is kept back is lost: whoever sent it asks at once (W-01)."""
        kept = message.kind == r.SUBMIT and message.order_type == PASSIVE
        if not kept or self.rng.random() >= 0.25:
            return super()._take(message, now, prices)
        self._arrive(message, prices)
        self.wire.append(message._replace(kind=r.QUERY))
        return self._bare(r.UNKNOWN_OUTCOME, message, now)

    def _drop(self, order: Resting, code: int) -> None:
        order.works = False
        self._write(r.CANCELLED, order, code=code)

    def _arrive(self, message: Message, prices: list[int]) -> None:
        rng = self.rng
        if message.kind == r.SUBMIT and message.order_type == PASSIVE:
            order = Resting(message.number, message.instrument, message.side, message.role, message.qty, message.price)
            self.orders[message.number] = order
            self.kept.append(message)
        elif message.kind == r.SUBMIT and message.role == EXIT and rng.random() < 0.08:
            order = Resting(message.number, message.instrument, message.side, message.role, message.qty, message.price)
            self.orders[message.number] = order
            order.works = False
            self._write(r.REJECT, order, code=rng.choice(ONE_TYPE))
        else:
            super()._arrive(message, prices)
            sent = self.orders.get(message.number)
            ends = message.kind == r.SUBMIT and message.order_type in AT_ONCE
            if ends and sent is not None and sent.works and rng.random() < 0.9:
                self._drop(sent, r.CANCELLED_BY_VENUE)  # the rest of it

    def _cancel(self, order: Resting, prices: list[int]) -> None:
        kept = next((message for message in self.kept if message.number == order.number), None)
        if kept is None:
            super()._cancel(order, prices)
            return
        self.kept.remove(kept)
        self._drop(order, r.CANCELLED_ON_REQUEST)
