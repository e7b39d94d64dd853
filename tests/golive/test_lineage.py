"""What stays one lineage, and what starts a new sample (MOEX-GATE-01, -02)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.utils import timezone

from trading import configs
from trading.golive.lineage import FORMULA_FOLDERS, formula_code, lineage_of, recipe_of, root_of, speaks_for
from trading.learning.artifacts import BASE, MANIFEST_FILE, Manifest, recipe_hash
from trading.models import ConfigVersion
from trading.run.spec import ScorerSpec

LEARNED = {
    "temperature": 1.7, "scaler_mean": [0.5], "scaler_scale": [2.0], "class_weights": [1.0, 2.0, 3.0], "metrics": {},
    "data": {"path": "tomorrow"}, "data_hash": "ef" * 32, "config_hash": "99" * 32, "weights_sha256": "aa" * 32,
    "golden_inputs": [[1.0]], "golden_outputs": [[0.2, 0.3, 0.5]], "created": "2026-12-01", "history": [{"loss": 1.0}],
    "code_hash": "bb" * 32,
}  # fmt: skip
MADE = {
    "network": "transformer", "hidden": [64], "dropout": 0.5, "schema_hash": "cc" * 32, "horizon_ns": 9, "step_ns": 7,
    "cost_ticks": 1.0, "symbol": "SBER", "recipe_hash": "dd" * 32, "feature_names": ["other"],
}  # fmt: skip


def network(folder: Path, **changes: Any) -> ScorerSpec:
    """A network's scorer; only its manifest lies there."""
    fields: dict[str, Any] = {
        "format": 1, "network": "feedforward", "hidden": [128, 64], "dropout": 0.3, "classes": ["down", "flat", "up"],
        "feature_names": ["spread"], "schema_id": "stream", "schema_hash": "ab" * 32, "scaler_mean": [0.0],
        "scaler_scale": [1.0], "class_weights": [1.0, 1.0, 1.0], "temperature": 1.0, "symbol": "MES", "step_ns": 1,
        "horizon_ns": 2, "cost_ticks": 3.0, "seed": 42, "data": {}, "data_hash": "cd" * 32, "config_hash": "ce" * 32,
        "code_hash": "cf" * 32, "metrics": {}, "history": [], "versions": {}, "created": "2026-11-30",
        "weights_sha256": "d0" * 32, "golden_inputs": [], "golden_outputs": [], "recipe_hash": "d1" * 32,
    }  # fmt: skip
    manifest = Manifest(**fields | changes)
    place = folder / str(len(list(folder.iterdir())))
    place.mkdir()
    (place / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
    return ScorerSpec("network", str(place))


def test_what_was_learned_is_no_part_of_the_recipe_moex_gate_01(tmp_path: Path) -> None:
    """Daily recalibration and a training by the same recipe on other days do not reset the sample."""
    first = recipe_of(network(tmp_path))
    assert len(first) == 64
    for name, value in LEARNED.items():
        assert recipe_of(network(tmp_path, **{name: value})) == first, name


@pytest.mark.parametrize("name", [*MADE])
def test_whatever_else_makes_its_scores_starts_a_new_sample_moex_gate_02(tmp_path: Path, name: str) -> None:
    assert recipe_of(network(tmp_path, **{name: MADE[name]})) != recipe_of(network(tmp_path))


def test_an_artifact_without_a_recipe_stands_for_itself_alone(tmp_path: Path) -> None:
    old = recipe_of(network(tmp_path, recipe_hash=""))
    assert old and old != recipe_of(network(tmp_path, recipe_hash="", config_hash="99" * 32))


def test_formulas_options_and_what_cannot_be_named(tmp_path: Path) -> None:
    plain, tuned = ScorerSpec("baseline"), ScorerSpec("baseline", options={"threshold": 0.5})
    assert recipe_of(plain) != recipe_of(tuned) != recipe_of(ScorerSpec("heuristic"))
    for nameless in (ScorerSpec("none"), ScorerSpec("network", str(tmp_path / "gone")), ScorerSpec("network")):
        assert recipe_of(nameless) == "", nameless
    assert lineage_of("ab", "") == lineage_of("", "ab") == "" and len(lineage_of("ab", "cd")) == 64


def test_a_formula_s_recipe_covers_the_source_of_its_features_moex_gate_02(tmp_path: Path) -> None:
    """A line changed in the features of a book starts a new sample, as one in the formula does."""
    for folder in FORMULA_FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
        for path in (BASE / folder).glob("*.py"):
            (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    assert formula_code(tmp_path) == formula_code()
    for name in ("marketdata/core/bookfeatures/rings.py", "marketdata/core/features_stream.py"):
        before = formula_code(tmp_path)
        with (tmp_path / name).open("a") as file:
            file.write("# another\n")
        assert formula_code(tmp_path) != before, name


def test_a_training_request_is_the_same_recipe_on_other_days() -> None:
    asked: dict[str, object] = {"tape": {"path": "monday"}, "seconds": 9, "out": "a", "epochs": 50, "rate": 1e-3}
    assert recipe_hash(asked) == recipe_hash(asked | {"tape": {"path": "friday"}, "seconds": 7, "out": "b"})
    assert recipe_hash(asked) != recipe_hash(asked | {"epochs": 51})


@dataclass
class Book:
    """Versions of the shares' profile, one behind the other."""

    values: dict[str, Any]

    def version(self, used: bool = True, **risk: Any) -> ConfigVersion:
        self.values = self.values | {"risk": self.values["risk"] | risk}
        found = configs.store(configs.parse_profile(self.values), author="ada", reason=str(risk))
        if used:
            ConfigVersion.objects.filter(id=found.id).update(used_at=timezone.now())
        return found


@pytest.mark.django_db
def test_a_version_that_only_tightens_goes_on_with_the_sample_moex_gate_02() -> None:
    book = Book(configs.load_file(configs.FOLDER / "moex-tinvest.yaml").to_values())
    first = book.version()
    tighter = book.version(orders_open_max=14)
    assert tighter.hash != first.hash and root_of(tighter) == root_of(first) == first.hash
    book.version(used=False, orders_open_max=40)  # a draft that nobody ran decides nothing
    third = book.version(orders_open_max=13)
    assert root_of(third) == first.hash
    looser = book.version(orders_open_max=16)
    assert root_of(looser) == looser.hash
    assert root_of(book.version(orders_open_max=12)) == looser.hash, "what was loosened in between is behind it"


@pytest.mark.django_db
def test_what_a_tighter_version_came_to_does_not_speak_for_the_looser_one_moex_gate_02() -> None:
    """One root, two directions: back to the looser version is another sample."""
    book = Book(configs.load_file(configs.FOLDER / "moex-tinvest.yaml").to_values())
    first, tighter = book.version(), book.version(orders_open_max=14)
    assert root_of(first) == root_of(tighter)
    assert speaks_for(first, tighter) and speaks_for(first, first) and not speaks_for(tighter, first)
    assert not speaks_for(None, first)
    ConfigVersion.objects.filter(id=first.id).update(values={"older": "schema"})
    first.refresh_from_db()
    assert not speaks_for(first, tighter), "what it meant is not known"
