"""When a recorded contract takes exits only: from its roll day until the data set changes to the next (MES-DATA-23).

The roll day lies 8 calendar days before expiry, the third Friday of the contract's month; it begins with its session.
Contracts are known where the manifest names both sides of a change: by name, or by the vendor's id where the same store
holds definitions, whose last day goes before the third Friday.  Definitions that are damaged are named and
left out: then a contract that nothing else knows takes no entry at all.  The simulated market's contract never expires.
Called by the feed loop; only manifests and definitions are read.
"""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from marketdata.calendars import cme_sessions, local_date
from marketdata.core.instruments import INSTRUMENTS
from marketdata.databento.definitions import Definition
from marketdata.feeds.columns import LABEL_SEPARATOR
from marketdata.feeds.port import FeedSpec
from marketdata.feeds.stored import is_manifest, read_manifest
from marketdata.store.sets.definitions import beside

ROLL_DAYS = 8  # calendar days before expiry
NEW_YORK = "America/New_York"
MONTHS = {"H": 3, "M": 6, "U": 9, "Z": 12}
_NAME = re.compile(r"^[A-Z][A-Z0-9]{1,3}([HMUZ])(\d{1,2}|\d{4})$")
FAR_NS = 2**62

Span = tuple[int, int]


class Rolls(NamedTuple):
    """`inactive`: instrument → (from, until) in ns UTC, in order, in which its contract takes no entry.  `faults`: of
    definitions that were left out, a sentence each."""

    inactive: dict[int, list[Span]]
    faults: Sequence[str] = ()

    def is_active(self, instrument: int, now_ns: int) -> bool:
        """Whether the instrument's contract may be entered at this time."""
        return not any(begin <= now_ns < end for begin, end in self.inactive.get(instrument, ()))


def expiry(name: str, near: date) -> date | None:
    """Last day of a quarterly contract like MESM4, MESM24 or MESM2024; None for what is no such name.

    A year of one or two digits is the one nearest to `near`.
    """
    found = _NAME.match(name.strip().upper())
    if found is None:
        return None
    month, digits = MONTHS[found[1]], found[2]
    step = 10 ** len(digits)
    year = int(digits)
    if len(digits) < 4:
        year += (near.year - year + step // 2) // step * step
    if not 1980 <= year < 2200:
        return None
    first = date(year, month, 1)
    return first + timedelta(days=(4 - first.weekday()) % 7 + 14)


def roll_start_ns(last_day: date) -> int:
    """Open of the roll day's session: the last one that is not later than ROLL_DAYS before the expiry."""
    day = last_day - timedelta(days=ROLL_DAYS)
    return cme_sessions(day - timedelta(days=7), day)[-1].open_ns


def inactive_spans(
    rolls: list[tuple[int, str, str]], told: Sequence[Definition] = (), damaged: bool = False
) -> list[Span]:
    """Spans of a series by its changes (time, contract before, after), in order of time.  `told`: what the vendor says
    of its contracts, in order of receipt; `damaged`: some of that cannot be read, so a contract whose last day nobody
    tells is not one that may be entered."""
    spans: list[Span] = []
    since_ns = 0
    for at_ns, before, _ in rolls:
        spans += _span(before, at_ns, (since_ns, at_ns), told, damaged)
        since_ns = at_ns
    if rolls:
        spans += _span(rolls[-1][2], since_ns, (since_ns, FAR_NS), told, damaged)
    return spans


def _span(name: str, near_ns: int, life: Span, told: Sequence[Definition], damaged: bool) -> list[Span]:
    """`life`: from when to when the series is this contract."""
    since_ns, until_ns = life
    symbol = name.partition(LABEL_SEPARATOR)[0]
    last_day = told_last_day(name, near_ns, told) or expiry(symbol, local_date(near_ns, NEW_YORK))
    unknown_ns = since_ns if damaged else until_ns
    begin_ns = unknown_ns if last_day is None else roll_start_ns(last_day)
    return [(begin_ns, until_ns)] if begin_ns < until_ns else []


def told_last_day(name: str, near_ns: int, told: Sequence[Definition]) -> date | None:
    """The last day that the vendor gives a contract that was traded at `near_ns`; None where it says nothing.  Names
    come again after ten years, and ids may: the contract is the one whose life holds that time, by what was said of it
    last."""
    known = name.split(LABEL_SEPARATOR)
    for item in reversed(told):
        mine = item.symbol in known or str(item.instrument_id) in known
        if mine and item.last_ns is not None and (item.first_ns or 0) <= near_ns <= item.last_ns:
            return local_date(item.last_ns, NEW_YORK)
    return None


def open_rolls(spec: FeedSpec) -> Rolls | None:
    """The rolls of a feed's data sets; None where none of them says anything.  Raises FeedError for a set that cannot
    be played, CalendarError."""
    inactive: dict[int, list[Span]] = {}
    faults: list[str] = []
    symbols = list(spec.symbols)
    for part in filter(None, spec.path.split(",")):
        path = Path(part)
        if not is_manifest(path):
            continue
        manifest = read_manifest(path)
        symbol = str(manifest.get("symbol", ""))
        if symbol not in symbols or symbol not in INSTRUMENTS or INSTRUMENTS[symbol].venue != "cme":
            continue
        rolls = [(int(at), str(before), str(after)) for at, before, after in manifest.get("rolls", [])]
        told, damaged = beside(path.parent, symbol)
        faults += [fault for fault in damaged if fault not in faults]
        if spans := inactive_spans(rolls, told, bool(damaged)):
            inactive[symbols.index(symbol)] = spans
    return Rolls(inactive, faults) if inactive or faults else None
