"""The bar features of a data set as one Parquet file: written as they come, read back in chunks (MES-FEAT-09).

Columns: `timestamp` (int64 ns UTC, bar start), `valid`, the 56 names in order (NaN where not valid), `label` (0 down,
1 flat, 2 up, null).  The file names its schema by id, version and hash, and its rows by a hash that reading checks; a
file of another schema is refused with the first difference (MES-FEAT-10).  Called by `manage.py features` and training.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.bardays import BarDays
from marketdata.core.barfeatures.labels import NO_LABEL
from marketdata.core.barfeatures.schema import FEATURE_COUNT, FEATURE_NAMES, LABEL_S, LABEL_TICKS, VERSION
from marketdata.core.units import NANOS
from trading.learning.bars.digest import RowsDigest
from trading.learning.bars.rows import CHUNK_ROWS, ROW_BYTES, BarRows, Made, RowChunk
from trading.learning.dataset import Cancelled, DataError, Rows
from trading.learning.features_file import check_file, fresh_file
from trading.learning.schemas import BARS, SchemaError, bars_schema, check_hash, check_names

COLUMNS = ("timestamp", "valid", *FEATURE_NAMES, "label")
ROWS_DIGEST = "rows_digest"
FREE_SHARE_MAX = 0.9  # of the disk's free space that a file may take


def check_target(source: BarRows, out: Path) -> int:
    """Bytes that the file will take at most, but for carried seconds.  Raises DataError where it cannot be written."""
    check_file(out)
    size, free = source.bars * ROW_BYTES, shutil.disk_usage(out.parent).free
    if size > free * FREE_SHARE_MAX:
        raise DataError(f"{out} needs up to {size >> 20} MiB, but its disk has {free >> 20} MiB free: make room")
    return size


def write_bar_file(source: BarRows, out: Path) -> Made:
    """Compute and write all rows; the file is whole or absent.  Raises what BarRows raises."""
    check_target(source, out)
    digest = RowsDigest()
    fields = [("timestamp", pa.int64()), ("valid", pa.bool_())]
    fields += [*((name, pa.float64()) for name in FEATURE_NAMES), ("label", pa.int8())]
    words = {
        "schema": source.schema.id,
        "schema_version": str(VERSION),
        "schema_hash": source.schema.hash,
        "symbol": source.symbol,
        "step_ns": str(NANOS),
        "label": f"{LABEL_S} s, more than {LABEL_TICKS} ticks",
        "source": source.path.name,
    }
    schema = pa.schema(fields, metadata=words)
    with fresh_file(out) as part:
        kinds: dict[str, Any] = {"compression": "zstd", "use_dictionary": False}
        with pq.ParquetWriter(part, schema, use_byte_stream_split=list(FEATURE_NAMES), **kinds) as writer:
            for chunk in source:
                digest.add(*chunk)
                writer.write_table(_table(chunk, schema), row_group_size=CHUNK_ROWS)
            writer.add_key_value_metadata({ROWS_DIGEST: digest.hexdigest()})
        if source.rows == 0:
            raise DataError(f"{source.path} holds no bar of {source.symbol} within a session")
    counts = (source.kept, source.rows, source.valid, source.labelled)
    return Made(*counts, source.dropped, source.schema.hash, digest.hexdigest())


def _table(chunk: RowChunk, schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(chunk.second * NANOS), pa.array(chunk.valid)]
    arrays += [pa.array(np.ascontiguousarray(chunk.features[:, k])) for k in range(FEATURE_COUNT)]
    arrays.append(pa.array(chunk.label, mask=chunk.label == NO_LABEL))
    return pa.Table.from_arrays(arrays, schema=schema)


class BarFile:
    """A file of bar features, checked before anything of it is used.  Attributes: rows, symbol, schema, rows_hash.

    Raises DataError for what is no such file; SchemaError for one of another schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
        metadata = self._file.metadata
        words = {key.decode(): value.decode("utf-8", "replace") for key, value in (metadata.metadata or {}).items()}
        if words.get("schema") != BARS:
            made = words.get("schema", "no schema of this desk")
            raise DataError(f"{path} holds {made}, not {BARS}: write it with manage.py features --schema bars")
        self.rows, self.symbol = int(metadata.num_rows), words.get("symbol", "")
        self.rows_hash = words.get(ROWS_DIGEST, "")
        try:
            self.schema = bars_schema(self.symbol)
            names = list(self._file.schema_arrow.names)
            check_names([name for name in names if name not in ("timestamp", "valid", "label")], self.schema)
            check_hash(words.get("schema_hash", ""), self.schema)
        except SchemaError as error:
            raise SchemaError(f"{path}: {error}") from None
        if not self.rows_hash:
            raise DataError(
                f"{path} does not name its rows by {ROWS_DIGEST}: an older version wrote it, write it again"
            )
        if tuple(names) != COLUMNS:
            raise DataError(f"{path}: its columns are not timestamp, valid, the features and label in this order")

    def chunks(self) -> Iterator[RowChunk]:
        """All rows, a row group at a time.  Raises DataError at the end when they are not those that were written."""
        digest = RowsDigest()
        try:
            for batch in self._file.iter_batches(CHUNK_ROWS, use_threads=False):
                chunk = _chunk_of(batch)
                digest.add(*chunk)
                yield chunk
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path} is damaged: {str(error).splitlines()[0]}; write it again") from None
        if digest.hexdigest() != self.rows_hash:
            raise DataError(f"{self.path} is damaged: its rows are not those that were written; write it again")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _chunk_of(batch: pa.RecordBatch) -> RowChunk:
    features = np.empty((batch.num_rows, FEATURE_COUNT))
    for k, name in enumerate(FEATURE_NAMES):
        features[:, k] = batch.column(name).to_numpy(zero_copy_only=False)
    label = batch.column("label").fill_null(NO_LABEL).to_numpy(zero_copy_only=False)
    seconds = batch.column("timestamp").to_numpy() // NANOS
    return RowChunk(seconds, batch.column("valid").to_numpy(zero_copy_only=False), features, label.astype(np.int8))


def read_bar_rows(
    file: BarFile,
    every_s: int = 1,
    report: Callable[[int, float], None] = lambda rows, share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Rows, np.ndarray]:
    """(rows that may be trained on, (n,) int64 trading day of each): valid, labelled, within RTH (MES-SPLIT-01), of
    every `every_s`-th second.  A row's time is when it is known, the end of its bar.  Raises DataError, Cancelled."""
    days = BarDays()
    parts: list[tuple[np.ndarray, ...]] = []
    seen = 0
    for chunk in file.chunks():
        if cancelled():
            raise Cancelled
        place = days.places(chunk.second)
        clock = days.days[place]
        rth = (place >= 0) & (chunk.second >= clock["rth_open_s"]) & (chunk.second < clock["rth_close_s"])
        take = rth & chunk.valid & (chunk.label != NO_LABEL) & (chunk.second % every_s == 0)
        parts.append((chunk.features[take], chunk.second[take], chunk.label[take], clock["trading_day"][take]))
        seen += len(chunk.second)
        report(seen, seen / max(1, file.rows))
    if not parts:
        raise DataError(f"{file.path} holds no row")
    features, second, label, day = (np.concatenate(column) for column in zip(*parts, strict=True))
    known_ns = (second + 1) * NANOS
    return Rows(features, known_ns, label, known_ns + LABEL_S * NANOS, NANOS, seen, file.schema), day
