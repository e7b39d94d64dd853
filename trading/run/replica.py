"""The kernel with its memory: what the risk loop owns, what sinks and `replay --verify` rerun beside it.

Numbers inputs, applies them in order, returns inputs and outputs interleaved as the journal keeps them.  Snapshots are
the bytes of the state and parameters; a snapshot of other code or layout is refused.
"""

import hashlib

import numpy as np

from marketdata.core.records import EVENT
from trading.core.records import Params, State, new_out, new_params, new_state
from trading.run.calls import Calls

MAGIC = b"DESKSNAP1"
LINE = 64  # inputs that are copied at once


class SnapshotRefused(ValueError):
    """A snapshot that is damaged or of another layout; the journal is replayed from its start instead."""


class Kernel:
    """One session's kernel."""

    def __init__(self) -> None:
        self.state: State = new_state()
        self.params: Params = new_params()
        self.out = new_out()
        self._line = np.zeros(LINE, EVENT)
        self._calls = Calls(self.state, self.params, self._line, self.out)

    @property
    def seq(self) -> int:
        """Number of the last input or output; 0 before the first."""
        return int(self.state.account[0].seq)

    def apply(self, events: np.ndarray) -> np.ndarray:
        """Number and apply EVENTs in order.  Returns copies of all inputs and outputs, numbered, in journal order."""
        parts, line = [], self._line
        for first in range(0, len(events), LINE):
            given = events[first : first + LINE]
            line[: len(given)] = given
            for i in range(len(given)):
                written = self._calls.step(i)
                parts.append(line[i : i + 1].tobytes())
                if written > 0:
                    parts.append(self.out[:written].tobytes())
        return np.frombuffer(bytearray(b"".join(parts)), EVENT)  # `np.concatenate` of records costs 30 µs a call

    def snapshot(self) -> bytes:
        """State and parameters as bytes, with a checksum."""
        body = b"".join(array.tobytes() for array in (*self.state, *self._own_params()))
        return MAGIC + hashlib.sha256(body).digest() + body

    @classmethod
    def restore(cls, data: bytes) -> "Kernel":
        """The kernel that made this snapshot.  Raises SnapshotRefused."""
        self = cls()
        head = len(MAGIC) + 32
        body = data[head:]
        if data[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != data[len(MAGIC) : head]:
            raise SnapshotRefused("the snapshot is damaged: its checksum does not match")
        arrays = (*self.state, *self._own_params())
        if len(body) != sum(array.nbytes for array in arrays):
            raise SnapshotRefused("the snapshot has another layout than this code")
        at = 0
        for array in arrays:
            array[:] = np.frombuffer(body[at : at + array.nbytes], array.dtype).reshape(array.shape)
            at += array.nbytes
        return self

    def _own_params(self) -> tuple[np.ndarray, ...]:
        p = self.params
        return p.limits, p.staged, p.pending, p.specs, p.windows
