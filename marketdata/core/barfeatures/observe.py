"""One second into the state: averages, window sums, rings and closed buckets (MES-FEAT-02, -04, -07).

Sums of ticks and contracts are integers that gain the new second and lose the one that leaves: they never drift.  Work
per second is bounded and nothing is allocated.  Called by `stream` alone, for printed and carried seconds alike.
"""

import math
from typing import Any

from marketdata.core.barfeatures.records import BUCKETS, CLOSES, OBVS, RETURNS, SHORT, STRIDES, VOLUMES
from marketdata.core.barfeatures.spread import note_stride
from marketdata.core.compiled import inlined

Record = Any  # one record of BAR_STATE: the type checker cannot know its fields
DAY_S = 86_400
FACTOR_9, FACTOR_12, FACTOR_21 = 2.0 / 10, 2.0 / 13, 2.0 / 22
FACTOR_26, FACTOR_50, FACTOR_200 = 2.0 / 27, 2.0 / 51, 2.0 / 201


@inlined
def sign(x: int) -> int:
    """-1, 0 or 1."""
    return 1 if x > 0 else (-1 if x < 0 else 0)


@inlined
def begin_segment(state: Record, second: int, contract: int) -> None:
    """Forget everything (MES-FEAT-04).  `observe` sets what has a first value."""
    state.segment += 1
    state.row = -1
    state.anchor = second
    state.contract = contract
    _enter_minute(state, second)
    angle = 2.0 * math.pi * state.day.weekday / 5.0
    state.dow_sin = math.sin(angle)
    state.dow_cos = math.cos(angle)
    state.range_14 = 0
    state.gain_14 = 0
    state.loss_14 = 0
    state.close_20 = 0
    state.square_20 = 0
    state.volume_10 = 0
    state.volume_30 = 0
    state.volume_60 = 0
    state.delta_30 = 0
    state.minute_end = second - second % 60 + 60
    state.five_end = second - second % 300 + 300
    state.minutes = 0
    state.fives = 0
    _clear_rings(state)


@inlined
def _enter_minute(state: Record, second: int) -> None:
    """Sine and cosine of the minute's start on New York's wall; `vector` turns them on by the second."""
    wall = (second + state.day.wall_s) % DAY_S
    angle = 2.0 * math.pi * (wall - wall % 60) / DAY_S
    state.minute_sin = math.sin(angle)
    state.minute_cos = math.cos(angle)


@inlined
def _clear_rings(state: Record) -> None:
    for i in range(CLOSES):
        state.close_ring[i] = 0
        state.log_ring[i] = 0.0
    for i in range(VOLUMES):
        state.volume_ring[i] = 0
    for i in range(OBVS):
        state.delta_ring[i] = 0
        state.obv_ring[i] = 0
    for i in range(SHORT):
        state.range_ring[i] = 0
        state.change_ring[i] = 0
        state.high_ring[i] = 0
        state.low_ring[i] = 0
        state.vwap_ring[i] = 0.0
    for i in range(2 * RETURNS):
        state.returns[i] = 0.0
    for i in range(2 * STRIDES):
        state.stride_sums[i] = 0.0
    for i in range(BUCKETS):
        state.minute_ring[i] = 0
        state.five_ring[i] = 0


@inlined
def close_buckets(state: Record, second: int) -> None:
    """At the first second of a new bucket the one before is closed at the last close; inside one nothing changes."""
    last = BUCKETS - 1
    if second == state.minute_end:
        state.minute_end += 60
        _enter_minute(state, second)
        state.minute_ring[state.minutes & last] = state.close_tick
        state.minutes += 1
        if state.minutes >= 6:
            _minute_features(state)
    if second == state.five_end:
        state.five_end += 300
        state.five_ring[state.fives & last] = state.close_tick
        state.fives += 1
        if state.fives >= 4:
            newest = state.five_ring[(state.fives - 1) & last]
            state.trend_5m = newest / state.five_ring[(state.fives - 2) & last] - 1.0
            state.momentum_5m = newest / state.five_ring[(state.fives - 4) & last] - 1.0


@inlined
def _minute_features(state: Record) -> None:
    last = BUCKETS - 1
    ring = state.minute_ring
    at = state.minutes
    newest = ring[(at - 1) & last]
    state.trend_1m = newest / ring[(at - 2) & last] - 1.0
    state.momentum_1m = newest / ring[(at - 6) & last] - 1.0
    mean = 0.0
    for k in range(1, 6):
        mean += ring[(at - k) & last] / ring[(at - k - 1) & last] - 1.0
    mean /= 5.0
    squares = 0.0
    for k in range(1, 6):
        away = (ring[(at - k) & last] / ring[(at - k - 1) & last] - 1.0) - mean
        squares += away * away
    state.vol_1m = math.sqrt(squares / 4.0)


@inlined
def _average(state: Record, close_tick: int) -> None:
    """The exponential averages and the MACD signal, from the second row on."""
    state.ema_9 += FACTOR_9 * (close_tick - state.ema_9)
    state.ema_12 += FACTOR_12 * (close_tick - state.ema_12)
    state.ema_21 += FACTOR_21 * (close_tick - state.ema_21)
    state.ema_26 += FACTOR_26 * (close_tick - state.ema_26)
    state.ema_50 += FACTOR_50 * (close_tick - state.ema_50)
    state.ema_200 += FACTOR_200 * (close_tick - state.ema_200)
    state.macd_signal += FACTOR_9 * ((state.ema_12 - state.ema_26) - state.macd_signal)


@inlined
def _average_first(state: Record, close_tick: int) -> None:
    state.ema_9 = close_tick
    state.ema_12 = close_tick
    state.ema_21 = close_tick
    state.ema_26 = close_tick
    state.ema_50 = close_tick
    state.ema_200 = close_tick
    state.macd_signal = 0.0


@inlined
def _range_and_change(state: Record, row: int, change: int, true_range: int) -> None:
    """Sums over 14 of true range, gains and losses."""
    here, left = row & (SHORT - 1), (row - 14) & (SHORT - 1)
    state.range_14 += true_range - state.range_ring[left]
    state.range_ring[here] = true_range
    state.gain_14 += max(change, 0) - max(state.change_ring[left], 0)
    state.loss_14 += max(-change, 0) - max(-state.change_ring[left], 0)
    state.change_ring[here] = change


@inlined
def _volumes(state: Record, row: int, volume: int, delta: int) -> None:
    ring = state.volume_ring
    state.volume_10 += volume - ring[(row - 10) & (VOLUMES - 1)]
    state.volume_30 += volume - ring[(row - 30) & (VOLUMES - 1)]
    state.volume_60 += volume - ring[(row - 60) & (VOLUMES - 1)]
    ring[row & (VOLUMES - 1)] = volume
    state.delta_30 += delta - state.delta_ring[(row - 30) & (OBVS - 1)]
    state.delta_ring[row & (OBVS - 1)] = delta


@inlined
def _anchored(state: Record, second: int, row: int, change: int, price_volume: int, volume: int) -> None:
    """VWAP and OBV, which begin again at 09:30:00 (MES-FEAT-04)."""
    if row == 0 or second == state.day.rth_open_s:
        state.anchor = second
        state.price_volume = 0
        state.volume = 0
        state.obv = 0
    else:
        state.obv += volume * sign(change)
    state.price_volume += price_volume
    state.volume += volume
    state.obv_ring[row & (OBVS - 1)] = state.obv


@inlined
def _stochastic(state: Record, row: int, high_tick: int, low_tick: int, close_tick: int) -> None:
    state.high_ring[row & (SHORT - 1)] = high_tick
    state.low_ring[row & (SHORT - 1)] = low_tick
    highest = high_tick
    lowest = low_tick
    for k in range(1, 14):
        highest = max(highest, state.high_ring[(row - k) & (SHORT - 1)])
        lowest = min(lowest, state.low_ring[(row - k) & (SHORT - 1)])
    state.k_2 = state.k_1
    state.k_1 = state.k_0
    state.k_0 = 100.0 * (close_tick - lowest) / (highest - lowest) if highest > lowest else 50.0


@inlined
def observe(
    state: Record, second: int, open_tick: int, high_tick: int, low_tick: int, close_tick: int, volume: int
) -> None:
    """Make this second the newest row of the segment."""
    row = state.row + 1
    state.row = row
    state.second = second
    change = 0
    true_range = high_tick - low_tick
    if row == 0:
        _average_first(state, close_tick)
    else:
        before = state.close_tick
        change = close_tick - before
        true_range = max(true_range, abs(high_tick - before), abs(low_tick - before))
        close_buckets(state, second)
        _average(state, close_tick)
        back = close_tick / before - 1.0
        state.returns[row & (RETURNS - 1)] = back
        state.returns[(row & (RETURNS - 1)) + RETURNS] = back
        note_stride(state)
    left = state.close_ring[(row - 20) & (CLOSES - 1)]
    state.close_20 += close_tick - left
    state.square_20 += close_tick * close_tick - left * left
    state.close_ring[row & (CLOSES - 1)] = close_tick
    state.log_ring[row & (CLOSES - 1)] = math.log(close_tick)
    state.close_tick = close_tick
    _range_and_change(state, row, change, true_range)
    _volumes(state, row, volume, volume * sign(close_tick - open_tick))
    _anchored(state, second, row, change, (high_tick + low_tick + close_tick) * volume, volume)
    vwap = state.price_volume / (3 * state.volume) if state.volume > 0 else float(close_tick)
    state.vwap_ring[row & (SHORT - 1)] = vwap
    _stochastic(state, row, high_tick, low_tick, close_tick)
