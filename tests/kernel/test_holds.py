"""The kernel's holds and commands: what refuses entries, what closes, and that exits always leave."""

import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE
from risk.core import codes
from risk.core.holds import BIT, FLATTEN_MASK, HOLDS, LABELS, label
from risk.core.records import MES, MOEX
from tests.kernel.desk import Desk, S, decision, sent, standing
from trading.core import records as r
from trading.run.replica import Kernel


# --- holds ------------------------------------------------------------------------------------------------------------
def test_daily_loss_flattens_and_lasts_until_the_roll_p15() -> None:
    desk = Desk({"loss_day_micros_max": 50_000_000})
    desk.enter()
    desk.event(m.TRADE, price_tick=19_960, qty=1)
    assert "DAILY_LOSS" not in standing(desk), "open money is no part of it (MES-RISK-05)"
    desk.fill(int(desk.live(r.STOP_LOSS)[0].number), 19_960)  # $51.25 and $0.84
    assert "DAILY_LOSS" in standing(desk)
    desk.command(r.RESUME)
    assert "DAILY_LOSS" in standing(desk)
    desk.event(r.WINDOW_SET, instrument=ACCOUNT_SCOPE, code=1, value=desk.now_ns + 10**15, until_ns=2**62, ref=20260305)
    desk.event(r.TIMER, wait_ns=2 * 10**15)
    assert "DAILY_LOSS" not in standing(desk)


def test_feed_silence_holds_entries_and_clears_by_itself_p04() -> None:
    desk = Desk()
    desk.event(r.TIMER, wait_ns=2 * S + 1)
    assert "FEED_STALE" in standing(desk)
    assert decision(desk.score()) == codes.FEED_STALE
    desk.event(m.FEED, code=m.FEED_BEAT)
    assert "FEED_STALE" not in standing(desk)
    assert decision(desk.score()) == codes.FEED_STALE, "a beat is no quote: the old quote is still too old"
    desk.quote(20_000, 20_001)
    assert decision(desk.score()) == codes.APPROVED


def test_a_gap_refuses_until_the_feed_is_up_again_p04() -> None:
    desk = Desk()
    desk.event(m.FEED, code=m.FEED_GAP)
    desk.quote(20_000, 20_001)
    assert decision(desk.score()) == codes.FEED_STALE
    desk.event(m.FEED, code=m.FEED_UP)
    desk.quote(20_000, 20_001)
    assert decision(desk.score()) == codes.APPROVED


@pytest.mark.parametrize(
    ("link", "code"),
    [(r.LINK_EXECUTION, "EXECUTION_AWAY"), (r.LINK_DATABASE, "DATABASE_AWAY"), (r.LINK_STREAM, "STREAM_FULL")],
)
def test_links_hold_entries_while_down(link: int, code: str) -> None:
    desk = Desk()
    desk.event(r.LINK, instrument=ACCOUNT_SCOPE, code=link, value=0)
    assert code in standing(desk)
    assert decision(desk.score()) in (codes.HOLD_BASE + BIT[code], codes.NOT_RECONCILED)
    desk.event(r.LINK, instrument=ACCOUNT_SCOPE, code=link, value=1)
    assert code not in standing(desk)


def test_a_working_entry_goes_when_a_flatten_hold_comes() -> None:
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    out = desk.command(r.KILL)
    assert [int(o.order_number) for o in sent(out, r.CANCEL)] == [number]


def test_price_run_p11_holds_for_its_time() -> None:
    desk = Desk()
    desk.event(m.TRADE, price_tick=20_000, qty=1)
    desk.event(m.TRADE, price_tick=20_061, qty=1)
    assert "PRICE_MOVE" in standing(desk)
    desk.event(m.TRADE, wait_ns=10 * S, price_tick=20_061, qty=1)
    desk.event(r.TIMER, wait_ns=30 * S - 2)  # the last mark in breach renewed it
    assert "PRICE_MOVE" in standing(desk)
    desk.event(r.TIMER, wait_ns=3)
    assert "PRICE_MOVE" not in standing(desk)


# --- commands ---------------------------------------------------------------------------------------------------------
def test_kill_cancels_closes_and_latches_k02_mes_hold_kill_switch() -> None:
    desk = Desk()
    desk.enter()
    out = desk.command(r.KILL)
    assert [int(o.role) for o in sent(out, r.SUBMIT)] == [r.EXIT]
    assert [int(o.role) for o in sent(out, r.CANCEL)] == [r.TARGET], "the stop stays until the exit is filled"
    assert LABELS[label(MES, int(desk.account.holds))] == "HALTED"
    exit_number = int(sent(out, r.SUBMIT)[0].order_number)
    desk.ack(exit_number)
    out = desk.fill(exit_number, 19_999)
    assert [int(o.role) for o in sent(out, r.CANCEL)] == [r.STOP_LOSS]
    desk.command(r.RESUME)
    assert "KILL_SWITCH" in standing(desk), "resume does not lift a halt (MES-RISK-13)"
    assert decision(desk.score()) == codes.LATCHED


def test_reset_halt_needs_flat_k05() -> None:
    desk = Desk()
    desk.enter()
    desk.command(r.KILL)
    assert desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_REFUSED
    for order in desk.live():
        if order.role == r.EXIT:
            desk.ack(int(order.number))
            desk.fill(int(order.number), 20_000)
    for order in desk.live():
        desk.answer(r.CANCELLED, int(order.number))
    assert desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_DONE
    assert "KILL_SWITCH" not in standing(desk)


@pytest.mark.parametrize("code", [r.PAUSE, r.CANCEL_ALL, r.FLATTEN_ALL])
def test_reducing_commands_pause_until_resume_ui_14(code: int) -> None:
    desk = Desk()
    desk.command(code)
    assert standing(desk) == {"OPERATOR_PAUSE"}
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["OPERATOR_PAUSE"]
    desk.command(r.RESUME)
    assert standing(desk) == set()


def test_pause_keeps_position_and_bracket_ui_13() -> None:
    desk = Desk()
    desk.enter()
    out = desk.command(r.PAUSE)
    assert not sent(out, r.CANCEL) and not sent(out, r.SUBMIT)
    assert len(desk.live()) == 2


def test_stop_ends_trading_for_good_mes_live_12() -> None:
    desk = Desk()
    desk.enter()
    out = desk.command(r.STOP_SESSION)
    assert [int(o.role) for o in sent(out, r.SUBMIT)] == [r.EXIT]
    desk.command(r.RESUME)
    assert "SESSION_STOPPED" in standing(desk)
    assert desk.command(r.START)[-1].code == r.RECEIPT_REFUSED


def test_an_unknown_command_is_refused() -> None:
    assert Desk().command(99)[-1].code == r.RECEIPT_REFUSED


@pytest.mark.parametrize("rules", [MES, MOEX])
def test_exits_are_never_refused_by_any_two_holds_mes_acc_10_19(rules: int) -> None:
    """Every hold and every pair of holds against every reducing order: exit, stop, target and cancel always leave."""
    desk = Desk({"rules": rules})
    desk.enter()
    held = desk.kernel.snapshot()
    rows = HOLDS[rules]
    for i, first in enumerate(rows):
        for second in rows[i:]:
            desk.kernel = Kernel.restore(held)
            desk.account.holds |= 1 << first.bit | 1 << second.bit
            out = desk.command(r.FLATTEN_ALL)
            assert sent(out, r.SUBMIT, r.EXIT) and sent(out, r.CANCEL, r.TARGET), (first.code, second.code)


@pytest.mark.parametrize("rules", [MES, MOEX])
def test_protection_is_placed_under_every_hold_mes_live_08(rules: int) -> None:
    """An entry that fills under a hold gets its stop, or its exit where the hold demands flat."""
    desk = Desk({"rules": rules})
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    waiting = desk.kernel.snapshot()
    ref = desk.ref
    for hold in HOLDS[rules]:
        desk.kernel, desk.ref = Kernel.restore(waiting), ref
        desk.account.holds |= 1 << hold.bit
        out = desk.fill(number, 20_001)
        role = r.EXIT if int(FLATTEN_MASK[rules]) >> hold.bit & 1 else r.STOP_LOSS
        assert sent(out, r.SUBMIT, role), hold.code
