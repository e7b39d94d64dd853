"""One file of the journal: its header, its 256-byte frames, and the hash chain through both.

A segment belongs to one fence.  Its header seals the segment before it: how many bytes of that count, and the hash
of the last frame that counts; whatever a fenced writer appends behind the seal is void.  Frames hash their
predecessor, the first one hashes the header, so a flipped byte anywhere breaks the chain.  This file knows bytes only;
`journal` uses it.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.core.records import EVENT

MAGIC = b"SDJOURNL"
FORMAT = 1
FRAME = np.dtype(
    [
        ("event", EVENT),
        ("stream_ms", "<i8"),  # id of the inbox entry that brought an input; 0-0 for outputs and the loop's own inputs
        ("stream_n", "<i8"),
        ("boot_ns", "<i8"),  # inputs: boot clock of the sender; outputs: boot clock at append
        ("hash", "u1", (32,)),
    ]
)
HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("format", "<i8"),
        ("session", "<i8"),
        ("fence", "<i8"),
        ("first_seq", "<i8"),
        ("previous_fence", "<i8"),  # 0: this is the first segment
        ("previous_bytes", "<i8"),  # sealed length of the previous segment, header included
        ("previous_hash", "u1", (32,)),
        ("code_hash", "u1", (32,)),
        ("spare", "u1", (104,)),
        ("hash", "u1", (32,)),  # sha256 of the 224 bytes before
    ]
)
FRAME_BYTES = 256
BODY_BYTES = 224
assert FRAME.itemsize == FRAME_BYTES and HEADER.itemsize == FRAME_BYTES
_NAME = re.compile(r"^journal-(\d{6,})\.seg$")


class JournalBroken(RuntimeError):
    """A sealed frame or a header does not match its hash: the journal was damaged or altered.  Never repaired."""


class Segment(NamedTuple):
    """A segment that readers may use.  `sealed`: bytes that count, -1 while it is the newest and may grow."""

    path: Path
    fence: int
    first_seq: int
    previous_fence: int
    previous_bytes: int
    previous_hash: bytes
    header_hash: bytes
    sealed: int


def segment_path(folder: Path, fence: int) -> Path:
    """Where the segment of this fence lies."""
    return folder / f"journal-{fence:06d}.seg"


def pread(fd: int, length: int, offset: int) -> bytes:
    """Up to `length` bytes from `offset`; fewer only at the end of the file."""
    parts = []
    while length > 0:
        part = os.pread(fd, length, offset)
        if not part:
            break
        parts.append(part)
        length, offset = length - len(part), offset + len(part)
    return b"".join(parts)


def fences(folder: Path) -> list[int]:
    """Fences of all segment files in the folder, claimed ones without a header included, ascending."""
    matches = (_NAME.match(name) for name in os.listdir(folder))
    return sorted(int(match.group(1)) for match in matches if match is not None)


def make_header(session: int, fence: int, first_seq: int, previous: tuple[int, int, bytes], code_hash: str) -> bytes:
    """Header bytes; `previous` = (fence, sealed bytes, hash at their end), (0, 0, zeros) for the first segment."""
    header = np.zeros(1, HEADER)
    header["magic"], header["format"] = MAGIC, FORMAT
    header["session"], header["fence"], header["first_seq"] = session, fence, first_seq
    header["previous_fence"], header["previous_bytes"] = previous[0], previous[1]
    header["previous_hash"] = np.frombuffer(previous[2], "u1")
    code = code_hash.encode()[:32].ljust(32, b"\0")
    header["code_hash"] = np.frombuffer(code, "u1")
    body = header.tobytes()[:BODY_BYTES]
    return body + hashlib.sha256(body).digest()


def read_header(path: Path) -> np.ndarray | None:
    """The header of a segment, None while its owner has only claimed the name.  Raises JournalBroken when damaged."""
    with path.open("rb") as file:
        data = file.read(FRAME_BYTES)
    if len(data) < FRAME_BYTES:
        return None
    if hashlib.sha256(data[:BODY_BYTES]).digest() != data[BODY_BYTES:]:
        raise JournalBroken(f"{path.name}: the header does not match its hash")
    header = np.frombuffer(data, HEADER)
    if header["magic"][0] != MAGIC or header["format"][0] != FORMAT:
        raise JournalBroken(f"{path.name} is not a journal of format {FORMAT}")
    if segment_path(path.parent, int(header["fence"][0])).name != path.name:
        raise JournalBroken(f"{path.name} carries the header of fence {header['fence'][0]}")
    return header


def read_segments(folder: Path) -> tuple[list[Segment], bool]:
    """The chain of segments from the first on, and whether a newer owner has claimed a name without a header yet.

    Segments that no later header names (claimed, never used) are left out.  Raises JournalBroken.
    """
    present = fences(folder)
    headers = {fence: read_header(segment_path(folder, fence)) for fence in present}
    claimed = bool(present) and headers[present[-1]] is None
    chain: list[Segment] = []
    fence = max((f for f, header in headers.items() if header is not None), default=0)
    sealed = -1
    while fence > 0:
        header = headers.get(fence)
        if header is None:
            raise JournalBroken(f"segment {fence} is named by its successor but is missing")
        chain.append(
            Segment(
                path=segment_path(folder, fence),
                fence=fence,
                first_seq=int(header["first_seq"][0]),
                previous_fence=int(header["previous_fence"][0]),
                previous_bytes=int(header["previous_bytes"][0]),
                previous_hash=header["previous_hash"].tobytes(),
                header_hash=header["hash"].tobytes(),
                sealed=sealed,
            )
        )
        if not 0 <= chain[-1].previous_fence < fence:
            raise JournalBroken(f"segment {fence} names {chain[-1].previous_fence} as the one before it")
        sealed, fence = chain[-1].previous_bytes, chain[-1].previous_fence
    return chain[::-1], claimed


def link_frames(frames: np.ndarray, previous_hash: bytes) -> bytes:
    """Fill in the hashes of `frames` (FRAME array, changed in place); returns the hash of the last."""
    view: memoryview = frames.view("u1").data
    sha256 = hashlib.sha256
    for at in range(0, len(view), FRAME_BYTES):
        digest = sha256(previous_hash)
        digest.update(view[at : at + BODY_BYTES])
        previous_hash = digest.digest()
        view[at + BODY_BYTES : at + FRAME_BYTES] = previous_hash
    return previous_hash


def count_linked(data: bytes, previous_hash: bytes) -> int:
    """How many leading frames of `data` continue the chain from `previous_hash`; stops at the first that does not."""
    sha256 = hashlib.sha256
    view = memoryview(data)
    count = 0
    for at in range(0, len(data) - FRAME_BYTES + 1, FRAME_BYTES):
        digest = sha256(previous_hash)
        digest.update(view[at : at + BODY_BYTES])
        previous_hash = digest.digest()
        if previous_hash != view[at + BODY_BYTES : at + FRAME_BYTES]:
            break
        count += 1
    return count


def linked_later(data: bytes, start: int) -> bool:
    """True when some frame at or after index `start` continues the stored hash of the frame before it.

    Behind a torn write nothing does; behind a flipped byte the rest still does, and must not be cut.
    """
    view = memoryview(data)
    for at in range(max(start, 1) * FRAME_BYTES, len(data) - FRAME_BYTES + 1, FRAME_BYTES):
        digest = hashlib.sha256(view[at - 32 : at])
        digest.update(view[at : at + BODY_BYTES])
        if digest.digest() == view[at + BODY_BYTES : at + FRAME_BYTES]:
            return True
    return False
