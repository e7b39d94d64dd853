"""A bar through the backtest: the very kernel, the shipped profile `mes-topstep`, every rule active, venue included.

The common work: one-second bars, an eighth of the seconds empty, a bracket of 6 and 8 ticks, a decision on about one
bar in 120.  `full` is the profile as it is, whose daily limit leaves most bars idle; `busy` has its limits on loss and
its pauses out of the way, so that it trades all day.  CPU time of the loop alone, bars in memory.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

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
ROUNDS = 3
FIRST_NS = 1_772_600_000 * NANOS
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


def made_bars(count: int) -> Columns:
    """`count` bars of as many sessions as that takes: a random walk of whole ticks, the same for every run."""
    rng = np.random.default_rng(SEED)
    first = local_date(FIRST_NS, "UTC")
    days = -(-count // 70_000) * 2 + 7
    sessions = cme_sessions(first, local_date(FIRST_NS + days * 86_400 * NANOS, "UTC"))
    seconds = np.concatenate([np.arange(s.open_ns, s.close_ns, NANOS) for s in sessions])
    start_ns = seconds[rng.random(len(seconds)) >= EMPTY][:count]
    body = np.rint(rng.standard_normal(count) * 0.8).astype(np.int64)
    gap = rng.choice(np.array([-1, 0, 0, 0, 0, 0, 0, 0, 0, 1]), count)
    close = 20_000 + np.cumsum(body + gap)
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


def once(plan: Plan, bars: Columns) -> tuple[float, Result]:
    """(ns of CPU a bar, result) of one run; calendar and set-up are not in it."""
    calendar = Calendar.between(int(bars.start_ns[0]), int(bars.start_ns[-1]))
    run = Backtest(plan, calendar, NANOS, int(bars.start_ns[0]))
    began = time.process_time_ns()
    run.feed(bars)
    spent = time.process_time_ns() - began
    return spent / len(bars.start_ns), run.end()


def measure(count: int = BARS) -> list[Row]:
    """Rows: ns per bar without a decision, and of both variants of the common work (CPU time, median of ROUNDS)."""
    bars = made_bars(count)
    idle = bars._replace(side=np.zeros(count, np.int8))
    found = plans()
    rows = []
    for name, plan, columns in (
        ("idle", found["full"], idle),
        ("full", found["full"], bars),
        ("busy", found["busy"], bars),
    ):
        once(plan, columns)  # compiled, memory touched
        samples = [once(plan, columns) for _ in range(ROUNDS)]
        result = samples[0][1]
        note = f"{count} bars, {len(result.trades)} trades, CPU time; {plan.profile} {plan.config_hash[:12]}"
        value = float(np.median([spent for spent, _ in samples]))
        rows.append(Row(f"backtest, a bar on the common work, {name}", value, "ns/bar", GOAL_NS, note=note))
    return rows
