"""Many families through the overfit rows, counted: how much noise gets through, and how much of a true edge is kept."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tests.research.noise.families import World, family, subject_of
from trading.research.criticism import OVERFIT_ROWS, overfit_rows
from trading.research.metrics import sharpe_ratio
from trading.research.records import daily_returns


class Count(NamedTuple):
    """`passed`: families that passed all rows; `by_row`: those that passed each; `sharpe`: mean annual Sharpe of the
    chosen ones, in sample."""

    families: int
    passed: int
    by_row: dict[str, int]
    sharpe: float

    @property
    def share(self) -> float:
        return self.passed / self.families


def run(world: World, families: int, seed: int) -> Count:
    passed, by_row, sharpes = 0, Counter[str](), 0.0
    for sharpe, row_states in _judged(world, families, seed):
        sharpes += sharpe
        passed += all(row_states.values())
        by_row.update(name for name, stands in row_states.items() if stands)
    return Count(families, passed, {name: by_row[name] for name in OVERFIT_ROWS}, sharpes / families)


def _judged(world: World, families: int, seed: int) -> Iterator[tuple[float, dict[str, bool]]]:
    for k in range(families):
        subject = subject_of(family(world, seed + k))
        rows = overfit_rows(subject)
        assert tuple(row.name for row in rows) == OVERFIT_ROWS
        yield sharpe_ratio(daily_returns(subject.days)[0]).value or 0.0, {row.name: row.passed for row in rows}
