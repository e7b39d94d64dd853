"""Imports as jobs: the same data set as the command's, cancelled and gone on with, refused in one sentence, lost."""

import errno
import json
import os
import time
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from desk.data.importing import run_values
from marketdata import imports
from marketdata.feeds import columns
from marketdata.jobs import places
from marketdata.models import CANCELLED, DONE, FAILED, RUNNING, WAITING, DataSet, ImportRun
from marketdata.selectors import data_set_path
from marketdata.tasks import run_import
from tests.data.kit import asked
from tests.data.recordings import minutes
from tests.feeds.recordings import a_session, write_dbn
from tests.store.imports import contents, months
from tests.store.imports import run as plain_import

pytestmark = pytest.mark.django_db
ROWS = 2400  # of `months`


def queued(run_id: int) -> str:
    """A queue that takes everything; nobody works on it."""
    return ""


def ask(request: imports.Request, rows: int = 100, by: str = "olga") -> ImportRun:
    return imports.ask(request, rows, by, queued)


class Stopping(imports.Voice):
    """Somebody cancels once so many rows were read."""

    beat_s = 0.0
    after = 1300

    def progress(self, rows: int) -> None:
        if rows >= self.after:
            assert imports.cancel(self.run_id, "alice")
        super().progress(rows)


def folder() -> list[str]:
    return sorted(path.name for path in (settings.VAR / "data").iterdir())


def test_a_worker_that_sees_another_folder_refuses_in_words(inbox: Path, settings: Any, tmp_path: Path) -> None:
    """A batch worker of another machine, started for studies, stores nothing where nobody looks."""
    minutes(inbox / "ES.csv")
    place = places.here()
    assert place == places.here() and len(place) == 16
    run = ask(asked("ES.csv"))
    desk, settings.VAR = settings.VAR, tmp_path / "elsewhere"
    assert run_import(run_id=run.pk, place=place) == FAILED
    run.refresh_from_db()
    assert "does not see this desk's runtime folder" in run.detail and run.state == FAILED
    assert run_import(run_id=run.pk, place=place) == "", "a message that comes twice"
    settings.VAR = desk
    again = ask(asked("ES.csv"))
    assert run_import(run_id=again.pk, place=place) == DONE


def test_a_run_makes_the_command_s_data_set(inbox: Path) -> None:
    """One implementation: the command finds what the page has imported, and leaves its importer's name."""
    path = minutes(inbox / "ES.csv", bad=7)
    run = ask(asked("ES.csv"), 2000)
    assert (run.state, run.total, imports.open_runs()[0].pk) == (WAITING, 2000, run.pk)
    assert run_import(run_id=run.pk) == DONE
    run = imports.find_run(run.pk)
    stored = DataSet.objects.get()
    assert (run.data_set, run.done, run.total, stored.created_by) == (stored, 2000, 2000, "olga")
    assert stored.report["dropped"] == {"a price is off the tick grid": 1} and stored.rows == 1999
    out = StringIO()
    call_command("import_history", str(path), "--symbol", "ES", "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert (report["id"], report["held"]) == (stored.pk, True)
    assert DataSet.objects.get().created_by == "olga"
    assert run_import(run_id=run.pk) == "", "a message that comes twice"
    assert imports.open_runs() == [] and [row.pk for row in imports.ended_runs(5)] == [run.pk]


def test_a_cancelled_run_keeps_its_months_and_the_next_goes_on(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "BATCH_ROWS", 150)
    source = months(inbox / "es.parquet")
    request = asked("es.parquet", bar_s="1", hours="any")
    run = ask(request, ROWS)
    assert imports.run(run.pk, Stopping) == CANCELLED
    run.refresh_from_db()
    assert run.cancel_asked_by == "alice" and "the same import goes on from its last whole month" in run.detail
    assert 1300 <= run.done < ROWS and run.rate > 0
    assert not DataSet.objects.exists()
    assert [name for name in folder() if not name.startswith(".")] == []
    again = ask(request, ROWS)
    assert again.pk != run.pk and imports.run(again.pk) == DONE
    stored = DataSet.objects.get()
    assert stored.report["resumed_rows"] >= 1000, "two whole months were not read again"
    assert contents(data_set_path(stored)) == contents(plain_import(source, tmp_path / "plain"))


@pytest.mark.parametrize("fault", ["disk", "memory"])
def test_what_disk_or_memory_fail_goes_on_from_its_last_whole_month(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(columns, "BATCH_ROWS", 150)
    source = months(inbox / "es.parquet")
    request = asked("es.parquet", bar_s="1", hours="any")

    class Failing(imports.Voice):
        beat_s = 0.0

        def progress(self, rows: int) -> None:
            super().progress(rows)
            if rows >= 1300:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if fault == "disk" else MemoryError

    run = ask(request, ROWS)
    assert imports.run(run.pk, Failing) == FAILED
    run = imports.find_run(run.pk)
    words = "es.parquet: No space left on device" if fault == "disk" else "out of memory"
    assert run.detail == f"{words}; {imports.GO_ON}" and run_values(run)["resumes"]
    assert not DataSet.objects.exists() and [name for name in folder() if not name.startswith(".")] == []
    again = ask(request, ROWS)
    assert imports.run(again.pk) == DONE and folder()[0].startswith("ES-")
    stored = DataSet.objects.get()
    assert stored.report["resumed_rows"] >= 1000
    assert contents(data_set_path(stored)) == contents(plain_import(source, tmp_path / "plain"))


def test_a_recording_of_orders_can_be_cancelled_too(inbox: Path) -> None:
    write_dbn(inbox / "es.dbn.zst", dbn.Schema.MBO, a_session())

    class AtOnce(Stopping):
        after = 1

    run = ask(asked("es.dbn.zst"))
    assert imports.run(run.pk, AtOnce) == CANCELLED
    run.refresh_from_db()
    assert "the same import begins anew" in run.detail and folder() == []
    assert imports.run(ask(asked("es.dbn.zst")).pk) == DONE
    assert DataSet.objects.get().kind == "mbo"


def test_a_refusal_is_the_importer_s_one_sentence_and_leaves_nothing(inbox: Path) -> None:
    minutes(inbox / "ES.csv", count=100, bad=7)
    run = ask(asked("ES.csv"))
    assert imports.run(run.pk) == FAILED
    run.refresh_from_db()
    assert "1 of 100 rows are bad, more than 0.1 %" in run.detail and "the first in row 9" in run.detail
    assert folder() == [] and not DataSet.objects.exists()
    (inbox / "ES.csv").unlink()
    run = ask(asked("ES.csv"))
    assert imports.run(run.pk) == FAILED
    assert "it may have been moved" in imports.find_run(run.pk).detail
    run = ask(asked("../var/desk.sqlite3"))
    assert imports.run(run.pk) == FAILED, "also a row that somebody forged"


def test_one_open_run_a_request_and_another_waits_behind_it(inbox: Path) -> None:
    minutes(inbox / "ES.csv", count=50)
    first, second = ask(asked("ES.csv")), ask(asked("ES.csv"))
    assert first.pk == second.pk and ImportRun.objects.count() == 1
    other = ask(asked("ES.csv", hours="any"))
    assert other.pk != first.pk and imports.before(other) == 1 and imports.before(first) == 0
    assert [run.pk for run in imports.open_runs()] == [first.pk, other.pk]
    with pytest.raises(IntegrityError), transaction.atomic():
        ImportRun.objects.filter(pk=other.pk).update(asked=first.asked)
    assert imports.cancel(other.pk, "olga") and imports.find_run(other.pk).state == CANCELLED
    assert not imports.cancel(other.pk, "olga"), "it is over"
    assert imports.run(other.pk) == "" and imports.run(first.pk) == DONE


def test_a_run_that_ends_while_the_same_is_asked_for_is_no_fault(inbox: Path) -> None:
    """It stands in the way of the new row, and is over when it is looked for."""
    first, ended = ask(asked("ES.csv")), []

    def race(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        try:
            return execute(sql, params, many, context)
        except IntegrityError:
            ended.append(sql)
            raise
        finally:
            if ended and sql.startswith("ROLLBACK TO SAVEPOINT"):
                ImportRun.objects.filter(pk=first.pk).update(state=DONE, finished_at=timezone.now())

    with connection.execute_wrapper(race):
        second = ask(asked("ES.csv"))
    assert ended and second.pk != first.pk and second.state == WAITING


def test_a_queue_that_is_away_fails_the_run_at_once(inbox: Path) -> None:
    minutes(inbox / "ES.csv", count=50)
    run = imports.ask(asked("ES.csv"), 50, "olga", lambda run_id: "nobody listens")
    assert (run.state, run.detail) == (FAILED, "the queue does not answer: nobody listens")
    assert ask(asked("ES.csv")).state == WAITING, "and the next ask is not refused"


def test_a_run_without_a_sign_of_life_is_lost_and_its_process_stops_at_its_next_word(inbox: Path) -> None:
    minutes(inbox / "ES.csv", count=50)
    run = ask(asked("ES.csv"))
    long_ago = timezone.now() - timedelta(seconds=imports.LOST_S + 1)
    ImportRun.objects.filter(pk=run.pk).update(state=RUNNING, beat_at=long_ago)
    shown = imports.find_run(run.pk)
    assert shown.state == FAILED and "go on with it" in shown.detail and imports.open_runs() == []
    assert ImportRun.objects.get(pk=run.pk).state == RUNNING, "who looks writes nothing"
    again = ask(asked("ES.csv"))
    assert again.pk != run.pk and ImportRun.objects.get(pk=run.pk).state == FAILED
    voice = imports.Voice(run.pk)
    voice.progress(10)
    assert voice.cancelled()


def test_who_waits_is_lost_only_when_nobody_works(inbox: Path) -> None:
    minutes(inbox / "ES.csv", count=50)
    first, second = ask(asked("ES.csv")), ask(asked("ES.csv", hours="any"))
    long_ago = timezone.now() - timedelta(seconds=imports.QUEUE_S + 1)
    ImportRun.objects.update(asked_at=long_ago)
    assert imports.find_run(first.pk).state == FAILED and "no batch worker" in imports.find_run(first.pk).detail
    ImportRun.objects.filter(pk=first.pk).update(state=RUNNING, beat_at=timezone.now())
    assert imports.find_run(second.pk).state == WAITING, "one is before it, and at work"
    ImportRun.objects.filter(pk=first.pk).update(state=DONE, finished_at=timezone.now())
    assert imports.find_run(second.pk).state == WAITING, "its turn has just come"


def test_a_run_that_was_given_up_is_not_done_when_its_turn_comes(inbox: Path) -> None:
    minutes(inbox / "ES.csv", count=50)
    run = ask(asked("ES.csv"))
    ImportRun.objects.update(asked_at=timezone.now() - timedelta(seconds=imports.QUEUE_S + 1))
    assert imports.run(run.pk) == FAILED and imports.run(run.pk) == ""
    assert "no batch worker" in imports.find_run(run.pk).detail and not DataSet.objects.exists()


def test_the_time_left_is_known_once_there_is_a_rate(inbox: Path) -> None:
    run = ImportRun(state=RUNNING, done=500, total=2_000, rate=0)
    assert imports.left_s(run) is None
    run.rate = 400
    assert imports.left_s(run) == 4
    run.done = 2_500  # the estimate was too low
    assert imports.left_s(run) is None


@pytest.mark.django_db(transaction=True)
def test_a_database_that_was_restarted_is_spoken_to_again(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As PostgreSQL's driver: a cut connection is dead until Django leaves it, then all is heard."""
    minutes(inbox / "ES.csv", count=50)
    cut = [False]
    heard: list[int] = []

    def wire(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if cut[0]:
            raise InterfaceError("the connection is closed")
        return execute(sql, params, many, context)

    class Restarted(imports.Voice):
        beat_s = 0.0

        def progress(self, rows: int) -> None:
            cut[0] = True
            super().progress(rows)
            cut[0] = False
            heard.append(ImportRun.objects.values_list("done", flat=True).get(pk=self.run_id))
            cut[0] = True  # and again, before the data set's row is written

    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: cut.__setitem__(0, False))
    run = ask(asked("ES.csv"))
    with connection.execute_wrapper(wire):
        assert imports.run(run.pk, Restarted) == DONE
    assert heard[-1] == 50 and imports.find_run(run.pk).data_set == DataSet.objects.get()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fault", [InterfaceError, OperationalError])
def test_a_database_that_is_away_stops_no_import(inbox: Path, fault: type[Exception]) -> None:
    minutes(inbox / "ES.csv", count=50)

    def away(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        raise fault("it does not answer")

    class Unheard(imports.Voice):
        beat_s = 0.0

        def progress(self, rows: int) -> None:
            with connection.execute_wrapper(away):
                super().progress(rows)

    run = ask(asked("ES.csv"))
    assert imports.run(run.pk, Unheard) == DONE and imports.find_run(run.pk).done == 50


@pytest.mark.django_db(transaction=True)
def test_an_import_that_hashes_or_sorts_is_no_lost_process(inbox: Path) -> None:
    """Nothing calls back meanwhile; a thread shows that the process lives, until it ends, or hangs for hours."""
    run = ask(asked("ES.csv"))
    long_ago = timezone.now() - timedelta(seconds=imports.LOST_S + 1)

    def silent() -> None:
        ImportRun.objects.filter(pk=run.pk).update(state=RUNNING, beat_at=long_ago)
        assert imports.find_run(run.pk).state == FAILED

    class Living(imports.Voice):
        life_s = 0.01

    silent()
    deadline = time.monotonic() + 120
    with Living(run.pk) as voice:
        while voice.signs == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)  # the thread is at work: there is no clock to inject
    assert imports.find_run(run.pk).state == RUNNING
    silent()  # the thread has ended

    class Hanging(Living):
        silence_s_max = -1.0

    with Hanging(run.pk) as voice:
        time.sleep(0.1)  # the thread may look late, never early
    assert voice.signs == 0 and imports.find_run(run.pk).state == FAILED
