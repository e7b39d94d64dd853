"""Bars of any file or data set in chunks of a known number, or whole when there is room (MES-MEM-04, -07).

A chunk covers exactly the rows of the source that were asked for, the last one what is left; what the rules of
MES-DATA-03 remember goes from one to the next, so that a repetition or a step back over a border is found.  A data
set is read from its columns (`columns`), which its import left or the first whole pass leaves for the next ones.
Called by whoever works through history: features, labels, training.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import data_set_files
from marketdata.feeds.tabular import NONE, BarReader, Bars, Inside, join
from marketdata.memory.available import Available, available
from marketdata.memory.estimate import load_bytes
from marketdata.memory.guard import check, chunk_rows
from marketdata.store.columns.form import place_of
from marketdata.store.columns.mapped import MappedBars, open_columns
from marketdata.store.columns.writing import ColumnsWriter

SLAB_ROWS = 1 << 19
LOADED = 4  # columns of a load: all but the place in the file
CHUNK_ROW_BYTES = 256  # of one row on its way: raw columns, prices, ticks, verdicts, and the bar itself


class Chunk(NamedTuple):
    """Part of a source.  `bars` are the good ones of its rows."""

    number: int  # from 0
    first_row: int  # of the source, from 0
    rows: int  # of the source
    bars: Bars


class ChunkReader:
    """Chunks of `rows` rows of the source; 0 takes as many as a quarter of the free memory holds (MES-MEM-06).

    Attributes, known before anything is read: rows, source_rows, chunks (how many).  `progress` is told the chunks
    done and their number.  Raises FeedError.
    """

    def __init__(
        self,
        path: Path,
        symbol: str,
        options: ReplayOptions,
        *,
        rows: int = 0,
        schema: str = "",
        inside: Inside | None = None,
        progress: Callable[[int, int], None] = lambda done, chunks: None,
    ) -> None:
        if rows < 0:
            raise FeedError(f"a chunk of {rows} rows cannot be read")
        if options.sort:
            raise FeedError(f"{path} cannot be sorted in chunks: import it with sort=true, then read the data set")
        self._columns = place_of(path, symbol, options)
        mapped = open_columns(path, self._columns, inside)
        self.reader: BarReader | MappedBars
        if mapped is not None and self._columns is not None:
            self.reader, self.source_rows = mapped, self._columns.rows
        else:
            reader = BarReader(path, symbol, options, schema=schema, strict=False, inside=inside)
            self.reader, self.source_rows = reader, reader.source.rows()
        self.rows = rows or chunk_rows(available().bytes, CHUNK_ROW_BYTES)
        self.chunks = -(-self.source_rows // self.rows)
        self._progress = progress

    def __iter__(self) -> Iterator[Chunk]:
        waiting: list[Bars] = []
        number = 0
        for bars in self._bars():
            waiting.append(bars)
            while self.reader.rows >= (number + 1) * self.rows:
                chunk, waiting = self._cut(waiting, number)
                yield chunk
                number += 1
                self._progress(number, self.chunks)
        if number < self.chunks:
            chunk, _ = self._cut(waiting, number)
            yield chunk
            self._progress(number + 1, self.chunks)
        if self.reader.rows != self.source_rows:
            raise FeedError(
                f"{self.reader.path} has {self.reader.rows} rows, not {self.source_rows}: it changed while it was read"
            )

    def _bars(self) -> Iterator[Bars]:
        """All bars as they come; those of Parquet leave the data set's columns behind."""
        if isinstance(self.reader, MappedBars):
            yield from self.reader.chunks(self.rows)
            return
        place = self._columns
        writer = ColumnsWriter(place.path.parent, place.path.name, place.rows) if place is not None else None
        try:
            for bars in self.reader.chunks():
                if writer is not None:
                    writer.add(bars)
                yield bars
            if writer is not None and place is not None:
                writer.keep(place, self.reader.contracts.names, self.reader.dropped)
        finally:
            if writer is not None:
                writer.drop()

    def _cut(self, waiting: list[Bars], number: int) -> tuple[Chunk, list[Bars]]:
        """The chunk of this number out of the bars that wait, and the rest."""
        first = number * self.rows
        size = min(self.rows, self.source_rows - first)
        bars = join(waiting) if waiting else Bars(NONE, np.zeros((0, 4), np.int64), NONE, NONE, NONE)
        # a row that stepped back was dropped, so the rows of the good bars only rise
        cut = int(np.searchsorted(bars.row, first + size))
        return Chunk(number, first, size, bars.take(slice(0, cut))), [bars.take(slice(cut, None))]

    def close(self) -> None:
        """Close the file."""
        self.reader.close()


def load_bars(
    path: Path,
    symbol: str,
    options: ReplayOptions,
    *,
    schema: str = "",
    room: Available | None = None,
    skip_memory_check: str = "",
) -> Bars:
    """All good bars at once, without `row`, when they fit (MES-MEM-04).  `room`: what is available; None finds it out.

    Raises MemoryRefused with the numbers and the way that streams; FeedError for a file that cannot be used.
    """
    room = room or available()
    fitting = chunk_rows(room.bytes, CHUNK_ROW_BYTES)
    instead = (
        f"stream it: manage.py import_history {path} --symbol {symbol} needs the memory of one block, and"
        f" ChunkReader(rows={fitting}) reads the bars in chunks"
    )
    check(f"loading {path}", load_bytes(path, options.delimiter), instead, room, skip=skip_memory_check)
    reader = BarReader(path, symbol, options, schema=schema, strict=False)
    try:
        return _joined(list(_slabs(reader.chunks())))
    finally:
        reader.close()


def _slabs(chunks: Iterator[Bars]) -> Iterator[Bars]:
    """The same bars in large arrays, filled in place: thousands of small ones would leave the heap full of holes."""
    slab, filled = _slab(), 0
    for bars in chunks:
        done, size = 0, bars.start_ns.size
        while done < size:
            count = min(size - done, SLAB_ROWS - filled)
            for whole, part in zip(slab[:LOADED], bars[:LOADED], strict=True):
                whole[filled : filled + count] = part[done : done + count]
            done, filled = done + count, filled + count
            if filled == SLAB_ROWS:
                yield slab
                slab, filled = _slab(), 0
    yield Bars(*(column[:filled] for column in slab))


def _slab() -> Bars:
    n = SLAB_ROWS
    return Bars(*(np.empty(shape, np.int64) for shape in (n, (n, 4), n, n)))


def _joined(parts: list[Bars]) -> Bars:
    """One after another; the widest column first, and each column's parts go as soon as they are copied."""
    columns = dict(zip(Bars._fields, (list(column) for column in zip(*parts, strict=True)), strict=True))
    parts.clear()
    whole = {}
    for name in sorted(columns, key=lambda name: -columns[name][0].ndim):
        whole[name] = np.concatenate(columns.pop(name))
    return Bars(**whole)


def scan(path: Path) -> pl.LazyFrame:
    """A data set or a Parquet file as a lazy frame; nothing is read before it is collected.  Raises FeedError."""
    return pl.scan_parquet(data_set_files(path))
