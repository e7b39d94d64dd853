"""Writes of the marketdata floor: files into the store, with their row, and out of it again.

The file is complete before its row is made, and the row is made in one transaction; a crash between the two leaves a
file that the next import of the same source takes over.  It goes in the reverse order: first the row, then the file.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction

from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.models import DataSet
from marketdata.store.estimates import estimate
from marketdata.store.importing import (
    Cancelled,
    Progress,
    import_file,
    key_of,
    remove_data_set,
    work_folder,
)
from marketdata.store.report import Estimate, ImportReport

DATA = "data"


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
