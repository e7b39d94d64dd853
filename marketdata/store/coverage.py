"""What a stored data set covers: its months from the manifest, a month's days and a day's bars from a file.

A page reads at most one month's column of times, or one day's bars; nothing is loaded whole, and a manifest is parsed
once while it stays what it is.  Days are UTC, as the store's months are.  Called by `marketdata.selectors`.
"""

import calendar
import hashlib
import threading
from bisect import bisect_left, bisect_right
from collections import Counter, OrderedDict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.units import NANOS
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import manifest_format, read_manifest

DAY_NS = 86_400 * NANOS
SLICES = 360  # points of a day's chart
PARSED_BYTES = 32 << 20  # of manifests whose contents are kept


class Stored(NamedTuple):
    """A data set as its files tell it; shared by those who ask, so not to be changed.  `months`: rows of the manifest,
    each with its gaps; empty for books and recordings.  `gaps` None: the exchange's hours are not known.  `data_hash`:
    as a backtest's summary names the data.  `files`: what lies behind it, and must be there; `source`: the name of what
    it was made from."""

    bytes: int
    months: list[dict[str, Any]]
    gaps: list[tuple[int, int]] | None
    rolls: list[tuple[int, str, str]]
    aside_rows: int
    rows_hash: str
    data_hash: str
    files: tuple[Path, ...] = ()
    source: str = ""


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
    stored = parsed.of(path)
    if gone := [file for file in stored.files if not file.is_file()]:
        raise FeedError(f"{gone[0]} of the data set {path.name} is gone: import {stored.source} again")
    return stored


class Parsed:
    """Manifests that were parsed, by path, time of the last change, size and inode: another file at the same place is
    read anew.  Those asked for longest ago go first, when the texts of all are larger than `bytes_max`.  Attribute:
    count (how many were parsed)."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kept: OrderedDict[Path, tuple[tuple[int, ...], Stored]] = OrderedDict()
        self._lock = threading.Lock()
        self.count = 0

    def of(self, path: Path) -> Stored:
        """What is behind a stored file, without looking whether it is there.  Raises FeedError, OSError."""
        told = path.stat()
        key = told.st_mtime_ns, told.st_size, told.st_ino
        with self._lock:
            kept = self._kept.get(path)
            if kept is not None and kept[0] == key:
                self._kept.move_to_end(path)
                return kept[1]
        stored = _parse(path, told.st_size)
        with self._lock:
            self.count += 1
            self._kept[path] = key, stored
            self._kept.move_to_end(path)
            while len(self._kept) > 1 and sum(key[1] for key, _ in self._kept.values()) > self._bytes_max:
                self._kept.popitem(last=False)
        return stored


def _parse(path: Path, size: int) -> Stored:
    """Raises FeedError, OSError."""
    if not manifest_format(path):
        return Stored(size, [], None, [], 0, "", "")
    try:
        return _of_manifest(path, read_manifest(path), size)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FeedError):
            raise
        raise FeedError(f"{path} is a damaged manifest: import the source again") from None


def unreadable(path: Path, error: OSError) -> FeedError:
    """What is said of a set whose files the system does not give out."""
    words = error.strerror or str(error)
    return FeedError(f"{error.filename or path} cannot be read ({words}): mend its rights, or the disk")


def _of_manifest(path: Path, manifest: dict[str, Any], size: int) -> Stored:
    gaps = None if manifest["gaps"] is None else [(int(begin), int(end)) for begin, end in manifest["gaps"]]
    digest = hashlib.sha256()
    months = []
    for part in manifest["partitions"]:
        digest.update(bytes.fromhex(part["sha256"]))
        size += part["bytes"]
        if "month" in part:
            begin, end = month_span(part["month"])
            months.append({**part, "gaps": None if gaps is None else touching(gaps, begin, end)})
    base = path.parent / manifest["folder"]
    aside = base / "aside.parquet"
    size += aside.stat().st_size if aside.is_file() else 0
    return Stored(
        size,
        months,
        gaps,
        [(int(at), str(old), str(new)) for at, old, new in manifest["rolls"]],
        int(manifest.get("aside_rows", 0)),
        str(manifest["rows_hash"]),
        digest.hexdigest(),
        tuple(base / part["file"] for part in manifest["partitions"]),
        str(manifest.get("source", "it")),
    )


parsed = Parsed(PARSED_BYTES)


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


def month_file(path: Path, month: str) -> Path | None:
    """The file of a month; None when the data set has none.  Raises FeedError."""
    stored = parsed.of(path)
    found = zip(stored.files, stored.months, strict=False)  # books have no months
    return next((file for file, part in found if part["month"] == month), None)


def days(path: Path, month: str, gaps: list[tuple[int, int]] | None) -> list[Day]:
    """Every day of a month of a data set of bars.  Raises FeedError."""
    file = month_file(path, month)
    starts = np.zeros(0, np.int64) if file is None else columns(file, ["timestamp"])[0]
    begin, end = month_span(month)
    counts = np.bincount((starts - begin) // DAY_NS, minlength=(end - begin) // DAY_NS).tolist()
    return counted_days(month, {f"{month}-{k + 1:02d}": count for k, count in enumerate(counts)}, gaps)


def counted_days(month: str, counts: Mapping[str, int], gaps: list[tuple[int, int]] | None) -> list[Day]:
    """Every day of a month, of which the rows are known (2024-01-31 → rows)."""
    begin, _ = month_span(month)
    year, number = int(month[:4]), int(month[5:])
    found = []
    for k in range(calendar.monthrange(year, number)[1]):
        at = begin + k * DAY_NS
        missing = None if gaps is None else touching(gaps, at, at + DAY_NS)
        found.append(Day(date(year, number, k + 1), counts.get(f"{month}-{k + 1:02d}", 0), missing))
    return found


def counted_months(counts: Mapping[str, int], gaps: list[tuple[int, int]] | None) -> list[dict[str, Any]]:
    """The months of counted days, in order, each with its rows and gaps, as a manifest of bars names them."""
    rows: Counter[str] = Counter()
    for day, count in counts.items():
        rows[day[:7]] += count
    return [
        {"month": month, "rows": rows[month], "gaps": None if gaps is None else touching(gaps, *month_span(month))}
        for month in sorted(rows)
    ]


def day_bars(path: Path, day: date) -> DayBars:
    """A day's prices for a chart.  Raises FeedError."""
    begin = day_start(day)
    file = month_file(path, f"{day:%Y-%m}")
    names = ["timestamp", "low", "high", "close"]
    if file is None:
        starts = low = high = close = np.zeros(0, np.int64)
    else:
        starts, low, high, close = columns(file, names, begin, begin + DAY_NS)
    slices = (starts - begin) * SLICES // DAY_NS
    at, first = np.unique(slices, return_index=True)
    if not at.size:
        return DayBars(at, at, at, at, 0)
    last = np.append(first[1:], starts.size) - 1
    return DayBars(at, np.minimum.reduceat(low, first), np.maximum.reduceat(high, first), close[last], starts.size)


def columns(file: Path, names: list[str], begin_ns: int | None = None, end_ns: int | None = None) -> list[np.ndarray]:
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
