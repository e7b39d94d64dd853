"""An account's durable state: an append-only file of changed rows, synced before anything is answered.

Every commit holds the rows of the venue's state that changed since the last one, the new answers, and a check sum;
loading puts rows back by their place, so a restart needs neither market data nor matching.  A torn tail is cut.  When
the file has grown, the whole state is written anew beside it and renamed over it.  Only the venue's process uses it.
"""

import os
import struct
import zlib
from pathlib import Path

import msgspec
import numpy as np

from marketdata.core.records import EVENT
from trading.brokers.wire import Terms
from trading.core.venue.state import Venue, empty_venue
from trading.run.clock import ClockRecord, write_atomic

MAGIC = b"DESKVEN2"
COMPACT_BYTES = 8 * 1024 * 1024  # the file is written anew beyond this
HISTORY_KEPT = 20_000  # latest answers that survive a compaction
_HEAD = struct.Struct("<II")  # length, crc32


class StoreError(RuntimeError):
    """A file that is not this venue's; the message says what to do."""


class Meta(msgspec.Struct):
    """What is no array: the account's terms, the highest fence of each role, the session's clock."""

    terms: Terms
    fences: dict[str, int] = {}
    clock: ClockRecord | None = None
    first_ref: int = 1  # number of the oldest answer that is kept


class Commit(msgspec.Struct, array_like=True):
    """One record of the file."""

    rows: list[tuple[int, int, bytes]]  # table, row, bytes
    answers: bytes
    meta: Meta | None


def row_bytes(table: np.ndarray) -> np.ndarray:
    """A table as (rows, bytes of a row) uint8, a view of the same memory."""
    return table.view(np.uint8).reshape(table.shape[0], -1)


def packed(commit: Commit) -> bytes:
    """A commit as it stands in the file."""
    body = msgspec.msgpack.encode(commit)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


class Store:
    """The file of one account."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.venue = empty_venue()
        self.history = bytearray()  # EVENTs, gapless refs from meta.first_ref
        self.meta: Meta | None = None
        self._file: int = -1
        self._size = 0
        self._shadow = self._copy()
        self._answers_done = 0
        self._meta_done = b""

    def _copy(self) -> list[np.ndarray]:
        return [row_bytes(table).copy() for table in self.venue]

    def load(self) -> None:
        """Read the file, cut a torn tail, open it for appending.  Raises StoreError when it is another kind of file."""
        data = self.path.read_bytes()
        if data[: len(MAGIC)] != MAGIC:
            raise StoreError(f"{self.path} is not an account of this venue; move it away and start a new session")
        good = len(MAGIC)
        while good + _HEAD.size <= len(data):
            length, crc = _HEAD.unpack_from(data, good)
            body = data[good + _HEAD.size : good + _HEAD.size + length]
            if len(body) < length or zlib.crc32(body) != crc:
                break
            self._apply(msgspec.msgpack.decode(body, type=Commit))
            good += _HEAD.size + length
        if self.meta is None:
            raise StoreError(f"{self.path} holds no complete record; move it away and start a new session")
        self._open()
        if good < len(data):
            os.ftruncate(self._file, good)
            os.fsync(self._file)
        self._size = good
        self._settle()

    def _apply(self, commit: Commit) -> None:
        for table, row, content in commit.rows:
            row_bytes(self.venue[table])[row] = np.frombuffer(content, np.uint8)
        if commit.meta is not None:
            self.meta = commit.meta
        self.history += commit.answers

    def create(self, venue: Venue, meta: Meta) -> None:
        """A new account, durable before it is used."""
        self.venue = venue
        self.meta = meta
        self._rewrite()

    def _rewrite(self) -> None:
        assert self.meta is not None
        surplus = len(self.history) // EVENT.itemsize - HISTORY_KEPT
        if surplus > 0:
            del self.history[: surplus * EVENT.itemsize]
            self.meta.first_ref += surplus
        rows = [
            (number, row, bytes(content))
            for number, table in enumerate(self.venue)
            for row, content in enumerate(row_bytes(table))
        ]
        data = MAGIC + packed(Commit(rows, bytes(self.history), self.meta))
        self.close()
        write_atomic(self.path, data)
        self._open()
        self._size = len(data)
        self._settle()

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.fchmod(self._file, 0o600)

    def _settle(self) -> None:
        self._shadow = self._copy()
        self._answers_done = len(self.history)
        self._meta_done = msgspec.msgpack.encode(self.meta)

    def commit(self) -> bool:
        """Make everything that changed durable.  False when nothing had changed."""
        meta = msgspec.msgpack.encode(self.meta)
        rows = []
        for number, (table, old) in enumerate(zip(self.venue, self._shadow, strict=True)):
            now = row_bytes(table)
            for row in np.flatnonzero((now != old).any(axis=1)):
                rows.append((number, int(row), now[row].tobytes()))
                old[row] = now[row]
        answers = bytes(self.history[self._answers_done :])
        if not rows and not answers and meta == self._meta_done:
            return False
        data = packed(Commit(rows, answers, self.meta if meta != self._meta_done else None))
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        os.fdatasync(self._file)
        self._size += len(data)
        self._answers_done = len(self.history)
        self._meta_done = meta
        if self._size > COMPACT_BYTES:
            self._rewrite()
        return True

    def close(self) -> None:
        """Release the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
