"""What the inference loop sees of itself: how long features and scores take, and whether its network answers.

Stages `features` and `ml` of LATENCY (MOEX-MON-04), ENSEMBLE_WEAK and ML_FALLBACK (MOEX-ML-02, -03): of shares alone.
Durations are kept while an entry is scored and looked at after its scores have left.
"""

from collections.abc import Callable

import numpy as np

from risk.core.records import MES
from trading.run.clock import SessionClock
from trading.run.spec import SessionSpec, watch_of
from trading.run.telling.conditions import Conditions
from trading.run.telling.network import NetworkWatch
from trading.run.telling.stages import Stages


class ScoreWatch:
    """One holding of the inference loop.  `send` appends to the inbox; it raises while it cannot."""

    def __init__(self, spec: SessionSpec, send: Callable[[np.ndarray], object]) -> None:
        self._send = send
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

    def shown(self) -> dict[str, object]:
        """Figures for the loop's beat."""
        return self._stages.shown()
