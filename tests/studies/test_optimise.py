"""`manage.py optimise` from outside: every trial kept, the best is the best, what speaks against it, refusals."""

import csv
import json
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.studies.kit import GRID, PROFILE, optimise, ran, words, write_bars, write_strategy
from trading.research.records import ResearchError
from trading.run.search.ledger import Ledger
from trading.run.search.report import BEST, STUDY, TRIALS
from trading.run.search.trial import Task
from trading.studies.management.commands.optimise import Command
from trading.studies.opening import study

FEW = ["strategy.lookback=2,4"]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seventeen mornings, so that the odds of overfitting can be said, and a strategy beside them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    write_strategy(tmp_path)
    (tmp_path / "own_broken.py").write_text("import sys\n\nsys.exit(3)\n")
    return write_bars(tmp_path / "bars.parquet", days=17, bars=120)


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a strategy file of its own under one name."""
    monkeypatch.delitem(sys.modules, "own_study", raising=False)


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / TRIALS).read_text().splitlines()))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.suffix in (".csv", ".json")
    }


def test_a_grid_tries_every_point_and_names_the_best_mes_opt_03(data: Path) -> None:
    values = optimise(data)
    folder = data.parent / "study"
    rows = table(folder)
    points = {(row["strategy.lookback"], row["strategy.threshold"]) for row in rows}
    assert len(rows) == len(points) == 12 == values["trials"]["count"]
    scores = [float(row["score"]) for row in rows if row["score"]]
    best = max(rows, key=lambda row: float(row["score"] or "-inf"))
    assert values["best"]["score"] == max(scores) > 0
    assert {str(v) for v in values["best"]["set"].values()} == {best["strategy.lookback"], best["strategy.threshold"]}
    summary = json.loads((folder / BEST / "summary.json").read_text())
    assert summary["returns"]["sharpe"] == pytest.approx(values["best"]["score"])
    assert summary["trades"]["net"] == best["net"] and summary["run"]["set"] == values["best"]["set"]
    assert json.loads((folder / STUDY).read_text()) == values


def test_the_best_is_criticised_for_having_been_chosen_n11(data: Path) -> None:
    criticism = optimise(data)["criticism"]
    rows = {row["name"]: row for row in criticism["rows"]}
    assert criticism["trials"] == {"count": 12, "told_by": "the study in study"}
    assert "After 12 trials on these data" in rows["deflated_sharpe"]["sentence"]
    assert rows["pbo"]["n"] == 12 and 0 <= rows["pbo"]["value"] <= 1
    assert rows["plateau"]["value"] is not None and "neighbours" in rows["plateau"]["sentence"]


def test_the_same_again_tries_nothing_and_writes_the_same_bytes(data: Path) -> None:
    first = optimise(data)
    kept = files(data.parent / "study")
    assert optimise(data) == first and files(data.parent / "study") == kept
    with Ledger(data.parent / "study", reading=True) as ledger:
        assert ledger.count() == 12


def test_a_study_counts_the_trials_of_those_beside_it_mes_guard_01(data: Path) -> None:
    optimise(data)
    optimise(data, "shared")
    alone, shared = files(data.parent / "study"), files(data.parent / "shared")
    assert alone[TRIALS] == shared[TRIALS] and alone["best/trades.csv"] == shared["best/trades.csv"]
    told = json.loads(shared["study.json"])["criticism"]["trials"]
    assert told == {"count": 24, "told_by": "the study in shared and 1 more on these data beside it"}


def test_more_trials_go_on_with_the_same_study(data: Path) -> None:
    many = ["strategy.lookback=2..40/1", "strategy.threshold=1..8/1"]
    few = optimise(data, param=many, method="random", trials=6, seed=3)
    more = optimise(data, param=many, method="random", trials=14, seed=3)
    assert few["trials"]["by_kind"]["proposed"] == 6
    assert more["trials"]["by_kind"]["proposed"] + more["trials"]["by_kind"].get("neighbour", 0) >= 14
    assert more["trials"]["count"] > few["trials"]["count"]


def test_the_neighbours_of_the_best_are_tried_too_mes_opt_06(data: Path) -> None:
    """Drawn points leave its neighbourhood open; nobody may call that a plateau."""
    values = optimise(data, param=["strategy.lookback=2..20/1", "strategy.threshold=2..4/1"], method="random", trials=5)
    assert values["best"]["score"] > 0 and values["trials"]["by_kind"]["neighbour"] >= 2
    assert values["plateau"]["kept"] is not None and not values["plateau"]["why"]
    assert all(item["kept"] is None or item["kept"] <= 1 for item in values["plateau"]["neighbours"])


@pytest.mark.parametrize("method", ["adaptive", "bayes"])
def test_a_method_that_learns_is_a_study_like_any_other(data: Path, method: str) -> None:
    values = optimise(data, method=method, trials=10)
    assert values["trials"]["by_kind"]["proposed"] == 10 and values["best"]["score"] > 0


def test_configuration_is_searched_with_decisions_made_once(data: Path) -> None:
    param = ["risk.stop_method=fixed,atr", "risk.stop_ticks=4..8/4", "risk.confidence_min=60..70/10 %"]
    values = optimise(data, param=param)
    rows = table(data.parent / "study")
    assert len({row["config_hash"] for row in rows}) == 8 == values["trials"]["count"]
    backtest = ran_backtest(data, values["best"]["set"], study=data.parent / "study")
    best = json.loads((data.parent / "study" / BEST / "summary.json").read_text())
    assert backtest["run"]["config_hash"] == best["run"]["config_hash"]
    assert backtest["trades"] == best["trades"]
    found, own = ({row["name"]: row["value"] for row in result["criticism"]["rows"]} for result in (backtest, best))
    for name in ("deflated_sharpe", "pbo", "plateau", "net_at_cost_1_5"):
        assert found[name] == own[name]


def ran_backtest(data: Path, values: dict[str, Any], **given: Any) -> dict[str, Any]:
    told = StringIO()
    changes = [f"{path}={value}" for path, value in values.items()]
    call_command(
        "backtest", config=PROFILE, data=str(data), strategy="own_study:follow", changes=changes, random=0, json=True,
        out=data.parent / "again", stdout=told, **given,
    )  # fmt: skip
    return dict(json.loads(told.getvalue()))


def test_a_backtest_that_the_study_never_tried_is_one_more_trial_for_good_mes_guard_01(data: Path) -> None:
    optimise(data, param=FEW)
    folder = data.parent / "study"
    told = []
    for lookback in (3, 3, 5, 2, 3):
        values = ran_backtest(data, {"strategy.lookback": lookback}, study=folder, overwrite=True)
        told.append(values["criticism"]["trials"]["count"])
    assert told == [3, 3, 4, 4, 4], "the same one once; what the study tried is none"
    with Ledger(folder) as ledger:
        outside = ledger.trials(kind="backtest")
        assert ledger.count() == 4 and len(outside) == 2
        assert all(trial.trades > 0 and trial.days is not None and trial.score for trial in outside)
        ran_backtest(data, {"strategy.lookback": 4}, study=folder, overwrite=True)  # reads alone
        with pytest.raises(CommandError, match="another process works on the study"):
            ran_backtest(data, {"strategy.lookback": 7}, study=folder, overwrite=True)
    again = optimise(data, param=FEW)
    assert again["trials"]["count"] == 2 and again["criticism"]["trials"]["count"] == 4


def test_what_cannot_trade_is_kept_with_its_reason_and_never_best_mes_opt_03(data: Path) -> None:
    values = optimise(data, param=["strategy.lookback=2,4", "strategy.threshold=3,1000"])
    assert values["trials"]["count"] == 4 and values["trials"]["feasible"] == 2
    assert values["trials"]["infeasible"] == {"0 trades, 5 are needed": 2}
    assert values["best"]["set"]["strategy.threshold"] == 3


def test_a_strategy_that_fails_or_peeks_is_counted_and_named(data: Path) -> None:
    with pytest.raises(CommandError, match="none of 2 trials is feasible; most often: own_study:breaks failed"):
        call_command(
            "optimise", **words(data, "a", strategy="own_study:breaks", param=["strategy.depth=1,2"]) | {"json": False}
        )
    values = optimise(data, "c", strategy="own_study:ragged", param=["strategy.depth=2,3"])
    assert list(values["trials"]["infeasible"].values()) == [2]
    assert next(iter(values["trials"]["infeasible"])).startswith("own_study:ragged gave no array of numbers: ")
    values = optimise(data, "b", strategy="own_study:peeks", param=["strategy.ahead=0,5"])
    assert values["best"] is None
    assert any("looks ahead" in why for why in values["trials"]["infeasible"])


def test_a_trial_that_ends_the_study_is_named_by_its_parameters(data: Path) -> None:
    """A fault that is no result of a point, here a stretch without a bar: the next run meets it again."""
    options = vars(Command().create_parser("manage.py", "optimise").parse_args(["--config", "", "--data", ""]))
    with study(options | words(data, "study"), {"purpose": "optimise"}, str) as opened:
        empty = Task("study", "proposed", (1, 0), opened.rows, opened.rows)
        told = (
            r"the trial of strategy.lookback=4, strategy.threshold=2 \(study\) broke off: IndexError in trial.py line"
        )
        with pytest.raises(ResearchError, match=told) as ended:
            list(opened.crew.run([empty]))
    assert "\n" not in str(ended.value) and isinstance(ended.value.__cause__, IndexError)


@pytest.mark.processes
def test_what_a_strategy_raises_in_a_worker_alone_is_told(data: Path) -> None:
    own = data.parent / "own_study.py"
    alone = "import multiprocessing\nif multiprocessing.parent_process():\n    raise ValueError('one licence')\n"
    own.write_text(alone + own.read_text())
    with pytest.raises(
        CommandError, match="a worker process cannot begin: strategy 'own_study:follow': its module"
    ) as it:
        optimise(data, workers=2)
    assert str(it.value).endswith("failed: ValueError: one licence")


def test_ctrl_c_keeps_what_was_tried_and_the_same_command_goes_on(data: Path) -> None:
    (data.parent / "stop").write_text("6")
    with pytest.raises(SystemExit) as ended:
        optimise(data)
    assert ended.value.code == 130
    with Ledger(data.parent / "study", reading=True) as ledger:
        assert ledger.count() == 6, "lookback 2 and 4 with three thresholds each"
    (data.parent / "stop").unlink()
    assert optimise(data)["trials"]["count"] == 12
    assert not (data.parent / "study" / ".bars").exists()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"param": []}, "there is no parameter to search"),
        ({"param": ["strategy.depth=1,2"]}, "has no argument depth: it has lookback, threshold"),
        ({"param": ["risk.stop_tick=1,2"]}, "risk.stop_tick is no value that can be set; did you mean risk.stop_ticks"),
        ({"param": ["market.venue=cme,moex"]}, "market.venue is no value that can be set"),
        ({"param": ["risk.capital=1000 USD,2000 USD"]}, "risk.capital cannot be searched"),
        ({"param": ["risk.stop_ticks=8..24/8"]}, "risk.stop_ticks = 24 can never be traded"),
        ({"param": ["risk.stop_ticks=8,eight"]}, "risk.stop_ticks = eight can never be traded"),
        ({"param": ["risk.stop_ticks=8..10/2"], "strategy": "column"}, "has no column signal"),
        ({"strategy": "own_broken:follow"}, "strategy 'own_broken:follow': its module failed: SystemExit: 3"),
        ({"strategy": "column"}, "reads columns and has no arguments"),
        ({"trials": 0}, "--trials 0: at least 1"),
        ({"workers": 0}, "--workers 0: at least 1"),
        ({"min_trades": -1}, "--min-trades -1: at least 0"),
        ({"out": Path("nowhere/study")}, "the folder nowhere does not exist"),
        ({"out": Path()}, "holds no study; name a new folder"),
        ({"space": Path("missing.yaml")}, "missing.yaml: No such file"),
        ({"data": "nowhere.parquet"}, "nowhere.parquet does not exist"),
        ({"changes": ["risk.stop_ticks"]}, "is not PATH=VALUE"),
        ({"changes": ["risk.stop_ticks=99"]}, "risk.stop_ticks"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_sentence(data: Path, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence) as refused:
        ran("optimise", words(data, "study") | {"random": 0} | given)
    assert "\n" not in str(refused.value)


def test_a_file_of_parameters_is_read_and_another_study_is_not_mixed_in(data: Path) -> None:
    space = data.parent / "space.yaml"
    space.write_text("parameters:\n  strategy.lookback: {from: 2, to: 4, step: 2}\n  strategy.threshold: [3]\n")
    assert optimise(data, param=[], space=space)["trials"]["count"] == 2
    with pytest.raises(CommandError, match="holds a study with another space: name another folder"):
        optimise(data)
    with pytest.raises(CommandError, match="lookback is declared twice"):
        optimise(data, "other", space=space, param=[GRID[0]])
    space.write_text("strategy.lookback: [1]\n")
    with pytest.raises(CommandError, match="must hold the one key parameters"):
        optimise(data, "other", param=[], space=space)


@pytest.mark.parametrize("option", ["hours=any", "bar_s=1"])
def test_what_the_reader_is_told_names_the_study_too(data: Path, option: str) -> None:
    """Another contract, zone, stamp or length of a bar makes other bars of the same file."""
    optimise(data, param=FEW)
    with pytest.raises(CommandError, match="holds a study with another option: name another folder"):
        optimise(data, param=FEW, option=[option])
    assert optimise(data, "other", param=FEW, option=[option])["trials"]["count"] == 2
    assert optimise(data, "other", param=FEW, option=[option])["trials"]["count"] == 2


def test_a_strategy_is_also_what_it_imports_from_its_own_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import inside a function, and one through another file, count; a file that nobody imports does not."""
    own, helper, far, other = (
        data.parent / f"{name}.py" for name in ("own_study", "study_helper", "study_far", "study_other")
    )
    own.write_text(own.read_text().replace("    side = np.zeros", "    import study_helper\n    side = np.zeros", 1))
    helper.write_text("from study_far import SIZE\n")
    far.write_text("SIZE = 1\n")
    optimise(data, param=FEW)
    other.write_text("SIZE = 1\n")
    optimise(data, param=FEW)
    for path, code in ((far, "SIZE = 2\n"), (helper, "SIZE = 1\n")):
        kept = path.read_text()
        path.write_text(code)
        with pytest.raises(CommandError, match="holds a study with another strategy hash"):
            optimise(data, param=FEW)
        path.write_text(kept)
    optimise(data, param=FEW)


def test_help_says_what_each_word_means() -> None:
    text = Command().create_parser("manage.py", "optimise").format_help()
    assert "risk.stop_ticks=4..16/2" in text and "docs/optimise.md" in text
