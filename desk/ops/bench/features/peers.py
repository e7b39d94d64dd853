"""The 56 bar features beside Polars and pandas: the same bars, values compared first, then CPU time and memory.

Every tool works in a process of its own, ROUNDS times; the best round of each counts.  A peer whose values differ from
the desk's is told with the first feature that differs, and no ratio is given.  Called by `manage.py bench`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from django.conf import settings

from desk.ops.bench.features import tape as tapes
from desk.ops.bench.table import Row, failed
from marketdata.core.barfeatures.schema import FEATURE_NAMES

TOOLS = ("desk", "polars", "pandas")
CPU_GOALS = {"polars": 1 / 4, "pandas": 1 / 5}  # the desk's share of the peer's
MEMORY_GOAL = 1 / 5  # of pandas'
ROUNDS = 3
TOLERANCE = 1e-6  # of a feature's own spread; Polars and pandas carry window sums on and drift
TIMEOUT_S = 300


class Run(NamedTuple):
    """What one tool took, and where its values are."""

    cpu_s: float
    wall_s: float
    peak_bytes: int
    values: Path


def run(name: str, tape: Path, folder: Path) -> Run:
    """The best of ROUNDS runs of one tool.  Raises CalledProcessError, TimeoutExpired."""
    out = folder / f"{name}.npz"
    words = [sys.executable, "-m", "desk.ops.bench.features.tool", name, str(tape), str(out)]
    told = []
    for _ in range(ROUNDS):
        done = subprocess.run(
            words, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
        told.append(json.loads(done.stdout.splitlines()[-1]))
    least = {key: min(found[key] for found in told) for key in ("cpu_s", "wall_s", "peak_bytes")}
    return Run(**least, values=out)


def difference(ours: Path, theirs: Path) -> str:
    """Empty when the valid rows, the features and the labels agree; else the first thing that does not."""
    with np.load(ours) as a, np.load(theirs) as b:
        if not np.array_equal(a["second"], b["second"]):
            return f"{len(b['second'])} rows, the desk has {len(a['second'])}"
        valid = a["valid"]
        if not np.array_equal(valid, b["valid"]):
            return f"{int((valid != b['valid']).sum())} rows are valid in one alone"
        if not np.array_equal(a["label"][valid], b["label"][valid]):
            return "labels differ"
        mine, other = a["features"][valid], b["features"][valid]
    for place, name in enumerate(FEATURE_NAMES):
        x, y = mine[:, place], other[:, place]
        away = np.abs(x - y).max()
        if not away <= TOLERANCE * max(float(np.abs(x).max()), 1e-12):
            return f"{name} differs by up to {away:.3g}"
    return ""


def measure() -> list[Row]:
    """Rows: the desk's CPU time and memory, then each peer's, with the ratio where the values agree; the reason for a
    peer that failed.  Raises CalledProcessError, TimeoutExpired for the desk itself."""
    with tempfile.TemporaryDirectory(prefix="features-") as name:
        folder = Path(name)
        tapes.write(folder / "tape.npz")
        runs, broken = {TOOLS[0]: run(TOOLS[0], folder / "tape.npz", folder)}, []
        for tool in TOOLS[1:]:
            try:
                runs[tool] = run(tool, folder / "tape.npz", folder)
            except subprocess.CalledProcessError as error:
                broken.append(failed(f"  of {tool}'s CPU", "share", error.stderr, CPU_GOALS[tool]))
            except subprocess.TimeoutExpired:
                broken.append(failed(f"  of {tool}'s CPU", "share", f"not done after {TIMEOUT_S} s", CPU_GOALS[tool]))
        faults = {tool: difference(runs["desk"].values, runs[tool].values) for tool in TOOLS[1:] if tool in runs}
    return rows_of(runs, faults) + broken


def rows_of(runs: dict[str, Run], faults: dict[str, str]) -> list[Row]:
    """The table of these runs."""
    desk = runs["desk"]
    note = "1.08 million seconds, 56 features and label; peers make whole columns, the desk blocks"
    rows = [Row("56 features of 1 M rows, CPU", desk.cpu_s, "s", note=note)]
    for tool, fault in faults.items():
        peer = runs[tool]
        if fault:
            rows.append(Row(f"  {tool}: other values", float("nan"), "s", note=fault))
            continue
        share = desk.cpu_s / peer.cpu_s
        words = f"values equal to {TOLERANCE:g}; {tool} takes {peer.cpu_s:.2f} s of CPU, {peer.wall_s:.2f} s"
        rows.append(Row(f"  of {tool}'s CPU", share, "share", CPU_GOALS[tool], tool, peer.cpu_s / desk.cpu_s, words))
        if tool == "pandas":
            part = desk.peak_bytes / peer.peak_bytes
            words = f"{desk.peak_bytes / 1e6:.0f} MB above the bars, pandas {peer.peak_bytes / 1e6:.0f} MB"
            rows.append(Row("  of pandas' memory", part, "share", MEMORY_GOAL, tool, 1 / max(part, 1e-9), words))
    return rows
