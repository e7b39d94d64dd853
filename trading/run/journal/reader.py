"""The reading end of the journal: frames by seq, verified as they are read, beside a live writer and across a takeover.

A reader never shows a frame that a later seal could void.  It writes nothing and needs no lock.  Called by recovery,
sinks, replay and verify.
"""

import fcntl
import itertools
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trading.run.journal.segment import (
    FRAME,
    FRAME_BYTES,
    JournalBroken,
    Segment,
    count_linked,
    fences,
    pread,
    read_header,
    read_segments,
    segment_path,
)

CHUNK_FRAMES = 16384


class JournalReport(NamedTuple):
    """What `verify` found.  `fault` is empty when every frame that counts is intact."""

    frames: int
    segments: int
    last_seq: int
    void_bytes: int  # appended by fenced writers behind a seal
    torn_bytes: int  # an unfinished frame at the very end
    fault: str

    @property
    def ok(self) -> bool:
        """True when the chain holds from the first header to the last frame."""
        return self.fault == ""


def claim_is_alive(path: Path) -> bool:
    """True while the process that claimed this segment still holds it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class JournalReader:
    """Reads frames by seq, verifying the chain as it goes.  Safe beside a live writer and across a takeover."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: list[int] = []
        self._chain: list[Segment] = []

    def last_seq(self) -> int:
        """Seq of the last whole frame that may count, 0 for an empty journal; not verified."""
        self._refresh(fences(self.folder))
        if not self._chain:
            return 0
        segment = self._chain[-1]
        return segment.first_seq + os.path.getsize(segment.path) // FRAME_BYTES - 2

    def read(self, after_seq: int, limit: int) -> np.ndarray:
        """Up to `limit` FRAMEs with seq > `after_seq`, in order; empty when there is nothing new.

        Raises JournalBroken when sealed frames are damaged or the cursor lies behind the journal's end.
        """
        parts: list[np.ndarray] = []
        while limit > 0:
            part = self._read_part(after_seq, min(limit, CHUNK_FRAMES))
            if len(part) == 0:
                break
            parts.append(part)
            after_seq += len(part)
            limit -= len(part)
        return np.concatenate(parts) if parts else np.empty(0, FRAME)

    def sync(self) -> None:
        """What was read so far is on disk on return: a follower's rows may then never be newer than the journal."""
        for segment in self._chain[-1:]:
            fd = os.open(segment.path, os.O_RDONLY)
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)

    def verify(self) -> JournalReport:
        """Check every header, seal, hash and seq from the first segment on."""
        frames, torn, void = 0, 0, 0
        try:
            chain, _ = read_segments(self.folder)
            self._check_seals(chain)
            for segment in chain:
                size = os.path.getsize(segment.path)
                counted = size if segment.sealed < 0 else segment.sealed
                void += size - counted
                torn += counted % FRAME_BYTES
                expected = counted // FRAME_BYTES - 1
                done = 0
                while done < expected:
                    part = self._read_segment(segment, segment.first_seq + done, min(expected - done, CHUNK_FRAMES))
                    if len(part) == 0:
                        seq = segment.first_seq + done
                        raise JournalBroken(f"{segment.path.name}: frame {seq} does not match its hash")
                    done += len(part)
                frames += done
        except (JournalBroken, OSError) as error:
            return JournalReport(frames, len(fences(self.folder)), frames, void, torn, str(error))
        return JournalReport(frames, len(chain), frames, void, torn, "")

    def _refresh(self, names: list[int]) -> None:
        if names != self._names or not self._chain:
            chain, claimed = read_segments(self.folder)
            self._check_seals(chain)
            self._chain = chain
            self._names = [] if claimed else names

    def _read_part(self, after_seq: int, limit: int) -> np.ndarray:
        names = fences(self.folder)
        self._refresh(names)
        seq = after_seq + 1
        segment = None
        for segment in reversed(self._chain):
            if segment.first_seq <= seq and not (segment.sealed >= 0 and self._end_seq(segment) <= seq):
                break
        if segment is None:
            return np.empty(0, FRAME)
        frames = self._read_segment(segment, seq, limit)
        if segment.sealed < 0:
            after = fences(self.folder)
            newest = segment_path(self.folder, after[-1])
            if after[-1] != segment.fence and (read_header(newest) is not None or claim_is_alive(newest)):
                return np.empty(0, FRAME)  # a new owner is sealing this segment: look again when its header stands
        return frames

    @staticmethod
    def _end_seq(segment: Segment) -> int:
        return segment.first_seq + segment.sealed // FRAME_BYTES - 1

    def _read_segment(self, segment: Segment, seq: int, limit: int) -> np.ndarray:
        index = seq - segment.first_seq
        offset = FRAME_BYTES * (1 + index)
        fd = os.open(segment.path, os.O_RDONLY)
        try:
            end = os.fstat(fd).st_size if segment.sealed < 0 else segment.sealed
            if offset > end:
                raise JournalBroken(f"cursor {seq - 1} lies behind the end of {segment.path.name}")
            length = min(limit, (end - offset) // FRAME_BYTES) * FRAME_BYTES
            data = pread(fd, length + 32, offset - 32)
        finally:
            os.close(fd)
        body = data[32:]
        count = count_linked(body, data[:32])
        if segment.sealed >= 0 and count * FRAME_BYTES < length:
            raise JournalBroken(f"{segment.path.name}: frame {seq + count} does not match its hash")
        frames = np.frombuffer(body[: count * FRAME_BYTES], FRAME)
        if not np.array_equal(frames["event"]["seq"], np.arange(seq, seq + count)):
            raise JournalBroken(f"{segment.path.name}: seq jumps after {seq - 1}")
        return frames

    def _check_seals(self, chain: list[Segment]) -> None:
        for before, segment in itertools.pairwise(chain):
            with before.path.open("rb") as file:
                file.seek(segment.previous_bytes - 32)
                sealed_hash = file.read(32)
            whole = segment.previous_bytes % FRAME_BYTES == 0 and segment.previous_bytes >= FRAME_BYTES
            next_seq = before.first_seq + segment.previous_bytes // FRAME_BYTES - 1
            if not whole or sealed_hash != segment.previous_hash or next_seq != segment.first_seq:
                raise JournalBroken(f"{segment.path.name} does not continue {before.path.name}")
