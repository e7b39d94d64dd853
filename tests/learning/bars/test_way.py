"""A network and the walk-forward that speaks for it: made in one way, or not; and how fast it answers (MES-GATE-01)."""

from pathlib import Path
from typing import Any

import msgspec

from tests.learning.barsets import bar_request
from trading.golive.mes import build
from trading.golive.mes.report import recipe_of
from trading.learning.artifacts import load
from trading.learning.bars.origin import origin_of, way_of
from trading.learning.networks import HIDDEN
from trading.learning.training import TrainRequest
from trading.research.gate import Candidate
from trading.run.forward.report import network_of
from trading.run.forward.retraining import How, identity_of


def test_an_artifact_is_known_by_the_rows_seed_and_training_that_a_walk_names_mes_gate_01(
    made: Path, bars_network: Path
) -> None:
    artifact = load(bars_network)
    asked = bar_request(made, bars_network)

    def named(asked: TrainRequest, every_s: int = 1) -> str:
        """The artifact of such a request, and a walk of networks like it."""
        data = origin_of(asked, True, every_s)
        other = artifact._replace(manifest=msgspec.structs.replace(artifact.manifest, data=data))
        study = {"rows": data["rows"], "schema": artifact.manifest.schema_hash, "every_s": every_s, "way": data["way"]}
        assert recipe_of(other) == network_of({"networks": study})
        return recipe_of(other)

    assert recipe_of(artifact) == named(asked) != ""
    others: list[dict[str, Any]] = [
        {"epochs": 3},
        {"seed": 8},
        {"hidden": (32, 32)},
        {"dropout": 0.1},
        {"rate": 1e-2},
        {"batch": 64},
    ]
    ways = {named(msgspec.structs.replace(asked, **other)) for other in others} | {named(asked, 5)}
    assert len(ways) == len(others) + 1 and recipe_of(artifact) not in ways
    elsewhere = msgspec.structs.replace(asked, out="x", memory_bytes_max=1)
    assert named(elsewhere) == recipe_of(artifact)
    default = identity_of(How(made, 2, 1, 7), "MES")
    assert default["way"] == way_of(msgspec.structs.replace(asked, hidden=HIDDEN)), "as the walk trains its own"
    silent = artifact._replace(manifest=msgspec.structs.replace(artifact.manifest, data={"feed": "features"}))
    assert recipe_of(silent) == "", "an artifact of an earlier version does not say how it was made"


def test_features_and_answers_are_timed_over_a_thousand_calls_mes_ml_14(bars_network: Path) -> None:
    """What they take depends on the machine; both together are never less than one of them."""
    wanted = frozenset(build.SPEED)
    found = dict(build.measured(Candidate("c", "n", "b"), bars_network, wanted, lambda words: None))
    assert set(found) == wanted and all(row.n == 1_000 and row.value is not None for row in found.values())
    features, inference, both = (found[name].value or 0.0 for name in build.SPEED)
    assert 0 < max(features, inference) <= both
    nobody = dict(build.measured(Candidate("c", "n", "b"), bars_network.parent / "none", wanted, lambda words: None))
    assert all(row.value is None and "cannot be loaded" in row.why for row in nobody.values())
