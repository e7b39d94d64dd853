"""The common work that the desk and its peers are given: bars, decisions and the rules, in a file of plain columns.

Only numpy is imported: a peer reads this in an environment of its own.  The rules are those of MES-BT that every peer
can be taught; what the desk's rulebook has beyond them is told by its own reasons, not left out of its run.  Written by
`sidebyside`, read by every peer's program.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

STOP_TICKS, TARGET_TICKS, SLIP_TICKS = 8, 6, 1
TICK = 0.25
NANOS = 1_000_000_000
LOSS_DAY_MICROS = 50_000_000
LOSERS = 3  # in a row, then a pause
PAUSE_NS = 900 * NANOS


class Work(NamedTuple):
    """One-second bars in order of time, (n,) each but `ticks`."""

    start_ns: np.ndarray  # int64 UTC
    ticks: np.ndarray  # (n, 4) int64: open, high, low, close
    volume: np.ndarray  # int64
    side: np.ndarray  # int8: −1, 0, +1, known at the bar's end; 0 where the calendar allows no entry
    flat: np.ndarray  # int8: 1 where nothing may be held
    day: np.ndarray  # int64, the trading day
    terms: np.ndarray  # (2,) int64: micros a tick and contract, micros of fee a side and contract


class Trip(NamedTuple):
    """One round trip of one contract.  A row of a trade list is these five int64."""

    entry_ns: int  # start of the bar that filled the entry
    exit_ns: int  # start of the bar that filled the exit
    side: int
    entry_tick: int
    exit_tick: int


class DayRules:
    """Limit of a day's loss and the pause after losers in a row; with `limited` false they never bind."""

    def __init__(self, work: Work, limited: bool) -> None:
        self._tick_micros, fee = (int(value) for value in work.terms)
        self._fees, self._limited = 2 * fee, limited
        self._day = self._net = self._losers = self._pause_ns = 0

    def begin(self, day: int) -> None:
        """A bar of this trading day."""
        if day != self._day:
            self._day, self._net = day, 0

    def closed(self, gained_ticks: int, ts_ns: int) -> None:
        """A round trip of one contract ended in the bar that starts at `ts_ns`."""
        net = gained_ticks * self._tick_micros - self._fees
        self._net += net
        self._losers = self._losers + 1 if net < 0 else 0
        if self._losers == LOSERS:
            self._losers, self._pause_ns = 0, ts_ns + PAUSE_NS

    def may_enter(self, ts_ns: int) -> bool:
        """Whether a decision on the bar that starts at `ts_ns` may be acted upon."""
        return not self._limited or (self._net > -LOSS_DAY_MICROS and ts_ns >= self._pause_ns)


def write(path: Path, work: Work) -> None:
    """The file that peers read."""
    np.savez(path, **work._asdict())


def read(path: Path) -> Work:
    """Raises KeyError, OSError for what `write` did not write."""
    with np.load(path) as file:
        return Work(**{name: file[name] for name in Work._fields})


def trip_rows(trips: list[Trip]) -> np.ndarray:
    """(n, 5) int64, the trade list as it is handed over."""
    return np.array(trips, np.int64).reshape(-1, 5)
