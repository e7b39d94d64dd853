"""Rows as a Parquet file: time, the named features in schema order, and the label; the schema's hash in its metadata.

Written beside the target and renamed, so that a file is whole or absent.  Called by `manage.py features`.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from marketdata.core.features_schema import FEATURE_NAMES, SCHEMA_ID, schema_hash
from trading.learning.dataset import NO_LABEL, DataError, Rows


def check_file(path: Path) -> None:
    """Refuse a target that exists or has no folder, before any work.  Raises DataError."""
    if path.exists():
        raise DataError(f"{path} already exists: choose another name, it is never overwritten")
    if not path.parent.is_dir():
        raise DataError(f"the folder {path.parent} does not exist")


def write_features(path: Path, rows: Rows, symbol: str) -> None:
    """Write `rows`: timestamp (int64 ns UTC), the features (float64), label (0 down, 1 flat, 2 up, null)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_file(path)
    columns = {"timestamp": pa.array(rows.ts_ns)}
    columns |= {name: pa.array(np.ascontiguousarray(rows.features[:, i])) for i, name in enumerate(FEATURE_NAMES)}
    columns["label"] = pa.array(rows.label, mask=rows.label == NO_LABEL)
    words = {"schema": SCHEMA_ID, "schema_hash": schema_hash(), "symbol": symbol, "step_ns": str(rows.step_ns)}
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            pq.write_table(pa.table(columns).replace_schema_metadata(words), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
