"""Calendars and schedules: sessions, rolls, DST weeks, early closes, exceptions (MES-CAL, MES-EOD, MOEX-OPS-01)."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.calendars import (
    DAY_NS,
    MINUTE_NS,
    MOSCOW,
    NEW_YORK,
    SCHEDULES,
    CalendarError,
    Schedule,
    ScheduleLate,
    calendar_identity,
    cme_sessions,
    irregular_dates,
    local_ns,
    moex_days,
    open_hours,
    overlay,
    session_phases,
    trading_day_at,
    windows,
)
from marketdata.core.records import NO_TIME
from marketdata.core.sessions import (
    AFTER_HOURS,
    AGGRESSIVE_EXIT,
    MUST_BE_FLAT,
    NORMAL,
    PHASES,
    WINDOW,
    day_at,
    window_at,
)
from marketdata.zones import zone


def ns(text: str) -> int:
    """ISO time with offset → ns UTC."""
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def clock(t_ns: int, zone_name: str = NEW_YORK) -> str:
    return datetime.fromtimestamp(t_ns // 1_000_000_000, zone(zone_name)).strftime("%m-%d %H:%M")


def phases_of(schedule: str | Schedule, day: str, zone_name: str = NEW_YORK, calendar: str = "cme") -> list[str]:
    """Phases of one trading day as "NORMAL 09:35"; the time alone, the date is the day's."""
    noon = local_ns(date.fromisoformat(day), 12 * 60, zone_name)
    number = int(day.replace("-", ""))
    rows = [row for row in windows(schedule, calendar, noon, 1) if row[3] == number]
    return [f"{PHASES[phase]} {clock(start, zone_name)[6:]}" for phase, start, _, _ in rows]


def session(day: str, *, cautious: bool = False):
    (found,) = cme_sessions(date.fromisoformat(day), date.fromisoformat(day), cautious=cautious)
    return found


REGULAR = {
    "standard": ["NORMAL 09:35", "REDUCED 16:00", "CLOSE_ONLY 16:15", "AGGRESSIVE_EXIT 16:25", "MUST_BE_FLAT 16:30"],
    "topstep": ["NORMAL 09:35", "REDUCED 15:40", "CLOSE_ONLY 15:55", "AGGRESSIVE_EXIT 16:05", "MUST_BE_FLAT 16:08"],
}


@pytest.mark.parametrize("schedule", ["standard", "topstep"])
@pytest.mark.parametrize("day", ["2026-03-04", "2026-03-09", "2025-11-03", "2025-10-31", "2025-07-01"])
def test_regular_days_follow_the_table(schedule: str, day: str) -> None:
    """MES-EOD table; MES-EOD-04 and MES-CAL-05: the same wall-clock times before and after a change of the clocks."""
    assert phases_of(schedule, day) == ["AFTER_HOURS 18:00", *REGULAR[schedule]]
    assert clock(session(day).close_ns)[6:] == "17:00"


@pytest.mark.parametrize(
    ("schedule", "day", "expected"),
    [
        (
            "standard",
            "2025-11-27",
            ["REDUCED 12:00", "CLOSE_ONLY 12:15", "AGGRESSIVE_EXIT 12:25", "MUST_BE_FLAT 12:30"],
        ),
        ("topstep", "2025-11-27", ["REDUCED 11:40", "CLOSE_ONLY 11:55", "AGGRESSIVE_EXIT 12:05", "MUST_BE_FLAT 12:08"]),
        (
            "standard",
            "2025-11-28",
            ["REDUCED 12:15", "CLOSE_ONLY 12:30", "AGGRESSIVE_EXIT 12:40", "MUST_BE_FLAT 12:45"],
        ),
        ("topstep", "2025-12-24", ["REDUCED 11:55", "CLOSE_ONLY 12:10", "AGGRESSIVE_EXIT 12:20", "MUST_BE_FLAT 12:23"]),
    ],
)
def test_early_closes_keep_the_offsets(schedule: str, day: str, expected: list[str]) -> None:
    """MES-EOD-03; MES-EOD-02: the platform's cut-off is 50 min before an early close."""
    assert phases_of(schedule, day) == ["AFTER_HOURS 18:00", "NORMAL 09:35", *expected]


@pytest.mark.parametrize("day", ["2025-01-09", "2025-04-18", "2026-04-03"])
@pytest.mark.parametrize("schedule", ["standard", "topstep"])
def test_a_date_that_closes_too_early_has_no_phases(schedule: str, day: str) -> None:
    """MES-EOD-03: 2025-01-09 closed 09:30 by the overlay (MES-CAL-04), Good Friday 09:15."""
    assert phases_of(schedule, day) == ["AFTER_HOURS 18:00"]
    found = session(day)
    assert clock(found.close_ns)[6:] == ("09:30" if day == "2025-01-09" else "09:15")
    assert found.rth_close_ns == NO_TIME, "MES-CAL-02: no RTH"


def test_rth_of_regular_and_early_days() -> None:
    """MES-CAL-02: 23,400 s, or up to the early close."""
    regular, early = session("2026-03-04"), session("2025-11-28")
    assert regular.rth_close_ns - regular.rth_open_ns == 23_400 * 10**9
    assert clock(early.rth_close_ns) == "11-28 13:15"


def test_sessions_in_both_offsets_of_the_year() -> None:
    """MES-CAL-05: 18:00 New York is 23:00 UTC in winter, 22:00 in summer; no session contains a change."""
    for day, hour in (("2026-03-06", 23), ("2026-03-09", 22), ("2025-10-31", 22), ("2025-11-03", 23)):
        found = session(day)
        assert datetime.fromtimestamp(found.open_ns // 10**9, UTC).hour == hour
        assert found.close_ns - found.open_ns == 23 * 3600 * 10**9


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-03-04T17:59:59-05:00", 20260304),  # the halt belongs to the session just closed
        ("2026-03-04T18:00:00-05:00", 20260305),  # the roll
        ("2026-03-06T20:00:00-05:00", 20260306),  # Friday evening, Saturday, Sunday noon: Friday's
        ("2026-03-08T12:00:00-04:00", 20260306),
        ("2026-03-08T17:59:59-04:00", 20260306),
        ("2026-03-08T18:00:00-04:00", 20260309),  # Sunday's open is Monday's trading day
        ("2025-12-25T12:00:00-05:00", 20251224),  # a holiday
        ("2025-12-25T18:00:00-05:00", 20251226),
    ],
)
def test_trading_day_rolls_at_the_open(moment: str, day: int) -> None:
    """MES-CAL-01, and the same through the windows that the kernel reads."""
    t = ns(moment)
    assert trading_day_at("cme", t) == day
    for schedule in ("standard", "all_hours"):
        packed = np.array([(s, e, p, d) for p, s, e, d in windows(schedule, "cme", t, 2)], WINDOW)
        assert day_at(packed, packed.size, t) == day


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2025-02-28T04:59:59+03:00", 20250227),
        ("2025-02-28T05:00:00+03:00", 20250228),
        ("2025-03-01T04:59:59+03:00", 20250228),
        ("2025-03-01T05:00:00+03:00", 20250303),  # Saturday rolls to Monday
        ("2025-03-02T12:00:00+03:00", 20250303),  # a weekend session belongs to Monday
        ("2025-03-03T12:00:00+03:00", 20250303),  # Sunday and Monday do not roll
        ("2024-11-02T12:00:00+03:00", 20241102),  # a working Saturday, by the overlay
        ("2022-03-10T12:00:00+03:00", 20220324),  # trading suspended, by the overlay
    ],
)
def test_moex_trading_day(moment: str, day: int) -> None:
    """MOEX-RISK-03."""
    assert trading_day_at("moex", ns(moment)) == day


def test_moex_sessions() -> None:
    """MOEX-OPS-01: entries from open + 5 min to close − 5 min of the two traded sessions, then SESSION_END flattens."""
    assert phases_of("moex", "2026-03-04", MOSCOW, "moex") == [
        "AFTER_HOURS 05:00",
        "NORMAL 10:05",
        "AGGRESSIVE_EXIT 18:35",
        "AFTER_HOURS 18:40",
        "NORMAL 19:10",
        "AGGRESSIVE_EXIT 23:45",
    ]
    last = [row for row in windows("moex", "moex", ns("2026-03-04T12:00+03:00"), 1) if row[3] == 20260304][-1]
    assert last[0] == AGGRESSIVE_EXIT and clock(last[2], MOSCOW) == "03-04 23:50"
    weekend = windows("moex", "moex", ns("2025-03-01T10:00+03:00"), 1)
    assert weekend[0][0] == AFTER_HOURS and weekend[0][2] == ns("2025-03-03T10:05+03:00")


def test_moex_business_days() -> None:
    """The library's days, corrected: the exports of SBER show trades on these Saturdays and none in March 2022."""
    assert date(2018, 12, 29) in moex_days(date(2018, 1, 1), date(2018, 12, 31))
    assert len(moex_days(date(2018, 1, 1), date(2018, 12, 31))) == 254
    assert moex_days(date(2022, 2, 21), date(2022, 3, 31))[-7:] == [
        date(2022, 2, 25), *(date(2022, 3, day) for day in (24, 25, 28, 29, 30, 31))
    ]  # fmt: skip
    assert date(2026, 1, 2) not in moex_days(date(2026, 1, 1), date(2026, 1, 31))


@pytest.mark.parametrize("calendar", ["cme", "moex"])
def test_all_hours_leaves_no_gap(calendar: str) -> None:
    start = ns("2025-12-20T12:00:00+00:00")
    rows = windows("all_hours", calendar, start, 20)
    assert all(phase == NORMAL for phase, *_ in rows)
    assert rows[0][1] <= start and rows[-1][2] >= start + 20 * DAY_NS
    assert all(before[2] == after[1] and before[3] < after[3] for before, after in pairwise(rows))


DAYS = st.dates(date(2019, 1, 1), date(2027, 6, 30))


@settings(max_examples=25, deadline=None)
@given(
    day=DAYS,
    minute=st.integers(0, 1439),
    length=st.integers(1, 14),
    schedule=st.sampled_from(["standard", "topstep", "moex"]),
)
def test_windows_are_sorted_apart_and_name_their_day(day: date, minute: int, length: int, schedule: str) -> None:
    calendar, zone_name = ("moex", MOSCOW) if schedule == "moex" else ("cme", NEW_YORK)
    start = local_ns(day, minute, zone_name)
    rows = windows(schedule, calendar, start, length)
    packed = np.array([(s, e, p, d) for p, s, e, d in rows], WINDOW)
    assert (packed["start_ns"] < packed["end_ns"]).all()
    assert (packed["end_ns"][:-1] <= packed["start_ns"][1:]).all()
    assert (np.diff(packed["trading_day"]) >= 0).all()
    assert packed["start_ns"][0] <= start, "the trading day of the first moment is known"
    assert day_at(packed, packed.size, start) == trading_day_at(calendar, start)
    for phase, begin, end, number in rows:
        assert window_at(packed, packed.size, begin) >= 0
        if phase != AFTER_HOURS:
            # the phases with orders lie on the trading day's own date
            assert datetime.fromtimestamp(begin // 10**9, zone(zone_name)).strftime("%Y%m%d") == str(number)
            assert (end - begin) % MINUTE_NS == 0


def test_a_schedule_after_the_cutoff_is_refused_mes_eod_02_mes_acc_x16() -> None:
    """MES-EOD-02: EOD_SCHEDULE_LATE names both times; the simulated venue's cut-off is the session's close."""
    noon = ns("2026-03-04T12:00:00-05:00")
    with pytest.raises(ScheduleLate, match=r"EOD_SCHEDULE_LATE.*16:15 New York.*16:10"):
        windows("standard", "cme", noon, 1, venue="platform")
    assert windows("topstep", "cme", noon, 1, venue="platform") == windows("topstep", "cme", noon, 1)
    early = ns("2026-11-27T09:00:00-05:00")  # the day after Thanksgiving: both times come earlier
    with pytest.raises(ScheduleLate, match=r"EOD_SCHEDULE_LATE.*20261127 is at .* New York.*12:25"):
        windows("standard", "cme", early, 1, venue="platform")
    at_close = Schedule("own", "close", 30, 20, 10, 0)
    with pytest.raises(ScheduleLate, match=r"MUST_BE_FLAT of schedule own on 20260304 is at 17:00.*17:00"):
        windows(at_close, "cme", noon, 1)
    for out_of_order in (Schedule("own", "close", 30, 30, 10, 5), Schedule("own", "cutoff", 30, 15, 2, 5)):
        with pytest.raises(ScheduleLate, match="out of order"):
            windows(out_of_order, "cme", noon, 1)


def test_a_schedule_of_ones_own() -> None:
    """MES-EOD-01: schedules are data."""
    late = Schedule("own", "cutoff", 30, 15, 5, -20)  # 20 min after the platform's cut-off: past no 17:00 close
    assert windows(late, "cme", ns("2025-11-20T12:00:00-05:00"), 1)[-1][0] == MUST_BE_FLAT
    with pytest.raises(ScheduleLate):
        windows(late, "cme", ns("2025-11-20T12:00:00-05:00"), 1, venue="platform")


def test_phases_of_one_session_fill_it_to_the_close() -> None:
    found = session("2026-03-04")
    rows = session_phases(SCHEDULES["topstep"], found)
    assert rows[-1][0] == MUST_BE_FLAT and rows[-1][2] == found.close_ns
    assert all(before[2] == after[1] for before, after in pairwise(rows))
    assert AGGRESSIVE_EXIT in {phase for phase, *_ in rows}


def test_irregular_dates_use_the_earliest_close_when_cautious() -> None:
    """MES-CAL-04: 13:15 by one calendar, 13:00 by the others; dates that the overlay names are not listed."""
    found = irregular_dates(date(2025, 1, 1), date(2025, 12, 31))
    assert clock(found[date(2025, 11, 28)]) == "11-28 13:00"
    assert clock(session("2025-11-28").close_ns) == "11-28 13:15"
    assert clock(session("2025-11-28", cautious=True).close_ns) == "11-28 13:00"
    assert date(2025, 1, 9) not in found and date(2025, 4, 18) in found
    assert date(2025, 3, 10) not in found
    row = windows("standard", "cme", ns("2025-11-28T10:00:00-05:00"), 1, cautious=True)
    assert clock(next(end for phase, _, end, _ in row if phase == MUST_BE_FLAT)) == "11-28 13:00"


def test_the_overlay_is_named_and_well_formed() -> None:
    """MES-CAL-03: every run stores library, version and the overlay's hash."""
    identity = calendar_identity()
    assert identity["library"] == "pandas_market_calendars" and identity["version"] == "5.5.0"
    assert len(identity["overlay"]) == 64
    assert overlay()["cme"]["2025-01-09"]["close"] == "09:30"
    for table in overlay().values():
        for text, entry in table.items():
            assert date.fromisoformat(text).isoformat() == text
            assert set(entry) <= {"close", "closed", "cutoff", "business", "sessions", "traded", "why"} and entry["why"]


@pytest.mark.parametrize(
    ("schedule", "calendar", "days", "words"),
    [
        ("standard", "lse", 1, "calendar 'lse' is unknown; known: cme, moex"),
        ("lunch", "cme", 1, "schedule 'lunch' is unknown"),
        ("topstep", "moex", 1, "schedule topstep does not belong to calendar moex"),
        ("moex", "cme", 1, "schedule moex does not belong to calendar cme"),
        ("standard", "cme", 0, "at least one"),
    ],
)
def test_bad_requests_are_one_sentence(schedule: str, calendar: str, days: int, words: str) -> None:
    with pytest.raises(CalendarError, match=words):
        windows(schedule, calendar, ns("2026-03-04T12:00:00+00:00"), days)


@pytest.mark.parametrize("calendar", ["cme", "moex"])
def test_open_hours_add_up(calendar: str) -> None:
    start = ns("2026-03-06T12:00:00-05:00")
    hours = open_hours(calendar, start, 200_000)
    assert sum(end - begin for begin, end in hours) == 200_000 * 10**9
    assert all(begin >= start and begin < end for begin, end in hours)
    assert all(before[1] < after[0] for before, after in pairwise(hours))


def test_midnight_minutes_may_pass_the_day() -> None:
    """MES-EOD-04: times are minutes since midnight, never arithmetic on the minute field."""
    assert local_ns(date(2026, 3, 4), 9 * 60 + 58 + 5, NEW_YORK) == ns("2026-03-04T10:03:00-05:00")
    assert local_ns(date(2026, 3, 4), 24 * 60, MOSCOW) == ns("2026-03-05T00:00:00+03:00")
    tomorrow = date(2026, 3, 4) + timedelta(days=1)
    assert local_ns(tomorrow, 0, MOSCOW) == local_ns(date(2026, 3, 4), 1440, MOSCOW)
