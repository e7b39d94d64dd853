"""The health of a session's network for people: the newest look with its age, and what every figure is beside (T-06).

Read from the session's folder, where the watcher beside the inference loop leaves it; nothing is computed anew and
nothing written.  A session whose network was not looked at yet, or that has none, says which.
"""

from pathlib import Path
from typing import Any

from marketdata.core.records import NO_TIME
from trading.control import session_folder
from trading.learning.health.outcomes import CALIBRATION_MIN, HITS_MIN, Judged
from trading.learning.scoring import NETWORK_OPTIONS
from trading.run.clock import ClockMissing, clock_is_stale, load_clock
from trading.run.health.files import WORDS, read_report
from trading.run.spec import SpecError, load_spec


def health(session_id: int, live: bool) -> dict[str, Any] | None:
    """The panel's values; None for a session without a network.  `live`: it runs, so the figures have an age."""
    folder = session_folder(session_id)
    try:
        spec = load_spec(folder)
    except SpecError:
        return None
    if spec.scorer.name != "network":
        return None
    every_s = round(spec.scorer.options.get("health_s", NETWORK_OPTIONS["health_s"]))
    found = read_report(folder)
    if found is None:
        return {"every_s": every_s, "seen": False}
    values: dict[str, Any] = {"every_s": every_s, "seen": True, "ts_us": found.ts_ns // 1000}
    values["age_s"] = _age_s(folder, found.ts_ns) if live else None
    values |= {"verdict": found.verdict, "confirmed": found.confirmed, "why": found.why, "worst": found.worst}
    values |= {"judged": found.judged, "skipped": found.skipped, "outside": found.outside}
    values |= {"error": found.calibration_error, "reference": found.reference[:16]}
    rows = (("sure", found.calibration, CALIBRATION_MIN), ("hits", found.hits, HITS_MIN))
    return values | {"figures": [_figure(name, judged, least) for name, judged, least in rows if judged is not None]}


def _figure(name: str, judged: Judged, least: int) -> dict[str, Any]:
    """One figure with its band in per cent; `least`: outcomes that it takes to judge it."""
    found: dict[str, Any] = {"name": name, "rows": judged.rows, "reference_rows": judged.reference_rows}
    found |= {"least": least, "verdict": WORDS[judged.severity], "is_judged": judged.low is not None}
    for key in ("value", "reference", "low", "high"):
        share = getattr(judged, key)
        found[key] = None if share is None else 100 * share
    return found


def _age_s(folder: Path, ts_ns: int) -> int | None:
    """Seconds of the session's clock since this moment of it; None where that clock is unknown."""
    try:
        now_ns = NO_TIME if clock_is_stale(folder) else load_clock(folder).now()
    except (ClockMissing, OSError):
        return None
    return None if now_ns == NO_TIME else max(0, (now_ns - ts_ns) // 1_000_000_000)
