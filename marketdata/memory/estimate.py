"""What a file will take in memory, before any of its data is read (MES-MEM-01, -02).

Parquet tells it in its footer; of text the first rows are weighed; of anything else the size of the file is all that
is known.  Bytes, never floats.  Called by `marketdata.memory.guard` and `marketdata.store`.
"""

import gzip
import io
import zlib
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import data_set_files

SAMPLE_ROWS = 10_000
SAMPLE_BYTES = 4 << 20  # of text, unpacked: what a web page's estimate reads at most
LINE_BYTES_MAX = 1 << 16
COLUMNS_MAX = 1_000
OTHER_FACTOR = 10
GZIP_FACTOR = 6  # what text grows to when it is unpacked
STRING_BYTES, CODE_BYTES = 64, 4
FEATURES = 56
FEATURE_ROW_BYTES = FEATURES * 8
FEATURE_STATE_BYTES = 4 << 20  # windows and accumulators of the streaming engine, whatever the number of rows
SEQUENCE_ROWS = 60
LOADED_ROW_BYTES = 88  # a bar in slabs, 56, and the widest column, 32, once more while it is joined
LOADING_BYTES = 48 << 20  # what is on its way into the slabs; measured, see tests/store/test_peaks.py
TEXT_SUFFIXES = (".csv", ".txt", ".csv.gz", ".txt.gz")


def load_bytes(path: Path, delimiter: str = "") -> int:
    """Bytes of a whole load of this file or data set.  Reads no data page of Parquet.  Raises FeedError."""
    if path.name.endswith((".parquet", ".json")) or _magic(path) == b"PAR1":
        return parquet_bytes(path)
    if path.name.endswith(TEXT_SUFFIXES):
        return text_bytes(path, delimiter)
    return path.stat().st_size * OTHER_FACTOR


def parquet_bytes(path: Path) -> int:
    """max(rows × Σ column bytes, uncompressed bytes) × 2.5, from the footers alone (MES-MEM-01)."""
    rows, width, uncompressed = 0, 0, 0
    for part in data_set_files(path):
        try:
            with pq.ParquetFile(part) as file:
                metadata, schema = file.metadata, file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise FeedError(f"{part} is cut or no Parquet file: {str(error).splitlines()[0]}; fetch it again") from None
        rows += metadata.num_rows
        width = max(width, sum(column_bytes(field.type) for field in schema))
        uncompressed += sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    return max(rows * width, uncompressed) * 5 // 2


def column_bytes(kind: pa.DataType) -> int:
    """Bytes of one value by its declared type: 8 for int64 and float64, 4 for int32 and codes, 64 for plain text."""
    if pa.types.is_dictionary(kind):
        return CODE_BYTES
    try:
        return max(int(kind.bit_width) // 8, 1)
    except ValueError:
        return STRING_BYTES  # text, bytes, lists


def text_bytes(path: Path, delimiter: str = "") -> int:
    """Deep memory of the first 10,000 rows, or of those in the first 4 MiB, scaled by the size of the file, × 2.5
    (MES-MEM-01).  Raises FeedError for what is no table, too: it is asked for files that nobody has looked into."""
    import pandas as pd  # half a second and 40 MB: every process with pages would load it for this question alone

    packed, lines = _first_lines(path)
    size = path.stat().st_size * (GZIP_FACTOR if packed else 1)
    separator = delimiter or max(";\t,", key=lines[0].decode("utf-8", "replace").count)
    rows = lines[1:] if any(map(bytes.strip, lines[1:])) else lines
    columns = 1 + max(row.count(separator.encode("utf-8", "replace")) for row in rows)
    if columns > COLUMNS_MAX:  # a frame of them is far larger than the text
        raise FeedError(f"{path} has {columns} columns, more than {COLUMNS_MAX}: it is no table of bars")
    try:
        frame = pd.read_csv(
            io.BytesIO(b"".join(rows)),
            sep=separator,
            header=None,
            engine="c",
            on_bad_lines="skip",
            encoding_errors="replace",
        )
    except (ValueError, TypeError, OverflowError) as error:  # pandas' own are ValueErrors
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise FeedError(f"{path} cannot be read as a table: {words}; is the delimiter right?") from None
    deep = int(frame.memory_usage(deep=True, index=False).sum())
    return max(deep * size // sum(map(len, rows)), 1) * 5 // 2


def _first_lines(path: Path) -> tuple[bool, list[bytes]]:
    """Whether the file is packed, and its first lines, whole ones only.  Raises FeedError when they are no text."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with cast(IO[bytes], gzip.open(path, "rb") if packed else open(path, "rb")) as stream:
            sample = stream.read(SAMPLE_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise FeedError(f"{path} is cut or damaged: {error}; fetch the file again") from None
    lines = sample.splitlines(keepends=True)[: SAMPLE_ROWS + 1]
    if any(len(line) > LINE_BYTES_MAX for line in lines):
        raise FeedError(f"{path} has a line of more than {LINE_BYTES_MAX >> 10} KiB: it is no table of bars")
    if not any(map(bytes.strip, lines)):
        raise FeedError(f"{path} is empty; fetch the file again")
    if len(sample) == SAMPLE_BYTES and len(lines) <= SAMPLE_ROWS:
        lines.pop()  # it goes on
    return packed, lines


def peak_bytes(rows: int) -> int:
    """What a whole load of so many bars takes at its highest, as near as it was measured: within a factor of 1.5.

    `load_bytes` is the one that decides (MES-MEM-01): it knows the file alone and is on the safe side."""
    return rows * LOADED_ROW_BYTES + LOADING_BYTES


def feature_bytes(rows: int) -> int:
    """The 56 features of so many rows, held whole (MES-MEM-02)."""
    return rows * FEATURE_ROW_BYTES + FEATURE_STATE_BYTES


def sequence_bytes(rows: int, *, lazy: bool) -> int:
    """Sequences of 60 rows of 56 float32: nothing as a view, rows × 60 × 56 × 4 when they are written out."""
    return 0 if lazy else rows * SEQUENCE_ROWS * FEATURES * 4


def batch_bytes(batch: int, parameters: int, activations: int) -> int:
    """One training step on a CPU or GPU: the batch of sequences, its activations forward and backward (`activations`
    float32 a sequence), and of each parameter the weight, its gradient and the optimiser's two moments."""
    return sequence_bytes(batch, lazy=False) + batch * activations * 2 * 4 + parameters * 4 * 4


def _magic(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4)
    except OSError:
        raise FeedError(f"{path} does not exist: give the path of a recorded file") from None
