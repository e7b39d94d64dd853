"""Metrics against values worked out by hand, their edges, and what unknown means (MOEX-DATA-06, -07)."""

import math

import numpy as np
import pytest

from marketdata.core.universe.records import ACTIVE, MONITORED
from tests.core.universe.kit import MINUTE, SECOND, START, Pool

SPREAD, RATIO, VOL = 0, 1, 2


def test_the_first_sample_starts_an_average_and_alpha_is_a_fifth_moex_data_06() -> None:
    pool = Pool(1)
    pool.book(0, 99_990, 100_010)
    pool.second()
    assert pool.metrics()[0, SPREAD] == pytest.approx(20 / 100_000)
    pool.book(0, 99_950, 100_050)
    pool.second()
    assert pool.metrics()[0, SPREAD] == pytest.approx(0.8 * 0.0002 + 0.2 * 0.001)


def test_sixty_seconds_make_sixty_samples_moex_acc_206() -> None:
    pool = Pool(1)
    for _ in range(60):
        pool.book(0)
        pool.second()
    assert 54 <= pool.members["samples"][0] <= 66


def test_a_book_of_exactly_five_seconds_counts_and_a_nanosecond_more_does_not() -> None:
    pool = Pool(2)
    pool.book(0)
    pool.book(1)
    pool.members["valid_ns"][1] -= 1
    pool.now += 4 * SECOND
    pool.second()
    assert pool.members["samples"].tolist() == [1, 0]


def test_without_normal_trading_there_is_no_sample() -> None:
    pool = Pool(1)
    pool.members["trading"] = 0
    pool.book(0)
    pool.second()
    assert pool.members["samples"][0] == 0 and np.isnan(pool.metrics()).all()


def test_a_metric_is_unknown_sixty_seconds_after_its_sample_until_the_next() -> None:
    pool = Pool(1)
    pool.book(0)
    pool.second()
    sampled = pool.now
    pool.now = sampled + 60 * SECOND - 1
    assert not np.isnan(pool.metrics()[0, SPREAD])
    pool.now = sampled + 60 * SECOND
    assert np.isnan(pool.metrics()[0, SPREAD])
    pool.book(0)
    pool.second()
    assert not np.isnan(pool.metrics()[0, SPREAD])


def test_the_ratio_is_known_from_the_three_hundredth_sample_on() -> None:
    pool = Pool(1)
    for _ in range(299):
        pool.book(0, rub=5e7)
        pool.second()
    assert np.isnan(pool.metrics()[0, RATIO])
    pool.book(0, rub=5e7)
    pool.second()
    assert pool.metrics()[0, RATIO] == pytest.approx(1.0)


def test_unlike_instruments_are_compared_by_their_own_baselines() -> None:
    """The known trap of MOEX-DATA-06: a share with a thousandth of the money of another has the same r."""
    pool = Pool(2)
    for _ in range(300):
        pool.book(0, rub=9e9)
        pool.book(1, rub=9e6)
        pool.second()
    ratios = pool.metrics()[:, RATIO]
    assert ratios[0] == pytest.approx(ratios[1])


def closes(pool: Pool, values: list[int], first: int = START) -> None:
    for k, close in enumerate(values):
        assert pool.candle(0, first + k * MINUTE, close)


def test_vol_30m_by_hand_and_at_least_ten_returns() -> None:
    pool = Pool(1)
    closes(pool, [10_000, 10_010] * 5)
    pool.book(0)
    pool.second()
    assert np.isnan(pool.metrics()[0, VOL])  # nine returns
    closes(pool, [10_000], START + 10 * MINUTE)
    pool.book(0)
    pool.second()
    assert pool.metrics()[0, VOL] == pytest.approx(math.log(10_010 / 10_000) * math.sqrt(131_040))


def test_a_gap_between_candles_makes_no_return_and_the_last_thirty_count() -> None:
    pool = Pool(1)
    closes(pool, [10_000, 12_000] * 5)
    closes(pool, [20_000 + 10 * (k % 2) for k in range(31)], START + 100 * MINUTE)
    pool.book(0)
    pool.second()
    assert pool.metrics()[0, VOL] == pytest.approx(math.log(20_010 / 20_000) * math.sqrt(131_040))


def test_a_late_candle_and_one_without_a_price_do_not_count() -> None:
    pool = Pool(1)
    assert pool.candle(0, START, 100)
    assert not pool.candle(0, START, 100)
    assert not pool.candle(0, START + MINUTE, 0)
    assert pool.members["candles"][0] == 1


def test_indicators_over_active_members_whose_metrics_are_known_moex_data_07() -> None:
    pool = Pool(4)
    pool.members["state"] = [ACTIVE, ACTIVE, ACTIVE, MONITORED]
    pool.members["rv_60"] = [0.1, 0.3, 9.0, 9.0]
    for which, (spread, r) in enumerate(((0.0002, 1.2), (0.0004, 0.8), (0.009, 9.0), (0.009, 9.0))):
        pool.know(which, spread, r)
    pool.members["baseline_samples"][2] = 299  # its r is unknown: it enters none of the three
    pool.second()
    market = pool.universe[0]
    assert market["known"] == 1 and market["known_ns"] == pool.now
    assert market["volatility"] == pytest.approx(0.2)
    assert market["market_liquidity"] == pytest.approx(1.0)
    assert market["index"] == pytest.approx(0.7)
    known_ns = pool.now
    pool.members["state"] = MONITORED
    pool.second()
    assert market["known"] == 0 and market["known_ns"] == known_ns
