"""The order's state machine, exhaustively: every (status, request, trigger), from the table of data."""

import itertools

import numpy as np
import pytest

from trading.core import orders as life
from trading.core.records import ORDER

TERMINAL = {life.FILLED, life.CANCELLED, life.REJECTED}


def order(status: int, request: int) -> np.record:
    record = np.zeros(1, ORDER)[0]
    record.status, record.request = status, request
    return record


STATES = list(itertools.product(range(len(life.STATUSES)), range(len(life.REQUESTS))))


@pytest.mark.parametrize(("status", "request_"), STATES)
def test_every_trigger_follows_the_table_or_changes_nothing(status: int, request_: int) -> None:
    for trigger in range(len(life.TRIGGERS)):
        o = order(status, request_)
        moved = life.advance(o, trigger)
        wanted = life.TRANSITIONS.get((status, request_, trigger))
        assert moved == (wanted is not None)
        assert (o.status, o.request) == (wanted or (status, request_))


def test_terminal_states_are_final() -> None:
    assert not [key for key in life.TRANSITIONS if key[0] in TERMINAL]
    assert [life.is_open(s) for s in range(len(life.STATUSES))] == [
        s not in TERMINAL for s in range(len(life.STATUSES))
    ]


def test_every_reachable_state_can_reach_an_end() -> None:
    reached = {(life.NEW, life.SUBMITTING)}
    while True:
        more = {to for (s, r, _), to in life.TRANSITIONS.items() if (s, r) in reached} | reached
        if more == reached:
            break
        reached = more
    ending = {state for state in reached if state[0] in TERMINAL}
    while True:
        more = {(s, r) for (s, r, _), to in life.TRANSITIONS.items() if to in ending} | ending
        if more == ending:
            break
        ending = more
    assert reached <= ending
    assert {(s, r) for (s, r, _) in life.TRANSITIONS} <= reached, "a row that no path reaches"


def test_a_lost_answer_is_unknown_and_only_evidence_ends_it() -> None:
    """W-01: from SUBMITTING a lost answer never becomes a rejection by itself."""
    o = order(life.NEW, life.SUBMITTING)
    assert life.advance(o, life.ON_UNKNOWN) and o.status == life.UNKNOWN
    enders = {t for (s, _, t), to in life.TRANSITIONS.items() if s == life.UNKNOWN and to[0] != life.UNKNOWN}
    evidence = {life.ON_ACK, life.ON_PART_FILL, life.ON_FULL_FILL, life.ON_REJECT, life.ON_CANCELLED, life.ON_ABSENT}
    evidence.add(life.ON_SEEN)
    assert enders == evidence


def test_an_order_that_a_reconciliation_named_may_still_be_refused_w01_p05() -> None:
    """It works by the venue's list before the answer to its submit: that answer is no stale one."""
    o = order(life.NEW, life.SUBMITTING)
    assert life.advance(o, life.ON_SEEN) and (o.status, o.request) == (life.WORKING, life.SUBMITTING)
    assert life.advance(o, life.ON_REJECT) and o.status == life.REJECTED
    o = order(life.WORKING, life.SUBMITTING)
    assert life.advance(o, life.ASK_CANCEL) and (o.status, o.request) == (life.NEW, life.CANCELLING)
    assert life.advance(o, life.ON_SEEN) and life.advance(o, life.ON_REJECT) and o.status == life.REJECTED
    assert not life.advance(order(life.WORKING, life.NOTHING), life.ON_REJECT), "one that it acknowledged is working"


@pytest.mark.parametrize("lost", [life.ON_UNKNOWN, life.ASK_QUERY])
def test_a_submit_without_an_answer_may_still_be_refused_whatever_is_asked_and_listed_w01(lost: int) -> None:
    """A stop that is taken for working covers nothing once its refusal comes (N1): no list and no question hides it."""
    for steps in ((life.ON_SEEN, lost), (lost, life.ON_SEEN), (life.ON_SEEN, lost, life.ON_SEEN)):
        o = order(life.NEW, life.SUBMITTING)
        assert all(life.advance(o, step) for step in steps)
        assert life.advance(o, life.ON_REJECT) and o.status == life.REJECTED, steps


def test_only_the_report_that_it_is_absent_ends_a_working_order_that_is_asked_after() -> None:
    """W-01: a late refusal of its modification or cancel leaves it working."""
    for trigger, status in ((life.ON_REJECT, life.WORKING), (life.ON_ABSENT, life.CANCELLED)):
        o = order(life.WORKING, life.QUERYING)
        assert life.advance(o, trigger) and (o.status, o.request) == (status, life.NOTHING)
