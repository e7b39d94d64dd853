"""Every figure of MES-METRIC: by hand on five days, against plain Python on random runs, and where undefined."""

import itertools
import json
import statistics
from fractions import Fraction
from math import sqrt

import numpy as np
import pytest

from tests.research.kit import DOLLAR, booked, closes, int64, some_days, some_trades
from trading.research import metrics
from trading.research.figures import Figure
from trading.research.records import Curve, Days, ResearchError, Trades, daily_returns, total

# closes of five sessions that start at $1,000: returns 1 %, -10/1010, 1.5 %, 0, 15/1015
WEEK = [value * DOLLAR for value in (1_010, 1_000, 1_015, 1_015, 1_030)]


def value(found: Figure) -> float:
    assert found.value is not None, found.why
    return found.value


@pytest.fixture(scope="module")
def week() -> metrics.Metrics:
    days = some_days(WEEK)
    return metrics.measure(some_trades([], []), days, closes(days))


def test_the_sharpe_of_five_days_equals_the_hand_calculation_mes_metric_02(week: metrics.Metrics) -> None:
    """MES-ACC-10.8: mean 0.0059755, deviation 0.0107575, their ratio x sqrt(252)."""
    assert value(week.returns.sharpe) == pytest.approx(8.8178, abs=5e-4)


def test_the_week_by_hand(week: metrics.Metrics) -> None:
    """MES-METRIC-01, MES-METRIC-03, MES-METRIC-05, MES-METRIC-06."""
    assert value(week.returns.total) == 0.03
    assert value(week.returns.cagr) == pytest.approx(3.4361, abs=1e-3)  # 1.03^50.4 - 1
    assert value(week.returns.monthly_mean) == pytest.approx(0.1254848, abs=1e-7)
    assert value(week.returns.sortino) == pytest.approx(21.423, abs=1e-3)  # 0.0059755 / (0.00990099 / sqrt 5)
    assert value(week.risk.var_95) == pytest.approx(0.8 * 10 / 1010)  # a fifth of the way from the worst to 0
    assert value(week.risk.var_99) == pytest.approx(0.96 * 10 / 1010)
    assert value(week.risk.recovery_factor) == 3.0
    assert value(week.risk.calmar) == pytest.approx(value(week.returns.cagr) * 101)


def test_the_weeks_best_and_worst_day_are_shares_of_their_own_opening_mes_metric_11(week: metrics.Metrics) -> None:
    days = week.consistency
    assert (value(days.best_day_micros), value(days.worst_day_micros)) == (15 * DOLLAR, -10 * DOLLAR)
    assert value(days.best_day) == 0.015 and value(days.worst_day) == -10 / 1010
    assert days.winning_days == Figure(None, metrics.NO_TRADES)


def test_trades_by_hand() -> None:
    """MES-METRIC-07, MES-METRIC-08, MES-METRIC-09, MES-METRIC-10, MES-METRIC-12: nine trades over three days."""
    nets = [[12_410_000, 0, 5_000_000], [-10_840_000, -2_090_000, 0, -3_000_000], [6_000_000, -1_000_000]]
    trades, days = booked(nets, risk=10_000_000)
    found = metrics.measure(trades, days, closes(days))
    figures = found.trades
    assert (figures.trades, figures.wins, figures.losses, figures.zeros) == (9, 3, 4, 2)
    assert figures.net_micros == 6_480_000 == days.end_micros - days.start_micros
    assert value(figures.win_rate) == 3 / 9
    assert value(figures.profit_factor) == 23_410_000 / 16_930_000
    assert value(figures.expectancy_micros) == 720_000
    assert value(figures.expectancy_r) == pytest.approx(0.072)
    assert value(figures.mean_win_micros) == 23_410_000 / 3 and value(figures.mean_loss_micros) == -16_930_000 / 4
    assert (figures.longest_wins, figures.longest_losses) == (2, 3)
    assert value(found.consistency.winning_days) == 2 / 3 and found.consistency.days_with_trades == 3
    assert (found.costs.commission_micros, found.costs.slippage_micros) == (9 * 840_000, 9 * 1_250_000)
    assert value(found.costs.per_trade_micros) == 2_090_000
    gross = 12_410_000 + 5_000_000 + 6_000_000 + 5 * 840_000  # winners, and the two zeros before commission
    assert value(found.costs.of_positive_gross) == 9 * 2_090_000 / gross


def test_a_day_whose_trades_cancel_out_is_not_a_winning_day_mes_metric_11() -> None:
    trades, days = booked([[3_000_000, -3_000_000], [1_000_000], [], [-1_000_000]])
    assert value(metrics.consistency(trades, days).winning_days) == 1 / 3


def test_exit_reasons_are_counted_mes_bt_21() -> None:
    trades = some_trades([1, 2, 3], [10, 20, 30], reasons=["stop", "target", "stop"])
    assert metrics.trade_figures(trades).exit_reasons == {"stop": 2, "target": 1}


def test_random_runs_equal_plain_python() -> None:
    """An independent reference with fractions and the statistics module, on 60 seeded runs."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(0, 4, int(rng.integers(2, 40)))
        nets = [[int(x) * 10_000 for x in rng.integers(-900, 1_000, size)] for size in sizes]
        trades, days = booked(nets)
        found = metrics.measure(trades, days, closes(days))
        equity = [days.start_micros]
        for day in nets:
            equity.append(equity[-1] + sum(day))
        returns = [float(Fraction(b - a, a)) for a, b in itertools.pairwise(equity)]
        check_close(found.returns.sharpe, _sharpe(returns))
        below = [min(r, 0.0) ** 2 for r in returns]
        check_close(found.returns.sortino, statistics.fmean(returns) / sqrt(statistics.fmean(below)) * sqrt(252)
                    if any(below) else None)  # fmt: skip
        flat = [net for day in nets for net in day]
        lost = -sum(net for net in flat if net < 0)
        check_close(found.trades.profit_factor, sum(net for net in flat if net > 0) / lost if lost else None)
        check_close(found.trades.expectancy_micros, statistics.fmean(flat) if flat else None)
        assert (found.trades.longest_wins, found.trades.longest_losses) == (_run(flat, 1), _run(flat, -1))
        traded = [sum(day) for day in nets if day]
        check_close(found.consistency.winning_days, sum(x > 0 for x in traded) / len(traded) if traded else None)


def check_close(found: Figure, expected: float | None) -> None:
    assert (found.value is None) == (expected is None), found
    if expected is not None:
        assert found.value == pytest.approx(expected, rel=1e-9, abs=1e-12)


def _sharpe(returns: list[float]) -> float | None:
    if len(returns) < 2 or len(set(returns)) == 1:
        return None
    return statistics.fmean(returns) / statistics.stdev(returns) * sqrt(252)


def _run(nets: list[int], sign: int) -> int:
    longest = run = 0
    for net in nets:
        if net * sign > 0:
            run += 1
        elif net != 0:
            run = 0
        longest = max(longest, run)
    return longest


@pytest.mark.parametrize(
    ("equity", "name", "why"),
    [
        ([], "sharpe", metrics.NO_SESSIONS),
        ([1_010 * DOLLAR], "sharpe", metrics.TWO_SESSIONS),
        ([1_000 * DOLLAR] * 5, "sharpe", metrics.NO_VARIANCE),
        ([1_010 * DOLLAR, 1_020 * DOLLAR], "sortino", "No session lost"),
        ([0, 5 * DOLLAR], "sharpe", "The account's equity was not positive"),
        ([-5 * DOLLAR, 5 * DOLLAR], "monthly_mean", "The account's equity was not positive"),
    ],
)
def test_what_is_undefined_says_why(equity: list[int], name: str, why: str) -> None:
    found = getattr(metrics.returns_of(some_days(equity)), name)
    assert found.value is None and found.why.startswith(why)


def test_an_account_that_ends_at_nothing_has_lost_all_mes_metric_01() -> None:
    assert metrics.returns_of(some_days([500 * DOLLAR, 0])).cagr == Figure(-1.0)
    assert metrics.returns_of(some_days([500 * DOLLAR, -3 * DOLLAR])).cagr == Figure(-1.0)
    assert metrics.returns_of(some_days([500 * DOLLAR, -3 * DOLLAR])).total == Figure(-1.003)


def test_a_run_without_trades_has_figures_that_say_so() -> None:
    days = some_days([1_000 * DOLLAR] * 3)
    found = metrics.measure(some_trades([], []), days, closes(days))
    for name in ("win_rate", "profit_factor", "expectancy_micros", "expectancy_r", "bars_held_mean"):
        assert getattr(found.trades, name) == Figure(None, metrics.NO_TRADES)
    assert found.risk.calmar.value is None and "never fell" in found.risk.calmar.why
    assert found.risk.var_95 == Figure(0.0)
    assert value(found.returns.cagr) == 0.0


def test_one_trade_has_a_rate_but_no_factor() -> None:
    figures = metrics.trade_figures(some_trades([5_000_000], [10]))
    assert value(figures.win_rate) == 1.0 and value(figures.expectancy_micros) == 4_160_000
    assert figures.profit_factor == Figure(None, "No trade lost")
    assert figures.expectancy_r.value is None and "no known initial risk" in figures.expectancy_r.why


def test_a_summary_is_json_without_nan() -> None:
    days = some_days(WEEK)
    text = json.dumps(metrics.plain(metrics.measure(some_trades([], []), days, closes(days))), allow_nan=False)
    assert json.loads(text)["trades"]["win_rate"] == {"value": None, "why": metrics.NO_TRADES}
    assert json.loads(text)["returns"]["total"] == 0.03


def test_sums_beyond_64_bits_stay_exact() -> None:
    huge = int64(*[2**53] * 2_000)
    assert total(huge) == 2_000 * 2**53


def test_an_unchanged_equity_is_a_return_of_exactly_zero() -> None:
    returns, why = daily_returns(some_days([333_333_333, 333_333_333, 333_333_334]))
    assert why == "" and returns[1] == 0.0 and returns[2] > 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gross_micros": np.array([1.0, 2.0])}, "int64 is needed"),
        ({"gross_micros": int64(1)}, "shape"),
        ({"commission_micros": int64(1, -1)}, "never negative"),
        ({"exit_ns": int64(20, 10)}, "order of their exits"),
        ({"entry_ns": int64(11, 0)}, "ends before it begins"),
        ({"gross_micros": int64(2**54, 1)}, "beyond"),
        ({"exit_reason": ["stop"]}, "exit_reason has 1"),
    ],
)
def test_trades_that_contradict_themselves_are_refused(change: dict, says: str) -> None:
    good = {
        "gross_micros": int64(1, 2), "commission_micros": int64(1, 1), "slippage_micros": int64(0, 0),
        "entry_ns": int64(0, 0), "exit_ns": int64(10, 20), "bars_held": int64(1, 1), "exit_reason": ["stop", "stop"],
        "risk_micros": int64(0, 0),
    }  # fmt: skip
    assert len(Trades(**good)) == 2  # type: ignore[arg-type]
    with pytest.raises(ResearchError, match=says):
        Trades(**(good | change))


def test_days_and_points_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ResearchError, match="starting capital"):
        some_days([1], start=0)
    with pytest.raises(ResearchError, match="does not ascend"):
        Days(0, 1, int64(20240102, 20240101), int64(10, 20), int64(1, 1))
    with pytest.raises(ResearchError, match="time order"):
        Curve(int64(2, 1), int64(1, 1))
    days = some_days(WEEK)
    late = some_trades([1], [int(days.close_ns[-1]) + 1])
    with pytest.raises(ResearchError, match="outside the period"):
        metrics.measure(late, days, closes(days))
