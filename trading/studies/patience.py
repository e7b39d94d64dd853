"""The shared database, asked again for a while when it does not answer: a lock or a restart ends no study of hours.

Only for what may be done twice: an answer of the database may be lost after it did what it was asked.  Called by
`hired` and `hand`.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

T = TypeVar("T")
PATIENCE_S = 120.0
AGAIN_S = 1.0  # SQLite has waited for its own time-out before, PostgreSQL refuses at once


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
