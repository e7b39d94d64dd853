"""What the risk loop puts into its own inbox: timers, the state of the desk's links, the latch on disk.

Each becomes a journaled event, so that a replay needs no clock, no Redis and no disk.  Nothing here decides what the
events mean; the kernel does.  Called by the risk loop alone.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from marketdata.core.records import EVENT, FEED, NO_TIME
from marketdata.core.units import NANOS
from risk.core.holds import BIT
from trading.core.records import (
    COMMAND,
    KILL,
    LINK,
    LINK_DATABASE,
    LINK_LATCH,
    LINK_STREAM,
    RECEIPT,
    RECEIPT_DONE,
    RESET_HALT,
    TIMER,
)
from trading.run.journal.recovery import account_event
from trading.run.latch import LATCH_FILE
from trading.run.replica import Kernel

TIMERS_MAX = 5  # catch-up timers; a longer pause becomes one
DATABASE_GRACE_NS = 3 * NANOS  # the sinks' beat may be missing for so long (boot clock)
_KILL_BIT = BIT["KILL_SWITCH"]

Inputs = tuple[np.ndarray, np.ndarray, np.ndarray]  # EVENT (n,), stream ids (n, 2) int64, sender's boot ns (n,) int64


def no_inputs() -> Inputs:
    """Nothing."""
    return np.zeros(0, EVENT), np.zeros((0, 2), np.int64), np.zeros(0, np.int64)


def own_inputs(events: np.ndarray, boot: int) -> Inputs:
    """Events that no stream brought."""
    return events, np.zeros((len(events), 2), np.int64), np.full(len(events), boot, np.int64)


def gather(parts: list[np.ndarray]) -> np.ndarray:
    """EVENT arrays one after the other.  `np.concatenate` promotes every field of a record anew, 30 µs a call."""
    filled = [part for part in parts if len(part) > 0]
    if len(filled) == 1:
        return filled[0]
    return np.frombuffer(bytearray(b"".join([part.tobytes() for part in filled])), EVENT)


def join(parts: list[Inputs]) -> Inputs:
    """One after the other."""
    filled = [part for part in parts if len(part[0]) > 0]
    if not filled:
        return no_inputs()
    if len(filled) == 1:
        return filled[0]
    return (
        gather([part[0] for part in filled]),
        np.concatenate([part[1] for part in filled]),
        np.concatenate([part[2] for part in filled]),
    )


def due_timers(last_ns: int, now_ns: int) -> np.ndarray:
    """TIMER events for the whole session seconds in (last, now]: each, or the newest alone beyond TIMERS_MAX."""
    second = now_ns // NANOS
    first = second if last_ns == NO_TIME else last_ns // NANOS + 1
    if second - first >= TIMERS_MAX:
        first = second
    rows = [account_event(TIMER, 0, s * NANOS) for s in range(first, second + 1)]
    return gather(rows)


def weave_timers(inputs: Inputs, last_ns: int, boot: int) -> Inputs:
    """On a tape: before each market event, the timers that its time makes due.  Returns the woven inputs."""
    events, ids, boots = inputs
    market = events["kind"] <= FEED
    times = np.maximum.accumulate(np.where(market, events["ts_ns"], last_ns))
    parts: list[Inputs] = []
    start = 0
    for i in np.flatnonzero(times // NANOS > (NO_TIME if last_ns == NO_TIME else last_ns) // NANOS):
        timers = due_timers(last_ns, int(times[i]))
        if len(timers) > 0:
            parts += [(events[start:i], ids[start:i], boots[start:i]), own_inputs(timers, boot)]
            last_ns, start = int(timers["ts_ns"][-1]), int(i)
    parts.append((events[start:], ids[start:], boots[start:]))
    return join(parts)


class LatchWatch:
    """Turns the latch on disk into events.  `read()` gives the latch's identity, None while there is none.

    A latch kills once.  After RESET_HALT was accepted the same latch only keeps entries out until it is removed: unlock
    is a journaled command first, then the latch goes.
    """

    def __init__(self, read: Callable[[], object | None]) -> None:
        self._read = read
        self._forgiven: object | None = None

    def standing(self) -> bool:
        """True while the latch stands, forgiven or not."""
        return self._read() is not None

    def note(self, events: np.ndarray) -> None:
        """Follow the kernel's outputs: a reset that was accepted forgives the present latch."""
        kinds = events["kind"]
        reset = (kinds == RECEIPT) & (events["code"] == RECEIPT_DONE) & (events["value"] == RESET_HALT)
        if reset.any():
            self._forgiven = self._read()

    def due(self, kernel: Kernel, now_ns: int) -> np.ndarray:
        """Events that bring the kernel to the latch's state; empty when it is there."""
        account = kernel.state.account  # by field, not as a record: this runs in every step
        latched, killed = bool(account["latched"][0] == 1), bool(account["holds"][0] >> _KILL_BIT & 1)
        present = self._read()
        if present is None:
            self._forgiven = None
            if latched and not killed:
                return account_event(LINK, LINK_LATCH, now_ns, value=0)
        elif present == self._forgiven:
            if not latched:
                return account_event(LINK, LINK_LATCH, now_ns, value=1)
        elif not (latched and killed):
            return account_event(COMMAND, KILL, now_ns)
        return np.zeros(0, EVENT)


class LinkWatch:
    """Turns what the loop sees of database and streams into LINK events, one per change."""

    def __init__(self) -> None:
        self._database_seen_ns = NO_TIME
        self.stream_ok = False
        self.database_ok = False

    def saw_database(self, beating: bool, boot: int) -> None:
        """What a look at the sinks' beat gave, at boot clock `boot`."""
        if beating:
            self._database_seen_ns = boot
        self.database_ok = self._database_seen_ns != NO_TIME and boot - self._database_seen_ns <= DATABASE_GRACE_NS

    def due(self, kernel: Kernel, now_ns: int) -> np.ndarray:
        """LINK events for what the kernel does not know yet."""
        account = kernel.state.account
        rows = []
        for code, ours, its in (
            (LINK_STREAM, self.stream_ok, account["stream_ok"][0]),
            (LINK_DATABASE, self.database_ok, account["database_up"][0]),
        ):
            if int(ours) != its:
                rows.append(account_event(LINK, code, now_ns, value=int(ours)))
        return gather(rows)


def latch_identity(guard: Path) -> tuple[int, int] | None:
    """Which latch stands in the guard's folder (inode, time of writing in ns); None while there is none.

    One `stat`, cheap enough for every send.  A latch that cannot be looked at counts as one that stands.
    """
    try:
        stat = (guard / LATCH_FILE).stat()
    except FileNotFoundError:
        return None
    except OSError:
        return 0, 0
    return stat.st_ino, stat.st_mtime_ns
