"""Which columns are kept: those of all folders together within one limit, the one used longest ago goes first.

Called by whoever writes columns, by the removal of a data set, and by the doctor.
"""

import contextlib
import fcntl
from pathlib import Path

from marketdata.store.columns.form import FOLDER, SUFFIX, folder_of, manifest_of
from marketdata.store.limits import Limit
from marketdata.store.partitions import remove


def note(folder: Path) -> None:
    """Remember a folder of columns, so that the limit bounds all of them together.  Raises OSError."""
    if Limit.folders is None:
        return
    Limit.folders.parent.mkdir(parents=True, exist_ok=True)
    line = f"{folder.resolve()}\n"
    with open(Limit.folders, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if line not in file.readlines():
            file.write(line)


def noted(folder: Path) -> list[Path]:
    """Every folder of columns that is known and there, `folder` among them."""
    found = {folder.resolve()} if folder.is_dir() else set()
    if Limit.folders is not None and Limit.folders.is_file():
        lines = Limit.folders.read_text(encoding="utf-8").splitlines()
        found |= {Path(line) for line in lines if Path(line).name == FOLDER and Path(line).is_dir()}
    return sorted(found)


def kept(*folders: Path) -> list[tuple[float, int, Path]]:
    """(time of the last use, bytes, file) of every file of columns in them, the one used longest ago first."""
    found = []
    for file in (file for folder in folders for file in folder.glob(f"*{SUFFIX}")):
        with contextlib.suppress(FileNotFoundError):  # another process took it away
            told = file.stat()
            found.append((told.st_mtime, told.st_size, file))
    return sorted(found)


def forget(path: Path) -> None:
    """Take away the columns of a data set, which is the manifest `path`."""
    for file in folder_of(path).glob(f"{path.stem}-*{SUFFIX}"):
        remove(file)


def sweep(folder: Path, coming: int = 0) -> None:
    """Remove what nobody can use in `folder`: parts of a killed writer, columns of data sets that are gone; then, of
    all folders, those used longest ago, until `coming` bytes more are within the limit."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError), open(part, "rb") as held:  # its writer is at work, or it is gone
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
    for _, _, file in kept(folder):
        if not manifest_of(file).is_file():
            remove(file)
    found = kept(*noted(folder))
    total = sum(size for _, size, _ in found) + coming
    for _, size, file in found:
        if total <= Limit.bytes or coming > Limit.bytes:
            return
        with contextlib.suppress(PermissionError):  # of another's folder: what may go, goes
            remove(file)
            total -= size
