"""Exits that nothing withholds, and that somebody hears of when they fail (K-02, MES-EOD-06, MES-LIVE-08)."""

import pytest

from tests.kernel.desk import Desk, S, sent
from trading.core import records as r


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
