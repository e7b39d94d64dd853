"""What every import of a data set shares: its hidden folder, what an earlier one has finished, and how it appears.

The parts are written and named under a hidden folder, the folder gets its place, and only then the manifest appears, in
one step.  A kill at any moment leaves the data set that was there, or the new one.  Made on by `store.importing` and
`sets.books`; it knows no database.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import SCHEMA_VERSION, read_manifest
from marketdata.store.partitions import file_hash, remove, sync, write_whole
from marketdata.store.report import ImportCancelled, ImportReport

Progress = Callable[[int], None]  # rows read so far
Cancelled = Callable[[], bool]


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


def stamp_of(file: Path) -> tuple[int, int]:
    """Size and time of the last change: another one means other bytes."""
    told = file.stat()
    return told.st_size, told.st_mtime_ns


class ImportPlace(NamedTuple):
    """What one import is about.  `stamps`: of every file that is read, taken before the first byte of it was."""

    path: Path
    report: ImportReport
    key: str
    folder: Path
    work: Path
    stamps: dict[Path, tuple[int, int]]


class SetImport:
    """One import into a data set of parts under `work`; `read` and `manifest` are the kind's.

    `name`: of the manifest without its key, like ES-1s; known at the latest behind the pass.
    """

    def __init__(self, place: ImportPlace) -> None:
        self._path, self._report, self._key = place.path, place.report, place.key
        self._folder, self._work, self._stamps = place.folder, place.work, place.stamps
        self._parts = place.work / "parts"

    def closed(self) -> list[dict[str, Any]]:
        """What is known of the parts that are finished, as the manifest names them."""
        raise NotImplementedError

    def run(self, progress: Progress, cancelled: Cancelled) -> ImportReport:
        """The whole import; the data set that is there already where it is whole.  Raises as import_file."""
        replaced: list[Path] = []
        try:
            for manifest in sorted(self._folder.glob(f"{self._report.symbols[0]}-*-{self._key}.json")):
                held = self._held(manifest)
                if held is not None:
                    return held
                replaced.append(manifest)
            self.read(progress, cancelled)
            for file, stamp in self._stamps.items():
                if stamp_of(file) != stamp:
                    raise FeedError(f"{file} was changed while it was read: import it again when it is whole")
            self.finish()
            report = self._publish(replaced)
            self.stored()
            return report
        finally:
            self.close()

    def read(self, progress: Progress, cancelled: Cancelled) -> None:
        """Source into parts; a checkpoint when some are finished.  Raises ImportCancelled."""
        raise NotImplementedError

    def finish(self) -> None:
        """Fill the report.  Raises FeedError for a source that may not be used."""
        raise NotImplementedError

    def name(self) -> str:
        """Of the data set, without its key."""
        raise NotImplementedError

    def manifest(self) -> dict[str, Any]:
        """What the kind's manifest says beside what every one does; begins with its format."""
        raise NotImplementedError

    def stored(self) -> None:
        """The data set is there: what may lie beside it gets its name now.  Most kinds have nothing."""

    def close(self) -> None:
        """Close files; what is open is lost."""
        raise NotImplementedError

    # for the kinds

    def checkpoint(self, more: tuple[str, ...] = ()) -> dict[str, Any]:
        """What an earlier, stopped import of this source has finished; {} when there is none or it is not whole.
        `more`: names under which it holds further files (file, bytes, sha256), which lie in `work`."""
        try:
            kept = json.loads((self._work / "checkpoint.json").read_bytes())
            files = [(self._parts / part["file"], part) for part in kept["closed"]]
            files += [(self._work / kept[name]["file"], kept[name]) for name in more]
            if all(file.stat().st_size == part["bytes"] and file_hash(file) == part["sha256"] for file, part in files):
                return dict(kept)
        except (OSError, ValueError, KeyError, TypeError):
            pass  # nothing to go on from
        for name in ("checkpoint.json", "parts"):
            remove(self._work / name)
        return {}

    def keep(self, values: dict[str, Any]) -> None:
        """Write the checkpoint, with the parts that are finished."""
        write_whole(self._work / "checkpoint.json", json.dumps({**values, "closed": self.closed()}).encode())

    def stopped(self, rows: int, goes_on: str) -> ImportCancelled:
        """What is said when a person stops it."""
        return ImportCancelled(
            f"stopped after {rows} rows of {self._path.name}; nothing was stored;"
            f" the same import goes on from {goes_on}"
        )

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

    def _publish(self, replaced: list[Path]) -> ImportReport:
        """Folder first, then the manifest, which makes it a data set; then what it replaces goes."""
        name, report = f"{self.name()}-{self._key}", self._report
        in_use = {_folder_of(path) for path in replaced}
        number = 1
        while f"{name}.{number}" in in_use:
            number += 1
        final = self._folder / f"{name}.{number}"
        remove(final)  # of an import that was killed between the two steps
        own = self.manifest()
        os.rename(self._parts, final)
        sync(self._folder)
        report.path = self._folder / f"{name}.json"
        manifest = {
            "format": own.pop("format"),
            "schema_version": SCHEMA_VERSION,
            "symbol": report.symbols[0],
            "rows": report.rows,
            "source": report.source,
            "source_hash": report.source_hash,
            "rows_hash": report.rows_hash,
            "folder": final.name,
            "partitions": self.closed(),
            **own,
            "rolls": report.rolls,
            "gaps": report.gaps,
            "report": {**report.as_json(), "path": report.path.name},
        }
        write_whole(report.path, json.dumps(manifest, indent=1).encode())
        for old in self._folder.glob(f"{name}.[0-9]*"):
            if old != final:
                remove(old)
        return report


def _folder_of(manifest: Path) -> str:
    """Name of the folder that a manifest uses; empty when it cannot be read."""
    try:
        return str(read_manifest(manifest)["folder"])
    except FeedError:
        return ""
