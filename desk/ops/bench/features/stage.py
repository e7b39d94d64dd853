"""One stage of the work on years of bars in a process of its own: `python -m desk.ops.bench.features.stage …`.

`import FILE STORE` imports bars of MES, `hash SET THREADS BARS BYTES` computes features and labels and hashes them: so
many threads (0: all), bars at a time (0: what the memory allows), and bytes that the process may allocate (0: any
number).  Prints one JSON object: wall and CPU seconds, the highest resident memory of the process, and what it made.
Packages are loaded and the compiled step is before the clock runs.  Called by `years`.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from desk.ops.bench.barfeatures import made_bars, made_days, run_batch
from desk.ops.bench.features.tool import status
from marketdata.feeds.options import parse_options
from marketdata.store.importing import import_file
from trading.learning.bars.hashed import hash_rows
from trading.learning.bars.rows import BarRows

SYMBOL = "MES"


def imported(file: str, store: str) -> dict[str, object]:
    """The path of the data set and its rows."""
    report = import_file(Path(file), SYMBOL, parse_options({}), Path(store))
    return {"path": str(report.path), "rows": report.rows, "rows_read": report.rows_read}


def hashed(data_set: str, threads: str, bars: str, limit: str) -> dict[str, object]:
    """Rows, how many are valid, and their hash."""
    if int(limit) > 0:
        resource.setrlimit(resource.RLIMIT_DATA, (int(limit), int(limit)))
    source = BarRows(Path(data_set), SYMBOL, parse_options({}), bars_at_once=int(bars))
    try:
        made = hash_rows(source, int(threads))
    finally:
        source.close()
    return {"rows": made.rows, "valid": made.valid, "bars": made.bars, "hash": made.rows_hash}


STAGES: dict[str, Callable[..., dict[str, object]]] = {"import": imported, "hash": hashed}


def main(name: str, *words: str) -> None:
    """Measure and print."""
    days = made_days(1)
    run_batch(days, made_bars(days))
    began, spent = time.perf_counter(), os.times()
    found = STAGES[name](*words)
    wall_s, now = time.perf_counter() - began, os.times()
    cpu_s = now.user - spent.user + now.system - spent.system
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_bytes": status("VmHWM"), **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
