"""The folders of recordings that a page may offer: what lies in them, and the one way from a name to a file.

A name is a folder of the desk's list and a place below it; whatever leads out of the folder (`..`, an absolute path, a
link) is refused.  It reads names, sizes and times, never a file.  Called by `marketdata.services` and the data pages.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from marketdata.feeds.port import FeedError

SUFFIXES = (".parquet", ".csv", ".csv.gz", ".txt", ".txt.gz", ".dbn", ".dbn.zst", ".zip")
DEPTH_MAX = 6
FILES_MAX = 5_000  # of all folders together; what lies beyond is said


class Found(NamedTuple):
    """One file that can be imported."""

    folder: str
    file: str  # its place in the folder
    bytes: int
    changed_s: float  # unix time


class Listing(NamedTuple):
    """Files by folder and name; `cut`: there are more; `absent`: folders that are not there or cannot be read."""

    files: list[Found]
    cut: bool
    absent: list[str]


def listing(folders: Iterable[Path]) -> Listing:
    """All files that can be imported, hidden ones and links left out."""
    found: list[Found] = []
    absent = []
    for folder in folders:
        if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
            absent.append(str(folder))
            continue
        for base, names, files in os.walk(folder):
            inside = Path(base).relative_to(folder)
            names[:] = sorted(name for name in names if not name.startswith("."))
            if len(inside.parts) >= DEPTH_MAX:
                names.clear()
            for name in sorted(files):
                path = Path(base) / name
                if name.startswith(".") or not name.lower().endswith(SUFFIXES) or path.is_symlink():
                    continue
                if len(found) == FILES_MAX:
                    return Listing(found, True, absent)
                try:
                    told = path.stat()
                except FileNotFoundError:  # it went while we looked
                    continue
                found.append(Found(str(folder), str(inside / name), told.st_size, told.st_mtime))
    return Listing(found, False, absent)


def find(folders: Iterable[Path], folder: str, file: str) -> Path:
    """The file of this name.  Raises FeedError when the folder is not of the list, or the file not inside it."""
    allowed = {str(path): path for path in folders}
    if folder not in allowed:
        raise FeedError(f"{folder!r} is not one of the folders that this desk may read")
    root = allowed[folder]
    if not file or "\0" in file:
        raise FeedError("no file was named: choose one of the list")
    try:
        top, path = root.resolve(strict=True), (root / file).resolve(strict=True)
    except (OSError, RuntimeError):
        raise FeedError(f"{file} is not in {folder}: it may have been moved; look at the list again") from None
    if not path.is_relative_to(top):
        raise FeedError(f"{file!r} leads out of {folder}: only files inside it are read")
    if not path.is_file() or not path.name.lower().endswith(SUFFIXES):
        raise FeedError(f"{file} is no file of a known kind ({', '.join(SUFFIXES)})")
    if not os.access(path, os.R_OK):
        raise FeedError(f"{file} may not be read by this desk: give it the right, or copy the file")
    return path
