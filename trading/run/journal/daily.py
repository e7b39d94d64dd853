"""Summary of each trading day of a recorded session, made from its journal alone (MES-BREAK-04).

The journal is replayed through the kernel, which says what the day is, what was booked and where the equity stood;
nothing is computed a second way, and a journal that differs from its replay is refused.  No Django, no clock.
"""

import math
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from risk.core.codes import APPROVED
from risk.core.gate import code_name
from risk.core.holds import hold_of
from trading.core.records import (
    DECISION,
    FIRST_OUTPUT_KIND,
    HEDGE,
    HOLD_CLEARED,
    HOLD_RAISED,
    PAST,
    TRADE_CLOSED,
    TRANSFER,
)
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import ReplayDiffers
from trading.run.replica import Kernel

CHUNK = 4096
SHARPE_DAYS = 20  # trading days; with fewer there is no figure
WIN_RATE_TRADES = 20
SESSIONS_A_YEAR = 252


class Held(msgspec.Struct):
    """One hold of a day.  `cleared_ns` None: it stood at the day's end (or it still stands)."""

    code: str
    raised_ns: int
    cleared_ns: int | None = None


class Day(msgspec.Struct):
    """One trading day; money in micros of the session's currency.  net = gross - fees = balance moved less transfers.

    `day` is YYYYMMDD of the venue's calendar.  A day without a win (loss) has no largest and no mean one: None.
    """

    day: int
    version_id: int  # in force at the day's end
    trades: int = 0
    wins: int = 0
    losses: int = 0
    zeros: int = 0
    gross_micros: int = 0
    fee_micros: int = 0
    net_micros: int = 0
    transfer_micros: int = 0
    max_drawdown_micros: int = 0  # from the day's highest equity, open money included
    largest_win_micros: int | None = None
    largest_loss_micros: int | None = None
    mean_win_micros: float | None = None
    mean_loss_micros: float | None = None
    win_rate_20: float | None = None  # of the last 20 trades up to this day; of all while there are fewer
    sharpe_daily: float | None = None  # of the last 20 days, yearly; None while there are fewer, or no day differed
    holds: list[Held] = []
    refusals: dict[str, int] = {}  # by reason, the most frequent first


class History(NamedTuple):
    """What the figures over several days need of the days before: the last trades, and the last days of the account."""

    nets: tuple[int, ...] = ()  # of each trade, micros
    days: tuple[tuple[int, int, int], ...] = ()  # (trading day, net, balance at its start), micros

    def after(self, day: int, net: int, start: int) -> "History":
        """One more stretch of a day; the second one of the same day belongs to the first."""
        if self.days and self.days[-1][0] == day:
            *before, (_, earlier, start) = self.days
            return self._replace(days=(*before, (day, earlier + net, start)))
        return self._replace(days=(*self.days, (day, net, start))[-SHARPE_DAYS:])

    def traded(self, net: int) -> "History":
        """One more trade."""
        return self._replace(nets=(*self.nets, net)[-WIN_RATE_TRADES:])

    def joined(self, later: "History") -> "History":
        """This one, and what came after it."""
        found = self._replace(nets=(*self.nets, *later.nets)[-WIN_RATE_TRADES:])
        for day in later.days:
            found = found.after(*day)
        return found

    @property
    def is_enough(self) -> bool:
        """Whether nothing before it counts any more."""
        return len(self.nets) >= WIN_RATE_TRADES and len(self.days) >= SHARPE_DAYS


NO_HISTORY = History()


class _Stand(NamedTuple):
    """Where the account stood after an input."""

    version: int
    gross: int
    fees: int
    balance: int
    equity: int


class _Book:
    """Follows one kernel: where it stood when the day began, and what happened since."""

    def __init__(self, kernel: Kernel, before: History) -> None:
        self._account = kernel.state.account
        self.days: list[Day] = []
        self.day = Day(day=0, version_id=0)
        self.history = before
        self._open: dict[tuple[int, int], Held] = {}  # (scope, bit) -> its entry in this day
        self._now = self._look()
        self._begin()

    def _look(self) -> _Stand:
        a = self._account
        names = ("version", "realised_micros", "fees_micros", "balance_micros", "equity_micros")
        return _Stand(*(int(a[name][0]) for name in names))

    def _begin(self) -> None:
        self._start, self._peak = self._now, self._now.equity
        self._won: list[int] = []
        self._lost: list[int] = []
        self._refused: Counter[str] = Counter()

    def roll(self) -> None:
        """Before what the present input brought is counted: the kernel rolls the day before anything else."""
        number = int(self._account["trading_day"][0])
        if number == self.day.day or self._account["window_count"][0] == 0:  # a day that the past told is not lived
            return
        if self.day.day == 0:  # what was set up before the first window belongs to the first day
            self.day.day = number
            return
        self.finish()
        self._begin()
        self._open = {place: Held(held.code, held.raised_ns) for place, held in self._open.items()}
        self.day = Day(day=number, version_id=self._now.version, holds=list(self._open.values()))

    def input(self, event: np.void) -> None:
        """After the kernel took one input and its outputs were told."""
        configured = self._now.version > 0
        before, self._now = self._now, self._look()
        if not configured:  # until its capital is set an account has no balance that could move
            self._start, self._peak = self._now, self._now.equity
            return
        if event["kind"] in (TRANSFER, PAST):  # a balance that a person states moves the account as a transfer does
            moved = self._now.balance - before.balance
            self.day.transfer_micros += moved
            self._peak += moved
        self._peak = max(self._peak, self._now.equity)
        self.day.max_drawdown_micros = max(self.day.max_drawdown_micros, self._peak - self._now.equity)

    def output(self, event: np.void, rules: int) -> None:
        """One output of the kernel."""
        kind, ts_ns = int(event["kind"]), int(event["ts_ns"])
        if kind == TRADE_CLOSED and event["role"] != HEDGE:  # a hedge is money, no trade (MOEX-HEDGE-05)
            self._trade(int(event["value"]))
        elif kind == DECISION and event["code"] != APPROVED:
            self._refused[code_name(rules, int(event["code"]))] += 1
        elif kind == HOLD_RAISED:
            held = Held(hold_of(rules, int(event["code"])).code, ts_ns)
            self._open[_place(event)] = held
            self.day.holds.append(held)
        elif kind == HOLD_CLEARED and _place(event) in self._open:
            self._open.pop(_place(event)).cleared_ns = ts_ns

    def _trade(self, net: int) -> None:
        self.history = self.history.traded(net)
        self.day.trades += 1
        if net > 0:
            self._won.append(net)
        elif net < 0:
            self._lost.append(net)

    def finish(self) -> None:
        """Close the day's figures and keep it."""
        day = self.day
        day.version_id = self._now.version
        day.gross_micros = self._now.gross - self._start.gross
        day.fee_micros = self._now.fees - self._start.fees
        day.net_micros = day.gross_micros - day.fee_micros
        moved = self._now.balance - self._start.balance - day.transfer_micros
        if day.net_micros != moved:
            raise ArithmeticError(f"{day.day}: net {day.net_micros} micros, but the balance moved by {moved}")
        day.wins, day.losses = len(self._won), len(self._lost)
        day.zeros = day.trades - day.wins - day.losses
        day.largest_win_micros = max(self._won, default=None)
        day.largest_loss_micros = min(self._lost, default=None)
        day.mean_win_micros = sum(self._won) / len(self._won) if self._won else None
        day.mean_loss_micros = sum(self._lost) / len(self._lost) if self._lost else None
        latest = self.history.nets
        day.win_rate_20 = sum(net > 0 for net in latest) / len(latest) if latest else None
        if self._start.balance > 0:
            self.history = self.history.after(day.day, day.net_micros, self._start.balance)
        day.sharpe_daily = _sharpe([net / start for _, net, start in self.history.days])
        day.refusals = dict(self._refused.most_common())
        self.days.append(day)


def _place(event: np.void) -> tuple[int, int]:
    return int(event["instrument"]), int(event["code"])


def _sharpe(returns: list[float]) -> float | None:
    """mean / sd (ddof 1) x sqrt(252), risk-free rate 0 (MES-METRIC-02)."""
    if len(returns) < SHARPE_DAYS or max(returns) == min(returns):
        return None
    values = np.array(returns)
    return float(values.mean() / values.std(ddof=1)) * math.sqrt(SESSIONS_A_YEAR)


def history_of(folder: Path) -> History:
    """What the journal in `folder` alone leaves for the sessions after it.  Errors as `daily_summaries`."""
    return _replayed(folder, NO_HISTORY).history


def daily_summaries(folder: Path, before: History = NO_HISTORY) -> list[Day]:
    """The trading days of the journal in `folder`, in order; the last one up to its last frame.

    `before`: what the account's earlier sessions left for the figures of the last twenty.  Raises ReplayDiffers when an
    output of the journal is not what the kernel of this code makes, JournalBroken.
    """
    return _replayed(folder, before).days


def _replayed(folder: Path, before: History) -> _Book:
    reader, kernel = JournalReader(folder), Kernel()
    book = _Book(kernel, before)
    owed: list[bytes] = []  # outputs that the journal must show next
    seq = 0
    while len(events := reader.read(seq, CHUNK)["event"]) > 0:
        for i in range(len(events)):
            if events["kind"][i] >= FIRST_OUTPUT_KIND:
                if not owed or owed.pop(0) != events[i].tobytes():
                    raise ReplayDiffers(f"replay of {folder.name} differs from its journal at seq {seq + i + 1}")
                continue
            made = kernel.apply(events[i : i + 1])
            book.roll()
            rules = int(kernel.state.account["rules"][0])
            for j in range(1, len(made)):
                book.output(made[j], rules)
            book.input(made[0])
            owed = [made[j].tobytes() for j in range(1, len(made))]
        seq += len(events)
    if book.day.day > 0:
        book.finish()
    return book
