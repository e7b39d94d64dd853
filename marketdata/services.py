"""Writes of the marketdata floor: files into the store, with their row.

The file is complete before its row is made, and the row is made in one transaction; a crash between the two leaves a
file that the next import of the same source takes over.
"""

from pathlib import Path

from django.conf import settings
from django.db import transaction

from marketdata.feeds.options import parse_options
from marketdata.models import DataSet
from marketdata.store.estimates import estimate
from marketdata.store.importing import Cancelled, Progress, import_file
from marketdata.store.report import Estimate, ImportReport

DATA = "data"


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
) -> DataSet:
    """Read `path` to its end and keep it.  The same file asked for in the same way is the same data set.

    Raises FeedError or MemoryRefused with one sentence; then neither a file nor a row is left.  Raises ImportCancelled
    when `cancelled()` says so; then nothing is visible, and the same import goes on where it stopped.
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
    request: dict[str, object] = {"symbol": symbol, "schema": schema, "options": options}
    return _record(report, request)


def _record(report: ImportReport, request: dict[str, object]) -> DataSet:
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
    with transaction.atomic():
        stored, _ = DataSet.objects.update_or_create(path=str(report.path.relative_to(settings.VAR)), defaults=values)
    return stored
