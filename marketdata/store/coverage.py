"""What a stored data set covers: its months from the manifest, a month's days and a day's bars from a file.

A page reads at most one month's column of times, or one day's bars; nothing is loaded whole.  Days are UTC, as the
store's months are.  Called by `marketdata.selectors`.
"""

import calendar
import hashlib
from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.units import NANOS
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import data_set_files, is_manifest, read_manifest

DAY_NS = 86_400 * NANOS
SLICES = 360  # points of a day's chart


class Stored(NamedTuple):
    """A data set as its files tell it.  `months`: rows of the manifest, each with its gaps; empty for a recording.
    `gaps` None: the exchange's hours are not known.  `data_hash`: as a backtest's summary names the data."""

    bytes: int
    months: list[dict[str, Any]]
    gaps: list[tuple[int, int]] | None
    rolls: list[tuple[int, str, str]]
    aside_rows: int
    rows_hash: str
    data_hash: str


class Day(NamedTuple):
    """One UTC day: rows, and the gaps that reach into it; None where the hours are not known."""

    day: date
    rows: int
    gaps: int | None


class DayBars(NamedTuple):
    """One day in at most SLICES slices, (n,) each, empty ones left out: number of the slice, low, high and last price
    in 1e-9 points; and the day's rows."""

    at: np.ndarray
    low: np.ndarray
    high: np.ndarray
    close: np.ndarray
    rows: int


def look(path: Path) -> Stored:
    """What is behind a stored file.  Raises FeedError when a part of it is gone, damaged or cannot be read."""
    try:
        return _look(path)
    except FileNotFoundError:  # it was deleted while we looked
        raise FeedError(f"{path.name} is gone: import its source again") from None
    except OSError as error:
        raise unreadable(path, error) from None


def _look(path: Path) -> Stored:
    """Raises FeedError, OSError."""
    if not path.is_file():
        raise FeedError(f"{path.name} is gone: import its source again")
    if not is_manifest(path):
        return Stored(path.stat().st_size, [], None, [], 0, "", "")
    manifest = read_manifest(path)
    data_set_files(path)  # says which one is gone
    try:
        return _of_manifest(path, manifest)
    except (KeyError, TypeError, ValueError):
        raise FeedError(f"{path} is a damaged manifest: import the source again") from None


def unreadable(path: Path, error: OSError) -> FeedError:
    """What is said of a set whose files the system does not give out."""
    words = error.strerror or str(error)
    return FeedError(f"{error.filename or path} cannot be read ({words}): mend its rights, or the disk")


def _of_manifest(path: Path, manifest: dict[str, Any]) -> Stored:
    gaps = None if manifest["gaps"] is None else [(int(begin), int(end)) for begin, end in manifest["gaps"]]
    digest = hashlib.sha256()
    months = []
    for part in manifest["partitions"]:
        digest.update(bytes.fromhex(part["sha256"]))
        begin, end = month_span(part["month"])
        months.append({**part, "gaps": None if gaps is None else touching(gaps, begin, end)})
    size = sum(part["bytes"] for part in months) + path.stat().st_size
    aside = path.parent / manifest["folder"] / "aside.parquet"
    size += aside.stat().st_size if aside.is_file() else 0
    return Stored(
        size,
        months,
        gaps,
        [(int(at), str(old), str(new)) for at, old, new in manifest["rolls"]],
        int(manifest["aside_rows"]),
        str(manifest["rows_hash"]),
        digest.hexdigest(),
    )


def touching(gaps: list[tuple[int, int]], begin_ns: int, end_ns: int) -> int:
    """How many gaps reach into [begin, end).  They come in order and do not overlap."""
    return bisect_left(gaps, (end_ns,)) - bisect_right(gaps, begin_ns, key=lambda gap: gap[1])


def month_span(month: str) -> tuple[int, int]:
    """ "2024-02" → its first and its end, ns UTC."""
    first = np.datetime64(month, "M")
    return int(first.astype("M8[ns]").astype(np.int64)), int((first + 1).astype("M8[ns]").astype(np.int64))


def day_start(day: date) -> int:
    """ns UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NANOS


def _month_file(path: Path, month: str) -> Path | None:
    """The file of a month; None when the data set has none.  Raises FeedError."""
    manifest = read_manifest(path)
    part = next((part for part in manifest["partitions"] if part["month"] == month), None)
    return None if part is None else path.parent / manifest["folder"] / part["file"]


def days(path: Path, month: str, gaps: list[tuple[int, int]] | None) -> list[Day]:
    """Every day of a month of a data set of bars.  Raises FeedError."""
    file = _month_file(path, month)
    starts = np.zeros(0, np.int64) if file is None else _columns(file, ["timestamp"])[0]
    begin, end = month_span(month)
    counts = np.bincount((starts - begin) // DAY_NS, minlength=(end - begin) // DAY_NS).tolist()
    year, number = int(month[:4]), int(month[5:])
    found = []
    for k in range(calendar.monthrange(year, number)[1]):
        at = begin + k * DAY_NS
        missing = None if gaps is None else touching(gaps, at, at + DAY_NS)
        found.append(Day(date(year, number, k + 1), counts[k], missing))
    return found


def day_bars(path: Path, day: date) -> DayBars:
    """A day's prices for a chart.  Raises FeedError."""
    begin = day_start(day)
    file = _month_file(path, f"{day:%Y-%m}")
    names = ["timestamp", "low", "high", "close"]
    if file is None:
        starts = low = high = close = np.zeros(0, np.int64)
    else:
        starts, low, high, close = _columns(file, names, begin, begin + DAY_NS)
    slices = (starts - begin) * SLICES // DAY_NS
    at, first = np.unique(slices, return_index=True)
    if not at.size:
        return DayBars(at, at, at, at, 0)
    last = np.append(first[1:], starts.size) - 1
    return DayBars(at, np.minimum.reduceat(low, first), np.maximum.reduceat(high, first), close[last], starts.size)


def _columns(file: Path, names: list[str], begin_ns: int | None = None, end_ns: int | None = None) -> list[np.ndarray]:
    """int64 columns of a stored month, between two times where they are given."""
    span: list[tuple[str, str, int]] | None = None
    if begin_ns is not None and end_ns is not None:
        span = [("timestamp", ">=", begin_ns), ("timestamp", "<", end_ns)]
    try:
        table = pq.read_table(file, columns=names, filters=span, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        words = str(error).splitlines()[0]
        raise FeedError(f"{file.name} cannot be read ({words}): import the source again") from None
    return [table.column(name).to_numpy() for name in names]
