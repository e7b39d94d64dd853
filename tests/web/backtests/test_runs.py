"""Backtests as jobs over the database: asked once, counted as trials, cancelled, lost, deleted; who may what."""

import hashlib
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from desk.accounts.roles import ADMIN, OPERATOR, VIEWER
from desk.audit.models import AuditRecord
from desk.backtests import runs, strategies, working
from desk.backtests.models import CANCELLED, DONE, FAILED, RUNNING, WAITING, BacktestRun
from desk.backtests.reading import distribution, fault_of, line
from desk.data.deleting import users
from desk.ops.selectors import batch_busy
from marketdata import imports
from marketdata.models import DataSet, ImportRun
from marketdata.selectors import data_set_path
from marketdata.services import DeleteRefused, delete_data_set
from marketdata.store.coverage import look
from tests.data.kit import asked as import_asked
from tests.data.kit import signed_in, text_of
from tests.data.recordings import minutes
from tests.web.seed import PASSWORD
from trading.configs import ship
from trading.run.search.ledger import FILE, Ledger, Trial

pytestmark = pytest.mark.django_db
DIPS = "trading.studies.examples:dips"
ASKED = runs.Request("demo-mes@1", "MES", DIPS, [], "", "", 1, 0)


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


def ask(stored: DataSet, **other: Any) -> BacktestRun:
    return runs.ask(stored, ASKED._replace(**other), "olga", lambda run_id: "")


def finish(run: BacktestRun, **other: Any) -> BacktestRun:
    """A result with three small files and their manifest."""
    folder = runs.folder_of(run)
    folder.mkdir(parents=True)
    files = {}
    for name in runs.FILES:
        (folder / name).write_text(name)
        files[name] = [len(name), hashlib.sha256(name.encode()).hexdigest()]
    fields = {"state": DONE, "finished_at": timezone.now(), "files": files, "trials": 1, **other}
    BacktestRun.objects.filter(pk=run.pk).update(**fields)
    run.refresh_from_db()
    return run


def test_the_same_open_request_is_one_run_and_an_unheard_queue_fails_it(stored: DataSet) -> None:
    first = ask(stored)
    assert ask(stored).pk == first.pk and ask(stored, seed=2).pk != first.pk
    broken = runs.ask(stored, ASKED._replace(seed=3), "olga", lambda run_id: "connection refused")
    assert broken.state == FAILED and "connection refused" in broken.detail


def test_every_different_trial_on_the_same_data_counts_and_goes_on_counting_when_deleted(stored: DataSet) -> None:
    """N11: other values are other trials, another seed is not; what is told of elsewhere is added."""
    assert runs.trials_of(ask(stored)) == 1
    finish(ask(stored))
    finish(ask(stored, changes=["strategy.depth=4"]))
    assert runs.trials_of(ask(stored, seed=9)) == 2, "the same trial, drawn with another seed"
    third = ask(stored, changes=["strategy.depth=5"], elsewhere=10)
    assert runs.trials_of(third) == 13
    for row in BacktestRun.objects.filter(state=DONE):
        runs.delete_files(row.pk, "alice", lambda row: None)
        assert not runs.folder_of(row).exists()
    assert runs.trials_of(third) == 13


def test_the_trials_of_a_study_on_the_same_data_count(stored: DataSet) -> None:
    """N11: who searches, and runs the best from the page, has not tried once."""
    run = ask(stored)
    digest = look(data_set_path(stored)).data_hash
    for name, data_hash, count in (("optimise-1", digest, 3), ("walkforward-1", digest, 2), ("optimise-2", "00", 50)):
        folder = runs.folder_of(run).parent.parent / runs.STUDIES / name
        folder.mkdir(parents=True)
        with Ledger(folder) as ledger:
            ledger.identify({"data_hash": data_hash})
            ledger.add([Trial("study", "proposed", (k,), 1.0, "", 1, 1, 0.5, "abc", None) for k in range(count)])
    assert runs.trials_of(run) == 1 + 3 + 2
    (folder / FILE).write_bytes(b"no database at all, and long enough to be read as one" * 40)
    assert runs.run(run.pk) == FAILED, "how often was tried is not known"
    assert "is no study" in BacktestRun.objects.get(pk=run.pk).detail


def test_another_code_of_a_strategy_is_another_trial(stored: DataSet) -> None:
    strategies.folder().mkdir()
    file = strategies.folder() / "mine.py"
    file.write_text("def decide(bars, depth=2):\n    return bars.close * 0\n")
    first = ask(stored, strategy="mine:decide")
    file.write_text("def decide(bars, depth=3):\n    return bars.close * 0\n")
    assert ask(stored, strategy="mine:decide").trial != first.trial


def test_strategies_are_read_and_never_imported(stored: DataSet) -> None:
    place = strategies.folder()
    place.mkdir()
    (place / "evil.py").write_text(
        "raise SystemExit\ndef decide(bars):\n    return 1\ndef _own(bars): ...\ndef no(x): ...\n"
    )
    (place / "broken.py").write_text("def (")
    (place / "not-a-name.py").write_text("def decide(bars): ...\n")
    found = strategies.offered()
    assert [*found] == ["evil:decide", DIPS, "trading.studies.examples:crossing"]
    assert found[DIPS].arguments == ("strategy.depth=3", "strategy.lookback=10")


def test_a_run_that_lost_its_process_is_shown_as_failed_and_can_be_asked_for_again(stored: DataSet) -> None:
    run = ask(stored)
    long_ago = timezone.now() - timedelta(seconds=BacktestRun.LOST_S + 60)
    BacktestRun.objects.filter(pk=run.pk).update(state=RUNNING, started_at=long_ago, beat_at=long_ago)
    run.refresh_from_db()
    assert run.looked().state == FAILED and "run it again" in run.detail
    again = ask(stored)
    assert again.pk != run.pk and again.state == WAITING
    assert BacktestRun.objects.get(pk=run.pk).state == FAILED, "closed by who asked next"


def test_a_waiting_run_ends_at_once_and_is_not_taken_by_the_worker(stored: DataSet) -> None:
    run = ask(stored)
    assert runs.cancel(run.pk, "olga") and runs.run(run.pk) == ""
    assert BacktestRun.objects.get(pk=run.pk).state == CANCELLED
    assert not runs.cancel(run.pk, "olga"), "it is over"


def test_an_import_behind_a_long_backtest_is_not_given_up(stored: DataSet) -> None:
    """One queue for all jobs: who waits is lost only when nothing of any kind is before it."""
    waiting = imports.ask(import_asked("ES_1min.csv"), 2000, "olga", lambda run_id: "")
    ImportRun.objects.update(asked_at=timezone.now() - timedelta(seconds=ImportRun.QUEUE_S + 60), finished_at=None)
    assert imports.find_run(waiting.pk).state == FAILED
    run = ask(stored)
    BacktestRun.objects.filter(pk=run.pk).update(state=RUNNING, beat_at=timezone.now())
    assert imports.find_run(waiting.pk).state == WAITING
    assert batch_busy() == f"backtest {run.pk}", "what a drill would wait for"


def test_data_that_an_open_backtest_reads_do_not_go(client: Client, stored: DataSet) -> None:
    run = ask(stored)
    assert users(stored) == [f"backtest {run.pk}"]
    alice = signed_in(client, "alice", ADMIN)
    page = text_of(alice, f"/data/{stored.pk}/delete/")
    assert f"backtest {run.pk}" in page and "Delete it for good" not in page
    with pytest.raises(DeleteRefused, match=f"is used by backtest {run.pk}"):
        delete_data_set(stored.pk, users)
    assert runs.cancel(run.pk, "olga") and users(stored) == []
    finish(ask(stored, seed=2))
    page = text_of(alice, f"/data/{stored.pk}/delete/")
    assert "1 result was made from it" in page and "Delete it for good" in page
    delete_data_set(stored.pk, users)
    assert BacktestRun.objects.filter(state=DONE, data_set=None, data_path=stored.path).count() == 1


def test_a_result_whose_files_are_gone_or_changed_says_so(client: Client, stored: DataSet) -> None:
    run = finish(ask(stored))
    assert fault_of(run) == ""
    (runs.folder_of(run) / "summary.json").write_text("summary_json")
    assert "changed behind the desk's back" in fault_of(run)
    (runs.folder_of(run) / "equity.csv").unlink()
    page = text_of(signed_in(client, "victor", VIEWER), f"/results/{run.pk}/", 410)
    assert "its file equity.csv is gone" in page
    assert client.get(f"/results/{run.pk}/equity.csv").status_code == 410
    assert client.get(f"/results/{run.pk}/secret_key").status_code == 404


def test_a_viewer_reads_an_operator_runs_and_an_admin_deletes_with_step_up(client: Client, stored: DataSet) -> None:
    """UI-10: by role; the delete with reason and password, noted in the audit."""
    run, waiting = finish(ask(stored)), ask(stored, seed=2)
    victor = signed_in(client, "victor", VIEWER)
    assert "New backtest" not in text_of(victor, "/backtests/")
    assert f"Cancel backtest {waiting.pk}" not in text_of(victor, f"/backtests/{waiting.pk}/")
    assert "Your role, viewer, does not include" in text_of(victor, "/backtests/new/", 403)
    posts = ["/backtests/start/", f"/backtests/{waiting.pk}/cancel/", f"/backtests/{run.pk}/again/"]
    assert [victor.post(path).status_code for path in [*posts, f"/results/{run.pk}/delete/"]] == [403] * 4
    olga = signed_in(Client(), "olga", OPERATOR)
    assert olga.post(posts[1]).status_code == 302
    assert BacktestRun.objects.get(pk=waiting.pk).state == CANCELLED
    where = f"/results/{run.pk}/delete/"
    assert olga.post(where, {"reason": "no longer needed", "password": PASSWORD}).status_code == 403
    alice = signed_in(Client(), "alice", ADMIN)
    found = re.search(r'name="ticket" value="([^"]+)"', text_of(alice, where))
    assert found is not None
    form = {"reason": "no longer needed", "ticket": found[1]}
    assert alice.post(where, form).status_code == 422
    assert alice.post(where, form | {"password": PASSWORD}).headers["location"] == "/backtests/"
    assert not runs.folder_of(run).exists()
    assert AuditRecord.objects.get(action="result_deleted").actor == "alice"
    assert AuditRecord.objects.filter(action="backtest_cancelled", actor="olga").exists()
    assert "files deleted" in text_of(alice, "/backtests/")
    assert "alice deleted its files" in text_of(alice, f"/results/{run.pk}/", 410)


def test_the_estimate_comes_before_the_start_and_refuses_with_a_sentence(client: Client, stored: DataSet) -> None:
    olga = signed_in(client, "olga", OPERATOR)
    fields = {
        "data": str(stored.pk),
        "config": "demo-mes@1",
        "symbol": "MES",
        "strategy": DIPS,
        "seed": "1",
        "elsewhere": "0",
    }
    page = text_of(olga, "/backtests/new/", data=fields)
    assert "2,000" in page and "MiB" in page and "no backtest has run here yet" in page and "start-backtest" in page
    for field, value, words in (
        ("strategy", "os:system", "not one of the available choices"),
        ("changes", "risk.stop_ticks", "is not PATH=VALUE"),
        ("changes", "risk.nothing=3", "nothing"),
        ("first", "2030-01-01", "the data ends before"),
        ("symbol", "SBER", "not one of the available choices"),
    ):
        refused = text_of(olga, "/backtests/new/", 422, data={**fields, field: value})
        assert words in refused and "start-backtest" not in refused, (field, value)
    assert olga.post("/backtests/start/", {**fields, "strategy": "os:system"}).status_code == 422
    assert not BacktestRun.objects.exists()


def test_the_list_is_filtered_by_its_address(client: Client, stored: DataSet) -> None:
    done, waiting = finish(ask(stored)), ask(stored, seed=2)
    olga = signed_in(client, "olga", OPERATOR)
    page = text_of(olga, "/backtests/?state=done")
    assert f'href="/results/{done.pk}/"' in page and f'<a href="/backtests/{waiting.pk}/"><b>' not in page
    assert "No run fits these filters" in text_of(olga, "/backtests/?day=2001-01-01")
    assert f'href="/results/{done.pk}/"' in text_of(olga, f"/backtests/?day={timezone.now():%Y-%m-%d}&data={stored.pk}")


def test_a_picture_keeps_every_extreme_and_bars_keep_every_trade() -> None:
    import numpy as np

    at = np.arange(100_000, dtype=np.int64)
    y = np.full(100_000, 50.0)
    y[61_803], y[70_001] = 3.0, 97.0  # one point each among a hundred of their columns
    heights = {float(point.partition(",")[2]) for point in line(at, y, 0, 99_999).split()}
    assert heights == {3.0, 50.0, 97.0}
    bins = distribution(np.array([-12_500_000, 0, 7_500_000, 12_500_000], np.int64))
    assert sum(item.trades for item in bins) == 4
    assert [item.tone for item in bins if item.trades] == ["down", "up", "up", "up"]


def test_the_trial_is_that_of_the_code_that_runs(stored: DataSet) -> None:
    """N11: a strategy that was changed while its run waited is another trial, and what ran as neither is none."""
    strategies.folder().mkdir()
    file = strategies.folder() / "mine.py"
    file.write_text("def decide(bars, depth=2):\n    return bars.close * 0\n")
    run = ask(stored, strategy="mine:decide")
    file.write_text("def decide(bars, depth=3):\n    return 1 / 0\n")
    killed = ask(stored, seed=9)
    BacktestRun.objects.filter(pk=killed.pk).update(state=FAILED)
    runs.folder_of(killed).mkdir(parents=True)
    assert runs.run(run.pk) == FAILED
    assert not runs.folder_of(killed).exists(), "what a killed run left goes with the next"
    assert BacktestRun.objects.get(pk=run.pk).trial == ask(stored, strategy="mine:decide").trial != run.trial


def test_a_command_may_say_anything_on_its_error_stream(stored: DataSet) -> None:
    """Bytes of no text, a line like progress, more than a pipe holds: it ends, and its last sentence is told."""
    run = ask(stored)
    BacktestRun.objects.filter(pk=run.pk).update(state=RUNNING)
    code = (
        'import sys; out = sys.stderr.buffer; out.write(b\'\\xff\\x00 {\\n{"done"\\n{"done": 1}\\n\');'
        'out.write(b\'{"done": 3, "total": 4, "words": "3 of 4"}\\n\' + b\'x\' * 99 + b\'\\n\');'
        "out.write(b'a line a bar\\n' * 20_000 + b'CommandError: no more\\n'); sys.exit(1)"
    )
    assert working.work(BacktestRun, run.pk, [sys.executable, "-c", code]) == (1, "no more")


def test_names_of_libraries_are_not_offered(stored: DataSet) -> None:
    """Another module of that name would run, and its hash would be told as the strategy's."""
    strategies.folder().mkdir()
    for name in ("statistics", "numpy", "desk", "mine"):
        (strategies.folder() / f"{name}.py").write_text("def decide(bars):\n    return 1\n")
    assert [words for words in strategies.offered() if words.endswith(":decide")] == ["mine:decide"]
    assert strategies.refused() == ["desk.py", "numpy.py", "statistics.py"]
