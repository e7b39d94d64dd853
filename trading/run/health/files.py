"""What a session's folder has of its network's health: the newest report, and every pair of every look as a line.

`drift_metrics_YYYYMMDD.jsonl` (date of Moscow) is MOEX-MON-03's; the report is written whole or not at all.  Pages read
it, the journal has what counts.  What the next holder of the loop goes on with lies beside it.  Written by the watcher
alone.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from marketdata.core.records import NO_TIME
from marketdata.core.units import NANOS
from trading.learning.health.drift import CRITICAL, NONE, WARNING
from trading.learning.health.evaluation import Report
from trading.learning.health.outcomes import Judged, Outcome
from trading.run.clock import write_atomic

FILE, CARRIED_FILE = "health.json", "health_carried.json"
MOSCOW_NS = 3 * 3600 * NANOS  # has no other offset (MOEX-TERM)
SHOWN = 12  # pairs of the report that are kept for people, the worst first
WORDS = {NONE: "none", WARNING: "warning", CRITICAL: "critical"}


class PairLine(msgspec.Struct, frozen=True):
    """One compared pair, in words."""

    time: str  # UTC
    instrument: str
    feature: str
    n_ref: int
    n_cur: int
    ks: float
    p: float
    p_adj: float
    shift: float
    sigma: float
    psi: float
    severity: str
    reference: str


class Health(msgspec.Struct, frozen=True):
    """The newest report, for people.  Times in ns; a figure without a band was not judged."""

    ts_ns: int
    verdict: str
    confirmed: bool
    reference: str
    why: str
    judged: int
    skipped: int
    outside: int
    calibration: Judged | None
    calibration_error: float | None
    hits: Judged | None
    worst: list[PairLine]


class Carried(msgspec.Struct, frozen=True):
    """What a holder of the loop leaves for the next, as of the look at `ts_ns`; `before`: what the next confirms."""

    ts_ns: int = NO_TIME
    reference: str = ""
    before: list[tuple[int, int]] = []
    whatever: list[Outcome] = []
    sided: list[Outcome] = []


def write_carried(folder: Path, carried: Carried) -> None:
    """Replace it.  Raises OSError."""
    write_atomic(folder / CARRIED_FILE, msgspec.json.encode(carried))


def read_carried(folder: Path, reference: str) -> Carried:
    """What was left for a network with this reference; nothing where there is none, or where it cannot be read."""
    try:
        found = msgspec.json.decode((folder / CARRIED_FILE).read_bytes(), type=Carried)
    except (OSError, msgspec.MsgspecError):
        return Carried()
    return found if found.reference == reference else Carried()


def write_report(folder: Path, report: Report, symbols: list[str], names: tuple[str, ...]) -> None:
    """Append the pairs, replace the report.  Raises OSError."""
    lines = [_line(report, at, symbols, names) for at in range(len(report.pairs))]
    day = datetime.fromtimestamp((report.ts_ns + MOSCOW_NS) // NANOS, UTC).strftime("%Y%m%d")
    if lines:
        with (folder / f"drift_metrics_{day}.jsonl").open("ab") as file:
            file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    order = sorted(range(len(lines)), key=lambda at: (-report.pairs[at].severity, -report.pairs[at].sigmas))
    outside = sum(pair.severity != NONE for pair in report.pairs)
    health = Health(
        report.ts_ns, WORDS[report.verdict], report.confirmed, report.reference, report.why, len(lines),
        report.skipped, outside, report.calibration, report.calibration_error, report.hits,
        [lines[at] for at in order[:SHOWN]],
    )  # fmt: skip
    write_atomic(folder / FILE, msgspec.json.encode(health))


def read_report(folder: Path) -> Health | None:
    """The newest report; None before the first, or where it cannot be read."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Health)
    except (OSError, msgspec.MsgspecError):
        return None


def _line(report: Report, at: int, symbols: list[str], names: tuple[str, ...]) -> PairLine:
    pair = report.pairs[at]
    time = datetime.fromtimestamp(report.ts_ns / NANOS, UTC).isoformat(timespec="seconds")
    return PairLine(
        time, symbols[pair.instrument], names[pair.feature], pair.n_ref, pair.n_cur, pair.ks, pair.p, pair.p_adj,
        pair.shift, pair.sigma, pair.psi, WORDS[pair.severity], report.reference,
    )  # fmt: skip
