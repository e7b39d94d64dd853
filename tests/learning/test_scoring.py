"""The baseline formula, the fused network against torch, and what a scorer refuses.  MES-ML-09, -10, -13, -15."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.core import features_schema as f
from tests.bootstrap import ROOT
from trading.learning import artifacts, calibration
from trading.learning.forward import probabilities
from trading.learning.networks import feed_forward, tensors_of
from trading.learning.scoring import BaselineScorer, NetworkScorer, ScorerError, open_scorer


def features(**values: float) -> np.ndarray:
    row = np.zeros(f.FEATURE_COUNT)
    for name, value in values.items():
        row[f.FEATURE_INDEX[name]] = value
    return row


@pytest.mark.parametrize(
    ("values", "score", "side"),
    [
        ({"spread_ticks": 1, "imbalance_5": 0.5}, 0.5, 1),
        ({"spread_ticks": 1, "imbalance_5": -0.9}, -0.5, -1),
        ({"spread_ticks": 1, "imbalance_5": 0.25}, 0.25, 0),
        ({"spread_ticks": 1, "momentum_fast": 2.0, "rv_30": 1.0}, 0.4, 1),
        ({"spread_ticks": 1, "momentum_fast": 2.0, "rv_30": 1.0, "imbalance_5": -0.5}, -0.1, 0),
        ({"spread_ticks": 1, "imbalance_5": 1, "momentum_fast": 9, "trade_imbalance_10": 1}, 1.0, 1),
        ({"spread_ticks": 1, "trade_imbalance_10": -1.0}, -0.1, 0),
        ({"momentum_fast": -1.0, "rv_30": 1.0}, -0.5, -1),  # bars alone: momentum is the whole score
        ({"momentum_fast": 0.1}, 0.2, 0),  # a dead market is measured against the floor
        ({}, 0.0, 0),
    ],
)
def test_the_baseline_by_hand(values, score, side):
    answer = BaselineScorer({}).score(features(**values))
    assert answer.score_ppm == round(score * 1_000_000)
    assert answer.side == side
    assert answer.confidence_ppm == abs(answer.score_ppm)


def test_threshold_and_confidence_are_options():
    scorer = BaselineScorer({"threshold": 0.6, "confidence_scale": 2.0})
    assert scorer.score(features(spread_ticks=1, imbalance_5=0.5)) == (0, 500_000, 1_000_000)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=f.FEATURE_COUNT, max_size=f.FEATURE_COUNT))
def test_the_baseline_is_bounded_for_any_finite_vector(values):
    answer = BaselineScorer({}).score(np.array(values))
    assert -1_000_000 <= answer.score_ppm <= 1_000_000
    assert 0 <= answer.confidence_ppm <= 1_000_000
    assert answer.side * answer.score_ppm >= 0


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("oracle", {}, "scorer 'oracle' is unknown"),
        ("baseline", {"weight": 1.0}, "no option weight"),
        ("baseline", {"threshold": 0.0}, "threshold of the baseline scorer must be above zero"),
        ("baseline", {"threshold": float("nan")}, "not a finite number"),
        ("baseline", {"w_momentum": -1.0}, "not negative"),
        ("network", {}, "needs an artifact"),
    ],
)
def test_a_bad_scorer_is_refused_in_one_sentence(name, options, words):
    with pytest.raises(ScorerError, match=words):
        open_scorer(name, "", options)


def test_none_is_no_scorer():
    assert open_scorer("none", "", {}) is None


@pytest.mark.parametrize("hidden", [(256, 128, 64), (8,)])
def test_the_fused_network_equals_torch(trained, hidden):
    """MES-ML-13: probabilities within 1e-6 of torch's, with batch statistics that are not the initial ones."""
    import torch

    torch.manual_seed(3)
    network = feed_forward(f.FEATURE_COUNT, hidden)
    for name, tensor in network.state_dict().items():
        if "norm" in name and tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    manifest = artifacts.load(trained[0]).manifest
    from msgspec.structs import replace

    manifest = replace(manifest, hidden=list(hidden))
    fused = artifacts.network_of(manifest, {name: tensor.numpy() for name, tensor in tensors_of(network).items()})
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 3, (500, f.FEATURE_COUNT)) * manifest.scaler_scale + manifest.scaler_mean
    scaled = ((rows - manifest.scaler_mean) / manifest.scaler_scale).astype(np.float32)
    network.eval()
    with torch.no_grad():
        logits = network(torch.from_numpy(scaled)).numpy()
    expected = calibration.softmax(logits, np.array(manifest.class_weights), manifest.temperature)
    got, out = np.empty((500, 3)), np.empty(3)
    for i, row in enumerate(rows):
        got[i] = probabilities(fused, row, out)
    assert np.abs(got - expected).max() <= 1e-6


def test_the_side_is_the_most_probable_class_and_a_tie_is_none(trained):
    """MES-ML-10."""
    artifact = artifacts.load(trained[0])
    scorer = NetworkScorer(artifact, {})
    out = np.empty(3)
    for row in np.array(artifact.manifest.golden_inputs):
        down, flat, up = probabilities(artifact.network, row, out)
        answer = scorer.score(row)
        assert answer.side == (-1, 0, 1)[int(np.argmax([down, flat, up]))]
        assert answer.score_ppm == round((up - down) * 1e6) and answer.confidence_ppm == round(
            max(down, flat, up) * 1e6
        )


def test_an_answer_that_is_no_probability_is_an_error_never_flat(trained):
    """MES-ML-15."""
    scorer = NetworkScorer(artifacts.load(trained[0]), {})
    with pytest.raises(ScorerError, match="not probabilities"):
        scorer.score(np.full(f.FEATURE_COUNT, np.nan))


def test_serving_never_imports_torch():
    """Trap: torch in a worker that forks.  Scoring, artifacts and the inference loop leave it alone."""
    program = "import sys, trading.run.inference_loop, trading.learning.dataset; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
