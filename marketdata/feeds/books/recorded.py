"""A feed as it was received, in a file: every batch of events with its 20-level books, byte for byte (MOEX-DATA).

A line of JSON says what it is and of which instruments, then one frame a batch: lengths, position on the tape,
checksum, and the records, compressed.  Frames are appended; a last one that a crash cut off is no frame.  What is
missing shows by the positions, and is told as FEED_GAP; what a takeover sent twice is read once.  Written by the feed
loop's recorder, read by the `replay` feed and by imports.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from marketdata.core.records import ACCOUNT_SCOPE, DEPTH, EVENT, FEED, FEED_END, FEED_GAP, FEED_UP, NO_TIME, new_events
from marketdata.feeds.port import Batch, FeedError
from marketdata.feeds.stored import FEED_FORMAT
from marketdata.feeds.tapes import Block

VERSION = 1
FRAME = struct.Struct("<IIIIq")  # bytes of the body, its CRC-32, events, depths, position (-1: back-fill)
LEVEL = 1  # of zlib: a third of the time of 6 for a tenth more bytes
EVENTS_MAX = 1 << 20  # of one frame: more is damage
BYTES_MAX = 1 << 30


class Header(NamedTuple):
    """Which instruments, in the order of EVENT.instrument, with their price grids; whose feed it was."""

    symbols: list[str]
    tick_nanos: list[int]
    source: str


class Frame(NamedTuple):
    """One batch."""

    block: Block
    position: int


def head_bytes(header: Header) -> bytes:
    """What a file begins with."""
    words = {"format": FEED_FORMAT, "version": VERSION, **header._asdict()}
    return json.dumps(words).encode() + b"\n"


def frame_bytes(batch: Batch) -> bytes:
    """One batch as a frame."""
    parts = (batch.events.tobytes(), batch.depths.tobytes(), np.ascontiguousarray(batch.depth_of, "<i4").tobytes())
    body = zlib.compress(b"".join(parts), LEVEL)
    return FRAME.pack(len(body), zlib.crc32(body), len(batch.events), len(batch.depths), batch.position) + body


def read_header(path: Path) -> Header:
    """The file's first line.  Raises FeedError."""
    with open(path, "rb") as file:
        return _header(path, file)


def _header(path: Path, file: IO[bytes]) -> Header:
    try:
        words: dict[str, Any] = json.loads(file.readline(1 << 16))
        version, header = words["version"], Header(*(words[name] for name in Header._fields))
    except (ValueError, KeyError, TypeError):
        raise FeedError(f"{path} is no feed as it was received: its first line is damaged") from None
    if version != VERSION:
        raise FeedError(f"{path} has version {version}, this desk reads {VERSION}")
    return header


def frames(path: Path, offset: int = 0) -> Iterator[tuple[Frame, int]]:
    """Every whole frame from byte `offset` of the file on (0: the first), with the offset behind it.

    A last frame that is cut ends the file; one that is damaged in its middle raises FeedError.
    """
    with open(path, "rb") as file:
        _header(path, file)
        if offset:
            file.seek(offset)
        while len(head := file.read(FRAME.size)) == FRAME.size:
            size, crc, events, depths, position = FRAME.unpack(head)
            if size > BYTES_MAX or events > EVENTS_MAX or depths > events:
                raise FeedError(f"{path} is damaged at byte {file.tell()}: a frame of impossible size")
            body = file.read(size)
            if len(body) < size:
                return
            if zlib.crc32(body) != crc:
                raise FeedError(f"{path} is damaged at byte {file.tell()}: a frame does not match its checksum")
            yield Frame(_block(zlib.decompress(body), events, depths), position), file.tell()


def count_events(path: Path) -> int:
    """Events of all whole frames, by their heads alone.  Raises FeedError."""
    total, size = 0, path.stat().st_size
    with open(path, "rb") as file:
        _header(path, file)
        while len(head := file.read(FRAME.size)) == FRAME.size:
            body, _, events, _, _ = FRAME.unpack(head)
            if file.seek(body, 1) > size:
                break
            total += events
    return total


def copy_frames(path: Path, out: IO[bytes]) -> int:
    """Every whole frame as it is, without the file's first line; how many.  Raises FeedError."""
    count = 0
    with open(path, "rb") as file:
        _header(path, file)
        at = file.tell()
        for _, end in frames(path):
            file.seek(at)
            out.write(file.read(end - at))
            at, count = end, count + 1
    return count


def _block(data: bytes, events: int, depths: int) -> Block:
    at, end = events * EVENT.itemsize, events * EVENT.itemsize + depths * DEPTH.itemsize
    parts = np.frombuffer(data[:at], EVENT), np.frombuffer(data[at:end], DEPTH), np.frombuffer(data[end:], "<i4")
    return Block(*(part.copy() for part in parts))  # compiled code is made for arrays that may be written


class Joined:
    """Frames one after another without what came twice; a hole in the positions is told.  Back-fill is passed over.

    Attributes: position (behind the last event), holes, missing (events that lie in them).
    """

    def __init__(self, position: int = -1) -> None:
        self.position, self.holes, self.missing = position, 0, 0

    def block(self, frame: Frame) -> Block | None:
        """What of the frame is new; None for nothing."""
        count = len(frame.block.events)
        begin = frame.position - count
        if frame.position < 0 or frame.position <= self.position or count == 0:
            return None
        if self.position < 0 or begin <= self.position:
            block = _from(frame.block, max(self.position - begin, 0) if self.position >= 0 else 0)
        else:
            self.holes += 1
            self.missing += begin - self.position
            block = _told(frame.block)
        self.position = frame.position
        return block


def _from(block: Block, first: int) -> Block:
    if first == 0:
        return block
    depth_of = block.depth_of[first:].copy()
    used = depth_of[depth_of >= 0]
    if len(used) == 0:
        return Block(block.events[first:], block.depths[:0], depth_of)
    depth_of[depth_of >= 0] -= used.min()
    return Block(block.events[first:], block.depths[used.min() :], depth_of)


def _told(block: Block) -> Block:
    """The block behind the news that something before it is missing."""
    news = new_events(2)
    news["kind"], news["instrument"], news["code"] = FEED, ACCOUNT_SCOPE, (FEED_GAP, FEED_UP)
    for name in ("ts_ns", "ts_venue_ns"):
        news[name] = block.events[name][0]
    depth_of = np.concatenate([np.full(2, -1, np.int32), block.depth_of]).astype(np.int32)
    return Block(np.concatenate([news, block.events]), block.depths, depth_of)


class RecordedTape:
    """A recorded feed as a tape (feeds.tapes.Tape): the events of the session's instruments, known when received."""

    def __init__(self, path: Path, symbols: list[str]) -> None:
        self.path, self._joined = path, Joined()
        header = read_header(path)
        if unknown := [symbol for symbol in symbols if symbol not in header.symbols]:
            raise FeedError(f"{path} recorded {', '.join(header.symbols)}, not {unknown[0]}")
        self._place = np.full(len(header.symbols) + 1, -1, np.int16)  # the last one: the whole feed's
        for at, symbol in enumerate(symbols):
            self._place[header.symbols.index(symbol)] = at
        self._events, self._last_ns = 0, NO_TIME

    def blocks(self) -> Iterator[Block]:
        """See Tape.blocks."""
        for frame, _ in frames(self.path):
            block = self._joined.block(frame)
            block = None if block is None else only(block, self._place)
            if block is None:
                continue
            events = block.events
            events["ts_venue_ns"] = np.maximum.accumulate(np.maximum(events["ts_ns"], self._last_ns))
            self._last_ns = int(events["ts_venue_ns"][-1])
            self._events += len(events)
            yield block

    def counts(self) -> dict[str, int]:
        """See Tape.counts."""
        return {"records": self._events, "holes": self._joined.holes, "events missing": self._joined.missing}

    def close(self) -> None:
        """See Tape.close; the file is closed with its pass."""


def only(block: Block, place: np.ndarray) -> Block | None:
    """The events of the instruments that have a place, renumbered, and those of the whole feed but its end."""
    which = block.events["instrument"]
    ours = place[np.where(which < 0, len(place) - 1, which)]
    of_feed = (which < 0) & ~((block.events["kind"] == FEED) & (block.events["code"] == FEED_END))
    keep = (ours >= 0) | of_feed
    if not keep.any():
        return None
    events, rows = block.events[keep], block.depth_of[keep]
    events["instrument"] = np.where(which[keep] < 0, which[keep], ours[keep])
    depths = block.depths[rows[rows >= 0]]
    depths["instrument"] = events["instrument"][rows >= 0]
    depth_of = np.where(rows >= 0, np.cumsum(rows >= 0) - 1, -1).astype(np.int32)
    return Block(events, depths, depth_of)
