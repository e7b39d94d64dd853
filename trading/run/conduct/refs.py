"""Which of the venue's answers count: those that the kernel takes (`trading.core.answers`), and no others.

Each number once, in the venue's order; what stands behind a gap comes again, after the kernel has asked for it.  Pure.
Used by `money` and `orders`.
"""

from typing import Any

from trading.core.records import ACK, CANCELLED, FILL, REJECT, UNKNOWN_OUTCOME

ANSWERS = (ACK, FILL, REJECT, CANCELLED, UNKNOWN_OUTCOME)


class Taken:
    """One journal from its first frame.  `ref`: number of the last answer that was taken."""

    def __init__(self) -> None:
        self.ref = 0

    def note(self, e: Any) -> bool:
        """Whether this answer counts; to be asked of every answer, in order."""
        ref = int(e["ref"])
        if ref not in (0, self.ref + 1):  # the desk's own answers have no number
            return False
        self.ref = max(self.ref, ref)
        return True
