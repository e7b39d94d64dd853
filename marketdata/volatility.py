"""The volatility index (RVI) of a tape: values in hundredths of a point with the time at which they were published.

A recording brings them in a file beside it (option `rvi`: CSV or Parquet with the columns `time`, with its offset, and
`value`, in points); the simulated market makes them of its seed and the time alone, so a takeover finds the same ones.
Where neither says anything there is no index, and RVI_STALE stands.  It reads no clock.  Called by the feed loop and by
the check of a tape before a session is made.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.units import NANOS
from marketdata.feeds.port import FeedError, FeedSpec

STEP_NS = 15 * NANOS  # the exchange publishes the index every 15 s
KNOT_NS = 600 * NANOS  # of the simulated index, between which it moves straight
USUAL = 2800  # 28.00 points
SWING = 150  # most that the simulated index is away from its middle
POINTS_MAX = 1000
ROWS_MAX = 500_000


class IndexValues(NamedTuple):
    """Values in the order of their times."""

    ts_ns: np.ndarray  # int64
    values: np.ndarray  # int64, hundredths of a point


class Index(NamedTuple):
    """Where values come from."""

    between: Callable[[int, int], IndexValues]  # those published in (after, until]
    name: str


def open_index(spec: FeedSpec) -> Index | None:
    """The index that this feed brings; None: it has none.  Raises FeedError for a file that cannot be used."""
    said = spec.options.get("rvi", "")
    if spec.name == "simulated":
        middle = USUAL if not said else hundredths(said, "option rvi")
        if middle <= SWING:
            raise FeedError(f"option rvi={said!r} is not above {SWING / 100:.2f} points")
        return Index(lambda after, until: _simulated(spec.seed, middle, after, until), "simulated")
    if not said:
        return None
    table = read_index(Path(said))
    return Index(lambda after, until: _recorded(table, after, until), Path(said).name)


def hundredths(text: str, where: str) -> int:
    """Points as a person writes them, 28 or 28.05, in hundredths; exact.  Raises FeedError."""
    try:
        points = Decimal(text)
    except InvalidOperation:
        points = Decimal("NaN")
    if not points.is_finite() or not 0 < points <= POINTS_MAX or points * 100 != int(points * 100):
        raise FeedError(f"{where}: {text!r} is no index of above 0 to {POINTS_MAX} points with at most two decimals")
    return int(points * 100)


def read_index(path: Path) -> IndexValues:
    """Every value of a file.  Raises FeedError with the line for one that is not usable; nothing is left out."""
    try:
        rows = _parquet_rows(path) if path.suffix == ".parquet" else _csv_rows(path)
    except OSError as error:
        raise FeedError(f"the volatility index {path} cannot be read: {error.strerror or error}") from None
    if not rows:
        raise FeedError(f"the volatility index {path} has no values")
    times = np.array([row[0] for row in rows], np.int64)
    late = np.flatnonzero(np.diff(times) <= 0)
    if late.size:
        raise FeedError(f"{path}, value {int(late[0]) + 2}: not later than the one before; each time once, in order")
    return IndexValues(times, np.array([row[1] for row in rows], np.int64))


def _csv_rows(path: Path) -> list[tuple[int, int]]:
    import csv

    rows: list[tuple[int, int]] = []
    with path.open(newline="", encoding="utf-8-sig") as lines:
        try:
            reader = csv.DictReader(lines)
            _check_columns(path, list(reader.fieldnames or []))
            for row in reader:
                rows.append(_row(row["time"], row["value"], f"{path}, line {reader.line_num}"))
                _check_count(path, len(rows))
        except (UnicodeDecodeError, csv.Error) as error:
            raise FeedError(f"the volatility index {path} is no text of columns: {error}") from None
    return rows


def _parquet_rows(path: Path) -> list[tuple[int, int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names)
            _check_count(path, file.metadata.num_rows)
            columns = file.read(columns=["time", "value"]).to_pydict()
    except pa.ArrowException as error:
        raise FeedError(f"the volatility index {path} is no Parquet file: {error}") from None
    pairs = enumerate(zip(columns["time"], columns["value"], strict=True), 1)
    return [_row(time, value, f"{path}, row {number}") for number, (time, value) in pairs]


def _check_columns(path: Path, names: list[str]) -> None:
    if not {"time", "value"} <= set(names):
        raise FeedError(f"the volatility index {path} needs the columns time and value; it has: {', '.join(names)}")


def _check_count(path: Path, count: int) -> None:
    if count > ROWS_MAX:
        raise FeedError(f"the volatility index {path} has more than {ROWS_MAX} values")


def _row(time: Any, value: Any, where: str) -> tuple[int, int]:
    """(ns, hundredths) of one value."""
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.strip())
        except ValueError:
            raise FeedError(f"{where}: {time!r} is not a time like 2024-07-01T10:00:15+03:00") from None
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise FeedError(f"{where}: the time {time} has no offset: write it with Z or +03:00")
    ns = int(time.replace(microsecond=0).timestamp()) * NANOS + time.microsecond * 1000
    return ns, hundredths(str(value).strip(), where)


def _recorded(table: IndexValues, after_ns: int, until_ns: int) -> IndexValues:
    start, end = np.searchsorted(table.ts_ns, (after_ns, until_ns), side="right")
    return IndexValues(table.ts_ns[start:end], table.values[start:end])


def _simulated(seed: int, middle: int, after_ns: int, until_ns: int) -> IndexValues:
    """One value every STEP_NS, on straight lines between knots that seed and time alone decide."""
    times = np.arange((after_ns // STEP_NS + 1) * STEP_NS, until_ns + 1, STEP_NS, dtype=np.int64)
    knots = {int(knot): _knot(seed, int(knot)) for part in (0, 1) for knot in np.unique(times // KNOT_NS) + part}
    values = [
        middle + knots[t // KNOT_NS] + (knots[t // KNOT_NS + 1] - knots[t // KNOT_NS]) * (t % KNOT_NS) // KNOT_NS
        for t in times.tolist()
    ]
    return IndexValues(times, np.array(values, np.int64))


def _knot(seed: int, knot: int) -> int:
    digest = hashlib.sha256(f"rvi/{seed}/{knot}".encode()).digest()
    return int.from_bytes(digest[:8], "little") % (2 * SWING + 1) - SWING
