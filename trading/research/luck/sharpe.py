"""How probable it is that a Sharpe ratio is more than luck, given its length, its shape and all trials before it.

Sources: Bailey, López de Prado, The Sharpe Ratio Efficient Frontier, Journal of Risk 15 (2012): probabilistic Sharpe
ratio, minimum track record; the same, The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (2014).  Sharpe
ratios here are per day, never annualised (MES-GUARD-02).
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from trading.research.figures import Figure, figure
from trading.research.metrics import sharpe_ratio

EULER_GAMMA = 0.5772156649  # as MES-GUARD-02 writes it
FLAT_SHAPE = "The returns take two values only, so the error of their Sharpe ratio is zero and nothing can be said"
HOPELESS = "The Sharpe ratio is not above what luck shows: no length of record would help"


class Deflated(NamedTuple):
    """The deflated Sharpe ratio with what it was made of.  `probability` undefined: `probability.why` says it."""

    probability: Figure
    sharpe: float | None  # per day
    hurdle: float  # SR0: the best that luck is expected to show among the trials
    days: int
    trials: int
    skewness: float
    kurtosis: float  # raw: a normal distribution has 3


def probabilistic_sharpe(returns: np.ndarray, hurdle: float = 0.0) -> Figure:
    """Probability that the true daily Sharpe behind these (D,) returns exceeds `hurdle`, per day."""
    sharpe = sharpe_ratio(returns, 1)
    if sharpe.value is None:
        return sharpe
    return probability_above(sharpe.value, hurdle, len(returns), *shape(returns))


def deflated_sharpe(returns: np.ndarray, trial_sharpes: np.ndarray, count: int = 0) -> Deflated:
    """MES-GUARD-02: the probabilistic Sharpe above the hurdle that `trial_sharpes` set.

    returns (D,) of the chosen configuration; trial_sharpes (N,) float64: the daily Sharpe of *every* trial ever run on
    this data set, this one and failed ones included, NaN where undefined (counts as 0).  N must be at least 1.
    `count`: how many were run, where some of them left no Sharpe ratio here; the spread is then at least that of trials
    without an edge, 1 / √(T-1) a day (Lo, The Statistics of Sharpe Ratios, 2002).
    """
    defined = np.nan_to_num(trial_sharpes, nan=0.0)
    trials = max(len(trial_sharpes), count)
    deviation = float(defined.std(ddof=1)) if len(trial_sharpes) > 1 else 0.0
    if count > len(trial_sharpes) and len(returns) > 1:
        deviation = max(deviation, 1 / math.sqrt(len(returns) - 1))
    hurdle = expected_best(deviation, trials)
    sharpe = sharpe_ratio(returns, 1)
    skewness, kurtosis = shape(returns) if sharpe.value is not None else (0.0, 3.0)
    probability = probabilistic_sharpe(returns, hurdle)
    return Deflated(probability, sharpe.value, hurdle, len(returns), trials, skewness, kurtosis)


def expected_best(deviation: float, trials: int) -> float:
    """SR0, the Sharpe that the best of N trials without an edge is expected to show (2014, eq. 1); 0 for one trial.

    √Var(SR_n) × ((1-γ)·Φ⁻¹(1 - 1/N) + γ·Φ⁻¹(1 - 1/(N·e))); `deviation` (ddof 1) of the trials' Sharpe ratios.
    """
    assert trials >= 1, "the result itself is a trial"
    if trials == 1:
        return 0.0
    normal = NormalDist()
    first, second = normal.inv_cdf(1 - 1 / trials), normal.inv_cdf(1 - 1 / (trials * math.e))
    return deviation * ((1 - EULER_GAMMA) * first + EULER_GAMMA * second)


def probability_above(sharpe: float, hurdle: float, days: int, skewness: float, kurtosis: float) -> Figure:
    """Φ((SR - hurdle)·√(T-1) / √(1 - g3·SR + (g4-1)/4·SR²)), SR per day over T days (2012, eq. 9)."""
    error = _error(sharpe, skewness, kurtosis)
    if error is None:
        return Figure(None, FLAT_SHAPE)
    return figure(NormalDist().cdf((sharpe - hurdle) * math.sqrt(days - 1) / error))


def days_needed(returns: np.ndarray, hurdle: float = 0.0, level: float = 0.95) -> Figure:
    """Minimum track record: sessions after which this Sharpe would exceed the hurdle with probability `level`,
    1 + (1 - g3·SR + (g4-1)/4·SR²)·(z / (SR - hurdle))² (2012, eq. 11)."""
    sharpe = sharpe_ratio(returns, 1)
    if sharpe.value is None:
        return sharpe
    if sharpe.value <= hurdle:
        return Figure(None, HOPELESS)
    error = _error(sharpe.value, *shape(returns))
    if error is None:
        return Figure(None, FLAT_SHAPE)
    return figure(1 + (error * NormalDist().inv_cdf(level) / (sharpe.value - hurdle)) ** 2)


def shape(returns: np.ndarray) -> tuple[float, float]:
    """(skewness g3, raw kurtosis g4) of returns that are not all equal; moments of the population (ddof 0)."""
    off = returns - returns.mean()
    off = off / np.abs(off).max()  # the scale cancels; so no power of it underflows
    second = float((off**2).mean())
    return float((off**3).mean()) / second**1.5, float((off**4).mean()) / second**2


def _error(sharpe: float, skewness: float, kurtosis: float) -> float | None:
    """√(1 - g3·SR + (g4-1)/4·SR²); None where it is zero, which only a two-valued sample can reach."""
    squared = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return math.sqrt(squared) if squared > 1e-12 else None
