"""Where compiled kernels are kept: one folder per version of the code that is compiled.

Numba checks only the file of the function that it caches, not the files of the functions that it calls; a folder named
after the hash of every `core/` file makes a stale kernel impossible.  Called before the first import of numba.
"""

import hashlib
import os
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent


def code_hash() -> str:
    """Hash of all source that may run inside the ring's `core/` rooms (hex, 16 digits)."""
    digest = hashlib.sha256()
    for package in ("marketdata", "risk", "trading"):
        for path in sorted((BASE / package / "core").rglob("*.py")):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def set_jit_cache() -> None:
    """Point NUMBA_CACHE_DIR at this code's own folder, unless the environment names one."""
    if "NUMBA_CACHE_DIR" not in os.environ:
        var = Path(os.environ.get("DESK_VAR", BASE / "var"))
        os.environ["NUMBA_CACHE_DIR"] = str(var / "jit" / code_hash())
