"""A person moves the stop or the target of what is held (UI-15, MOEX-ACC-103): closer is free, farther is refused."""

import pytest

from marketdata.core.records import BUY, NO_TICK, SELL
from tests.kernel.desk import Desk, S, kinds, sent
from trading.core import records as r
from trading.core.protect import CLOSE_REASONS

QUOTE = (20_000, 20_001)


def move(desk: Desk, code: int, tick: int, instrument: int = 0) -> bool:
    """Whether the command was done; what it sent stays in `desk.sent`."""
    desk.sent.clear()
    out = desk.event(r.COMMAND, instrument=instrument, code=code, ref=9, value=tick)
    receipts = sent(out, r.RECEIPT)
    assert len(receipts) == 1 and receipts[0].value == code
    return int(receipts[0].code) == r.RECEIPT_DONE


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
