"""How long the stages of a loop take, against their limits: hold LATENCY, one condition a stage (MOEX-MON-04).

The third sample in a row above its limit puts a stage out; it is in again after 60 s without such a one and, but for
the broker, ten good samples.  Durations are the machine's, the 60 s are the session's.  A loop that takes over knows
nothing of the one before it and earns each stage anew.  A tape that is played as fast as it goes has no durations that
mean anything: nothing is measured there.
"""

from collections.abc import Mapping

import structlog

from marketdata.core.records import NO_TIME
from trading.core.watch.told import STAGES
from trading.run.clock import boot_ns
from trading.run.telling.conditions import Conditions
from trading.run.telling.histogram import QUANTILES, Histogram

BREACHES = 3  # in a row
GOOD = 10  # samples since the last breach
QUIET_NS = 60_000_000_000  # without a breach, session clock
UNCOUNTED = ("broker",)  # ends by time alone: a desk that may not enter sends nothing that could be measured
SHOW_NS = 1_000_000_000  # boot clock; quantiles are made anew so often
log = structlog.get_logger("trading.latency")


class _Stage:
    """One stage: what has happened since its last breach."""

    def __init__(self, limit_ns: int, now_ns: int) -> None:
        self.limit_ns = limit_ns
        self.since_ns = now_ns  # of the last breach, at first of the loop's begin
        self.breaches = self.good = 0
        self.slow: bool | None = None  # None: whatever the loop before said still stands
        self.histogram = Histogram()


class Stages:
    """The stages of one loop.  `limits`: names of STAGES → ns; a stage without a limit is not watched."""

    def __init__(self, conditions: Conditions, limits: Mapping[str, int], loop: str) -> None:
        self._conditions, self._limits, self._loop = conditions, limits, loop
        self._stages: dict[str, _Stage] = {}
        self.counts = {"breaches": 0, "unknown": 0}
        self._shown: dict[str, object] = {}
        self._next_ns = 0

    def begin(self, now_ns: int, *names: str) -> None:
        """From now on these stages are this loop's; a name that is no stage is counted and ignored."""
        for name in names:
            if name not in STAGES:
                self.counts["unknown"] += 1
            elif name in self._limits and name not in self._stages:
                self._stages[name] = _Stage(self._limits[name], now_ns)

    def sample(self, name: str, took_ns: int, now_ns: int) -> None:
        """One duration of a stage (ns), measured at session time `now_ns`."""
        if now_ns == NO_TIME:
            return
        if name not in self._stages:
            self.begin(now_ns, name)
        stage = self._stages.get(name)
        if stage is None:
            return
        stage.histogram.add(took_ns, boot_ns())
        if took_ns <= stage.limit_ns:
            stage.breaches = 0
            stage.good += 1
            return
        self.counts["breaches"] += 1
        stage.breaches += 1
        stage.good, stage.since_ns = 0, now_ns
        if stage.breaches < BREACHES:
            return
        stage.breaches = 0
        stage.slow = True
        self._conditions.set("LATENCY", True, took_ns, stage=STAGES.index(name))
        log.warning("stage_slow", loop=self._loop, stage=name, took_ms=took_ns / 1e6, limit_ms=stage.limit_ns / 1e6)

    def look(self, now_ns: int) -> None:
        """Let in again what has earned it by session time `now_ns`."""
        for name, stage in self._stages.items():
            if stage.slow is False or now_ns - stage.since_ns < QUIET_NS:
                continue
            if stage.good < GOOD and name not in UNCOUNTED:
                continue
            if stage.slow:
                log.info("stage_good", loop=self._loop, stage=name)
            stage.slow = False
            self._conditions.set("LATENCY", False, stage=STAGES.index(name))

    def shown(self) -> dict[str, object]:
        """p50, p95 and p99 of every stage in µs, of the last minute and (`…_all`) of this holding, once a second."""
        boot = boot_ns()
        if boot >= self._next_ns:
            self._next_ns = boot + SHOW_NS
            self._shown = {}
            for name, stage in self._stages.items():
                for tail, found in (("", stage.histogram.minute(boot)), ("_all", stage.histogram.whole())):
                    for percent, ns in zip(QUANTILES, found, strict=False):
                        self._shown[f"{name}_us_p{percent}{tail}"] = round(ns / 1000, 1)
        return self._shown
