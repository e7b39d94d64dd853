"""The 56 features of the newest second from the state, in the order of `schema` (MES-FEAT, section 4).

Only reads the state, which knows nothing of later seconds.  Finite for every warm state: prices are positive, and a
divisor that can be 0 has the case that the table names.  Called by `stream` alone.
"""

import math
from typing import Any

import numpy as np

from marketdata.core.barfeatures import schema as f
from marketdata.core.barfeatures.observe import sign
from marketdata.core.barfeatures.records import CLOSES, OBVS, SHORT
from marketdata.core.barfeatures.spread import write_volatility
from marketdata.core.compiled import inlined

Record = Any  # one record of BAR_STATE: the type checker cannot know its fields
DAY_S = 86_400
SECOND_SIN = np.array([math.sin(2.0 * math.pi * second / DAY_S) for second in range(60)])
SECOND_COS = np.array([math.cos(2.0 * math.pi * second / DAY_S) for second in range(60)])
OBV_MAX = 10.0


@inlined
def atr_ticks(state: Record) -> float:
    """ATR in ticks, meaningful from the 14th row of a segment on.  A test holds it to that of stops and breakers."""
    return state.range_14 / 14.0


@inlined
def _returns(state: Record, out: np.ndarray, at: int) -> None:
    close = state.close_tick
    log_close = state.log_ring[state.row & (CLOSES - 1)]
    place = f.RETURNS
    for n in (1, 5, 10, 30, 60):
        before = (state.row - n) & (CLOSES - 1)
        out[at, place] = close / state.close_ring[before] - 1.0
        out[at, place + 1] = log_close - state.log_ring[before]  # ln(c/c[n]) to 2e-15, one logarithm a row
        place += 2


@inlined
def _trend(state: Record, out: np.ndarray, at: int) -> None:
    close = float(state.close_tick)
    out[at, f.CLOSE_TO_EMA_9] = (close - state.ema_9) / state.ema_9
    out[at, f.CLOSE_TO_EMA_21] = (close - state.ema_21) / state.ema_21
    out[at, f.CLOSE_TO_EMA_50] = (close - state.ema_50) / state.ema_50
    out[at, f.CLOSE_TO_EMA_200] = (close - state.ema_200) / state.ema_200
    out[at, f.EMA_9_21_CROSS] = (state.ema_9 - state.ema_21) / state.ema_21
    out[at, f.EMA_21_50_CROSS] = (state.ema_21 - state.ema_50) / state.ema_50
    vwap = state.vwap_ring[state.row & (SHORT - 1)]
    out[at, f.CLOSE_TO_VWAP] = (close - vwap) / vwap
    out[at, f.VWAP_SLOPE] = vwap / state.vwap_ring[(state.row - 10) & (SHORT - 1)] - 1.0


@inlined
def _clock(state: Record, out: np.ndarray, at: int) -> None:
    day = state.day
    left = min(max(day.rth_close_s - state.second, 0), f.RTH_S)
    out[at, f.MINUTES_TO_CLOSE_NORM] = left / f.RTH_S
    out[at, f.EOD_URGENCY] = 1.0 - left / f.RTH_S
    of_minute = 60 - (state.minute_end - state.second)
    turn_sin, turn_cos = SECOND_SIN[of_minute], SECOND_COS[of_minute]
    out[at, f.TIME_SIN] = state.minute_sin * turn_cos + state.minute_cos * turn_sin
    out[at, f.TIME_COS] = state.minute_cos * turn_cos - state.minute_sin * turn_sin
    out[at, f.DOW_SIN] = state.dow_sin
    out[at, f.DOW_COS] = state.dow_cos
    since_open = state.second - day.rth_open_s  # a session has one morning: no other second is that far from 09:30
    out[at, f.IS_OPEN_PERIOD] = 1.0 if 0 <= since_open and since_open < 1_800 else 0.0
    closing = day.rth_close_s - 3600 <= state.second and state.second < day.rth_close_s
    out[at, f.IS_CLOSE_PERIOD] = 1.0 if closing else 0.0
    out[at, f.IS_LUNCH_PERIOD] = 1.0 if 7_200 <= since_open and since_open < 12_600 else 0.0


@inlined
def _volatility(state: Record, out: np.ndarray, at: int) -> None:
    atr = atr_ticks(state)
    out[at, f.ATR_TICKS] = atr
    out[at, f.ATR_PCT] = atr / state.close_tick
    # 20 sum c^2 - (sum c)^2, exact: 0 exactly when the window is flat
    spread = 20 * state.square_20 - state.close_20 * state.close_20
    deviation = math.sqrt(spread / 380.0)
    mean = state.close_20 / 20.0
    out[at, f.BB_WIDTH] = 4.0 * deviation / mean
    out[at, f.BB_POSITION] = 0.5
    if spread > 0:
        place = (state.close_tick - (mean - 2.0 * deviation)) / (4.0 * deviation)
        out[at, f.BB_POSITION] = min(max(place, 0.0), 1.0)
    write_volatility(state, out, at)


@inlined
def _momentum(state: Record, out: np.ndarray, at: int) -> None:
    moved = state.gain_14 + state.loss_14
    rsi = 100.0 * state.gain_14 / moved if moved > 0 else 50.0
    out[at, f.RSI_NORM] = (rsi - 50.0) / 50.0
    macd = state.ema_12 - state.ema_26
    out[at, f.MACD_NORM] = macd / state.close_tick
    out[at, f.MACD_HIST_NORM] = (macd - state.macd_signal) / state.close_tick
    out[at, f.STOCH_K_NORM] = (state.k_0 - 50.0) / 50.0
    out[at, f.STOCH_D_NORM] = ((state.k_0 + state.k_1 + state.k_2) / 3.0 - 50.0) / 50.0


@inlined
def _bar(state: Record, open_tick: int, high_tick: int, low_tick: int, out: np.ndarray, at: int) -> None:
    close = state.close_tick
    out[at, f.BAR_DIRECTION] = sign(close - open_tick)
    span = high_tick - low_tick
    if span > 0:
        out[at, f.BODY_RATIO] = abs(close - open_tick) / span
        out[at, f.UPPER_WICK_RATIO] = (high_tick - max(open_tick, close)) / span
        out[at, f.LOWER_WICK_RATIO] = (min(open_tick, close) - low_tick) / span
    else:
        out[at, f.BODY_RATIO] = 0.0
        out[at, f.UPPER_WICK_RATIO] = 0.0
        out[at, f.LOWER_WICK_RATIO] = 0.0
    out[at, f.GAP_TICKS] = open_tick - state.close_ring[(state.row - 1) & (CLOSES - 1)]
    out[at, f.RANGE_TICKS] = span


@inlined
def _share_of(volume: int, total: int, n: int) -> float:
    return n * volume / total if total > 0 else 0.0  # v / (total / n)


@inlined
def _volume(state: Record, volume: int, out: np.ndarray, at: int) -> None:
    out[at, f.VOLUME_RATIO_10S] = _share_of(volume, state.volume_10, 10)
    out[at, f.VOLUME_RATIO_30S] = _share_of(volume, state.volume_30, 30)
    out[at, f.VOLUME_RATIO_60S] = _share_of(volume, state.volume_60, 60)
    out[at, f.VOLUME_DELTA_NORM] = state.delta_30 / state.volume_30 if state.volume_30 > 0 else 0.0
    old = state.obv_ring[(state.row - 30) & (OBVS - 1)]
    out[at, f.OBV_ROC] = min(max((state.obv - old) / max(abs(old), 1), -OBV_MAX), OBV_MAX)


@inlined
def write_vector(
    state: Record, open_tick: int, high_tick: int, low_tick: int, volume: int, out: np.ndarray, at: int
) -> None:
    """Write the features of the newest second, whose bar is given, into row `at` of `out` (n, 56) float64.

    Only for a warm state.
    """
    _returns(state, out, at)
    _trend(state, out, at)
    _clock(state, out, at)
    _volatility(state, out, at)
    _momentum(state, out, at)
    _bar(state, open_tick, high_tick, low_tick, out, at)
    _volume(state, volume, out, at)
    out[at, f.HTF_TREND_1M] = state.trend_1m
    out[at, f.HTF_MOMENTUM_1M] = state.momentum_1m
    out[at, f.HTF_VOL_1M] = state.vol_1m
    out[at, f.HTF_TREND_5M] = state.trend_5m
    out[at, f.HTF_MOMENTUM_5M] = state.momentum_5m
