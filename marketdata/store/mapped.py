"""A data set's bars as columns in one file that is mapped into memory: what a second pass over years of bars reads.

It lies beside the Parquet files, is written by the first whole pass over them and named after their hashes: other
files, another name.  Every block is checked against its hash before it is used; a file that is not whole is taken away
and Parquet is read.  It may be deleted at any time.  Called by `marketdata.store.chunks`; it judges no bar.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import mmap
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.quality import OUTSIDE_SESSION
from marketdata.feeds.columns import Contracts
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import data_set_files, is_manifest, read_manifest
from marketdata.feeds.tabular import Bars, Inside
from marketdata.store.limits import Limit
from marketdata.store.partitions import remove, sync

FOLDER, SUFFIX = "columns", ".columns"
VERSION = 1  # of the file's form, and of the rules that made its bars out of a data set's rows
MAGIC = b"SDCOLUMN"
BLOCK_ROWS = 1 << 16
FREE_SHARE_MAX = 0.5  # of the disk's free space that a new file may take: it only saves time
FOOT = 40  # length of the JSON text before it, and its sha256
COLUMNS = (  # of a block, one after another
    ("start_ns", np.dtype("<i8")),
    ("open", np.dtype("<u4")),
    ("high", np.dtype("<u4")),
    ("low", np.dtype("<u4")),
    ("close", np.dtype("<u4")),
    ("volume", np.dtype("<i8")),
    ("contract", np.dtype("<i4")),
)
ROW_BYTES = sum(kind.itemsize for _, kind in COLUMNS)
CODE_MAX = 2**31 - 1
log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where the columns of one data set, read in one way, lie."""

    path: Path
    key: str  # sha256, hex, of what they are made from
    rows: int
    bar_ns: int


class Damaged(FeedError):
    """The file is not what was written.  It was taken away."""


def place_of(path: Path, symbol: str, options: ReplayOptions) -> Place | None:
    """Where the columns of this data set are or would be; None for anything else, and where options change what its
    rows say.  Raises FeedError for a damaged manifest."""
    if Limit.bytes <= 0 or not path.is_file() or not is_manifest(path):
        return None
    manifest = read_manifest(path)
    told = (path, manifest["folder"], manifest.get("symbol"), manifest.get("rows"), manifest.get("bar_ns"))
    if not isinstance(told[3], int) or not isinstance(told[4], int):
        return None
    plain = replace(options, format="", bar_ns=0, as_symbol={}, start_ns=None, any_hours=False)
    if plain != ReplayOptions() or options.format not in ("", "parquet") or options.bar_ns not in (0, told[4]):
        return None
    stats = [file.stat() for file in data_set_files(path)]  # gone: refused, as Parquet refuses it
    made_from = {
        "version": VERSION,
        "symbol": symbol,
        "root": sorted(options.as_symbol.items()),
        "tick_nanos": INSTRUMENTS[symbol].tick_nanos,
        "files": [
            (part.get("sha256", ""), at.st_size, at.st_mtime_ns)
            for part, at in zip(manifest["partitions"], stats, strict=True)
        ],
        "stored": told[2:],
    }
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    return Place(folder_of(path) / f"{path.stem}-{key[:16]}{SUFFIX}", key, told[3], told[4])


def folder_of(path: Path) -> Path:
    """The folder of the columns of the data sets beside `path`."""
    return path.parent / FOLDER


def forget(path: Path) -> None:
    """Take away the columns of a data set, which is the manifest `path`."""
    for file in folder_of(path).glob(f"{path.stem}-*{SUFFIX}"):
        remove(file)


class MappedBars:
    """The bars of a data set from its columns, with the attributes of a BarReader that read them from Parquet.

    Raises OSError, Damaged."""

    def __init__(self, place: Place, path: Path, inside: Inside | None) -> None:
        self.path, self.bar_ns, self.rows = path, place.bar_ns, 0
        self.dropped: Counter[int] = Counter()
        self._inside, self._place = inside, place
        with open(place.path, "rb") as file:
            if os.fstat(file.fileno()).st_size < FOOT:
                raise _taken_away(place.path, "it is cut")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            head = self._head()
        except (ValueError, KeyError, TypeError, IndexError) as error:
            self._map.close()
            raise _taken_away(place.path, str(error)) from None
        self.contracts = Contracts(head["contracts"])
        self._digests = head["digests"]
        os.utime(place.path)  # used now

    def _head(self) -> dict[str, Any]:
        """What the end of the file says.  Raises ValueError, KeyError, TypeError, IndexError."""
        size = len(self._map)
        length = int.from_bytes(self._map[size - FOOT : size - FOOT + 8], "little")
        text = self._map[size - FOOT - length : size - FOOT]
        if self._map[: len(MAGIC)] != MAGIC or hashlib.sha256(text).digest() != self._map[size - 32 :]:
            raise ValueError("its end is not its own")
        head: dict[str, Any] = json.loads(text)
        blocks = -(-self._place.rows // BLOCK_ROWS)
        whole = len(MAGIC) + self._place.rows * ROW_BYTES + length + FOOT
        if head["key"] != self._place.key or len(head["digests"]) != blocks or size != whole:
            raise ValueError("it belongs to other bars")
        return head

    def chunks(self, rows: int) -> Iterator[Bars]:
        """All bars, `rows` of the data set at a time.  Raises Damaged."""
        total = self._place.rows
        for first in range(0, total, rows):
            bars = _room(min(rows, total - first))
            self._fill(bars, first)
            bars.row[:] = np.arange(first, first + bars.row.size)
            self.rows += bars.row.size
            if self._inside is not None:
                inside = self._inside(bars.start_ns)
                if not inside.all():
                    self.dropped[OUTSIDE_SESSION] += int(inside.size - inside.sum())
                    bars = bars.take(inside)
            yield bars

    def _fill(self, bars: Bars, first: int) -> None:
        """The rows from `first` on, out of as many blocks as they lie in."""
        done, size = 0, bars.start_ns.size
        while done < size:
            block, skip = divmod(first + done, BLOCK_ROWS)
            length = min(BLOCK_ROWS, self._place.rows - block * BLOCK_ROWS)
            count = min(length - skip, size - done)
            self._take(block, length, slice(skip, skip + count), bars, slice(done, done + count))
            done += count

    def _take(self, block: int, length: int, rows: slice, bars: Bars, to: slice) -> None:
        """Some rows of one block.  The whole of it is checked, and its pages are given back."""
        begin = len(MAGIC) + block * BLOCK_ROWS * ROW_BYTES
        with memoryview(self._map) as whole, whole[begin : begin + length * ROW_BYTES] as data:
            if blake3(data).hexdigest() != self._digests[block]:
                raise _taken_away(self._place.path, f"rows {block * BLOCK_ROWS + 1} and on are not those written")
            at = 0
            found = {}
            for name, kind in COLUMNS:
                found[name] = np.frombuffer(data, kind, length, at)[rows]
                at += length * kind.itemsize
            bars.start_ns[to], bars.volume[to], bars.contract[to] = (
                found["start_ns"],
                found["volume"],
                found["contract"],
            )
            for k, name in enumerate(("open", "high", "low", "close")):
                bars.ticks[to, k] = found[name]
            found.clear()
        page = begin & ~(mmap.PAGESIZE - 1)
        self._map.madvise(mmap.MADV_DONTNEED, page, begin + length * ROW_BYTES - page)

    def close(self) -> None:
        """Unmap the file."""
        self._map.close()


def _room(count: int) -> Bars:
    ticks = np.empty((count, 4), np.int64)
    return Bars(np.empty(count, np.int64), ticks, *(np.empty(count, np.int64) for _ in range(3)))


def _taken_away(path: Path, why: str) -> Damaged:
    remove(path)
    return Damaged(f"{path} is damaged ({why}) and was removed: do the same again, it reads the data set itself")


def open_columns(path: Path, place: Place | None, inside: Inside | None) -> MappedBars | None:
    """The columns of a data set, when they are there and of it."""
    if place is None or not place.path.exists():
        return None
    try:
        return MappedBars(place, path, inside)
    except (OSError, Damaged) as error:
        log.warning("columns of %s are not used: %s", path.name, error)
        return None


class ColumnsWriter:
    """Writes the columns beside a pass over the data set.  What fails here, a full disk above all, is told in the log
    and costs the pass nothing; `keep` makes the file visible when it holds every row, `drop` leaves nothing behind."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._digests: list[str] = []
        self._rows = 0
        self._room = [np.empty(BLOCK_ROWS, kind) for _, kind in COLUMNS]
        self._filled = 0
        self._file: Any = None
        self._part: Path | None = None
        with self._or_never():
            self._open()

    @contextlib.contextmanager
    def _or_never(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            log.warning("no columns are kept of %s: %s", self._place.path.name, error)
            self.drop()

    def _open(self) -> None:
        """Raises OSError where there is no room."""
        folder, needed = self._place.path.parent, self._place.rows * ROW_BYTES
        folder.mkdir(exist_ok=True)
        note(folder)
        sweep(folder, needed)
        free = shutil.disk_usage(folder).free
        if needed > Limit.bytes or needed > free * FREE_SHARE_MAX:
            raise OSError(f"they need {needed >> 20} MiB; {Limit.bytes >> 20} MiB are allowed, {free >> 20} free")
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
        self._part = Path(name)
        self._file = os.fdopen(handle, "wb")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is being written: `sweep` leaves it alone
        self._file.write(MAGIC)

    def add(self, bars: Bars) -> None:
        """The next bars."""
        if self._file is None:
            return
        columns = (bars.start_ns, *bars.ticks.T, bars.volume, bars.contract)
        size, done = bars.start_ns.size, 0
        if size and int(bars.ticks.max()) > CODE_MAX:
            self.drop()  # a price that four bytes do not hold
            return
        with self._or_never():
            while done < size:
                count = min(size - done, BLOCK_ROWS - self._filled)
                for room, column in zip(self._room, columns, strict=True):
                    room[self._filled : self._filled + count] = column[done : done + count]
                done += count
                self._filled += count
                if self._filled == BLOCK_ROWS:
                    self._put()

    def _put(self) -> None:
        digest = blake3()
        for room in self._room:
            data = room[: self._filled].view(np.uint8).data
            digest.update(data)
            self._file.write(data)
        self._digests.append(digest.hexdigest())
        self._rows += self._filled
        self._filled = 0

    def keep(self, contracts: list[str], dropped: Counter[int]) -> None:
        """The pass is over: the file gets its name, unless rows of the data set were left out."""
        if self._file is None:
            return
        with self._or_never():
            if self._filled:
                self._put()
            if self._rows != self._place.rows or dropped:
                self.drop()
                return
            head = {"key": self._place.key, "contracts": contracts, "digests": self._digests}
            text = json.dumps(head).encode()
            self._file.write(text + len(text).to_bytes(8, "little") + hashlib.sha256(text).digest())
            self._file.flush()
            os.fsync(self._file.fileno())
            assert self._part is not None
            os.replace(self._part, self._place.path)
            sync(self._place.path.parent)
            self._part = None
        self.drop()

    def drop(self) -> None:
        """Close; what has no name yet is removed."""
        file, part = self._file, self._part
        self._file = self._part = None
        if file is not None:
            with contextlib.suppress(OSError):  # what is still buffered, on a full disk
                file.close()
        if part is not None:
            part.unlink(missing_ok=True)


def note(folder: Path) -> None:
    """Remember a folder of columns, so that the limit bounds all of them together.  Raises OSError."""
    if Limit.folders is None:
        return
    Limit.folders.parent.mkdir(parents=True, exist_ok=True)
    line = f"{folder.resolve()}\n"
    with open(Limit.folders, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if line not in file.readlines():
            file.write(line)


def noted(folder: Path) -> list[Path]:
    """Every folder of columns that is known and there, `folder` among them."""
    found = {folder.resolve()} if folder.is_dir() else set()
    if Limit.folders is not None and Limit.folders.is_file():
        lines = Limit.folders.read_text(encoding="utf-8").splitlines()
        found |= {Path(line) for line in lines if Path(line).name == FOLDER and Path(line).is_dir()}
    return sorted(found)


def kept(*folders: Path) -> list[tuple[float, int, Path]]:
    """(time of the last use, bytes, file) of every file of columns in them, the one used longest ago first."""
    found = []
    for file in (file for folder in folders for file in folder.glob(f"*{SUFFIX}")):
        with contextlib.suppress(FileNotFoundError):  # another process took it away
            told = file.stat()
            found.append((told.st_mtime, told.st_size, file))
    return sorted(found)


def sweep(folder: Path, coming: int = 0) -> None:
    """Remove what nobody can use in `folder`: parts of a killed writer, columns of data sets that are gone; then, of
    all folders, those used longest ago, until `coming` bytes more are within the limit."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError), open(part, "rb") as held:  # its writer is at work, or it is gone
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
    for _, _, file in kept(folder):
        if not manifest_of(file).is_file():
            remove(file)
    found = kept(*noted(folder))
    total = sum(size for _, size, _ in found) + coming
    for _, size, file in found:
        if total <= Limit.bytes or coming > Limit.bytes:
            return
        with contextlib.suppress(PermissionError):  # of another's folder: what may go, goes
            remove(file)
            total -= size


def manifest_of(file: Path) -> Path:
    """The data set that a file of columns belongs to."""
    return file.parent.parent / f"{file.stem.rpartition('-')[0]}.json"
