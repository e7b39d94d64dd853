"""What these tests share: a pool of instruments, books for them, and a second that passes."""

import numpy as np

from marketdata.core.records import new_depths
from marketdata.core.universe import metrics, step
from marketdata.core.universe.records import MONITORED, new_members, new_news, new_universe

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = 1_760_000_040 * SECOND  # a whole minute
assert START % MINUTE == 0


class Pool:
    """A universe of `count` members, in NORMAL_TRADING and confirmed."""

    def __init__(self, count: int, slots: int = 15) -> None:
        self.universe, self.members, self.news = new_universe(slots), new_members([100_000] * count), new_news()
        self.members["state"] = MONITORED
        self.members["trading"] = self.members["confirmed"] = 1
        self.now = START

    def state(self, which: int) -> int:
        return int(self.members["state"][which])

    def book(self, which: int, bid: int = 99_990, ask: int = 100_010, rub: float = 1e6) -> None:
        """A valid book, as `take_book` would have noted it."""
        member = self.members[which]
        member["book_ns"] = member["valid_ns"] = self.now
        member["bid_tick"], member["ask_tick"], member["value"] = bid, ask, rub

    def know(self, which: int, spread: float = 0.0002, r: float = 1.0, vol: float = 0.2) -> None:
        """Metrics as they stand after a long time."""
        member = self.members[which]
        member["samples"] = member["baseline_samples"] = 400
        member["sampled_ns"] = member["vol_sampled_ns"] = self.now
        member["spread"], member["liquidity"], member["baseline"], member["vol"] = spread, r * 1e6, 1e6, vol

    def second(self) -> list[list[int]]:
        """The next second; its news."""
        self.now += SECOND
        count = step.second(self.universe, self.members, self.now, self.news)
        return list(self.news[1 : count + 1].tolist())

    def decide(self) -> list[list[int]]:
        """The first second of the next minute; metrics count as sampled then."""
        self.now = (self.now // MINUTE + 1) * MINUTE - SECOND
        known = self.members["samples"] > 0
        self.members["sampled_ns"][known] = self.members["vol_sampled_ns"][known] = self.now
        if self.universe["minute"][0] < 0:
            self.universe["minute"] = self.now // MINUTE
        return self.second()

    def replace(self, current: int, replacement: int) -> int:
        return int(step.replace(self.universe, self.members, current, replacement, self.now, self.news))

    def metrics(self) -> np.ndarray:
        out = np.empty((len(self.members), 3))
        step.known_metrics(self.members, self.now, out)
        return out

    def candle(self, which: int, start_ns: int, close: int) -> bool:
        return bool(metrics.take_candle(self.members, which, start_ns, close))


def ladder(bid: int = 30_000, ask: int = 30_001, lots: int = 10, levels: int = 20) -> np.ndarray:
    """(1,) DEPTH of equal levels."""
    depths = new_depths(1)
    for k in range(levels):
        depths["bid_tick"][0, k], depths["ask_tick"][0, k] = bid - k, ask + k
        depths["bid_qty"][0, k] = depths["ask_qty"][0, k] = lots
    return depths
