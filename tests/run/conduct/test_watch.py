"""T-05 and T-07 as the journal grows: what slips far beyond the rest, what lies outside of the collar, ratios."""

import pytest

from tests.run.conduct.tape import Tape
from trading.core.records import EXIT, LIMIT, MODIFY, STOP, STOP_LOSS
from trading.run.conduct.watch import (
    DEVIATION_MIN,
    DEVIATIONS,
    MESSAGES,
    ORDERS,
    ORDERS_A_TRADE_MAX,
    ORDERS_MIN,
    OUTLIER,
    OUTLIERS,
    SLIPS_MIN,
    Watch,
)

SLIP_MAX = round(DEVIATIONS * DEVIATION_MIN)  # half ticks, of fills that never slipped


def trade(tape: Tape, at_s: float, slip_half_ticks: int = 0, side: int = 1) -> None:
    """A market order at a mid of 100.5 ticks, filled so many half ticks to our loss."""
    tape.quote(at_s, 100, 101)
    price2 = 201 + side * slip_half_ticks
    assert price2 % 2 == 0 or slip_half_ticks == 0
    tape.fill(at_s + 0.1, tape.submit(at_s, side=side), price2 // 2)


def kinds(tape: Tape, collar: int = 0) -> list[str]:
    return [found.kind for found in Watch(collar).note(tape.events())]


def calm() -> Tape:
    """Enough fills, each half a tick to our loss, for a deviation to be known: none."""
    tape = Tape()
    for second in range(SLIPS_MIN):
        trade(tape, second, 1)
    return tape


@pytest.mark.parametrize("side", [1, -1])
def test_a_fill_far_beyond_the_rest_stands_out_t_05(side: int) -> None:
    tape = calm()
    trade(tape, 100, SLIP_MAX + 1, side)
    assert kinds(tape) == [], "six deviations beyond the mean are not more"
    trade(tape, 101, SLIP_MAX + 5, side)
    (found,) = Watch(0).note(tape.events())
    assert found.kind == OUTLIER and f"slipped by {(SLIP_MAX + 5) / 2:g} ticks" in found.text
    trade(tape, 102, -99, side)
    assert kinds(tape) == [OUTLIER], "to our gain nobody minds"


def test_nothing_stands_out_of_too_few_fills() -> None:
    tape = Tape()
    for second in range(SLIPS_MIN - 1):
        trade(tape, second, 1)
    trade(tape, 100, 999)
    assert kinds(tape) == []


def test_three_in_a_trading_day_are_said_once_t_05() -> None:
    tape = Tape()
    for second in range(5):
        trade(tape, second, 41)
    assert kinds(tape, collar=20) == [OUTLIER, OUTLIER, OUTLIER, OUTLIERS, OUTLIER, OUTLIER]
    assert kinds(tape, collar=21) == [] == kinds(tape), "within the collar, and without one"


def test_a_stop_is_measured_from_where_it_was_moved_to_and_a_limit_only_by_the_collar() -> None:
    tape = calm()
    stop = tape.submit(50, side=-1, role=STOP_LOSS, order_type=STOP, stop_tick=90)
    tape.add(MODIFY, 51, order_number=stop, stop_tick=80)
    tape.fill(52, stop, 80)
    tape.fill(54, tape.submit(53, side=-1, role=EXIT, order_type=LIMIT, price_tick=60), 60)
    assert kinds(tape) == []
    assert kinds(tape, collar=20) == [OUTLIER, OUTLIER]


def test_a_fill_that_comes_again_is_no_second_one() -> None:
    tape = Tape()
    trade(tape, 1, 41)
    tape.rows.append(tape.rows[-2])
    assert kinds(tape, collar=20) == [OUTLIER]


def test_orders_that_lead_to_no_trade_are_told_once_a_day_t_07() -> None:
    tape = Tape()
    tape.fill(1, tape.submit(1), 100)
    for second in range(2, ORDERS_MIN):
        tape.submit(second, order_type=LIMIT)
    assert kinds(tape) == []
    tape.submit(60, order_type=LIMIT)
    assert kinds(tape) == [ORDERS]
    watch = Watch(0)
    assert [f.kind for part in tape.events()[:, None] for f in watch.note(part)] == [ORDERS], "however it is cut"
    busy = Tape()
    for second in range(ORDERS_MIN):
        number = busy.submit(second, order_type=LIMIT)
        for _ in range(70):
            busy.add(MODIFY, second, order_number=number)
        if second % (ORDERS_A_TRADE_MAX // 2) == 0:
            busy.fill(second, number, 100)
    assert kinds(busy) == [MESSAGES]


def test_who_begins_in_the_middle_knows_the_trading_day() -> None:
    """And which of the venue's answers is the next."""
    tape = Tape()
    trade(tape, 1, 1)
    before = len(tape.events())
    trade(tape, 2, 41)
    events = tape.events()
    watch = Watch(20)
    watch.windows(events[:before])
    assert watch._book.day(5) == 20260304 and [f.kind for f in watch.note(events[before:])] == [OUTLIER]
