"""Recorded bars with the decisions made on them, chunk by chunk, for the loop: rows in a session and within the dates.

Columns of decisions stream beside the bars, so that memory is one chunk whatever the file; a function of one's own is
given all bars at once, after the memory check (MES-MEM-04).  Called by `engine`; it stores nothing.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.instruments import Instrument
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.stored import data_set_files
from marketdata.feeds.tabular import Bars, join
from marketdata.memory.available import Available, available
from marketdata.memory.estimate import load_bytes
from marketdata.memory.guard import Verdict, check, chunk_rows
from marketdata.store.chunks import CHUNK_ROW_BYTES, Chunk, ChunkReader
from marketdata.store.dropped import by_reason, dropped_fault
from marketdata.store.partitions import file_hash
from trading.core.history.records import Columns
from trading.run.backtest.plan import BacktestError, Calendar
from trading.run.backtest.signals import Decisions, SignalColumns, Strategy, StrategyBars, check_prefix, decide

ROW_BYTES = CHUNK_ROW_BYTES + 64  # a bar on its way through reader and loop, with its decision
ROWS_MAX = 1 << 20  # of a chunk: more is no faster

Progress = Callable[[int, int], None]  # rows of the source done, of how many


class BarSource:
    """Bars of one file or data set between two moments.

    Attributes after a pass: read, outside (rows in no session), dropped (rows left out by reason).

    Raises BacktestError, FeedError, MemoryRefused.
    """

    def __init__(
        self,
        path: Path,
        instrument: Instrument,
        options: ReplayOptions,
        strategy: Strategy,
        *,
        from_ns: int,
        to_ns: int,
        room: Available | None = None,
    ) -> None:
        self.path, self._options, self._instrument = path, options, instrument
        self.strategy = strategy
        self._from_ns, self._to_ns = from_ns, to_ns
        self._room = room or available()
        self.read = self.outside = 0
        self.dropped: dict[str, int] = {}  # rows left out for what they are, by reason
        self.contracts: list[str] = []
        self._signals = hashlib.sha256()

    def estimate(self, result_bytes: Callable[[int, int], int] = lambda rows, bar_ns: 0) -> tuple[int, int, Verdict]:
        """(rows of the source, bytes needed, verdict), before anything is read (MES-MEM-01).

        `result_bytes`: what the result takes beside them, by rows and length of a bar (0: not told).
        """
        reader = self._reader()
        rows, bar_ns = reader.source_rows, reader.reader.bar_ns
        reader.close()
        if self.strategy.function is None:
            needed = min(rows, self._chunk_rows()) * ROW_BYTES
            instead = "end another program, or raise the limit: one chunk of bars and the curve do not fit"
        else:
            needed = load_bytes(self.path, self._options.delimiter)
            instead = "a function is given all bars at once: give --from and --to to files of fewer bars, or a column"
        needed += result_bytes(rows, bar_ns)
        return rows, needed, check(f"a backtest of {self.path.name}", needed, instead, self._room)

    def chunks(self, calendar: Calendar, progress: Progress) -> Iterator[tuple[int, Columns]]:
        """(length of a bar in ns, chunk) in order of time; empty chunks are left out."""
        if self.strategy.function is not None:
            yield from self._at_once(calendar, progress)
            return
        signals = SignalColumns(self.path, self.strategy)
        for chunk, bar_ns in self._pass(progress):
            decisions = signals.take(chunk.rows)
            bars, keep = self._kept(chunk.bars, calendar)
            if bars.start_ns.size < chunk.rows:  # else every row of the source is a bar that is traded
                at = chunk.bars.row[keep] - chunk.first_row
                decisions = Decisions(*(column[at] for column in decisions))
            if bars.start_ns.size:
                yield bar_ns, self._columns(bars, decisions)

    def _at_once(self, calendar: Calendar, progress: Progress) -> Iterator[tuple[int, Columns]]:
        parts: list[Bars] = []
        bar_ns = 0
        for chunk, length_ns in self._pass(progress):
            parts.append(self._kept(chunk.bars, calendar)[0])
            bar_ns = length_ns
        if not any(part.start_ns.size for part in parts):
            return
        bars = join(parts)
        parts.clear()
        prices = dict(zip(("open", "high", "low", "close"), bars.ticks.T, strict=True))
        tick_nanos = self._instrument.tick_nanos
        seen = StrategyBars(
            start_ns=bars.start_ns, **prices, volume=bars.volume, contract=bars.contract, tick_nanos=tick_nanos
        )
        for column in seen[:-1]:
            column.setflags(write=False)  # what is traded is what was recorded
        decisions = decide(self.strategy, seen)
        check_prefix(self.strategy, seen, decisions)
        for begin in range(0, bars.start_ns.size, ROWS_MAX):
            part = slice(begin, begin + ROWS_MAX)
            yield bar_ns, self._columns(bars.take(part), Decisions(*(column[part] for column in decisions)))

    def bars(self, calendar: Calendar, progress: Progress) -> Iterator[tuple[int, Columns]]:
        """(length of a bar in ns, chunk without decisions): the bars alone, as `chunks` gives them."""
        for chunk, bar_ns in self._pass(progress):
            bars, _ = self._kept(chunk.bars, calendar)
            if n := bars.start_ns.size:
                nothing = Decisions(np.zeros(n, np.int8), np.zeros(n, np.int32))
                yield bar_ns, _plain(bars, nothing)

    def _pass(self, progress: Progress) -> Iterator[tuple[Chunk, int]]:
        reader = self._reader()
        self.read = self.outside = 0
        try:
            for chunk in reader:
                self.read += chunk.rows
                self.contracts = [name.strip("|") for name in reader.reader.contracts.names]
                yield chunk, reader.reader.bar_ns
                progress(self.read, reader.source_rows)
            if fault := dropped_fault(self.path, reader.reader.rows, reader.reader.dropped):
                raise BacktestError(fault)
            self.dropped = by_reason(reader.reader.dropped)
        finally:
            reader.close()

    def _reader(self) -> ChunkReader:
        return ChunkReader(self.path, self._instrument.symbol, self._options, rows=self._chunk_rows())

    def _chunk_rows(self) -> int:
        return min(chunk_rows(self._room.bytes, ROW_BYTES), ROWS_MAX)

    def _kept(self, bars: Bars, calendar: Calendar) -> tuple[Bars, np.ndarray]:
        """Bars within the dates and a session, and the mask that took them."""
        keep = (bars.start_ns >= self._from_ns) & (bars.start_ns < self._to_ns)
        inside = calendar.inside(bars.start_ns)
        self.outside += int((keep & ~inside).sum())
        keep &= inside
        return bars if keep.all() else bars.take(keep), keep

    def _columns(self, bars: Bars, decisions: Decisions) -> Columns:
        for column in decisions:
            self._signals.update(np.ascontiguousarray(column).tobytes())
        return _plain(bars, decisions)

    def signals_hash(self) -> str:
        """sha256 over the decisions that were handed out, hex."""
        return self._signals.hexdigest()

    def data_hash(self) -> str:
        """sha256 over the files of the source, hex."""
        digest = hashlib.sha256()
        for part in data_set_files(self.path):
            digest.update(bytes.fromhex(file_hash(part)))
        return digest.hexdigest()


def _plain(bars: Bars, decisions: Decisions) -> Columns:
    return Columns(
        start_ns=np.ascontiguousarray(bars.start_ns),
        ticks=np.ascontiguousarray(bars.ticks),
        volume=np.ascontiguousarray(bars.volume),
        contract=np.ascontiguousarray(bars.contract),
        side=np.ascontiguousarray(decisions.side),
        confidence_ppm=np.ascontiguousarray(decisions.confidence_ppm),
    )


def span_of(path: Path, instrument: Instrument, options: ReplayOptions) -> tuple[int, int]:
    """Earliest and latest start of a row, ns UTC: of Parquet from its footers, else by a pass over the bars.

    Raises FeedError, BacktestError.
    """
    if found := _span_of_parquet(path):
        return found
    starts: list[int] = []
    reader = ChunkReader(path, instrument.symbol, options)
    try:
        for chunk in reader:
            if chunk.bars.start_ns.size:
                starts += [int(chunk.bars.start_ns[0]), int(chunk.bars.start_ns[-1])]
    finally:
        reader.close()
    if not starts:
        raise BacktestError(f"{path} holds no bar of {instrument.symbol}")
    return starts[0], starts[-1]


def _span_of_parquet(path: Path) -> tuple[int, int] | None:
    """None where the footers do not tell: no Parquet, times that are no int64, or no statistics."""
    spans: list[tuple[int, int]] = []
    for part in data_set_files(path):
        try:
            with pq.ParquetFile(part) as file:
                if (
                    "timestamp" not in file.schema_arrow.names
                    or file.schema_arrow.field("timestamp").type != pa.int64()
                ):
                    return None
                at = file.schema_arrow.names.index("timestamp")
                groups = [file.metadata.row_group(k).column(at) for k in range(file.metadata.num_row_groups)]
        except (pa.ArrowException, OSError):
            return None
        if any(group.statistics is None or not group.statistics.has_min_max for group in groups):
            return None
        spans += [(int(group.statistics.min), int(group.statistics.max)) for group in groups]
    return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None
