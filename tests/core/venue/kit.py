"""Words for tests of the simulated venue: market events in, requests in, answers as plain tuples out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.records import (
    BAR,
    BOOK,
    FLAG_BACKFILL,
    FLAG_CARRIED,
    STATUS,
    TRADE,
    new_depths,
    new_events,
)
from trading.core.records import (
    ACK,
    CANCEL,
    CANCELLED,
    ENTRY,
    FILL,
    LIMIT,
    MARKET,
    MODIFY,
    REJECT,
    STOP,
    SUBMIT,
)
from trading.core.venue import engine
from trading.core.venue.state import Venue, new_venue

S = 1_000_000_000
MES = {"tick_value_micros": 1_250_000, "fee_micros": 420_000, "fee_ppm": 0}
SBER = {"tick_value_micros": 100_000, "fee_micros": 0, "fee_ppm": 500}
NAMES = {ACK: "ACK", FILL: "FILL", REJECT: "REJECT", CANCELLED: "CANCELLED"}
TYPES = {MARKET: "market", LIMIT: "limit", STOP: "stop"}


class Said(NamedTuple):
    """One answer, for comparing: quantity and price of fills, code of rejects and cancels."""

    kind: str
    number: int
    qty: int = 0
    tick: int = 0
    code: int = 0


class Floor:
    """A venue with one or two instruments, driven by hand."""

    def __init__(self, model: str = "book", **terms: Any) -> None:
        self.venue: Venue = new_venue(model, [MES, SBER], **terms)
        self.out = engine.new_answers()
        self.rows: list[np.ndarray] = []
        self._none = new_depths(1)

    def _said(self, count: int) -> list[Said]:
        rows = self.out[:count].copy()
        self.rows.extend(rows)
        return [
            Said(NAMES[int(r["kind"])], int(r["order_number"]), int(r["qty"]), int(r["price_tick"]))
            if r["kind"] == FILL
            else Said(NAMES[int(r["kind"])], int(r["order_number"]), code=int(r["code"]))
            for r in rows
        ]

    def hear(self, e: np.ndarray) -> list[Said]:
        """One market event, as it is."""
        return self._said(engine.market_event(self.venue, e, 0, self._none, -1, self.out))

    def ask(self, e: np.ndarray) -> list[Said]:
        """One request, as it is."""
        return self._said(engine.request(self.venue, e, 0, self.out))

    def bar(
        self, start_s: float, open_: int, high: int, low: int, close: int, flags: int = 0, instrument: int = 0
    ) -> list[Said]:
        """A one-second bar."""
        e = new_events(1)
        e["kind"], e["value"], e["flags"], e["instrument"] = BAR, S, flags, instrument
        e["ts_venue_ns"] = e["ts_ns"] = round(start_s * S) + S
        e["open_tick"], e["high_tick"], e["low_tick"], e["close_tick"] = open_, high, low, close
        return self._said(engine.market_event(self.venue, e, 0, self._none, -1, self.out))

    def carried(self, start_s: float, tick: int) -> list[Said]:
        return self.bar(start_s, tick, tick, tick, tick, FLAG_CARRIED)

    def backfill(self, start_s: float, tick: int) -> list[Said]:
        return self.bar(start_s, tick, tick, tick, tick, FLAG_BACKFILL)

    def trade(self, at_s: float, tick: int, qty: int = 1, side: int = 0, instrument: int = 0) -> list[Said]:
        e = new_events(1)
        e["kind"], e["price_tick"], e["qty"], e["side"], e["instrument"] = TRADE, tick, qty, side, instrument
        e["ts_venue_ns"] = e["ts_ns"] = round(at_s * S)
        return self._said(engine.market_event(self.venue, e, 0, self._none, -1, self.out))

    def book(
        self, at_s: float, bids: list[tuple[int, int]], asks: list[tuple[int, int]], instrument: int = 0
    ) -> list[Said]:
        """Levels as (tick, qty), best first."""
        e, d = new_events(1), new_depths(1)
        e["kind"], e["instrument"] = BOOK, instrument
        e["ts_venue_ns"] = e["ts_ns"] = round(at_s * S)
        for side, levels in (("bid", bids), ("ask", asks)):
            for i, (tick, qty) in enumerate(levels):
                d[f"{side}_tick"][0, i], d[f"{side}_qty"][0, i] = tick, qty
        return self._said(engine.market_event(self.venue, e, 0, d, 0, self.out))

    def status(self, at_s: float, code: int, instrument: int = 0) -> list[Said]:
        e = new_events(1)
        e["kind"], e["code"], e["instrument"] = STATUS, code, instrument
        e["ts_venue_ns"] = e["ts_ns"] = round(at_s * S)
        return self._said(engine.market_event(self.venue, e, 0, self._none, -1, self.out))

    def send(self, kind: int, at_s: float, number: int, **fields: int) -> list[Said]:
        e = new_events(1)
        e["kind"], e["order_number"], e["ts_ns"] = kind, number, round(at_s * S)
        for name, value in fields.items():
            e[name] = value
        return self._said(engine.request(self.venue, e, 0, self.out))

    def market(self, at_s: float, number: int, side: int, qty: int = 1, role: int = ENTRY, **more: int) -> list[Said]:
        return self.send(SUBMIT, at_s, number, order_type=MARKET, side=side, qty=qty, role=role, **more)

    def limit(
        self, at_s: float, number: int, side: int, tick: int, qty: int = 1, role: int = ENTRY, **more: int
    ) -> list[Said]:
        return self.send(SUBMIT, at_s, number, order_type=LIMIT, side=side, qty=qty, role=role, price_tick=tick, **more)

    def stop(
        self, at_s: float, number: int, side: int, tick: int, qty: int = 1, role: int = ENTRY, **more: int
    ) -> list[Said]:
        return self.send(SUBMIT, at_s, number, order_type=STOP, side=side, qty=qty, role=role, stop_tick=tick, **more)

    def cancel(self, at_s: float, number: int) -> list[Said]:
        return self.send(CANCEL, at_s, number)

    def modify(self, at_s: float, number: int, qty: int, price: int = 0, stop: int = 0) -> list[Said]:
        return self.send(MODIFY, at_s, number, qty=qty, price_tick=price, stop_tick=stop)

    def advance(self, to_s: float) -> list[Said]:
        return self._said(engine.advance(self.venue, round(to_s * S), self.out))

    def flatten(self) -> list[Said]:
        return self._said(engine.flatten(self.venue, self.out))

    def cancel_all(self) -> list[Said]:
        return self._said(engine.cancel_all(self.venue, self.out))

    def said_by(self, call: Callable[[Venue, np.ndarray], int]) -> list[Said]:
        """What another entry point of the venue answers."""
        return self._said(call(self.venue, self.out))

    def held(self, instrument: int = 0) -> int:
        return int(self.venue.markets[instrument].qty)

    def working(self) -> list[int]:
        slots = self.venue.working[: self.venue.account[0].working_count]
        return [int(self.venue.orders[int(slot)].number) for slot in slots]


def fills(said: list[Said]) -> list[tuple[int, int, int]]:
    """(number, qty, tick) of the fills."""
    return [(s.number, s.qty, s.tick) for s in said if s.kind == "FILL"]
