"""Where the money was made: trades by hour, by weekday and by exit reason, each group with its own interval.

A group is small, so it says how little is known: interval by whole trading days, and none where the sample cannot
carry one.  Hours are wall-clock hours of the entry in the venue's zone, weekdays those of the trading day (a Sunday
evening of futures is Monday's).  Called by reports.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np

from marketdata.zones import zone
from trading.research.figures import Figure, figure, ratio
from trading.research.intervals import DRAWS, LEVEL, UNDEFINED_MAX, day_weights, percentiles
from trading.research.metrics import NO_TRADES
from trading.research.records import Days, Trades, session_of, total

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
QUARTER_NS = 900_000_000_000  # offsets of all zones in use change on quarters of an hour


class Group(NamedTuple):
    """Trades of one key.  Means in micros; `low`, `high`: 95 % interval of the mean, None where `why` says so."""

    key: str
    trades: int
    days: int
    wins: int
    net_micros: int
    win_rate: Figure
    mean_net_micros: Figure
    low_micros: float | None
    high_micros: float | None
    why: str


def by_hour(trades: Trades, days: Days, zone_name: str, seed: int = 1) -> list[Group]:
    """Groups "00" .. "23" that have trades, by the entry's hour on the wall of `zone_name`.  Raises ZoneError."""
    return _groups(trades, days, [f"{hour:02}" for hour in wall_hours(trades.entry_ns, zone_name).tolist()], seed)


def by_weekday(trades: Trades, days: Days, seed: int = 1) -> list[Group]:
    """Groups of the trading day's weekday, Monday first."""
    names = [WEEKDAYS[_day(number).weekday()] for number in days.trading_day.tolist()]
    groups = _groups(trades, days, [names[i] for i in session_of(days, trades.exit_ns).tolist()], seed)
    return sorted(groups, key=lambda group: WEEKDAYS.index(group.key))


def by_exit_reason(trades: Trades, days: Days, seed: int = 1) -> list[Group]:
    """Groups of the exit reason (MES-BT-21), in the alphabet's order."""
    return _groups(trades, days, [str(reason) for reason in trades.exit_reason], seed)


def by_hour_and_weekday(trades: Trades, days: Days, zone_name: str) -> np.ndarray:
    """(7, 24, 2) int64 for a heat map: net micros and trades by weekday of the trading day (Monday first) and hour."""
    cells = np.zeros((7, 24, 2), np.int64)
    weekday = np.array([_day(number).weekday() for number in days.trading_day.tolist()], np.int64)
    at = weekday[session_of(days, trades.exit_ns)], wall_hours(trades.entry_ns, zone_name)
    np.add.at(cells[:, :, 0], at, trades.net_micros)
    np.add.at(cells[:, :, 1], at, 1)
    return cells


def wall_hours(ts_ns: np.ndarray, zone_name: str) -> np.ndarray:
    """(n,) int64 ns UTC → (n,) int64 hour 0 .. 23 on the wall of this zone.  Raises ZoneError."""
    info = zone(zone_name)
    quarters, where = np.unique(ts_ns // QUARTER_NS, return_inverse=True)
    hours = [datetime.fromtimestamp(quarter * 900, UTC).astimezone(info).hour for quarter in quarters.tolist()]
    return np.array(hours, np.int64)[where]


def _groups(trades: Trades, days: Days, keys: Sequence[str], seed: int) -> list[Group]:
    """One bootstrap of days for all groups: rows of `weights` say how often each day was drawn."""
    if len(trades) == 0:
        return []
    names, place = np.unique(np.array(keys), return_inverse=True)
    session = session_of(days, trades.exit_ns)
    cell = session * len(names) + place
    size, shape = len(days) * len(names), (len(days), len(names))
    net = trades.net_micros
    sums = np.bincount(cell, net.astype(np.float64), size).reshape(shape)
    counts = np.bincount(cell, minlength=size).reshape(shape).astype(np.float64)
    weights = day_weights(np.random.default_rng(seed), len(days), DRAWS)
    drawn_sums, drawn_counts = weights @ sums, weights @ counts
    groups = []
    for i, name in enumerate(names.tolist()):
        own = net[place == i]
        mean_net = ratio(total(own), len(own), NO_TRADES)
        low, high, why = _bounds(drawn_sums[:, i], drawn_counts[:, i], int((counts[:, i] > 0).sum()))
        wins = int((own > 0).sum())
        rate = figure(wins / len(own))
        days_traded = int((counts[:, i] > 0).sum())
        groups.append(Group(name, len(own), days_traded, wins, total(own), rate, mean_net, low, high, why))
    return groups


def _bounds(sums: np.ndarray, counts: np.ndarray, days: int) -> tuple[float | None, float | None, str]:
    defined = counts > 0
    if days < 2 or int(defined.sum()) < (1 - UNDEFINED_MAX) * len(counts):
        return None, None, f"Trades on {days} days are too few for an interval"
    low, high = percentiles(sums[defined] / counts[defined], LEVEL)
    return low, high, ""


def _day(number: int) -> date:
    """YYYYMMDD → date."""
    return date(number // 10_000, number // 100 % 100, number % 100)
