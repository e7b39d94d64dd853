"""The whole backtest once more where trading costs more (MES-GUARD-05): the same decisions at 1.5 and 2.0 x costs.

Stricter than dearer costs of the same trades: an account that loses more meets its limits earlier, sizes smaller and
stops sooner.  Commission and slippage are rounded up, slippage to whole ticks, where it is conditional fill by fill:
half a tick more is one more.  Called by the commands `backtest` and `optimise`.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from trading.core.history.records import Columns
from trading.research.figures import Verdict, figure, judge, money
from trading.research.luck.costs import FACTORS, GATE_FACTOR
from trading.run.backtest.engine import Backtest
from trading.run.backtest.plan import Calendar, Plan

DEARER = tuple(factor for factor in FACTORS if factor > 1)


class Rerun(NamedTuple):
    """What the same decisions come to at so many times the costs."""

    factor: Fraction
    trades: int
    net_micros: int


def dearer_plan(plan: Plan, factor: Fraction) -> Plan:
    """The same with dearer fills; of its curve only the days are kept."""
    item = plan.instrument
    fees = {name: math.ceil(getattr(item, name) * factor) for name in ("fee_micros", "fee_ppm")}
    slips = {name: math.ceil(getattr(plan, name) * factor) for name in ("slip_ticks", "slip_times_ppm")}
    return replace(plan, instrument=replace(item, **fees), equity_sample="day", **slips)


def reruns_of(plan: Plan, chunks: Iterable[tuple[int, Columns]], calendar: Calendar) -> tuple[Rerun, ...]:
    """All of them in one pass over the bars with their decisions, (length of a bar in ns, chunk)."""
    runs: list[Backtest] = []
    for bar_ns, columns in chunks:
        if not runs:
            first_ns = int(columns.start_ns[0])
            runs = [Backtest(dearer_plan(plan, factor), calendar, bar_ns, first_ns) for factor in DEARER]
        for run in runs:
            run.feed(columns)
    ends = [run.end() for run in runs]
    return tuple(
        Rerun(factor, len(end.trades), int(end.trades["net_micros"].sum()))
        for factor, end in zip(DEARER, ends, strict=False)
    )


def verdict_of(reruns: Iterable[Rerun]) -> Verdict:
    """MES-GUARD-05: traded anew at 1.5 x costs it still nets something."""
    (found,) = (run for run in reruns if run.factor == GATE_FACTOR)
    text = "Traded anew with costs half as high again the same decisions make {n} trades and net {net}."
    value = figure(found.net_micros / 1_000_000)
    words = {"net": money(found.net_micros)}
    return judge("net_rerun_at_cost_1_5", value, ">", 0, found.trades, "trades", text, words=words)
