"""The seconds of a recording in a small file beside it: a page draws any part of any day from there, at once.

The import writes it as it goes, a row for each second in which something happened; a second that lies in two parts of a
data set has a row in each.  It holds nothing that the recording does not: without it, or with a damaged one, only a
beginning of the recording is drawn.  Called by the imports and by `store.days.reading`; memory is one row group.
"""

import contextlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.units import NANOS
from marketdata.store.days.rows import NAMES, ROW, in_order, of_events
from marketdata.store.days.span import Span
from marketdata.store.partitions import sync

SUFFIX = ".seconds.parquet"
GROUP_ROWS = 1 << 14
DAY_S = 86_400
DAYS = "days"  # in the file's end: events of each UTC day
SCHEMA = pa.schema([(name, pa.int64()) for name in NAMES])
log = logging.getLogger(__name__)


def seconds_of(path: Path) -> Path:
    """Where the seconds of a stored file lie."""
    return path.with_name(path.name.partition(".")[0] + SUFFIX)


class Seconds:
    """EVENTs in order of time → ROWs, each handed out when its second is over; `end` gives the rest."""

    def __init__(self, with_bars: bool) -> None:
        self._with_bars, self._open = with_bars, np.zeros(0, ROW)

    def see(self, events: np.ndarray, times_ns: np.ndarray) -> np.ndarray:
        """The next events, at least one."""
        rows = in_order(np.concatenate((self._open, of_events(events, times_ns, self._with_bars))))
        over = int(np.searchsorted(rows["at"], int(times_ns[-1]) // NANOS - 1))  # a bar comes with the second behind it
        self._open = rows[over:].copy()
        return rows[:over]

    def end(self) -> np.ndarray:
        """What is not over yet."""
        return self._open


class SecondsWriter:
    """Writes the seconds of a recording into `path`, which stands for nothing before `close`."""

    def __init__(self, path: Path, with_bars: bool) -> None:
        self.path, self._seconds = path, Seconds(with_bars)
        self._waiting: list[np.ndarray] = []
        self.days: Counter[str] = Counter()  # events of each UTC day, of the seconds that are over
        self._writer: pq.ParquetWriter | None = None

    def see(self, events: np.ndarray, times_ns: np.ndarray) -> None:
        """The next EVENTs, at least one, in order of `times_ns`.  Raises OSError."""
        self._waiting.append(self._seconds.see(events, times_ns))
        if sum(part.size for part in self._waiting) >= GROUP_ROWS:
            self._put()

    def _put(self) -> None:
        rows = np.concatenate(self._waiting)
        self._waiting = []
        if not rows.size:
            return
        days, which = np.unique(rows["at"] // DAY_S, return_inverse=True)
        events = np.zeros(days.size, np.int64)
        np.add.at(events, which, rows["events"])
        self.days.update(dict(zip(days.astype("M8[D]").astype(str).tolist(), events.tolist(), strict=True)))
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, SCHEMA, compression="zstd")
        columns = [pa.array(np.ascontiguousarray(rows[name])) for name in NAMES]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), row_group_size=GROUP_ROWS)

    def close(self) -> None:
        """Write the rest; the file is durable then.  Raises OSError."""
        self._waiting.append(self._seconds.end())
        self._put()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.add_key_value_metadata({DAYS: json.dumps(self.days)})
            writer.close()
            sync(self.path)

    def abandon(self) -> None:
        """Close what is open; nothing is left of it."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError, MemoryError, pa.ArrowException):  # its footer, on a full disk
                writer.close()
            self.path.unlink(missing_ok=True)


def day_counts(path: Path) -> dict[str, int]:
    """Events of each UTC day (2024-01-31), by the end of a file of seconds; {} where there is none that says so."""
    try:
        told = (pq.read_metadata(path).metadata or {}).get(DAYS.encode(), b"{}")
        return {str(day): int(events) for day, events in json.loads(told).items()}
    except (pa.ArrowException, OSError, ValueError, TypeError, AttributeError):
        return {}


class Found(NamedTuple):
    """Of a span: ROWs of its seconds, in order; the last one before it that has a book, (1,) or (0,); and the last
    second of the files (s UTC)."""

    inside: np.ndarray
    before: np.ndarray
    last_s: int


def read_seconds(files: Sequence[Path], span: Span) -> Found | None:
    """The seconds of a span out of files in order of time; None where one of them is not there or cannot be read."""
    try:
        return _read(files, span)
    except (pa.ArrowException, OSError, KeyError) as error:
        log.warning("no seconds of %s: %s", files[-1].name, str(error).splitlines()[0])
        return None


def _read(files: Sequence[Path], span: Span) -> Found | None:
    begin_s, end_s = span.begin_ns // NANOS, span.end_ns // NANOS
    if not files or not all(file.is_file() for file in files):
        return None
    inside: list[np.ndarray] = []
    before, last_s = np.zeros(0, ROW), 0
    for file in reversed(files):
        with pq.ParquetFile(file) as parquet:
            groups = _groups(parquet)
            last_s = max([last_s, *(group.last_s for group in groups)])
            for k in reversed(range(len(groups))):
                group = groups[k]
                reaches = group.first_s < end_s and group.last_s >= begin_s
                if reaches or (group.first_s < begin_s and group.books and not before.size):
                    rows = _rows(parquet, k)
                    inside.append(rows[(rows["at"] >= begin_s) & (rows["at"] < end_s)])
                    with_book = np.flatnonzero((rows["at"] < begin_s) & (rows["books"] > 0))
                    if with_book.size and not before.size:
                        before = rows[with_book[-1:]]
        if before.size:
            break  # earlier files are behind it
    return Found(np.concatenate([np.zeros(0, ROW), *reversed(inside)]), before, last_s)


class _Group(NamedTuple):
    """One row group, by its statistics."""

    first_s: int
    last_s: int
    books: bool


def _groups(parquet: pq.ParquetFile) -> list[_Group]:
    """Raises KeyError for what this did not write."""
    if not parquet.schema_arrow.equals(SCHEMA):
        raise KeyError("its columns are no seconds")
    found = []
    for k in range(parquet.metadata.num_row_groups):
        group = parquet.metadata.row_group(k)
        at, books = (group.column(NAMES.index(name)).statistics for name in ("at", "books"))
        if at is None or books is None:
            raise KeyError("it has no statistics")
        found.append(_Group(at.min, at.max, books.max > 0))
    return found


def _rows(parquet: pq.ParquetFile, group: int) -> np.ndarray:
    table = parquet.read_row_group(group)
    rows = np.zeros(table.num_rows, ROW)
    for name in NAMES:
        rows[name] = table.column(name).to_numpy()
    return rows
