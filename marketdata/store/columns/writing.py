"""Writes the columns of a data set beside whoever reads all of it for the first time.

What fails here, a full disk above all, is told in the log and costs the other work nothing.  A file gets its name when
it holds every row; memory is one block.  Called by `marketdata.store.chunks`.
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
    """Writes the columns beside a pass over the data set.  What fails here, a full disk above all, is told in the log
    and costs the pass nothing; `keep` makes the file visible when it holds every row, `drop` leaves nothing behind."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._digests: list[str] = []
        self._rows = 0
        self._room = [np.empty(form.BLOCK_ROWS, kind) for _, kind in COLUMNS]
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
                count = min(size - done, form.BLOCK_ROWS - self._filled)
                for room, column in zip(self._room, columns, strict=True):
                    room[self._filled : self._filled + count] = column[done : done + count]
                done += count
                self._filled += count
                if self._filled == form.BLOCK_ROWS:
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
