"""Impact previews as batch jobs: ask, run, cancel, look (N8).  The row is the job's only voice; the page polls it.

One open run a version.  Whoever holds a run shows a sign of life; a run without one is closed by the next who looks.
Called by the configuration pages and by the Celery task.
"""

import threading
import time
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from desk import batch
from desk.config.models import CANCELLED, DONE, FAILED, OPEN, RUNNING, WAITING, ImpactRun
from marketdata.jobs import places
from trading import configs
from trading.models import ConfigVersion
from trading.reports.impact import preview as impact

BEAT_S = 0.5
LOST_S = 60  # a run without a sign of life for so long has lost its process
LIFE_S = 10.0  # between signs of life while the first chunk is compiled, which may take minutes on a busy machine
COMPILE_S_MAX = 900.0  # beyond this it is no compile: the signs end, and with them the run
QUEUE_S = 1800  # a drill may be before it in the queue
log = structlog.get_logger("desk.impact")


class Ended(RuntimeError):
    """The run was closed while it was at work: cancelled, or given up."""


def latest(version: ConfigVersion) -> ImpactRun | None:
    """The newest run of a version; one that lost its process is shown as failed.  Nothing is written."""
    run = ImpactRun.objects.filter(version=version).order_by("-id").first()
    if run is not None and (why := _lost(run)):
        run.state, run.detail = FAILED, why
    return run


def latest_done(version: ConfigVersion) -> ImpactRun | None:
    """The newest run that came to its end, by the code that would trade now: another code's says nothing of it."""
    runs = ImpactRun.objects.filter(version=version, state=DONE, code=settings.CODE_HASH)
    return runs.order_by("-id").first()


def _lost(run: ImpactRun) -> str:
    """Why nobody has an open run any more; empty while somebody does, or may yet."""
    now = timezone.now()
    if run.state == RUNNING and run.beat_at < now - timedelta(seconds=LOST_S):
        return "its process ended without a result"
    if run.state == WAITING and run.asked_at < now - timedelta(seconds=QUEUE_S):
        return "no batch worker took it"
    return ""


def _close_lost() -> None:
    for run in ImpactRun.objects.filter(state__in=OPEN):
        if why := _lost(run):
            _end(run.pk, FAILED, detail=why)


def ask(version: ConfigVersion, sessions: int, by: str) -> ImpactRun:
    """A new run, queued; the one that is open already, where there is one.  A queue that is away fails it at once."""
    _close_lost()
    now = timezone.now()
    count = min(max(1, sessions), impact.SESSIONS_MAX)
    for last in (False, False, True):
        try:
            with transaction.atomic():
                run = ImpactRun.objects.create(
                    version=version, sessions=count, by=by, asked_at=now, beat_at=now, code=settings.CODE_HASH
                )
            break
        except IntegrityError:
            if other := ImpactRun.objects.filter(version=version, state__in=OPEN).first():
                return other
            if last:  # an open run that ended before it was looked up is no reason; three in a row are another fault
                raise
    if fault := batch.send("desk.config.tasks.run_impact", run_id=run.pk):
        _end(run.pk, FAILED, detail=f"the queue does not answer: {fault}")
        run.refresh_from_db()
    return run


def cancel(run_id: int, by: str) -> bool:
    """End a run; its job notices at its next sign of life.  False: it is over."""
    return _end(run_id, CANCELLED, detail=f"cancelled by {by}")


def _end(run_id: int, state: str, **fields: Any) -> bool:
    fields["detail"] = fields.get("detail", "")[:500]
    rows = ImpactRun.objects.filter(id=run_id, state__in=OPEN)
    return bool(rows.update(state=state, finished_at=timezone.now(), step="", **fields))


def run(run_id: int, place: str = "") -> str:
    """Do the work of a waiting run in this process, or end it with why not: a worker that sees another runtime folder
    than `place` sees other sessions' journals.  Returns the state in which it ended, "" if it was not waiting."""
    now = timezone.now()
    row = ImpactRun.objects.select_related("version").filter(id=run_id, state=WAITING).first()
    if row is None:
        return ""
    # of a lost one its page says so already, and whoever asked has gone on without it
    if why := _lost(row) or places.elsewhere(place):
        return FAILED if _end(run_id, FAILED, detail=why) else ""
    if not ImpactRun.objects.filter(id=run_id, state=WAITING).update(state=RUNNING, beat_at=now, step="starting"):
        return ""
    try:
        profile = configs.profile_of(row.version)
        sessions = impact.last_sessions(row.version.profile, row.sessions)
        with Compiling(run_id) as compiling:
            beat = _Beat(run_id, compiling)
            found = impact.preview(profile, row.version.pk, sessions, beat.show)
    except Ended:
        return CANCELLED
    except Exception as error:
        _end(run_id, FAILED, detail=f"{type(error).__name__}: {error}")
        raise
    return DONE if _end(run_id, DONE, result=impact.values(found)) else CANCELLED


class _Beat:
    """Progress into the row, now and then; it ends the work when somebody closed the run."""

    def __init__(self, run_id: int, compiling: "Compiling | None" = None) -> None:
        self.run_id, self._compiling = run_id, compiling
        self._shown = (-1, 0.0)

    def show(self, done: int, total: int, what: str) -> None:
        """Raises Ended."""
        now = time.monotonic()
        if self._compiling is not None and done == self._shown[0]:
            self._compiling.end()  # a chunk of this session was replayed: everything is compiled
        if done == self._shown[0] and now - self._shown[1] < BEAT_S:
            return
        self._shown = (done, now)
        rows = ImpactRun.objects.filter(id=self.run_id, state=RUNNING)
        if not rows.update(beat_at=timezone.now(), done=done, total=total, step=what[:100]):
            raise Ended(f"run {self.run_id} was closed")


class Compiling:
    """Signs of life from a thread of its own, from `with` until `end`: the first chunk of a replay may have to compile
    everything, and nothing calls back meanwhile.  The thread dies with its process, so a lost one is still found out.

    `signs`: how many were given.
    """

    def __init__(self, run_id: int, every_s: float = LIFE_S) -> None:
        self.run_id, self.every_s, self.signs = run_id, every_s, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"impact {run_id}", daemon=True)

    def __enter__(self) -> "Compiling":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._thread.join()

    def end(self) -> None:
        """From here on the work shows its own signs."""
        self._ended.set()

    def _live(self) -> None:
        until = time.monotonic() + COMPILE_S_MAX
        try:
            while not self._ended.wait(self.every_s) and time.monotonic() < until:
                try:
                    ImpactRun.objects.filter(id=self.run_id, state=RUNNING).update(beat_at=timezone.now())
                    self.signs += 1
                except OperationalError as error:  # a locked database: the next sign is as good
                    log.warning("impact_beat_not_written", run=self.run_id, error=str(error))
        finally:
            connection.close()
