"""The lineage: what must stay as it is for paper trades to speak for a later session (MOEX-GATE-01, -02).

A hash of the configuration and of the scorer's recipe: feature schema, architecture, label, training.  What
a network learned is not in it, so a new calibration or training by the same recipe goes on with the sample; nor is a
configuration that only tightens the one before.  Anything else starts a new sample.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec

from trading.config.changes import TIGHTENS, compare
from trading.configs import ConfigError, Profile, profile_of
from trading.learning.artifacts import MANIFEST_FILE, Manifest, code_hash
from trading.models import ConfigVersion
from trading.run.spec import ScorerSpec


def digest(values: Any) -> str:
    """SHA-256 (hex) of the canonical JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def recipe_of(scorer: ScorerSpec) -> str:
    """SHA-256 (hex) of how its scores come about; "" where nothing scores, or its artifact cannot be read.

    A formula's recipe is its options and the code; a network's all of its manifest that training did not find.
    """
    named = {"name": scorer.name, "options": scorer.options}
    if scorer.name == "none":
        return ""
    if not scorer.artifact:
        return digest(named | {"code": code_hash()})
    try:
        manifest = msgspec.json.decode((Path(scorer.artifact) / MANIFEST_FILE).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        return ""
    kept = (
        "network", "hidden", "dropout", "classes", "feature_names", "schema_id", "schema_hash", "symbol", "step_ns",
        "horizon_ns", "cost_ticks",
    )  # fmt: skip
    made = {name: getattr(manifest, name) for name in kept}
    # an artifact of before recipes were told apart stands for itself alone: its request names its data, too
    return digest(named | made | {"training": manifest.recipe_hash or manifest.config_hash})


def only_tightens(old: Profile, new: Profile) -> bool:
    """Whether every value that differs tightens."""
    return all(line.effect == TIGHTENS for line in compare(old, new))


def root_of(version: ConfigVersion) -> str:
    """Hash of the earliest version from which this one came by tightening alone, through versions that were used."""
    root, profile = version, profile_of(version)
    used = ConfigVersion.objects.filter(profile=version.profile, number__lt=version.number, used_at__isnull=False)
    for before in used.order_by("-number"):
        try:
            older = profile_of(before)
        except ConfigError:  # an older schema: what it meant is not known
            break
        if not only_tightens(older, profile):
            break
        root, profile = before, older
    return root.hash


def lineage_of(root: str, recipe: str) -> str:
    """SHA-256 (hex) of both; "" where one is unknown."""
    return digest({"config": root, "recipe": recipe}) if root and recipe else ""
