"""The kill latch: one file that says, across every restart, that nobody may add to a position.

The guard and `manage.py kill` write it before they act (K-02), unlock removes it (K-05), the loops read it before every
send.  A latch that cannot be read counts as one that stands.
"""

import contextlib
import os
import time
from pathlib import Path

import msgspec

from trading.run.clock import boot_id, boot_ns, write_atomic

LATCH_FILE = "latch.json"


def guard_folder(var: Path) -> Path:
    """`var/guard`, made with mode 0700 when it is absent."""
    folder = var / "guard"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def latch_path(var: Path) -> Path:
    """Where the latch lies."""
    return var / "guard" / LATCH_FILE


def read_latch(var: Path) -> dict[str, object] | None:
    """The latch (at_ns, by, reason, …); None while there is none."""
    try:
        data = latch_path(var).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return _unreadable(str(error))
    try:
        latch = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        return _unreadable(str(error))
    return latch if isinstance(latch, dict) else _unreadable("it holds no record")


def _unreadable(why: str) -> dict[str, object]:
    return {"at_ns": 0, "boot_ns": 0, "boot_id": "", "by": "unknown", "reason": f"the latch cannot be read: {why}"}


def write_latch(var: Path, by: str, reason: str) -> dict[str, object]:
    """Latch, durably: fsync of the file and of its folder before this returns.  A standing latch begins anew.

    Never raises for the disk: a kill goes on without it.  Then `fault` says what the disk said, and where at least an
    empty file could be made, that one stands as a latch that cannot be read.
    """
    latch: dict[str, object] = {
        "at_ns": time.time_ns(),
        "boot_ns": boot_ns(),
        "boot_id": boot_id(),
        "by": by,
        "reason": reason,
    }
    try:
        folder = guard_folder(var)
        write_atomic(folder / LATCH_FILE, msgspec.json.format(msgspec.json.encode(latch)))
        (folder / LATCH_FILE).chmod(0o600)
    except OSError as error:
        latch["fault"] = f"the latch is not on disk: {error}"
        with contextlib.suppress(OSError):
            latch_path(var).touch(mode=0o600)  # an empty file needs no block
    return latch


def clear_latch(var: Path) -> None:
    """Remove the latch.  Called by unlock alone, after its conditions."""
    latch_path(var).unlink(missing_ok=True)
    folder = os.open(guard_folder(var), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def latch_age_s(latch: dict[str, object]) -> float:
    """Seconds since the latch fell: by the boot clock, after a restart of the machine by the wall clock."""
    if latch["boot_id"] == boot_id():
        return (boot_ns() - int(str(latch["boot_ns"]))) / 1e9
    return (time.time_ns() - int(str(latch["at_ns"]))) / 1e9
