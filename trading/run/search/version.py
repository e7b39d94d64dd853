"""Which code runs a trial: a worker that has another one refuses, for its figures would be another study's.

More than the kernels' hash: the profile's checks, the reading of decisions and the objective decide a trial, too, and
so do the libraries that compute.  Called by `trading.studies`.
"""

import functools
import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

import trading

ROOT = Path(trading.__file__).parent.parent
FLOORS = ("marketdata", "risk", "trading")
LIBRARIES = ("numpy", "numba")


@functools.cache
def trial_code() -> str:
    """Hash of all source below the desk's own floor, and of the libraries' versions (hex, 16 digits)."""
    digest = hashlib.sha256(platform.python_version().encode())
    for name in LIBRARIES:
        digest.update(f"{name} {version(name)}\n".encode())
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
