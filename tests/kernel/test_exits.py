"""Exits that nothing withholds, and that somebody hears of when they fail (K-02, MES-EOD-06, MES-LIVE-08)."""

from collections.abc import Callable

import pytest

from marketdata.core import records as m
from marketdata.core.records import BUY, SELL
from risk.core.holds import HOLDS
from risk.core.records import MES, MOEX
from tests.kernel.desk import NO_TICK, Desk, S, sent, standing
from trading.core import records as r
from trading.run.replica import Kernel


def refuse(desk: Desk, role: int) -> list:
    """The venue refuses the open order of this role."""
    return desk.answer(r.REJECT, int(desk.live(role)[0].number), code=r.REJECTED_BY_VENUE)


@pytest.fixture
def unacknowledged() -> Desk:
    """A filled entry whose bracket was sent and not answered yet."""
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001)
    return desk


# --- one refusal delays its own role alone ---------------------------------------------------------------------------
@pytest.mark.parametrize("code", [r.FLATTEN_ALL, r.KILL, r.STOP_SESSION])
def test_a_refused_target_never_delays_an_exit_k02(unacknowledged: Desk, code: int) -> None:
    refuse(unacknowledged, r.TARGET)
    assert sent(unacknowledged.command(code), r.SUBMIT, r.EXIT)


def test_a_refused_target_never_delays_a_stop_mes_live_08(unacknowledged: Desk) -> None:
    desk = unacknowledged
    desk.ack(int(desk.live(r.STOP_LOSS)[0].number))
    refuse(desk, r.TARGET)
    out = desk.answer(r.CANCELLED, int(desk.live(r.STOP_LOSS)[0].number), code=r.CANCELLED_BY_VENUE)
    assert sent(out, r.SUBMIT, r.STOP_LOSS)


def test_a_refused_target_is_sent_again_a_second_later(unacknowledged: Desk) -> None:
    desk = unacknowledged
    refuse(desk, r.TARGET)
    assert not sent(desk.event(r.TIMER, wait_ns=S - 1), r.SUBMIT)
    assert sent(desk.event(r.TIMER), r.SUBMIT, r.TARGET)


def test_a_refused_exit_delays_no_stop_of_the_next_position(unacknowledged: Desk) -> None:
    desk = unacknowledged
    desk.command(r.FLATTEN_ALL)
    out = refuse(desk, r.EXIT)
    assert not sent(out, r.SUBMIT), "a refused exit waits"
    stop = int(desk.live(r.STOP_LOSS)[0].number)
    out = refuse(desk, r.STOP_LOSS)
    assert sent(out, r.SUBMIT, r.EXIT), "without a stop nothing waits"
    assert stop not in [int(o.number) for o in desk.live()]


# --- three attempts, 2 s apart, then somebody is told and it goes on every 5 s ----------------------------------------
def leaving() -> Desk:
    """A position that was told to go: its exit works at the venue and does not fill."""
    desk = Desk()
    desk.enter()
    desk.command(r.FLATTEN_ALL)
    desk.ack(int(desk.live(r.EXIT)[0].number))
    return desk


def wait(desk: Desk, ns: int, cancels: bool = True) -> list:
    """Time passes; the venue cancels what it is asked to cancel, acknowledges what it is sent, fills nothing."""
    found = desk.event(r.TIMER, wait_ns=ns)
    for order in sent(found, r.CANCEL):
        if cancels:
            found += desk.answer(r.CANCELLED, int(order.order_number), code=r.CANCELLED_ON_REQUEST)
    for order in sent(found, r.SUBMIT):
        found += desk.ack(int(order.order_number))
    return found


def test_an_exit_that_never_fills_is_tried_again_and_then_told_mes_eod_06() -> None:
    desk = leaving()
    started = desk.now_ns - 2  # the command; then the acknowledgement
    at = []
    for _ in range(32):
        out = wait(desk, S // 2)
        at += [(desk.now_ns - started) // S for o in sent(out, r.SUBMIT, r.EXIT)]
        assert sum(int(o.qty) for o in desk.live(r.EXIT)) <= 1, "two exits could turn the position"
        assert ("NAKED_POSITION" in standing(desk)) == (desk.now_ns - started >= 6 * S)
    assert at == [2, 4, 9, 14], "the first left with the command"
    assert desk.live(r.STOP_LOSS), "the stop stays until the exit is filled"


def test_no_second_exit_before_the_first_is_proved_away_mes_eod_06() -> None:
    desk = leaving()
    first = int(desk.live(r.EXIT)[0].number)
    out = [o for _ in range(10) for o in wait(desk, S, cancels=False)]
    assert {int(o.order_number) for o in sent(out, r.CANCEL, r.EXIT)} == {first}
    assert not sent(out, r.SUBMIT, r.EXIT)
    assert "NAKED_POSITION" in standing(desk), "and nobody waits for the venue's answer in silence"
    desk.answer(r.CANCELLED, first, code=r.CANCELLED_ON_REQUEST)
    assert [int(o.qty) for o in desk.live(r.EXIT)] == [1]


def test_a_working_exit_is_no_cover_mes_live_08_w03() -> None:
    desk = leaving()
    desk.answer(r.CANCELLED, int(desk.live(r.STOP_LOSS)[0].number), code=r.CANCELLED_BY_VENUE)
    for _ in range(5):
        wait(desk, S)
        assert "NAKED_POSITION" not in standing(desk)
    wait(desk, S)
    assert "NAKED_POSITION" in standing(desk)


def test_an_exit_that_is_refused_is_an_attempt_mes_eod_06() -> None:
    desk = leaving()
    started = desk.now_ns - 2
    at = []
    desk.answer(r.CANCELLED, int(desk.live(r.EXIT)[0].number), code=r.CANCELLED_BY_VENUE)
    for _ in range(28):
        for order in sent(desk.event(r.TIMER, wait_ns=S // 2), r.SUBMIT, r.EXIT):
            at.append((desk.now_ns - started) // S)
            desk.answer(r.REJECT, int(order.order_number), code=r.REJECTED_BY_VENUE)
    assert at == [2, 4, 9, 14] and "NAKED_POSITION" in standing(desk)


def test_more_to_leave_does_not_wait_for_the_first_exit_k02() -> None:
    """A late fill of the entry adds to a position that leaves already: that is no second attempt."""
    desk = Desk({"qty_entry": 2, "loss_trade_micros_max": 100_000_000})
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001, qty=1)
    desk.command(r.KILL)
    out = desk.fill(number, 20_001, qty=1)
    assert [int(o.qty) for o in sent(out, r.SUBMIT, r.EXIT)] == [1]


def test_a_hold_that_goes_up_while_another_is_asked_for_closes_every_instrument_too() -> None:
    """The second instrument's attempts are used up on an event that raises another hold: the first leaves with it."""
    desk = Desk(ready=False)
    desk.configure()
    desk.add_instrument(1)
    desk.connect()
    desk.command(r.START)
    for instrument in (0, 1):
        desk.quote(20_000, 20_001, instrument=instrument)
    desk.event(r.TIMER)
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.fill(number, 20_001)
    desk.answer(r.FILL, 4_711, instrument=1, side=BUY, qty=1, price_tick=20_001, fee_micros=0)  # nobody planned it
    assert [int(o.instrument) for o in desk.live(r.EXIT)] == [1]
    for order in desk.live():
        desk.ack(int(order.number))
    desk.now_ns += 6 * S
    out = desk.event(m.TRADE, price_tick=20_100, qty=1)  # PRICE_MOVE
    assert standing(desk) >= {"PRICE_MOVE", "NAKED_POSITION"}
    assert [int(o.instrument) for o in sent(out, r.SUBMIT, r.EXIT)] == [0]


def test_a_position_that_left_starts_its_attempts_anew_mes_eod_06() -> None:
    desk = leaving()
    wait(desk, 3 * S)
    desk.fill(int(desk.live(r.EXIT)[0].number), 20_000)
    assert desk.position().exit_since_ns == NO_TICK and desk.position().exit_retry_ns == NO_TICK


def test_with_bars_an_exit_waits_for_the_next_bar() -> None:
    desk = Desk({"bar_mode": 1})
    desk.event(m.BAR, close_tick=20_000, high_tick=20_001, low_tick=19_999, volume=5, value=S)
    desk.enter(price=20_001)
    desk.command(r.FLATTEN_ALL)
    desk.ack(int(desk.live(r.EXIT)[0].number))
    out = [o for _ in range(70) for o in desk.event(r.TIMER, wait_ns=S)]
    assert not sent(out, r.CANCEL, r.EXIT) and not sent(out, r.SUBMIT)
    assert "NAKED_POSITION" not in standing(desk)


# --- every hold and every pair of holds against every way out ---------------------------------------------------------
def flatten(desk: Desk) -> list:
    return desk.command(r.FLATTEN_ALL)


def kill(desk: Desk) -> list:
    return desk.command(r.KILL)


def stop_session(desk: Desk) -> list:
    return desk.command(r.STOP_SESSION)


def opposite_score(desk: Desk) -> list:
    return desk.score(SELL)


def time_exit(desk: Desk) -> list:
    return desk.event(r.TIMER, wait_ns=HELD_MOST)


def bracketed(desk: Desk) -> None:
    """Both legs work."""
    for order in desk.live():
        desk.ack(int(order.number))


def target_refused(desk: Desk) -> None:
    refuse(desk, r.TARGET)


def exit_refused(desk: Desk) -> None:
    """An exit was refused, its attempt is over: the position is to leave, and nothing leaves yet."""
    bracketed(desk)
    opposite_score(desk)
    desk.answer(r.CANCELLED, int(desk.live(r.TARGET)[0].number), code=r.CANCELLED_ON_REQUEST)
    refuse(desk, r.EXIT)
    desk.now_ns += 2 * S


HELD_MOST = 20 * S


@pytest.mark.parametrize("rules", [MES, MOEX])
@pytest.mark.parametrize("before", [bracketed, target_refused, exit_refused])
@pytest.mark.parametrize("way_out", [flatten, kill, stop_session, opposite_score, time_exit])
def test_exits_are_never_refused_by_any_two_holds_mes_acc_10_19(
    way_out: Callable[[Desk], list], before: Callable[[Desk], None], rules: int
) -> None:
    """Every hold and every pair of holds against every way out, from a clean state and after a refusal."""
    desk = Desk({"rules": rules, "hold_ns_max": HELD_MOST})
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001)
    before(desk)
    held, ref, now = desk.kernel.snapshot(), desk.ref, desk.now_ns
    targets = [int(o.number) for o in desk.live(r.TARGET)]
    rows = HOLDS[rules]
    for i, first in enumerate(rows):
        for second in rows[i:]:
            desk.kernel, desk.ref, desk.now_ns = Kernel.restore(held), ref, now
            desk.account.holds |= 1 << first.bit | 1 << second.bit
            out = way_out(desk)
            exits = sent(out, r.SUBMIT, r.EXIT)
            assert [(int(o.side), int(o.qty)) for o in exits] == [(SELL, 1)], (first.code, second.code)
            assert [int(o.order_number) for o in sent(out, r.CANCEL, r.TARGET)] == targets, (first.code, second.code)
            assert not sent(out, r.CANCEL, r.STOP_LOSS), "the stop stays until the exit is filled"
