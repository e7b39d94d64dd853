"""Which streams the desk wants, which the broker confirms, and how fast it may ask (MOEX-DATA-01, -16).

A registry beside the connection: after a connect the broker's own list is compared with it, and the differences are
what must be asked for before the gate.  At most 100 requests in any minute.  It opens no connection and reads no clock.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

MINUTE_NS = 60_000_000_000
REQUESTS_A_MINUTE = 100
CONNECTION_MAX = 300  # subscriptions that one connection allows
BOOK, TRADES, CANDLES = "book", "trades", "candles"
CHANNELS = (BOOK, TRADES, CANDLES)


class Subscription(NamedTuple):
    """One channel of one instrument."""

    instrument: int
    channel: str


class TooMany(ValueError):
    """More subscriptions than one connection allows."""


class Subscriptions:
    """What is wanted for `instruments`: book, trades and one-minute candles of each.  Raises TooMany."""

    def __init__(self, instruments: Iterable[int]) -> None:
        self.wanted = [Subscription(which, channel) for which in dict.fromkeys(instruments) for channel in CHANNELS]
        if len(self.wanted) > CONNECTION_MAX:
            raise TooMany(f"{len(self.wanted)} subscriptions, and one connection allows {CONNECTION_MAX}")
        self.confirmed: set[Subscription] = set()
        self.surplus: set[Subscription] = set()  # the broker has them, nobody wants them
        self._asked: deque[int] = deque()  # times of the requests of the last minute

    def connected(self, listed: Iterable[Subscription]) -> None:
        """A new connection, with the broker's own list: that is what is confirmed, whatever was so before."""
        theirs = set(listed)
        self.confirmed = theirs & set(self.wanted)
        self.surplus = theirs - self.confirmed

    def confirm(self, subscription: Subscription) -> bool:
        """The broker confirmed one; False when nobody asked for it."""
        if subscription not in self.wanted:
            return False
        self.confirmed.add(subscription)
        return True

    def is_confirmed(self, instrument: int) -> bool:
        """Whether all channels of an instrument are."""
        return all(Subscription(instrument, channel) in self.confirmed for channel in CHANNELS)

    def missing(self) -> list[Subscription]:
        """Wanted and not confirmed, in their order."""
        return [each for each in self.wanted if each not in self.confirmed]

    def due(self, now_ns: int) -> list[Subscription]:
        """What may be asked for now: the missing, as far as the minute's budget goes.  Counts them as asked."""
        while self._asked and now_ns - self._asked[0] >= MINUTE_NS:
            self._asked.popleft()
        asked = self.missing()[: REQUESTS_A_MINUTE - len(self._asked)]
        self._asked.extend(now_ns for _ in asked)
        return asked
