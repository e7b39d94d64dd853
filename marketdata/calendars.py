"""Exchange calendars, zones and dated exceptions → int64 windows: the one place that knows local time.

CME sessions come from pandas_market_calendars (pinned), MOEX business days too; `calendar_overlay.json` holds the dates
on which the exchange did otherwise, and wins (MES-CAL-03).  Schedules say which phase each part of a trading day has
(MES-EOD, MOEX-OPS-01).  Called by the services that make a session and by the importers; it reads no clock.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.barfeatures.records import BAR_DAY
from marketdata.core.records import NO_TIME
from marketdata.core.sessions import AFTER_HOURS, AGGRESSIVE_EXIT, CLOSE_ONLY, MUST_BE_FLAT, NORMAL, REDUCED
from marketdata.zones import zone

OVERLAY_FILE = Path(__file__).with_name("calendar_overlay.json")
LIBRARY = "pandas_market_calendars"
CME_CALENDAR = "CME Globex Equity"
CME_OTHERS = {"CME_Equity": 17 * 60, "CMES": 18 * 60}  # the library's other CME equity calendars: regular close
NEW_YORK, MOSCOW = "America/New_York", "Europe/Moscow"
MINUTE_NS = 60_000_000_000
DAY_NS = 1440 * MINUTE_NS
CME_CLOSE = 17 * 60  # minutes since midnight, New York
RTH_OPEN, RTH_CLOSE = 9 * 60 + 30, 16 * 60
PLATFORM_CUTOFF, EARLY_CUTOFF = 16 * 60 + 10, 50  # regular dates; minutes before an early close (MES-EOD-02)
MOEX_ROLL = 5 * 60  # MOEX-RISK-03
MOEX_SESSIONS = ((10 * 60, 18 * 60 + 40), (19 * 60 + 5, 23 * 60 + 50))  # traded by default (MOEX-OPS-01)
MOEX_MARGIN = 5  # minutes after the open and before the close without entries
SEARCH_DAYS = 15  # longer than any run of closed days except a suspension, which is searched again

Window = tuple[int, int, int, int]  # phase, start_ns, end_ns, trading_day YYYYMMDD
Phases = list[tuple[int, int, int]]  # phase, start_ns, end_ns; sorted, inside one trading day


class CalendarError(ValueError):
    """An unknown calendar or schedule, or dates that no calendar covers."""


class ScheduleLate(CalendarError):
    """EOD_SCHEDULE_LATE: a phase begins at or after the venue's cut-off, or phases are out of order (MES-EOD-02)."""


class Session(NamedTuple):
    """One calendar session.  Times in ns UTC, half-open; `rth_close_ns` is NO_TIME when the date has no RTH."""

    trading_day: int
    open_ns: int
    close_ns: int
    rth_open_ns: int
    rth_close_ns: int
    cutoff_ns: int  # hard cut-off of the trading platform


@dataclass(frozen=True, slots=True)
class Schedule:
    """Phases of a futures trading day, as minutes before the anchor (MES-EOD-01: schedules are data)."""

    name: str
    anchor: str  # "close" of the session or "cutoff" of the platform
    reduced: int
    close_only: int
    aggressive_exit: int
    must_be_flat: int
    normal: int = 5  # minutes after the RTH open


SCHEDULES = {
    "standard": Schedule("standard", "close", 60, 45, 35, 30),
    "topstep": Schedule("topstep", "cutoff", 30, 15, 5, 2),
}
CALENDARS = ("cme", "moex")
# kind of venue → its hard cut-off of a session; a kind that is not here is refused (MES-EOD-02)
CUTOFFS: dict[str, Callable[[Session], int]] = {"simulated": lambda s: s.close_ns, "platform": lambda s: s.cutoff_ns}
ALL_HOURS, MOEX = "all_hours", "moex"


@lru_cache(maxsize=1)
def overlay() -> dict[str, dict[str, dict[str, Any]]]:
    """The dated exceptions: calendar → ISO date → what differs."""
    return json.loads(OVERLAY_FILE.read_text(encoding="utf-8"))


def calendar_identity() -> dict[str, str]:
    """What a run stores to name its calendars: library, its version, hash of the overlay (MES-CAL-03)."""
    return {
        "library": LIBRARY,
        "version": version(LIBRARY),
        "overlay": hashlib.sha256(OVERLAY_FILE.read_bytes()).hexdigest(),
    }


def local_ns(day: date, minutes: int, zone_name: str) -> int:
    """Wall-clock time of a date (minutes since midnight, 24:00 and later = next day) → ns UTC."""
    moment = datetime.combine(day, time(), zone(zone_name)) + timedelta(minutes=minutes)
    return int(moment.timestamp()) * 1_000_000_000


def local_date(t_ns: int, zone_name: str) -> date:
    """Date on the wall of this zone."""
    return datetime.fromtimestamp(t_ns // 1_000_000_000, zone(zone_name)).date()


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _number(day: date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day


@lru_cache(maxsize=64)
def _library_sessions(name: str, first: date, last: date) -> dict[date, tuple[int, int]]:
    """Date → (open, close) in ns UTC by one calendar of the library."""
    import pandas_market_calendars

    table = pandas_market_calendars.get_calendar(name).schedule(first.isoformat(), last.isoformat())
    return {
        row.Index.date(): (int(row.market_open.timestamp()) * 10**9, int(row.market_close.timestamp()) * 10**9)
        for row in table.itertuples()
    }


@lru_cache(maxsize=64)
def _library_days(first: date, last: date) -> frozenset[date]:
    """MOEX business days by the library."""
    import pandas_market_calendars

    days = pandas_market_calendars.get_calendar("XMOS").valid_days(first.isoformat(), last.isoformat())
    return frozenset(day.date() for day in days)


def irregular_dates(first: date, last: date) -> dict[date, int]:
    """Dates that a CME equity calendar of the library marks irregular and the overlay lacks → the earliest close, ns
    UTC.  Live warns of each and uses that close (MES-CAL-04)."""
    found: dict[date, list[int]] = {}
    ours = _library_sessions(CME_CALENDAR, first, last)
    regular = {CME_CALENDAR: CME_CLOSE, **CME_OTHERS}
    books = {name: _library_sessions(name, first, last) for name in regular}
    for day in ours:
        closes = [book[day][1] for book in books.values() if day in book]
        usual = [
            day in books[name] and books[name][day][1] == local_ns(day, regular[name], NEW_YORK) for name in regular
        ]
        if not all(usual) and day.isoformat() not in overlay()["cme"]:
            found[day] = closes
    return {day: min(closes) for day, closes in found.items()}


def cme_sessions(first: date, last: date, *, cautious: bool = False) -> list[Session]:
    """CME equity sessions of trading days `first` .. `last`.  `cautious`: MES-CAL-04's earliest close, as live."""
    exceptions = overlay()["cme"]
    early = irregular_dates(first, last) if cautious else {}
    sessions = []
    for day, (open_ns, close_ns) in sorted(_library_sessions(CME_CALENDAR, first, last).items()):
        exception = exceptions.get(day.isoformat(), {})
        if exception.get("closed", False):
            continue
        close_ns = min(close_ns, early.get(day, close_ns))
        if "close" in exception:
            close_ns = local_ns(day, _minutes(exception["close"]), NEW_YORK)
        regular = close_ns == local_ns(day, CME_CLOSE, NEW_YORK)
        cutoff_ns = local_ns(day, PLATFORM_CUTOFF, NEW_YORK) if regular else close_ns - EARLY_CUTOFF * MINUTE_NS
        if "cutoff" in exception:
            cutoff_ns = local_ns(day, _minutes(exception["cutoff"]), NEW_YORK)
        rth_open = local_ns(day, RTH_OPEN, NEW_YORK)
        rth_close = min(local_ns(day, RTH_CLOSE, NEW_YORK), close_ns)
        if rth_close <= rth_open:
            rth_close = NO_TIME
        sessions.append(Session(_number(day), open_ns, close_ns, rth_open, rth_close, cutoff_ns))
    return sessions


def bar_days(first: date, last: date) -> np.ndarray:
    """(n,) BAR_DAY of the CME trading days `first` .. `last`: the clock of the bar features as integers.

    Raises CalendarError where the wall clock changes inside a session (MES-CAL-05: it never does).
    """
    sessions = cme_sessions(first, last)
    days = np.zeros(len(sessions), BAR_DAY)
    for row, session in zip(days, sessions, strict=True):
        day = datetime.strptime(str(session.trading_day), "%Y%m%d").replace(tzinfo=UTC).date()
        offsets = {_wall_offset(t_ns) for t_ns in (session.open_ns, session.close_ns - 1)}
        if len(offsets) != 1:
            raise CalendarError(f"New York changes its clocks inside the session of {day}: no feature knows the time")
        rth_close_ns = min(local_ns(day, RTH_CLOSE, NEW_YORK), session.close_ns)
        times_ns = (session.open_ns, session.close_ns, session.rth_open_ns, rth_close_ns)
        row["trading_day"], row["weekday"], row["wall_s"] = session.trading_day, day.weekday(), offsets.pop()
        row["open_s"], row["close_s"], row["rth_open_s"], row["rth_close_s"] = (t // 10**9 for t in times_ns)
    return days


def _wall_offset(t_ns: int) -> int:
    """Seconds that New York's wall clock is ahead of UTC."""
    offset = datetime.fromtimestamp(t_ns // 10**9, zone(NEW_YORK)).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def moex_days(first: date, last: date) -> list[date]:
    """Business days of the exchange: the library's, corrected by the overlay."""
    days = set(_library_days(first, last))
    for text, exception in overlay()["moex"].items():
        day = date.fromisoformat(text)
        if exception.get("business", False) and first <= day <= last:
            days.add(day)
        if exception.get("closed", False):
            days.discard(day)
    return sorted(days)


def _moex_sessions(day: date, business: bool) -> list[tuple[int, int]]:
    """Traded sessions of one date, ns UTC: the defaults on a business day, the overlay's where it says so."""
    exception = overlay()["moex"].get(day.isoformat(), {})
    hours: tuple[tuple[int, int], ...] = MOEX_SESSIONS if business else ()
    if exception.get("sessions") and exception.get("traded", False):
        hours = tuple((_minutes(start), _minutes(end)) for start, end in exception["sessions"])
    return [(local_ns(day, start, MOSCOW), local_ns(day, end, MOSCOW)) for start, end in hours]


class _Day(NamedTuple):
    """A trading day from its roll to the next one."""

    trading_day: int
    start_ns: int
    end_ns: int
    phases: Callable[[], Phases]  # asked only for days that are wanted: a schedule may refuse a date


def _cme_days(first: date, last: date, plan: str | Schedule, venue: str, cautious: bool) -> list[_Day]:
    """Trading days from open to open.  `plan`: a Schedule, or the name of one without phases of its own."""
    sessions = cme_sessions(first, last, cautious=cautious)
    found = []
    for now, after in pairwise(sessions):
        phases = partial(session_phases, plan, now, venue) if isinstance(plan, Schedule) else list
        found.append(_Day(now.trading_day, now.open_ns, after.open_ns, phases))
    return found


def _moex_days(first: date, last: date) -> list[_Day]:
    """Trading days and their traded sessions; weekend dates belong to the next business day (MOEX-RISK-03)."""
    days = moex_days(first, last)
    found = []
    for before, day in pairwise(days):
        start = local_ns(before + timedelta(days=1), MOEX_ROLL, MOSCOW)
        end = local_ns(day + timedelta(days=1), MOEX_ROLL, MOSCOW)
        found.append(_Day(_number(day), start, end, partial(_moex_phases, before, day)))
    return found


def _moex_phases(before: date, day: date) -> Phases:
    """Entry windows and exits (MOEX-OPS-01, hold SESSION_END) of the dates after business day `before` up to `day`."""
    phases = []
    margin = MOEX_MARGIN * MINUTE_NS
    for offset in range((day - before).days):
        inside = before + timedelta(days=1 + offset)
        for open_ns, close_ns in _moex_sessions(inside, inside == day):
            phases.append((NORMAL, open_ns + margin, close_ns - margin))
            phases.append((AGGRESSIVE_EXIT, close_ns - margin, close_ns))
    return phases


def session_phases(schedule: Schedule, session: Session, venue: str = "simulated") -> Phases:
    """(phase, start_ns, end_ns) of one futures session; empty when the whole date is AFTER_HOURS (MES-EOD-03).

    `venue`: whose hard cut-off counts, a kind of CUTOFFS.  Raises ScheduleLate, CalendarError.
    """
    if venue not in CUTOFFS:
        raise CalendarError(f"a venue of kind {venue!r} has no known cut-off; known: {', '.join(CUTOFFS)}")
    anchor = session.close_ns if schedule.anchor == "close" else session.cutoff_ns
    offsets = (schedule.reduced, schedule.close_only, schedule.aggressive_exit, schedule.must_be_flat)
    starts = [session.rth_open_ns + schedule.normal * MINUTE_NS, *(anchor - offset * MINUTE_NS for offset in offsets)]
    if starts[1] <= starts[0]:
        return []
    if any(later <= earlier for earlier, later in pairwise(starts[1:])):
        raise ScheduleLate(
            f"EOD_SCHEDULE_LATE: schedule {schedule.name}: REDUCED {_clock(starts[1])}, CLOSE_ONLY {_clock(starts[2])},"
            f" AGGRESSIVE_EXIT {_clock(starts[3])} and MUST_BE_FLAT {_clock(starts[4])} are out of order"
        )
    cutoff = CUTOFFS[venue](session)
    for name, start in zip(("REDUCED", "CLOSE_ONLY", "AGGRESSIVE_EXIT", "MUST_BE_FLAT"), starts[1:], strict=True):
        if start >= cutoff:
            raise ScheduleLate(
                f"EOD_SCHEDULE_LATE: {name} of schedule {schedule.name} on {session.trading_day} is at {_clock(start)}"
                f" New York, not before the cut-off of the {venue} venue at {_clock(cutoff)}"
            )
    phases = (NORMAL, REDUCED, CLOSE_ONLY, AGGRESSIVE_EXIT, MUST_BE_FLAT)
    return list(zip(phases, starts, [*starts[1:], session.close_ns], strict=True))


def _clock(t_ns: int) -> str:
    return datetime.fromtimestamp(t_ns // 1_000_000_000, zone(NEW_YORK)).strftime("%H:%M")


def _days(
    schedule: str | Schedule, calendar: str, from_ns: int, until_ns: int, venue: str, cautious: bool
) -> list[_Day]:
    """Trading days that cover [from_ns, until_ns)."""
    if calendar not in CALENDARS:
        raise CalendarError(f"calendar {calendar!r} is unknown; known: {', '.join(CALENDARS)}")
    if isinstance(schedule, str) and schedule not in (*SCHEDULES, ALL_HOURS, MOEX):
        raise CalendarError(f"schedule {schedule!r} is unknown; known: {', '.join((*SCHEDULES, ALL_HOURS, MOEX))}")
    futures = isinstance(schedule, Schedule) or schedule in SCHEDULES
    if (futures and calendar != "cme") or (schedule == MOEX and calendar != "moex"):
        name = schedule.name if isinstance(schedule, Schedule) else schedule
        raise CalendarError(f"schedule {name} does not belong to calendar {calendar}")
    plan = SCHEDULES[schedule] if isinstance(schedule, str) and schedule in SCHEDULES else schedule
    zone_name = NEW_YORK if calendar == "cme" else MOSCOW
    for search in (SEARCH_DAYS, 4 * SEARCH_DAYS):
        first = local_date(from_ns, zone_name) - timedelta(days=search)
        last = local_date(until_ns, zone_name) + timedelta(days=search)
        if calendar == "moex":
            days = _moex_days(first, last)
        else:
            days = _cme_days(first, last, plan, venue, cautious)
        if days and days[0].start_ns <= from_ns and days[-1].end_ns >= until_ns:
            return [day for day in days if day.end_ns > from_ns and day.start_ns < until_ns]
    when = datetime.fromtimestamp(from_ns // 1_000_000_000, UTC)
    raise CalendarError(f"calendar {calendar} does not cover {when:%Y-%m-%d}")


def windows(
    schedule: str | Schedule,
    calendar: str,
    from_ns: int,
    days: int,
    *,
    venue: str = "simulated",
    cautious: bool = False,
) -> list[Window]:
    """(phase, start_ns, end_ns, trading_day) for `days` × 24 h from `from_ns`, whole trading days, sorted, half-open.

    `schedule`: "standard" or "topstep" (cme), "moex", "all_hours" (both: NORMAL always, split at the roll), or a
    Schedule of one's own.  A trading day starts at its roll; its hours without a phase are AFTER_HOURS windows that
    carry its day, except those between the close and the next roll.  Raises CalendarError, ScheduleLate.
    """
    if days <= 0:
        raise CalendarError(f"{days} days of windows were asked for; at least one is needed")
    found: list[Window] = []
    for day in _days(schedule, calendar, from_ns, from_ns + days * DAY_NS, venue, cautious):
        if schedule == ALL_HOURS:
            found.append((NORMAL, day.start_ns, day.end_ns, day.trading_day))
            continue
        at = day.start_ns
        phases = day.phases()
        for phase, start, end in phases:
            if start > at:
                found.append((AFTER_HOURS, at, start, day.trading_day))
            found.append((phase, start, end, day.trading_day))
            at = end
        if not phases:
            found.append((AFTER_HOURS, day.start_ns, day.end_ns, day.trading_day))
    return found


def trading_day_at(calendar: str, t_ns: int) -> int:
    """D(t) of MES-CAL-01 and MOEX-RISK-03, as YYYYMMDD."""
    return _days(ALL_HOURS, calendar, t_ns, t_ns + 1, "simulated", False)[0].trading_day


def open_hours(calendar: str, from_ns: int, seconds: int) -> list[tuple[int, int]]:
    """Traded hours from `from_ns` on, [start_ns, end_ns), cut to `seconds` in all: where a made-up data set may lie."""
    found: list[tuple[int, int]] = []
    left_ns = seconds * 1_000_000_000
    at_ns = from_ns
    while left_ns > 0:
        # a little more than what is missing, at a third of each day open
        until_ns = at_ns + 3 * left_ns + 7 * DAY_NS
        for start, end in _traded(calendar, at_ns, until_ns):
            start, end = max(start, at_ns), min(end, until_ns)
            if start < end and left_ns > 0:
                end = min(end, start + left_ns)
                found.append((start, end))
                left_ns -= end - start
        at_ns = until_ns
    return found


def _traded(calendar: str, from_ns: int, until_ns: int) -> list[tuple[int, int]]:
    """Sessions in which the exchange trades, those that touch [from_ns, until_ns); sorted."""
    if calendar not in CALENDARS:
        raise CalendarError(f"calendar {calendar!r} is unknown; known: {', '.join(CALENDARS)}")
    week = timedelta(days=7)
    if calendar == "cme":
        first, last = local_date(from_ns, NEW_YORK) - week, local_date(until_ns, NEW_YORK) + week
        return [(session.open_ns, session.close_ns) for session in cme_sessions(first, last)]
    first, last = local_date(from_ns, MOSCOW) - week, local_date(until_ns, MOSCOW) + week
    return [hours for day in moex_days(first, last) for hours in _moex_sessions(day, True)]
