"""Bars in text → integers, exactly: block by block, in columns, the line named that cannot be read.

It reads what the layout declares and judges nothing: order, grid and OHLC are tested by `core.quality` afterwards.  A
naive time without a declared zone is refused (MES-DATA-02).  Called by `feeds.tabular`; memory is one block.
"""

import io
import zlib
from collections.abc import Generator
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from marketdata.core.records import NO_TICK
from marketdata.core.units import NANOS
from marketdata.feeds.port import FeedError
from marketdata.zones import ZoneError, utc_from_local

BLOCK_BYTES = 1 << 22
NULLS = ["", "NaN", "nan", "null", "None", "-"]
PRICE = pa.decimal128(38, 9)
MS_NS = 1_000_000
DAY_NS = 86_400 * NANOS
OHLC = ("open", "high", "low", "close")


class RawBars(NamedTuple):
    """A block of a file's rows: the bars that are asked for, as the file has them.  A missing value is NO_TICK."""

    stamp_ns: np.ndarray  # (n,) int64 UTC, start or end of the bar, whichever the file has
    prices: np.ndarray  # (n, 4) int64, 1e-9 units: open, high, low, close
    volume: np.ndarray  # (n,) int64
    first_row: int  # number of the block's first row in the file (lines count from 1)
    at: np.ndarray  # (n,) int64 place of each row in its block, from 0
    read: int  # rows of the block; more than n when others were left out
    contract: np.ndarray  # (n,) int64, index in the source's list of contracts


class Layout(NamedTuple):
    """How the text is laid out."""

    columns: tuple[str, ...]  # timestamp | date, time | ms, and open, high, low, close, volume; others are ignored
    delimiter: str
    header_lines: int
    zone: str  # "" = not declared: only times with an offset are accepted
    base_ns: int = 0  # UTC day of a file whose times are ms since midnight

    def used(self) -> list[str]:
        """The columns that are read."""
        times = [name for name in ("timestamp", "date", "time", "ms") if name in self.columns]
        return [*times, *OHLC, "volume"]


def check_layout(name: str, layout: Layout) -> None:
    """Refuse a layout from which no bar can be made.  Raises FeedError."""
    missing = [column for column in (*OHLC, "volume") if column not in layout.columns]
    times = {"timestamp", "ms", "date"} & set(layout.columns)
    if missing or len(times) != 1 or ("date" in times and "time" not in layout.columns):
        raise FeedError(
            f"{name} has the columns {', '.join(layout.columns)}: bars need timestamp (or date and time), open, high,"
            " low, close, volume; declare them in the file's order with the option columns=..."
        )
    read = [column for column in layout.columns if column in layout.used()]
    if len(set(read)) != len(read):
        raise FeedError(f"{name}: the columns {', '.join(layout.columns)} name one twice")


def text_bars(name: str, stream: IO[bytes], layout: Layout, skip: int = 0) -> Generator[RawBars, None, None]:
    """All bars of `stream` after its first `skip` rows.  `name` is the file's, for messages.  Raises FeedError."""
    check_layout(name, layout)
    row = 0
    for line, body in _blocks(name, stream, layout):
        rows = body.count(b"\n") + 1
        known = max(skip - row, 0)
        if known < rows:
            rest = body.split(b"\n", known)[known] if known else body
            yield _read_block(name, rest, layout, line + known)
        row += rows


def text_rows(name: str, stream: IO[bytes], layout: Layout) -> int:
    """Rows of `stream`, counted without reading any.  Raises FeedError when it is damaged."""
    return sum(body.count(b"\n") + 1 for _, body in _blocks(name, stream, layout))


def _blocks(name: str, stream: IO[bytes], layout: Layout) -> Generator[tuple[int, bytes], None, None]:
    """Whole lines in blocks, with the number of the first one."""
    line = 1
    for _ in range(layout.header_lines):
        stream.readline()
        line += 1
    carry = b""
    while True:
        try:
            piece = stream.read(BLOCK_BYTES)
        except (EOFError, OSError, zlib.error) as error:
            raise FeedError(f"{name} is cut or damaged after line {line}: {error}; fetch the file again") from None
        body, carry = _split(carry + piece, final=not piece)
        if body:
            yield line, body
            line += body.count(b"\n") + 1
        if not piece:
            return


def _split(block: bytes, *, final: bool) -> tuple[bytes, bytes]:
    """Whole lines, without the last line's end, and the rest.  Empty lines at the end wait: the file may end there."""
    cut = len(block) if final else block.rfind(b"\n") + 1
    size = len(block[:cut].rstrip(b"\r\n"))
    if size == 0:
        return b"", block
    newline = block.find(b"\n", size)
    return block[:size], block[newline + 1 :] if newline >= 0 else block[cut:]


def _read_block(name: str, block: bytes, layout: Layout, first_line: int) -> RawBars:
    try:
        return _parse(block, layout, first_line)
    except (pa.ArrowInvalid, ZoneError, _BadTime) as error:
        lines = block.splitlines(keepends=True)
        low, high = 0, len(lines)  # the first `low` lines can be read, the first `high` cannot
        while high - low > 1:
            middle = (low + high) // 2
            try:
                _parse(b"".join(lines[low:middle]), layout, 0)
                low = middle
            except (pa.ArrowInvalid, ZoneError, _BadTime):
                high = middle
        raise FeedError(_sentence(name, lines[low], layout, first_line + low, error)) from None


def _sentence(name: str, line: bytes, layout: Layout, number: int, error: Exception) -> str:
    """What is wrong with this one line, and what to do."""
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    fields = len(text.split(layout.delimiter))
    if fields != len(layout.columns):
        return (
            f"{name} line {number} has {fields} columns instead of {len(layout.columns)}: {text[:100]!r};"
            " correct the line, or declare the columns with the option columns=..."
        )
    try:
        _parse(line, layout, 0)
    except (pa.ArrowInvalid, ZoneError, _BadTime) as own:
        error = own
    advice = "" if isinstance(error, _BadTime) else "; correct or remove the line"
    return f"{name} line {number} cannot be read: {str(error).splitlines()[0]}: {text[:100]!r}{advice}"


def _parse(block: bytes, layout: Layout, first_line: int) -> RawBars:
    columns = [column if column in layout.used() else f"ignored {i}" for i, column in enumerate(layout.columns)]
    table = csv.read_csv(
        io.BytesIO(block),
        csv.ReadOptions(column_names=columns, use_threads=False, block_size=max(len(block) + 1, 1 << 16)),
        csv.ParseOptions(delimiter=layout.delimiter, quote_char=False, ignore_empty_lines=False),
        csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=layout.used(),
            null_values=NULLS,
            strings_can_be_null=True,
        ),
    )
    prices = np.stack([nanos_from_text(table[name]) for name in OHLC], axis=1)
    n = table.num_rows
    return RawBars(
        _times(table, layout), prices, _whole(table["volume"]), first_line, np.arange(n), n, np.zeros(n, np.int64)
    )


def nanos_from_text(column: pa.ChunkedArray) -> np.ndarray:
    """Decimal text → int64 in 1e-9 units, exactly; null → NO_TICK.  Raises ArrowInvalid for anything else."""
    return _low_words(pc.cast(column, PRICE))


def _whole(column: pa.ChunkedArray) -> np.ndarray:
    return _low_words(pc.cast(column, pa.decimal128(38, 0)))


def _low_words(column: pa.ChunkedArray) -> np.ndarray:
    """Decimals as int64; a decimal that needs more than 63 bits is refused."""
    if len(column) == 0:
        return np.zeros(0, np.int64)
    array = column.combine_chunks()
    words = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    low = words[:, 0].copy()
    valid = np.ones(len(array), bool)
    if array.null_count:
        valid = np.asarray(array.is_valid())
        low[~valid] = NO_TICK
    if (words[valid, 1] != words[valid, 0] >> 63).any():
        raise pa.ArrowInvalid("a number is too large")
    return low


class _BadTime(ValueError):
    """A time that this layout cannot read; the message says what to do."""


def _times(table: pa.Table, layout: Layout) -> np.ndarray:
    """(n,) int64 ns UTC of the layout's time columns."""
    if "ms" in layout.columns:
        local = _whole(table["ms"])
        known = local != NO_TICK
        if ((local[known] < 0) | (local[known] >= DAY_NS // MS_NS)).any():
            raise _BadTime("milliseconds since midnight are not within one day")
        return _to_utc(np.where(known, layout.base_ns + local * known * MS_NS, NO_TICK), layout.zone)
    if "date" in layout.columns:
        return _to_utc(_date_and_time(table), layout.zone)
    column = table["timestamp"]
    first = next((text.as_py() for text in column if text.is_valid), "")
    if len(first) > 9 and first[:8].isdigit() and first[8] in " T":
        column = pc.replace_substring_regex(column, r"^(\d{4})(\d{2})(\d{2})", r"\1-\2-\3")
    if first.isdigit():
        return _whole(column)
    if first.endswith("Z") or "+" in first[10:] or "-" in first[10:]:
        return _timestamps(column, pa.timestamp("ns", "UTC"))
    return _to_utc(_timestamps(column, pa.timestamp("ns")), layout.zone)


def _timestamps(column: pa.ChunkedArray, kind: pa.DataType) -> np.ndarray:
    values = pc.cast(pc.cast(column, kind), pa.int64())
    return np.asarray(pc.fill_null(values, NO_TICK).combine_chunks())


def _date_and_time(table: pa.Table) -> np.ndarray:
    """YYYYMMDD and HHMMSS (or HHMM, with or without colons) → int64 ns of the wall clock."""
    day = _whole(table["date"])
    clock_text = pc.replace_substring(table["time"], ":", "")
    clock = _whole(clock_text)
    short = np.asarray(pc.fill_null(pc.utf8_length(clock_text), 6).combine_chunks()) <= 4
    known = (day != NO_TICK) & (clock != NO_TICK)
    day, clock = np.where(known, day, 19700101), np.where(known, clock, 0)
    clock = np.where(short, clock * 100, clock)
    year, month, date = day // 10000, day // 100 % 100, day % 100
    hour, minute, second = clock // 10000, clock // 100 % 100, clock % 100
    months = (year - 1970).astype("M8[Y]").astype("M8[M]") + (month - 1)
    days = months.astype("M8[D]") + (date - 1)
    wrong = (month < 1) | (month > 12) | (days.astype("M8[M]") != months) | (year < 1970) | (year > 2200)
    if (wrong | (hour > 23) | (minute > 59) | (second > 59) | (clock < 0)).any():
        raise _BadTime("the date is not YYYYMMDD or the time is not HHMMSS")
    local = days.astype(np.int64) * DAY_NS + ((hour * 60 + minute) * 60 + second) * NANOS
    return np.where(known, local, NO_TICK)


def _to_utc(local_ns: np.ndarray, zone: str) -> np.ndarray:
    if not zone:
        raise _BadTime("its time has no offset and no zone is declared; name the zone with the option zone=Area/City")
    known = local_ns != NO_TICK
    out = np.full(local_ns.size, NO_TICK, np.int64)
    out[known] = utc_from_local(local_ns[known], zone)
    return out
