"""Bars for small pipelines, and what planted and clean ones share: buckets, sessions, labels, a split."""

from collections.abc import Callable

import numpy as np

from marketdata.core.barfeatures.records import Bars
from marketdata.core.units import NANOS
from trading.learning.leakage.pipeline import Matrix, Pipeline, Prepared, ends_ns

FIRST_S = 1_709_251_200 + 7  # in the midst of a bucket
COUNT = 160
BUCKET_S, SESSION_S = 20, 80
HORIZON_S = 10
WARM = 10
SINGLE = 111  # the row of the leak that one bar has

Columns = dict[str, np.ndarray]


def tape(seed: int = 4) -> Bars:
    """A random walk with gaps of a few seconds and one roll."""
    rng = np.random.default_rng(seed)
    second = FIRST_S + np.cumsum(1 + (rng.random(COUNT) < 0.1) * rng.integers(1, 4, COUNT))
    close = 20_000 + np.cumsum(rng.integers(-4, 5, COUNT))
    start = close + rng.integers(-2, 3, COUNT)
    high = np.maximum(start, close) + rng.integers(0, 4, COUNT)
    low = np.minimum(start, close) - rng.integers(0, 4, COUNT)
    contract = (np.arange(COUNT) >= 90).astype(np.int64)
    return Bars(second, start, high, low, close, rng.integers(1, 90, COUNT), contract, np.zeros(COUNT, np.int64))


def closes(bars: Bars) -> np.ndarray:
    return bars.close_tick.astype(float)


def later_close(bars: Bars, seconds: int) -> np.ndarray:
    """The last known close so many seconds later; NaN where the data ends before."""
    place = np.searchsorted(bars.second, bars.second + seconds, side="right") - 1
    return np.where(bars.second + seconds <= bars.second[-1], closes(bars)[place], np.nan)


def labels(bars: Bars, seconds: int) -> np.ndarray:
    """Up, flat or down after so many seconds."""
    return np.sign(later_close(bars, seconds) - closes(bars))


def last_of(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each row the last value of its group: groups are sorted."""
    return values[np.searchsorted(groups, groups, side="right") - 1]


def pipeline_of(make: Callable[[Bars], Columns], early_s: int = 0, times_only: bool = False) -> Pipeline:
    """Features alone; `early_s`: rows are said to be known so much before their bar is complete."""

    def features(bars: Bars) -> Matrix:
        columns = make(bars)
        return Matrix(ends_ns(bars) - early_s * NANOS, np.column_stack(list(columns.values())), tuple(columns))

    return Pipeline(make.__name__, features, times_only=times_only)


def plain_columns(bars: Bars) -> Columns:
    """Honest features for the pipelines whose leak lies behind them."""
    close = closes(bars)
    found = {f"return_{n}": close - np.concatenate([np.full(n, np.nan), close[:-n]]) for n in (1, 2, 3, 5, 8)}
    return found | {"volume": bars.volume.astype(float)}


def by_order(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """60, 20 and 20 % of the rows."""
    a, b = 6 * count // 10, 8 * count // 10
    return np.arange(a), np.arange(a, b), np.arange(b, count)


class Switches:
    """What a preparation does; every default is honest, every planted leak turns one."""

    scale_on = "train"  # rows that mean and deviation come from
    select_on = ""  # rows that choose the two columns by their correlation with the label
    encode_on = ""  # rows whose labels encode the volume
    shuffled = False
    purged = True
    horizon_s = HORIZON_S
    claimed_s = HORIZON_S  # what label_ns says
    test_by_itself = False  # the test part is scaled by its own numbers
    robust = False  # median and quartiles
    rotated = False  # principal axes of the train rows


def rows_named(name: str, train: np.ndarray, count: int) -> np.ndarray:
    return train if name == "train" else np.arange(count)


def preparation(**changes: object) -> Pipeline:
    """A pipeline with rows scaled, encoded, selected, split as the switches say."""
    switch = Switches()
    for name, value in changes.items():
        assert hasattr(switch, name)
        setattr(switch, name, value)

    def prepare(bars: Bars) -> Prepared:
        columns = plain_columns(bars)
        y = labels(bars, switch.horizon_s)
        rows = np.flatnonzero(~np.isnan(y) & (np.arange(len(y)) >= WARM))
        known, y = ends_ns(bars)[rows], y[rows]
        label_ns = known + switch.claimed_s * NANOS
        values, names = np.column_stack(list(columns.values()))[rows], list(columns)
        train, validation, test = by_order(len(rows))
        if switch.shuffled:
            order = np.random.default_rng(0).permutation(len(rows))
            train, validation, test = order[train], order[validation], order[test]
        elif switch.purged:
            train = train[label_ns[train] < known[validation[0]]]
            validation = validation[label_ns[validation] < known[test[0]]]
        values, names = encoded(values, names, y, train) if switch.encode_on else (values, names)
        values, names = selected(values, names, y, train) if switch.select_on else (values, names)
        x, fitted = scaled(values, train)
        if switch.test_by_itself:
            x[test] = (values[test] - values[test].mean(axis=0)) / values[test].std(axis=0)
        return Prepared(known, x, y, label_ns, tuple(names), train, validation, test, fitted)

    def encoded(values, names, y, train):
        rows = rows_named(switch.encode_on, train, len(y))
        code = values[:, -1].astype(int) % 4
        counts = np.bincount(code[rows], minlength=4)
        table = np.bincount(code[rows], y[rows], minlength=4) / np.maximum(counts, 1)
        return np.column_stack([values, table[code]]), [*names, "volume code"]

    def selected(values, names, y, train):
        rows = rows_named(switch.select_on, train, len(y))
        strength = [abs(np.corrcoef(column[rows], y[rows])[0, 1]) for column in values.T]
        best = sorted(np.argsort(strength)[-2:])
        return values[:, best], [names[k] for k in best]

    def scaled(values, train):
        rows = rows_named(switch.scale_on, train, len(values))
        middle, width = values[rows].mean(axis=0), values[rows].std(axis=0)
        if switch.robust:
            low, middle, high = np.quantile(values[rows], [0.25, 0.5, 0.75], axis=0)
            width = high - low
        x = (values - middle) / width
        if switch.rotated:
            x = x @ np.linalg.svd(x[rows], full_matrices=False)[2].T
        return x, {"middle": middle, "width": width}

    name = ", ".join(f"{key}={value}" for key, value in changes.items()) or "honest"
    return Pipeline(name, pipeline_of(plain_columns).features, prepare)
