"""What a search proposes: seeded, points of the space, none twice, the same again after a kill (MES-OPT-02, -04)."""

import numpy as np
import pytest

from trading.research.luck.plateau import ABSENT, Point
from trading.research.search.combine import combined
from trading.research.search.methods import (
    ADAPTIVE,
    BATCH,
    BAYES,
    GRID,
    RANDOM,
    Seen,
    batch,
    best_of,
    planned,
)
from trading.research.search.space import Space, space_of

LEARN = (ADAPTIVE, BAYES)


def plane(n: int = 21) -> Space:
    return space_of({name: {"from": 1, "to": n, "step": 1} for name in ("strategy.a", "strategy.b")})


def tied() -> Space:
    return space_of(
        {
            "strategy.kind": ["slow", "fast"],
            "strategy.a": {"from": 1, "to": 9, "step": 1, "when": {"strategy.kind": "slow"}},
            "strategy.b": {"from": 1, "to": 9, "step": 1},
        }
    )


def hill(point: Point) -> float:
    """Highest at (15, 4), and the only points above 0 are near it."""
    return 100.0 - (point[0] - 15) ** 2 - (point[1] - 4) ** 2


def searched(space: Space, method: str, trials: int, seed: int = 1, cut: int = 0) -> list[Seen]:
    """A search as a study runs it; with `cut`, killed after so many trials of a batch and begun again."""
    seen: list[Seen] = []
    while len(seen) < trials:
        points = batch(space, method, seen, seed)
        if cut and len(seen) == BATCH:
            assert batch(space, method, seen, seed)[:cut] == points[:cut]
        if not points:
            break
        seen += [Seen(point, hill(point) if point[1] % 5 else None) for point in points]
    return seen[:trials]


def test_a_grid_is_every_point_once_and_one_above_its_cap_is_drawn_mes_opt_02() -> None:
    space = plane()
    assert planned(space, GRID, 441, 1) == list(space.points())
    drawn = planned(space, GRID, 100, 1)
    assert len(set(drawn)) == 100 and all(space.holds(point) for point in drawn)
    rows = [point[0] for point in drawn]
    assert min(rows) < 3 and max(rows) > 17, "drawn from all over, not cut off"


def test_more_random_trials_begin_with_the_same_ones() -> None:
    few, many = (planned(plane(), RANDOM, count, 5) for count in (50, 200))
    assert many[:50] == few and len(set(many)) == 200
    assert planned(plane(), RANDOM, 50, 6) != few
    assert set(planned(tied(), RANDOM, 1_000, 1)) == set(tied().points())
    nearly = planned(plane(4), RANDOM, 15, 1)
    assert len(set(nearly)) == 15, "all but one of 16"


@pytest.mark.parametrize("method", LEARN)
def test_a_search_that_learns_proposes_the_same_again_and_nothing_twice_mes_opt_04(method: str) -> None:
    for space in (plane(), tied()):
        first, second = (searched(space, method, 24, cut=cut) for cut in (0, 3))
        assert first == second
        assert len({item.point for item in first}) == 24 and all(space.holds(item.point) for item in first)
    assert searched(plane(), method, 16, seed=2) != searched(plane(), method, 16, seed=1)


@pytest.mark.parametrize("method", LEARN)
def test_a_search_that_learns_ends_with_the_space(method: str) -> None:
    found = searched(plane(4), method, 100)
    assert {item.point for item in found} == set(plane(4).points()) and len(found) == 16


@pytest.mark.parametrize("method", LEARN)
def test_learning_beats_drawing(method: str) -> None:
    """Of 441 points, three seeds: the mean of the best is nearer to the top than that of random draws."""
    trials = {ADAPTIVE: 80, BAYES: 48}[method]
    learned = [best_of(searched(plane(), method, trials, seed)) for seed in range(5)]
    drawn = [
        best_of([Seen(p, hill(p) if p[1] % 5 else None) for p in planned(plane(), RANDOM, trials, seed)])
        for seed in range(3)
    ]
    heights = [np.mean([item.score for item in found if item and item.score is not None]) for found in (learned, drawn)]
    assert heights[0] > heights[1]


def test_the_best_is_feasible_and_of_equals_the_first_of_the_space_mes_opt_03() -> None:
    seen = [Seen((2, 1), 1.0), Seen((1, 9), 1.0), Seen((0, 0), None), Seen((1, 2), 0.5)]
    assert best_of(seen) == Seen((1, 9), 1.0) == best_of(seen[::-1])
    assert best_of([Seen((0,), None)]) is None and best_of([Seen((0,), -3.0)]) == Seen((0,), -3.0)


def test_points_of_several_folds_become_one_mes_opt_05() -> None:
    """Median of those that have it, the less risky of two middles; the commonest choice; always a point."""
    space = space_of(
        {
            "risk.stop_method": ["fixed", "atr"],
            "risk.stop_ticks": {"from": 4, "to": 16, "step": 2, "when": {"risk.stop_method": "fixed"}},
            "risk.confidence_min": {"from": 60, "to": 85, "step": 5, "unit": "%"},
        }
    )
    folds = [(0, 1, 0), (0, 4, 3), (1, ABSENT, 2), (1, ABSENT, 5)]
    assert combined(space, folds) == (0, 2, 3), "1 and 4: 2, the lower limit; 2 and 3: 3, the higher confidence"
    assert combined(space, folds[2:]) == (1, ABSENT, 4) and combined(space, [folds[1]]) == folds[1]
    assert space.holds(combined(space, folds))
