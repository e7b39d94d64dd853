"""The reference of a network, made once from the very rows that it was trained, calibrated and tested on (T-06).

Features of the validation part, which calibration used (MOEX-MON-01), outcomes of the test part, which training never
saw.  Hours of the day that the validation part does not reach have no reference, and the watcher says so.  Called by
training.
"""

import hashlib

import numpy as np

from trading.learning.dataset import Rows, Split
from trading.learning.health.outcomes import figures_of, followed
from trading.learning.health.reference import VERSION, Summary, spread

ROWS_MAX = 6_000  # that are kept
Made = tuple[Summary, bytes]  # what the manifest says of it, and the bytes of its file


def make_reference(rows: Rows, split: Split, shares: np.ndarray) -> Made:
    """`shares`: (n, 3) calibrated probabilities of the test part's rows."""
    from safetensors.numpy import save

    kept = spread(split.validation, ROWS_MAX)
    data = save({"features": rows.features[kept].astype(np.float32), "ts_ns": rows.ts_ns[kept]})
    test = split.test
    outcomes = followed(rows.ts_ns[test], rows.label_ns[test], shares, rows.label[test])
    whatever, sided = (figures_of(part) for part in outcomes)
    return Summary(VERSION, hashlib.sha256(data).hexdigest(), len(kept), whatever, sided), data
