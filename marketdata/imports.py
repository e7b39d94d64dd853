"""Imports as batch jobs: ask, run, cancel, look.  The row is the job's only voice; the page polls it.

The work is `services.import_history`, the same that the command calls.  One open run a request; several wait for one
another in the queue, which the caller fills.  Whoever holds a run shows a sign of life, also between two blocks; a run
without one is shown as failed, and closed by the next who asks.  What a stopped run has finished waits in the
store, so asking for the same again goes on.  Called by the desk's data pages and by the Celery task.
"""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from django.conf import settings
from django.db import Error as DatabaseFault  # also InterfaceError, which is no DatabaseError
from django.db import connection
from django.utils import timezone

from marketdata.feeds.port import FeedError
from marketdata.memory.guard import MemoryRefused
from marketdata.models import CANCELLED, DONE, FAILED, OPEN, RUNNING, BatchRow, ImportRun
from marketdata.services import (
    cancel_job,
    end_job,
    import_history,
    leave_dead_connection,
    open_job,
    take_job,
)
from marketdata.store.folders import find
from marketdata.store.report import ImportCancelled

BEAT_S = 0.5
LIFE_S = 10.0  # between signs of life while no block is read
LOST_S, QUEUE_S, GO_ON = ImportRun.LOST_S, ImportRun.QUEUE_S, ImportRun.GO_ON
SILENCE_S_MAX = 4 * 3600.0  # without a block for so long: no hash, sort or copy takes this, so the work hangs
log = logging.getLogger(__name__)


class Request(NamedTuple):
    """Which file, and how it is read."""

    folder: str
    file: str
    symbol: str
    schema: str
    options: dict[str, str]

    @property
    def asked(self) -> str:
        """sha256 of all of it, hex."""
        return hashlib.sha256(json.dumps(list(self), sort_keys=True).encode()).hexdigest()


def request_of(run: ImportRun) -> Request:
    """What a run was asked for."""
    return Request(run.folder, run.file, run.symbol, run.schema, dict(run.options))


def source_of(request: Request) -> Path:
    """The file, inside a folder that the desk may read.  Raises FeedError."""
    return find(settings.IMPORT_FOLDERS, request.folder, request.file)


# looking


def find_run(run_id: int) -> ImportRun:
    """Raises ImportRun.DoesNotExist."""
    return ImportRun.objects.select_related("data_set").get(pk=run_id).looked()


def open_runs() -> list[ImportRun]:
    """Those at work and those that wait, in the order in which they come."""
    rows = [run.looked() for run in ImportRun.objects.filter(state__in=OPEN).order_by("id")]
    return [run for run in rows if run.state in OPEN]


def ended_runs(count: int) -> list[ImportRun]:
    """The newest that are over."""
    rows = ImportRun.objects.select_related("data_set").order_by("-id")[: count + len(OPEN) * 10]
    return [run for run in (row.looked() for row in rows) if run.state not in OPEN][:count]


def before(run: ImportRun) -> int:
    """How many imports come before a waiting one."""
    return ImportRun.objects.filter(state__in=OPEN, pk__lt=run.pk).count()


def left_s(run: ImportRun) -> int | None:
    """Seconds until it has read all, at its rate so far; None while that is not known."""
    left = run.total - run.done
    return None if run.state != RUNNING or run.rate <= 0 or left <= 0 else -(-left // run.rate)


# asking


def ask(request: Request, rows: int, by: str, queue: Callable[[int], str]) -> ImportRun:
    """A new run, put into the queue; the one of the same request that is open already, where there is one.

    `rows`: as estimated.  `queue(run id)` says why it could not be queued: that fails the run at once.
    """
    return open_job(ImportRun, request.asked, queue, **request._asdict(), by=by, total=max(rows, 0))


def cancel(run_id: int, by: str) -> bool:
    """Ask a run to end: one that waits ends here, one at work with its present block.  False: it is over."""
    return cancel_job(ImportRun, run_id, by)


def _end(run_id: int, state: str, **fields: Any) -> bool:
    return end_job(ImportRun, run_id, state, **fields)


# running


class Voice:
    """What an import at work, or another such job, says and hears: its rows into the row, now and then, and whether
    somebody ended it.

    A database that does not answer is no reason to stop: the import goes on unheard, until it answers again.  From
    `with` to its end a thread gives signs of life, too: nothing calls back while a file is hashed, sorted or copied.
    It dies with its process; and its signs end when no block was read for hours, for then the work itself hangs.
    """

    kind: type[BatchRow] = ImportRun  # with the fields done and rate
    beat_s, life_s, silence_s_max = BEAT_S, LIFE_S, SILENCE_S_MAX

    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
        self.signs = 0  # that the thread gave
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name=str(self), daemon=True)
        self._stop = False
        self.restart()

    def __str__(self) -> str:
        return f"{self.kind.__name__} {self.run_id}"

    def restart(self) -> None:
        """A new piece of work: its rate is measured anew."""
        self._heard_s = time.monotonic()
        self._began: tuple[int, float] | None = None  # the first rows that were told, and when
        self._said_s = -self.beat_s

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _live(self) -> None:
        """In the thread, over a connection of its own."""
        try:
            while not self._ended.wait(self.life_s):
                if time.monotonic() - self._heard_s > self.silence_s_max:
                    continue
                try:
                    leave_dead_connection()
                    self._mine().update(beat_at=timezone.now())
                    self.signs += 1
                except DatabaseFault as error:
                    log.warning("%s: no sign of life could be written: %s", self, error)
        finally:
            connection.close()

    def progress(self, rows: int) -> None:
        """Rows of the source read so far."""
        now = self._heard_s = time.monotonic()
        if self._began is None:  # a stopped import's rows come with the first block: they are no measure of the rate
            self._began = (rows, now)
        if now - self._said_s < self.beat_s:
            return
        self._said_s = now
        rate = int((rows - self._began[0]) / max(now - self._began[1], 1e-3))
        mine = self._mine()
        try:
            leave_dead_connection()
            held = mine.update(beat_at=timezone.now(), done=rows, rate=rate)
            self._stop = not held or mine.exclude(cancel_asked_by="").exists()
        except DatabaseFault as error:
            log.warning("%s: the database does not answer: %s", self, error)

    def _mine(self) -> Any:
        """The row, while it is at work."""
        return self.kind._default_manager.filter(pk=self.run_id, state=RUNNING)

    def cancelled(self) -> bool:
        """Whether the run was closed, or its end was asked for."""
        return self._stop


def run(run_id: int, voice: type[Voice] = Voice) -> str:
    """Do the work of a waiting run in this process.  Returns the state in which it ended, "" if it was not waiting."""
    if (taken := take_job(ImportRun, run_id)) != RUNNING:
        return taken
    row = ImportRun.objects.get(pk=run_id)
    asked = request_of(row)
    try:
        with voice(run_id) as speaks:
            stored = import_history(
                source_of(asked),
                symbol=asked.symbol,
                options=asked.options,
                schema=asked.schema,
                progress=speaks.progress,
                cancelled=speaks.cancelled,
                by=row.by,
            )
    except ImportCancelled as stopped:
        _end(run_id, CANCELLED, detail=str(stopped))
    except (FeedError, MemoryRefused) as refusal:
        _end(run_id, FAILED, detail=str(refusal))
    except OSError as error:
        _end(run_id, FAILED, detail=f"{error.filename or asked.file}: {error.strerror or error}; {GO_ON}")
    except MemoryError:
        _end(run_id, FAILED, detail=f"out of memory; {GO_ON}")
    except Exception as error:
        _end(run_id, FAILED, detail=f"{type(error).__name__}: {error}")
        raise
    else:
        read = int(stored.report.get("rows_read", stored.rows))
        _end(run_id, DONE, data_set=stored, done=read, total=read)
    return str(ImportRun.objects.values_list("state", flat=True).get(pk=run_id))
