"""Three shares and the index future that hedges them, for the tests of the hedging task (MOEX-HEDGE)."""

from collections.abc import Sequence

import numpy as np

from marketdata.core.records import BUY, SELL
from risk.core import codes
from risk.core.records import SPEC_INDEX
from risk.core.shares import hedging
from tests.kernel.desk import Desk, S, decision, sent
from tests.kernel.shares.test_stops import FORMULA
from trading.core import records as r

RUB = 1_000_000
PERIOD = 300 * S
A, B, C, HEDGE = range(4)
PRICES = {A: 1_000, B: 1_000, C: 1_000, HEDGE: 27_000}
HEDGED = {
    "capital_micros": 500_000 * RUB, "hedge_every_ns": PERIOD, "hedge_min_net_ppm": 100_000, "hedge_max_cost_ppm": 800,
    "hedge_beta_ppm": 1_000_000, "instrument_ppm_max": 125_000, "gross_ppm_max": 10**6, "qty_max": 100,
    "position_max": 100, "value_micros_max": 10**13, "margin_micros_max": 10**13, "loss_trade_micros_max": 10**12,
    "loss_day_micros_max": 10**12, "loss_total_micros_max": 10**12, "drawdown_day_micros_max": 10**12,
    "duplicate_ns": 0, "messages_1s_max": 5_000, "messages_60s_max": 10_000, "entry_ttl_ns": S // 2,
}  # fmt: skip


class Floor(Desk):
    """Three shares at 1000 RUB a lot and a future at 27 000; nothing is held."""

    def __init__(self, **limits: int) -> None:
        super().__init__(FORMULA | HEDGED | limits, ready=False)
        self.configure()
        for i in PRICES:
            self.add_instrument(i)
            values = {"tick_value_micros": RUB, "fee_micros": 0, "margin_micros": 0, "hedge": int(i == HEDGE)}
            for name, value in values.items():
                self.event(r.CONFIG, instrument=i, code=SPEC_INDEX[name], value=value)
        self.connect()
        self.command(r.START)
        self.books()
        self.event(r.TIMER)

    def books(self) -> list:
        out = []
        for i, mid in PRICES.items():
            out += self.quote(mid - 1, mid + 1, instrument=i)
        return out

    def say(self, kind: int, number: int, **fields: int) -> list:
        """An answer of the venue about an order of any instrument."""
        order = self.order(number)
        return self.answer(kind, number, instrument=int(order.instrument), side=int(order.side), **fields)

    def trade(self, number: int, price: int | None = None, qty: int | None = None) -> list:
        order = self.order(number)
        left = int(order.qty - order.filled)
        tick = PRICES[int(order.instrument)] if price is None else price
        return self.say(r.FILL, number, qty=left if qty is None else qty, price_tick=tick)

    def acknowledge(self) -> None:
        """The venue says yes to everything that is asked, and to what is asked then."""
        while asked := [int(order.number) for order in self.live() if order.request != 0]:
            for number in asked:
                self.say(r.ACK, number)

    def hold(self, instrument: int, side: int, lots: int) -> None:
        """So many lots, bought or sold by a score, protected at the venue."""
        out = self.score(side, instrument=instrument, qty=lots)
        assert decision(out) == codes.APPROVED
        for order in sent(out, r.SUBMIT, r.ENTRY):
            self.say(r.ACK, int(order.order_number))
            self.trade(int(order.order_number))
        self.acknowledge()
        assert self.position(instrument).qty == side * lots

    def task(self, at_ns: int = 0) -> list:
        """The books of half a second before, then the TIMER at the next multiple of the period."""
        at_ns = at_ns or (self.now_ns // PERIOD + 1) * PERIOD
        self.now_ns = at_ns - S // 2
        self.books()
        return self.event(r.TIMER, wait_ns=at_ns - self.now_ns)

    def story(self) -> "Floor":
        """12.6: longs 60 000 and 40 000, short 10 000 RUB."""
        self.hold(A, BUY, 60)
        self.hold(B, BUY, 40)
        self.hold(C, SELL, 10)
        return self

    def leave(self, out: Sequence[np.record]) -> None:
        """Fill the exits that were sent."""
        for order in sent(out, r.SUBMIT, r.EXIT):
            self.say(r.ACK, int(order.order_number))
            self.trade(int(order.order_number))


def rows(out: Sequence[np.record]) -> list[tuple[int, str, int, int]]:
    """(instrument, action, signed lots, why) of the adjustments."""
    return [
        (int(o.instrument), hedging.ACTIONS[int(o.code)], int(o.side * o.qty), int(o.ref))
        for o in sent(out, r.ADJUSTMENT)
    ]


def orders(out: Sequence[np.record]) -> list[tuple[int, int, int, int]]:
    """(instrument, role, signed lots, type) of what was sent."""
    return [(int(o.instrument), int(o.role), int(o.side * o.qty), int(o.order_type)) for o in sent(out, r.SUBMIT)]


def hedged(floor: Floor) -> list:
    """The task, and its hedge filled."""
    out = floor.task()
    (order,) = sent(out, r.SUBMIT)
    floor.say(r.ACK, int(order.order_number))
    return out + floor.trade(int(order.order_number))
