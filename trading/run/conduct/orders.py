"""The life of a session's own orders, followed through its journal: made, changed, filled, ended, in what market.

Pure: EVENTs in, plain records out; nothing is decided here.  Used by `watch`, which looks on live, and by `patterns`,
which looks back.
"""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.records import BAR, BOOK, FLAG_BACKFILL, NO_TICK, QUOTE, TRADE
from marketdata.core.sessions import AFTER_HOURS
from marketdata.core.units import NANOS
from trading.core.orders import STATUSES, is_open
from trading.core.records import CANCEL, ENTRY, FILL, MARKET, MODIFY, ORDER_STATE, STOP, SUBMIT, WINDOW_SET
from trading.run.conduct.refs import ANSWERS, Taken

MINUTE_NS = 60 * NANOS
SENT = (SUBMIT, MODIFY, CANCEL)


class Fill(NamedTuple):
    """One execution.  `twice_mid`: bid + ask at that moment, None while there was no two-sided book."""

    number: int
    instrument: int
    side: int
    role: int
    qty: int
    price_tick: int
    ts_ns: int
    twice_mid: int | None


class Life:
    """One order.  `reference`: twice the price that it was to get, None for one that names its own limit."""

    def __init__(self, e: Any, twice_mid: int | None) -> None:
        self.number, self.instrument, self.side = int(e["order_number"]), int(e["instrument"]), int(e["side"])
        self.role, self.order_type, self.qty = int(e["role"]), int(e["order_type"]), int(e["qty"])
        self.made_ns, self.ended_ns = int(e["ts_ns"]), 0
        self.filled = self.messages = 0
        self.reference: int | None = None
        if self.order_type == MARKET:
            self.reference = twice_mid
        elif self.order_type == STOP and int(e["stop_tick"]) != NO_TICK:
            self.reference = 2 * int(e["stop_tick"])

    @property
    def is_entry(self) -> bool:
        """Whether it was to open or add."""
        return self.role == ENTRY


class Book:
    """Orders by number, fills in order, the market's volume by minute, and the trading days."""

    def __init__(self) -> None:
        self.orders: dict[int, Life] = {}
        self.fills: list[Fill] = []
        self.volume: Counter[tuple[int, int]] = Counter()  # (instrument, minute) → lots that others traded
        self.starts: list[int] = []  # of the windows, ascending
        self.days: list[int] = []  # of each of them, YYYYMMDD
        self.closes: dict[int, int] = {}  # trading day → end of its last window
        self._twice_mid: dict[int, int] = {}
        self._taken = Taken()

    @property
    def ref(self) -> int:
        """Number of the venue's last answer that counted."""
        return self._taken.ref

    @ref.setter
    def ref(self, ref: int) -> None:
        self._taken.ref = ref

    def day(self, ts_ns: int) -> int:
        """The trading day of a moment; 0 before the first."""
        at = bisect_right(self.starts, ts_ns) - 1
        return self.days[at] if at >= 0 else 0

    def note(self, events: np.ndarray) -> Iterator[tuple[Life, Fill | None]]:
        """Follow EVENTs in order, each as it is asked for.  What they sent (None) and filled."""
        kinds = events["kind"]
        wanted = np.isin(kinds, (*SENT, *ANSWERS, ORDER_STATE, WINDOW_SET))
        wanted |= np.isin(kinds, (BAR, QUOTE, TRADE, BOOK)) & (events["flags"] & FLAG_BACKFILL == 0)
        for i in np.flatnonzero(wanted):
            e = events[i]
            kind = int(e["kind"])
            if kind in SENT:
                yield from self._sent(e, kind)
            elif kind in ANSWERS:
                if self._taken.note(e) and kind == FILL:
                    yield from self._filled(e)
            elif kind == ORDER_STATE:
                self._state(e)
            elif kind == WINDOW_SET:
                self._window(e)
            else:
                self._market(e, kind)

    def take(self, events: np.ndarray) -> None:
        """Follow EVENTs; nobody asks what each was."""
        deque(self.note(events), maxlen=0)

    def _market(self, e: Any, kind: int) -> None:
        instrument = int(e["instrument"])
        if kind in (QUOTE, BOOK):
            if e["bid_tick"] != NO_TICK and e["ask_tick"] != NO_TICK:
                self._twice_mid[instrument] = int(e["bid_tick"]) + int(e["ask_tick"])
            else:
                self._twice_mid.pop(instrument, None)
            return
        if kind == BAR:
            self._twice_mid[instrument] = 2 * int(e["close_tick"])
        lots = int(e["volume"] if kind == BAR else e["qty"])
        self.volume[instrument, int(e["ts_ns"]) // MINUTE_NS] += lots

    def _sent(self, e: Any, kind: int) -> list[tuple[Life, Fill | None]]:
        number = int(e["order_number"])
        if kind == SUBMIT:
            self.orders[number] = Life(e, self._twice_mid.get(int(e["instrument"])))
        life = self.orders.get(number)
        if life is None:
            return []  # made before we looked
        life.messages += 1
        if kind == MODIFY and life.order_type == STOP and int(e["stop_tick"]) != NO_TICK:
            life.reference = 2 * int(e["stop_tick"])
        return [(life, None)]

    def _filled(self, e: Any) -> list[tuple[Life, Fill | None]]:
        life = self.orders.get(int(e["order_number"]))
        if life is None or int(e["price_tick"]) == NO_TICK:
            return []
        qty, price = int(e["qty"]), int(e["price_tick"])
        life.filled += qty
        mid = self._twice_mid.get(life.instrument)
        fill = Fill(life.number, life.instrument, life.side, life.role, qty, price, int(e["ts_ns"]), mid)
        self.fills.append(fill)
        return [(life, fill)]

    def _state(self, e: Any) -> None:
        life, status = self.orders.get(int(e["order_number"])), int(e["code"])
        if life is not None and life.ended_ns == 0 and 0 <= status < len(STATUSES) and not is_open(status):
            life.ended_ns = int(e["ts_ns"])

    def _window(self, e: Any) -> None:
        start, day = int(e["value"]), int(e["ref"])
        at = bisect_right(self.starts, start)
        self.starts.insert(at, start)
        self.days.insert(at, day)
        if int(e["code"]) != AFTER_HOURS:
            self.closes[day] = max(self.closes.get(day, 0), int(e["until_ns"]))
