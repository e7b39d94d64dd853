"""ERROR notices: what failed in the desk's own code, told to the kernel, which stops the account at so many (T-10).

An outage that has a hold of its own (Redis, database, venue, feed, a blocked network) is no error here, or one outage
would be counted as many.  Bounded: at most one notice a second from each teller, and no count above what the kernel
keeps.  Telling never raises: a kernel that cannot be told admits no entry anyway.
"""

import os
from pathlib import Path

import numpy as np
import structlog

from trading.core.records import ERROR
from trading.run.clock import boot_ns
from trading.run.context import LOOPS
from trading.run.journal.recovery import account_event
from trading.run.streams import INBOX, Stream, StreamAway, StreamFull, make_client

ERRORS_MAX = 32  # of one notice; the kernel remembers as many (ACCOUNT.errors_ns)
KEPT_FILE = "risk.failures"
EVERY_NS = 1_000_000_000  # boot clock
log = structlog.get_logger("trading.errors")


def error_event(loop: str, count: int, now_ns: int) -> np.ndarray:
    """One ERROR EVENT (1,): code = place of the loop among LOOPS, from 1; value = how often."""
    return account_event(ERROR, LOOPS.index(loop) + 1, now_ns, value=min(count, ERRORS_MAX))


class ErrorTeller:
    """Errors that a body handled and went on from.  `note` counts, `tell` sends what waits."""

    def __init__(self, inbox: Stream, loop: str) -> None:
        self._inbox, self._loop = inbox, loop
        self.waiting = 0
        self._told_ns = -EVERY_NS

    def note(self) -> None:
        """One more."""
        self.waiting = min(self.waiting + 1, ERRORS_MAX)

    def tell(self, now_ns: int) -> int:
        """Send what waits, stamped with session time; returns how many errors were told."""
        boot = boot_ns()
        if self.waiting == 0 or boot - self._told_ns < EVERY_NS:
            return 0
        self._told_ns = boot
        try:
            self._inbox.append(error_event(self._loop, self.waiting, now_ns), fence=0, loop="errors")
        except (StreamAway, StreamFull):
            return 0  # they wait on
        told, self.waiting = self.waiting, 0
        return told


def keep_failure(folder: Path) -> None:
    """The risk loop ended by an error that nobody foresaw: kept in the session's folder for who takes it over."""
    try:
        with (folder / KEPT_FILE).open("ab") as file:
            file.write(b".")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # a full disk must not hide what the loop died of
        log.warning("error_not_kept", session=folder.name, error=str(error))


def kept_failures(folder: Path) -> int:
    """How often it did so since they were last told."""
    try:
        return (folder / KEPT_FILE).stat().st_size
    except FileNotFoundError:
        return 0


def forget_failures(folder: Path) -> None:
    """They stand in the journal now, on disk."""
    (folder / KEPT_FILE).unlink(missing_ok=True)


def tell_failure(redis_url: str, key: str, loop: str, now_ns: int) -> bool:
    """One loop ended by an error that nobody foresaw.  False when the kernel could not be told.

    The risk loop's own failures do not come here: it is who would hear them (`keep_failure`).
    """
    client = make_client(redis_url)
    try:
        Stream(client, key, INBOX).append(error_event(loop, 1, now_ns), fence=0, loop="errors")
    except (StreamAway, StreamFull) as error:
        log.warning("error_not_told", session=key, loop=loop, error=str(error))
        return False
    finally:
        client.close()
    return True
