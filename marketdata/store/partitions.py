"""Bars → Parquet files, one an instrument and month (UTC), each durable before it is named.

A month that is closed never changes; its rows lie in row groups of one size, so that the same bars give the same bytes
however they arrive.  Called by `marketdata.store.importing`; memory is one row group.
"""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.instruments import INSTRUMENTS
from marketdata.feeds.columns import LABEL_SEPARATOR
from marketdata.feeds.tabular import Bars, join

GROUP_ROWS = 1 << 17
OHLC_FIELDS = [(name, pa.int64()) for name in ("open", "high", "low", "close")]  # 1e-9 points
BASE = [("timestamp", pa.int64()), *OHLC_FIELDS, ("volume", pa.uint64())]  # ns UTC, start of the bar (MES-DATA-01)
BY_SYMBOL = pa.schema([*BASE, ("symbol", pa.dictionary(pa.int32(), pa.string()))])
BY_ID = pa.schema([*BASE, ("instrument_id", pa.int64())])
BY_BOTH = pa.schema([*BASE, ("symbol", pa.dictionary(pa.int32(), pa.string())), ("instrument_id", pa.int64())])


def file_hash(path: Path) -> str:
    """sha256 of the file, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Make a file or a folder's list of names durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that its name stands for all of it or for what was there before."""
    part = path.with_name(f".{path.name}.tmp")
    with open(part, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; nothing when it is not there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class MonthWriter:
    """Writes bars in order of time.  `closed`: what is known of the months before, for an import that goes on."""

    def __init__(self, folder: Path, symbol: str, names: list[str], closed: list[dict[str, Any]] | None = None) -> None:
        self._folder, self._symbol, self._names = folder, symbol, names
        self._tick_nanos = INSTRUMENTS[symbol].tick_nanos
        self.closed = list(closed or [])
        self._month = self.closed[-1]["month"] if self.closed else ""
        self._done = self._month  # rows of it and of earlier months are stored
        self._waiting: list[Bars] = []
        self._writer: pq.ParquetWriter | None = None
        (folder / symbol).mkdir(parents=True, exist_ok=True)

    def write(self, bars: Bars) -> None:
        """The next bars; what lies in a month that was closed before is known already."""
        months = bars.start_ns.astype("M8[ns]").astype("M8[M]")
        borders = np.flatnonzero(np.diff(months.astype(np.int64), prepend=-(1 << 40)))
        for begin, end in zip(borders.tolist(), [*borders.tolist()[1:], bars.start_ns.size], strict=True):
            month = str(months[begin])
            if month <= self._done:
                continue
            if self._month not in (month, self._done):
                self._close()
            if self._month != month:
                self._open(month)
            self._add(bars.take(slice(begin, end)))

    def _open(self, month: str) -> None:
        self._month = month
        self._hash = hashlib.sha256()
        self._rows, self._first, self._last = 0, 0, 0

    def _add(self, bars: Bars) -> None:
        if self._rows == 0:
            self._first = int(bars.start_ns[0])
        self._rows += bars.start_ns.size
        self._last = int(bars.start_ns[-1])
        self._waiting.append(bars)
        if sum(part.start_ns.size for part in self._waiting) >= GROUP_ROWS:
            waiting = join(self._waiting)
            whole = waiting.start_ns.size // GROUP_ROWS * GROUP_ROWS
            for begin in range(0, whole, GROUP_ROWS):
                self._put(waiting.take(slice(begin, begin + GROUP_ROWS)))
            self._waiting = [waiting.take(slice(whole, None))]

    def _put(self, bars: Bars) -> None:
        """One row group."""
        columns = [bars.start_ns, *bars.ticks.T, bars.volume, bars.contract]
        self._hash.update(np.stack(columns[:-1], axis=1).tobytes())
        table = bars_table(bars, self._symbol, self._names)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._folder / self._symbol / ".month", table.schema, compression="zstd")
        self._writer.write_table(table, row_group_size=GROUP_ROWS)

    def _close(self) -> None:
        """Finish the month: durable first, then named."""
        rest = join(self._waiting)
        if rest.start_ns.size:
            self._put(rest)
        assert self._writer is not None
        self._writer.close()
        self._writer = None
        self._waiting = []
        part = self._folder / self._symbol / ".month"
        path = self._folder / self._symbol / f"{self._month}.parquet"
        sync(part)
        self.closed.append(
            {
                "file": f"{self._symbol}/{path.name}",
                "month": self._month,
                "rows": self._rows,
                "first_ns": self._first,
                "last_ns": self._last,
                "bytes": part.stat().st_size,
                "sha256": file_hash(part),
                "rows_sha256": self._hash.hexdigest(),
            }
        )
        os.replace(part, path)
        self._done = self._month

    def finish(self) -> None:
        """Close the last month."""
        if self._month != self._done:
            self._close()
        sync(self._folder / self._symbol)
        sync(self._folder)

    def abandon(self) -> None:
        """Close files; the open month is lost, the closed ones stay."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError, MemoryError, pa.ArrowException):  # its footer, on a full disk
                writer.close()
        (self._folder / self._symbol / ".month").unlink(missing_ok=True)


def _labels(symbol: str, names: list[str]) -> tuple[list[tuple[str, str, str]], bool, bool]:
    """The contracts in parts, and whether their symbols, and their ids, are stored."""
    labels = [name.partition(LABEL_SEPARATOR) for name in names] or [(symbol, "", "")]
    return labels, any(label[0] for label in labels), any(label[2] for label in labels)


def stored_names(symbol: str, names: list[str]) -> list[str]:
    """The contracts as a reader of the stored bars names them, by the same numbers."""
    labels, _, by_id = _labels(symbol, names)
    return [f"{label[0]}{LABEL_SEPARATOR}{int(label[2] or 0) if by_id else ''}" for label in labels]


def bars_table(bars: Bars, symbol: str, names: list[str]) -> pa.Table:
    """Checked bars as the store's columns (MES-DATA-01): starts, prices in 1e-9 points, lots, and the contract as its
    source names it: by symbol, by id, or both; a source that names none is all `symbol`."""
    nanos = bars.ticks * INSTRUMENTS[symbol].tick_nanos
    columns = [bars.start_ns, *(nanos[:, k] for k in range(4)), bars.volume.astype(np.uint64)]
    arrays: list[pa.Array] = [pa.array(column) for column in columns]
    labels, by_symbol, by_id = _labels(symbol, names)
    if by_symbol:
        codes = pa.array(bars.contract.astype(np.int32))
        arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array([label[0] for label in labels])))
    if by_id:
        numbers = np.array([int(label[2] or 0) for label in labels], np.int64)
        arrays.append(pa.array(numbers[bars.contract]))
    schema = BY_BOTH if by_symbol and by_id else BY_ID if by_id else BY_SYMBOL
    return pa.Table.from_arrays(arrays, schema=schema)
