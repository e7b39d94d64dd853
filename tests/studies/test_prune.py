"""Pruning by partial results: who goes on depends on scores alone; what is given up is counted (MES-OPT-04)."""

import sys
from pathlib import Path

import numpy as np
import pytest
from django.core.management.base import CommandError

from tests.studies.kit import optimise, walkforward, write_bars, write_strategy
from tests.studies.test_kill import results
from trading.research.search.halving import KEPT, PARTS, going_on, least_of
from trading.research.search.methods import Seen
from trading.run.search.judgement import sharpes_of
from trading.run.search.ledger import Ledger

WIDE = ["strategy.lookback=2..10/1", "strategy.threshold=2..4/1"]  # 27 points


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_study", raising=False)
    write_strategy(tmp_path)
    return write_bars(tmp_path / "bars.parquet", days=36, bars=100)


def test_the_best_third_goes_on_in_the_order_of_the_plan() -> None:
    seen = [Seen((k,), score) for k, score in enumerate([1.0, 5.0, None, 3.0, 5.0, -1.0, 4.0])]
    assert going_on(seen) == [(1,), (4,), (6,)], "seven points: three go on"
    assert going_on(seen[::-1]) == [(6,), (4,), (1,)]


def test_of_equals_the_first_of_the_space_goes_on_whoever_was_first() -> None:
    seen = [Seen((k,), 1.0) for k in (5, 2, 9, 0, 7, 3)]
    assert going_on(seen) == [(2,), (0,)] and set(going_on(seen[::-1])) == {(0,), (2,)}


def test_infeasible_points_stay_behind_unless_nothing_is_feasible() -> None:
    assert going_on([Seen((0,), None), Seen((1,), -9.0), Seen((2,), None), Seen((3,), None)]) == [(1,)]
    nothing = [Seen((k,), None) for k in range(6)]
    assert going_on(nothing) == [(k,) for k in range(6)], "a part that tells nothing gives nobody up"


def test_a_part_needs_trades_for_its_bars() -> None:
    assert [least_of(30, rows, 900) for rows in (100, 101, 300, 900)] == [4, 4, 10, 30]
    assert least_of(0, 100, 900) == 0 and PARTS == (9, 3) and KEPT == 3


def test_a_pruned_grid_tries_few_on_all_bars_and_counts_every_point_once_mes_guard_01(data: Path) -> None:
    values = optimise(data, param=WIDE, prune=True)
    with Ledger(data.parent / "study", reading=True) as ledger:
        ninth, third, whole = (ledger.trials(stage) for stage in ("study part 1/9", "study part 1/3", "study"))
        given_up = ledger.cut_short("study")
        assert ledger.count() == 27, "a point on three stretches is one configuration"
    assert len(ninth) == 27 and len(third) == 9
    proposed = {trial.point for trial in whole if trial.kind == "proposed"}
    assert len(proposed) == 3 < len(whole), "and the neighbours of the best are tried whole"
    assert proposed <= {trial.point for trial in third} <= {trial.point for trial in ninth}
    ranked = sorted((t for t in third if t.score is not None), key=lambda t: (-(t.score or 0.0), t.point))
    assert proposed == {trial.point for trial in ranked[:3]}
    assert len(given_up) == 27 - len(whole) == values["trials"]["given_up"]
    assert {trial.stage for trial in given_up} == {"study part 1/9", "study part 1/3"}
    assert values["criticism"]["trials"]["count"] == 27 and np.isfinite(sharpes_of(given_up)).any()
    rows = {row["name"]: row for row in values["criticism"]["rows"]}
    assert "After 27 trials" in rows["deflated_sharpe"]["sentence"]


def test_parts_end_where_a_session_begins(data: Path) -> None:
    optimise(data, param=WIDE, prune=True)
    with Ledger(data.parent / "study", reading=True) as ledger:
        days = {stage: ledger.trials(stage)[0].days for stage in ("study part 1/9", "study part 1/3", "study")}
    counts = []
    for found in days.values():
        assert found is not None
        counts.append(int((np.diff(found.equity_micros, prepend=found.start_micros) != 0).sum()))
    assert counts[0] <= 36 // 9 and counts[1] <= 36 // 3 < counts[2]


def test_a_pruned_study_is_the_same_whoever_runs_it_and_after_a_cut(data: Path) -> None:
    optimise(data, param=WIDE, prune=True)
    whole = results(data.parent / "study")
    with Ledger(data.parent / "study", reading=True) as ledger:
        trials, identity = ledger.trials(), ledger.identity()
    aside = data.parent.parent / f"{data.parent.name}-aside"  # beside the other its trials would be counted
    (data.parent / "study").rename(aside)
    (data.parent / "study").mkdir()
    with Ledger(data.parent / "study") as ledger:  # as a kill in the middle of the second part leaves it
        ledger.identify(identity)
        ledger.add(trials[:31])
    optimise(data, param=WIDE, prune=True, workers=2)
    assert results(data.parent / "study") == whole


def test_a_small_plan_is_not_pruned_and_methods_that_learn_refuse(data: Path) -> None:
    few = optimise(data, param=["strategy.lookback=2..8/2"], prune=True)
    assert few["trials"]["by_kind"]["proposed"] == 4 and "given_up" not in few["trials"]
    with pytest.raises(CommandError, match="--prune is for grid and random: bayes learns from whole trials alone"):
        optimise(data, "other", prune=True, method="bayes")


def test_a_walk_prunes_each_training(data: Path) -> None:
    walkforward(data, param=WIDE, prune=True)
    with Ledger(data.parent / "walk", reading=True) as ledger:
        for n in (1, 2, 3):
            assert len(ledger.trials(f"fold {n} train part 1/9")) == 27
            assert 3 <= len(ledger.trials(f"fold {n} train")) < 27
