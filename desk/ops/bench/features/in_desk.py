"""The desk's own step on the common work, beside which the peers are measured: the same entry as training and hashing.

Rows come in blocks and are gone with the next one, as everywhere in the desk; who wants them all keeps them.
"""

import numpy as np

from desk.ops.bench.features.tape import Tape
from marketdata.core.barfeatures.engine import BarFeatures
from marketdata.core.barfeatures.schema import FEATURE_NAMES


def compute(tape: Tape) -> int:
    """All rows, block by block; how many."""
    engine = BarFeatures(tape.days, FEATURE_NAMES)
    rows = sum(len(block.second) for block in engine.blocks(tape.bars))
    engine.last_labels()
    return rows


def kept(tape: Tape) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(second, valid, features (n, 56), label) of all rows."""
    engine = BarFeatures(tape.days, FEATURE_NAMES)
    parts, labels = [], []
    for block in engine.blocks(tape.bars):
        parts.append((block.second.copy(), block.valid, block.features.copy()))
        labels.append(block.label.copy())
    second, valid, features = (np.concatenate(column) for column in zip(*parts, strict=True))
    return second, valid, features, np.concatenate([*labels, engine.last_labels()])
