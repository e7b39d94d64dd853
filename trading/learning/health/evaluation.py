"""One look at a running network: its features and its scores beside the reference, as one report (T-06, MOEX-MON-03).

Pure and deterministic: the same samples give the same report, in a session, over a tape and in a test.  A single look
never stops anything: only what was critical in the look before as well is confirmed, and what was not compared in
between begins anew.  Where nothing can be compared, the report says so and is a warning; where the session has shown
too little yet, it says so and is none: then nothing was evaluated, and what was critical before stays.  Called by the
watcher.
"""

from typing import NamedTuple

import msgspec
import numpy as np

from trading.learning.health.drift import CRITICAL, NONE, SAMPLE_MIN, WARNING, Pair, Sample, compare
from trading.learning.health.outcomes import Judged, Outcome, figures_of, judge_calibration, judge_hits
from trading.learning.health.reference import Reference, hours_of, rows_within

NO_REFERENCE = "no reference: the artifact was made without one"
NO_HOURS = "no reference for these hours of the day"
NO_VALUES = "too few values of any feature yet"
STANDS_STILL = "no feature of the reference moves in these hours of the day"
NO_OUTCOMES = "the reference has too few outcomes to judge these by"
CALIBRATION, HITS = (-1, -1), (-1, -2)  # keys beside (instrument, feature)


class Current(NamedTuple):
    """What one instrument showed: (k, watched features) float32 and (k,) int64 times, oldest first."""

    instrument: int
    features: np.ndarray
    ts_ns: np.ndarray


class Look(NamedTuple):
    """What is looked at."""

    ts_ns: int  # venue time of the newest market event
    current: list[Current]
    whatever: list[Outcome]
    sided: list[Outcome]


class Report(msgspec.Struct, frozen=True):
    """What was seen.  `verdict`: worst of all, NONE, WARNING, CRITICAL; `confirmed`: critical twice in a row."""

    ts_ns: int
    verdict: int
    confirmed: bool
    reference: str
    why: str  # why something was not compared or judged, or empty
    skipped: int  # pairs that could not be compared
    pairs: list[Pair]
    calibration: Judged | None
    calibration_error: float | None  # None without an outcome
    hits: Judged | None

    @property
    def critical(self) -> set[tuple[int, int]]:
        """What is critical: (instrument, feature), CALIBRATION, HITS."""
        found = {(pair.instrument, pair.feature) for pair in self.pairs if pair.severity == CRITICAL}
        for key, judged in ((CALIBRATION, self.calibration), (HITS, self.hits)):
            if judged is not None and judged.severity == CRITICAL:
                found.add(key)
        return found

    def carried(self, before: set[tuple[int, int]]) -> set[tuple[int, int]]:
        """What the next look is confirmed by.  `before`: what this one was."""
        return self.critical | ({key for key in before if key[0] >= 0} if self.why == NO_VALUES else set())

    @property
    def worst(self) -> list[Pair]:
        """The pairs, the furthest from the reference first."""
        return sorted(self.pairs, key=lambda pair: (-pair.severity, -pair.sigmas))


def look_at(
    look: Look, reference: Reference | None, places: tuple[int, ...], before: set[tuple[int, int]] | None = None
) -> Report:
    """The report of one look.  `places`: the watched features; `before`: what was critical in the look before."""
    error = figures_of(look.whatever).error if look.whatever else None
    if reference is None:
        return Report(look.ts_ns, WARNING, False, "", NO_REFERENCE, 0, [], None, error, None)
    samples, hours = [], False
    for one in look.current:
        rows = rows_within(reference, hours_of(one.ts_ns))
        hours = hours or len(rows) >= SAMPLE_MIN
        known = reference.features[rows].astype(np.float64)
        values = one.features.astype(np.float64)
        samples += [Sample(one.instrument, place, known[:, place], values[:, at]) for at, place in enumerate(places)]
    pairs = compare(samples)
    calibration = judge_calibration(figures_of(look.whatever), reference.calibration)
    hits = judge_hits(figures_of(look.sided), reference.hits)
    why = "" if pairs else _why_none(look, hours)
    if not why and (calibration.lacks_reference or hits.lacks_reference):
        why = NO_OUTCOMES
    unknown = WARNING if why not in ("", NO_VALUES) else NONE
    verdict = max([unknown, calibration.severity, hits.severity, *(p.severity for p in pairs)])
    skipped = len(samples) - len(pairs)
    report = Report(look.ts_ns, verdict, False, reference.id, why, skipped, pairs, calibration, error, hits)
    confirmed = bool(report.critical & (before or set()))
    return msgspec.structs.replace(report, confirmed=confirmed)


def _why_none(look: Look, hours: bool) -> str:
    """Why no pair was compared.  `hours`: the reference has rows enough of these."""
    if max((len(one.ts_ns) for one in look.current), default=0) < SAMPLE_MIN:
        return NO_VALUES
    return STANDS_STILL if hours else NO_HOURS


def failed(ts_ns: int, why: str) -> Report:
    """What is told of a look that came to no end: nothing is known, so it is a warning."""
    return Report(ts_ns, WARNING, False, "", why, 0, [], None, None, None)
