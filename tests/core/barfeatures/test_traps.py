"""The known traps of MES-FEAT-10, each shown not to be there, by numbers that can be checked by hand.

Each test makes a tape on which the wrong formula gives another value than the right one.
"""

import math

import numpy as np
import pytest

from marketdata.core.barfeatures.records import Bars
from tests.core.barfeatures.kit import Rows, whole
from tests.core.barfeatures.tapes import hours_of

FIRST = hours_of("2024-11-01").open_s  # 18:00:00 New York, a whole five minutes
N = 2_000
AT = 1_500  # a valid row that the tests look at
JUMP = 18_180 / 18_000 - 1


def rows(close: np.ndarray, volume: np.ndarray | None = None, **other: np.ndarray) -> Rows:
    """One bar a second from the session's open; open = high = low = close unless given."""
    close = np.asarray(close, np.int64)
    zero = np.zeros(len(close), np.int64)
    volume = np.ones_like(close) if volume is None else volume
    start, high, low = (other.get(name, close) for name in ("open_tick", "high_tick", "low_tick"))
    return whole(Bars(FIRST + np.arange(len(close)), start, high, low, close, volume, zero, zero))


def waves() -> np.ndarray:
    """A price that never stands still."""
    t = np.arange(N)
    return 18_000 + (40 * np.sin(t / 17) + 9 * np.sin(t / 3.1)).astype(np.int64)


def test_the_first_valid_second_is_1820():
    """MES-FEAT-05: twenty minutes after the open of a session; all 56 NaN before."""
    found = rows(waves())
    assert int(np.argmax(found.valid)) == 1_200
    assert found.valid[1_200:].all()
    assert np.isnan(found.features[:1_200]).all()


def test_macd_histogram_is_not_constant_zero():
    """g is an average of m, not m."""
    close = waves().astype(float)
    fast = slow = close[0]
    signal = 0.0
    for value in close[1 : AT + 1]:
        fast += 2 / 13 * (value - fast)
        slow += 2 / 27 * (value - slow)
        signal += 2 / 10 * (fast - slow - signal)
    found = rows(waves())
    histogram = found.column("macd_hist_norm")[AT]
    assert histogram == pytest.approx((fast - slow - signal) / close[AT], abs=1e-12)
    assert abs(histogram) > 1e-6
    assert found.column("macd_norm")[AT] == pytest.approx((fast - slow) / close[AT], abs=1e-12)


def test_stochastic_d_is_smoothed():
    found = rows(waves())
    k, d = found.column("stoch_k_norm"), found.column("stoch_d_norm")
    assert d[AT] == pytest.approx((k[AT] + k[AT - 1] + k[AT - 2]) / 3, abs=1e-12)
    assert (np.abs(d - k)[found.valid] > 0.01).mean() > 0.5


def test_volume_delta_looks_back_30_seconds():
    """A burst 30 rows back has left the window, 29 rows back it is inside."""
    close = np.full(N, 18_000)
    open_tick = close - 1  # every bar rises
    volume = np.ones(N, np.int64)
    volume[AT - 30] = 1_000
    open_tick[AT - 30] = 18_001  # but this one fell
    other = {"open_tick": open_tick, "high_tick": np.full(N, 18_001), "low_tick": np.full(N, 17_999)}
    delta = rows(close, volume, **other).column("volume_delta_norm")
    assert delta[AT] == 1.0
    assert delta[AT - 1] == pytest.approx((29 - 1_000) / 1_029)


def test_obv_looks_back_30_seconds():
    """B rises by 1 each second: over 30 rows by 30, over 14 it would be 14."""
    found = rows(18_000 + np.arange(N)).column("obv_roc")
    assert found[AT] == pytest.approx(30 / (AT - 30))


def test_vwap_slope_is_that_of_vwap():
    """The close stands still for longer than the slope looks back, VWAP still moves."""
    close = np.concatenate([np.full(AT - 100, 18_000), np.full(N - AT + 100, 18_100)])
    found = rows(close, np.full(N, 5))
    total = np.cumsum(close * 5) / np.cumsum(np.full(N, 5))
    assert found.column("return_10s")[AT] == 0
    assert found.column("vwap_slope")[AT] == pytest.approx(total[AT] / total[AT - 10] - 1, abs=1e-15)
    assert found.column("vwap_slope")[AT] > 1e-6


def test_higher_bars_are_lagged_once():
    """A jump in minute M shows in its trend from the first second of M + 1, unchanged until M + 2, then is over."""
    start = AT - AT % 60  # the first second of a minute
    close = np.where(np.arange(N) < start + 10, 18_000, 18_180)
    trend = rows(close).column("htf_trend_1m")
    assert (trend[start - 60 : start + 60] == 0).all()  # unlagged: would show at start + 10
    assert (trend[start + 60 : start + 120] == JUMP).all()  # lagged twice: would still be 0
    assert (trend[start + 120 : start + 180] == 0).all()


def test_five_minute_bars_are_lagged_once():
    start = AT - AT % 300
    close = np.where(np.arange(N) < start + 299, 18_000, 18_180)
    found = rows(close)
    trend, momentum = found.column("htf_trend_5m"), found.column("htf_momentum_5m")
    assert (trend[start : start + 300] == 0).all()
    assert (trend[start + 300 :] == JUMP).all() and (momentum[start + 300 :] == JUMP).all()


def test_deviation_is_the_sample_deviation():
    """One return of 1 % among ten: ddof 1 and ddof 0 differ by 5 %."""
    close = np.where(np.arange(N) < AT - 3, 18_000, 18_180)
    found = rows(close).column("volatility_10s")[AT]
    assert found == pytest.approx(math.sqrt((0.009**2 + 9 * 0.001**2) / 9), abs=1e-15)


def test_time_has_seconds():
    found = rows(waves())
    angle = 2 * math.pi * (18 * 3600 + AT) / 86_400
    assert found.column("time_sin")[AT] == pytest.approx(math.sin(angle), abs=1e-12)
    assert found.column("time_sin")[AT] != found.column("time_sin")[AT + 1]


def test_a_bar_without_range_has_no_wicks():
    found = rows(np.full(N, 18_000))
    for name in ("body_ratio", "upper_wick_ratio", "lower_wick_ratio", "bar_direction"):
        assert (found.column(name)[found.valid] == 0).all(), name


def test_a_flat_market_has_the_values_of_the_table():
    """Nothing moves, nothing trades: no NaN, no invented number."""
    found = rows(np.full(N, 18_000), np.zeros(N, np.int64))
    for name, value in {
        "bb_width": 0, "bb_position": 0.5, "rsi_norm": 0, "stoch_k_norm": 0, "stoch_d_norm": 0, "volume_ratio_10s": 0,
        "volume_delta_norm": 0, "obv_roc": 0, "close_to_vwap": 0, "atr_ticks": 0, "macd_hist_norm": 0,
        "volatility_300s": 0, "htf_vol_1m": 0,
    }.items():  # fmt: skip
        assert (found.column(name)[found.valid] == value).all(), name
