"""What the risk loop sees by itself and puts into its own journal: books that stay away, a step that is too slow.

HEARTBEAT (MOEX-MON-05), stage `risk` of LATENCY (MOEX-MON-04), and a clock that is off (T-09), or that none is
watched any more.  A state whose checkpoints are gone is told once, at the start that found it so.  Used by the risk
loop alone.
"""

import numpy as np

from marketdata.core.units import NANOS
from risk.core.holds import BIT
from risk.core.records import MES
from trading.core.records import CONDITION
from trading.run.bodies.risk_inputs import gather
from trading.run.clock import SessionClock, boot_ns
from trading.run.journal.recovery import account_event
from trading.run.replica import Kernel
from trading.run.spec import SessionSpec, watch_of
from trading.run.telling.conditions import Conditions
from trading.run.telling.heartbeat import Heartbeat
from trading.run.telling.stages import Stages
from trading.run.telling.timeserver import TimeWatch

LOOK_NS = NANOS // 4  # boot clock
_NOTHING = account_event(CONDITION, 0, 0)[:0]


class RiskWatch:
    """One holding of the risk loop."""

    def __init__(self, spec: SessionSpec, clock: SessionClock, time: TimeWatch | None = None) -> None:
        self._clock = clock
        self._conditions = Conditions(spec.limits.get("rules", MES))
        self._watched = self._conditions.knows("LATENCY") and not clock.tape  # nobody waits for a tape
        self._stages = Stages(self._conditions, watch_of(spec), "risk")
        self._heartbeat = Heartbeat(watch_of(spec)["heartbeat"], clock.start_ns)
        self._time = None if clock.tape else time
        self._next_ns = 0

    def stepped(self, took_ns: int) -> None:
        """One batch of the kernel's."""
        if self._watched:
            self._stages.sample("risk", took_ns, self._clock.now())

    def shown(self) -> dict[str, object]:
        """Figures for the loop's beat."""
        shown = {} if not self._watched else self._stages.shown()
        if self._time is not None and (found := self._time.offset(boot_ns())) is not None:
            shown = shown | {"clock_offset_us": found.offset_ns // 1000}
        return shown

    def due(self, kernel: Kernel, now_ns: int) -> np.ndarray:
        """CONDITION EVENTs (n,) that the kernel does not know yet; looks every LOOK_NS."""
        boot = boot_ns()
        if boot < self._next_ns:
            return _NOTHING
        self._next_ns = boot + LOOK_NS
        parts = []
        if self._watched:
            self._stages.look(now_ns)
            parts.append(self._heartbeat.due(kernel, now_ns))
        if self._time is not None and (off := self._time.is_off(boot)) is not None:
            self._conditions.set("CLOCK_OFFSET", *off)
        if self._time is None and int(kernel.state.account[0].holds) >> BIT["CLOCK_OFFSET"] & 1:
            parts.append(account_event(CONDITION, BIT["CLOCK_OFFSET"], now_ns))  # of a holder that asked
        parts.append(self._conditions.due(now_ns, boot))
        self._conditions.note(parts[-1], boot)
        return gather(parts)


def state_lost(now_ns: int) -> np.ndarray:
    """The CONDITION (1,) that says so: a person must look at the disk, though the journal gave the state again."""
    return account_event(CONDITION, BIT["STATE_LOST"], now_ns, value=1)
