"""History → the store: bars as Parquet, order-level recordings as they are, both read to their end first.

Nothing is visible before it is complete: a file is written under a temporary name, tested, then renamed.  Every row
that was left out is counted with its reason.  Called by `marketdata.services`; it knows no database.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.quality import OFF_SECOND, VERDICTS
from marketdata.core.records import NO_TIME
from marketdata.core.units import NANOS
from marketdata.feeds.dbn import BAR_SECONDS, SCHEMAS, DbnReader
from marketdata.feeds.options import ReplayOptions, check_symbols
from marketdata.feeds.port import FeedError
from marketdata.feeds.tabular import BarReader, Bars, detect_format
from marketdata.feeds.tapes import RecordTape

BARS = "bars"
KINDS = (BARS, *(schema for schema in SCHEMAS if schema not in BAR_SECONDS))
FREE_SHARE_MAX = 0.9  # of the disk's free space that an import may take
DROPPED_SHARE_MAX = 0.001  # MES-DATA-04
BAR_BYTES = 56
ZSTD_FACTOR, GZIP_FACTOR = 12, 6  # what compressed records and text grow to, for the estimate
LINE_BYTES = 45
SCHEMA = pa.schema(
    [
        ("timestamp", pa.int64()),  # ns UTC, start of the bar (MES-DATA-01)
        *((name, pa.int64()) for name in ("open", "high", "low", "close")),  # 1e-9 points
        ("volume", pa.uint64()),
        ("symbol", pa.string()),
    ]
)

Progress = Callable[[int], None]  # rows read so far


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an import will take, before anything is read: rows, bytes on disk.  Memory is one chunk in any case."""

    format: str
    rows: int
    disk_bytes: int
    free_bytes: int


@dataclass(slots=True)
class ImportReport:
    """What an import did.  `path` is the stored file."""

    path: Path
    kind: str
    symbols: list[str]
    rows: int = 0
    rows_read: int = 0
    bar_ns: int = 0
    first_ns: int = NO_TIME
    last_ns: int = NO_TIME
    source: str = ""
    source_hash: str = ""
    dropped: dict[str, int] = field(default_factory=dict)  # reason → rows
    examples: list[tuple[int, str]] = field(default_factory=list)  # row of the source, reason

    def as_json(self) -> dict[str, object]:
        """Plain values for a database row or a command's output."""
        return {**asdict(self), "path": str(self.path)}


def file_hash(path: Path) -> str:
    """sha256 of the file, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def estimate(path: Path, options: ReplayOptions, folder: Path) -> Estimate:
    """Size of an import from metadata and a first glance (MES-MEM-01, -09).  Raises FeedError when it cannot fit."""
    kind = options.format or detect_format(path)
    rows, disk = _guess(path, kind)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if disk > free * FREE_SHARE_MAX:
        raise FeedError(f"{path} needs about {disk >> 20} MiB, but {folder} has {free >> 20} MiB free: make room")
    return Estimate(kind, rows, disk, free)


def _guess(path: Path, kind: str) -> tuple[int, int]:
    """Rows of the file and bytes of what is stored of it."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    if kind == "parquet":
        try:
            rows = int(pq.read_metadata(path).num_rows)
        except (pa.ArrowException, OSError) as error:
            raise FeedError(f"{path} is cut or no Parquet file: {str(error).splitlines()[0]}; fetch it again") from None
    elif kind == "dbn":
        reader = DbnReader(path)
        reader.close()
        rows = (size if head[:3] == b"DBN" else size * ZSTD_FACTOR) // reader.record.itemsize
        if reader.schema not in BAR_SECONDS:
            return rows, size
    elif head[:2] in (b"\x1f\x8b", b"PK"):
        rows = size * GZIP_FACTOR // LINE_BYTES
    else:
        rows = size * max(head.count(b"\n"), 1) // len(head)
    return rows, rows * BAR_BYTES


def import_file(
    path: Path,
    symbol: str,
    options: ReplayOptions,
    folder: Path,
    *,
    schema: str = "",
    progress: Progress = lambda rows: None,
) -> ImportReport:
    """Read one recorded file to its end and store what is good of it under `folder`.  Raises FeedError; then nothing
    is left behind."""
    check_symbols([symbol], options)
    kind = options.format or detect_format(path)
    if kind == "dbn":
        reader = DbnReader(path, schema)
        reader.close()
        if reader.schema not in BAR_SECONDS:
            return _store_records(path, reader.schema, symbol, options, folder, progress)
    return _store_bars(path, schema, symbol, options, folder, progress)


def _store_bars(
    path: Path, schema: str, symbol: str, options: ReplayOptions, folder: Path, progress: Progress
) -> ImportReport:
    reader = BarReader(path, symbol, options, schema=schema, strict=False)
    report = ImportReport(folder, BARS, [symbol], source=path.name, source_hash=file_hash(path))
    key = _key(report, schema, options)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{key}.{os.getpid()}.part"
    try:
        with pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
            for bars in reader.chunks():
                if bars.start_ns.size:
                    writer.write_table(bars_table(bars, symbol))
                    if report.rows == 0:
                        report.first_ns = int(bars.start_ns[0])
                    report.last_ns = int(bars.start_ns[-1])
                report.rows += bars.start_ns.size
                progress(reader.rows)
        _finish_report(report, reader)
        report.path = folder / f"{symbol}-{reader.bar_ns // NANOS}s-{key}.parquet"
        _publish(part, report.path)
    finally:
        reader.close()
        part.unlink(missing_ok=True)
    return report


def _key(report: ImportReport, schema: str, options: ReplayOptions) -> str:
    """Twelve hex digits that name this source read in this way."""
    return hashlib.sha256(f"{report.source_hash} {report.symbols} {schema} {options}".encode()).hexdigest()[:12]


def _finish_report(report: ImportReport, reader: BarReader) -> None:
    """Counts and reasons; refuses a file of which too much was bad (MES-DATA-04)."""
    report.rows_read, report.bar_ns, report.examples = reader.rows, reader.bar_ns, reader.examples
    report.dropped = {VERDICTS[verdict]: count for verdict, count in sorted(reader.dropped.items())}
    bad = sum(count for verdict, count in reader.dropped.items() if verdict <= OFF_SECOND)
    if bad > reader.rows * DROPPED_SHARE_MAX:
        named = "; ".join(f"{count} rows: {why}" for why, count in report.dropped.items())
        first = f", the first in row {reader.examples[0][0]}" if reader.examples else ""
        raise FeedError(
            f"{reader.path}: {bad} of {reader.rows} rows are bad, more than 0.1 % ({named}){first};"
            f" {reader.advice or 'is it the right symbol, zone and format?'}"
        )


def _store_records(
    path: Path, schema: str, symbol: str, options: ReplayOptions, folder: Path, progress: Progress
) -> ImportReport:
    """A recording of trades, levels or orders: replayed once to its end, then copied as it is."""
    report = ImportReport(folder, schema, [symbol], source=path.name, source_hash=file_hash(path))
    tape = RecordTape(path, schema, [symbol], options)
    try:
        for block in tape.blocks():
            times = block.events["ts_venue_ns"]
            if report.rows == 0:
                report.first_ns = int(times[0])
            report.last_ns = int(times[-1])
            report.rows += times.size
            progress(tape.counts()["records"])
        counts = tape.counts()
    finally:
        tape.close()
    if report.rows == 0:
        raise FeedError(f"{path} holds no event of {symbol}: is it the right symbol?")
    report.rows_read = counts.pop("records")
    report.dropped = {name: count for name, count in counts.items() if count > 0}
    suffix = ".dbn.zst" if path.name.endswith(".zst") else ".dbn"
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(report, schema, options)
    part = folder / f".{key}.{os.getpid()}.part"
    try:
        shutil.copyfile(path, part)
        report.path = folder / f"{symbol}-{schema}-{key}{suffix}"
        _publish(part, report.path)
    finally:
        part.unlink(missing_ok=True)
    return report


def bars_table(bars: Bars, symbol: str) -> pa.Table:
    """Checked bars as the store's columns (MES-DATA-01): starts, prices in 1e-9 points, lots."""
    nanos = bars.ticks * INSTRUMENTS[symbol].tick_nanos
    columns = [bars.start_ns, *(nanos[:, k] for k in range(4)), bars.volume.astype(np.uint64)]
    arrays = [pa.array(column) for column in columns]
    return pa.Table.from_arrays([*arrays, pa.array([symbol] * bars.start_ns.size, pa.string())], schema=SCHEMA)


def _publish(part: Path, path: Path) -> None:
    """Make the finished file durable and visible in one step."""
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
