"""How a peer's program is called and what it says: `python -m … WORK VARIANT TRADES`, one line of JSON.

The engine's run alone is timed; reading, converting and the peer's own compile are not.  Only numpy and the standard
library are imported.  Used by every peer's program.
"""

import importlib.metadata
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from desk.ops.bench.peers.work import Work, read

FULL, BUSY = "full", "busy"


class Prepared(NamedTuple):
    """A run that may be timed, and where its trade list is afterwards: (n, 5) int64 rows of `Trip`."""

    run: Callable[[], object]
    trips: Callable[[], np.ndarray]


def serve(package: str, prepare: Callable[[Work, bool], Prepared]) -> None:
    """Do what the command line asks; the trade list goes into its file, times and version to standard output."""
    source, variant, target = sys.argv[1:]
    prepared = prepare(read(Path(source)), variant == FULL)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    prepared.run()
    wall_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    np.save(target, prepared.trips())
    said = {
        "version": importlib.metadata.version(package),
        "user_s": after.ru_utime - before.ru_utime,
        "wall_s": wall_s,
        "peak_mb": after.ru_maxrss / 1024,
    }
    print(json.dumps(said))
