"""The execution loop against the real venue process: answers once and in order, entries refused, exits always.

The test stands where the risk loop does: it writes the outbox and reads the inbox.
"""

import time
from pathlib import Path

import numpy as np
import pytest

from marketdata.core.records import BOOK, NO_TICK, NO_TIME, new_depths, new_events
from marketdata.core.units import NANOS
from tests.redis_server import RedisServer
from tests.simulation.kit import START_NS, make_context, make_spec
from tests.simulation.ring import Venue, make_broker
from trading.brokers.paper import PaperBroker, PaperMarket, terms_of
from trading.core.records import (
    ACK,
    CANCEL,
    CANCELLED,
    CANCELLED_ON_REQUEST,
    CANCELLED_UNSENT,
    ENTRY,
    EXIT,
    FILL,
    FILL_AND_KILL,
    LINK,
    LINK_EXECUTION,
    MARKET,
    PASSIVE,
    QUERY,
    RECON,
    RECON_BEGIN,
    RECON_END,
    RECON_ORDER,
    RECON_POSITION,
    REJECT,
    REJECTED_BY_VENUE,
    REJECTED_EXPIRED,
    REJECTED_LATCHED,
    REJECTED_UNKNOWN_ORDER,
    ROUTE_FAILOVER,
    STOP,
    STOP_LOSS,
    SUBMIT,
)
from trading.run.bodies.execution_loop import ExecutionLoop
from trading.run.clock import SessionClock, boot_ns, save_clock
from trading.run.context import Fenced
from trading.run.journal.recovery import account_event
from trading.run.latch import write_latch
from trading.run.streams import INBOX, OUTBOX, ZERO_ID, Stream, pack

WAIT_S = 120.0  # a loaded machine; nothing waits when all is well


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


class Desk:
    """A venue with a quiet book, an outbox, an inbox and the loop between them."""

    def __init__(self, tmp_path: Path, server: RedisServer, **limits: int) -> None:
        self.server, self.folder = server, tmp_path / "7"
        self.folder.mkdir()
        server.client().flushall()
        self.venue = Venue(tmp_path / "venue").start()
        self.spec = make_spec(server.url, str(self.venue.socket), **limits)
        self.clock = SessionClock(START_NS, boot_ns(), 1.0)
        save_clock(self.folder, self.clock)
        self.inbox = Stream(server.client(), self.spec.key, INBOX)
        self.outbox = Stream(server.client(), self.spec.key, OUTBOX)
        self.open_streams()
        self.market = PaperMarket(self.venue.socket, self.spec.key, terms_of(self.spec), 1, self.clock)
        self.market.connect()
        self.position = 0
        self.seq = 0
        self.fence = 0
        self.seen: list[np.ndarray] = []
        self.cursor = ZERO_ID
        self.quote()

    def open_streams(self) -> None:
        self.inbox.open(ZERO_ID)
        self.outbox.open(ZERO_ID)

    def start(self) -> ExecutionLoop:
        self.fence += 1
        self.loop = ExecutionLoop(make_broker)
        self.loop.open(make_context(self.folder, self.spec, "execution", self.fence))
        return self.loop

    def quote(self, bid: int = 20_000, ask: int = 20_001) -> None:
        """One book with 10 levels of 10 on each side, straight to the venue."""
        event, depth = new_events(1), new_depths(1)
        now = self.clock.now()
        event["kind"], event["ts_ns"], event["ts_venue_ns"] = BOOK, now, now
        event["bid_tick"], event["ask_tick"], event["bid_qty"], event["ask_qty"] = bid, ask, 10, 10
        depth["ts_ns"], depth["ts_venue_ns"] = now, now
        depth["bid_tick"][0, :10], depth["ask_tick"][0, :10] = bid - np.arange(10), ask + np.arange(10)
        depth["bid_qty"][0, :10], depth["ask_qty"][0, :10] = 10, 10
        self.position += 1
        self.market.market(event, depth, np.zeros(1, np.int32), self.position)
        self.market.drain()

    def order(self, number: int, role: int = ENTRY, side: int = 1, kind: int = SUBMIT, **fields: int) -> np.ndarray:
        """An output of the kernel, (1,)."""
        event = new_events(1)
        self.seq += 1
        event["seq"], event["kind"], event["order_number"], event["role"] = self.seq, kind, number, role
        event["side"], event["qty"], event["order_type"] = side, 1, STOP if role == STOP_LOSS else MARKET
        event["ts_ns"], event["until_ns"] = self.clock.now(), NO_TIME
        for name, value in fields.items():
            event[name] = value
        return event

    def put(self, *events: np.ndarray) -> None:
        entries = [(f"{event['seq'][0]}-0".encode(), pack(event)) for event in events]
        self.outbox.append_many(entries, fence=1, loop="risk")

    def got(self, *kinds: int) -> np.ndarray:
        """What has arrived in the inbox so far."""
        for entry in self.inbox.read(self.cursor, 0, 1000):
            self.cursor = entry.id
            self.seen.append(entry.events)
        events = np.concatenate(self.seen) if self.seen else new_events(0)
        return events[np.isin(events["kind"], kinds)] if kinds else events

    def step_until(self, truth, what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not truth():
            assert time.monotonic() < deadline, f"not: {what}; {self.got()}"
            self.loop.step()

    def truth(self):
        """The venue's own word, by a session of our own."""
        broker = PaperBroker(self.venue.socket, self.spec.key, role="reconcile")
        broker.connect(1, 0)
        try:
            return broker.snapshot()
        finally:
            broker.close()


@pytest.fixture
def desk(tmp_path, server):
    desk = Desk(tmp_path, server)
    yield desk
    if hasattr(desk, "loop"):
        desk.loop.close()
    desk.market.close()
    desk.venue.kill()


def step_often(loop: ExecutionLoop, times: int) -> None:
    for _ in range(times):
        loop.step()


def kinds_of(events: np.ndarray) -> list[int]:
    return events["kind"].tolist()


def test_it_reconciles_before_anything_else(desk):
    """P-05: the link is up, then the venue's truth as one piece."""
    desk.start()
    desk.step_until(lambda: RECON_END in desk.got(RECON)["code"], "reconciled")
    assert kinds_of(desk.got())[-3:] == [LINK, RECON, RECON]
    link = desk.got(LINK)
    assert (link["code"][-1], link["value"][-1]) == (LINK_EXECUTION, 1)
    assert desk.got(RECON)["code"].tolist() == [RECON_BEGIN, RECON_END]


def test_an_order_is_sent_once_and_its_answers_arrive_in_order(desk):
    desk.start()
    desk.put(desk.order(1))
    desk.step_until(lambda: len(desk.got(FILL)) == 1, "filled")
    answers = desk.got(ACK, FILL)
    assert answers["ref"].tolist() == [1, 2]
    assert (answers["price_tick"][1], answers["order_number"].tolist()) == (20_001, [1, 1])
    desk.step_until(lambda: desk.outbox.length() == 0, "the outbox is trimmed")
    assert desk.truth().positions == {0: 1}


def test_entries_that_are_too_old_or_latched_are_refused_and_exits_go(desk, tmp_path):
    desk.start()
    desk.put(desk.order(1))
    desk.step_until(lambda: len(desk.got(FILL)) == 1, "a position")
    desk.put(desk.order(2, until_ns=desk.clock.now() - 1))
    desk.step_until(lambda: len(desk.got(REJECT)) == 1, "expired")
    write_latch(tmp_path, "test", "drill")
    desk.put(desk.order(3, until_ns=desk.clock.now() + 60 * NANOS), desk.order(4, role=EXIT, side=-1))
    desk.step_until(lambda: len(desk.got(FILL)) == 2, "the exit is filled")
    rejects = desk.got(REJECT)
    assert rejects["code"].tolist() == [REJECTED_EXPIRED, REJECTED_LATCHED]
    assert rejects["order_number"].tolist() == [2, 3]
    assert not rejects["ref"].any(), "refusals of our own edge are not the venue's answers"
    assert desk.truth().positions == {}


def test_the_venues_refusal_becomes_a_reject(desk):
    desk.start()
    desk.put(desk.order(1, instrument=5))  # the account does not know such an instrument
    desk.step_until(lambda: len(desk.got(REJECT)) >= 1, "refused")
    assert desk.got(REJECT)["code"][0] == REJECTED_BY_VENUE
    desk.put(desk.order(9, kind=CANCEL))
    desk.step_until(lambda: 9 in desk.got(REJECT)["order_number"], "a cancel of an unknown order is refused")


def test_a_query_is_answered_from_the_venue(desk):
    desk.start()
    desk.put(desk.order(1, role=STOP_LOSS, side=-1, stop_tick=19_900))
    desk.step_until(lambda: len(desk.got(ACK)) == 1, "the stop works")
    desk.put(desk.order(1, kind=QUERY), desk.order(77, kind=QUERY))
    desk.step_until(lambda: len(desk.got(REJECT)) == 1, "both are answered")
    assert desk.got(ACK)["ref"].tolist() == [1, 0]
    assert desk.got(REJECT)["code"].tolist() == [REJECTED_UNKNOWN_ORDER]


def test_a_new_owner_looks_up_what_may_have_been_sent(desk):
    """Killed between sending and trimming: the same order must not go twice."""
    desk.start()
    desk.put(desk.order(1))
    desk.step_until(lambda: len(desk.got(FILL)) == 1, "filled")
    first = desk.order(1)
    desk.server.client().delete(desk.outbox.key)
    desk.outbox.open(ZERO_ID)
    desk.put(first)  # as if it had not been trimmed
    desk.loop.close()
    desk.start()
    desk.step_until(lambda: RECON_POSITION in desk.got(RECON)["code"], "reconciled")
    desk.step_until(lambda: desk.outbox.length() == 0, "served")
    assert desk.truth().positions == {0: 1}
    assert len(set(desk.got(FILL)["ref"].tolist())) == 1


def test_an_entry_that_is_known_to_the_venue_is_not_called_expired(desk):
    desk.start()
    desk.put(desk.order(1))
    desk.step_until(lambda: len(desk.got(FILL)) == 1, "filled")
    desk.loop.close()
    desk.put(desk.order(1, until_ns=desk.clock.now() - 1), desk.order(2, until_ns=desk.clock.now() - 1))
    desk.start()
    desk.step_until(lambda: 2 in desk.got(REJECT)["order_number"], "the one that was never sent is refused")
    assert desk.got(REJECT)["order_number"].tolist() == [2]


def test_the_venue_dies_and_comes_back(desk):
    """Resting stops survive (design 8); the link is told; outputs wait; reconciliation ends it."""
    desk.start()
    desk.put(desk.order(1), desk.order(2, role=STOP_LOSS, side=-1, stop_tick=19_990))
    desk.step_until(
        lambda: {1, 2} <= set(desk.got(ACK)["order_number"].tolist()) and len(desk.got(FILL)), "both arrived"
    )
    desk.venue.kill()
    desk.step_until(lambda: desk.got(LINK)["value"].tolist()[-1] == 0, "the link is down")
    desk.put(desk.order(3, role=EXIT, side=-1))
    for _ in range(3):
        desk.loop.step()
    desk.venue.start()
    recons = (desk.got(RECON)["code"] == RECON_END).sum()
    desk.step_until(lambda: (desk.got(RECON)["code"] == RECON_END).sum() > recons, "reconciled again")
    assert 2 in desk.got(RECON)["order_number"][desk.got(RECON)["code"] == RECON_ORDER]
    desk.market.connect()
    desk.quote()
    desk.step_until(lambda: len(desk.got(FILL)) == 2, "the exit went after all")
    refs = desk.got(ACK, FILL, CANCELLED)["ref"]
    assert sorted(set(refs.tolist())) == list(range(1, len(set(refs.tolist())) + 1))
    assert desk.truth().positions == {}


def test_an_exit_that_waited_is_not_sent_when_the_stop_was_faster(desk):
    """It would reverse the position: after a break the venue's word counts, and the kernel decides anew."""
    desk.start()
    desk.put(desk.order(1), desk.order(2, role=STOP_LOSS, side=-1, stop_tick=19_990))
    desk.step_until(lambda: {1, 2} <= set(desk.got(ACK)["order_number"].tolist()) and len(desk.got(FILL)), "bracket")
    desk.venue.kill()
    desk.step_until(lambda: desk.got(LINK)["value"].tolist()[-1] == 0, "the link is down")
    desk.put(desk.order(3, role=EXIT, side=-1))
    for _ in range(3):
        desk.loop.step()
    desk.venue.start()
    desk.market.connect()
    desk.quote(19_980, 19_981)  # the stop is hit before the loop is back
    desk.step_until(lambda: 3 in desk.got(REJECT)["order_number"], "the exit is given back")
    assert desk.got(REJECT)["code"].tolist() == [REJECTED_EXPIRED]
    desk.step_until(lambda: len(desk.got(FILL)) == 2, "the stop's fill arrived")
    assert desk.truth().positions == {}


def test_requests_at_the_head_leave_together(desk):
    """An exit does not wait for the answer to the cancel before it."""
    desk.start()
    desk.put(desk.order(1), desk.order(2, role=STOP_LOSS, side=-1, stop_tick=19_990))
    desk.step_until(lambda: {1, 2} <= set(desk.got(ACK)["order_number"].tolist()) and len(desk.got(FILL)), "bracket")
    batches: list[int] = []
    send = desk.loop._broker.request_all

    def counted(orders: list[np.ndarray]) -> list[Exception | None]:
        batches.append(len(orders))
        return send(orders)

    desk.loop._broker.request_all = counted
    desk.put(desk.order(2, kind=CANCEL), desk.order(3, role=EXIT, side=-1))
    desk.step_until(lambda: len(desk.got(FILL)) == 2 and len(desk.got(CANCELLED)) == 1, "cancelled and closed")
    assert batches == [2]
    assert desk.truth().positions == {}


def test_redis_away_answers_are_kept_and_delivered(tmp_path):
    server = RedisServer(tmp_path / "redis").start()
    desk = Desk(tmp_path, server)
    try:
        desk.start()
        desk.put(desk.order(1, role=STOP_LOSS, side=-1, stop_tick=19_990))
        desk.step_until(lambda: len(desk.got(ACK)) == 1, "the stop works")
        server.kill()
        desk.loop.step()
        desk.quote(19_980, 19_981)  # the stop is hit while nobody can be told
        deadline = time.monotonic() + WAIT_S
        while desk.loop._answers.collected_ref < 2:
            assert time.monotonic() < deadline, "the answer was not collected"
            desk.loop.step()
        assert desk.loop._up.is_set(), "the venue's connection is kept"
        server.restart(empty=True)
        desk.open_streams()
        desk.cursor = ZERO_ID
        desk.step_until(lambda: len(desk.got(FILL)) == 1, "the fill is delivered")
        assert desk.got(FILL)["ref"].tolist() == [2]
    finally:
        desk.loop.close()
        desk.venue.kill()
        server.kill()


@pytest.mark.parametrize("kind", [RECON, QUERY])
def test_answers_that_the_kernel_lacks_are_given_again(desk, kind):
    """A gap in the venue's numbers, or a Redis that lost them: the risk loop asks from where it stands."""
    desk.start()
    desk.put(desk.order(1))
    desk.step_until(lambda: len(desk.got(FILL)) == 1, "filled")
    ask = account_event(kind, RECON_BEGIN if kind == RECON else 0, desk.clock.now(), ref=0)
    desk.seq += 1
    ask["seq"] = desk.seq
    desk.put(ask)
    desk.step_until(lambda: len(desk.got(FILL)) == 2, "given again")
    assert desk.got(ACK, FILL)["ref"].tolist() == [1, 2, 1, 2]
    desk.step_until(lambda: desk.got()["kind"][-1] == RECON, "and reconciled behind them")
    assert desk.got(RECON)[-1]["ref"] == 2


def test_a_fenced_owner_cannot_send(desk):
    old = desk.start()
    desk.step_until(lambda: RECON_END in desk.got(RECON)["code"], "reconciled")
    desk.start()
    desk.step_until(lambda: (desk.got(RECON)["code"] == RECON_END).sum() >= 2, "the new owner too")
    desk.put(desk.order(1))
    with pytest.raises(Fenced):
        step_often(old, 50)
    desk.step_until(lambda: len(desk.got(FILL)) == 1, "sent by the new owner")
    assert desk.truth().positions == {0: 1}
    assert NO_TICK not in desk.got(FILL)["price_tick"]
    old.close()


def child(desk: Desk, number: int, order_type: int, starts_s: float = 0.0) -> np.ndarray:
    """An entry of shares: its first child, or the passive one that the venue keeps for so long."""
    at_ns = desk.clock.now() + round(starts_s * NANOS)
    until_ns = at_ns + 60 * NANOS
    return desk.order(number, order_type=order_type, price_tick=20_011, ts_venue_ns=at_ns, until_ns=until_ns)


def test_a_cancel_of_what_the_venue_knows_is_never_swallowed_moex_risk_09(desk):
    """The outbox shows SUBMIT and CANCEL of a kept child as new although the venue has it: the CANCEL goes there."""
    desk.start()
    desk.put(child(desk, 1, FILL_AND_KILL), child(desk, 2, PASSIVE, starts_s=3_600))
    desk.step_until(lambda: 2 in desk.truth().orders["order_number"] and len(desk.got(FILL)) == 1, "one is kept")
    desk.put(child(desk, 2, PASSIVE, starts_s=3_600), desk.order(2, kind=CANCEL))
    desk.step_until(lambda: len(desk.got(CANCELLED)) > 0, "cancelled")
    assert [(int(e["order_number"]), int(e["code"])) for e in desk.got(CANCELLED)] == [(2, CANCELLED_ON_REQUEST)]
    assert int(desk.got(CANCELLED)["ref"][0]) > 0, "by the venue, not by our own edge"
    assert len(desk.truth().orders) == 0
    desk.put(child(desk, 3, FILL_AND_KILL), desk.order(3, kind=CANCEL))
    desk.step_until(lambda: len(desk.got(CANCELLED)) == 2, "the venue never heard of this one: dropped here")
    last = desk.got(CANCELLED)[-1]
    assert (int(last["order_number"]), int(last["code"]), int(last["ref"])) == (3, CANCELLED_UNSENT, 0)
    assert desk.truth().positions == {0: 1}


def test_a_request_for_a_route_reaches_the_broker_moex_risk_07(desk):
    desk.start()
    desk.put(desk.order(0, kind=ROUTE_FAILOVER, role=0, ref=1))
    desk.step_until(lambda: desk.loop.counts["failovers"] == 1, "asked for")
    desk.step_until(lambda: desk.outbox.length() == 0, "served and trimmed")
    assert desk.loop.counts["failovers"] == 1, "once"
