"""The `replay` feed: a recorded file as a tape with a start, a position and no look-ahead.

What lies before the start is back-fill: it builds the book, and its last minutes are handed out flagged, once.  A feed
opened again and sought to a position goes on with exactly the same bytes.  Called by `feeds.registry`; it never reads
a clock.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from marketdata.core.records import (
    ACCOUNT_SCOPE,
    BAR,
    DEPTH,
    FEED,
    FEED_END,
    FLAG_BACKFILL,
    NO_TIME,
    TRADE,
    new_events,
)
from marketdata.feeds.books.names import BOOK_FORMATS, BOOKS, SESSION
from marketdata.feeds.books.recorded import RecordedTape
from marketdata.feeds.books.tape import BookTape
from marketdata.feeds.dbn import BAR_SECONDS, SCHEMAS, DbnReader
from marketdata.feeds.options import ReplayOptions, check_symbols, parse_options
from marketdata.feeds.port import Batch, FeedError, FeedSpec
from marketdata.feeds.sources import detect_format
from marketdata.feeds.stored import data_set_files
from marketdata.feeds.tapes import BarTape, Block, RecordTape, Tape, empty_block, join_blocks

BACKFILL_BARS = 2400  # forty minutes of 1-second bars
BACKFILL_OTHERS = 1024  # books and trades
VERIFY_BYTES = 1 << 26  # a file up to this size is read to its end before the first event is given out


class ReplayFeed:
    """A Feed over one recording, `name` for messages.  `open_tape` begins it anew; the session begins with the first
    event at or after `start_ns`, None = where the market first trades."""

    def __init__(self, name: str, open_tape: Callable[[], Tape], start_ns: int | None) -> None:
        self._name = name
        self._open_tape = open_tape
        self._asked_ns = start_ns
        self.start_ns = NO_TIME
        self._tape: Tape | None = None
        self._begin()

    def _begin(self) -> None:
        """Open the tape and stop before the first event of the session; keep the last of what lies before."""
        self.close()
        self._tape = self._open_tape()
        self._blocks: Iterator[Block] = self._tape.blocks()
        self._block = empty_block()
        self._at = 0
        self._position = 0
        self._last_ns = NO_TIME
        self._ended = False
        past = empty_block()
        first_ns = NO_TIME
        for block in self._blocks:
            if first_ns == NO_TIME:
                first_ns = int(block.events["ts_venue_ns"][0])
            found = self._first_of_session(block.events)
            if found == block.events.size:
                past = _last_of(join_blocks([past, block]))
                continue
            past = _last_of(join_blocks([past, _cut(block, 0, found)]))
            self._block, self._at = block, found
            self.start_ns = int(block.events["ts_venue_ns"][found])
            past.events["flags"] |= FLAG_BACKFILL
            past.depths["flags"] |= FLAG_BACKFILL
            self._past = past
            return
        if self._asked_ns is not None or first_ns == NO_TIME:
            raise FeedError(f"{self._name} has no event in the session: choose an earlier start or another file")
        self._asked_ns = first_ns  # a tape without trades begins with its first book
        self._begin()

    def _first_of_session(self, events: np.ndarray) -> int:
        """Index of the first event of the session in this block; its size when there is none."""
        if self._asked_ns is None:
            found = (events["kind"] == TRADE) | (events["kind"] == BAR)
        else:
            found = events["ts_venue_ns"] >= self._asked_ns
        return int(np.argmax(found)) if found.any() else events.size

    def backfill(self) -> Batch:
        """The last bars, books and trades before the start, flagged FLAG_BACKFILL; position 0."""
        return Batch(self._past.events.copy(), self._past.depths.copy(), self._past.depth_of.copy(), 0, False)

    def next_ns(self) -> int:
        """Time of the next event; NO_TIME at the end."""
        return int(self._block.events["ts_venue_ns"][self._at]) if self._more() else NO_TIME

    def _more(self) -> bool:
        """Whether an event is left; loads the next block when this one is used up, and FEED_END after the last."""
        while self._at == self._block.events.size and not self._ended:
            if self._at:
                self._last_ns = int(self._block.events["ts_venue_ns"][-1])
            block = next(self._blocks, None)
            if block is None:
                block = _end_of_tape(self._last_ns)
                self._ended = True
            self._block, self._at = block, 0
        return self._at < self._block.events.size

    def read(self, until_ns: int, limit: int) -> Batch:
        """The next events with ts_venue_ns <= until_ns, at most `limit`.  Raises FeedError at a bad record."""
        parts = []
        left = limit
        while left > 0 and self._more():
            times = self._block.events["ts_venue_ns"]
            due = int(np.searchsorted(times, until_ns, side="right"))
            end = min(due, self._at + left)
            if end <= self._at:
                break
            parts.append(_cut(self._block, self._at, end))
            left -= end - self._at
            self._position += end - self._at
            self._at = end
        block = join_blocks(parts)
        ended = self._ended and self._at == self._block.events.size
        return Batch(block.events, block.depths, block.depth_of, self._position, ended)

    def seek(self, position: int) -> None:
        """Go to this position, from the beginning when it lies behind.  Raises FeedError beyond the end."""
        if position < self._position:
            self._begin()
        while self._position < position:
            if not self._more():
                raise FeedError(f"the tape ends at position {self._position}, before {position}: it is another file")
            step = min(position - self._position, self._block.events.size - self._at)
            self._at += step
            self._position += step

    def counts(self) -> dict[str, int]:
        """What the reader left out or mended so far, by name."""
        return self._tape.counts() if self._tape is not None else {}

    def close(self) -> None:
        """Release files; nothing can be read after it."""
        if self._tape is not None:
            self._tape.close()


def _cut(block: Block, start: int, end: int) -> Block:
    """Events start..end with their depths, copied: the caller may stamp them."""
    depth_of = block.depth_of[start:end].copy()
    used = depth_of[depth_of >= 0]
    if not used.size:
        return Block(block.events[start:end].copy(), block.depths[:0].copy(), depth_of)
    first, last = int(used[0]), int(used[-1])  # depths lie in the order of their events
    depth_of[depth_of >= 0] -= first
    return Block(block.events[start:end].copy(), block.depths[first : last + 1].copy(), depth_of)


def _last_of(block: Block) -> Block:
    """The last bars and the last other events of the block, so that a long past stays small."""
    is_bar = block.events["kind"] == BAR
    bars_after = np.cumsum(is_bar[::-1])[::-1]
    others_after = np.cumsum(~is_bar[::-1])[::-1]
    keep = np.where(is_bar, bars_after <= BACKFILL_BARS, others_after <= BACKFILL_OTHERS)
    if keep.all():
        return block
    depth_of = block.depth_of[keep]
    depths = block.depths[depth_of[depth_of >= 0]]
    depth_of[depth_of >= 0] = np.arange(depths.size, dtype=np.int32)
    return Block(block.events[keep], depths, depth_of)


def _end_of_tape(last_ns: int) -> Block:
    events = new_events(1)
    events["kind"] = FEED
    events["code"] = FEED_END
    events["instrument"] = ACCOUNT_SCOPE
    events["ts_ns"] = events["ts_venue_ns"] = last_ns
    return Block(events, np.zeros(0, DEPTH), np.full(1, -1, np.int32))


def tape_of(spec: FeedSpec) -> tuple[Callable[[], Tape], ReplayOptions]:
    """How to open the recording that `spec` names, and its checked options.  Raises FeedError."""
    options = parse_options(dict(spec.options))
    symbols = list(spec.symbols)
    check_symbols(symbols, options)
    if not spec.path:
        raise FeedError("a replay needs the path of a recorded file")
    paths = [Path(part) for part in spec.path.split(",")]
    if len(paths) not in (1, len(symbols)):
        raise FeedError(f"the replay names {len(paths)} files for {len(symbols)} symbols: give one, or one for each")
    kind = options.format or detect_format(paths[0])
    if spec.schema and spec.schema not in SCHEMAS:
        raise FeedError(f"schema {spec.schema!r} cannot be replayed; known: {', '.join(SCHEMAS)}")
    if kind in (BOOKS, *BOOK_FORMATS):
        return _books(kind, paths, symbols, spec.schema, options), options
    if kind == "dbn":
        schema = spec.schema or _schema_of(paths[0])
        if schema not in BAR_SECONDS:
            if len(paths) > 1:
                raise FeedError(f"schema {schema} is replayed from one file, not from {len(paths)}")
            return lambda: RecordTape(paths[0], schema, symbols, options), options
    elif spec.schema and spec.schema not in BAR_SECONDS:
        raise FeedError(f"{paths[0]} ({kind}) holds bars, not {spec.schema}: leave the schema out or give a DBN file")
    every = paths * len(symbols) if len(paths) == 1 else paths
    return lambda: BarTape(every, spec.schema, symbols, options), options


def _books(kind: str, paths: list[Path], symbols: list[str], schema: str, options: ReplayOptions) -> Callable[[], Tape]:
    if kind not in (BOOKS, SESSION):
        raise FeedError(f"{paths[0]} is a recording of books ({kind}): import it, and replay the data set")
    if schema:
        raise FeedError(f"{paths[0]} holds books, which have no schema {schema}: leave the schema out")
    if len(paths) > 1:
        raise FeedError(f"books are replayed from one data set, not from {len(paths)}")
    if kind == SESSION:
        return lambda: RecordedTape(paths[0], symbols)
    return lambda: BookTape(paths[0], symbols, options)


def _schema_of(path: Path) -> str:
    reader = DbnReader(path)
    reader.close()
    return reader.schema


def open_replay(spec: FeedSpec) -> ReplayFeed:
    """The feed of a recorded file.  A file of ordinary size is read to its end first, so that a bad one is refused
    before anything was sent.  Raises FeedError."""
    open_tape, options = tape_of(spec)
    files = [file for part in spec.path.split(",") for file in data_set_files(Path(part))]
    if sum(file.stat().st_size for file in files) <= VERIFY_BYTES:
        verify_tape(open_tape)
    return ReplayFeed(spec.path, open_tape, options.start_ns)


def verify_tape(open_tape: Callable[[], Tape]) -> int:
    """Read the tape to its end; returns its number of events.  Raises FeedError at the first record that is bad."""
    tape = open_tape()
    try:
        return sum(block.events.size for block in tape.blocks())
    finally:
        tape.close()
