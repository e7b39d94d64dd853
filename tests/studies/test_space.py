"""A space of parameters: exact ranges, ties, its size, its neighbours, and what is refused (MES-OPT-01)."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studies.kit import PROFILE, write_bars, write_strategy
from trading.management.history import opened
from trading.research.luck.plateau import ABSENT, Axis
from trading.research.records import ResearchError
from trading.research.search.space import flag_of, space_of
from trading.studies.management.commands.optimise import Command
from trading.studies.opening import check_space, space_from
from trading.studies.spaces import shipped_spaces, space_file

TIED: dict[str, object] = {
    "risk.stop_method": ["fixed", "atr"],
    "risk.stop_ticks": {"from": 4, "to": 8, "step": 2, "when": {"risk.stop_method": "fixed"}},
    "risk.stop_atr": {"from": 1, "to": 1.5, "step": 0.25, "when": {"risk.stop_method": "atr"}},
    "risk.confidence_min": {"from": 60, "to": 65, "step": 5, "unit": "%"},
}


def test_a_range_is_counted_in_decimals_mes_opt_01() -> None:
    tenths = space_of({"strategy.x": {"from": 0.1, "to": 0.9, "step": 0.1}}).parameters[0]
    assert tenths.values == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9) and tenths.ordered
    whole = space_of({"strategy.x": {"from": "2", "to": "6", "step": "2"}}).parameters[0]
    assert whole.values == (2, 4, 6) and all(isinstance(value, int) for value in whole.values)
    shares = space_of(TIED).parameters[3]
    assert shares.values == ("60 %", "65 %")


def test_a_tied_parameter_exists_only_with_its_choice() -> None:
    """(3 + 3) x 2 points, each with one of the two parameters."""
    space = space_of(TIED)
    points = list(space.points())
    assert len(points) == space.size() == 12 and len(set(points)) == 12
    assert all((point[1] == ABSENT) != (point[2] == ABSENT) for point in points)
    assert all(space.holds(point) for point in points)
    assert not space.holds((0, 0, 0, 0)) and not space.holds((0, ABSENT, ABSENT, 0)) and not space.holds((0, 0))
    values = space.values((1, ABSENT, 2, 0))
    assert values == {"risk.stop_method": "atr", "risk.stop_atr": 1.5, "risk.confidence_min": "60 %"}
    assert space.settled((1, 2, ABSENT, 0)) == (1, ABSENT, 1, 0)


def test_the_spaces_of_the_document_have_its_sizes() -> None:
    """mes_scalping: (7 + 9) x 11 x 6 x 3 = 3,168 combinations, without walking through them."""
    space = space_of(
        {
            "risk.stop_method": ["fixed", "atr"],
            "risk.stop_ticks": {"from": 4, "to": 16, "step": 2, "when": {"risk.stop_method": "fixed"}},
            "risk.stop_atr": {"from": 1, "to": 3, "step": 0.25, "when": {"risk.stop_method": "atr"}},
            "risk.target_ticks": {"from": 4, "to": 24, "step": 2},
            "risk.confidence_min": {"from": 60, "to": 85, "step": 5, "unit": "%"},
            "risk.tier_max": {"from": 1, "to": 2, "step": 0.5, "unit": "%"},
        }
    )
    assert space.size() == 3_168 == sum(1 for _ in space.points())
    large = space_of({f"strategy.p{k}": {"from": 1, "to": 100, "step": 1} for k in range(9)})
    assert large.size() == 10**18


def test_neighbours_are_one_step_away_along_what_has_an_order_mes_opt_06() -> None:
    space = space_of(TIED)
    assert sorted(space.neighbours((0, 1, ABSENT, 0))) == [(0, 0, ABSENT, 0), (0, 1, ABSENT, 1), (0, 2, ABSENT, 0)]
    assert all(space.holds(other) for point in space.points() for other in space.neighbours(point))
    assert space.axes()[0] == Axis("risk.stop_method", 2, ordered=False)


def test_random_points_are_points_and_reach_all() -> None:
    space = space_of(TIED)
    rng = np.random.default_rng(3)
    drawn = {space.random_point(rng) for _ in range(500)}
    assert drawn == set(space.points())


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("risk.stop_ticks=4..16/2", {"from": "4", "to": "16", "step": "2", "unit": ""}),
        ("risk.confidence_min=60..85/5 %", {"from": "60", "to": "85", "step": "5", "unit": "%"}),
        ("risk.stop_method=fixed, atr", ["fixed", "atr"]),
        ("strategy.depth=1,2.5,deep,true", [1, 2.5, "deep", True]),
    ],
)
def test_a_flag_says_what_a_file_says(text: str, meaning: object) -> None:
    assert flag_of(text) == (text.partition("=")[0], meaning)
    assert space_of(dict([flag_of(text)])).size() >= 2


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({}, "there is no parameter to search"),
        ({"a.b": 3}, "give a list of choices, or from, to and step"),
        ({"a.b": []}, "a.b has no choices"),
        ({"a.b": [1, 1]}, "a.b has a choice twice"),
        ({"a.b": [None]}, "None is no choice"),
        ({"a.b": {"from": 1, "to": 2}}, "a.b lacks step"),
        ({"a.b": {"from": 1, "to": 2, "step": 0}}, "is no range upward"),
        ({"a.b": {"from": 3, "to": 2, "step": 1}}, "is no range upward"),
        ({"a.b": {"from": 1, "to": 4, "step": 2}}, "4 is not reached from 1 in steps of 2; the last is 3"),
        ({"a.b": {"from": 0, "to": 10, "step": 0.0001}}, "100,001 values, 10,000 at most"),
        ({"a.b": {"from": "60 %", "to": 80, "step": 5}}, "from '60 %' is no number; a unit stands beside it"),
        ({"a.b": {"from": 1, "to": 2, "step": 1, "by": 3}}, "'by' is none of choices, from, to"),
        ({"a.b": {"from": 1, "to": 2, "step": 1, "when": {"a.c": 1}}}, "tied to a.c, which is not declared before"),
        ({"a.c": [1, 2], "a.b": {"choices": [1, 2], "when": {"a.c": 3}}}, "a.c = 3, which is none of its values"),
        (
            {"a.c": {"from": 1, "to": 2, "step": 1}, "a.b": {"choices": [1], "when": {"a.c": 1}}},
            "tied to a.c, which is a range",
        ),
        ({f"a.b{k}": [1, 2] for k in range(40)}, "40 parameters are more than the 32"),
    ],
)
def test_what_is_no_space_is_refused_in_one_sentence(declared: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ResearchError, match=sentence):
        space_of(declared)


@pytest.mark.parametrize("text", ["risk.stop_ticks", "=1,2", "risk.stop_ticks=", "risk.stop_ticks=4..16"])
def test_a_flag_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ResearchError, match="--param"):
        flag_of(text)


SHIPPED = {"entry_filters": 336, "mes_scalping": 3_168, "quick_search": 36, "risk_only": 16}


def test_every_shipped_space_has_the_points_of_the_rulebook_mes_opt_01() -> None:
    assert shipped_spaces() == sorted(SHIPPED)
    assert {name: space_of(space_file(name)).size() for name in SHIPPED} == SHIPPED


def test_in_a_shipped_space_a_stop_is_measured_one_way() -> None:
    space = space_of(space_file("mes_scalping"))
    methods = {"fixed": 0, "atr": 0}
    for point in space.points():
        values = space.values(point)
        method = str(values["risk.stop_method"])
        methods[method] += 1
        assert ("risk.stop_ticks" in values) == (method == "fixed") and ("risk.stop_atr" in values) == (method == "atr")
    assert methods == {"fixed": 7 * 198, "atr": 9 * 198}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_the_shipped_profile_trades_every_value_of_a_shipped_space(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_study", raising=False)
    write_strategy(tmp_path)
    data = write_bars(tmp_path / "bars.parquet", days=2, bars=40)
    words = ["--config", PROFILE, "--data", str(data), "--strategy", "own_study:follow", "--space", name]
    options = vars(Command().create_parser("manage.py", "optimise").parse_args(words))
    space = space_from(options)
    check_space(space, opened(options, "day"))  # raises for what can never be traded
    assert space.size() == SHIPPED[name]


def test_a_name_that_is_no_space_is_refused_with_those_that_are() -> None:
    with pytest.raises(ResearchError, match="--space own_filters is no file and none of entry_filters, mes_scalping"):
        space_file("own_filters")
    with pytest.raises(FileNotFoundError):
        space_file("nowhere.yaml")
