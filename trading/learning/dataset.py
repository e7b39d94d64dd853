"""From a feed's tape to labelled rows, split by time: what a network may see, and nothing of the future in it.

Features come from the same jitted step that is used live; labels are made by clock time from mids after the row and
never enter the features (MES-LABEL-01 .. -03).  Parts are cut in time order, purged and embargoed (MES-SPLIT-03).
Called by training and by `manage.py features`.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numba import njit

from marketdata.core.features_schema import FEATURE_COUNT, RING
from marketdata.core.features_stream import new_states, update, vector
from marketdata.core.records import NO_TIME, new_depths
from marketdata.feeds.port import Batch, Feed
from trading.learning.forward import CLASSES
from trading.learning.schemas import STREAM_SCHEMA, Schema
from trading.learning.scoring import due

DOWN, FLAT, UP, NO_LABEL = 0, 1, 2, -1
CHUNK = 20_000  # events read at a time
FOREVER = np.iinfo(np.int64).max
BYTES_A_PRICE = 16


class DataError(ValueError):
    """A tape or split that cannot be trained on; the message says why."""


class Cancelled(Exception):
    """The person stopped the work; nothing was written."""


class Tape(msgspec.Struct, frozen=True):
    """Where rows come from; the fields that `marketdata.feeds.registry.open_feed` reads."""

    name: str
    symbols: list[str]
    seed: int = 0
    speed: float = 0.0
    path: str = ""
    schema: str = ""
    options: dict[str, str] = {}


class Rows(NamedTuple):
    """Rows in time order.  `label` -1 where undefined; `label_ns` = time at which the label is known."""

    features: np.ndarray  # (n, schema.width) float64
    ts_ns: np.ndarray  # (n,) int64
    label: np.ndarray  # (n,) int8
    label_ns: np.ndarray  # (n,) int64
    step_ns: int
    events: int  # events of the tape that were read
    schema: Schema = STREAM_SCHEMA


class Split(NamedTuple):
    """Row indices of the three parts, and how many rows purge and embargo removed."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    purged: int
    embargoed: int


def row_bytes(width: int) -> int:
    """Memory of one row of so many features while it is trained on: raw, time, label, scaled with one copy."""
    return width * 8 + 8 + 1 + 2 * width * 4


def estimate_bytes(seconds: int, every_ms: int, events_a_second: int = 100) -> tuple[int, int]:
    """(rows, bytes) that a tape of this length needs at most, before it is read; events a second are assumed."""
    rows = seconds * 1000 // max(1, every_ms) + 1
    return rows, rows * row_bytes(FEATURE_COUNT) + seconds * events_a_second * BYTES_A_PRICE


@njit(cache=True)
def _collect(
    states: np.ndarray,
    scored_ns: np.ndarray,
    events: np.ndarray,
    depths: np.ndarray,
    depth_of: np.ndarray,
    which: int,
    every_ns: int,
    features: np.ndarray,
    row_at: np.ndarray,
    times: np.ndarray,
    mids: np.ndarray,
) -> tuple[int, int]:
    """Move the states over one chunk; returns (rows, prices) written.  Sizes of the outputs: the chunk's length."""
    rows = 0
    prices = 0
    for i in range(len(events)):
        update(states, events, depths, depth_of, i)
        if events[i].instrument != which or states[which].started == 0:
            continue
        times[prices] = states[which].now_ns
        mids[prices] = states[which].mid2
        if due(states, scored_ns, events[i], every_ns):
            vector(states[which], features[rows])
            row_at[rows] = prices
            rows += 1
        prices += 1
    return rows, prices


@njit(cache=True)
def _label(
    row_at: np.ndarray,
    times: np.ndarray,
    mids: np.ndarray,
    horizon_ns: int,
    cost2: int,
    silence_ns: int,
    label: np.ndarray,
    label_ns: np.ndarray,
) -> None:
    """Clock labels: the last known mid at row time + horizon against the row's, in half ticks, strictly beyond cost."""
    at = 0
    last_gap = 0  # index of the first price behind the latest silence that was passed
    for row in range(len(row_at)):
        start = row_at[row]
        due_ns = times[start] + horizon_ns
        label_ns[row] = due_ns
        label[row] = NO_LABEL
        at = max(at, start)
        while at + 1 < len(times) and times[at + 1] <= due_ns:
            at += 1
            if times[at] - times[at - 1] >= silence_ns:
                last_gap = at
        known = times[at] == due_ns or (at + 1 < len(times) and times[at + 1] - times[at] < silence_ns)
        if not known or last_gap > start:
            continue  # the tape or its segment ends before the label is known (MES-LABEL-02)
        move = mids[at] - mids[start]
        label[row] = UP if move > cost2 else (DOWN if move < -cost2 else FLAT)


def chunks(feed: Feed, until_ns: int) -> Iterator[Batch]:
    """The back-fill, then the tape up to `until_ns` in chunks of CHUNK events."""
    yield feed.backfill()
    while True:
        batch = feed.read(until_ns, CHUNK)
        if len(batch.events) > 0:
            yield batch
        if batch.ended or len(batch.events) == 0:
            return


def some_depths(depths: np.ndarray) -> np.ndarray:
    """The same array, or one unused row where it is empty: jitted code takes one row in any case."""
    return depths if len(depths) > 0 else new_depths(1)


def _no_report(events: int, share: float) -> None:
    return None


def read_rows(
    feed: Feed,
    which: int,
    instruments: int,
    *,
    seconds: int,
    every_ns: int,
    horizon_ns: int,
    cost_ticks: float,
    report: Callable[[int, float], None] = _no_report,
    cancelled: Callable[[], bool] = lambda: False,
) -> Rows:
    """Rows of instrument `which`, one at most every `every_ns`, over `seconds` of the tape (0 = all of it).

    `report(events, share)` is told the progress.  Raises Cancelled; DataError for a horizon shorter than the grid.
    """
    until_ns = feed.start_ns + seconds * 1_000_000_000 if seconds > 0 else FOREVER
    states, scored_ns = new_states(instruments), np.full(instruments, NO_TIME)
    features, row_at, times, mids = [], [], [], []
    seen, prices = 0, 0
    for batch in chunks(feed, until_ns):
        if cancelled():
            raise Cancelled
        n = len(batch.events)
        row_features, row_index = np.empty((n, FEATURE_COUNT)), np.empty(n, np.int64)
        row_times, row_mids = np.empty(n, np.int64), np.empty(n, np.int64)
        arrays = batch.events, some_depths(batch.depths), batch.depth_of
        used, known = _collect(
            states, scored_ns, *arrays, which, every_ns, row_features, row_index, row_times, row_mids
        )
        features.append(row_features[:used].copy())
        row_at.append(row_index[:used] + prices)
        times.append(row_times[:known].copy())
        mids.append(row_mids[:known].copy())
        seen, prices = seen + n, prices + known
        if known > 0 and seconds > 0:
            report(seen, min(1.0, max(0.0, (int(row_times[known - 1]) - feed.start_ns) / (seconds * 1e9))))
    step_ns = int(states[which]["step_ns"])
    if horizon_ns < step_ns:
        raise DataError(
            f"the horizon of {horizon_ns / 1e9:g} s is shorter than the tape's grid step of {step_ns / 1e9:g} s"
        )
    index, all_times, all_mids = np.concatenate(row_at), np.concatenate(times), np.concatenate(mids)
    label, label_ns = np.empty(len(index), np.int8), np.empty(len(index), np.int64)
    _label(index, all_times, all_mids, horizon_ns, round(2 * cost_ticks), RING * step_ns, label, label_ns)
    return Rows(np.concatenate(features), all_times[index], label, label_ns, step_ns, seen)


def split_rows(rows: Rows, embargo_ns: int, rows_min: int = 50) -> Split:
    """60 % train, 20 % validation, 20 % test in time order; a row whose label reaches into a later part is purged,
    and the first `embargo_ns` of validation and test are left out.  Raises DataError for a part below `rows_min`."""
    labelled = np.flatnonzero(rows.label != NO_LABEL)
    n = len(labelled)
    parts = [labelled[: 6 * n // 10], labelled[6 * n // 10 : 8 * n // 10], labelled[8 * n // 10 :]]
    return _purged(rows, parts, lambda part: rows.ts_ns[part] >= rows.ts_ns[part[0]] + embargo_ns, rows_min)


def split_days(rows: Rows, trading_day: np.ndarray, embargo_days: int = 1, rows_min: int = 50) -> Split:
    """The same by whole trading days: of n days the borders are floor(0.6 n) and floor(0.8 n) (MES-SPLIT-02); the first
    `embargo_days` of validation and test are left out.  `trading_day`: (rows,) int64, YYYYMMDD.  Raises DataError."""
    labelled = np.flatnonzero(rows.label != NO_LABEL)
    days, place = np.unique(trading_day[labelled], return_inverse=True)
    first, second = 6 * len(days) // 10, 8 * len(days) // 10
    parts = [labelled[place < first], labelled[(place >= first) & (place < second)], labelled[place >= second]]

    def late(part: np.ndarray) -> np.ndarray:
        return np.isin(trading_day[part], np.unique(trading_day[part])[embargo_days:])

    return _purged(rows, parts, late, rows_min)


def _purged(rows: Rows, parts: list[np.ndarray], late: Callable[[np.ndarray], np.ndarray], rows_min: int) -> Split:
    """The parts without rows whose label reaches into the next part, and from the second on only their `late` rows."""
    kept, purged, embargoed = [], 0, 0
    for i, part in enumerate(parts):
        keep = np.ones(len(part), np.bool_)
        if i + 1 < len(parts) and len(parts[i + 1]) > 0:
            keep &= rows.label_ns[part] < rows.ts_ns[parts[i + 1][0]]
        purged += int((~keep).sum())
        if i > 0 and len(part) > 0:
            after = late(part)
            embargoed += int((keep & ~after).sum())
            keep &= after
        kept.append(part[keep])
    for name, part in zip(("train", "validation", "test"), kept, strict=True):
        if len(part) < rows_min:
            raise DataError(f"the {name} part has {len(part)} rows, {rows_min} are needed: give a longer tape")
    return Split(kept[0], kept[1], kept[2], purged, embargoed)


def class_weights_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(counts, weights) of the train rows: weight total/(3 count), normalised to sum 3 (MES-ML-07)."""
    counts = np.bincount(labels, minlength=3)
    absent = [CLASSES[i] for i in range(3) if counts[i] == 0]
    if absent:
        raise DataError(
            f"the train rows have no {' and no '.join(absent)} (counts {[int(c) for c in counts]}): "
            "a longer tape, another horizon or a smaller cost is needed"
        )
    weights = len(labels) / (3.0 * counts)
    return counts, weights * 3.0 / weights.sum()


def scaler_of(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population deviation of the train rows; deviation 0 becomes 1 (MES-SPLIT-04)."""
    scale = features.std(axis=0)
    scale[scale == 0] = 1.0
    return features.mean(axis=0), scale


def rows_hash(rows: Rows) -> str:
    """SHA-256 (hex) over features, times and labels: names the data that a network was made from."""
    digest = hashlib.sha256()
    for array in (rows.features, rows.ts_ns, rows.label):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
