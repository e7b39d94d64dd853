"""What a backtest is held against: random decisions, one contract held throughout, the most that was possible.

Random strategies trade the same bars through the same loop, rules and costs, about as often and as surely; only side
and moment are drawn (MES-SANE-01).  The most is exact, by foresight, flat at every session's end.  Bars pass by chunk
by chunk, and where a chunk ends changes nothing.  Seeded.  Called by `judged`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from trading.core.history.records import Columns
from trading.research.baselines import best_possible
from trading.run.backtest.engine import Backtest, Result
from trading.run.backtest.plan import Calendar, Plan

RANDOM_RUNS = 39  # of 20 with the result itself one is 5 %, the most that is let through; 39 forgive a lucky one
PILOTS = 3  # runs that look for how often to decide
CLOSE_ENOUGH = 0.1  # of the trades wanted
SPARSE = 4.0  # a pilot without a trade is tried again so many times as often

Bars = Callable[[], Iterator[tuple[int, Columns]]]  # a fresh pass: (length of a bar in ns, chunk without decisions)


class Rivals(NamedTuple):
    """`random_nets_micros`, `random_trades` (K,) int64 of the random strategies; `held_micros`: one contract from each
    contract's first open to its last close, after costs; `possible_micros`: the most with as many contracts as the
    result's largest trade, None where it never traded."""

    random_nets_micros: np.ndarray
    random_trades: np.ndarray
    held_micros: int
    possible_micros: int | None


def rivals_of(result: Result, bars: Bars, calendar: Calendar, runs: int = RANDOM_RUNS, seed: int = 1) -> Rivals:
    """All of them for one result, in one pass and PILOTS passes before it."""
    plan = result.plan
    held, foresight = Held(plan), Foresight(plan, calendar)
    share = _share(result, bars, calendar, seed) if runs else 0.0
    lives = [_Life(result, share, (seed, 1, k)) for k in range(runs if share else 0)]
    for bar_ns, columns in bars():
        held.see(columns)
        foresight.see(columns)
        for life in lives:
            life.see(columns, bar_ns, calendar)
    ends = [life.end() for life in lives]
    most = int(result.trades["qty"].max()) if len(result.trades) else 0
    return Rivals(
        np.array([net for net, _ in ends], np.int64),
        np.array([trades for _, trades in ends], np.int64),
        held.net_micros(),
        foresight.net_micros() * most if most else None,
    )


def _share(result: Result, bars: Bars, calendar: Calendar, seed: int) -> float:
    """On which share of the bars to decide so that about as many trades come of it; 0 where there were none."""
    wanted = len(result.trades)
    if wanted == 0:
        return 0.0
    free = max(wanted, int(result.run.bars) - int(result.trades["bars_held"].sum()))
    share = wanted / free
    for k in range(PILOTS):
        life = _Life(result, share, (seed, 0, k))
        for bar_ns, columns in bars():
            life.see(columns, bar_ns, calendar)
        trades = life.end()[1]
        if abs(trades - wanted) <= CLOSE_ENOUGH * wanted:
            break
        share = min(1.0, share * (wanted / trades if trades else SPARSE))
    return share


class _Life:
    """One random strategy.  Times, sides and confidences are streams of their own: a chunk's end changes none."""

    def __init__(self, like: Result, share: float, seed: tuple[int, ...]) -> None:
        self._plan, self._share = replace(like.plan, equity_sample="day"), share  # no curve of it is kept
        self._sure = like.trades["confidence_ppm"].astype(np.int32)
        self._when, self._which, self._how = (np.random.default_rng((*seed, k)) for k in range(3))
        self._run: Backtest | None = None

    def see(self, columns: Columns, bar_ns: int, calendar: Calendar) -> None:
        if self._run is None:
            self._run = Backtest(self._plan, calendar, bar_ns, int(columns.start_ns[0]))
        n = len(columns.start_ns)
        at = np.flatnonzero(self._when.random(n) < self._share)
        side, confidence = np.zeros(n, np.int8), np.zeros(n, np.int32)
        side[at] = np.where(self._which.random(at.size) < 0.5, -1, 1)
        confidence[at] = self._sure[(self._how.random(at.size) * self._sure.size).astype(np.int64)]
        self._run.feed(columns._replace(side=side, confidence_ppm=confidence))

    def end(self) -> tuple[int, int]:
        """(net in micros, trades)."""
        if self._run is None:
            return 0, 0
        found = self._run.end()
        return int(found.trades["net_micros"].sum()), len(found.trades)


class Held:
    """One contract, bought at the first open of each contract's bars and sold at their last close, after costs."""

    def __init__(self, plan: Plan) -> None:
        self._tick_micros = plan.instrument.tick_value_micros
        self._side_micros = side_cost_micros(plan)
        self._contract: int | None = None
        self._first = self._last = self._net = 0

    def see(self, columns: Columns) -> None:
        begins = np.flatnonzero(np.diff(columns.contract)) + 1
        for begin, end in zip([0, *begins.tolist()], [*begins.tolist(), len(columns.contract)], strict=True):
            contract = int(columns.contract[begin])
            if contract != self._contract:
                self._net += self._open_net()
                self._contract, self._first = contract, int(columns.ticks[begin, 0])
            self._last = int(columns.ticks[end - 1, 3])

    def net_micros(self) -> int:
        return self._net + self._open_net()

    def _open_net(self) -> int:
        if self._contract is None:
            return 0
        return (self._last - self._first) * self._tick_micros - 2 * self._side_micros


class Foresight:
    """The most that one contract could have made: exact over each session and contract, which it ends flat.

    Opens are where it trades, and the last close of a session, where the rules may close (MES-BT-16)."""

    def __init__(self, plan: Plan, calendar: Calendar) -> None:
        self._tick_micros = plan.instrument.tick_value_micros
        self._side_micros = side_cost_micros(plan)
        self._opens_ns = calendar.open_ns
        self._net = 0
        self._price: list[np.ndarray] = []  # of the stretch that is not over
        self._of: tuple[int, int] | None = None  # its session and contract
        self._close = 0

    def see(self, columns: Columns) -> None:
        session = np.searchsorted(self._opens_ns, columns.start_ns, side="right")
        changes = (np.diff(session) != 0) | (np.diff(columns.contract) != 0)
        begins = [0, *(np.flatnonzero(changes) + 1).tolist()]
        for begin, end in zip(begins, [*begins[1:], len(session)], strict=True):
            of = (int(session[begin]), int(columns.contract[begin]))
            if of != self._of:
                self._conclude()
                self._of = of
            self._price.append(columns.ticks[begin:end, 0].copy())
            self._close = int(columns.ticks[end - 1, 3])

    def net_micros(self) -> int:
        self._conclude()
        return self._net

    def _conclude(self) -> None:
        if self._price:
            prices = np.concatenate([*self._price, np.array([self._close], np.int64)])
            whole = np.zeros(len(prices), np.int64)
            self._net += best_possible(prices, whole, self._tick_micros, self._side_micros).net_micros
        self._price = []


def side_cost_micros(plan: Plan) -> int:
    """What a contract bought or sold costs: the fee, and the slippage of a market order; the least where that is
    conditional, for what a rival would have met is not known."""
    return int(plan.instrument.fee_micros + plan.usual_slip_ticks * plan.instrument.tick_value_micros)
