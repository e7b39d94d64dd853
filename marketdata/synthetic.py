"""Writes a made-up data set, bars or depth-20 books, to one Parquet file: same arguments, same rows.

The tape of the simulated feed is laid over the exchange's traded hours: closed hours are left out, not filled.  Written
under a temporary name and renamed when it is whole; a stop leaves nothing behind.  Bars are MES-DATA-01 files: times
are bar starts, a second without a trade has no row.  Prices are int64 of 1e-9.  Called by `manage.py simulate_market`.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.calendars import open_hours
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import BOOK, FLAG_CARRIED, LEVELS
from marketdata.core.simulation.market import SECOND_NS
from marketdata.feeds.simulated import SimulatedFeed

KINDS = ("bars", "depth")
SECONDS_MAX = 200_000_000
BATCH_ROWS = 65_536
BOOKS_PER_S = 18  # at the usual rate
ROW_BYTES = {"bars": 16, "depth": 45}  # compressed; measured 11 to 13 and 25 to 40
DISK_SPARE = 1.2


class DataSetError(ValueError):
    """A data set that cannot be written: one sentence."""


@dataclass(frozen=True)
class DataSetRequest:
    """What to write; `options` are those of the simulated feed."""

    symbol: str
    seconds: int
    seed: int
    out: Path
    kind: str = "bars"
    overwrite: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    # the shape of a feed's description, see feeds.port.FeedSpec
    name: str = "simulated"
    speed: float = 0.0
    path: str = ""
    schema: str = ""

    @property
    def symbols(self) -> tuple[str, ...]:
        return (self.symbol,)


@dataclass(frozen=True)
class DataSetReport:
    """What was written."""

    path: str
    kind: str
    symbol: str
    seconds: int
    seed: int
    rows: int
    bytes: int
    sha256: str
    first_ns: int
    last_ns: int


def estimate_bytes(request: DataSetRequest) -> int:
    """Size of the file, roughly; known before anything is made."""
    rate = float(request.options.get("rate", "1"))
    rows = request.seconds * (BOOKS_PER_S * max(rate, 0.2) if request.kind == "depth" else 1)
    return int(rows * ROW_BYTES[request.kind]) + 20_000


def check_request(request: DataSetRequest) -> SimulatedFeed:
    """Refuse what cannot be written; returns the feed.  Raises DataSetError, FeedError."""
    if request.kind not in KINDS:
        raise DataSetError(f"kind {request.kind!r} is unknown; known: {', '.join(KINDS)}")
    if not 0 < request.seconds <= SECONDS_MAX:
        raise DataSetError(f"{request.seconds} seconds is not within 1 .. {SECONDS_MAX}")
    if request.out.suffix != ".parquet":
        raise DataSetError(f"{request.out} must end in .parquet: that is what is written")
    if not request.out.parent.is_dir():
        raise DataSetError(f"the folder {request.out.parent} does not exist; make it first")
    if request.out.exists() and not request.overwrite:
        raise DataSetError(f"{request.out} exists; give --overwrite to replace it")
    feed = SimulatedFeed(request)
    needed, free = int(estimate_bytes(request) * DISK_SPARE), shutil.disk_usage(request.out.parent).free
    if needed > free:
        raise DataSetError(f"{request.out} needs about {needed:,} bytes, but only {free:,} are free")
    return feed


def write_data_set(request: DataSetRequest, report: Callable[[int], None]) -> DataSetReport:
    """Write the file; `report(seconds)` is told how far the tape has run.  Raises DataSetError, FeedError."""
    feed = check_request(request)
    instrument = INSTRUMENTS[feed.symbols[0]]
    hours = open_hours(instrument.calendar, feed.start_ns, request.seconds)
    schema = _schema(request, feed.symbols[0])
    part = request.out.with_name(f".{request.out.name}.{os.getpid()}.part")
    rows, first, last = 0, 0, 0
    try:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for table in _tables(request, feed, hours, schema, instrument.tick_nanos, report):
                if rows == 0:
                    first = table["timestamp"][0].as_py()
                last = table["timestamp"][-1].as_py()
                rows += table.num_rows
                writer.write_table(table)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.replace(part, request.out)
    finally:
        part.unlink(missing_ok=True)
        feed.close()
    size = request.out.stat().st_size
    return DataSetReport(
        str(request.out), request.kind, feed.symbols[0], request.seconds, request.seed, rows, size, digest, first, last
    )


def _schema(request: DataSetRequest, symbol: str) -> pa.Schema:
    columns = [("timestamp", pa.int64())]
    if request.kind == "bars":
        columns += [(name, pa.int64()) for name in ("open", "high", "low", "close")]
        columns += [("volume", pa.uint64())]
    else:
        for level in range(LEVELS):
            columns += [(f"{side}_px_{level:02d}", pa.int64()) for side in ("bid", "ask")]
            columns += [(f"{side}_sz_{level:02d}", pa.int64()) for side in ("bid", "ask")]
    columns += [("symbol", pa.dictionary(pa.int32(), pa.string()))]
    made = {"source": "simulated", "seed": str(request.seed), "symbol": symbol, **request.options}
    return pa.schema(columns, metadata={f"desk.{key}": str(value) for key, value in made.items()})


def _tables(
    request: DataSetRequest,
    feed: SimulatedFeed,
    hours: list[tuple[int, int]],
    schema: pa.Schema,
    tick_nanos: int,
    report: Callable[[int], None],
) -> Iterator[pa.Table]:
    """Tables of about BATCH_ROWS rows."""
    held: list[dict[str, np.ndarray]] = []
    count = 0
    for columns in _laid_out(request, feed, hours, tick_nanos, report):
        held.append(columns)
        count += columns["timestamp"].size
        if count >= BATCH_ROWS:
            yield _table(held, schema, feed.symbols[0])
            held, count = [], 0
    if count > 0:
        yield _table(held, schema, feed.symbols[0])


def _table(held: list[dict[str, np.ndarray]], schema: pa.Schema, symbol: str) -> pa.Table:
    columns = {name: np.concatenate([part[name] for part in held]) for name in held[0]}
    n = columns["timestamp"].size
    symbols = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([symbol]))
    arrays = [symbols if name == "symbol" else pa.array(columns[name]) for name in schema.names]
    cast = [array.cast(column.type) for array, column in zip(arrays, schema, strict=True)]
    return pa.Table.from_arrays(cast, schema=schema)


def _laid_out(
    request: DataSetRequest,
    feed: SimulatedFeed,
    hours: list[tuple[int, int]],
    tick_nanos: int,
    report: Callable[[int], None],
) -> Iterator[dict[str, np.ndarray]]:
    """Rows of the tape, moved from the tape's time, which never pauses, to the exchange's hours."""
    tape_ns = feed.start_ns
    for start, end in hours:
        shift = start - tape_ns
        tape_end = tape_ns + end - start
        while tape_ns < tape_end:
            step_end = min(tape_ns + 600 * SECOND_NS, tape_end)
            if request.kind == "bars":
                for bars in feed.bars(step_end):
                    yield _bar_columns(bars, shift, tick_nanos)
            else:
                batch = feed.read(step_end - 1, 1 << 40)
                yield _depth_columns(batch.events, batch.depths, batch.depth_of, shift, tick_nanos)
            report((step_end - tape_ns) // SECOND_NS)
            tape_ns = step_end


def _bar_columns(bars: np.ndarray, shift: int, tick_nanos: int) -> dict[str, np.ndarray]:
    printed = bars[(bars["flags"] & FLAG_CARRIED) == 0]
    columns = {name: printed[f"{name}_tick"] * tick_nanos for name in ("open", "high", "low", "close")}
    columns["timestamp"] = printed["ts_venue_ns"] - printed["value"] + shift
    columns["volume"] = printed["volume"].copy()
    return columns


def _depth_columns(
    events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray, shift: int, tick_nanos: int
) -> dict[str, np.ndarray]:
    """An absent level has price 0 and size 0."""
    books = depths[depth_of[events["kind"] == BOOK]]
    columns = {"timestamp": books["ts_venue_ns"] + shift}
    for side in ("bid", "ask"):
        sizes = books[f"{side}_qty"]
        prices = np.where(sizes > 0, books[f"{side}_tick"], 0) * tick_nanos
        for level in range(LEVELS):
            columns[f"{side}_px_{level:02d}"] = prices[:, level]
            columns[f"{side}_sz_{level:02d}"] = sizes[:, level]
    return columns
