"""A bar through the backtest: the very kernel, the shipped profile `mes-topstep`, every rule active, venue included.

The common work: one-second bars, an eighth of the seconds empty, a bracket of 6 and 8 ticks, a decision on about one
bar in 120.  `full` is the profile as it is, whose daily limit leaves most bars idle; `busy` has its limits on loss and
its pauses out of the way, so that it trades all day.  CPU time of the loop alone, bars in memory; beside it the
memory floor, which is what reading the same columns once and writing a point a bar costs here.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

import trading
from desk.ops.bench.table import Row
from marketdata.calendars import cme_sessions, local_date
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import NANOS
from trading.config.schema import load_file
from trading.core.history.records import Columns
from trading.run.backtest.engine import Backtest, Result
from trading.run.backtest.plan import Calendar, Plan, plan_of

PROFILE = Path(trading.__file__).parent / "profiles" / "mes-topstep.yaml"
SEED = 7
BARS = 1_000_000
ROUNDS = 5
FIRST_NS = 1_772_600_000 * NANOS
YEARS = 33_200_000  # two years of printed seconds
YEARS_S = 0.6
YEARS_FROM_NS, YEARS_TO_NS = 1_672_750_000 * NANOS, 1_738_300_000 * NANOS  # January 2023 to January 2025
EMPTY, DECIDES = 0.12, 1 / 120
GOAL_NS = 18.0
BRACKET = {"stop_ticks": 8, "target_ticks": 6}
FREE = {  # limits on loss and pauses, too wide to bind
    "capital_micros": 1_000_000 * 10**6,
    "loss_day_micros_max": 900_000 * 10**6,
    "loss_total_micros_max": 950_000 * 10**6,
    "drawdown_day_micros_max": 900_000 * 10**6,
    "drawdown_micros_max": 900_000 * 10**6,
    "streak_soft": 0,
    "streak_hard": 0,
    "cooldown_entry_ns": 0,
    "cooldown_exit_ns": 0,
}


def made_bars(count: int, seed: int = SEED, from_ns: int = FIRST_NS, from_tick: int = 20_000) -> Columns:
    """`count` bars of as many sessions as that takes: a random walk of whole ticks, the same for every run."""
    rng = np.random.default_rng(seed)
    first = local_date(from_ns, "UTC")
    days = -(-count // 70_000) * 2 + 7
    sessions = cme_sessions(first, local_date(from_ns + days * 86_400 * NANOS, "UTC"))
    ahead = [s for s in sessions if s.close_ns > from_ns]
    seconds = np.concatenate([np.arange(max(s.open_ns, from_ns), s.close_ns, NANOS) for s in ahead])
    start_ns = seconds[rng.random(len(seconds)) >= EMPTY][:count]
    body = np.rint(rng.standard_normal(count) * 0.8).astype(np.int64)
    gap = rng.choice(np.array([-1, 0, 0, 0, 0, 0, 0, 0, 0, 1]), count)
    close = from_tick + np.cumsum(body + gap)
    start = close - body
    ticks = np.stack(
        [
            start,
            np.maximum(start, close) + rng.poisson(0.4, count),
            np.minimum(start, close) - rng.poisson(0.4, count),
            close,
        ],
        axis=1,
    )
    draw = rng.random(count)
    side = np.where(draw < DECIDES / 2, 1, np.where(draw < DECIDES, -1, 0)).astype(np.int8)
    sure = np.full(count, 720_000, np.int32)
    volume = 1 + rng.poisson(8, count)
    return Columns(start_ns, np.ascontiguousarray(ticks), volume, np.zeros(count, np.int64), side, sure)


def plans() -> dict[str, Plan]:
    """The variants; the first is the shipped profile but for the bracket of the common work."""
    plan = plan_of(load_file(PROFILE), INSTRUMENTS["MES"])
    full = replace(plan, limits=plan.limits | BRACKET)
    busy = replace(full, limits=full.limits | FREE, capital_micros=FREE["capital_micros"])
    return {"full": full, "busy": busy}


class Sample(NamedTuple):
    """One run."""

    ns: float  # of CPU a bar
    passed: float  # share of the bars that were booked many at a time
    result: Result


def once(plan: Plan, bars: Columns) -> Sample:
    """One run; calendar and set-up are not in its time."""
    calendar = Calendar.between(int(bars.start_ns[0]), int(bars.start_ns[-1]))
    run = Backtest(plan, calendar, NANOS, int(bars.start_ns[0]))
    began = time.thread_time_ns()
    run.feed(bars)
    spent = time.thread_time_ns() - began
    count = len(bars.start_ns)
    return Sample(spent / count, int(run.room.passed[0]) / count, run.end())


def years(plan: Plan, count: int) -> tuple[float, int]:
    """(seconds of one core, trades) of so many bars of one account, in stretches as a data set of years is read.

    Making the bars is not in the time.
    """
    spent, from_ns, tick = 0, YEARS_FROM_NS, 20_000
    run: Backtest | None = None
    for k, begin in enumerate(range(0, count, BARS)):
        bars = made_bars(min(BARS, count - begin), SEED + k, from_ns, tick)
        run = run or Backtest(plan, Calendar.between(from_ns, YEARS_TO_NS), NANOS, int(bars.start_ns[0]))
        began = time.thread_time_ns()
        run.feed(bars)
        spent += time.thread_time_ns() - began
        from_ns, tick = int(bars.start_ns[-1]) + NANOS, int(bars.ticks[-1, 3])
    return spent / NANOS, len(run.end().trades) if run else 0


@njit(cache=True)
def _stream(bars: Columns, points: np.ndarray) -> int:
    """Every column read once, one number a bar written."""
    total = 0
    for i in range(points.shape[0]):
        total += bars.start_ns[i] + bars.volume[i] + bars.contract[i] + bars.side[i] + bars.confidence_ppm[i]
        total += bars.ticks[i, 0] + bars.ticks[i, 1] + bars.ticks[i, 2] + bars.ticks[i, 3]
        points[i] = total
    return total


def memory_floor(bars: Columns) -> float:
    """ns of CPU a bar, best of ROUNDS: no loop over these columns on this machine is faster."""
    points = np.zeros(len(bars.start_ns), np.int64)
    spent = []
    for _ in range(ROUNDS + 1):  # the first one compiles
        began = time.thread_time_ns()
        _stream(bars, points)
        spent.append((time.thread_time_ns() - began) / len(points))
    return min(spent[1:])


def measure(count: int = BARS) -> list[Row]:
    """Rows: ns per bar without a decision, and of both variants of the common work (CPU time, best of ROUNDS)."""
    bars = made_bars(count)
    idle = bars._replace(side=np.zeros(count, np.int8))
    found = plans()
    floor = memory_floor(bars)
    rows = [Row("backtest, memory floor of its columns", floor, "ns/bar", note="read once, a point a bar written")]
    for name, plan, columns in (
        ("idle", found["full"], idle),
        ("full", found["full"], bars),
        ("busy", found["busy"], bars),
    ):
        once(plan, columns)  # compiled, memory touched
        samples = [once(plan, columns) for _ in range(ROUNDS)]
        best = min(samples, key=lambda sample: sample.ns)
        note = f"{count} bars, {len(best.result.trades)} trades, {best.passed:.0%} passed many at a time, CPU time;"
        note += f" {plan.profile} {plan.config_hash[:12]}"
        name = f"backtest, a bar on the common work, {name}"
        rows.append(Row(name, best.ns, "ns/bar", GOAL_NS, "memory floor", best.ns / floor, note))
    return rows
