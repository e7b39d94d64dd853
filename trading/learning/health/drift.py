"""Whether features still look as they did when the network was made: KS, PSI, shift, and what they amount to (T-06).

Pure: two samples of each (instrument, feature) in, one Pair each out.  Severity is MOEX-MON-02's: critical beyond three
reference sigmas of shift, warning beyond two where Holm's correction over all pairs of the evaluation leaves p below
5 %.  PSI is shown and decides nothing: of the hundred values of half an hour it is mostly noise.  Called by the watcher
of a session and by tests alike.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

NONE, WARNING, CRITICAL = 0, 1, 2
SAMPLE_MIN = 20  # values of either side, below which a pair is passed over
SIGMA_MIN = 1e-9  # of max(1, |mean|): a feature that stood still
P_MAX, WARNING_SIGMAS, CRITICAL_SIGMAS = 0.05, 2.0, 3.0
BINS = 10  # of PSI: tenths of the reference


class Sample(NamedTuple):
    """What one (instrument, feature) showed: values of the reference and of now, float64."""

    instrument: int
    feature: int
    reference: np.ndarray
    current: np.ndarray


class Pair(NamedTuple):
    """One that was compared.  `shift`, `sigma` in the feature's own unit; p_adj after Holm."""

    instrument: int
    feature: int
    n_ref: int
    n_cur: int
    ks: float
    p: float
    p_adj: float
    shift: float
    sigma: float
    psi: float
    severity: int

    @property
    def sigmas(self) -> float:
        """The shift in reference sigmas, without its sign."""
        return abs(self.shift) / self.sigma


def is_comparable(sample: Sample) -> bool:
    """Whether both sides have values enough, and the reference's do not stand still (MOEX-MON-01)."""
    if min(len(sample.reference), len(sample.current)) < SAMPLE_MIN:
        return False
    floor = SIGMA_MIN * max(1.0, abs(float(sample.reference.mean())))
    return bool(sample.reference.std() >= floor)


def smirnov(reference: np.ndarray, current: np.ndarray) -> tuple[float, float]:
    """(D, p) of the two-sided Kolmogorov-Smirnov test of two samples, p exact: the share of all orders of the values,
    each as likely as the other, that are at least as far apart (J. Hodges, Arkiv för matematik 3, 1958).

    As scipy.stats.ks_2samp gives it for samples of up to ten thousand.  Where values repeat, p is an upper bound.
    """
    few, many = sorted((np.sort(reference), np.sort(current)), key=len)
    n, m = len(few), len(many)
    places = np.concatenate([few, many])
    apart = np.searchsorted(few, places, side="right") * m - np.searchsorted(many, places, side="right") * n
    most = int(np.abs(apart).max())
    return most / (n * m), max(0.0, 1.0 - float(_nearer(n, m, most)))


@njit(cache=True, nogil=True)
def _nearer(n: int, m: int, most: int) -> float:
    """Share of the orders of n and m values on whose way |i m - j n| stays below `most`."""
    paths = np.zeros(m + 1)
    for i in range(n + 1):
        for j in range(m + 1):
            if abs(i * m - j * n) >= most:
                paths[j] = 0.0
            elif i + j == 0:
                paths[j] = 1.0
            else:
                left = paths[j - 1] * j if j > 0 else 0.0
                paths[j] = (paths[j] * i + left) / (i + j)
    return paths[m]


def stability(reference: np.ndarray, current: np.ndarray) -> float:
    """Population stability index over tenths of the reference: Σ (c − r) ln(c / r); half a value is added to each bin.

    Values that repeat share a bin, so a feature of few values has fewer bins.
    """
    edges = np.unique(np.quantile(reference, np.arange(1, BINS) / BINS))
    shares = []
    for values in (reference, current):
        counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
        shares.append((counts + 0.5) / (len(values) + 0.5 * len(counts)))
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def holm(p: np.ndarray) -> np.ndarray:
    """p-values after Holm's step-down correction over all of them."""
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(1.0, p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(stepped)
    return adjusted


def severity_of(p_adj: float, sigmas: float) -> int:
    """MOEX-MON-02, all strict."""
    if sigmas > CRITICAL_SIGMAS:
        return CRITICAL
    return WARNING if p_adj < P_MAX and sigmas > WARNING_SIGMAS else NONE


def compare(samples: Sequence[Sample]) -> list[Pair]:
    """Every pair that `is_comparable`; the caller counts the others.  Takes half a millisecond a pair."""
    fit = [sample for sample in samples if is_comparable(sample)]
    found = [smirnov(sample.reference, sample.current) for sample in fit]
    adjusted = holm(np.array([p for _, p in found]))
    pairs = []
    for sample, ks, p_adj in zip(fit, found, adjusted.tolist(), strict=True):
        shift, sigma = float(sample.current.mean() - sample.reference.mean()), float(sample.reference.std())
        sizes = len(sample.reference), len(sample.current)
        psi, severity = stability(sample.reference, sample.current), severity_of(p_adj, abs(shift) / sigma)
        pairs.append(Pair(sample.instrument, sample.feature, *sizes, *ks, p_adj, shift, sigma, psi, severity))
    return pairs
