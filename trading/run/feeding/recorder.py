"""Keeps a session's feed as it is received: every batch that the loop played, in a thread, in a file of its own.

A file for each holder of the loop, named after its fence, so that two never write one.  The loop hands a batch over and
goes on; when disk or thread cannot keep up, batches are left out and counted, and the reader sees the hole.  The ring
never waits for a recording.  Called by the feed loop.
"""

import os
import threading
from collections import deque
from pathlib import Path

import structlog

from marketdata.feeds.books.recorded import Header, frame_bytes, head_bytes
from marketdata.feeds.port import Batch
from trading.run.spec import SessionSpec

EVENTS_MAX = 1 << 17  # that wait; about 90 MB with their books
WAIT_S = 0.2
STOP_S = 10.0
log = structlog.get_logger("trading.recorder")


def recording_files(folder: Path) -> list[Path]:
    """The recordings of the session in `folder`, in order."""
    return sorted(folder.glob("feed-*.rec"))


class Recorder(threading.Thread):
    """Attributes: bytes (written), left_out (events), fault (of the disk; empty while it writes)."""

    def __init__(self, folder: Path, spec: SessionSpec, fence: int) -> None:
        super().__init__(name=f"recorder of {spec.key}", daemon=True)
        self.path = folder / f"feed-{fence:08d}.rec"
        ticks = [item.values["tick_nanos"] for item in spec.instruments]
        self._header = Header([item.symbol for item in spec.instruments], ticks, spec.key)
        self._waiting: deque[Batch] = deque()
        self._news, self._ending = threading.Event(), threading.Event()
        self._in, self._out = 0, 0  # events offered and taken: each written by one thread alone
        self.bytes = self.left_out = 0
        self.fault = ""

    @property
    def waiting(self) -> int:
        """Events that are not written yet."""
        return self._in - self._out

    def take(self, batch: Batch) -> None:
        """One batch as it was played; never waits.  The arrays must not change afterwards."""
        count = len(batch.events)
        if count == 0:
            return
        if self.fault or self.waiting + count > EVENTS_MAX:
            self.left_out += count
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
            with open(self.path, "ab") as file:
                if file.tell() == 0:
                    file.write(head_bytes(self._header))
                while not (self._ending.is_set() and not self._waiting):
                    self._news.wait(WAIT_S)
                    self._news.clear()
                    while self._waiting:
                        batch = self._waiting.popleft()
                        self.bytes += file.write(frame_bytes(batch))
                        self._out += len(batch.events)
                    file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.fault = f"{type(error).__name__}: {error}"
            log.error("recording_failed", file=str(self.path), error=self.fault, left_out=self.waiting)
