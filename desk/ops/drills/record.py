"""Keeps a run's result: a row from its first moment, progress and rows while it lasts, a verdict at the end.

Called by the commands `drill`, `soak` and `bench`, and by the page's button.  One run at a time: figures of two that
share a machine are worth nothing.  A run whose process is gone is closed as failed by the next one.
"""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from desk.audit.services import append
from desk.ops.launch import migrate
from desk.ops.models import DrillRun
from desk.ops.selectors import QUEUE_S, alive
from trading.run.clock import boot_id

Row = dict[str, Any]
LATE = f"its turn came after it was given up ({QUEUE_S} s, or a restart of the machine): nothing was done; ask again"


class Busy(RuntimeError):
    """Another run is under way; the text names it."""


class NoSuchRun(RuntimeError):
    """The run that a process should take over is not waiting."""


def row(
    name: str,
    value: float | None,
    unit: str,
    *,
    ok: bool | None,
    goal: float | None = None,
    detail: str = "",
    **more: Any,
) -> Row:
    """One figure.  `goal`: upper bound in the same unit; `ok` None: a figure without a verdict."""
    value = None if value is None or not math.isfinite(value) else value
    return {"name": name, "value": value, "unit": unit, "goal": goal, "ok": ok, "detail": detail, **more}


def prepare() -> None:
    """A desk that was never started has no tables yet: bring its database up first.  Raises LaunchError."""
    with contextlib.suppress(DatabaseError):  # the folder may not be there: migrate makes it, or says why not
        if DrillRun._meta.db_table in connection.introspection.table_names():
            return
    settings.VAR.mkdir(parents=True, exist_ok=True)
    migrate()


def ask(kind: str, by: str, head: Mapping[str, Any]) -> DrillRun:
    """Store a run that waits for its process.  Raises Busy."""
    return _open(kind, by, head, pid=0)


def begin(kind: str, by: str, head: Mapping[str, Any], total: int = 0, run_id: int | None = None) -> "Recorder":
    """A run of this process: a new one, or the waiting one `run_id`.  Raises Busy, NoSuchRun.

    A waiting run that was given up meanwhile is closed and refused: nobody expects a kill that was asked for long ago.
    """
    if run_id is None:
        run = _open(kind, by, head, pid=os.getpid(), total=total)
        return Recorder(run.pk)
    fields = {"pid": os.getpid(), "head": dict(head), "total": total, "beat_at": timezone.now(), "step": "starting"}
    with transaction.atomic():
        waiting = DrillRun.objects.select_for_update().filter(id=run_id, kind=kind, pid=0, finished_at=None).first()
        late = waiting is not None and not alive(waiting)
        if waiting is not None and late:
            _close(waiting, ok=False, detail=LATE)
        elif waiting is not None:
            DrillRun.objects.filter(id=run_id).update(**fields)
    if waiting is None:
        raise NoSuchRun(f"run {run_id} does not wait for a process")
    if late:
        raise NoSuchRun(f"run {run_id}: {LATE}")
    return Recorder(run_id)


def _open(kind: str, by: str, head: Mapping[str, Any], pid: int, total: int = 0) -> DrillRun:
    now = timezone.now()
    with transaction.atomic():
        for other in DrillRun.objects.select_for_update().filter(finished_at=None):
            if alive(other):
                words = f"run {other.pk} ({other.get_kind_display()}, {other.by}) has not ended: wait, or cancel it"
                raise Busy(words)
            _close(other, ok=False, detail="its process ended without a result")
        return DrillRun.objects.create(
            kind=kind,
            by=by,
            started_at=now,
            beat_at=now,
            total=total,
            head=dict(head),
            code=settings.CODE_HASH,
            pid=pid,
            boot_id=boot_id(),
            step="starting" if pid else f"waits for the batch worker, {QUEUE_S} s at most",
        )


def cancel(run_id: int, by: str) -> bool:
    """Ask a run to end: it stops after its present case.  A run that no process took ends here.  False: it is over."""
    with transaction.atomic():
        run = DrillRun.objects.select_for_update().filter(id=run_id, finished_at=None).first()
        if run is None:
            return False
        DrillRun.objects.filter(id=run_id).update(cancel_asked_by=by)
        if run.pid == 0 or not alive(run):
            _close(run, ok=False, detail=f"cancelled by {by} before it started", cancelled=True)
    return True


def give_up(run_id: int, why: str) -> None:
    """Close a run whose process could not close it."""
    with transaction.atomic():
        run = DrillRun.objects.select_for_update().filter(id=run_id, finished_at=None).first()
        if run is not None:
            _close(run, ok=False, detail=why)


def digest(run: DrillRun) -> str:
    """SHA-256 of the canonical JSON of what a finished run says."""
    said = [
        run.kind,
        run.by,
        run.started_at.isoformat(),
        run.ok,
        run.cancelled,
        run.detail,
        run.head,
        run.rows,
        run.code,
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _close(run: DrillRun, *, ok: bool, detail: str, cancelled: bool = False) -> None:
    run.ok, run.cancelled, run.detail = ok, cancelled, detail[:500]
    fields = {"ok": ok, "cancelled": cancelled, "detail": run.detail, "finished_at": timezone.now(), "step": ""}
    changed = DrillRun.objects.filter(id=run.pk, finished_at=None).update(**fields, hash=digest(run))
    if changed == 1:
        result = {"run": run.pk, "ok": ok, "cancelled": cancelled, "rows": len(run.rows), "hash": digest(run)}
        append(category="control", action=f"drill_{run.kind}", actor=run.by, object=f"run {run.pk}", detail=result)


class Recorder:
    """The open run of this process."""

    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
        self.rows: list[Row] = []

    def _write(self, **fields: Any) -> None:
        DrillRun.objects.filter(id=self.run_id, finished_at=None).update(beat_at=timezone.now(), **fields)

    def step(self, words: str) -> None:
        """What it does now."""
        self._write(step=words[:200])

    def head(self, more: Mapping[str, Any]) -> None:
        """What became known of the run's inputs."""
        run = DrillRun.objects.get(id=self.run_id)
        self._write(head=run.head | dict(more))

    def add(self, found: Row) -> None:
        """One more row."""
        self.rows.append(found)
        self._write(rows=self.rows, done=len(self.rows))

    def cancelled_by(self) -> str:
        """Who asked for the end; empty while nobody did.  It is also a sign of life."""
        self._write()
        return str(DrillRun.objects.values_list("cancel_asked_by", flat=True).get(id=self.run_id))

    def finish(self, detail: str = "") -> bool:
        """Close the run: ok when every row with a verdict is ok and there is one.  Returns that."""
        who = self.cancelled_by()
        verdicts = [found["ok"] for found in self.rows if found["ok"] is not None]
        good = not who and not detail and bool(verdicts) and all(verdicts)
        failed = sum(not verdict for verdict in verdicts)
        words = detail or (f"{failed} of {len(verdicts)} rows failed" if failed else "")
        words = f"cancelled by {who}" if who else words
        with transaction.atomic():
            run = DrillRun.objects.select_for_update().get(id=self.run_id)
            _close(run, ok=good, detail=words, cancelled=bool(who))
        return good
