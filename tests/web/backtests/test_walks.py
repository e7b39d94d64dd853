"""Walk-forwards, shared studies and backtests over books from the browser: forms, estimates, words of the commands."""

import html
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from desk.accounts.roles import OPERATOR
from desk.backtests import runs, searches, strategies
from desk.backtests.models import FAILED, WALK, BacktestRun, SearchRun
from desk.backtests.pages import searching
from desk.backtests.pages.starting import fields_of as run_fields
from marketdata.models import DataSet
from tests.data.kit import signed_in, text_of
from tests.web.backtests.test_searches import ASKED, ask, stored

__all__ = ["stored"]  # a fixture
pytestmark = pytest.mark.django_db
FOLDS = {
    "mode": "rolling", "unit": "day", "train": 4, "validation": 3, "test": 3, "step": 3, "holdout": None, "embargo": 1,
    "choose": 3, "fold_trades": 5,
}  # fmt: skip
POLICY = '''
class Leaning:
    """Follows the heavier side."""

    def __init__(self, share=0.7):
        self.share = share

    def on_event(self, event, depth, view):
        return None


class Deaf:
    def hear(self, event):
        return None
'''


def walk(stored: DataSet, name: str = "walked", **other: Any) -> SearchRun:
    return ask(stored, name, **{"purpose": WALK, "walk": FOLDS, **other})


def test_a_walk_forward_gets_its_words_and_a_shared_study_its_workers(stored: DataSet) -> None:
    """MES-WF-01: what was left empty is the unit's own length, said by the command alone."""
    words = searches.command_of(walk(stored, distributed=True))
    assert words[2] == "walkforward" and "--distributed" in words and "--workers" not in words
    told = {"--mode=rolling", "--unit=day", "--train=4", "--fold-trades=5", "--choose=3", "--embargo=1"}
    assert told <= set(words) and not [word for word in words if word.startswith("--holdout")]
    assert searches.command_of(ask(stored))[2] == "optimise" and ASKED.walk == {}


def test_the_estimate_of_a_walk_counts_folds_and_tells_why_one_cannot_be_run(client: Client, stored: DataSet) -> None:
    DataSet.objects.update(last_ns=stored.last_ns + 20 * 86_400 * 10**9)  # the calendar alone is asked
    olga = signed_in(client, "olga", OPERATOR)
    fields = searching.fields_of(walk(stored)) | {"name": "mine"}
    page = html.unescape(text_of(olga, "/optimisation/new/walk/", data=fields))
    assert "folds that can be run" in page and "Run the walk-forward" in page and "in each fold" in page
    assert "on all workers of the queue" not in page, "nobody answers here"
    for field, value, words in (
        ("step", "0", "tests would overlap"),
        ("holdout", "1", "with --unit day end the data earlier"),
        ("train", "900", "at least 3 are needed"),
        ("name", "start", "This is no name of a study."),
    ):
        refused = html.unescape(text_of(olga, "/optimisation/new/walk/", 422, data={**fields, field: value}))
        assert words in refused and "start-search" not in refused, (field, value)
    shared = olga.post("/optimisation/start/walk/", {**fields, "distributed": "on"})
    assert shared.status_code == 422 and "nobody to share the trials with" in html.unescape(shared.content.decode())
    assert not SearchRun.objects.filter(name="mine").exists()
    assert "walk-forward walked" in text_of(olga, "/optimisation/walked/"), "as a job, before anything of it is written"


@pytest.fixture
def tape(stored: DataSet, settings: Any) -> DataSet:
    """A row that stands for a stored tape of books: an estimate reads no more of it."""
    path = Path(settings.VAR) / "market" / "books.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    Path(settings.STRATEGIES).mkdir(exist_ok=True)
    (Path(settings.STRATEGIES) / "leaning.py").write_text(POLICY)
    return DataSet.objects.create(
        path="market/books.json", kind="books", symbols=["MES"], rows=9_000, first_ns=10**18,
        last_ns=10**18 + 600 * 10**9,
        source="lobster.csv", source_hash="a" * 64, request={}, report={}, created_by="olga",
    )  # fmt: skip


def books(tape: DataSet, **other: Any) -> BacktestRun:
    asked = runs.Request(
        "demo-mes@1", "MES", "policy:leaning:Leaning", [], "", "", 1, 0, books=True, latency="20 ms", seconds=60
    )._replace(**other)
    return runs.ask(tape, asked, "olga", lambda run_id: "")


def test_a_policy_is_found_without_being_run_and_is_part_of_the_trial(tape: DataSet) -> None:
    """N11: another latency or length is another trial; a seed is one only where latencies are drawn."""
    (found,) = strategies.policies().values()
    assert found.words == "policy:leaning:Leaning" and found.arguments == ("strategy.share=0.7",)
    assert found.about == "Follows the heavier side."
    first = books(tape)
    assert len({books(tape, **other).trial for other in ({}, {"latency": "30 ms"}, {"seconds": 61})}) == 3
    assert books(tape, seed=2).trial == first.trial
    assert books(tape, latency="session:1", seed=2).trial != books(tape, latency="session:1").trial
    before = first.trial
    (strategies.folder() / "leaning.py").write_text(POLICY + "\n# changed\n")
    assert books(tape, elsewhere=1).trial != before


def test_the_command_over_books_gets_every_word_and_writes_its_fills(tape: DataSet) -> None:
    row = books(tape)
    words = runs.command_of(row)
    assert {"--books", "--latency=20 ms", "--seconds=60"} <= set(words)
    assert not [word for word in words if word.startswith(("--from", "--to"))]
    assert runs.files_of(row) == (*runs.FILES, "fills.csv")
    assert runs.trials_of(row) == 1, "no study is of books"


def test_a_backtest_over_books_is_estimated_started_and_changed_from_the_browser(client: Client, tape: DataSet) -> None:
    olga = signed_in(client, "olga", OPERATOR)
    row = books(tape)
    fields = run_fields(row)
    page = html.unescape(text_of(olga, "/backtests/books/", data=fields))
    assert "start-backtest" in page and "latency of requests" in page and ">900<" in page, "a tenth of the tape"
    for field, value, words in (
        ("latency", "soon", "This is no time with its unit"),
        ("latency", "99 s", "no shorter than ack_timeout"),
        ("latency", "session:77", "this desk has no journal of such a session"),
        ("strategy", "policy:os:system", "not one of the available choices"),
        ("data", str(DataSet.objects.get(bar_ns__gt=0).pk), "not one of the available choices"),
        ("symbol", "SBER", "not SBER"),
    ):
        refused = html.unescape(text_of(olga, "/backtests/books/", 422, data={**fields, field: value}))
        assert words in refused and "start-backtest" not in refused, (field, value)
    made = olga.post("/backtests/books/start/", {**fields, "seed": "5"})
    assert made.status_code == 302
    page = html.unescape(text_of(olga, made.headers["location"]))
    assert "20 ms" in page and "the first 60 s" in page
    assert BacktestRun.objects.filter(books=True, seed=5).exists()
    BacktestRun.objects.filter(pk=row.pk).update(state=FAILED, detail="it failed")
    page = text_of(olga, f"/backtests/{row.pk}/")
    assert "/backtests/books/?" in page, "changed on the form that it came from"
