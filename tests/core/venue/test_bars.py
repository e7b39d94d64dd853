"""Fills on bars and on prints: MES-BT-10 … MES-BT-14, MES-BT-20, MES-COST-01, MES-LIVE-13."""

import pytest

from tests.core.venue.kit import Floor, Said, fills
from trading.core.records import ENTRY, EXIT, STOP_LOSS, TARGET


def long_one(latency_ns: int = 0) -> Floor:
    """Long one contract at 100, entered at the open of the bar 10 s."""
    floor = Floor("bar", latency_ns=latency_ns)
    floor.market(10, 1, +1)
    assert fills(floor.bar(10, 100, 101, 99, 100)) == [(1, 1, 100)]
    return floor


def test_market_takes_the_next_printed_open_and_slips_against_us() -> None:
    """MES-BT-10, MES-COST-01: never the signal bar's close; carried bars and back-fill never fill."""
    floor = Floor("bar", slip_ticks=2)
    floor.bar(9, 90, 95, 85, 94)
    assert floor.market(10, 1, +1) == [Said("ACK", 1)]
    assert floor.carried(10, 94) == []
    assert floor.backfill(5, 50) == []
    assert fills(floor.bar(11, 97, 99, 96, 98)) == [(1, 1, 99)]
    floor.market(12, 2, -1)
    assert fills(floor.bar(12, 97, 99, 96, 98)) == [(2, 1, 95)]


def test_fill_at_the_open_is_stamped_with_the_open() -> None:
    """MES-BT-04: a fill at the open is at τ, inside the bar at its end."""
    floor = long_one()
    assert int(floor.rows[-1]["ts_ns"]) == 10_000_000_000
    floor.stop(11, 2, -1, 95, role=STOP_LOSS)
    floor.bar(11, 100, 101, 94, 96)
    assert int(floor.rows[-1]["ts_ns"]) == 12_000_000_000


@pytest.mark.parametrize(
    ("side", "stop", "bar", "price"),
    [
        (-1, 95, (100, 101, 95, 98), 94),  # touched: S - slip
        (-1, 95, (100, 101, 96, 98), None),
        (-1, 95, (93, 94, 92, 93), 92),  # gapped through: open - slip
        (+1, 105, (100, 105, 99, 101), 106),
        (+1, 105, (100, 104, 99, 101), None),
        (+1, 105, (107, 108, 106, 107), 108),
    ],
)
def test_stop(side: int, stop: int, bar: tuple[int, int, int, int], price: int | None) -> None:
    """MES-BT-12: the worse of stop and open, then slippage."""
    floor = Floor("bar", slip_ticks=1)
    floor.stop(10, 1, side, stop)
    assert fills(floor.bar(10, *bar)) == ([] if price is None else [(1, 1, price)])


@pytest.mark.parametrize(
    ("touch", "side", "limit", "bar", "filled"),
    [
        (0, -1, 105, (100, 105, 99, 101), False),
        (0, -1, 105, (100, 106, 99, 101), True),
        (1, -1, 105, (100, 105, 99, 101), True),
        (0, +1, 95, (100, 101, 95, 99), False),
        (0, +1, 95, (100, 101, 94, 99), True),
        (1, +1, 95, (100, 101, 95, 99), True),
        (0, -1, 105, (109, 110, 108, 109), True),
    ],
)
def test_limit(touch: int, side: int, limit: int, bar: tuple[int, int, int, int], filled: bool) -> None:
    """MES-BT-13: through or touch; exactly its price, no slippage, no improvement on a gap."""
    floor = Floor("bar", slip_ticks=3, touch=touch)
    floor.limit(10, 1, side, limit)
    assert fills(floor.bar(10, *bar)) == ([(1, 1, limit)] if filled else [])


@pytest.mark.parametrize("stop_first", [True, False])
def test_stop_wins_when_both_are_met_in_one_bar(stop_first: bool) -> None:
    """MES-BT-14, whatever was placed first; the target goes on working until it is cancelled."""
    floor = long_one()
    legs = [
        lambda: floor.stop(11, 2, -1, 95, role=STOP_LOSS),
        lambda: floor.limit(11, 3, -1, 105, role=TARGET),
    ]
    for leg in legs if stop_first else reversed(legs):
        leg()
    assert fills(floor.bar(11, 100, 110, 90, 100)) == [(2, 1, 95)]
    assert floor.held() == 0
    assert floor.working() == [3]


@pytest.mark.parametrize("reversed_", [False, True])
def test_a_position_that_left_at_the_open_has_no_stop_in_that_bar(reversed_: bool) -> None:
    """MES-BT-02, -14: nobody could cancel it between the open and the price that it waits for."""
    floor = long_one()
    floor.stop(11, 2, -1, 95, role=STOP_LOSS)
    floor.market(11, 3, -1, role=EXIT)
    if reversed_:
        floor.market(11, 4, -1, role=ENTRY)
    left = [(3, 1, 100), (4, 1, 100)][: 1 + reversed_]
    assert fills(floor.bar(11, 100, 101, 90, 91)) == left
    assert floor.held() == -int(reversed_), "the stop of what was held opens nothing"
    assert floor.working() == [2], "it works until it is cancelled"


def test_bracket_is_live_in_the_entry_bar() -> None:
    """MES-BT-02, step 3: what answers a fill at the open meets the same bar."""
    floor = Floor("bar")
    floor.market(10, 1, +1)
    assert fills(floor.bar(10, 100, 110, 90, 100)) == [(1, 1, 100)]
    assert fills(floor.stop(10, 2, -1, 95, role=STOP_LOSS)) == [(2, 1, 95)]
    assert fills(floor.limit(10, 3, -1, 105, role=TARGET)) == []


def test_an_order_after_the_bar_waits_for_the_next() -> None:
    """MES-BT-10: the decision at a bar's close never takes that bar."""
    floor = Floor("bar")
    floor.bar(10, 100, 110, 90, 100)
    assert fills(floor.market(11, 1, +1)) == []
    assert fills(floor.stop(11, 2, -1, 95)) == []
    assert fills(floor.bar(11, 101, 102, 99, 101)) == [(1, 1, 101)]


def test_late_in_a_bar_is_too_late_for_it() -> None:
    """Latency: an order takes part in a bar when it arrives within its first quarter."""
    floor = Floor("bar", latency_ns=300_000_000)
    floor.market(10, 1, +1)
    assert fills(floor.bar(10, 100, 101, 99, 100)) == []
    assert fills(floor.bar(11, 103, 104, 102, 103)) == [(1, 1, 103)]
    floor = Floor("bar", latency_ns=200_000_000)
    floor.market(10, 1, +1)
    assert fills(floor.bar(10, 100, 101, 99, 100)) == [(1, 1, 100)]


def test_exits_before_entries() -> None:
    """MES-BT-02, step 2."""
    floor = long_one()
    floor.market(11, 2, +1, role=ENTRY)
    floor.market(11, 3, -1, role=EXIT)
    assert [number for number, _, _ in fills(floor.bar(11, 100, 101, 99, 100))] == [3, 2]


def test_no_print_in_time_ends_an_entry() -> None:
    """MES-BT-11: exactly at its good-until it fills, after it the order is cancelled; without one it never expires."""
    floor = Floor("bar")
    floor.market(10, 1, +1, until_ns=15_000_000_000)
    assert floor.carried(12, 100) == []
    assert floor.advance(14) == []
    assert fills(floor.bar(15, 100, 101, 99, 100)) == [(1, 1, 100)]
    floor.market(16, 2, +1, until_ns=20_000_000_000)
    floor.market(16, 3, -1, role=EXIT)
    said = floor.bar(21, 104, 105, 103, 104)
    assert Said("CANCELLED", 2, code=3) in said
    assert fills(said) == [(3, 1, 104)]


def test_whole_orders_fill_on_bars() -> None:
    """MES-BT-20."""
    floor = Floor("bar")
    floor.market(10, 1, +1, qty=7)
    assert fills(floor.bar(10, 100, 101, 99, 100)) == [(1, 7, 100)]


def test_prints_are_one_price_bars() -> None:
    """MES-LIVE-13: market at the next print ± slip, stop when printed, limit when printed through."""
    floor = Floor("print", slip_ticks=1)
    floor.market(10, 1, +1)
    assert fills(floor.trade(10, 100)) == []  # events of the very instant come before the arrival
    assert fills(floor.trade(10.1, 100)) == [(1, 1, 101)]
    floor.stop(10.2, 2, -1, 95, role=STOP_LOSS)
    floor.limit(10.2, 3, -1, 105, role=TARGET)
    assert fills(floor.trade(10.3, 105)) == []
    assert fills(floor.trade(10.4, 94)) == [(2, 1, 93)]
    assert fills(floor.trade(10.5, 106)) == []  # nothing is held that a target could reduce
    assert floor.held() == 0


def test_bars_do_not_fill_in_the_print_model_nor_prints_in_the_bar_model() -> None:
    floor = Floor("print")
    floor.market(10, 1, +1)
    assert floor.bar(10, 100, 101, 99, 100) == []
    floor = Floor("bar")
    floor.market(10, 1, +1)
    assert floor.trade(11, 100) == []


@pytest.mark.parametrize(
    ("instrument", "qty", "tick", "fee"),
    [
        (0, 3, 20_000, 3 * 420_000),
        (1, 1, 30_001, 1_500_050),  # 3,000.10 x 5 bps
        (1, 7, 33_333, 11_666_550),
    ],
)
def test_commission(instrument: int, qty: int, tick: int, fee: int) -> None:
    """MES-COST-01, MOEX-PAPER-01: per contract and side; parts per million of the value, rounded up to a micro."""
    floor = Floor("bar")
    floor.market(10, 1, +1, qty=qty, instrument=instrument)
    floor.bar(10, tick, tick, tick, tick, instrument=instrument)
    assert int(floor.rows[-1]["fee_micros"]) == fee
    assert int(floor.venue.markets[instrument].fees_micros) == fee


def test_commission_rounds_up() -> None:
    from trading.core.venue.answers import fee_of

    assert int(fee_of(0, 500, 1, 1, 1)) == 1
    assert int(fee_of(0, 500, 1, 1, 2_000)) == 1
    assert int(fee_of(0, 500, 1, 1, 2_001)) == 2
