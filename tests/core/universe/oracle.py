"""The universe's rules once more, slowly and plainly, from the specification's words.

The compiled step must equal it in every second.  Objects and lists instead of records, and what is a question about
the whole universe is asked anew each time.
"""

import math
from dataclasses import dataclass, field

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


def ema(samples: list[float], alpha: float) -> float:
    value = samples[0]
    for sample in samples[1:]:
        value = value + alpha * (sample - value)
    return value


@dataclass
class Share:
    """One instrument as the oracle sees it."""

    name: int
    state: str = "MONITORED"
    swap_with: "Share | None" = None  # of a SUBSCRIBING one: whose place it waits for
    pinned: bool = False
    trading: bool = True
    confirmed: bool = True
    book: tuple[int, int, int, float] | None = None  # (ts, bid, ask, RUB) of the last valid book
    candles: list[tuple[int, int]] = field(default_factory=list)
    spread: float = 0.0
    liquidity: float = 0.0
    baseline: float = 0.0
    samples: int = 0
    sampled: int | None = None
    vol: tuple[int, float] | None = None
    waited: int = 0
    failing: int = 0
    entered: int | None = None
    left: int | None = None
    unhealthy: bool = False

    def fresh(self, now: int) -> bool:
        return self.book is not None and now - self.book[0] <= 5 * SECOND

    def sample(self, now: int) -> None:
        assert self.book is not None
        _, bid, ask, rub = self.book
        spread = (ask - bid) / ((ask + bid) / 2)
        self.spread = ema([self.spread, spread], 0.2) if self.samples else spread
        self.liquidity = ema([self.liquidity, rub], 0.2) if self.samples else rub
        self.baseline = ema([self.baseline, self.liquidity], 1 / 1800) if self.samples else self.liquidity
        self.samples += 1
        self.sampled = now
        returns = [
            math.log(later[1] / earlier[1])
            for earlier, later in zip(self.candles[-240:], self.candles[-240:][1:], strict=False)
            if later[0] - earlier[0] == MINUTE
        ][-30:]
        if len(returns) >= 10:
            self.vol = (now, math.sqrt(sum(r * r for r in returns) / len(returns) * 131_040))

    def known_spread(self, now: int) -> float | None:
        return self.spread if self.sampled is not None and now - self.sampled < MINUTE else None

    def known_ratio(self, now: int) -> float | None:
        return self.liquidity / self.baseline if self.known_spread(now) is not None and self.samples >= 300 else None

    def known_vol(self, now: int) -> float | None:
        return self.vol[1] if self.vol is not None and now - self.vol[0] < MINUTE else None


@dataclass
class Desk:
    """The whole universe."""

    shares: list[Share]
    slots: int
    minute: int | None = None
    rotations: int = 0

    def active(self) -> list[Share]:
        return [share for share in self.shares if share.state == "ACTIVE"]

    def mean(self, now: int) -> float | None:
        known = [r for share in self.active() if (r := share.known_ratio(now)) is not None]
        return sum(known) / len(known) if known else None

    def good(self, share: Share, now: int) -> bool:
        spread, ratio, vol = share.known_spread(now), share.known_ratio(now), share.known_vol(now)
        mean = self.mean(now)
        if spread is None or ratio is None or vol is None or (self.active() and mean is None):
            return False
        return spread <= 0.0005 and ratio >= 0.7 * (1.0 if mean is None else mean) and vol > 0.05

    def bad(self, share: Share, now: int) -> bool:
        spread, ratio, vol, mean = share.known_spread(now), share.known_ratio(now), share.known_vol(now), self.mean(now)
        return (
            (spread is not None and spread > 0.001)
            or (ratio is not None and mean is not None and ratio < 0.7 * mean)
            or (vol is not None and vol < 0.05)
        )

    def successor(self, share: Share) -> Share | None:
        return next((other for other in self.shares if other.swap_with is share), None)

    def free(self, share: Share) -> None:
        share.state, share.swap_with = "MONITORED", None

    def demote(self, share: Share, now: int) -> None:
        waiting = self.successor(share)
        if waiting is not None:
            waiting.swap_with = None
        share.state, share.entered, share.left, share.failing, share.unhealthy = "MONITORED", None, now, 0, False

    def promote(self, now: int) -> None:
        for share in self.shares:
            if share.state == "SUBSCRIBING" and share.confirmed and share.fresh(now):
                if share.swap_with is not None:
                    self.demote(share.swap_with, now)
                    self.rotations += 1
                share.state, share.swap_with, share.entered, share.failing = "ACTIVE", None, now, 0

    def candidate(self, now: int) -> Share | None:
        able = [
            share
            for share in self.shares
            if share.state == "MONITORED"
            and share.samples >= 5
            and (share.left is None or now - share.left >= 900 * SECOND)
            and self.good(share, now)
        ]
        return max(able, key=lambda share: share.known_ratio(now) or 0.0, default=None)

    def decide(self, now: int) -> None:
        triggered = [share for share in self.active() if self.bad(share, now)]
        while True:
            own = [s for s in self.shares if s.state == "ACTIVE" or (s.state == "SUBSCRIBING" and s.swap_with is None)]
            taker = self.candidate(now) if len(own) < self.slots else None
            if taker is None:
                break
            taker.state, taker.waited = "SUBSCRIBING", 0
        leaving = [
            share
            for share in triggered
            if not share.pinned
            and self.successor(share) is None
            and share.entered is not None
            and now - share.entered >= 300 * SECOND
        ]
        leaving.sort(key=lambda share: -(share.known_spread(now) or -1.0))
        for share in leaving[:3]:
            taker = self.candidate(now)
            if taker is not None:
                taker.state, taker.waited, taker.swap_with = "SUBSCRIBING", 0, share
        self.promote(now)
        for share in triggered:
            share.unhealthy = share.unhealthy or share.state == "ACTIVE"

    def second(self, now: int) -> None:
        for share in self.shares:
            if share.trading and share.fresh(now):
                share.sample(now)
        for share in self.active():
            waiting = self.successor(share)
            if share.pinned and waiting is not None:
                self.free(waiting)
        self.promote(now)
        for share in self.shares:
            if share.state == "SUBSCRIBING" and share.trading:
                share.waited += 1
                if share.waited >= 10 and not share.pinned:
                    self.free(share)
        for share in self.active():
            if share.trading:
                share.failing = 0 if share.fresh(now) else share.failing + 1
                if share.failing >= 60 and not share.pinned:
                    self.demote(share, now)
        if self.minute is not None and now // MINUTE > self.minute:
            self.decide(now)
        self.minute = now // MINUTE
        for share in self.shares:
            if share.unhealthy and self.good(share, now):
                share.unhealthy = False
