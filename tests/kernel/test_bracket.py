"""A person moves the stop or the target of what is held (UI-15, MOEX-ACC-103): closer is free, farther is refused and
the receipt says why; and a target that the venue refuses is not asked for again and again."""

import pytest

from marketdata.core.records import BUY, NO_TICK, SELL
from risk.core.holds import BIT
from tests.kernel.desk import Desk, S, kinds, sent
from trading.core import records as r
from trading.core import states as why
from trading.core.protect import CLOSE_REASONS

QUOTE = (20_000, 20_001)


def move(desk: Desk, code: int, tick: int, instrument: int = 0) -> bool:
    """Whether the command was done; what it sent stays in `desk.sent`."""
    desk.sent.clear()
    out = desk.event(r.COMMAND, instrument=instrument, code=code, ref=9, value=tick)
    receipts = sent(out, r.RECEIPT)
    assert len(receipts) == 1 and receipts[0].value == code
    done = int(receipts[0].code) == r.RECEIPT_DONE
    assert done == (int(receipts[0].qty) == 0) and (done or int(receipts[0].qty) in why.REFUSALS)
    return done


def modified(desk: Desk) -> list[tuple[int, int]]:
    """(order, tick) of what the kernel asked the venue to change."""
    ticks = {r.STOP_LOSS: "stop_tick", r.TARGET: "price_tick"}
    return [(int(o.order_number), int(o[ticks[int(o.role)]])) for o in desk.sent if o.kind == r.MODIFY]


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_stop_comes_closer_at_the_venue_ui_15(side: int) -> None:
    desk = Desk()
    desk.enter(side)
    stop = desk.live(r.STOP_LOSS)[0]
    closer = int(stop.stop_tick) + 3 * side
    assert move(desk, r.MOVE_STOP, closer)
    assert modified(desk) == [(int(stop.number), closer)]
    assert desk.order(int(stop.number)).stop_tick == closer - 3 * side, "the venue has not said yes yet"
    desk.ack(int(stop.number))
    assert desk.order(int(stop.number)).stop_tick == closer
    assert desk.position().qty == side and desk.position().closing == 0


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_stop_never_loosens_moex_acc_103(side: int) -> None:
    desk = Desk()
    desk.enter(side)
    stop = int(desk.live(r.STOP_LOSS)[0].stop_tick)
    for tick in (stop, stop - side, stop - 100 * side, 0, -5, NO_TICK):
        assert not move(desk, r.MOVE_STOP, tick), tick
        assert kinds(desk.sent) == ["RECEIPT"]
    assert desk.position().stop_tick == stop


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_stop_stays_on_its_side_of_the_market_ui_15(side: int) -> None:
    """It would fire at once: that is a close, and has a command of its own."""
    desk = Desk()
    desk.enter(side)
    near = QUOTE[0] if side == BUY else QUOTE[1]
    assert not move(desk, r.MOVE_STOP, near)
    assert not move(desk, r.MOVE_STOP, near + side)
    assert move(desk, r.MOVE_STOP, near - side)


def test_a_moved_stop_outlasts_later_fills_of_the_entry_ui_15() -> None:
    desk = Desk({"qty_entry": 2, "loss_trade_micros_max": 100_000_000})
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001, qty=1)
    for order in desk.live():
        desk.ack(int(order.number))
    assert move(desk, r.MOVE_STOP, 19_998)
    assert not move(desk, r.MOVE_TARGET, 20_010), "until the entry is filled the target follows the average"
    desk.fill(number, 20_001, qty=1)
    assert desk.position().stop_tick == 19_998
    assert move(desk, r.MOVE_TARGET, 20_010)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_target_goes_either_way_on_its_own_side_ui_15(side: int) -> None:
    desk = Desk()
    desk.enter(side)
    target = desk.live(r.TARGET)[0]
    for step in (4, -6):
        tick = int(target.price_tick) + step * side
        assert move(desk, r.MOVE_TARGET, tick)
        assert modified(desk) == [(int(target.number), tick)]
        desk.ack(int(target.number))
    near = QUOTE[0] if side == BUY else QUOTE[1]
    assert not move(desk, r.MOVE_TARGET, near), "it would fill at once"
    assert not move(desk, r.MOVE_TARGET, int(desk.position().target_tick)), "it stands there"


@pytest.mark.parametrize("code", [r.MOVE_STOP, r.MOVE_TARGET])
def test_nothing_held_nothing_moves_ui_15(code: int) -> None:
    desk = Desk()
    assert not move(desk, code, 20_005)
    desk.enter()
    assert not move(desk, code, 20_005, instrument=1)
    assert not move(desk, code, 20_005, instrument=-1)
    assert not move(desk, code, 20_005, instrument=32)
    desk.command(r.FLATTEN_ALL)
    assert not move(desk, code, 19_999 if code == r.MOVE_STOP else 20_030), "it leaves already"


def test_a_moved_stop_says_so_when_it_fires_mes_stop_05() -> None:
    desk = Desk()
    desk.enter()
    number = int(desk.live(r.STOP_LOSS)[0].number)
    move(desk, r.MOVE_STOP, 19_998)
    desk.ack(number)
    closed = sent(desk.fill(number, 19_998), r.TRADE_CLOSED)
    assert [CLOSE_REASONS[int(o.code)] for o in closed] == ["trailing stop"]


def test_an_old_quote_tells_no_side_of_the_market_ui_15() -> None:
    desk = Desk()
    desk.enter()
    desk.now_ns += 60 * S
    assert not move(desk, r.MOVE_STOP, 19_998), "the market may be anywhere"
    desk.quote(*QUOTE)
    assert move(desk, r.MOVE_STOP, 19_998)


# --- why a move was refused ------------------------------------------------------------------------------------------
def refusal(desk: Desk, code: int, tick: int, instrument: int = 0) -> int:
    """The reason that the receipt gives; 0: done."""
    return int(sent(desk.event(r.COMMAND, instrument=instrument, code=code, ref=9, value=tick), r.RECEIPT)[0].qty)


def test_a_receipt_says_why_a_move_was_refused_ui_15() -> None:
    desk = Desk()
    assert refusal(desk, r.MOVE_STOP, 19_998) == why.NOTHING_HELD
    desk.enter()
    assert refusal(desk, r.MOVE_STOP, 19_998, instrument=32) == why.NOTHING_HELD
    assert refusal(desk, r.MOVE_STOP, 0) == why.NO_PRICE
    assert refusal(desk, r.MOVE_STOP, 19_990) == why.NOT_CLOSER
    assert refusal(desk, r.MOVE_STOP, 20_000) == why.THROUGH_MARKET
    assert refusal(desk, r.MOVE_TARGET, 20_000) == why.THROUGH_MARKET
    assert refusal(desk, r.MOVE_TARGET, int(desk.position().target_tick)) == why.NOT_MOVED
    assert refusal(desk, r.MOVE_TARGET, 20_030) == 0
    desk.now_ns += 60 * S
    assert refusal(desk, r.MOVE_TARGET, 20_040) == why.MARKET_UNKNOWN
    desk.quote(*QUOTE)
    desk.command(r.FLATTEN_ALL)
    assert refusal(desk, r.MOVE_TARGET, 20_040) == why.LEAVING


def test_a_receipt_says_why_a_command_was_refused() -> None:
    def told(desk: Desk, code: int, **fields: int) -> int:
        return int(sent(desk.command(code, **fields), r.RECEIPT)[0].qty)

    assert told(Desk(ready=False), r.START) == why.NO_LIMITS
    desk = Desk()
    assert told(desk, r.START) == 0
    assert told(desk, r.LOCK, value=desk.now_ns) == why.OVER
    assert told(desk, 99) == why.NO_SUCH_COMMAND
    for command in (r.RESUME, r.RESET_HALT):
        assert told(desk, command, value=1 << BIT["FEED_STALE"]) == why.NONE_NAMED
    nobody = desk.event(r.COMMAND, code=r.PRESENCE, ref=0)
    assert [int(o.qty) for o in sent(nobody, r.RECEIPT)] == [why.NOBODY]
    desk.enter()
    assert told(desk, r.RESET_HALT) == why.NOT_FLAT
    assert told(desk, r.KILL) == 0 and told(desk, r.START) == why.LATCHED
    assert told(desk, r.STOP_SESSION) == 0 and told(desk, r.START) == why.STOPPED


# --- a target that the venue refuses ---------------------------------------------------------------------------------
def refused(desk: Desk) -> list:
    """What follows when the venue refuses what was asked about the target."""
    return desk.answer(r.REJECT, int(desk.live(r.TARGET)[0].number), code=r.REJECTED_BY_VENUE)


def asked_again(desk: Desk, seconds: int) -> list[int]:
    """After how many seconds a target is asked for, while the venue refuses each."""
    found = []
    for second in range(1, seconds + 1):
        desk.quote(*QUOTE, wait_ns=S - 1)
        out = desk.event(r.TIMER)
        if [o for o in out if o.kind in (r.SUBMIT, r.MODIFY) and o.role == r.TARGET]:
            found.append(second)
            refused(desk)
    return found


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_move_that_the_venue_refuses_is_given_up_and_its_receipt_says_so_ui_15(side: int) -> None:
    desk = Desk()
    desk.enter(side)
    before = int(desk.position().target_tick)
    assert move(desk, r.MOVE_TARGET, before + 4 * side)
    receipts = sent(refused(desk), r.RECEIPT)
    assert [(int(o.ref), int(o.value), int(o.code), int(o.qty)) for o in receipts] == [
        (9, r.MOVE_TARGET, r.RECEIPT_REFUSED, why.VENUE_REFUSED)
    ]
    assert int(desk.position().target_tick) == before == int(desk.live(r.TARGET)[0].price_tick)
    assert asked_again(desk, 120) == []
    assert move(desk, r.MOVE_TARGET, before + 4 * side), "a person may try again, at once"
    assert modified(desk) == [(int(desk.live(r.TARGET)[0].number), before + 4 * side)]
    desk.ack(int(desk.live(r.TARGET)[0].number))
    assert int(desk.live(r.TARGET)[0].price_tick) == before + 4 * side


def test_a_refused_target_waits_twice_as_long_each_time() -> None:
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001)
    desk.ack(int(desk.live(r.STOP_LOSS)[0].number))
    refused(desk)
    assert asked_again(desk, 140) == [1, 3, 7, 15, 31, 63, 95, 127]
    assert move(desk, r.MOVE_TARGET, 20_030)
    assert [int(o.price_tick) for o in desk.sent if o.kind == r.SUBMIT] == [20_030], (
        "another price is asked for at once"
    )
    assert [int(o.qty) for o in sent(refused(desk), r.RECEIPT)] == [why.VENUE_REFUSED]
    assert int(desk.position().target_tick) == 20_017, "it belongs where it was"
    desk.ack(int(desk.live(r.TARGET)[0].number))
    assert asked_again(desk, 40) == []


def test_a_target_of_another_size_is_asked_for_at_once() -> None:
    """The first part's target was refused; the second part makes it another one."""
    desk = Desk({"qty_entry": 2, "loss_trade_micros_max": 100_000_000})
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001, qty=1)
    refused(desk)
    assert [int(o.qty) for o in sent(desk.fill(number, 20_001, qty=1), r.SUBMIT, r.TARGET)] == [2]


def test_a_target_that_is_too_large_is_asked_to_shrink_every_second() -> None:
    """The stop filled in part: as it stands the target could turn the position."""
    desk = Desk({"qty_entry": 2, "loss_trade_micros_max": 100_000_000})
    desk.enter()
    desk.fill(int(desk.live(r.STOP_LOSS)[0].number), 19_993, qty=1)
    refused(desk)
    assert asked_again(desk, 6) == [1, 2, 3, 4, 5, 6]


def test_a_refusal_of_an_earlier_move_gives_up_no_later_one() -> None:
    desk = Desk()
    desk.enter()
    assert move(desk, r.MOVE_TARGET, 20_020) and move(desk, r.MOVE_TARGET, 20_024)
    assert not sent(refused(desk), r.RECEIPT)
    assert int(desk.position().target_tick) == 20_024
    desk.quote(*QUOTE, wait_ns=S)
    assert modified(desk) == [(int(desk.live(r.TARGET)[0].number), 20_024)]
    receipts = sent(refused(desk), r.RECEIPT)
    assert len(receipts) == 1 and int(desk.position().target_tick) == 20_017


# --- a stop that the venue refuses to move ---------------------------------------------------------------------------
def stop_refused(desk: Desk) -> list:
    """What follows when the venue refuses what was asked about the stop, which works on."""
    return desk.answer(r.REJECT, int(desk.live(r.STOP_LOSS)[0].number), code=r.REJECTED_BY_VENUE)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_stops_move_that_the_venue_refuses_is_given_up_and_its_receipt_says_so_ui_15(side: int) -> None:
    desk = Desk()
    desk.enter(side)
    before = int(desk.position().stop_tick)
    assert move(desk, r.MOVE_STOP, before + 3 * side)
    receipts = sent(stop_refused(desk), r.RECEIPT)
    assert [(int(o.ref), int(o.value), int(o.code), int(o.qty)) for o in receipts] == [
        (9, r.MOVE_STOP, r.RECEIPT_REFUSED, why.VENUE_REFUSED)
    ]
    assert int(desk.position().stop_tick) == before == int(desk.live(r.STOP_LOSS)[0].stop_tick)
    assert desk.position().closing == 0, "the old one protects as before"
    desk.sent.clear()
    for _ in range(40):
        desk.quote(*QUOTE, wait_ns=S - 1)
        desk.event(r.TIMER)
    assert modified(desk) == []
    assert move(desk, r.MOVE_STOP, before + 3 * side), "a person may try again, at once"
    assert modified(desk) == [(int(desk.live(r.STOP_LOSS)[0].number), before + 3 * side)]
    desk.ack(int(desk.live(r.STOP_LOSS)[0].number))
    assert int(desk.live(r.STOP_LOSS)[0].stop_tick) == before + 3 * side


def test_a_trailed_stop_that_is_refused_waits_twice_as_long_each_time_and_another_price_does_not_wait() -> None:
    desk = Desk()
    desk.enter()
    before = int(desk.position().stop_tick)
    desk.position().stop_tick = before + 2  # trailed: nobody's command
    found, second = [], 0
    for second in range(1, 70):
        out = desk.quote(*QUOTE, wait_ns=S - 1) + desk.event(r.TIMER)
        if [o for o in out if o.kind == r.MODIFY]:
            found.append(second)
            assert not sent(stop_refused(desk), r.RECEIPT)
    first = found[0]
    assert [at - first for at in found] == [0, 1, 3, 7, 15, 31, 63]
    desk.position().stop_tick = before + 3
    desk.sent.clear()
    desk.quote(*QUOTE, wait_ns=2 * S)
    assert modified(desk) == [(int(desk.live(r.STOP_LOSS)[0].number), before + 3)]


def test_a_stop_whose_move_is_refused_still_grows_with_the_position_n1() -> None:
    """The price waits, the size does not: what the second part adds is covered at the old price."""
    desk = Desk({"qty_entry": 2, "loss_trade_micros_max": 100_000_000})
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001, qty=1)
    stop = desk.live(r.STOP_LOSS)[0]
    desk.ack(int(stop.number))
    before = int(stop.stop_tick)
    desk.position().stop_tick = before + 2
    desk.quote(*QUOTE)
    for _ in range(2):  # refused twice: the price waits for another second
        stop_refused(desk)
        desk.quote(*QUOTE, wait_ns=S)
    desk.sent.clear()
    desk.fill(number, 20_001, qty=1)
    asked = [o for o in desk.sent if o.kind == r.MODIFY]
    desk.quote(*QUOTE, wait_ns=S)
    asked += [o for o in desk.sent if o.kind == r.MODIFY]
    assert [(int(o.qty), int(o.stop_tick)) for o in asked][:1] == [(2, before)]
