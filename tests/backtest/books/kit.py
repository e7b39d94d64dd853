"""Tapes of books made by hand or drawn, and their way through the loop: words for the tests beside it.

Times are seconds after ten o'clock in New York on a regular day; a book is two lists of (tick, quantity), best first.
"""

import random
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import ACCOUNT_SCOPE, BOOK, DEPTH, EVENT, LEVELS, STATUS, TRADE, new_depths, new_events
from tests.backtest.compare import PROFILES
from tests.backtest.market import at
from trading.config.schema import load_file
from trading.core.history.rounds import TAPE_FILL
from trading.core.records import RECON, RECON_END
from trading.run.backtest.engine import Result
from trading.run.backtest.plan import Plan
from trading.run.tapes.engine import TapeRun, tape_calendar, tape_plan
from trading.run.tapes.latency import Latency
from trading.run.tapes.scores import score_row

S = 1_000_000_000
MS = 1_000_000
OPEN_NS = at("2026-03-03", "10:00:00")
Levels = list[tuple[int, int]]


class Made(NamedTuple):
    """A tape as a run is fed with it."""

    events: np.ndarray
    depths: np.ndarray
    depth_of: np.ndarray

    def part(self, start: int, end: int) -> "Made":
        return Made(self.events[start:end], self.depths, self.depth_of[start:end])


class Maker:
    """Put events down in order of time, then `made()`."""

    def __init__(self) -> None:
        self._events: list[np.ndarray] = []
        self._depths: list[np.ndarray] = []
        self._depth_of: list[int] = []

    def _put(self, row: np.ndarray, at_s: float, depth: int = -1) -> None:
        row["ts_ns"] = row["ts_venue_ns"] = OPEN_NS + round(at_s * S)
        self._events.append(row)
        self._depth_of.append(depth)

    def book(self, at_s: float, bids: Levels, asks: Levels) -> "Maker":
        row, depth = new_events(1), new_depths(1)
        row["kind"] = BOOK
        for side, levels in (("bid", bids), ("ask", asks)):
            for k, (tick, qty) in enumerate(levels[:LEVELS]):
                depth[f"{side}_tick"][0, k], depth[f"{side}_qty"][0, k] = tick, qty
            row[f"{side}_tick"], row[f"{side}_qty"] = levels[0]
        self._depths.append(depth)
        self._put(row, at_s, len(self._depths) - 1)
        return self

    def trade(self, at_s: float, tick: int, qty: int = 1, side: int = 0) -> "Maker":
        row = new_events(1)
        row["kind"], row["price_tick"], row["qty"], row["side"] = TRADE, tick, qty, side
        self._put(row, at_s)
        return self

    def status(self, at_s: float, code: int) -> "Maker":
        row = new_events(1)
        row["kind"], row["code"] = STATUS, code
        self._put(row, at_s)
        return self

    def recon(self, at_s: float) -> "Maker":
        """Where the record's desk agreed with its venue, the run does with its own."""
        row = new_events(1)
        row["kind"], row["code"], row["instrument"] = RECON, RECON_END, ACCOUNT_SCOPE
        self._put(row, at_s)
        return self

    def score(self, at_s: float, side: int, confidence_ppm: int = 1_000_000) -> "Maker":
        ns = OPEN_NS + round(at_s * S)
        self._put(score_row(ns, ns, 0, side, side * 1_000_000, confidence_ppm), at_s)
        return self

    def made(self) -> Made:
        depths = np.concatenate(self._depths) if self._depths else new_depths(1)
        events = np.concatenate(self._events)
        assert events.dtype == EVENT and depths.dtype == DEPTH
        assert bool(np.all(np.diff(events["ts_ns"]) >= 0)), "in order of time"
        return Made(events, depths, np.array(self._depth_of, np.int32))


def plan(**limits: int) -> Plan:
    """`demo-mes` without pauses, one contract, every second of the curve kept."""
    made = tape_plan(load_file(PROFILES / "demo-mes.yaml"), INSTRUMENTS["MES"], equity_sample="bar")
    free = {"cooldown_entry_ns": 0, "cooldown_exit_ns": 0, "qty_entry": 1, "streak_soft": 0, "streak_hard": 0}
    assert set(free | limits) <= set(made.limits)
    return replace(made, limits=made.limits | free | limits)


def fixed(latency_ns: int) -> Latency:
    return Latency(f"{latency_ns} ns", np.array([latency_ns], np.int64))


def through(
    tape: Made,
    what: Plan | None = None,
    latency: Latency | None = None,
    cuts: tuple[int, ...] = (),
    *,
    kept: int = 0,
    timers: bool = True,
) -> tuple[TapeRun, Result]:
    """The tape through the loop, fed in pieces that end at `cuts`."""
    calendar = tape_calendar(INSTRUMENTS["MES"], OPEN_NS)
    run = TapeRun(what or plan(), calendar, latency or fixed(20 * MS), OPEN_NS, tape=kept, timers=timers)
    edges = [0, *cuts, len(tape.events)]
    for start, end in pairwise(edges):
        part = tape.part(start, end)
        run.feed(part.events, part.depths, part.depth_of)
    return run, run.end()


def fills_of(run: TapeRun) -> list[tuple[int, int, int, int, int]]:
    """(role, side, quantity, tick, maker) of every fill."""
    rows = run.fills()
    assert rows.dtype == TAPE_FILL
    names = ("role", "side", "qty", "price_tick", "maker")
    return [tuple(int(row[name]) for name in names) for row in rows]  # type: ignore[misc]


def drawn(seed: int, steps: int = 400) -> Made:
    """A random walk of books with trades at the touch and scores of either side; gaps of minutes now and then."""
    rng = random.Random(seed)
    maker, t, mid = Maker(), 0.0, 24_000
    for _ in range(steps):
        t += rng.choice((0.003, 0.011, 0.25, 0.4, 1.3, 1.3, 7.0, 400.0 if rng.random() < 0.02 else 0.1))
        mid += rng.choice((-3, -1, -1, 0, 0, 1, 1, 3))
        wide = rng.choice((1, 1, 2))
        bids = [(mid - k, rng.randrange(1, 9)) for k in range(rng.randrange(2, 16))]
        asks = [(mid + wide + k, rng.randrange(1, 9)) for k in range(rng.randrange(2, 16))]
        maker.book(t, bids, asks)
        side = rng.choice((-1, 1))
        t += 0.001
        maker.trade(t, mid + wide if side > 0 else mid, rng.randrange(1, 12), rng.choice((side, side, 0)))
        if rng.random() < 0.4:
            t += 0.0005
            maker.score(t, rng.choice((-1, 1)), rng.choice((450_000, 800_000, 1_000_000)))
    return maker.made()
