"""Books → Parquet files of so many events, each durable before it is named, with its seconds beside it.

A part is closed behind a block only, so that an import that goes on makes the same parts; its rows lie in groups that
the blocks alone decide.  Called by `sets.books`; memory is one row group.
"""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.feeds.books.rows import SCHEMA, table_of
from marketdata.feeds.tapes import Block
from marketdata.store.days.seconds import SecondsWriter, seconds_of
from marketdata.store.partitions import file_hash, sync

GROUP_ROWS = 1 << 14
PART_ROWS = 1 << 17
OPEN, OPEN_SECONDS = ".part", ".seconds"


class BookPartWriter:
    """Writes blocks in order of time.  `closed`: what is known of the parts before, for an import that goes on."""

    def __init__(self, folder: Path, symbol: str, closed: list[dict[str, Any]] | None = None) -> None:
        self._folder, self._symbol = folder, symbol
        self.closed = list(closed or [])
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        (folder / symbol).mkdir(parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        self._hash = hashlib.sha256()
        self._rows = self._waits = self._books = 0
        self._seconds = SecondsWriter(self._folder / self._symbol / OPEN_SECONDS, with_bars=False)

    def write(self, block: Block) -> bool:
        """The next events, at least one.  Whether a part was closed behind them."""
        if self._rows == 0:
            self._first = int(block.events["ts_ns"][0])
        self._last = int(block.events["ts_ns"][-1])
        self._rows += len(block.events)
        self._waits += len(block.events)
        self._books += len(block.depths)
        self._hash.update(block.events.tobytes())
        self._hash.update(block.depths.tobytes())
        self._waiting.append(table_of(block))
        self._seconds.see(block.events, block.events["ts_ns"])
        if self._waits >= GROUP_ROWS:
            self._put()
        if self._rows < PART_ROWS:
            return False
        self._close()
        return True

    def _put(self) -> None:
        """One row group."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._folder / self._symbol / OPEN, SCHEMA, compression="zstd")
        self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=max(self._waits, 1))
        self._waiting, self._waits = [], 0

    def _close(self) -> None:
        """Finish the part: durable first, then named."""
        if self._waits:
            self._put()
        assert self._writer is not None
        self._writer.close()
        self._writer = None
        part = self._folder / self._symbol / OPEN
        path = self._folder / self._symbol / f"{len(self.closed) + 1:05d}.parquet"
        sync(part)
        self._seconds.close()
        self.closed.append(
            {
                "file": f"{self._symbol}/{path.name}",
                "rows": self._rows,
                "books": self._books,
                "first_ns": self._first,
                "last_ns": self._last,
                "days": dict(self._seconds.days),
                "bytes": part.stat().st_size,
                "sha256": file_hash(part),
                "rows_sha256": self._hash.hexdigest(),
            }
        )
        os.replace(self._seconds.path, seconds_of(path))
        os.replace(part, path)
        self._open()

    def finish(self) -> None:
        """Close the last part."""
        if self._rows:
            self._close()
        sync(self._folder / self._symbol)
        sync(self._folder)

    def abandon(self) -> None:
        """Close files; the open part is lost, the closed ones stay."""
        writer, self._writer = self._writer, None
        self._seconds.abandon()
        if writer is not None:
            with contextlib.suppress(OSError, MemoryError, pa.ArrowException):  # its footer, on a full disk
                writer.close()
        (self._folder / self._symbol / OPEN).unlink(missing_ok=True)
