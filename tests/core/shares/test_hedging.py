"""Hedging of net exposure (MOEX-HEDGE): the published story, both thresholds at their borders, and the reductions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.core.shares import hedging

RUB = 1_000_000
CAPITAL = 500_000 * RUB
RATIO = hedging.ratio_ppm(50_000)
LOT = 27_000 * RUB


def on(was_on: bool, net: int, gross: int) -> bool:
    return hedging.is_on(was_on, net * RUB, gross * RUB, CAPITAL, RATIO, hedging.NET_PPM)


def test_the_published_story_moex_acc_111() -> None:
    """12.6: longs 60 000 and 40 000, short 10 000, C 500 000, hedge lot 27 000; G stays 110 000."""
    held = 0
    assert not on(False, 40_000, 40_000), "a lone position has ratio 1; below 10 % of C nothing is hedged"
    state = on(False, 90_000, 110_000)
    assert state
    story = []
    for net in (90_000, 90_000, 45_000, 35_000):
        state = on(state, net, 110_000)
        action, lots = hedging.hedge_order(hedging.desired_lots(state, net * RUB, LOT, 1_000_000), held, 0)
        held += lots
        story.append((hedging.ACTIONS[action], lots))
    assert story == [("HEDGE", -3), ("NOTHING", 0), ("UNHEDGE", 2), ("UNHEDGE", 1)]
    assert held == 0 and not state
    assert hedging.reason_text(hedging.FOR_IMBALANCE, 90_000 * RUB, 110_000 * RUB) == "exposure_imbalance_0.818_long"
    assert hedging.reason_text(hedging.FOR_IMBALANCE, -110_000 * RUB, 110_000 * RUB) == "exposure_imbalance_1.000_short"
    assert hedging.reason_text(hedging.FOR_IMBALANCE, 0, 0) == "exposure_imbalance_0.000_flat"
    assert hedging.reason_text(hedging.FOR_IMBALANCE, 0, 110_000 * RUB) == "exposure_imbalance_0.000_flat"
    assert hedging.reason_text(hedging.FOR_CAP, 60_000 * RUB, 57_000 * RUB) == "notional_over_cap"


def test_the_ratio_threshold_is_clamped_moex_hedge_01() -> None:
    assert [hedging.ratio_ppm(cap) for cap in (1, 25_000, 50_000, 125_000, 900_000)] == [
        50_000, 50_000, 100_000, 250_000, 250_000,
    ]  # fmt: skip


def test_on_is_strict_and_off_is_at_eighty_percent_moex_hedge_01() -> None:
    # 10 % of C is 50 000; at G 600 000 the ratio's threshold is 60 000
    assert not on(False, 50_000, 50_000) and on(False, 50_001, 50_001)
    assert not on(False, 60_000, 600_000) and on(False, 60_001, 600_000)
    assert not on(True, 48_000, 600_000) and on(True, 48_001, 600_000), "80 % of the ratio's threshold"
    assert not on(True, 40_000, 100_000) and on(True, 40_001, 100_000), "80 % of the net's"
    assert not on(False, 40_001, 100_000), "between the two it stays as it was"
    assert not hedging.is_on(True, 0, 0, CAPITAL, RATIO, hedging.NET_PPM), "G = 0 is off"
    assert on(False, -50_001, 50_001), "shorts alike"


@given(st.integers(-(10**13), 10**13), st.integers(1, 10**13), st.integers(1, 10**12), st.booleans())
def test_the_thresholds_are_exact_moex_hedge_01(net: int, extra: int, capital: int, was_on: bool) -> None:
    gross = abs(net) + extra
    ratio, size = Fraction(abs(net), gross), Fraction(abs(net))
    above = ratio > Fraction(1, 10) and size > Fraction(capital, 10)
    below = ratio <= Fraction(8, 100) or size <= Fraction(8 * capital, 100)
    expected = above or (was_on and not below)
    assert hedging.is_on(was_on, net, gross, capital, RATIO, hedging.NET_PPM) == expected


@given(st.integers(-(10**13), 10**13), st.integers(1, 10**12), st.integers(0, 2_000_000))
def test_the_target_never_flips_the_sign_of_n_moex_hedge_02(net: int, lot: int, beta: int) -> None:
    lots = hedging.desired_lots(True, net, lot, beta)
    assert lots * net <= 0
    assert abs(lots) == (Fraction(abs(net) * beta, 1_000_000) / lot).__floor__()
    assert hedging.desired_lots(False, net, lot, beta) == 0


@pytest.mark.parametrize(
    ("desired", "held", "working", "action", "lots"),
    [
        (-3, 0, 0, "HEDGE", -3), (-3, -3, 0, "NOTHING", 0), (-3, 0, -3, "NOTHING", 0), (-1, -3, 0, "UNHEDGE", 2),
        (0, -1, 0, "UNHEDGE", 1), (-5, -3, 0, "HEDGE", -2), (2, -3, 0, "UNHEDGE", 3), (2, 0, 0, "HEDGE", 2),
        (-2, 4, 0, "UNHEDGE", -4), (0, 0, 0, "NOTHING", 0),
    ],
)  # fmt: skip
def test_the_order_is_the_difference_moex_hedge_02(
    desired: int, held: int, working: int, action: str, lots: int
) -> None:
    sent, size = hedging.hedge_order(desired, held, working)
    assert (hedging.ACTIONS[sent], size) == (action, lots)


def test_a_hedge_must_be_tight_and_cheap_moex_hedge_03() -> None:
    # mid 10 000 ticks: 500 ppm are 5 ticks of spread, 8 bps are 8 ticks of round trip
    assert hedging.is_cheap(99_975, 100_025, 1_000, 0, 500, 800)
    assert not hedging.is_cheap(99_974, 100_025, 1_000, 0, 500, 800)
    assert hedging.is_cheap(99_975, 100_025, 1_000, 15_000, 500, 800), "5 bps and 3 bps are 8"
    assert not hedging.is_cheap(99_975, 100_025, 1_000, 15_001, 500, 800)
    assert not hedging.is_cheap(100_025, 100_025, 1_000, 0, 500, 800), "no valid book"
    assert not hedging.is_cheap(0, 5, 1_000, 0, 500, 800)


def test_over_the_cap_means_above_105_percent_moex_hedge_04() -> None:
    # cap 25 000 RUB, 105 % is 26 250; a lot of 50 RUB
    assert hedging.lots_over_cap(525, 50 * RUB, CAPITAL, 50_000) == 0
    assert hedging.lots_over_cap(526, 50 * RUB, CAPITAL, 50_000) == 26
    assert hedging.lots_over_cap(-526, 50 * RUB, CAPITAL, 50_000) == 26
    assert hedging.lots_over_cap(1, 26_251 * RUB, CAPITAL, 50_000) == 1, "a lot larger than the cap goes whole"


def test_reductions_go_from_the_largest_until_the_trigger_is_false_moex_hedge_03() -> None:
    lots = np.array([600, 400, -100, 0], np.int64)
    each = np.full(4, 100 * RUB, np.int64)
    out = np.zeros(4, np.int64)
    # N 90 000, G 110 000: 40 000 above 10 % of C → 400 lots of the largest, then N is 50 000: not above
    assert hedging.plan_reductions(lots, each, CAPITAL, RATIO, hedging.NET_PPM, out) == 1
    assert out.tolist() == [400, 0, 0, 0]
    assert lots.tolist() == [600, 400, -100, 0], "the plan changes nothing by itself"


def test_a_reduction_goes_on_to_the_next_position_moex_hedge_03() -> None:
    lots = np.array([300, 900, 250], np.int64)
    each = np.array([101 * RUB, 100 * RUB, 100 * RUB], np.int64)
    out = np.zeros(3, np.int64)
    reduced = hedging.plan_reductions(lots, each, 100_000 * RUB, RATIO, hedging.NET_PPM, out)
    net, gross = hedging.exposure(lots - out, each)
    assert not hedging.is_above(net, gross, 100_000 * RUB, RATIO, hedging.NET_PPM)
    assert reduced == 3 and out.tolist() == [300, 900, 150]


@given(st.lists(st.tuples(st.integers(-100, 100), st.integers(1, 10_000)), min_size=1, max_size=12))
def test_reductions_always_end_the_trigger_moex_acc_111(book: list[tuple[int, int]]) -> None:
    lots = np.array([held for held, _ in book], np.int64)
    each = np.array([value * RUB for _, value in book], np.int64)
    out = np.zeros(len(book), np.int64)
    hedging.plan_reductions(lots, each, CAPITAL, RATIO, hedging.NET_PPM, out)
    assert (out >= 0).all() and (out <= abs(lots)).all()
    before, _ = hedging.exposure(lots, each)
    net, gross = hedging.exposure(lots - np.sign(lots) * out, each)
    assert not hedging.is_above(net, gross, CAPITAL, RATIO, hedging.NET_PPM)
    assert not out[lots * np.sign(before) < 0].any(), "only the side of N is reduced"
