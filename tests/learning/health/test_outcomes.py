"""Outcomes of scores: the labels of training, one at a time, in a stream as in a batch.  T-06, MES-LABEL-01, -02."""

from collections import deque

import numpy as np
import pytest

from marketdata.core.units import NANOS
from trading.learning.dataset import NO_LABEL, _label
from trading.learning.health.drift import CRITICAL, NONE, WARNING
from trading.learning.health.outcomes import (
    CALIBRATION_MIN,
    ERROR_ROWS_MIN,
    HITS_MIN,
    Figures,
    Line,
    Outcome,
    Wanted,
    figures_of,
    followed,
    judge_calibration,
    judge_hits,
)

HORIZON, COST2, SILENCE = 5 * NANOS, 3, 20 * NANOS


def moments(seed: int, count: int = 3_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times with gaps and silences, mids that wander, and probabilities."""
    rng = np.random.default_rng(seed)
    gaps = rng.choice((1, 1, 1, 2, 3, 25), count, p=(0.3, 0.3, 0.2, 0.1, 0.09, 0.01))
    shares = rng.dirichlet((1, 1.5, 1), count)
    shares[::17] = (0.4, 0.2, 0.4)  # a tie says flat
    return np.cumsum(gaps) * NANOS, 40_000 + np.cumsum(rng.integers(-2, 3, count)), shares


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_gives_each_score_the_label_of_training_t_06(seed: int) -> None:
    """By the very step that labels training's rows; what a silence cut off has none."""
    ts, mids, shares = moments(seed)
    labels, label_ns = np.empty(len(ts), np.int8), np.empty(len(ts), np.int64)
    _label(np.arange(len(ts)), ts, mids, HORIZON, COST2, SILENCE, labels, label_ns)
    whatever: deque[Outcome] = deque()
    sided: deque[Outcome] = deque()
    line = Line(Wanted(HORIZON, COST2, SILENCE), whatever, sided)
    for at in range(len(ts)):
        line.price(int(ts[at]), int(mids[at]))
        line.score(shares[at])
    assert (labels == NO_LABEL).any(), "silences leave some without a label"
    row_of = {float(share): at for at, share in enumerate(shares.max(axis=1)) if at % 17 != 0}
    for part, least in ((whatever, 200), (sided, 150)):
        assert len(part) > least and {outcome.label for outcome in part} == {0, 1, 2}
        checked = [outcome for outcome in part if outcome.confidence in row_of]
        assert [outcome.label for outcome in checked] == [int(labels[row_of[o.confidence]]) for o in checked]


def test_without_silences_both_are_equal_one_by_one_t_06() -> None:
    ts, mids, shares = moments(7)
    ts = np.arange(len(ts)) * NANOS
    labels, label_ns = np.empty(len(ts), np.int8), np.empty(len(ts), np.int64)
    _label(np.arange(len(ts)), ts, mids, HORIZON, COST2, SILENCE, labels, label_ns)
    known = labels != NO_LABEL
    batch = followed(ts[known], label_ns[known], shares[known], labels[known])
    streamed: tuple[deque[Outcome], deque[Outcome]] = deque(), deque()
    line = Line(Wanted(HORIZON, COST2, SILENCE), *streamed)
    for at in range(len(ts)):
        line.price(int(ts[at]), int(mids[at]))
        line.score(shares[at])
    assert [list(part) for part in streamed] == batch
    assert len(batch[0]) == -(-int(known.sum()) // 5), "one at a time: no two share a stretch of the market"


def test_nothing_is_labelled_before_its_time_nor_across_a_silence() -> None:
    whatever: deque[Outcome] = deque()
    line = Line(Wanted(HORIZON, COST2, SILENCE), whatever, deque())
    up = np.array([0.1, 0.2, 0.7])
    for second, mid2 in ((0, 100), (4, 110)):
        line.price(second * NANOS, mid2)
        line.score(up)
    assert not whatever, "the horizon has not ended"
    line.price(6 * NANOS, 90)
    assert list(whatever) == [Outcome(2, 0.7, 2)], "the last mid that was known when it ended, not the one after"
    line.score(up)
    line.price(6 * NANOS + SILENCE, 200)
    assert len(whatever) == 1


def test_a_hit_rate_below_its_band_is_outside_and_one_above_never_t_06() -> None:
    then = Figures(400, 240, 0.6, 0.0)
    verdicts = [judge_hits(Figures(400, right, 0.6, 0.0), then).severity for right in (400, 240, 215, 195, 140)]
    assert verdicts == [NONE, NONE, NONE, WARNING, CRITICAL]
    few = judge_hits(Figures(HITS_MIN - 1, 0, 0.6, 0.0), then)
    assert (few.severity, few.low) == (NONE, None), "too few are shown and not judged"
    assert judge_hits(Figures(0, 0, 0.0, 0.0), then).value is None
    blind = judge_hits(Figures(HITS_MIN, 0, 0.6, 0.0), Figures(HITS_MIN - 1, 20, 0.6, 0.0))
    assert (blind.severity, blind.lacks_reference, few.lacks_reference) == (WARNING, True, False)


def test_a_network_that_is_far_too_sure_is_critical_and_a_modest_one_is_not_t_06_mes_hold_model_blocked() -> None:
    then = Figures(400, 240, 0.6, 0.0)
    sure = [judge_calibration(Figures(400, right, 0.6, 0.05), then).severity for right in (240, 195, 140)]
    assert sure == [NONE, WARNING, CRITICAL]
    assert judge_calibration(Figures(400, 380, 0.6, 0.05), then).severity == WARNING
    assert judge_calibration(Figures(ERROR_ROWS_MIN, 300, 0.6, 0.11), then).severity == CRITICAL
    assert judge_calibration(Figures(ERROR_ROWS_MIN - 1, 300, 0.6, 0.11), then).severity == NONE


def test_too_large_an_error_is_critical_whatever_little_training_had_t_06_mes_hold_model_blocked() -> None:
    """And where the error is fine, what training cannot tell is a warning, never healthy."""
    then = Figures(CALIBRATION_MIN - 1, 30, 0.6, 0.0)
    assert judge_calibration(Figures(ERROR_ROWS_MIN, 300, 0.6, 0.11), then).severity == CRITICAL
    assert judge_calibration(Figures(ERROR_ROWS_MIN, 300, 0.6, 0.11), Figures(0, 0, 0.0, 0.0)).severity == CRITICAL
    blind = judge_calibration(Figures(CALIBRATION_MIN, 30, 0.6, 0.01), then)
    assert (blind.severity, blind.lacks_reference) == (WARNING, True)
    assert judge_calibration(Figures(CALIBRATION_MIN - 1, 30, 0.6, 0.01), then).severity == NONE, "not known yet"


def test_figures_of_outcomes_are_training_s_own() -> None:
    outcomes = [Outcome(2, 0.8, 2), Outcome(0, 0.6, 1), Outcome(1, 0.5, 1), Outcome(2, 0.7, 2)]
    found = figures_of(outcomes)
    assert (found.rows, found.right) == (4, 3) and found.confidence == pytest.approx(0.65)
    assert 0 < found.error < 1 and figures_of([]) == Figures(0, 0, 0.0, 0.0)
