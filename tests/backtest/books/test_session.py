"""A session that the real loops recorded is a backtest with the very same orders and fills (MES-BT-01).

Feed, inference, risk and execution stand around a real venue process and a real Redis; the tape gives one event when
everything that the one before has caused is done, so that nothing waits for a thread: what differs then, differs in
what the two paths do.  The run is fed with the journal's inputs, less what the venue said, and with the feed's books.
"""

import time
from pathlib import Path

import numpy as np
import pytest

from marketdata.calendars import ALL_HOURS
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import BOOK, FEED, FLAG_BACKFILL, FLAG_INVALID, new_events
from marketdata.core.units import NANOS
from marketdata.feeds.registry import open_feed
from tests.backtest.books.kit import Made, fixed
from tests.simulation.kit import make_context, make_spec
from tests.simulation.ring import BODIES, Ring
from trading.brokers.paper import PaperBroker, PaperMarket, terms_of
from trading.core.records import (
    CANCEL,
    COMMAND,
    FILL,
    FIRST_OUTPUT_KIND,
    MODIFY,
    RECON,
    SCORE,
    START,
    SUBMIT,
    TRADE_CLOSED,
)
from trading.run.backtest.plan import Plan
from trading.run.bodies.feed_loop import FeedLoop
from trading.run.bodies.risk_loop import RiskLoop
from trading.run.clock import SessionClock
from trading.run.context import LoopContext
from trading.run.spec import FeedSpec, SessionSpec, setup_events
from trading.run.streams import Board
from trading.run.tapes.engine import TapeRun, tape_calendar
from trading.run.tapes.scores import scoring_of

pytestmark = [pytest.mark.processes, pytest.mark.slow]
TRADES, EVENTS_MAX, LOOKS_EVERY, PATIENCE_S = 2, 4_000, 20, 240.0
FAR_NS = np.iinfo(np.int64).max
LOOPS = ("feed", "risk", "execution", "inference")
WAITING = ("trading.run.bodies.feed_loop", "trading.run.bodies.risk_loop", "trading.run.bodies.execution_loop")


def patient_market(context: LoopContext, clock: SessionClock) -> PaperMarket:
    """A market that never goes on without its venue: what a busy machine makes late is not missed."""
    spec = context.spec
    return PaperMarket(Path(spec.venue_socket), spec.key, terms_of(spec), context.fence, clock, timeout_s=PATIENCE_S)


class Stepped:
    """The loops of one session, stepped by hand; session time is that of the tape."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.deadline = time.monotonic() + PATIENCE_S
        Board(ring.redis.client(), ring.spec.key).beat("sinks", 3_600_000)
        self.bodies = {name: BODIES[name]() for name in LOOPS}
        self.bodies["feed"] = FeedLoop(patient_market)
        for name, body in self.bodies.items():
            body.open(make_context(ring.folder, ring.spec, name, 1))
        self.eyes = PaperBroker(ring.venue.socket, ring.spec.key, role="reconcile")

    def close(self) -> None:
        self.eyes.close()
        for body in self.bodies.values():
            body.close()

    def ready(self) -> None:
        """Reconciled, and everything heard."""
        while not self.ring.reconciled():
            assert time.monotonic() < self.deadline, "it never reconciled"
            for body in self.bodies.values():
                body.step()
        self.eyes.connect(1, 0)
        self.calm()

    def calm(self) -> None:
        """Until no loop has anything to do, and the kernel has heard all that the venue has said."""
        risk = self.bodies["risk"]
        assert isinstance(risk, RiskLoop)
        while True:
            moved = sum(self.bodies[name].step() for name in ("inference", "risk", "execution"))
            truth = self.eyes.snapshot()
            heard = int(risk.kernel.state.account[0].venue_ref)
            state = moved, heard, truth.market_position
            if state == (0, truth.last_ref, self.position):
                return
            wanted = f"nothing to do, {truth.last_ref} heard and {self.position} at the venue"
            assert time.monotonic() < self.deadline, f"{state}, never {wanted}"

    @property
    def position(self) -> int:
        return int(self.bodies["feed"].counts["position"])  # type: ignore[attr-defined]

    def play(self, trades: int) -> None:
        """Event by event until so many round trips have ended; the journal is looked at now and then."""
        while len(self.ring.events(TRADE_CLOSED)) < trades and self.position < EVENTS_MAX:
            for _ in range(LOOKS_EVERY):
                self.bodies["feed"].step()
                self.calm()


def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SessionSpec, np.ndarray, int]:
    """(spec, the journal's EVENTs, events of the tape that were played)."""
    for name in (*WAITING, "trading.run.inference_loop"):
        monkeypatch.setattr(f"{name}.WAIT_S", 0.001)
    # compared once: neither path asks again while it trades
    limits = make_spec(naked_ns_max=1_000 * NANOS, recon_age_ns_max=100_000 * NANOS).limits
    ring = Ring(tmp_path, feed=FeedSpec("simulated", ["MES"], seed=1, speed=0.0), limits=limits)
    try:
        stepped = Stepped(ring)
        try:
            stepped.ready()
            monkeypatch.setattr("trading.run.bodies.feed_loop.BATCH", 1)
            ring.command(START, 1)
            stepped.play(TRADES)
            return ring.spec, ring.events(), stepped.position
        finally:
            stepped.close()
    finally:
        ring.close()


def inputs_of(spec: SessionSpec, journal: np.ndarray, played: int) -> Made:
    """The journal's inputs behind its set-up, each book with its levels; no score before START."""
    inputs = journal[journal["kind"] < FIRST_OUTPUT_KIND][len(setup_events(spec)) :].copy()
    started = int(np.flatnonzero((inputs["kind"] == COMMAND) & (inputs["code"] == START))[0])
    early = (inputs["kind"] == SCORE) & (np.arange(len(inputs)) < started)
    inputs = inputs[~early]
    inputs["seq"] = 0
    feed = open_feed(spec.feed)
    feed.backfill()
    batch = feed.read(FAR_NS, played)
    feed.close()
    mine = np.flatnonzero((inputs["kind"] < FEED) & (inputs["flags"] & FLAG_BACKFILL == 0))
    assert len(mine) == played == len(batch.events)
    names = [name for name in inputs.dtype.names or () if name not in ("seq", "ts_ns")]
    assert all(np.array_equal(inputs[name][mine], batch.events[name]) for name in names), "the very tape"
    depth_of = np.full(len(inputs), -1, np.int32)
    depth_of[mine] = batch.depth_of
    assert (depth_of >= 0).sum() == (batch.events["kind"] == BOOK).sum() > 100
    return Made(inputs, batch.depths, depth_of)


def scored(spec: SessionSpec, played: int) -> np.ndarray:
    """(n,) SCOREs of a run's own scorer on the tape that was played, read in odd pieces."""
    scoring = scoring_of(spec.scorer.name, dict(spec.scorer.options), spec.feed.symbols)
    feed = open_feed(spec.feed)
    scoring.scores(*feed.backfill()[:3], silent=True)
    found, read = [new_events(0)], 0
    while read < played:
        batch = feed.read(FAR_NS, min(37, played - read))
        found.append(scoring.scores(*batch[:3])[1])
        read += len(batch.events)
    feed.close()
    return np.concatenate(found)


def plan_of_session(spec: SessionSpec) -> Plan:
    return Plan(
        profile=spec.profile,
        config_hash=spec.version_hash,
        limits=spec.limits,
        instrument=INSTRUMENTS["MES"],
        schedule=ALL_HOURS,
        slip_ticks=spec.venue.slip_ticks,
        equity_sample="bar",
        capital_micros=spec.capital_micros,
    )


def rows_of(events: np.ndarray, *kinds: int) -> list[tuple[int, ...]]:
    """Everything that these say but their place in the journal."""
    names = [name for name in events.dtype.names or () if name not in ("seq", "ref", "_pad")]
    rows = events[np.isin(events["kind"], kinds)]
    return [tuple(int(row[name]) for name in names) for row in rows]


def test_a_recorded_session_of_the_real_loops_is_a_backtest_with_identical_orders_mes_bt_01(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, journal, played = recorded(tmp_path, monkeypatch)
    said = journal[journal["flags"] & FLAG_INVALID == 0]  # cold moments are told by a session alone
    assert rows_of(scored(spec, played), SCORE) == rows_of(said, SCORE) != []
    tape = inputs_of(spec, journal, played)
    first_ns = int(tape.events["ts_ns"][0])
    run = TapeRun(
        plan_of_session(spec),
        tape_calendar(INSTRUMENTS["MES"], first_ns),
        fixed(spec.venue.latency_ns),
        first_ns,
        tape=20 * len(journal),
        timers=False,
    )
    run.feed(*tape)
    again = run.tape().copy()  # as far as the session went: what the end of the data sells is no part of it
    assert rows_of(again, SUBMIT, CANCEL, MODIFY) == rows_of(journal, SUBMIT, CANCEL, MODIFY)
    assert rows_of(again, FILL) == rows_of(journal, FILL) and len(rows_of(journal, FILL)) >= 2 * TRADES
    assert rows_of(again, TRADE_CLOSED) == rows_of(journal, TRADE_CLOSED)
    assert (journal["kind"] == RECON).any() and len(rows_of(journal, SUBMIT)) >= 3 * TRADES
