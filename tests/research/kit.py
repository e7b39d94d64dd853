"""Small runs for the tests of this room: session days of a calendar without holidays, trades, equity points."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np

from trading.research.records import Curve, Days, Trades

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
DOLLAR = 1_000_000
START_NS = 1_704_060_000_000_000_000  # 2023-12-31 22:00 UTC, a Sunday


def int64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def weekdays(first: date, count: int) -> list[int]:
    """YYYYMMDD of `count` weekdays from `first` on."""
    found: list[int] = []
    day = first
    while len(found) < count:
        if day.weekday() < 5:
            found.append(day.year * 10_000 + day.month * 100 + day.day)
        day += timedelta(days=1)
    return found


def some_days(equity: Sequence[int], start: int = 1_000 * DOLLAR) -> Days:
    """Session days from Monday 2024-01-01 on; session i closes at 22:00 UTC of its date."""
    numbers = weekdays(date(2024, 1, 1), len(equity))
    close = [
        START_NS + ((date(n // 10_000, n // 100 % 100, n % 100) - date(2023, 12, 31)).days) * DAY_NS for n in numbers
    ]
    return Days(START_NS, start, int64(*numbers), int64(*close), int64(*equity))


def closes(days: Days) -> Curve:
    """The equity points of a run that was looked at at its closes alone."""
    return Curve(days.close_ns, days.equity_micros)


def some_trades(
    gross: Sequence[int],
    exits: Sequence[int],
    commission: int = 840_000,
    slippage: int = 1_250_000,
    reasons: Sequence[str] = (),
    risk: int = 0,
) -> Trades:
    """Trades of a minute each; one commission, slippage and risk for all."""
    n = len(gross)
    exit_ns = int64(*exits)
    return Trades(
        gross_micros=int64(*gross),
        commission_micros=np.full(n, commission, np.int64),
        slippage_micros=np.full(n, slippage, np.int64),
        entry_ns=exit_ns - 60_000_000_000,
        exit_ns=exit_ns,
        bars_held=np.full(n, 60, np.int64),
        exit_reason=list(reasons) or ["target"] * n,
        risk_micros=np.full(n, risk, np.int64),
    )


def booked(
    nets: Sequence[Sequence[int]], start: int = 1_000 * DOLLAR, commission: int = 840_000, risk: int = 0
) -> tuple[Trades, Days]:
    """A run from the net results of each session's trades, in micros: trades an hour apart before the close."""
    equity, total = [], start
    for day in nets:
        total += sum(day)
        equity.append(total)
    days = some_days(equity, start)
    gross, exits = [], []
    for close, day in zip(days.close_ns.tolist(), nets, strict=True):
        for i, net in enumerate(day):
            gross.append(net + commission)
            exits.append(close - (len(day) - i) * HOUR_NS)
    return some_trades(gross, exits, commission, risk=risk), days
