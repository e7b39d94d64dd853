"""Intervals and the smallest edge (MES-METRIC-13): closed forms, coverage on known worlds, seeds, too small samples."""

from statistics import NormalDist

import numpy as np
import pytest

from trading.research import intervals
from trading.research.intervals import (
    clustered_error,
    day_weights,
    detectable_edge,
    detectable_sharpe,
    mean_net_interval,
    sharpe_interval,
    stationary_indices,
)


def days_of_trades(rng: np.random.Generator, days: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
    """(net micros, session): 0 to 6 trades a day that share the day's luck."""
    counts = rng.integers(0, 7, days)
    session = np.repeat(np.arange(days), counts)
    luck = rng.normal(0, 3e6, days)[session]
    return (mean + luck + rng.normal(0, 5e6, len(session))).round().astype(np.int64), session


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly_so_mes_metric_13() -> None:
    net, session = days_of_trades(np.random.default_rng(3), 250, 1e6)
    first, again, other = (mean_net_interval(net, session, 250, seed=seed) for seed in (1, 1, 2))
    assert first == again and first != other
    assert first.low is not None and other.low is not None and first.high is not None
    assert abs(first.low - other.low) < 0.2 * (first.high - first.low)


def test_the_interval_is_as_wide_as_the_clustered_error_says() -> None:
    net, session = days_of_trades(np.random.default_rng(4), 500, 1e6)
    found = mean_net_interval(net, session, 500, draws=4_000)
    error = clustered_error(net, session, 500).value
    assert error is not None and found.low is not None and found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.08)
    assert error > 1.2 * net.std(ddof=1) / np.sqrt(len(net))  # trades by themselves would look surer than they are


def test_one_trade_a_day_has_the_textbook_error() -> None:
    net = np.random.default_rng(5).integers(-9_000_000, 9_000_000, 300)
    error = clustered_error(net, np.arange(300), 300).value
    assert error == pytest.approx(net.std(ddof=1) / np.sqrt(300))


def test_the_clustered_error_by_hand() -> None:
    """Days of 1, 3 and 2 trades with sums 2, 24, 4 and a mean of 5: off by -3, 9, -6, so √(3/2 · 126) / 6."""
    net, session = np.array([2, 7, 8, 9, 1, 3]), np.array([0, 1, 1, 1, 2, 2])
    assert clustered_error(net, session, 3).value == pytest.approx(np.sqrt(1.5 * 126) / 6)
    assert clustered_error(np.full(6, 5), session, 3).value == 0.0  # equal trades are sure, however many a day


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """400 worlds with a true mean of $1: 95 % intervals hold it in 91 to 98 % of them (the sample is small)."""
    rng, held = np.random.default_rng(6), 0
    for _ in range(400):
        net, session = days_of_trades(rng, 80, 1e6)
        found = mean_net_interval(net, session, 80, draws=300, seed=int(rng.integers(1 << 30)))
        assert found.low is not None and found.high is not None
        held += found.low <= 1e6 <= found.high
    assert 0.91 <= held / 400 <= 0.98


def test_the_interval_of_sharpe_agrees_with_lo_2002() -> None:
    """Independent normal returns: the error of an annual Sharpe is sqrt((1 + SR²/2) x 252 / D), SR per day."""
    returns = np.random.default_rng(7).normal(0.001, 0.01, 1_000)
    found = sharpe_interval(returns, draws=3_000)
    assert found.value.value is not None and found.low is not None and found.high is not None
    daily = found.value.value / np.sqrt(252)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt((1 + daily**2 / 2) * 252 / 1_000), rel=0.08)


def test_blocks_widen_the_interval_of_returns_that_hang_together() -> None:
    rng = np.random.default_rng(8)
    returns = np.convolve(rng.normal(0.0003, 0.01, 1_010), np.ones(10) / 10, "valid")
    alone, blocks = sharpe_interval(returns), sharpe_interval(returns, mean_block=20.0)
    assert alone.low is not None and alone.high is not None and blocks.low is not None and blocks.high is not None
    assert blocks.high - blocks.low > 1.8 * (alone.high - alone.low)


@pytest.mark.parametrize("mean_block", [1.0, 5.0, 20.0])
def test_the_stationary_bootstrap_has_the_blocks_it_names(mean_block: float) -> None:
    """Politis, Romano 1994: successors follow with probability 1 - 1/L, every element is as likely as any other."""
    n, draws = 50, 4_000
    found = stationary_indices(np.random.default_rng(9), n, mean_block, draws)
    assert found.shape == (draws, n) and found.min() >= 0 and found.max() < n
    follows = ((found[:, 1:] - found[:, :-1]) % n == 1).mean()
    expected = 1 - 1 / mean_block + 1 / mean_block / n  # a new block may begin right behind the old one, too
    assert follows == pytest.approx(expected, abs=0.01)
    shares = np.bincount(found.ravel(), minlength=n) / found.size
    assert shares.min() > 0.8 / n and shares.max() < 1.2 / n


def test_weights_of_days_add_up_to_the_days() -> None:
    weights = day_weights(np.random.default_rng(11), 30, 500)
    assert weights.shape == (500, 30) and (weights.sum(axis=1) == 30).all()
    assert weights.mean() == 1.0


def test_the_smallest_edge_is_found_with_the_power_it_promises_mes_metric_13() -> None:
    """Worlds whose true mean is the detectable edge: a two-sided 5 % test finds it in 80 % of them (74 to 86 here)."""
    rng = np.random.default_rng(12)
    net, session = days_of_trades(rng, 400, 0)
    edge = detectable_edge(net, session, 400).value
    assert edge is not None
    found = 0
    for _ in range(400):
        net, session = days_of_trades(rng, 400, edge)
        error = clustered_error(net, session, 400).value
        assert error is not None
        found += bool(abs(net.mean() / error) > NormalDist().inv_cdf(0.975))
    assert 0.74 <= found / 400 <= 0.88


def test_four_times_the_days_halve_the_smallest_sharpe() -> None:
    year, four = detectable_sharpe(252).value, detectable_sharpe(1_008).value
    assert year == pytest.approx(1.959964 + 0.841621, abs=1e-5) and four == pytest.approx((year or 0) / 2)
    assert detectable_sharpe(1).value is None


def test_samples_that_are_too_small_have_no_interval() -> None:
    none = mean_net_interval(np.array([], np.int64), np.array([], np.int64), 10)
    assert none.value.value is None and none.low is None
    one_day = mean_net_interval(np.array([5, 7]), np.array([3, 3]), 10)
    assert one_day.value.value == 6 and one_day.low is None and "one day" in one_day.why
    rare = mean_net_interval(np.array([5, 7]), np.array([3, 90]), 100)  # 14 % of the draws hold neither day
    assert rare.low is None and "left it undefined" in rare.why
    assert sharpe_interval(np.array([0.01])).low is None
    assert sharpe_interval(np.full(30, 0.01)).low is None
    assert clustered_error(np.array([5]), np.array([0]), 1).value is None
    assert detectable_edge(np.array([], np.int64), np.array([], np.int64), 5).value is None


def test_large_samples_are_drawn_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = np.random.default_rng(13).normal(0.001, 0.01, 300)
    monkeypatch.setattr(intervals, "CELLS_MAX", 7 * 300)
    found = sharpe_interval(returns, draws=100)
    assert found.draws == 100 and found.low is not None
