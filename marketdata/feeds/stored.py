"""A data set of the store as a tape: its manifest names the Parquet files in order of time: bars a month, books a part.

The manifest is the data set: it is written last, in one step, and holds the hash of every file.  Written by
`marketdata.store`; read by `feeds.columns`, `feeds.books`, the memory estimate and whoever replays history.
"""

import json
import re
from pathlib import Path
from typing import Any

from marketdata.feeds.port import FeedError

BARS_FORMAT, BOOKS_FORMAT, DEFINITIONS_FORMAT = "scalpdesk-bars", "scalpdesk-books", "scalpdesk-definitions"
FORMATS = (BARS_FORMAT, BOOKS_FORMAT, DEFINITIONS_FORMAT)
FEED_FORMAT = "scalpdesk-feed"  # a feed as a session received it, see feeds.books.recorded
FEED_HEAD = f'{{"format": "{FEED_FORMAT}"'.encode()
SCHEMA_VERSION = 1
HEAD = re.compile(rb'\{\s*"format":\s*"(' + b"|".join(name.encode() for name in FORMATS) + b')"')


def manifest_format(path: Path) -> str:
    """One of FORMATS by the file's first bytes; empty for a file that is no manifest."""
    with open(path, "rb") as file:
        found = HEAD.match(file.read(64))
    return found[1].decode() if found is not None else ""


def is_manifest(path: Path) -> bool:
    """Whether this file is the manifest of a data set of bars."""
    return manifest_format(path) == BARS_FORMAT


def is_book_manifest(path: Path) -> bool:
    """Whether this file is the manifest of a data set of books."""
    return manifest_format(path) == BOOKS_FORMAT


def is_recorded(path: Path) -> bool:
    """Whether this file is a feed as it was received."""
    with open(path, "rb") as file:
        return file.read(len(FEED_HEAD)) == FEED_HEAD


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest.  Raises FeedError when it is damaged or of another version."""
    try:
        manifest = json.loads(path.read_bytes())
        version = manifest["schema_version"]
        files = [part["file"] for part in manifest["partitions"]]
        folder = manifest["folder"]
    except (ValueError, KeyError, TypeError):
        raise FeedError(f"{path} is a damaged manifest: import the source again") from None
    if version != SCHEMA_VERSION:
        raise FeedError(f"{path} has version {version}, this desk reads {SCHEMA_VERSION}: import the source again")
    if not files or any(Path(name).is_absolute() or ".." in Path(name).parts for name in (folder, *files)):
        raise FeedError(f"{path} names no files of its own: import the source again")
    return dict(manifest)


def data_set_files(path: Path) -> list[Path]:
    """The Parquet files behind `path`, in order of time: a manifest's, else the file itself.  Raises FeedError."""
    if not path.is_file():
        raise FeedError(f"{path} does not exist: give the path of a recorded file")
    if not manifest_format(path):
        return [path]
    return files_of(path, read_manifest(path))


def files_of(path: Path, manifest: dict[str, Any]) -> list[Path]:
    """The files of a manifest that was read from `path`.  Raises FeedError, naming one that is gone."""
    files = [path.parent / manifest["folder"] / part["file"] for part in manifest["partitions"]]
    if gone := [file for file in files if not file.is_file()]:
        raise FeedError(f"{gone[0]} of the data set {path.name} is gone: import {manifest.get('source', 'it')} again")
    return files
