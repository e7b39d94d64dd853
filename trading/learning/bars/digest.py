"""A hash of rows that does not depend on how they are cut, and of which whole sessions can be taken side by side.

BLAKE3 over the BLAKE3 of the features of every UTC hour, in order, and over those of the columns second, valid and
label as a whole.  SHA-256 would take longer than the features themselves.  Sessions begin
and end on the hour or with hours between them, so none shares an hour with another.  Called by `file` and `hashed`.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from blake3 import blake3

HOUR_S = 3_600


def _bytes(column: np.ndarray) -> memoryview:
    """The bytes of an array, without a copy where it lies in one piece."""
    return np.ascontiguousarray(column).reshape(-1).view(np.uint8).data


class Hours:
    """Hashes of the features of UTC hours, in order.  `done`: (hour, BLAKE3) of each that is complete."""

    def __init__(self) -> None:
        self.done: list[tuple[int, bytes]] = []
        self._hour: int | None = None
        self._open: Any = None

    def add(self, second: np.ndarray, features: np.ndarray) -> None:
        """The next rows: second (n,) int64, features (n, 56) float64."""
        hours = second // HOUR_S
        if not hours.size:
            return
        inner = (np.flatnonzero(np.diff(hours)) + 1).tolist() if hours[0] != hours[-1] else []
        for begin, end in pairwise([0, *inner, hours.size]):
            hour = int(hours[begin])
            if hour != self._hour:
                self.end()
                self._hour, self._open = hour, blake3()
            self._open.update(_bytes(features[begin:end]))

    def end(self) -> None:
        """No more rows of this hour."""
        if self._hour is not None:
            self.done.append((self._hour, self._open.digest()))
        self._hour = self._open = None


class RowsDigest:
    """The hash of all rows, fed in order with rows or with the hours of a session."""

    def __init__(self) -> None:
        self._features, self._second = blake3(), blake3()
        self._valid, self._label = blake3(), blake3()
        self._hours = Hours()
        self._last: int | None = None

    def add(self, second: np.ndarray, valid: np.ndarray, features: np.ndarray, label: np.ndarray) -> None:
        """The next rows, as in `rows.RowChunk`."""
        self._hours.add(second, features)
        self._columns(second, valid, label)

    def add_session(self, hours: Hours, second: np.ndarray, valid: np.ndarray, label: np.ndarray) -> None:
        """The next rows, whose features were hashed before; `hours` is at its end."""
        self._take(hours)
        self._columns(second, valid, label)

    def _columns(self, second: np.ndarray, valid: np.ndarray, label: np.ndarray) -> None:
        self._second.update(_bytes(second))
        self._valid.update(_bytes(valid))
        self._label.update(_bytes(label))

    def _take(self, hours: Hours) -> None:
        for hour, digest in hours.done:
            assert self._last is None or hour > self._last, "two sessions share an hour"
            self._last = hour
            self._features.update(digest)
        hours.done.clear()

    def hexdigest(self) -> str:
        """The hash, when all rows were added."""
        self._hours.end()
        self._take(self._hours)
        whole = blake3()
        for part in (self._features, self._second, self._valid, self._label):
            whole.update(part.digest())
        return whole.hexdigest()
