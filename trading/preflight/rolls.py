"""Asks a live session's schedule again at every roll of the trading day (MES-EOD-02, MES-CAL-04).

A calendar that has learned of an early close since the start may show that the schedule ends after the venue's cut-off:
then nothing is entered until a person has looked.  A simulated venue's cut-off is the session's close, which every
schedule was checked against for all its days.  One pause a day, whoever asks again: a session that a person has resumed
goes on after a restart.  Part of the ledger's follower; it raises nothing.
"""

import uuid

import numpy as np
import structlog

from marketdata.core.records import NO_TIME
from trading.brokers.paper_statement import days_of
from trading.configs import ConfigError, profile_of
from trading.control import CommandRefused, send_command
from trading.core import states
from trading.leases import short_wait
from trading.models import Command, Session
from trading.preflight.planning import StartRefused, session_windows
from trading.run.clock import boot_ns
from trading.run.context import LoopContext
from trading.run.loops import StoreAway
from trading.run.streams import INBOX, Stream, StreamAway, make_client

SIMULATED = "paper"
AGAIN_NS = 10_000_000_000  # boot clock
ANSWERED = (states.ACCEPTED, states.DONE, states.REFUSED)
log = structlog.get_logger("trading.preflight")


class RollCheck:
    """One session's.  `note` with every frame's event, `look` now and then."""

    def __init__(self, context: LoopContext) -> None:
        self._spec, self._days = context.spec, days_of(context.spec)
        self._asked = context.spec.mode != SIMULATED
        self._now_ns = self._tried_ns = NO_TIME
        self._checked = 0  # place of the day that was asked about last; the first one was at the start

    def note(self, events: np.ndarray) -> None:
        """Follow the journal's time."""
        if self._asked and len(events) > 0:
            self._now_ns = max(self._now_ns, int(events["ts_ns"].max()))

    def look(self) -> None:
        """Ask once a day; again where the pause did not get through."""
        if not self._asked or self._now_ns == NO_TIME:
            return
        boot, place = boot_ns(), self._days.at(self._now_ns)
        if place <= self._checked or (self._tried_ns != NO_TIME and boot - self._tried_ns < AGAIN_NS):
            return
        self._tried_ns = boot
        try:
            with short_wait():
                session = Session.objects.select_related("version").get(id=self._spec.id)
                why = late(session, self._spec.mode, self._now_ns)
            if why and not self._pause(why, self._days.numbers[place]):
                return
        except (StoreAway, StreamAway, CommandRefused) as error:
            log.warning("roll_check_waits", session=self._spec.key, error=str(error))
        else:
            self._checked = place

    def _pause(self, why: str, day: int) -> bool:
        """Whether the session has the day's pause.  One that failed or got lost is followed by another."""
        turn = 0
        with short_wait():
            while (row := Command.objects.filter(key=self._key(day, turn)).first()) and row.state not in ANSWERED:
                turn += 1
        if row is None:
            self._find_inbox()
            row = send_command(self._spec.id, "pause", "desk", why[:500], self._key(day, turn))
        return row.state in ANSWERED

    def _key(self, day: int, turn: int) -> uuid.UUID:
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{self._spec.key}:roll:{day}:{turn}")

    def _find_inbox(self) -> None:
        """Raises StreamAway, before a command is stored that could only fail."""
        client = make_client(self._spec.redis_url)
        try:
            Stream(client, self._spec.key, INBOX).length()
        finally:
            client.close()


def late(session: Session, mode: str, now_ns: int) -> str:
    """Why this session's schedule no longer fits the venue of `mode` from now on; empty: it does."""
    try:
        session_windows(profile_of(session.version), mode, now_ns)
    except (StartRefused, ConfigError) as error:
        return str(error)
    return ""
