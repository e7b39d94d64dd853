"""The bar features for Python callers: bars in, rows out, faults as errors that name the bar.

One object per instrument holds the states and the room for rows; `blocks` takes columns of any length (history, a
chunk of a file), `bar` and `carried` take one second (live).  All of them go on from the same state, in any mixture.
Construction refuses names other than the schema's (MES-FEAT-10).  It decides nothing and reads no clock.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from marketdata.core.barfeatures import stream
from marketdata.core.barfeatures.labels import flush, new_label_states
from marketdata.core.barfeatures.records import (
    FAULTS,
    ROW_CARRIED,
    ROW_SEGMENT,
    ROW_VALID,
    VALID,
    Bars,
    new_bar_states,
    new_rows,
)
from marketdata.core.barfeatures.schema import FEATURE_COUNT, LABEL_S, check_names
from marketdata.core.records import NO_TIME

BLOCK_ROWS = 4096  # 1.8 MB: a block is still in the cache when its reader comes


class BarRefused(ValueError):
    """A bar that cannot be the next one; the message names its second and why.  The rows before it stand."""


class Block(NamedTuple):
    """Rows in their order.  Views into the engine's room: copy what outlives the next block."""

    second: np.ndarray  # (n,) int64, start, seconds UTC
    valid: np.ndarray  # (n,) bool
    carried: np.ndarray  # (n,) bool
    begins: np.ndarray  # (n,) bool: first row of a segment
    features: np.ndarray  # (n, 56) float64
    label: np.ndarray  # (m,) int8: the next m labels, in the order of the rows but LABEL_S rows later


def _refusal(verdict: int, second: int) -> BarRefused:
    return BarRefused(f"the bar of second {second} is {FAULTS[verdict]}")


class BarFeatures:
    """Features of one instrument.  `days`: (n,) BAR_DAY, sorted, that cover every bar.  Raises SchemaDiffers."""

    def __init__(self, days: np.ndarray, names: Sequence[str], block_rows: int = BLOCK_ROWS) -> None:
        check_names(names)
        self.days = days
        self.states = new_bar_states(1)
        self.label_states = new_label_states(1)
        self._newest = np.full((1, FEATURE_COUNT), np.nan)
        self.vector = self._newest[0]  # (56,) of the newest row that `bar` or `carried` made
        self._rows = new_rows(block_rows)

    def restart(self) -> None:
        """Forget all bars."""
        self.states[:] = new_bar_states(1)
        self.label_states[:] = new_label_states(1)

    def blocks(self, bars: Bars, until: int = NO_TIME) -> Iterator[Block]:
        """Rows of these bars and of the carried seconds between them, and before the second `until` of the next print,
        when that is known.  Raises BarRefused, after the good rows."""
        at = 0
        while True:
            at, rows, labels, verdict = stream.batch(
                self.states, self.label_states, 0, self.days, bars, at, self._rows, until
            )
            if rows > 0:
                yield self._block(rows, labels)
            if verdict != VALID:
                raise _refusal(verdict, int(bars.second[at]) if at < len(bars.second) else until)
            if rows < len(self._rows.second):
                return

    def _block(self, rows: int, labels: int) -> Block:
        mark = self._rows.mark[:rows]
        return Block(
            self._rows.second[:rows],
            (mark & ROW_VALID) != 0,
            (mark & ROW_CARRIED) != 0,
            (mark & ROW_SEGMENT) != 0,
            self._rows.features[:rows],
            self._rows.label[:labels],
        )

    def last_labels(self) -> np.ndarray:
        """(m,) int8: NO_LABEL for the rows that still wait, because the data ends here (MES-LABEL-02)."""
        out = np.empty(LABEL_S, np.int8)
        return out[: flush(self.label_states[0], out, 0)]

    def carried(self, until_second: int) -> Iterator[tuple[int, bool]]:
        """(second, valid) of each second before `until_second` without a print; `vector` holds its features then."""
        while stream.due(self.states, 0, until_second):
            verdict = stream.carry(self.states, 0, self._newest, 0)
            second = int(self.states["second"][0])
            if verdict < 0:
                raise _refusal(verdict, second)
            yield second, verdict == VALID

    def bar(
        self,
        second: int,
        open_tick: int,
        high_tick: int,
        low_tick: int,
        close_tick: int,
        volume: int,
        contract: int,
        outage: int = 0,
    ) -> bool:
        """One printed bar, after `carried(second)`: whether its row is valid; `vector` holds it.  Raises BarRefused."""
        verdict = stream.add(
            self.states,
            0,
            self.days,
            second,
            open_tick,
            high_tick,
            low_tick,
            close_tick,
            volume,
            contract,
            outage,
            self._newest,
            0,
        )
        if verdict < 0:
            raise _refusal(verdict, second)
        return verdict == VALID
