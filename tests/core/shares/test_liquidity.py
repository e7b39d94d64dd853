"""Liquidity forecast of shares (MOEX-LIQ-01): the formula at and between its ends, and what is not known."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from risk.core.shares.liquidity import NO_FORECAST, forecast_ppm, mean_ppm
from tests.kernel.desk import S
from tests.kernel.shares.floor import HEDGE, PRICES, A, B, Floor
from trading.core.watch.liquidity import forecasts


def test_by_hand_moex_liq_01() -> None:
    """Mid 1000 ticks; a spread of 0.2 ticks x 10⁻³ is half its scale, a range of 2 ticks is a fifth of its own."""
    assert forecast_ppm(9_999, 10_001, 0, 5) == 900_000, "spread 0.0002: a fifth of its half"
    assert forecast_ppm(9_995, 10_005, 0, 5) == 500_000, "spread 0.001: the whole of its half"
    assert forecast_ppm(9_999, 10_001, 5 * 2 * 50, 5) == 650_000, "and a range of 0.005: half of its half"
    assert forecast_ppm(9_000, 11_000, 0, 5) == 0, "never below nothing"
    assert forecast_ppm(9_999, 10_001, 5 * 2 * 10_000, 5) == 0


def test_without_data_it_is_unknown_moex_liq_01() -> None:
    for bid, ask, total, count in ((0, 5, 1, 1), (5, 5, 1, 1), (6, 5, 1, 1), (5, 6, 0, 0), (5, 6, -1, 5)):
        assert forecast_ppm(bid, ask, total, count) == NO_FORECAST
    assert mean_ppm(np.array([NO_FORECAST, NO_FORECAST], np.int64)) == NO_FORECAST
    assert mean_ppm(np.zeros(0, np.int64)) == NO_FORECAST
    assert mean_ppm(np.array([400_000, NO_FORECAST, 600_001], np.int64)) == 500_000, "of those that are known"


@given(st.integers(1, 10**7), st.integers(1, 10**5), st.integers(0, 10**8), st.integers(1, 5))
def test_it_is_the_formula_exactly_moex_liq_01(bid: int, spread: int, total: int, count: int) -> None:
    mid = Fraction(2 * bid + spread, 2)
    lost = (Fraction(spread) / mid * 1000 + Fraction(total, 2 * count) / mid * 100) / 2
    expected = int(max(Fraction(0), min(Fraction(1), 1 - lost)) * 1_000_000)
    assert forecast_ppm(bid, bid + spread, total, count) == expected


def test_of_a_session_without_its_hedge_and_of_fresh_books_alone_moex_liq_01() -> None:
    floor = Floor()
    for _ in range(2):
        floor.books()
        floor.quote(99_999, 100_001, instrument=A)
    state, specs = floor.kernel.state, floor.kernel.params.specs
    found = np.zeros(len(PRICES), np.int64)
    mean = forecasts(state.positions, specs, floor.now_ns, found)
    assert found[HEDGE] == NO_FORECAST and found[B] == 0, "2 of 1000 ticks are twice the scale"
    assert found[A] == 0, "the last range spans two prices"
    assert mean == 0
    for _ in range(8):
        floor.quote(99_999, 100_001, instrument=A)
    assert forecasts(state.positions, specs, floor.now_ns, found) == found[A] // 3
    assert found[A] == 989_000, "a spread and ranges of 20 ppm: a hundredth and a thousandth less"
    assert forecasts(state.positions, specs, floor.now_ns + 2 * S, found) == NO_FORECAST
    assert found.tolist() == [NO_FORECAST] * 4
