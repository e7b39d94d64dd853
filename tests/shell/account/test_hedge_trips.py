"""A hedge's round trips in reports: their money counts, they are no trades (MOEX-HEDGE-05)."""

import pytest

from tests.shell.frames import make_session
from trading.models import Trade
from trading.reports.days import with_results
from trading.reports.session import _trade_figures, exits, hedge_trips
from trading.selectors import session_row, session_summary

pytestmark = pytest.mark.django_db


def test_a_hedge_is_money_and_no_trade_moex_hedge_05():
    session = make_session()
    for seq, (symbol, net) in enumerate([("SBER", 500), ("MXI", 900), ("GAZP", -200), ("MXI", -1_000)], 1):
        lasted_ns = 10_000 if symbol == "MXI" else 1_000
        Trade.objects.create(
            session=session, seq=seq, number=seq, instrument=0, symbol=symbol, side=1, qty=1, exit_tick=1, reason=1,
            gross_micros=net + 10, fee_micros=10, net_micros=net, opened_ns=0, closed_ns=lasted_ns,
        )  # fmt: skip
    summary = session_summary(session.id)
    assert (summary["net_micros"], summary["trades"], summary["won"], summary["lost"]) == (200, 2, 1, 1)
    (row,) = with_results([session_row(session.id)])
    assert (row["net_micros"], row["trades"]) == (200, 2)
    found = _trade_figures(session.id)
    assert (found["best_micros"], found["worst_micros"], found["held_us"]) == (500, -200, 1)
    assert (found["trade_fee_micros"], found["drawdown_micros"]) == (40, 1_200)
    assert [(row["count"], row["net_micros"]) for row in exits(session.id)] == [(2, 300)]
    assert hedge_trips(session.id) == {"count": 2, "net_micros": -100, "fee_micros": 20}
