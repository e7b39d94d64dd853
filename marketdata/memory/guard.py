"""May this be loaded?  The verdict on an estimate, and the size of a chunk where the answer is no (MES-MEM-04 to -06).

The check is on by default; a caller that skips it says why, and that is logged (MES-MEM-09).  The refusal carries both
numbers and the command that does the same work in bounded memory.  It loads nothing itself.
"""

import logging
from dataclasses import asdict, dataclass
from fractions import Fraction

from marketdata.memory.available import MIB, Available, available

WARN_ABOVE = Fraction(70, 100)
REFUSE_ABOVE = Fraction(90, 100)
CHUNK_ROWS_MIN, CHUNK_ROWS_MAX, CHUNK_ROWS_UNKNOWN = 1_000, 10_000_000, 100_000
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result record of MES-MEM-05; sizes in MiB, `usage_ratio` = estimate / available (None: nothing is free)."""

    can_load: bool
    estimated_mb: float
    available_mb: float
    total_mb: float
    usage_ratio: float | None
    reason: str
    warning: str
    limited_by: str

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


class MemoryRefused(Exception):
    """A load that would not fit.  Attributes: required_mib, available_mib, limited_by, instead (what to do)."""

    def __init__(self, what: str, verdict: Verdict, instead: str) -> None:
        self.required_mib, self.available_mib = verdict.estimated_mb, verdict.available_mb
        self.limited_by, self.instead, self.verdict = verdict.limited_by, instead, verdict
        super().__init__(f"{what}: {verdict.reason}; {instead}")


def judge(estimate_bytes: int, room: Available) -> Verdict:
    """Above 0.90 refuses, above 0.70 warns; exactly 0.70 does not warn, exactly 0.90 does not refuse (MES-MEM-04)."""
    ratio = Fraction(estimate_bytes, room.bytes) if room.bytes > 0 else None
    fits = ratio is not None and ratio <= REFUSE_ABOVE
    words = (
        f"needs about {estimate_bytes / MIB:.1f} MiB of memory, and {room.bytes / MIB:.1f} MiB are available"
        f" (limited by {room.limited_by})"
    )
    tight = f"{words}: more than {float(WARN_ABOVE):.0%}" if fits and ratio is not None and ratio > WARN_ABOVE else ""
    return Verdict(
        can_load=fits,
        estimated_mb=estimate_bytes / MIB,
        available_mb=room.bytes / MIB,
        total_mb=room.total_bytes / MIB,
        usage_ratio=None if ratio is None else float(ratio),
        reason="" if fits else f"{words}: more than {float(REFUSE_ABOVE):.0%}",
        warning="; ".join(filter(None, (tight, room.warning))),
        limited_by=room.limited_by,
    )


def check(what: str, estimate_bytes: int, instead: str, room: Available | None = None, *, skip: str = "") -> Verdict:
    """The verdict on loading `what`.  Raises MemoryRefused, unless `skip` says why the check does not count."""
    verdict = judge(estimate_bytes, available() if room is None else room)
    if verdict.warning:
        log.warning("%s: %s", what, verdict.warning)
    if not verdict.can_load:
        if not skip:
            raise MemoryRefused(what, verdict, instead)
        log.warning("%s: %s, but the memory check was skipped: %s", what, verdict.reason, skip)
    elif skip:
        log.warning("%s: the memory check was skipped: %s", what, skip)
    return verdict


def chunk_rows(available_bytes: int | None, row_bytes: int) -> int:
    """Rows of a chunk: a quarter of what is available, within 1,000 .. 10,000,000; 100,000 when it is unknown."""
    if available_bytes is None or row_bytes <= 0:
        return CHUNK_ROWS_UNKNOWN
    return min(max(available_bytes // (4 * row_bytes), CHUNK_ROWS_MIN), CHUNK_ROWS_MAX)
