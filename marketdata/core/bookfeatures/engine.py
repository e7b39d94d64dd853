"""The book features for Python callers: events in, rows out, refusals as values, faults as errors.

One object per instrument holds the state and the room for rows; `blocks` takes tapes of any length (history, a chunk
of a file), `book`, `trade` and `candle` take one event (live).  All of them go on from the same state, in any mixture.
Construction refuses names other than the schema's (MOEX-FEAT-01).  It decides nothing and reads no clock.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from marketdata.core.bookfeatures import stream
from marketdata.core.bookfeatures.records import (
    BROKEN,
    EMPTY_WINDOW,
    NOT_FINITE,
    REFUSALS,
    VALID,
    Tape,
    new_book_states,
    new_rows,
    no_intervals,
)
from marketdata.core.bookfeatures.schema import FEATURE_COUNT, check_names

BLOCK_ROWS = 2048  # 1.4 MB: a block is still in the cache when its reader comes


class BookRefused(ValueError):
    """A book that cannot be: out of bounds or order, or without finite features.  It was not taken."""


class Block(NamedTuple):
    """Rows in their order, one a book.  Views into the engine's room: copy what outlives the next block."""

    event: np.ndarray  # (n,) int64: index of the book's event in the tape
    verdict: np.ndarray  # (n,) int8: VALID or a refusal
    features: np.ndarray  # (n, 88) float64


class BookFeatures:
    """Features of one instrument with ticks of `tick_nanos`.  `intervals`: (n,) INTERVAL.  Raises SchemaDiffers."""

    def __init__(
        self,
        tick_nanos: int,
        names: Sequence[str],
        intervals: np.ndarray | None = None,
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        check_names(names)
        self.intervals = no_intervals() if intervals is None else intervals
        self.states = new_book_states([tick_nanos])
        self._newest = np.full((1, FEATURE_COUNT), np.nan)
        self.vector = self._newest[0]  # (88,) of the newest row that `book` made
        self.verdict = EMPTY_WINDOW  # of that row
        self._rows = new_rows(block_rows)

    def blocks(self, tape: Tape) -> Iterator[Block]:
        """Rows of the tape's books of instrument 0.  A refused book is a row of NaN with its verdict."""
        at = 0
        while True:
            at, rows = stream.batch(self.states, tape, self.intervals, at, self._rows)
            if rows > 0:
                yield Block(self._rows.event[:rows], self._rows.verdict[:rows], self._rows.features[:rows])
            if at == len(tape.events):
                return

    def book(self, depths: np.ndarray, index: int, ts_ns: int, venue_ns: int) -> int:
        """The book depths[index], received at `ts_ns`: VALID, EMPTY_BOOK or OLD; `vector` holds its row.

        Raises BookRefused.
        """
        made = stream.add_book(self.states, 0, depths, index, ts_ns, venue_ns, self.intervals, self._newest, 0)
        self.verdict = int(made)
        if self.verdict in (BROKEN, NOT_FINITE):
            raise BookRefused(f"the book of {venue_ns} ns: {REFUSALS[self.verdict]}")
        return self.verdict

    def trade(self, ts_ns: int, tick: int, lots: int, side: int) -> bool:
        """One trade; False when it is out of bounds and does not count."""
        return bool(stream.add_trade(self.states, 0, ts_ns, tick, lots, side) == VALID)

    def candle(self, start_ns: int, high_tick: int, low_tick: int, close_tick: int) -> bool:
        """One closed one-minute candle; False when it is late or out of bounds and does not count."""
        return bool(stream.add_candle(self.states, 0, start_ns, high_tick, low_tick, close_tick) == VALID)

    def market(self, ts_ns: int, known: bool, volatility: float, liquidity: float, index: float) -> None:
        """Market indicators as of `ts_ns`, or that they are unknown."""
        stream.set_market(self.states, ts_ns, int(known), volatility, liquidity, index)

    def reset(self) -> None:
        """Model reload, resync or demotion (MOEX-FEAT-07): there is no row until the next book."""
        stream.reset(self.states, 0)
        self.vector[:] = np.nan
        self.verdict = EMPTY_WINDOW
