"""A data set's bars as columns in one file that is mapped into memory: what a pass over years of bars reads.

It lies beside the Parquet files, is written by their import, or by the first whole pass over them, and named after
their hashes: other files, another name.  Every block is checked against its hash before it is used; a file that is not
whole is taken away and Parquet is read.  It may be deleted at any time.  Called by `marketdata.store.chunks`; it judges
no bar.
"""

import hashlib
import json
import logging
import mmap
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from marketdata.core.quality import OUTSIDE_SESSION
from marketdata.feeds.columns import Contracts
from marketdata.feeds.port import FeedError
from marketdata.feeds.tabular import Bars, Inside
from marketdata.store.columns import form
from marketdata.store.columns.form import COLUMNS, FOOT, MAGIC, ROW_BYTES, Place
from marketdata.store.partitions import remove

log = logging.getLogger(__name__)


class Damaged(FeedError):
    """The file is not what was written.  It was taken away."""


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
        blocks = -(-self._place.rows // form.BLOCK_ROWS)
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
            block, skip = divmod(first + done, form.BLOCK_ROWS)
            length = min(form.BLOCK_ROWS, self._place.rows - block * form.BLOCK_ROWS)
            count = min(length - skip, size - done)
            self._take(block, length, slice(skip, skip + count), bars, slice(done, done + count))
            done += count

    def _take(self, block: int, length: int, rows: slice, bars: Bars, to: slice) -> None:
        """Some rows of one block.  The whole of it is checked, and its pages are given back."""
        begin = len(MAGIC) + block * form.BLOCK_ROWS * ROW_BYTES
        with memoryview(self._map) as whole, whole[begin : begin + length * ROW_BYTES] as data:
            if blake3(data).hexdigest() != self._digests[block]:
                raise _taken_away(self._place.path, f"rows {block * form.BLOCK_ROWS + 1} and on are not those written")
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
