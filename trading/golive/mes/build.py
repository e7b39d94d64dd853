"""What the futures' go-live gate asks of a build and of a network on it, measured here and kept as a file.

The desk's own tests of each required part, run anew; the checks of the features; the time that one answer takes.  A
test that did not run, was skipped or failed is no pass.  Files lie in `var/evidence`, one for each build, configuration
and network; another build reads none of them.  Called by the command `gatemes`; read by `report`.
"""

import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings

from trading.research.gate import MES_CHECKS, RESULT, Candidate, Evidence
from trading.research.golive.evidence import evidence_from, text_of
from trading.research.records import ResearchError
from trading.run.search.report import put
from trading.run.search.version import FLOORS, ROOT

if TYPE_CHECKING:
    from marketdata.core.barfeatures.records import Bars

FOLDER = "evidence"
# rows of the gate → the tests that answer them
TESTS = {
    "risk_limits": ("tests/kernel/test_limits.py", "tests/core/test_gate_table.py"),
    "sizing_tiers": ("tests/core/test_sizing.py",),
    "breakers": ("tests/kernel/test_conditions.py",),
    "eod_flatten": ("tests/kernel/test_clock.py",),
    "reconnection": ("tests/brokers/test_acceptance.py",),
    "manual_kill": ("tests/kernel/test_controls.py", "tests/run/test_guard.py"),
    "sanity_strategies": (
        "tests/backtest/sane/test_sane.py", "tests/learning/test_shuffled.py", "tests/research/test_baselines.py",
    ),
}  # fmt: skip
STRATEGIES = 4  # random, oracle, its mirror, shuffled labels
SPEED = ("features_p99_ms", "inference_p99_ms", "both_p99_ms")
DIFFERENCE, PREFIX = "batch_streaming_difference", "prefix_test"
COUNTED = re.compile(r"(\d+) (passed|failed|error|errors|skipped|deselected|xfailed|xpassed)")
TESTS_S = 1_800.0
PREFIX_MOMENTS = 300
WARM, CALLS = 100, 1_000  # MES-ML-14

Say = Callable[[str], object]
Row = tuple[float | None, int, str]  # value, size of the sample, why there is none


def file_of(candidate: Candidate) -> Path:
    """Where the evidence of a build, configuration and network lies; made of their hashes."""
    name = hashlib.sha256("\n".join(candidate).encode()).hexdigest()[:16]
    return Path(settings.VAR) / FOLDER / f"build-{name}.json"


def kept(candidate: Candidate) -> dict[str, Evidence]:
    """What was measured for it; nothing before it was.  Raises ResearchError for a file that is none."""
    path = file_of(candidate)
    try:
        return evidence_from(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        return {}


def keep(candidate: Candidate, found: dict[str, Evidence]) -> Path:
    """Write rows beside those that are kept; what was measured anew takes the place of the old."""
    path = file_of(candidate)
    path.parent.mkdir(parents=True, exist_ok=True)
    put(path, text_of(kept(candidate) | found))
    return path


def check_rows(names: Iterable[str]) -> None:
    """Raises ResearchError for a row that nothing here measures."""
    known = {*TESTS, *SPEED, DIFFERENCE, PREFIX}
    if unknown := sorted(set(names) - known):
        raise ResearchError(f"{', '.join(unknown)} is not measured here; {', '.join(sorted(known))} are")


def measured(
    candidate: Candidate, artifact: Path | None, only: frozenset[str], say: Say
) -> Iterator[tuple[str, Evidence]]:
    """Rows as they are ready; `only` some of them, empty: all.  What cannot be measured is a row without a value."""
    names = {check.name for check in MES_CHECKS if check.scope != RESULT and (not only or check.name in only)}
    for name, paths in TESTS.items():
        if name in names:
            say(f"{name}: {' '.join(paths)}")
            yield name, _tested(candidate, name)
    parts: list[tuple[Callable[[], list[Row]], tuple[str, ...]]] = [
        (partial(_speed, artifact), SPEED),
        (_batch_and_stream, (DIFFERENCE,)),
        (_prefix, (PREFIX,)),
    ]
    for part, rows in parts:
        if names & set(rows):
            say(", ".join(rows))
            for name, (value, n, why) in zip(rows, part(), strict=True):
                if name in names:
                    yield name, Evidence(value, n, f"gatemes --measure {name}", time.time_ns(), *candidate, why=why)


def covered(candidate: Candidate, file: Path) -> Evidence:
    """The share of lines in a report of coverage.py (`coverage json`).  Raises ResearchError for a file that is none,
    that leaves out a file of the product, or that is older than the code."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        totals, named = values["totals"], {ROOT / name for name in values["files"]}
        share, lines = totals["covered_lines"] / totals["num_statements"], int(totals["num_statements"])
        made_ns = file.stat().st_mtime_ns
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise ResearchError(f"{file} is no report of coverage: {type(error).__name__}: {error}") from None
    product = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py") if path.stat().st_size)
    if unnamed := [path for path in product if path not in named]:
        first = unnamed[0].relative_to(ROOT)
        raise ResearchError(f"{file} leaves out {len(unnamed)} files of the product, {first} the first")
    newest_ns = max(path.stat().st_mtime_ns for path in product)
    if newest_ns > made_ns:
        raise ResearchError(f"{file} was measured before the code came to be what it is: measure it again")
    return Evidence(share, lines, f"coverage report {file.name}", made_ns, *candidate)


def _tested(candidate: Candidate, name: str) -> Evidence:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS[name]]
    began_ns = time.time_ns()
    try:
        done = subprocess.run(
            words, check=False, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=TESTS_S
        )
    except subprocess.TimeoutExpired:
        return Evidence(None, 0, "pytest", began_ns, *candidate, why=f"The tests took more than {TESTS_S:.0f} s")
    passed, others = counts_of(done.stdout)
    run = f"pytest {' '.join(TESTS[name])}: {passed} passed, {others} not"
    good = done.returncode == 0 and passed > 0 and others == 0
    n = STRATEGIES if name == "sanity_strategies" else passed
    return Evidence(1.0 if good else 0.0, n, run, began_ns, *candidate)


def counts_of(told: str) -> tuple[int, int]:
    """(passed, anything else) of what pytest says last."""
    last = told.strip().splitlines()[-1:] or [""]
    counts = {kind: int(count) for count, kind in COUNTED.findall(last[0])}
    passed = counts.pop("passed", 0)
    return passed, sum(counts.values())


def _speed(artifact: Path | None) -> list[Row]:
    """p99 of features, of inference and of both, ms: one bar from Python, batch 1, one thread."""
    from marketdata.core.barfeatures.schema import FEATURE_COUNT
    from trading.learning.artifacts import ArtifactError, load
    from trading.learning.leakage.shipped import made_bars
    from trading.learning.scoring import NetworkScorer

    if artifact is None:
        return [(None, 0, "No network was named")] * 3
    try:
        scorer = NetworkScorer(load(artifact), {})
    except (ArtifactError, OSError) as error:
        return [(None, 0, f"The network cannot be loaded: {error}")] * 3
    if scorer.schema.width != FEATURE_COUNT:
        return [(None, 0, f"The network reads {scorer.schema.id}, not the features of bars")] * 3
    spent = []
    for _, vector, took_ns in _streamed(made_bars(1, 1)):
        if took_ns == 0:
            continue
        began = time.perf_counter_ns()
        scorer.score(vector)
        spent.append((took_ns, time.perf_counter_ns() - began))
        if len(spent) == WARM + CALLS:
            break
    samples = np.array(spent[WARM:], np.int64).reshape(-1, 2)
    columns = (samples[:, 0], samples[:, 1], samples.sum(axis=1))
    n = len(samples)
    if n == 0:
        return [(None, 0, "No row was warm")] * 3
    return [(float(np.percentile(column, 99, method="higher")) / 1e6, n, "") for column in columns]


def _streamed(bars: "Bars") -> Iterator[tuple[int, np.ndarray, int]]:
    """(second, features, ns) of each valid row, bar by bar as a session makes them; 0 ns: a second without a print."""
    from marketdata.bardays import BarDays
    from marketdata.core.barfeatures.engine import BarFeatures
    from marketdata.core.barfeatures.schema import FEATURE_NAMES

    days = BarDays().cover(int(bars.second[0]), int(bars.second[-1]))
    engine = BarFeatures(days, FEATURE_NAMES, block_rows=1)
    for bar in zip(*(column.tolist() for column in bars), strict=True):
        for second, valid in engine.carried(bar[0]):
            if valid:
                yield second, engine.vector.copy(), 0
        began = time.perf_counter_ns()
        valid = engine.bar(*bar)
        took = time.perf_counter_ns() - began
        if valid:
            yield bar[0], engine.vector.copy(), took


def _batch_and_stream() -> list[Row]:
    """The largest difference of a feature between a batch and bar by bar; rows that only one of them has count as
    infinitely different."""
    from marketdata.bardays import BarDays
    from marketdata.core.barfeatures.engine import BarFeatures
    from marketdata.core.barfeatures.schema import FEATURE_NAMES
    from trading.learning.leakage.shipped import made_bars

    bars = made_bars(2, 2)
    days = BarDays().cover(int(bars.second[0]), int(bars.second[-1]))
    batch: dict[int, np.ndarray] = {}
    for block in BarFeatures(days, FEATURE_NAMES).blocks(bars):
        known = np.flatnonzero(block.valid)
        batch |= dict(zip(block.second[known].tolist(), block.features[known].copy(), strict=True))
    worst, n = 0.0, 0
    for second, vector, _ in _streamed(bars):
        if second not in batch:
            return [(None, n, f"The row of second {second} is there bar by bar alone")]
        worst, n = max(worst, float(np.abs(batch.pop(second) - vector).max())), n + 1
    return [(None, n, f"{len(batch)} rows are there in a batch alone")] if batch else [(worst, n, "")]


def _prefix() -> list[Row]:
    """Whether no feature, label or fitted value changes with what comes after it (`manage.py leakage`)."""
    from trading.learning.leakage.checks import inspect
    from trading.learning.leakage.shipped import bars_pipeline, made_bars

    report = inspect(bars_pipeline(), made_bars(1), moments=PREFIX_MOMENTS)
    return [(1.0 if report.passed else 0.0, report.rows, "")]
