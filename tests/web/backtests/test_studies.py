"""The pages of studies, over what the real commands leave behind: best, plateau, folds, gate; broken and begun ones."""

import html
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from django.test import Client, RequestFactory

from desk.accounts.roles import OPERATOR, VIEWER
from desk.backtests import reading, studies
from desk.backtests.models import BacktestRun
from desk.backtests.pages.studies import SQUARES_MAX, _landscape, _told
from tests.data.kit import signed_in, text_of
from tests.studies.kit import optimise, walkforward, write_bars, write_strategy
from trading.run.search.ledger import FILE, Ledger

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder with a folder of studies, and a strategy where commands find it."""
    settings.VAR = tmp_path
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_study", raising=False)
    write_strategy(tmp_path)
    studies.folder().mkdir()
    return tmp_path


def test_a_search_shows_its_best_what_speaks_against_it_and_every_trial(client: Client, place: Path) -> None:
    """MES-OPT-03, N11."""
    values = optimise(write_bars(place / "bars.parquet", days=17, bars=120), "studies/search")
    olga = signed_in(client, "olga", OPERATOR)
    page = text_of(olga, "/optimisation/")
    assert 'href="/optimisation/search/"' in page and "12" in page
    page = html.unescape(text_of(olga, "/optimisation/search/"))
    assert f"{values['best']['score']:.3f}" in page and "No edge is shown." in page
    assert "After 12 trials on these data" in page and "ONE STEP AWAY" in page
    assert page.count("<polyline") == values["trials"]["feasible"]
    assert "WHICH PARAMETER MATTERS" in page and page.count("★") == 1 + 1, "the best cell, and what the sign means"
    chosen = next(iter(values["best"]["set"].items()))
    assert f"changes={chosen[0]}%3D{chosen[1]}" in page, "the best as a backtest of the page"
    whole = b"".join(olga.get("/optimisation/search/trials.csv").streaming_content)  # type: ignore[attr-defined]
    assert whole == (studies.folder() / "search" / "trials.csv").read_bytes()
    for path in ("/optimisation/search/study.sqlite3", "/optimisation/other/", "/optimisation/../study.json"):
        assert olga.get(path).status_code == 404, path


def test_a_walk_forward_shows_all_folds_and_a_gate_that_has_evidence(client: Client, place: Path) -> None:
    """MES-WF-02, MES-GATE-01: rows that the walk proves are judged, the others have no evidence."""
    data = write_bars(place / "bars.parquet", days=35, bars=120)
    values = walkforward(data, "studies/walk", param=["strategy.lookback=2,4"])
    victor = signed_in(client, "victor", VIEWER)
    page = html.unescape(text_of(victor, "/optimisation/walk/"))
    assert "GO-LIVE GATE" in page and "not passed" in page and "There is no evidence for this" in page
    assert all(fold["train"]["from"][:10] in page for fold in values["folds"])
    assert values["walk"]["robust"] or values["walk"]["why_not"] in page
    assert "As a backtest" not in page


def test_a_study_that_was_begun_and_one_that_is_broken_are_told(client: Client, place: Path) -> None:
    begun = studies.folder() / "begun"
    begun.mkdir()
    with Ledger(begun) as ledger:
        ledger.identify({"purpose": "optimise", "strategy": "own_study:follow", "space": []})
    broken = studies.folder() / "broken"
    broken.mkdir()
    (broken / FILE).write_bytes(b"no database at all, and long enough to be read as one" * 40)
    (studies.folder() / "empty").mkdir()
    victor = signed_in(client, "victor", VIEWER)
    assert sorted(studies.names()) == ["begun", "broken"]
    page = text_of(victor, "/optimisation/")
    assert "at work, or stopped" in page and "cannot be read" in page
    assert "No result yet" in text_of(victor, "/optimisation/begun/")
    assert "is no study" in text_of(victor, "/optimisation/broken/")
    (begun / "study.json").write_text("{half")
    assert "study.json: " in text_of(victor, "/optimisation/begun/")


def test_the_picture_draws_feasible_trials_through_their_values_the_best_last() -> None:
    space = [{"path": "a.b", "values": [1, 2, 3]}, {"path": "c.d", "values": [True, False]}]
    trials = pl.DataFrame(
        {"a.b": ["3", "1", "2"], "c.d": ["True", "", "False"], "score": ["2.5", "1.5", None]},
        schema={"a.b": pl.String, "c.d": pl.String, "score": pl.String},
    )
    axes, lines = studies.picture(space, trials)
    assert [axis.name for axis in axes] == ["a.b", "c.d"]
    assert [line.tone for line in lines] == ["rest", "best"], "the infeasible one is not drawn"
    best = [tuple(map(float, point.split(","))) for point in lines[-1].points.split()]
    assert best == [(studies.EDGE, studies.EDGE), (studies.WIDTH - studies.EDGE, studies.HEIGHT - studies.EDGE)]
    assert len(lines[0].points.split()) == 1, "a parameter that did not exist is passed over"
    assert lines[-1].words == "2.5: a.b 3, c.d True"


def test_the_hours_of_a_result_are_its_own_markets() -> None:
    """Ten in Moscow, where its shares trade; the futures' calendar is New York's."""
    trades = pl.DataFrame({"trading_day": ["2026-03-04"], "entry_time": ["2026-03-04T07:30:00Z"]})
    for symbol, zone, hour in (("SBER", "Europe/Moscow", 10), ("MES", "America/New_York", 2)):
        assert reading.zone_name(BacktestRun(symbol=symbol)) == zone
        ((day, cells),) = reading.heat(trades, np.array([5]), zone)
        assert day == "Wednesday" and [place for place, cell in enumerate(cells) if cell.trades] == [hour]


def test_a_heat_map_has_the_best_of_each_pair_and_ranks_it() -> None:
    space = [
        {"path": "a.b", "values": [1, 2]},
        {"path": "c.d", "values": [True, False]},
        {"path": "e.f", "values": [7]},
    ]
    trials = pl.DataFrame(
        {"a.b": ["1", "2", "1", "2"], "c.d": ["True", "True", "False", "False"], "score": ["1.5", "2.5", None, "0.5"]},
        schema={"a.b": pl.String, "c.d": pl.String, "score": pl.String},
    )
    found = studies.heat(space, trials, "a.b", "c.d")
    assert found is not None and found.columns == ["1", "2"]
    (low, below), (high, above) = found.rows
    assert (low, high) == ("False", "True"), "the last value on top"
    assert [(cell.best, cell.feasible, cell.trials) for cell in (*below, *above)] == [
        (None, 0, 1), (0.5, 1, 1), (1.5, 1, 1), (2.5, 1, 1),
    ]  # fmt: skip
    assert [cell.top for cell in above] == [False, True] and above[1].strength == 4 > below[1].strength
    assert studies.heat(space, trials, "a.b", "a.b") is None and studies.heat(space, trials, "a.b", "x.y") is None
    names = [name for name, weight in studies.weights(space, trials)]
    assert names[-1] == "e.f", "what cannot be told comes last"


def test_a_file_of_another_version_takes_nothing_down_but_itself(client: Client, place: Path) -> None:
    old = studies.folder() / "old"
    old.mkdir()
    with Ledger(old) as ledger:
        ledger.identify({"purpose": "walkforward", "strategy": "own_study:follow", "space": []})
    (old / "walkforward.json").write_text('{"study": {}, "folds": []}')
    victor = signed_in(client, "victor", VIEWER)
    assert "it says nothing of walk, efficiency" in text_of(victor, "/optimisation/")
    assert "cannot be shown whole" in text_of(victor, "/optimisation/old/")


def test_a_heat_map_of_many_values_is_not_made_whatever_the_address_asks(rf: RequestFactory) -> None:
    """A page that anybody may read makes at most SQUARES_MAX squared cells."""
    many = list(range(SQUARES_MAX + 1))
    space = [{"path": "a.b", "values": many}, {"path": "c.d", "values": many}, {"path": "e.f", "values": [1, 2]}]
    told = {"a.b": ["1", "2"], "c.d": ["2", "3"], "e.f": ["1", "2"], "score": ["1.5", "2.5"]}
    trials = pl.DataFrame(told)
    for asked in ("?x=a.b&y=c.d", "?x=e.f&y=c.d", ""):
        assert _landscape(space, trials, rf.get(f"/{asked}"))["map"] is None, asked
    space.append({"path": "g.h", "values": [3, 4]})
    trials = trials.with_columns(pl.Series("g.h", ["3", "4"]))
    found = _landscape(space, trials, rf.get("/?x=a.b&y=e.f"))["map"]
    assert found is not None and {found.x, found.y} == {"e.f", "g.h"}


def test_what_was_searched_is_told_in_words() -> None:
    assert _told({}) is None and _told("") is None and _told(None) is None and _told(7) == 7
    assert _told({"train": 14, "test": 7}) == "train 14, test 7"
    assert _told({"folds": {"train": 14, "step_days": 7}, "prune": False}) == "folds: train 14, step days 7; prune no"
    assert _told(["MES", {"days": 3}]) == "MES, days 3"
