"""The runner: stop, hand over, anticipated and unexpected errors, a hung body, a process that slept."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from trading.brokers.port import Unreachable
from trading.run.context import CannotOpen, Fenced, LoopContext
from trading.run.loops import Lease, Renewal, Runner, StoreAway
from trading.run.streams import StreamAway, StreamFull


class Store:
    """A lease store in memory, for one lease."""

    def __init__(self) -> None:
        self.fence, self.holder, self.renewals, self.desired, self.lost = 0, 0, 0, True, False
        self.released: list[tuple[int, int, dict[str, object]]] = []
        self.renewed = threading.Condition()

    def acquire(self, name: str, now_ns: int, expires_ns: int) -> int | None:
        if self.holder or not self.desired:
            return None
        self.fence += 1
        self.holder = self.fence
        return self.fence

    def renew(self, name: str, fence: int, now_ns: int, expires_ns: int, shown: Mapping[str, object]) -> Renewal:
        with self.renewed:
            self.renewals += 1
            self.shown = dict(shown)
            self.renewed.notify_all()
        if self.lost:
            return Renewal.LOST
        return Renewal.KEPT if self.desired else Renewal.UNWANTED

    def release(self, name: str, fence: int, free_at_ns: int, shown: Mapping[str, object]) -> None:
        self.holder = 0
        self.released.append((fence, free_at_ns, dict(shown)))

    def close(self) -> None:
        pass

    def wait_renewals(self, count: int) -> None:
        with self.renewed:
            assert self.renewed.wait_for(lambda: self.renewals >= count, timeout=60)


class Body:
    """Runs `script(step number)` in each step."""

    def __init__(self, script: Callable[[int], int]) -> None:
        self.script, self.steps, self.opened, self.closed = script, 0, 0, 0
        self.stop = threading.Event()

    def open(self, context: LoopContext) -> None:
        self.context = context
        self.opened += 1

    def step(self) -> int:
        self.steps += 1
        return self.script(self.steps)

    def close(self) -> None:
        self.closed += 1


def make(body: Body, store: Store, **timing: float) -> tuple[Runner, threading.Event]:
    stop = threading.Event()
    lease = Lease(store, "s1:risk", ttl_s=timing.get("ttl_s", 3.0))

    def context(runner: Runner) -> LoopContext:
        nothing: Any = None  # these bodies look at neither spec nor Redis
        return LoopContext(
            Path(), nothing, "risk", lease.fence, nothing, Path(), stop=stop, beat=runner.beat, overdue=lease.overdue
        )

    runner = Runner(
        body, lease, context, stop=stop, renew_s=timing.get("renew_s", 0.01), stall_s=timing.get("stall_s", 5.0)
    )
    return runner, stop


def stop_after(count: int, holder: dict, value: int = 1) -> Callable[[int], int]:
    def script(step: int) -> int:
        if step >= count:
            holder["stop"].set()
        return value

    return script


def run(script: Callable[[int], int], store: Store | None = None, **timing: float) -> tuple[str, Body, Store, Runner]:
    store = store or Store()
    body = Body(script)
    runner, stop = make(body, store, **timing)
    body.stop = stop
    return runner.run(), body, store, runner


def test_a_stop_ends_the_loop_closes_the_body_and_frees_the_lease():
    holder: dict = {}
    store = Store()
    body = Body(stop_after(5, holder))
    runner, holder["stop"] = make(body, store)
    assert runner.run() == "stopped"
    assert (body.opened, body.closed, runner.figures.items, runner.figures.steps) == (1, 1, 5, 5)
    assert (store.holder, store.released[0][1]) == (0, 0)


def test_a_taken_lease_is_busy_and_the_body_never_opens():
    store = Store()
    store.acquire("", 0, 0)
    how, body, _, _ = run(lambda step: 1, store)
    assert (how, body.opened, body.closed) == ("busy", 0, 0)


@pytest.mark.parametrize(
    ("error", "state"),
    [(StreamAway("x"), "stream_away"), (StreamFull("x"), "stream_full"), (Unreachable("x"), "venue_away")],
)
def test_anticipated_errors_are_shown_and_tried_again(error, state):
    seen: list[str] = []
    store = Store()
    holder: dict = {}

    def script(step: int) -> int:
        if step == 1:
            raise error
        seen.append(runner.figures.state)
        holder["stop"].set()
        return 1

    body = Body(script)
    runner, holder["stop"] = make(body, store)
    assert runner.run() == "stopped"
    assert seen == [state], "until a step succeeds the loop shows what it waits for"
    assert (runner.figures.errors, body.steps) == (1, 2)
    assert type(error).__name__ in runner.figures.last_error


def test_an_unexpected_error_is_raised_again_and_the_lease_goes_to_another_at_once():
    def script(step: int) -> int:
        raise ZeroDivisionError("a fault of ours")

    store = Store()
    body = Body(script)
    runner, _ = make(body, store)
    with pytest.raises(ZeroDivisionError):
        runner.run()
    fence, free_at, shown = store.released[0]
    assert (store.holder, body.closed, fence) == (0, 1, 1)
    assert (shown["state"], "a fault of ours" in str(shown["last_error"])) == ("failed", True)
    assert free_at > 0, "a loop that fails at once leaves its lease to others after a second"


def test_a_fenced_body_stops_and_leaves_the_lease_alone():
    def script(step: int) -> int:
        raise Fenced("a newer segment exists")

    how, body, store, _ = run(script)
    assert (how, body.closed, store.released) == ("fenced", 1, [])


def test_a_lost_lease_stops_the_body_before_its_next_step():
    store = Store()
    entered = threading.Event()

    def script(step: int) -> int:
        entered.set()
        body.stop.wait(0.05)
        return 0

    body = Body(script)
    runner, body.stop = make(body, store)
    thread = threading.Thread(target=runner.run)
    thread.start()
    assert entered.wait(60)
    store.lost = True
    thread.join(60)
    assert not thread.is_alive()
    assert (runner.figures.state, store.released) == ("lost", [])


def test_an_unwanted_loop_stops_and_releases():
    store = Store()
    body = Body(lambda step: body.stop.wait(0.01) or 0)
    runner, body.stop = make(body, store)
    thread = threading.Thread(target=runner.run)
    thread.start()
    store.wait_renewals(2)
    store.desired = False
    thread.join(60)
    assert (runner.figures.state, store.holder) == ("unwanted", 0)


def test_a_hung_step_is_not_renewed():
    """The renewer renews only while the body makes progress: a hung loop hands over when its lease runs out."""
    store = Store()
    hang, hung = threading.Event(), threading.Event()

    def script(step: int) -> int:
        if step == 3:
            hung.set()
            hang.wait(120)
        return 1

    body = Body(script)
    runner, stop = make(body, store, renew_s=0.01, stall_s=1.0)
    body.stop = stop
    thread = threading.Thread(target=runner.run)
    thread.start()
    assert hung.wait(60)
    deadline = time.monotonic() + 60
    while runner.figures.state != "hung" and time.monotonic() < deadline:
        time.sleep(0.01)  # the renewer's own thread finds out
    assert runner.figures.state == "hung"
    before = store.renewals
    stop.wait(0.1)
    assert store.renewals == before
    stop.set()
    hang.set()
    thread.join(60)
    assert not thread.is_alive()


def test_a_process_that_slept_asks_before_it_touches_anything():
    """After SIGSTOP and SIGCONT the deadline is past: no step runs until the store has answered."""

    class Clock:
        now = 10**12

        def __call__(self) -> int:
            return self.now

    clock, store, order = Clock(), Store(), []
    holder: dict = {}

    def script(step: int) -> int:
        order.append("step")
        if step == 1:
            clock.now += 60 * 10**9  # the process slept for a minute inside its first step
            store.lost = True
        return 1

    body = Body(script)
    stop = threading.Event()
    lease = Lease(store, "s1:risk", clock=clock)
    runner = Runner(body, lease, lambda r: None, stop=stop, renew_s=0.05)  # type: ignore[arg-type,return-value]
    holder["stop"] = stop
    assert runner.run() == "lost"
    assert order == ["step"], "no second step after the sleep"


def test_a_store_that_is_away_keeps_the_loop_running():
    class Away(Store):
        def renew(self, *args, **kwargs):
            super().renew(*args, **kwargs)
            raise StoreAway("locked")

    store = Away()
    body = Body(lambda step: body.stop.wait(0.005) or 1)
    runner, body.stop = make(body, store, ttl_s=0.2)
    thread = threading.Thread(target=runner.run)
    thread.start()
    store.wait_renewals(40)
    assert thread.is_alive() and runner.lease.away
    steps = body.steps
    store.wait_renewals(60)
    assert body.steps > steps
    body.stop.set()
    thread.join(60)
    assert runner.figures.state == "stopped"


def test_figures_say_what_the_body_shows_beside_the_runners_own():
    store = Store()
    holder: dict = {}

    def script(step: int) -> int:
        body.context.beat({"queue": 7})
        if store.renewals >= 2 and "queue" in store.shown:
            holder["stop"].set()
        holder["stop"].wait(0.005)
        return 1

    body = Body(script)
    runner, holder["stop"] = make(body, store)
    runner.run()
    assert (store.shown["queue"], store.shown["state"]) == (7, "running")
    assert {"steps", "items", "busy_ns", "errors"} <= set(store.shown)


def test_a_release_that_meets_a_locked_store_is_tried_again():
    class Locked(Store):
        tries = 0

        def release(self, *args, **kwargs):
            self.tries += 1
            if self.tries < 3:
                raise StoreAway("locked")
            super().release(*args, **kwargs)

    store = Locked()
    lease = Lease(store, "s1:risk")
    lease.acquire()
    lease.release({"state": "stopped"})
    assert (store.tries, store.holder) == (3, 0)


class Broken(Body):
    """Cannot be opened before the try number `good`."""

    def __init__(self, good: int, script: Callable[[int], int]) -> None:
        super().__init__(script)
        self.good = good

    def open(self, context: LoopContext) -> None:
        super().open(context)
        if self.opened < self.good:
            raise CannotOpen("no scores, so no entries: weights.bin is missing")


def test_what_is_broken_is_tried_a_bounded_number_of_times_and_the_reason_stays_in_sight():
    """No try for ever: the lease is kept and renewed, the state and the reason are shown, a stop still ends it."""
    store = Store()
    body = Broken(10**9, lambda step: 1)
    runner, stop = make(body, store)
    runner.open_waits_s = (0.01, 0.01)
    thread = threading.Thread(target=runner.run)
    thread.start()
    deadline = time.monotonic() + 60
    while runner.figures.state != "given_up":
        assert time.monotonic() < deadline, runner.figures
        time.sleep(0.01)  # the runner's own thread
    store.wait_renewals(store.renewals + 5)
    assert (body.opened, body.closed, body.steps) == (3, 3, 0)
    assert (store.shown["state"], store.shown["errors"]) == ("given_up", 3)
    assert store.shown["last_error"] == "CannotOpen: no scores, so no entries: weights.bin is missing"
    assert thread.is_alive() and store.holder == 1
    stop.set()
    thread.join(60)
    assert (thread.is_alive(), runner.figures.state, store.holder) == (False, "stopped", 0)
    assert body.opened == 3


def test_what_was_mended_in_time_opens_and_runs():
    holder: dict = {}
    body = Broken(3, stop_after(2, holder))
    runner, holder["stop"] = make(body, Store())
    runner.open_waits_s = (0.01, 0.01)
    assert runner.run() == "stopped"
    assert (body.opened, body.steps, runner.figures.errors) == (3, 2, 2)
