"""The feed loop with the simulated tape, real venue and real streams: once, in order, told when something is lost."""

import time

import msgspec
import numpy as np
import pytest

from marketdata.core.records import (
    FEED,
    FEED_BEAT,
    FEED_GAP,
    FEED_UP,
    FLAG_BACKFILL,
    METRIC,
    new_depths,
    new_events,
)
from marketdata.core.units import NANOS
from marketdata.engine.telling import METRIC_MISSED
from marketdata.feeds.books.recorded import frame_bytes, frames
from marketdata.feeds.port import Batch
from marketdata.feeds.registry import open_feed
from marketdata.store.rolls import FAR_NS, Rolls
from risk.core.holds import BIT
from risk.core.records import MOEX
from tests.redis_server import RedisServer
from tests.simulation.kit import make_context, make_spec
from tests.simulation.ring import Venue, make_market
from trading.brokers.paper import PaperBroker
from trading.core.records import INDEX, LINK, LINK_CONTRACT, TIMER
from trading.run.bodies.feed_loop import BATCH, FeedLoop
from trading.run.clock import clock_is_stale, load_clock
from trading.run.context import Fenced
from trading.run.feeding import recorder
from trading.run.journal.recovery import account_event
from trading.run.replica import Kernel
from trading.run.spec import setup_events
from trading.run.streams import INBOX, MARKET, ZERO_ID, Board, Stream

WAIT_S = 120.0  # a loaded machine; nothing waits when all is well


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


class Desk:
    """Venue, streams and the loop."""

    def __init__(self, tmp_path, server: RedisServer, speed: float = 8.0) -> None:
        self.server, self.folder = server, tmp_path / "7"
        server.client().flushall()
        self.venue = Venue(tmp_path / "venue").start()
        self.spec = make_spec(server.url, str(self.venue.socket), speed)
        self.inbox = Stream(server.client(), self.spec.key, INBOX)
        self.md = Stream(server.client(), self.spec.key, MARKET)
        self.inbox.open(ZERO_ID)
        self.fence = 0

    def start(self) -> FeedLoop:
        self.fence += 1
        self.loop = FeedLoop(make_market)
        self.loop.open(make_context(self.folder, self.spec, "feed", self.fence))
        return self.loop

    def step_until(self, truth, what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not truth():
            assert time.monotonic() < deadline, f"not: {what}; {self.loop.counts}"
            self.loop.step()

    def events(self, stream: Stream) -> np.ndarray:
        entries = stream.read(ZERO_ID, 0, 100_000)
        return np.concatenate([e.events for e in entries]) if entries else new_events(0)

    def live(self, stream: Stream) -> np.ndarray:
        """Tape events, without back-fill and the feed's own."""
        events = self.events(stream)
        return events[(events["flags"] & FLAG_BACKFILL == 0) & ~np.isin(events["kind"], (FEED, METRIC))]

    def tape(self, count: int) -> np.ndarray:
        """The first `count` events of the same tape, read directly."""
        feed = open_feed(self.spec.feed)
        feed.backfill()
        parts, found = [], 0
        while found < count:
            batch = feed.read(2**62, min(count - found, 256))
            parts.append(batch.events)
            found += len(batch.events)
        feed.close()
        return np.concatenate(parts)


@pytest.fixture
def desk(tmp_path, server):
    desk = Desk(tmp_path, server)
    yield desk
    if hasattr(desk, "loop"):
        desk.loop.close()
    desk.venue.kill()


def step_often(loop: FeedLoop, times: int) -> None:
    for _ in range(times):
        loop.step()


def same_market(ours: np.ndarray, tape: np.ndarray) -> bool:
    """Equal but for the stamp of arrival."""
    ours, tape = ours.copy(), tape.copy()
    ours["ts_ns"] = tape["ts_ns"] = 0
    return ours.tobytes() == tape.tobytes()


def test_back_fill_first_then_the_tape_on_the_sessions_clock(desk):
    desk.start()
    clock = load_clock(desk.folder)
    assert not clock_is_stale(desk.folder)
    desk.step_until(lambda: desk.loop.counts["events"] >= 300, "300 events")
    events = desk.events(desk.inbox)
    assert (events["kind"][0], events["code"][0]) == (FEED, FEED_UP)
    history = events[events["flags"] & FLAG_BACKFILL != 0]
    assert len(history) > 0
    assert history["ts_venue_ns"].min() <= clock.start_ns - 20 * 60 * NANOS
    assert (history["ts_ns"] >= clock.start_ns).all()
    live = desk.live(desk.inbox)
    assert same_market(live, desk.tape(len(live)))
    assert (np.diff(live["ts_ns"]) >= 0).all()
    assert (live["ts_ns"] >= live["ts_venue_ns"]).all(), "nobody knows an event before it happened"
    assert live["ts_ns"].max() <= clock.now()


def test_the_scorers_stream_carries_depths_and_positions(desk):
    desk.start()
    desk.step_until(lambda: desk.loop.counts["events"] >= 300, "300 events")
    entries = desk.md.read(ZERO_ID, 0, 100_000)
    assert sum(len(e.depths) for e in entries) > 0
    for entry in entries:
        for i, at in enumerate(entry.depth_of):
            assert at < 0 or entry.depths["ts_venue_ns"][at] == entry.events["ts_venue_ns"][i]
    positions = [e.position for e in entries if e.position > 0]
    assert positions == sorted(positions)
    assert positions[-1] == desk.loop.counts["position"]
    desk.loop._looked_ns = 0
    desk.loop.step()
    assert "depth:0" in Board(desk.server.client(), "s7").latest()


def test_the_venue_gets_the_same_market(desk):
    desk.start()
    desk.step_until(lambda: desk.loop.counts["events"] >= 200, "200 events")
    desk.loop._venue.sink.drain()
    broker = PaperBroker(desk.venue.socket, desk.spec.key, timeout_s=WAIT_S, role="reconcile")
    broker.connect(1, 0)
    assert broker.snapshot().market_position == desk.loop.counts["position"]
    broker.close()


def test_a_takeover_goes_on_where_the_inbox_stands(desk):
    desk.start()
    desk.step_until(lambda: desk.loop.counts["events"] >= 100, "100 events")
    old = desk.loop
    clock = load_clock(desk.folder).record()
    desk.start()
    assert load_clock(desk.folder).record() == clock, "the session's clock is stamped once"
    desk.step_until(lambda: desk.loop.counts["events"] >= 100, "100 more")
    live = desk.live(desk.inbox)
    assert len(live) >= 200
    assert same_market(live, desk.tape(len(live)))
    assert FEED_GAP not in desk.events(desk.inbox)[desk.events(desk.inbox)["kind"] == FEED]["code"]
    with pytest.raises(Fenced):
        step_often(old, 200)
    old.close()


def test_a_takeover_with_an_empty_redis_goes_on_at_the_venue_and_says_so(desk):
    desk.start()
    desk.step_until(lambda: desk.loop.counts["events"] >= 100, "100 events")
    desk.loop._venue.sink.drain()
    position = desk.loop.counts["position"]
    desk.loop.close()
    desk.server.client().flushall()
    desk.inbox.open(ZERO_ID)
    desk.start()
    desk.step_until(lambda: desk.loop.counts["events"] >= 50, "50 more")
    live = desk.live(desk.inbox)
    assert same_market(live, desk.tape(position + len(live))[position:])
    own = desk.events(desk.inbox)
    assert own[own["kind"] == FEED]["code"].tolist()[:2] == [FEED_GAP, FEED_UP]


def test_a_full_inbox_stops_the_tape_and_loses_nothing(desk):
    desk.start()
    desk.step_until(lambda: desk.loop.counts["events"] >= 50, "50 events")
    desk.loop._inbox.stream.cap = desk.inbox.length()
    desk.step_until(lambda: desk.loop._inbox.full, "full")
    played = desk.loop.counts["events"]
    assert [desk.loop.step() for _ in range(5)] == [0] * 5
    desk.loop._looked_ns = 0
    desk.loop.step()
    assert Board(desk.server.client(), "s7").beats("full"), "shown"
    desk.loop._inbox.stream.cap = 20_000
    desk.step_until(lambda: desk.loop.counts["events"] >= played + 100, "goes on")
    live = desk.live(desk.inbox)
    assert same_market(live, desk.tape(len(live)))


def test_a_full_scorers_stream_does_not_hold_the_market_up(desk):
    desk.start()
    desk.step_until(lambda: desk.loop.counts["events"] >= 50, "50 events")
    desk.loop._md.stream.cap = 1
    desk.step_until(lambda: desk.loop.counts["md_lost"] > 0, "lost and counted")
    desk.loop._md.stream.cap = 20_000
    desk.step_until(lambda: desk.loop.counts["events"] >= 300, "goes on")
    live = desk.live(desk.inbox)
    assert same_market(live, desk.tape(len(live)))


def test_redis_away_short_is_delivered_late_and_long_is_told_as_a_gap(tmp_path):
    server = RedisServer(tmp_path / "redis").start()
    desk = Desk(tmp_path, server)
    try:
        desk.start()
        desk.step_until(lambda: desk.loop.counts["events"] >= 50, "50 events")
        server.kill()
        played = desk.loop.counts["events"]
        desk.step_until(lambda: desk.loop.counts["events"] >= played + 50, "the market goes on")
        server.restart(empty=True)
        desk.inbox.open(ZERO_ID)
        desk.step_until(lambda: not desk.loop._inbox.away and not desk.loop._inbox.waiting, "delivered")
        live = desk.live(desk.inbox)
        assert len(live) > 0
        assert same_market(live, desk.tape(desk.loop.counts["position"])[-len(live) :])
    finally:
        desk.loop.close()
        desk.venue.kill()
        server.kill()


def test_the_venue_away_does_not_stop_the_market_and_what_it_missed_is_told(desk):
    """MES-BT-01: from its own place on the tape up to the batch that it is given first."""
    desk.start()
    desk.step_until(lambda: desk.loop.counts["events"] >= 50, "50 events")
    desk.venue.kill()
    desk.step_until(lambda: desk.loop._venue.skipped > 0, "counted")
    desk.venue.start()
    desk.step_until(lambda: desk.loop._venue.up, "connected again")
    live = desk.live(desk.inbox)
    assert same_market(live, desk.tape(len(live)))
    events = desk.events(desk.inbox)
    (told,) = events[(events["kind"] == METRIC) & (events["code"] == METRIC_MISSED)]
    assert told["value"] == 0, "nobody had asked the venue for anything, so nothing of its market was stored"
    assert desk.loop._venue.skipped <= told["qty"] <= desk.loop.counts["position"]


def test_a_quiet_market_beats(desk, monkeypatch):
    desk.start()
    desk.step_until(lambda: desk.loop.counts["events"] >= 10, "running")
    quiet = Batch(new_events(0), new_depths(0), np.zeros(0, np.int32), desk.loop.counts["position"], False)
    monkeypatch.setattr(desk.loop._feed, "read", lambda until_ns, limit: quiet)
    monkeypatch.setattr(desk.loop._feed, "next_ns", lambda: 2**62)
    before = desk.clock_now = load_clock(desk.folder).now()
    while load_clock(desk.folder).now() < before + 5 * NANOS:
        desk.loop.step()
    own = desk.events(desk.inbox)
    beats = own[(own["kind"] == FEED) & (own["code"] == FEED_BEAT)]
    assert len(beats) >= 8
    assert np.diff(beats["ts_ns"]).max() < 2 * NANOS


def test_on_a_tape_the_clock_follows_the_events(tmp_path, server):
    desk = Desk(tmp_path, server, speed=0.0)
    try:
        desk.start()
        desk.step_until(lambda: desk.loop.counts["events"] >= 2_000, "as fast as it goes")
        live = desk.live(desk.inbox)
        assert same_market(live, desk.tape(len(live)))
        assert (live["ts_ns"] == live["ts_venue_ns"]).all()
    finally:
        desk.loop.close()
        desk.venue.kill()


INDEX_LIMITS = {"rules": MOEX, "rvi_max": 4000, "rvi_clear_max": 3800, "rvi_age_ns_max": 600 * NANOS}


def watched(desk: Desk, **options: str) -> None:
    """The same desk under a rulebook that watches the volatility index."""
    feed = msgspec.structs.replace(desk.spec.feed, options=options)
    desk.spec = msgspec.structs.replace(desk.spec, limits=desk.spec.limits | INDEX_LIMITS, feed=feed)


def index_values(desk: Desk) -> np.ndarray:
    events = desk.events(desk.inbox)
    return events[events["kind"] == INDEX]


def standing_after(desk: Desk, *events: np.ndarray) -> Kernel:
    """A kernel that was told these."""
    kernel = Kernel()
    kernel.apply(setup_events(desk.spec))
    for part in events:
        kernel.apply(part)
    return kernel


def holds(kernel: Kernel, name: str) -> bool:
    return bool(int(kernel.state.account[0].holds) >> BIT[name] & 1)


def test_the_index_of_the_simulated_market_reaches_the_kernel_moex_risk_05(desk):
    """RVI_STALE stands until the first value and clears by it; a takeover sends each value once."""
    watched(desk)
    desk.start()
    desk.step_until(lambda: len(index_values(desk)) >= 3, "three values")
    desk.loop.close()
    desk.start()
    seen = len(index_values(desk))
    desk.step_until(lambda: len(index_values(desk)) >= seen + 2, "two more")
    found = index_values(desk)
    assert (np.diff(found["ts_venue_ns"]) == 15 * NANOS).all(), "each once, none missing, across the takeover"
    assert (found["ts_ns"] >= found["ts_venue_ns"]).all() and (found["value"] > 0).all()
    first = found[:1]
    timer = account_event(TIMER, 0, int(first["ts_ns"][0]))
    before = standing_after(desk, timer)
    assert holds(before, "RVI_STALE"), "never seen is stale"
    assert not holds(standing_after(desk, timer, first), "RVI_STALE")
    late = account_event(TIMER, 0, int(first["ts_ns"][0]) + 601 * NANOS)
    assert holds(standing_after(desk, timer, first, late), "RVI_STALE"), "it gets old"


def test_an_index_above_its_limit_halts_moex_risk_05(desk):
    watched(desk, rvi="45")
    desk.start()
    desk.step_until(lambda: len(index_values(desk)) >= 1, "a value")
    assert holds(standing_after(desk, index_values(desk)[:1]), "RVI_HIGH")


def test_nobody_is_told_of_an_index_that_no_limit_watches(desk):
    desk.start()
    desk.step_until(lambda: desk.loop.counts["events"] >= 100, "100 events")
    assert len(index_values(desk)) == 0


def test_a_contract_past_its_roll_day_takes_no_entry_until_the_data_change_mes_hold_contract_roll(desk):
    """CONTRACT_ROLL from the first event of the tape on, and its end; a holder that takes over says it again."""
    desk.start()
    begin = desk.loop._clock.now()
    for said in (1, 2):
        desk.loop._rolls = Rolls({0: [(begin, FAR_NS)]})
        desk.loop._contracts.clear()
        desk.step_until(lambda said=said: len(contract_news(desk)) >= said, "the contract is past its roll day")
        if said == 1:
            desk.loop.close()
            desk.start()
    change = desk.loop._clock.now()
    desk.loop._rolls = Rolls({0: [(begin, change)]})
    desk.step_until(lambda: len(contract_news(desk)) >= 3, "the data change to the next contract")
    told = contract_news(desk)
    assert told["value"].tolist() == [0, 0, 1] and (told["instrument"] == 0).all()
    assert told["ts_ns"][2] >= change >= told["ts_ns"][1]
    assert holds(standing_after(desk, told[:2]), "CONTRACT_ROLL")
    assert not holds(standing_after(desk, told), "CONTRACT_ROLL")


def contract_news(desk: Desk) -> np.ndarray:
    events = desk.events(desk.inbox)
    return events[(events["kind"] == LINK) & (events["code"] == LINK_CONTRACT)]


def slowly(batch: Batch) -> bytes:
    """A frame on a disk that is slower than the loop."""
    time.sleep(0.02)
    return frame_bytes(batch)


def test_a_tape_waits_for_its_recording(tmp_path, server, monkeypatch):
    """A clock that follows its events runs as fast as everybody takes them; a recording of it has no holes."""
    desk = Desk(tmp_path, server, speed=0.0)
    desk.spec = msgspec.structs.replace(desk.spec, feed=msgspec.structs.replace(desk.spec.feed, record=True))
    try:
        loop = desk.start()
        rec = loop._recorder
        monkeypatch.setattr(recorder, "EVENTS_MAX", BATCH)
        monkeypatch.setattr(recorder, "frame_bytes", slowly)
        desk.step_until(lambda: loop.counts["events"] >= 20 * BATCH, "it played")
    finally:
        desk.loop.close()
        desk.venue.kill()
    assert rec is not None and rec.left_out == 0 and rec.fault == ""
    events = [frame.block.events for frame, _ in frames(rec.path) if frame.position >= 0]
    assert same_market(np.concatenate(events), desk.tape(loop.counts["events"]))
