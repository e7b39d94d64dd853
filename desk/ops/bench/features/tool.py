"""One tool's run of the common work in a process of its own: `python -m desk.ops.bench.features.tool NAME TAPE OUT`.

Prints one JSON object: CPU and wall seconds of the computing alone, and the highest memory of the process above what it
had with its packages loaded and the bars read.  The values go to OUT afterwards, to be compared.  Called by `peers`.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from desk.ops.bench.features import tape as tapes


def status(name: str) -> int:
    """Bytes that the kernel counts under this name for the process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) << 10


def main(name: str, path: Path, out: Path) -> None:
    """Measure and print."""
    tape = tapes.read(path)
    module = importlib.import_module(f"desk.ops.bench.features.in_{name}")
    day = tape.days[0]["close_s"]
    count = int(np.searchsorted(tape.bars.second, day))
    module.compute(tapes.Tape(type(tape.bars)(*(c[:count] for c in tape.bars)), tape.days[:1]))  # compiled, loaded
    Path("/proc/self/clear_refs").write_text("5")
    before, began, spent = status("VmRSS"), time.perf_counter(), os.times()
    found = module.compute(tape)
    wall_s, now, peak = time.perf_counter() - began, os.times(), status("VmHWM")
    told = {
        "cpu_s": now.user - spent.user + now.system - spent.system,
        "wall_s": wall_s,
        "peak_bytes": max(peak - before, 0),
    }
    columns = module.kept(tape) if name == "desk" else module.columns(found)
    np.savez(out, **dict(zip(("second", "valid", "features", "label"), columns, strict=True)))
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
