"""Keeps a session's feed as it is received: every batch that the loop played, in a thread, in a file of its own.

A file for each holder of the loop, named after its fence, so that two never write one.  The loop hands a batch over and
goes on; when disk or thread cannot keep up, batches are left out and counted, and the reader sees the hole.  A live
market never waits for a recording, and no session ends by one: the journal lies on the same disk, so a recording stops
while there is still room for it.  Called by the feed loop.
"""

import os
import shutil
import threading
from collections import deque
from pathlib import Path
from time import monotonic
from typing import IO

import structlog

from marketdata.feeds.books.recorded import Header, frame_bytes, head_bytes
from marketdata.feeds.port import Batch
from trading.run.spec import SessionSpec

EVENTS_MAX = 1 << 17  # that wait; about 90 MB with their books
WAIT_S = 0.2
STOP_S = 2.0  # a loop that ends holds its lease so long; the thread writes on while its process lives
FREE_BYTES_MIN = 2 << 30  # that a recording leaves to journals and ledger: twice what a start needs (DISK_BYTES_MIN)
LOOK_BYTES, LOOK_S = 16 << 20, 1.0  # between two looks at the disk, whichever comes first
log = structlog.get_logger("trading.recorder")


def recording_files(folder: Path) -> list[Path]:
    """The recordings of the session in `folder`, in order."""
    return sorted(folder.glob("feed-*.rec"))


class DiskLow(RuntimeError):
    """The disk has little room left: it is the journal's."""


class Recorder(threading.Thread):
    """Attributes: bytes (written), fault (why it ended early; empty while it writes)."""

    def __init__(self, folder: Path, spec: SessionSpec, fence: int) -> None:
        super().__init__(name=f"recorder of {spec.key}", daemon=True)
        self.path = folder / f"feed-{fence:08d}.rec"
        ticks = [item.values["tick_nanos"] for item in spec.instruments]
        self._header = Header([item.symbol for item in spec.instruments], ticks, spec.key)
        self._waiting: deque[Batch] = deque()
        self._news, self._ending = threading.Event(), threading.Event()
        self._in, self._out, self._refused = 0, 0, 0  # events: each written by one thread alone
        self._looked, self._looked_s = -LOOK_BYTES, 0.0  # the last look at the disk: bytes written, monotonic clock
        self.bytes = 0
        self.fault = ""

    @property
    def waiting(self) -> int:
        """Events that are not written yet; none are once it ended early."""
        return 0 if self.fault else self._in - self._out

    @property
    def left_out(self) -> int:
        """Events that are not in the file and never will be."""
        return self._refused + (self._in - self._out if self.fault else 0)

    def has_room(self, count: int) -> bool:
        """Whether it takes so many events now.  One that ended early takes, and leaves out, any number."""
        return bool(self.fault) or self.waiting + count <= EVENTS_MAX

    def take(self, batch: Batch) -> None:
        """One batch as it was played; never waits.  The arrays must not change afterwards."""
        count = len(batch.events)
        if count == 0:
            return
        if self.fault:
            self._waiting.clear()  # what was appended while it ended
        if self.fault or not self.has_room(count):
            self._refused += count
            return
        self._in += count
        self._waiting.append(batch)
        self._news.set()

    def end(self) -> None:
        """Write what waits, durably, and end."""
        self._ending.set()
        self._news.set()
        if self.is_alive():
            self.join(STOP_S)

    def run(self) -> None:
        """See Thread."""
        try:
            self._look()
            with open(self.path, "ab") as file:
                try:
                    self._write(file)
                finally:  # what was written before the disk ran low is whole
                    file.flush()
                    os.fsync(file.fileno())
        except DiskLow as error:
            self._end_early(str(error))
            log.error("recording_ended", file=str(self.path), error=self.fault)
        except Exception as error:  # whatever it is, the session goes on and the page says that nothing is recorded
            self._end_early(f"{type(error).__name__}: {error}")
            log.exception("recording_failed", file=str(self.path))

    def _write(self, file: IO[bytes]) -> None:
        """Raises DiskLow."""
        if file.tell() == 0:
            file.write(head_bytes(self._header))
        while not (self._ending.is_set() and not self._waiting):
            self._news.wait(WAIT_S)
            self._news.clear()
            while self._waiting:
                self._look()
                batch = self._waiting.popleft()
                self.bytes += file.write(frame_bytes(batch))
                self._out += len(batch.events)
            file.flush()

    def _look(self) -> None:
        """Now and then: the room on the disk.  Raises DiskLow, OSError."""
        if self.bytes - self._looked < LOOK_BYTES and monotonic() - self._looked_s < LOOK_S:
            return
        self._looked, self._looked_s = self.bytes, monotonic()
        free = shutil.disk_usage(self.path.parent).free
        if free < FREE_BYTES_MIN:
            raise DiskLow(f"recording stopped: {free >> 20} MiB are free, and {FREE_BYTES_MIN >> 20} are the journal's")

    def _end_early(self, fault: str) -> None:
        self.fault = fault
        self._waiting.clear()
