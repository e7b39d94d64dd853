"""The 56 features of the newest second from the state, in the order of `schema` (MES-FEAT, section 4).

Only reads the state, which knows nothing of later seconds, but for its scratch.  Finite for every warm state: prices
are positive, and a divisor that can be 0 has the case that the table names.  Divisions are what a row costs most: what
is divided is written into the row itself, by what into `below`, 1 where nothing is; then all of it is divided side by
side, and what comes after a division is done.  Called by `stream` alone.
"""

import math
from typing import Any

import numpy as np

from marketdata.core.barfeatures import schema as f
from marketdata.core.barfeatures.observe import sign
from marketdata.core.barfeatures.records import CLOSES, OBVS, SHORT
from marketdata.core.barfeatures.spread import write_squares
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
    """c, to be divided by c[n] and lessened by 1."""
    close = state.close_tick
    log_close = state.log_ring[state.row & (CLOSES - 1)]
    place = f.RETURNS
    for n in (1, 5, 10, 30, 60):
        before = (state.row - n) & (CLOSES - 1)
        out[at, place] = close
        state.below[place] = state.close_ring[before]
        out[at, place + 1] = log_close - state.log_ring[before]  # ln(c/c[n]) to 2e-15, one logarithm a row
        place += 2


@inlined
def _trend(state: Record, out: np.ndarray, at: int) -> None:
    close, below = float(state.close_tick), state.below
    out[at, f.CLOSE_TO_EMA_9] = close - state.ema_9
    below[f.CLOSE_TO_EMA_9] = state.ema_9
    out[at, f.CLOSE_TO_EMA_21] = close - state.ema_21
    below[f.CLOSE_TO_EMA_21] = state.ema_21
    out[at, f.CLOSE_TO_EMA_50] = close - state.ema_50
    below[f.CLOSE_TO_EMA_50] = state.ema_50
    out[at, f.CLOSE_TO_EMA_200] = close - state.ema_200
    below[f.CLOSE_TO_EMA_200] = state.ema_200
    out[at, f.EMA_9_21_CROSS] = state.ema_9 - state.ema_21
    below[f.EMA_9_21_CROSS] = state.ema_21
    out[at, f.EMA_21_50_CROSS] = state.ema_21 - state.ema_50
    below[f.EMA_21_50_CROSS] = state.ema_50
    vwap = state.vwap_ring[state.row & (SHORT - 1)]
    out[at, f.CLOSE_TO_VWAP] = close - vwap
    below[f.CLOSE_TO_VWAP] = vwap
    out[at, f.VWAP_SLOPE] = vwap
    below[f.VWAP_SLOPE] = state.vwap_ring[(state.row - 10) & (SHORT - 1)]


@inlined
def _clock(state: Record, out: np.ndarray, at: int) -> None:
    day = state.day
    out[at, f.MINUTES_TO_CLOSE_NORM] = min(max(day.rth_close_s - state.second, 0), f.RTH_S)
    out[at, f.EOD_URGENCY] = 0.0  # from the one before it, when that is divided
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
    out[at, f.ATR_PCT] = atr
    state.below[f.ATR_PCT] = state.close_tick
    # 20 sum c^2 - (sum c)^2, exact: 0 exactly when the window is flat
    spread = 20 * state.square_20 - state.close_20 * state.close_20
    deviation = math.sqrt(spread / 380.0)
    mean = state.close_20 / 20.0
    out[at, f.BB_WIDTH] = 4.0 * deviation
    state.below[f.BB_WIDTH] = mean
    out[at, f.BB_POSITION] = state.close_tick - (mean - 2.0 * deviation) if spread > 0 else 0.5
    state.below[f.BB_POSITION] = 4.0 * deviation if spread > 0 else 1.0
    write_squares(state, out, at)


@inlined
def _momentum(state: Record, out: np.ndarray, at: int) -> None:
    moved = state.gain_14 + state.loss_14
    rsi = 100.0 * state.gain_14 / moved if moved > 0 else 50.0
    out[at, f.RSI_NORM] = rsi - 50.0
    macd = state.ema_12 - state.ema_26
    out[at, f.MACD_NORM] = macd
    state.below[f.MACD_NORM] = state.close_tick
    out[at, f.MACD_HIST_NORM] = macd - state.macd_signal
    state.below[f.MACD_HIST_NORM] = state.close_tick
    out[at, f.STOCH_K_NORM] = state.k_0 - 50.0
    out[at, f.STOCH_D_NORM] = (state.k_0 + state.k_1 + state.k_2) / 3.0 - 50.0


@inlined
def _bar(state: Record, open_tick: int, high_tick: int, low_tick: int, out: np.ndarray, at: int) -> None:
    close = state.close_tick
    out[at, f.BAR_DIRECTION] = sign(close - open_tick)
    span = high_tick - low_tick
    divisor = max(span, 1)  # of a bar without a span the parts are 0 themselves
    out[at, f.BODY_RATIO] = abs(close - open_tick)
    state.below[f.BODY_RATIO] = divisor
    out[at, f.UPPER_WICK_RATIO] = high_tick - max(open_tick, close)
    state.below[f.UPPER_WICK_RATIO] = divisor
    out[at, f.LOWER_WICK_RATIO] = min(open_tick, close) - low_tick
    state.below[f.LOWER_WICK_RATIO] = divisor
    out[at, f.GAP_TICKS] = open_tick - state.close_ring[(state.row - 1) & (CLOSES - 1)]
    out[at, f.RANGE_TICKS] = span


@inlined
def _volume(state: Record, volume: int, out: np.ndarray, at: int) -> None:
    """n v / total, which is v / (total / n); where the total is 0, so is what it divides."""
    out[at, f.VOLUME_RATIO_10S] = 10 * volume
    state.below[f.VOLUME_RATIO_10S] = max(state.volume_10, 1)
    out[at, f.VOLUME_RATIO_30S] = 30 * volume
    state.below[f.VOLUME_RATIO_30S] = max(state.volume_30, 1)
    out[at, f.VOLUME_RATIO_60S] = 60 * volume
    state.below[f.VOLUME_RATIO_60S] = max(state.volume_60, 1)
    out[at, f.VOLUME_DELTA_NORM] = state.delta_30
    state.below[f.VOLUME_DELTA_NORM] = max(state.volume_30, 1)
    old = state.obv_ring[(state.row - 30) & (OBVS - 1)]
    out[at, f.OBV_ROC] = state.obv - old
    state.below[f.OBV_ROC] = max(abs(old), 1)


@inlined
def _divide(state: Record, out: np.ndarray, at: int) -> None:
    for i in range(out.shape[1]):  # a length that is not known beforehand: a loop, not 56 divisions
        out[at, i] = out[at, i] / state.below[i]


@inlined
def _after(out: np.ndarray, at: int) -> None:
    """What a feature is beyond its division."""
    for k in range(5):
        out[at, f.RETURNS + 2 * k] -= 1.0
    out[at, f.VWAP_SLOPE] -= 1.0
    out[at, f.EOD_URGENCY] = 1.0 - out[at, f.MINUTES_TO_CLOSE_NORM]
    out[at, f.BB_POSITION] = min(max(out[at, f.BB_POSITION], 0.0), 1.0)
    for i in range(f.VOLATILITY_10S, f.VOLATILITY_300S + 1):
        out[at, i] = math.sqrt(out[at, i])
    out[at, f.OBV_ROC] = min(max(out[at, f.OBV_ROC], -OBV_MAX), OBV_MAX)


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
    _divide(state, out, at)
    _after(out, at)
