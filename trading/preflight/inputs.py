"""What a session runs with, as hashes: configuration, code, data and artifact.  Taken once, when the session is made.

A result that cannot name its inputs is no result.  A recorded file of ordinary size is hashed whole; of a larger one,
its size, head and tail.  Called by `trading.services`; nothing is decided here.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings

from trading.golive.lineage import recipe_of
from trading.learning.artifacts import MANIFEST_FILE
from trading.run.spec import FeedSpec, SessionSpec

WHOLE_BYTES_MAX = 1 << 28
PART_BYTES = 1 << 24


def inputs_of(spec: SessionSpec) -> dict[str, str]:
    """config, code, data, artifact, recipe → hex digests; "" where there is none.  Raises OSError for a lost file."""
    return {
        "config": spec.version_hash,
        "code": settings.CODE_HASH,
        "data": data_digest(spec.feed),
        "artifact": artifact_digest(spec.scorer.artifact),
        "recipe": recipe_of(spec.scorer),
    }


def artifact_digest(folder: str) -> str:
    """SHA-256 of an artifact's manifest, which names the weights by their own hash; "" without an artifact."""
    return hashlib.sha256((Path(folder) / MANIFEST_FILE).read_bytes()).hexdigest() if folder else ""


def data_digest(feed: FeedSpec) -> str:
    """SHA-256 over what the tape is made of: the recorded files, or the simulation's own parameters."""
    digest = hashlib.sha256()
    asked: dict[str, Any] = msgspec.to_builtins(feed)
    for name in ("path", "speed"):
        asked.pop(name)
    index = asked["options"].pop("rvi", "") if feed.name != "simulated" else ""  # there it is a number
    digest.update(json.dumps(asked, sort_keys=True).encode())
    for part in filter(None, [*feed.path.split(","), index]):
        _add_file(digest, Path(part))
    return digest.hexdigest()


def _add_file(digest: Any, path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= WHOLE_BYTES_MAX:
            while piece := file.read(PART_BYTES):
                digest.update(piece)
            return
        digest.update(str(size).encode() + file.read(PART_BYTES))
        file.seek(-PART_BYTES, 2)
        digest.update(file.read(PART_BYTES))
