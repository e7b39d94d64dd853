"""The 56 features of one-second bars: a row in the batch, and a bar from Python.

The bars are made here from a written seed; grid, segments, labels and every check of the step are included.
"""

import time

import numpy as np

from desk.ops.bench.table import Row, quantiles
from marketdata.core.barfeatures import stream
from marketdata.core.barfeatures.engine import BarFeatures
from marketdata.core.barfeatures.labels import new_label_states
from marketdata.core.barfeatures.records import BAR_DAY, VALID, Bars, new_bar_states, new_rows
from marketdata.core.barfeatures.schema import FEATURE_COUNT, FEATURE_NAMES
from marketdata.core.records import NO_TIME

SEED = 7
DAYS = 4
DAY_S = 86_400
SESSION_S = 82_800
FIRST_S = 19_000 * DAY_S + 23 * 3600
CALLS = 30_000
COLD = 1_200
ROUNDS = 7
ROOM = 4_096


def made_days(count: int = DAYS) -> np.ndarray:
    """(count,) BAR_DAY: regular winter days from 18:00 New York on."""
    days = np.zeros(count, BAR_DAY)
    days["open_s"] = FIRST_S + DAY_S * np.arange(count)
    days["close_s"] = days["open_s"] + SESSION_S
    days["rth_open_s"] = days["open_s"] + 55_800
    days["rth_close_s"] = days["open_s"] + 79_200
    days["wall_s"] = -5 * 3600
    days["weekday"] = np.arange(count) % 5
    return days


def made_bars(days: np.ndarray) -> Bars:
    """A random walk of printed seconds; every eighth second has none."""
    rng = np.random.default_rng(SEED)
    second = np.concatenate([np.arange(day["open_s"], day["close_s"]) for day in days])
    second = second[rng.random(len(second)) < 0.875]
    n = len(second)
    close = 18_000 + np.cumsum(rng.integers(-1, 2, n))
    start = close + rng.integers(-1, 2, n)
    high = np.maximum(close, start) + rng.integers(0, 3, n)
    low = np.minimum(close, start) - rng.integers(0, 3, n)
    zero = np.zeros(n, np.int64)
    return Bars(second, start, high, low, close, rng.integers(0, 60, n), zero, zero)


def run_batch(days: np.ndarray, bars: Bars) -> int:
    """All bars through the batch in blocks of ROOM rows; the number of rows."""
    states, labels, out = new_bar_states(1), new_label_states(1), new_rows(ROOM)
    at, total = 0, 0
    while at < len(bars.second):
        at, rows, _, verdict = stream.batch(states, labels, 0, days, bars, at, out, NO_TIME)
        assert verdict == VALID
        total += rows
    return total


def call_samples(days: np.ndarray, bars: Bars) -> np.ndarray:
    """Nanoseconds of one bar through the engine from Python, for CALLS bars after the warm-up."""
    engine = BarFeatures(days, FEATURE_NAMES)
    spent = []
    for bar in zip(*(column[: CALLS + COLD].tolist() for column in bars), strict=True):
        for _ in engine.carried(bar[0]):
            pass
        began = time.perf_counter_ns()
        engine.bar(*bar)
        spent.append(time.perf_counter_ns() - began)
    return np.array(spent[COLD:])


def measure() -> list[Row]:
    """Rows: ns per grid row in the batch (CPU time, median of ROUNDS), us per bar from Python."""
    days = made_days()
    bars = made_bars(days)
    total = run_batch(days, bars)
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        run_batch(days, bars)
        spent.append((time.process_time_ns() - began) / total)
    note = f"{total} rows, {FEATURE_COUNT} features and label, CPU time"
    batch = Row("bar features in the batch", float(np.median(spent)), "ns/row", 200.0, note=note)
    return [batch, *quantiles("bar features, one bar from Python", call_samples(days, bars) / 1000, "us", None, 4.0)]
