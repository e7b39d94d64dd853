"""The folders of recordings that a page may offer: what lies in them, and the one way from a name to a file.

A name is a folder of the desk's list and a place below it; whatever leads out of the folder (`..`, an absolute path, a
link) is refused.  It reads names, sizes and times, never a file.  Called by `marketdata.services` and the data pages.
"""

import contextlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from marketdata.feeds.port import FeedError

SUFFIXES = (".parquet", ".csv", ".csv.gz", ".txt", ".txt.gz", ".dbn", ".dbn.zst", ".zip", ".jsonl", ".jsonl.gz")
DEPTH_MAX = 6
FILES_MAX = 5_000  # of all folders together; what lies beyond is said
NAMES_MAX = 50_000  # of any kind, looked at in all folders together


class Found(NamedTuple):
    """One file that can be imported."""

    folder: str
    file: str  # its place in the folder
    bytes: int
    changed_s: float  # unix time


class Listing(NamedTuple):
    """Files by folder and name; `cut`: there are more, not looked at; `absent`: folders that are not there or cannot be
    read, those inside the desk's folders, too; `odd`: files whose names are no text, which no address can name."""

    files: list[Found]
    cut: bool
    absent: list[str]
    odd: int


def listing(folders: Iterable[Path]) -> Listing:
    """All files that can be imported, hidden ones and links left out.  Nothing that lies in a folder raises."""
    look = _Look()
    for folder in folders:
        if shown(folder) != str(folder) or not _readable(folder):
            look.absent.append(shown(folder))
        else:
            look.into(folder, "", 0)
    return Listing(look.found, look.cut, look.absent, look.odd)


class _Look:
    """One look through the folders; it ends when it has seen enough."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.absent: list[str] = []
        self.cut = False
        self.odd = 0
        self._left = NAMES_MAX

    def into(self, folder: Path, inside: str, depth: int) -> None:
        """What lies at the place `inside` of a folder, then what lies deeper."""
        here = folder / inside
        try:
            with os.scandir(here) as names:
                entries = sorted(itertools.islice(names, self._left + 1), key=lambda entry: entry.name)
            self.cut |= len(entries) > self._left
            self._left = max(0, self._left - len(entries))
            entries = [entry for entry in entries if not entry.name.startswith(".")]
            for entry in entries:
                self._see(entry, folder, inside)
        except FileNotFoundError:  # it went while we looked
            return
        except OSError:  # not to be listed; or to be listed and not entered, and so it is with all in it
            self.absent.append(shown(here))
            return
        for entry in entries:
            if self.cut or depth == DEPTH_MAX:
                return
            if entry.is_dir(follow_symlinks=False):
                self.into(folder, os.path.join(inside, entry.name), depth + 1)

    def _see(self, entry: "os.DirEntry[str]", folder: Path, inside: str) -> None:
        """Raises OSError."""
        if self.cut and len(self.found) >= FILES_MAX:
            return
        if not entry.name.lower().endswith(SUFFIXES) or not entry.is_file(follow_symlinks=False):
            return
        place = os.path.join(inside, entry.name)
        if shown(place) != place:
            self.odd += 1
        elif len(self.found) >= FILES_MAX:
            self.cut = True
        else:
            with contextlib.suppress(FileNotFoundError):  # it went while we looked
                told = entry.stat(follow_symlinks=False)
                self.found.append(Found(str(folder), place, told.st_size, told.st_mtime))


def shown(path: object) -> str:
    """A path as text that every page and address can carry: what is no UTF-8 in it becomes a question mark."""
    return str(path).encode("utf-8", "replace").decode()


def _readable(folder: Path) -> bool:
    try:
        return folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
    except OSError:  # something above it may not be entered
        return False


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
