"""One stream of the feed loop on its way out: what waits for it while Redis is away or its reader is behind.

The market goes on whoever listens, so what of it cannot be kept is counted and told as a gap.  A notice (a value of
the index, a hold, a contract) is no market: it never gives way, and while the stream takes nothing its maker makes no
more of them (`takes_notices`), so that nothing is lost and little waits.  Called by the feed loop alone.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from marketdata.core.records import FEED, FEED_GAP, FEED_UP
from trading.run.journal.recovery import account_event
from trading.run.streams import Stream, StreamAway, StreamFull

KEPT_EVENTS = 8192  # of the market, per stream, while Redis is away


class Entry(NamedTuple):
    """One entry to be.  `position`: the tape's behind it, -1 for none."""

    events: np.ndarray
    depths: np.ndarray | None
    depth_of: np.ndarray | None
    position: int
    mark: tuple[str, bytes] | None = None  # where it is no entry of the tape
    notice: bool = False  # never gives way


def notice(events: np.ndarray, mark: tuple[str, bytes] | None = None) -> Entry:
    """An entry that is no market."""
    return Entry(events, None, None, -1, mark, True)


class Outlet:
    """One stream on its way out: what waits for it, and how it stands."""

    def __init__(self, stream: Stream, fence: int, makes_it: bool) -> None:
        self.stream, self.fence, self.makes_it = stream, fence, makes_it
        self.waiting: deque[Entry] = deque()
        self.events_waiting = 0
        self.skipped = 0  # market events dropped since the stream last took something
        self.skipped_total = 0
        self.full = self.away = False
        self._market_waiting = 0

    @property
    def takes_notices(self) -> bool:
        """Whether what is offered now goes out now: nothing waits before it, and the last try was taken."""
        return not self.waiting and not self.full and not self.away

    def offer(self, entry: Entry) -> None:
        """Queue one entry; while Redis is away the oldest of the market give way, and are counted."""
        self.waiting.append(entry)
        self.events_waiting += len(entry.events)
        if entry.notice:
            return
        self._market_waiting += len(entry.events)
        while self._market_waiting > KEPT_EVENTS and self._drop_oldest(entry):
            pass

    def _drop_oldest(self, newest: Entry) -> bool:
        """Forget the oldest entry of the market but `newest`.  False: there is none."""
        at = next((i for i, waiting in enumerate(self.waiting) if not waiting.notice), None)
        if at is None or self.waiting[at] is newest:
            return False
        lost = len(self.waiting[at].events)
        del self.waiting[at]
        self.events_waiting -= lost
        self._market_waiting -= lost
        self.skipped += lost
        self.skipped_total += lost
        return True

    def flush(self, gap_ts_ns: int) -> int:
        """Send what waits, in order, after the news of a gap if there was one.  Returns the number of events sent."""
        sent = 0
        self.full = self.away = False
        try:
            if self.makes_it and self.waiting:
                self.stream.open((0, 0))
            while self.waiting:
                if self.skipped > 0:
                    lost = account_event(FEED, FEED_GAP, gap_ts_ns, self.skipped)
                    both = np.concatenate([lost, account_event(FEED, FEED_UP, gap_ts_ns)])
                    self.stream.append(both, fence=self.fence, loop="feed")
                    self.skipped = 0
                self._append(self.waiting[0])
                entry = self.waiting.popleft()
                count = len(entry.events)
                self.events_waiting -= count
                self._market_waiting -= 0 if entry.notice else count
                sent += count
        except StreamFull:
            self.full = True
        except StreamAway:
            self.away = True
        return sent

    def _append(self, entry: Entry) -> None:
        mark = entry.mark if entry.position < 0 else (f"feed:{self.stream.name}", str(entry.position).encode())
        self.stream.append(
            entry.events,
            fence=self.fence,
            loop="feed",
            depths=entry.depths,
            depth_of=entry.depth_of,
            position=entry.position if entry.depths is not None else -1,
            mark=mark,
        )
