"""The plateau (MES-OPT-06): neighbours one step away, by hand and against a plain walk over random grids."""

from itertools import product

import numpy as np
import pytest

from trading.research.luck.plateau import ABSENT, Axis, plateau

STOP, TARGET = Axis("stop", 3), Axis("target", 4)
METHOD = Axis("method", 2, ordered=False)


def full(values: list[list[float | None]]) -> dict[tuple[int, ...], float | None]:
    return {(i, j): value for i, row in enumerate(values) for j, value in enumerate(row)}


def test_every_neighbour_keeps_seventy_percent_mes_opt_06() -> None:
    scores = full([[0.1, 1.5, 0.1, 0], [1.4, 2.0, 1.9, 0], [0, 1.6, 0, 0]])
    found = plateau((STOP, TARGET), (1, 1), scores)
    assert found.kept.value == 0.7  # 1.4 of 2.0: exactly the bound
    assert {(n.axis, n.step, n.score) for n in found.neighbours} == {
        ("stop", -1, 1.5), ("stop", 1, 1.6), ("target", -1, 1.4), ("target", 1, 1.9),
    }  # fmt: skip
    assert found.missing == ()


def test_the_edge_of_the_grid_has_no_neighbour_beyond() -> None:
    found = plateau((STOP, TARGET), (0, 3), full([[0, 0, 1.0, 1.0], [0, 0, 0, 0.9], [0, 0, 0, 0]]))
    assert len(found.neighbours) == 2 and found.kept.value == 0.9


def test_an_infeasible_neighbour_keeps_nothing() -> None:
    found = plateau((STOP,), (1,), {(0,): None, (1,): 1.0, (2,): 1.0})
    assert found.kept.value == 0.0


def test_a_neighbour_that_nobody_ran_is_named_not_forgiven() -> None:
    found = plateau((STOP, TARGET), (1, 1), {(1, 1): 1.0, (0, 1): 1.0, (1, 0): 1.0})
    assert found.kept.value is None and "never evaluated" in found.kept.why
    assert set(found.missing) == {(2, 1), (1, 2)}


@pytest.mark.parametrize("score", [0.0, -1.0, None])
def test_a_best_that_is_not_above_zero_is_no_plateau(score: float | None) -> None:
    assert plateau((STOP,), (1,), {(0,): score, (1,): score, (2,): score}).kept.value is None


def test_choices_and_absent_parameters_are_not_stepped() -> None:
    """A choice has no order; a parameter tied to another choice does not exist here (MES-OPT-01)."""
    axes = (METHOD, Axis("stop", 7), Axis("multiplier", 9))
    found = plateau(axes, (0, 3, ABSENT), {(0, 3, ABSENT): 1.0, (0, 2, ABSENT): 0.8, (0, 4, ABSENT): 0.9})
    assert [n.axis for n in found.neighbours] == ["stop", "stop"] and found.kept.value == 0.8
    alone = plateau((METHOD,), (0,), {(0,): 1.0, (1,): 0.1})
    assert not alone.applicable and alone.kept.value is None


def test_random_grids_equal_a_plain_walk() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        sizes = rng.integers(1, 5, 3).tolist()
        scores: dict[tuple[int, ...], float | None] = {
            point: float(rng.random()) for point in product(*(range(size) for size in sizes))
        }
        best = max(scores, key=lambda point: scores[point] or 0.0)
        near = [s for p, s in scores.items() if sum(abs(a - b) for a, b in zip(p, best, strict=True)) == 1]
        found = plateau([Axis(str(i), size) for i, size in enumerate(sizes)], best, scores)
        expected = min(s or 0.0 for s in near) / (scores[best] or 1.0) if near else None
        assert found.kept.value == expected and len(found.neighbours) == len(near)
