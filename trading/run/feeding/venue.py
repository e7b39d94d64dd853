"""The feed loop's way to the venue, which may be away: the market goes on, and what the venue missed is counted.

After a new connection the ring is told what lies between the venue's position and the batch that it is given next, so
that the journal knows why its fills are not those of a whole tape.  Called by the feed loop alone.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from marketdata.core.units import NANOS
from marketdata.engine.telling import missed
from marketdata.feeds.port import Batch
from trading.brokers.port import Rejected, Unreachable
from trading.run.bodies.reconcile import raise_if_fenced
from trading.run.clock import boot_ns

KNOWN = -1  # in the place of a position of the venue: it has all that it was given since


class MarketSink(Protocol):
    """The venue as the feed sees it; `trading.brokers.paper.PaperMarket` is one."""

    def connect(self) -> int:
        """Begin a session; returns the position of the last market events that the venue has.  Raises Unreachable."""
        ...

    def market(self, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray, position: int) -> None:
        """Give it one batch; what it has already (by position) it skips.  Raises Unreachable."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class VenueSide:
    """The venue of one holding.  `up`: it is connected.  `skipped`: events that it was not given."""

    def __init__(self, sink: MarketSink) -> None:
        self.sink = sink
        self._retry_ns = 0
        self._at = KNOWN
        self.up = False
        self.skipped = 0

    def connect(self) -> int:
        """Connect if it is time to; returns the venue's market position, -1 while it is away.  Raises Fenced."""
        if boot_ns() < self._retry_ns:
            return -1
        try:
            position = self.sink.connect()
        except Rejected as error:
            raise_if_fenced(error)
            raise
        except Unreachable:
            self._retry_ns = boot_ns() + NANOS // 2
            return -1
        self.up, self._at = True, position
        return position

    def give(self, batch: Batch, now_ns: int, tell: Callable[[np.ndarray], None]) -> None:
        """One batch, whether the venue listens or not; what it missed before is told first.  Raises Fenced."""
        if not self.up:
            self.connect()
        if self.up:
            self._tell_missed(batch, now_ns, tell)
            try:
                self.sink.market(batch.events, batch.depths, batch.depth_of, batch.position)
                return
            except Rejected as error:
                raise_if_fenced(error)
                raise
            except Unreachable:
                self.up = False
        self.skipped += len(batch.events)

    def _tell_missed(self, batch: Batch, now_ns: int, tell: Callable[[np.ndarray], None]) -> None:
        """The first batch with a place after a new connection: what lies between the venue's and it, it never has."""
        if batch.position < 0:
            return
        first, self._at = self._at, KNOWN
        count = batch.position - len(batch.events) - first
        if first != KNOWN and count > 0:
            tell(missed(first, count, now_ns))
