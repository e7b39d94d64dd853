"""The figures of `summary.json` against the worked example, calculated here once more (MES-METRIC-01 to -12)."""

import tracemalloc
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import NANOS
from marketdata.feeds.options import parse_options
from marketdata.memory.available import Available
from marketdata.memory.guard import MemoryRefused
from risk.core.holds import LABELS
from tests.backtest.compare import draw, plan_with, shipped, through_loop
from tests.backtest.market import at
from tests.backtest.parts import Bar, S
from tests.backtest.test_hand import BARS, bars_of, example
from trading.research.metrics import measure
from trading.research.records import Curve, daily_returns
from trading.run.backtest import breakeven, outputs, summary
from trading.run.backtest.engine import Result
from trading.run.backtest.plan import Calendar
from trading.run.backtest.signals import strategy_of
from trading.run.backtest.source import BarSource

CLOSES = (1000.0, 1008.69, 976.17, 972.83, 968.24)
WON, LOST = 19.16 + 1.66 + 19.16, 71.74


@pytest.fixture(scope="module")
def worked() -> Result:
    return through_loop(example(shipped()), bars_of(BARS))[1]


@pytest.fixture(scope="module")
def figures(worked: Result) -> dict[str, dict]:
    return summary.metrics(worked)


def returns() -> list[float]:
    return [after / before - 1 for before, after in pairwise(CLOSES)]


def test_daily_returns_over_every_session(worked: Result) -> None:
    assert worked.trading_days.tolist() == [20260303, 20260304, 20260305, 20260306]
    assert daily_returns(summary.arrays_of(worked)[1])[0].tolist() == pytest.approx(returns())


def test_returns_and_risk(figures: dict[str, dict]) -> None:
    r = returns()
    found = figures["returns"]
    assert found["total"] == pytest.approx(-0.03176)
    assert found["cagr"] == pytest.approx(0.96824 ** (252 / 4) - 1)
    assert found["monthly_mean"] == pytest.approx(mean(r) * 21)
    assert found["sharpe"] == pytest.approx(mean(r) / stdev(r) * sqrt(252))
    downside = sqrt(sum(min(value, 0) ** 2 for value in r) / 4)
    assert found["sortino"] == pytest.approx(mean(r) / downside * sqrt(252))
    assert figures["risk"]["calmar"] == pytest.approx(found["cagr"] / (42.54 / 1010.78))
    assert figures["risk"]["recovery_factor"] == pytest.approx(-31.76 / 42.54)
    assert figures["risk"]["var_95"] == pytest.approx(-float(np.quantile(r, 0.05)))


def test_drawdown_over_every_point_mes_metric_04(figures: dict[str, dict]) -> None:
    found = figures["drawdown"]
    assert found["usd"] == "42.540000"
    assert found["pct"] == pytest.approx(100 * 42.54 / 1010.78)
    assert found["pct_from"] == "2026-03-03T20:50:01Z", "the last row at the peak"
    assert found["pct_at"] == "2026-03-06T15:00:03Z"
    assert found["recovered"] is False and found["duration_sessions"] == 3
    assert found["duration_s"] == 2 * 86_400 + 18 * 3600 + 15 * 60


def test_trades_consistency_and_costs(figures: dict[str, dict]) -> None:
    trades = figures["trades"]
    assert (trades["count"], trades["wins"], trades["losses"], trades["zeros"]) == (13, 3, 10, 0)
    assert trades["profit_factor"] == pytest.approx(WON / LOST)
    assert trades["expectancy"] == pytest.approx(-31.76 / 13)
    assert trades["streaks"] == {"wins": 2, "losses": 5}
    assert figures["consistency"]["winning_days"] == 0.25
    assert (figures["consistency"]["best_day"], figures["consistency"]["worst_day"]) == pytest.approx((8.69, -32.52))
    assert figures["consistency"]["worst_day_pct"] == pytest.approx(-100 * 32.52 / 1008.69)
    costs = figures["costs"]
    assert (costs["commission"], costs["slippage"], costs["cost"]) == ("11.760000", "32.500000", "44.260000")
    assert costs["pct_of_gross"] == pytest.approx(100 * 44.26 / 42.5)


def test_what_is_not_defined_is_null_with_its_reason() -> None:
    """A run without a trade: no number stands in for one."""
    flat = [Bar(at("2026-03-03", "10:00:00") + k * S, 10, 10, 10, 10, 1) for k in range(5)]
    figures = summary.metrics(through_loop(shipped(), flat)[1])
    assert figures["returns"]["sharpe"] is None and figures["trades"]["win_rate"] is None
    assert figures["risk"]["calmar"] is None and figures["costs"]["per_trade"] is None
    assert {"sharpe", "sortino", "calmar", "win_rate", "profit_factor", "expectancy"} <= set(figures["undefined"])
    assert figures["drawdown"]["recovered"] is True and figures["drawdown"]["pct"] is None


def test_the_loops_drawdown_is_that_of_every_point_of_the_curve_mes_metric_04(worked: Result) -> None:
    """The loop counts while it goes; research walks the whole curve afterwards."""
    for result in [worked, *map(drawn, range(8))]:
        trades, days = summary.arrays_of(result)
        points = result.points
        whole = measure(trades, days, Curve(points["ts_ns"].copy(), points["equity_micros"].copy()))
        found = summary.drawdown_of(result, days)
        assert found._replace(average=whole.drawdown.average) == whole.drawdown
        if found.average.value is not None:
            assert found.average.value == pytest.approx(whole.drawdown.average.value)


def drawn(seed: int) -> Result:
    rules, schedule, _, bars = draw(seed, 400)
    return through_loop(plan_with(rules, schedule), bars)[1]


def test_a_day_beyond_its_limit_is_listed_mes_break_05() -> None:
    bars = """
    2026-03-03
    10:00:00    0   0   0   0  +1 .72
    10:00:01    0   0   0   0
    10:00:02  -60 -60 -60 -60
    """
    told = summary.warnings(through_loop(shipped(), bars_of(bars))[1], 0, {})
    assert "20260303 lost 78.340000, more than the daily limit of 50.000000 and the last exit's slippage" in told


def test_the_curve_is_written_point_by_point_mes_bt_26(worked: Result) -> None:
    """However many points have the same words."""
    lines = outputs.equity_csv(worked).splitlines()
    assert lines[0] == ",".join(outputs.EQUITY_COLUMNS) and len(lines) == len(worked.points) + 1
    for line, p in zip(lines[1:], worked.points, strict=True):
        equity, balance, peak = int(p.equity_micros), int(p.balance_micros), int(p.peak_micros)
        values = (equity, balance, equity - balance, peak - equity)
        money = ",".join(f"{Decimal(micros) / 10**6:.6f}" for micros in values)
        when = np.datetime64(int(p.ts_ns) // NANOS, "s")
        assert line == f"{when}Z,{money},{100 * (peak - equity) / peak:.6f},{p.position},{LABELS[int(p.status)]}"
    nothing = worked._replace(points=worked.points[:0])
    assert outputs.equity_csv(nothing).splitlines() == lines[:1]


def test_the_estimate_of_the_curve_is_near_what_it_takes_mes_mem_01(worked: Result) -> None:
    """From the loop's parts to the bytes of the file: never more than estimated, and no less than two thirds of it."""
    some = np.tile(worked.points, -(-30_000 // len(worked.points)))
    some["equity_micros"] -= np.arange(len(some))  # no two points alike: equal words would be written once
    tracemalloc.start()
    try:
        parts = [some.copy()]
        text = outputs.equity_csv(worked._replace(points=np.concatenate(parts)))
        encoded = text.encode()
        peak = tracemalloc.get_traced_memory()[1] / len(some)
    finally:
        tracemalloc.stop()
    assert encoded.count(b"\n") == len(some) + 1
    assert peak <= outputs.POINT_BYTES <= 1.5 * peak, peak


@pytest.mark.parametrize("sample", ["bar", "minute", "day"])
def test_no_curve_has_more_points_than_estimated_mes_mem_01(sample: str) -> None:
    plan = replace(example(shipped()), equity_sample=sample)
    bars = bars_of(BARS)
    result = through_loop(plan, bars)[1]
    calendar = Calendar.between(bars[0].start, bars[-1].start)
    most = outputs.curve_bytes(plan, calendar)(len(bars), S) // outputs.POINT_BYTES
    assert len(result.points) + len(result.days) <= most


@pytest.mark.parametrize(
    ("rows", "bar_ns", "points"),
    [(3600, S, 82_800), (10, S, 3010), (1380, 0, 1380), (5000, 0, 82_800), (276, 300 * S, 276)],
)
def test_carried_rows_count_where_bars_are_of_one_second_mes_data_20(rows: int, bar_ns: int, points: int) -> None:
    """Minutes are never taken for seconds, told or not: a day of them would be refused for sixty times its memory."""
    start = at("2026-03-03", "10:00:00")
    calendar = Calendar.between(start, start)
    found = outputs.curve_bytes(shipped(), calendar)(rows, bar_ns) // outputs.POINT_BYTES
    assert (len(calendar.sessions), found) == (1, points + 1)


def test_a_curve_that_does_not_fit_is_refused_before_anything_is_read_mes_mem_04(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("timestamp,open,high,low,close,volume\n" + "2026-03-03T15:00:00Z,1,1,1,1,1\n" * 2000)
    start = at("2026-03-03", "10:00:00")
    given = (path, INSTRUMENTS["MES"], parse_options({"bar_s": "1"}), strategy_of("column"))
    source = BarSource(*given, from_ns=start, to_ns=start + 10**15, room=Available(40 << 20, 1 << 30, "host"))
    rows, alone, _ = source.estimate()
    assert rows == 2000
    with pytest.raises(MemoryRefused, match="one chunk of bars and the curve do not fit"):
        source.estimate(outputs.curve_bytes(shipped(), Calendar.between(start, start)))
    minutes = outputs.curve_bytes(shipped(sample="minute"), Calendar.between(start, start))
    assert source.estimate(minutes)[1] == alone + minutes(2000, S)


def test_a_fall_from_the_peak_beyond_its_limit_is_listed_mes_break_05() -> None:
    """One contract through its stop: what it lost is said beside what is beyond the limit."""
    bars = """
    2026-03-03
    10:00:00    0   0   0   0  +1 .72
    10:00:01    0   0   0   0
    10:00:02  -60 -60 -60 -60
    """
    plan = shipped()
    near = replace(plan, limits=plan.limits | {"drawdown_micros_max": 50_000_000})
    lines = summary.warnings(through_loop(near, bars_of(bars))[1], 0, {})
    (told,) = [line for line in lines if "from its peak, " in line]
    assert told == (
        "2026-03-03T15:00:03Z the balance fell 78.340000 from its peak, 28.340000 beyond the limit;"
        " the last trade lost 78.340000"
    )
    wide = summary.warnings(through_loop(plan, bars_of(bars))[1], 0, {})
    assert not [line for line in wide if "from its peak, " in line]


def test_no_fall_exceeds_its_limit_by_more_than_one_trade_mes_break_05() -> None:
    """Random runs: what is beyond the limit is the last trade's, for the hold that it raises ends trading."""
    listed = [line for seed in range(8) for line in summary.warnings(drawn(seed), 0, {}) if "from its peak, " in line]
    assert all("more than that trade" not in line for line in listed)


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({"stop_ticks": 8, "target_ticks": 16}, 0.3334, 0.387),
        ({"stop_ticks": 8, "target_ticks": 0, "target_ratio_ppm": 3_000_000}, 0.25, 0.293),
        ({"stop_ticks": 8, "target_ticks": 8, "bracket_anchor": 1}, 0.5, 0.628),
        ({"target_ticks": 0, "target_ratio_ppm": 0}, None, None),
        ({"stop_method": 1}, None, None),
    ],
    ids=["fixed", "ratio", "from the signal", "no target", "moving stop"],
)
def test_the_win_rate_that_a_bracket_needs_is_told_mes_cost_05(
    changes: dict[str, int], before: float | None, after: float | None
) -> None:
    plan = shipped()
    values = breakeven.break_even(replace(plan, limits=plan.limits | changes))
    told = breakeven.spoken(values, 0.4)
    if after is None:
        assert values["after"] is None and values["why"] and values["why"].lower() in told
    else:
        assert (values["before"], values["after"]) == pytest.approx((before, after), abs=5e-4)
        assert f"{100 * after:.1f} % won after costs" in told and "40.0 % won" in told
