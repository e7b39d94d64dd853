"""Rows as a Parquet file: time, the named features in schema order, and the label; the schema's hash in its metadata.

Written beside the target and renamed, so that a file is whole or absent.  Called by `manage.py features` and by
`bars.file`, which writes the files of the bar features.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from trading.learning.dataset import NO_LABEL, DataError, Rows


def check_file(path: Path) -> None:
    """Refuse a target that exists or has no folder, before any work.  Raises DataError."""
    if path.exists():
        raise DataError(f"{path} already exists: choose another name, it is never overwritten")
    if not path.parent.is_dir():
        raise DataError(f"the folder {path.parent} does not exist")


@contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; on leaving it is durable and named `path`, after an error gone."""
    check_file(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    part = Path(name)
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_features(path: Path, rows: Rows, symbol: str) -> None:
    """Write `rows`: timestamp (int64 ns UTC), the features (float64), label (0 down, 1 flat, 2 up, null)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = rows.schema.names
    columns = {"timestamp": pa.array(rows.ts_ns)}
    columns |= {name: pa.array(np.ascontiguousarray(rows.features[:, i])) for i, name in enumerate(names)}
    columns["label"] = pa.array(rows.label, mask=rows.label == NO_LABEL)
    words = {"schema": rows.schema.id, "schema_hash": rows.schema.hash, "symbol": symbol, "step_ns": str(rows.step_ns)}
    with fresh_file(path) as part:
        pq.write_table(pa.table(columns).replace_schema_metadata(words), part, compression="zstd")
