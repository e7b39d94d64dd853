"""Reconciliation puts the venue's truth exactly between the answers it contains and those it does not (P-05).

The broker here is a script, because the order of arrival is what is tested; the real venue is in test_execution_loop.
"""

import threading

import numpy as np
import pytest

from marketdata.core.records import new_events
from trading.brokers.port import BrokerTruth, Rejected, Unreachable
from trading.core.records import ACK, FILL, LINK, RECON, RECON_BEGIN, RECON_END, RECON_ORDER, RECON_POSITION
from trading.run.bodies.reconcile import Answers, raise_if_fenced, recon_events
from trading.run.context import Fenced
from trading.run.streams import StreamAway, StreamFull


def answers(*refs: int, kind: int = ACK) -> np.ndarray:
    events = new_events(len(refs))
    events["kind"], events["ref"] = kind, refs
    return events


def own(kind: int = LINK) -> np.ndarray:
    event = new_events(1)
    event["kind"] = kind
    return event


class Inbox:
    """Keeps what is sent, or refuses."""

    def __init__(self) -> None:
        self.events: list[tuple[int, int]] = []
        self.fault: Exception | None = None

    def send(self, events: np.ndarray) -> None:
        if self.fault is not None:
            raise self.fault
        self.events += [(int(e["kind"]), int(e["ref"])) for e in events]


class Script:
    """A broker whose snapshot does what the test says."""

    def __init__(self, snapshot) -> None:
        self.snapshot = snapshot


def truth(last_ref: int, positions: dict[int, int] | None = None, orders: int = 0) -> BrokerTruth:
    rows = new_events(orders)
    rows["kind"], rows["code"], rows["order_number"] = RECON, RECON_ORDER, np.arange(1, orders + 1)
    return BrokerTruth(positions or {}, rows, last_ref)


def test_the_truth_as_events():
    events = recon_events(truth(9, {3: -2, 0: 5, 7: 0}, orders=2), now_ns=77)
    assert events["code"].tolist() == [RECON_BEGIN, RECON_POSITION, RECON_POSITION, RECON_ORDER, RECON_ORDER, RECON_END]
    assert [(int(e["instrument"]), int(e["side"] * e["qty"])) for e in events[1:3]] == [(0, 5), (3, -2)]
    assert events["order_number"].tolist() == [0, 0, 0, 1, 2, 0]
    assert (events["ref"][-1], set(events["ts_ns"].tolist())) == (9, {77})


def test_answers_go_once_and_in_order():
    inbox = Inbox()
    desk = Answers(inbox.send)
    desk.collect(answers(1, 2))
    desk.collect(answers(2, 3))
    desk.tell(own())
    desk.collect(answers(1))
    assert inbox.events == [(ACK, 1), (ACK, 2), (ACK, 3), (LINK, 0)]
    assert desk.counts["repeated"] == 2


@pytest.mark.parametrize("fault", [StreamAway("away"), StreamFull("full")])
def test_what_the_inbox_refuses_is_kept(fault):
    inbox = Inbox()
    inbox.fault = fault
    desk = Answers(inbox.send)
    desk.collect(answers(1))
    desk.tell(own())
    desk.collect(answers(2))
    assert (inbox.events, desk.waiting(), desk.stuck) == ([], 3, str(fault))
    inbox.fault = None
    desk.tell(new_events(0))
    assert inbox.events == [(ACK, 1), (LINK, 0), (ACK, 2)]
    assert (desk.waiting(), desk.stuck) == (0, "")


def test_an_answer_that_is_newer_than_the_truth_comes_behind_it():
    """Else the kernel would take an order that works for one that is gone."""
    inbox = Inbox()
    desk = Answers(inbox.send)
    desk.collect(answers(1))

    def snapshot() -> BrokerTruth:
        desk.collect(answers(2, 3, 4))  # the other thread, while we wait for the venue
        return truth(3)

    desk.reconcile(Script(snapshot), lambda: 5)
    assert inbox.events == [(ACK, 1), (ACK, 2), (ACK, 3), (RECON, 0), (RECON, 3), (ACK, 4)]


def test_the_truth_waits_for_the_answers_that_it_contains():
    inbox = Inbox()
    desk = Answers(inbox.send)
    late = threading.Timer(0.05, lambda: desk.collect(answers(1, 2, 3)))
    late.start()
    desk.reconcile(Script(lambda: truth(2)), lambda: 5)
    late.join()
    assert inbox.events == [(ACK, 1), (ACK, 2), (RECON, 0), (RECON, 2), (ACK, 3)]


def test_answers_that_do_not_come_are_a_lost_connection():
    inbox = Inbox()
    desk = Answers(inbox.send)
    with pytest.raises(Unreachable, match="answers 1 to 2 did not come"):
        desk.reconcile(Script(lambda: truth(2)), lambda: 5)
    assert inbox.events == []
    desk.collect(answers(1))
    assert inbox.events == [(ACK, 1)], "collecting goes on"


def test_a_failed_snapshot_lets_everything_through_again():
    inbox = Inbox()
    desk = Answers(inbox.send)

    def snapshot() -> BrokerTruth:
        desk.collect(answers(1))
        raise Unreachable("gone")

    with pytest.raises(Unreachable):
        desk.reconcile(Script(snapshot), lambda: 5)
    assert inbox.events == [(ACK, 1)]


def test_asked_again_what_waits_is_not_sent_twice():
    inbox = Inbox()
    inbox.fault = StreamAway("away")
    desk = Answers(inbox.send)
    desk.collect(answers(1, 2))
    desk.tell(own())
    desk.collect(answers(3, kind=FILL))
    desk.start_at(1)  # the kernel stands at 1: the venue sends 2 and 3 again
    inbox.fault = None
    desk.collect(answers(2))
    desk.collect(answers(3, kind=FILL))
    assert inbox.events == [(ACK, 1), (LINK, 0), (ACK, 2), (FILL, 3)]
    assert desk.counts["redelivered"] == 1


def test_a_newer_holder_at_the_venue_is_a_fence():
    with pytest.raises(Fenced):
        raise_if_fenced(Rejected("fence 3 was here", "fenced"))
    raise_if_fenced(Rejected("no such instrument"))
    assert RECON_END == 4
