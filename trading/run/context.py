"""What a loop is given when it starts, and what it must look like: the contract between runner and bodies.

The runner (`loops.py`) owns lease, fence, heartbeat and stop flag; a body owns one loop's work and nothing else.  A
body never acquires a lease, never waits past 0.2 s, never catches what it does not understand: the runner logs and
restarts it.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import redis

from trading.run.spec import SessionSpec

WAIT_S = 0.2  # longest wait inside one step, so that stop and heartbeat are never late
LOOPS = ("feed", "inference", "risk", "execution", "sinks")


class Fenced(RuntimeError):
    """A newer holder has this loop.  Raised by journal, streams and venue alike; the body must stop at once."""


class CannotOpen(RuntimeError):
    """What a body is to work with is broken (an artifact, an option): trying again at once changes nothing."""


def no_beat(numbers: Mapping[str, object]) -> None:
    """A heartbeat that nobody reads: for bodies driven by hand."""


def never_overdue() -> bool:
    """A lease that cannot run out: for bodies driven by hand."""
    return False


@dataclass(frozen=True)
class LoopContext:
    """One loop of one session, as its present holder sees it.

    `beat(numbers)` tells the runner that the loop made progress and what it shows (queue length, state, counts);
    `overdue()` is True once the lease may have run out unseen: checked before a side effect; `guard` is the
    folder with the latch; `connect()` makes a new redis client (bytes, not text); `code_hash` names the code (hex);
    `time_server`: who is asked for the time, None: nobody (T-09).
    """

    folder: Path
    spec: SessionSpec
    loop: str
    fence: int
    connect: Callable[[], "redis.Redis"]
    guard: Path
    code_hash: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    beat: Callable[[Mapping[str, object]], None] = no_beat
    overdue: Callable[[], bool] = never_overdue
    time_server: tuple[str, int] | None = None


class Body(Protocol):
    """One loop's work.  `step` handles one bounded batch, waits at most WAIT_S, returns how many items it handled."""

    def open(self, context: LoopContext) -> None: ...

    def step(self) -> int: ...

    def close(self) -> None: ...
