"""A network trained on labels that were shuffled inside each day knows nothing; on their own labels it does
(MES-SANE-04)."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.learning.conftest import request_for
from tests.research.test_gate import ME, NOW_NS, all_passing
from trading.learning import calibration
from trading.learning.dataset import DataError, Rows, split_rows
from trading.learning.schemas import STREAM_SCHEMA
from trading.learning.shuffled import DAY_NS, knows, macro_auc
from trading.learning.training import fitted
from trading.research.baselines import shuffled_labels
from trading.research.gate import MES_CHECKS, decide
from trading.research.golive.networks import Told, network_figures

DAYS, OF_A_DAY = 60, 120


def rows(seed: int) -> Rows:
    """Days whose shares of classes differ, which a feature tells, and rows whose label another feature tells."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(DAYS), OF_A_DAY)
    busy = rng.uniform(0.2, 0.8, DAYS)[day]
    label = np.where(rng.random(len(day)) < busy, rng.choice([0, 2], len(day)), 1).astype(np.int8)
    features = rng.normal(size=(len(day), STREAM_SCHEMA.width))
    features[:, 0] += 2.0 * (label - 1.0)
    features[:, 1] = busy
    ts_ns = day * DAY_NS + np.tile(np.arange(OF_A_DAY) * 10**10, DAYS)
    return Rows(features, ts_ns, label, ts_ns + 5 * 10**9, 10**9, len(day))


@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "as they are"])
def test_nothing_is_learnt_from_shuffled_labels_mes_sane_04(tmp_path: Path, shuffle: bool) -> None:
    """Whose days keep their shares of classes: pooled rows would tell a busy day's from a quiet one's."""
    made = rows(3)
    request = request_for(tmp_path, tmp_path / "none", epochs=6)
    found = knows(request, made, split_rows(made, 60 * 10**9), lambda *_: None, lambda: False, shuffle)
    assert found.days >= 10 and found.rows > 1_000 and 0 < found.error < 0.05
    assert found.knows_nothing is shuffle
    assert shuffle or found.auc > 0.7


@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "as they are"])
def test_the_gate_lets_no_network_of_shuffled_labels_through_mes_acc_x6_mes_sane_04(
    tmp_path: Path, shuffle: bool
) -> None:
    """Whatever else is proved of it: it fails in rows that let a network of true labels through."""
    made = rows(3)
    if shuffle:
        made = made._replace(label=shuffled_labels(made.label, made.ts_ns // DAY_NS, 7))
    request, split = request_for(tmp_path, tmp_path / "none", epochs=6), split_rows(made, 60 * 10**9)
    found = fitted(request, made, split, lambda *_: None, lambda: False)
    weights, said = found.fit.class_weights, found.fit.logits(found.x[split.validation])
    temperature = calibration.fit_temperature(said, made.label[split.validation], weights)
    base = np.bincount(made.label[split.train], minlength=3) / len(split.train)
    told = Told(
        calibration.softmax(found.fit.logits(found.x[split.test]), weights, temperature),
        made.label[split.test].astype(np.int64),
        made.ts_ns[split.test] // DAY_NS,
        np.tile(base, (len(split.test), 1)),
    )
    given = all_passing()
    for name, (value, n) in network_figures(told).items():
        given[name] = given[name]._replace(value=value.value, n=n, why=value.why)
    decision = decide(MES_CHECKS, given, ME, NOW_NS)
    blocked = {row.name for row in decision.missing}
    assert blocked <= {"accuracy_gain_low", "log_loss_change", "calibration_error"}
    if shuffle:
        assert not decision.passed and "accuracy_gain_low" in blocked
    else:
        assert not blocked & {"accuracy_gain_low", "log_loss_change"}, [row.sentence for row in decision.missing]


def test_the_area_is_counted_by_pairs_inside_days() -> None:
    """Of one class: day 0 has its rows in order, day 1 turned round, the rest a tie."""
    label = np.array([0, 1, 0, 1, *[0, 1] * 3], np.int8)
    first = np.array([0.9, 0.1, 0.1, 0.9, *[0.5, 0.5] * 3])
    shares = np.stack([first, 1 - first, np.zeros(len(first))], axis=1)
    day = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    area, error, days = macro_auc(shares, label, day, 1)
    assert (area, days) == (0.5, 5) and error > 0
    better = macro_auc(shares, np.where(day == 1, 1 - label, label), day, 1)[0]
    assert better == pytest.approx((0.7 + 0.7 + 0.5) / 3), "2 of 5 pairs in order, 3 ties; the third class has none"
    with pytest.raises(DataError, match="4 days, 5 are needed"):
        macro_auc(shares[:8], label[:8], day[:8], 1)


def test_the_command_wants_a_folder_or_saves_nothing(bars_file: Path) -> None:
    words = {"data": str(bars_file), "horizon": 5.0, "cost": 2.0, "epochs": 1, "stdout": StringIO()}
    for given in ({}, {"shuffled": True, "out": "somewhere"}):
        with pytest.raises(CommandError, match="give --out FOLDER, or --shuffled"):
            call_command("train", **words, **given)
    with pytest.raises(CommandError, match=json.dumps("1 days, 5 are needed")[1:-1]):
        call_command("train", **words, shuffled=True)
