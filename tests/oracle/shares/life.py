"""A seeded random world around a desk of shares: books and candles, an index, probes, other loops, a person by name.

What every desk meets (clock, links, configuration, reconciliation) is the futures' world; this one draws the rest.
"""

from collections.abc import Sequence

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE
from tests.oracle.around.life import World
from tests.oracle.around.venue import Venue
from tests.oracle.rules.facts import Event, S
from tests.oracle.rules.holds import BITS
from tests.oracle.shares import setup
from tests.oracle.shares.venue import SharesVenue
from trading.core import records as r

MS, MINUTE, HOUR = 1_000_000, 60 * S, 3600 * S
OF_ACCOUNT = (
    "HEARTBEAT", "INTEGRITY", "ENSEMBLE_WEAK", "ML_FALLBACK", "BROKER_AUTH", "STATE_LOST", "LATENCY", "CLOCK_OFFSET",
)  # fmt: skip
NOBODYS = ("EXPOSURE", "KILL_SWITCH", "RVI_HIGH", "SPREAD")  # holds that no loop may tell
ROUND_TRIPS = (20, 20, 20, 40, 41, 50, 51, 80, 81, 100, 101, 150)  # ms


class SharesWorld(World):
    """One random life of a desk of shares."""

    def draw_limits(self) -> dict[str, int]:
        return setup.draw_theme(self.rng) if self.calm else setup.draw_limits(self.rng)

    def draw_prices(self) -> list[int]:
        return [price for _, price in setup.SHARES] if self.rng.random() < 0.97 else [12, 9, 3]

    def draw_change(self) -> dict[str, int]:
        return setup.draw_change(self.rng, self.limits)

    def opening(self, at: int, day: int, brought: Sequence[Event]) -> list[Event]:
        return setup.prologue(self.rng, self.limits, self.prices, at, day, brought)

    def new_venue(self) -> Venue:
        return SharesVenue(self.rng, self.desk.count)

    def next(self) -> Event:
        assert isinstance(self.venue, SharesVenue)
        self.venue.release(self.now, self.prices)
        return super().next()

    def instrument(self) -> int:
        return self.rng.choice((0, 0, 0, 1, 2))

    def _happening(self) -> Event:
        """Now and then what only shares meet; what stands is ended sooner than it came."""
        rng, holds = self.rng, self.desk.holds
        if "RVI_STALE" in holds and rng.random() < 0.2:
            return self._event(r.INDEX, instrument=ACCOUNT_SCOPE, value=2_800)
        if ("NET_SLOW" in holds or "NET_FAILOVER" in holds) and rng.random() < 0.15:
            good = [self._event(r.PROBE, instrument=ACCOUNT_SCOPE, value=20 * MS) for _ in range(30)]
            self.agenda.extend(good[1:])
            return good[0]
        dice = rng.random()
        if dice < (0.02 if self.calm else 0.06):
            self._wait(S // 5)
            return self._told()
        return super()._happening()

    # --- the market -----------------------------------------------------------------------------------------------
    def _market(self) -> Event:
        rng = self.rng
        k = self.instrument()
        i = self.desk.instruments[k]
        step = rng.choice((-90, -25, 25, 90)) if rng.random() < 0.03 else rng.choice((-3, -1, -1, 0, 0, 1, 1, 3))
        self.prices[k] = price = max(2, self.prices[k] + step)
        if (i.stop is not None or i.target is not None) and rng.random() < 0.12:  # the market comes for the bracket
            wanted = i.stop if rng.random() < 0.6 or i.target is None else i.target
            beyond = rng.choice((0, 0, 0, 60)) * (-1 if i.qty > 0 else 1)
            self.prices[k] = price = max(2, (wanted or price) + beyond - (1 if i.qty > 0 else 0))
        flags = rng.choice((m.FLAG_BACKFILL, m.FLAG_INVALID)) if rng.random() < 0.02 else 0
        if rng.random() < 0.005:
            return self._event(m.TRADE, instrument=k, price=rng.choice((None, 0, -5, 2**31 + 1)), qty=1)
        dice = rng.random()
        if dice < 0.04:
            return self._bar(k, price, flags)
        if dice < 0.75:
            return self._book(k, price, flags)
        if dice < 0.985:
            lots = rng.choice((1, 10, 100, 100, 2_000))
            return self._event(m.TRADE, instrument=k, price=price + rng.choice((0, 1)), qty=lots, flags=flags)
        if rng.random() < 0.8:
            self._ends(self._event(m.STATUS, wait=S, instrument=k, code=m.STATUS_OPEN))
        return self._event(
            m.STATUS, instrument=k, code=rng.choice((m.STATUS_HALTED, m.STATUS_CLOSED, m.STATUS_AUCTION))
        )

    def _book(self, k: int, price: int, flags: int) -> Event:
        rng = self.rng
        ask = price + rng.choice((1, 1, 1, 2) if rng.random() < 0.95 else (3, 6, 9, 30, 0, -1))
        kind = m.BOOK if rng.random() < 0.8 else m.QUOTE
        sizes = (1_000, 1_000, 1_000, 120, 60) if rng.random() < 0.9 else (5, 9, 0)
        row = {"bid": price, "ask": ask, "bid_qty": rng.choice(sizes), "ask_qty": rng.choice(sizes)}
        if rng.random() < 0.01:
            row[rng.choice(("bid", "ask"))] = None if rng.random() < 0.9 else 2**31 + 5  # type: ignore[assignment]
        return self._event(kind, instrument=k, flags=flags, **row)

    def _bar(self, k: int, price: int, flags: int) -> Event:
        """A candle that closed just now; sometimes a shorter bar, of which minutes are made."""
        if self.rng.random() < 0.3:
            return super()._bar(k, price, flags)
        rng = self.rng
        start = max(self.bar_end[k], self.now - self.now % MINUTE - MINUTE) + rng.choice(
            (0, 0, MINUTE, 6 * MINUTE, -MINUTE)
        )
        self.bar_end[k] = max(self.bar_end[k], start + MINUTE)
        high, low = price + rng.choice((1, 5, 20, 80)), max(1, price - rng.choice((1, 5, 20, 80)))
        if rng.random() < 0.1:
            flags |= m.FLAG_CARRIED
        return self._event(
            m.BAR, instrument=k, close=price, high=high, low=low, volume=60, value=MINUTE, flags=flags,
            venue_ts=start + MINUTE,
        )  # fmt: skip

    def _timer(self) -> Event:
        """Time flies now and then while somebody cannot get out."""
        if any(i.leaving_since is not None for i in self.desk.instruments) and self.rng.random() < 0.06:
            self._wait(45 * S)
        return super()._timer()

    def _score(self) -> Event:
        """As for futures, of any regime, mostly sure."""
        e = super()._score()
        rng = self.rng
        e.instrument = self.instrument()
        e.code = rng.choice((0, 0, 0, r.REGIME_LOW, r.REGIME_NORMAL, r.REGIME_HIGH))
        if e.venue_ts == self.now - S and rng.random() < 0.8:
            e.venue_ts = self.scored = self.now
        e.qty = rng.choice((1, 5, 30, 80)) if rng.random() < 0.02 else 0  # an operator's own size
        return e

    # --- people and plumbing ------------------------------------------------------------------------------------------
    def _person(self) -> Event:
        """A person names what should end; a pause may have an end."""
        e, rng, holds = super()._person(), self.rng, self.desk.holds
        if e.code == r.PAUSE and rng.random() < 0.7:
            e.value = self.now + rng.choice((-S, S, 2 * S, 10 * S))
        named = [code for code in holds if code in self.desk.book.by_resume or code == "DAILY_LOSS"]
        if e.code == r.RESUME and named and rng.random() < 0.8:
            e.value = sum(1 << BITS[code] for code in rng.sample(named, rng.randint(1, len(named))))
        elif rng.random() < 0.5 and "DAILY_LOSS" in holds and e.code not in (r.MOVE_STOP, r.MOVE_TARGET):
            e.code, e.value = r.RESUME, 1 << BITS["DAILY_LOSS"]
        return e

    def _told(self) -> Event:
        """The index, the connection, drift, jobs, conditions of other loops."""
        rng, scope = self.rng, {"instrument": ACCOUNT_SCOPE}
        kind = rng.choice((r.INDEX, r.PROBE, r.PROBE, r.DRIFT, r.JOB, r.CONDITION, r.CONDITION, r.ERROR))
        if kind == r.INDEX:
            value = rng.choice((2_800, 2_800, 3_700, 3_800, 3_801, 4_000, 4_001, 0))
            if value > 3_800 and rng.random() < 0.9:
                self._ends(self._event(r.INDEX, wait=S, value=rng.choice((3_000, 3_800)), **scope))
            return self._event(r.INDEX, value=value, **scope)
        if kind == r.PROBE:
            return self._probes()
        if kind == r.DRIFT:
            code = rng.choice((r.DRIFT_NONE, r.DRIFT_WARN, r.DRIFT_CRITICAL))
            self._ends(self._event(r.MODEL, wait=2 * S, code=r.MODEL_READY, ref=self._cause(), **scope))
            return self._event(r.DRIFT, code=code, **scope)
        if kind == r.JOB:
            self._ends(self._event(r.JOB, wait=S, code=0, **scope))
            return self._event(r.JOB, code=1, **scope)
        if kind == r.ERROR:
            return self._event(r.ERROR, code=rng.choice((0, 1, 2, 3, 4, 4)), value=rng.choice((0, 1, 1, 2)), **scope)
        return self._condition()

    def _probes(self) -> Event:
        """One round trip, or as many of a kind in a row as change something."""
        rng, scope = self.rng, {"instrument": ACCOUNT_SCOPE}
        value, times = rng.choice(ROUND_TRIPS) * MS, rng.choice((1, 1, 2, 3, 3, 29, 30))
        lost = rng.random() < 0.05
        code = r.PROBE_LOST if lost else 0
        probes = [self._event(r.PROBE, value=-1 if lost else value, code=code, **scope) for _ in range(times)]
        self.agenda.extend(probes[1:])
        return probes[0]

    def _condition(self) -> Event:
        rng = self.rng
        if rng.random() < 0.3:
            k = rng.choice((0, 0, 1, 2, 7, -1))
            bit = BITS[rng.choice(("UNHEALTHY", "RESTRICTED", "NOT_ACTIVE"))]
            self._ends(self._event(r.CONDITION, wait=2 * S, instrument=k, code=bit))
            return self._event(r.CONDITION, instrument=k, code=bit, value=1)
        code = rng.choice(OF_ACCOUNT if rng.random() < 0.95 else NOBODYS)
        row = {
            "instrument": ACCOUNT_SCOPE,
            "code": BITS[code],
            "ref": rng.choice((1, 3, 70)) if code == "LATENCY" else 0,
        }
        if rng.random() < 0.9:
            self._ends(self._event(r.CONDITION, wait=S, **row))
        if code == "ML_FALLBACK":
            cause = self._cause()
            self._ends(self._event(r.MODEL, wait=2 * S, instrument=ACCOUNT_SCOPE, code=r.MODEL_READY, ref=cause))
        return self._event(r.CONDITION, value=1, **row)

    def _cause(self) -> int:
        """Why a set of networks was loaded, mostly by somebody."""
        by_itself = (r.CAUSE_START, r.CAUSE_RESTORE, r.CAUSE_ROLLBACK)
        return self.rng.choice((*by_itself, *(2 * (r.CAUSE_CALIBRATE, r.CAUSE_TRAIN, r.CAUSE_OPERATOR))))
