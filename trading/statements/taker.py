"""Takes the statement of a trading day once the session's own clock has left it; part of the ledger's follower.

The journal's time says when; what the venue says is asked for beside it, and again until the ledger has it.  The last
statement of a session is taken at its end, by `end`.  What is open is told again beside it, for a process
that died between row and file.  No statement holds up a loop.
"""

import numpy as np
import structlog

from marketdata.core.records import NO_TIME
from trading.brokers.paper_statement import days_of
from trading.leases import short_wait
from trading.run.clock import boot_ns
from trading.run.context import LoopContext
from trading.run.loops import StoreAway
from trading.statements import services

AGAIN_NS = 10_000_000_000  # boot clock
END_TRIES = 3  # of the last statement
log = structlog.get_logger("trading.statements")


class StatementTaker:
    """One session's taker.  `note` with every frame's event, `look` now and then."""

    def __init__(self, context: LoopContext) -> None:
        self._context, self._days = context, days_of(context.spec)
        self._now_ns = NO_TIME
        self._taken = 0  # place of the day before which all days are taken
        self._asked_ns = self._told_ns = self._ended_ns = NO_TIME
        self._tries, self._over = 0, False

    def note(self, events: np.ndarray) -> None:
        """Follow the journal's time."""
        if len(events) > 0:
            self._now_ns = max(self._now_ns, int(events["ts_ns"].max()))

    def look(self) -> None:
        """Take the days that are over and have no statement, and tell what is open.  Raises nothing."""
        boot = boot_ns()
        self._tell(boot)
        place = 0 if self._now_ns == NO_TIME else self._days.at(self._now_ns)
        if place <= self._taken or (self._asked_ns != NO_TIME and boot - self._asked_ns < AGAIN_NS):
            return
        self._asked_ns = boot
        try:
            with short_wait():
                services.take(self._context.spec.id, now_ns=self._now_ns)
        except (services.NotYet, StoreAway, *services.FAULTS) as error:
            log.info("statement_waits", session=self._context.spec.key, error=str(error))
        else:
            self._taken = place

    def end(self, session_id: int) -> bool:
        """Take the last statement of the session, which is over.  False: not yet, ask again.

        The venue is asked a few times, with pauses; then the day is missing.  Where not even that can be stored it is
        left to `manage.py statements take`: pre-flight finds no last statement, and refuses.  A database that is locked
        or away raises its own errors; each is a try.
        """
        boot = boot_ns()
        if not self._over and (self._ended_ns == NO_TIME or boot - self._ended_ns >= AGAIN_NS):
            self._ended_ns, self._tries = boot, self._tries + 1
            if self._tries <= END_TRIES:
                services.take_last(session_id)
            elif self._tries == END_TRIES + 1:
                services.miss_last(session_id, f"the database took none in {END_TRIES} tries")
            else:
                log.error("statement_left", session=self._context.spec.key)
            self._over = True
        return self._over

    def _tell(self, boot: int) -> None:
        if self._told_ns != NO_TIME and boot - self._told_ns < AGAIN_NS:
            return
        self._told_ns = boot
        try:
            with short_wait():
                services.tell_open()
        except StoreAway as error:
            log.info("statements_not_told", session=self._context.spec.key, error=str(error))
