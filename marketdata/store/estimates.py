"""What an import and a whole load will take, from metadata and a first glance; no data page is read (MES-MEM-01, -09).

Called by `marketdata.services`.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.records import DEPTH, EVENT
from marketdata.databento.definitions import DEFINITION
from marketdata.feeds.books.names import BINANCE, BOOK_FORMATS, LOBSTER, SESSION, Lines
from marketdata.feeds.books.recorded import count_events
from marketdata.feeds.dbn import BAR_SECONDS, DbnReader, schema_of
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.sources import detect_format
from marketdata.feeds.stored import data_set_files
from marketdata.feeds.tabular import SORTED_ROW_BYTES
from marketdata.memory.available import available
from marketdata.memory.disk import FREE_SHARE_WARN, free_bytes, refusal
from marketdata.memory.estimate import load_bytes, peak_bytes
from marketdata.memory.guard import chunk_rows, judge
from marketdata.store.importing import BLOCK_BYTES
from marketdata.store.report import Estimate

BAR_BYTES = 56
BOOK_ROW_BYTES = EVENT.itemsize + DEPTH.itemsize  # of one event and its book in memory
DEFINITION_BYTES = 360  # of the smallest record of a definition
BOOK_STORED_BYTES = {LOBSTER: 30, BINANCE: 15, SESSION: 60}  # of one row of the source, stored; measured
ZSTD_FACTOR, GZIP_FACTOR = 12, 6  # what compressed records and text grow to
LINE_BYTES = 45
FIRST_LINES = 2_000  # of a recording of books that are looked at


def estimate(path: Path, options: ReplayOptions, folder: Path) -> Estimate:
    """Size of an import, on disk and in memory.  Raises FeedError when the disk has no room for it."""
    kind = options.format or detect_format(path)
    rows, disk = _guess(path, kind)
    folder.mkdir(parents=True, exist_ok=True)
    free = free_bytes(folder)
    if why := refusal(str(path), disk, folder):
        raise FeedError(why)
    warning = ""
    if disk > free * FREE_SHARE_WARN:
        warning = f"it takes {disk >> 20} of the {free >> 20} MiB that are free: more than {FREE_SHARE_WARN:.0%}"
    room = available()
    needed = rows * BOOK_ROW_BYTES if kind in BOOK_FORMATS else load_bytes(path, options.delimiter)
    fitting = chunk_rows(room.bytes, max(needed // max(rows, 1), 1))
    blocks = BLOCK_BYTES + (rows * SORTED_ROW_BYTES * 5 // 2 if options.sort else 0)
    return Estimate(
        kind,
        rows,
        disk,
        free,
        needed,
        judge(needed, room).as_json(),
        fitting,
        judge(blocks, room).as_json(),
        warning,
        0 if kind in BOOK_FORMATS else peak_bytes(rows),
    )


def _guess(path: Path, kind: str) -> tuple[int, int]:
    """Rows of the file and bytes of what is stored of it.  Raises FeedError."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    if not head:
        raise FeedError(f"{path} is empty; fetch the file again")
    if kind == "parquet":
        try:
            rows = sum(int(pq.read_metadata(part).num_rows) for part in data_set_files(path))
        except (pa.ArrowException, OSError) as error:
            raise FeedError(f"{path} is cut or no Parquet file: {str(error).splitlines()[0]}; fetch it again") from None
    elif kind == "dbn" and schema_of(path) == DEFINITION:
        return (size if head[:3] == b"DBN" else size * ZSTD_FACTOR) // DEFINITION_BYTES, size
    elif kind == "dbn":
        reader = DbnReader(path)
        reader.close()
        rows = (size if head[:3] == b"DBN" else size * ZSTD_FACTOR) // reader.record.itemsize
        if reader.schema not in BAR_SECONDS:
            return rows, size
    elif kind in BOOK_FORMATS:
        return _guess_books(path, kind, size)
    elif head[:2] in (b"\x1f\x8b", b"PK"):
        rows = size * GZIP_FACTOR // LINE_BYTES
    else:
        rows = size * max(head.count(b"\n"), 1) // len(head)
    return rows, rows * BAR_BYTES


def _guess_books(path: Path, kind: str, size: int) -> tuple[int, int]:
    """The same of a recording of books, from its first lines; of a session's own from its frames."""
    if kind == SESSION:
        rows = count_events(path)
        return rows, rows * BOOK_STORED_BYTES[kind]
    lines = Lines(path)
    try:
        found = lines.read(FIRST_LINES)
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
    finally:
        lines.close()
    rows = size * (GZIP_FACTOR if packed else 1) * len(found) // max(lines.offset, 1)
    return rows, rows * BOOK_STORED_BYTES[kind]
