"""The kernel's holds and commands: what refuses entries, what closes, and that exits always leave."""

import random

import numpy as np
import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE, SELL
from risk.core import codes
from risk.core.holds import BIT, FLATTEN_MASK, HOLDS, LABELS, label
from risk.core.records import MES, MOEX
from tests.kernel.desk import Desk, S, decision, sent, standing
from trading.core import orders as life
from trading.core import records as r
from trading.run.replica import Kernel


def entry_on_its_way(desk: Desk) -> int:
    """An entry that was sent and not answered; its number."""
    return int(sent(desk.score(), r.SUBMIT)[0].order_number)


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


@pytest.mark.parametrize(("late_ns", "code"), [(2 * S, codes.APPROVED), (2 * S + 1, codes.FEED_STALE)])
def test_a_quote_that_waited_in_a_queue_is_as_old_as_it_is_p04(late_ns: int, code: int) -> None:
    desk = Desk()
    desk.event(r.TIMER, wait_ns=60 * S)
    desk.event(m.TRADE, price_tick=20_000, qty=1, ts_ns=desk.now_ns - late_ns, wait_ns=0)
    desk.quote(20_000, 20_001, ts_ns=desk.now_ns - late_ns, wait_ns=0)
    told_ns = desk.now_ns - late_ns
    assert desk.position().quote_ts_ns == desk.position().last_ts_ns == desk.account.feed_ts_ns == told_ns
    assert ("FEED_STALE" in standing(desk)) == (code != codes.APPROVED)
    assert decision(desk.score(wait_ns=0)) == code


def test_a_gap_refuses_until_the_feed_is_up_again_p04() -> None:
    desk = Desk()
    desk.event(m.FEED, code=m.FEED_GAP)
    desk.quote(20_000, 20_001)
    assert decision(desk.score()) == codes.FEED_STALE
    desk.event(m.FEED, code=m.FEED_UP)
    desk.quote(20_000, 20_001)
    assert decision(desk.score()) == codes.APPROVED


def test_a_session_whose_windows_run_out_is_after_hours_p03() -> None:
    desk = Desk()
    desk.event(r.TIMER, wait_ns=2 * 10**15)
    desk.reconcile()
    desk.quote(20_000, 20_001)
    assert standing(desk) == {"AFTER_HOURS"}
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["AFTER_HOURS"]


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


@pytest.mark.parametrize("code", [r.FLATTEN_ALL, r.KILL, r.STOP_SESSION])
def test_flatten_with_an_entry_on_its_way_ends_flat_mes_live_11_k02(code: int) -> None:
    desk = Desk()
    number = entry_on_its_way(desk)
    out = desk.command(code)
    assert [int(o.order_number) for o in sent(out, r.CANCEL)] == [number]
    desk.ack(number)
    out = desk.fill(number, 20_001)  # faster than the cancel
    assert [(int(o.role), int(o.qty)) for o in sent(out, r.SUBMIT)] == [(r.EXIT, 1)]
    desk.answer(r.REJECT, number, code=r.REJECTED_UNKNOWN_ORDER)
    exit_number = int(sent(out, r.SUBMIT)[0].order_number)
    desk.ack(exit_number)
    desk.fill(exit_number, 19_999)
    assert desk.position().qty == 0 and desk.live() == []


def hold_by(desk: Desk, what: str) -> list[np.record]:
    if what == "pause":
        return desk.command(r.PAUSE)
    if what == "feed":
        return desk.event(m.FEED, code=m.FEED_GAP)
    if what == "move":
        return desk.event(m.TRADE, price_tick=20_000, qty=1) + desk.event(m.TRADE, price_tick=20_100, qty=1)
    return desk.event(r.LINK, instrument=ACCOUNT_SCOPE, code=r.LINK_DATABASE, value=0)


@pytest.mark.parametrize("what", ["pause", "feed", "move", "database"])
def test_a_hold_takes_back_the_entry_on_its_way_p02(what: str) -> None:
    desk = Desk()
    number = entry_on_its_way(desk)
    assert [int(o.order_number) for o in sent(hold_by(desk, what), r.CANCEL)] == [number]
    desk.ack(number)
    assert (desk.order(number).status, desk.order(number).request) == (life.WORKING, life.CANCELLING)
    desk.fill(number, 20_001)  # it was filled before the cancel arrived
    assert desk.position().qty == 1 and desk.position().closing == 0, "a pause never closes (MES-RISK-15)"
    assert desk.live(r.STOP_LOSS), "and it is protected"


@pytest.mark.parametrize("what", ["pause", "feed", "move", "database"])
def test_an_opposite_score_exits_under_any_hold_mes_rev_01(what: str) -> None:
    desk = Desk()
    desk.enter()
    hold_by(desk, what)
    out = desk.score(SELL)
    assert decision(out) != codes.APPROVED
    assert [(int(o.role), int(o.side), int(o.qty)) for o in sent(out, r.SUBMIT)] == [(r.EXIT, SELL, 1)]


def test_only_a_fresh_and_confident_opposite_score_exits_mes_rev_01() -> None:
    desk = Desk()
    desk.enter()
    assert not sent(desk.score(SELL, ts_venue_ns=desk.now_ns - 2 * S), r.SUBMIT), "2 s and 1 ns old"
    assert not sent(desk.score(SELL, ts_venue_ns=desk.now_ns + 2 * S), r.SUBMIT), "from the future"
    assert not sent(desk.score(SELL, confidence=549_999), r.SUBMIT)
    assert sent(desk.score(SELL, confidence=550_000), r.SUBMIT, r.EXIT)


@pytest.mark.parametrize("resumed", [False, True])
def test_an_unknown_entry_is_cancelled_once_it_is_found_w01(resumed: bool) -> None:
    desk = Desk()
    number = entry_on_its_way(desk)
    desk.event(r.UNKNOWN_OUTCOME, order_number=number)
    out = desk.command(r.CANCEL_ALL)
    assert not sent(out, r.CANCEL), "nothing can be cancelled that the venue may not know"
    if resumed:
        desk.command(r.RESUME)
    out = desk.event(r.ACK, order_number=number) + desk.event(r.TIMER)  # the report: it works
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


def test_a_move_across_the_edge_of_a_window_is_seen_p11() -> None:
    desk = Desk()
    for wait_s, tick in ((0, 20_000), (5, 19_960), (5, 20_000), (2, 20_021)):  # 61 ticks within 7 s
        assert "PRICE_MOVE" not in standing(desk)
        desk.event(m.TRADE, wait_ns=wait_s * S, price_tick=tick, qty=1)
    assert "PRICE_MOVE" in standing(desk)


def test_a_jump_after_a_silence_is_seen_p11() -> None:
    desk = Desk()
    desk.event(m.TRADE, price_tick=20_000, qty=1)
    desk.event(m.TRADE, wait_ns=60 * S, price_tick=20_061, qty=1)
    assert "PRICE_MOVE" in standing(desk)


@pytest.mark.parametrize("seed", range(5))
def test_the_window_is_never_shorter_and_an_eighth_longer_at_most_p11(seed: int) -> None:
    """Against the whole path of marks: no move within the window is missed, none beyond 9/8 of it is counted."""
    rng = random.Random(seed)
    desk = Desk({"move_ticks_max": 10**6})
    path = [(0, 20_000)]  # the ready desk's quote

    def farthest(span_ns: int) -> int:
        before = [tick for at, tick in path if at <= desk.now_ns - span_ns][-1:]
        inside = [tick for at, tick in path if at > desk.now_ns - span_ns]
        return max(abs(tick - path[-1][1]) for tick in before + inside)

    for _ in range(300):
        tick = path[-1][1] + rng.choice((-9, -4, 0, 4, 9))
        desk.event(m.TRADE, wait_ns=rng.choice((1, S // 10, S, 3 * S, 20 * S)), price_tick=tick, qty=1)
        path.append((desk.now_ns, tick))
        p = desk.position()
        far = max(tick - int(p.move_low_tick), int(p.move_high_tick) - tick)
        assert farthest(10 * S) <= far <= farthest(10 * S + 10 * S // 8)


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


def test_after_an_unlock_nothing_trades_until_a_person_resumes_k05() -> None:
    desk = Desk()
    desk.command(r.KILL)
    assert desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_DONE
    for value in (1, 0):  # the same latch still stands on disk, then it is removed
        desk.event(r.LINK, instrument=ACCOUNT_SCOPE, code=r.LINK_LATCH, value=value)
    desk.quote(20_000, 20_001)
    assert standing(desk) == {"OPERATOR_PAUSE"}
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["OPERATOR_PAUSE"]
    desk.command(r.RESUME)
    assert decision(desk.score()) == codes.APPROVED


def test_a_halt_is_lifted_into_a_pause_by_the_kernel_itself_mes_risk_13_k05() -> None:
    """No service has to pause first: whoever sends the reset, nobody trades on by itself."""
    desk = Desk()
    assert desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_DONE and standing(desk) == set(), (
        "there was nothing to lift"
    )
    desk.account.holds |= 1 << BIT["DUPLICATE_STORM"]
    desk.command(r.RESET_HALT)
    assert standing(desk) == {"OPERATOR_PAUSE"}
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["OPERATOR_PAUSE"]
    desk.command(r.RESUME)
    assert decision(desk.score()) == codes.APPROVED


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
