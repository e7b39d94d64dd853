"""The kernel by its rules: brackets, one-cancels-other, holds, commands, answers, configuration, reconciliation."""

import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE, BUY, NO_TICK, SELL
from risk.core import codes
from risk.core.holds import LABELS, label
from risk.core.records import MES
from tests.kernel.desk import LIMITS, Desk, S, decision, kinds, sent, standing
from trading.core import orders as life
from trading.core import protect
from trading.core import records as r
from trading.run.replica import Kernel


# --- start ------------------------------------------------------------------------------------------------------------
def test_a_fresh_kernel_trades_nothing() -> None:
    desk = Desk(ready=False)
    desk.quote(20_000, 20_001)
    out = desk.score()
    assert decision(out) == codes.NOT_TRADING and not sent(out, r.SUBMIT)


def test_start_is_refused_without_a_configuration_p07() -> None:
    desk = Desk(ready=False)
    out = desk.command(r.START)
    assert out[-1].kind == r.RECEIPT and out[-1].code == r.RECEIPT_REFUSED
    assert desk.account.trading == 0


def test_ready_desk_is_active() -> None:
    desk = Desk()
    assert standing(desk) == set()
    assert LABELS[label(MES, int(desk.account.holds))] == "ACTIVE"


# --- entry and bracket ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("side", "entry", "stop", "target"), [(BUY, 20_001, 19_993, 20_017), (SELL, 20_000, 20_008, 19_984)]
)
def test_bracket_is_measured_from_the_fill_mes_stop_04(side: int, entry: int, stop: int, target: int) -> None:
    desk = Desk()
    number = desk.enter(side)
    assert desk.position().qty == side
    legs = {int(o.role): o for o in desk.live()}
    assert legs[r.STOP_LOSS].stop_tick == stop and legs[r.TARGET].price_tick == target
    assert all(int(o.side) == -side and o.qty == 1 for o in legs.values())
    assert desk.order(number).status == life.FILLED
    assert desk.order(number).version == 1  # every order carries its configuration version


def test_oco_the_other_leg_is_cancelled_w04() -> None:
    desk = Desk()
    desk.enter()
    target = desk.live(r.TARGET)[0].number
    stop = desk.live(r.STOP_LOSS)[0].number
    out = desk.fill(int(target), 20_017)
    assert [int(o.order_number) for o in sent(out, r.CANCEL)] == [stop]
    closed = sent(out, r.TRADE_CLOSED)[0]
    assert (int(closed.value), int(closed.fee_micros)) == (16 * 1_250_000 - 840_000, 840_000)
    assert closed.code == protect.BY_TARGET
    desk.answer(r.CANCELLED, int(stop))
    assert desk.live() == [] and desk.position().qty == 0


def test_both_legs_fill_the_excess_is_offset_at_once_w04() -> None:
    desk = Desk()
    desk.enter()
    stop, target = int(desk.live(r.STOP_LOSS)[0].number), int(desk.live(r.TARGET)[0].number)
    desk.fill(target, 20_017)
    out = desk.fill(stop, 19_993)  # filled before the cancel arrived
    exits = sent(out, r.SUBMIT, r.EXIT)
    assert [(int(o.side), int(o.qty)) for o in exits] == [(BUY, 1)]
    desk.ack(int(exits[0].order_number))
    desk.fill(int(exits[0].order_number), 19_994)
    assert desk.position().qty == 0 and desk.live() == []


def test_partial_entry_is_protected_for_the_filled_quantity_mes_live_07() -> None:
    desk = Desk({"qty_entry": 3, "loss_trade_micros_max": 100_000_000})
    out = desk.score()
    number = int(sent(out, r.SUBMIT)[0].order_number)
    desk.ack(number)
    out = desk.fill(number, 20_001, qty=1)
    stops = sent(out, r.SUBMIT, r.STOP_LOSS)
    assert [int(o.qty) for o in stops] == [1]
    for o in desk.live():
        if o.role != r.ENTRY:
            desk.ack(int(o.number))
    out = desk.fill(number, 20_002, qty=2)
    grown = sent(out, r.MODIFY, r.STOP_LOSS)
    assert [int(o.qty) for o in grown] == [3]
    # average 20 001.67 → 20 002; the stop may only tighten
    assert int(desk.position().stop_tick) == 19_994


def test_partial_stop_fill_shrinks_the_target_and_sends_no_second_exit() -> None:
    desk = Desk({"qty_entry": 3, "loss_trade_micros_max": 100_000_000})
    desk.enter()
    stop = int(desk.live(r.STOP_LOSS)[0].number)
    out = desk.fill(stop, 19_993, qty=1)
    assert not sent(out, r.SUBMIT)
    assert [int(o.qty) for o in sent(out, r.MODIFY, r.TARGET)] == [2]
    desk.ack(int(desk.live(r.TARGET)[0].number))
    desk.fill(stop, 19_993)
    assert desk.position().qty == 0


def test_a_refused_stop_means_out_at_once_mes_live_08() -> None:
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001)
    stop = int(desk.live(r.STOP_LOSS)[0].number)
    out = desk.answer(r.REJECT, stop, code=r.REJECTED_BY_VENUE)
    assert [int(o.qty) for o in sent(out, r.SUBMIT, r.EXIT)] == [1]


def test_a_stop_never_acknowledged_leads_to_an_exit_and_then_a_hold_n1_w03_mes_hold_naked_position() -> None:
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001)
    out = []
    for _ in range(4):
        out += desk.event(r.TIMER, wait_ns=S)
        desk.quote(20_000, 20_001)
    assert sent(out, r.SUBMIT, r.EXIT)
    for _ in range(3):
        desk.quote(20_000, 20_001)
        desk.event(r.TIMER, wait_ns=S)
    assert "NAKED_POSITION" in standing(desk)


def test_time_exit_mes_stop_06() -> None:
    desk = Desk({"hold_ns_max": 30 * S})
    desk.enter()
    desk.now_ns += 30 * S
    out = desk.quote(20_002, 20_003)
    assert sent(out, r.SUBMIT, r.EXIT) and desk.position().close_reason == protect.BY_TIME


def test_opposite_score_exits_and_never_flips_mes_rev_01() -> None:
    desk = Desk()
    desk.enter()
    out = desk.score(SELL)
    assert decision(out) == codes.IN_POSITION
    exits = sent(out, r.SUBMIT)
    assert [(int(o.role), int(o.qty), int(o.side)) for o in exits] == [(r.EXIT, 1, SELL)]


def test_entry_unfilled_in_time_is_cancelled_w06() -> None:
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    for _ in range(9):
        desk.quote(20_000, 20_001)
        assert not sent(desk.event(r.TIMER, wait_ns=S), r.CANCEL)
    assert [int(o.order_number) for o in sent(desk.event(r.TIMER, wait_ns=S), r.CANCEL)] == [number]


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize(("limit_micros", "code"), [(100_000_000, codes.APPROVED), (99_999_999, codes.MARGIN)])
def test_margin_counts_every_instrument_p13(filled: bool, limit_micros: int, code: int) -> None:
    desk = Desk({"margin_micros_max": limit_micros}, ready=False)
    desk.configure()
    desk.add_instrument(1)
    desk.connect()
    desk.command(r.START)
    desk.event(r.TIMER)
    for instrument in (0, 1):
        desk.quote(20_000, 20_001, instrument=instrument)
    if filled:
        desk.enter()
    else:
        assert decision(desk.score()) == codes.APPROVED
    assert decision(desk.score(instrument=1)) == code


def test_one_score_makes_one_order_even_when_the_venue_refused_it_p16() -> None:
    desk = Desk()
    at_ns = desk.now_ns
    number = int(sent(desk.score(ts_venue_ns=at_ns), r.SUBMIT)[0].order_number)
    assert decision(desk.score(ts_venue_ns=at_ns)) == codes.ENTRY_WORKING
    desk.answer(r.REJECT, number, code=r.REJECTED_BY_VENUE)
    for count in (1, 2, 3):  # the same score, delivered again and again
        assert ("DUPLICATE_STORM" in standing(desk)) is False, count
        assert decision(desk.score(ts_venue_ns=at_ns)) == codes.DUPLICATE
    assert "DUPLICATE_STORM" in standing(desk), "3 in 60 s"
    desk.command(r.RESET_HALT)
    desk.command(r.RESUME)
    assert decision(desk.score(ts_venue_ns=at_ns - 1)) == codes.DUPLICATE, "an older one is no news either"


def test_a_new_score_may_ask_for_the_same_order_once_the_last_has_ended_p16() -> None:
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.answer(r.REJECT, number, code=r.REJECTED_BY_VENUE)
    assert decision(desk.score()) == codes.APPROVED


# --- answers ----------------------------------------------------------------------------------------------------------
def test_an_answer_delivered_twice_is_applied_once() -> None:
    desk = Desk()
    desk.enter()
    before = desk.kernel.state.account[0].fills
    desk.event(r.FILL, order_number=1, ref=desk.ref, side=1, qty=1, price_tick=20_001, fee_micros=420_000)
    assert desk.account.fills == before and desk.position().qty == 1


def test_a_gap_in_the_venues_numbers_is_asked_for() -> None:
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    out = desk.event(r.FILL, order_number=number, ref=2, side=1, qty=1, price_tick=20_001)
    query = sent(out, r.QUERY)[0]
    assert (int(query.order_number), int(query.ref)) == (0, 0)
    assert desk.position().qty == 0 and desk.account.reconciled == 0


def test_fill_after_cancelled_is_booked_w09() -> None:
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.answer(r.CANCELLED, number)
    desk.fill(number, 20_001)
    assert desk.position().qty == 1
    assert desk.live(r.STOP_LOSS), "and protected"


def test_an_unanswered_order_is_queried_never_sent_again_w01_w02() -> None:
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    out = []
    for _ in range(6):
        desk.quote(20_000, 20_001)
        out += desk.event(r.TIMER, wait_ns=S)
    assert [int(o.order_number) for o in sent(out, r.QUERY)] == [number]
    assert not sent(out, r.SUBMIT)
    assert desk.order(number).status == life.UNKNOWN
    desk.quote(20_000, 20_001)
    assert decision(desk.score()) == codes.NOT_RECONCILED
    desk.answer(r.REJECT, number, code=r.REJECTED_UNKNOWN_ORDER)
    assert desk.order(number).status == life.REJECTED


def stop_asked_after(desk: Desk) -> int:
    """A working stop whose modification got no answer in time, so that the kernel asks the venue; its number."""
    entry = desk.enter()
    stop = int(desk.live(r.STOP_LOSS)[0].number)
    desk.answer(r.FILL, entry, side=1, qty=1, price_tick=20_001)  # more than was asked for: the stop must grow (W-09)
    assert desk.order(stop).request == life.MODIFYING
    desk.now_ns += 5 * S
    desk.quote(20_000, 20_001)
    desk.event(r.TIMER)
    assert (desk.order(stop).status, desk.order(stop).request) == (life.WORKING, life.QUERYING)
    return stop


def test_a_late_refusal_of_a_modification_leaves_the_stop_working_w01() -> None:
    desk = Desk({"target_ticks": 0, "naked_ns_max": 60 * S})
    stop = stop_asked_after(desk)
    out = desk.answer(r.REJECT, stop, code=r.REJECTED_BY_VENUE)
    assert desk.order(stop).status == life.WORKING
    assert not sent(out, r.SUBMIT), "a second stop could fill beside the first"


def test_the_report_that_a_stop_is_absent_ends_it_and_means_out_w01() -> None:
    desk = Desk({"target_ticks": 0, "naked_ns_max": 60 * S})
    stop = stop_asked_after(desk)
    out = desk.event(r.REJECT, order_number=stop, code=r.REJECTED_UNKNOWN_ORDER)
    assert desk.order(stop).status == life.CANCELLED
    assert [(int(o.role), int(o.qty)) for o in sent(out, r.SUBMIT)] == [(r.EXIT, 2)]


def test_a_refused_modification_waits_a_second_and_a_cancel_does_not_wait_for_it_p17() -> None:
    desk = Desk({"target_ticks": 0})
    entry = desk.enter()
    stop = int(desk.live(r.STOP_LOSS)[0].number)
    desk.answer(r.FILL, entry, side=1, qty=1, price_tick=20_001)  # the stop must grow
    out = desk.answer(r.REJECT, stop, code=r.REJECTED_BY_VENUE)
    out += desk.quote(20_000, 20_001, wait_ns=S - 1)
    assert not sent(out, r.MODIFY), "each try costs a message and a write to disk"
    assert [int(o.qty) for o in sent(desk.quote(20_000, 20_001), r.MODIFY)] == [2]
    desk.answer(r.REJECT, stop, code=r.REJECTED_BY_VENUE)
    leaving = sent(desk.command(r.FLATTEN_ALL), r.SUBMIT, r.EXIT)
    out = desk.fill(int(leaving[0].order_number), 20_000)
    assert [int(o.order_number) for o in sent(out, r.CANCEL)] == [stop]


def test_a_refused_cancel_waits_a_second_p17() -> None:
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.command(r.CANCEL_ALL)
    out = desk.answer(r.REJECT, number, code=r.REJECTED_BY_VENUE)
    out += desk.event(r.TIMER, wait_ns=S - 1)
    assert not sent(out, r.CANCEL)
    assert [int(o.order_number) for o in sent(desk.event(r.TIMER), r.CANCEL)] == [number]


# --- reconciliation ---------------------------------------------------------------------------------------------------
def test_a_position_that_only_the_broker_has_is_a_mismatch_p05_mes_hold_mismatch() -> None:
    desk = Desk()
    desk.reconcile(positions=[(0, 1)])
    assert {"MISMATCH", "NOT_RECONCILED"} <= standing(desk)


def test_a_foreign_order_is_a_mismatch_w07() -> None:
    desk = Desk()
    desk.reconcile(orders=[999])
    assert "MISMATCH" in standing(desk)


def test_a_periodic_reconciliation_that_agrees_raises_nothing() -> None:
    desk = Desk()
    assert desk.reconcile() == []
    assert desk.account.reconciled == 1


def test_a_stop_missing_at_the_broker_is_placed_again() -> None:
    desk = Desk()
    desk.enter()
    target = int(desk.live(r.TARGET)[0].number)
    out = desk.reconcile(positions=[(0, 1)], orders=[target])
    assert [int(o.stop_tick) for o in sent(out, r.SUBMIT, r.STOP_LOSS)] == [19_993]
    assert desk.account.reconciled == 1


# --- configuration ----------------------------------------------------------------------------------------------------
def test_tightening_takes_effect_at_once_loosening_waits_for_flat() -> None:
    desk = Desk()
    desk.enter()
    desk.limits = LIMITS | {"spread_ticks_max": 2, "position_max": 9}
    desk.configure(version=2)
    limits = desk.kernel.params.limits[0]
    assert (limits.spread_ticks_max, limits.position_max) == (2, 3)
    target = int(desk.live(r.TARGET)[0].number)
    desk.fill(target, 20_017)
    for order in desk.live():
        desk.answer(r.CANCELLED, int(order.number))
    assert limits.position_max == 9


@pytest.mark.parametrize(
    ("name", "before", "tighter", "looser"),
    [("move_window_ns", 10 * S, 20 * S, 5 * S), ("bar_mode", 0, 0, 1), ("spread_ticks_max", 4, 3, 5)],
)
def test_each_limit_knows_which_way_it_loosens(name: str, before: int, tighter: int, looser: int) -> None:
    desk = Desk({name: before})
    desk.enter()
    for version, (asked, in_force) in enumerate([(tighter, tighter), (looser, tighter)], start=2):
        desk.limits = desk.limits | {name: asked}
        desk.configure(version=version)
        assert desk.kernel.params.limits[0][name] == in_force


def test_a_limit_that_is_switched_off_waits_for_flat_too() -> None:
    """0 means no limit for some fields: that is a loosening, though the number is smaller."""
    desk = Desk({"presence_ns_max": 900 * S, "spread_ppm_max": 500})
    desk.enter()
    desk.limits = LIMITS | {"presence_ns_max": 0, "spread_ppm_max": 400}
    desk.configure(version=2)
    limits = desk.kernel.params.limits[0]
    assert (limits.presence_ns_max, limits.spread_ppm_max) == (900 * S, 400)


# --- memory -----------------------------------------------------------------------------------------------------------
def test_snapshot_restores_to_the_bit_mes_risk_22_moex_risk_12() -> None:
    desk = Desk()
    desk.enter()
    copy = Kernel.restore(desk.kernel.snapshot())
    assert copy.snapshot() == desk.kernel.snapshot()
    event = m.new_events(1)
    event["kind"], event["code"], event["instrument"], event["ts_ns"] = (
        r.COMMAND,
        r.KILL,
        ACCOUNT_SCOPE,
        desk.now_ns + 1,
    )
    assert copy.apply(event).tobytes() == desk.kernel.apply(event).tobytes()


def test_outputs_are_numbered_after_their_input() -> None:
    desk = Desk()
    event = m.new_events(1)
    event["kind"], event["code"], event["instrument"] = r.COMMAND, r.PAUSE, ACCOUNT_SCOPE
    rows = desk.kernel.apply(event)
    first = int(rows[0].seq)
    assert [int(row.seq) for row in rows] == list(range(first, first + len(rows)))
    assert kinds(list(rows[1:])) == ["HOLD_RAISED", "RECEIPT"]


def test_back_fill_decides_nothing() -> None:
    desk = Desk()
    before = desk.kernel.snapshot()[:0] + desk.position().tobytes()
    desk.event(m.TRADE, price_tick=1, qty=1, flags=m.FLAG_BACKFILL)
    assert desk.position().tobytes() == before
    assert desk.position().last_tick in (NO_TICK, 20_000)
