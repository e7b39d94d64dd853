"""A network trained on labels that were shuffled inside each day: it must know nothing (MES-SANE-04).

Rows, parts, recipe and stop are those of a real training; only the tie between a row and its label is gone.  What such
a network tells the classes apart by, on days that it has not seen, is a leak.  The area is measured inside each day,
for a day keeps the shares of its classes: pooled rows would show a quiet day from a busy one.  Nothing is saved.
Called by `manage.py train --shuffled`.
"""

import math

import msgspec
import numpy as np

from trading.learning import calibration
from trading.learning.dataset import DataError, Rows, Split
from trading.learning.training import Cancel, Progress, TrainRequest, check_rows, fitted, read_parts
from trading.research.baselines import shuffled_labels

DAY_NS = 86_400_000_000_000
DRAWS = 1_000
DAYS_MIN = 5  # of the test: fewer say nothing of how much a day differs from the next
DEVIATIONS = 3.0
CHANCE = 0.5


class ShuffledReport(msgspec.Struct, frozen=True):
    """`auc`: mean over the classes of the area under the curve of one against the rest, inside days; `error`: its
    standard error by drawing days anew; `knows_nothing`: within three of them of 0.5."""

    auc: float
    error: float
    days: int
    rows: int
    epochs: int
    seed: int
    knows_nothing: bool


def train_shuffled(
    request: TrainRequest,
    progress: Progress = lambda done, total, words: None,
    cancelled: Cancel = lambda: False,
) -> ShuffledReport:
    """Read, shuffle, fit, ask once.  `out` is not looked at.  Raises DataError, SchemaError, Cancelled, FeedError."""
    check_rows(request)
    rows, split = read_parts(request, progress, cancelled)
    return knows(request, rows, split, progress, cancelled)


def knows(
    request: TrainRequest, rows: Rows, split: Split, progress: Progress, cancelled: Cancel, shuffle: bool = True
) -> ShuffledReport:
    """The same of rows that are at hand; without `shuffle`, of their own labels."""
    day = rows.ts_ns // DAY_NS
    if shuffle:
        rows = rows._replace(label=shuffled_labels(rows.label, day, request.seed))
    found = fitted(request, rows, split, progress, cancelled)
    shares = calibration.softmax(found.fit.logits(found.x[split.test]), found.fit.class_weights, 1.0)
    auc, error, days = macro_auc(shares, rows.label[split.test], day[split.test], request.seed)
    return ShuffledReport(
        auc, error, days, len(split.test), len(found.history), request.seed, abs(auc - CHANCE) <= DEVIATIONS * error
    )


def macro_auc(shares: np.ndarray, label: np.ndarray, day: np.ndarray, seed: int) -> tuple[float, float, int]:
    """(area, standard error, days) of probabilities (n, 3) for labels (n,) on days (n,), ascending.

    Of each class the share of pairs of one day, one row of it and one of the rest, that stand in the right order, ties
    half (Mann, Whitney 1947); the mean over classes; the error over DRAWS bootstraps of whole days.  Raises DataError
    for too few days."""
    _, first = np.unique(day, return_index=True)
    edges = [*first.tolist(), len(day)]
    count = len(edges) - 1
    if count < DAYS_MIN:
        raise DataError(f"the test part has {count} days, {DAYS_MIN} are needed: give a longer tape")
    right, pairs = np.zeros((count, shares.shape[1])), np.zeros((count, shares.shape[1]))
    for k in range(count):
        part = slice(edges[k], edges[k + 1])
        for which in range(shares.shape[1]):
            right[k, which], pairs[k, which] = _in_order(shares[part, which], label[part] == which)
    drawn = np.random.default_rng(seed).integers(0, count, (DRAWS, count))
    times = np.apply_along_axis(np.bincount, 1, drawn, minlength=count).astype(float)
    areas = _mean_area(times @ right, times @ pairs)
    return float(_mean_area(right.sum(0), pairs.sum(0))), float(areas.std(ddof=1)), count


def _mean_area(right: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Over classes; one without a pair says nothing, which is 0.5."""
    return np.where(pairs > 0, right / np.maximum(pairs, 1), CHANCE).mean(axis=-1)


def _in_order(share: np.ndarray, is_class: np.ndarray) -> tuple[float, float]:
    """(pairs in the right order, pairs) of one class against the rest."""
    inside = int(is_class.sum())
    pairs = inside * (len(share) - inside)
    if pairs == 0:
        return 0.0, 0.0
    _, place, counts = np.unique(share, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2  # mean rank of equals, from 1
    return math.fsum(rank[place][is_class]) - inside * (inside + 1) / 2, float(pairs)
