"""The venue's money against our own fills (T-02): what positions cost and what was paid, whenever a truth is told.

The kernel compares it too and holds entries at once (`trading.core.watch.recon`); here stands in words what differs.
Pure; called by the alerts' process with a journal from its first frame.
"""

from collections import Counter
from typing import NamedTuple

import msgspec
import numpy as np

from marketdata.core.records import NO_TICK
from trading.core.records import FILL, RECON, RECON_BEGIN, RECON_END, RECON_POSITION, SUBMIT
from trading.run.conduct.refs import ANSWERS, Taken

BALANCE_MICROS = 10_000  # $0.01


class Money(NamedTuple):
    """One instrument's: −Σ side x quantity x price in ticks, and fees."""

    cash_ticks: int
    fees_micros: int


class MoneyState(msgspec.Struct):
    """Where a MoneyWatch stands, to go on from there: fields as there."""

    orders: dict[int, tuple[int, int]]
    cash: dict[int, int]
    fees: dict[int, int]
    held: dict[int, int]
    told: dict[int, tuple[int, int]]
    ref: int
    differs: bool


class MoneyWatch:
    """One session.  `tick_values`: micros of a tick and contract, by instrument."""

    def __init__(self, tick_values: list[int]) -> None:
        self._tick_values = tick_values
        self._orders: dict[int, tuple[int, int]] = {}  # number → instrument, side
        self._cash: Counter[int] = Counter()
        self._fees: Counter[int] = Counter()
        self._held: Counter[int] = Counter()
        self._told: dict[int, Money] = {}  # by the truth in progress
        self._taken = Taken()
        self._differs = False

    def note(self, events: np.ndarray) -> list[str]:
        """Follow EVENTs in order; a sentence when venue and desk begin to differ."""
        found = []
        for i in np.flatnonzero(np.isin(events["kind"], (SUBMIT, *ANSWERS, RECON))):
            e = events[i]
            kind, code = int(e["kind"]), int(e["code"])
            if kind == SUBMIT:
                self._orders[int(e["order_number"])] = int(e["instrument"]), int(e["side"])
            elif kind in ANSWERS:
                if self._taken.note(e) and kind == FILL:
                    self._fill(e)
            elif code == RECON_BEGIN:
                self._told = {}
            elif code == RECON_POSITION and e["volume"] == 1:  # a venue that says nothing of money is not compared
                self._told[int(e["instrument"])] = Money(int(e["value"]), int(e["fee_micros"]))
            elif code == RECON_END and int(e["ref"]) == self._taken.ref and self._told:  # both of one moment
                words = self._compare()
                if words and not self._differs:
                    found.append(words)
                self._differs = bool(words)
        return found

    def state(self) -> MoneyState:
        """Where it stands."""
        told = {name: (money.cash_ticks, money.fees_micros) for name, money in self._told.items()}
        sums = dict(self._cash), dict(self._fees), dict(self._held)
        return MoneyState(dict(self._orders), *sums, told, self._taken.ref, self._differs)

    def go_on(self, state: MoneyState) -> None:
        """Stand where another one stood."""
        self._orders, self._differs, self._taken.ref = dict(state.orders), state.differs, state.ref
        self._cash, self._fees, self._held = Counter(state.cash), Counter(state.fees), Counter(state.held)
        self._told = {name: Money(*money) for name, money in state.told.items()}

    def _fill(self, e: np.void) -> None:
        number = int(e["order_number"])
        if number not in self._orders or int(e["price_tick"]) == NO_TICK:
            return
        instrument, side = self._orders[number]
        self._held[instrument] += side * int(e["qty"])
        self._cash[instrument] -= side * int(e["qty"]) * int(e["price_tick"])
        self._fees[instrument] += int(e["fee_micros"])

    def _compare(self) -> str:
        """What differs by more than a tick of the average price, or a cent of the balance; empty: nothing."""
        words, balance = [], 0
        for instrument in sorted({*self._told, *self._cash}):
            venue = self._told.get(instrument, Money(0, 0))
            cash = venue.cash_ticks - self._cash[instrument]
            balance += cash * self._tick_values[instrument] - (venue.fees_micros - self._fees[instrument])
            held = abs(self._held[instrument])
            if held and abs(cash) > held:
                words.append(f"the average price of instrument {instrument} by {abs(cash) / held:.2f} ticks")
        if abs(balance) > BALANCE_MICROS:
            words.append(f"the balance by {balance / 1e6:.2f}")
        return f"venue and desk differ in {' and in '.join(words)}" if words else ""
