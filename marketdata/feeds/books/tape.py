"""A stored data set of books as a tape: its events in order of receipt, and the 1-second bars of its trades.

An event is known at its receipt, a bar at its end; so blocks of any size give the same events.  What the import found
invalid is invalid here.  Called by `feeds.replay`; memory is one block.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.bars import bars_of, close_until, new_bars
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import NO_TICK, NO_TIME, new_events
from marketdata.core.units import NANOS
from marketdata.feeds.books.rows import SCHEMA, block_of
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import files_of, read_manifest
from marketdata.feeds.tapes import Block, empty_block

ROWS = 1 << 12  # of a block


class BookTape:
    """See feeds.tapes.Tape.  Raises FeedError."""

    def __init__(self, path: Path, symbols: list[str], options: ReplayOptions) -> None:
        manifest = read_manifest(path)
        if len(symbols) != 1:
            raise FeedError(f"{path} holds books of one instrument, the session trades {', '.join(symbols)}")
        self.path, self.rows = path, 0
        self._files = files_of(path, manifest)
        self._check_symbol(symbols[0], manifest["symbol"], int(manifest["tick_nanos"]), options)
        self._bars = new_bars(1)
        self._last_ns = NO_TIME

    def _check_symbol(self, symbol: str, stored: str, tick_nanos: int, options: ReplayOptions) -> None:
        root = options.as_symbol.get(symbol, symbol) or stored
        if root != stored:
            advice = f", or the option as_symbol={stored}:{symbol}" if symbol not in options.as_symbol else ""
            raise FeedError(
                f"{self.path} holds books of {stored}, but the session trades {symbol}: give another{advice}"
            )
        if INSTRUMENTS[symbol].tick_nanos != tick_nanos:
            raise FeedError(f"{stored} cannot be traded as {symbol}: their price grids differ")

    def blocks(self) -> Iterator[Block]:
        """See Tape.blocks."""
        for file in self._files:
            for block in self._of_file(file):
                yield self._with_bars(block)
        if rest := self._last_bar():
            yield rest

    def _of_file(self, file: Path) -> Iterator[Block]:
        try:
            with pq.ParquetFile(file) as parquet:
                if not parquet.schema_arrow.equals(SCHEMA):
                    raise ValueError("its columns are no books")
                for batch in parquet.iter_batches(ROWS):
                    block = block_of(batch)
                    self.rows += batch.num_rows
                    block.events["ts_venue_ns"] = block.events["ts_ns"]  # a tape is in order of what was known when
                    block.depths["ts_venue_ns"] = block.depths["ts_ns"]
                    times = block.events["ts_ns"]
                    if (np.diff(times, prepend=max(self._last_ns, times[0])) < 0).any() or times[0] < self._last_ns:
                        raise ValueError("its times go back")
                    self._last_ns = int(times[-1])
                    yield block
        except (pa.ArrowException, ValueError, OSError) as error:
            words = str(error).splitlines()[0]
            raise FeedError(f"{file} of {self.path.name} cannot be read ({words}): import the source again") from None

    def _with_bars(self, block: Block) -> Block:
        """The block with the bars that ended by its last event, each before the first event that is not earlier."""
        events, depths, depth_of = block
        parts, k = [], 0
        while k < len(events):
            out = new_events(ROWS)
            k, count = bars_of(self._bars, events, k, NANOS, out)
            parts.append(out[:count])
        until = int(events["ts_ns"][-1])
        while True:
            out = new_events(ROWS)
            count = close_until(self._bars, 0, until, NANOS, until, out, 0)
            parts.append(out[:count])
            if count < len(out):
                break
        bars = np.concatenate(parts)
        if not len(bars):
            return block
        bars["ts_ns"] = bars["ts_venue_ns"]
        places = np.searchsorted(events["ts_ns"], bars["ts_ns"], side="left")
        return Block(np.insert(events, places, bars), depths, np.insert(depth_of, places, -1).astype(np.int32))

    def _last_bar(self) -> Block | None:
        """The bar in progress at the end, when it has a print (MES-DATA-20: the grid ends with the last printed)."""
        bar = self._bars[0]
        if bar["start_ns"] == NO_TIME or bar["open_tick"] == NO_TICK:
            return None
        out, end = new_events(1), int(bar["start_ns"]) + NANOS
        count = close_until(self._bars, 0, end, NANOS, end, out, 0)
        return empty_block()._replace(events=out[:count], depth_of=np.full(count, -1, np.int32))

    def counts(self) -> dict[str, int]:
        """See Tape.counts."""
        return {"records": self.rows}

    def close(self) -> None:
        """See Tape.close; files are closed with their pass."""
