"""An import killed at any point leaves the data set that was there or the new one, never half of one.

A forked child imports and is killed with SIGKILL: at 50 random moments, and at every file operation in turn, of which
the short form takes every fourth (DESK_LONG_TESTS=1: all).
"""

import errno
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from marketdata.feeds import columns
from marketdata.feeds.stored import read_manifest
from marketdata.store.importing import import_file
from marketdata.store.partitions import remove
from tests.bootstrap import ROOT
from tests.store.imports import ANY_HOURS, contents, in_a_child, killed_at_step, months, run, visible, whole

LONG = os.environ.get("DESK_LONG_TESTS") == "1"
MOMENTS = 50
STEPS_MAX = 400


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(columns, "BATCH_ROWS", 150)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return months(tmp_path_factory.mktemp("source") / "bars.parquet")


@pytest.fixture(scope="module")
def want(source, tmp_path_factory) -> list[str]:
    """Hashes of the whole data set's files; the import also warms what a child inherits."""
    return contents(run(source, tmp_path_factory.mktemp("whole")))


def die_at(step: int, source: Path, folder: Path) -> None:
    killed_at_step(step)
    run(source, folder)


def check_old_or_new(folder: Path, want: list[str]) -> bool:
    """Whatever is visible is whole.  Returns whether anything is."""
    found = visible(folder)
    assert len(found) <= 1
    for manifest in found:
        assert contents(manifest) == want and whole(manifest).start_ns.size == 2400
    return bool(found)


def test_killed_at_every_file_operation(tmp_path, source, want):
    """From the first to the last: nothing, or the whole; and the next import completes what is left."""
    folder = tmp_path / "data"
    outcomes = []
    step, stride = 1, 1 if LONG else 4
    while step < STEPS_MAX:
        remove(folder)
        ended = in_a_child(functools.partial(die_at, step, source, folder))
        outcomes.append(check_old_or_new(folder, want) if folder.exists() else False)
        if ended == 0:
            break
        assert ended == signal.SIGKILL
        assert contents(run(source, folder)) == want
        assert len(list(folder.iterdir())) == 2  # nothing of the killed one is left behind
        step += stride
    assert ended == 0 and outcomes[0] is False and outcomes[-1] is True and len(outcomes) > 10


@pytest.mark.parametrize("where", ["sync", "footer", "rename"])
def test_a_full_disk_keeps_what_is_finished(tmp_path, source, want, monkeypatch, where):
    """At every place in turn where a later month is written, until the end: the next import has the same bytes, and
    once a month was checkpointed it is not read again."""
    folder, call = tmp_path / "data", {"sync": (os, "fsync"), "rename": (os, "replace")}
    owner, name = call.get(where, (pq.ParquetWriter, "close"))
    real, left = getattr(owner, name), [0]

    def full(*given):
        left[0] -= 1
        if left[0] > 0 or where == "footer":  # an open writer would try once more when it is collected
            real(*given)
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    outcomes = []
    for step in range(1, STEPS_MAX, 2):
        remove(folder)
        left[0] = step
        failed: int | None = 0
        with monkeypatch.context() as disk:
            disk.setattr(owner, name, full)
            try:
                run(source, folder)
            except OSError as error:
                failed = error.errno
        if not failed:
            break
        assert failed == errno.ENOSPC
        kept = list(folder.glob(".*.part/checkpoint.json"))
        had_all = check_old_or_new(folder, want)
        parts = kept and (kept[0].parent / "parts").is_dir()
        report = import_file(source, "ES", ANY_HOURS, folder)
        assert contents(report.path) == want and len(list(folder.iterdir())) == 2
        assert had_all or bool(parts) == (report.resumed_rows > 0)
        outcomes.append(report.resumed_rows)
    assert outcomes[0] == 0 and max(outcomes) >= 1500, "three months of four were kept"


def test_killed_while_it_replaces_a_damaged_data_set(tmp_path, source, want):
    """The manifest of the old one stands until the new one's takes its place."""
    folder = tmp_path / "data"
    manifest = run(source, folder)
    victim = folder / read_manifest(manifest)["folder"] / "ES" / "2024-02.parquet"
    names = set()
    for step in range(1, STEPS_MAX, 1 if LONG else 13):
        if victim.exists():
            victim.write_bytes(b"PAR1")
        ended = in_a_child(functools.partial(die_at, step, source, folder))
        (found,) = visible(folder)
        told = read_manifest(found)  # whole JSON, and it names a folder that is there
        assert (folder / told["folder"]).is_dir()
        names.add(told["folder"])
        if told["folder"] != victim.parent.parent.name:
            assert contents(found) == want
            break
        assert victim.read_bytes() == b"PAR1"  # the old one, untouched
        assert ended == signal.SIGKILL
    assert len(names) == 2
    assert contents(run(source, folder)) == want


def timed(work: Callable[[], object]) -> float:
    """Seconds that a child takes for it."""
    begun = time.monotonic()
    in_a_child(work)
    return time.monotonic() - begun


def test_killed_at_random_moments(tmp_path, source, want):
    takes_s = min(timed(functools.partial(run, source, tmp_path / f"timed{k}")) for k in range(3))
    rng = random.Random(5)
    killed = tried = 0
    while killed < MOMENTS:
        assert tried < 10 * MOMENTS, "it is over before it can be killed"
        folder = tmp_path / f"data{tried % 3}"  # some begin with what the one before has left
        ended = in_a_child(functools.partial(run, source, folder), kill_after_s=rng.random() * takes_s)
        tried += 1
        killed += ended == signal.SIGKILL
        if ended == 0:
            takes_s *= 0.9  # it was over before its moment came
        if folder.exists() and check_old_or_new(folder, want):
            remove(folder)
    for k in range(3):
        assert contents(run(source, tmp_path / f"data{k}")) == want


@pytest.mark.processes
def test_ctrl_c_leaves_nothing_half_and_the_same_command_goes_on(tmp_path):
    """`import_history` in a process of its own, stopped by SIGINT in the middle."""
    rows = 200_000
    lines = "\n".join(f"{1_704_207_600 + k * 60}000000000,10,10.5,9.5,10,{k + 1}" for k in range(rows))
    source = tmp_path / "bars.csv"
    source.write_text("timestamp,open,high,low,close,volume\n" + lines)
    var = tmp_path / "var"
    command = ["manage.py", "import_history", str(source), "--symbol", "SBER", "--json"]
    environment = {**os.environ, "DESK_VAR": str(var), "DESK_DATABASE_URL": ""}
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(migrate, cwd=ROOT, env=environment, check=True, capture_output=True)
    small_blocks = (
        "import django, sys; django.setup(); import marketdata.feeds.rawbars as raw; raw.BLOCK_BYTES = 1 << 15;"
        "from django.core.management import execute_from_command_line as run; run(sys.argv[1:])"
    )
    slow = [sys.executable, "-c", small_blocks, *command]
    child = subprocess.Popen(slow, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((var / "data").glob(".*/checkpoint.json")) and child.poll() is None:
        assert time.monotonic() < deadline, "no month was finished"
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=300)
    assert child.returncode == 130, error
    assert "nothing of bars.csv was stored; the same command goes on" in error and "Traceback" not in error
    assert visible(var / "data") == []
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    report = json.loads(done.stdout)
    assert report["rows"] == rows and report["resumed_rows"] > 0 and report["dropped"] == {}
    assert len(visible(var / "data")) == 1 and len(list((var / "data").iterdir())) == 2
