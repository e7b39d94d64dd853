"""Numbered orders (L3): a recorded day's start against its published levels, orders from before, what does not fit."""

import hashlib

import numpy as np
import pytest

from marketdata.core.books import orders
from marketdata.core.depth import CHANGED_TOP, LEVELS_FULL, ORDERS_FULL, Book, fill_depth, new_book, put_order
from marketdata.core.records import (
    BOOK,
    BUY,
    FLAG_INVALID,
    NO_TICK,
    SELL,
    STATUS,
    STATUS_HALTED,
    STATUS_OPEN,
    TRADE,
    new_depths,
    new_events,
)
from tests import plain
from tests.core.books.recordings import lobster
from tests.core.books.run import through_orders

PROGRAM = "from tests.core.books.test_orders import digest; print(digest())"


def messages_of(*rows: tuple[int, int, int, int, int]) -> np.ndarray:
    """(action, side, order id, tick, size) a millisecond apart."""
    return np.array([(k * 10**6, k * 10**6, 0, *row) for k, row in enumerate(rows)], orders.MESSAGE)


SIDES = ((0, BUY, "bid_tick", "bid_qty", 2, 3), (1, SELL, "ask_tick", "ask_qty", 0, 1))


def learn(book: Book, row: int, side: int, known: int, tenth: int, levels: list[tuple[int, int]]) -> None:
    """Take what lies beyond `known` from the file: what happened there while it was below the ten is not told."""
    for order_id, where, tick, _ in book.orders.tolist():
        if where == row and side * tenth <= side * tick < side * known:
            put_order(book, order_id, row, tick, 0)
    for tick, size in levels:
        if side * tick < side * known:
            put_order(book, orders.nameless(row, tick), row, tick, size)


def test_the_recorded_orders_give_the_published_levels(sample_data):
    """All 998 rows, to the last share: every published level that was not below the tenth one a row before."""
    recorded = lobster(sample_data)
    book, counts = new_book(1, 1 << 10, 1 << 8), orders.new_counts()
    assert orders.seed(book, 0, recorded.before, 0) == CHANGED_TOP
    known = {row: int(recorded.published[0, 9, price]) for row, _, _, _, price, _ in SIDES}
    compared = 0
    for k in range(len(recorded.messages)):
        room = new_events(2), new_depths(1), np.full(2, -1, np.int32)
        done = orders.order_events(book, counts, recorded.messages[k : k + 1], 0, *room)
        assert (done[0], done[3]) == (1, orders.DONE)
        depths = new_depths(1)
        fill_depth(book, 0, depths, 0)
        for row, side, tick_name, qty_name, price, size in SIDES:
            levels = [(int(x[price]), int(x[size])) for x in recorded.published[k]]
            want = [level for level in levels if side * level[0] >= side * known[row]]
            ours = list(zip(depths[tick_name][0].tolist(), depths[qty_name][0].tolist(), strict=True))
            assert [x for x in ours if x[0] != NO_TICK and side * x[0] >= side * known[row]][: len(want)] == want, k
            compared += len(want)
            learn(book, row, side, known[row], levels[-1][0], levels)
            known[row] = levels[-1][0]
    assert compared > 19_500
    assert counts[orders.NAMELESS] > 0
    assert counts[orders.UNKNOWN] == counts[orders.REPEATED] == counts[orders.TOO_MUCH] == 0


def test_the_recorded_orders_alone_become_doubtful_and_say_so(sample_data):
    """Without the file's levels, the first order that came from below the ten is unknown: from there on no book is
    called valid, and every print is there."""
    recorded = lobster(sample_data)
    made, _, counts = through_orders(recorded.messages, recorded.before)
    assert (made.events["kind"] == TRADE).sum() == 159
    invalid = made.depths["flags"] & FLAG_INVALID != 0
    assert counts[orders.UNKNOWN] > 0 and invalid.any() and not invalid[:400].any()
    assert (np.diff(invalid.astype(int)) >= 0).all()


def test_orders_from_before_are_taken_from_their_price():
    before = new_depths(1)
    before["bid_tick"][0, :2], before["bid_qty"][0, :2] = (100, 99), (50, 20)
    before["ask_tick"][0, :1], before["ask_qty"][0, :1] = (102,), (30,)
    made, _, counts = through_orders(
        messages_of(
            (orders.ADD, BUY, 7, 100, 5),
            (orders.EXECUTE, BUY, 999, 100, 10),  # an order from before
            (orders.TAKE, BUY, 7, 100, 5),
            (orders.TAKE, BUY, 998, 99, 20),
        ),
        before,
    )
    books = made.depths
    assert books["bid_qty"][:, 0].tolist() == [55, 45, 40, 40]
    assert books["bid_tick"][-1][:2].tolist() == [100, NO_TICK]
    trade = made.events[made.events["kind"] == TRADE]
    assert (trade["side"][0], trade["price_tick"][0], trade["qty"][0]) == (SELL, 100, 10)  # a seller hit the bid
    assert counts.tolist() == [2, 0, 0, 0, 0] and not orders.doubtful(counts)
    assert not (books["flags"] & FLAG_INVALID).any()


@pytest.mark.parametrize(
    ("row", "which"),
    [
        ((orders.TAKE, BUY, 55, 100, 1), orders.UNKNOWN),
        ((orders.EXECUTE, SELL, 55, 104, 1), orders.UNKNOWN),
        ((orders.TAKE, BUY, 1, 100, 9), orders.TOO_MUCH),
        ((orders.ADD, BUY, 1, 101, 2), orders.REPEATED),
        ((orders.ADD, 0, 9, 101, 2), orders.REFUSED),
        ((orders.ADD, BUY, -9, 101, 2), orders.REFUSED),
        ((orders.ADD, BUY, 9, 0, 2), orders.REFUSED),
        ((orders.TAKE, BUY, 1, 100, -2), orders.REFUSED),
        ((orders.HIDDEN, BUY, 0, 100, 0), orders.REFUSED),
        ((77, BUY, 9, 101, 2), orders.REFUSED),
    ],
)
def test_a_message_that_does_not_fit_makes_the_book_doubtful(row, which):
    """Counted, and every later book is flagged invalid: nothing is guessed."""
    start = ((orders.ADD, BUY, 1, 100, 5), (orders.ADD, SELL, 2, 102, 5), (orders.ADD, BUY, 4, 98, 1))
    made, _, counts = through_orders(messages_of(*start, row, (orders.ADD, BUY, 3, 99, 1)), None)
    assert counts[which] == 1 and counts.sum() == 1 and orders.doubtful(counts)
    books = made.events[made.events["kind"] == BOOK]
    assert not books["flags"][1] & FLAG_INVALID
    assert books["flags"][-1] & FLAG_INVALID and made.depths["flags"][-1] & FLAG_INVALID


def test_halts_and_hidden_executions_leave_the_book_alone():
    made, _, _ = through_orders(
        messages_of(
            (orders.ADD, BUY, 1, 100, 5),
            (orders.HIDDEN, SELL, 0, 101, 40),  # it has no number
            (orders.HALT, BUY, 0, 1, 0),
            (orders.RESUME, BUY, 0, 1, 0),
        ),
        None,
    )
    assert made.events["kind"].tolist() == [BOOK, TRADE, STATUS, STATUS]
    assert made.events["side"][1] == BUY  # a buyer took the hidden ask
    assert made.events["code"][2:].tolist() == [STATUS_HALTED, STATUS_OPEN]


def test_a_book_too_small_for_its_seed_says_so():
    before = new_depths(1)
    before["bid_tick"][0, :4], before["bid_qty"][0, :4] = (100, 99, 98, 97), 1
    assert orders.seed(new_book(1, 64, 2), 0, before, 0) == LEVELS_FULL
    assert orders.seed(new_book(1, 4, 64), 0, before, 0) == ORDERS_FULL


def random_messages(count: int) -> np.ndarray:
    rng = np.random.default_rng(11)
    rows = np.zeros(count, orders.MESSAGE)
    rows["ts_ns"] = rows["ts_venue_ns"] = np.arange(count) * 10**7
    rows["action"] = rng.choice([orders.ADD, orders.ADD, orders.TAKE, orders.EXECUTE, orders.HIDDEN], count)
    rows["side"] = rng.choice([BUY, SELL], count)
    rows["order_id"] = rng.integers(1, 60, count)
    rows["price_tick"] = 100 + rng.integers(-30, 31, count)
    rows["qty"] = rng.integers(1, 5, count)
    return rows


def digest(room: int = 64) -> str:
    """Hash over a random run."""
    made, _, counts = through_orders(random_messages(400), None, room)
    return hashlib.sha256(made.events.tobytes() + made.depths.tobytes() + counts.tobytes()).hexdigest()


def test_blocks_of_any_size_and_the_plain_interpreter_give_the_same_bytes():
    want = digest()
    assert {digest(room) for room in (2, 3, 50, 1000)} == {want}
    assert plain.answer_of(PROGRAM) == want
