"""Controls under every rulebook: what a lost link does to working orders, and when figures are computed anew."""

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE
from tests.kernel.desk import Desk, sent, standing
from trading.core import records as r


def test_a_lost_link_takes_entries_back_and_keeps_stops_w05() -> None:
    desk = Desk(ready=False)
    desk.add_instrument(1)
    desk.configure()
    desk.connect()
    desk.command(r.START)
    for instrument in (0, 1):
        desk.quote(20_000, 20_001, instrument=instrument)
    desk.event(r.TIMER)
    desk.enter()
    stop = int(desk.live(r.STOP_LOSS)[0].number)
    entry = int(sent(desk.score(instrument=1), r.SUBMIT, r.ENTRY)[0].order_number)
    desk.ack(entry)
    out = desk.event(r.LINK, instrument=ACCOUNT_SCOPE, code=r.LINK_EXECUTION, value=0)
    assert "EXECUTION_AWAY" in standing(desk)
    assert [int(o.order_number) for o in sent(out, r.CANCEL)] == [entry]
    assert desk.order(stop).status == 1 and desk.order(stop).request == 0


def test_profit_is_computed_anew_with_every_mark_and_fill_t01() -> None:
    desk = Desk()
    desk.enter()
    seen = []
    for price in (20_004, 19_998):
        desk.event(m.TRADE, price_tick=price, qty=1)
        seen.append(int(desk.account.equity_micros - desk.account.balance_micros))
    assert seen == [3 * 1_250_000, -3 * 1_250_000]
    desk.command(r.FLATTEN_ALL)
    number = int(desk.live(r.EXIT)[0].number)
    desk.ack(number)
    desk.fill(number, 19_998)
    assert desk.account.equity_micros == desk.account.balance_micros == 10_000_000_000 - 3 * 1_250_000 - 2 * 420_000
