"""The market of a session out of its journal: 1-second bars as a Parquet file that an import takes (MES-LIVE-03).

Reads the prints that the feed gave the kernel, verified by the journal's chain, beside a live writer if need be, and
writes nothing of the session.  A second that a gap of the feed touches is left out, and so are the first and the
last one, which may be cut: what is missing stays missing.  Depth is in no journal, so none is recorded.  Memory is one
chunk.  Called by `desk.data.recording`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from marketdata.core.bars import bars_of, new_bars, reset_bars
from marketdata.core.records import BAR, EVENT, FEED, FEED_GAP, FLAG_CARRIED, NO_TICK, NO_TIME, TRADE, new_events
from marketdata.core.units import NANOS
from marketdata.feeds.tabular import Bars, join
from marketdata.store.partitions import GROUP_ROWS, bars_table, sync
from trading.run.journal.reader import CHUNK_FRAMES, JournalReader
from trading.run.journal.segment import JournalBroken
from trading.run.spec import SessionSpec

ROOM = 4096  # bars that one call may close

Progress = Callable[[int, int], None]  # journal number reached, the last one


class NothingRecorded(ValueError):
    """A journal that holds no second to keep: one sentence."""


class Recorded(NamedTuple):
    """What was written.  `left_out`: seconds with prints that are not kept; `late`: prints of a second long over."""

    bars: int
    gaps: int
    left_out: int
    late: int
    last_seq: int


class _Writer:
    """Bars → row groups of one size, so that the same bars give the same bytes however the journal is read."""

    def __init__(self, file: Path, symbol: str) -> None:
        self.file, self.symbol, self.rows = file, symbol, 0
        self._waiting: list[Bars] = []
        self._writer: pq.ParquetWriter | None = None

    def add(self, bars: Bars) -> None:
        self._waiting.append(bars)
        self.rows += bars.start_ns.size
        if sum(part.start_ns.size for part in self._waiting) >= GROUP_ROWS:
            whole = join(self._waiting)
            self._put(whole.take(slice(0, GROUP_ROWS)))
            self._waiting = [whole.take(slice(GROUP_ROWS, None))]

    def _put(self, bars: Bars) -> None:
        table = bars_table(bars, self.symbol, [])
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.file, table.schema, compression="zstd")
        self._writer.write_table(table, row_group_size=GROUP_ROWS)

    def close(self) -> None:
        if self._waiting and self.rows:
            self._put(join(self._waiting))
        if self._writer is not None:
            self._writer.close()
            sync(self.file)


class _Seconds:
    """Prints of one instrument → closed seconds, without those that a cut touches."""

    def __init__(self, place: int, writer: _Writer) -> None:
        self.place, self.writer = place, writer
        self.state = new_bars(place + 1)
        self.gaps = self.left_out = 0
        self._cut = True  # the next second may have lost its beginning
        self._out = new_events(ROOM)

    def prints(self, events: np.ndarray) -> None:
        """TRADEs in order."""
        first = 0
        while first < events.size:
            first, count = bars_of(self.state, events, first, NANOS, self._out)
            self._keep(self._out[:count])

    def _keep(self, closed: np.ndarray) -> None:
        held = closed[closed["flags"] & FLAG_CARRIED == 0]
        if held.size and self._cut:
            held, self._cut = held[1:], False
            self.left_out += 1
        if held.size:
            ticks = np.stack([held[name] for name in ("open_tick", "high_tick", "low_tick", "close_tick")], axis=1)
            zeros = np.zeros(held.size, np.int64)
            self.writer.add(Bars(held["ts_venue_ns"] - NANOS, ticks, held["volume"].copy(), zeros, zeros))

    def end(self) -> None:
        """The second in progress is not whole: it is left out."""
        self.left_out += int(self.state[self.place]["open_tick"] != NO_TICK)

    def gap(self) -> None:
        """Prints are missing from here on."""
        self.end()
        self.gaps += 1
        reset_bars(self.state, self.place)
        self._cut = True


def record_bars(
    folder: Path, spec: SessionSpec, symbol: str, file: Path, progress: Progress = lambda done, last: None
) -> Recorded:
    """Write what the session in `folder` saw traded in `symbol`, up to now.

    Raises NothingRecorded, and JournalBroken when the journal is damaged.
    """
    symbols = [item.symbol for item in spec.instruments]
    if symbol not in symbols:
        raise NothingRecorded(f"session {spec.key} trades {', '.join(symbols)}, not {symbol}")
    reader = JournalReader(folder)
    last, seq = reader.last_seq(), 0
    writer = _Writer(file, symbol)
    seconds = _Seconds(symbols.index(symbol), writer)
    bars = 0
    try:
        while seq < last:
            frames = reader.read(seq, min(CHUNK_FRAMES, last - seq))
            if not len(frames):
                break
            seq = int(frames["event"]["seq"][-1])
            bars += _feed(seconds, np.ascontiguousarray(frames["event"]).view(EVENT))
            progress(seq, last)
        seconds.end()
        if seq < last and (fault := reader.verify().fault):
            raise JournalBroken(fault)
    finally:
        writer.close()
    if writer.rows == 0:
        why = "it was fed bars, which the store has" if bars else "nothing was traded for two whole seconds"
        raise NothingRecorded(f"session {spec.key} recorded no whole second of {symbol}: {why}")
    late = int(seconds.state[seconds.place]["late"])
    return Recorded(writer.rows, seconds.gaps, seconds.left_out, late, seq)


def _feed(seconds: _Seconds, events: np.ndarray) -> int:
    """One chunk of the journal; returns how many bars of the tape were in it."""
    mine = events["instrument"] == seconds.place
    prints = (events["kind"] == TRADE) & mine & (events["price_tick"] != NO_TICK) & (events["ts_venue_ns"] != NO_TIME)
    cuts = (events["kind"] == FEED) & (events["code"] == FEED_GAP)
    begin = 0
    for at in [*np.flatnonzero(cuts).tolist(), events.size]:
        seconds.prints(events[begin:at][prints[begin:at]])
        if at < events.size:
            seconds.gap()
        begin = at
    return int((mine & (events["kind"] == BAR)).sum())
