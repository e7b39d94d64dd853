"""Writes the columns of a data set beside whoever imports it, or reads all of it for the first time.

What fails here, a full disk above all, is told in the log and costs the other work nothing.  A file gets its name when
it holds every row; memory is one block.  Called by `marketdata.store.importing` and `marketdata.store.chunks`.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from marketdata.feeds.tabular import Bars
from marketdata.store.columns import form
from marketdata.store.columns.form import CODE_MAX, COLUMNS, MAGIC, ROW_BYTES, Place
from marketdata.store.columns.kept import note, sweep
from marketdata.store.limits import Limit
from marketdata.store.partitions import sync

FREE_SHARE_MAX = 0.5  # of the disk's free space that a new file may take: it only saves time
log = logging.getLogger(__name__)


class ColumnsWriter:
    """Writes columns into `folder`, hidden until `keep` gives them the name of their place; `drop` leaves nothing.

    `of`: what the log calls them.  `rows`: so many are about to come, and the disk is asked for the room of all; 0: how
    many is not known, and it is asked block by block.  Nothing is opened before a block is full or `keep` is called.
    """

    def __init__(self, folder: Path, of: str, rows: int = 0) -> None:
        self._folder, self._of, self._expected = folder, of, rows
        self._digests: list[str] = []
        self._rows = self._bytes = 0
        self._room = [np.empty(form.BLOCK_ROWS, kind) for _, kind in COLUMNS]
        self._filled = 0
        self._file: Any = None
        self._part: Path | None = None
        self._made = self._over = False

    @contextlib.contextmanager
    def _or_never(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            log.warning("no columns are kept of %s: %s", self._of, error)
            self.drop()

    def _open(self) -> None:
        """Raises OSError where there is no room."""
        needed = self._expected * ROW_BYTES
        self._made = not self._folder.exists()
        self._folder.mkdir(exist_ok=True)
        note(self._folder)
        sweep(self._folder, needed)
        self._ask(needed)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=self._folder)
        self._part = Path(name)
        self._file = os.fdopen(handle, "wb")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is being written: `sweep` leaves it alone
        self._write(MAGIC)

    def _ask(self, more: int) -> None:
        """Raises OSError where the limit or the disk has no room for so many bytes more."""
        total, free = self._bytes + more, shutil.disk_usage(self._folder).free
        if total > Limit.bytes or total > (free + self._bytes) * FREE_SHARE_MAX:
            raise OSError(f"they need {total >> 20} MiB; {Limit.bytes >> 20} MiB are allowed, {free >> 20} free")

    def add(self, bars: Bars) -> None:
        """The next bars."""
        if self._over:
            return
        columns = (bars.start_ns, *bars.ticks.T, bars.volume, bars.contract)
        size, done = bars.start_ns.size, 0
        if size and int(bars.ticks.max()) > CODE_MAX:
            self.drop()  # a price that four bytes do not hold
            return
        with self._or_never():
            while done < size:
                count = min(size - done, form.BLOCK_ROWS - self._filled)
                for room, column in zip(self._room, columns, strict=True):
                    room[self._filled : self._filled + count] = column[done : done + count]
                done += count
                self._filled += count
                if self._filled == form.BLOCK_ROWS:
                    self._put()

    def _put(self) -> None:
        """One block."""
        if self._file is None:
            self._open()
        self._ask(self._filled * ROW_BYTES)
        digest = blake3()
        for room in self._room:
            data = room[: self._filled].view(np.uint8).data
            digest.update(data)
            self._write(data)
        self._digests.append(digest.hexdigest())
        self._rows += self._filled
        self._filled = 0

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._bytes += len(data)

    def keep(self, place: Place, contracts: list[str], dropped: Counter[int]) -> None:
        """All bars were added: the file gets its name, unless rows of the data set were left out."""
        if self._over:
            return
        with self._or_never():
            if self._filled:
                self._put()
            if self._rows != place.rows or dropped or self._file is None:
                self.drop()
                return
            head = {"key": place.key, "contracts": contracts, "digests": self._digests}
            text = json.dumps(head).encode()
            self._write(text + len(text).to_bytes(8, "little") + hashlib.sha256(text).digest())
            self._file.flush()
            os.fsync(self._file.fileno())
            assert self._part is not None
            sweep(self._folder, self._bytes)  # where their number was not known, or others came meanwhile
            os.replace(self._part, place.path)
            sync(self._folder)
            self._part = None
        self.drop()

    def drop(self) -> None:
        """Close; what has no name yet is removed."""
        self._over = True
        file, part = self._file, self._part
        self._file = self._part = None
        if file is not None:
            with contextlib.suppress(OSError):  # what is still buffered, on a full disk
                file.close()
        if part is not None:
            part.unlink(missing_ok=True)
        if self._made:
            with contextlib.suppress(OSError):  # something is in it
                self._folder.rmdir()
