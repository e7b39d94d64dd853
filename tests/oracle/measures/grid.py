"""The grid of completed bars of one instrument, as plain lists: ATR, minute bars, shocks (MES-BREAK-02).

Nothing is summed ahead: every figure is computed from the rows of the present segment when it is asked for.
"""

from collections.abc import Iterable

S = 1_000_000_000
MINUTE = 60 * S
CARRY = 300 * S
ATR_ROWS, SAMPLES, SAMPLES_MIN, SWINGS = 14, 20, 5, 20


class Minute:
    """One minute of the segment: its extremes, its volume, and whether the segment saw all of it."""

    def __init__(self, number: int, full: bool) -> None:
        self.number, self.full = number, full
        self.highs: list[int] = []
        self.lows: list[int] = []
        self.volume = 0


class Grid:
    """The rows of the present segment."""

    def __init__(self) -> None:
        self.new_segment()

    def new_segment(self) -> None:
        self.ranges: list[int] = []  # true range of each row
        self.close = 0
        self.end: int | None = None
        self.printed = 0  # end of the last printed row
        self.minutes: list[Minute] = []
        self.atr_samples: list[int] = []
        self.volume_samples: list[int] = []
        self.volatile = self.quiet = False

    def atr_sum(self) -> int | None:
        """Σ14 TR in ticks."""
        return sum(self.ranges[-ATR_ROWS:]) if len(self.ranges) >= ATR_ROWS else None

    def bar(self, start: int, end: int, high: int, low: int, close: int, volume: int, carried: bool) -> None:
        """One completed bar; seconds left out are carried, a longer silence is a new segment (MES-DATA-20)."""
        if self.end is not None and start < self.end:
            return
        if self.end is not None and start - self.printed >= CARRY:
            self.new_segment()
        size = end - start
        if size < MINUTE:
            while self.end is not None and self.end + size <= start:
                self._row(self.end, self.end + size, self.close, self.close, self.close, 0)
        self._row(start, end, high, low, close, volume)
        if not carried:
            self.printed = end

    def _row(self, start: int, end: int, high: int, low: int, close: int, volume: int) -> None:
        number = start // MINUTE
        if not self.minutes:
            self.minutes.append(Minute(number, start % MINUTE == 0))
            self.printed = end
        elif number != self.minutes[-1].number:
            self._evaluate(self.minutes[-1])
            self.minutes.append(Minute(number, True))
        if self.ranges:
            self.ranges.append(max(high - low, abs(high - self.close), abs(low - self.close)))
        else:
            self.ranges.append(high - low)
        minute = self.minutes[-1]
        minute.highs.append(high)
        minute.lows.append(low)
        minute.volume += volume
        self.close, self.end = close, end

    def _evaluate(self, minute: Minute) -> None:
        """MES-BREAK-02: the minute just ended against the 20 before it, at least 5; then it is a sample itself."""
        self.volatile = self.quiet = False
        if not minute.full:
            return
        now, before = self.atr_sum(), self.atr_samples[-SAMPLES:]
        if now is not None:
            if len(before) >= SAMPLES_MIN and now >= ATR_ROWS:
                self.volatile = len(before) * now > 3 * sum(before)
            self.atr_samples.append(now)
        before = self.volume_samples[-SAMPLES:]
        if len(before) >= SAMPLES_MIN:
            self.quiet = 10 * len(before) * minute.volume < sum(before)
        self.volume_samples.append(minute.volume)

    def swing(self, side: int, close: int) -> int | None:
        """MES-STOP-01, structure: distance to 2 ticks beyond the lowest swing low or highest swing high."""
        done = self.minutes[:-1][-SWINGS:]
        if side > 0:
            found = min(_extremes([-min(m.lows) for m in done]), default=None, key=lambda v: -v)
            level = None if found is None else -found
        else:
            level = max(_extremes([max(m.highs) for m in done]), default=None)
        if level is None or (close - level) * side <= 0:
            return None
        return (close - level) * side + 2


def _extremes(values: list[int]) -> Iterable[int]:
    """Values strictly above the two on each side."""
    for k in range(2, len(values) - 2):
        if values[k] > max(values[k - 2], values[k - 1], values[k + 1], values[k + 2]):
            yield values[k]
