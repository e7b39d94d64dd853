"""Reads Databento Binary Encoding files (.dbn, .dbn.zst; versions 1 to 3) in chunks of records.

The header is decoded by the vendor's library; the records of one schema are of one size and are read as arrays, which
is what the vendor's own bulk reader does.  Everything is checked on the way: a file that is cut, mixed, headerless or
of another schema is refused with one sentence.  Called by `feeds.tapes` and `feeds.tabular`; memory is one chunk.
"""

import re
from collections.abc import Generator
from pathlib import Path
from typing import IO

import databento_dbn
import numpy as np
import zstandard

from marketdata.core.tape import MBO, MBP10, PRINTS, VENUE_LEVEL
from marketdata.feeds.port import FeedError

OHLCV = np.dtype(
    [
        ("length", "u1"),
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("volume", "<i8"),
    ]
)
BBO = np.dtype(
    [
        ("length", "u1"),
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<i8"),  # of the last trade; -1: none is told
        ("price", "<i8"),  # of the last trade
        ("size", "<u4"),
        ("_reserved1", "u1"),
        ("side", "u1"),
        ("flags", "u1"),
        ("_reserved2", "u1"),
        ("ts_recv", "<i8"),  # end of the interval
        ("_reserved3", "S4"),
        ("sequence", "<u4"),
        ("levels", VENUE_LEVEL, (1,)),
    ]
)
assert OHLCV.itemsize == 56 and BBO.itemsize == 80
SAMPLED = "bbo-1s"  # the best prices at the end of each second that has an update
# schema: (record, rtype)
SCHEMAS: dict[str, tuple[np.dtype, int]] = {
    "mbo": (MBO, 160),
    "mbp-10": (MBP10, 10),
    "trades": (PRINTS, 0),
    SAMPLED: (BBO, 195),
    "ohlcv-1s": (OHLCV, 32),
    "ohlcv-1m": (OHLCV, 33),
}
BAR_SECONDS = {"ohlcv-1s": 1, "ohlcv-1m": 60}
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
READ_BYTES = 1 << 18
HEADER_MAX = 1 << 26
CONTRACT = re.compile(r"([A-Z0-9]{1,4}?)[FGHJKMNQUVXZ]\d{1,2}")


def plain_bytes(path: Path) -> Generator[bytes, None, None]:
    """The file's bytes in pieces, decompressed when it is zstd.  Raises FeedError on a cut or damaged frame."""
    with open(path, "rb") as file:
        piece = file.read(READ_BYTES)
        if not piece.startswith(ZSTD_MAGIC):
            while piece:
                yield piece
                piece = file.read(READ_BYTES)
            return
        yield from _decompress(path, file, piece)


def _decompress(path: Path, file: IO[bytes], piece: bytes) -> Generator[bytes, None, None]:
    """Frame after frame of `file`, of which `piece` has been read already."""
    given = 0
    frame = zstandard.ZstdDecompressor().decompressobj()
    while piece:
        try:
            plain = frame.decompress(piece)
        except zstandard.ZstdError as error:
            raise FeedError(
                f"{path}: damaged zstd data before byte {file.tell()} ({error}); fetch the file again"
            ) from None
        given += len(plain)
        if plain:
            yield plain
        if not frame.eof:
            piece = file.read(READ_BYTES)
            continue
        piece = frame.unused_data or file.read(READ_BYTES)
        if not piece:
            return
        frame = zstandard.ZstdDecompressor().decompressobj()
    raise FeedError(
        f"{path} is cut inside a zstd frame at byte {file.tell()} ({given} bytes of data before); fetch the file again"
    )


class DbnFile:
    """The header of one DBN file, of whatever schema.

    Attributes: schema, symbols (symbol → vendor ids).  Raises FeedError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise FeedError(f"{path} does not exist: give the path of a recorded file")
        self._pieces = plain_bytes(path)
        self._buffer = bytearray()
        metadata = self._read_header()
        self.schema = "mixed" if metadata.schema is None else str(metadata.schema)
        self._sent_too = bool(metadata.ts_out)  # each record is followed by the time at which it was sent
        self.symbols = {
            str(symbol): sorted({int(part["symbol"]) for part in parts if str(part["symbol"]).isdigit()})
            for symbol, parts in metadata.mappings.items()
        }

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            piece = next(self._pieces, b"")
            if not piece:
                return
            self._buffer += piece

    def _read_header(self) -> databento_dbn.Metadata:
        self._fill(8)
        if not self._buffer:
            raise FeedError(f"{self.path} is empty; fetch the file again")
        if self._buffer[:3] != b"DBN":
            raise FeedError(
                f"{self.path} has no DBN header at byte 0: it is another format or a fragment without metadata"
            )
        size = 8 + int.from_bytes(self._buffer[4:8], "little")
        if size <= HEADER_MAX:
            self._fill(size)
        if size > HEADER_MAX or len(self._buffer) < size:
            raise FeedError(
                f"{self.path} is cut inside its header ({len(self._buffer)} of {size} bytes); fetch it again"
            )
        try:
            metadata = databento_dbn.Metadata.decode(bytes(self._buffer[:size]))
        except (databento_dbn.DBNError, ValueError) as error:
            raise FeedError(f"{self.path}: its DBN header cannot be read: {error}") from None
        del self._buffer[:size]
        self._offset = size
        return metadata

    def close(self) -> None:
        """Close the file; nothing can be read after it."""
        self._pieces.close()


class DbnReader(DbnFile):
    """One pass over one DBN file.  `schema`: what the caller wants, "" for whatever the file holds.

    Attributes: schema, symbols (symbol → vendor ids), rows (records read so far).  Raises FeedError.
    """

    def __init__(self, path: Path, schema: str = "") -> None:
        super().__init__(path)
        self.rows = 0
        self._check_schema(schema)
        self.record, self._rtype = SCHEMAS[self.schema]
        self._step = self.record.itemsize + (8 if self._sent_too else 0)

    def _check_schema(self, wanted: str) -> None:
        known = ", ".join(SCHEMAS)
        if wanted and wanted not in SCHEMAS:
            raise FeedError(f"schema {wanted!r} cannot be replayed; known: {known}")
        if wanted and wanted != self.schema:
            raise FeedError(
                f"{self.path} holds schema {self.schema}, not {wanted}: ask for {self.schema} or give another file"
            )
        if self.schema not in SCHEMAS:
            raise FeedError(f"{self.path} holds schema {self.schema}, which cannot be replayed; known: {known}")

    def read(self, rows: int) -> np.ndarray:
        """The next `rows` records (fewer at the end, none after it).  Raises FeedError on a cut or foreign record."""
        self._fill(rows * self._step)
        count = min(rows, len(self._buffer) // self._step)
        if count < rows and len(self._buffer) > count * self._step:
            at = self._offset + count * self._step
            raise FeedError(
                f"{self.path} is cut inside record {self.rows + count + 1} (byte {at} of the decompressed data has"
                f" {len(self._buffer) - count * self._step} of {self._step} bytes); fetch the file again"
            )
        size = count * self._step
        raw = np.frombuffer(bytes(self._buffer[:size]), np.uint8).reshape(count, self._step)
        del self._buffer[:size]
        wrong = (raw[:, 0].astype(np.int64) * 4 != self._step) | (raw[:, 1] != self._rtype)
        if wrong.any():
            k = int(np.argmax(wrong))
            raise FeedError(
                f"{self.path}: record {self.rows + k + 1} at byte {self._offset + k * self._step} of the plain data"
                f" is no {self.schema} record (type {raw[k, 1]}, {int(raw[k, 0]) * 4} bytes); extract one schema first"
            )
        self.rows += count
        self._offset += size
        return np.ascontiguousarray(raw[:, : self.record.itemsize]).reshape(-1).view(self.record)


def schema_of(path: Path) -> str:
    """What a DBN file holds, as its header says; "mixed" for several.  Raises FeedError."""
    file = DbnFile(path)
    file.close()
    return file.schema


def root_of(symbol: str) -> str:
    """ESH4, ES.c.0, ES.FUT → ES; anything else is its own root."""
    if match := CONTRACT.fullmatch(symbol):
        return match.group(1)
    return symbol.split(".", maxsplit=1)[0]


def front_ids(symbols: dict[str, list[int]], root: str, first: np.ndarray) -> list[int]:
    """The vendor's ids of the front instrument of `root`: of several contracts the one with most records in `first`.

    `symbols` as DbnReader.symbols.  An empty list when the file has no such root.
    """
    contracts = [ids for symbol, ids in symbols.items() if root_of(symbol) == root and ids]
    if len(contracts) < 2:
        return contracts[0] if contracts else []
    seen, counts = np.unique(first["instrument_id"], return_counts=True)
    records = dict(zip(seen.tolist(), counts.tolist(), strict=True))
    return max(contracts, key=lambda ids: (sum(records.get(i, 0) for i in ids), -ids[0]))
