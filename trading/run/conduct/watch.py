"""Executions that stand out, and orders that lead to no trade, as the journal grows (T-05, T-07).

A fill is an outlier when it slipped by more than six deviations of the last fills beyond their mean, or lies outside of
the collar around the mid of its moment; three in a trading day ask for a pause.  Pure; called by the alerts' process.
"""

from collections import Counter, deque
from math import sqrt
from typing import NamedTuple

import msgspec
import numpy as np

from trading.core.records import WINDOW_SET
from trading.run.conduct.orders import Book, Fill, Life
from trading.run.conduct.refs import ANSWERS

SLIPS_KEPT, SLIPS_MIN = 200, 20  # fills that the deviation is taken of
DEVIATIONS = 6
DEVIATION_MIN = 2.0  # half ticks: of fills that never slip every one would stand out
OUTLIERS_MAX = 3  # a trading day
ORDERS_MIN = 50  # before which a ratio says nothing
ORDERS_A_TRADE_MAX = 20  # RTS 9, article 3: less one
MESSAGES_A_FILL_MAX = 60
OUTLIER, OUTLIERS, ORDERS, MESSAGES = "OUTLIER", "OUTLIERS", "ORDERS_TO_TRADES", "MESSAGES_TO_FILLS"


class Finding(NamedTuple):
    """One thing to be told.  `kind`: one of the four above; `key`: what it is once by."""

    kind: str
    key: str
    text: str


class WatchState(msgspec.Struct):
    """What `Watch.windows` gathers: starts of the windows and their days, closes by day, the venue's last number."""

    starts: list[int]
    days: list[int]
    closes: dict[int, int]
    ref: int


class Watch:
    """One session.  `collar_ticks`: P-10's limit, 0: there is none."""

    def __init__(self, collar_ticks: int) -> None:
        self._collar_ticks = collar_ticks
        self._book = Book()
        self._slips: deque[int] = deque(maxlen=SLIPS_KEPT)  # half ticks, against us positive
        self._outliers: Counter[int] = Counter()  # by trading day
        self._sent: Counter[int] = Counter()
        self._made: Counter[int] = Counter()
        self._fills: Counter[int] = Counter()
        self._traded: Counter[int] = Counter()  # orders with a fill
        self._told: set[tuple[int, str]] = set()

    def windows(self, events: np.ndarray) -> None:
        """The trading days and the venue's numbers alone, for one who begins in the middle of a journal."""
        self._book.take(events[np.isin(events["kind"], (WINDOW_SET, *ANSWERS))])

    def state(self) -> WatchState:
        """What one needs who begins here."""
        book = self._book
        return WatchState(list(book.starts), list(book.days), dict(book.closes), book.ref)

    def go_on(self, state: WatchState) -> None:
        """Begin where another one stood."""
        book = self._book
        book.starts, book.days, book.closes, book.ref = state.starts, state.days, state.closes, state.ref

    def note(self, events: np.ndarray) -> list[Finding]:
        """Follow EVENTs in order; what they showed."""
        found: list[Finding] = []
        for life, fill in self._book.note(events):
            if fill is None:
                day = self._book.day(life.made_ns)
                self._sent[day] += 1
                self._made[day] += int(life.messages == 1)
                found += self._ratios(day)
            else:
                day = self._book.day(fill.ts_ns)
                self._fills[day] += 1
                self._traded[day] += int(life.filled == fill.qty)
                found += self._fill(life, fill, day)
        self._forget()
        return found

    def _fill(self, life: Life, fill: Fill, day: int) -> list[Finding]:
        words = []
        if life.reference is not None:
            slip = fill.side * (2 * fill.price_tick - life.reference)
            bound = self._bound()
            if bound is not None and slip > bound:
                words.append(f"slipped by {slip / 2:g} ticks, more than {bound / 2:.1f}")
            self._slips.append(slip)
        if self._collar_ticks > 0 and fill.twice_mid is not None:
            away = abs(2 * fill.price_tick - fill.twice_mid)
            if away > 2 * self._collar_ticks:
                words.append(f"is {away / 2:g} ticks from the mid, outside of the collar of {self._collar_ticks}")
        if not words:
            return []
        self._outliers[day] += 1
        count = self._outliers[day]
        text = f"a fill of order {fill.number} {' and '.join(words)}"
        found = [Finding(OUTLIER, f"{fill.number}:{fill.ts_ns}", text)]
        if count == OUTLIERS_MAX:
            found.append(Finding(OUTLIERS, f"{day}", f"{count} fills stood out this trading day"))
        return found

    def _bound(self) -> float | None:
        """Half ticks beyond which a slip stands out; None while too few fills are known."""
        if len(self._slips) < SLIPS_MIN:
            return None
        mean = sum(self._slips) / len(self._slips)
        deviation = sqrt(sum((slip - mean) ** 2 for slip in self._slips) / len(self._slips))
        return mean + DEVIATIONS * max(deviation, DEVIATION_MIN)

    def _ratios(self, day: int) -> list[Finding]:
        """Of days with enough orders; each once a day."""
        if self._made[day] < ORDERS_MIN:
            return []
        orders = self._made[day] / max(1, self._traded[day])
        messages = self._sent[day] / max(1, self._fills[day])
        found = []
        for kind, ratio, top, words in (
            (ORDERS, orders, ORDERS_A_TRADE_MAX, "orders a trade"),
            (MESSAGES, messages, MESSAGES_A_FILL_MAX, "messages a fill"),
        ):
            if ratio > top and (day, kind) not in self._told:
                self._told.add((day, kind))
                found.append(Finding(kind, f"{day}", f"{ratio:.1f} {words} this trading day, more than {top}"))
        return found

    def _forget(self) -> None:
        """Nothing here looks back: the orders that ended are let go."""
        book = self._book
        book.fills.clear()
        book.volume.clear()
        for number in [n for n, life in book.orders.items() if life.ended_ns]:
            del book.orders[number]
