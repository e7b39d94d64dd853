"""Writes of the marketdata floor: files into the store, with their row, and out of it again.

The file is complete before its row is made, and the row is made in one transaction; a crash between the two leaves a
file that the next import of the same source takes over.  It goes in the reverse order: first the row, then the file.
Rows of batch jobs, whatever they do, are made, claimed and closed here, each by one conditional update.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from marketdata.core.instruments import INSTRUMENTS
from marketdata.feeds.books.names import SESSION
from marketdata.feeds.books.recorded import read_header
from marketdata.feeds.dbn import DbnFile, root_of
from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.feeds.sources import detect_format
from marketdata.models import CANCELLED, FAILED, OPEN, RUNNING, WAITING, BatchRow, DataSet
from marketdata.store.estimates import estimate
from marketdata.store.importing import import_file, key_of, remove_data_set
from marketdata.store.report import Estimate, ImportReport
from marketdata.store.sets.publishing import Cancelled, Progress, work_folder

DATA = "data"
Job = TypeVar("Job", bound=BatchRow)


class DeleteRefused(RuntimeError):
    """A data set that may not be taken out of the store; the text names who uses it."""


class FilesRemain(RuntimeError):
    """A data set whose row is gone and whose files are not, or not all; an import of the same source takes them over.
    Attribute: row."""

    def __init__(self, row: DataSet, error: OSError) -> None:
        what = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
        super().__init__(f"the entry of data set {row.pk} is gone, files of {row.path} remain: {what}")
        self.row = row


def data_folder() -> Path:
    """Where the store's files are."""
    return Path(settings.VAR) / DATA


def estimate_import(path: Path, options: dict[str, str]) -> Estimate:
    """What an import of `path` will take.  Raises FeedError."""
    return estimate(path, parse_options(options), data_folder())


def instruments_of(path: Path) -> list[str]:
    """The instruments of this desk that a file of several names, each of which an import can take out of it: of a DBN
    file and of a feed as a session received it; [] for one that does not say.  Raises FeedError."""
    kind = detect_format(path)
    if kind == SESSION:
        named = set(read_header(path).symbols)
    elif kind == "dbn":
        file = DbnFile(path)
        file.close()
        named = {root_of(symbol) for symbol in file.symbols}
    else:
        return []
    return [symbol for symbol in INSTRUMENTS if symbol in named]


def import_history(
    path: Path,
    *,
    symbol: str,
    options: dict[str, str],
    schema: str = "",
    progress: Progress = lambda rows: None,
    cancelled: Cancelled = lambda: False,
    skip_memory_check: str = "",
    by: str = "",
    origin: Mapping[str, object] | None = None,
) -> DataSet:
    """Read `path` to its end and keep it.  The same file asked for in the same way is the same data set,
    which keeps the name of whoever imported it first (`by`).  `origin`: where a file that the desk itself made is from.

    Raises FeedError or MemoryRefused with one sentence; then neither a file nor a row is left.  Raises ImportCancelled
    when `cancelled()` says so, OSError or MemoryError when disk or memory fail; then nothing is visible, and the same
    import goes on where it stopped.
    """
    folder = data_folder()
    checked = parse_options(options)
    estimate(path, checked, folder)
    report = import_file(
        path,
        symbol,
        checked,
        folder,
        schema=schema,
        progress=progress,
        cancelled=cancelled,
        skip_memory_check=skip_memory_check,
    )
    request: dict[str, object] = {"symbol": symbol, "schema": schema, "options": options, **(origin or {})}
    return _record(report, request, by)


def leave_dead_connection() -> None:
    """A database that was restarted while a long job was at work has cut its connection: take a new one with the next
    query.  Django does so between requests and tasks, never inside one.  Nothing happens under an open transaction."""
    if not connection.in_atomic_block:  # a transaction that is open would be thrown away with it
        connection.close_if_unusable_or_obsolete()


def _record(report: ImportReport, request: dict[str, object], by: str) -> DataSet:
    values = {
        "kind": report.kind,
        "symbols": report.symbols,
        "bar_ns": report.bar_ns,
        "rows": report.rows,
        "first_ns": report.first_ns,
        "last_ns": report.last_ns,
        "source": report.source,
        "source_hash": report.source_hash,
        "request": request,
        "report": report.as_json(),
    }
    leave_dead_connection()
    with transaction.atomic():
        stored, _ = DataSet.objects.update_or_create(
            path=str(report.path.relative_to(settings.VAR)),
            defaults=values,
            create_defaults=values | {"created_by": by},
        )
    return stored


def delete_data_set(
    data_set_id: int, users: Callable[[DataSet], list[str]], told: Callable[[DataSet], None] = lambda row: None
) -> DataSet:
    """Take a data set out of the store for good; returns what its row said.  `users` names who needs it; `told` notes
    the deed inside the row's own transaction: no row goes unnoted, and nothing is noted of a row that stays.

    Raises DataSet.DoesNotExist; DeleteRefused while anybody uses it or an import of the same file runs; FilesRemain
    when a file cannot be removed, OSError when the store cannot be opened at all: then the row stays.
    """
    folder = data_folder()
    path = Path(settings.VAR) / DataSet.objects.get(pk=data_set_id).path
    folder.mkdir(parents=True, exist_ok=True)
    gone: DataSet | None = None
    try:
        with work_folder(folder, key_of(path)):  # nobody writes it meanwhile
            with transaction.atomic():
                row = DataSet.objects.select_for_update().get(pk=data_set_id)
                if held := users(row):
                    raise DeleteRefused(f"data set {data_set_id} is used by {', '.join(held)}")
                DataSet.objects.filter(pk=data_set_id).delete()
                told(row)
            gone = row
            remove_data_set(path)
    except FeedError as error:
        raise DeleteRefused(str(error)) from None
    except OSError as error:
        if gone is None:
            raise
        raise FilesRemain(gone, error) from error
    return gone


# jobs of the batch worker


def open_job(kind: type[Job], asked: str, queue: Callable[[int], str], **fields: Any) -> Job:
    """A new job, put into the queue; the one of the same request that is open already, where there is one.

    `queue(id)` says why it could not be queued: that fails the job at once.  Lost jobs of its kind are closed before.
    """
    for row in kind._default_manager.filter(state__in=OPEN):
        if why := row.lost():
            end_job(kind, row.pk, FAILED, detail=why)
    try:
        row = _new_job(kind, asked, fields)
    except IntegrityError:
        if (found := kind._default_manager.filter(asked=asked, state__in=OPEN).first()) is not None:
            return found
        row = _new_job(kind, asked, fields)  # the one that stood in its way ended just now
    if fault := queue(row.pk):
        end_job(kind, row.pk, FAILED, detail=f"the queue does not answer: {fault}")
        row.refresh_from_db()
    return row


def _new_job(kind: type[Job], asked: str, fields: dict[str, Any]) -> Job:
    """Raises IntegrityError while another job of the same request is open."""
    now = timezone.now()
    with transaction.atomic():
        return kind._default_manager.create(**fields, asked=asked, asked_at=now, beat_at=now)


def take_job(kind: type[Job], job_id: int) -> str:
    """Claim a waiting job for this process.  Returns RUNNING; FAILED when it was given up before its turn came, which
    is now written; "" when it does not wait (any more)."""
    row = kind._default_manager.filter(pk=job_id, state=WAITING).first()
    if row is not None and (why := row.lost()):  # shown as failed for a while; who wanted it has asked again
        return FAILED if end_job(kind, job_id, FAILED, detail=why) else ""
    now = timezone.now()
    mine = kind._default_manager.filter(pk=job_id, state=WAITING)
    return RUNNING if mine.update(state=RUNNING, started_at=now, beat_at=now) else ""


def cancel_job(kind: type[Job], job_id: int, by: str) -> bool:
    """Ask a job to end: one that waits ends here, one at work by itself.  False: it is over."""
    rows = kind._default_manager
    if rows.filter(pk=job_id, state=WAITING).update(
        state=CANCELLED, finished_at=timezone.now(), cancel_asked_by=by, detail=f"cancelled by {by} before it began"
    ):
        return True
    row = rows.filter(pk=job_id, state=RUNNING).first()
    if row is None:
        return False
    if why := row.lost():
        return end_job(kind, job_id, FAILED, detail=why)
    return bool(rows.filter(pk=job_id, state=RUNNING).update(cancel_asked_by=by))


def end_job(kind: type[Job], job_id: int, state: str, **fields: Any) -> bool:
    """Close an open job.  False: it was closed before."""
    leave_dead_connection()
    fields["detail"] = str(fields.get("detail", ""))[: kind.DETAIL_MAX]
    rows = kind._default_manager.filter(pk=job_id, state__in=OPEN)
    return bool(rows.update(state=state, finished_at=timezone.now(), **fields))
