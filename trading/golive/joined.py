"""Sessions of one lineage joined to one record: trades, daily equity and equity points, as the gate reads them.

Equity is chained by its changes, so a session that began with other money, or after a pause, leaves no step.  Two
sessions that lived the same market time are one: the first counts, a second try does not.  Pure.  Called by
`golive.evidence`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trading.research.gate_moex import PaperRecord
from trading.research.records import Curve, Days
from trading.run.journal.equity import DayRun


class Closed(NamedTuple):
    """One closed trade; money in micros, `turnover_micros`: traded value of both sides; times in ns UTC."""

    gross_micros: int
    commission_micros: int
    turnover_micros: int
    opened_ns: int
    closed_ns: int


class Lived(NamedTuple):
    """One session: its days in order (at least one), and the trades that closed in it."""

    key: str
    days: list[DayRun]
    trades: list[Closed]

    @property
    def start_ns(self) -> int:
        return self.days[0].start_ns

    @property
    def end_ns(self) -> int:
        return int(self.days[-1].ts_ns[-1])


def first_lives(sessions: Sequence[Lived]) -> tuple[list[Lived], list[str]]:
    """Sessions by market time without those that live a time again that an earlier one of the list had; their keys.

    `sessions` in the order in which they were made: whoever came first counts, whatever it came to.
    """
    kept: list[Lived] = []
    again = []
    for one in sessions:
        if any(one.start_ns <= other.end_ns and other.start_ns <= one.end_ns for other in kept):
            again.append(one.key)
        else:
            kept.append(one)
    return sorted(kept, key=lambda one: one.start_ns), again


def inside(one: Lived, since_ns: int, now_ns: int) -> Lived | None:
    """The session's whole days within [since_ns, now_ns], and their trades; None without one."""
    days = [day for day in one.days if day.start_ns >= since_ns and int(day.ts_ns[-1]) <= now_ns]
    if not days:
        return None
    start_ns, end_ns = days[0].start_ns, int(days[-1].ts_ns[-1])
    return Lived(one.key, days, [trade for trade in one.trades if start_ns <= trade.closed_ns <= end_ns])


def record_of(sessions: Sequence[Lived], capital_micros: int, now_ns: int) -> PaperRecord:
    """The record of these sessions, by market time, none overlapping (`first_lives`).

    Without any it is empty, at `capital_micros`, from `now_ns` on.  A day that two sessions share has the C of the
    first.
    """
    runs = [day for one in sessions for day in one.days]
    start_ns = runs[0].start_ns if runs else now_ns
    start_micros = equity = runs[0].open_micros if runs else capital_micros
    numbers: list[int] = []
    closes: list[int] = []
    ends: list[int] = []
    capitals: list[int] = []
    times, points = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for run in runs:
        times.append(run.ts_ns)
        points.append(equity + run.equity_micros - run.open_micros)
        equity = int(points[-1][-1])
        if not numbers or run.day > numbers[-1]:
            numbers.append(run.day)
            capitals.append(run.capital_micros)
            closes.append(0)
            ends.append(0)
        closes[-1], ends[-1] = int(run.ts_ns[-1]), equity
    trades = sorted((trade for one in sessions for trade in one.trades), key=lambda trade: trade.closed_ns)
    columns = np.array(trades, np.int64).reshape(len(trades), len(Closed._fields))
    return PaperRecord(
        gross_micros=columns[:, 0].copy(),
        commission_micros=columns[:, 1].copy(),
        turnover_micros=columns[:, 2].copy(),
        entry_ns=columns[:, 3].copy(),
        exit_ns=columns[:, 4].copy(),
        days=Days(start_ns, start_micros, _whole(numbers), _whole(closes), _whole(ends)),
        capital_micros=_whole(capitals),
        curve=Curve(np.concatenate(times), np.concatenate(points)),
    )


def _whole(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)
