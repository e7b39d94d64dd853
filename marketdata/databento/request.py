"""What is asked of Databento, split into months: which dataset, schema, symbol and which span of UTC time.

Values only: no network, no disk, no clock.  A request is checked here once, so that a slip of the pen is refused
before anything could be bought.  Called by the archive, the client and the command.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from marketdata.core.units import MICROS, NANOS

DATASET = "GLBX.MDP3"
YEARS_BACK = 3  # where no first day is asked for (MES-DBN-07)
CAP_DOLLARS = "5.00"  # what a purchase may cost where nobody says otherwise (MES-DBN-05)
SCHEMAS = (
    "trades", "ohlcv-1s", "ohlcv-1m", "ohlcv-1h", "ohlcv-1d", "definition",
    "mbo", "mbp-1", "mbp-10", "bbo-1s", "bbo-1m", "tbbo", "statistics", "status",
)  # fmt: skip
BAR_SCHEMAS = ("ohlcv-1s", "ohlcv-1m", "ohlcv-1h", "ohlcv-1d")  # they have no ts_recv: filtered by ts_event
FRONT = re.compile(r"[A-Z0-9]{1,8}\.[cnv]\.\d{1,2}")
PARENT = re.compile(r"[A-Z0-9]{1,8}\.(FUT|OPT)")
RAW = re.compile(r"[A-Z0-9]{1,12}")
DATASET_NAME = re.compile(r"[A-Z0-9]{2,8}\.[A-Z0-9]{2,12}")


class DatabentoError(RuntimeError):
    """What the vendor or the archive refused: one sentence that says what to do."""


class Span(NamedTuple):
    """ns UTC, start inclusive, end exclusive."""

    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Series:
    """One series of the vendor: what an archive folder holds."""

    symbol: str
    schema: str
    dataset: str = DATASET

    @property
    def stype_in(self) -> str:
        """The vendor's kind of symbol, by its form (MES-DBN-02)."""
        if FRONT.fullmatch(self.symbol):
            return "continuous"
        return "parent" if PARENT.fullmatch(self.symbol) else "raw_symbol"


def series(symbol: str, schema: str, dataset: str = DATASET) -> Series:
    """A checked series.  Raises DatabentoError."""
    if schema not in SCHEMAS:
        near = "; 5 and 15 minutes are made of ohlcv-1m here" if schema in ("ohlcv-5m", "ohlcv-15m") else ""
        raise DatabentoError(f"schema {schema!r} is not one of {', '.join(SCHEMAS)}{near}")
    if not (FRONT.fullmatch(symbol) or PARENT.fullmatch(symbol) or RAW.fullmatch(symbol)):
        raise DatabentoError(f"symbol {symbol!r} is neither like MES.v.0 (front month), MES.FUT (parent) nor MESH6")
    if not DATASET_NAME.fullmatch(dataset):
        raise DatabentoError(f"dataset {dataset!r} is not like {DATASET}")
    return Series(symbol, schema, dataset)


def day_ns(text: str) -> int:
    """2024-01-31 → ns UTC of its midnight.  Raises DatabentoError."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise DatabentoError(f"{text!r} is not a date like 2024-01-31 (days are UTC days)") from None
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NANOS


def moment_ns(text: str) -> int:
    """The vendor's 2024-01-31T00:00:00.000000001Z → ns UTC, exactly.  Raises DatabentoError."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)", text)
    if found is None:
        raise DatabentoError(f"the vendor's time {text!r} cannot be read: it is not ISO with Z")
    seconds = int(datetime.fromisoformat(f"{found[1]}T{found[2]}+00:00").timestamp())
    return seconds * NANOS + int((found[3] or "0").ljust(9, "0"))


def words(at_ns: int) -> str:
    """ns UTC → 2024-01-31T00:00:00Z; a fraction of a second is cut off."""
    return datetime.fromtimestamp(at_ns // NANOS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def months(span: Span) -> list[Span]:
    """The span cut at every first of a month, UTC.  Raises DatabentoError when it is empty."""
    if span.start_ns >= span.end_ns:
        raise DatabentoError(f"nothing lies between {words(span.start_ns)} and {words(span.end_ns)}: end is exclusive")
    parts, start = [], span.start_ns
    while start < span.end_ns:
        at = datetime.fromtimestamp(start // NANOS, UTC)
        year, month = (at.year, at.month + 1) if at.month < 12 else (at.year + 1, 1)
        end = min(int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * NANOS, span.end_ns)
        parts.append(Span(start, end))
        start = end
    return parts


def without(span: Span, held: list[Span]) -> list[Span]:
    """What of `span` no span of `held` covers, in order (MES-DBN-05: what is held is never bought again)."""
    missing, start = [], span.start_ns
    for part in sorted(held):
        if part.end_ns <= start or part.start_ns >= span.end_ns:
            continue
        if part.start_ns > start:
            missing.append(Span(start, part.start_ns))
        start = max(start, part.end_ns)
    if start < span.end_ns:
        missing.append(Span(start, span.end_ns))
    return missing


def span_of(start: str, end: str, available: Span, today: date) -> Span:
    """The days that were asked for, cut at what the vendor has; "" is years back, and all there is.  Raises
    DatabentoError."""
    begin_ns = day_ns(start or f"{today.year - YEARS_BACK}-{today.month:02}-01")
    end_ns = min(day_ns(end), available.end_ns) if end else available.end_ns
    if begin_ns < available.start_ns:
        if start:
            raise DatabentoError(f"the vendor's data begin at {words(available.start_ns)}: ask from there")
        begin_ns = available.start_ns
    if begin_ns >= end_ns:
        raise DatabentoError(f"nothing lies between {words(begin_ns)} and {words(end_ns)}; the end is exclusive")
    return Span(begin_ns, end_ns)


def cap_micros_of(text: str) -> int:
    """Dollars as typed → micros.  Raises DatabentoError."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0 or amount > 10**6:
        raise DatabentoError(f"{text!r} is no amount of dollars")
    return int(amount * MICROS)
