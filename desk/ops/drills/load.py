"""Browsers under load, real sockets against a real session: ages of what they see, the server's memory, the order path.

How old a value is: the sinks loop stamps every picture with the boot clock before it is built; the frame carries the
stamp of the oldest and of the newest value in it; the browser's process compares them with its own boot clock when the
message is in its hands.  One machine, one clock, nothing subtracted.  The order path is measured from the journal
before, during and after, so that a machine that slows down is not taken for the browsers' doing.  Runs inside a private
desk.
"""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.db import SessionStore

from desk.dashboard.consumers import SOCKETS_MAX
from desk.jitcache import BASE
from desk.ops.bench import hops, ring
from desk.ops.drills.dead import supervisor
from desk.ops.drills.record import Row, row
from trading.control import session_folder
from trading.models import Session
from trading.run.journal.reader import JournalReader

PER_PROCESS = 125  # sockets that one Python process serves without becoming the bottleneck
WARM_S = 10.0
COME_IN = 5.0  # browsers a second in the warm-up: they open their sockets in its first half
SAMPLE_S = 2.0
MEMORY_MB_MAX = 10.0  # "flat": what caches and the allocator may still do
RATIO_MAX = 1.10
PATH_SAMPLES_MIN = 50  # below that a p99 says nothing
READ = 2_000_000
# Short trades, so that the order path gets enough samples.
CHANGED = ring.CHANGED | {
    "hold_max": "1 s",
    "loss_day_max": "9000 USD",
    "drawdown_day_max": "9100 USD",
    "drawdown_max": "9300 USD",
    "loss_total_max": "9500 USD",
}


class Load(NamedTuple):
    """What is asked for.  `age_ms`: the goal for the oldest value's p99."""

    browsers: int
    hz: int
    stalled: int
    seconds: float
    age_ms: float
    path_seconds: float  # of the order path without browsers, half before, half after; 0 = not measured


def cookies(count: int) -> list[str]:
    """Cookie headers of `count` signed-in tabs; one person has at most SOCKETS_MAX, and none may act."""
    model, headers = get_user_model(), []
    for number in range(-(-count // SOCKETS_MAX)):
        user, _ = model.objects.get_or_create(username=f"browser-{number}")
        store = SessionStore()
        store[SESSION_KEY] = str(user.pk)
        store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        store[HASH_SESSION_KEY] = user.get_session_auth_hash()
        store.save()
        headers += [f"{settings.SESSION_COOKIE_NAME}={store.session_key}"] * SOCKETS_MAX
    return headers[:count]


class _Sampler(threading.Thread):
    """The web process while it serves: resident memory in MB and CPU seconds, every SAMPLE_S."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.ended = threading.Event()
        self.memory_mb: list[float] = []
        self.cpu_s: list[float] = []

    def run(self) -> None:
        page, tick = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
        while not self.ended.wait(SAMPLE_S):
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            self.memory_mb.append(int(fields[21]) * page / 2**20)
            self.cpu_s.append((int(fields[11]) + int(fields[12])) / tick)


def browse(load: Load, session: Session) -> tuple[dict[str, Any], _Sampler]:
    """Run the browsers' processes to their end; what they saw, joined, and the server meanwhile."""
    stalled = [False] * load.browsers
    headers = cookies(load.browsers)
    processes, at, left = [], 0, load.stalled
    warm_s = WARM_S + load.browsers / COME_IN
    sampler = _Sampler(int(supervisor().getProcessInfo("web")["pid"]))
    parts = -(-load.browsers // PER_PROCESS)
    for part in range(parts):
        size = load.browsers // parts + (part < load.browsers % parts)
        silent = min(left, -(-load.stalled // parts), size)
        left -= silent
        orders = {
            "url": f"ws://127.0.0.1:{settings.DESK_PORT}/ws/desk/",
            "origin": f"http://127.0.0.1:{settings.DESK_PORT}",
            "session": session.id,
            "hz": load.hz,
            "cookies": headers[at : at + size],
            "stalled": silent,
            "warm_s": warm_s,
            "seconds": load.seconds,
            "spread_s": warm_s / 2,
        }
        stalled[at + size - silent : at + size] = [True] * silent
        at += size
        words = [sys.executable, "-m", "desk.ops.drills.browsers"]
        child = subprocess.Popen(words, cwd=BASE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert child.stdin is not None
        child.stdin.write(json.dumps(orders).encode())
        child.stdin.close()
        child.stdin = None
        processes.append(child)
    time.sleep(warm_s)
    sampler.start()
    found = [_figures(child, load.seconds + 120) for child in processes]
    sampler.ended.set()
    sampler.join()
    joined: dict[str, Any] = {
        name: list(itertools.chain.from_iterable(part[name] for part in found))
        for name in ("oldest_us", "newest_us", "frames")
    }
    joined |= {name: sum(part[name] for part in found) for name in ("bytes", "unstamped", "cpu_s")}
    joined["closes"] = sum((Counter(part["closes"]) for part in found), Counter())
    joined["awake"] = [count for count, silent in zip(joined["frames"], stalled, strict=True) if not silent]
    return joined, sampler


def _figures(child: "subprocess.Popen[bytes]", timeout_s: float) -> dict[str, Any]:
    said, errors = child.communicate(timeout=timeout_s)
    if child.returncode != 0:
        raise ring.BenchFailed(f"the browsers' process failed: {errors.decode(errors='replace')[-800:]}")
    return dict(json.loads(said))


class _Path:
    """The order path in stretches of the journal."""

    def __init__(self, session: Session) -> None:
        self.reader = JournalReader(session_folder(session.id))
        self.parts: dict[str, list[hops.Hops]] = {"without": [], "with": []}

    def mark(self) -> int:
        return self.reader.last_seq()

    def take(self, name: str, since: int) -> None:
        """Measure what was journaled since `since`."""
        self.parts[name].append(hops.measure(self.reader.read(since, READ)))

    def samples(self, name: str, field: str) -> np.ndarray:
        return np.concatenate([getattr(part, field) for part in self.parts[name]])


def _p(samples: Any, q: float) -> float:
    return float(np.percentile(samples, q)) if len(samples) else float("nan")


def run(load: Load, session: Session) -> Iterator[Row]:
    """All figures of one load, as they are known."""
    path = _Path(session)
    if load.path_seconds > 0:
        _stretch(path, "without", load.path_seconds / 2)
    mark = path.mark()
    seen, server = browse(load, session)
    if load.path_seconds > 0:
        path.take("with", mark)
        _stretch(path, "without", load.path_seconds / 2)
    yield from _ages(load, seen)
    yield from _server(load, seen, server)
    if load.path_seconds > 0:
        yield from _paths(path)


def _stretch(path: _Path, name: str, seconds: float) -> None:
    mark = path.mark()
    time.sleep(seconds)  # what is measured is what the desk does by itself in this time
    path.take(name, mark)


def _ages(load: Load, seen: dict[str, Any]) -> Iterator[Row]:
    oldest, newest = np.array(seen["oldest_us"]) / 1000, np.array(seen["newest_us"]) / 1000
    who = f"{load.browsers} browsers at {load.hz} Hz, {load.stalled} stalled"
    n = f"n = {len(oldest)}; {who}"
    p99 = _p(oldest, 99)
    yield row("age of the oldest value in a frame, p50", _p(oldest, 50), "ms", ok=None, detail=n)
    yield row(
        "age of the oldest value in a frame, p99", p99, "ms", goal=load.age_ms, ok=bool(p99 <= load.age_ms), detail=n
    )
    yield row("age of the newest value in a frame, p99", _p(newest, 99), "ms", ok=None, detail=f"n = {len(newest)}")
    rates = np.array(seen["awake"]) / load.seconds
    slow = f"slowest browser {rates.min():.1f}"
    alive = bool(rates.min() > 0.5)
    yield row("frames a second in a browser, median", float(np.median(rates)), "1/s", ok=alive, detail=slow)
    size = seen["bytes"] / max(1, sum(seen["frames"]))
    yield row("size of a message", size / 1000, "kB", ok=None, detail=f"{seen['unstamped']} without a stamp")


def _server(load: Load, seen: dict[str, Any], server: _Sampler) -> Iterator[Row]:
    memory = np.array(server.memory_mb)
    fifth = max(1, len(memory) // 5)
    growth = (
        float(np.median(memory[-fifth:]) - np.median(memory[fifth : 2 * fifth])) if len(memory) > 5 else float("nan")
    )
    series = [round(float(value), 1) for value in memory[:: max(1, len(memory) // 60)]]
    yield row(
        "server memory, growth from the second fifth to the last",
        growth,
        "MB",
        goal=MEMORY_MB_MAX,
        ok=bool(growth <= MEMORY_MB_MAX),
        detail=f"{memory.min():.0f} to {memory.max():.0f} MB" if len(memory) else "no sample",
        series=series,
    )
    busy = (server.cpu_s[-1] - server.cpu_s[0]) / (SAMPLE_S * max(1, len(server.cpu_s) - 1)) if server.cpu_s else 0.0
    yield row("server CPU", 100 * busy, "% of a core", ok=None, detail=f"browsers' own {seen['cpu_s']:.0f} s")
    wanted = load.stalled if load.seconds >= 10 else 0
    slow = seen["closes"].get("4408", 0)
    others = {code: count for code, count in seen["closes"].items() if code != "4408"}
    yield row(
        "stalled browsers closed 4408",
        slow,
        "closes",
        ok=slow >= wanted and not others,
        detail=f"other closes: {others or 'none'}",
    )


def _paths(path: _Path) -> Iterator[Row]:
    for field, words, judged in (
        ("market_to_entry", "market event → entry order sent", True),
        ("market_to_decision", "market event → score → decision", False),
    ):
        without, beside = path.samples("without", field), path.samples("with", field)
        n = f"n = {len(without)} without, {len(beside)} with"
        for q in (50, 99):
            yield row(f"{words}, p{q}, no browser", _p(without, q), "ms", ok=None, detail=n)
            yield row(f"{words}, p{q}, with browsers", _p(beside, q), "ms", ok=None, detail=n)
        ratio = _p(beside, 99) / _p(without, 99)
        enough = min(len(without), len(beside)) >= PATH_SAMPLES_MIN
        verdict = bool(ratio <= RATIO_MAX) if judged and enough else None
        words = f"{words}, p99 with browsers / without"
        yield row(
            words, ratio, "×", goal=RATIO_MAX if judged else None, ok=verdict, detail=n if enough else f"{n}: too few"
        )
