"""The memory guard: what the process that owns the rings really uses now, and the edges at which it must let go.

MOEX-DATA-13.  Resident memory NOW: its peak never falls, so that a guard on the peak would wipe data for ever.  Each
level acts once a crossing and is armed again below 90 % of its limit.  It only says what is due; `live` does it.
"""

import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marketdata.memory.available import MIB

SAMPLE_NS = 1_000_000_000  # at most once a second
REARM_PERCENT = 90
NOTHING, TRIM, CLEAR = "nothing", "trim", "clear"
PAGE_BYTES = resource.getpagesize()
STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes above which a level acts; exactly the limit does nothing."""

    soft: int = 400 * MIB
    hard: int = 700 * MIB

    def __post_init__(self) -> None:
        if not 0 < self.soft < self.hard:
            raise ValueError(f"memory limits must be 0 < soft < hard, not {self.soft} and {self.hard}")


INFERENCE_LIMITS = Limits(1500 * MIB, 2500 * MIB)


def rss_bytes() -> int:
    """Resident memory of this process at this moment.  Raises OSError where the system does not tell."""
    return int(STATM.read_text().split()[1]) * PAGE_BYTES


class MemoryGuard:
    """Asks `sampler` for the resident bytes; `due` answers NOTHING, TRIM (soft) or CLEAR (hard)."""

    def __init__(self, limits: Limits | None = None, sampler: Callable[[], int] = rss_bytes) -> None:
        self.limits = Limits() if limits is None else limits
        self._sampler = sampler
        self._soft_armed = self._hard_armed = True
        self._sampled_ns: int | None = None
        self.rss = 0  # bytes at the last sample
        self.acted = {TRIM: 0, CLEAR: 0}

    def due(self, now_ns: int) -> str:
        """What is to be done now.  A call within a second of the last sample is NOTHING."""
        if self._sampled_ns is not None and now_ns - self._sampled_ns < SAMPLE_NS:
            return NOTHING
        self._sampled_ns = now_ns
        self.rss = self._sampler()
        self._soft_armed = self._soft_armed or self._is_below(self.limits.soft)
        self._hard_armed = self._hard_armed or self._is_below(self.limits.hard)
        if self.rss > self.limits.hard and self._hard_armed:
            self._hard_armed = self._soft_armed = False  # clearing is more than trimming
            self.acted[CLEAR] += 1
            return CLEAR
        if self.rss > self.limits.soft and self._soft_armed:
            self._soft_armed = False
            self.acted[TRIM] += 1
            return TRIM
        return NOTHING

    def _is_below(self, limit: int) -> bool:
        return self.rss * 100 < limit * REARM_PERCENT
