"""The lineage: what must stay as it is for paper trades to speak for a later session (MOEX-GATE-01, -02).

A hash of the configuration and of the scorer's recipe: feature schema, architecture, label, training.  What
a network learned is not in it, so a new calibration or training by the same recipe goes on with the sample; nor is a
configuration that only tightens the one before.  Anything else starts a new sample.  Tightening has a direction: what
a version came to speaks for those that tighten it (`speaks_for`), never for the looser one that it came from.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec

from trading.config.changes import TIGHTENS, compare
from trading.configs import ConfigError, Profile, profile_of
from trading.learning.artifacts import BASE, MANIFEST_FILE, Manifest
from trading.learning.scoring import BaselineScorer, HeuristicScorer
from trading.models import ConfigVersion
from trading.run.spec import ScorerSpec

FORMULAS = {one.name: one.schema for one in (BaselineScorer, HeuristicScorer)}
FORMULA_FOLDERS = ("marketdata/core", "marketdata/core/barfeatures", "marketdata/core/bookfeatures", "trading/learning")


def digest(values: Any) -> str:
    """SHA-256 (hex) of the canonical JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def formula_code(base: Path = BASE) -> str:
    """SHA-256 (hex) over the source that a formula scores by: its own, and that of the features which it reads."""
    found = hashlib.sha256()
    for folder in FORMULA_FOLDERS:
        for path in sorted((base / folder).glob("*.py")):
            found.update(f"{folder}/{path.name}\n".encode() + path.read_bytes())
    return found.hexdigest()


def recipe_of(scorer: ScorerSpec) -> str:
    """SHA-256 (hex) of how its scores come about; "" where nothing scores, or its artifact cannot be read.

    A formula's recipe is its options, its features and the code; a network's all of its manifest that training did not
    find.
    """
    named = {"name": scorer.name, "options": scorer.options}
    if scorer.name in FORMULAS and not scorer.artifact:
        schema = FORMULAS[scorer.name]
        return digest(named | {"code": formula_code(), "schema_id": schema.id, "schema_hash": schema.hash})
    if scorer.name == "none" or not scorer.artifact:
        return ""
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


def speaks_for(judged: ConfigVersion | None, asked: ConfigVersion) -> bool:
    """Whether what ran under `judged` counts for `asked`: the same values, or ones that only tighten them."""
    if judged is None or judged.profile != asked.profile:
        return False
    if judged.hash == asked.hash:
        return True
    try:
        return only_tightens(profile_of(judged), profile_of(asked))
    except ConfigError:  # an older schema: what it meant is not known
        return False


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
