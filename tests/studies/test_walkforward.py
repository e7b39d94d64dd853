"""`manage.py walkforward` from outside: folds that cannot see ahead, tested once, joined exactly, judged (MES-WF)."""

import csv
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management.base import CommandError

from tests.learning.barsets import write
from tests.studies.kit import LAST, walkforward, write_bars, write_strategy
from trading.research.folds import Fold, Part, Sessions
from trading.research.gate import MES_CHECKS
from trading.research.records import ResearchError
from trading.run.forward.report import CURVE, FOLDS, WALK, evidence_in
from trading.run.forward.retraining import How, Retrainer, held_bytes
from trading.run.search.ledger import Ledger
from trading.studies.management.commands.walkforward import Command

CAPITAL = 1_000_000_000
FEW = ["strategy.lookback=2..6/2", "strategy.threshold=3..4/1"]  # 6 points


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty-five mornings: three folds of ten, five and five sessions, the first of validation and test left out."""
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_study", raising=False)
    write_strategy(tmp_path)
    return write_bars(tmp_path / "bars.parquet", days=35, bars=120)


def walk(data: Path, folder: str = "walk", **given: Any) -> dict[str, Any]:
    return walkforward(data, folder, **{"param": FEW, **given})


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / name).read_text().splitlines()))


def micros(text: str) -> int:
    return int(text.replace(".", ""))


def test_every_fold_is_searched_chosen_and_tested_once_mes_wf_02(data: Path) -> None:
    values = walk(data)
    folder = data.parent / "walk"
    assert json.loads((folder / WALK).read_text()) == values
    assert len(values["folds"]) == 3 == len(rows(folder, FOLDS))
    with Ledger(folder, reading=True) as ledger:
        tests = ledger.trials(kind="test")
        assert [trial.stage for trial in tests] == [f"fold {n} test" for n in (1, 2, 3)]
        for n in (1, 2, 3):
            training = ledger.trials(f"fold {n} train")
            assert len(training) == 6
            best = sorted((t for t in training if t.score is not None), key=lambda t: (-(t.score or 0), t.point))[:5]
            looked = ledger.trials(f"fold {n} validation")
            assert {t.point for t in looked} == {t.point for t in best}
            chosen = max((t for t in looked if t.score is not None), key=lambda t: t.score or 0)
            assert tests[n - 1].point == chosen.point
    for before, after in zip(values["folds"], values["folds"][1:], strict=False):
        assert before["train"]["to"] < before["validation"]["to"] < before["test"]["to"] <= after["test"]["to"]
        assert before["test"]["to"] <= after["test"]["from"]
    # the embargo: of five sessions of a week, four are traded
    assert all(fold["test"]["sessions"] == 4 and fold["test"]["embargoed"] == 1 for fold in values["folds"])


def test_the_joined_tests_add_up_to_the_micro_mes_wf_04(data: Path) -> None:
    values = walk(data)
    curve = rows(data.parent / "walk", CURVE)
    nets = [micros(fold["test"]["net"]) for fold in values["folds"]]
    assert micros(curve[-1]["equity"]) == CAPITAL + sum(nets)
    for n in (1, 2):
        last = [row for row in curve if row["fold"] == str(n)][-1]
        assert micros(last["equity"]) == CAPITAL + sum(nets[:n])
    assert micros(values["out_of_sample"]["net"]) == sum(nets)
    assert values["out_of_sample"]["trades"] == sum(fold["test"]["trades"] for fold in values["folds"])
    assert [row["trading_day"] for row in curve] == sorted({row["trading_day"] for row in curve}) and len(curve) == 12
    trained = sum(micros(fold["train"]["net"]) for fold in values["folds"]) / sum(
        fold["train"]["sessions"] for fold in values["folds"]
    )
    assert values["efficiency"] == pytest.approx(sum(nets) / 12 / trained)


def test_what_comes_after_a_test_changes_nothing_of_its_fold(data: Path) -> None:
    """Other prices from the last test on: the first two folds are the same to the last figure."""
    walk(data)
    table = pq.read_table(data)
    cut = len(table) - 5 * (120 + LAST)
    for name in ("open", "high", "low", "close"):
        values = table[name].to_numpy().copy()
        values[cut:] += 250_000_000 * (np.arange(len(values) - cut) // 3)
        table = table.set_column(table.schema.names.index(name), name, pa.array(values))
    pq.write_table(table, data.parent / "other.parquet")
    walk(data.parent / "other.parquet", "other")
    one, two = (rows(data.parent / name, FOLDS) for name in ("walk", "other"))
    assert one[:2] == two[:2] and one[2] != two[2]


def test_one_configuration_of_all_folds_is_tried_again_mes_opt_05(data: Path) -> None:
    values = walk(data)
    chosen = [fold["set"]["strategy.lookback"] for fold in values["folds"]]
    assert values["combined"]["set"]["strategy.lookback"] == sorted(chosen)[1], "the median of three"
    with Ledger(data.parent / "walk", reading=True) as ledger:
        again = [trial for n in (1, 2, 3) for trial in ledger.trials(f"fold {n} combined")]
    assert len(again) == 3 and sum(trial.trades for trial in again) == values["combined"]["trades"]


def test_an_anchored_walk_keeps_all_of_the_past(data: Path) -> None:
    values = walk(data, mode="anchored")
    assert [fold["train"]["sessions"] for fold in values["folds"]] == [10, 15, 20]
    assert len({fold["train"]["from"] for fold in values["folds"]}) == 1


def test_no_fold_disappears_mes_wf_04(data: Path) -> None:
    """Nothing trades: every fold says why, and nothing is proved."""
    values = walk(data, min_trades=10_000)
    assert all(fold["note"].startswith("no trial is feasible in training: ") for fold in values["folds"])
    assert all("10000 are needed" in fold["note"] for fold in values["folds"])
    assert values["walk"]["profitable"] == 0 and values["walk"]["robust"] is False
    assert values["out_of_sample"] is None and values["efficiency"] == {"value": None, "why": "No fold was run"}
    assert not values["gate"]["passed"] and all(row["state"] == "no_data" for row in values["gate"]["rows"])
    assert rows(data.parent / "walk", CURVE) == []


def test_a_test_with_few_trades_counts_as_not_profitable(data: Path) -> None:
    values = walk(data, fold_trades=10_000)
    assert all("trades, 10000 are needed" in fold["note"] for fold in values["folds"])
    assert values["walk"]["profitable"] == 0 and values["out_of_sample"] is not None


def test_the_gate_is_asked_with_what_the_walk_proves_mes_gate(data: Path) -> None:
    values = walk(data)
    found = {row["name"]: row for row in values["gate"]["rows"]}
    assert list(found) == [check.name for check in MES_CHECKS]
    assert found["trades"]["value"] == values["out_of_sample"]["trades"]
    assert found["sharpe"]["value"] == pytest.approx(values["out_of_sample"]["returns"]["sharpe"])
    assert found["worst_fold_sharpe"]["value"] == pytest.approx(min(f["test"]["score"] for f in values["folds"]))
    assert found["profitable_folds"]["n"] == 3 and found["max_drawdown"]["value"] is not None
    # ten sessions of training cannot be cut into sixteen blocks: no odds, and no pass
    assert found["pbo"]["state"] == "no_data" and "Fold 1: 10 sessions cannot be cut" in found["pbo"]["sentence"]
    assert found["paper_sessions"]["state"] == "no_data" and not values["gate"]["passed"]
    kept = evidence_in(data.parent / "walk")
    assert {name for name, row in found.items() if row["state"] != "no_data"} <= set(kept)
    assert "paper_sessions" not in kept and found["win_rate_surplus"]["value"] is not None
    rows_told = {row["name"]: row for row in values["criticism"]}
    count = values["trials"]
    assert count == 3 * (6 + 5 + 1 + 1) and f"After {count} trials" in rows_told["deflated_sharpe"]["sentence"]


def test_the_tests_are_traded_anew_at_dearer_costs_and_the_worse_way_counts_mes_guard_05(data: Path) -> None:
    """As the backtest does: nothing but costs is other, so trading anew at no more than today's is the tests."""
    values = walk(data)
    same, half, double = values["cost_stress"]
    assert same["rerun"] is None and same["net"] == values["out_of_sample"]["net"]
    assert half["rerun"]["trades"] > 0 and micros(double["rerun"]["net"]) < micros(half["rerun"]["net"])
    assert micros(half["rerun"]["net"]) < micros(same["net"])
    told = {row["name"]: row for row in values["criticism"]}
    worse = min(told["net_at_cost_1_5"]["value"], told["net_rerun_at_cost_1_5"]["value"])
    assert told["net_rerun_at_cost_1_5"]["value"] == micros(half["rerun"]["net"]) / 1e6
    assert next(row for row in values["gate"]["rows"] if row["name"] == "net_at_cost_1_5")["value"] == worse


def test_evidence_names_what_would_trade_and_keeps_its_date_mes_gate_01(data: Path) -> None:
    """The configuration of all folds together, which is not the profile whose values were searched."""
    values = walk(data, param=["strategy.lookback=2..6/2", "risk.stop_ticks=8..10/1"])
    folder = data.parent / "walk"
    kept = evidence_in(folder)
    with Ledger(folder, reading=True) as ledger:
        chosen = ledger.trials("fold 1 combined")[0].config_hash
        assert all(row.run == f"walk-forward {ledger.key()[:12]} of bars.parquet" for row in kept.values())
    assert {row.config_hash for row in kept.values()} == {chosen} != {values["study"]["configuration"]}
    assert walk(data, param=["strategy.lookback=2..6/2", "risk.stop_ticks=8..10/1"]) == values
    assert evidence_in(folder) == kept, "judged once more it is as old as it was"


def test_a_function_that_looks_ahead_is_refused_before_its_test_is_spent(data: Path) -> None:
    """The few decisions that a trial asks again are honest here, and the full question is another one."""
    with pytest.raises(CommandError, match=r"own_study:glances looks ahead: its decision on bar \d+"):
        walk(data, strategy="own_study:glances")
    with Ledger(data.parent / "walk", reading=True) as ledger:
        assert any(trial.score is not None for trial in ledger.trials("fold 1 validation"))
        assert ledger.trials(kind="test") == []


def test_a_function_that_fails_on_the_bars_of_a_test_leaves_a_fold_with_its_reason_mes_wf_04(data: Path) -> None:
    values = walk(data, strategy="own_study:tires")
    note = values["folds"][0]["note"]
    assert note == "the test could not be traded: own_study:tires failed: ValueError: too many bars"
    assert values["walk"]["profitable"] == 0 and values["out_of_sample"] is None
    assert walk(data, strategy="own_study:tires") == values, "and it is not tried again"


def test_another_choice_for_a_test_that_was_traded_is_refused_in_one_sentence_mes_wf_02(data: Path) -> None:
    """As a strategy that draws at random comes to one: the ledger has a test of the fold, of other parameters."""
    (data.parent / "stop").write_text("6")
    with pytest.raises(SystemExit):
        walk(data)
    (data.parent / "stop").unlink()
    with Ledger(data.parent / "walk") as ledger:
        known = ledger.trials("fold 1 train")[0]
        ledger.add([known._replace(stage="fold 1 test", kind="test", point=(0, 0))])
    told = r"fold 1 test was traded before with strategy.lookback=2, strategy.threshold=3, and a test is traded once"
    with pytest.raises(CommandError, match=told) as refused:
        walk(data)
    assert "\n" not in str(refused.value)


def test_a_stopped_walk_goes_on_and_ends_the_same(data: Path) -> None:
    walk(data, "whole")
    (data.parent / "stop").write_text("6")
    with pytest.raises(SystemExit) as ended:
        walk(data, "halved")
    assert ended.value.code == 130
    with Ledger(data.parent / "halved", reading=True) as ledger:
        assert 0 < ledger.count() < 39
    (data.parent / "stop").unlink()
    walk(data, "halved")
    for name in (FOLDS, CURVE):
        assert (data.parent / "halved" / name).read_bytes() == (data.parent / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"step": 3}, "--step 3 is below --test 7: tests would overlap"),
        ({"embargo": 0}, "--embargo 0: at least 1"),
        ({"choose": 0}, "--choose 0: at least 1"),
        ({"holdout": 2}, "--holdout is counted in months"),
        ({"train": 30}, "at least 3 are needed: take more data or shorter windows"),
        (
            {"unit": "month", "train": 1, "validation": 1, "test": 1, "step": 1, "holdout": 0},
            "hold-out of at least one",
        ),
    ],
)
def test_what_is_no_walk_is_refused_in_one_sentence(data: Path, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        walk(data, **given)


def test_help_says_what_each_word_means() -> None:
    text = Command().create_parser("manage.py", "walkforward").format_help()
    assert "anchored" in text and "docs/optimise.md" in text


def test_the_hold_out_is_opened_once_by_a_person_and_is_contaminated_for_the_next_mes_wf_03(data: Path) -> None:
    """Of five months the last is sealed; whoever opens it is named, and another study of the same data is told."""
    bars = write_bars(data.parent / "months.parquet", days=132, bars=120)
    months = {"unit": "month", "train": 1, "validation": 1, "test": 1, "step": 1, "holdout": 1, "param": FEW[:1]}
    sealed = walkforward(bars, "sealed", **months)
    assert sealed["opened"] is None and "touched by no fold" in sealed["holdout"]
    opened = walkforward(bars, "sealed", open_holdout="olga", **months)
    assert (opened["opened"]["by"], opened["opened"]["contaminated"]) == ("olga", False)
    assert opened["opened"]["trades"] > 0 and "by olga: " in opened["holdout"]
    again = walkforward(bars, "sealed", open_holdout="boris", **months)
    assert again["opened"] == opened["opened"], "it is traded once, and the first to open it is its opener"
    assert walkforward(bars, "sealed", **months)["opened"] == opened["opened"], "and cannot be sealed again"
    other = walkforward(bars, "other", open_holdout="boris", **(months | {"param": ["strategy.lookback=3..5/2"]}))
    assert other["opened"]["contaminated"] and [one["by"] for one in other["opened"]["before"]] == ["olga", "boris"]
    assert "CONTAMINATED: olga had opened these sessions" in other["holdout"]
    longer = write_bars(data.parent / "longer.parquet", days=133, bars=120)
    later = walkforward(longer, "later", open_holdout="vera", **months)
    assert later["opened"]["contaminated"], "the same sessions in a file that has one more"
    with pytest.raises(CommandError, match="opened by a person"):
        walkforward(bars, "sealed", open_holdout=" ", **months)


@pytest.fixture(scope="module")
def featured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Thirty-five mornings long enough for the features to be warm, and the file of their features."""
    folder = tmp_path_factory.mktemp("featured")
    bars = write_bars(folder / "bars.parquet", days=35, bars=1_500)
    write(bars, folder / "rows.parquet")
    return bars, folder / "rows.parquet"


def networked(featured: tuple[Path, Path], folder: Path, **given: Any) -> dict[str, Any]:
    bars, features = featured
    words = {"param": ["risk.stop_ticks=6..8/2"], "strategy": "column", "retrain": features, "epochs": 1}
    return walkforward(bars, str(folder), **{**words, "min_trades": 1, **given})


def test_every_fold_trades_by_a_network_of_its_own_mes_wf_02(featured: tuple[Path, Path], tmp_path: Path) -> None:
    """The same seed gives the same folds; nothing behind a fold's own end was seen by its network."""
    values = networked(featured, tmp_path / "whole")
    assert [fold["note"] for fold in values["folds"]] == [""] * 3 or all(f["test"]["trades"] for f in values["folds"])
    assert values["study"]["networks"]["epochs"] == 1 and values["study"]["strategy"].endswith("retraining:undecided")
    again = networked(featured, tmp_path / "again")
    assert again["folds"] == values["folds"]
    known, found = ({row["name"]: row for row in one["gate"]["rows"]} for one in (values, again))
    for name in ("accuracy_gain_low", "log_loss_change", "calibration_error"):
        assert found[name] == known[name] and found[name]["n"] > 500, "of the rows of all tests (MES-GATE-01)"
        assert found[name]["value"] is not None
    other = networked(featured, tmp_path / "other", seed=9)
    assert [f["test"]["net"] for f in other["folds"]] != [f["test"]["net"] for f in values["folds"]]


def test_a_network_knows_its_fold_s_past_alone_mes_wf_02(featured: tuple[Path, Path], tmp_path: Path) -> None:
    """Rows behind the first fold's test are another market: its decisions are the same to the last one."""
    bars, features = featured
    starts_ns = pq.read_table(bars)["timestamp"].to_numpy()
    day = starts_ns // 86_400_000_000_000
    days = np.unique(day)
    edges = [(starts_ns[day == one][0], starts_ns[day == one][-1] + 1_000_000_000) for one in days]
    sessions = Sessions(days, *(np.array(column, np.int64) for column in zip(*edges, strict=True)))
    train, validation, test = (
        Part(a, b, int(edges[a][0]), int(edges[b - 1][1]), 1) for a, b in ((0, 10), (11, 15), (16, 20))
    )
    fold = Fold(1, train, validation, test, "")
    found = []
    for which, change in enumerate((False, True)):
        maker = Retrainer(How(features, 2, 5, 1), "MES", starts_ns, sessions, tmp_path)
        if change:
            far = maker._rows.ts_ns > edges[19][1]
            assert far.any()
            maker._rows.features[far] *= 100.0
            maker._rows.label[far] = 0
        found.append(np.load(tmp_path / maker(fold)))
        assert which or (found[0][0] != 0).any()
    assert np.array_equal(*found)
    inside = (starts_ns >= edges[0][0]) & (starts_ns < edges[19][1])
    assert not found[0][0][~inside].any(), "it decides within its fold alone"


def test_a_network_holds_no_more_memory_than_its_bound_counts(featured: tuple[Path, Path], tmp_path: Path) -> None:
    """A fold over nearly the whole file, most of it training; torch's own copies are smaller than what went before."""
    bars, features = featured
    starts_ns = pq.read_table(bars)["timestamp"].to_numpy()
    days = np.unique(starts_ns // 86_400_000_000_000)
    opens = days * 86_400_000_000_000
    sessions = Sessions(days, opens, opens + 86_400_000_000_000)
    train, validation, test = (
        Part(a, b, int(opens[a]), int(opens[b - 1]) + 86_400_000_000_000, 1) for a, b in ((0, 33), (33, 34), (34, 35))
    )
    maker = Retrainer(How(features, 1, 1, 1), "MES", starts_ns, sessions, tmp_path)
    rows, width = maker._rows.features.shape
    maker(Fold(1, train, validation, test, ""))
    tracemalloc.start()
    try:
        maker(Fold(2, train, validation, test, ""))
        peak = tracemalloc.get_traced_memory()[1] + maker._rows.features.nbytes
    finally:
        tracemalloc.stop()
    assert 0.6 * held_bytes(width) * rows < peak <= held_bytes(width) * rows
    with pytest.raises(ResearchError, match="take fewer of its rows with --retrain-every"):
        Retrainer(How(features, 1, 1, 1, 1_000_000), "MES", starts_ns, sessions, tmp_path)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"strategy": "own_study:follow"}, "--retrain makes the decisions"),
        ({"epochs": 0}, "--epochs 0: at least 1"),
        ({"open_holdout": "olga"}, "neither --distributed nor --open-holdout"),
        ({"symbol": "ES"}, "holds MES, not ES"),
    ],
)
def test_words_that_do_not_fit_networks_are_refused(
    featured: tuple[Path, Path], tmp_path: Path, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        networked(featured, tmp_path / "refused", **given)
