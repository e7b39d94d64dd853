"""Stored bars → rows of the 56 bar features with their labels, in chunks of one size and bounded memory (MES-MEM-08).

Bars of any file or data set come in chunks through the same checks as an import and the same compiled step as live;
where the chunks are cut changes no bit of the rows.  It writes nothing.  Called by `file`, `hashed` and the leakage
check.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.bardays import BarDays
from marketdata.core.barfeatures.engine import BLOCK_ROWS, BarFeatures, BarRefused, Block
from marketdata.core.barfeatures.records import BAR_DAY, Bars
from marketdata.core.barfeatures.schema import BAR_SECONDS, FEATURE_COUNT, FEATURE_NAMES, LABEL_S
from marketdata.core.records import NO_TIME
from marketdata.core.units import NANOS
from marketdata.feeds import tabular
from marketdata.feeds.options import ReplayOptions
from marketdata.memory.available import available
from marketdata.memory.guard import check, chunk_rows
from marketdata.store.chunks import CHUNK_ROW_BYTES, ChunkReader
from marketdata.store.dropped import by_reason, dropped_fault
from trading.learning.dataset import Cancelled, DataError
from trading.learning.schemas import bars_schema

CHUNK_ROWS = 1 << 16  # rows that are given out at a time
CHUNK_BARS_MAX = 1 << 18  # bars that are read at a time
ROW_BYTES = FEATURE_COUNT * 8 + 10
WORK_BYTES = 128 << 20  # what reading, computing and writing take beside the chunks; measured on 3 million bars


class RowChunk(NamedTuple):
    """Rows in their order.  Views into the reader's room: copy what outlives the next chunk."""

    second: np.ndarray  # (n,) int64, start, seconds UTC
    valid: np.ndarray  # (n,) bool
    features: np.ndarray  # (n, 56) float64, NaN in all places of a row that is not valid
    label: np.ndarray  # (n,) int8: 0 down, 1 flat, 2 up, -1 none


class Made(NamedTuple):
    """What was made of a source: stored in a file, or only hashed."""

    bars: int  # of the source that were used
    rows: int  # grid seconds
    valid: int
    labelled: int  # of the valid ones
    dropped: dict[str, int]
    schema_hash: str
    rows_hash: str  # see `digest`


class Session(NamedTuple):
    """All bars of one session, which nothing outside it can change: its rows can be made by themselves."""

    bars: Bars
    days: np.ndarray  # (n,) BAR_DAY that cover it
    until: int  # second of the first print after it; NO_TIME at the end of the data


def as_columns(bars: tabular.Bars) -> Bars:
    """Checked bars of a file as the columns that the features are made from; copies, writable and contiguous."""
    n = bars.start_ns.size
    opens, highs, lows, closes = (np.array(bars.ticks[:, k], np.int64) for k in range(4))
    volume, contract = np.array(bars.volume, np.int64), np.array(bars.contract, np.int64)
    return Bars(bars.start_ns // NANOS, opens, highs, lows, closes, volume, contract, np.zeros(n, np.int64))


def _one_after_another(parts: list[Bars]) -> Bars:
    if len(parts) == 1:
        return parts[0]
    return Bars(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class _Pile:
    """Rows that wait until their labels are known and a chunk is full."""

    def __init__(self) -> None:
        room = CHUNK_ROWS + BLOCK_ROWS + LABEL_S
        self._columns = RowChunk(
            np.empty(room, np.int64), np.empty(room, np.bool_), np.empty((room, FEATURE_COUNT)), np.empty(room, np.int8)
        )
        self.rows = self.labelled = 0

    def add(self, block: Block) -> None:
        """The next rows, and the labels that they decided."""
        here = slice(self.rows, self.rows + len(block.second))
        self._columns.second[here], self._columns.valid[here] = block.second, block.valid
        self._columns.features[here] = block.features
        self.rows = here.stop
        self.label(block.label)

    def label(self, labels: np.ndarray) -> None:
        """The next labels, in the order of the rows."""
        self._columns.label[self.labelled : self.labelled + len(labels)] = labels
        self.labelled += len(labels)

    def first(self, count: int) -> RowChunk:
        """The oldest rows; they stay until `drop`."""
        return RowChunk(*(column[:count] for column in self._columns))

    def drop(self, count: int) -> None:
        """Forget the oldest rows."""
        for column in self._columns:
            column[: self.rows - count] = column[count : self.rows].copy()
        self.rows -= count
        self.labelled -= count


class BarRows:
    """Rows of one instrument from one file or data set, CHUNK_ROWS at a time, the last chunk what is left.

    `bars_at_once`: 0 takes what the free memory allows.  Attributes: bars (of the source, known at once), kept, rows,
    valid, labelled, dropped (why → count), contracts.  Raises DataError, FeedError, SchemaError, MemoryRefused;
    Cancelled when `cancelled()` says so.
    """

    def __init__(
        self,
        path: Path,
        symbol: str,
        options: ReplayOptions,
        *,
        bars_at_once: int = 0,
        report: Callable[[int, int], None] = lambda done, bars: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.path, self.symbol = path, symbol
        self.schema = bars_schema(symbol)
        self._report, self._cancelled = report, cancelled
        self._days = BarDays()
        size = bars_at_once or min(chunk_rows(available().bytes, CHUNK_ROW_BYTES), CHUNK_BARS_MAX)
        self.memory_bytes = size * CHUNK_ROW_BYTES + 4 * CHUNK_ROWS * ROW_BYTES + WORK_BYTES
        check(f"the features of {path.name}", self.memory_bytes, "end another program, or raise the limit")
        self._reader = ChunkReader(path, symbol, options, rows=size, inside=self._days.inside)
        self.bars = self._reader.source_rows
        self.kept = self.rows = self.valid = self.labelled = 0

    @property
    def dropped(self) -> dict[str, int]:
        """Rows of the source that were left out, by the reason."""
        return by_reason(self._reader.reader.dropped)

    @property
    def contracts(self) -> list[str]:
        """The contracts that were met, in order."""
        return [name.strip("|") for name in self._reader.reader.contracts.names]

    def __iter__(self) -> Iterator[RowChunk]:
        pile = _Pile()
        engine = BarFeatures(np.zeros(0, BAR_DAY), FEATURE_NAMES)
        done = 0
        for chunk in self._reader:
            if self._cancelled():
                raise Cancelled
            self._check_length()
            done += chunk.rows
            if chunk.bars.start_ns.size:
                yield from self._rows_of(as_columns(chunk.bars), engine, pile)
            self._report(done, self.bars)
        pile.label(engine.last_labels())
        self._check_dropped()
        while pile.rows > 0:
            count = min(pile.rows, CHUNK_ROWS)
            yield self._counted(pile.first(count))
            pile.drop(count)

    def sessions(self) -> Iterator[Session]:
        """The bars, checked and counted as for the rows, a session at a time: what the rows are made from."""
        waiting: list[Bars] = []  # of the last session, which may go on
        days = np.zeros(0, BAR_DAY)
        opened, done = NO_TIME, 0
        for chunk in self._reader:
            if self._cancelled():
                raise Cancelled
            self._check_length()
            done += chunk.rows
            bars = as_columns(chunk.bars)
            self.kept += len(bars.second)
            for place, part in self._by_session(bars):
                if waiting and int(self._days.days["open_s"][place]) != opened:
                    yield Session(_one_after_another(waiting), days, int(part.second[0]))
                    waiting = []
                days = self._days.days
                opened = int(days["open_s"][place])
                waiting.append(part)
            self._report(done, self.bars)
        self._check_dropped()
        if waiting:
            yield Session(_one_after_another(waiting), days, NO_TIME)

    def _by_session(self, bars: Bars) -> Iterator[tuple[int, Bars]]:
        """(index in the days, bars) of each session that these bars touch."""
        if not len(bars.second):
            return
        places = self._days.places(bars.second)
        cuts = [0, *(np.flatnonzero(np.diff(places)) + 1).tolist(), len(places)]
        for begin, end in pairwise(cuts):
            yield int(places[begin]), Bars(*(column[begin:end] for column in bars))

    def _rows_of(self, bars: Bars, engine: BarFeatures, pile: _Pile) -> Iterator[RowChunk]:
        engine.days = self._days.cover(int(bars.second[0]), int(bars.second[-1]))
        self.kept += len(bars.second)
        try:
            for block in engine.blocks(bars):
                pile.add(block)
                while pile.labelled >= CHUNK_ROWS:
                    yield self._counted(pile.first(CHUNK_ROWS))
                    pile.drop(CHUNK_ROWS)
                    if self._cancelled():
                        raise Cancelled
        except BarRefused as error:
            raise DataError(f"{self.path}: {error}") from None

    def _counted(self, chunk: RowChunk) -> RowChunk:
        self.rows += len(chunk.second)
        self.valid += int(chunk.valid.sum())
        self.labelled += int((chunk.valid & (chunk.label >= 0)).sum())
        return chunk

    def _check_length(self) -> None:
        """MES-DATA-02: bars of another length never feed these features."""
        if self._reader.reader.bar_ns != BAR_SECONDS * NANOS:
            seconds = self._reader.reader.bar_ns / NANOS
            raise DataError(f"{self.path} holds bars of {seconds:g} s: the bar features are made of bars of 1 s alone")

    def _check_dropped(self) -> None:
        """MES-DATA-04, as an import holds it."""
        reader = self._reader.reader
        if fault := dropped_fault(self.path, reader.rows, reader.dropped):
            raise DataError(fault)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
