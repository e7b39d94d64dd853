"""Bars from files → checked ticks in chunks: one place tests what every format yields (MES-DATA-03).

Replay refuses a file at its first bad row; an import drops and counts rows of rules 1 to 6, puts rows of rule 9 aside
and refuses rules 7 and 8.  What the rules remember is carried over the borders of blocks and can be kept and taken up
again.  Called by `feeds.tapes` and `marketdata.store`; memory is one block, whatever the file (but for option sort).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.quality import (
    BAD_OHLC,
    CONFLICT,
    GOOD,
    OFF_GRID,
    OTHER_CONTRACT,
    OUT_OF_ORDER,
    OUTSIDE_SESSION,
    REPEATED,
    VERDICTS,
    bar_verdicts,
    order_verdicts,
)
from marketdata.core.records import NO_TICK
from marketdata.core.units import NANOS
from marketdata.feeds.books.names import BOOK_FORMATS, BOOKS
from marketdata.feeds.columns import Contracts
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.rawbars import RawBars
from marketdata.feeds.sources import (
    RawStream,
    Source,
    dbn_source,
    detect_format,
    lean_source,
    parquet_source,
    text_source,
)
from marketdata.memory.guard import check

EXAMPLES_MAX = 20  # dropped rows that are named one by one
PAST_ROWS_MAX = 4_000_000  # bars that are looked through for the twin of a row that steps back in time
SORT_BLOCK = 1 << 18
OLDEST_NS, NEWEST_NS = 631_152_000 * NANOS, 7_258_118_400 * NANOS  # 1990 .. 2200
NONE = np.zeros(0, np.int64)
SORTED_ROW_BYTES = 12 * 8  # of one bar that waits to be sorted

Inside = Callable[[np.ndarray], np.ndarray]  # starts (n,) ns UTC → (n,) bool: within a session


class Bars(NamedTuple):
    """Checked bars."""

    start_ns: np.ndarray  # (n,) int64 UTC
    ticks: np.ndarray  # (n, 4) int64: open, high, low, close
    volume: np.ndarray  # (n,) int64 contracts or lots
    contract: np.ndarray = NONE  # (n,) int64, index in BarReader.contracts
    row: np.ndarray = NONE  # (n,) int64, place in the file, from 0

    def take(self, which: np.ndarray | slice) -> "Bars":
        """The bars of a mask, of indices or of a slice."""
        return Bars(*(column[which] for column in self))


def join(parts: list[Bars]) -> Bars:
    """One after another; a single part as it is, not copied."""
    if len(parts) == 1:
        return parts[0]
    return Bars(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class BarReader:
    """Bars of one instrument from one file or data set, checked.  `strict`: the first bad row refuses the file.  Not
    strict: all contracts of the root are read, and `inside` tells which bars lie in a session.

    Attributes: bar_ns, rows (read), dropped (verdict → count), examples (row, why), contracts (names), rolls (start,
    contract before, after), aside (bars of rule 9, for the caller to take).  Raises FeedError, MemoryRefused.
    """

    def __init__(
        self,
        path: Path,
        symbol: str,
        options: ReplayOptions,
        *,
        schema: str = "",
        place: int = 0,
        strict: bool = True,
        inside: Inside | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        kind = options.format or detect_format(path)
        if not path.is_file():
            raise FeedError(f"{path} does not exist: give the path of a recorded file")
        self.path, self.format, self.strict, self.symbol = path, kind, strict, symbol
        self._asked = (options, schema, place)
        self._inside = inside
        self.instrument = INSTRUMENTS[symbol]
        kept = state or {}
        self.contracts = Contracts(list(kept.get("contracts", [])))
        self.source = self._open(kind, schema, place, options)
        self.bar_ns = int(kept.get("bar_ns", 0)) or options.bar_ns or self.source.bar_ns
        self.stamp = options.stamp or self.source.stamp
        by_units = (options.volume_unit or self.source.volume_unit) == "units"
        self._lot = self.instrument.lot if by_units else 1
        self._last = np.array(kept.get("last", [NO_TICK] * 7), np.int64)
        self.rows = int(kept.get("rows", 0))
        self.dropped: Counter[int] = Counter({int(key): count for key, count in kept.get("dropped", {}).items()})
        self.examples: list[tuple[int, str]] = [(row, why) for row, why in kept.get("examples", [])]
        self.rolls: list[tuple[int, str, str]] = [(at, old, new) for at, old, new in kept.get("rolls", [])]
        self.advice = str(kept.get("advice", ""))  # how to read a file whose columns are in another order
        self.aside: list[Bars] = []
        self._past: list[Bars] = []  # the last good bars, once a row has stepped back in time
        self._trusting = False  # a second pass over rows that were judged before
        self._stream: RawStream = self.source.raw(self.rows)

    def state(self) -> dict[str, Any]:
        """All that the rules remember, as plain values: a reader made with it goes on after the last block."""
        return {
            "contracts": self.contracts.names.copy(),
            "bar_ns": self.bar_ns,
            "last": self._last.tolist(),
            "rows": self.rows,
            "dropped": {str(key): count for key, count in self.dropped.items()},
            "examples": [list(example) for example in self.examples],
            "rolls": [list(roll) for roll in self.rolls],
            "advice": self.advice,
        }

    def _open(self, kind: str, schema: str, place: int, options: ReplayOptions) -> Source:
        if kind == "dbn":
            return dbn_source(self.path, schema, self.symbol, place, options, contracts=self.contracts)
        if kind == "parquet":
            return parquet_source(
                self.path, self.symbol, place, options, series=not self.strict, contracts=self.contracts
            )
        if kind in (BOOKS, *BOOK_FORMATS):
            raise FeedError(f"{self.path} holds books, not bars")
        if kind == "lean":
            return lean_source(self.path, self.symbol, options)
        return text_source(self.path, kind, options)

    def chunks(self) -> Iterator[Bars]:
        """All bars, in order of time.  Raises FeedError at the row that cannot be used."""
        if self._asked[0].sort:
            yield from self._sorted()
        else:
            for raw in self._stream:
                yield self._ordered(raw, *self._rules_1_to_5(raw))
        if self.rows == 0 or self._last[0] == NO_TICK:
            why = "; ".join(f"{count} rows: {VERDICTS[verdict]}" for verdict, count in sorted(self.dropped.items()))
            raise FeedError(f"{self.path} holds no bar of {self.symbol}: {why or 'fetch the file again'}")

    def close(self) -> None:
        """Close the file; nothing can be read after it."""
        self._stream.close()

    def _usual_step(self, stamps: np.ndarray) -> int:
        steps = np.diff(np.unique(stamps[stamps != NO_TICK]))
        if steps.size == 0:
            raise FeedError(f"{self.path} has too few bars to tell their length: give the option bar_s=SECONDS")
        lengths, counts = np.unique(steps, return_counts=True)
        return int(lengths[np.argmax(counts)])

    def _rules_1_to_5(self, raw: RawBars) -> tuple[Bars, np.ndarray]:
        """The bars of a block with their verdicts; the number of rows goes up."""
        if raw.stamp_ns.size and self.bar_ns == 0:
            self.bar_ns = self._usual_step(raw.stamp_ns)
        n = raw.stamp_ns.size
        start = raw.stamp_ns.copy()
        known = start != NO_TICK
        odd = known & ((start < OLDEST_NS) | (start >= NEWEST_NS))
        if odd.any():
            k = int(np.argmax(odd))
            raise FeedError(
                f"{self.path} row {raw.first_row + int(raw.at[k])}: its time {int(start[k])} ns UTC is not within"
                " 1990 and 2200: is the column in seconds, milliseconds or microseconds? Write it in ns"
            )
        if self.stamp == "end":
            start[known] -= self.bar_ns
        ticks, verdicts = np.zeros((n, 4), np.int64), np.zeros(n, np.int64)
        tick = self.instrument.tick_nanos
        bar_verdicts(start, raw.prices, raw.volume, tick, tick // 1_000_000, max(self.bar_ns, 1), ticks, verdicts)
        bars = Bars(start, ticks, raw.volume, raw.contract, self.rows + raw.at)
        self.rows += raw.read
        if raw.read > n and not self.strict:
            self.dropped[OTHER_CONTRACT] += raw.read - n
        return bars, verdicts

    def _ordered(self, raw: RawBars, bars: Bars, verdicts: np.ndarray) -> Bars:
        """Rules 6 to 9 on the survivors of a block."""
        before = self._last[[0, 6]].copy()
        order_verdicts(bars.start_ns, bars.ticks, bars.volume, bars.contract, self._last, verdicts)
        if (verdicts == OUT_OF_ORDER).any() and not self.strict and not self._trusting:
            self._find_twins(bars, verdicts)
        good = verdicts == GOOD
        if not good.all():
            self._judge(raw, verdicts)
        bars = bars.take(good)
        self._remember(bars)
        if not self.strict:
            self._find_rolls(bars, int(before[0]), int(before[1]))
            if self._inside is not None:
                bars = self._put_aside(bars)
        return bars if self._trusting else bars._replace(volume=bars.volume // self._lot)

    def _remember(self, bars: Bars) -> None:
        """Once a row has stepped back, the last good bars are held."""
        if self._past and bars.start_ns.size:
            self._past.append(bars)
            while len(self._past) > 2 and sum(part.start_ns.size for part in self._past) > PAST_ROWS_MAX:
                self._past.pop(0)

    def _find_twins(self, bars: Bars, verdicts: np.ndarray) -> None:
        """Rows that step back in time: the twin of an earlier row is a repetition (rule 6), a row beside another of the
        same time a conflict (rule 7), any other is out of order (rule 8)."""
        strays = np.flatnonzero(verdicts == OUT_OF_ORDER)
        self._recall(int(bars.start_ns[strays].min()), int(bars.row[0]))
        earlier = join([*self._past, bars.take(verdicts == GOOD)])
        place = np.searchsorted(earlier.start_ns, bars.start_ns[strays])
        place = np.minimum(place, max(earlier.start_ns.size - 1, 0))
        there = earlier.start_ns[place] == bars.start_ns[strays]
        same = there & (earlier.ticks[place] == bars.ticks[strays]).all(axis=1)
        same &= (earlier.volume[place] == bars.volume[strays]) & (earlier.contract[place] == bars.contract[strays])
        verdicts[strays] = np.where(same, REPEATED, np.where(there, CONFLICT, OUT_OF_ORDER))

    def _recall(self, oldest_ns: int, before_row: int) -> None:
        """Hold the good bars from `oldest_ns` on, out of the rows before this block: by a second pass over them, which
        goes twice as far back as was asked for, so that few passes are needed."""
        if self._past and self._past[0].start_ns[0] <= oldest_ns:
            return
        floor = oldest_ns - (int(self._last[0]) - oldest_ns)
        options, schema, place = self._asked
        again = BarReader(self.path, self.symbol, options, schema=schema, place=place, strict=False)
        again._trusting, again.bar_ns = True, self.bar_ns
        self._past = []
        held = 0
        try:
            for bars in again.chunks():
                wanted = (bars.start_ns >= floor) & (bars.row < before_row)
                if wanted.any():
                    self._past.append(bars.take(wanted))
                held += int(wanted.sum())
                if held > PAST_ROWS_MAX:
                    raise FeedError(
                        f"{self.path} goes back over more than {PAST_ROWS_MAX} bars at row {before_row + 1}: sort the"
                        " file by time, or give the option sort=true"
                    )
                if again.rows >= before_row:
                    break
        finally:
            again.close()

    def _find_rolls(self, bars: Bars, last_ns: int, last_contract: int) -> None:
        """Changes of contract (MES-DATA-22).  Two within one UTC date are no roll: the contracts are mixed."""
        if not bars.start_ns.size or self._trusting:
            return
        first = int(bars.contract[0]) if last_ns == NO_TICK else last_contract
        changed = np.flatnonzero(np.diff(bars.contract, prepend=first))
        for k in changed.tolist():
            old = int(bars.contract[k - 1]) if k else first
            names = [self.contracts.names[code].strip("|") for code in (old, int(bars.contract[k]))]
            at = int(bars.start_ns[k])
            if self.rolls and self.rolls[-1][0] // (86_400 * NANOS) == at // (86_400 * NANOS):
                raise FeedError(
                    f"{self.path} mixes contracts: {names[0]} and {names[1]} take turns on {_moment(at)[:10]}:"
                    " name one with the option contract=... or instrument_id=..."
                )
            self.rolls.append((at, names[0], names[1]))

    def _put_aside(self, bars: Bars) -> Bars:
        """Rule 9."""
        assert self._inside is not None
        inside = self._inside(bars.start_ns) if bars.start_ns.size else np.ones(0, bool)
        if not inside.all():
            outside = np.flatnonzero(~inside)
            self.dropped[OUTSIDE_SESSION] += outside.size
            self.aside.append(bars.take(outside))
            for k in outside[: EXAMPLES_MAX - len(self.examples)].tolist():
                self.examples.append((int(bars.row[k]) + 1, VERDICTS[OUTSIDE_SESSION]))
        return bars.take(inside)

    def _sorted(self) -> Iterator[Bars]:
        """Option sort: rules 1 to 5 row by row, then all survivors in order of time, equal times as in the file."""
        parts: list[Bars] = []
        prices: list[np.ndarray] = []
        held = 0
        for raw in self._stream:
            bars, verdicts = self._rules_1_to_5(raw)
            good = verdicts == GOOD
            if not good.all():
                self._judge(raw, verdicts)
            bars = bars._replace(row=raw.first_row + raw.at)  # what a message names
            parts.append(bars.take(good))
            prices.append(raw.prices[good])
            held += int(good.sum()) * SORTED_ROW_BYTES
            check(f"sorting {self.path.name}", held * 5 // 2, "sort the file by time before the import")
        if not parts:
            return
        whole, paid = join(parts), np.concatenate(prices)
        parts.clear()
        prices.clear()
        order = np.argsort(whole.start_ns, kind="stable")
        for begin in range(0, order.size, SORT_BLOCK):
            which = order[begin : begin + SORT_BLOCK]
            bars = whole.take(which)
            raw = RawBars(bars.start_ns, paid[which], bars.volume, 0, bars.row, 0, bars.contract)
            yield self._ordered(raw, bars, np.zeros(which.size, np.int64))

    def _judge(self, raw: RawBars, verdicts: np.ndarray) -> None:
        bad = np.flatnonzero(verdicts != GOOD)
        fatal = bad if self.strict else np.flatnonzero((verdicts == CONFLICT) | (verdicts == OUT_OF_ORDER))
        if self._trusting:
            return
        if fatal.size:
            raise FeedError(self._sentence(raw, int(fatal[0]), int(verdicts[fatal[0]])))
        if (verdicts == BAD_OHLC).any():
            advice, certain = self._column_advice(raw)
            if certain:
                raise FeedError(self._sentence(raw, int(np.argmax(verdicts == BAD_OHLC)), BAD_OHLC))
            self.advice = self.advice or advice
        self.dropped.update(verdicts[bad].tolist())
        for k in bad[: EXAMPLES_MAX - len(self.examples)].tolist():
            self.examples.append((raw.first_row + int(raw.at[k]), VERDICTS[int(verdicts[k])]))

    def _sentence(self, raw: RawBars, k: int, verdict: int) -> str:
        prices = ", ".join("missing" if p == NO_TICK else f"{p / NANOS:g}" for p in raw.prices[k].tolist())
        advice = "correct the file, or import it with import_history, which drops and counts such rows"
        if verdict == BAD_OHLC:
            advice, _ = self._column_advice(raw)
        elif verdict == OFF_GRID:
            advice = f"{self.symbol} trades in steps of {self.instrument.tick_nanos / NANOS:g}: is it the right symbol?"
        elif verdict == CONFLICT and len(self.contracts.names) > 1:
            held = ", ".join(name.strip("|") for name in self.contracts.names[:5])
            advice = f"the file mixes contracts ({held}): name one with the option contract=... or instrument_id=..."
        elif verdict in (CONFLICT, OUT_OF_ORDER):
            advice = "sort the file by time and keep one row per time (the option sort=true sorts it)"
        volume = "missing" if raw.volume[k] == NO_TICK else str(raw.volume[k])
        when = "" if raw.stamp_ns[k] == NO_TICK else f"; time {_moment(int(raw.stamp_ns[k]))} UTC"
        return (
            f"{self.path} row {raw.first_row + int(raw.at[k])}: {VERDICTS[verdict]}"
            f" (open, high, low, close = {prices}; volume {volume}{when}); {advice}"
        )

    def _column_advice(self, raw: RawBars) -> tuple[str, bool]:
        """When the values fit the order open, close, high, low (T-Invest's archive), the option that reads them so; and
        whether every row of the block speaks for it."""
        p = raw.prices[(raw.prices != NO_TICK).all(axis=1)]
        fits = (p[:, 3] <= p[:, [0, 1]].min(axis=1)) & (p[:, 2] >= p[:, [0, 1]].max(axis=1))
        if not p.size or not fits.all():
            words = "correct the row; if the columns are in another order, declare them with the option columns=..."
            return words, False
        if not self.source.columns:
            return "every row fits the order open, close, high, low: rename the columns", True
        swap = {"high": "close", "low": "high", "close": "low"}
        order = ",".join(swap.get(name, name or "_") for name in self.source.columns)
        return f"every row fits the order open, close, high, low: give the option columns={order}", True


def _moment(time_ns: int) -> str:
    """ISO text of a time in ns UTC, to the second."""
    return str(np.datetime64(time_ns, "ns"))[:19]
