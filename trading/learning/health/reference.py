"""What a network looked like when it was made: a reference that lies beside its weights, named by hash (T-06).

Rows of features with their times, evenly spread over what it was calibrated on, and how its answers to the
test part came out.  Made once at training (`making`), read with suspicion, never changed.  An artifact of before has
none: whoever watches a session must say so.  Called by artifacts and the watcher.
"""

import hashlib
from typing import NamedTuple

import msgspec
import numpy as np

from marketdata.core.bookfeatures.schema import DRIFT_PLACES
from trading.learning.health.outcomes import Figures
from trading.learning.schemas import BOOKS, Schema

VERSION = 1
SAMPLE_MAX = 500  # rows of those within the hours that are asked for (MOEX-MON-01)
HOUR_NS = 3_600_000_000_000
HOURS = 24


class ReferenceFault(ValueError):
    """A reference that is not the one that its manifest names; the message says what differs."""


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the manifest says of it.  `calibration`, `hits`: of the test part, whatever was said and sides alone."""

    version: int
    sha256: str
    rows: int
    calibration: Figures
    hits: Figures


class Reference(NamedTuple):
    """A reference in memory; `id` is the hash of its file."""

    id: str
    features: np.ndarray  # (n, width) float32, in time order
    ts_ns: np.ndarray  # (n,) int64
    calibration: Figures
    hits: Figures


def watched_places(schema: Schema) -> tuple[int, ...]:
    """Places of the features that are watched: of books those that are marked for it, else all."""
    return DRIFT_PLACES if schema.id == BOOKS else tuple(range(schema.width))


def read_reference(summary: Summary, data: bytes, width: int) -> Reference:
    """Check and read it.  Raises ReferenceFault."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if summary.version != VERSION:
        raise ReferenceFault(f"its version {summary.version} is not {VERSION}")
    if hashlib.sha256(data).hexdigest() != summary.sha256:
        raise ReferenceFault("it is not the file that the manifest names (sha256)")
    try:
        tensors = load(data)
    except (SafetensorError, KeyError) as error:
        raise ReferenceFault(f"it cannot be read: {error}") from None
    if set(tensors) != {"features", "ts_ns"}:
        raise ReferenceFault(f"it holds {', '.join(sorted(tensors))}")
    features, ts_ns = tensors["features"], tensors["ts_ns"]
    if features.shape != (summary.rows, width) or ts_ns.shape != (summary.rows,) or ts_ns.dtype != np.int64:
        raise ReferenceFault(f"{features.shape} features are not {summary.rows} rows of {width}")
    if not np.isfinite(features).all():
        raise ReferenceFault("a value of it is not finite")
    return Reference(summary.sha256, features, ts_ns, summary.calibration, summary.hits)


def hours_of(ts_ns: np.ndarray) -> np.ndarray:
    """(24,) bool: the whole hours of the day, UTC, that these times touch."""
    touched = np.zeros(HOURS, bool)
    touched[(ts_ns // HOUR_NS) % HOURS] = True
    return touched


def rows_within(reference: Reference, hours: np.ndarray) -> np.ndarray:
    """Indices of the rows within these hours of day, SAMPLE_MAX at most and evenly spread; fewer: all."""
    return spread(np.flatnonzero(hours[(reference.ts_ns // HOUR_NS) % HOURS]), SAMPLE_MAX)


def spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of these (n,) indices, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
