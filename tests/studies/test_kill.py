"""A study that is killed with SIGKILL in the middle of a trial ends as if nothing had happened (MES-GUARD-01).

The strategy itself waits for a file at a known trial, so the kill falls where it is wanted on any machine.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.bootstrap import ROOT
from tests.studies.kit import GRID, PROFILE, optimise, write_bars, write_strategy
from trading.run.search.ledger import Ledger, NoStudy

LONGEST_S = 300  # until a test gives up: a start compiles nothing, but the machine may be busy


def command(data: Path, name: str) -> list[str]:
    """The study of the kit as a process of its own, with two workers."""
    params = [word for text in GRID for word in ("--param", text)]
    return [
        sys.executable, str(ROOT / "manage.py"), "optimise", "--config", PROFILE, "--data", str(data), "--strategy",
        "own_study:follow", *params, "--min-trades", "5", "--random", "0", "--workers", "2", "--out",
        str(data.parent / name),
    ]  # fmt: skip


def kept(folder: Path) -> int:
    """Trials in the ledger by now."""
    try:
        with Ledger(folder, reading=True) as ledger:
            return ledger.count()
    except NoStudy:
        return 0


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait until `holds()`; there is no shorter time in which it must."""
    end = time.monotonic() + LONGEST_S
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)


def results(folder: Path) -> dict[str, bytes]:
    names = ("trials.csv", "study.json", "best/trades.csv", "best/equity.csv", "best/summary.json")
    return {name: (folder / name).read_bytes() for name in names}


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.processes
def test_killed_and_resumed_with_other_workers_is_the_same_study_mes_opt_04(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_study", raising=False)
    write_strategy(tmp_path)
    data, folder = write_bars(tmp_path / "bars.parquet", days=17, bars=100), tmp_path / "study"
    (tmp_path / "hold").write_text("6")  # trials with a lookback of 6 and more wait
    started = subprocess.Popen(command(data, "study"), cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        until("the first trials are kept", lambda: kept(folder) >= 1 or started.poll() is not None)
        assert started.poll() is None
        family = psutil.Process(started.pid).children(recursive=True)
        os.kill(started.pid, signal.SIGKILL)
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()
    assert started.returncode == -signal.SIGKILL and len(family) >= 2
    until("no worker outlives its parent", lambda: not any(lives(child) for child in family))
    assert 1 <= kept(folder) <= 6, "killed in the middle"
    (tmp_path / "hold").unlink()
    optimise(data, "study")
    assert kept(folder) == 12
    interrupted = results(folder)
    aside = tmp_path.parent / f"{tmp_path.name}-aside"  # beside the other its trials would be counted
    os.rename(folder, aside)
    optimise(data, "study")
    assert results(folder) == interrupted
