"""Decisions on recorded bars: two columns of the data (MES-BT-03), one column of scores, or a function of one's own.

A class (−1, 0, +1) and its confidence for every bar, known at the bar's end and acted upon at the next print.  A
function sees whole columns; that it does not look ahead is tried by giving it less (`check_prefix`).  Called by
`engine`; what is wrong is told by its row.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from marketdata.core.units import PPM
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import data_set_files
from trading.run.backtest.codehash import code_hash
from trading.run.backtest.own import module_of
from trading.run.backtest.plan import BacktestError

SIGNAL, CONFIDENCE = "signal", "confidence"
COLUMN = "column"
CUTS = (3, 2)  # a function is given a third and a half of the bars again,
EARLY_CUTS = 40  # and the bars up to as many of its decisions, among the first EARLY_ROWS where there are enough
EARLY_ROWS = 50_000
QUICK_CUTS, QUICK_ROWS = 8, 5_000  # the same, where a study asks one function a thousand times
BATCH_ROWS = 1 << 16


class LooksAhead(BacktestError):
    """A function that decides by bars that were still to come."""


class StrategyBars(NamedTuple):
    """What a strategy's function sees, (n,) each.  Prices in ticks of `tick_nanos` (1e-9 points)."""

    start_ns: np.ndarray  # int64 UTC, start of the bar; it is known a bar's length later
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    contract: np.ndarray  # changes where a contract does: no price before is comparable
    tick_nanos: int

    def first(self, count: int) -> "StrategyBars":
        """The first `count` bars alone."""
        cut = {name: getattr(self, name)[:count] for name in self._fields if name != "tick_nanos"}
        return StrategyBars(**cut, tick_nanos=self.tick_nanos)


class Decisions(NamedTuple):
    """One class and confidence per bar."""

    side: np.ndarray  # (n,) int8
    confidence_ppm: np.ndarray  # (n,) int32


Function = Callable[..., object]  # (StrategyBars, and its arguments by name)


class Strategy(NamedTuple):
    """How the decisions are made: by columns (`names`) or by `function`; `words` and `code_hash` name it in results."""

    words: str
    names: tuple[str, ...] = ()
    function: Function | None = None
    code_hash: str = ""
    arguments: tuple[tuple[str, object], ...] = ()  # by name, for the function


def strategy_of(words: str, arguments: Mapping[str, object] | None = None, folder: Path | None = None) -> Strategy:
    """`column`, `column:NAME` or `module:function` with its arguments by name; `folder`: where the module lies, else
    the one that we stand in.  Raises BacktestError."""
    return with_arguments(_strategy_of(words, folder or Path.cwd()), arguments or {})


def with_arguments(strategy: Strategy, arguments: Mapping[str, object]) -> Strategy:
    """The same with these arguments.  Raises BacktestError where it takes none such."""
    if not arguments:
        return strategy
    if strategy.function is None:
        raise BacktestError(f"strategy {strategy.words} reads columns and has no arguments: give module:function")
    accepted = argument_names(strategy.function)
    for name in arguments:
        if accepted is not None and name not in accepted:
            has = f"it has {', '.join(accepted)}" if accepted else "it has none"
            raise BacktestError(f"strategy {strategy.words} has no argument {name}: {has}")
    return strategy._replace(arguments=tuple(sorted(arguments.items())))


def argument_names(function: Function) -> tuple[str, ...] | None:
    """Names that may be given beside the bars; None where any may."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # what is not written in Python need not tell
        return None
    if any(item.kind is item.VAR_KEYWORD for item in found):
        return None
    return tuple(item.name for item in found[1:] if item.kind in (item.KEYWORD_ONLY, item.POSITIONAL_OR_KEYWORD))


def _strategy_of(words: str, folder: Path) -> Strategy:
    first, colon, name = words.partition(":")
    if first == COLUMN and (not colon or name):
        return Strategy(words, (name,) if colon else (SIGNAL, CONFIDENCE))
    if not colon or not first or not name:
        raise BacktestError(f"strategy {words!r} is none of column, column:NAME and module:function")
    try:
        module = module_of(first, folder)
    except ImportError as error:
        raise BacktestError(f"strategy {words!r}: {error}; is its folder the one that you stand in?") from None
    except (Exception, SystemExit) as error:  # it is somebody's own, as in `decide`
        raise BacktestError(f"strategy {words!r}: its module failed: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise BacktestError(f"strategy {words!r}: {first} has no function {name}")
    return Strategy(words, function=function, code_hash=code_hash(inspect.getsourcefile(module)))


def ppm_nearest(share: np.ndarray) -> np.ndarray:
    """Shares in 0 .. 1 as parts per million, to the nearest one."""
    return np.rint(share * PPM).astype(np.int32)


class SignalColumns:
    """The columns of decisions of a Parquet file, row by row beside its bars.  Raises BacktestError, FeedError."""

    def __init__(self, path: Path, strategy: Strategy) -> None:
        self._path, self._names = path, list(strategy.names)
        self._files = data_set_files(path)
        kinds = self._kinds()
        if self._names == [SIGNAL, CONFIDENCE] and SIGNAL in kinds and CONFIDENCE not in kinds:
            self._names = [SIGNAL]  # no such column: 1.0
        for name in self._names:
            if name not in kinds:
                raise BacktestError(
                    f"{path} has no column {name}: write it beside the bars (an imported data set keeps the bars"
                    " alone), or give --strategy column:NAME or module:function"
                )
            if not (pa.types.is_integer(kinds[name]) or pa.types.is_floating(kinds[name])):
                raise BacktestError(f"{path}: its column {name} is of type {kinds[name]}, not a number")
        self._row = 0
        self._batches = self._read()
        self._held: list[pa.RecordBatch] = []

    def _kinds(self) -> dict[str, pa.DataType]:
        try:
            with pq.ParquetFile(self._files[0]) as file:
                return {field.name: field.type for field in file.schema_arrow}
        except (pa.ArrowException, OSError):
            raise BacktestError(
                f"{self._path} is no Parquet file: decisions are read from Parquet columns alone; give --strategy"
                " module:function"
            ) from None

    def _read(self) -> Iterator[pa.RecordBatch]:
        for part in self._files:
            with pq.ParquetFile(part) as file:
                yield from file.iter_batches(BATCH_ROWS, columns=self._names, use_threads=False)

    def take(self, rows: int) -> Decisions:
        """The decisions of the next `rows` rows of the file."""
        held = sum(batch.num_rows for batch in self._held)
        while held < rows:
            batch = next(self._batches, None)
            if batch is None:
                raise FeedError(f"{self._path} ends before its row {self._row + rows}: it changed while it was read")
            self._held.append(batch)
            held += batch.num_rows
        table = pa.Table.from_batches(self._held)
        self._held = table.slice(rows).to_batches()
        decisions = self._decide(table.slice(0, rows))
        self._row += rows
        return decisions

    def _decide(self, table: pa.Table) -> Decisions:
        columns = [_floats(table[name]) for name in self._names]
        if self._names[0] != SIGNAL:
            score = columns[0]
            self._refuse(~(np.abs(score) <= 1), self._names[0], score, "a score within −1 .. 1")
            return Decisions(np.sign(score).astype(np.int8), ppm_nearest(np.abs(score)))
        side = columns[0]
        self._refuse(~np.isin(side, (-1.0, 0.0, 1.0)), SIGNAL, side, "−1, 0 or +1")
        if len(columns) == 1:
            return Decisions(side.astype(np.int8), np.full(side.size, PPM, np.int32))
        confidence = columns[1]
        self._refuse(~((confidence >= 0) & (confidence <= 1)), CONFIDENCE, confidence, "a share within 0 .. 1")
        return Decisions(side.astype(np.int8), ppm_nearest(confidence))

    def _refuse(self, bad: np.ndarray, name: str, values: np.ndarray, wanted: str) -> None:
        if bad.any():
            k = int(np.argmax(bad))
            value = "missing" if np.isnan(values[k]) else f"{values[k]:g}"
            raise BacktestError(f"{self._path} row {self._row + k + 1}: its {name} is {value}, not {wanted}")


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    values: np.ndarray = np.asarray(pc.fill_null(pc.cast(column, pa.float64()), np.nan).combine_chunks())
    return values


def decide(strategy: Strategy, bars: StrategyBars) -> Decisions:
    """Ask the function, and check its answer.  Raises BacktestError."""
    assert strategy.function is not None
    try:
        answer = strategy.function(bars, **dict(strategy.arguments))
    except Exception as error:  # it is somebody's own: whatever it raises, the run is refused with it
        raise BacktestError(f"{strategy.words} failed: {type(error).__name__}: {error}") from error
    side, confidence = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
    try:
        sides = np.asarray(side)
        shares = None if confidence is None else np.asarray(confidence, np.float64)
    except (TypeError, ValueError) as error:
        raise BacktestError(f"{strategy.words} gave no array of numbers: {error}") from error
    n = bars.start_ns.size
    if sides.shape != (n,) or not np.isin(sides, (-1, 0, 1)).all():
        raise BacktestError(
            f"{strategy.words} must give one of −1, 0, +1 for each of the {n} bars it was given; it gave"
            f" {_shape(sides)}"
        )
    if shares is None:
        return Decisions(sides.astype(np.int8), np.full(n, PPM, np.int32))
    if shares.shape != (n,) or not ((shares >= 0) & (shares <= 1)).all():
        raise BacktestError(
            f"{strategy.words} must give a confidence within 0 .. 1 for each of the {n} bars it was given; it gave"
            f" {_shape(shares)}"
        )
    return Decisions(sides.astype(np.int8), ppm_nearest(shares))


def _shape(values: np.ndarray) -> str:
    if values.ndim != 1:
        return f"an array of shape {values.shape}"
    odd = values[~((values >= -1) & (values <= 1))]
    return f"{values.size} values{f', among them {odd[0]}' if odd.size else ''}"


def _cuts(side: np.ndarray, *, quick: bool) -> list[int]:
    """How many bars a function is given again: a decision that knows the next bar shows where that bar is missing."""
    n = side.size
    decided = np.flatnonzero(side)
    count, rows = (QUICK_CUTS, QUICK_ROWS) if quick else (EARLY_CUTS, EARLY_ROWS)
    early = decided[decided < rows]
    if early.size < count:  # however late they come: a check without a decision in it would pass anything
        early = decided[:count]
    chosen = early[np.linspace(0, early.size - 1, min(count, early.size)).astype(np.int64)]
    parts = set() if quick else {n // part for part in CUTS}
    return sorted(parts | {int(k) + 1 for k in chosen} - {0})


def check_prefix(strategy: Strategy, bars: StrategyBars, whole: Decisions, *, quick: bool = False) -> None:
    """A decision may not change when later bars are taken away.  Raises LooksAhead naming the first that does.

    `quick`: eight of the earliest decisions alone, for a trial; the best of a study is asked in full, and so is every
    point whose test a walk-forward trades.
    """
    n = bars.start_ns.size
    for cut in _cuts(whole.side, quick=quick):
        fewer = decide(strategy, bars.first(cut))
        differs = (fewer.side != whole.side[:cut]) | (fewer.confidence_ppm != whole.confidence_ppm[:cut])
        if differs.any():
            k = int(np.argmax(differs))
            when = str(np.datetime64(int(bars.start_ns[k]), "ns"))[:19]
            raise LooksAhead(
                f"{strategy.words} looks ahead: its decision on bar {k + 1} ({when}Z) is {int(whole.side[k])} with all"
                f" {n} bars and {int(fewer.side[k])} with the first {cut} alone, or its confidence differs"
            )
