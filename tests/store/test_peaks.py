"""MES-MEM-02: estimates beside the measured peaks of whole loads of five shapes of file, each of more than a million
rows, and an import that needs no more than it says.  DESK_LONG_TESTS=1 takes more rows.
"""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from marketdata.feeds.options import parse_options
from marketdata.memory.available import MIB
from marketdata.memory.estimate import load_bytes
from marketdata.store import importing
from marketdata.store.chunks import load_bars
from marketdata.store.estimates import estimate
from tests.store.imports import ANY_HOURS, START

LONG = os.environ.get("DESK_LONG_TESTS") == "1"
ROWS = 4_000_000 if LONG else 1_400_000
SHAPES = ("names as codes", "plain names", "float points", "many row groups", "text")
NEAR = 1.5  # the estimate and the peak, whichever is larger


# children of a server that has imported what they use: its memory is not theirs, and is imported once
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.store.test_peaks"])


def table(rows: int, shape: str) -> pa.Table:
    ticks = 20_000 + np.cumsum(np.random.default_rng(1).integers(-1, 2, rows))
    price = ticks * 0.25 if shape == "float points" else ticks * 250_000_000
    names = pa.array(["ESH4"] * rows)
    return pa.table(
        {
            "timestamp": START + np.arange(rows) * 10**9,
            **dict.fromkeys(("open", "high", "low", "close"), price),
            "volume": np.ones(rows, np.uint64),
            "symbol": names if shape == "plain names" else names.dictionary_encode(),
        }
    )


def write(folder: Path, rows: int, shape: str) -> Path:
    if shape == "text":
        path = folder / "bars.csv"
        bars = table(rows, shape)
        stamps = pc.strftime(
            bars["timestamp"].cast(pa.timestamp("ns", "UTC")).cast(pa.timestamp("s", "UTC")), "%Y-%m-%dT%H:%M:%SZ"
        )
        prices = {name: pc.divide(bars[name].cast(pa.float64()), 1e9) for name in ("open", "high", "low", "close")}
        plain = pcsv.WriteOptions(quoting_style="none")
        pcsv.write_csv(pa.table({"timestamp": stamps, **prices, "volume": bars["volume"]}), path, plain)
        return path
    path = folder / "bars.parquet"
    pq.write_table(table(rows, shape), path, row_group_size=5_000 if shape == "many row groups" else None)
    return path


def peak_of(work: Callable[[Path, Path], object], small: Path, path: Path, told: Path) -> int:
    """Bytes that `work` adds to a new process at its highest, as the kernel counts them.  `small` is worked through
    first: compiled code is not the data's."""
    child = SERVER.Process(target=measured, args=(work, small, path, told))
    child.start()
    child.join(300)
    assert child.exitcode == 0
    return int(told.read_text())


def measured(work: Callable[[Path, Path], object], small: Path, path: Path, told: Path) -> None:
    work(small, told.parent / "small data")
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmHWM")
    held = work(path, told.parent / "data")
    told.write_text(str(status("VmHWM") - before))
    del held


def load(path: Path, folder: Path) -> object:
    return load_bars(path, "ES", parse_options({"bar_s": "1"}), skip_memory_check="it is measured")


def store(path: Path, folder: Path) -> object:
    return importing.import_file(path, "ES", ANY_HOURS, folder)


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) << 10


@pytest.fixture
def small(tmp_path) -> Path:
    (tmp_path / "small").mkdir()
    return tmp_path / "small"


@pytest.mark.parametrize("shape", SHAPES)
def test_the_estimate_is_near_the_peak(tmp_path, small, shape, capsys):
    """The one that decides is on the safe side (MES-MEM-01); the one told beside it is within 1.5 of the peak."""
    path = write(tmp_path, ROWS, shape)
    needed, near = load_bytes(path), estimate(path, parse_options({}), tmp_path / "room").peak_bytes
    peak = peak_of(load, write(small, 1000, shape), path, tmp_path / "peak")
    sizes = f"decides {needed / MIB:.0f} MiB, told {near / MIB:.0f} MiB, peak {peak / MIB:.0f} MiB"
    with capsys.disabled():
        print(f"\n  {shape}: {sizes}, factors {needed / peak:.2f} and {near / peak:.2f}")
    assert 1.0 <= needed / peak <= 3.0
    assert peak / NEAR <= near <= peak * NEAR


def test_an_import_needs_no_more_than_it_says(tmp_path, small, capsys):
    """The memory of one block, whatever the file."""
    path = write(tmp_path, ROWS, "names as codes")
    peak = peak_of(store, write(small, 1000, "names as codes"), path, tmp_path / "peak")
    with capsys.disabled():
        print(f"\n  import: says {importing.BLOCK_BYTES / MIB:.0f} MiB, peak {peak / MIB:.0f} MiB")
    assert peak <= importing.BLOCK_BYTES
