"""What the Operations page knows of the running desk: loops, hops, queues, processes, disk, versions.

Every section is asked for by itself and answers with its rows or with one sentence that says what does not answer: the
page of a half-dead desk shows the living half.  Reads only; nothing here waits longer than a second.
"""

import os
import re
import shutil
import time
import xmlrpc.client
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import redis
from django.conf import settings
from django.db import DatabaseError, connection

from desk.jitcache import code_hash
from desk.ops.drills.dead import supervisor
from trading import selectors
from trading.run import guard
from trading.run.clock import boot_ns
from trading.run.streams import CAPS, Stream, StreamAway, make_client, unpack

STALE_S = 3.0  # loops (ui: 3 s)
LIBRARIES = ("django", "channels", "daphne", "celery", "redis", "numpy", "numba", "torch", "msgspec", "websockets")
FOLDERS = ("sessions", "logs", "redis", "venue", "guard", "jit")
JOBS = {"batch": "batch jobs", settings.STUDY_QUEUE: "trials that wait for a study worker"}  # Celery's queues
GUARD_S = 1.0
TIME_OF = re.compile(r"(\w+)_us_(p\d+)")
# What a loop shows of itself beside its beat: figures always, trouble only where there is some.
FIGURES = (
    "seq", "inbox", "pending", "score_us_p50", "score_us_p99", "wait_us_p99", "behind", "active", "monitored",
    "integrity", "engine_us_p99", "recorded_mb", "book_us_p99", "features_us_p99", "ml_us_p99", "risk_us_p99",
    "broker_us_p99", "clock_offset_us",
)  # fmt: skip
TROUBLE = (
    "inbox_waiting", "md_waiting", "md_lost", "inbox_full", "withheld", "waiting", "stuck", "refused", "unknown",
    "limited", "faults", "difference", "inactive", "contract_fault", "inbox_skipped", "venue_skipped", "record_waiting",
    "record_left_out", "record_fault", "errors", "last_error",
)  # fmt: skip
# Somebody does not answer: the panel says who.
AWAY = (DatabaseError, redis.RedisError, StreamAway, OSError, msgspec.DecodeError, xmlrpc.client.Error)


class Section(NamedTuple):
    """One panel: its rows, or why there are none."""

    rows: list[dict[str, Any]]
    fault: str = ""


def section(ask: Callable[[], list[dict[str, Any]]]) -> Section:
    """Ask; an anticipated failure becomes the panel's sentence."""
    try:
        return Section(ask())
    except AWAY as error:
        return Section([], f"{type(error).__name__}: {error}"[:300])


def loops() -> list[dict[str, Any]]:
    """Every loop that is wanted or held, with owner, fence, restarts and the age of its beat."""
    found = []
    for row in selectors.loop_rows():
        detail = row["detail"] or {}
        shown = {name: detail[name] for name in FIGURES if name in detail}
        shown |= {name: detail[name] for name in TROUBLE if detail.get(name)}
        stale = row["age_s"] is None or row["age_s"] > STALE_S
        words = ", ".join(_told(name, value) for name, value in shown.items())
        found.append({**row, "shown": words, "stale": stale})
    return found


def _told(name: str, value: object) -> str:
    """A figure by its name and with its unit: "score p99 414 µs", "recorded 1.2 MB"."""
    if (match := TIME_OF.fullmatch(name)) and isinstance(value, int | float):
        span = f"{value:.0f} µs" if value < 1000 else f"{value / 1000:.1f} ms"
        return f"{match[1].replace('_', ' ')} {match[2]} {span}"
    if name.endswith("_mb"):
        return f"{name.removesuffix('_mb').replace('_', ' ')} {value} MB"
    return f"{name.replace('_', ' ')} {_figure(value)}"


def _figure(value: object) -> str:
    """A figure in words: figures by name one after the other."""
    return " ".join(f"{name} {one}" for name, one in value.items()) if isinstance(value, dict) else str(value)


def _timed(hop: str, limit_ms: float, ask: Callable[[], str]) -> dict[str, Any]:
    """One hop: asked now, how long the answer took."""
    began = time.perf_counter()
    try:
        detail, ok = ask(), True
    except AWAY as error:
        detail, ok = f"{type(error).__name__}: {error}"[:200], False
    ms = (time.perf_counter() - began) * 1000
    return {"hop": hop, "ms": ms, "limit_ms": limit_ms, "ok": ok and ms <= limit_ms, "answers": ok, "detail": detail}


def hops() -> list[dict[str, Any]]:
    """Venue, guard, bus, database: each asked now.  Feed and worker by the age of what they sent last."""
    rows = [
        _timed("venue", 250, _venue),
        _timed("guard", 250, _guard),
        _timed("bus (Redis)", 50, _bus),
        _timed("database", 100, _database),
    ]
    for row in selectors.loop_rows():
        if row["id"] in ("feed", "sinks"):
            hop = {"feed": "feed", "sinks": "worker (sinks)"}[row["id"]]
            age = row["age_s"]
            ok = age is not None and age <= STALE_S
            ms = None if age is None else age * 1000
            name = f"{hop} of {row['name'].partition(':')[0]}"
            words = "age of its last beat"
            rows.append({"hop": name, "ms": ms, "limit_ms": STALE_S * 1000, "ok": ok, "answers": ok, "detail": words})
    return rows


def _venue() -> str:
    held = guard.look(settings.VAR)
    if unknown := [key for key, left in held.items() if "unknown" in left]:
        raise OSError(f"no answer for {', '.join(unknown)}")
    return f"accounts watched: {len(guard.read_settings(settings.VAR))}, of these holding: {len(held)}"


def _guard() -> str:
    status = guard.ask_guard(settings.VAR, {"verb": "status"}, GUARD_S)
    return "a latch stands" if status["latch"] else "no latch"


def _bus() -> str:
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1) as client:
        client.ping()
        info: Any = client.info()
    return f"{info['used_memory_human']} used, {info['connected_clients']} clients"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return str(connection.vendor)


def queues() -> list[dict[str, Any]]:
    """The streams of every running session and the queues of jobs: entries, capacity, age of the oldest entry in ms."""
    rows = []
    client = make_client(settings.REDIS_URL)
    try:
        for session in selectors.running_sessions():
            rows.append(_queue(client, session["key"], "in", "inbox"))
            rows.append(_queue(client, session["key"], "out", "outbox"))
            rows.append(_queue(client, session["key"], "md", "market data, kept", newest=True))
        try:
            waiting = {words: int(client.llen(name)) for name, words in JOBS.items()}
        except redis.RedisError as error:
            raise StreamAway(str(error)) from error
        for words, length in waiting.items():
            rows.append({"queue": words, "length": length, "cap": None, "age_ms": None, "newest": False})
    finally:
        client.close()
    return rows


def _queue(client: "redis.Redis", key: str, name: str, words: str, newest: bool = False) -> dict[str, Any]:
    """One stream; a stream that nobody takes from (`newest`) is judged by its last entry, the others by their first."""
    stream = Stream(client, key, name)
    length = stream.length()
    try:
        found: Any = client.xrevrange(stream.key, count=1) if newest else client.xrange(stream.key, count=1)
    except redis.RedisError as error:
        raise StreamAway(str(error)) from error
    age = (boot_ns() - unpack(*found[0]).boot_ns) / 1e6 if found else None
    return {"queue": f"{key} {words}", "length": length, "cap": CAPS[name], "age_ms": age, "newest": newest}


def processes() -> list[dict[str, Any]]:
    """The supervisor's programs: state, since when, and whether they run the code that is on disk."""
    newest = max(
        (path.stat().st_mtime for room in ("marketdata", "risk", "trading", "desk") for path in _sources(room)),
        default=0.0,
    )
    rows = []
    for info in supervisor().getAllProcessInfo():
        running = info["statename"] == "RUNNING"
        current = running and info["start"] >= newest
        rows.append(
            {
                "name": info["name"],
                "state": info["statename"].lower(),
                "pid": info["pid"] or None,
                "up_s": max(0, info["now"] - info["start"]) if running else None,
                "ok": running,
                "build": settings.BUILD if current else "older than the files: restart" if running else "—",
                "current": current,
                "memory_mb": _memory_mb(int(info["pid"])) if running else None,
            }
        )
    return rows


def _sources(room: str) -> list[Path]:
    return list((settings.BASE_DIR / room).rglob("*.py"))


def _memory_mb(pid: int) -> float | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def disk() -> list[dict[str, Any]]:
    """The runtime folder's file system, and what the desk keeps there."""
    usage = shutil.disk_usage(settings.VAR)
    rows = [
        {
            "what": "free on the disk",
            "mb": usage.free / 2**20,
            "share": usage.used / usage.total,
            "ok": usage.free > 2**30,
        }
    ]
    for name in FOLDERS:
        folder = settings.VAR / name
        if folder.is_dir():
            rows.append({"what": f"{name}/", "mb": _size(folder) / 2**20, "share": None, "ok": None})
    if connection.vendor == "sqlite":
        size = sum(path.stat().st_size for path in settings.VAR.glob("desk.sqlite3*") if path.is_file())
        rows.append({"what": "database", "mb": size / 2**20, "share": None, "ok": None})
    return rows


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # a log was turned over meanwhile
            continue
    return total


def versions() -> list[dict[str, Any]]:
    """Code, interpreter's libraries, and the servers."""
    rows = [{"name": "kernel code, this web process", "version": settings.CODE_HASH}]
    if (now := code_hash()) != settings.CODE_HASH:
        rows.append({"name": "kernel code on disk", "version": f"{now}: restart to use it"})
    for name in LIBRARIES:
        try:
            rows.append({"name": name, "version": version(name)})
        except PackageNotFoundError:
            rows.append({"name": name, "version": "not installed"})
    return rows
