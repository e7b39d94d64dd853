"""Training: deterministic, calibrated, cancellable, honest.  MES-ML-01, -06, -07, -09, -11, MES-SPLIT-04."""

import numpy as np
import pytest

from tests.learning.conftest import request_for
from trading.learning import calibration
from trading.learning.artifacts import WEIGHTS_FILE, ArtifactError, load
from trading.learning.dataset import Cancelled, DataError, Tape
from trading.learning.networks import feed_forward
from trading.learning.training import CLAIM, check_request, train


def test_the_same_seed_gives_the_same_bits(trained, bars_file, tmp_path):
    report = train(request_for(bars_file, tmp_path / "again"))
    assert (tmp_path / "again" / WEIGHTS_FILE).read_bytes() == (trained[0] / WEIGHTS_FILE).read_bytes()
    assert report.metrics == trained[1].metrics
    other = train(request_for(bars_file, tmp_path / "other", seed=8))
    assert (tmp_path / "other" / WEIGHTS_FILE).read_bytes() != (trained[0] / WEIGHTS_FILE).read_bytes()
    assert other.data_hash == report.data_hash


def test_the_report_states_sizes_baselines_and_claims_nothing(trained):
    report = trained[1]
    assert list(report.metrics) == ["train", "validation", "test"]
    for metrics in report.metrics.values():
        assert metrics["rows"] == sum(metrics["counts"]) > 50
        assert 0 <= metrics["majority_accuracy"] <= 1 and metrics["base_rate_log_loss"] > 0
    assert report.claim == CLAIM and "nothing is claimed" in CLAIM
    assert report.purged > 0 and report.embargoed > 0


def test_the_manifest_names_its_inputs(trained):
    """MES-ML-11; design: a result that cannot name its inputs is not a result."""
    manifest = load(trained[0]).manifest
    assert manifest.seed == 7 and manifest.step_ns == 1_000_000_000 and manifest.horizon_ns == 5_000_000_000
    for name in (manifest.data_hash, manifest.config_hash, manifest.code_hash, manifest.weights_sha256):
        assert len(name) == 64
    assert manifest.metrics == trained[1].metrics
    assert len(manifest.history) == trained[1].epochs
    assert "no edge is claimed" in manifest.note


def test_the_scaler_knows_train_rows_only(trained, bars_file, tmp_path):
    """MES-SPLIT-04: another end of the tape leaves the scaler as it is."""
    lines = bars_file.read_text().splitlines()
    flat = [line.rsplit(",", 1)[0] + ",49" for line in lines[2700:]]
    (tmp_path / "other.csv").write_text("\n".join(lines[:2700] + flat) + "\n")
    train(request_for(tmp_path / "other.csv", tmp_path / "out"))
    assert load(tmp_path / "out").manifest.scaler_mean == load(trained[0]).manifest.scaler_mean
    assert load(tmp_path / "out").manifest.data_hash != load(trained[0]).manifest.data_hash


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_cancelling_leaves_nothing(bars_file, tmp_path, share):
    done = [0]

    def progress(now, total, words):
        done[0] = now / total

    with pytest.raises(Cancelled):
        train(request_for(bars_file, tmp_path / "out", epochs=50), progress, lambda: done[0] >= share or share < 0.1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"symbol": "NQ"}, "NQ is not on the tape; it has MES"),
        ({"horizon_s": 0.0}, "horizon must be above zero"),
        ({"cost_ticks": -1.0}, "are not negative"),
        ({"memory_bytes_max": 1000}, "above 0 MB"),
        ({"cost_ticks": 10_000.0}, "no down and no up"),
    ],
)
def test_a_bad_request_is_refused_in_one_sentence(bars_file, tmp_path, changes, words):
    with pytest.raises(DataError, match=words) as caught:
        train(request_for(bars_file, tmp_path / "out", **changes))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_refused_before_any_work(bars_file, trained):
    with pytest.raises(ArtifactError, match="already exists"):
        check_request(request_for(bars_file, trained[0]))


def test_an_unknown_feed_is_refused(tmp_path):
    from marketdata.feeds.port import FeedError

    request = request_for(tmp_path / "none.csv", tmp_path / "out", tape=Tape(name="oracle", symbols=["MES"]))
    with pytest.raises(FeedError, match="oracle"):
        train(request)


def test_the_shipped_network_has_the_specified_shape():
    """MES-ML-01: with 56 inputs it is the specification's network, parameter for parameter."""
    assert sum(p.numel() for p in feed_forward(56).parameters()) == 56_835


def test_temperature_recovers_what_made_the_labels():
    """MES-ML-09: logits too sharp by a factor of 3 get T near 3, and the log loss falls."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1, (20_000, 3))
    shares = calibration.softmax(logits, np.ones(3), 1.0)
    labels = (rng.random((20_000, 1)) > np.cumsum(shares, axis=1)).sum(axis=1)
    found = calibration.fit_temperature(3 * logits, labels, np.ones(3))
    assert found == pytest.approx(3.0, rel=0.05)
    calibrated = calibration.softmax(3 * logits, np.ones(3), found)
    assert calibration.log_loss(calibrated, labels) < calibration.log_loss(
        calibration.softmax(3 * logits, np.ones(3), 1.0), labels
    )
    assert calibration.calibration_error(calibrated, labels) < 0.02


def test_class_weights_are_taken_out_again():
    """MES-ML-09: subtracting ln(weight) undoes what a weighted loss does to the odds."""
    odds = np.log(np.array([0.2, 0.5, 0.3]))
    weights = np.array([1.5, 0.6, 0.9])
    assert calibration.softmax((odds + np.log(weights))[None], weights, 1.0)[0] == pytest.approx([0.2, 0.5, 0.3])
