"""The book behind the simulated market: price-time priority, against a book written the slow and obvious way."""

from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.core.records import NO_TICK, new_depths
from marketdata.core.simulation.lob import (
    NONE,
    ORDERS,
    RANGE,
    add_order,
    best_tick,
    new_lob,
    prune,
    qty_at,
    remove_order,
    side_orders,
    take_best,
    write_levels,
)

STEP = st.tuples(
    st.sampled_from(["add", "remove", "take"]), st.sampled_from([1, -1]), st.integers(0, 25), st.integers(1, 9)
)


def naive_best(orders: list[tuple[int, int, int, int]], side: int) -> int:
    ticks = [tick for _, own, tick, _ in orders if own == side]
    return (max(ticks) if side == 1 else min(ticks)) if ticks else NO_TICK


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=60))
def test_it_is_a_price_time_book(steps: list[tuple[str, int, int, int]]) -> None:
    """`orders`: (id, side, tick, qty) in order of arrival."""
    lob = new_lob(2)
    orders: list[tuple[int, int, int, int]] = []
    for what, side, number, qty in steps:
        if what == "add":
            tick = 1000 - side * (1 + number)
            order = add_order(lob, 1, side, tick, qty)
            orders.append((order, side, tick, qty))
        elif what == "remove" and orders:
            gone = orders.pop(number % len(orders))
            remove_order(lob, 1, gone[0])
        elif what == "take":
            best, left = naive_best(orders, -side), qty
            taken = take_best(lob, 1, side, qty)
            rest = []
            for order, own, tick, size in orders:
                used = min(left, size) if own == -side and tick == best else 0
                left -= used
                if size > used:
                    rest.append((order, own, tick, size - used))
            orders = rest
            assert taken == qty - left
        for own in (1, -1):
            assert best_tick(lob, 1, own) == naive_best(orders, own)
            assert side_orders(lob, 1, own) == sum(1 for order in orders if order[1] == own)
    for _, _, tick, _ in orders:
        assert qty_at(lob, 1, tick) == sum(size for _, _, other, size in orders if other == tick)
    depth = new_depths(1)
    write_levels(lob, 1, depth[0])
    for name, own in (("bid", 1), ("ask", -1)):
        ticks = sorted({tick for _, side, tick, _ in orders if side == own}, reverse=own == 1)[:20]
        sizes = [sum(size for _, _, other, size in orders if other == tick) for tick in ticks]
        assert depth[f"{name}_tick"][0].tolist() == ticks + [NO_TICK] * (20 - len(ticks))
        assert depth[f"{name}_qty"][0].tolist() == sizes + [0] * (20 - len(ticks))
    assert best_tick(lob, 0, 1) == NO_TICK, "the other book is untouched"


def test_a_full_book_takes_no_more() -> None:
    lob = new_lob(1)
    for _ in range(ORDERS):
        assert add_order(lob, 0, 1, 500, 1) != NONE
    assert add_order(lob, 0, 1, 500, 1) == NONE
    assert take_best(lob, 0, -1, 10_000) == ORDERS
    assert best_tick(lob, 0, 1) == NO_TICK
    assert take_best(lob, 0, -1, 1) == 0


def test_orders_far_from_the_touch_are_pruned() -> None:
    lob = new_lob(1)
    add_order(lob, 0, 1, 1000, 1)
    add_order(lob, 0, 1, 1000 - RANGE, 1)
    add_order(lob, 0, 1, 1000 - RANGE - 1, 1)
    add_order(lob, 0, -1, 1001 + RANGE + 5, 1)
    add_order(lob, 0, -1, 1001, 1)
    prune(lob, 0)
    assert (side_orders(lob, 0, 1), side_orders(lob, 0, -1)) == (2, 1)
    assert qty_at(lob, 0, 1000 - RANGE) == 1
