"""The live data of a universe of instruments: books, metrics, states and memory, in the process that owns the rings.

One object, fed by the feed loop in the order of the inbox: books, trades, candles, statuses, and a `second` each TIMER.
It decides nothing itself: `core.universe` does, and this obeys its news (MOEX-DATA-08, -10).  It opens no connection.
What it shows of itself is in `numbers`.
"""

import gc
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.bookfeatures import stream
from marketdata.core.bookfeatures.records import BOOK_STATE, VALID, new_book_states, no_intervals
from marketdata.core.bookfeatures.schema import FEATURE_COUNT, TRADES
from marketdata.core.records import DEPTH, NO_TIME, new_depths
from marketdata.core.units import PPM
from marketdata.core.universe import buffers, metrics, step
from marketdata.core.universe.records import (
    ACTIVATED,
    ACTIVE,
    ACTIVE_MAX,
    DEMOTED,
    NOBODY,
    OUTSIDE,
    SUBSCRIBING,
    new_members,
    new_news,
    new_universe,
)
from marketdata.engine.memory import CLEAR, NOTHING, MemoryGuard
from marketdata.engine.room import Room

log = logging.getLogger(__name__)
BEGINNING = {
    "state": OUTSIDE, "replaces": NOBODY, "successor": NOBODY, "pinned": 0, "confirmed": 0, "waited_s": 0,
    "failing_s": 0, "entered_ns": NO_TIME, "book_ns": NO_TIME, "valid_ns": NO_TIME, "rv_60": 0.0,
}  # fmt: skip
TRADES_NS, TRADES_MIN = 64_000_000_000, 200
CANDLES_MAX = 240  # closed minutes that are remembered of an instrument (MOEX-DATA-12)
NO_CANDLES = {"candles": 0, "candle_ns": NO_TIME, "candle_ret": 0.0}  # of BOOK_STATE, as after a reset
TRADE_ROW = np.dtype([("ts_ns", "<i8"), ("tick", "<i4"), ("lots", "<i4"), ("side", "<i1")])
INDICATORS = ("volatility", "market_liquidity", "index")  # fields of UNIVERSE
COUNTED = ("tick_nanos", "old", "empty", "broken", "late_candles", "lost_trades")  # outlive a clearing


class Listed(NamedTuple):
    """An instrument as the engine needs it."""

    symbol: str
    tick_nanos: int
    lot_tick_micros: int


class News(NamedTuple):
    """One thing that a step did: kind (core.universe.records), instrument, the other one or NOBODY."""

    kind: int
    which: int
    other: int


class GateReport(NamedTuple):
    """The integrity gate at a second: whether it passes, and the symbols that keep it from it (MOEX-DATA-14)."""

    passed: bool
    reconciled: bool
    missing: list[str]
    stale: list[str]
    empty: list[str]
    invalid: list[str]


class LiveData:
    """Instrument i of `listed` is EVENT.instrument i; `hedge` (or NOBODY) is watched and never rotated."""

    def __init__(
        self,
        listed: Sequence[Listed],
        active_max: int = ACTIVE_MAX,
        hedge: int = NOBODY,
        guard: MemoryGuard | None = None,
        intervals: np.ndarray | None = None,
        ttl_ns: int = buffers.TTL_NS,
        cache_max: int = buffers.CACHE_MAX,
    ) -> None:
        self.symbols = [each.symbol for each in listed]
        self.hedge = hedge
        self.guard = MemoryGuard() if guard is None else guard
        self.universe = new_universe(active_max)
        self.members = new_members([each.lot_tick_micros for each in listed])
        count = len(listed)
        self._states, self._history = Room((count,), BOOK_STATE), Room((count, buffers.HISTORY), DEPTH)
        self.states = self._states.array
        self.states["tick_nanos"] = new_book_states([each.tick_nanos for each in listed])["tick_nanos"]
        for which in range(count):
            stream.reset(self.states, which)
        self.buffers = buffers.new_buffers(count)._replace(history=self._history.array)
        self._room = tuple(self.buffers)
        self.row = np.full((1, FEATURE_COUNT), np.nan)  # of the newest book that was taken
        self._ttl_ns, self._cache_max = ttl_ns, cache_max
        self._intervals = no_intervals() if intervals is None else intervals
        self._news = new_news()
        self._faults = np.zeros(count, np.int64)
        self._minutes: list[deque[tuple[int, int, int, int]]] = [deque(maxlen=CANDLES_MAX) for _ in range(count)]
        self.joining = False  # whether anybody waits for a book to become ACTIVE
        self.cached = 0  # books in the current cache after the last pass
        # indicators in parts per million, as everybody is told them: (known, volatility, liquidity, index, known_ns)
        self.market: tuple[int, ...] = (0, 0, 0, 0, NO_TIME)

    def seed(self, held: Sequence[int], restored: Sequence[int], monitored: Sequence[int]) -> int:
        """First slots (MOEX-DATA-04); the size of the pool.  Positions first, then the restored or the first listed."""
        first, then, rest = (np.array(part, np.int64) for part in (held, restored, monitored))
        pool = int(step.seed(self.universe, self.members, first, then, rest, self.hedge, self._news))
        self._obey()
        return pool

    def admit(self, which: int, now_ns: int) -> list[News]:
        """A slot for an instrument whose position became known after the start (MOEX-DATA-04); what was done."""
        step.admit(self.universe, self.members, which, now_ns, self._news)
        return self._obey()

    def history_ends(self) -> None:
        """What came so far was back-fill: it fills the rings (MOEX-DATA-12), and is nobody's present book."""
        for which in range(len(self.symbols)):
            self.buffers.current[which] = 0
            self.members["book_ns"][which] = self.members["valid_ns"][which] = NO_TIME

    def book(self, which: int, depths: np.ndarray, index: int, ts_ns: int, venue_ns: int) -> int:
        """A delivered book (core.books.delivered): VALID and its row in `row`, or why there is none."""
        made = buffers.take_book(
            self._room, self.members, self.states, which, depths, index, ts_ns, venue_ns, self._intervals, self.row
        )
        return int(made)

    def trade(self, which: int, ts_ns: int, tick: int, lots: int, side: int) -> bool:
        """One trade; False when it is out of bounds."""
        return bool(stream.add_trade(self.states, which, ts_ns, tick, lots, side) == VALID)

    def candle(self, which: int, start_ns: int, high_tick: int, low_tick: int, close_tick: int) -> bool:
        """One closed one-minute candle; False when it is late or out of bounds."""
        if stream.add_candle(self.states, which, start_ns, high_tick, low_tick, close_tick) != VALID:
            return False
        self._minutes[which].append((start_ns, high_tick, low_tick, close_tick))
        return bool(metrics.take_candle(self.members, which, start_ns, close_tick))

    def set_trading(self, which: int, is_trading: bool) -> None:
        """NORMAL_TRADING, or another status."""
        self.members["trading"][which] = is_trading

    def set_pinned(self, which: int, is_pinned: bool) -> None:
        """A position or a working order, or neither."""
        self.members["pinned"][which] = is_pinned

    def set_confirmed(self, which: int, is_confirmed: bool) -> None:
        """The stream confirms, or no longer confirms, the instrument's subscriptions."""
        self.members["confirmed"][which] = is_confirmed

    def second(self, now_ns: int) -> list[News]:
        """One TIMER: metrics, states, eviction, memory; what was done."""
        step.second(self.universe, self.members, now_ns, self._news)
        done = self._obey()
        self._mind_memory(now_ns)
        self.cached = int(buffers.evict(self.buffers, self.members, now_ns, self._ttl_ns, self._cache_max))
        market: Any = self.universe[0]
        told = [round(float(market[name]) * PPM) for name in INDICATORS]
        self.market = (int(market["known"]), *told, int(market["known_ns"]))
        stream.set_market(self.states, now_ns, self.market[0], *(value / PPM for value in told))
        return done

    def settle(self, now_ns: int) -> list[News]:
        """After books or confirmations: who is ready becomes ACTIVE at once."""
        step.book_came(self.universe, self.members, now_ns, self._news)
        return self._obey()

    def replace(self, current: str, replacement: str, now_ns: int) -> tuple[str, list[News]]:
        """The operator's wish (MOEX-DATA-11): ("", what was done) when it is taken, else (why not, [])."""
        leaving, coming = (
            self.symbols.index(name) if name in self.symbols else NOBODY for name in (current, replacement)
        )
        answer = step.replace(self.universe, self.members, leaving, coming, now_ns, self._news)
        if answer != step.REPLACE_TAKEN:
            return step.REPLACE_REFUSALS[answer], []
        return "", self._obey()

    def gate(self, now_ns: int, reconciled: bool) -> GateReport:
        """The integrity gate now; `reconciled`: the broker's truth was taken since the cause of the hold."""
        fit = step.gate(self.members, now_ns, self._faults)
        lists = [
            [self.symbols[i] for i in np.flatnonzero(self._faults == fault)]
            for fault in (step.MISSING, step.STALE, step.EMPTY, step.INVALID)
        ]
        return GateReport(bool(fit) and reconciled, reconciled, *lists)

    def look(self, which: int, offset: int, now_ns: int) -> np.ndarray | None:
        """The book `offset` back, as one DEPTH: 0 the current cache, negative the history ring; None: there is none."""
        at = buffers.look(self.buffers, which, offset, now_ns, self._ttl_ns)
        return None if at < 0 else self.buffers.history[which, at].copy()

    def trades(self, which: int, now_ns: int) -> np.ndarray:
        """(k,) TRADE_ROW, oldest first: all of the last 64 s and at least the last 200, 20,000 at most."""
        state = self.states[which]
        last = int(state["trade_next"])
        places = np.arange(max(last - TRADES, int(state["trade_first"])), last) % TRADES
        inside = places[state["trade_ns"][places] > now_ns - TRADES_NS]
        places = places[-max(len(inside), TRADES_MIN) :]
        found = np.empty(len(places), TRADE_ROW)
        for name in TRADE_ROW.names or ():
            found[name] = state["trade_" + name.removeprefix("ts_")][places]
        return found

    def resync(self) -> None:
        """Books, rings, metrics, trades, candles and model state of all are gone; the baselines of L stay."""
        for which in range(len(self.symbols)):
            self._clear(which)
            step.forget(self.members, which)
        self.universe["known"] = 0

    def refill(self) -> None:
        """The bootstrap after a resync: the candles that were told so far, once more.  They are the past, whatever is
        missing of now; what lies in a hole stays unknown."""
        for which, minutes in enumerate(self._minutes):
            for start_ns, high_tick, low_tick, close_tick in minutes:
                stream.add_candle(self.states, which, start_ns, high_tick, low_tick, close_tick)
                metrics.take_candle(self.members, which, start_ns, close_tick)

    def baselines(self) -> dict[str, tuple[float, int]]:
        """What is persisted of L: its slow average and its samples, by symbol."""
        return {
            symbol: (float(member["baseline"]), int(member["baseline_samples"]))
            for symbol, member in zip(self.symbols, self.members, strict=True)
            if member["baseline_samples"] > 0
        }

    def restore_baselines(self, kept: dict[str, tuple[float, int]]) -> None:
        """Take up what `baselines` gave.  Raises ValueError for one that cannot be."""
        for which, symbol in enumerate(self.symbols):
            value, samples = kept.get(symbol, (0.0, 0))
            if not (np.isfinite(value) and value >= 0.0 and samples >= 0):
                raise ValueError(f"the baseline of {symbol} cannot be {value} after {samples} samples")
            self.members["baseline"][which], self.members["baseline_samples"][which] = value, samples

    def restore(self, universe: np.ndarray, members: np.ndarray) -> list[int]:
        """Take up metrics, candles, baselines and cool-downs that another process left; its active set, to be seeded.

        `universe` (1,) UNIVERSE, `members` (n,) MEMBER of the same instruments.  Books are none yet, so nobody is
        ACTIVE; nobody is pinned or confirmed until that is told.  The hedge is in no set and never UNHEALTHY, whatever
        an engine that did not know it has left.
        """
        before = members["state"].copy()
        own_slot = (before == SUBSCRIBING) & (members["replaces"] == NOBODY)
        lot_tick_micros, active_max = self.members["lot_tick_micros"].copy(), int(self.universe["active_max"][0])
        self.universe[:], self.members[:] = universe, members
        self.universe["active_max"], self.members["lot_tick_micros"] = active_max, lot_tick_micros
        for name, value in BEGINNING.items():
            self.members[name] = value
        if self.hedge != NOBODY:
            self.members["unhealthy"][self.hedge], before[self.hedge], own_slot[self.hedge] = 0, OUTSIDE, False
        return np.flatnonzero((before == ACTIVE) | own_slot).tolist()

    def _obey(self) -> list[News]:
        done = [News(*row) for row in self._news[1 : self._news[0, 0] + 1].tolist()]
        if done:
            self.joining = bool((self.members["state"] == SUBSCRIBING).any())
        for kind, which, _ in done:
            if kind == DEMOTED:
                stream.reset(self.states, which)  # model state and feature caches (MOEX-DATA-10)
                self.members["rv_60"][which] = 0.0
            elif kind == ACTIVATED:
                log.info("%s is active", self.symbols[which])
        return done

    def _mind_memory(self, now_ns: int) -> None:
        due = self.guard.due(now_ns)
        if due == NOTHING:
            return
        log.warning("resident memory is %d bytes: %s", self.guard.rss, due)
        for which in np.flatnonzero(self.members["pinned"] == 0).tolist():
            if self.buffers.current[which] != 0 and (
                due == CLEAR or buffers.look(self.buffers, which, 0, now_ns, self._ttl_ns) < 0
            ):
                self.buffers.current[which] = 0
                self.buffers.counts[buffers.BY_MEMORY] += 1
            if due == CLEAR:
                self._clear(which)
                self._minutes[which].clear()
            else:
                buffers.halve(self.buffers, which)
                stream.halve(self.states, which)
                self._halve_candles(which)
        if due == CLEAR:
            gc.collect()

    def _halve_candles(self, which: int) -> None:
        """The older half is forgotten, as if it had never been; the closes of vol_30m, a metric, stay."""
        minutes, newest = self._minutes[which], (int(self.states["candles"][which]) + 1) // 2
        for _ in range(len(minutes) // 2):
            minutes.popleft()
        for name, value in NO_CANDLES.items():
            self.states[name][which] = value
        for candle in list(minutes)[max(len(minutes) - newest, 0) :]:
            stream.add_candle(self.states, which, *candle)

    def _clear(self, which: int) -> None:
        """Rings of one instrument are empty, and their pages the system's again."""
        kept = {name: int(self.states[name][which]) for name in COUNTED}
        self._states.give_back(which)
        self._history.give_back(which)
        for name, value in kept.items():
            self.states[name][which] = value
        stream.reset(self.states, which)
        buffers.clear(self.buffers, which)


def rehearse() -> None:
    """Compile (or load) whatever an engine calls, before there is a book."""
    live = LiveData([Listed("", 10_000_000, 1_000)], 1, guard=MemoryGuard(sampler=lambda: 1))
    live.seed([], [], [0])
    live.set_trading(0, True)
    live.set_confirmed(0, True)
    live.book(0, new_depths(1), 0, 1, 1)
    live.trade(0, 1, 1, 1, 1)
    live.candle(0, 0, 1, 1, 1)
    live.second(1_000_000_000)
    live.settle(1_000_000_000)
    live.admit(0, 1_000_000_000)
    stream.halve(live.states, 0)
    live.replace("", "", 1)
    live.gate(1, True)
    live.look(0, 0, 1)
    step.known_metrics(live.members, 1, np.empty((1, 3)))
    live.resync()
