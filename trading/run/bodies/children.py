"""Entries of shares that never leave: what the kernel took back before it was sent, and what hangs on it.

A hold that stops entries cancels them in the step that raises it: an intent whose CANCEL lies behind it in the outbox
was made under an older epoch of holds (MOEX-RISK-09); it is answered CANCELLED here, its CANCEL by nothing.  A passive
child whose first child was refused at our own edge is dropped likewise (MOEX-ROUTE-04).  What the venue knows is none
of these: the execution loop, which uses this, looks it up first.
"""

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.core.records import NO_TIME, new_events
from trading.core.records import (
    CANCEL,
    CANCELLED,
    CANCELLED_UNSENT,
    ENTRY,
    FILL_AND_KILL,
    PASSIVE,
    REJECTED_EXPIRED,
    REJECTED_LATCHED,
    SUBMIT,
)
from trading.run.bodies.reconcile import own_answer
from trading.run.bodies.risk_inputs import latch_identity
from trading.run.streams import StreamId

REMEMBERED = 256  # latest entries that never left
CHILDREN = (FILL_AND_KILL, PASSIVE)

_NOTHING = new_events(0)


class Output(NamedTuple):
    """One output of the kernel that waits to be served."""

    id: StreamId
    event: np.ndarray  # (1,) EVENT
    again: bool  # may have been sent before: look it up


def refusal_of(row: np.void, guard: Path, now_ns: int) -> int:
    """Why an entry's SUBMIT may not leave now: the latch stands or it is too old; 0: it may, as may everything else."""
    if row["kind"] != SUBMIT or row["role"] != ENTRY:
        return 0
    if latch_identity(guard) is not None:
        return REJECTED_LATCHED
    return REJECTED_EXPIRED if row["until_ns"] != NO_TIME and row["until_ns"] < now_ns else 0


def is_child(row: np.void) -> bool:
    """Whether this output sends an entry of shares."""
    return bool(row["kind"] == SUBMIT and row["role"] == ENTRY and row["order_type"] in CHILDREN)


class Unsent:
    """The children that never left, by number."""

    def __init__(self) -> None:
        self._numbers: deque[int] = deque(maxlen=REMEMBERED)

    def note(self, row: np.void) -> None:
        """This output is refused at our own edge."""
        if is_child(row):
            self._numbers.append(int(row["order_number"]))

    def stays(self, row: np.void, pending: Iterable[Output]) -> bool:
        """Whether this output must not go to the venue.  `pending`: what the outbox holds."""
        number = int(row["order_number"])
        if row["kind"] == CANCEL:
            return number in self._numbers
        if not is_child(row):
            return False
        if row["order_type"] == PASSIVE and number - 1 in self._numbers:
            return True
        found = (output.event[0] for output in pending)
        return any(other["kind"] == CANCEL and other["order_number"] == number for other in found)

    def answer(self, event: np.ndarray, now_ns: int) -> np.ndarray:
        """What the kernel hears of an output that stays: CANCELLED of a child, nothing of its CANCEL."""
        if not is_child(event[0]):
            return _NOTHING
        self.note(event[0])
        return own_answer(event, CANCELLED, CANCELLED_UNSENT, now_ns)
