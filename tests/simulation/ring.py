"""The whole ring in one test: real venue process, real Redis, the bodies stepped by threads as the runner would.

`Ring` starts and stops each loop by itself, so that a test can take one away at any moment.  Fences count up per loop.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from marketdata.core.units import NANOS
from tests.redis_server import RedisServer
from tests.simulation.kit import command, make_context, make_spec
from trading.brokers.paper import PaperBroker, PaperMarket, terms_of
from trading.brokers.paper_venue import SOCKET_NAME
from trading.brokers.port import Unreachable
from trading.core import orders as life
from trading.core.records import ACK, CANCELLED, COMMAND, FILL, KILL, RECON, RECON_END, REJECT, State
from trading.run.bodies.execution_loop import ExecutionLoop
from trading.run.bodies.feed_loop import FeedLoop
from trading.run.bodies.risk_loop import RiskLoop
from trading.run.bodies.sinks_loop import SinksLoop
from trading.run.clock import SessionClock, load_clock
from trading.run.context import Body, Fenced, LoopContext
from trading.run.inference_loop import InferenceLoop
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import recover
from trading.run.replica import Kernel
from trading.run.spec import SessionSpec, setup_events
from trading.run.streams import INBOX, Stream, StreamAway, StreamFull

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 120.0  # a loaded machine; nothing waits when all is well


class Venue:
    """The paper venue's process on a socket of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / SOCKET_NAME
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> "Venue":
        """Start it and wait until it serves."""
        code = "import sys; from pathlib import Path; from trading.brokers.paper_venue import run_venue"
        code += "; run_venue(Path(sys.argv[1]))"
        self.folder.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(self.folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "venue: ready\n"
        return self

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def make_broker(context: LoopContext) -> PaperBroker:
    """The execution loop's broker of one session."""
    clock = load_clock(context.folder).record()
    return PaperBroker(Path(context.spec.venue_socket), context.spec.key, terms_of(context.spec), clock)


def make_market(context: LoopContext, clock: SessionClock) -> PaperMarket:
    """The feed loop's way to the venue."""
    spec = context.spec
    return PaperMarket(Path(spec.venue_socket), spec.key, terms_of(spec), context.fence, clock)


BODIES: dict[str, Callable[[], Body]] = {
    "feed": lambda: FeedLoop(make_market),
    "inference": InferenceLoop,
    "risk": RiskLoop,
    "execution": lambda: ExecutionLoop(make_broker),
    "sinks": lambda: SinksLoop(lambda _: []),
}


class Ring:
    """One session with all its loops."""

    def __init__(self, folder: Path, speed: float = 1.0, **changes: Any) -> None:
        Kernel().apply(setup_events(make_spec()))  # compiled (or loaded) before a clock runs
        self.folder = folder / "7"
        self.redis = RedisServer(folder / "redis").start()
        self.venue = Venue(folder / "venue").start()
        # a process that starts anew takes a minute of session time: that is no naked position here
        spec = make_spec(self.redis.url, str(self.venue.socket), speed, naked_ns_max=1_000 * NANOS)
        self.spec: SessionSpec = msgspec.structs.replace(spec, **changes)
        self.folder.mkdir()
        self.shown: dict[str, dict[str, object]] = {}
        self.bodies: dict[str, Body] = {}
        self.failures: list[tuple[str, BaseException]] = []
        self._threads: dict[str, tuple[threading.Thread, LoopContext]] = {}
        self._abandoned: set[Body] = set()
        self._fences = dict.fromkeys(BODIES, 0)

    def start(self, *names: str) -> None:
        """Start these loops (all by default)."""
        for name in names or BODIES:
            self._fences[name] += 1
            context = make_context(self.folder, self.spec, name, self._fences[name])
            shown = self.shown.setdefault(name, {})
            context = LoopContext(**{**context.__dict__, "beat": shown.update})
            body = self.bodies[name] = BODIES[name]()
            thread = threading.Thread(target=self._run, args=(name, body, context), name=name, daemon=True)
            self._threads[name] = (thread, context)
            thread.start()
            if name == "feed":
                self.until((self.folder / "clock.json").exists, "the feed stamps the clock")

    def stop(self, *names: str) -> None:
        """Stop these loops (all by default) as the runner would."""
        for name in names or tuple(self._threads):
            thread, context = self._threads.pop(name)
            context.stop.set()
            thread.join(WAIT_S)
            assert not thread.is_alive(), f"{name} does not stop"

    def abandon(self, name: str) -> None:
        """The loop ends where it stands, as after SIGKILL: nothing is closed, synced or said."""
        self._abandoned.add(self.bodies[name])
        self.stop(name)

    def close(self) -> None:
        """End everything; a loop that failed fails the test."""
        try:
            self.stop()
        finally:
            self.venue.kill()
            self.redis.kill()
        assert not self.failures, self.failures

    def command(self, code: int, ref: int) -> None:
        """A command as the services send it."""
        now_ns = load_clock(self.folder).now()
        stream = Stream(self.redis.client(), self.spec.key, INBOX)
        stream.append(command(code, now_ns, ref), fence=1, loop="command")

    def kill(self, ref: int) -> None:
        """KILL, and heard: what was flat before it may have been entered again."""
        self.command(KILL, ref)
        self.until(lambda: ref in self.events(COMMAND)["ref"], "the kill is journaled")

    def events(self, *kinds: int) -> np.ndarray:
        """EVENTs of these kinds in the journal so far."""
        events = JournalReader(self.folder).read(0, 10**7)["event"]
        return events[np.isin(events["kind"], kinds)] if kinds else events

    def reconciled(self) -> bool:
        """Has a reconciliation ended?"""
        return bool((self.events(RECON)["code"] == RECON_END).any())

    def until(self, truth: Callable[[], Any], what: str, wait_s: float = WAIT_S) -> None:
        """Wait until something is so; real processes on the real clock."""
        deadline = time.monotonic() + wait_s
        while not truth():
            assert time.monotonic() < deadline, f"after {wait_s} s not: {what}; {self.shown}; {self.failures}"
            assert not self.failures, self.failures
            time.sleep(0.05)  # a look reads the whole journal: the loops have the time in between

    def _open(self, body: Body, context: LoopContext) -> None:
        """As the runner: what the body needs may be away at first."""
        while True:
            try:
                return body.open(context)
            except (StreamAway, StreamFull, Unreachable):
                body.close()
                if context.stop.wait(0.2):
                    return None

    def _run(self, name: str, body: Body, context: LoopContext) -> None:
        try:
            try:
                self._open(body, context)
                while not context.stop.is_set():
                    try:
                        body.step()
                    except (StreamAway, StreamFull, Unreachable):
                        context.stop.wait(0.2)
            except Fenced:
                self.shown[name]["fenced"] = True
            finally:
                if body not in self._abandoned:
                    body.close()
        except BaseException as error:
            self.failures.append((name, error))
            raise


def venue_answers(ring: Ring) -> tuple[np.ndarray, dict[int, int], int]:
    """All that the venue ever said, what it holds, and how many orders work there."""
    broker = PaperBroker(ring.venue.socket, ring.spec.key, role="reconcile")
    broker.connect(1, 0)
    try:
        truth = broker.snapshot()
        return broker.events_since(0), truth.positions, len(truth.orders) + truth.pending
    finally:
        broker.close()


def replayed(ring: Ring) -> State:
    """The kernel's memory by the journal alone."""
    return recover(ring.folder).kernel.state


def settled(ring: Ring) -> bool:
    """Flat, every answer journaled, and no request on its way that could bring another."""
    said, held, working = venue_answers(ring)
    arrived = set(ring.events(ACK, FILL, REJECT, CANCELLED)["ref"].tolist())
    orders = replayed(ring).orders
    is_open = np.array([life.is_open(int(status)) for status in orders["status"]], bool)
    waiting = (orders["number"] > 0) & is_open & (orders["request"] != life.NOTHING)
    return held == {} and working == 0 and set(said["ref"].tolist()) <= arrived and not waiting.any()
