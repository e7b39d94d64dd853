"""`manage.py train` and `features` as a person uses them: real processes, real files, Ctrl-C.  Issue 2, point 8."""

import json
import os
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from marketdata.core.features_schema import FEATURE_NAMES, schema_hash
from tests.bootstrap import ROOT
from trading.learning.artifacts import load


def manage(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


def test_train_from_a_file_prints_figures_and_claims_nothing(bars_file, tmp_path):
    words = ["train", "--data", bars_file, "--horizon", 5, "--cost", 2, "--epochs", 2, "--seed", 7]
    done = manage(*words, "--out", tmp_path / "net")
    assert done.returncode == 0, done.stderr
    assert "At most" in done.stdout and "MB" in done.stdout
    for word in ("validation", "test", "majority", "nothing is claimed"):
        assert word in done.stdout
    assert load(tmp_path / "net").manifest.symbol == "MES"
    again = manage(*words, "--out", tmp_path / "net")
    assert again.returncode == 1 and "already exists" in again.stderr
    assert "Traceback" not in again.stderr


def test_train_on_the_simulated_market_as_json(tmp_path):
    words = ["train", "--symbol", "MES", "--seconds", 900, "--seed", 7, "--epochs", 1, "--json"]
    done = manage(*words, "--horizon", 10, "--cost", 1, "--out", tmp_path / "net")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["metrics"]["test"]["rows"] > 50 and report["seed"] == 7
    assert load(tmp_path / "net").id == report["artifact_id"]


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    command = [sys.executable, "manage.py", "train", "--seconds", "500000", "--out", str(tmp_path / "net")]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "At most" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=600)
    assert process.returncode == 130, errors
    assert "nothing was written" in errors
    assert list(tmp_path.iterdir()) == []


def test_features_writes_named_columns_with_the_schemas_hash(bars_file, tmp_path):
    done = manage("features", bars_file, "--out", tmp_path / "rows.parquet", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    table = pq.read_table(tmp_path / "rows.parquet")
    assert table.column_names == ["timestamp", *FEATURE_NAMES, "label"]
    assert table.num_rows == told["rows"] == 2_980
    assert table.schema.metadata[b"schema_hash"].decode() == schema_hash() == told["schema_hash"]
    assert table["label"].null_count == 30
    assert table["timestamp"].to_pylist() == sorted(table["timestamp"].to_pylist())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["features", "nowhere.csv", "--out", "{}/x.parquet"], "nowhere.csv"),
        (["features", "nowhere.csv", "--out", "{}/no/x.parquet"], "does not exist"),
        (["train", "--data", "nowhere.csv", "--out", "{}/net"], "nowhere.csv"),
        (["train", "--option", "speed", "--out", "{}/net"], "is not NAME=VALUE"),
        (["train", "--seconds", "0", "--out", "{}/net"], "--seconds must be above zero"),
        (["train", "--symbol", "XYZ", "--out", "{}/net"], "XYZ"),
    ],
)
def test_bad_words_give_one_sentence(tmp_path, words, sentence):
    done = manage(*(word.format(tmp_path) for word in words))
    assert done.returncode == 1
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
