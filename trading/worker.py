"""The supervisor inside every loop worker: looks for wanted loops that nobody holds, and starts them here.

A bootstep with a thread of its own: it asks the lease rows, waits a little longer the more loops this worker holds, and
sends itself the task `run_loop` on its own queue.  With the broker away it runs the loop in a thread.  Two bids for one
loop are harmless: the lease decides.  `hold` is what the task calls.  No beat, no singleton.
"""

import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery.signals import worker_shutting_down

from trading.run.clock import boot_ns

SCAN_S = 0.5
HELD_DELAY_S = 0.25  # per loop that this worker holds already: the freest worker is first
OTHERS_DELAY_S = 0.15  # for a loop that is not this worker's by name, once its lease has run out: all knew when
FRESH_DELAY_S = 0.5  # the same for a loop that was just wanted or released: its own worker may see it a scan later
GRACE_S = 2.5  # after its start a worker leaves others' loops alone: they may be starting, too
PICKED_UP_S = 1.5  # a message that has not come back by then is not waited for: the broker is away
EXPIRES_S = 3
HOLDERS_FIRST_S = 2.5  # after a database that took no writes: holders renew first, else all loops would change hands
OWN_QUEUE = "loops."
log = structlog.get_logger("trading.worker")


class Holder:
    """The loops that run in this process.  A second start of the same loop ends at once."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._stops: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._closing = False

    def names(self) -> list[str]:
        """Names of the leases whose loops run here."""
        with self._lock:
            return sorted(self._stops)

    def hold(self, session_id: int, key: str, loop: str, **timing: float) -> str:
        """Run one loop in this thread until it ends; returns how (see `Runner.run`).  Raises what the body raised."""
        from trading.leases import DatabaseLeases, lease_name
        from trading.run.loops import TTL_S, Lease, Runner, StoreAway
        from trading.services import give_up
        from trading.wiring import HOPELESS, assemble, report_failure

        name = lease_name(key, loop)
        stop = threading.Event()
        with self._lock:
            if self._closing or name in self._stops:
                return "busy"
            self._stops[name] = stop
        store = DatabaseLeases(self.owner)
        try:
            lease = Lease(store, name, ttl_s=timing.get("ttl_s", TTL_S))
            body, make, show = assemble(session_id, loop, stop)
            return Runner(body, lease, make, stop=stop, show=show).run()
        except HOPELESS as error:
            if not give_up(session_id, str(error)):
                report_failure(session_id, loop)
                raise
            return "given up"
        except StoreAway as error:
            log.warning("lease_not_asked", lease=name, error=str(error))
            return "away"
        except Exception:
            report_failure(session_id, loop)
            raise
        finally:
            with self._lock:
                del self._stops[name]
            store.close()

    def stop_all(self) -> None:
        """End every loop here; nothing starts any more.  Leases are released, others take over within a second."""
        with self._lock:
            self._closing = True
            stops = list(self._stops.values())
        for stop in stops:
            stop.set()


def answering(app: Celery, queue: str, wait_s: float) -> int:
    """How many workers of queues with names that begin so answer, with no silence longer than `wait_s` between them.

    Raises what the broker raises.
    """
    replies = app.control.broadcast("active_queues", reply=True, timeout=wait_s) or []
    rows = [queues for reply in replies for queues in reply.values() if isinstance(queues, list)]
    return sum(any(str(item.get("name", "")).startswith(queue) for item in queues) for queues in rows)


HOLDER = Holder(f"{socket.gethostname()}#{os.getpid()}")


@worker_shutting_down.connect(dispatch_uid="trading.worker.stop")
def _on_shutdown(**_: Any) -> None:
    """SIGTERM: loops hear it here, in the parent; the pool is threads (a prefork child would never hear it)."""
    HOLDER.stop_all()


class Supervisor:
    """Looks and bids.  `send(session_id, key, loop)` queues the task and raises OSError when the broker is away."""

    def __init__(
        self,
        holder: Holder,
        send: Callable[[int, str, str], None],
        own_loop: str = "",
        clock: Callable[[], int] = boot_ns,
    ) -> None:
        self.holder, self.send, self.own_loop, self.clock = holder, send, own_loop, clock
        self._sent: dict[str, int] = {}
        self._free: dict[str, int] = {}  # since when this worker sees a loop free
        self._started_ns = clock()
        self._away_ns = 0  # when the database last took no write
        self._stop = threading.Event()

    def delay_s(self, loop: str, fresh: bool) -> float:
        """How long this worker leaves a free loop to others."""
        others = FRESH_DELAY_S if fresh else OTHERS_DELAY_S
        return HELD_DELAY_S * len(self.holder.names()) + (0.0 if loop == self.own_loop else others)

    def look(self) -> float:
        """One look: bid for what is due.  Returns the seconds until the next look.  Raises StoreAway."""
        from trading.leases import wanted_loops

        now = self.clock()
        holders_first_ns = self._away_ns + round(HOLDERS_FIRST_S * 1e9)
        found = wanted_loops(now + round(SCAN_S * 1e9))
        self._free = {wanted.name: self._free.get(wanted.name, now) for wanted in found}
        mine = set(self.holder.names())
        wait_s = SCAN_S
        for wanted in found:
            if wanted.name in mine:
                continue
            fresh = wanted.free_at_ns == 0
            free_ns = self._free[wanted.name] if fresh else wanted.free_at_ns
            due_ns = free_ns + round(self.delay_s(wanted.loop, fresh) * 1e9)
            if wanted.loop != self.own_loop:
                due_ns = max(due_ns, self._started_ns + round(GRACE_S * 1e9))
            due_ns = max(due_ns, holders_first_ns if self._away_ns else 0)
            if due_ns > now:
                wait_s = min(wait_s, (due_ns - now) / 1e9 + 0.005)
            elif self._writable():
                self._bid(wanted.session_id, wanted.key, wanted.loop, wanted.name, now)
        return wait_s

    def _writable(self) -> bool:
        """Whether the database takes writes.  While it does not, leases run out that their holders still live by."""
        from trading.leases import probe_write
        from trading.run.loops import StoreAway

        try:
            probe_write()
        except StoreAway as error:
            self._away_ns = self.clock()
            log.warning("database_takes_no_writes", error=str(error))
            return False
        return True

    def _bid(self, session_id: int, key: str, loop: str, name: str, now: int) -> None:
        sent_ns = self._sent.get(name)
        if sent_ns is not None and now - sent_ns < EXPIRES_S * 1e9:
            if now - sent_ns >= PICKED_UP_S * 1e9:
                self._run_here(session_id, key, loop)  # queued, but nothing comes back from the broker
            return
        self._sent[name] = now
        try:
            self.send(session_id, key, loop)
        except OSError as error:
            log.warning("broker_away", lease=name, error=str(error))
            self._run_here(session_id, key, loop)

    def _run_here(self, session_id: int, key: str, loop: str) -> None:
        threading.Thread(
            target=self.holder.hold, args=(session_id, key, loop), name=f"loop {key}:{loop}", daemon=True
        ).start()

    def run(self) -> None:
        """Until stopped: look, wait.  A database that is away is asked again; the loops here go on without it."""
        from trading.run.loops import StoreAway
        from trading.wiring import preload

        preload()
        self._started_ns = self.clock()
        log.info("supervisor_ready", own=self.own_loop)
        while not self._stop.is_set():
            try:
                wait_s = self.look()
            except StoreAway as error:
                log.warning("leases_not_read", error=str(error))
                wait_s = SCAN_S
            self._stop.wait(wait_s)

    def stop(self) -> None:
        self._stop.set()


class LoopSupervisor(bootsteps.StartStopStep):
    """The bootstep: starts a Supervisor in workers that consume a queue of their own, `loops.<name>`."""

    requires = {"celery.worker.components:Pool"}

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        queues = list(parent.app.amqp.queues.consume_from)
        self.queue = next((name for name in queues if name.startswith(OWN_QUEUE)), "")
        self.enabled = bool(self.queue)
        self.supervisor: Supervisor | None = None

    def start(self, parent: Any) -> None:
        app, queue = parent.app, self.queue

        def send(session_id: int, key: str, loop: str) -> None:
            from kombu.exceptions import OperationalError

            try:
                app.send_task(
                    "trading.tasks.run_loop",
                    kwargs={"session_id": session_id, "key": key, "loop": loop},
                    queue=queue,
                    expires=EXPIRES_S,
                    retry=False,
                )
            except OperationalError as error:
                raise OSError(str(error)) from error

        self.supervisor = Supervisor(HOLDER, send, own_loop=queue.removeprefix(OWN_QUEUE))
        threading.Thread(target=self.supervisor.run, name="loop supervisor", daemon=True).start()

    def stop(self, parent: Any) -> None:
        if self.supervisor is not None:
            self.supervisor.stop()
        HOLDER.stop_all()
