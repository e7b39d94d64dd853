"""What these tests share: a tape through the product in one piece, in chunks, or one bar at a time, as arrays."""

from datetime import date
from functools import cache
from typing import NamedTuple

import numpy as np

from marketdata.calendars import bar_days
from marketdata.core.barfeatures.engine import BarFeatures
from marketdata.core.barfeatures.records import Bars
from marketdata.core.barfeatures.schema import FEATURE_NAMES


class Rows(NamedTuple):
    """All rows of a tape."""

    second: np.ndarray
    valid: np.ndarray
    carried: np.ndarray
    begins: np.ndarray
    features: np.ndarray
    label: np.ndarray
    state: bytes  # of the engine at the end

    def column(self, name: str) -> np.ndarray:
        return self.features[:, FEATURE_NAMES.index(name)]


@cache
def days() -> np.ndarray:
    """The clock of every tape."""
    return bar_days(date(2024, 2, 26), date(2025, 1, 17))


def engine(block_rows: int = 4096) -> BarFeatures:
    return BarFeatures(days(), FEATURE_NAMES, block_rows)


def in_chunks(bars: Bars, size: int, block_rows: int = 4096, using: BarFeatures | None = None) -> Rows:
    """The tape cut into pieces of `size` bars, through one engine (MES-MEM-08)."""
    made = using or engine(block_rows)
    parts: list[list[np.ndarray]] = []
    for at in range(0, len(bars.second), size):
        for block in made.blocks(Bars(*(column[at : at + size] for column in bars))):
            parts.append([np.array(column) for column in block])
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    second, valid, carried, begins, features, label = columns
    label = np.concatenate([label, made.last_labels()])
    return Rows(second, valid, carried, begins, features, label, made.states.tobytes())


def whole(bars: Bars) -> Rows:
    return in_chunks(bars, len(bars.second), 1 << 14)


def one_at_a_time(bars: Bars, using: BarFeatures | None = None) -> Rows:
    """The tape as live brings it: each second by itself.  It makes no labels."""
    made = using or engine()
    found: list[tuple[int, bool, bool]] = []
    vectors = []
    for bar in zip(*(column.tolist() for column in bars), strict=True):
        for at, warm in made.carried(bar[0]):
            found.append((at, warm, True))
            vectors.append(made.vector.copy())
        found.append((bar[0], made.bar(*bar), False))
        vectors.append(made.vector.copy())
    second, valid, carried = (np.array(column) for column in zip(*found, strict=True))
    return Rows(second, valid, carried, np.empty(0), np.array(vectors), np.empty(0), made.states.tobytes())
