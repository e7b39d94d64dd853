"""Asks a live session's schedule again at every roll of the trading day (MES-EOD-02, MES-CAL-04).

A calendar that has learned of an early close since the start may show that the schedule ends after the venue's cut-off:
then nothing is entered until a person has looked.  A simulated venue's cut-off is the session's close, which every
schedule was checked against for all its days.  Part of the ledger's follower; it raises nothing.
"""

import numpy as np
import structlog

from marketdata.core.records import NO_TIME
from trading.brokers.paper_statement import days_of
from trading.configs import ConfigError, profile_of
from trading.control import CommandRefused, send_command
from trading.core import states
from trading.leases import short_wait
from trading.models import Session
from trading.preflight.planning import StartRefused, session_windows
from trading.run.context import LoopContext
from trading.run.loops import StoreAway

SIMULATED = "paper"
log = structlog.get_logger("trading.preflight")


class RollCheck:
    """One session's.  `note` with every frame's event, `look` now and then."""

    def __init__(self, context: LoopContext) -> None:
        self._spec, self._days = context.spec, days_of(context.spec)
        self._asked = context.spec.mode != SIMULATED
        self._now_ns = NO_TIME
        self._checked = 0  # place of the day that was asked about last; the first one was at the start

    def note(self, events: np.ndarray) -> None:
        """Follow the journal's time."""
        if self._asked and len(events) > 0:
            self._now_ns = max(self._now_ns, int(events["ts_ns"].max()))

    def look(self) -> None:
        """Ask once a day; again where the pause did not get through."""
        if not self._asked or self._now_ns == NO_TIME:
            return
        place = self._days.at(self._now_ns)
        if place <= self._checked:
            return
        try:
            with short_wait():
                session = Session.objects.select_related("version").get(id=self._spec.id)
                why = late(session, self._spec.mode, self._now_ns)
            if why and send_command(session.id, "pause", "desk", why[:500]).state != states.ACCEPTED:
                return
        except (StoreAway, CommandRefused) as error:
            log.warning("roll_check_waits", session=self._spec.key, error=str(error))
        else:
            self._checked = place


def late(session: Session, mode: str, now_ns: int) -> str:
    """Why this session's schedule no longer fits the venue of `mode` from now on; empty: it does."""
    try:
        session_windows(profile_of(session.version), mode, now_ns)
    except (StartRefused, ConfigError) as error:
        return str(error)
    return ""
