"""Recordings of books → the store: events and depth-20 books as a data set of parts, with what was wrong with them.

The book is made once, by the desk's one implementation, at the import; what cannot be known is flagged there, and stays
flagged.  A stopped import goes on behind its last whole part, with the book as it was.  Called by
`marketdata.store.importing`.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from marketdata.feeds.books.names import BOOKS, LOBSTER, lobster_beside
from marketdata.feeds.books.opening import open_books
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import BOOKS_FORMAT
from marketdata.store.partitions import file_hash, remove, write_whole
from marketdata.store.sets.bookparts import BookPartWriter
from marketdata.store.sets.publishing import Cancelled, ImportPlace, Progress, SetImport

STATE = "ladder"  # in the checkpoint: the file of arrays; a checkpoint with other arrays is not gone on from


def read_with(path: Path, kind: str) -> list[Path]:
    """Further files that are read with the source."""
    beside = lobster_beside(path) if kind == LOBSTER else None
    return [beside] if beside is not None else []


def key_words(path: Path, kind: str, options: ReplayOptions) -> str:
    """What a key must name beside the file's hash: the grids, and the file that is read with it."""
    return " ".join([kind, str(options.tick_nanos), str(options.lot_nanos), *map(file_hash, read_with(path, kind))])


class BookImport(SetImport):
    """One import of a recording of books."""

    def __init__(self, place: ImportPlace, kind: str, options: ReplayOptions) -> None:
        super().__init__(place)
        self._kind = kind
        kept, symbol = self.checkpoint((STATE,)), place.report.symbols[0]
        self._reader = open_books(place.path, kind, symbol, options, kept.get("reader"), self._arrays(kept))
        self._parts.mkdir(exist_ok=True)
        self._writer = BookPartWriter(self._parts, symbol, kept.get("closed"))
        place.report.resumed_rows = self._reader.rows

    def closed(self) -> list[dict[str, Any]]:
        """See SetImport."""
        return self._writer.closed

    def _arrays(self, kept: dict[str, Any]) -> dict[str, np.ndarray] | None:
        if not kept:
            return None
        with np.load(self._work / kept[STATE]["file"], allow_pickle=False) as found:
            return {name: found[name] for name in found.files}

    def _keep_state(self) -> None:
        """The book behind the part that was just closed; the file first, then the checkpoint that names it."""
        plain, arrays = self._reader.state()
        data = io.BytesIO()
        np.savez_compressed(data, **arrays)  # type: ignore[arg-type]  # arrays by name
        file = self._work / f"state-{len(self._writer.closed)}.npz"
        write_whole(file, data.getvalue())
        told = {"file": file.name, "bytes": file.stat().st_size, "sha256": file_hash(file)}
        self.keep({"reader": plain, STATE: told})
        for old in self._work.glob("state-*.npz"):
            if old != file:
                remove(old)

    def read(self, progress: Progress, cancelled: Cancelled) -> None:
        """See SetImport."""
        for block in self._reader.blocks():
            if self._writer.write(block):
                self._keep_state()
            progress(self._reader.rows)
            if cancelled():
                raise self.stopped(self._reader.rows, "its last whole part")
        self._writer.finish()

    def finish(self) -> None:
        """See SetImport."""
        reader, report = self._reader, self._report
        if fault := reader.fault():
            raise FeedError(fault)
        parts = self._writer.closed
        if not parts or not any(part["books"] for part in parts):
            raise FeedError(f"{self._path} holds no book of {report.symbols[0]}: fetch the file again")
        report.kind, report.rows_read, report.partitions = BOOKS, reader.rows, len(parts)
        report.rows = sum(part["rows"] for part in parts)
        report.first_ns, report.last_ns = parts[0]["first_ns"], parts[-1]["last_ns"]
        report.dropped, report.examples = dict(reader.dropped), reader.examples
        report.verdicts, report.gaps = reader.verdicts, reader.gaps
        report.rows_hash = hashlib.sha256("".join(part["rows_sha256"] for part in parts).encode()).hexdigest()

    def name(self) -> str:
        """See SetImport."""
        return f"{self._report.symbols[0]}-{BOOKS}"

    def manifest(self) -> dict[str, Any]:
        """See SetImport."""
        return {
            "format": BOOKS_FORMAT,
            "tick_nanos": self._reader.grid_nanos,
            "levels": self._reader.levels,
            "beside": [{"file": file.name, "sha256": file_hash(file)} for file in read_with(self._path, self._kind)],
        }

    def close(self) -> None:
        """See SetImport."""
        self._writer.abandon()
        self._reader.close()
