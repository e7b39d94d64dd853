"""Importance and heat map of a search, by hand: what one parameter explains, what two do, and what is not known."""

import numpy as np
import pytest

from trading.research.search.landscape import NOWHERE, Cell, codes_of, plane, weight

NAN = float("nan")


def test_a_parameter_that_decides_all_explains_all_and_one_that_decides_nothing_nothing() -> None:
    decides, idle = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 1])
    scores = np.array([1.0, 1.0, 2.0, 2.0, 6.0, 6.0])
    assert weight(decides, scores).share == pytest.approx(1.0)
    assert weight(idle, scores).share == 0.0, "corrected for the number of its values, and never below zero"


def test_the_share_is_epsilon_squared_by_hand() -> None:
    """Groups {1, 3} and {5, 9}: SST 35, SSB 25, SSW 10, so (25 - 10 / 2) / 35."""
    found = weight(np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 5.0, 9.0]))
    assert found.share == pytest.approx(20 / 35) and (found.values, found.trials) == (2, 4)


def test_what_cannot_be_told_has_its_reason() -> None:
    one, two = np.array([0, 0]), np.array([0, 1])
    assert weight(one, np.array([1.0, 2.0])).why.startswith("fewer than two of its values")
    assert weight(two, np.array([1.0, 2.0])).why == "no more feasible trials than values"
    assert weight(np.array([0, 1, 1]), np.array([1.0, 1.0, 1.0])).why == "all scores are the same"
    kept = weight(np.array([0, 0, 1, NOWHERE, 1]), np.array([1.0, 3.0, 5.0, 99.0, NAN]))
    assert kept.trials == 3, "infeasible trials, and those without the parameter, say nothing"


def test_noise_explains_nothing_on_average_however_many_values_it_has() -> None:
    rng = np.random.default_rng(5)
    shares = [weight(rng.integers(0, 20, 100), rng.normal(size=100)).share or 0.0 for _ in range(200)]
    assert np.mean(shares) < 0.05, "a plain share between groups would be 0.19"


def test_a_cell_has_the_best_of_its_trials_whatever_else_they_had() -> None:
    x, y = codes_of(["1", "1", "2", "2", None], ["1", "2"]), codes_of(["a", "a", "a", "b", "a"], ["a", "b"])
    cells = plane(x, y, np.array([1.0, 4.0, NAN, 2.0, 9.0]), (2, 2))
    assert cells == [[Cell(4.0, 2, 2), Cell(None, 0, 1)], [Cell(None, 0, 0), Cell(2.0, 1, 1)]]
