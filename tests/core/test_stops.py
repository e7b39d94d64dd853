"""Stops, targets and the grid behind them, against plain arithmetic (MES-STOP-01 … 06, MES-BREAK-02)."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.sessions import NORMAL, REDUCED
from risk.core import breakers, stops
from risk.core.breakers import GRID
from risk.core.records import LIMITS, STOP_ATR, STOP_FIXED, STOP_STRUCTURE, UNKNOWN
from tests.kernel.desk import LIMITS as DEMO

S = 1_000_000_000


def limits(**changes: int) -> np.record:
    record = np.zeros(1, LIMITS)
    for name, value in (DEMO | {"target_ticks": 0, "target_ratio_ppm": 2_000_000} | changes).items():
        record[name] = value
    return record[0]


@pytest.mark.parametrize(
    ("changes", "phase", "atr_sum", "swing", "ticks"),
    [
        ({}, NORMAL, 140, UNKNOWN, 8),  # fixed
        ({"stop_method": STOP_ATR}, NORMAL, 14 * 5, UNKNOWN, 7),  # floor(1.5 x 5)
        ({"stop_method": STOP_ATR}, NORMAL, 14 * 10 - 1, UNKNOWN, 14),  # floor(14.89)
        ({"stop_method": STOP_ATR}, NORMAL, UNKNOWN, UNKNOWN, 8),  # undefined: 8
        ({"stop_method": STOP_ATR}, NORMAL, 14, UNKNOWN, 4),  # clamped below
        ({"stop_method": STOP_ATR}, NORMAL, 14 * 100, UNKNOWN, 16),  # and above
        ({"stop_method": STOP_STRUCTURE}, NORMAL, 140, 11, 11),
        ({"stop_method": STOP_STRUCTURE}, NORMAL, 140, UNKNOWN, 8),
        ({"stop_method": STOP_STRUCTURE}, NORMAL, 140, 40, 16),
        ({}, REDUCED, 140, UNKNOWN, 6),  # floor(0.75 x 8)
        ({"stop_ticks": 4}, REDUCED, 140, UNKNOWN, 4),
        ({"stop_ticks": 16}, REDUCED, 140, UNKNOWN, 12),
        ({"stop_method": STOP_ATR}, REDUCED, 14 * 100, UNKNOWN, 12),  # clamped first, then tightened
    ],
)
def test_the_stops_distance_mes_stop_01_mes_stop_02(changes, phase, atr_sum, swing, ticks) -> None:
    assert stops.stop_ticks(limits(**changes), phase, atr_sum, swing) == ticks


@pytest.mark.parametrize(
    ("changes", "stop", "target"),
    [
        ({}, 8, 16),
        ({}, 6, 12),
        ({"target_ratio_ppm": 1_500_000}, 7, 10),
        ({"target_ratio_ppm": 100_000}, 8, 4),
        ({"target_ticks": 5}, 8, 5),
        ({"target_ratio_ppm": 0}, 8, 0),
    ],
)
def test_the_targets_distance_mes_stop_03(changes, stop, target) -> None:
    assert stops.target_ticks(limits(**changes), stop) == target


def test_swings_need_two_bars_on_each_side_mes_stop_01() -> None:
    lows = np.full(20, 100, np.int64)
    highs = np.full(20, 200, np.int64)
    assert stops.swing_ticks(highs, lows, 20, 1, 110) == UNKNOWN, "equal lows are no swing"
    lows[10], lows[9], lows[11] = 90, 95, 95
    lows[5], lows[4], lows[6] = 93, 97, 97
    assert stops.swing_ticks(highs, lows, 20, 1, 110) == 110 - 90 + 2, "the lowest of two"
    assert stops.swing_ticks(highs, lows, 20, 1, 90) == UNKNOWN, "at the close"
    lows[1] = 50
    assert stops.swing_ticks(highs, lows, 20, 1, 110) == 22, "too near the edge to be one"
    highs[8], highs[7], highs[9] = 230, 210, 215
    assert stops.swing_ticks(highs, lows, 20, -1, 205) == 230 - 205 + 2
    assert stops.swing_ticks(highs, lows, 4, 1, 110) == UNKNOWN


@pytest.mark.parametrize(
    ("side", "entry", "stop", "close", "expected"),
    [
        (1, 100, 92, 103, 92),  # 3 ticks of profit: nothing
        (1, 100, 92, 104, 100),  # max(stop, entry, close - 4)
        (1, 100, 100, 109, 105),
        (1, 100, 105, 106, 105),  # never looser
        (-1, 100, 108, 97, 108),
        (-1, 100, 108, 96, 100),
        (-1, 100, 100, 91, 95),
        (-1, 100, 95, 94, 95),
    ],
)
def test_a_trailing_stop_only_tightens_mes_stop_05(side, entry, stop, close, expected) -> None:
    assert stops.trailed(limits(trail_ticks=4), side, entry, stop, close) == expected
    assert stops.trailed(limits(trail_ticks=0), side, entry, stop, close) == stop


# --- the grid ---------------------------------------------------------------------------------------------------------
def grid() -> np.record:
    g = np.zeros(1, GRID)
    g["end_ns"], g["print_ns"], g["close_tick"] = NO_TIME, NO_TIME, NO_TICK
    return g[0]


Bar = tuple[int, int, int, int, int]  # second, high, low, close, volume
bars_of = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 6), st.integers(0, 6), st.integers(-3, 3), st.integers(0, 90)),
    min_size=1,
    max_size=220,
)


class Slow:
    """The same by the book: lists of every row of the segment, nothing incremental."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.printed = -(10**9)
        self.volatile = self.quiet = False
        self.samples: list[tuple[int | None, int]] = []

    def take(self, bar: Bar) -> None:
        second = bar[0]
        if self.rows and second - self.printed > 300:
            self.__init__()  # type: ignore[misc]
        while self.rows and self.rows[-1][0] + 1 < second:
            last = self.rows[-1]
            self._row((last[0] + 1, last[3], last[3], last[3], 0))
        self._row(bar)
        self.printed = second

    def _row(self, bar: Bar) -> None:
        if self.rows and bar[0] // 60 != self.rows[-1][0] // 60:
            self._evaluate(self.rows[-1][0] // 60)
        self.rows.append(bar)

    def _evaluate(self, minute: int) -> None:
        self.volatile = self.quiet = False
        if self.rows[0][0] > minute * 60:
            return
        atr, volume = self.atr(), sum(r[4] for r in self.rows if r[0] // 60 == minute)
        atrs = [a for a, _ in self.samples if a is not None][-20:]
        volumes = [v for _, v in self.samples][-20:]
        if atr is not None and len(atrs) >= 5:
            self.volatile = atr > 3 * Fraction(sum(atrs), len(atrs)) and atr >= 14
        if len(volumes) >= 5:
            self.quiet = volume < Fraction(sum(volumes), len(volumes)) / 10
        self.samples.append((atr, volume))

    def atr(self) -> int | None:
        if len(self.rows) < 14:
            return None
        total = 0
        for i in range(len(self.rows) - 14, len(self.rows)):
            _, high, low, _, _ = self.rows[i]
            spans = [high - low]
            if i > 0:
                spans += [abs(high - self.rows[i - 1][3]), abs(low - self.rows[i - 1][3])]
            total += max(spans)
        return total


def compare(bars: list[Bar]) -> tuple[int, int]:
    g, slow, shocks, lulls = grid(), Slow(), 0, 0
    for second, high, low, close, volume in bars:
        slow.take((second, high, low, close, volume))
        breakers.take_bar(g, second * S, (second + 1) * S, high, low, close, volume, False)
        assert breakers.atr_sum(g) == (UNKNOWN if slow.atr() is None else slow.atr())
        assert (bool(g.volatile), bool(g.quiet)) == (slow.volatile, slow.quiet)
        shocks, lulls = shocks + slow.volatile, lulls + slow.quiet
    return shocks, lulls


@settings(max_examples=60, deadline=None)
@given(bars_of)
def test_atr_and_shocks_equal_the_slow_reading_mes_break_02(steps) -> None:
    second, price, bars = 0, 1000, []
    for gap, up, down, move, volume in steps:
        second += gap
        price += move
        bars.append((second, price + up, price - down, price, volume))
    assert compare(bars) >= (0, 0), "and no row on the way differed"


def test_a_shock_trips_within_a_minute_and_reverts_mes_break_02_mes_acc_10c_5() -> None:
    """Eight calm minutes, one wild one, then calm again; the volume drops out in minute 11."""
    bars: list[Bar] = []
    for second in range(60 * 14):
        wild = 60 * 8 <= second < 60 * 9
        volume = 0 if 60 * 11 <= second < 60 * 12 else 50
        bars.append((second, 1020 if wild else 1001, 980 if wild else 999, 1000, volume))
    g, seen = grid(), []
    for second, high, low, close, volume in bars:
        breakers.take_bar(g, second * S, (second + 1) * S, high, low, close, volume, False)
        seen.append((int(g.volatile), int(g.quiet)))
    assert seen[60 * 9 - 1] == (0, 0) and seen[60 * 9] == (1, 0), "the first row after the minute's end"
    assert seen[60 * 10] == (0, 0), "the next boundary where it is false clears it"
    assert seen[60 * 12] == (0, 1) and seen[60 * 13] == (0, 0)
    assert compare(bars) == (60, 60)


def test_a_long_silence_starts_a_new_segment_mes_data_21() -> None:
    g = grid()
    for second in range(700):
        breakers.take_bar(g, second * S, (second + 1) * S, 1001, 999, 1000, 5, False)
    assert breakers.atr_sum(g) == 28
    breakers.take_bar(g, 999 * S, 1000 * S, 1001, 999, 1000, 5, False)
    assert breakers.atr_sum(g) == 2, "a print 300 s after the last one: the seconds between are carried"
    breakers.take_bar(g, 1300 * S, 1301 * S, 1001, 999, 1000, 5, False)
    assert breakers.atr_sum(g) == UNKNOWN


def test_fixed_is_the_default_method_mes_stop_01() -> None:
    assert STOP_FIXED == 0
