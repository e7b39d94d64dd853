"""Tells a running session of the event list: whatever the next days hold and its journal does not show yet.

Part of the ledger's follower, which sees the journal and the database.  A window is told until the journal shows it, so
a Redis that starts empty loses none; told twice it changes nothing.  The kernel never forgets one and holds entries
back at once when one finds no room, so far ones wait for room, and near ones never wait.  With the database away
nothing is told: the kernel then holds entries for that reason.
"""

import numpy as np
import structlog

from marketdata.core.records import NO_TIME
from marketdata.core.units import NANOS
from trading.core.records import ACCOUNT, NEWS
from trading.leases import short_wait
from trading.news.windows import AHEAD_NS, Span, ahead, news_events, venue_of
from trading.run.clock import boot_ns
from trading.run.context import LoopContext
from trading.run.journal.reader import CHUNK_FRAMES, JournalReader
from trading.run.journal.segment import JournalBroken
from trading.run.loops import StoreAway
from trading.run.streams import INBOX, Stream, StreamAway, StreamFull

AGAIN_NS = 5_000_000_000  # until a window that was sent is sent again while the journal does not show it (boot clock)
KERNEL_ROOM = int(ACCOUNT["news_start_ns"].shape[0])
NEAR_NS = 15 * 60 * NANOS  # session time before its start from which a window is told even where there is no room
NEAR_BOOT_S = 10  # on a clock that runs fast the same is at least so long
log = structlog.get_logger("trading.news")


class NewsTeller:
    """One session's teller.  `note` with every frame's event, `tell` now and then."""

    def __init__(self, context: LoopContext) -> None:
        self._context = context
        self._venue = venue_of(context.spec)
        speed = context.spec.feed.speed
        self._near_ns = AHEAD_NS if speed == 0 else max(NEAR_NS, int(speed * NEAR_BOOT_S * NANOS))
        self._heard: set[Span] = set()
        self._sent_ns: dict[Span, int] = {}
        self._now_ns = NO_TIME  # of the journal: on every clock, and on a tape
        self._knows_all = False  # what the journal held before this follower began
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
            if any(self._is_new(span) for span in spans):
                self._read_back()
            boot = boot_ns()
            due = [span for span in self._fitting(spans) if self._is_due(span, boot)]
            if not due:
                return 0
            self._send(np.concatenate(news_events(due, self._now_ns)))
        except (StoreAway, StreamAway, StreamFull, JournalBroken, OSError) as error:
            if not self._away:
                log.warning("news_wait", session=self._context.spec.key, error=str(error))
            self._away = True
            return 0
        self._away = False
        self._sent_ns.update(dict.fromkeys(due, boot))
        return len(due)

    def _is_new(self, span: Span) -> bool:
        """Whether the kernel has no window in which this one lies."""
        return not any(starts <= span[0] and span[1] <= ends for starts, ends in self._heard)

    def _read_back(self) -> None:
        """Once, where there is something to tell: what this session was told before.  Raises JournalBroken, OSError."""
        if self._knows_all:
            return
        reader, seq = JournalReader(self._context.folder), 0
        while len(frames := reader.read(seq, CHUNK_FRAMES)) > 0:
            seq += len(frames)
            self.note(frames["event"])
            self._context.beat({"state": "reading the journal", "frames": seq})
        self._knows_all = True

    def _fitting(self, spans: list[Span]) -> list[Span]:
        """Those that the kernel does not have and that find room, and all that are near."""
        taken = {span for span in self._heard | self._sent_ns.keys() if span[1] > self._now_ns}
        room = KERNEL_ROOM - len(taken)
        found = []
        for span in spans:  # the nearest first
            if not self._is_new(span):
                continue
            if span not in taken:
                if room <= 0 and span[0] - self._now_ns > self._near_ns:
                    continue
                room -= 1
            found.append(span)
        return found

    def _send(self, events: np.ndarray) -> None:
        """To the inbox, by a client of its own: it is rare.  Raises StreamAway, StreamFull."""
        client = self._context.connect()
        try:
            Stream(client, self._context.spec.key, INBOX).append(events, fence=0, loop="desk")
        finally:
            client.close()

    def _is_due(self, span: Span, boot: int) -> bool:
        return span not in self._sent_ns or boot - self._sent_ns[span] > AGAIN_NS
