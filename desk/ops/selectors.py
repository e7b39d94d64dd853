"""Reading the desk's trials: lists and details for the pages, the age of the last drill for pre-flight and the Desk.

Plain values, newest first.  Nothing is written here; `drills.record` writes.
"""

import os
from datetime import timedelta
from typing import Any, NamedTuple

from django.utils import timezone

from desk.config.models import ImpactRun
from desk.ops.models import KILLS, DrillRun
from marketdata.models import RUNNING, batch_kinds
from trading.run.clock import boot_id

PAGE = 50
QUEUE_S = 120  # a run that no worker takes within this time is given up, also when its turn comes later
SIGN_S = 300  # a job of the batch worker that showed no sign of life for so long keeps nobody waiting
DRILL_AGE_MAX = timedelta(hours=24)  # K-07: no successful drill in 24 h, no live start
STATES = ("queued", "running", "cancelling", "ok", "failed", "cancelled", "lost")


class Runs(NamedTuple):
    """One page of runs.  `next_before` continues it; None at the end."""

    rows: list[dict[str, Any]]
    next_before: int | None


def alive(run: DrillRun) -> bool:
    """Whether a process works on this run, or may still take it."""
    if run.finished_at is not None or run.boot_id != boot_id():
        return False
    if run.pid == 0:
        return timezone.now() - run.started_at < timedelta(seconds=QUEUE_S)
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def state_of(run: DrillRun) -> str:
    """One of STATES."""
    if run.finished_at is not None:
        return "cancelled" if run.cancelled else "ok" if run.ok else "failed"
    if not alive(run):
        return "lost"
    if run.pid == 0:
        return "queued"
    return "cancelling" if run.cancel_asked_by else "running"


def slowest_ms(rows: list[dict[str, Any]]) -> float | None:
    """The longest time to flat of a drill's cases; None where none was measured."""
    times = [float(row["value"]) for row in rows if row.get("unit") == "ms to flat" and row.get("value") is not None]
    return max(times) if times else None


def _shown(run: DrillRun) -> dict[str, Any]:
    last = run.finished_at or timezone.now()
    return {
        "id": run.pk,
        "kind": run.kind,
        "title": run.get_kind_display(),
        "by": run.by,
        "state": state_of(run),
        "ok": run.ok,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "beat_at": run.beat_at,
        "seconds": round((last - run.started_at).total_seconds()),
        "done": run.done,
        "total": run.total,
        "failed": sum(row.get("ok") is False for row in run.rows),
        "ms": slowest_ms(run.rows),
        "step": run.step,
        "detail": run.detail,
        "cancel_asked_by": run.cancel_asked_by,
        "code": run.code,
        "hash": run.hash,
    }


def run_list(before: int | None = None, kind: str = "", limit: int = PAGE) -> Runs:
    """Runs, newest first; `kind` filters."""
    runs = DrillRun.objects.order_by("-id")
    runs = runs.filter(kind=kind) if kind else runs
    runs = runs.filter(id__lt=before) if before is not None else runs
    found = list(runs[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    return Runs([_shown(run) for run in found], found[-1].pk if more else None)


def run_count(kind: str = "") -> int:
    """How many runs there are in all."""
    runs = DrillRun.objects.all()
    return (runs.filter(kind=kind) if kind else runs).count()


def run_detail(run_id: int) -> dict[str, Any]:
    """One run with its head and rows.  Raises DrillRun.DoesNotExist."""
    run = DrillRun.objects.get(id=run_id)
    return {**_shown(run), "head": run.head, "rows": run.rows}


def open_run() -> dict[str, Any] | None:
    """The run that is under way, if one is."""
    found = [run for run in DrillRun.objects.filter(finished_at=None).order_by("-id") if alive(run)]
    return _shown(found[0]) if found else None


def batch_busy() -> str:
    """What the batch worker is at beside drills, in words; empty: nothing that shows a sign of life.  It does one job
    after another, so a drill waits behind it."""
    since = timezone.now() - timedelta(seconds=SIGN_S)
    for kind in batch_kinds():
        if found := kind._default_manager.filter(state=RUNNING, beat_at__gte=since).first():
            return found.title
    preview = ImpactRun.objects.filter(state=RUNNING, beat_at__gte=since).first()
    return f"the impact preview of version {preview.version_id}" if preview is not None else ""


def last_run(kind: str) -> dict[str, Any] | None:
    """The newest finished run of a kind that was not cancelled, with its rows."""
    run = DrillRun.objects.filter(kind=kind, cancelled=False).exclude(finished_at=None).order_by("-id").first()
    return None if run is None else {**_shown(run), "head": run.head, "rows": run.rows}


def last_drill() -> dict[str, Any] | None:
    """The newest finished drill of the kill, on this desk or on a private one; None: never.

    Keys of a run, and `age_s`, `fresh` (K-07: it succeeded within 24 hours).
    """
    run = DrillRun.objects.filter(kind__in=KILLS, cancelled=False).exclude(finished_at=None).order_by("-id").first()
    if run is None or run.finished_at is None:
        return None
    age = timezone.now() - run.finished_at
    return {**_shown(run), "age_s": round(age.total_seconds()), "fresh": bool(run.ok) and age <= DRILL_AGE_MAX}
