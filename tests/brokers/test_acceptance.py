"""The acceptance list of brokers, BA-01 … BA-24: what every broker must do before the desk trades through it.

Each card runs against every factory of conftest.py, over real processes and sockets.
"""

import numpy as np
import pytest

from tests.brokers.conftest import ASKS, BIDS
from tests.brokers.desk import START_NS, WAIT_S, Bench, Order, answers, send
from trading.brokers.port import OutcomeUnknown, Rejected, Unreachable
from trading.core.records import (
    CANCELLED,
    EXIT,
    FILL,
    LIMIT,
    MARKET,
    RECON,
    RECON_ORDER,
    REJECT,
    REJECTED_BY_VENUE,
    REJECTED_UNKNOWN_ORDER,
    STOP,
    STOP_LOSS,
)

pytestmark = pytest.mark.processes


def test_ba01_market_order_is_acknowledged_then_filled(bench: Bench) -> None:
    send(bench, Order(1))
    assert answers(bench, 2) == [("ACK", 1, 1, 0), ("FILL", 1, 1, 101)]


def test_ba02_limit_rests_until_the_market_comes(bench: Bench) -> None:
    send(bench, Order(1, +1, 2, LIMIT, 100))
    assert answers(bench, 1) == [("ACK", 1, 2, 0)]
    bench.trade(100, 5, -1)
    bench.trade(100, 2, -1)
    assert answers(bench, 1) == [("FILL", 1, 2, 100)]


def test_ba03_stop_waits_then_becomes_market(bench: Bench) -> None:
    send(bench, Order(1, -1, 1, STOP, 95, STOP_LOSS))
    assert answers(bench, 1) == [("ACK", 1, 1, 0)]
    bench.trade(95, 1, -1)
    assert answers(bench, 1) == [("FILL", 1, 1, 100)]


def test_ba04_answers_are_numbered_gapless_and_in_order(bench: Bench) -> None:
    for number in range(1, 6):
        send(bench, Order(number, +1, 1, LIMIT, 90 + number))
    assert [a[1] for a in answers(bench, 5)] == [1, 2, 3, 4, 5]
    assert [int(row["ref"]) for row in bench.seen] == [1, 2, 3, 4, 5]


def test_ba05_partial_fills(bench: Bench) -> None:
    send(bench, Order(1, +1, 7))
    assert answers(bench, 3)[1:] == [("FILL", 1, 5, 101), ("FILL", 1, 2, 102)]


def test_ba06_cancel(bench: Bench) -> None:
    send(bench, Order(1, +1, 3, LIMIT, 90))
    bench.broker.cancel(Order(1).row(START_NS))
    assert answers(bench, 2)[1] == ("CANCELLED", 1, 3, 1)
    assert len(bench.broker.snapshot().orders) == 0


def test_ba07_cancel_after_a_part_leaves_the_remainder(bench: Bench) -> None:
    send(bench, Order(1, +1, 7, LIMIT, 101))
    bench.broker.cancel(Order(1).row(START_NS))
    assert answers(bench, 3)[1:] == [("FILL", 1, 5, 101), ("CANCELLED", 1, 2, 1)]


def test_ba08_cancel_of_a_filled_order_is_rejected(bench: Bench) -> None:
    send(bench, Order(1))
    bench.broker.cancel(Order(1).row(START_NS))
    last = answers(bench, 3)[2]
    assert (last[0], last[1], last[3]) == ("REJECT", 1, REJECTED_BY_VENUE)


def test_ba09_modify_quantity_and_price(bench: Bench) -> None:
    send(bench, Order(1, +1, 3, LIMIT, 90))
    bench.broker.modify(Order(1, +1, 2, LIMIT, 101).row(START_NS))
    assert answers(bench, 3) == [("ACK", 1, 3, 0), ("ACK", 1, 2, 0), ("FILL", 1, 2, 101)]


def test_ba10_modify_of_a_stop_moves_it(bench: Bench) -> None:
    send(bench, Order(1, -1, 1, STOP, 90, STOP_LOSS))
    bench.broker.modify(Order(1, -1, 1, STOP, 97, STOP_LOSS).row(START_NS))
    answers(bench, 2)
    bench.trade(97, 1, -1)
    assert answers(bench, 1) == [("FILL", 1, 1, 100)]


def test_ba11_the_same_number_twice_is_one_order(bench: Bench) -> None:
    """W-01: a retry after an unknown outcome never doubles."""
    for _ in range(3):
        send(bench, Order(1))
    answers(bench, 2)
    assert bench.broker.snapshot().positions == {0: 1}
    assert bench.broker.snapshot().last_ref == 2


@pytest.mark.parametrize("verb", ["cancel", "modify"])
def test_ba12_unknown_order_is_rejected(bench: Bench, verb: str) -> None:
    getattr(bench.broker, verb)(Order(77, +1, 1, LIMIT, 90).row(START_NS))
    assert answers(bench, 1)[0][::3] == ("REJECT", REJECTED_UNKNOWN_ORDER)


@pytest.mark.parametrize("order", [Order(1, 0), Order(1, +1, 0), Order(1, +1, 1, 9)])
def test_ba13_malformed_order_is_rejected(bench: Bench, order: Order) -> None:
    send(bench, order)
    assert answers(bench, 1)[0][::3] == ("REJECT", REJECTED_BY_VENUE)


def test_ba14_query(bench: Bench) -> None:
    """Working: a report with ref 0; ended: its own answers; never heard of: a REJECT with ref 0."""
    send(bench, Order(1, +1, 2, LIMIT, 90))
    report = bench.broker.query(1)
    assert (len(report), int(report["ref"][0]), int(report["qty"][0])) == (1, 0, 2)
    send(bench, Order(2))
    assert FILL in bench.broker.query(2)["kind"]
    unknown = bench.broker.query(99)
    assert (int(unknown["kind"][0]), int(unknown["ref"][0])) == (REJECT, 0)


def test_ba15_lower_fence_is_refused_and_a_higher_one_takes_over(bench: Bench) -> None:
    successor = bench.new_broker()
    successor.connect(2, 0)
    send_by = Order(1).row(START_NS)
    with pytest.raises((Rejected, Unreachable, OutcomeUnknown)):
        bench.broker.submit(send_by)
    with pytest.raises(Rejected):
        bench.broker.connect(1, 0)
    successor.submit(send_by)
    assert answers(bench, 2, successor)[1] == ("FILL", 1, 1, 101)
    successor.close()


def test_ba16_reconnect_delivers_what_was_missed_once_and_in_order(bench: Bench) -> None:
    send(bench, Order(1, +1, 1, LIMIT, 100))
    answers(bench, 1)
    bench.broker.close()
    bench.trade(99, 9, -1)
    bench.broker.connect(1, 1)
    assert answers(bench, 1) == [("FILL", 1, 1, 100)]
    send(bench, Order(2))
    answers(bench, 2)
    bench.broker.connect(1, 4)
    assert len(bench.broker.events(0.05)) == 0
    assert [int(row["ref"]) for row in bench.seen] == [1, 2, 3, 4]
    bench.broker.connect(1, 2)  # whoever asks from an earlier number gets it again
    assert [row[0] for row in answers(bench, 2)] == ["ACK", "FILL"]


def test_ba17_timeout_after_sending_is_unknown(bench: Bench) -> None:
    """Never "failed": the order may well be there, and here it is."""
    hasty = bench.new_broker(timeout_s=0.3)
    hasty.connect(1, 0)
    bench.freeze_venue()
    with pytest.raises(OutcomeUnknown):
        hasty.submit(Order(1).row(START_NS))
    bench.thaw_venue()
    assert answers(bench, 2, hasty)[1][0] == "FILL"
    hasty.submit(Order(1).row(START_NS))
    assert hasty.snapshot().positions == {0: 1}
    hasty.close()


def test_ba18_not_connected_is_unreachable(bench: Bench) -> None:
    bench.broker.close()
    with pytest.raises(Unreachable):
        send(bench, Order(1))
    with pytest.raises(Unreachable):
        bench.broker.events(0.05)


def test_ba19_snapshot_equals_the_fills(bench: Bench) -> None:
    for number, side, qty in ((1, 1, 3), (2, -1, 1), (3, 1, 2)):
        send(bench, Order(number, side, qty))
    send(bench, Order(4, -1, 4, STOP, 90, STOP_LOSS))
    truth = bench.broker.snapshot()
    answers(bench, truth.last_ref)
    signed = sum(int(r["side"]) * int(r["qty"]) for r in bench.seen if r["kind"] == FILL)
    assert truth.positions == {0: signed}
    assert [(int(r["kind"]), int(r["code"]), int(r["order_number"])) for r in truth.orders] == [(RECON, RECON_ORDER, 4)]


def test_ba20_killed_venue_keeps_resting_stops_positions_and_numbers(bench: Bench) -> None:
    """SIGKILL: what was answered is durable; the stop still protects afterwards."""
    send(bench, Order(1, +1, 2))
    send(bench, Order(2, -1, 2, STOP, 95, STOP_LOSS))
    answers(bench, 3)
    before = bench.broker.snapshot()
    bench.kill_venue()
    with pytest.raises((Unreachable, OutcomeUnknown)):
        send(bench, Order(3))
    bench.start_venue()
    bench.broker.connect(2, before.last_ref)
    after = bench.broker.snapshot()
    assert (after.positions, after.last_ref) == (before.positions, before.last_ref)
    assert (after.orders["order_number"] == before.orders["order_number"]).all()
    send(bench, Order(1, +1, 2))
    bench.book(BIDS, ASKS)
    bench.trade(95, 1, -1)
    assert answers(bench, 1) == [("FILL", 2, 2, 100)]
    assert bench.broker.snapshot().positions == {}


def test_ba21_flatten_all(bench: Bench) -> None:
    """K-02: the guard's own session cancels everything and closes everything; execution hears of it."""
    send(bench, Order(1, +1, 2))
    send(bench, Order(2, +1, 1, LIMIT, 90))
    send(bench, Order(3, -1, 2, STOP, 80, STOP_LOSS))
    answers(bench, 4)
    truth = bench.guard_flatten()
    assert (truth.positions, len(truth.orders), truth.pending) == ({}, 0, 0)
    rows = answers(bench, truth.last_ref - 4)
    assert sorted(row[1] for row in rows if row[0] == "CANCELLED") == [2, 3]
    assert sum(int(r["side"]) * int(r["qty"]) for r in bench.seen if r["kind"] == FILL) == 0


def test_ba22_commission_is_on_every_fill(bench: Bench) -> None:
    """MES-COST-02: the broker's own fees are booked."""
    send(bench, Order(1, +1, 7))
    answers(bench, 3)
    assert [int(r["fee_micros"]) for r in bench.seen if r["kind"] == FILL] == [5 * 420_000, 2 * 420_000]


def test_ba23_answers_carry_instrument_side_and_times(bench: Bench) -> None:
    """A fill can be booked without knowing its order (W-09)."""
    send(bench, Order(1, -1, 1, MARKET, 0, EXIT))
    answers(bench, 2)
    fill = bench.seen[-1]
    assert (int(fill["instrument"]), int(fill["side"]), int(fill["role"])) == (0, -1, EXIT)
    assert int(fill["ts_ns"]) >= START_NS
    assert int(fill["ts_venue_ns"]) >= START_NS


def test_ba24_remainder_of_an_unfillable_market_order_is_cancelled(bench: Bench) -> None:
    send(bench, Order(1, +1, 20))
    last = answers(bench, 5)[4]
    assert (last[0], last[2]) == ("CANCELLED", 5)
    assert bench.seen[-1]["kind"] == CANCELLED


def test_events_waits_at_most_its_timeout(bench: Bench) -> None:
    assert len(bench.broker.events(0.01)) == 0
    assert WAIT_S > 0
    assert isinstance(bench.broker.events(0), np.ndarray)
