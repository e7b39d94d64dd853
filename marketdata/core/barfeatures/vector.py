"""The 56 features of the newest second from the state, in the order of `schema` (MES-FEAT, section 4).

Only reads the state, except that nothing is read that the next second could change.  Finite for every warm state:
prices are positive, a divisor that can be 0 has the case that the table names.  Called by `stream` alone.
"""

import math
from typing import Any

import numpy as np

from marketdata.core.barfeatures import schema as f
from marketdata.core.barfeatures.observe import sign
from marketdata.core.barfeatures.records import CLOSES, OBVS, SHORT
from marketdata.core.barfeatures.spread import write_volatility
from marketdata.core.compiled import inner

Record = Any  # one record of BAR_STATE: the type checker cannot know its fields
DAY_S = 86_400
TURN = 2.0 * math.pi
OBV_MAX = 10.0


@inner
def atr_ticks(state: Record) -> float:
    """ATR in ticks, the one function for features, stops and breakers; meaningful from the 14th row of a segment on."""
    return state.range_14 / 14.0


@inner
def _returns(state: Record, out: np.ndarray) -> None:
    close = state.close_tick
    at = f.RETURNS
    for n in (1, 5, 10, 30, 60):
        ratio = close / state.close_ring[(state.row - n) & (CLOSES - 1)]
        out[at] = ratio - 1.0
        out[at + 1] = math.log(ratio)
        at += 2


@inner
def _trend(state: Record, out: np.ndarray) -> None:
    close = float(state.close_tick)
    out[f.CLOSE_TO_EMA_9] = (close - state.ema_9) / state.ema_9
    out[f.CLOSE_TO_EMA_21] = (close - state.ema_21) / state.ema_21
    out[f.CLOSE_TO_EMA_50] = (close - state.ema_50) / state.ema_50
    out[f.CLOSE_TO_EMA_200] = (close - state.ema_200) / state.ema_200
    out[f.EMA_9_21_CROSS] = (state.ema_9 - state.ema_21) / state.ema_21
    out[f.EMA_21_50_CROSS] = (state.ema_21 - state.ema_50) / state.ema_50
    vwap = state.vwap_ring[state.row & (SHORT - 1)]
    out[f.CLOSE_TO_VWAP] = (close - vwap) / vwap
    out[f.VWAP_SLOPE] = vwap / state.vwap_ring[(state.row - 10) & (SHORT - 1)] - 1.0


@inner
def _clock(state: Record, out: np.ndarray) -> None:
    day = state.day
    left = min(max(day.rth_close_s - state.second, 0), f.RTH_S)
    out[f.MINUTES_TO_CLOSE_NORM] = left / f.RTH_S
    out[f.EOD_URGENCY] = 1.0 - left / f.RTH_S
    wall = (state.second + day.wall_s) % DAY_S
    angle = TURN * wall / DAY_S
    out[f.TIME_SIN] = math.sin(angle)
    out[f.TIME_COS] = math.cos(angle)
    out[f.DOW_SIN] = state.dow_sin
    out[f.DOW_COS] = state.dow_cos
    out[f.IS_OPEN_PERIOD] = 1.0 if 34_200 <= wall and wall < 36_000 else 0.0
    closing = day.rth_close_s - 3600 <= state.second and state.second < day.rth_close_s
    out[f.IS_CLOSE_PERIOD] = 1.0 if closing else 0.0
    out[f.IS_LUNCH_PERIOD] = 1.0 if 41_400 <= wall and wall < 46_800 else 0.0


@inner
def _volatility(state: Record, out: np.ndarray) -> None:
    atr = atr_ticks(state)
    out[f.ATR_TICKS] = atr
    out[f.ATR_PCT] = atr / state.close_tick
    # 20 sum c^2 - (sum c)^2, exact: 0 exactly when the window is flat
    spread = 20 * state.square_20 - state.close_20 * state.close_20
    deviation = math.sqrt(spread / 380.0)
    mean = state.close_20 / 20.0
    out[f.BB_WIDTH] = 4.0 * deviation / mean
    out[f.BB_POSITION] = 0.5
    if spread > 0:
        place = (state.close_tick - (mean - 2.0 * deviation)) / (4.0 * deviation)
        out[f.BB_POSITION] = min(max(place, 0.0), 1.0)
    write_volatility(state, out)


@inner
def _momentum(state: Record, out: np.ndarray) -> None:
    moved = state.gain_14 + state.loss_14
    rsi = 100.0 * state.gain_14 / moved if moved > 0 else 50.0
    out[f.RSI_NORM] = (rsi - 50.0) / 50.0
    macd = state.ema_12 - state.ema_26
    out[f.MACD_NORM] = macd / state.close_tick
    out[f.MACD_HIST_NORM] = (macd - state.macd_signal) / state.close_tick
    out[f.STOCH_K_NORM] = (state.k_0 - 50.0) / 50.0
    out[f.STOCH_D_NORM] = ((state.k_0 + state.k_1 + state.k_2) / 3.0 - 50.0) / 50.0


@inner
def _bar(state: Record, open_tick: int, high_tick: int, low_tick: int, out: np.ndarray) -> None:
    close = state.close_tick
    out[f.BAR_DIRECTION] = sign(close - open_tick)
    span = high_tick - low_tick
    if span > 0:
        out[f.BODY_RATIO] = abs(close - open_tick) / span
        out[f.UPPER_WICK_RATIO] = (high_tick - max(open_tick, close)) / span
        out[f.LOWER_WICK_RATIO] = (min(open_tick, close) - low_tick) / span
    else:
        out[f.BODY_RATIO] = 0.0
        out[f.UPPER_WICK_RATIO] = 0.0
        out[f.LOWER_WICK_RATIO] = 0.0
    out[f.GAP_TICKS] = open_tick - state.close_ring[(state.row - 1) & (CLOSES - 1)]
    out[f.RANGE_TICKS] = span


@inner
def _share_of(volume: int, total: int, n: int) -> float:
    return volume / (total / n) if total > 0 else 0.0


@inner
def _volume(state: Record, volume: int, out: np.ndarray) -> None:
    out[f.VOLUME_RATIO_10S] = _share_of(volume, state.volume_10, 10)
    out[f.VOLUME_RATIO_30S] = _share_of(volume, state.volume_30, 30)
    out[f.VOLUME_RATIO_60S] = _share_of(volume, state.volume_60, 60)
    out[f.VOLUME_DELTA_NORM] = state.delta_30 / state.volume_30 if state.volume_30 > 0 else 0.0
    old = state.obv_ring[(state.row - 30) & (OBVS - 1)]
    out[f.OBV_ROC] = min(max((state.obv - old) / max(abs(old), 1), -OBV_MAX), OBV_MAX)


@inner
def write_vector(state: Record, open_tick: int, high_tick: int, low_tick: int, volume: int, out: np.ndarray) -> None:
    """Write all features of the newest second, whose bar is given, into `out` (56,) float64.  Only for a warm state."""
    _returns(state, out)
    _trend(state, out)
    _clock(state, out)
    _volatility(state, out)
    _momentum(state, out)
    _bar(state, open_tick, high_tick, low_tick, out)
    _volume(state, volume, out)
    out[f.HTF_TREND_1M] = state.trend_1m
    out[f.HTF_MOMENTUM_1M] = state.momentum_1m
    out[f.HTF_VOL_1M] = state.vol_1m
    out[f.HTF_TREND_5M] = state.trend_5m
    out[f.HTF_MOMENTUM_5M] = state.momentum_5m
