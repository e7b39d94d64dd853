"""A session's market once more, with its books: read from the very feed that it had, held against its journal.

A journal keeps the best bid and ask of a book, a feed all levels; a simulated or recorded feed gives the same events
again.  One that does not is no tape of this session, and says so.  Called by `parity.venue`.
"""

from collections.abc import Callable

import numpy as np

from marketdata.core.records import DEPTH, new_depths, new_events
from marketdata.feeds.port import Batch, Feed, FeedError, FeedSpec
from marketdata.feeds.registry import open_feed

READ = 4_096
SEARCHED_MAX = 200_000  # events that a kernel may have missed in one go
FAR_NS = np.iinfo(np.int64).max
Heard = Callable[[Batch, bool], None]  # what was read, and whether it is back-fill


class TapeDiffers(ValueError):
    """The feed gives other events than the journal has; the text says where."""


class TapeAgain:
    """Events from `given` on are not with the venue yet, those before `_told` were found in the journal.

    Attributes: events, depths, depth_of (as in Batch, without what is behind both marks); given; unheard (events that
    the journal never had); gone (events that are let go).
    """

    def __init__(self, spec: FeedSpec, heard: Heard) -> None:
        """Raises FeedError, OSError."""
        self._feed: Feed = open_feed(spec)
        self._heard = heard
        heard(self._feed.backfill(), True)
        self.events, self.depths, self.depth_of = new_events(0), np.zeros(0, DEPTH), np.zeros(0, np.int32)
        self.given = self._told = self.unheard = self.gone = 0
        self._ended, self._fault = False, ""

    def upto(self, ts_ns: int) -> int:
        """Index of the first event that is later."""
        while not self._ended and (len(self.events) == 0 or int(self.events["ts_venue_ns"][-1]) <= ts_ns):
            self._more()
        return self.before(ts_ns)

    def before(self, ts_ns: int) -> int:
        """The same among the events that are at hand."""
        return int(np.searchsorted(self.events["ts_venue_ns"], ts_ns, side="right"))

    def confirm(self, rows: np.ndarray) -> None:
        """The next market events of the journal, in order.  Raises TapeDiffers."""
        while not self._ended and len(self.events) - self._told < len(rows):
            self._more()
        mine = self.events[self._told : self._told + len(rows)]
        if plain(mine).tobytes() == plain(rows).tobytes():
            self._told += len(rows)
            return
        for i in range(len(rows)):
            self._find(rows[i : i + 1])

    @property
    def confirmed(self) -> int:
        """Events of the tape up to the last one that the journal has, from the first on."""
        return self.gone + self._told

    def forget(self) -> None:
        """Nobody asks for what is at hand any more."""
        self.given = self._told = len(self.events)

    def close(self) -> None:
        """Let the feed go."""
        self._feed.close()

    def _find(self, row: np.ndarray) -> None:
        """One event; those passed over were lost between feed and kernel, and the venue may have had them."""
        wanted, passed = plain(row).tobytes(), 0
        while passed < SEARCHED_MAX:
            if self._told == len(self.events):
                if self._ended:
                    break
                self._more()
                continue
            found = plain(self.events[self._told : self._told + 1]).tobytes() == wanted
            self._told += 1
            if found:
                self.unheard += passed
                return
            passed += 1
        text = f"the feed does not give the market event that the journal has at seq {int(row['seq'][0])}"
        raise TapeDiffers(f"{text}: it cannot be read on, {self._fault}" if self._fault else text)

    def _more(self) -> None:
        """Read on, and let go of what both have."""
        try:
            batch = self._feed.read(FAR_NS, READ)
        except (FeedError, OSError) as error:  # damage behind what the journal has is nothing to it
            self._ended, self._fault = True, str(error)
            return
        if len(batch.events) == 0:
            self._ended = True
            return
        self._heard(batch, False)
        gone = min(self.given, self._told)
        kept = self.depth_of[gone:]
        first = int(kept[kept >= 0].min()) if (kept >= 0).any() else len(self.depths)
        kept = np.where(kept >= 0, kept - first, -1).astype(np.int32)
        depths = self.depths[first:]
        new = np.where(batch.depth_of >= 0, batch.depth_of + len(depths), -1).astype(np.int32)
        self.events = np.concatenate([self.events[gone:], batch.events])
        self.depths = np.concatenate([depths, batch.depths]) if len(depths) + len(batch.depths) else new_depths(1)
        self.depth_of = np.concatenate([kept, new])
        self.given, self._told, self.gone = self.given - gone, self._told - gone, self.gone + gone


def plain(rows: np.ndarray) -> np.ndarray:
    """The same without what a session adds: its place in the journal, and when it was heard."""
    found = rows.copy()
    found["seq"] = found["ts_ns"] = 0
    return found
