"""What a network's probabilities are worth on rows that it never saw: against the majority class and the base rates.

MES-GATE's rows on the network itself, over the tests of all folds.  Whatever is undecided is drawn by whole days, for
the rows of a day resemble each other.  Classes are those of the labels: down, flat, up.  Called by the walk-forward.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trading.research.figures import Figure, figure
from trading.research.records import ResearchError, in_order

CLASSES = 3
BINS = 10  # of equal counts
DRAWS = 2_000
LOW_PERCENT = 2.5  # lower end of the 95 % interval
DAYS_MIN = 5  # fewer say nothing of how much a day differs from the next
LEAST = 1e-12  # of a probability inside a logarithm


class Told(NamedTuple):
    """Rows of tests, in time order: `shares` (n, 3) float64 probabilities; `label` (n,) int 0 .. 2; `day` (n,) int64,
    ascending; `base` (n, 3) float64: the shares of the classes in the training that the row's network had."""

    shares: np.ndarray
    label: np.ndarray
    day: np.ndarray
    base: np.ndarray


def joined(parts: Sequence[Told]) -> Told:
    """Several tests as one.  Raises ResearchError where they are not in the order of their days."""
    told = Told(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    if not in_order(told.day):
        raise ResearchError("the rows of the tests are not in the order of their days")
    return told


def accuracy_gain_low(told: Told, seed: int = 1) -> Figure:
    """Lower 95 % bound of accuracy less the share of the majority class of the same rows, by drawing days anew."""
    days, place = np.unique(told.day, return_inverse=True)
    if len(days) < DAYS_MIN:
        return Figure(None, f"The tests have rows on {len(days)} days, {DAYS_MIN} are needed")
    right = np.bincount(place, told.shares.argmax(axis=1) == told.label, len(days))
    counts = np.zeros((len(days), CLASSES))
    np.add.at(counts, (place, told.label), 1.0)
    drawn = np.random.default_rng(seed).integers(0, len(days), (DRAWS, len(days)))
    times = np.apply_along_axis(np.bincount, 1, drawn, minlength=len(days)).astype(np.float64)
    rows = times @ counts.sum(axis=1)
    gains = (times @ right - (times @ counts).max(axis=1)) / rows
    return figure(float(np.percentile(gains, LOW_PERCENT)))


def log_loss_change(told: Told) -> Figure:
    """Log loss less that of a predictor that knows the base rates of the training alone; below 0 is better."""
    if len(told.label) == 0:
        return Figure(None, "The tests have no labelled row")
    return figure(_log_loss(told.shares, told.label) - _log_loss(told.base, told.label))


def _log_loss(shares: np.ndarray, label: np.ndarray) -> float:
    return float(-np.log(np.maximum(shares[np.arange(len(label)), label], LEAST)).mean())


def calibration_error(told: Told) -> Figure:
    """Mean distance of confidence and accuracy over BINS bins of equally many rows, by confidence."""
    n = len(told.label)
    if n < BINS:
        return Figure(None, f"The tests have {n} labelled rows, {BINS} are needed")
    confidence = told.shares.max(axis=1)
    order = np.argsort(confidence, kind="stable")
    right = (told.shares.argmax(axis=1) == told.label)[order]
    parts = zip(np.array_split(confidence[order], BINS), np.array_split(right, BINS), strict=True)
    return figure(sum(abs(float(sure.mean()) - float(hit.mean())) * len(sure) for sure, hit in parts) / n)


def network_figures(told: Told, seed: int = 1) -> dict[str, tuple[Figure, int]]:
    """The gate's rows on the network by name, each with the number of its rows."""
    n = len(told.label)
    return {
        "accuracy_gain_low": (accuracy_gain_low(told, seed), n),
        "log_loss_change": (log_loss_change(told), n),
        "calibration_error": (calibration_error(told), n),
    }
