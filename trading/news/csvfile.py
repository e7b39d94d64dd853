"""An event list as a CSV file → windows.  A file counts whole or not at all: every bad line is told, none is guessed.

Columns: starts, ends, venue, title; zone where a time carries no offset.  Nothing is read from or written to anywhere.
"""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

NEEDED, OPTIONAL = ("starts", "ends", "venue", "title"), ("zone",)
BYTES_MAX = 1_000_000
ROWS_MAX = 5_000
TITLE_MAX = 120
LONGEST = timedelta(days=7)
FAULTS_SHOWN = 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_YEAR, LAST_YEAR = 1980, 2200  # well within what ns in 64 bits hold


class Row(NamedTuple):
    """One window, in ns UTC; the end is no part of it."""

    venue: str
    starts_ns: int
    ends_ns: int
    title: str


class NewsRefused(ValueError):
    """A list that cannot be used; `faults` holds one sentence each, with the line where there is one."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        more = len(faults) - FAULTS_SHOWN
        super().__init__("\n".join([*faults[:FAULTS_SHOWN], *([f"and {more} more"] if more > 0 else [])]))


def moment(text: str, zone: str = "") -> datetime:
    """A time as a person writes it → UTC; `zone` (IANA) where it carries no offset.  Raises ValueError."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a time like 2026-03-18T14:00:00-04:00") from None
    if at.tzinfo is None:
        at = _local(at, text, zone)
    elif zone:
        raise ValueError(f"{text!r} has an offset and a zone, {zone}: one of the two")
    if not FIRST_YEAR <= at.year < LAST_YEAR:  # before it is moved to UTC, where the first and last day have no room
        raise ValueError(f"{text!r} lies outside {FIRST_YEAR} to {LAST_YEAR}")
    return at.astimezone(UTC)


def _local(at: datetime, text: str, zone: str) -> datetime:
    """A time in a zone; one that comes twice or never there is nobody's."""
    if not zone:
        raise ValueError(f"{text!r} has neither an offset nor a zone")
    try:
        found = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{zone!r} is no time zone, like America/New_York") from None
    early, late = at.replace(tzinfo=found, fold=0), at.replace(tzinfo=found, fold=1)
    if early.utcoffset() != late.utcoffset():
        raise ValueError(f"{text!r} comes twice or never in {zone}: give its offset")
    return early


def window(starts: str, ends: str, venue: str, title: str, venues: tuple[str, ...], zone: str = "") -> Row:
    """One window from what a person wrote.  Raises ValueError with one sentence."""
    if venue not in venues:
        raise ValueError(f"venue {venue!r} is unknown; known: {', '.join(venues)}")
    title = title.strip()
    if not 0 < len(title) <= TITLE_MAX:
        raise ValueError(f"a title has 1 to {TITLE_MAX} characters")
    if not title.isprintable():
        raise ValueError("a title is one line of characters that can be read")
    begin, end = moment(starts, zone), moment(ends, zone)
    if end <= begin:
        raise ValueError(f"it ends at {ends.strip()}, not after its start")
    if end - begin > LONGEST:
        raise ValueError(f"it is longer than {LONGEST.days} days")
    return Row(venue, _ns(begin), _ns(end), title)


def _ns(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1) * 1000


def read(data: bytes, venues: tuple[str, ...]) -> list[Row]:
    """Every window of a file, in its order.  Raises NewsRefused with all its faults."""
    if len(data) > BYTES_MAX:
        raise NewsRefused([f"the file is larger than {BYTES_MAX // 1_000_000} MB"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NewsRefused([f"the file is not UTF-8: {error}"]) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="", strict=True)
    rows: list[Row] = []
    faults: list[str] = []
    try:
        heads = [str(head).strip().lower() for head in reader.fieldnames or ()]
        missing = [name for name in NEEDED if name not in heads]
        unknown = [head for head in heads if head not in (*NEEDED, *OPTIONAL)]
        if missing or unknown or len(set(heads)) != len(heads):
            raise NewsRefused([f"line 1: the columns are {', '.join(NEEDED)} and, where needed, {OPTIONAL[0]}"])
        reader.fieldnames = heads
        for found in reader:
            try:
                rows.append(_row(found, venues))
            except ValueError as error:
                faults.append(f"line {reader.line_num}: {error}")
            if len(rows) > ROWS_MAX:
                raise NewsRefused([f"more than {ROWS_MAX} windows"])
    except csv.Error as error:
        faults.append(f"line {reader.reader.line_num}: {error}")
    if not rows and not faults:
        faults.append("the file holds no window")
    if faults:
        raise NewsRefused(faults)
    return rows


def _row(found: "dict[str, str | list[str]]", venues: tuple[str, ...]) -> Row:
    if "" in found:
        raise ValueError("more values than columns")
    values = {name: str(value).strip() for name, value in found.items()}
    return window(values["starts"], values["ends"], values["venue"], values["title"], venues, values.get("zone", ""))
