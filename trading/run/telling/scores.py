"""What the inference loop sees of itself: how long features and scores take, and whether its network answers.

Stages `features` and `ml` of LATENCY (MOEX-MON-04), ENSEMBLE_WEAK and ML_FALLBACK (MOEX-ML-02, -03): of shares alone.
Durations are kept while an entry is scored and looked at after its scores have left.  So is the memory of the process,
which hosts the runtimes of the models (MOEX-DATA-13): above its limits what nobody uses any more is given back, once a
crossing; the windows of the features are of a fixed size and stay, for a score of emptied ones would be another score.
"""

import gc
from collections import deque
from collections.abc import Callable

import numpy as np
import structlog

from marketdata.engine.memory import INFERENCE_LIMITS, NOTHING, TRIM, MemoryGuard
from marketdata.engine.telling import BY_INFERENCE, memory
from risk.core.records import MES
from trading.run.clock import SessionClock
from trading.run.spec import SessionSpec, watch_of
from trading.run.streams import StreamAway, StreamFull
from trading.run.telling.conditions import Conditions
from trading.run.telling.network import NetworkWatch
from trading.run.telling.stages import Stages

ACTS_MAX = 16  # of the guard that wait for the inbox
log = structlog.get_logger("trading.inference")


class ScoreWatch:
    """One holding of the inference loop.  `send` appends to the inbox; it raises while it cannot."""

    def __init__(
        self, spec: SessionSpec, send: Callable[[np.ndarray], object], guard: MemoryGuard | None = None
    ) -> None:
        self._send = send
        self._guard = MemoryGuard(INFERENCE_LIMITS) if guard is None else guard
        self._acts: deque[np.ndarray] = deque(maxlen=ACTS_MAX)
        conditions = Conditions(spec.limits.get("rules", MES))
        self._conditions, self._watched = conditions, conditions.knows("LATENCY")
        self._stages = Stages(conditions, watch_of(spec), "inference")
        self.network = NetworkWatch(conditions, watch_of(spec)["fallback"])
        self._took: list[tuple[str, int]] = []

    def took(self, stage: str, ns: int) -> None:
        """One duration."""
        if self._watched:
            self._took.append((stage, ns))

    def step(self, clock: SessionClock | None) -> None:
        """Once a step of the loop, after its scores have left.  Nobody waits for a tape: its durations say nothing."""
        if clock is not None:
            self._mind_memory(clock.now())
        if not self._watched or clock is None:
            self._took.clear()
            return
        now_ns = clock.now()
        if not clock.tape:
            for stage, ns in self._took:
                self._stages.sample(stage, ns, now_ns)
            self._stages.look(now_ns)
        self._took.clear()
        self.network.look(now_ns)
        self._conditions.tell(now_ns, self._send)

    def _mind_memory(self, now_ns: int) -> None:
        """What the guard does, and the METRIC of it."""
        due = self._guard.due(now_ns)
        if due != NOTHING:
            log.warning("memory", resident_bytes=self._guard.rss, due=due)
            gc.collect()
            self._acts.append(memory(1 if due == TRIM else 2, self._guard.rss, now_ns, BY_INFERENCE))
        try:
            while self._acts:
                self._send(self._acts[0])
                self._acts.popleft()
        except (StreamAway, StreamFull):
            return  # it is told with a later step

    def shown(self) -> dict[str, object]:
        """Figures for the loop's beat."""
        return self._stages.shown()
