"""The venue's process beyond the acceptance list: clock and latency, roles, redelivery, bad frames, one per folder."""

import gc
import itertools
import socket
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from marketdata.core.records import new_depths
from tests.bootstrap import ROOT
from tests.brokers.conftest import ASKS, BIDS
from tests.brokers.desk import START_NS, WAIT_S, Order, PaperBench, VenueProcess, answers, paper_terms, send
from trading.brokers.paper import PaperBroker, PaperMarket
from trading.brokers.paper_link import VenueLink
from trading.brokers.port import OutcomeUnknown, RateLimited, Rejected, Unreachable
from trading.brokers.wire import Call, Frames, Reply, Terms, WireError, frame
from trading.core.records import ACK, CANCELLED_ON_REQUEST, CANCELLED_UNSENT, FILL_AND_KILL, LIMIT, PASSIVE
from trading.run.clock import TAPE, SessionClock, boot_ns

pytestmark = pytest.mark.processes
_numbers = itertools.count(1)
UNSENT = [("CANCELLED", 2, 1, CANCELLED_UNSENT)]


def name() -> str:
    return f"v{next(_numbers)}"


def test_latency_on_the_session_clock_without_market_data(venue: VenueProcess) -> None:
    """A delayed order arrives by the clock alone: 400 ms of session time at 4x are 100 ms."""
    bench = PaperBench(venue, name(), latency_ns=400_000_000, speed=4.0)
    bench.book(BIDS, ASKS)
    began, sent_ns = time.monotonic(), bench.clock.now()
    bench.broker.submit(Order(1).row(sent_ns))
    assert answers(bench, 2)[1] == ("FILL", 1, 1, 101)
    took_s = time.monotonic() - began
    fill = bench.seen[-1]
    assert took_s > 0.09
    assert int(fill["ts_ns"]) - sent_ns >= 400_000_000
    assert int(fill["ts_ns"]) >= int(fill["ts_venue_ns"])
    bench.close()


def test_silent_tape_lets_requests_arrive(venue: VenueProcess) -> None:
    """At the end of a tape time stands still; an order must not wait for ever."""
    bench = PaperBench(venue, name(), latency_ns=1_000_000_000)
    bench.book(BIDS, ASKS)
    send(bench, Order(1))
    assert answers(bench, 2)[1][0] == "FILL"
    bench.close()


def test_market_sent_again_counts_once(venue: VenueProcess) -> None:
    """Takeover of the feed: the venue skips by tape position what it has."""
    bench = PaperBench(venue, name())
    bench.book(BIDS, ASKS)
    send(bench, Order(1, +1, 2, LIMIT, 100))
    bench.trade(100, 6, -1)
    assert [a[0] for a in answers(bench, 2)] == ["ACK", "FILL"]
    bench.position -= 1
    bench.trade(100, 6, -1)
    assert len(bench.broker.events(0.1)) == 0
    assert bench.feed.connect() == 2
    bench.close()


def test_successor_of_the_feed_takes_over(venue: VenueProcess) -> None:
    bench = PaperBench(venue, name())
    bench.book(BIDS, ASKS)
    second = PaperMarket(venue.socket, bench.account, bench.terms, fence=2, clock=bench.clock)
    assert second.connect() == 1
    events, depths = np.zeros(0, bench.broker.snapshot().orders.dtype), new_depths(0)

    def market_and_drain() -> None:
        bench.feed.market(events, depths, np.zeros(0, np.int32), 1)
        bench.feed.drain()

    with pytest.raises((Unreachable, Rejected)):
        market_and_drain()
    with pytest.raises(Rejected, match="below 2"):
        bench.feed.connect()
    second.close()
    bench.close()


def test_roles_may_do_their_own_work_only(venue: VenueProcess) -> None:
    bench = PaperBench(venue, name())
    link = VenueLink(venue.socket)
    link.connect(bench.account, "reconcile")
    for verb in ("submit", "market", "flatten_all", "block"):
        with pytest.raises(Rejected, match="may not call"):
            link.call(verb)
    assert link.call("snapshot").positions == {}
    link.close()
    bench.close()


def test_terms_never_change_and_are_complete(venue: VenueProcess) -> None:
    account = name()
    clock = SessionClock(START_NS, boot_ns(), 1.0)
    feed = PaperMarket(venue.socket, account, paper_terms(), 1, clock)
    feed.connect()
    with pytest.raises(Rejected, match="other terms"):
        PaperMarket(venue.socket, account, paper_terms(latency_ns=5), 1, clock).connect()
    with pytest.raises(Rejected, match="fill model"):
        PaperMarket(venue.socket, name(), paper_terms(fill_model="magic"), 1, clock).connect()
    with pytest.raises(Rejected, match="never opened"):
        PaperBroker(venue.socket, "nobody").connect(1, 0)
    with pytest.raises(Rejected, match="letters"):
        PaperMarket(venue.socket, "../x", Terms("book", "USD", []), 1, clock).connect()
    feed.close()


def test_too_many_requests_on_their_way(venue: VenueProcess) -> None:
    bench = PaperBench(venue, name(), latency_ns=3_600_000_000_000, speed=1.0)
    for number in range(1, 257):
        send(bench, Order(number))
    with pytest.raises(RateLimited):
        send(bench, Order(257))
    assert bench.broker.snapshot().pending == 256
    bench.close()


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x02\x00\x00\x00\xc1\xc1", b"\x01\x00\x00\x00\x80"])
def test_malformed_frames_end_the_connection_only(venue: VenueProcess, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(venue.socket))
        sock.sendall(data)
        reply = next(iter(Frames(Reply).feed(sock.recv(65536))))
        assert reply.error == "malformed"
        assert sock.recv(1) == b""
    bench = PaperBench(venue, name())
    bench.close()


def test_malformed_events_are_refused(venue: VenueProcess) -> None:
    bench = PaperBench(venue, name())
    link = VenueLink(venue.socket)
    link.connect(bench.account, "execution", fence=3)
    with pytest.raises(OutcomeUnknown):
        link.call("submit", event=b"short")
    link.close()
    bench.close()


def test_frames_are_cut_anywhere() -> None:
    data = frame(Call(id=1, verb="a")) + frame(Call(id=2, verb="b", event=b"x" * 1000))
    for size in (1, 3, 7, 500):
        frames = Frames(Call)
        found = [c.id for i in range(0, len(data), size) for c in frames.feed(data[i : i + size])]
        assert found == [1, 2]
    with pytest.raises(WireError):
        list(Frames(Call).feed(b"\x01\x00\x00\x00\x01"))


def test_second_venue_on_a_folder_is_refused(venue: VenueProcess) -> None:
    code = (
        "import sys, pathlib; from trading.brokers.paper_venue import run_venue; run_venue(pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(venue.folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.startswith("venue: another venue already serves")


def test_folder_and_socket_belong_to_their_owner(venue: VenueProcess) -> None:
    assert venue.folder.stat().st_mode & 0o777 == 0o700
    assert venue.socket.stat().st_mode & 0o777 == 0o600


def test_venue_ends_cleanly(tmp_path_factory: pytest.TempPathFactory) -> None:
    process = VenueProcess(tmp_path_factory.mktemp("v") / "v")
    process.start()
    bench = PaperBench(process, "s1")
    bench.book(BIDS, ASKS)
    assert process.stop() == 0
    bench.close()
    assert not process.socket.exists()


def test_paper_broker_has_no_client_token_or_route(venue: VenueProcess) -> None:
    """MES-LIVE-13: everything reachable from a connected paper broker, scanned; its one socket is a local one."""
    bench = PaperBench(venue, name())
    seen: set[int] = set()
    stack: list[object] = [bench.broker]
    sockets, words = [], ("http", "token", "secret", "password", "apikey", "url", "bearer")
    while stack:
        thing = stack.pop()
        if id(thing) in seen or isinstance(thing, type | types.ModuleType | types.FrameType):
            continue
        seen.add(id(thing))
        module = type(thing).__module__.split(".")[0]
        assert module not in ("httpx", "http", "urllib", "urllib3", "requests", "websockets", "ssl", "aiohttp")
        if isinstance(thing, socket.socket):
            sockets.append(thing.family)
        if isinstance(thing, str):
            assert not any(word in thing.lower() for word in words), thing
        if hasattr(thing, "__dict__"):
            stack.extend(vars(thing).values())
        if isinstance(thing, list | tuple | set | dict) or type(thing).__module__ in ("collections",):
            stack.extend(gc.get_referents(thing))
    assert sockets == [socket.AF_UNIX]
    bench.close()


def child(bench: PaperBench, number: int, order_type: int, qty: int, starts_s: float = 0.0) -> None:
    """An entry's first child (fill and kill), or its passive one, kept for `starts_s`."""
    row = Order(number, +1, qty).row(bench.time_ns)
    row["order_type"], row["price_tick"] = order_type, 101
    if order_type == PASSIVE:
        row["ts_venue_ns"] = bench.time_ns + round(starts_s * 1e9)
        row["until_ns"] = row["ts_venue_ns"] + 500_000_000
    bench.broker.submit(row)


def with_kept(venue: VenueProcess, speed: float = 1.0, starts_s: float = 3_600.0) -> PaperBench:
    """Child 1 has filled, child 2 waits for its time: an hour, unless said otherwise."""
    bench = PaperBench(venue, name(), speed=speed)
    bench.book(BIDS, ASKS)
    child(bench, 1, FILL_AND_KILL, 1)
    child(bench, 2, PASSIVE, 1, starts_s)
    assert [a[0] for a in answers(bench, 2)] == ["ACK", "FILL"]
    return bench


def heard_by(bench: PaperBench, broker: PaperBroker) -> list[tuple[str, int, int, int]]:
    """What the successor hears at once; nothing is left to come."""
    found = answers(bench, 1, broker)
    assert len(broker.events(0.2)) == 0
    assert len(broker.snapshot().orders) == 0
    broker.close()
    bench.close()
    return found


def test_a_kept_child_ends_with_its_connection_moex_route_04(venue: VenueProcess) -> None:
    """Execution dies in mid-slice: with a real broker nobody would send it either, and nobody covers it."""
    bench = with_kept(venue)
    last = bench.broker.snapshot().last_ref
    bench.broker.close()
    eyes = PaperBroker(venue.socket, bench.account, role="reconcile")
    eyes.connect(1, 0)
    deadline = time.monotonic() + WAIT_S
    while eyes.snapshot().last_ref == last:  # before anybody comes back
        assert time.monotonic() < deadline
    assert len(eyes.snapshot().orders) == 0
    eyes.close()
    broker = bench.new_broker()
    broker.connect(1, last)
    assert heard_by(bench, broker) == UNSENT


def test_a_successor_with_a_newer_fence_drops_what_the_one_before_kept_moex_route_04(venue: VenueProcess) -> None:
    bench = with_kept(venue)
    broker = bench.new_broker()
    broker.connect(2, bench.broker.snapshot().last_ref)
    assert heard_by(bench, broker) == UNSENT


def test_a_session_that_begins_again_keeps_its_children_moex_route_04(venue: VenueProcess) -> None:
    """The execution loop asks for answers again, as before many a reconciliation: it is not gone."""
    bench = with_kept(venue)
    last = bench.broker.snapshot().last_ref
    for ref in (last - 1, 0, last):
        bench.broker.connect(1, ref)
        assert [a[0] for a in answers(bench, last - ref)] == ["ACK", "FILL"][2 - (last - ref) :], "once each, in order"
        assert bench.broker.snapshot().orders["order_number"].tolist() == [2]
    bench.broker.connect(2, last)  # a new fence is another life
    assert answers(bench, 1) == UNSENT
    assert len(bench.broker.snapshot().orders) == 0
    bench.close()


def test_a_venue_that_starts_again_sends_no_child_of_before_moex_route_04(tmp_path) -> None:
    venue = VenueProcess(tmp_path / "venue")
    venue.start()
    bench = with_kept(venue)
    last = bench.broker.snapshot().last_ref
    bench.kill_venue()
    bench.start_venue()
    broker = bench.new_broker()
    broker.connect(1, last)
    assert heard_by(bench, broker) == UNSENT
    venue.stop()


def test_a_kept_child_is_reported_and_listed_moex_route_04(venue: VenueProcess) -> None:
    """So a lost reply leaves no order that nobody can take back."""
    bench = with_kept(venue)
    (row,) = bench.broker.query(2)
    assert (int(row["kind"]), int(row["ref"]), int(row["order_number"])) == (ACK, 0, 2)
    truth = bench.broker.snapshot()
    assert truth.orders["order_number"].tolist() == [2] and truth.pending == 0
    bench.broker.cancel(Order(2).row(bench.time_ns))
    assert answers(bench, 1) == [("CANCELLED", 2, 1, CANCELLED_ON_REQUEST)]
    bench.close()


def test_a_silent_tape_lets_a_lone_kept_child_go_moex_route_04(venue: VenueProcess) -> None:
    bench = with_kept(venue, speed=TAPE, starts_s=0.5)
    assert answers(bench, 1)[0][:2] == ("ACK", 2), "a second of silence lets its time come"
    bench.close()
