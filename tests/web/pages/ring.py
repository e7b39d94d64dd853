"""A whole desk in real processes, as `make run` starts them: venue, guard, loop workers, Daphne, Redis.

Nothing is written by a test; what a test wants to know it reads from pages and CSV files, as a person would.
"""

import csv
import functools
import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from desk.ops.programs import LOOP_WORKERS
from desk.ops.warming import is_warm
from tests.bootstrap import ROOT
from tests.web.access.kit import locked
from tests.web.kit import Desk, csrf
from tests.web.seed import PASSWORD

FIRST_RUN = {
    "feed": "simulated",
    "profile": "demo-mes",
    "symbol": "MES",
    "scorer": "baseline",
    "speed": "1",
    "seed": "7",
}
PATIENCE_S = 180  # a loaded machine with cold caches


class Ring(Desk):
    """A desk with everything that trades."""

    venue: "subprocess.Popen[bytes]"
    guard: "subprocess.Popen[bytes]"

    def start_ring(self, workers: int = 2) -> "Ring":
        compiled()
        self.start()
        self.venue = self.spawn("manage", "venue")
        self.guard = self.spawn("manage", "guard")
        self.workers = [self.spawn_worker(name) for name in LOOP_WORKERS[:workers]]
        return self

    def spawn_worker(self, name: str) -> "subprocess.Popen[bytes]":
        quiet = ("-A", "desk", "worker", "--without-gossip", "--without-mingle", "--without-heartbeat")
        return self.spawn("celery", *quiet, "-Q", f"loops,loops.{name}", "-P", "threads", "-c", "8", "-n", f"{name}@%h")


@functools.cache
def compiled() -> None:
    """Every kernel in the cache, so that no session waits for one; once in a test process, if at all."""
    if is_warm():
        return
    subprocess.run([sys.executable, "-m", "manage", "warm"], cwd=ROOT, check=True, capture_output=True)


@contextmanager
def ring(folder: Path, **extra: str) -> Iterator[Ring]:
    """A started ring without a session; everything ends with the block."""
    found = Ring(folder, extra={"DESK_TEST_SESSION": "no", **extra})
    try:
        yield found.start_ring()
    finally:
        found.stop()


def until(truth: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    """Ask again until it is true; returns what it said."""
    deadline = time.monotonic() + seconds
    while not (found := truth()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.1)  # other processes are at work: there is no clock to inject
    return found


def table(client: httpx.Client, session: int, name: str) -> list[dict[str, str]]:
    """One table of a session, whole, by its CSV."""
    answer = client.get(f"/sessions/{session}/{name}.csv", timeout=120)
    assert answer.status_code == 200, (name, answer.status_code)
    return list(csv.DictReader(io.StringIO(answer.text)))


def sessions(client: httpx.Client) -> dict[str, dict[str, str]]:
    """All sessions by key."""
    answer = client.get("/sessions/all.csv", timeout=120)
    assert answer.status_code == 200
    return {row["session"]: row for row in csv.DictReader(io.StringIO(answer.text))}


def rest(client: httpx.Client) -> None:
    """End what runs, its pause lifted: an account trades in one session, and the next one opens with what this left."""
    live = [key for key, row in sessions(client).items() if row["status"] in ("starting", "running", "stopping")]
    for key in live:
        number = int(key.removeprefix("s"))
        until(functools.partial(_is, client, key, ("running", "stopping", "ended", "failed")), f"{key} runs")
        if any(row["hold"] == "OPERATOR_PAUSE" and not row["cleared"] for row in table(client, number, "holds")):
            asked = {"kind": "resume", "reason": "the next test goes on", "password": PASSWORD}
            client.post(f"/sessions/{number}/command/", data=asked, headers=csrf(client), timeout=30)
        client.post(f"/sessions/{number}/command/", data={"kind": "stop"}, headers=csrf(client), timeout=30)
        until(functools.partial(_is, client, key, ("ended", "failed")), f"the end of {key}")


def _is(client: httpx.Client, key: str, words: tuple[str, ...]) -> bool:
    return sessions(client)[key]["status"] in words


def start(client: httpx.Client, **fields: str) -> int:
    """Start a session by the same form that the page sends, once nothing else runs and pre-flight passes; its id."""
    rest(client)
    asked = {
        "feed": "simulated",
        "profile": "demo-mes",
        "symbol": "MES",
        "scorer": "baseline",
        "speed": "1",
        "seed": "7",
    }
    asked |= fields
    answers: list[httpx.Response] = []

    def sent() -> bool:
        answers.append(client.post("/sessions/new/", data=asked, headers=csrf(client), timeout=90))
        return answers[-1].status_code == 302

    until(sent, "a start that pre-flight passes")
    return int(answers[-1].headers["location"].rstrip("/").rsplit("/", 1)[-1])


@contextmanager
def dead(desk: Ring, page: Page, what: str) -> Iterator[None]:
    """One thing of the desk does not work: its bus, this page's socket, its database for writing, its web process."""
    if what == "socket":
        page.evaluate("desk.socket.open = () => {}; desk.socket.ws.close()")
        expect(page.locator("#banner")).to_contain_text("Disconnected")
        yield
    elif what == "database":
        with locked(desk):
            yield
    elif what == "redis":
        desk.redis.kill()
        yield
        desk.redis.start()
    else:
        desk.web.kill()
        desk.web.wait()
        yield
