"""Bars of a search on disk, read once, seen by every worker process through the same pages of memory.

One file a column, written chunk by chunk, so that years need no memory of their own; a worker maps them, and its own
writes stay its own.  The files stand in a folder of their own that goes away with the search; one that was killed
leaves it to the next, which begins it anew.  Called by `desk`, `trial`.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trading.core.history.records import Columns
from trading.run.backtest.plan import BacktestError
from trading.run.backtest.signals import Decisions, StrategyBars

COLUMNS: dict[str, type] = {
    "start_ns": np.int64,
    "ticks": np.int64,
    "open": np.int64,
    "high": np.int64,
    "low": np.int64,
    "close": np.int64,
    "volume": np.int64,
    "contract": np.int64,
    "side": np.int8,
    "confidence_ppm": np.int32,
}
PRICES = ("open", "high", "low", "close")
ROW_BYTES = sum(np.dtype(kind).itemsize for kind in COLUMNS.values()) + 3 * 8
HEAD = "tape.json"


class Tape(NamedTuple):
    """All bars of a search.  `columns` may be written to (a worker's own copy of the page); `bars` may not."""

    columns: Columns
    bars: StrategyBars
    bar_ns: int

    def window(self, first: int, end: int, decisions: Decisions) -> Columns:
        """Rows `first` .. `end` with these decisions on the rows from the tape's first one to `end`."""
        part = slice(first, end)
        plain = Columns(*(column[part] for column in self.columns))
        return plain._replace(side=decisions.side[part], confidence_ppm=decisions.confidence_ppm[part])

    def own_decisions(self) -> Decisions:
        """Those that were recorded beside the bars."""
        return Decisions(self.columns.side, self.columns.confidence_ppm)


def write(folder: Path, chunks: Iterator[tuple[int, Columns]], rows: int, tick_nanos: int) -> int:
    """The chunks as files in `folder`, which is made anew; `rows` at most.  Returns the number of rows.

    Raises BacktestError for a disk that is too full, OSError.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    free = shutil.disk_usage(folder).free
    if rows * ROW_BYTES > free:
        raise BacktestError(
            f"the bars need {rows * ROW_BYTES / 1e6:,.0f} MB on disk beside the study,"
            f" {free / 1e6:,.0f} MB are free in {folder.parent}"
        )
    count, length_ns = 0, 0
    files = {name: open(folder / name, "wb") for name in COLUMNS}  # noqa: SIM115 - closed below, all of them
    try:
        for bar_ns, columns in chunks:
            length_ns = bar_ns
            count += len(columns.start_ns)
            values = columns._asdict() | dict(zip(PRICES, columns.ticks.T, strict=True))
            for name, kind in COLUMNS.items():
                np.ascontiguousarray(values[name], kind).tofile(files[name])
    finally:
        for file in files.values():
            file.close()
    head = {"rows": count, "bar_ns": length_ns, "tick_nanos": tick_nanos}
    (folder / HEAD).write_text(json.dumps(head))
    return count


def read(folder: Path) -> Tape:
    """The tape of a folder, mapped."""
    head = json.loads((folder / HEAD).read_text())
    rows = int(head["rows"])

    def column(name: str) -> np.ndarray:
        shape = (rows, 4) if name == "ticks" else (rows,)
        # copy on write: the loop wants arrays that may be written to, and gets pages that nobody else sees changed
        return np.asarray(np.memmap(folder / name, COLUMNS[name], "c", shape=shape))

    found = {name: column(name) for name in COLUMNS}
    columns = Columns(**{name: found[name] for name in Columns._fields})
    seen = {name: found[name].view() for name in StrategyBars._fields if name != "tick_nanos"}
    for view in seen.values():
        view.setflags(write=False)
    return Tape(columns, StrategyBars(**seen, tick_nanos=int(head["tick_nanos"])), int(head["bar_ns"]))


Chunks = Callable[[], Iterator[tuple[int, Columns]]]


def chunks_of(tape: Tape, first: int, end: int, size: int = 1 << 20) -> Chunks:
    """Passes over rows `first` .. `end`, as a source of bars gives them."""

    def passes() -> Iterator[tuple[int, Columns]]:
        for begin in range(first, end, size):
            part = slice(begin, min(begin + size, end))
            yield tape.bar_ns, Columns(*(column[part] for column in tape.columns))

    return passes
