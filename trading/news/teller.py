"""Tells a running session of the event list: whatever the next days hold and its journal does not show yet.

Part of the ledger's follower, which sees the journal and the database.  A window is told until the journal shows it, so
a Redis that starts empty loses none; told twice it changes nothing.  With the database away nothing is told: the kernel
then holds entries for that reason.
"""

import numpy as np
import structlog

from marketdata.core.records import NO_TIME
from trading.core.records import NEWS
from trading.leases import short_wait
from trading.news.windows import Span, ahead, news_events, venue_of
from trading.run.clock import boot_ns
from trading.run.context import LoopContext
from trading.run.loops import StoreAway
from trading.run.streams import INBOX, Stream, StreamAway, StreamFull

AGAIN_NS = 5_000_000_000  # until a window that was sent is sent again while the journal does not show it (boot clock)
log = structlog.get_logger("trading.news")


class NewsTeller:
    """One session's teller.  `note` with every frame's event, `tell` now and then."""

    def __init__(self, context: LoopContext) -> None:
        self._context = context
        self._venue = venue_of(context.spec)
        self._heard: set[Span] = set()
        self._sent_ns: dict[Span, int] = {}
        self._now_ns = NO_TIME  # of the journal: on every clock, and on a tape
        self._away = False

    def note(self, events: np.ndarray) -> None:
        """Follow the journal: its time, and the windows that the kernel has."""
        if len(events) == 0:
            return
        self._now_ns = max(self._now_ns, int(events["ts_ns"].max()))
        told = events[events["kind"] == NEWS]
        self._heard.update((int(event["value"]), int(event["until_ns"])) for event in told)

    def tell(self) -> int:
        """Send what the kernel does not have.  Returns how many windows; never raises."""
        if self._now_ns == NO_TIME:
            return 0
        try:
            with short_wait():
                spans = ahead(self._venue, self._now_ns)
            boot = boot_ns()
            due = [span for span in spans if span not in self._heard and self._is_due(span, boot)]
            if not due:
                return 0
            self._send(np.concatenate(news_events(due, self._now_ns)))
        except (StoreAway, StreamAway, StreamFull) as error:
            if not self._away:
                log.warning("news_wait", session=self._context.spec.key, error=str(error))
            self._away = True
            return 0
        self._away = False
        self._sent_ns.update(dict.fromkeys(due, boot))
        return len(due)

    def _send(self, events: np.ndarray) -> None:
        """To the inbox, by a client of its own: it is rare.  Raises StreamAway, StreamFull."""
        client = self._context.connect()
        try:
            Stream(client, self._context.spec.key, INBOX).append(events, fence=0, loop="desk")
        finally:
            client.close()

    def _is_due(self, span: Span, boot: int) -> bool:
        return span not in self._sent_ns or boot - self._sent_ns[span] > AGAIN_NS
