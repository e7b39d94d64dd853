"""Whether the network of a session is as healthy as when it was made: seen beside the inference loop (T-06).

The loop hands over each scored moment, which costs it microseconds; every half hour of venue time a thread compares
what came together with the reference of the artifact, writes one line a pair into the day's file and the whole report
beside it, and the loop sends one DRIFT event, which is in the journal like every other (MOEX-MON-03).  A network
without a reference is told at its first score, and again each time: unknown is never healthy.  Memory is bounded by the
number of instruments.  The kernel decides what stops; a rulebook without drift's holds has MODEL_BLOCKED for what is
confirmed.  A look that fails, and a thread that ended, are warnings.  A holder that takes over goes on with what the
one before left in the folder: outcomes, what was critical, and since when.
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
from trading.learning.health.drift import NONE, SAMPLE_MIN, smirnov
from trading.learning.health.evaluation import Current, Look, Report, failed, look_at
from trading.learning.health.outcomes import KEPT, Line, Outcome, Wanted
from trading.learning.health.reference import watched_places
from trading.learning.scoring import NetworkScorer, Scorer
from trading.run.clock import SessionClock
from trading.run.health.files import Carried, read_carried, write_carried, write_report
from trading.run.journal.recovery import account_event
from trading.run.spec import SessionSpec
from trading.run.streams import StreamAway, StreamFull
from trading.run.telling.conditions import Conditions

SAMPLES = 100  # values of each feature that are compared, the last ones
STOP_S = 2.0
POLL_S = 0.2
FOUND_MAX = 2  # reports that wait for the loop
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
        self._found: deque[Report] = deque()
        self._between = threading.Lock()  # of what is found
        self._telling: Report | None = None
        self._is_sent = self._is_ended = False
        self.counts = {"health_looks": 0, "health_verdict": NONE}
        self._network = scorer if isinstance(scorer, NetworkScorer) else None
        if self._network is None:
            return
        manifest, self._reference = self._network.artifact.manifest, self._network.artifact.reference
        self._names = self._network.schema.names
        self._places = watched_places(self._network.schema)
        self._columns = np.array(self._places)
        self._every_ns = round(self._network.health_s * NANOS)
        self._id = "" if self._reference is None else self._reference.id
        carried = read_carried(folder, self._id)
        self._before, self._carried_ns = set(carried.before), carried.ts_ns
        self._newest_ns, self._covered_ns = NO_TIME, 0
        self._whatever: deque[Outcome] = deque(carried.whatever, maxlen=KEPT)
        self._sided: deque[Outcome] = deque(carried.sided, maxlen=KEPT)
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
        self._cover(ts_ns)
        if self._covered_ns >= self._every_ns:
            self._covered_ns = 0
            since_ns = ts_ns - self._every_ns  # who was not scored since is not active
            current = [kept.copy(at) for at, kept in enumerate(self._kept) if kept.newest_ns >= since_ns]
            self._asked.append(Look(ts_ns, current, list(self._whatever), list(self._sided)))

    def _cover(self, ts_ns: int) -> None:
        """Count the time that scores cover: a silence is no part of it, so that no look rests on the first few values
        behind a break.  A holder that took over counts from the last look, yet sees a quarter of the span itself.
        """
        if self._newest_ns != NO_TIME:
            self._covered_ns += min(max(0, ts_ns - self._newest_ns), self._every_ns // SAMPLE_MIN)
        elif self._reference is None:
            self._covered_ns = self._every_ns
        elif self._carried_ns != NO_TIME:
            self._covered_ns = min(max(0, ts_ns - self._carried_ns), self._every_ns - self._every_ns // 4)
        self._newest_ns = max(self._newest_ns, ts_ns)

    def step(self, clock: SessionClock | None) -> None:
        """Once a step of the loop: send what the thread found, each part once.  What cannot be sent now waits."""
        self._mind_thread()
        while clock is not None and self._takes():
            report = self._telling
            assert report is not None
            event, critical = event_of(report, clock.now()), report.confirmed and not self._has_holds
            try:
                if not self._is_sent:
                    self._send(event)
                    self._is_sent = True
                if critical:
                    self._unwell(int(event["value"][0]))
            except (StreamAway, StreamFull):
                return
            self._telling = None
            self.counts = {"health_looks": self.counts["health_looks"] + 1, "health_verdict": int(event["code"][0])}

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def _run(self) -> None:
        """The thread: one look after the other, never two at once."""
        while not self._ending.wait(POLL_S):
            if not self._asked:
                continue
            look = self._asked.popleft()
            try:
                report = look_at(look, self._reference, self._places, self._before)
            except Exception as error:  # whatever it was: the thread goes on, and unknown is never healthy
                log.exception("health_look_failed", session=self._folder.name)
                report = failed(look.ts_ns, f"the look failed: {error!r}")
            else:
                self._before = report.carried(self._before)
            try:
                self._write(report, Carried(look.ts_ns, self._id, sorted(self._before), look.whatever, look.sided))
            finally:
                self._put(report)
            worst = [(self._names[p.feature], round(p.sigmas, 2)) for p in report.worst[:3]]
            log.info("health", verdict=report.verdict, confirmed=report.confirmed, why=report.why, worst=worst)

    def _write(self, report: Report, carried: Carried | None) -> None:
        try:
            write_report(self._folder, report, self._symbols, self._names)
            if carried is not None:
                write_carried(self._folder, carried)
        except OSError as error:  # the figures are lost to the page, not to the kernel
            log.warning("health_not_written", session=self._folder.name, error=str(error))

    def _put(self, report: Report) -> None:
        """One more for the loop; where too many wait, the last two become the worse of them, the newer where equal."""
        with self._between:
            while len(self._found) >= FOUND_MAX:
                report = max(report, self._found.pop(), key=lambda one: (one.confirmed, one.verdict))
            self._found.append(report)

    def _takes(self) -> bool:
        """Whether there is a report to tell: the one that waits, else the oldest that was found."""
        with self._between:
            if self._telling is None and self._found:
                self._telling, self._is_sent = self._found.popleft(), False
        return self._telling is not None

    def _mind_thread(self) -> None:
        """A thread that ended by itself is told once: from here on nothing is known."""
        if self._thread is None or self._is_ended or self._ending.is_set() or self._thread.is_alive():
            return
        self._is_ended = True
        log.error("health_thread_ended", session=self._folder.name)
        report = failed(self._newest_ns, "nobody looks any more: the watcher's thread has ended")
        self._put(report)
        self._write(report, None)


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
    error = -1 if report.calibration_error is None else round(report.calibration_error * PPM)
    event["score_ppm"], event["confidence_ppm"] = rate, error
    return event
