"""Probabilistic and deflated Sharpe (MES-GUARD-02): published figures, closed forms, worlds without an edge."""

import math
import statistics
from statistics import NormalDist

import numpy as np
import pytest

from trading.research.luck.sharpe import (
    days_needed,
    deflated_sharpe,
    expected_best,
    probabilistic_sharpe,
    probability_above,
    shape,
)
from trading.research.metrics import sharpe_ratio


def test_the_example_of_the_deflated_sharpe_paper_mes_guard_02() -> None:
    """Bailey, López de Prado 2014: annual SR 2.5, variance of the trials ½, 250 days a year, five years, skewness -3,
    kurtosis 10.  100 trials: SR0 = 0.1132 a day and DSR = 0.9004; 46 trials would have given 0.9505."""
    deviation = math.sqrt(0.5 / 250)
    assert expected_best(deviation, 100) == pytest.approx(0.1132, abs=5e-5)
    for trials, published in ((100, 0.9004), (46, 0.9505)):
        found = probability_above(2.5 / math.sqrt(250), expected_best(deviation, trials), 1_250, -3, 10)
        assert found.value == pytest.approx(published, abs=1e-4)


def test_normal_returns_have_the_textbook_t_test() -> None:
    """With skewness 0 and kurtosis 3 the error is √(1 + SR²/2) (Lo 2002)."""
    found = probability_above(0.1, 0.0, 253, 0.0, 3.0)
    assert found.value == pytest.approx(NormalDist().cdf(0.1 * math.sqrt(252) / math.sqrt(1 + 0.01 / 2)))


def test_the_expected_best_agrees_with_simulated_bests() -> None:
    rng = np.random.default_rng(1)
    for trials in (10, 100, 1_000):
        best = rng.normal(0, 1, (4_000, trials)).max(axis=1).mean()
        assert expected_best(1.0, trials) == pytest.approx(best, rel=0.03)
    assert expected_best(1.0, 1) == 0.0
    assert expected_best(1.0, 2) < expected_best(1.0, 20) < expected_best(1.0, 20_000)


def test_an_undefined_sharpe_counts_as_zero_and_every_trial_counts() -> None:
    returns = np.random.default_rng(2).normal(0.002, 0.01, 250)
    own = sharpe_ratio(returns, 1).value
    assert own is not None
    with_failed = deflated_sharpe(returns, np.array([own, np.nan, np.nan, 0.05]))
    assert with_failed == deflated_sharpe(returns, np.array([own, 0.0, 0.0, 0.05]))
    assert with_failed.trials == 4
    assert with_failed.hurdle == pytest.approx(expected_best(statistics.stdev([own, 0.0, 0.0, 0.05]), 4))
    few = deflated_sharpe(returns, np.array([own, 0.0]))
    many = deflated_sharpe(returns, np.array([own] + [0.0, own] * 50))
    assert few.hurdle < many.hurdle


def test_one_trial_is_not_deflated() -> None:
    returns = np.random.default_rng(3).normal(0.001, 0.01, 250)
    found = deflated_sharpe(returns, np.array([0.1]))
    assert found.hurdle == 0.0 and found.probability == probabilistic_sharpe(returns)


def test_the_probability_is_uniform_where_there_is_no_edge() -> None:
    """2,000 normal worlds of 250 days: each tenth of the probabilities holds a tenth of them, so 5 % exceed 0.95."""
    worlds = np.random.default_rng(4).normal(0, 0.01, (2_000, 250))
    found = np.array([probabilistic_sharpe(world).value for world in worlds], np.float64)
    assert 0.035 <= (found >= 0.95).mean() <= 0.065
    assert np.histogram(found, 10, (0, 1))[0] / 2_000 == pytest.approx(0.1, abs=0.03)


def test_moments_by_hand() -> None:
    """1, 2, 3, 10: mean 4, deviations -3 -2 -1 6, second moment 12.5, third 45, fourth 348.5."""
    skewness, kurtosis = shape(np.array([1.0, 2.0, 3.0, 10.0]))
    assert skewness == pytest.approx(45 / 12.5**1.5) and kurtosis == pytest.approx(348.5 / 12.5**2)
    tiny = shape(np.array([1.0, 2.0, 3.0, 10.0]) * 1e-150)
    assert tiny == pytest.approx((skewness, kurtosis))


def test_what_cannot_be_said_is_undefined() -> None:
    assert probabilistic_sharpe(np.array([0.01])).value is None
    assert probabilistic_sharpe(np.full(20, 0.01)).value is None
    assert deflated_sharpe(np.full(20, 0.01), np.array([0.0, 0.1])).probability.value is None
    assert days_needed(np.array([-0.01, 0.005])).value is None


def test_two_valued_returns_have_a_sharpe_without_an_error() -> None:
    """Skewness 2 and kurtosis 5, the least that goes with it, at a Sharpe of 1: the error is zero, and the guard says
    so instead of dividing by it."""
    assert probability_above(1.0, 0.0, 100, 2.0, 5.0).value is None  # 1 - 2 + 1 = 0


def test_a_record_of_the_minimum_length_has_exactly_the_level() -> None:
    returns = np.random.default_rng(5).normal(0.002, 0.01, 250)
    needed = days_needed(returns).value
    sharpe = sharpe_ratio(returns, 1).value
    assert needed is not None and sharpe is not None
    z = sharpe * math.sqrt(needed - 1) / math.sqrt(_variance(returns, sharpe))
    assert NormalDist().cdf(z) == pytest.approx(0.95)


def _variance(returns: np.ndarray, sharpe: float) -> float:
    skewness, kurtosis = shape(returns)
    return 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
