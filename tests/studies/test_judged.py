"""A backtest that criticises itself: rivals through the same loop, rows with their reasons, words at the end (N11)."""

import json
import shutil
from dataclasses import replace
from datetime import date
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from marketdata.core.instruments import INSTRUMENTS
from tests.backtest.compare import columns_of, draw, plan_with, shipped
from tests.backtest.market import at
from tests.backtest.parts import Bar, S
from tests.studies.kit import PROFILE, mornings, write_bars, write_strategy
from trading.core.history.records import Columns
from trading.research.baselines import best_possible
from trading.research.criticism import OVERFIT_ROWS
from trading.run.backtest.dearer import dearer_plan
from trading.run.backtest.engine import Backtest, Result
from trading.run.backtest.plan import Calendar, Plan
from trading.run.backtest.rivals import Foresight, Held, rivals_of, side_cost_micros


def chunked(columns: Columns, size: int) -> list[tuple[int, Columns]]:
    n = len(columns.start_ns)
    return [(S, Columns(*(column[k : k + size] for column in columns))) for k in range(0, n, size)]


def traded(plan: Plan, columns: Columns) -> tuple[Result, Calendar]:
    calendar = Calendar.between(int(columns.start_ns[0]), int(columns.start_ns[-1]))
    run = Backtest(plan, calendar, S, int(columns.start_ns[0]))
    run.feed(columns)
    return run.end(), calendar


def test_one_contract_held_pays_its_costs_and_never_the_roll() -> None:
    """Two contracts: 10 ticks up, then 4 down after a roll of 50; each is bought and sold once."""
    closes = [(0, 0), (4, 0), (10, 0), (60, 1), (58, 1), (56, 1)]
    bars = [
        Bar(at("2026-03-03", "10:00:00") + k * S, price, price, price, price, 1, contract)
        for k, (price, contract) in enumerate(closes)
    ]
    plan = shipped()
    cost = 420_000 + 1_250_000
    assert side_cost_micros(plan) == cost
    for size in (6, 1, 4):
        held = Held(plan)
        for _, part in chunked(columns_of(bars), size):
            held.see(part)
        assert held.net_micros() == (10 - 4) * 1_250_000 - 4 * cost


def test_foresight_is_the_most_of_each_session_whatever_the_chunks_mes_sane_02() -> None:
    _, _, days, bars = draw(4, 200)
    columns = columns_of(bars)
    plan = shipped()
    calendar = Calendar.between(int(columns.start_ns[0]), int(columns.start_ns[-1]))
    found = []
    for size in (200, 1, 7):
        foresight = Foresight(plan, calendar)
        for _, part in chunked(columns, size):
            foresight.see(part)
        found.append(foresight.net_micros())
    assert len(set(found)) == 1 and found[0] > 0 and days
    # by hand: one stretch at a time, its last close as a last open
    session = np.searchsorted(calendar.open_ns, columns.start_ns, side="right")
    whole = 0
    for key in sorted(set(zip(session.tolist(), columns.contract.tolist(), strict=True))):
        mine = (session == key[0]) & (columns.contract == key[1])
        prices = np.append(columns.ticks[mine, 0], columns.ticks[mine, 3][-1])
        whole += best_possible(prices, np.zeros(len(prices), np.int64), 1_250_000, side_cost_micros(plan)).net_micros
    assert found[0] == whole
    assert INSTRUMENTS["MES"].tick_value_micros == 1_250_000


def test_random_strategies_trade_about_as_often_and_do_not_know_the_chunks_mes_sane_01() -> None:
    rng = np.random.default_rng(8)
    starts = [
        at(day, clock) + k * S
        for day in mornings(date(2025, 9, 8), 12)
        for clock, count in (("10:00:00", 495), ("16:05:02", 5))  # and when all must be flat
        for k in range(count)
    ]
    price = 24_000 + np.cumsum(rng.integers(-1, 2, 6_000))
    bars = [
        Bar(start, int(p), int(p) + 1, int(p) - 1, int(p), 20, 0, int(k % 100 == 0), 720_000)
        for k, (start, p) in enumerate(zip(starts, price, strict=True))
    ]
    plan, columns = shipped(sample="day"), columns_of(bars)
    result, calendar = traded(plan, columns)
    assert len(result.trades) >= 10
    whole, cut, other = (
        rivals_of(result, lambda size=size: iter(chunked(columns, size)), calendar, 8, seed)  # type: ignore[misc]
        for size, seed in ((6_000, 1), (1_111, 1), (6_000, 2))
    )
    assert whole.random_nets_micros.tolist() == cut.random_nets_micros.tolist() != other.random_nets_micros.tolist()
    assert len(whole.random_nets_micros) == 8
    # eight counts around the wanted one: the mean is near it, whatever the seed
    assert 0.5 * len(result.trades) < whole.random_trades.mean() < 2 * len(result.trades)
    assert whole.possible_micros is not None and whole.possible_micros > int(result.trades["net_micros"].sum())


def test_without_a_trade_there_is_nothing_to_be_as_random_as() -> None:
    bars = [Bar(at("2026-03-03", "10:00:00") + k * S, 10, 11, 9, 10, 1) for k in range(20)]
    result, calendar = traded(shipped(sample="day"), columns_of(bars))
    found = rivals_of(result, lambda: iter(chunked(columns_of(bars), 20)), calendar, 5)
    assert len(found.random_nets_micros) == 0 and found.possible_micros is None


def test_a_random_plan_is_held_against_rivals_as_well() -> None:
    """Other rules, dates and rolls: nothing is refused, and foresight stays above what was made."""
    for seed in range(4):
        rules, schedule, _, bars = draw(seed, 300)
        columns = columns_of(bars)
        result, calendar = traded(plan_with(rules, schedule), columns)
        found = rivals_of(result, lambda c=columns: iter(chunked(c, 100)), calendar, 3)  # type: ignore[misc]
        if found.possible_micros is not None:
            assert found.possible_micros >= int(result.trades["net_micros"].sum())


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_study", raising=False)
    write_strategy(tmp_path)
    return write_bars(tmp_path / "bars.parquet", days=17, bars=120)


def backtest(data: Path, json_only: bool = True, **given: Any) -> Any:
    told = StringIO()
    options: dict[str, Any] = {
        "random": 0,
        "config": PROFILE,
        "data": str(data),
        "strategy": "own_study:follow",
        "out": data.parent / "out",
    }
    call_command("backtest", stdout=told, overwrite=True, json=json_only, **(options | given))
    return json.loads(told.getvalue()) if json_only else told.getvalue()


def test_the_desk_counts_what_was_tried_on_the_same_data_mes_guard_01(data: Path) -> None:
    """By whatever command, in whatever folder; the same words once more, or another seed, are no other trial."""
    told = [
        backtest(data, changes=[f"strategy.lookback={lookback}"], seed=seed)["criticism"]["trials"]
        for lookback, seed in ((3, 1), (4, 1), (3, 2), (5, 1))
    ]
    assert [trials["count"] for trials in told] == [1, 2, 2, 3]
    assert {trials["told_by"] for trials in told} == {"the desk's registry of trials"}
    shutil.rmtree(data.parent / "out")  # a result that was thrown away was tried all the same
    criticism = backtest(data, changes=["strategy.lookback=6"], trials=2)["criticism"]
    rows = {row["name"]: row for row in criticism["rows"]}
    assert criticism["trials"]["count"] == 4, "who counts less forgets some"
    assert "After 4 trials on these data" in rows["deflated_sharpe"]["sentence"]
    assert rows["pbo"]["state"] == "no_data" and "pbo" in criticism["blocked_by"]
    assert set(OVERFIT_ROWS) <= set(rows)


def test_a_count_alone_deflates_and_the_first_trial_chose_nothing(data: Path) -> None:
    alone, many = (backtest(data, trials=count)["criticism"] for count in (1, 500))
    one, more = ({row["name"]: row for row in found["rows"]} for found in (alone, many))
    assert one["pbo"]["state"] == one["plateau"]["state"] == "not_applicable"
    assert more["pbo"]["state"] == more["plateau"]["state"] == "no_data"
    assert one["deflated_sharpe"]["value"] > more["deflated_sharpe"]["value"]
    assert "After 500 trials" in more["deflated_sharpe"]["sentence"]


def test_rivals_paths_and_costs_are_in_the_summary(data: Path) -> None:
    values = backtest(data, trials=1, random=19)
    criticism, rows = values["criticism"], {row["name"]: row for row in values["criticism"]["rows"]}
    assert criticism["baselines"]["random"]["runs"] == 19 == rows["random_as_good"]["n"]
    assert 1 / 20 <= rows["random_as_good"]["value"] <= 1
    assert 0 < rows["share_of_possible"]["value"] < 1 or float(values["trades"]["net"]) <= 0
    assert rows["buy_and_hold"]["value"] == pytest.approx(float(criticism["baselines"]["buy_and_hold"]))
    assert [row["factor"] for row in criticism["cost_stress"]] == [1.0, 1.5, 2.0]
    assert criticism["cost_stress"][0]["net"] == values["trades"]["net"]
    orders = criticism["monte_carlo"]["trades_in_other_order"]
    end = float(values["capital"]["end"])
    assert orders["end"] == [pytest.approx(end, abs=0.01)] * 5, "another order ends where this one ended"
    assert criticism["monte_carlo"]["days_drawn_anew"]["paths"] == 1_000


def test_the_end_of_the_command_says_it_in_words(data: Path) -> None:
    backtest(data, changes=["strategy.lookback=9"])  # so that something was chosen among several
    text = backtest(data, json_only=False, random=2)
    assert "What this is worth: " in text and "NO DATA" in text
    assert "breaks even at " in text and " won after costs" in text, "MES-COST-05"
    assert "buy_and_hold: One contract held from the first bar to the last" in text
    assert "None" not in text and "{" not in text


def test_values_may_be_set_by_their_path(data: Path) -> None:
    plain = backtest(data)
    changed = backtest(data, changes=["risk.stop_ticks=6", "strategy.threshold=4"])
    assert changed["run"]["set"] == {"risk.stop_ticks": 6, "strategy.threshold": 4}
    assert changed["run"]["config_hash"] != plain["run"]["config_hash"]
    assert changed["run"]["signals_hash"] != plain["run"]["signals_hash"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"trials": 0}, "--trials 0: the result itself is one"),
        ({"trials": 3, "study": Path("x")}, "give --trials or --study"),
        ({"study": Path("x")}, "x holds no study"),
        ({"random": -1}, "--random -1 is not within"),
        ({"seed": -1}, "--seed -1 is negative"),
        ({"changes": ["strategy.depth=1"]}, "has no argument depth: it has lookback, threshold"),
        ({"changes": ["risk.stop=1"]}, "risk.stop is no value that can be set"),
        ({"changes": ["risk.stop_ticks=6", "risk.stop_ticks=7"]}, "--set gives risk.stop_ticks twice"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(data: Path, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        backtest(data, **given)
    assert not (data.parent / "out").exists()


def test_the_same_decisions_are_traded_anew_at_dearer_costs_mes_guard_05(data: Path) -> None:
    """Costs are rounded up; an account that loses more may trade less, so it is no sum of the old trades."""
    criticism = backtest(data)["criticism"]
    stress = {row["factor"]: row for row in criticism["cost_stress"]}
    assert stress[1.0]["rerun"] is None and stress[1.5]["rerun"]["trades"] > 0
    nets = [float(stress[factor]["rerun"]["net"]) for factor in (1.5, 2.0)]
    row = next(row for row in criticism["rows"] if row["name"] == "net_rerun_at_cost_1_5")
    assert row["value"] == pytest.approx(nets[0]) and row["weight"] == "required"
    assert "net_rerun_at_cost_1_5" in criticism["blocked_by"] or nets[0] > 0
    dear = backtest(data, changes=["paper.slip_ticks=2"])
    assert float(dear["trades"]["net"]) > nets[0] >= nets[1], "1.5 ticks are 2, and the commission is dearer, too"


def test_costs_are_rounded_up_for_a_rerun_mes_guard_05() -> None:
    plan = dearer_plan(replace(shipped(), slip_ticks=1), Fraction(3, 2))
    assert (plan.slip_ticks, plan.instrument.fee_micros) == (2, 630_000)
    assert dearer_plan(replace(shipped(), slip_ticks=3), Fraction(3, 2)).slip_ticks == 5
