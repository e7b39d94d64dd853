"""One pass over a recording of books: blocks of EVENTs with their DEPTHs, and all that has to be told about them.

What a source cannot give is said, never mended: a gap is told as FEED_GAP with an empty, invalid book, and its end as
FEED_UP, so that whoever reads the tape knows no book in between, even one that passes FEEDs by.  The readers of the
formats are made on this; they know no store.  Called by `marketdata.store.sets`.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from marketdata.core.books.verdicts import FAULTS, HALF, LOCKED_OR_CROSSED
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import (
    ACCOUNT_SCOPE,
    BOOK,
    FEED,
    FEED_GAP,
    FEED_UP,
    FLAG_INVALID,
    NO_TICK,
    NO_TIME,
    new_depths,
    new_events,
)
from marketdata.core.units import NANOS
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.tapes import Block

EXAMPLES_MAX = 20
BLOCK_EVENTS = 1 << 12
BOOK_COUNT, INVALID_COUNT = "books", "books that are not valid"
ALWAYS = (BOOK_COUNT, INVALID_COUNT)  # said also when there are none
REFUSED_BY_BOOKS = ("contract", "instrument_ids", "columns", "delimiter", "stamp", "bar_ns", "volume_unit", "sort")


class BookReader:
    """What every reader of books is made of; `blocks` and `close` are the format's.

    Attributes: rows (of the source, read), dropped (reason → rows), examples (row, why), verdicts (words → count), gaps
    (begin, end in ns), levels (a side that the source shows; 0: all), grid_nanos (the symbol's tick), tick_nanos (what
    is one tick in the source), last_ns.  Raises FeedError.
    """

    def __init__(self, path: Path, symbol: str, options: ReplayOptions, kept: dict[str, Any] | None = None) -> None:
        kept = kept or {}
        if wrong := [name for name in REFUSED_BY_BOOKS if getattr(options, name)]:
            raise FeedError(f"option {wrong[0]} is for bars, {path.name} is a recording of books")
        self.path, self.symbol = path, symbol
        self.grid_nanos = INSTRUMENTS[symbol].tick_nanos
        self.tick_nanos = options.tick_nanos or self.grid_nanos
        self.lot_nanos = options.lot_nanos or NANOS
        self.rows = int(kept.get("rows", 0))
        self.dropped: Counter[str] = Counter(kept.get("dropped", {}))
        self.examples: list[tuple[int, str]] = [(row, why) for row, why in kept.get("examples", [])]
        self.gaps: list[tuple[int, int]] = [(begin, end) for begin, end in kept.get("gaps", [])]
        self.levels = int(kept.get("levels", 0))
        self.last_ns = int(kept.get("last_ns", NO_TIME))
        self._seen: Counter[str] = Counter(kept.get("seen", {}))
        self._gap_ns = int(kept.get("gap_ns", NO_TIME))

    def blocks(self) -> Iterator[Block]:
        """All of it, in order of receipt.  Raises FeedError at the row that cannot be used."""
        raise NotImplementedError

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """All that the pass remembers behind the last block, as plain values and as arrays: a reader made with both
        goes on there."""
        return {
            "rows": self.rows,
            "dropped": dict(self.dropped),
            "examples": [list(example) for example in self.examples],
            "gaps": [list(gap) for gap in self.gaps],
            "levels": self.levels,
            "last_ns": self.last_ns,
            "seen": dict(self._seen),
            "gap_ns": self._gap_ns,
        }, {}

    @property
    def verdicts(self) -> dict[str, int]:
        """What was found about the books, in words."""
        return {name: count for name, count in self._seen.items() if count > 0 or name in ALWAYS}

    def fault(self) -> str:
        """Why all of it may not be used, after the pass; empty while it may."""
        return ""

    def close(self) -> None:
        """Close the files."""
        raise NotImplementedError

    # for the formats

    def drop(self, row: int, why: str) -> None:
        """A row that is left out."""
        self.dropped[why] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append((row, why))

    def wrong(self, row: int, why: str) -> FeedError:
        """What is said of a row that nothing can be made of."""
        return FeedError(f"{self.path}: line {row} {why}")

    def lots(self, row: int, nanos: int) -> int:
        """A size in 1e-9 units of the source → lots, exactly."""
        lots, rest = divmod(nanos, self.lot_nanos)
        if rest:
            raise self.wrong(
                row, f"has a size of {plain(nanos)}, no whole number of lots of {plain(self.lot_nanos)}:"
                " give a smaller lot (option lot=...)"
            )  # fmt: skip
        return lots

    def off_grid(self, row: int, nanos: int) -> FeedError:
        """What is said of a price that the book cannot hold."""
        return self.wrong(
            row, f"has a price of {plain(nanos)}, no whole number of ticks of {plain(self.tick_nanos)}:"
            " give the source's tick (option tick=...)"
        )  # fmt: skip

    def told(self, block: Block) -> Block:
        """The block with its gaps told, and counted."""
        block = self._with_gaps(block)
        self.last_ns = int(block.events["ts_ns"][-1])
        depths = block.depths
        bid, ask = depths["bid_tick"][:, 0], depths["ask_tick"][:, 0]
        half = (bid == NO_TICK) | (ask == NO_TICK)
        self._seen[BOOK_COUNT] += len(depths)
        self._seen[INVALID_COUNT] += int((depths["flags"] & FLAG_INVALID != 0).sum())
        self._seen[FAULTS[HALF]] += int(half.sum())
        self._seen[FAULTS[LOCKED_OR_CROSSED]] += int((~half & (bid >= ask)).sum())
        return block

    def end(self) -> None:
        """The pass is over: a gap that is open ends with it."""
        if self._gap_ns != NO_TIME:
            self.gaps.append((self._gap_ns, self.last_ns))
            self._gap_ns = NO_TIME

    def _with_gaps(self, block: Block) -> Block:
        """A FEED_GAP is followed by a book that shows nothing; the first book after it comes behind a FEED_UP."""
        events = block.events
        lost = (events["kind"] == FEED) & (events["code"] == FEED_GAP)
        if self._gap_ns == NO_TIME and not lost.any():
            return block
        places: list[int] = []
        rows: list[np.ndarray] = []
        for at in np.flatnonzero(lost | (events["kind"] == BOOK)).tolist():
            stamps = int(events["ts_ns"][at]), int(events["ts_venue_ns"][at])
            if lost[at]:
                self._gap_ns = stamps[0] if self._gap_ns == NO_TIME else self._gap_ns
                places.append(at + 1)
                rows.append(_row(BOOK, *stamps))
            elif self._gap_ns != NO_TIME:
                places.append(at)
                rows.append(_row(FEED, *stamps))
                self.gaps.append((self._gap_ns, stamps[0]))
                self._gap_ns = NO_TIME
        if not rows:
            return block
        events = events.copy()
        events["instrument"][lost] = ACCOUNT_SCOPE
        return _inserted(block._replace(events=events), places, np.concatenate(rows))


def plain(nanos: int) -> str:
    """A number of 1e-9 units in plain digits."""
    whole, part = divmod(nanos, NANOS)
    return f"{whole}.{part:09d}".rstrip("0").removesuffix(".")


def _row(kind: int, ts_ns: int, venue_ns: int) -> np.ndarray:
    """A FEED_UP, or a BOOK that shows nothing."""
    event = new_events(1)
    event["kind"], event["ts_ns"], event["ts_venue_ns"] = kind, ts_ns, venue_ns
    if kind == FEED:
        event["code"], event["instrument"] = FEED_UP, ACCOUNT_SCOPE
    else:
        event["flags"] = FLAG_INVALID
    return event


def _inserted(block: Block, places: list[int], rows: np.ndarray) -> Block:
    """The block with rows put in before the events at `places`, which rise; a BOOK among them with an empty DEPTH."""
    events = np.insert(block.events, places, rows)
    is_book = events["kind"] == BOOK
    depth_of = np.where(is_book, np.cumsum(is_book) - 1, -1).astype(np.int32)
    source = np.insert(block.depth_of, places, -1)[is_book]
    depths = new_depths(len(source))
    depths[source >= 0] = block.depths[source[source >= 0]]
    for name in ("ts_ns", "ts_venue_ns", "instrument", "flags"):
        depths[name] = events[name][is_book]
    return Block(events, depths, depth_of)
