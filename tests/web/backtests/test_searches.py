"""Searches as jobs over the database: asked by name, estimated, refused, cancelled, gone on with; who may what."""

import html
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from desk.accounts.roles import OPERATOR, VIEWER
from desk.audit.models import AuditRecord
from desk.backtests import searches, studies
from desk.backtests.models import CANCELLED, DONE, FAILED, RUNNING, WAITING, SearchRun
from desk.backtests.pages.searching import fields_of
from desk.data.deleting import users
from marketdata import imports
from marketdata.models import DataSet
from tests.bootstrap import ROOT
from tests.data.kit import asked as import_asked
from tests.data.kit import signed_in, text_of
from tests.data.recordings import minutes
from trading.configs import ship

pytestmark = pytest.mark.django_db
DIPS = "trading.studies.examples:dips"
ASKED = searches.Request(
    "demo-mes@1", "MES", DIPS, [], "", "", "", ["strategy.depth=2..6/1", "risk.stop_ticks=6..12/3"], "grid", 0,
    "sharpe", 5, 1,
)  # fmt: skip


@pytest.fixture
def stored(tmp_path: Path, settings: Any) -> DataSet:
    """Seven days of minutes, in a runtime folder of the test's own."""
    settings.VAR = tmp_path / "var"
    settings.STRATEGIES = tmp_path / "strategies"
    settings.IMPORT_FOLDERS = [tmp_path]
    minutes(tmp_path / "ES_1min.csv")
    run = imports.ask(import_asked("ES_1min.csv"), 2000, "olga", lambda run_id: "")
    assert imports.run(run.pk) == DONE
    ship()
    return DataSet.objects.get()


def ask(stored: DataSet, name: str = "first", **other: Any) -> SearchRun:
    return searches.ask(name, stored, ASKED._replace(**other), "olga", lambda run_id: "")


def test_one_search_at_a_time_writes_a_study(stored: DataSet) -> None:
    first = ask(stored)
    assert ask(stored).pk == first.pk and ask(stored, "second").pk != first.pk
    with pytest.raises(searches.Busy, match="of other data or words"):
        ask(stored, seed=2)
    broken = searches.ask("third", stored, ASKED, "olga", lambda run_id: "connection refused")
    assert broken.state == FAILED and "connection refused" in broken.detail
    SearchRun.objects.filter(pk=first.pk).update(state=DONE, finished_at=timezone.now())
    assert ask(stored, trials=50).pk != first.pk, "more trials go on with it"
    assert [row.name for row in searches.open_ones()] == ["second", "first"]


def test_the_command_gets_every_word(stored: DataSet) -> None:
    row = ask(stored, space="risk_only", trials=9, changes=["paper.slip_ticks=2"], first="2024-01-02", method="random")
    words = searches.command_of(row)
    assert words[2] == "optimise" and words[words.index("--out") + 1] == str(studies.folder() / "first")
    told = ("--space=risk_only", "--trials=9", "--param=strategy.depth=2..6/1", "--set=paper.slip_ticks=2")
    assert {*told, "--from=2024-01-02", "--option=as_symbol=ES:MES"} <= set(words)
    assert words[words.index("--method") + 1] == "random" and "--progress-lines" in words


def test_a_search_is_started_cancelled_and_gone_on_with_from_the_browser(client: Client, stored: DataSet) -> None:
    """UI-10: by role, noted in the audit; the page of the study shows the job before anything of it is written."""
    row = ask(stored)
    victor = signed_in(client, "victor", VIEWER)
    page = text_of(victor, "/optimisation/")
    assert "search first" in page and "New search" not in page and "Cancel search first" not in page
    assert "Your role, viewer, does not include" in text_of(victor, "/optimisation/new/", 403)
    posts = ["/optimisation/start/", "/optimisation/first/cancel/", "/optimisation/first/again/"]
    assert [victor.post(path).status_code for path in posts] == [403] * 3
    olga = signed_in(Client(), "olga", OPERATOR)
    assert "waits for the batch worker" in text_of(olga, "/optimisation/first/")
    assert olga.post(posts[1]).headers["location"] == "/optimisation/first/"
    row.refresh_from_db()
    assert row.state == CANCELLED and searches.run(row.pk) == ""
    page = text_of(olga, "/optimisation/first/")
    assert "Cancelled." in page and "Go on" in page
    assert "Nothing to cancel" in text_of(olga, olga.post(posts[1]).headers["location"])
    assert [olga.post(f"/optimisation/none/{deed}/").status_code for deed in ("cancel", "again")] == [404, 404]
    assert AuditRecord.objects.filter(action="search_cancelled", actor="olga", object="study first").exists()


def test_the_estimate_counts_points_and_refuses_with_a_sentence(client: Client, stored: DataSet) -> None:
    """MES-OPT-01: what can never be tried is refused before the first trial."""
    olga = signed_in(client, "olga", OPERATOR)
    fields = fields_of(ask(stored, "other")) | {"name": "mine"}
    page = html.unescape(text_of(olga, "/optimisation/new/", data=fields))
    assert "start-search" in page and "no search has run here yet" in page and ">15 <" in page
    for field, value, words in (
        ("name", "../evil", "This is no name of a study."),
        ("name", "new", "This is no name of a study."),
        ("params", "", "Name a parameter to search"),
        ("params", "risk.stop_ticks=6..12", "has no step"),
        ("params", "risk.nothing=1,2", "nothing"),
        ("params", "risk.stop_ticks=0,4", "can never be traded"),
        ("params", "strategy.width=1,2", "takes no strategy.width; it takes: strategy.depth, strategy.lookback"),
        ("space", "none_such", "not one of the available choices"),
        ("strategy", "os:system", "not one of the available choices"),
        ("first", "2030-01-01", "the data ends before"),
    ):
        refused = html.unescape(text_of(olga, "/optimisation/new/", 422, data={**fields, field: value}))
        assert words in refused and "start-search" not in refused, (field, value)
    assert olga.post("/optimisation/start/", {**fields, "strategy": "os:system"}).status_code == 422
    assert olga.post("/optimisation/start/", {**fields, "name": "other", "seed": "2"}).status_code == 422
    assert not SearchRun.objects.exclude(name="other").exists()


def test_what_a_search_reads_does_not_go_and_one_that_lost_its_process_says_so(client: Client, stored: DataSet) -> None:
    row = ask(stored)
    assert users(stored) == ["search first"]
    long_ago = timezone.now() - timedelta(seconds=SearchRun.LOST_S + 60)
    SearchRun.objects.filter(pk=row.pk).update(state=RUNNING, started_at=long_ago, beat_at=long_ago)
    page = text_of(signed_in(client, "olga", OPERATOR), "/optimisation/first/")
    assert "its process ended without a result; what it tried is kept" in page and "Go on" in page
    assert users(stored) == [] and ask(stored).state == WAITING


def test_a_command_whose_worker_ignores_ctrl_c_hears_it() -> None:
    """Celery's processes ignore it, and what they start would inherit that: a cancel would wait to kill."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        wrapper = [sys.executable, "-m", "desk.ops.child", "--signal", "SIGTERM", "--hear", "SIGINT", "--"]
        code = "import time; print('up', flush=True); time.sleep(600)"
        child = subprocess.Popen(
            [*wrapper, sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert child.stdout is not None and child.stdout.readline() == b"up\n"
    child.send_signal(signal.SIGINT)
    assert child.wait(120) == -signal.SIGINT
    child.stdout.close()
