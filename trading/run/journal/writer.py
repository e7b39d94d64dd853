"""The writing end of the journal: one owner at a time, by fence; what is not in the journal is not sent.

A new owner claims a segment with a higher fence, seals what was, and from then on nothing that the old one appends
counts.  A torn tail is cut by the seal, a damaged one is refused.  Called by the risk loop alone.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trading.run.context import Fenced
from trading.run.journal.segment import (
    BODY_BYTES,
    FRAME,
    FRAME_BYTES,
    JournalBroken,
    count_linked,
    fences,
    link_frames,
    linked_later,
    make_header,
    pread,
    read_segments,
    segment_path,
)

FOLDER_TIME_NS = 1_000_000_000  # file systems stamp in steps of some ms: a younger stamp may stand for two changes
TAIL_FRAMES = 8192  # how much of an unsealed segment a new owner verifies before it seals


class JournalFull(RuntimeError):
    """The journal cannot be written (disk full, file gone): nothing may be sent any more."""


class Tail(NamedTuple):
    """Where the valid part of the newest segment ends."""

    fence: int
    length: int
    last_hash: bytes
    next_seq: int


def find_tail(folder: Path) -> Tail:
    """End of the valid part of the newest segment; (0, 0, zeros, 1) when there is none.  Raises JournalBroken."""
    chain, _ = read_segments(folder)
    if not chain:
        return Tail(0, 0, bytes(32), 1)
    segment = chain[-1]
    fd = os.open(segment.path, os.O_RDONLY)
    try:
        whole = os.fstat(fd).st_size // FRAME_BYTES - 1
        start = max(0, whole - TAIL_FRAMES)
        data = pread(fd, (whole - start) * FRAME_BYTES, FRAME_BYTES * (1 + start))
        before = pread(fd, 32, FRAME_BYTES * start + BODY_BYTES)
        good = count_linked(data, before)
        if good == 0 and start > 0:  # the torn part is longer than the window, or its first frame is damaged
            start = 0
            data = pread(fd, whole * FRAME_BYTES, FRAME_BYTES)
            good = count_linked(data, segment.header_hash)
        if good < whole - start and linked_later(data, good + 1):
            seq = segment.first_seq + start + good
            raise JournalBroken(f"{segment.path.name}: frame {seq} is damaged, and frames after it are not")
        os.fdatasync(fd)  # what we are about to seal must not vanish with the power
        end = FRAME_BYTES * (1 + start + good)
        last_hash = pread(fd, 32, end - 32)
    finally:
        os.close(fd)
    return Tail(segment.fence, end, last_hash, segment.first_seq + start + good)


class JournalWriter:
    """Appends frames under one fence.  Opening claims the name, seals the previous segment, then checks again.

    Raises Fenced when a segment with this fence or a higher one exists, JournalBroken when the past is damaged.
    """

    def __init__(self, folder: Path, session_id: int, fence: int, code_hash: str) -> None:
        self.folder, self.fence = folder, fence
        self._length = 0  # bytes that count; 0 while the name is only claimed
        self._looked_ns = -1  # the folder's time of change at a look that nothing can have escaped
        self._broken = ""
        folder.mkdir(parents=True, exist_ok=True)
        if any(other >= fence for other in fences(folder)):
            raise Fenced(f"segment {max(fences(folder))} exists; fence {fence} is too old to write")
        self.path = segment_path(folder, fence)
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        except FileExistsError:
            raise Fenced(f"{self.path.name} was claimed by another process") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # readers see that the claim is alive
            tail = find_tail(folder)  # after the claim: what the old owner writes from here on, it does not send
            header = make_header(session_id, fence, tail.next_seq, (tail.fence, tail.length, tail.last_hash), code_hash)
            self._write(header)
            os.fsync(self._fd)
            self._sync_folder()
            self.check_fence()
        except BaseException:
            os.close(self._fd)
            raise
        self._last_hash = header[BODY_BYTES:]
        self._length = FRAME_BYTES
        self.next_seq = tail.next_seq

    @property
    def last_hash(self) -> bytes:
        """Hash of the last frame (or of the header): what a snapshot made now belongs to."""
        return self._last_hash

    def check_fence(self) -> None:
        """Raises Fenced when a segment of a newer owner exists, even if only claimed."""
        changed_ns = os.stat(self.folder).st_mtime_ns
        if changed_ns == self._looked_ns:
            return
        now_ns = time.time_ns()  # before the look: a claim after it changes the folder's time again
        newest = fences(self.folder)[-1]
        if newest != self.fence:
            raise Fenced(f"fence {self.fence} lost the journal to {newest}")
        self._looked_ns = changed_ns if now_ns - changed_ns > FOLDER_TIME_NS else -1

    def append(self, events: np.ndarray, stream_ids: np.ndarray, boot_ns: np.ndarray, durable: bool) -> None:
        """Append EVENTs numbered from `next_seq`; `stream_ids` (n, 2) int64, `boot_ns` (n,) int64.

        On return the frames are in the journal, and on disk when `durable`.  Raises Fenced when they do not count,
        JournalFull when they could not be written; both times nothing of them may be sent.
        """
        if self._broken:
            raise JournalFull(self._broken)
        self.check_fence()
        count = len(events)
        assert count == 0 or (events["seq"][0] == self.next_seq and events["seq"][-1] == self.next_seq + count - 1)
        frames = np.empty(count, FRAME)
        frames["event"] = events
        frames["stream_ms"], frames["stream_n"] = stream_ids[:, 0], stream_ids[:, 1]
        frames["boot_ns"] = boot_ns
        last_hash = link_frames(frames, self._last_hash)
        self._write(frames.tobytes())
        if durable:
            self.sync()
        self.check_fence()
        self._last_hash = last_hash
        self._length += count * FRAME_BYTES
        self.next_seq += count

    def sync(self) -> None:
        """Everything appended so far is on disk on return.  Raises JournalFull."""
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self._broken = f"{self.path}: {error.strerror}; nothing may be sent until it can be written"
            raise JournalFull(self._broken) from error

    def close(self) -> None:
        """Sync and let go.  The next owner seals the segment."""
        try:
            if not self._broken:
                self.sync()
        finally:
            os.close(self._fd)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self._broken = f"{self.path}: {error.strerror}; nothing may be sent until it can be written"
            try:
                os.ftruncate(self._fd, self._length)  # half a group must not be read by anyone
            except OSError as second:
                self._broken += f" (and its end cannot be cut: {second.strerror})"
            raise JournalFull(self._broken) from error

    def _sync_folder(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
