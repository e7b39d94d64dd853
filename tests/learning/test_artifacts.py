"""An artifact is used only when every word of it fits.  MES-ML-11 .. -13, MES-ACC-10.21, -10.22, MES-ACC-T3."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from marketdata.core.features_schema import FEATURE_COUNT, FEATURE_NAMES
from tests.bootstrap import ROOT
from trading.learning.artifacts import MANIFEST_FILE, REFERENCE_FILE, WEIGHTS_FILE, ArtifactError, load, save
from trading.learning.health.making import ROWS_MAX
from trading.learning.scoring import NetworkScorer
from trading.preflight.inputs import artifact_digest
from trading.run.tapes.scores import scoring_of

PREDICT = """
import sys, numpy as np
from pathlib import Path
from trading.learning.artifacts import load
from trading.learning.forward import probabilities
artifact = load(Path(sys.argv[1]))
rows = np.array(artifact.manifest.golden_inputs)
out = np.empty(3)
print(np.array([probabilities(artifact.network, row, out) for row in rows]).tobytes().hex())
print("torch" in sys.modules)
"""


@pytest.fixture
def copy(trained, tmp_path):
    target = tmp_path / "copy"
    shutil.copytree(trained[0], target)
    return target


def change(folder, **values):
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest | values))


def drop(folder, name):
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    del manifest[name]
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


def change_tensor(folder, name, value):
    """Also names the changed file in the manifest: only the content is wrong."""
    tensors = load_file(folder / WEIGHTS_FILE)
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    save_file(tensors, folder / WEIGHTS_FILE)
    change(folder, weights_sha256=hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest())


def refused(folder, words):
    with pytest.raises(ArtifactError, match=words) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_fresh_process_gives_the_same_answers_bit_for_bit(trained):
    """MES-ACC-T3, MES-ML-13; and it never imports torch."""
    artifact = load(trained[0])
    scorer = NetworkScorer(artifact, {})
    from trading.learning.forward import probabilities

    rows, out = np.array(artifact.manifest.golden_inputs), np.empty(3)
    here = np.array([probabilities(scorer.artifact.network, row, out) for row in rows])
    command = [sys.executable, "-c", PREDICT, str(trained[0])]
    answer = subprocess.run(command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, check=True)
    assert answer.stdout.split() == [here.tobytes().hex(), "False"]
    assert np.abs(here - np.array(artifact.manifest.golden_outputs)).max() <= 1e-6


NAMES = list(FEATURE_NAMES)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([NAMES[0], NAMES[2], NAMES[1], *NAMES[3:]], "feature 1 is 'imbalance_20', this desk computes 'imbalance_5'"),
        (NAMES[:-1], "feature 17 .range_60. is missing"),
        ([*NAMES, "vwap"], "feature 18 .vwap. is one too many"),
        (["vwap", *NAMES[1:]], "feature 0 is 'vwap'"),
    ],
)
def test_other_names_are_refused_and_the_first_difference_is_named(copy, names, words):
    """MES-ACC-10.21."""
    change(copy, feature_names=names)
    refused(copy, words)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scaler_mean": [0.0] * 17}, "17 values of the scaler mean, 18 are needed"),
        ({"scaler_scale": []}, "0 values of the scaler deviation, 18 are needed"),
        ({"scaler_scale": [0.0] * FEATURE_COUNT}, "deviation is not above zero"),
        ({"scaler_scale": [1.0] * FEATURE_COUNT}, "golden row 0 differs"),
        ({"schema_hash": "0" * 64}, "schema hash 000000000000 is not"),
        ({"schema_id": "stream_v0"}, "schema is 'stream_v0'"),
        ({"network": "oracle"}, "network 'oracle' is unknown"),
        ({"format": 2}, "format 2 is not 1"),
        ({"classes": ["up", "flat", "down"]}, "classes are"),
        ({"temperature": 0.0}, "temperature 0.0 is no calibration"),
        ({"temperature": 9.5}, "golden row 0 differs"),
        ({"class_weights": [1.0, 1.0]}, "2 values of the class weight"),
        ({"weights_sha256": "0" * 64}, "not the file that the manifest names"),
        ({"golden_inputs": []}, "16 are needed"),
        ({"hidden": [32]}, "tensor head.weight has shape"),
        ({"surprise": 1}, "malformed"),
        ({"step_ns": 0}, "grid step"),
    ],
)
def test_a_changed_manifest_is_refused(copy, values, words):
    """MES-ML-12, MES-ACC-10.22."""
    change(copy, **values)
    refused(copy, words)


@pytest.mark.parametrize("name", ["scaler_mean", "scaler_scale", "temperature", "schema_hash", "golden_outputs"])
def test_a_missing_field_is_refused(copy, name):
    """MES-ACC-10.22: scaler removed."""
    drop(copy, name)
    refused(copy, f"malformed: .*{name}")


def test_damaged_weights_are_refused(copy):
    data = bytearray((copy / WEIGHTS_FILE).read_bytes())
    data[-1] ^= 1
    (copy / WEIGHTS_FILE).write_bytes(data)
    refused(copy, "sha256")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("head.bias", None, "tensor head.bias is missing"),
        ("head.bias", np.zeros(4, np.float32), r"tensor head.bias has shape \(4,\), not \(3,\)"),
        ("head.bias", np.full(3, np.nan, np.float32), "tensor head.bias is not finite"),
        ("head.bias", np.zeros(3, np.float64), "tensor head.bias is float64"),
        ("more", np.zeros(3, np.float32), "tensor more is unknown"),
        ("head.bias", np.full(3, 5, np.float32) * [1, 0, 0], "is float64|golden row 0 differs"),
    ],
)
def test_wrong_tensors_are_refused(copy, name, value, words):
    change_tensor(copy, name, value)
    refused(copy, words)


@pytest.mark.parametrize("name", [MANIFEST_FILE, WEIGHTS_FILE])
def test_a_missing_or_truncated_file_is_refused(copy, name):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: len(data) // 2])
    refused(copy, "malformed|sha256")
    (copy / name).unlink()
    refused(copy, f"no complete artifact: {name}")


def test_saving_never_overwrites_and_leaves_nothing_behind(trained, tmp_path):
    artifact = load(trained[0])
    weights, reference = ((trained[0] / name).read_bytes() for name in (WEIGHTS_FILE, REFERENCE_FILE))
    with pytest.raises(ArtifactError, match="already exists"):
        save(trained[0], artifact.manifest, weights)
    with pytest.raises(ArtifactError, match="sha256"):
        save(tmp_path / "bad", artifact.manifest, weights + b"x", reference)
    assert list(tmp_path.iterdir()) == []
    assert save(tmp_path / "good", artifact.manifest, weights, reference).id == artifact.id
    names = [MANIFEST_FILE, WEIGHTS_FILE, REFERENCE_FILE]
    assert sorted(path.name for path in (tmp_path / "good").iterdir()) == names


def test_the_reference_of_its_health_is_the_one_that_the_manifest_names_t_06(copy):
    """Rows of calibration alone (MOEX-MON-01), figures of the test part; what differs refuses the whole artifact."""
    found = load(copy)
    summary, reference = found.manifest.reference, found.reference
    assert summary is not None and reference is not None and reference.id == summary.sha256
    assert reference.features.shape == (summary.rows, found.schema.width)
    validated = found.manifest.metrics["validation"]["rows"]
    assert isinstance(validated, int) and summary.rows == min(ROWS_MAX, validated) > 100
    assert (np.diff(reference.ts_ns) > 0).all() and summary.calibration.rows >= summary.hits.rows > 0
    assert 0 <= summary.hits.right <= summary.hits.rows
    data = (copy / REFERENCE_FILE).read_bytes()
    (copy / REFERENCE_FILE).write_bytes(data[:-1] + b"x")
    refused(copy, "reference.safetensors: it is not the file that the manifest names")
    (copy / REFERENCE_FILE).unlink()
    refused(copy, "no complete artifact: reference.safetensors")


def test_an_artifact_of_before_has_no_reference_and_says_so_t_06(copy):
    drop(copy, "reference")
    assert load(copy).reference is None and load(copy).manifest.reference is None


def test_a_run_over_books_names_its_network_as_a_session_does(trained):
    scoring = scoring_of(f"network:{trained[0]}", {}, ["MES"])
    assert scoring.artifact_hash == artifact_digest(str(trained[0])) and len(scoring.artifact_hash) == 64
