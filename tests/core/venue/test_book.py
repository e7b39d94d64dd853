"""Fills on a 20-level book, queue position, stops, requests and the guard's flatten: MOEX-PAPER-01, K-02, W-01."""

import numpy as np
import pytest

from marketdata.core.records import STATUS_HALTED, STATUS_OPEN
from tests.core.venue.kit import Floor, Said, fills
from trading.core.records import (
    CANCELLED_BY_VENUE,
    CANCELLED_EXPIRED,
    EXIT,
    REJECTED_BY_VENUE,
    REJECTED_LATCHED,
    REJECTED_UNKNOWN_ORDER,
    STOP_LOSS,
)

BIDS = [(100, 5), (99, 5), (98, 5)]
ASKS = [(101, 5), (102, 5), (103, 5)]


def open_floor(**terms: int) -> Floor:
    floor = Floor("book", **terms)
    floor.book(10, BIDS, ASKS)
    return floor


def test_market_walks_the_levels() -> None:
    floor = open_floor()
    said = floor.market(11, 1, +1, qty=12)
    assert said[0] == Said("ACK", 1)
    assert fills(said) == [(1, 5, 101), (1, 5, 102), (1, 2, 103)]
    assert floor.held() == 12


def test_what_was_taken_is_not_taken_twice() -> None:
    """Taken quantity stays taken until the level's displayed quantity changes."""
    floor = open_floor()
    floor.market(11, 1, +1, qty=4)
    assert fills(floor.market(11, 2, +1, qty=2)) == [(2, 1, 101), (2, 1, 102)]
    floor.book(12, BIDS, ASKS)
    assert fills(floor.market(12, 3, +1)) == [(3, 1, 102)]
    floor.book(13, BIDS, [(101, 6), (102, 5)])
    assert fills(floor.market(13, 4, +1)) == [(4, 1, 101)]


def test_remainder_entry_is_cancelled_exit_waits() -> None:
    """MOEX-PAPER-01 for entries; exits never expire (MES-BT-11)."""
    floor = open_floor()
    said = floor.market(11, 1, +1, qty=20)
    assert sum(qty for _, qty, _ in fills(said)) == 15
    assert said[-1] == Said("CANCELLED", 1, code=CANCELLED_BY_VENUE)
    assert int(floor.rows[-1]["qty"]) == 5
    floor.market(11, 2, -1, qty=17, role=EXIT)
    assert floor.working() == [2]
    assert fills(floor.book(12, [(97, 9)], ASKS)) == [(2, 2, 97)]


def test_marketable_limit_walks_to_its_price_and_rests() -> None:
    floor = open_floor()
    assert fills(floor.limit(11, 1, +1, 102, qty=12)) == [(1, 5, 101), (1, 5, 102)]
    assert floor.working() == [1]
    assert fills(floor.trade(12, 101, 1)) == [(1, 2, 102)]


def test_no_book_or_an_old_one_fills_nothing() -> None:
    """MOEX-PAPER-01: a book is present while its age is below 60 s."""
    floor = Floor("book")
    assert floor.market(10, 1, +1)[-1] == Said("CANCELLED", 1, code=CANCELLED_BY_VENUE)
    floor.book(10, BIDS, ASKS)
    floor.advance(69.999)
    assert fills(floor.market(69.999, 2, +1)) == [(2, 1, 101)]
    floor.advance(70)
    assert floor.market(70, 3, +1)[-1] == Said("CANCELLED", 3, code=CANCELLED_BY_VENUE)
    assert floor.market(70, 4, -1, role=EXIT) == [Said("ACK", 4)]
    assert fills(floor.book(80, BIDS, ASKS)) == [(4, 1, 100)]


def test_crossed_book_is_not_taken_one_sided_is() -> None:
    floor = open_floor()
    floor.book(11, [(105, 5)], [(104, 5)])
    assert fills(floor.market(11, 1, +1)) == [(1, 1, 101)]
    floor.book(12, [], [(110, 5)])
    assert fills(floor.market(12, 2, +1)) == [(2, 1, 110)]
    assert fills(floor.market(12, 3, -1)) == []


def test_queue_position() -> None:
    """Behind what was displayed on arrival; trades at the price work it off, the excess is ours, in time order."""
    floor = open_floor()
    floor.limit(11, 1, +1, 100, qty=2)
    floor.limit(11, 2, +1, 100, qty=2)
    assert fills(floor.trade(12, 100, 4, side=-1)) == []
    assert fills(floor.trade(13, 100, 2, side=-1)) == [(1, 1, 100)]
    assert fills(floor.trade(14, 100, 2, side=-1)) == [(1, 1, 100), (2, 1, 100)]
    assert fills(floor.trade(15, 99, 1, side=-1)) == [(2, 1, 100)]


def test_takers_of_our_own_side_work_nothing_off() -> None:
    floor = open_floor()
    floor.limit(11, 1, +1, 100)
    assert fills(floor.trade(12, 100, 50, side=+1)) == []
    assert fills(floor.trade(13, 100, 6, side=-1)) == [(1, 1, 100)]


def test_queue_shrinks_with_its_level_and_never_grows() -> None:
    floor = open_floor()
    floor.limit(11, 1, +1, 100)
    floor.book(12, [(100, 2), (99, 5)], ASKS)
    floor.book(13, [(100, 50), (99, 5)], ASKS)
    assert int(floor.venue.orders[0].ahead) == 2
    assert fills(floor.trade(14, 100, 3, side=-1)) == [(1, 1, 100)]


def test_better_than_best_stands_first_and_unseen_levels_wait_to_be_seen() -> None:
    floor = Floor("book")
    floor.book(10, [(100 - i, 5) for i in range(20)], [(110, 5)])
    floor.limit(11, 1, +1, 105)
    assert fills(floor.trade(12, 105, 1, side=-1)) == [(1, 1, 105)]
    floor.limit(13, 2, +1, 70)
    assert int(floor.venue.orders[1].ahead) == -1
    assert fills(floor.trade(14, 70, 9, side=-1)) == []
    floor.book(15, [(75 - i, 5) for i in range(20)], [(110, 5)])
    assert int(floor.venue.orders[1].ahead) == 5
    assert fills(floor.trade(16, 69, 1, side=-1)) == [(2, 1, 70)]


@pytest.mark.parametrize(("side", "stop", "through"), [(-1, 97, 97), (+1, 104, 104)])
def test_stop_triggers_on_a_trade_and_walks(side: int, stop: int, through: int) -> None:
    floor = open_floor()
    assert floor.stop(11, 1, side, stop, qty=6) == [Said("ACK", 1)]
    assert fills(floor.trade(12, through - side, 1)) == []
    expected = [(1, 5, 100), (1, 1, 99)] if side < 0 else [(1, 5, 101), (1, 1, 102)]
    assert fills(floor.trade(13, through, 1))[:2] == expected


def test_stop_triggers_when_the_far_touch_is_through() -> None:
    floor = open_floor()
    floor.stop(11, 1, -1, 97, role=STOP_LOSS)
    assert fills(floor.book(12, [(94, 5)], [(96, 5)])) == [(1, 1, 94)]


def test_stop_beyond_the_market_triggers_on_arrival() -> None:
    floor = open_floor()
    floor.trade(10.5, 100)
    assert fills(floor.stop(11, 1, -1, 100)) == [(1, 1, 100)]


def test_triggered_stop_without_a_book_goes_on_when_one_comes() -> None:
    floor = Floor("book")
    floor.stop(10, 1, -1, 95, role=STOP_LOSS)
    assert floor.trade(11, 95) == []
    assert fills(floor.book(12, BIDS, ASKS)) == [(1, 1, 100)]


def test_latency_queues_requests_in_order() -> None:
    """MOEX-PAPER-01: events of the very instant come before the arrival; a cancel takes the same time."""
    floor = open_floor(latency_ns=100_000_000)
    assert floor.market(11, 1, +1) == []
    assert floor.book(11.1, BIDS, [(109, 5)]) == []
    said = floor.advance(11.1)
    assert fills(said) == [(1, 1, 109)]
    floor.limit(12, 2, +1, 100)
    floor.cancel(12.05, 2)
    assert [s.kind for s in floor.advance(12.2)] == ["ACK", "CANCELLED"]


def test_halted_market_fills_nothing() -> None:
    floor = open_floor()
    floor.status(11, STATUS_HALTED)
    assert fills(floor.market(11, 1, +1)) == []
    floor.market(11, 2, -1, role=EXIT)
    floor.status(12, STATUS_OPEN)
    assert fills(floor.book(13, BIDS, ASKS)) == [(2, 1, 100)]


def test_good_until() -> None:
    floor = open_floor()
    floor.limit(11, 1, +1, 99, until_ns=13_000_000_000)
    assert floor.advance(13) == []
    assert floor.advance(13.001) == [Said("CANCELLED", 1, code=CANCELLED_EXPIRED)]


def test_cancel_modify_and_their_refusals() -> None:
    floor = open_floor()
    assert floor.cancel(11, 9) == [Said("REJECT", 9, code=REJECTED_UNKNOWN_ORDER)]
    assert floor.modify(11, 9, 1, 100) == [Said("REJECT", 9, code=REJECTED_UNKNOWN_ORDER)]
    floor.market(11, 1, +1)
    assert floor.cancel(11, 1) == [Said("REJECT", 1, code=REJECTED_BY_VENUE)]
    floor.limit(12, 2, +1, 100, qty=3)
    assert floor.modify(12, 2, 0, 100) == [Said("REJECT", 2, code=REJECTED_BY_VENUE)]
    assert floor.modify(12, 2, 2, 101) == [Said("ACK", 2), Said("FILL", 2, 2, 101)]
    assert floor.cancel(13, 2) == [Said("REJECT", 2, code=REJECTED_BY_VENUE)]


@pytest.mark.parametrize(
    ("qty", "tick", "order"), [(1, 100, [1, 2]), (2, 100, [1, 2]), (3, 100, [2, 1]), (2, 99, [2, 1])]
)
def test_priority_after_a_modification(qty: int, tick: int, order: list[int]) -> None:
    """Less quantity keeps its place; another price or more quantity goes to the end."""
    floor = open_floor()
    floor.limit(11, 1, +1, 100, qty=2)
    floor.limit(11, 2, +1, 100, qty=2)
    floor.modify(12, 1, qty, tick)
    assert floor.working() == order


def test_modified_stop_moves() -> None:
    floor = open_floor()
    floor.trade(10, 100)
    floor.stop(11, 1, -1, 90, role=STOP_LOSS)
    floor.modify(12, 1, 1, stop=95)
    assert fills(floor.trade(13, 95)) == [(1, 1, 100)]


def test_a_known_number_is_no_second_order() -> None:
    """W-01: idempotent by order number, also for filled, rejected and queued ones."""
    floor = open_floor(latency_ns=1)
    for _ in range(3):
        floor.market(11, 1, +1)
    floor.advance(12)
    floor.market(12, 1, +1)
    floor.market(12, 2, +1, qty=0)
    floor.advance(13)
    floor.market(13, 2, +1, qty=1)
    floor.advance(14)
    assert floor.held() == 1


@pytest.mark.parametrize(
    "wrong",
    [{"qty": 0}, {"qty": 1_000_001}, {"side": 0}, {"instrument": 5}, {"instrument": -1}, {"order_type": 9}],
)
def test_malformed_orders_are_rejected(wrong: dict[str, int]) -> None:
    floor = open_floor()
    fields = {"qty": 1, "side": 1, "instrument": 0, "order_type": 1, "role": 1} | wrong
    assert floor.send(40, 11, 1, **fields) == [Said("REJECT", 1, code=REJECTED_BY_VENUE)]
    assert floor.working() == []


def test_refs_are_gapless() -> None:
    floor = open_floor()
    floor.market(11, 1, +1, qty=20)
    floor.limit(11, 2, -1, 110)
    floor.cancel(12, 2)
    floor.flatten()
    assert [int(row["ref"]) for row in floor.rows] == list(range(1, len(floor.rows) + 1))


def test_flatten_cancels_and_closes_on_the_last_known_book_whatever_its_age() -> None:
    """K-02: cancel all, close all, with the feed dead; what the book does not show is closed a tick beyond it."""
    floor = open_floor()
    floor.market(11, 1, +1, qty=15)
    floor.stop(11, 2, -1, 90, qty=15, role=STOP_LOSS)
    floor.advance(1000)
    said = floor.flatten()
    assert said[0] == Said("CANCELLED", 2, code=1)
    assert fills(said) == [(-1, 5, 100), (-1, 5, 99), (-1, 5, 98)]
    assert (floor.held(), floor.working()) == (0, [])
    floor.book(1001, [(100, 1)], [(101, 9)])
    floor.market(1001, 3, +1, qty=3)
    assert fills(floor.flatten()) == [(-2, 1, 100), (-2, 2, 99)]
    assert floor.flatten() == []


def test_flatten_recalls_what_is_on_its_way() -> None:
    floor = open_floor(latency_ns=10**9)
    floor.market(11, 1, +1)
    assert floor.flatten() == [Said("CANCELLED", 1, code=1)]
    assert floor.advance(20) == []
    assert floor.held() == 0


def test_flatten_with_no_price_at_all_leaves_the_position_and_says_so() -> None:
    floor = Floor("bar")
    floor.venue.markets[0].qty = 3
    said = floor.flatten()
    assert [s.kind for s in said] == ["ACK", "CANCELLED"]
    assert floor.held() == 3


def test_flatten_in_a_halt_keeps_the_protective_stop() -> None:
    """K-02, step 6."""
    floor = open_floor()
    floor.market(11, 1, +1)
    floor.stop(11, 2, -1, 90, role=STOP_LOSS)
    floor.limit(11, 3, -1, 120, role=3)
    floor.status(12, STATUS_HALTED)
    assert floor.flatten() == [Said("CANCELLED", 3, code=1)]
    assert (floor.held(), floor.working()) == (1, [2])


def test_blocked_account_admits_nothing_new() -> None:
    floor = open_floor()
    floor.venue.account[0].blocked = 1
    assert floor.market(11, 1, +1) == [Said("REJECT", 1, code=REJECTED_LATCHED)]


def test_many_orders_reuse_slots_and_stay_idempotent() -> None:
    floor = open_floor()
    floor.limit(11, 1, +1, 90)
    for number in range(2, 600):
        floor.limit(11, number, +1, 91)
        floor.cancel(11, number)
    assert floor.working() == [1]
    assert floor.limit(12, 2, +1, 91) == []
    assert np.count_nonzero(floor.venue.orders["number"]) == 256
