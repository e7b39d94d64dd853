"""The generic runner: one loop under a lease, from taking it to handing it over.

Lease, fence, heartbeat, stop flag, anticipated errors and figures live here; a body does one loop's work and no more.
The lease is renewed only while the body makes progress, so a hung loop hands over.  A store that does not answer ends
nothing: the holder goes on under its fence, and the journal decides who may act.  Called by the shell's task and by
tests; no Django here.
"""

import gc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import structlog

from trading.brokers.port import Unreachable
from trading.run.clock import boot_ns
from trading.run.context import Body, CannotOpen, Fenced, LoopContext
from trading.run.streams import StreamAway, StreamFull

TTL_S = 3.0
RENEW_S = 1.0
STALL_S = 5.0  # a step that has not come back for so long is hung
OPEN_S = 120.0  # opening may replay a journal and compile; a body that beats while opening is never hung
RETRY_S = 0.2  # after an anticipated failure
OPEN_WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # between tries to open what is broken; after the last one no more
CANNOT_OPEN, GIVEN_UP = "cannot_open", "given_up"  # states
IDLE_S = 1.0
RELEASE_TRIES = 4  # each waits for the store's own time-out
ANTICIPATED = (StreamAway, StreamFull, Unreachable)
SECOND = 1_000_000_000
log = structlog.get_logger("trading.loops")


class StoreAway(RuntimeError):
    """The lease store does not answer.  Not a lost lease."""


class Renewal(Enum):
    """What the store says about a lease that we held."""

    KEPT = "kept"
    UNWANTED = "unwanted"  # kept, but nobody wants the loop any more: stop and release
    LOST = "lost"


class LeaseStore(Protocol):
    """Where leases rest.  Times are the machine's boot clock; every call raises StoreAway when it gets no answer."""

    def acquire(self, name: str, now_ns: int, expires_ns: int) -> int | None:
        """The new fence, or None: somebody holds it, or nobody wants it."""
        ...

    def renew(self, name: str, fence: int, now_ns: int, expires_ns: int, shown: Mapping[str, object]) -> Renewal: ...

    def release(self, name: str, fence: int, free_at_ns: int, shown: Mapping[str, object]) -> None:
        """Give it up; nobody may take it before `free_at_ns` (0 = at once)."""
        ...

    def close(self) -> None:
        """End of a thread that used the store."""
        ...


class Lease:
    """One lease as its holder sees it.  The deadline is taken before each call: never later than the store's."""

    def __init__(
        self, store: LeaseStore, name: str, *, ttl_s: float = TTL_S, clock: Callable[[], int] = boot_ns
    ) -> None:
        self.store, self.name, self.clock = store, name, clock
        self.ttl_ns = round(ttl_s * SECOND)
        self.fence = 0
        self.away = False
        self._deadline_ns = 0

    def acquire(self) -> bool:
        """Take it if it is free and wanted.  Raises StoreAway."""
        now = self.clock()
        fence = self.store.acquire(self.name, now, now + self.ttl_ns)
        if fence is None:
            return False
        self.fence, self._deadline_ns = fence, now + self.ttl_ns
        return True

    def renew(self, shown: Mapping[str, object]) -> Renewal:
        """Ask for another ttl.  A store that is away keeps the lease: its fence still stands in the journal."""
        now = self.clock()
        try:
            answer = self.store.renew(self.name, self.fence, now, now + self.ttl_ns, shown)
        except StoreAway:
            self.away = True
            self._deadline_ns = max(self._deadline_ns, self.clock() + self.ttl_ns)
            return Renewal.KEPT
        self.away = False
        if answer is not Renewal.LOST:
            self._deadline_ns = now + self.ttl_ns
        return answer

    def overdue(self) -> bool:
        """True once somebody else may hold it: the process slept, or the renewer is stuck."""
        return self.clock() > self._deadline_ns

    def release(self, shown: Mapping[str, object], free_in_s: float = 0.0) -> None:
        """Hand it over.  With the store away it runs out by itself."""
        free_at = self.clock() + round(free_in_s * SECOND) if free_in_s > 0 else 0
        for attempt in range(RELEASE_TRIES):
            try:
                self.store.release(self.name, self.fence, free_at, shown)
                return
            except StoreAway as error:
                log.warning("lease_not_released", lease=self.name, attempt=attempt + 1, error=str(error))


@dataclass
class Figures:
    """What one run of a loop counted.  Written by the loop's thread, read by the renewer's."""

    state: str = "opening"
    steps: int = 0
    items: int = 0
    busy_ns: int = 0
    errors: int = 0
    last_error: str = ""
    since_ns: int = 0
    body: dict[str, object] = field(default_factory=dict)

    def shown(self) -> dict[str, object]:
        """Plain values for the lease row and the screen."""
        own = {name: getattr(self, name) for name in ("state", "steps", "items", "busy_ns", "errors", "last_error")}
        return {**self.body, **own, "since_boot_ns": self.since_ns}


class Runner:
    """One run of one body under one lease.  `run` returns how it ended; an unexpected error is logged and raised."""

    def __init__(
        self,
        body: Body,
        lease: Lease,
        make_context: Callable[["Runner"], LoopContext],
        *,
        stop: threading.Event,
        renew_s: float = RENEW_S,
        stall_s: float = STALL_S,
        open_waits_s: Sequence[float] = OPEN_WAITS_S,
        show: Callable[[Mapping[str, object]], None] | None = None,
    ) -> None:
        self.body, self.lease, self.make_context, self.stop = body, lease, make_context, stop
        self.renew_s, self.stall_s, self.open_waits_s, self.show = renew_s, stall_s, open_waits_s, show
        self.figures = Figures()
        self._progress_ns = 0
        self._opened = threading.Event()
        self._ended = threading.Event()
        self._verdict = Renewal.KEPT

    def beat(self, numbers: Mapping[str, object]) -> None:
        """The body made progress and shows these figures."""
        self.figures.body = dict(numbers)
        self._progress_ns = self.lease.clock()

    def run(self) -> str:
        """Returns "busy", "stopped", "unwanted", "lost" or "fenced".  Raises the body's unexpected error; StoreAway."""
        if not self.lease.acquire():
            return "busy"
        self._progress_ns = self.figures.since_ns = self.lease.clock()
        bound = log.bind(lease=self.lease.name, fence=self.lease.fence)
        bound.info("loop_taken")
        renewer = threading.Thread(target=self._keep, name=f"lease {self.lease.name}", daemon=True)
        renewer.start()
        ended, free_in_s = "failed", 0.0
        try:
            ended = self._work()
        except Exception as error:
            self._note(error)
            free_in_s = self._back_off_s()
            bound.exception("loop_failed", free_in_s=free_in_s)
            raise
        finally:
            self._ended.set()
            renewer.join()
            self.figures.state = ended
            if ended not in ("lost", "fenced"):
                self.lease.release(self.figures.shown(), free_in_s)
            self._publish()
            bound.info("loop_ended", how=ended, items=self.figures.items, errors=self.figures.errors)
        return ended

    def _work(self) -> str:
        try:
            if self._open():
                self.figures.state = "running"
            while not self.stop.is_set():
                if self.lease.overdue():
                    self._progress_ns = self.lease.clock()  # waiting for the renewer, not hung
                    self._ended.wait(0.01)  # the renewer finds out; until then nothing is touched
                    if self._verdict is not Renewal.LOST:
                        continue
                if self._verdict is not Renewal.KEPT:
                    return self._verdict.value
                self._step()
            return "stopped" if self._verdict is Renewal.KEPT else self._verdict.value
        except Fenced as error:
            self._note(error)
            return "fenced"
        finally:
            self._opened.set()
            self._close()

    def _open(self) -> bool:
        """Open the body; what it needs may be away at first, or broken.  False: stopped before it was open."""
        context, waits_s = self.make_context(self), iter(self.open_waits_s)
        while not self.stop.is_set():
            try:
                self.body.open(context)
                gc.freeze()  # what is open stays: a collection of all generations would walk it for a third of a second
                self._opened.set()
                return True
            except ANTICIPATED as error:
                self._wait_after(error)
                self._close()
            except CannotOpen as error:
                self._note(error)
                self._close()
                self._wait_broken(next(waits_s, None))
        return False

    def _wait_broken(self, wait_s: float | None) -> None:
        """Between two tries to open what is broken; None: there is no further try, and the reason stays in sight.

        The lease is kept meanwhile: in another worker it would be as broken, and nobody would see for how long.
        """
        self.figures.state = GIVEN_UP if wait_s is None else CANNOT_OPEN
        log.error("loop_cannot_open", lease=self.lease.name, again_in_s=wait_s, reason=self.figures.last_error)
        until_ns = None if wait_s is None else self.lease.clock() + round(wait_s * SECOND)
        while not self.stop.is_set() and (until_ns is None or self.lease.clock() < until_ns):
            self._progress_ns = self.lease.clock()  # waiting is progress: the loop is not hung
            self.stop.wait(IDLE_S if wait_s is None else min(IDLE_S, wait_s))

    def _step(self) -> None:
        started = time.monotonic_ns()
        try:
            self.figures.items += self.body.step()
            if self.figures.state != "running":
                self.figures.state = "running"
        except ANTICIPATED as error:
            self._wait_after(error)
        self.figures.steps += 1
        self.figures.busy_ns += time.monotonic_ns() - started
        self._progress_ns = self.lease.clock()

    def _wait_after(self, error: Exception) -> None:
        """An anticipated failure: shown, counted, tried again.  Waiting is progress: the loop is not hung."""
        self._note(error)
        self.figures.state = {"StreamAway": "stream_away", "StreamFull": "stream_full"}.get(
            type(error).__name__, "venue_away"
        )
        self._progress_ns = self.lease.clock()
        self.stop.wait(RETRY_S)

    def _note(self, error: Exception) -> None:
        self.figures.errors += 1
        self.figures.last_error = f"{type(error).__name__}: {error}"[:300]

    def _back_off_s(self) -> float:
        """0 s when it had run for a minute, else 1 s: a loop that fails at once leaves others a turn."""
        return 0.0 if self.lease.clock() - self.figures.since_ns > 60 * SECOND else 1.0

    def _close(self) -> None:
        try:
            self.body.close()
        except ANTICIPATED as error:
            self._note(error)
        except Fenced as error:
            self._note(error)

    def _hung(self) -> bool:
        limit_s = self.stall_s if self._opened.is_set() else max(OPEN_S, self.stall_s)
        return self.lease.clock() - self._progress_ns > limit_s * SECOND

    def _keep(self) -> None:
        """The renewer's thread: renews while the body makes progress, tells the loop what the store said."""
        try:
            while not self._ended.wait(self.renew_s):
                if self._hung():
                    self.figures.state = "hung"
                    log.error("loop_hung", lease=self.lease.name, fence=self.lease.fence)
                    self._publish()
                    continue
                self._verdict = self.lease.renew(self.figures.shown())
                self._publish()
                if self._verdict is Renewal.LOST:
                    self.stop.set()
                    return
                if self._verdict is Renewal.UNWANTED:
                    self.stop.set()
        finally:
            self.lease.store.close()

    def _publish(self) -> None:
        """Show the figures where the screen looks; a screen that cannot be reached stops nothing."""
        if self.show is not None:
            try:
                self.show({**self.figures.shown(), "fence": self.lease.fence, "beat_boot_ns": self.lease.clock()})
            except StreamAway as error:
                log.debug("figures_not_shown", lease=self.lease.name, error=str(error))
