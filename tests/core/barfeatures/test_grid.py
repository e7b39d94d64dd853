"""Grid, segments, labels and refusals, case by case; the calendar's integers (MES-DATA-20, -21, MES-LABEL, MES-CAL)."""

from datetime import date

import numpy as np
import pytest

from marketdata import calendars
from marketdata.calendars import CalendarError, bar_days
from marketdata.core.barfeatures.engine import BarRefused
from marketdata.core.barfeatures.labels import DOWN, FLAT, NO_LABEL, UP
from marketdata.core.barfeatures.records import TICK_MAX, VOLUME_MAX, Bars
from tests.core.barfeatures.kit import Rows, engine, whole
from tests.core.barfeatures.oracle import local_second
from tests.core.barfeatures.tapes import hours_of

MONDAY = hours_of("2024-11-04")  # the first session after the clocks changed
NOON = local_second(MONDAY.day, 12, 0)


def made(*prints: tuple[int, ...], start: int = NOON) -> Rows:
    """Rows of prints (second after `start`, close, contract = 0, outage = 0), each one tick wide and one contract."""
    filled = [(*bar, 0, 0)[:4] for bar in prints]
    second, close, contract, outage = np.array(filled, np.int64).T
    return whole(Bars(start + second, close, close, close, close, np.ones_like(close), contract.copy(), outage.copy()))


def test_silent_seconds_repeat_the_last_close():
    rows = made((0, 100), (3, 105))
    assert (rows.second - NOON).tolist() == [0, 1, 2, 3]
    assert rows.carried.tolist() == [False, True, True, False]
    assert rows.begins.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("silence", "rows_made", "segments"), [(299, 300, 1), (300, 301, 1), (301, 302, 2), (5_000, 302, 2)]
)
def test_carrying_ends_after_300_seconds(silence, rows_made, segments):
    """A print exactly 300 s later is of the same segment; one second more and it begins another."""
    rows = made((0, 100), (silence, 100))
    assert (len(rows.second), int(rows.begins.sum())) == (rows_made, segments)
    assert rows.second[-1] == NOON + silence


def test_the_grid_ends_with_the_session_and_begins_with_the_next():
    """MES-CAL-01: nothing is carried over 17:00; the first print after the halt begins a segment."""
    close = MONDAY.close_s - NOON
    rows = made((close - 3, 100), (close + 3600 + 7, 101))
    assert (rows.second - NOON - close).tolist() == [-3, -2, -1, 3607]
    assert rows.begins.tolist() == [True, False, False, True]


def test_the_grid_ends_with_the_last_print_of_the_data():
    assert len(made((0, 100)).second) == 1


@pytest.mark.parametrize("last", [(2, 100, 7), (2, 100, 0, 1)], ids=["another contract", "after an outage"])
def test_another_contract_and_an_outage_begin_a_segment(last):
    rows = made((0, 100), last)
    assert rows.begins.tolist() == [True, False, True]
    assert rows.carried.tolist() == [False, True, False]


def test_live_carries_as_the_clock_passes():
    """The rows of silent seconds come when the clock says so, not with the next print."""
    one = engine()
    one.bar(NOON, 100, 100, 100, 100, 1, 0)
    assert list(one.carried(NOON + 1)) == []
    assert [second - NOON for second, _ in one.carried(NOON + 3)] == [1, 2]
    assert [second - NOON for second, _ in one.carried(NOON + 3)] == []
    assert len(list(one.carried(NOON + 10_000))) == 298


def test_labels_by_the_clock():
    """MES-LABEL-01: strictly more than 3 ticks, 30 s later; carried closes count."""
    rows = made((0, 100), (1, 100), (2, 100), (3, 100), (30, 104), (31, 103), (32, 97), (33, 96))
    assert rows.label[:4].tolist() == [UP, FLAT, FLAT, DOWN]
    assert (rows.label[4:] == NO_LABEL).all() and len(rows.label) == len(rows.second) == 34


def test_no_label_reaches_over_a_border():
    """MES-LABEL-02: session end, gap, roll, outage, end of data."""
    close = MONDAY.close_s - NOON
    borders = {
        "session": made(*((close - 40 + k, 100) for k in range(40)), *((close + 3600 + k, 900) for k in range(40))),
        "roll": made(*((k, 100) for k in range(40)), *((k, 900, 7) for k in range(40, 80))),
        "outage": made(*((k, 100) for k in range(40)), (40, 900, 0, 1), *((k, 900) for k in range(41, 80))),
    }
    for name, rows in borders.items():
        assert rows.label.tolist() == 2 * (10 * [FLAT] + 30 * [NO_LABEL]), name
    gap = made((0, 100), (400, 900))  # 300 carried seconds, of which 30 have no second 30 s later
    assert gap.label.tolist() == [FLAT] * 271 + [NO_LABEL] * 31


BAD = {
    "late": ((NOON - 1, 100, 100, 100, 100, 1), "not later than the bar before"),
    "twice": ((NOON, 100, 100, 100, 100, 1), "not later than the bar before"),
    "in the halt": ((MONDAY.close_s, 100, 100, 100, 100, 1), "outside every session"),
    "on a Saturday": ((NOON + 5 * 86_400, 100, 100, 100, 100, 1), "outside every session"),
    "open above high": ((NOON + 1, 103, 102, 99, 100, 1), "not low <= open"),
    "close below low": ((NOON + 1, 100, 102, 99, 98, 1), "not low <= open"),
    "price 0": ((NOON + 1, 0, 0, 0, 0, 1), "out of bounds"),
    "price too high": ((NOON + 1, 1, TICK_MAX + 1, 1, 1, 1), "out of bounds"),
    "negative volume": ((NOON + 1, 100, 100, 100, 100, -1), "out of bounds"),
    "volume too high": ((NOON + 1, 100, 100, 100, 100, VOLUME_MAX + 1), "out of bounds"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_bar_is_refused_by_name_and_changes_nothing(name):
    bar, why = BAD[name]
    one = engine()
    one.bar(NOON, 100, 100, 100, 100, 1, 0)
    list(one.carried(bar[0]))
    before = one.states.copy()
    with pytest.raises(BarRefused, match=f"second {bar[0]} is .*{why}"):
        one.bar(*bar, 0)
    assert one.states.tobytes() == before.tobytes()


def test_a_bar_before_its_carried_seconds_is_refused():
    one = engine()
    one.bar(NOON, 100, 100, 100, 100, 1, 0)
    with pytest.raises(BarRefused, match="still to be carried"):
        one.bar(NOON + 2, 100, 100, 100, 100, 1, 0)


def test_the_rows_before_a_bad_bar_stand():
    """In a batch the good rows come first, then the refusal."""
    second = NOON + np.array([0, 1, 5, 4], np.int64)
    tick, zero = np.full(4, 100, np.int64), np.zeros(4, np.int64)
    blocks = engine().blocks(Bars(second, tick, tick, tick, tick, zero, zero, zero))
    assert len(next(blocks).second) == 6
    with pytest.raises(BarRefused, match=f"second {NOON + 4} is not later"):
        next(blocks)


def test_the_days_as_integers():
    """MES-CAL-01, -02, -05: hand-written times; an early close moves rth_close, a close before 09:30 ends all."""
    known = {int(day["trading_day"]): day for day in bar_days(date(2024, 3, 8), date(2025, 1, 9))}
    table = {
        20240308: ("2024-03-08", (17, 0), (16, 0), -5, 4),
        20240311: ("2024-03-11", (17, 0), (16, 0), -4, 0),  # summer time
        20240703: ("2024-07-03", (13, 15), (13, 15), -4, 2),
        20250109: ("2025-01-09", (9, 30), (9, 30), -5, 3),
    }
    for number, (text, closes, rth_closes, hours, weekday) in table.items():
        day, found = date.fromisoformat(text), known[number]
        assert int(found["open_s"]) == hours_of(text).open_s
        assert int(found["close_s"]) == local_second(day, *closes)
        assert int(found["rth_open_s"]) == local_second(day, 9, 30)
        assert int(found["rth_close_s"]) == local_second(day, *rth_closes)
        assert (int(found["wall_s"]), int(found["weekday"])) == (hours * 3600, weekday)
    assert (np.diff([int(day["open_s"]) for day in known.values()]) > 0).all()


def test_a_change_of_the_clocks_inside_a_session_is_refused(monkeypatch):
    """It never happens at this exchange; a calendar that says so is wrong."""
    wrong = calendars.Session(20240310, local_second(date(2024, 3, 9), 18, 0) * 10**9, 1710104400 * 10**9, 0, 0, 0)
    monkeypatch.setattr(calendars, "cme_sessions", lambda first, last: [wrong])
    with pytest.raises(CalendarError, match="inside the session of 2024-03-10"):
        bar_days(date(2024, 3, 10), date(2024, 3, 10))
