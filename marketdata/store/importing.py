"""History → the store: bars as a data set of months, order-level recordings as they are.

A data set is its manifest: the months are written and named under a hidden folder, the folder gets its place, and only
then the manifest appears, in one step.  A kill at any moment leaves the data set that was there, or the new one.  What
a stopped import has finished is taken up by the next one of the same source.  It knows no database.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.quality import OUTSIDE_SESSION
from marketdata.core.units import NANOS
from marketdata.feeds.dbn import BAR_SECONDS, DbnReader
from marketdata.feeds.options import ReplayOptions, check_symbols
from marketdata.feeds.port import FeedError
from marketdata.feeds.sources import detect_format
from marketdata.feeds.stored import MANIFEST_FORMAT, SCHEMA_VERSION, read_manifest
from marketdata.feeds.tabular import BarReader, Bars, join
from marketdata.feeds.tapes import RecordTape
from marketdata.memory.guard import check
from marketdata.store.dropped import DROPPED_SHARE_MAX, bad_rows, by_reason
from marketdata.store.hours import Gaps, Hours
from marketdata.store.mapped import forget
from marketdata.store.partitions import MonthWriter, bars_table, file_hash, remove, sync, write_whole
from marketdata.store.report import BARS, ImportCancelled, ImportReport

BLOCK_BYTES = 192 << 20  # what one block takes on its way through an import; measured, see tests/store
CME = "cme"  # the calendar whose past sessions are known

Progress = Callable[[int], None]  # rows read so far
Cancelled = Callable[[], bool]


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
    stamp = path.stat()
    report = ImportReport(folder, BARS, [symbol], source=path.name, source_hash=file_hash(path))
    if kind == "dbn":
        reader = DbnReader(path, schema)
        reader.close()
        if reader.schema not in BAR_SECONDS:
            report.kind = reader.schema
    key = _key(report, schema, options)
    folder.mkdir(parents=True, exist_ok=True)
    with work_folder(folder, key) as work:
        if report.kind != BARS:
            return _store_records(path, report, options, folder, work, progress, cancelled)
        return _BarImport(path, report, options, schema, key, folder, work, stamp).run(progress, cancelled)


def _key(report: ImportReport, schema: str, options: ReplayOptions) -> str:
    """Twelve hex digits that name this source read in this way."""
    asked = f"{report.source_hash} {report.symbols} {schema} {options} {SCHEMA_VERSION}"
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


@contextmanager
def work_folder(folder: Path, key: str) -> Iterator[Path]:
    """The hidden folder of this import, held by one process at a time.  With a checkpoint it stays when the import is
    stopped, or when disk or memory fail it; not when it ends or is refused, for then the next one would be, too.  A
    checkpoint is written whole, and believed only with every file that it names.  Raises FeedError while another
    process holds it."""
    work = folder / f".{key}.part"
    work.mkdir(exist_ok=True)
    with open(work / "lock", "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FeedError("another import of the same file is running: wait for it, or stop it first") from None
        try:
            yield work
        except (ImportCancelled, KeyboardInterrupt, OSError, MemoryError):
            if not (work / "checkpoint.json").exists():
                remove(work)
            raise
        except BaseException:
            remove(work)
            raise
        remove(work)


class _BarImport:
    """One import of bars: blocks through the reader into months, a checkpoint after each, the manifest at the end."""

    def __init__(
        self,
        path: Path,
        report: ImportReport,
        options: ReplayOptions,
        schema: str,
        key: str,
        folder: Path,
        work: Path,
        stamp: os.stat_result,
    ) -> None:
        self._path, self._report, self._options, self._key = path, report, options, key
        self._folder, self._work, self._stamp = folder, work, stamp
        self._symbol = report.symbols[0]
        self._kept = self._checkpoint()
        known = INSTRUMENTS[self._symbol].calendar == CME and not options.any_hours
        hours = Hours(CME) if known else None
        self._reader = BarReader(
            path,
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
        self._parts = work / "parts"
        self._parts.mkdir(exist_ok=True)
        self._writer = MonthWriter(
            self._parts, self._symbol, self._reader.contracts.names, self._kept.get("closed", None)
        )
        report.resumed_rows = self._reader.rows

    def _checkpoint(self) -> dict[str, Any]:
        """What an earlier, stopped import of this source has finished; {} when there is none or it is not whole."""
        try:
            kept = json.loads((self._work / "checkpoint.json").read_bytes())
            files = [(self._work / "parts" / part["file"], part) for part in kept["closed"]]
            if all(file.stat().st_size == part["bytes"] and file_hash(file) == part["sha256"] for file, part in files):
                return dict(kept)
        except (OSError, ValueError, KeyError, TypeError):
            pass  # nothing to go on from
        for name in ("checkpoint.json", "parts"):
            remove(self._work / name)
        return {}

    def run(self, progress: Progress, cancelled: Cancelled) -> ImportReport:
        """See import_file."""
        replaced: list[Path] = []
        for manifest in sorted(self._folder.glob(f"{self._symbol}-*-{self._key}.json")):
            held = self._held(manifest)
            if held is not None:
                self._reader.close()
                return held
            replaced.append(manifest)
        try:
            self._read(progress, cancelled)
            self._finish()
            return self._publish(replaced)
        finally:
            self._writer.abandon()
            self._reader.close()

    def _held(self, path: Path) -> ImportReport | None:
        """The report of a data set that is there, when every file of it is whole; None when it is damaged."""
        try:
            manifest = read_manifest(path)
            base = path.parent / manifest["folder"]
            if all(file_hash(base / part["file"]) == part["sha256"] for part in manifest["partitions"]):
                return ImportReport(**{**manifest["report"], "path": path, "held": True})
        except (FeedError, OSError, TypeError, KeyError):
            pass  # written again below
        return None

    def _read(self, progress: Progress, cancelled: Cancelled) -> None:
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
            if len(self._writer.closed) > done and not self._options.sort:
                done = len(self._writer.closed)
                outside = [[column.tolist() for column in bars] for bars in self._reader.aside[:aside]]
                kept = {**before, "aside": outside, "closed": self._writer.closed}
                write_whole(self._work / "checkpoint.json", json.dumps(kept).encode())
            progress(self._reader.rows)
            if cancelled():
                raise ImportCancelled(
                    f"stopped after {self._reader.rows} rows of {self._path.name}; nothing was stored;"
                    " the same import goes on from its last whole month"
                )
        self._writer.finish()

    def _finish(self) -> None:
        """Counts and reasons; refuses a file of which too much was bad (MES-DATA-04), or that changed meanwhile."""
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
        now = self._path.stat()
        if (now.st_size, now.st_mtime_ns) != (self._stamp.st_size, self._stamp.st_mtime_ns):
            raise FeedError(f"{self._path} was changed while it was read: import it again when it is whole")
        months = self._writer.closed
        report.rows = sum(part["rows"] for part in months)
        report.first_ns, report.last_ns = months[0]["first_ns"], months[-1]["last_ns"]
        report.partitions = len(months)
        report.rows_hash = hashlib.sha256("".join(part["rows_sha256"] for part in months).encode()).hexdigest()
        report.rolls, report.gaps = reader.rolls, self._gaps.told()

    def _publish(self, replaced: list[Path]) -> ImportReport:
        """Folder first, then the manifest, which makes it a data set; then what it replaces goes."""
        name = f"{self._symbol}-{self._report.bar_ns // NANOS}s-{self._key}"
        in_use = {_folder_of(path) for path in replaced}
        number = 1
        while f"{name}.{number}" in in_use:
            number += 1
        final = self._folder / f"{name}.{number}"
        remove(final)  # of an import that was killed between the two steps
        self._keep_aside()
        os.rename(self._parts, final)
        sync(self._folder)
        path = self._folder / f"{name}.json"
        self._report.path = path
        manifest = {
            "format": MANIFEST_FORMAT,
            "schema_version": SCHEMA_VERSION,
            "symbol": self._symbol,
            "bar_ns": self._report.bar_ns,
            "rows": self._report.rows,
            "source": self._report.source,
            "source_hash": self._report.source_hash,
            "rows_hash": self._report.rows_hash,
            "folder": final.name,
            "partitions": self._writer.closed,
            "aside_rows": sum(bars.start_ns.size for bars in self._reader.aside),
            "rolls": self._report.rolls,
            "gaps": self._report.gaps,
            "report": {**self._report.as_json(), "path": path.name},
        }
        write_whole(path, json.dumps(manifest, indent=1).encode())
        for old in self._folder.glob(f"{name}.[0-9]*"):
            if old != final:
                remove(old)
        return self._report

    def _keep_aside(self) -> None:
        """Rows of rule 9, beside the months and no part of them."""
        if self._reader.aside:
            table = bars_table(join(self._reader.aside), self._symbol, self._reader.contracts.names)
            pq.write_table(table, self._parts / "aside.parquet", compression="zstd")
            sync(self._parts / "aside.parquet")
            sync(self._parts)


def _folder_of(manifest: Path) -> str:
    """Name of the folder that a manifest uses; empty when it cannot be read."""
    try:
        return str(read_manifest(manifest)["folder"])
    except FeedError:
        return ""


def _store_records(
    path: Path,
    report: ImportReport,
    options: ReplayOptions,
    folder: Path,
    work: Path,
    progress: Progress,
    cancelled: Cancelled,
) -> ImportReport:
    """A recording of trades, levels or orders: replayed once to its end, then copied as it is."""
    symbol = report.symbols[0]
    tape = RecordTape(path, report.kind, report.symbols, options)
    try:
        for block in tape.blocks():
            times = block.events["ts_venue_ns"]
            if report.rows == 0:
                report.first_ns = int(times[0])
            report.last_ns = int(times[-1])
            report.rows += times.size
            progress(tape.counts()["records"])
            if cancelled():
                raise ImportCancelled(
                    f"stopped after {tape.counts()['records']} records of {path.name}; nothing was stored;"
                    " the same import begins anew"
                )
        counts = tape.counts()
    finally:
        tape.close()
    if report.rows == 0:
        raise FeedError(f"{path} holds no event of {symbol}: is it the right symbol?")
    report.rows_read = counts.pop("records")
    report.dropped = {name: count for name, count in counts.items() if count > 0}
    suffix = ".dbn.zst" if path.name.endswith(".zst") else ".dbn"
    part = work / "copy"
    shutil.copyfile(path, part)
    if file_hash(part) != report.source_hash:
        raise FeedError(f"{path} was changed while it was read: import it again when it is whole")
    sync(part)
    report.path = folder / f"{symbol}-{report.kind}-{work.name.split('.')[1]}{suffix}"
    os.replace(part, report.path)
    sync(folder)
    return report


def key_of(path: Path) -> str:
    """The twelve hex digits in the name of a stored file: of what it was made, and how it was read."""
    return path.name.partition(".")[0].rpartition("-")[2]


def remove_data_set(path: Path) -> None:
    """Take a stored file away: the manifest first, so that half a data set is never seen, then folder and columns."""
    remove(path)
    sync(path.parent)
    if path.suffix == ".json":
        for folder in path.parent.glob(f"{path.stem}.[0-9]*"):
            remove(folder)
        forget(path)
        sync(path.parent)
