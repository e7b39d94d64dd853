"""Stops of MOEX shares (MOEX-STOP): the published vectors, totality of the formula, and that a stop never loosens."""

import math
import random
from decimal import Decimal

import pytest

from marketdata.core.records import BUY, NO_TICK, NO_TIME, SELL
from risk.core.shares import moex_stops as stops

S = 1_000_000_000
# entry | ATR5 | spread | side | exact stop | tick | stop in ticks | its price
TABLE_12_1 = """
100    0.02   0       long  99.4640   0.01     9947  99.47
200    0.03   0.02    short 201.0540  0.01     20105 201.05
250.5  0.8    0.05    long  247.8075  0.01     24781 247.81
250.5  0.8    0.05    short 253.1925  0.01     25319 253.19
0.0245 0.0001 0.00001 long  0.0241975 0.000005 4840  0.0242
7000   45     1       long  6884.0000 0.5      13768 6884.0
100    1      3       long  96.7000   0.01     9670  96.70
100    0      nan     long  99.5000   0.01     9950  99.50
100    0.02   -1      short 100.5360  0.01     10053 100.53
"""
FLOOR = 0.01


@pytest.mark.parametrize("row", TABLE_12_1.strip().splitlines())
def test_published_stops_moex_acc_101(row: str) -> None:
    entry, atr, spread, word, exact, tick, ticks, price = row.split()
    side = BUY if word == "long" else SELL
    stop = stops.stop_price(side, float(entry), float(atr), float(spread), FLOOR, float(tick))
    assert abs(stop - float(exact)) <= 1e-9 * float(exact)
    anchor = round(float(entry) / float(tick))
    assert stops.stop_tick(side, stop, float(tick), anchor) == int(ticks)
    assert int(ticks) * Decimal(tick) == Decimal(price)
    assert stops.initial_stop_tick(side, anchor, float(atr), float(spread), FLOOR, float(tick)) == int(ticks)


def test_random_stops_stand_on_the_right_side_moex_stop_02() -> None:
    rng = random.Random(12)
    for _ in range(5_000):
        entry, tick = rng.randint(2, 200_000), rng.choice((0.000005, 0.005, 0.01, 0.02, 0.5))
        atr, spread = rng.uniform(0, 0.2) * entry * tick, rng.uniform(0, 0.2) * entry * tick
        low = stops.initial_stop_tick(BUY, entry, atr, spread, FLOOR, tick)
        high = stops.initial_stop_tick(SELL, entry, atr, spread, FLOOR, tick)
        assert 1 <= low < entry < high


@pytest.mark.parametrize("spread", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("floor", [0.01, 0.02])
def test_an_unusable_spread_gives_the_floors_result_moex_acc_102(spread: float, floor: float) -> None:
    for atr in (0.0, -2.0, math.nan):
        assert stops.stop_price(BUY, 100.0, atr, spread, floor, 0.01) == 100.0 * (1.0 - 0.5 * floor)
    assert (
        stops.trailed_stop_tick(
            BUY, 9_900, 10_000, NO_TICK, stops.ANCHOR_ENTRY, 0.0, spread, 0.01, 0.01, 10_050, 10_051
        )
        == 9_950
    )


@pytest.mark.parametrize("atr", [math.nan, -0.01, math.inf])
def test_a_missing_range_leaves_a_trailing_stop_unchanged_moex_acc_102(atr: float) -> None:
    for anchor in (stops.ANCHOR_ENTRY, stops.ANCHOR_BEST):
        assert (
            stops.trailed_stop_tick(BUY, 9_900, 10_000, 20_200, anchor, atr, 0.05, FLOOR, 0.01, 10_050, 10_051) == 9_900
        )


@pytest.mark.parametrize("entry", [0.0, -1.0, math.nan, math.inf])
def test_an_entry_price_that_is_none_has_no_stop_moex_stop_01(entry: float) -> None:
    stop = stops.stop_price(BUY, entry, 0.05, 0.05, FLOOR, 0.01)
    assert math.isnan(stop) and stops.stop_tick(BUY, stop, 0.01, 10_000) == NO_TICK


def test_an_entry_below_two_ticks_has_no_stop_moex_risk_08() -> None:
    assert stops.initial_stop_tick(BUY, 1, 0.0, 0.0, FLOOR, 0.01) == NO_TICK
    assert stops.initial_stop_tick(BUY, 2, 0.0, 0.0, FLOOR, 0.01) == 1


def test_the_long_stop_stays_above_nothing_moex_stop_01() -> None:
    """A range larger than the price: the long stop is at least min(0.01, tick), never negative."""
    assert stops.stop_price(BUY, 1.0, 5.0, 0.0, FLOOR, 0.005) == 0.005
    assert stops.stop_price(BUY, 1.0, 5.0, 0.0, FLOOR, 0.5) == 0.01


def test_the_published_trailing_story_moex_stop_03() -> None:
    """12.1: long at 100, tick 0.01, ATR5 and spread 0.05: initial 99.41; BEST 100.50 → 99.91, then one close."""
    stop = stops.initial_stop_tick(BUY, 10_000, 0.05, 0.05, FLOOR, 0.01)
    assert stop == 9_941
    best = stops.best_tick(BUY, NO_TICK, 9_999, 10_001)
    for bid, ask, expected in ((10_049, 10_051, 9_991), (10_019, 10_021, 9_991)):
        assert not stops.is_triggered(BUY, stop, bid + ask)
        best = stops.best_tick(BUY, best, bid, ask)
        stop = stops.trailed_stop_tick(BUY, stop, 10_000, best, stops.ANCHOR_BEST, 0.05, 0.05, FLOOR, 0.01, bid, ask)
        assert stop == expected
    assert stops.is_triggered(BUY, stop, 9_990 + 9_992)
    assert (
        stops.trailed_stop_tick(BUY, 9_941, 10_000, best, stops.ANCHOR_ENTRY, 0.02, 0.05, FLOOR, 0.01, 10_019, 10_021)
        == 9_947
    )
    assert (
        stops.trailed_stop_tick(BUY, 9_947, 10_000, best, stops.ANCHOR_ENTRY, 0.10, 0.05, FLOOR, 0.01, 10_019, 10_021)
        == 9_947
    )


@pytest.mark.parametrize("anchor", [stops.ANCHOR_ENTRY, stops.ANCHOR_BEST])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_stop_never_loosens_on_any_path_moex_acc_103(side: int, anchor: int) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        entry, mid, best = 10_000, 10_000, NO_TICK
        stop = stops.initial_stop_tick(side, entry, 0.05, 0.02, FLOOR, 0.01)
        for _ in range(300):
            mid += rng.randint(-9, 9)
            bid, ask = mid - rng.randint(1, 3), mid + rng.randint(0, 3)
            if stops.is_triggered(side, stop, bid + ask):
                break  # the close works from here on; the stop is tested before it is tightened
            best = stops.best_tick(side, best, bid, ask)
            atr = rng.choice((0.0, 0.03, 0.3, math.nan))
            new = stops.trailed_stop_tick(side, stop, entry, best, anchor, atr, 0.02, FLOOR, 0.01, bid, ask)
            assert side * (new - stop) >= 0, f"seed {seed}"
            assert new == stop or (new < bid if side == BUY else new > ask), f"seed {seed}: tightened into the market"
            stop = new


def test_no_close_right_after_a_fill_at_unchanged_price_moex_acc_104() -> None:
    for entry in range(2, 2_000, 7):
        for side in (BUY, SELL):
            stop = stops.initial_stop_tick(side, entry, 0.0, 0.0, FLOOR, 0.01)
            assert not stops.is_triggered(side, stop, 2 * entry)


def test_mirrored_triggers_moex_stop_04() -> None:
    assert stops.is_triggered(BUY, 9_991, 19_982) and not stops.is_triggered(BUY, 9_991, 19_983)
    assert stops.is_triggered(SELL, 9_991, 19_982) and not stops.is_triggered(SELL, 9_991, 19_981)


# now is 100 s | book age | trade age | last entry fill, seconds ago | price in half ticks
TABLE_TRIGGER = """
1.0 0.5 50 book
1.1 0.5 50 trade
1.1 5.0 50 none
9.0 5.0 50 trade
9.0 5.1 50 none
3.0 3.0 50 none
3.0 4.0 50 none
9.0 4.0 4.0 none
9.0 4.0 3.0 none
9.0 4.0 4.1 trade
"""


@pytest.mark.parametrize("row", TABLE_TRIGGER.strip().splitlines())
def test_what_a_stop_is_tested_against_moex_stop_04(row: str) -> None:
    book, trade, fill, expected = row.split()
    ns = [100 * S - int(Decimal(age) * S) for age in (book, trade, fill)]
    twice = stops.trigger_twice_tick(100 * S, ns[0], 9_999, 10_000, ns[1], 9_990, ns[2])
    assert twice == {"book": 19_999, "trade": 19_980, "none": NO_TICK}[expected]


def test_without_book_and_trade_nothing_triggers_moex_stop_04() -> None:
    assert stops.trigger_twice_tick(S, NO_TIME, NO_TICK, NO_TICK, NO_TIME, NO_TICK, NO_TIME) == NO_TICK


def test_the_first_true_exit_wins_moex_stop_05() -> None:
    def reason(flatten=False, stop=False, held_s=0, profit=False, reversal=False) -> str:
        return stops.EXITS[stops.exit_reason(flatten, stop, held_s * S, 0, 300 * S, profit, reversal)]

    assert reason() == reason(held_s=300) == "NO_EXIT"
    assert reason(reversal=True) == "REVERSAL"
    assert reason(profit=True, reversal=True) == "TAKE_PROFIT"
    assert reason(held_s=301, profit=True, reversal=True) == "TIME_LIMIT"
    assert reason(stop=True, held_s=301, profit=True, reversal=True) == "STOP_LOSS"
    assert reason(flatten=True, stop=True, held_s=301, profit=True, reversal=True) == "FLATTEN"


def test_profit_is_measured_from_the_average_fill_moex_stop_05() -> None:
    # 3 lots at 10 000 and 2 at 10 001, average 10 000.4: 0.1 % is 10.0004 ticks, reached at a mid of 10 010.5
    cost = 3 * 10_000 + 2 * 10_001
    assert not stops.takes_profit(BUY, cost, 5, 20_020, 1_000) and stops.takes_profit(BUY, cost, 5, 20_021, 1_000)
    assert not stops.takes_profit(SELL, cost, 5, 19_981, 1_000) and stops.takes_profit(SELL, cost, 5, 19_980, 1_000)
    assert not stops.takes_profit(BUY, cost, 5, 99_999, 0), "0 is off"
    assert stops.takes_profit(BUY, 10_000, 1, 20_020, 1_000) and not stops.takes_profit(BUY, 10_000, 1, 20_019, 1_000)


def test_a_reversal_needs_the_other_side_and_confidence_moex_stop_05() -> None:
    assert stops.reverses(BUY, SELL, 550_000, 550_000) and not stops.reverses(BUY, SELL, 549_999, 550_000)
    assert not stops.reverses(BUY, BUY, 900_000, 550_000) and not stops.reverses(BUY, 0, 900_000, 550_000)


def test_the_brokers_net_is_half_as_far_again_moex_stop_06() -> None:
    assert stops.net_tick(BUY, 10_000, 9_941, 500_000) == 9_911  # 59 ticks and 29.5, outward
    assert stops.net_tick(SELL, 10_000, 10_060, 500_000) == 10_090
    assert stops.net_tick(BUY, 10, 1, 900_000) == 1
