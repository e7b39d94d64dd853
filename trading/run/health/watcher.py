"""Whether the network of a session is as healthy as when it was made: seen beside the inference loop (T-06).

The loop hands over each scored moment, which costs it microseconds; every half hour of venue time a thread compares
what came together with the reference of the artifact, writes one line a pair into the day's file and the whole report
beside it, and the loop sends one DRIFT event, which is in the journal like every other (MOEX-MON-03).  A network
without a reference is told at its first score, and again each time: unknown is never healthy.  Memory is bounded by the
number of instruments.  The kernel decides what stops; a rulebook without drift's holds has MODEL_BLOCKED for what is
confirmed.
"""

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import structlog

from marketdata.core.features_schema import RING
from marketdata.core.records import NO_TIME
from marketdata.core.units import NANOS, PPM
from risk.core.records import MES
from trading.core.records import DRIFT, DRIFT_CRITICAL, DRIFT_NONE, DRIFT_WARN
from trading.learning.health.drift import NONE, smirnov
from trading.learning.health.evaluation import Current, Look, Report, look_at
from trading.learning.health.outcomes import KEPT, Line, Outcome, Wanted
from trading.learning.health.reference import watched_places
from trading.learning.scoring import NetworkScorer, Scorer
from trading.run.clock import SessionClock
from trading.run.health.files import write_report
from trading.run.journal.recovery import account_event
from trading.run.spec import SessionSpec
from trading.run.streams import StreamAway, StreamFull
from trading.run.telling.conditions import Conditions

SAMPLES = 100  # values of each feature that are compared, the last ones
STOP_S = 2.0
POLL_S = 0.2
log = structlog.get_logger("trading.health")


class _Kept:
    """The last values of one instrument's watched features."""

    def __init__(self, width: int) -> None:
        self._features, self._ts_ns = np.empty((SAMPLES, width), np.float32), np.full(SAMPLES, NO_TIME)
        self._count = 0
        self.newest_ns = NO_TIME

    def take(self, values: np.ndarray, ts_ns: int) -> None:
        """One more; the oldest goes."""
        at = self._count % SAMPLES
        self._features[at], self._ts_ns[at] = values, ts_ns
        self._count += 1
        self.newest_ns = ts_ns

    def copy(self, which: int) -> Current:
        """What is kept, oldest first."""
        count = min(self._count, SAMPLES)
        order = np.arange(self._count - count, self._count) % SAMPLES
        return Current(which, self._features[order], self._ts_ns[order])


class HealthWatch:
    """One holding of the inference loop.  `send` appends to the inbox; `unwell` tells that a network may not enter.

    Anything but a network has no health: nothing is watched and nothing said.
    """

    def __init__(
        self,
        spec: SessionSpec,
        scorer: Scorer | None,
        folder: Path,
        send: Callable[[np.ndarray], object],
        unwell: Callable[[int], object],
    ) -> None:
        self._folder, self._send, self._unwell = folder, send, unwell
        self._symbols = [item.symbol for item in spec.instruments]
        self._has_holds = Conditions(spec.limits.get("rules", MES)).knows("DRIFT_CRITICAL")
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._asked: deque[Look] = deque(maxlen=1)
        self._found: deque[Report] = deque(maxlen=2)
        self.counts = {"health_looks": 0, "health_verdict": NONE}
        self._network = scorer if isinstance(scorer, NetworkScorer) else None
        if self._network is None:
            return
        manifest, self._reference = self._network.artifact.manifest, self._network.artifact.reference
        self._names = self._network.schema.names
        self._places = watched_places(self._network.schema)
        self._columns = np.array(self._places)
        self._every_ns = round(self._network.health_s * NANOS)
        self._next_ns = NO_TIME
        self._whatever: deque[Outcome] = deque(maxlen=KEPT)
        self._sided: deque[Outcome] = deque(maxlen=KEPT)
        wanted = Wanted(manifest.horizon_ns, round(2 * manifest.cost_ticks), RING * manifest.step_ns)
        self._lines = [Line(wanted, self._whatever, self._sided) for _ in self._symbols]
        self._kept = [_Kept(len(self._places)) for _ in self._symbols]
        smirnov(np.arange(2.0), np.arange(2.0))  # compiled before there is a score
        self._thread = threading.Thread(target=self._run, name=f"health of {spec.key}", daemon=True)
        self._thread.start()

    def scored(self, which: int, ts_ns: int, mid2: int, vector: np.ndarray) -> None:
        """A moment that the network has just answered: venue time, mid in half ticks, its raw features."""
        if self._network is None:
            return
        line, kept = self._lines[which], self._kept[which]
        line.price(ts_ns, mid2)
        line.score(self._network.shares)
        if kept.newest_ns == NO_TIME or ts_ns - kept.newest_ns >= self._every_ns // SAMPLES:
            kept.take(vector[self._columns], ts_ns)
        if self._next_ns == NO_TIME:
            self._next_ns = ts_ns if self._reference is None else ts_ns + self._every_ns
        if ts_ns >= self._next_ns:
            self._next_ns = ts_ns + self._every_ns
            since_ns = ts_ns - self._every_ns  # who was not scored since is not active
            current = [kept.copy(at) for at, kept in enumerate(self._kept) if kept.newest_ns >= since_ns]
            self._asked.append(Look(ts_ns, current, list(self._whatever), list(self._sided)))

    def step(self, clock: SessionClock | None) -> None:
        """Once a step of the loop: send what the thread found.  What cannot be sent now waits."""
        while self._found and clock is not None:
            report = self._found[0]
            event, critical = event_of(report, clock.now()), report.confirmed and not self._has_holds
            try:
                self._send(event)
                if critical:
                    self._unwell(int(event["value"][0]))
            except (StreamAway, StreamFull):
                return
            self._found.popleft()
            self.counts = {"health_looks": self.counts["health_looks"] + 1, "health_verdict": int(event["code"][0])}

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def _run(self) -> None:
        """The thread: one look after the other, never two at once."""
        before: set[tuple[int, int]] = set()
        while not self._ending.wait(POLL_S):
            if not self._asked:
                continue
            report = look_at(self._asked.popleft(), self._reference, self._places, before)
            before = report.critical
            try:
                write_report(self._folder, report, self._symbols, self._names)
            except OSError as error:  # the figures are lost to the page, not to the kernel
                log.warning("health_not_written", session=self._folder.name, error=str(error))
            worst = [(self._names[p.feature], round(p.sigmas, 2)) for p in report.worst[:3]]
            log.info("health", verdict=report.verdict, confirmed=report.confirmed, why=report.why, worst=worst)
            self._found.append(report)


def event_of(report: Report, now_ns: int) -> np.ndarray:
    """One DRIFT EVENT (1,): code, worst shift in millionths of a sigma, pairs, hit rate and calibration error in ppm.

    `ref`: pairs that are not in their band; -1 ppm where a figure is not known.
    """
    code = DRIFT_NONE if report.verdict == NONE else (DRIFT_CRITICAL if report.confirmed else DRIFT_WARN)
    worst = max((pair.sigmas for pair in report.pairs), default=0.0)
    event = account_event(DRIFT, code, now_ns, value=min(round(worst * PPM), 1 << 60))
    event["ts_venue_ns"], event["qty"] = report.ts_ns, len(report.pairs)
    event["ref"] = sum(pair.severity != NONE for pair in report.pairs)
    rate = -1 if report.hits is None or report.hits.value is None else round(report.hits.value * PPM)
    event["score_ppm"], event["confidence_ppm"] = rate, round(report.calibration_error * PPM)
    return event
