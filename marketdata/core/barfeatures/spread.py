"""Sample deviations of the last 10, 30, 60 and 300 returns, each in two passes over its window: no drift (MES-FEAT-02).

Without `fastmath` a plain sum is one long chain of additions.  Here the order is written so that the compiler can add
side by side: 20 lanes for the long window, five chains for the short ones.  The order is fixed, so batch, streaming
and the plain interpreter give the same bits.  The sums of returns 20 apart are the same numbers in twenty windows: they
are made once, when their newest return comes.  Called by `observe` and `vector`.
"""

import math
from typing import Any

import numpy as np

from marketdata.core.barfeatures import schema as f
from marketdata.core.barfeatures.records import LANES, RETURNS, STRIDES
from marketdata.core.compiled import inlined

Record = Any  # one record of BAR_STATE: the type checker cannot know its fields


@inlined
def _sum(values: np.ndarray, start: int, stop: int) -> float:
    """Sum of values[start:stop]; the length is a multiple of five."""
    a = b = c = d = e = 0.0
    for i in range(start, stop, 5):
        a += values[i]
        b += values[i + 1]
        c += values[i + 2]
        d += values[i + 3]
        e += values[i + 4]
    return ((a + b) + (c + d)) + e


@inlined
def _squares(values: np.ndarray, start: int, stop: int, mean: float) -> float:
    """Sum of (values[start:stop] - mean)^2; the length is a multiple of five."""
    a = b = c = d = e = 0.0
    for i in range(start, stop, 5):
        a += (values[i] - mean) * (values[i] - mean)
        b += (values[i + 1] - mean) * (values[i + 1] - mean)
        c += (values[i + 2] - mean) * (values[i + 2] - mean)
        d += (values[i + 3] - mean) * (values[i + 3] - mean)
        e += (values[i + 4] - mean) * (values[i + 4] - mean)
    return ((a + b) + (c + d)) + e


@inlined
def _deviation(values: np.ndarray, start: int, total: float) -> float:
    """Sample deviation of values[start:300], whose sum is known."""
    n = 300 - start
    return math.sqrt(_squares(values, start, 300, total / n) / (n - 1))


@inlined
def note_stride(state: Record) -> None:
    """Keep the sum of the newest return and of those 20, 40, ..., 220 rows before it."""
    start = (state.row & (RETURNS - 1)) + RETURNS - 11 * LANES
    r = state.returns
    first = (r[start] + r[start + 20]) + (r[start + 40] + r[start + 60])
    second = (r[start + 80] + r[start + 100]) + (r[start + 120] + r[start + 140])
    total = (first + second) + ((r[start + 160] + r[start + 180]) + (r[start + 200] + r[start + 220]))
    state.stride_sums[state.row & (STRIDES - 1)] = total
    state.stride_sums[(state.row & (STRIDES - 1)) + STRIDES] = total


@inlined
def _lane_squares(values: np.ndarray, mean: float, lanes: np.ndarray) -> None:
    """lanes[j] = sum of (values[j] - mean)^2, (values[j + 20] - mean)^2, ..., (values[j + 280] - mean)^2."""
    for j in range(LANES):
        a, b, c, d = values[j] - mean, values[j + 20] - mean, values[j + 40] - mean, values[j + 60] - mean
        e, g, h, k = values[j + 80] - mean, values[j + 100] - mean, values[j + 120] - mean, values[j + 140] - mean
        p, q, r, s = values[j + 160] - mean, values[j + 180] - mean, values[j + 200] - mean, values[j + 220] - mean
        t, u, v = values[j + 240] - mean, values[j + 260] - mean, values[j + 280] - mean
        first = ((a * a + b * b) + (c * c + d * d)) + ((e * e + g * g) + (h * h + k * k))
        lanes[j] = first + (((p * p + q * q) + (r * r + s * s)) + ((t * t + u * u) + v * v))


@inlined
def write_volatility(state: Record, out: np.ndarray, at: int) -> None:
    """Write the four deviations of r into row `at` of `out` (n, 56) float64; the segment has at least 301 rows."""
    stop = (state.row & (RETURNS - 1)) + RETURNS + 1  # the ring holds each value twice: the window is one piece
    values = state.returns[stop - 300 : stop]
    lanes = state.lanes
    sum_10 = _sum(values, 290, 300)
    sum_30 = sum_10 + _sum(values, 270, 290)
    sum_60 = sum_30 + _sum(values, 240, 270)
    # the first 240 of the window: strides that end 79 to 60 rows ago
    oldest = (state.row & (STRIDES - 1)) + STRIDES - 79
    mean = (sum_60 + _sum(state.stride_sums, oldest, oldest + LANES)) / 300
    _lane_squares(values, mean, lanes)
    out[at, f.VOLATILITY_10S] = _deviation(values, 290, sum_10)
    out[at, f.VOLATILITY_30S] = _deviation(values, 270, sum_30)
    out[at, f.VOLATILITY_60S] = _deviation(values, 240, sum_60)
    out[at, f.VOLATILITY_300S] = math.sqrt(_sum(lanes, 0, LANES) / 299)
