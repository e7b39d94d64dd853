"""Room on the disk, asked before anything large is written: an import, a purchase, a recording that is joined.

Called by `store.estimates`, the vendor's archive, and whoever is about to write.  It reads the file system alone.
"""

import shutil
from pathlib import Path

FREE_SHARE_MAX, FREE_SHARE_WARN = 0.9, 0.7  # of the free space that one piece of work may take


def free_bytes(folder: Path) -> int:
    """What is free where `folder` is, or will be made.  Raises OSError."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def refusal(what: str, needed: int, folder: Path) -> str:
    """Why `what` may not be written: what it needs and what there is; empty when there is room.  Raises OSError."""
    free = free_bytes(folder)
    if needed <= free * FREE_SHARE_MAX:
        return ""
    return f"{what} needs about {needed >> 20} MiB, but {folder} has {free >> 20} MiB free: make room"
