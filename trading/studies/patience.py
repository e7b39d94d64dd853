"""The shared database when it is slow to answer: asked again for a while, and given signs of life meanwhile.

A lock or a restart ends no study of hours, and a long piece of work is not taken for a death.  Only for what may be
done twice: an answer of the database may be lost after it did what it was asked.  Called by `hired` and `hand`.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection

T = TypeVar("T")
PATIENCE_S = 120.0
AGAIN_S = 1.0  # SQLite has waited for its own time-out before, PostgreSQL refuses at once
log = structlog.get_logger("trading.studies")


def patiently(act: Callable[[], T], say: Callable[[str], object], limit_s: float = PATIENCE_S) -> T:
    """What `act` returns, asked again for `limit_s`; `say` is told once.  Raises DatabaseError.

    The connection is made anew each time: one that broke stays broken.
    """
    until: float | None = None
    while True:
        try:
            return act()
        except (OperationalError, InterfaceError) as error:
            connection.close()
            now = time.monotonic()
            if until is None:
                until = now + limit_s
                say(f"The shared database does not answer ({error}); it is asked again for {limit_s:.0f} s")
            if now >= until:
                raise
            time.sleep(AGAIN_S)


@contextlib.contextmanager
def beating(beat: Callable[[], bool], every_s: float) -> Iterator[threading.Event]:
    """Signs of life from a thread, until `beat` says that they are of no use: then the event is set."""
    stop, ended = threading.Event(), threading.Event()

    def run() -> None:
        try:
            while not stop.wait(every_s):
                try:
                    if not beat():
                        ended.set()
                        return
                except DatabaseError as error:  # the lease goes on running out; whoever takes over is told by the fence
                    connection.close()
                    log.warning("no_sign_of_life", error=str(error))
        finally:
            connection.close()

    thread = threading.Thread(target=run, name="signs of life", daemon=True)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join()
