"""Children of shares at the simulated venue: fill-and-kill, best price, and the passive child that waits for its time
(MOEX-ROUTE-03, MOEX-ROUTE-04, MOEX-PAPER-01)."""

from typing import Any

import pytest

from marketdata.core.records import STATUS_HALTED
from tests.core.venue.kit import Floor, S, Said, fills
from trading.core.records import (
    BEST_PRICE,
    CANCELLED_BY_VENUE,
    CANCELLED_EXPIRED,
    CANCELLED_ON_REQUEST,
    CANCELLED_UNSENT,
    ENTRY,
    EXIT,
    FILL_AND_KILL,
    PASSIVE,
    REJECTED_BY_VENUE,
    STOP_LOSS,
    SUBMIT,
    TARGET,
)
from trading.core.venue import engine
from trading.core.venue.held import is_sent, open_slots

BIDS = [(10_001, 4), (10_000, 12), (9_999, 20)]
ASKS = [(10_002, 9), (10_003, 5), (10_005, 20)]  # book B of 12.5
LATENCY = {"latency_ns": S // 10}


def open_floor(model: str = "book", **terms: int) -> Floor:
    floor = Floor(model, **terms)
    floor.book(10, BIDS, ASKS)
    return floor


def kill(floor: Floor, at_s: float, number: int, qty: int, tick: int, side: int = 1, role: int = ENTRY) -> list[Said]:
    more: dict[str, Any] = {"order_type": FILL_AND_KILL, "price_tick": tick}
    return floor.send(SUBMIT, at_s, number, side=side, qty=qty, role=role, **more)


def passive(floor: Floor, at_s: float, number: int, starts_s: float, **more: Any) -> list[Said]:
    """A passive child's SUBMIT: two lots to buy, never above 10 007."""
    fields = {"order_type": PASSIVE, "side": 1, "qty": 2, "role": ENTRY, "price_tick": 10_007} | more
    starts_ns = round(starts_s * S)
    return floor.send(SUBMIT, at_s, number, ts_venue_ns=starts_ns, until_ns=starts_ns + S // 2, **fields)


def with_child(starts_s: float = 11.0, **terms: Any) -> Floor:
    """Child 1 was sent at 10.5 and filled, child 2 is kept until `starts_s`; the book is of 10.5."""
    floor = open_floor(**terms)
    kill(floor, 10.5, 1, 4, 10_007)
    assert passive(floor, 10.5, 2, starts_s) == []
    floor.book(10.6, BIDS, ASKS)
    floor.advance(10.65)  # the first has arrived
    return floor


@pytest.mark.parametrize(
    ("qty", "filled"), [(12, [(1, 9, 10_002), (1, 3, 10_003)]), (20, [(1, 9, 10_002), (1, 5, 10_003)])]
)
def test_fill_and_kill_walks_to_its_limit_and_rests_never_moex_paper_01(qty: int, filled: list) -> None:
    """12.6: buy 12 at 100.03: 9 at 100.02, 3 at 100.03; buy 20: 14 filled, 6 cancelled."""
    floor = open_floor()
    said = kill(floor, 11, 1, qty, 10_003)
    assert fills(said) == filled
    assert floor.working() == []
    ended = [s for s in said if s.kind == "CANCELLED"]
    assert ended == ([Said("CANCELLED", 1, code=CANCELLED_BY_VENUE)] if qty == 20 else [])


def test_best_price_reaches_three_tenths_of_a_percent_moex_route_03() -> None:
    floor = Floor("book")
    floor.book(10, [(9_990, 5)], [(10_000, 5), (10_030, 5), (10_031, 5)])
    said = floor.send(SUBMIT, 11, 1, order_type=BEST_PRICE, side=1, qty=15, role=EXIT)
    assert fills(said) == [(1, 5, 10_000), (1, 5, 10_030)]
    assert said[-1] == Said("CANCELLED", 1, code=CANCELLED_BY_VENUE)


def test_best_price_fills_nothing_where_nothing_is_shown_moex_paper_01() -> None:
    floor = Floor("book")
    floor.book(10, [], ASKS)
    said = floor.send(SUBMIT, 11, 1, order_type=BEST_PRICE, side=-1, qty=1, role=EXIT)
    assert said == [Said("ACK", 1), Said("CANCELLED", 1, code=CANCELLED_BY_VENUE)]
    assert fills(floor.send(SUBMIT, 11, 2, order_type=BEST_PRICE, side=1, qty=1, role=EXIT)) == [(2, 1, 10_002)]


def test_without_a_book_model_an_entry_keeps_its_limit_and_an_exit_leaves_moex_route_03() -> None:
    """Prints: the limit is touched by the second trade alone; an exit takes the next one."""
    floor = Floor("print", touch=True)
    floor.trade(10, 10_010)
    kill(floor, 11, 1, 1, 10_003)
    assert fills(floor.trade(12, 10_010)) == []
    assert fills(floor.trade(13, 10_003)) == [(1, 1, 10_003)]
    kill(floor, 14, 2, 1, 10_003, side=-1, role=EXIT)
    assert fills(floor.trade(15, 9_900)) == [(2, 1, 9_900)]


def test_a_passive_child_leaves_at_its_time_at_our_own_best_price_moex_route_04() -> None:
    floor = with_child()
    assert engine.next_due_ns(floor.venue) == 11 * S
    assert floor.advance(10.999) == [] and floor.working() == []
    assert floor.advance(11) == [Said("ACK", 2)]
    assert int(floor.rows[-1]["price_tick"]) == 10_001 and floor.working() == [2]
    assert fills(floor.trade(11.1, 10_001, 4, side=-1)) == [], "four stood there before us"
    assert fills(floor.trade(11.2, 10_001, 1, side=-1)) == [(2, 1, 10_001)]


def test_it_is_priced_by_the_book_of_that_moment_and_arrives_later_moex_paper_01() -> None:
    """Send 11.0, arrival 11.1: the price is of the book at 11.0, what it meets that of 11.1."""
    floor = with_child(**LATENCY)
    floor.book(10.9, [(10_000, 3)], ASKS)
    assert floor.book(11.05, [(9_990, 3)], [(10_000, 5)]) == [], "on its way"
    said = floor.advance(11.2)
    assert said[0] == Said("ACK", 2) and fills(said) == [(2, 2, 10_000)], "it crosses on arrival"


def test_never_beyond_the_limit_of_the_first_moex_route_04() -> None:
    floor = with_child()
    floor.book(10.9, [(10_020, 3)], [(10_021, 3)])
    floor.advance(11)
    assert int(floor.rows[-1]["price_tick"]) == 10_007


def test_it_ends_five_seconds_after_it_was_sent_moex_route_04() -> None:
    floor = with_child(**LATENCY)
    floor.advance(11.1)
    assert floor.working() == [2]
    assert floor.advance(16.1) == [], "the cancel takes the latency, too"
    assert floor.advance(16.101) == [Said("CANCELLED", 2, code=CANCELLED_EXPIRED)]


def test_a_rejected_first_child_drops_the_passive_one_moex_route_04_moex_acc_105() -> None:
    floor = open_floor()
    assert floor.send(SUBMIT, 10.5, 1, order_type=FILL_AND_KILL, side=1, qty=0, role=ENTRY, price_tick=10_003) == [
        Said("REJECT", 1, code=REJECTED_BY_VENUE)
    ]
    passive(floor, 10.5, 2, 11)
    assert floor.advance(11) == [Said("CANCELLED", 2, code=CANCELLED_UNSENT)]


def test_a_first_child_that_never_came_drops_the_passive_one_moex_route_04() -> None:
    floor = open_floor()
    passive(floor, 10.5, 2, 11)
    assert floor.advance(11) == [Said("CANCELLED", 2, code=CANCELLED_UNSENT)]


def drops(floor: Floor) -> None:
    assert floor.advance(11)[-1] == Said("CANCELLED", 2, code=CANCELLED_UNSENT)
    assert floor.working() == [] and int(floor.venue.account[0].held_count) == 0


def test_no_valid_book_of_the_last_second_drops_it_moex_route_04() -> None:
    old = open_floor()
    kill(old, 9.5, 1, 1, 10_007)
    passive(old, 10.5, 2, 11.001)
    assert old.advance(11.001) == [Said("CANCELLED", 2, code=CANCELLED_UNSENT)]
    one_sided = with_child()
    one_sided.book(10.9, BIDS, [])
    drops(one_sided)
    halted = with_child()
    halted.status(10.9, STATUS_HALTED)
    drops(halted)


def test_the_latch_drops_it_k02() -> None:
    floor = with_child()
    floor.venue.account[0].blocked = 1
    drops(floor)
    assert floor.venue.account[0].held_count == 0


def test_one_that_comes_after_its_window_is_dropped_at_once_moex_risk_09() -> None:
    floor = open_floor()
    kill(floor, 10.5, 1, 1, 10_007)
    assert passive(floor, 11.6, 2, 11) == [Said("CANCELLED", 2, code=CANCELLED_UNSENT)]
    assert passive(floor, 11.4, 4, 11) == [], "within it it leaves at once"


def test_a_cancel_of_a_kept_child_needs_no_way_moex_route_04() -> None:
    floor = with_child(**LATENCY)
    assert floor.cancel(10.7, 2) == [Said("CANCELLED", 2, code=CANCELLED_ON_REQUEST)]
    assert floor.advance(12) == []
    assert passive(floor, 12, 2, 13) == [], "the number is known: no second order (W-01)"
    assert int(floor.venue.account[0].held_count) == 0


def test_a_cancel_of_one_on_its_way_meets_it_at_the_venue_moex_route_04() -> None:
    floor = with_child(**LATENCY)
    floor.advance(11.05)
    floor.cancel(11.06, 2)
    assert [s.kind for s in floor.advance(11.3)] == ["ACK", "CANCELLED"]


def test_cancel_all_ends_what_is_kept_k02() -> None:
    floor = with_child()
    assert floor.cancel_all() == [Said("CANCELLED", 2, code=CANCELLED_ON_REQUEST)]
    assert floor.advance(12) == []


def test_children_without_a_book_model_are_dropped_and_senseless_ones_rejected_moex_route_04() -> None:
    assert passive(Floor("bar"), 1, 2, 3) == [Said("CANCELLED", 2, code=CANCELLED_UNSENT)]
    floor = open_floor()
    assert passive(floor, 10.5, 2, 11, qty=0) == [Said("REJECT", 2, code=REJECTED_BY_VENUE)]
    assert passive(floor, 10.5, 4, 11, instrument=9) == [Said("REJECT", 4, code=REJECTED_BY_VENUE)]
    assert int(floor.venue.account[0].held_count) == 0


def test_many_orders_push_no_kept_child_out_moex_route_04() -> None:
    """Slots of ended orders are used again; one of a child that waits is not."""
    floor = with_child()
    for number in range(3, 3 + floor.venue.orders.shape[0]):
        kill(floor, 10.7, number, 1, 1)  # fills nothing
    said = floor.advance(11)
    assert said == [Said("CANCELLED", 2, code=CANCELLED_UNSENT)], "among so many its number is an old one"
    assert int(floor.venue.account[0].held_count) == 0


def test_two_children_leave_in_the_order_of_their_times_moex_route_04() -> None:
    floor = open_floor()
    kill(floor, 10.5, 1, 1, 10_007)
    passive(floor, 10.5, 2, 11.2)
    kill(floor, 10.5, 3, 1, 10_007)
    passive(floor, 10.5, 4, 11.1)
    floor.book(10.6, BIDS, ASKS)
    assert floor.advance(11.5) == [Said("ACK", 4), Said("ACK", 2)]


def test_kept_children_end_with_whoever_kept_them_moex_route_04() -> None:
    """Nobody would cover what they fill; what is on its way or rests is the venue's already."""
    floor = with_child()
    assert floor.said_by(engine.drop_kept) == [Said("CANCELLED", 2, code=CANCELLED_UNSENT)]
    assert floor.advance(30) == [] and int(floor.venue.account[0].held_count) == 0
    sent = with_child(**LATENCY)
    sent.advance(11.05)
    assert sent.said_by(engine.drop_kept) == []
    assert [s.kind for s in sent.advance(11.2)] == ["ACK"]


def test_what_is_open_includes_what_is_kept_moex_route_04() -> None:
    floor = with_child()
    floor.stop(10.7, 3, -1, 9_990, qty=4, role=STOP_LOSS)
    floor.advance(10.9)
    assert [int(floor.venue.orders[slot].number) for slot in open_slots(floor.venue)] == [3, 2]
    floor.advance(11)
    assert [int(floor.venue.orders[slot].number) for slot in open_slots(floor.venue)] == [3, 2], "now it rests"
    assert floor.working() == [3, 2]


def test_a_child_on_its_way_is_still_its_server_s_moex_route_04() -> None:
    """Between its sending and its arrival it is in no slot, and what else travels is not named."""
    floor = with_child(**LATENCY)
    floor.advance(11.05)
    floor.stop(11.05, 3, -1, 9_990, qty=4, role=STOP_LOSS)
    kill(floor, 11.05, 4, 1, 10_007)
    floor.limit(11.05, 5, -1, 10_020, role=TARGET)
    assert len(open_slots(floor.venue)) == 0 and int(floor.venue.account[0].request_count) == 4
    assert [is_sent(floor.venue, i) for i in range(5)] == [True, False, False, False, False]
    floor.advance(11.2)
    assert 2 in floor.working() and not is_sent(floor.venue, 0)
