"""The desk's own pipeline of the bar features as the leakage check sees it, and bars to check a pipeline on.

The very functions of training are called: grid and features, clock labels, split by trading days, scaler and class
weights of the train rows.  Called by `manage.py leakage` and tests.
"""

from pathlib import Path

import numpy as np

from marketdata.bardays import BarDays
from marketdata.core.barfeatures.engine import BarFeatures
from marketdata.core.barfeatures.labels import NO_LABEL
from marketdata.core.barfeatures.records import Bars
from marketdata.core.barfeatures.schema import FEATURE_NAMES, LABEL_S
from marketdata.core.units import NANOS
from marketdata.feeds.options import ReplayOptions
from marketdata.store.chunks import ChunkReader
from trading.learning.bars.rows import as_columns
from trading.learning.dataset import DataError, Rows, class_weights_of, scaler_of, split_days
from trading.learning.leakage.pipeline import Matrix, Pipeline, Prepared
from trading.learning.schemas import bars_schema

DAYS = 10  # trading days of a tape: the least of which each part keeps one behind its embargo
BEFORE_S, AFTER_S = 1_500, 1_500  # around 09:30 New York of each day: warm-up, and rows within RTH
MADE_FROM_S = 1_709_251_200  # 2024-03-01: made-up tapes cross the change of the clocks
START_TICK = 20_000


def _rows(bars: Bars, days: BarDays) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(second, valid, features, label) of every grid row."""
    engine = BarFeatures(days.cover(int(bars.second[0]), int(bars.second[-1])), FEATURE_NAMES)
    parts = [
        (block.second.copy(), block.valid, block.features.copy(), block.label.copy()) for block in engine.blocks(bars)
    ]
    second, valid, features, label = (np.concatenate(column) for column in zip(*parts, strict=True))
    return second, valid, features, np.concatenate([label, engine.last_labels()])


def bars_pipeline(symbol: str = "MES") -> Pipeline:
    """What `manage.py train --features` does to bars, up to what the network sees."""
    days, schema = BarDays(), bars_schema(symbol)

    def features(bars: Bars) -> Matrix:
        second, _, values, _ = _rows(bars, days)
        return Matrix((second + 1) * NANOS, values, schema.names)

    def prepare(bars: Bars) -> Prepared:
        second, valid, values, label = _rows(bars, days)
        place = days.places(second)
        clock = days.days[place]
        rth = (place >= 0) & (second >= clock["rth_open_s"]) & (second < clock["rth_close_s"])
        take = rth & valid & (label != NO_LABEL)
        known_ns = (second[take] + 1) * NANOS
        label_ns = known_ns + LABEL_S * NANOS
        rows = Rows(values[take], known_ns, label[take], label_ns, NANOS, len(second), schema)
        split = split_days(rows, clock["trading_day"][take])
        mean, scale = scaler_of(rows.features[split.train])
        counts, weights = class_weights_of(rows.label[split.train])
        fitted = {"mean": mean, "deviation": scale, "class counts": counts, "class weights": weights}
        x = (rows.features - mean) / scale
        return Prepared(
            known_ns, x, rows.label, label_ns, schema.names, split.train, split.validation, split.test, fitted
        )

    return Pipeline(f"features {schema.id} of {symbol}, as trained", features, prepare)


def made_bars(seed: int, days: int = DAYS, before_s: int = BEFORE_S, after_s: int = AFTER_S) -> Bars:
    """A seeded random walk around 09:30 New York of so many trading days; some seconds have no print."""
    rng = np.random.default_rng(seed)
    clock = BarDays().cover(MADE_FROM_S, MADE_FROM_S + 86_400)
    opens = clock["rth_open_s"][clock["rth_open_s"] >= MADE_FROM_S][:days]
    second = np.concatenate([np.arange(start - before_s, start + after_s) for start in opens])
    second = np.ascontiguousarray(second[rng.random(len(second)) < 0.9], np.int64)
    n = len(second)
    close = START_TICK + np.cumsum(rng.integers(-2, 3, n))
    start = close + rng.integers(-2, 3, n)
    high = np.maximum(start, close) + rng.integers(0, 3, n)
    low = np.minimum(start, close) - rng.integers(0, 3, n)
    zeros = np.zeros(n, np.int64)
    return Bars(second, start, high, low, close, rng.integers(0, 60, n), zeros, zeros.copy())


def stored_bars(path: Path, symbol: str, options: ReplayOptions, days: int = DAYS) -> Bars:
    """The bars around 09:30 of the first trading days of a data set or file.  Raises DataError, FeedError."""
    clock = BarDays()
    found: list[Bars] = []
    met: set[int] = set()
    reader = ChunkReader(path, symbol, options, rows=1 << 18, inside=clock.inside)
    try:
        for chunk in reader:
            bars = as_columns(chunk.bars)
            place = clock.places(bars.second)
            here = clock.days[place]
            near = (bars.second >= here["rth_open_s"] - BEFORE_S) & (bars.second < here["rth_open_s"] + AFTER_S)
            for day in np.unique(here["trading_day"][near]).tolist():
                if day in met or len(met) < days:
                    met.add(day)
                    found.append(Bars(*(column[near & (here["trading_day"] == day)] for column in bars)))
            if len(met) == days and int(bars.second[-1]) > int(found[-1].second[-1]) + AFTER_S:
                break
    finally:
        reader.close()
    if len(met) < days:
        raise DataError(f"{path} has bars around 09:30 New York of {len(met)} trading days, {days} are needed")
    return Bars(*(np.concatenate(column) for column in zip(*found, strict=True)))
