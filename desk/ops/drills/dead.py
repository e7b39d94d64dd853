"""What is dead while the kill is pressed: the web process, Redis, the database, one of the loops, or nothing.

Each fault is a context: dead inside it, whole again behind it.  `still()` proves that it was dead to the end of the
case.  Runs inside the environment of a private desk and touches only that one.
"""

import contextlib
import ctypes
import os
import sqlite3
import xmlrpc.client
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import redis
from django.conf import settings
from django.db import connection
from supervisor.xmlrpc import SupervisorTransport

from desk.ops.bench.faults import kill_owner, lease, owner_lives, wait_until
from desk.ops.launch import port_is_free
from desk.ops.supervise import answers
from trading.models import LoopLease, Session
from trading.run.clock import boot_ns
from trading.run.context import LOOPS

BACK_S = 120.0  # a loaded machine starts a worker slowly
RENAME_EXCHANGE = 2
AT_FDCWD = -100


class Fault(NamedTuple):
    """One row of the matrix: its name and a context that gives `still()`."""

    name: str
    dead: Callable[[Session], contextlib.AbstractContextManager[Callable[[], bool]]]


def supervisor() -> Any:
    """This desk's supervisor, asked over its own socket: an order takes milliseconds, not a process."""
    transport = SupervisorTransport(None, None, f"unix://{Path(settings.VAR) / 'supervisor.sock'}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def redis_answers() -> bool:
    """Whether Redis takes commands."""
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@contextlib.contextmanager
def nothing(session: Session) -> Iterator[Callable[[], bool]]:
    """The ordinary case."""
    yield lambda: True


@contextlib.contextmanager
def web(session: Session) -> Iterator[Callable[[], bool]]:
    """The web process is gone: nothing listens on its port."""
    supervisor().stopProcess("web")
    try:
        yield lambda: port_is_free(settings.DESK_PORT)
    finally:
        supervisor().startProcess("web")
        wait_until("the web answers", lambda: answers(settings.DESK_PORT), BACK_S)


@contextlib.contextmanager
def no_redis(session: Session) -> Iterator[Callable[[], bool]]:
    """Redis is gone; it comes back with what it had written."""
    supervisor().stopProcess("redis")
    try:
        yield lambda: not redis_answers()
    finally:
        supervisor().startProcess("redis")
        wait_until("Redis answers", redis_answers, BACK_S)


def _exchange(one: Path, other: Path) -> None:
    """Swap two names in one step, whatever they name."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), f"{one} and {other} could not be exchanged")


@contextlib.contextmanager
def locked_database(session: Session) -> Iterator[Callable[[], bool]]:
    """Everybody may read the database, nobody may write."""
    path = connection.settings_dict["NAME"]
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as own:
        own.execute("BEGIN IMMEDIATE")
        try:
            yield lambda: own.in_transaction
        finally:
            own.execute("ROLLBACK")


@contextlib.contextmanager
def no_database(session: Session) -> Iterator[Callable[[], bool]]:
    """Nobody can open the database, and who has it open cannot write: the name leads to a folder, the lock is taken."""
    path = Path(connection.settings_dict["NAME"])
    aside = path.with_name("database-aside")
    with locked_database(session):
        aside.mkdir(exist_ok=True)
        _exchange(path, aside)
        try:
            yield path.is_dir
        finally:
            _exchange(path, aside)
            aside.rmdir()


def loop_dead(name: str, session: Session) -> contextlib.AbstractContextManager[Callable[[], bool]]:
    """The worker that holds this loop was killed, and nobody has taken the loop over yet."""
    return _loop_dead(name, session)


@contextlib.contextmanager
def _loop_dead(name: str, session: Session) -> Iterator[Callable[[], bool]]:
    before = kill_owner(session, name)
    yield lambda: lease(session, name).fence == before.fence


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("nothing", nothing),
        Fault("web", web),
        Fault("redis", no_redis),
        Fault("database", no_database),
        Fault("database-read-only", locked_database),
        *(Fault(name, partial(loop_dead, name)) for name in LOOPS),
    )
}


def all_loops_run(session: Session) -> bool:
    """Every loop is held by a worker that lives, runs, and has beaten within the last second and a half."""
    rows = LoopLease.objects.filter(session=session)
    fresh = boot_ns() - 1_500_000_000
    beating = len(rows) == len(LOOPS) and all(row.state == "running" and row.beat_boot_ns > fresh for row in rows)
    return beating and all(owner_lives(row) for row in rows)


def whole_again(session: Session) -> float:
    """Seconds until every loop runs and web and Redis answer.  Raises BenchFailed."""
    seconds = wait_until("every loop runs", lambda: all_loops_run(session), BACK_S)
    seconds += wait_until("Redis answers", redis_answers, BACK_S)
    return seconds + wait_until("the web answers", lambda: answers(settings.DESK_PORT), BACK_S)
