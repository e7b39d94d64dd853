"""A part of a day out of the store: bars from the file of their month, books from the parts that reach into it, and a
recording by one pass through its tape, of which a page reads a bounded number of records.

Nothing is loaded whole.  Called by `marketdata.selectors`.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import BAR, BOOK, FLAG_CARRIED, FLAG_INVALID, NO_TICK
from marketdata.core.units import NANOS
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import read_manifest
from marketdata.feeds.tapes import RecordTape
from marketdata.store.coverage import columns, month_file
from marketdata.store.days.slices import NO_CANDLES, Candles, Quotes, QuoteSlices, candles
from marketdata.store.days.span import Span

RECORDS_MAX = 3_000_000  # of a recording, for one picture
BATCH_ROWS = 1 << 15
BOOK_COLUMNS = ["ts_ns", "kind", "flags", "bid_tick", "ask_tick"]


class Part(NamedTuple):
    """What there is to draw.  `quotes` None: the data hold no book.  rows: bars or events inside the span; cut_ns: so
    far a recording was read, None: to the span's end."""

    candles: Candles
    quotes: Quotes | None
    rows: int
    cut_ns: int | None = None


def bars_part(path: Path, span: Span, symbol: str) -> Part:
    """Of a data set of bars.  Raises FeedError."""
    file = month_file(path, str(np.datetime64(span.begin_ns, "ns").astype("M8[M]")))
    if file is None:
        return Part(NO_CANDLES, None, 0)
    names = ["timestamp", "open", "high", "low", "close", "volume"]
    start, *prices, volume = columns(file, names, span.begin_ns, span.end_ns)
    ticks = np.stack(prices, axis=1) // INSTRUMENTS[symbol].tick_nanos  # the store holds no price off the grid
    return Part(candles(span, start, ticks, volume.astype(np.int64)), None, start.size)


def books_part(path: Path, span: Span) -> Part:
    """Of a data set of books.  Raises FeedError."""
    manifest = read_manifest(path)
    found, rows = QuoteSlices(span), 0
    base = path.parent / manifest["folder"]
    for part in manifest["partitions"]:
        if part["first_ns"] < span.end_ns and part["last_ns"] >= span.begin_ns:
            rows += _see_file(base / part["file"], span, found)
        if part["last_ns"] >= span.begin_ns:
            found.passed(part["last_ns"])
    return Part(NO_CANDLES, found.end(), rows)


def _see_file(file: Path, span: Span, found: QuoteSlices) -> int:
    """The row groups that reach into the span; returns how many rows lie inside."""
    rows = 0
    try:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS, row_groups=_groups(parquet, span), columns=BOOK_COLUMNS):
                ts = batch.column("ts_ns").to_numpy()
                rows += int(((ts >= span.begin_ns) & (ts < span.end_ns)).sum())
                book = batch.column("kind").to_numpy() == BOOK
                valid = batch.column("flags").to_numpy()[book] & FLAG_INVALID == 0
                bid, ask = (_best(batch.column(name))[book] for name in ("bid_tick", "ask_tick"))
                found.see(ts[book], bid, ask, valid)
    except (pa.ArrowException, KeyError, OSError) as error:
        words = str(error).splitlines()[0]
        raise FeedError(f"{file.name} cannot be read ({words}): import the source again") from None
    return rows


def _groups(parquet: pq.ParquetFile, span: Span) -> list[int]:
    """Row groups that may reach into the span, and the one before: what stood at the begin is told there."""
    meta = parquet.metadata
    column = meta.schema.to_arrow_schema().get_field_index("ts_ns")
    told = [meta.row_group(k).column(column).statistics for k in range(meta.num_row_groups)]
    wanted = [
        k for k, stat in enumerate(told) if stat is None or (stat.min < span.end_ns and stat.max >= span.begin_ns)
    ]
    return sorted({*wanted, *(k - 1 for k in wanted[:1] if k > 0)})


def _best(levels: pa.ListArray) -> np.ndarray:
    """The first value of each list; NO_TICK of an empty one."""
    counts = levels.value_lengths().to_numpy(zero_copy_only=False)
    values = levels.flatten().to_numpy(zero_copy_only=False)
    firsts = np.cumsum(counts) - counts
    best = np.full(len(counts), NO_TICK, np.int64)
    best[counts > 0] = values[firsts[counts > 0]]
    return best


def recording_part(path: Path, schema: str, span: Span, symbol: str, options: ReplayOptions) -> Part:
    """Of a recording of trades, levels or orders: its book where it has one, and its 1-second bars.

    Raises FeedError."""
    tape = RecordTape(path, schema, [symbol], options)
    found, bars, rows, books, cut_ns = QuoteSlices(span), [], 0, False, None
    try:
        for block in tape.blocks():
            events = block.events
            times = events["ts_venue_ns"]
            inside = (times >= span.begin_ns) & (times < span.end_ns)
            rows += int(inside.sum())
            book = events["kind"] == BOOK
            books |= bool(book.any())
            shown = events[book]
            valid = shown["flags"] & FLAG_INVALID == 0
            found.see(times[book], shown["bid_tick"], shown["ask_tick"], valid)
            found.passed(int(times[-1]))
            bars.append(_bars(events, span))
            if times[-1] >= span.end_ns + NANOS:  # a bar is told at its end
                break
            if tape.counts()["records"] >= RECORDS_MAX:
                cut_ns = int(times[-1])
                break
    finally:
        tape.close()
    told = np.concatenate(bars) if bars else np.zeros((0, 6), np.int64)
    return Part(candles(span, told[:, 0], told[:, 1:5], told[:, 5]), found.end() if books else None, rows, cut_ns)


def _bars(events: np.ndarray, span: Span) -> np.ndarray:
    """(n, 6): start, four prices in ticks and lots of the bars that begin inside the span and are no repetition."""
    bars = events[(events["kind"] == BAR) & (events["flags"] & FLAG_CARRIED == 0)]
    names = ("ts_venue_ns", "open_tick", "high_tick", "low_tick", "close_tick", "volume")
    table = np.stack([bars[name].astype(np.int64) for name in names], axis=1)
    table[:, 0] -= NANOS
    return table[(table[:, 0] >= span.begin_ns) & (table[:, 0] < span.end_ns)]
