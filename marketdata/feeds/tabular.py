"""Bars from files: Parquet, DBN, Finam's export, LEAN's zips, any CSV that is declared → checked ticks in chunks.

Each format yields raw bars; one place tests them (MES-DATA-03) and either refuses the file at the first bad row
(replay) or drops and counts it (import).  Called by `feeds.replay` and `store`; memory is one chunk, whatever the file.
"""

import gzip
import re
import zipfile
from collections import Counter
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.quality import (
    BAD_OHLC,
    CONFLICT,
    GOOD,
    OFF_GRID,
    OUT_OF_ORDER,
    VERDICTS,
    bar_verdicts,
    order_verdicts,
)
from marketdata.core.records import NO_TICK
from marketdata.core.units import NANOS
from marketdata.feeds.dbn import BAR_SECONDS, ZSTD_MAGIC, DbnReader, front_ids, root_of
from marketdata.feeds.options import FORMATS, ReplayOptions, tape_root
from marketdata.feeds.port import FeedError
from marketdata.feeds.rawbars import Layout, RawBars, parquet_bars, text_bars

DBN_ROWS = 1 << 16
EXAMPLES_MAX = 20  # dropped rows that are named one by one
DEFAULT_ZONES = {"finam": "Europe/Moscow", "lean": "UTC"}
ALIASES = {"datetime": "timestamp", "begin": "timestamp", "vol": "volume", "ts": "timestamp"}
LEAN_BAR_S = {"minute": 60, "hour": 3600, "daily": 86400}
LEAN_MINUTE = re.compile(r"(\d{8})_([a-z0-9]+)_(\w+?)_trade_(\w+)\.csv")
LEAN_LONG = re.compile(r"([a-z0-9]+)_trade_(\w+)\.csv")


RawStream = Generator[RawBars, None, None]


class Bars(NamedTuple):
    """Checked bars."""

    start_ns: np.ndarray  # (n,) int64 UTC
    ticks: np.ndarray  # (n, 4) int64: open, high, low, close
    volume: np.ndarray  # (n,) int64 contracts or lots


class Source(NamedTuple):
    """One format's raw bars and what the format says about them."""

    raw: RawStream
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
    except (OSError, EOFError) as error:
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
    raw = _closing(path, layout)
    return Source(raw, 0, "end" if finam else "start", "units" if finam else "lots", columns)


def _closing(path: Path, layout: Layout) -> RawStream:
    with _open_text(path) as stream:
        yield from text_bars(str(path), stream, layout)


def _column(name: str) -> str:
    plain = name.strip().strip('<>"').lower()
    return ALIASES.get(plain, plain)


def lean_source(path: Path, symbol: str, options: ReplayOptions) -> Source:
    """One contract of a LEAN zip of trade bars: the one named by option contract, else the largest (the front)."""
    try:
        archive = zipfile.ZipFile(path)
        damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError) as error:
        raise FeedError(f"{path} is cut or no zip: {error}; fetch the file again") from None
    if damaged is not None:
        raise FeedError(f"{path}: its member {damaged} is damaged; fetch the file again")
    found = []
    for item in archive.infolist():
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
    return Source(_member(archive, path, member, layout), LEAN_BAR_S[span] * NANOS, "start", "lots")


def _member(archive: zipfile.ZipFile, path: Path, member: str, layout: Layout) -> RawStream:
    with archive, archive.open(member) as stream:
        yield from text_bars(f"{path}:{member}", stream, layout)


def dbn_source(path: Path, schema: str, symbol: str, place: int, options: ReplayOptions) -> Source:
    """The ohlcv records of one instrument of a DBN file; `place` is the symbol's place in option instrument_id."""
    reader = DbnReader(path, schema)
    if reader.schema not in BAR_SECONDS:
        raise FeedError(f"{path} holds schema {reader.schema}, which has no bars; known: {', '.join(BAR_SECONDS)}")
    first = reader.read(DBN_ROWS)
    ids = dbn_ids(reader, symbol, place, options, first)
    return Source(_dbn_raw(reader, first, ids), BAR_SECONDS[reader.schema] * NANOS, "start", "lots")


def dbn_ids(reader: DbnReader, symbol: str, place: int, options: ReplayOptions, first: np.ndarray) -> list[int]:
    """The vendor's ids that are read as `symbol`: as declared, else the front contract of its root."""
    if options.instrument_ids:
        return [options.instrument_ids[place]]
    named = {name: ids for name, ids in reader.symbols.items() if options.contract in ("", name)}
    root = tape_root(str(reader.path), symbol, options, {root_of(name) for name in named})
    return front_ids(named, root, first)


def _dbn_raw(reader: DbnReader, records: np.ndarray, ids: list[int]) -> RawStream:
    row = 1
    while records.size:
        mine = np.isin(records["instrument_id"], ids)
        taken = records[mine]
        prices = np.stack([taken[name] for name in ("open", "high", "low", "close")], axis=1)
        prices[prices == np.iinfo(np.int64).max] = NO_TICK
        yield RawBars(taken["ts_event"].copy(), prices, taken["volume"].copy(), row)
        row += records.size
        records = reader.read(DBN_ROWS)
    reader.close()


class BarReader:
    """Bars of one instrument from one file, checked.  `strict`: the first bad row refuses the file, else rows of rules
    1 to 6 are dropped and counted, and rules 7 and 8 refuse it all the same.

    Attributes: bar_ns, rows (read), dropped (verdict → count), examples (row, why), advice.  Raises FeedError.
    """

    def __init__(
        self, path: Path, symbol: str, options: ReplayOptions, *, schema: str = "", place: int = 0, strict: bool = True
    ) -> None:
        kind = options.format or detect_format(path)
        if not path.is_file():
            raise FeedError(f"{path} does not exist: give the path of a recorded file")
        self.path, self.format, self.strict, self.symbol = path, kind, strict, symbol
        self.instrument = INSTRUMENTS[symbol]
        self.source = self._open(kind, schema, place, options)
        self.bar_ns = options.bar_ns or self.source.bar_ns
        self.stamp = options.stamp or self.source.stamp
        by_units = (options.volume_unit or self.source.volume_unit) == "units"
        self._lot = self.instrument.lot if by_units else 1
        self._last = np.full(6, NO_TICK, np.int64)
        self.rows = 0
        self.dropped: Counter[int] = Counter()
        self.examples: list[tuple[int, str]] = []
        self.advice = ""  # how to read a file whose columns are in another order, once such rows were seen

    def _open(self, kind: str, schema: str, place: int, options: ReplayOptions) -> Source:
        if kind == "dbn":
            return dbn_source(self.path, schema, self.symbol, place, options)
        if kind == "parquet":
            return Source(parquet_bars(self.path, self.symbol, place, options), 0, "start", "lots")
        if kind == "lean":
            return lean_source(self.path, self.symbol, options)
        return text_source(self.path, kind, options)

    def chunks(self) -> Iterator[Bars]:
        """All bars, in order of time.  Raises FeedError at the row that cannot be used."""
        for raw in self.source.raw:
            if self.bar_ns == 0:
                self.bar_ns = self._usual_step(raw.stamp_ns)
            yield self._check(raw)
        if self.rows == 0:
            raise FeedError(f"{self.path} holds no bar of {self.symbol}: fetch the file again")

    def close(self) -> None:
        """Close the file; nothing can be read after it."""
        self.source.raw.close()

    def _usual_step(self, stamps: np.ndarray) -> int:
        steps = np.diff(np.unique(stamps[stamps != NO_TICK]))
        if steps.size == 0:
            raise FeedError(f"{self.path} has too few bars to tell their length: give the option bar_s=SECONDS")
        lengths, counts = np.unique(steps, return_counts=True)
        return int(lengths[np.argmax(counts)])

    def _check(self, raw: RawBars) -> Bars:
        n = raw.stamp_ns.size
        self.rows += n
        start = raw.stamp_ns.copy()
        if self.stamp == "end":
            start[start != NO_TICK] -= self.bar_ns
        ticks, verdicts = np.zeros((n, 4), np.int64), np.zeros(n, np.int64)
        tick = self.instrument.tick_nanos
        bar_verdicts(start, raw.prices, raw.volume, tick, tick // 1_000_000, self.bar_ns, ticks, verdicts)
        order_verdicts(start, ticks, raw.volume, self._last, verdicts)
        good = verdicts == GOOD
        if not good.all():
            self._judge(raw, verdicts)
        return Bars(start[good], ticks[good], raw.volume[good] // self._lot)

    def _judge(self, raw: RawBars, verdicts: np.ndarray) -> None:
        bad = np.flatnonzero(verdicts != GOOD)
        fatal = bad if self.strict else np.flatnonzero((verdicts == CONFLICT) | (verdicts == OUT_OF_ORDER))
        if fatal.size:
            raise FeedError(self._sentence(raw, int(fatal[0]), int(verdicts[fatal[0]])))
        if not self.advice and (verdicts == BAD_OHLC).any():
            self.advice = self._column_advice(raw)
        self.dropped.update(verdicts[bad].tolist())
        for k in bad[: EXAMPLES_MAX - len(self.examples)].tolist():
            self.examples.append((raw.first_row + k, VERDICTS[int(verdicts[k])]))

    def _sentence(self, raw: RawBars, k: int, verdict: int) -> str:
        prices = ", ".join("missing" if p == NO_TICK else f"{p / NANOS:g}" for p in raw.prices[k].tolist())
        advice = "correct the file, or import it with import_history, which drops and counts such rows"
        if verdict == BAD_OHLC:
            advice = self._column_advice(raw)
        elif verdict == OFF_GRID:
            advice = f"{self.symbol} trades in steps of {self.instrument.tick_nanos / NANOS:g}: is it the right symbol?"
        elif verdict in (CONFLICT, OUT_OF_ORDER):
            advice = "sort the file by time and keep one row per time"
        volume = "missing" if raw.volume[k] == NO_TICK else str(raw.volume[k])
        return (
            f"{self.path} row {raw.first_row + k}: {VERDICTS[verdict]}"
            f" (open, high, low, close = {prices}; volume {volume}); {advice}"
        )

    def _column_advice(self, raw: RawBars) -> str:
        """When the values fit the order open, close, high, low (T-Invest's archive), the option that reads them so."""
        p = raw.prices
        fits = (p[:, 3] <= p[:, [0, 1]].min(axis=1)) & (p[:, 2] >= p[:, [0, 1]].max(axis=1))
        if not self.source.columns or not fits.all():
            return "correct the row; if the columns are in another order, declare them with the option columns=..."
        swap = {"high": "close", "low": "high", "close": "low"}
        order = ",".join(swap.get(name, name or "_") for name in self.source.columns)
        return f"every row fits the order open, close, high, low: give the option columns={order}"
