"""A study that was cut short after any of its trials ends as the uncut one: same trials, same best, same bytes."""

import os
import shutil
import sys
from itertools import accumulate
from pathlib import Path

import pytest

from tests.studies.kit import optimise, write_bars, write_strategy
from trading.run.search.ledger import Ledger, Trial
from trading.run.search.report import BEST, STUDY, TRIALS
from trading.run.search.study import NEIGHBOUR, PROPOSED

WIDE = ["strategy.lookback=2..20/1", "strategy.threshold=2..6/1"]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seventeen mornings and a strategy beside them, in a folder two below the test's own."""
    here = tmp_path / "desk"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.delitem(sys.modules, "own_study", raising=False)
    write_strategy(here)
    return write_bars(here / "bars.parquet", days=17, bars=100)


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (TRIALS, STUDY, f"{BEST}/summary.json")}


def cuts_inside_a_round(trials: list[Trial]) -> list[int]:
    """After how many trials a neighbour is the best so far while others of its round were not tried yet."""
    scores = [float("-inf") if trial.score is None else trial.score for trial in trials]
    best = list(accumulate(scores, max))
    return [
        k
        for k in range(1, len(trials))
        if trials[k - 1].kind == NEIGHBOUR and trials[k].kind == NEIGHBOUR and scores[k - 1] > best[k - 2]
    ]


def cut(whole: Path, folder: Path, count: int) -> None:
    """A study as a kill leaves it after so many trials of another."""
    folder.mkdir()
    with Ledger(whole, reading=True) as kept, Ledger(folder) as ledger:
        ledger.identify(kept.identity())
        ledger.add(kept.trials()[:count])


def test_killed_among_the_neighbours_it_ends_with_the_same_best_mes_opt_04(data: Path) -> None:
    """A neighbour that is better than its centre may not lead away before the others around that centre are tried."""
    optimise(data, param=WIDE, method="random", trials=3, seed=2)
    aside = data.parent.parent / "aside"  # beside the other its trials would be counted
    os.rename(data.parent / "study", aside)
    with Ledger(aside, reading=True) as ledger:
        trials = ledger.trials()
    assert [trial.kind for trial in trials[:4]] == [PROPOSED] * 3 + [NEIGHBOUR]
    inside = cuts_inside_a_round(trials)
    assert inside, "no kill falls where it could lead elsewhere"
    for count in inside:
        cut(aside, data.parent / "study", count)
        optimise(data, param=WIDE, method="random", trials=3, seed=2)
        assert results(data.parent / "study") == results(aside), f"cut after {count} trials"
        shutil.rmtree(data.parent / "study")


def test_what_another_run_found_is_looked_around_too_mes_opt_06(data: Path) -> None:
    """A run that proposes less does not come by the best that was there already; no neighbourhood stays open."""
    optimise(data, "whole", param=WIDE, method="random", trials=3, seed=2)
    with Ledger(data.parent / "whole", reading=True) as ledger:
        before = cuts_inside_a_round(ledger.trials())[0]
    cut(data.parent / "whole", data.parent / "study", before)
    fewer = optimise(data, param=WIDE, method="random", trials=1, seed=2)
    with Ledger(data.parent / "study", reading=True) as ledger:
        known = ledger.trials()[:before]
    assert fewer["best"]["score"] >= max(trial.score for trial in known if trial.score is not None)
    assert fewer["plateau"]["kept"] is not None and not fewer["plateau"]["why"]
