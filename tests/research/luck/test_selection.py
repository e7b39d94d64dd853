"""PBO by CSCV (MES-GUARD-03): against every split counted out in plain Python, on known worlds, and with ties."""

import statistics
import time
from itertools import combinations
from math import comb, log

import numpy as np
import pytest

from trading.research.luck import selection
from trading.research.luck.selection import half_splits, overfit_probability


def plain_pbo(returns: np.ndarray, blocks: int) -> tuple[float, list[float]]:
    """The document's words, line by line, without numpy's matrices."""
    days, trials = returns.shape
    length = days // blocks
    rows = list(range(days - length * blocks, days))
    cut = [rows[i * length : (i + 1) * length] for i in range(blocks)]
    logits = []
    for inside in combinations(range(blocks), blocks // 2):
        inner = [row for i in inside for row in cut[i]]
        outer = [row for i in range(blocks) if i not in inside for row in cut[i]]
        best, other = ([_sharpe(returns[side, n].tolist()) for n in range(trials)] for side in (inner, outer))
        top = [n for n in range(trials) if best[n] == max(best)]
        ranks = [sum(x < other[n] for x in other) + (sum(x == other[n] for x in other) + 1) / 2 for n in top]
        share = statistics.fmean(ranks) / (trials + 1)
        logits.append(log(share / (1 - share)))
    return sum(x <= 0 for x in logits) / len(logits), logits


def _sharpe(values: list[float]) -> float:
    if max(values) == min(values):
        return 0.0
    return round(statistics.fmean(values) / statistics.stdev(values), 9)


@pytest.mark.parametrize(("blocks", "days", "trials"), [(4, 23, 3), (6, 60, 5), (8, 41, 2), (8, 100, 9)])
def test_every_split_equals_plain_python_mes_guard_03(blocks: int, days: int, trials: int) -> None:
    for seed in range(3):
        returns = np.random.default_rng(seed).normal(0.0002, 0.01, (days, trials))
        found = overfit_probability(returns, blocks)
        pbo, logits = plain_pbo(returns, blocks)
        assert found.pbo.value == pbo and found.logits.tolist() == pytest.approx(logits)
        assert (found.splits, found.days, found.trials) == (comb(blocks, blocks // 2), days // blocks * blocks, trials)


def test_days_without_trades_and_equal_trials_are_ties_of_mean_rank() -> None:
    """Columns of zeros (undefined counts as 0), a doubled column, and blocks in which nobody traded."""
    rng = np.random.default_rng(7)
    one = rng.normal(0, 0.01, 48)
    one[12:24] = 0.0
    returns = np.column_stack([one, one, np.zeros(48), np.zeros(48), np.full(48, 0.001), -one])
    found = overfit_probability(returns, 8)
    pbo, logits = plain_pbo(returns, 8)
    assert found.pbo.value == pbo and found.logits.tolist() == pytest.approx(logits)


def test_the_document_cuts_sixteen_blocks_into_12870_splits() -> None:
    splits = half_splits(16)
    assert splits.shape == (12_870, 16) and (splits.sum(axis=1) == 8).all()
    assert len(np.unique(splits, axis=0)) == 12_870
    found = overfit_probability(np.random.default_rng(1).normal(0, 1, (250, 4)))
    assert found.splits == 12_870 and found.days == 240


def test_noise_is_overfitted_in_half_of_the_splits_and_a_true_best_never() -> None:
    rng = np.random.default_rng(2)
    noise = [overfit_probability(rng.normal(0, 0.01, (256, 20)), 8).pbo.value or 0.0 for _ in range(60)]
    assert 0.42 <= statistics.fmean(noise) <= 0.62  # the best of the past is no better than any other
    returns = rng.normal(0, 0.01, (512, 20))
    returns[:, 11] += 0.006  # an annual Sharpe of 9.5: the best in every half
    found = overfit_probability(returns, 16)
    assert found.pbo.value == 0.0 and found.loses.value == 0.0


def test_choosing_what_must_turn_is_always_overfitted() -> None:
    """Two trials, each good in one half of the year: the winner of one side of the calendar loses the other."""
    day = np.tile([0.01, 0.012], 8)
    returns = np.column_stack([np.concatenate([day, -day]), np.concatenate([-day, day])])
    found = overfit_probability(returns, 2)
    assert found.pbo.value == 1.0 and found.loses.value == 1.0


def test_pieces_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = np.random.default_rng(3).normal(0, 0.01, (100, 7))
    whole = overfit_probability(returns, 8)
    monkeypatch.setattr(selection, "CELLS_MAX", 30)
    piecewise = overfit_probability(returns, 8)
    assert piecewise.pbo == whole.pbo and (piecewise.logits == whole.logits).all()


def test_what_cannot_be_split_is_undefined() -> None:
    assert overfit_probability(np.zeros((100, 1))).pbo.why.startswith("One trial")
    assert "cannot be cut" in overfit_probability(np.zeros((15, 3))).pbo.why
    broken = np.zeros((64, 3))
    broken[5, 1] = np.nan
    assert "not all known" in overfit_probability(broken).pbo.why


def test_ten_thousand_trials_are_split_in_all_12870_ways_in_bounded_time() -> None:
    """MES-GUARD-03 at the size of a large grid: exact, no sample of the splits; seconds, and not minutes."""
    returns = np.random.default_rng(4).normal(0, 0.01, (64, 10_000))
    returns[:, 4_321] += 0.02
    began = time.process_time()
    found = overfit_probability(returns)
    assert time.process_time() - began < 60  # 2 s here
    assert (found.splits, found.trials) == (12_870, 10_000)
    assert found.pbo.value == 0.0 and found.loses.value == 0.0
