"""A part of a day out of the store: bars from the file of their month, books and recordings from the seconds beside
them.  Of one that was stored before it had any a beginning is read, of a bounded number of records.

Nothing is loaded whole.  Called by `marketdata.selectors`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import BOOK, FLAG_INVALID, NO_TICK
from marketdata.core.units import NANOS
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import read_manifest
from marketdata.feeds.tapes import RecordTape
from marketdata.store.coverage import columns, month_file
from marketdata.store.days.rows import BAR_NAMES, NO_BAR, ROW, in_order
from marketdata.store.days.seconds import Found, Seconds, read_seconds, seconds_of
from marketdata.store.days.slices import NO_CANDLES, Candles, Quotes, QuoteSlices, candles
from marketdata.store.days.span import Span

RECORDS_MAX = 200_000  # of a recording without seconds, for one picture
ROWS_MAX = 300_000  # the same of a set of books
BATCH_ROWS = 1 << 15
BOOK_COLUMNS = ["ts_ns", "kind", "flags", "bid_tick", "ask_tick"]
TRADES = "trades"  # the schema of a recording without a book


class Part(NamedTuple):
    """What there is to draw.  `quotes` None: the data hold no book.  rows: bars or events inside the span; cut_ns: so
    far a recording without seconds was read, None: all of the span is there."""

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


# books


def books_part(path: Path, span: Span) -> Part:
    """Of a data set of books.  Raises FeedError."""
    manifest = read_manifest(path)
    base, parts = path.parent / manifest["folder"], manifest["partitions"]
    wanted = [part for part in parts if part["first_ns"] < span.end_ns and part["last_ns"] >= span.begin_ns]
    before = [part for part in parts if part["last_ns"] < span.begin_ns and part["books"]][-1:]
    if not wanted:
        return _without(span, parts[-1]["last_ns"])
    found = read_seconds([seconds_of(base / part["file"]) for part in [*before, *wanted]], span)
    if found is not None:
        return _of_seconds(found, span, parts[-1]["last_ns"], with_books=True)._replace(candles=NO_CANDLES)
    return _of_files([base / part["file"] for part in wanted], span, parts[-1]["last_ns"])


def _without(span: Span, last_ns: int) -> Part:
    """Nothing is known of a span without an event."""
    found = QuoteSlices(span)
    if last_ns >= span.begin_ns:
        found.passed(last_ns)
    return Part(NO_CANDLES, found.end(), 0)


def _of_files(files: list[Path], span: Span, last_ns: int) -> Part:
    """The books themselves, as many as one picture may take.  Raises FeedError."""
    found, rows, seen_ns, cut_ns = QuoteSlices(span), 0, 0, None
    for ts, bid, ask, valid, events in (block for file in files for block in _books_of(file, span)):
        if rows >= ROWS_MAX:
            cut_ns = seen_ns
            break
        rows += events
        found.see(ts, bid, ask, valid)
        seen_ns = int(ts[-1]) if ts.size else seen_ns
    found.passed(last_ns if cut_ns is None else cut_ns)
    return Part(NO_CANDLES, found.end(), rows, cut_ns)


def _books_of(file: Path, span: Span) -> Iterator[tuple[Any, ...]]:
    """Times, best ticks and validity of the books of the row groups that reach into the span, and how many events lie
    inside."""
    try:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS, row_groups=_groups(parquet, span), columns=BOOK_COLUMNS):
                ts = batch.column("ts_ns").to_numpy()
                rows = int(((ts >= span.begin_ns) & (ts < span.end_ns)).sum())
                book = batch.column("kind").to_numpy() == BOOK
                valid = batch.column("flags").to_numpy()[book] & FLAG_INVALID == 0
                bid, ask = (_best(batch.column(name))[book] for name in ("bid_tick", "ask_tick"))
                yield ts[book], bid, ask, valid, rows
    except (pa.ArrowException, KeyError, OSError) as error:
        words = str(error).splitlines()[0]
        raise FeedError(f"{file.name} cannot be read ({words}): import the source again") from None


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


# recordings


def recording_part(path: Path, schema: str, span: Span, symbol: str, options: ReplayOptions) -> Part:
    """Of a recording of trades, levels or orders: its book where it has one, and its 1-second bars.

    Raises FeedError."""
    with_books = schema != TRADES
    found = read_seconds([seconds_of(path)], span)
    if found is not None:
        return _of_seconds(found, span, found.last_s * NANOS, with_books)
    found, cut_ns = _first_seconds(path, schema, span, symbol, options)
    return _of_seconds(found, span, found.last_s * NANOS, with_books)._replace(cut_ns=cut_ns)


def _first_seconds(
    path: Path, schema: str, span: Span, symbol: str, options: ReplayOptions
) -> tuple[Found, int | None]:
    """Seconds of the first RECORDS_MAX records, and where they end when that is before the span's end."""
    tape, seconds = RecordTape(path, schema, [symbol], options), Seconds(with_bars=True)
    begin_s, end_s = span.begin_ns // NANOS, span.end_ns // NANOS
    rows, last_ns, cut_ns = [np.zeros(0, ROW)], 0, None
    try:
        for block in tape.blocks():
            times = block.events["ts_venue_ns"]
            rows.append(seconds.see(block.events, times))
            last_ns = int(times[-1])
            if last_ns >= span.end_ns + NANOS:  # a bar is told at its end
                break
            if tape.counts()["records"] >= RECORDS_MAX:
                cut_ns = last_ns
                break
    finally:
        tape.close()
    every = in_order(np.concatenate([*rows, seconds.end()]))
    inside = every[(every["at"] >= begin_s) & (every["at"] < end_s)]
    before = every[(every["at"] < begin_s) & (every["books"] > 0)][-1:]
    return Found(inside, before, last_ns // NANOS), cut_ns


def _of_seconds(found: Found, span: Span, last_ns: int, with_books: bool) -> Part:
    """The seconds of a span as a picture."""
    inside = found.inside
    bars = in_order(inside[inside["volume"] != NO_BAR])
    ticks = np.stack([bars[name] for name in BAR_NAMES[:4]], axis=1)
    drawn = candles(span, bars["at"] * NANOS, ticks, bars["volume"].copy())
    rows = int(inside["events"].sum())
    if not with_books:
        return Part(drawn, None, rows)
    quotes = QuoteSlices(span)
    quotes.see_seconds(found.before, inside)
    if last_ns >= span.begin_ns:
        quotes.passed(last_ns)
    return Part(drawn, quotes.end(), rows)
