"""Market events in, feature vectors of the moments to score out: one class a schema, the same shape for both.

The inference loop asks for the moments of each entry and scores `vector` at each; it knows no schema.  The vectors come
from the very steps that batch and training use.  Nothing is ever made from a half-warm state: what was missed begins a
new segment, and until that is warm there is no moment.  Called by the inference loop; no I/O but calendars.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import structlog

from marketdata.bardays import BarDays
from marketdata.core.barfeatures.engine import BarFeatures, BarRefused
from marketdata.core.barfeatures.records import BAR_DAY
from marketdata.core.barfeatures.schema import BAR_SECONDS, CARRY_S, FEATURE_NAMES
from marketdata.core.features_schema import FEATURE_COUNT
from marketdata.core.features_stream import new_states, ready
from marketdata.core.records import (
    BAR,
    EVENT,
    FEED,
    FEED_DOWN,
    FEED_GAP,
    FLAG_BACKFILL,
    FLAG_CARRIED,
    FLAG_INVALID,
    NO_TIME,
    new_depths,
)
from marketdata.core.units import NANOS
from trading.learning.bookfeeding import BookFeeding
from trading.learning.bookfeeding import rehearse as rehearse_books
from trading.learning.schemas import BOOKS, STREAM, Schema, SchemaError, bars_schema
from trading.learning.scoring import THROTTLE_NS, ScorerError, scan

BAR_NS = BAR_SECONDS * NANOS
NO_DEPTHS = new_depths(1)
PRINT_FIELDS = ("open_tick", "high_tick", "low_tick", "close_tick", "volume")

log = structlog.get_logger("trading.inference")


class Feeding(Protocol):
    """Features of all instruments of a session.  `vector`: (schema.width,) float64, that of the last moment."""

    vector: np.ndarray
    counts: Counter[str]
    keeps_history: bool  # whether a new holder goes on only with the whole of the present segment (MES-FEAT-06)

    def moments(self, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray) -> Iterator[int]:
        """Move by these EVENTs; the index of each at which `vector` is to be scored.  Exhaust it."""
        ...

    def step_ns(self, which: int) -> int:
        """Grid step of the instrument's vectors."""
        ...

    def mid2(self, which: int) -> int:
        """The instrument's mid at its last moment, half ticks; of bars the close."""
        ...

    def missed(self) -> None:
        """Something between the events before and the next ones is unknown."""
        ...

    def warm(self) -> int:
        """Instruments whose newest vector counts."""
        ...


class StreamFeeding:
    """The streaming schema: every quote, book, trade and bar moves it; see `features_stream` and `scoring.scan`."""

    keeps_history = False

    def __init__(self, count: int) -> None:
        self.vector = np.empty(FEATURE_COUNT)
        self.counts: Counter[str] = Counter()
        self._states = new_states(count)
        self._scored_ns = np.full(count, NO_TIME)

    def moments(self, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray) -> Iterator[int]:
        """See Feeding."""
        events = events.copy()  # jitted code is compiled for writable arrays
        depths = depths.copy() if len(depths) > 0 else NO_DEPTHS
        rows = depth_of.astype(np.int32)
        index, count = 0, len(events)
        while index < count:
            index = scan(self._states, self._scored_ns, events, depths, rows, index, THROTTLE_NS, self.vector)
            if index < count:
                yield index
            index += 1

    def step_ns(self, which: int) -> int:
        """See Feeding."""
        return int(self._states[which]["step_ns"])

    def mid2(self, which: int) -> int:
        """See Feeding."""
        return int(self._states[which]["mid2"])

    def missed(self) -> None:
        """No order flow is computed across the hole; windows over time go on."""
        self._states["book_ok"] = 0

    def warm(self) -> int:
        """See Feeding."""
        return int(sum(ready(state) for state in self._states))


class _Line:
    """One instrument's bars on their way into its engine."""

    def __init__(self) -> None:
        self.engine = BarFeatures(np.zeros(0, BAR_DAY), FEATURE_NAMES, block_rows=1)
        self.unsure = False  # bars may be missing before the next one: it tells
        self.broken = False  # bars are missing: the next print begins a segment
        self.valid = False
        self.close2 = 0  # of the last print, half ticks

    @property
    def newest(self) -> int:
        """Second of the newest row; NO_TIME before the first."""
        return int(self.engine.states["second"][0])


class BarFeeding:
    """The 56 bar features: closed 1-second bars move them, each valid second is a moment (MES-FEAT-01, -05).

    A feed sends every second of the grid, printed or carried (MES-DATA-20).  A bar that was there already is passed
    over; after a hole, a refused bar or an outage of the feed the next print begins a segment (MES-DATA-21).
    """

    keeps_history = True

    def __init__(self, symbols: Sequence[str]) -> None:
        self.counts: Counter[str] = Counter()
        self.vector = np.full(len(FEATURE_NAMES), np.nan)
        self._symbols = list(symbols)
        self._lines = [_Line() for _ in symbols]
        self._days = BarDays()

    def moments(self, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray) -> Iterator[int]:
        """See Feeding.  Raises CalendarError where the sessions are unknown."""
        kinds = events["kind"]
        for index in np.flatnonzero((kinds == BAR) | (kinds == FEED)).tolist():
            event = events[index]
            if event["kind"] == FEED:
                if event["code"] in (FEED_GAP, FEED_DOWN):
                    self._outage()
                continue
            which = int(event["instrument"])
            if 0 <= which < len(self._lines) and self._bar(self._lines[which], which, event):
                self.vector[:] = self._lines[which].engine.vector
                yield index

    def step_ns(self, which: int) -> int:
        """See Feeding."""
        return BAR_NS

    def mid2(self, which: int) -> int:
        """See Feeding."""
        return self._lines[which].close2

    def missed(self) -> None:
        """The next bar of each instrument says whether one was among what is unknown."""
        for line in self._lines:
            line.unsure = True

    def warm(self) -> int:
        """See Feeding."""
        return sum(line.valid for line in self._lines)

    def _outage(self) -> None:
        """The feed was down, and nothing fills the hole."""
        for line in self._lines:
            line.broken = line.newest != NO_TIME
            line.valid = False

    def _bar(self, line: _Line, which: int, event: np.record) -> bool:
        """Move one instrument by one BAR; whether its row is to be scored."""
        end_ns, flags = int(event["ts_venue_ns"]), int(event["flags"])
        if int(event["value"]) != BAR_NS or end_ns % NANOS != 0:
            self._refuse(which, "wrong_step", "it is no bar of one whole second")
            line.broken = line.newest != NO_TIME
            return False
        second = end_ns // NANOS - BAR_SECONDS
        if second <= line.newest:
            self.counts["repeated_bars"] += 1
            return False
        if line.unsure:
            line.unsure = False
            line.broken |= line.newest != NO_TIME and second != line.newest + 1
        if flags & FLAG_CARRIED:
            if not line.broken:
                self._carry(line, which, second + 1)
        else:
            self._print(line, which, second, event)
        return line.valid and line.newest == second and flags & (FLAG_BACKFILL | FLAG_INVALID) == 0

    def _carry(self, line: _Line, which: int, until: int) -> None:
        """Rows of the seconds before `until` that had no print."""
        try:
            for _, valid in line.engine.carried(until):
                line.valid = valid
        except BarRefused as error:
            self._refuse(which, "refused_bars", str(error))
            line.broken, line.valid = True, False

    def _print(self, line: _Line, which: int, second: int, event: np.record) -> None:
        """The row of a printed bar."""
        engine = line.engine
        engine.days = self._days.cover(second, second)
        self._carry(line, which, second)
        opened, high, low, close, volume = (int(event[name]) for name in PRINT_FIELDS)
        try:
            line.valid = engine.bar(second, opened, high, low, close, volume, which, int(line.broken))
            line.broken, line.close2 = False, 2 * close
        except BarRefused as error:
            self._refuse(which, "refused_bars", str(error))
            line.broken, line.valid = line.newest != NO_TIME, False

    def _refuse(self, which: int, name: str, why: str) -> None:
        if self.counts[name] == 0:
            log.warning("bar_not_used", symbol=self._symbols[which], reason=why)
        self.counts[name] += 1


def open_feeding(schema: Schema, symbols: Sequence[str]) -> Feeding:
    """Features of this schema for a session's instruments.  Raises ScorerError where they are not made for one."""
    if schema.id == STREAM:
        return StreamFeeding(len(symbols))
    if schema.id == BOOKS:
        return BookFeeding(symbols)
    for symbol in symbols:
        try:
            ours = bars_schema(symbol)
        except SchemaError as error:
            raise ScorerError(f"the network cannot score {symbol}: {error}") from None
        if ours.hash != schema.hash:
            raise ScorerError(f"the network was trained on another tick size than that of {symbol}")
    return BarFeeding(symbols)


def rehearse(schema: Schema) -> None:
    """Compile (or load) what the first event of a session needs, before there is one."""
    if schema.id == STREAM:
        for _ in StreamFeeding(1).moments(np.zeros(1, EVENT), NO_DEPTHS, np.full(1, -1, np.int32)):
            pass
        return
    if schema.id == BOOKS:
        rehearse_books()
        return
    day = np.zeros(1, BAR_DAY)
    day["close_s"] = day["rth_close_s"] = 2 * CARRY_S
    engine = BarFeatures(day, FEATURE_NAMES, block_rows=1)
    engine.bar(0, 1, 1, 1, 1, 0, 0)
    assert [second for second, _ in engine.carried(2)] == [1]
