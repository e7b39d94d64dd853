"""A feed that a session recorded as it was received → the trades and books of one instrument, as the store keeps them.

Bars are made anew of the trades by whoever reads the set, and a quote is in the books: neither is kept.  Holes of the
recording are told as gaps, like those of any other source.  Called by `feeds.books.opening`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from marketdata.core.records import BAR, LEVELS, METRIC, QUOTE
from marketdata.feeds.books.reader import BookReader
from marketdata.feeds.books.recorded import Joined, frames, only, read_header
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.tapes import Block

LEFT_OUT = {BAR: "bars, which are made anew of the trades", QUOTE: "quotes, which the books hold", METRIC: "metrics"}


class SessionReader(BookReader):
    """See BookReader."""

    def __init__(
        self,
        path: Path,
        symbol: str,
        options: ReplayOptions,
        kept: dict[str, Any] | None = None,
        arrays: dict[str, np.ndarray] | None = None,
    ) -> None:
        super().__init__(path, symbol, options, kept)
        if options.tick_nanos or options.lot_nanos:
            raise FeedError(f"{path} is a session's own recording, in its ticks and lots: leave out tick and lot")
        header, kept = read_header(path), kept or {}
        if symbol not in header.symbols:
            raise FeedError(f"{path} recorded {', '.join(header.symbols)}, not {symbol}")
        at = header.symbols.index(symbol)
        if header.tick_nanos[at] != self.grid_nanos:
            raise FeedError(f"{path} has another price grid of {symbol} than this desk")
        self.levels = LEVELS
        self._place = np.full(len(header.symbols) + 1, -1, np.int16)
        self._place[at] = 0
        self._offset = int(kept.get("offset", 0))
        self._joined = Joined(int(kept.get("position", -1)))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """See BookReader."""
        plain, arrays = super().state()
        return plain | {"offset": self._offset, "position": self._joined.position}, arrays

    def blocks(self) -> Iterator[Block]:
        """See BookReader."""
        for frame, offset in frames(self.path, self._offset):
            self._offset = offset
            block = self._joined.block(frame)
            if block is None:
                continue
            self.rows += len(block.events)
            block = self._kept(block)
            if block is not None:
                yield self.told(block)
        self.end()

    def _kept(self, block: Block) -> Block | None:
        """Trades, books, statuses and gaps of the instrument."""
        mine = only(block, self._place)
        if mine is None:
            return None
        kinds = mine.events["kind"]
        for kind, words in LEFT_OUT.items():
            if count := int((kinds == kind).sum()):
                self.dropped[words] += count
        keep = ~np.isin(kinds, list(LEFT_OUT))
        if not keep.any():
            return None
        return Block(mine.events[keep], mine.depths, mine.depth_of[keep])

    def close(self) -> None:
        """See BookReader; the file is closed with its pass."""
