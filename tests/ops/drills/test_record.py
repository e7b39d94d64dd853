"""Stored runs: one at a time, a verdict at the end, nothing changed afterwards, and what pre-flight asks (K-07)."""

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from desk.audit.models import AuditRecord
from desk.ops import selectors
from desk.ops.drills import record
from desk.ops.models import DrillRun, RunChanged

pytestmark = pytest.mark.django_db


def kill_row(value: float | None, *, ok: bool = True) -> record.Row:
    return record.row("button, dead: redis", value, "ms to flat", ok=ok, goal=5000.0, road="guard")


def test_a_run_keeps_its_rows_and_its_verdict() -> None:
    recorder = record.begin("kill", "alice", {"times": 1}, total=2)
    shown = selectors.open_run()
    assert shown is not None
    assert (shown["state"], shown["done"], shown["total"]) == ("running", 0, 2)
    recorder.add(kill_row(812.0))
    recorder.add(kill_row(432.5))
    assert recorder.finish() is True
    run = selectors.run_detail(recorder.run_id)
    assert (run["state"], run["done"], run["ms"], run["failed"]) == ("ok", 2, 812.0, 0)
    assert [row["value"] for row in run["rows"]] == [812.0, 432.5]
    assert selectors.open_run() is None


def test_one_bad_row_fails_the_run_and_none_is_no_success() -> None:
    recorder = record.begin("kill", "alice", {})
    recorder.add(kill_row(5200.0, ok=False))
    recorder.add(kill_row(100.0))
    assert recorder.finish() is False
    assert selectors.run_detail(recorder.run_id)["detail"] == "1 of 2 rows failed"
    empty = record.begin("kill", "alice", {})
    assert empty.finish() is False, "a drill that tried nothing proves nothing"


def test_a_finished_run_never_changes_and_its_hash_is_in_the_audit_log() -> None:
    recorder = record.begin("load", "alice", {})
    recorder.add(record.row("age, p99", 64.0, "ms", ok=True, goal=100.0))
    recorder.finish()
    run = DrillRun.objects.get(id=recorder.run_id)
    with pytest.raises(RunChanged):
        run.save()
    with pytest.raises(RunChanged):
        run.delete()
    recorder.add(record.row("too late", 1.0, "ms", ok=True))
    assert len(DrillRun.objects.get(id=run.pk).rows) == 1
    noted = AuditRecord.objects.get(action="drill_load")
    assert noted.detail["hash"] == run.hash == record.digest(run)
    DrillRun.objects.filter(id=run.pk).update(ok=True, rows=[])
    assert record.digest(DrillRun.objects.get(id=run.pk)) != noted.detail["hash"]


def test_a_second_run_is_refused_while_one_lives() -> None:
    recorder = record.begin("bench", "alice", {})
    with pytest.raises(record.Busy, match=f"run {recorder.run_id} "):
        record.begin("kill", "bob", {})
    recorder.add(record.row("x", 1.0, "ms", ok=True))
    recorder.finish()
    assert record.begin("kill", "bob", {}).run_id > recorder.run_id


def test_a_run_whose_process_is_gone_is_shown_as_lost_and_closed_by_the_next() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    recorder = record.begin("kill", "alice", {})
    DrillRun.objects.filter(id=recorder.run_id).update(pid=gone.pid)
    assert selectors.run_detail(recorder.run_id)["state"] == "lost"
    assert selectors.open_run() is None
    record.begin("load", "bob", {})
    closed = selectors.run_detail(recorder.run_id)
    assert (closed["state"], closed["detail"]) == ("failed", "its process ended without a result")


def test_a_waiting_run_is_taken_once() -> None:
    run = record.ask("kill", "alice", {"job": "matrix"})
    assert selectors.run_detail(run.pk)["state"] == "queued"
    with pytest.raises(record.NoSuchRun):
        record.begin("load", "alice", {}, run_id=run.pk)
    recorder = record.begin("kill", "alice", {"times": 1}, run_id=run.pk)
    assert recorder.run_id == run.pk
    assert DrillRun.objects.get(id=run.pk).pid == os.getpid()
    with pytest.raises(record.NoSuchRun):
        record.begin("kill", "alice", {}, run_id=run.pk)


def test_a_run_that_no_worker_takes_is_given_up() -> None:
    run = record.ask("kill", "alice", {})
    late = timezone.now() - timedelta(seconds=selectors.QUEUE_S + 1)
    DrillRun.objects.filter(id=run.pk).update(started_at=late)
    assert selectors.run_detail(run.pk)["state"] == "lost"
    record.begin("kill", "bob", {})
    assert selectors.run_detail(run.pk)["state"] == "failed"


@pytest.mark.parametrize("fields", [{"late": True}, {"boot_id": "another boot"}])
def test_a_run_that_was_given_up_does_nothing_when_its_turn_comes(fields: dict[str, Any]) -> None:
    """A rehearsal is a real kill: an import of an hour before it in the queue must not make it a surprise."""
    run = record.ask("rehearsal", "alice", {})
    late = timezone.now() - timedelta(seconds=selectors.QUEUE_S + 1)
    DrillRun.objects.filter(id=run.pk).update(**({"started_at": late} if fields.get("late") else fields))
    with pytest.raises(record.NoSuchRun, match="nothing was done"):
        record.begin("rehearsal", "alice", {"by": "queue"}, run_id=run.pk)
    closed = DrillRun.objects.get(id=run.pk)
    assert (closed.pid, closed.ok, closed.detail, closed.head) == (0, False, record.LATE, {})
    assert closed.finished_at is not None and AuditRecord.objects.get().action == "drill_rehearsal"
    record.give_up(run.pk, "the command ended with 1")
    assert DrillRun.objects.get(id=run.pk).detail == record.LATE, "the first reason stays"


def test_cancel_is_seen_by_the_run_and_is_no_success() -> None:
    recorder = record.begin("kill", "alice", {})
    recorder.add(kill_row(100.0))
    assert record.cancel(recorder.run_id, "bob") is True
    assert recorder.cancelled_by() == "bob"
    assert selectors.run_detail(recorder.run_id)["state"] == "cancelling"
    assert recorder.finish() is False
    run = selectors.run_detail(recorder.run_id)
    assert (run["state"], run["detail"]) == ("cancelled", "cancelled by bob")
    assert record.cancel(recorder.run_id, "bob") is False
    assert selectors.last_drill() is None, "a cancelled drill is none"


def test_a_waiting_run_is_cancelled_at_once() -> None:
    run = record.ask("kill", "alice", {})
    assert record.cancel(run.pk, "alice") is True
    assert selectors.run_detail(run.pk)["state"] == "cancelled"


@pytest.mark.parametrize(
    ("kind", "ok", "hours", "fresh"),
    [
        ("kill", True, 1, True),
        ("rehearsal", True, 23, True),
        ("kill", True, 25, False),
        ("kill", False, 1, False),
    ],
)
def test_last_drill_says_whether_it_is_good_for_a_start(kind: str, ok: bool, hours: int, fresh: bool) -> None:
    """K-07: a successful drill within 24 hours."""
    recorder = record.begin(kind, "alice", {})
    recorder.add(kill_row(812.0, ok=ok))
    recorder.finish()
    DrillRun.objects.filter(id=recorder.run_id).update(finished_at=timezone.now() - timedelta(hours=hours))
    found = selectors.last_drill()
    assert found is not None
    assert (found["fresh"], found["ok"], found["ms"]) == (fresh, ok, 812.0)
    assert abs(found["age_s"] - hours * 3600) < 60


def test_load_and_bench_are_no_drill_of_the_kill() -> None:
    recorder = record.begin("load", "alice", {})
    recorder.add(record.row("age", 1.0, "ms", ok=True))
    recorder.finish()
    assert selectors.last_drill() is None
    assert selectors.last_run("load") is not None


def test_a_value_that_is_no_number_is_unknown() -> None:
    assert record.row("x", float("nan"), "ms", ok=None)["value"] is None
