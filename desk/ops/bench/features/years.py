"""Two years of one-second bars as one has them: made by `simulate_market`, imported, and all features and labels made.

The market is so busy that a sixth of the seconds has no trade.  As many parts of the time as there are processors are
made side by side, each from a seed of its own, and put one behind the other.  Every stage is a process of its own, so
that its peak memory is its own.  The features are hashed, not stored: from the columns that the import left, and
once more from the months alone, cut otherwise, on one thread, in a process that may allocate 2 GiB.  Both must give one
hash.  Called by `bench`.
"""

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from django.conf import settings

from desk.ops.bench.features.stage import SYMBOL
from desk.ops.bench.table import Row, failed
from marketdata.calendars import open_hours
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import NANOS
from marketdata.store.columns.kept import forget
from trading.learning.bars.hashed import threads_of

BARS = 33_200_000
RATE, PRINTED = "0.3", 0.843  # how busy the market is, and the share of its seconds that then have a trade
SEED = 7
FIRST_NS = int(datetime(2024, 1, 2, 15, 0, tzinfo=UTC).timestamp()) * NANOS
IMPORT_GOAL_S, ROWS_GOAL_S, PEAK_GOAL = 30.0, 8.0, 3.0
GIB = 1 << 30
OTHER_CUT = ("1", "200003", str(2 * GIB))  # threads, bars at a time, bytes
TIMEOUT_S = 1_800
GROUP_ROWS = 1 << 18


def _run(*words: str) -> str:
    """What a program of the desk printed.  Raises CalledProcessError, TimeoutExpired."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return done.stdout


def _stage(*words: str) -> dict[str, Any]:
    return dict(json.loads(_run("-m", "desk.ops.bench.features.stage", *words).splitlines()[-1]))


def _make(bars: int, folder: Path) -> Path:
    """A file of about so many bars.  Raises CalledProcessError, TimeoutExpired."""
    count = threads_of()
    seconds = -(-round(bars / PRINTED) // count)
    words, start_ns = [], FIRST_NS
    for part in range(count):
        start = datetime.fromtimestamp(start_ns // NANOS, UTC).isoformat()
        of_part = ("--seed", str(SEED + part), "--start", start, "--out", str(folder / f"{part}.parquet"))
        market = ("--symbol", SYMBOL, "--seconds", str(seconds), "--rate", RATE, "--json")
        words.append(("manage.py", "simulate_market", *market, *of_part))
        start_ns = open_hours(INSTRUMENTS[SYMBOL].calendar, start_ns, seconds)[-1][1]
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda part: _run(*part), words))
    whole = folder / "bars.parquet"
    parts = [pq.ParquetFile(folder / f"{part}.parquet") for part in range(count)]
    with pq.ParquetWriter(whole, parts[0].schema_arrow, compression="zstd") as writer:
        for file in parts:
            for batch in file.iter_batches(GROUP_ROWS):
                writer.write_batch(batch)
    return whole


def measure(bars: int = BARS) -> list[Row]:
    """Rows: import, features and labels, each with its peak; one row that says why where a stage failed."""
    with tempfile.TemporaryDirectory(prefix="years-", dir=settings.VAR) as name:
        try:
            file = _make(bars, Path(name))
            stored = _stage("import", str(file), str(Path(name) / "store"))
            first = _stage("hash", stored["path"], "0", "0", "0")
            forget(Path(stored["path"]))
            other = _stage("hash", stored["path"], *OTHER_CUT)
        except subprocess.CalledProcessError as error:
            return [failed(f"years of {bars / 1e6:g} M bars", "s", error.stderr, ROWS_GOAL_S)]
        except subprocess.TimeoutExpired:
            return [failed(f"years of {bars / 1e6:g} M bars", "s", f"not done after {TIMEOUT_S} s", ROWS_GOAL_S)]
        return rows_of(file.stat().st_size, stored, first, other)


def rows_of(size: int, stored: dict[str, Any], first: dict[str, Any], other: dict[str, Any]) -> list[Row]:
    """The table of these stages; `first` reads the columns that the import left, `other` the months, cut otherwise."""

    def told(run: dict[str, Any], name: str, goal: float | None, note: str) -> list[Row]:
        note = f"{run['cpu_s']:.1f} s of CPU; {note}"
        peak = "highest resident memory of the process"
        return [
            Row(name, run["wall_s"], "s", goal, note=note),
            Row("  its peak", run["peak_bytes"] / GIB, "GiB", PEAK_GOAL, note=peak),
        ]

    rows = told(
        stored,
        f"import of {stored['rows'] / 1e6:.1f} M made bars",
        IMPORT_GOAL_S,
        f"{size / 1e6:.0f} MB of Parquet from simulate_market, the columns written with it",
    )
    what = f"{first['rows']} seconds, {first['valid']} valid, 56 features and label, hashed"
    rows += told(first, "features and labels of all, the first time", ROWS_GOAL_S, what)
    if first["hash"] != other["hash"]:
        return [*rows, failed("  the same cut otherwise", "s", "another hash: the rows depend on the cut")]
    cut = f"{OTHER_CUT[0]} thread by {OTHER_CUT[1]} bars within {int(OTHER_CUT[2]) / GIB:g} GiB"
    cut = f"from the months, the same hash on {cut}"
    return rows + told(other, "  the same cut otherwise", None, cut)
