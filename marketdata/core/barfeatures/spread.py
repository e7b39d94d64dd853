"""Sample deviations of the last 10, 30, 60 and 300 returns, each in two passes over its window: no drift (MES-FEAT-02).

Without `fastmath` a plain sum is one long chain of additions.  Here the order is written so that the compiler can add
side by side: 20 lanes for the long windows, five chains for the short ones and the sums.  The order is
fixed, so batch, streaming and the plain interpreter give the same bits.  The sums of returns 20 apart are the same
numbers in twenty windows: they are made once, when their newest return comes.  Called by `observe` and `vector`.
"""

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
def _squares(values: np.ndarray, start: int, stop: int, mean: float) -> float:
    """Sum of (values[start:stop] - mean)^2; the length is a multiple of five."""
    a = b = c = d = e = 0.0
    for i in range(start, stop, 5):
        a += _square(values[i], mean)
        b += _square(values[i + 1], mean)
        c += _square(values[i + 2], mean)
        d += _square(values[i + 3], mean)
        e += _square(values[i + 4], mean)
    return ((a + b) + (c + d)) + e


@inlined
def _square(x: float, mean: float) -> float:
    return (x - mean) * (x - mean)


@inlined
def _lane_squares(values: np.ndarray, mean_30: float, mean_60: float, mean_300: float, lanes: np.ndarray) -> None:
    """Sums over j, j + 20, ... of (value - mean)^2 into `lanes` (3, 20): of the last 300, the last 60, the last 20
    with the mean of 30.  One loop for all: a shorter one would be unrolled before it could be done side by side."""
    m = mean_300
    for j in range(LANES):
        a, b, c, d = values[j], values[j + 20], values[j + 40], values[j + 60]
        e, g, h, k = values[j + 80], values[j + 100], values[j + 120], values[j + 140]
        p, q, r, s = values[j + 160], values[j + 180], values[j + 200], values[j + 220]
        t, u, v = values[j + 240], values[j + 260], values[j + 280]
        first = (_square(a, m) + _square(b, m)) + (_square(c, m) + _square(d, m))
        second = (_square(e, m) + _square(g, m)) + (_square(h, m) + _square(k, m))
        third = (_square(p, m) + _square(q, m)) + (_square(r, m) + _square(s, m))
        lanes[0, j] = (first + second) + (third + ((_square(t, m) + _square(u, m)) + _square(v, m)))
        lanes[1, j] = (_square(t, mean_60) + _square(u, mean_60)) + _square(v, mean_60)
        lanes[2, j] = _square(v, mean_30)


@inlined
def write_squares(state: Record, out: np.ndarray, at: int) -> None:
    """Write the four sums of squared deviations of r into row `at` of `out` (n, 56) float64, to be divided by n - 1 and
    rooted; the segment has at least 301 rows."""
    stop = (state.row & (RETURNS - 1)) + RETURNS + 1  # the ring holds each value twice: the window is one piece
    values = state.returns[stop - 300 : stop]
    lanes = state.lanes
    sum_10 = _sum(values, 290, 300)
    sum_30 = sum_10 + _sum(values, 270, 290)
    sum_60 = sum_30 + _sum(values, 240, 270)
    # the first 240 of the window: strides that end 79 to 60 rows ago
    oldest = (state.row & (STRIDES - 1)) + STRIDES - 79
    sum_300 = sum_60 + _sum(state.stride_sums, oldest, oldest + LANES)
    mean_30 = sum_30 / 30
    _lane_squares(values, mean_30, sum_60 / 60, sum_300 / 300, lanes)
    out[at, f.VOLATILITY_10S] = _squares(values, 290, 300, sum_10 / 10)
    out[at, f.VOLATILITY_30S] = _squares(values, 270, 280, mean_30) + _sum(lanes[2], 0, LANES)
    out[at, f.VOLATILITY_60S] = _sum(lanes[1], 0, LANES)
    out[at, f.VOLATILITY_300S] = _sum(lanes[0], 0, LANES)
