"""Hand-made journal EVENTs of orders and their market, one trading day of one hour."""

import numpy as np

from marketdata.core.records import ACCOUNT_SCOPE, QUOTE, TRADE, new_events
from marketdata.core.sessions import NORMAL
from marketdata.core.units import NANOS
from trading.core import orders as life
from trading.core.records import CANCEL, ENTRY, FILL, MARKET, ORDER_STATE, SUBMIT, WINDOW_SET

DAY, HOUR = 20260304, 3600 * NANOS
MS = 1_000_000


class Tape:
    """Adds EVENTs; `at_s` is since the day's start."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self.ref = self.number = 0
        self.add(WINDOW_SET, 0, instrument=ACCOUNT_SCOPE, code=NORMAL, value=0, until_ns=HOUR, ref=DAY)

    def add(self, kind: int, at_s: float, **fields: int) -> "Tape":
        row = new_events(1)
        row["kind"], row["ts_ns"] = kind, round(at_s * NANOS)
        for name, value in fields.items():
            row[name] = value
        self.rows.append(row)
        return self

    def quote(self, at_s: float, bid: int, ask: int) -> "Tape":
        return self.add(QUOTE, at_s, bid_tick=bid, ask_tick=ask)

    def trade(self, at_s: float, qty: int) -> "Tape":
        return self.add(TRADE, at_s, qty=qty, price_tick=100)

    def submit(self, at_s: float, side: int = 1, role: int = ENTRY, order_type: int = MARKET, **more: int) -> int:
        self.number += 1
        fields = {"side": side, "role": role, "order_type": order_type, "qty": 1} | more
        self.add(SUBMIT, at_s, order_number=self.number, **fields)
        return self.number

    def fill(self, at_s: float, number: int, price: int, qty: int = 1) -> "Tape":
        self.ref += 1
        self.add(FILL, at_s, order_number=number, price_tick=price, qty=qty, ref=self.ref)
        return self.add(ORDER_STATE, at_s, order_number=number, code=life.FILLED, qty=qty, volume=qty)

    def take_back(self, at_s: float, number: int) -> "Tape":
        self.add(CANCEL, at_s, order_number=number)
        return self.add(ORDER_STATE, at_s, order_number=number, code=life.CANCELLED)

    def events(self) -> np.ndarray:
        events = np.concatenate(self.rows)
        events["seq"] = np.arange(1, len(events) + 1)
        return events
