"""What each format of bar file is: Parquet, DBN, Finam's export, LEAN's zips, declared CSV → streams of raw bars.

One function a format; it says what the format itself knows (length of a bar, stamp, unit of volume) and judges no bar.
Called by `feeds.tabular`, `feeds.tapes` and `marketdata.store`.
"""

import gzip
import re
import zipfile
import zlib
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np

from marketdata.core.records import NO_TICK
from marketdata.core.units import NANOS
from marketdata.feeds.books.names import BOOKS, SESSION, book_format
from marketdata.feeds.columns import LABEL_SEPARATOR, Contracts, ParquetBars
from marketdata.feeds.dbn import BAR_SECONDS, ZSTD_MAGIC, DbnReader, front_ids, root_of
from marketdata.feeds.options import FORMATS, ReplayOptions, tape_root
from marketdata.feeds.port import FeedError
from marketdata.feeds.rawbars import Layout, RawBars, text_bars, text_rows
from marketdata.feeds.stored import BARS_FORMAT, DEFINITIONS_FORMAT, is_recorded, manifest_format

DBN_ROWS = 1 << 16
DEFAULT_ZONES = {"finam": "Europe/Moscow", "lean": "UTC"}
ALIASES = {"datetime": "timestamp", "begin": "timestamp", "vol": "volume", "ts": "timestamp"}
LEAN_BAR_S = {"minute": 60, "hour": 3600, "daily": 86400}
LEAN_MINUTE = re.compile(r"(\d{8})_([a-z0-9]+)_(\w+?)_trade_(\w+)\.csv")
LEAN_LONG = re.compile(r"([a-z0-9]+)_trade_(\w+)\.csv")

RawStream = Generator[RawBars, None, None]


class Source(NamedTuple):
    """One format's raw bars and what the format says about them."""

    raw: Callable[[int], RawStream]  # the blocks after the first so many rows
    rows: Callable[[], int]  # rows of the file, counted without reading any
    bar_ns: int  # 0 = not said
    stamp: str  # "start" or "end"
    volume_unit: str
    columns: tuple[str, ...] = ()


def detect_format(path: Path) -> str:
    """Format by the file's first bytes, then by its name.  Raises FeedError."""
    if not path.is_file():
        raise FeedError(f"{path} does not exist: give the path of a recorded file")
    with open(path, "rb") as file:
        head = file.read(4)
    if not head:
        raise FeedError(f"{path} is empty; fetch the file again")
    if head[:3] == b"DBN" or head == ZSTD_MAGIC:
        return "dbn"
    if head == b"PAR1":
        return "parquet"
    if head[:2] == b"PK":
        return "lean"
    if is_recorded(path):
        return SESSION
    if manifest := manifest_format(path):
        if manifest == DEFINITIONS_FORMAT:
            raise FeedError(f"{path} holds definitions of contracts, no market data: give a data set of bars or books")
        return "parquet" if manifest == BARS_FORMAT else BOOKS
    if books := book_format(path):
        return books
    name = path.name.removesuffix(".gz")
    if name.endswith((".csv", ".txt")):
        return "finam" if _first_line(path).startswith(("<DATE>", "<TICKER>")) else "csv"
    raise FeedError(f"{path}: unknown format; known: {', '.join(FORMATS)} (option format=...)")


def _open_text(path: Path) -> IO[bytes]:
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb") if zipped else open(path, "rb"))


def _first_line(path: Path) -> str:
    try:
        with _open_text(path) as stream:
            line = stream.readline(4096)
    except (OSError, EOFError, zlib.error) as error:
        raise FeedError(f"{path} is cut or damaged: {error}; fetch the file again") from None
    if not line.strip():
        raise FeedError(f"{path} is empty or starts with an empty line; fetch the file again")
    return line.decode("utf-8-sig", "replace").strip()


def text_source(path: Path, kind: str, options: ReplayOptions) -> Source:
    """CSV as declared or as its header says; Finam's export is one with a known header, zone and stamp."""
    first = _first_line(path)
    delimiter = options.delimiter or max(";\t,", key=first.count)
    names = tuple(_column(name) for name in first.split(delimiter))
    has_header = "open" in names or "close" in names
    if not has_header and not options.columns:
        raise FeedError(
            f"{path} has no header line: declare its columns, columns=timestamp,open,high,low,close,volume for instance"
        )
    columns = tuple(_column(name) for name in options.columns) if options.columns else names
    if "time" in columns and "date" not in columns:
        columns = tuple("timestamp" if name == "time" else name for name in columns)
    zone = options.zone or DEFAULT_ZONES.get(kind, "")
    layout = Layout(columns, delimiter, 1 if has_header else 0, zone)
    finam = kind == "finam"
    return Source(
        lambda skip: _text(path, layout, skip),
        lambda: _text_rows(path, layout),
        0,
        "end" if finam else "start",
        "units" if finam else "lots",
        columns,
    )


def _text(path: Path, layout: Layout, skip: int) -> RawStream:
    with _open_text(path) as stream:
        yield from text_bars(str(path), stream, layout, skip)


def _text_rows(path: Path, layout: Layout) -> int:
    with _open_text(path) as stream:
        return text_rows(str(path), stream, layout)


def _column(name: str) -> str:
    plain = name.strip().strip('<>"').lower()
    return ALIASES.get(plain, plain)


def lean_source(path: Path, symbol: str, options: ReplayOptions) -> Source:
    """One contract of a LEAN zip of trade bars: the one named by option contract, else the largest (the front)."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            items = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise FeedError(f"{path} is cut or no zip: {error}; fetch the file again") from None
    if damaged is not None:
        raise FeedError(f"{path}: its member {damaged} is damaged; fetch the file again")
    found = []
    for item in items:
        if match := LEAN_MINUTE.fullmatch(item.filename):
            found.append((item.file_size, item.filename, match[1], match[2].upper(), match[3], match[4]))
        elif match := LEAN_LONG.fullmatch(item.filename):
            span = next((name for name in ("hour", "daily") if name in path.name), "hour")
            found.append((item.file_size, item.filename, "", match[1].upper(), span, match[2]))
    found = [item for item in found if item[4] in LEAN_BAR_S]
    if not found:
        raise FeedError(f"{path} holds no trade bars of LEAN (minute, hour or daily): give a *_trade.zip")
    root = tape_root(str(path), symbol, options, {item[3] for item in found})
    mine = [item for item in found if item[3] == root and options.contract in ("", item[5].upper())]
    if not mine:
        held = ", ".join(sorted(item[5] for item in found))
        raise FeedError(f"{path} holds no contract {options.contract}; it holds {held}")
    _, member, day, _, span, _ = max(mine)
    base = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) if day else None
    layout = Layout(
        ("ms" if day else "timestamp", "open", "high", "low", "close", "volume"),
        ",",
        0,
        options.zone or DEFAULT_ZONES["lean"],
        int(base.timestamp()) * NANOS if base else 0,
    )
    return Source(
        lambda skip: _member(path, member, layout, skip),
        lambda: _member_rows(path, member, layout),
        LEAN_BAR_S[span] * NANOS,
        "start",
        "lots",
    )


def _member(path: Path, member: str, layout: Layout, skip: int) -> RawStream:
    with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        yield from text_bars(f"{path}:{member}", stream, layout, skip)


def _member_rows(path: Path, member: str, layout: Layout) -> int:
    with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        return text_rows(f"{path}:{member}", stream, layout)


def parquet_source(
    path: Path, symbol: str, place: int, options: ReplayOptions, *, series: bool, contracts: Contracts
) -> Source:
    """A Parquet file or a data set of the store."""
    bars = ParquetBars(path, symbol, place, options, series=series, contracts=contracts)
    return Source(bars.blocks, bars.rows, 0, "start", "lots")


def dbn_source(
    path: Path, schema: str, symbol: str, place: int, options: ReplayOptions, *, contracts: Contracts
) -> Source:
    """The ohlcv records of one instrument of a DBN file; `place` is the symbol's place in option instrument_id."""
    reader = DbnReader(path, schema)
    if reader.schema not in BAR_SECONDS:
        raise FeedError(f"{path} holds schema {reader.schema}, which has no bars; known: {', '.join(BAR_SECONDS)}")
    first = reader.read(DBN_ROWS)
    reader.close()
    ids = dbn_ids(reader, symbol, place, options, first)
    return Source(
        lambda skip: _dbn_raw(DbnReader(path, schema), ids, contracts, skip),
        lambda: _dbn_rows(DbnReader(path, schema)),
        BAR_SECONDS[reader.schema] * NANOS,
        "start",
        "lots",
    )


def dbn_ids(reader: DbnReader, symbol: str, place: int, options: ReplayOptions, first: np.ndarray) -> list[int]:
    """The vendor's ids that are read as `symbol`: as declared, else the front contract of its root."""
    if options.instrument_ids:
        return [options.instrument_ids[place]]
    named = {name: ids for name, ids in reader.symbols.items() if options.contract in ("", name)}
    root = tape_root(str(reader.path), symbol, options, {root_of(name) for name in named})
    return front_ids(named, root, first)


def _dbn_raw(reader: DbnReader, ids: list[int], contracts: Contracts, skip: int) -> RawStream:
    row = 0
    try:
        while (records := reader.read(DBN_ROWS)).size:
            known = max(skip - row, 0)
            if known < records.size:
                yield _dbn_block(records[known:], ids, contracts, row + known + 1)
            row += records.size
    finally:
        reader.close()


def _dbn_block(records: np.ndarray, ids: list[int], contracts: Contracts, first_row: int) -> RawBars:
    at = np.flatnonzero(np.isin(records["instrument_id"], ids))
    taken = records[at]
    prices = np.stack([taken[name] for name in ("open", "high", "low", "close")], axis=1)
    prices[prices == np.iinfo(np.int64).max] = NO_TICK
    numbers = np.zeros(taken.size, np.int64)
    for number in ids:
        numbers[taken["instrument_id"] == number] = contracts.number(f"{LABEL_SEPARATOR}{number}")
    return RawBars(taken["ts_event"].copy(), prices, taken["volume"].copy(), first_row, at, records.size, numbers)


def _dbn_rows(reader: DbnReader) -> int:
    try:
        while reader.read(DBN_ROWS).size:
            pass
        return reader.rows
    finally:
        reader.close()
