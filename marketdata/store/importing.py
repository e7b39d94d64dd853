"""History → the store: bars as data sets of months, books of parts, contracts as rows, recordings as they are.

How a data set appears, whole or not at all, and how a stopped import goes on, is `store.sets.publishing`; here is which
file becomes what, and the import of bars.  It knows no database.
"""

import contextlib
import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.quality import OUTSIDE_SESSION
from marketdata.core.units import NANOS
from marketdata.databento.definitions import DEFINITION
from marketdata.feeds.books.names import BOOK_FORMATS
from marketdata.feeds.dbn import BAR_SECONDS, DbnReader, schema_of
from marketdata.feeds.options import ReplayOptions, check_symbols
from marketdata.feeds.port import FeedError
from marketdata.feeds.sources import detect_format
from marketdata.feeds.stored import BARS_FORMAT, SCHEMA_VERSION
from marketdata.feeds.tabular import BarReader, Bars, join
from marketdata.feeds.tapes import RecordTape
from marketdata.memory.guard import check
from marketdata.store.columns import form
from marketdata.store.columns.form import place_of
from marketdata.store.columns.kept import forget
from marketdata.store.columns.writing import ColumnsWriter
from marketdata.store.days.seconds import SecondsWriter, seconds_of
from marketdata.store.dropped import DROPPED_SHARE_MAX, bad_rows, by_reason
from marketdata.store.hours import Gaps, Hours
from marketdata.store.limits import Limit
from marketdata.store.partitions import MonthWriter, bars_table, file_hash, remove, stored_names, sync
from marketdata.store.report import BARS, ImportCancelled, ImportReport
from marketdata.store.sets.books import BookImport, key_words, read_with
from marketdata.store.sets.definitions import DefinitionImport
from marketdata.store.sets.publishing import (
    Cancelled,
    ImportPlace,
    Progress,
    SetImport,
    stamp_of,
    work_folder,
)

BLOCK_BYTES = 192 << 20  # what one block takes on its way through an import; measured, see tests/store
CME = "cme"  # the calendar whose past sessions are known


def import_file(
    path: Path,
    symbol: str,
    options: ReplayOptions,
    folder: Path,
    *,
    schema: str = "",
    progress: Progress = lambda rows: None,
    cancelled: Cancelled = lambda: False,
    skip_memory_check: str = "",
) -> ImportReport:
    """Read one recorded file to its end and store what is good of it under `folder`.

    Raises FeedError or MemoryRefused: then nothing is left behind.  Raises ImportCancelled when `cancelled()` says so,
    OSError or MemoryError when disk or memory fail: then nothing is visible, and the finished months wait for the next
    import of the same file.
    """
    check_symbols([symbol], options)
    kind = options.format or detect_format(path)
    check(
        f"importing {path.name}",
        BLOCK_BYTES,
        "end another program, or raise the limit: an import reads in blocks and needs no more for any file",
        skip=skip_memory_check,
    )
    books = kind in BOOK_FORMATS
    stamps = {file: stamp_of(file) for file in (path, *(read_with(path, kind) if books else ()))}
    report = ImportReport(folder, BARS, [symbol], source=path.name, source_hash=file_hash(path))
    if kind == "dbn":
        report.kind = _kind_of(path, schema)
    if books and schema:
        raise FeedError(f"{path} is a recording of books, which has no schema {schema}: leave the schema out")
    if not books and (options.tick_nanos or options.lot_nanos):
        raise FeedError(f"options tick and lot are for recordings of books, {path} is none")
    key = _key(report, schema, options, key_words(path, kind, options) if books else "")
    folder.mkdir(parents=True, exist_ok=True)
    with work_folder(folder, key) as work:
        place = ImportPlace(path, report, key, folder, work, stamps)
        if books:
            return BookImport(place, kind, options).run(progress, cancelled)
        if report.kind == DEFINITION:
            return DefinitionImport(place).run(progress, cancelled)
        if report.kind != BARS:
            return _store_records(path, report, options, folder, work, progress, cancelled)
        return _BarImport(place, options, schema).run(progress, cancelled)


def _kind_of(path: Path, schema: str) -> str:
    """What a DBN file is kept as.  Raises FeedError for a schema that the store does not take."""
    if schema in ("", DEFINITION) and schema_of(path) == DEFINITION:
        return DEFINITION
    reader = DbnReader(path, schema)
    reader.close()
    return BARS if reader.schema in BAR_SECONDS else reader.schema


def _key(report: ImportReport, schema: str, options: ReplayOptions, more: str) -> str:
    """Twelve hex digits that name this source read in this way."""
    asked = f"{report.source_hash} {report.symbols} {schema} {options} {SCHEMA_VERSION}{more}"
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


class _BarImport(SetImport):
    """One import of bars: blocks through the reader into months, a checkpoint after each, the manifest at the end.

    Beside them the columns of the set are written, so that already the first pass over it is the fast one."""

    def __init__(self, place: ImportPlace, options: ReplayOptions, schema: str) -> None:
        super().__init__(place)
        self._options, self._symbol = options, place.report.symbols[0]
        self._kept = self.checkpoint()
        known = INSTRUMENTS[self._symbol].calendar == CME and not options.any_hours
        hours = Hours(CME) if known else None
        self._reader = BarReader(
            place.path,
            self._symbol,
            options,
            schema=schema,
            strict=False,
            inside=hours.inside if hours is not None else None,
            state=self._kept.get("reader"),
        )
        for columns in self._kept.get("aside", []):
            self._reader.aside.append(Bars(*(np.array(column, np.int64) for column in columns)))
        self._gaps = Gaps(hours, *self._kept.get("gaps", ()))
        self._parts.mkdir(exist_ok=True)
        self._writer = MonthWriter(
            self._parts, self._symbol, self._reader.contracts.names, self._kept.get("closed", None)
        )
        place.report.resumed_rows = self._reader.rows
        self._columns = self._columns_writer()

    def closed(self) -> list[dict[str, Any]]:
        """See SetImport."""
        return self._writer.closed

    def read(self, progress: Progress, cancelled: Cancelled) -> None:
        """See SetImport."""
        chunks = self._reader.chunks()
        done = len(self._writer.closed)
        while True:
            aside = len(self._reader.aside)
            before = {"reader": self._reader.state(), "gaps": (self._gaps.found.copy(), self._gaps.end_ns)}
            bars = next(chunks, None)
            if bars is None:
                break
            if bars.start_ns.size:
                self._gaps.see(bars.start_ns, self._reader.bar_ns)
                self._writer.write(bars)
                if self._columns is not None:
                    self._columns.add(bars)
            if len(self._writer.closed) > done and not self._options.sort:
                done = len(self._writer.closed)
                outside = [[column.tolist() for column in bars] for bars in self._reader.aside[:aside]]
                self.keep({**before, "aside": outside})
            progress(self._reader.rows)
            if cancelled():
                raise self.stopped(self._reader.rows, "its last whole month")
        self._writer.finish()

    def finish(self) -> None:
        """Counts and reasons; refuses a file of which too much was bad (MES-DATA-04)."""
        reader, report = self._reader, self._report
        report.rows_read, report.bar_ns, report.examples = reader.rows, reader.bar_ns, reader.examples
        report.dropped = by_reason(reader.dropped)
        bad = bad_rows(reader.dropped)
        if bad > reader.rows * DROPPED_SHARE_MAX:
            named = "; ".join(f"{count} rows: {why}" for why, count in report.dropped.items())
            first = f", the first in row {reader.examples[0][0]}" if reader.examples else ""
            advice = reader.advice or "is it the right symbol, zone and format?"
            if reader.dropped[OUTSIDE_SESSION] > bad // 2:
                advice = "is the zone right? The option hours=any keeps bars outside the exchange's sessions"
            raise FeedError(
                f"{reader.path}: {bad} of {reader.rows} rows are bad, more than 0.1 % ({named}){first}; {advice}"
            )
        if not self._writer.closed:
            raise FeedError(f"{reader.path} holds no bar of {self._symbol} that can be kept: is the zone right?")
        months = self._writer.closed
        report.rows = sum(part["rows"] for part in months)
        report.first_ns, report.last_ns = months[0]["first_ns"], months[-1]["last_ns"]
        report.partitions = len(months)
        report.rows_hash = hashlib.sha256("".join(part["rows_sha256"] for part in months).encode()).hexdigest()
        report.rolls, report.gaps = reader.rolls, self._gaps.told()
        self._keep_aside()

    def name(self) -> str:
        """See SetImport."""
        return f"{self._symbol}-{self._report.bar_ns // NANOS}s"

    def manifest(self) -> dict[str, Any]:
        """See SetImport."""
        aside = sum(bars.start_ns.size for bars in self._reader.aside)
        return {"format": BARS_FORMAT, "bar_ns": self._report.bar_ns, "aside_rows": aside}

    def stored(self) -> None:
        """See SetImport.  Of a set that is smaller than one block no columns are kept: it is read at once anyway."""
        if self._columns is None or self._report.rows < form.BLOCK_ROWS:
            return
        place = place_of(self._report.path, self._symbol, ReplayOptions(as_symbol=self._options.as_symbol))
        if place is not None:
            self._columns.keep(place, stored_names(self._symbol, self._reader.contracts.names), Counter())

    def close(self) -> None:
        """See SetImport."""
        if self._columns is not None:
            self._columns.drop()
        self._writer.abandon()
        self._reader.close()

    def _columns_writer(self) -> ColumnsWriter | None:
        """None where the first pass must make them: an import that goes on does not see its finished months again, and
        a contract that was named here may have to be named to every reader, too."""
        options = self._options
        if Limit.bytes <= 0 or self._kept or options.contract or options.instrument_ids:
            return None
        known = self._reader.source.rows() if self._reader.format == "parquet" else 0  # of text: only by reading it
        return ColumnsWriter(self._folder / form.FOLDER, self._path.name, known)

    def _keep_aside(self) -> None:
        """Rows of rule 9, beside the months and no part of them."""
        if self._reader.aside:
            table = bars_table(join(self._reader.aside), self._symbol, self._reader.contracts.names)
            pq.write_table(table, self._parts / "aside.parquet", compression="zstd")
            sync(self._parts / "aside.parquet")
            sync(self._parts)


def _store_records(
    path: Path,
    report: ImportReport,
    options: ReplayOptions,
    folder: Path,
    work: Path,
    progress: Progress,
    cancelled: Cancelled,
) -> ImportReport:
    """A recording of trades, levels or orders: replayed once to its end, then copied as it is, with its seconds
    beside it."""
    symbol = report.symbols[0]
    tape = RecordTape(path, report.kind, report.symbols, options)
    seconds = SecondsWriter(work / "seconds", with_bars=True)
    try:
        for block in tape.blocks():
            times = block.events["ts_venue_ns"]
            if report.rows == 0:
                report.first_ns = int(times[0])
            report.last_ns = int(times[-1])
            report.rows += times.size
            seconds.see(block.events, times)
            progress(tape.counts()["records"])
            if cancelled():
                raise ImportCancelled(
                    f"stopped after {tape.counts()['records']} records of {path.name}; nothing was stored;"
                    " the same import begins anew"
                )
        counts = tape.counts()
        seconds.close()
    finally:
        tape.close()
        seconds.abandon()
    if report.rows == 0:
        raise FeedError(f"{path} holds no event of {symbol}: is it the right symbol?")
    report.rows_read = counts.pop("records")
    report.dropped = {name: count for name, count in counts.items() if count > 0}
    suffix = ".dbn.zst" if path.name.endswith(".zst") else ".dbn"
    part = work / "copy"
    _put_copy(path, part, folder, report.source_hash, suffix)
    report.path = folder / f"{symbol}-{report.kind}-{work.name.split('.')[1]}{suffix}"
    os.replace(work / "seconds", seconds_of(report.path))
    os.replace(part, report.path)
    sync(folder)
    return report


def _put_copy(path: Path, part: Path, folder: Path, source_hash: str, suffix: str) -> None:
    """The recording as a file of the store.  Where another data set holds the same bytes, which is so with each product
    of one file, it is another name of that file and takes no room.  Raises FeedError, OSError."""
    remove(part)  # of an import that was killed: nothing is written through the name of another
    size = path.stat().st_size
    for held in sorted(folder.glob(f"*{suffix}")):
        with contextlib.suppress(OSError):  # it went, or the disk knows no second names
            if held.stat().st_size == size and file_hash(held) == source_hash:
                os.link(held, part)
                return
    shutil.copyfile(path, part)
    if file_hash(part) != source_hash:
        raise FeedError(f"{path} was changed while it was read: import it again when it is whole")
    sync(part)


def key_of(path: Path) -> str:
    """The twelve hex digits in the name of a stored file: of what it was made, and how it was read."""
    return path.name.partition(".")[0].rpartition("-")[2]


def remove_data_set(path: Path) -> None:
    """Take a stored file away: the manifest first, so that half a data set is never seen, then folder and columns."""
    remove(path)
    remove(seconds_of(path))
    sync(path.parent)
    if path.suffix == ".json":
        for folder in path.parent.glob(f"{path.stem}.[0-9]*"):
            remove(folder)
        forget(path)
        sync(path.parent)
