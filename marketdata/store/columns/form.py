"""Where the columns of a data set lie, what they are named after, and the form of their file.

A file is one block of BLOCK_ROWS bars after another, in each one column after another; at its end a JSON text with the
hash of every block.  Called by the modules beside it; reads manifests and sizes only.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.core.instruments import INSTRUMENTS
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.stored import data_set_files, is_manifest, read_manifest
from marketdata.store.limits import Limit

FOLDER, SUFFIX = "columns", ".columns"
VERSION = 1  # of the file's form, and of the rules that made its bars out of a data set's rows
MAGIC = b"SDCOLUMN"
BLOCK_ROWS = 1 << 16
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


class Place(NamedTuple):
    """Where the columns of one data set, read in one way, lie."""

    path: Path
    key: str  # sha256, hex, of what they are made from
    rows: int
    bar_ns: int


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


def manifest_of(file: Path) -> Path:
    """The data set that a file of columns belongs to."""
    return file.parent.parent / f"{file.stem.rpartition('-')[0]}.json"
