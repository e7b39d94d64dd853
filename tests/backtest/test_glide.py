"""Many bars at a time are booked as one by one: the same rows, the same bytes of every state (MES-BT-01).

A run that keeps its tape tells the kernel every bar, and `test_parity` holds that the kernel of the ring makes of that
tape the same state; so what is equal to such a run is equal to the ring.
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from risk.core.records import MES
from tests.backtest.compare import TAPE, apart, left_by, shipped, through_loop, unlike
from tests.backtest.market import at
from tests.backtest.parts import Bar, S
from tests.backtest.test_hand import BARS, bars_of, example
from tests.backtest.test_parity import same_by_kernel
from tests.plain import answer_of
from trading.run.backtest.engine import reason_of
from trading.run.backtest.plan import Plan

SEEDS = range(60)
PROGRAM = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")
from tests.backtest.test_glide import slow_walk
print(slow_walk())
"""


def test_random_runs_leave_the_same_bytes_bar_by_bar_and_many_at_once_mes_bt_01() -> None:
    reached: Counter[str] = Counter()
    for seed in SEEDS:
        words, passed, result = apart(seed)
        assert words == ""
        reached["passed"] += passed
        reached["bars"] += int(result.run.bars)
        reached.update(reason_of(trade, MES) for trade in result.trades)
        reached.update(row.hold.code for row in result.holds)
    assert reached["passed"] > 0.25 * reached["bars"]
    assert {"PRICE_MOVE", "DAILY_LOSS", "DAILY_DRAWDOWN", "VOLATILITY", "VOLUME", "LOSS_STREAK"} <= set(reached)
    assert {"target", "stop", "time", "signal", "reversal"} <= set(reached)


def walk(count: int, seed: int = 3, step: float = 0.8, silence: float = 0.1, often: float = 1 / 120) -> list[Bar]:
    """A morning of seconds, most of them printed, few decided upon: what a backtest mostly reads."""
    rng = np.random.default_rng(seed)
    seconds = np.flatnonzero(rng.random(2 * count) >= silence)[:count]
    body = np.rint(rng.standard_normal(count) * step).astype(int)
    close = 24_000 + np.cumsum(body)
    high = np.maximum(close, close - body) + rng.poisson(0.4, count)
    low = np.minimum(close, close - body) - rng.poisson(0.4, count)
    side = np.where(rng.random(count) < often, rng.choice([-1, 1], count), 0)
    volume = 1 + rng.poisson(8, count)
    first = at("2026-03-03", "09:40:00")
    rows = zip(seconds.tolist(), (close - body).tolist(), high.tolist(), low.tolist(), close.tolist(), strict=True)
    return [
        Bar(first + t * S, o, h, low, c, int(volume[k]), 0, int(side[k]), 720_000)
        for k, (t, o, h, low, c) in enumerate(rows)
    ]


def by_minutes(plan: Plan | None = None) -> Plan:
    return replace(plan or shipped(), equity_sample="minute")


def test_most_of_an_ordinary_day_is_passed_many_at_once() -> None:
    bars = walk(12_000)
    differs, passed, result = unlike(by_minutes(), bars, TAPE)
    assert not differs
    assert passed > 0.9 * len(bars) and len(result.trades) > 3


def test_a_position_is_ridden_to_its_bracket() -> None:
    """A wide bracket: hundreds of bars with a position, marks and drawdown in every one of them."""
    plan = by_minutes()
    free = {"stop_ticks": 16, "target_ticks": 60, "loss_day_micros_max": 900_000_000, "streak_soft": 0}
    free |= {"streak_hard": 0, "drawdown_day_micros_max": 900_000_000, "capital_micros": 5_000_000_000}
    plan = replace(plan, limits=plan.limits | free, capital_micros=5_000_000_000)
    bars = walk(6_000, seed=11, often=1 / 400)
    differs, passed, result = unlike(plan, bars, TAPE)
    assert not differs
    held = int(result.trades["bars_held"].sum())
    assert held > 1_000 and passed > 0.9 * len(bars)
    assert int(result.run.worst_micros) > 0


def test_what_is_passed_at_once_is_what_the_kernel_of_the_ring_makes_of_the_tape_mes_bt_01() -> None:
    bars = walk(3_000, seed=5)
    told, by_bar = through_loop(by_minutes(), bars, tape=TAPE)
    same_by_kernel(told)
    run, result = through_loop(by_minutes(), bars)
    assert int(run.room.passed[0]) > 2_000
    assert left_by(run, result) == left_by(told, by_bar)


def test_every_cut_of_the_bars_leaves_the_same_bytes_mes_mem_08() -> None:
    bars = walk(600, seed=7, often=1 / 60)
    whole = left_by(*through_loop(by_minutes(), bars))
    for step in (1, 7, 61, 250):
        assert left_by(*through_loop(by_minutes(), bars, tuple(range(step, len(bars), step)))) == whole


def test_no_bar_is_passed_where_every_row_of_the_curve_is_kept() -> None:
    run, result = through_loop(shipped(), walk(300))
    assert int(run.room.passed[0]) == 0 and len(result.points) >= 300


def test_bars_that_are_not_plain_leave_the_same_bytes_mes_bt_01() -> None:
    """A close beyond its range, a jump, a bar off the seconds, out of order or of another contract, a silence over a
    minute's end: minutes are passed around each of them, as they would be one by one."""
    rng = np.random.default_rng(23)
    bars = walk(4_000, seed=13, often=1 / 200)
    for k in rng.choice(len(bars) - 20, 60, replace=False).tolist():
        b, kind = bars[k], k % 6
        if kind == 0:
            bars[k] = replace(b, c=b.h + 3)
        elif kind == 1:
            bars[k] = replace(b, h=b.h + 45, c=b.h + 45)  # farther than P-11 lets a mark be
        elif kind == 2:
            bars[k] = replace(b, start=b.start + S // 2)
        elif kind == 3:
            bars[k] = replace(b, start=b.start - 2 * S)
        elif kind == 4:
            bars[k + 1 :] = [replace(later, contract=later.contract + 1) for later in bars[k + 1 :]]
        else:
            silence_ns = int(rng.integers(20, 90)) * S
            bars[k + 1 :] = [replace(later, start=later.start + silence_ns) for later in bars[k + 1 :]]
    cuts = tuple(range(150, len(bars), 450))
    for sample in ("minute", "day"):
        differs, passed, _ = unlike(replace(shipped(), equity_sample=sample), bars, TAPE, cuts)
        assert not differs
        assert passed > 0.4 * len(bars)


def test_bars_in_disorder_leave_the_same_bytes_mes_bt_01() -> None:
    rng = np.random.default_rng(5)
    bars = [
        replace(b, start=b.start + int(rng.integers(0, 90)) * S) if k % 700 > 600 else b
        for k, b in enumerate(walk(2_100))
    ]
    differs, passed, _ = unlike(by_minutes(), bars, TAPE, tuple(range(30, 2_100, 30)))
    assert not differs and passed > 1_000


def slow_walk() -> str:
    """Differences and bars passed of the worked example and of a few minutes, for the interpreter."""
    plan = by_minutes(example(shipped()))
    worked = unlike(plan, bars_of(BARS), TAPE)
    walked = unlike(plan, walk(400, seed=9, often=1 / 40), TAPE)
    trades = [int(result.balance_micros) for _, _, result in (worked, walked)]
    return repr((worked[:2], walked[:2], trades))


def test_the_interpreter_passes_the_same_bars() -> None:
    ours = slow_walk()
    assert ours.startswith("(([], ")
    assert answer_of(PROGRAM) == ours
