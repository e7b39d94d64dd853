"""What research reads: the trades, the session days and the equity points of one run, as plain arrays, checked once.

Money is int64 micros of the account's currency, time int64 ns UTC.  Whoever writes a run (backtest, session report)
makes these; nothing here knows which it was.  A set of arrays that contradicts itself is refused, never repaired.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EXACT_MAX = 2**53  # up to here a float holds every integer, so shares of money are correctly rounded


class ResearchError(ValueError):
    """Arrays that do not belong together or mean nothing; the message names the first fault."""


@dataclass(frozen=True, slots=True)
class Trades:
    """n closed trades (flat to flat), in the order of their exits.  All (n,) int64, `exit_reason` (n,) of words.

    `gross_micros` at fill prices, slippage inside; `commission_micros` of both sides; `slippage_micros` what of gross
    was lost to slippage, information only; `risk_micros` what the stop as placed put at risk, 0 where unknown.
    """

    gross_micros: np.ndarray
    commission_micros: np.ndarray
    slippage_micros: np.ndarray
    entry_ns: np.ndarray
    exit_ns: np.ndarray
    bars_held: np.ndarray
    exit_reason: Sequence[str]
    risk_micros: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.gross_micros)
        for name in ("gross_micros", "commission_micros", "slippage_micros", "risk_micros"):
            _whole(name, getattr(self, name), n)
            if name != "gross_micros" and n and int(getattr(self, name).min()) < 0:
                raise ResearchError(f"{name} has a negative element: a cost or a risk is never negative")
        for name in ("entry_ns", "exit_ns", "bars_held"):
            _whole(name, getattr(self, name), n, bounded=False)
        if len(self.exit_reason) != n:
            raise ResearchError(f"exit_reason has {len(self.exit_reason)} elements, gross_micros {n}")
        if n and bool((self.exit_ns < self.entry_ns).any()):
            raise ResearchError("a trade ends before it begins")
        if n and not in_order(self.exit_ns):
            raise ResearchError("trades are not in the order of their exits")

    def __len__(self) -> int:
        return len(self.gross_micros)

    @property
    def net_micros(self) -> np.ndarray:
        """(n,) int64: gross less commission (MES-BT-22)."""
        return self.gross_micros - self.commission_micros


@dataclass(frozen=True, slots=True)
class Days:
    """Every exchange session of the period, those without a trade included; (D,) int64 each.

    `trading_day` YYYYMMDD and `close_ns` ascend; `equity_micros` at the session's close, what `session_end` booked
    included.  `start_micros` > 0 is the starting capital, `start_ns` the period's start.
    """

    start_ns: int
    start_micros: int
    trading_day: np.ndarray
    close_ns: np.ndarray
    equity_micros: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.trading_day)
        _whole("equity_micros", self.equity_micros, n)
        _whole("close_ns", self.close_ns, n, bounded=False)
        _whole("trading_day", self.trading_day, n, bounded=False)
        if not 0 < self.start_micros <= EXACT_MAX:
            raise ResearchError(f"the starting capital of {self.start_micros} micros is not positive or too large")
        if n and int(self.close_ns[0]) < self.start_ns:
            raise ResearchError("the first session closes before the period starts")
        for name in ("trading_day", "close_ns"):
            if not ascends(getattr(self, name)):
                raise ResearchError(f"{name} does not ascend")

    def __len__(self) -> int:
        return len(self.trading_day)

    @property
    def end_micros(self) -> int:
        return int(self.equity_micros[-1]) if len(self) else self.start_micros


@dataclass(frozen=True, slots=True)
class Curve:
    """Every equity point of the run in time order (MES-BT-24); (P,) int64 each."""

    ts_ns: np.ndarray
    equity_micros: np.ndarray

    def __post_init__(self) -> None:
        _whole("ts_ns", self.ts_ns, len(self.ts_ns), bounded=False)
        _whole("equity_micros", self.equity_micros, len(self.ts_ns))
        if not in_order(self.ts_ns):
            raise ResearchError("equity points are not in time order")

    def __len__(self) -> int:
        return len(self.ts_ns)


def session_of(days: Days, ts_ns: np.ndarray) -> np.ndarray:
    """(n,) int64: index of the session that each time belongs to; a time at a close belongs to the session it ends.

    Raises ResearchError for a time outside the period.
    """
    if len(ts_ns) and (len(days) == 0 or int(ts_ns.max()) > int(days.close_ns[-1]) or int(ts_ns.min()) < days.start_ns):
        raise ResearchError("a trade or an equity point lies outside the period of the session days")
    return np.searchsorted(days.close_ns, ts_ns, side="left")


def daily_returns(days: Days) -> tuple[np.ndarray, str]:
    """(D,) float64 r_d = E_d / E_(d-1) - 1 over every session, E_0 the starting capital (MES-METRIC); and "".

    Where an opening equity is not positive a return means nothing: then no returns and the reason.
    """
    opening = opening_micros(days)
    if len(days) and int(opening.min()) <= 0:
        return np.empty(0), "The account's equity was not positive at a session's open, so returns are undefined"
    # the difference first: an unchanged equity is a return of exactly 0
    return (days.equity_micros - opening) / opening, ""


def opening_micros(days: Days) -> np.ndarray:
    """(D,) int64: equity at the previous session's close, the starting capital before the first."""
    return np.concatenate(([days.start_micros], days.equity_micros[:-1])).astype(np.int64)[: len(days)]


def in_order(values: np.ndarray) -> bool:
    """Whether no element is below the one before it."""
    return not bool((values[1:] < values[:-1]).any())


def ascends(values: np.ndarray) -> bool:
    """Whether every element is above the one before it."""
    return not bool((values[1:] <= values[:-1]).any())


def total(micros: np.ndarray) -> int:
    """Exact sum: int64 where it cannot overflow, else Python's integers."""
    if len(micros) == 0:
        return 0
    largest = max(abs(int(micros.max())), abs(int(micros.min())))
    return int(micros.sum()) if largest * len(micros) < 2**62 else sum(micros.tolist())


def _whole(name: str, values: np.ndarray, n: int, *, bounded: bool = True) -> None:
    if values.shape != (n,):
        raise ResearchError(f"{name} has the shape {values.shape}, ({n},) is needed")
    if values.dtype != np.int64:
        raise ResearchError(f"{name} is {values.dtype}, int64 is needed: money and times are integers")
    if bounded and n and max(abs(int(values.max())), abs(int(values.min()))) > EXACT_MAX:
        raise ResearchError(f"{name} holds an amount beyond {EXACT_MAX} micros")
