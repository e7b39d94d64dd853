"""What the tests of imports share: a source of several months, and a child process that is killed while it imports."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.feeds.options import ReplayOptions, parse_options
from marketdata.feeds.stored import data_set_files
from marketdata.feeds.tabular import Bars
from marketdata.store.chunks import load_bars
from marketdata.store.importing import import_file
from marketdata.store.partitions import file_hash
from tests.feeds.recordings import SECOND, T0

START = T0 // SECOND * SECOND
ANY_HOURS = parse_options({"bar_s": "1", "hours": "any"})


def months(path: Path, count: int = 4, rows: int = 600, seed: int = 0) -> Path:
    """A Parquet file of bars over `count` months, in small row groups; another seed has other prices."""
    n = count * rows
    close = (20_000 + np.random.default_rng(seed).integers(0, 50, n)) * 250_000_000
    step = 31 * 86_400 * SECOND // rows // SECOND * SECOND
    columns = dict.fromkeys(("open", "high", "low", "close"), close)
    table = pa.table(
        {
            **columns,
            "timestamp": START + np.arange(n) * step,
            "volume": np.ones(n, np.uint64),
            "symbol": ["ES"] * n,
        }
    )
    pq.write_table(table, path, row_group_size=100)
    return path


def visible(folder: Path) -> list[Path]:
    """The data sets that a reader would find."""
    return sorted(folder.glob("*.json"))


def whole(manifest: Path) -> Bars:
    """All bars of a data set."""
    return load_bars(manifest, "ES", parse_options({"bar_s": "1"}))


def contents(manifest: Path) -> list[str]:
    """Hashes of its files."""
    return [file_hash(path) for path in data_set_files(manifest)]


def in_a_child(work: Callable[[], object], kill_after_s: float | None = None) -> int:
    """Run `work` in a forked process, killed after so many seconds.  Returns the signal that ended it, or 0."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the child of a fork must not return into the test run
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "the child failed"
        return 0
    return os.WTERMSIG(status)


def killed_at_step(step: int) -> None:
    """In a child: from now on, die by SIGKILL at the `step`-th time that it opens, renames or removes anything."""
    left = [step]

    def count(event: str, _: object) -> None:
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def run(path: Path, folder: Path, options: ReplayOptions = ANY_HOURS) -> Path:
    """Import and return the manifest."""
    return import_file(path, "ES", options, folder).path
