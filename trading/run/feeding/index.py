"""The volatility index on its way to the kernel: each value once, none lost.

Values are drawn from their source by time, and only while the inbox takes them: what could not be told is drawn later.
A Redis that comes back empty may have lost values that nobody had journaled, so those of the last span are told again.
Called by the feed loop.
"""

from collections.abc import Mapping

from marketdata.core.records import NO_TIME
from marketdata.volatility import Index
from trading.core.records import INDEX
from trading.run.feeding.outlet import Outlet, notice
from trading.run.journal.recovery import account_event
from trading.run.streams import StreamAway

INDEX_MARK = "feed:index"  # beside the inbox: time of the last value of the index that was sent


class IndexTeller:
    """Attributes: told (values).  `limits`: rvi_max and rvi_age_ns_max are asked."""

    def __init__(self, index: Index, inbox: Outlet, limits: Mapping[str, int], *, fresh: bool) -> None:
        self._index, self._inbox = index, inbox
        self._alarm, self._age_max = limits["rvi_max"], limits["rvi_age_ns_max"]
        self._after_ns = NO_TIME  # time of the last value that was told
        self._sure = fresh  # whether Redis still has what was told, and this is it
        self.told = 0

    def tell(self, now_ns: int) -> None:
        """What the index did since the last look, each value once.

        The kernel counts a value's age from its arrival: one that is old by then is no news of calm, only of alarm.
        """
        if not self._inbox.takes_notices:
            self._sure = False
            return
        if not self._sure and not self._look():
            return
        if self._after_ns == NO_TIME:
            self._after_ns = now_ns - self._age_max // 4
        found = self._index.between(self._after_ns, now_ns)
        for ts_ns, value in zip(found.ts_ns.tolist(), found.values.tolist(), strict=True):
            self._after_ns = ts_ns
            if ts_ns < now_ns - self._age_max and value <= self._alarm:
                continue
            event = account_event(INDEX, 0, now_ns, value)
            event["ts_venue_ns"] = ts_ns
            self._inbox.offer(notice(event, (INDEX_MARK, str(ts_ns).encode())))
        if len(found.ts_ns) > 0:
            self.told += len(found.ts_ns)
            self._inbox.flush(now_ns)

    def _look(self) -> bool:
        """Where Redis says that the telling has arrived; False while it does not answer."""
        try:
            mark = self._inbox.stream.mark(INDEX_MARK)
        except StreamAway:
            return False
        if mark is not None:
            self._after_ns = int(mark)
        elif self._after_ns != NO_TIME:
            self._after_ns -= self._age_max
        self._sure = True
        return True
