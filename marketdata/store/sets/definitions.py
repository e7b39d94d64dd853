"""Definitions of futures → the store: what each contract is, and from when to when it may be traded.

A row is kept where it says something new; spreads, options and other instruments are left out and counted.  Tick and
money of a tick must be those of the desk's own list: a contract that is another thing than the desk thinks refuses the
file.  Read by the page of the set and by `store.rolls`, which learns from it when a contract ends.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import NANOS
from marketdata.databento.definitions import DEFINITION, FUTURE, Definition, read_definitions
from marketdata.feeds.dbn import root_of
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import DEFINITIONS_FORMAT, data_set_files, manifest_format
from marketdata.store.partitions import file_hash, sync
from marketdata.store.sets.publishing import Cancelled, ImportPlace, Progress, SetImport

FILE = "contracts.parquet"
TEXTS = ("symbol", "asset", "kind", "currency", "action")
SCHEMA = pa.schema(
    [(name, pa.string() if name in TEXTS else pa.int64()) for name in Definition._fields]  # null: not told
)
OTHER, NO_OUTRIGHT = "another instrument", "no outright future: a spread or an option"
REPEATS, CONTRACTS, ENDLESS = "records that say nothing new", "contracts", "contracts without a last day"


class DefinitionImport(SetImport):
    """One import of definitions: one pass, one file."""

    def __init__(self, place: ImportPlace) -> None:
        super().__init__(place)
        self._symbol = place.report.symbols[0]
        self._kept: list[Definition] = []
        self._told: dict[int, Definition] = {}  # what was last said of an id, without its time
        self._seen: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._rows = 0
        self._file: dict[str, Any] = {}

    def closed(self) -> list[dict[str, Any]]:
        """See SetImport."""
        return [self._file] if self._file else []

    def read(self, progress: Progress, cancelled: Cancelled) -> None:
        """See SetImport."""
        for block in read_definitions(self._path):
            for item in block:
                self._rows += 1
                self._see(item)
            progress(self._rows)
            if cancelled():
                raise self.stopped(self._rows, "its beginning")
        if not self._kept:
            raise FeedError(f"{self._path} defines no future of {self._symbol}: is it the right symbol?")
        self._write()

    def _see(self, item: Definition) -> None:
        if (item.asset or root_of(item.symbol)) != self._symbol:
            self._dropped[OTHER] += 1
            return
        if item.kind != FUTURE:
            self._dropped[NO_OUTRIGHT] += 1
            return
        self._check(item)
        plain = item._replace(ts_ns=0)
        if self._told.get(item.instrument_id) == plain:
            self._seen[REPEATS] += 1
            return
        self._told[item.instrument_id] = plain
        self._kept.append(item)

    def _check(self, item: Definition) -> None:
        """Raises FeedError where the contract is not what the desk's list says."""
        known = INSTRUMENTS[self._symbol]
        money = known.tick_value_micros * 1000
        worth = None if item.unit is None else item.unit * known.tick_nanos // NANOS
        for what, told, wanted in (
            ("a tick", item.tick, known.tick_nanos),
            ("a value of a tick", worth, money),
        ):
            if told is not None and told != wanted:
                raise FeedError(
                    f"{self._path}: record {self._rows}: {item.symbol} has {what} of {told / NANOS:g}, the desk's list"
                    f" of instruments says {wanted / NANOS:g} for {self._symbol}: nothing of it is stored"
                )

    def _write(self) -> None:
        folder = self._parts / self._symbol
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        columns = [
            pa.array(column, field.type) for column, field in zip(zip(*self._kept, strict=True), SCHEMA, strict=True)
        ]
        pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), path, compression="zstd")
        for place in (path, folder, self._parts):
            sync(place)
        times = [item.ts_ns for item in self._kept]
        self._file = {
            "file": f"{self._symbol}/{FILE}",
            "rows": len(self._kept),
            "first_ns": min(times),
            "last_ns": max(times),
            "bytes": path.stat().st_size,
            "sha256": file_hash(path),
            "rows_sha256": hashlib.sha256(json.dumps(self._kept).encode()).hexdigest(),
        }

    def finish(self) -> None:
        """See SetImport."""
        report, told = self._report, self._told.values()
        report.kind, report.rows_read, report.partitions = DEFINITION, self._rows, 1
        report.rows, report.rows_hash = self._file["rows"], self._file["rows_sha256"]
        report.first_ns, report.last_ns = self._file["first_ns"], self._file["last_ns"]
        report.dropped = dict(self._dropped)
        endless = sum(item.last_ns is None for item in told)
        report.verdicts = {CONTRACTS: len(told), ENDLESS: endless, REPEATS: self._seen[REPEATS]}

    def name(self) -> str:
        """See SetImport."""
        return f"{self._symbol}-{DEFINITION}"

    def manifest(self) -> dict[str, Any]:
        """See SetImport."""
        return {"format": DEFINITIONS_FORMAT}

    def close(self) -> None:
        """See SetImport: nothing is open between two blocks."""


def definitions(path: Path) -> list[Definition]:
    """The rows of a stored set, in order of receipt.  Raises FeedError."""
    found: list[Definition] = []
    for file in data_set_files(path):
        try:
            table = pq.read_table(file)
            if not table.schema.equals(SCHEMA):
                raise ValueError("its columns are no definitions")
        except (pa.ArrowException, ValueError, OSError) as error:
            words = str(error).splitlines()[0]
            raise FeedError(f"{file} of {path.name} cannot be read ({words}): import the source again") from None
        found += [Definition(*row) for row in zip(*table.to_pydict().values(), strict=True)]
    return sorted(found, key=lambda item: item.ts_ns)


def contracts(rows: list[Definition]) -> list[Definition]:
    """What was last said of each id, the one that ends first in front."""
    last = {item.instrument_id: item for item in rows}
    return sorted(last.values(), key=lambda item: (item.last_ns is None, item.last_ns or 0, item.symbol))


def beside(folder: Path, symbol: str) -> tuple[list[Definition], list[str]]:
    """All that the definitions of a store's folder say of one root, in order of receipt; and of each of their sets that
    is damaged why, in one sentence: it is left out."""
    found: list[Definition] = []
    faults = []
    for path in sorted(folder.glob(f"{symbol}-{DEFINITION}-*.json")):
        try:
            if manifest_format(path) != DEFINITIONS_FORMAT:
                raise FeedError(f"{path} is a damaged manifest: import the source again")
            found += definitions(path)
        except FeedError as error:
            faults.append(str(error))
        except OSError as error:
            faults.append(f"{error.filename or path} cannot be read ({error.strerror or error})")
    return sorted(found, key=lambda item: item.ts_ns), faults
