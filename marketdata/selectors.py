"""Reads of the marketdata floor: which history is there, where its files are, and what they cover."""

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import QuerySet

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import NANOS, tick_decimals
from marketdata.databento.definitions import DEFINITION
from marketdata.feeds.books.names import BOOKS
from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import read_manifest
from marketdata.models import DataSet
from marketdata.store import coverage
from marketdata.store.days import seconds
from marketdata.store.days.reading import Part, bars_part, books_part, recording_part
from marketdata.store.days.span import Span
from marketdata.store.folders import Listing, listing

PAGE = 50
IMPORTS = "imports"  # the folder of the desk's own for files that are to be imported


class Page(NamedTuple):
    """One page of rows.  `next_before` continues it; None at the end."""

    rows: list[dict[str, Any]]
    next_before: int | None


def data_sets(kind: str = "") -> QuerySet[DataSet]:
    """Stored data sets, the newest first; all kinds when `kind` is empty."""
    found = DataSet.objects.all()
    return found.filter(kind=kind) if kind else found


def market_data_sets() -> QuerySet[DataSet]:
    """Those that can be replayed, the newest first: definitions of contracts are none."""
    return DataSet.objects.exclude(kind=DEFINITION)


def find_data_set(data_set_id: int) -> DataSet | None:
    """One stored data set; None when there is no such."""
    return DataSet.objects.filter(pk=data_set_id).first()


def data_set_path(data_set: DataSet) -> Path:
    """The stored file.  Raises FileNotFoundError with what to do when it is gone."""
    path = Path(settings.VAR) / data_set.path
    if not path.is_file():
        raise FileNotFoundError(f"{path} of data set {data_set.pk} is gone: import {data_set.source} again")
    return path


def data_set_page(before: int | None = None, limit: int = PAGE) -> Page:
    """Data sets as a page lists them, the newest first."""
    rows = DataSet.objects.order_by("-id")
    found = list((rows if before is None else rows.filter(pk__lt=before))[: limit + 1])
    more = len(found) > limit
    return Page([data_set_row(row) for row in found[:limit]], found[limit - 1].pk if more else None)


def data_set_row(row: DataSet) -> dict[str, Any]:
    """One data set with what its files say; `fault` in their place when they are gone or damaged.  Times in µs UTC."""
    fault, stored = "", None
    try:
        stored = coverage.look(Path(settings.VAR) / row.path)
    except FeedError as error:
        fault = str(error)
    symbol = row.symbols[0] if row.symbols else ""
    return {
        "id": row.pk,
        "symbols": row.symbols,
        "schema": schema_words(row),
        "bars": row.bar_ns > 0,
        "books": row.kind == BOOKS,
        "definitions": row.kind == DEFINITION,
        "venue": INSTRUMENTS[symbol].venue if symbol in INSTRUMENTS else "",
        "decimals": decimals_of(symbol),
        "rows": row.rows,
        "first_us": row.first_ns // 1000,
        "last_us": row.last_ns // 1000,
        "source": row.source,
        "source_hash": row.source_hash,
        "request": row.request,
        "read": row.report.get("rows_read"),
        "dropped": row.report.get("dropped", {}),
        "dropped_rows": sum(row.report.get("dropped", {}).values()),
        "examples": row.report.get("examples", []),
        "verdicts": row.report.get("verdicts", {}),
        "resumed_rows": row.report.get("resumed_rows", 0),
        "path": row.path,
        "at": row.created_at,
        "by": row.created_by,
        "fault": fault,
        "stored": stored,
    }


def decimals_of(symbol: str) -> int:
    """Decimals of a price of this instrument; 9, those of the store, where it is not known."""
    return tick_decimals(INSTRUMENTS[symbol].tick_nanos) if symbol in INSTRUMENTS else 9


Roll = tuple[int, str, str]
DayPart = tuple[Part, list[tuple[int, int]] | None, list[Roll]]


def day_part(row: DataSet, span: Span) -> DayPart:
    """What there is to draw of a part of a day; its gaps, cut at its ends, None where they are not known; its rolls.

    Raises FeedError, FileNotFoundError."""
    path, symbol = data_set_path(row), str(row.symbols[0])
    stored = coverage.look(path)
    if row.bar_ns:
        part = bars_part(path, span, symbol)
    elif row.kind == BOOKS:
        part = books_part(path, span)
    else:
        part = recording_part(path, row.kind, span, symbol, parse_options(row.request.get("options", {})))
    gaps = None
    if stored.gaps is not None:
        cut = ((max(begin, span.begin_ns), min(end, span.end_ns)) for begin, end in stored.gaps)
        gaps = [(begin, end) for begin, end in cut if begin < end]
    return part, gaps, [roll for roll in stored.rolls if span.begin_ns <= roll[0] < span.end_ns]


def day_counts(row: DataSet) -> dict[str, int]:
    """Events of each UTC day (2024-01-31) of books and recordings; {} for bars, whose months tell, and for what was
    stored before they were counted.  Raises FeedError, FileNotFoundError."""
    if row.bar_ns or row.kind == DEFINITION:
        return {}
    path = data_set_path(row)
    if row.kind != BOOKS:
        return seconds.day_counts(seconds.seconds_of(path))
    found: Counter[str] = Counter()
    for part in read_manifest(path)["partitions"]:
        found.update(part.get("days", {}))
    return dict(found)


def schema_words(row: DataSet) -> str:
    """ "1 s bars", or the schema of a recording."""
    return f"{row.bar_ns // NANOS} s bars" if row.bar_ns else row.kind


def importable() -> Listing:
    """The files that an import from a page may name; the desk's own folder for them is made here."""
    own = Path(settings.VAR) / IMPORTS
    if own in settings.IMPORT_FOLDERS:
        with contextlib.suppress(OSError):  # the list says that it is not there
            own.mkdir(mode=0o700, parents=True, exist_ok=True)
    return listing(settings.IMPORT_FOLDERS)
