"""Books that stay away in an open session: HEARTBEAT, told by the risk loop from what its kernel saw (MOEX-MON-05)."""

import pytest

from marketdata.core.records import ACCOUNT_SCOPE
from marketdata.core.sessions import AFTER_HOURS
from risk.core.holds import BIT
from risk.core.records import MOEX
from tests.kernel.desk import T0, Desk, S, standing
from trading.core import records as r
from trading.run.telling.heartbeat import Heartbeat

SHARES = {"rules": MOEX, "day_loss_open": 1, "quote_age_ns_max": 3600 * S}


def said(desk: Desk, silent_s: float, begun_ns: int = T0) -> list[int]:
    """What the watch tells so long after the last event: values of CONDITIONs."""
    found = Heartbeat(5 * S, begun_ns).due(desk.kernel, desk.now_ns + round(silent_s * S))
    assert (found["code"] == BIT["HEARTBEAT"]).all() and (found["kind"] == r.CONDITION).all()
    return [int(value) for value in found["value"]]


def raised() -> Desk:
    """A desk whose books stayed away."""
    desk = Desk(SHARES)
    desk.quote(20_000, 20_001)
    desk.event(r.CONDITION, instrument=ACCOUNT_SCOPE, code=BIT["HEARTBEAT"], value=1, wait_ns=16 * S)
    assert standing(desk) == {"HEARTBEAT"}
    return desk


def test_fifteen_seconds_without_a_book_raise_it_moex_acc_312() -> None:
    desk = Desk(SHARES)
    desk.quote(20_000, 20_001)
    assert said(desk, 14.9) == []
    assert said(desk, 15) == [1]


def test_outside_of_a_session_and_on_bars_it_sleeps_moex_acc_312() -> None:
    desk = Desk(SHARES)
    desk.quote(20_000, 20_001)
    assert said(Desk(SHARES | {"bar_mode": 1}), 3600) == []
    assert said(Desk(), 3600) == [], "futures have no such hold"
    desk.kernel.params.windows[0].phase = AFTER_HOURS
    assert said(desk, 3600) == []
    desk.kernel.params.windows[0].end_ns = desk.now_ns
    assert said(desk, 3600) == []


def test_a_session_that_has_just_begun_owes_its_first_book_in_fifteen_seconds() -> None:
    desk = Desk(SHARES)
    desk.kernel.state.positions["quote_ts_ns"] = 0
    assert said(desk, 0, begun_ns=desk.now_ns) == []
    assert said(desk, 15, begun_ns=desk.now_ns) == [1]


@pytest.mark.parametrize("integrity", [0, 1])
def test_it_ends_when_books_flow_and_integrity_does_not_stand_moex_risk_05(integrity: int) -> None:
    desk = raised()
    desk.event(r.CONDITION, instrument=ACCOUNT_SCOPE, code=BIT["INTEGRITY"], value=integrity)
    assert said(desk, 1) == [], "no book came"
    desk.quote(20_000, 20_001)
    assert said(desk, 1) == ([] if integrity else [0])
    assert said(desk, 6) == [], "one book is no flow"


def test_it_is_told_once_and_survives_a_takeover() -> None:
    """The watch keeps nothing: what stands is in the kernel, which snapshot and journal bring again."""
    desk = raised()
    assert said(desk, 30) == []
    other = type(desk.kernel).restore(desk.kernel.snapshot())
    assert len(Heartbeat(5 * S, T0).due(other, desk.now_ns + 30 * S)) == 0
    desk.quote(20_000, 20_001)
    assert said(desk, 0) == [0]
