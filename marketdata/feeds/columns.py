"""Bars in Parquet → integers: one file or a data set of the store, batch by batch, over any layout of row groups.

The types are checked before a page is read.  Which rows belong to the instrument is decided here: one contract as
declared, or, for an import, every contract of the root, so that rolls are seen (MES-DATA-01, -22).  Called by
`feeds.sources`; memory is one batch.
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from marketdata.core.records import NO_TICK
from marketdata.core.units import NANOS
from marketdata.feeds.dbn import root_of
from marketdata.feeds.options import ReplayOptions, tape_root
from marketdata.feeds.port import FeedError
from marketdata.feeds.rawbars import OHLC, RawBars
from marketdata.feeds.stored import data_set_files
from marketdata.zones import ZoneError, utc_from_local

BATCH_ROWS = 1 << 15
READ_BYTES = 1 << 18
LABEL_SEPARATOR = "|"
NANOS_FLOAT_MAX = 9.0e9  # float points beyond this do not fit int64 of 1e-9


class Contracts:
    """The contracts of one tape, numbered as they come."""

    def __init__(self, names: list[str] | None = None) -> None:
        self.names = names if names is not None else []

    def number(self, name: str) -> int:
        """Its number, given when it is new."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)


class Coded(NamedTuple):
    """A column of names as codes."""

    names: list[str]
    codes: np.ndarray  # (n,) int64, index in `names`

    def having(self, wanted: Callable[[str], bool]) -> np.ndarray:
        """(n,) bool: rows whose name is wanted."""
        chosen = np.array([wanted(name) for name in self.names], bool)
        rows: np.ndarray = chosen[self.codes]
        return rows

    def counts(self) -> dict[str, int]:
        """Rows of every name that has any."""
        found = np.bincount(self.codes, minlength=len(self.names)).tolist()
        return {name: count for name, count in zip(self.names, found, strict=True) if count}


class ParquetBars:
    """One pass over the bars of `symbol`.  `series`: all contracts of the root, not only the front one.

    Attribute `contracts`.  Raises FeedError.
    """

    def __init__(
        self, path: Path, symbol: str, place: int, options: ReplayOptions, *, series: bool, contracts: Contracts
    ) -> None:
        self.path, self._symbol, self._place, self._options, self._series = path, symbol, place, options, series
        self.contracts = contracts
        self._files = data_set_files(path)
        self._wanted = ""
        self._root = ""
        with _opened(self._files[0]) as file:
            self._check_types(file.schema_arrow)
            names = file.schema_arrow.names
        self._has_id, self._has_symbol = "instrument_id" in names, "symbol" in names

    def _check_types(self, schema: pa.Schema) -> None:
        names = schema.names
        missing = [name for name in ("timestamp", *OHLC, "volume") if name not in names]
        if missing:
            raise FeedError(
                f"{self.path} has no column {missing[0]}: bars need timestamp, open, high, low, close, volume"
            )
        if not {"symbol", "instrument_id"} & set(names):
            raise FeedError(
                f"{self.path} has neither a column symbol nor instrument_id: the contract of its rows is unknown"
            )
        for name in (*OHLC, "volume"):
            kind = schema.field(name).type
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                wanted = "whole numbers" if name == "volume" else "int64 of 1e-9 or float points"
                raise FeedError(f"{self.path}: its column {name} is of type {kind}, not {wanted}: write it anew")
        kind = schema.field("timestamp").type
        if not (pa.types.is_int64(kind) or pa.types.is_timestamp(kind)):
            raise FeedError(f"{self.path}: its column timestamp is of type {kind}, not int64 ns UTC: write it anew")

    def rows(self) -> int:
        """Rows of the file, from its footers."""
        total = 0
        for part in self._files:
            with _opened(part) as file:
                total += int(file.metadata.num_rows)
        return total

    def blocks(self, skip: int = 0) -> Generator[RawBars, None, None]:
        """All rows after the first `skip`, in batches.  Raises FeedError."""
        before = 0
        for part in self._files:
            with _opened(part) as file:
                if self._files[0] != part:
                    self._check_types(file.schema_arrow)
                size = int(file.metadata.num_rows)
                if before + size > skip:
                    yield from self._batches(file, part, before, max(skip - before, 0))
                before += size

    def _batches(self, file: pq.ParquetFile, part: Path, before: int, skip: int) -> Iterator[RawBars]:
        columns = ["timestamp", *OHLC, "volume"]
        columns += [name for name, held in (("symbol", self._has_symbol), ("instrument_id", self._has_id)) if held]
        sizes = [file.metadata.row_group(k).num_rows for k in range(file.metadata.num_row_groups)]
        group, row = 0, 0
        while group < len(sizes) and row + sizes[group] <= skip:
            row += sizes[group]
            group += 1
        try:
            for batch in file.iter_batches(
                BATCH_ROWS, row_groups=list(range(group, len(sizes))), columns=columns, use_threads=False
            ):
                begin = max(skip - row, 0)
                if begin < batch.num_rows:
                    yield self._block(pa.Table.from_batches([batch.slice(begin)]), before + row + begin + 1)
                row += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise FeedError(
                f"{part} is damaged after row {row}: {str(error).splitlines()[0]}; fetch it again"
            ) from None

    def _block(self, table: pa.Table, first_row: int) -> RawBars:
        symbols = _coded(table["symbol"]) if self._has_symbol else None
        ids = _coded(table["instrument_id"]) if self._has_id else None
        at = np.flatnonzero(self._mine(symbols, ids, table.num_rows))
        rows = table.num_rows
        if at.size < rows:
            table = table.take(pa.array(at))
        prices = np.stack([_nanos(table[name]) for name in OHLC], axis=1)
        times = _times(self.path, table["timestamp"], self._options.zone)
        contract = self._numbers(symbols, ids, at) if self._series else np.zeros(at.size, np.int64)
        return RawBars(times, prices, _volumes(table["volume"]), first_row, at, rows, contract)

    def _numbers(self, symbols: Coded | None, ids: Coded | None, at: np.ndarray) -> np.ndarray:
        """The number of the contract `symbol|id` of the rows `at`; either side may be empty."""
        none = Coded([""], np.zeros(1, np.int64))
        first, second = symbols or none, ids or none
        left = first.codes[at] if symbols is not None else np.zeros(at.size, np.int64)
        right = second.codes[at] if ids is not None else np.zeros(at.size, np.int64)
        pairs = left * len(second.names) + right
        numbers = np.zeros(len(first.names) * len(second.names), np.int64)
        for pair in np.flatnonzero(np.bincount(pairs, minlength=numbers.size)).tolist():
            symbol, number = divmod(pair, len(second.names))
            numbers[pair] = self.contracts.number(f"{first.names[symbol]}{LABEL_SEPARATOR}{second.names[number]}")
        found: np.ndarray = numbers[pairs]
        return found

    def _mine(self, symbols: Coded | None, ids: Coded | None, rows: int) -> np.ndarray:
        """(rows,) bool: which rows are asked for."""
        if self._series and not self._options.contract and not self._options.instrument_ids:
            return self._of_root(symbols, rows)
        by_id = symbols is None or (ids is not None and bool(self._options.instrument_ids))
        held = ids if by_id else symbols
        assert held is not None
        if not self._wanted:
            self._wanted = self._choose(held, by_id)
        return held.having(lambda name: name == self._wanted)

    def _of_root(self, symbols: Coded | None, rows: int) -> np.ndarray:
        """Rows of any contract of the root; all rows of a file that only numbers its contracts."""
        if symbols is None:
            return np.ones(rows, bool)
        if not self._root:
            roots = {root_of(name) for name in symbols.counts()}
            self._root = tape_root(str(self.path), self._symbol, self._options, roots)
        return symbols.having(lambda name: root_of(name) == self._root)

    def _choose(self, held: Coded, by_id: bool) -> str:
        """The contract that is read: as declared, else the one of the root with most rows here."""
        counts = held.counts()
        if by_id:
            if self._options.instrument_ids:
                return str(self._options.instrument_ids[self._place])
            return self._options.contract or max(counts, key=lambda name: (counts[name], name))
        if self._options.contract:
            return self._options.contract
        root = tape_root(str(self.path), self._symbol, self._options, {root_of(name) for name in counts})
        return max((name for name in counts if root_of(name) == root), key=lambda name: (counts[name], name))


def _coded(column: pa.ChunkedArray) -> Coded:
    """Names as codes; a missing one is empty."""
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    array = column.combine_chunks()
    names = [*("" if name is None else str(name) for name in array.dictionary.to_pylist()), ""]
    return Coded(names, np.asarray(pc.fill_null(pc.cast(array.indices, pa.int64()), len(names) - 1)))


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False)  # else whole row groups are held
    except (pa.ArrowException, OSError) as error:
        raise FeedError(f"{path} is cut or no Parquet file: {str(error).splitlines()[0]}; fetch it again") from None


def _nanos(column: pa.ChunkedArray) -> np.ndarray:
    """int64 of 1e-9, or float points to the nearest 1e-9; missing, not finite or out of range → NO_TICK."""
    if pa.types.is_floating(column.type):
        points = np.asarray(pc.fill_null(column, np.nan).combine_chunks(), np.float64)
        usable = np.isfinite(points) & (np.abs(points) < NANOS_FLOAT_MAX)
        return np.where(usable, np.rint(np.where(usable, points, 0.0) * NANOS).astype(np.int64), NO_TICK)
    return _integers(column)


def _volumes(column: pa.ChunkedArray) -> np.ndarray:
    """Whole numbers; missing or not finite → NO_TICK."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, None)
    return _integers(column).copy()  # Arrow's are read-only, for which the rules would be compiled once more


def _integers(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.fill_null(pc.cast(column, pa.int64()), NO_TICK).combine_chunks())


def _times(path: Path, column: pa.ChunkedArray, zone: str) -> np.ndarray:
    """ns UTC; a timestamp column without a zone needs a declared one (MES-DATA-02)."""
    if pa.types.is_timestamp(column.type):
        stamps = _integers(pc.cast(column, pa.timestamp("ns", column.type.tz)))
        if column.type.tz is not None:
            return stamps
        if not zone:
            raise FeedError(f"{path}: its timestamps are naive; name their zone with the option zone=Area/City")
        known = stamps != NO_TICK
        try:
            return np.where(known, utc_from_local(np.where(known, stamps, 0), zone), NO_TICK)
        except ZoneError as error:
            raise FeedError(f"{path}: {error}") from None
    return _integers(column)
