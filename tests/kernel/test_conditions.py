"""Holds that time, a condition, a notice or a person raises and ends, one test a code (MES-HOLD)."""

import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE, BUY, SELL
from risk.core import codes
from risk.core.holds import BIT
from tests.kernel.desk import NO_TICK, Desk, S, decision, sent, standing
from tests.kernel.test_clock import at
from tests.kernel.test_limits import TIERS, USD, lose
from trading.core import records as r


def test_a_wide_spread_holds_for_its_time_and_is_renewed_mes_hold_spread_mes_break_03() -> None:
    desk = Desk({"spread_hold_ns": 60 * S})
    desk.quote(20_000, 20_005)
    assert standing(desk) == {"SPREAD"}
    first = desk.now_ns
    desk.quote(20_000, 20_005, wait_ns=10 * S)
    desk.now_ns = first + 61 * S
    desk.event(m.FEED, code=m.FEED_BEAT)
    assert standing(desk) == {"SPREAD"}, "renewed while it stays wide"
    desk.now_ns = first + 71 * S
    desk.quote(20_000, 20_001)
    assert standing(desk) == set()


def test_news_windows_hold_entries_mes_hold_news() -> None:
    desk = Desk()
    start = desk.now_ns + 10 * S
    desk.event(r.NEWS, instrument=ACCOUNT_SCOPE, value=start, until_ns=start + 60 * S)
    assert standing(desk) == set()
    at(desk, start)
    assert standing(desk) == {"NEWS"}
    at(desk, start + 60 * S - 1)
    assert decision(desk.score(wait_ns=0)) == codes.HOLD_BASE + BIT["NEWS"]
    at(desk, start + 60 * S)
    assert decision(desk.score(wait_ns=0)) == codes.APPROVED


def test_no_window_of_the_event_list_is_ever_forgotten_mes_hold_news() -> None:
    """Sixteen have room, repeats take none, and one more holds entries from now until its end."""
    desk = Desk()
    first = desk.now_ns + 100 * S
    windows = [(first + 100 * k * S, first + 100 * k * S + 10 * S) for k in range(17)]
    for start, end in [*windows[:16], windows[3], windows[0]]:
        desk.event(r.NEWS, instrument=ACCOUNT_SCOPE, value=start, until_ns=end)
    assert standing(desk) == set()
    desk.event(r.NEWS, instrument=ACCOUNT_SCOPE, value=windows[16][0], until_ns=windows[16][1])
    assert standing(desk) == {"NEWS"}
    assert desk.kernel.state.holds[BIT["NEWS"]].until_ns == windows[16][1]


def test_a_window_that_is_over_makes_room_mes_hold_news() -> None:
    desk = Desk()
    first = desk.now_ns + 100 * S
    windows = [(first + 100 * k * S, first + 100 * k * S + 10 * S) for k in range(17)]
    for start, end in windows[:16]:
        desk.event(r.NEWS, instrument=ACCOUNT_SCOPE, value=start, until_ns=end)
    at(desk, windows[0][1])
    desk.event(r.NEWS, instrument=ACCOUNT_SCOPE, value=windows[16][0], until_ns=windows[16][1])
    assert standing(desk) == set()
    for start, end in windows[1:]:
        at(desk, start)
        assert standing(desk) == {"NEWS"}
        at(desk, end)
        assert standing(desk) == set()


def test_attended_operation_mes_hold_presence_moex_ops_10() -> None:
    desk = Desk({"presence_ns_max": 900 * S})
    assert standing(desk) == set(), "the start was an activity"
    began = int(desk.account.presence_ns)
    at(desk, began + 900 * S - 1)
    assert standing(desk) == set()
    at(desk, began + 900 * S)
    assert standing(desk) == {"PRESENCE"}
    desk.event(r.COMMAND, instrument=ACCOUNT_SCOPE, code=r.KILL, ref=0)  # the desk's own, nobody's activity
    assert "PRESENCE" in standing(desk)
    assert desk.command(r.PRESENCE)[-1].code == r.RECEIPT_DONE
    assert "PRESENCE" not in standing(desk)
    at(desk, int(desk.account.presence_ns) + 900 * S)  # no timer between
    assert "PRESENCE" in standing(desk)


def test_ten_errors_in_a_minute_t10_mes_hold_error_storm() -> None:
    desk = Desk({"errors_60s_max": 10})
    desk.event(r.ERROR, instrument=ACCOUNT_SCOPE, value=9)
    assert standing(desk) == set()
    desk.event(r.ERROR, wait_ns=61 * S, instrument=ACCOUNT_SCOPE, value=1)
    assert standing(desk) == set(), "the nine are too old"
    desk.event(r.ERROR, instrument=ACCOUNT_SCOPE, value=9)
    assert standing(desk) == {"ERROR_STORM"}


def test_a_lock_only_lengthens_and_nothing_lifts_it_mes_hold_operator_lock() -> None:
    desk = Desk()
    desk.enter()
    until = desk.now_ns + 600 * S
    out = desk.command(r.LOCK, value=until)
    assert sent(out, r.SUBMIT, r.EXIT), "its own flatten"
    desk.command(r.LOCK, value=until - 100 * S)
    desk.command(r.RESUME)
    desk.command(r.RESET_HALT)
    assert "OPERATOR_LOCK" in standing(desk)
    desk.event(r.TIMER, wait_ns=until - desk.now_ns - 1)
    assert "OPERATOR_LOCK" in standing(desk)
    desk.event(r.TIMER, wait_ns=1)
    assert "OPERATOR_LOCK" not in standing(desk)
    assert desk.command(r.LOCK, value=desk.now_ns)[-1].code == r.RECEIPT_REFUSED, "a lock that is over already"


def test_a_blocked_network_waits_for_a_reload_mes_hold_model_blocked() -> None:
    desk = Desk()
    desk.event(r.MODEL, instrument=ACCOUNT_SCOPE, code=r.MODEL_BLOCKED)
    assert standing(desk) == {"MODEL_BLOCKED"}
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["MODEL_BLOCKED"]
    desk.command(r.RESUME)
    assert standing(desk) == {"MODEL_BLOCKED"}
    desk.event(r.MODEL, instrument=ACCOUNT_SCOPE, code=r.MODEL_READY)
    assert decision(desk.score()) == codes.APPROVED


def test_a_row_that_is_not_valid_is_refused_mes_hold_features_cold() -> None:
    assert decision(Desk().score(flags=m.FLAG_INVALID)) == codes.HOLD_BASE + BIT["FEATURES_COLD"]


def test_a_rolled_contract_admits_no_entry_mes_hold_contract_roll() -> None:
    desk = Desk()
    desk.event(r.LINK, instrument=0, code=r.LINK_CONTRACT, value=0)
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["CONTRACT_ROLL"]
    desk.event(r.LINK, instrument=0, code=r.LINK_CONTRACT, value=1)
    assert decision(desk.score()) == codes.APPROVED


def test_one_contract_never_vouches_for_another_mes_hold_contract_roll() -> None:
    desk = Desk(ready=False)
    desk.configure()
    desk.add_instrument(1)
    desk.connect()
    desk.command(r.START)
    desk.quote(20_000, 20_001)
    desk.event(r.TIMER)
    for instrument in (0, 1):
        desk.event(r.LINK, instrument=instrument, code=r.LINK_CONTRACT, value=0)
    desk.event(r.LINK, instrument=1, code=r.LINK_CONTRACT, value=1)
    assert standing(desk) == {"CONTRACT_ROLL"}
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["CONTRACT_ROLL"]
    desk.event(r.LINK, instrument=0, code=r.LINK_CONTRACT, value=1)
    assert standing(desk) == set()
    for instrument in (ACCOUNT_SCOPE, 0):  # one word about all of them, then about one
        desk.event(r.LINK, instrument=instrument, code=r.LINK_CONTRACT, value=int(instrument == 0))
    assert standing(desk) == {"CONTRACT_ROLL"}, "the other is still inactive"
    desk.event(r.LINK, instrument=ACCOUNT_SCOPE, code=r.LINK_CONTRACT, value=1)
    assert decision(desk.score()) == codes.APPROVED


def test_a_mark_that_is_no_price_is_discarded_and_blocks_mes_risk_11() -> None:
    desk = Desk()
    for price in (0, -5, 2**40):
        desk.event(m.TRADE, price_tick=price, qty=1)
        assert desk.position().mark_tick == 20_000
        assert decision(desk.score()) == codes.FEED_STALE
    assert desk.position().bad_marks == 3
    desk.event(m.TRADE, price_tick=20_000, qty=1)
    assert decision(desk.score()) == codes.APPROVED


@pytest.mark.parametrize("trade", [{"price_tick": NO_TICK}, {"price_tick": 20_000, "flags": m.FLAG_INVALID}])
def test_a_trade_without_a_price_is_a_bad_mark_mes_risk_11(trade: dict[str, int]) -> None:
    """Unknown, or marked as not to be believed: counted, and nobody enters until a good one comes."""
    desk = Desk()
    desk.event(m.TRADE, qty=1, **trade)
    assert desk.position().bad_marks == 1 and desk.position().last_tick == NO_TICK
    assert decision(desk.score()) == codes.FEED_STALE
    desk.event(m.BAR, close_tick=NO_TICK, value=S)
    assert desk.position().bad_marks == 1, "a bar in which nothing traded is none"
    desk.event(m.TRADE, price_tick=20_000, qty=1)
    assert decision(desk.score()) == codes.APPROVED


def test_a_state_out_of_range_halts_mes_hold_state_unreadable() -> None:
    desk = Desk()
    desk.event(r.TRANSFER, instrument=ACCOUNT_SCOPE, value=2**61)
    assert "STATE_UNREADABLE" in standing(desk)
    desk.command(r.RESUME)
    assert "STATE_UNREADABLE" in standing(desk)


@pytest.mark.parametrize("asked", [0, 1 << BIT["STATE_UNREADABLE"], 1 << BIT["STATE_UNREADABLE"] | 1])
def test_lost_figures_are_not_reset_while_nobody_states_them_mes_hold_state_unreadable(asked: int) -> None:
    desk = Desk()
    desk.event(r.TRANSFER, instrument=ACCOUNT_SCOPE, value=2**61)
    desk.event(r.TRANSFER, instrument=ACCOUNT_SCOPE, value=-(2**61))
    assert desk.command(r.RESET_HALT, value=asked)[-1].code == r.RECEIPT_REFUSED
    assert standing(desk) == {"STATE_UNREADABLE"}
    desk.command(r.KILL)
    assert desk.command(r.RESET_HALT, value=1 << BIT["KILL_SWITCH"])[-1].code == r.RECEIPT_DONE
    desk.command(r.RESUME)
    assert standing(desk) == {"STATE_UNREADABLE"}, "who lifts a kill lifts nothing else"
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["STATE_UNREADABLE"]


NO_PRICE = [0, -8, 2**31 + 1, NO_TICK]


@pytest.mark.parametrize("price", NO_PRICE)
def test_a_fill_at_no_price_is_counted_closed_and_halts_mes_hold_state_unreadable(price: int) -> None:
    """The quantity is the venue's truth; what it cost is in doubt, so nobody enters until a person has looked."""
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    out = desk.fill(number, price)
    assert desk.position().qty == 1 and "STATE_UNREADABLE" in standing(desk)
    exits = sent(out, r.SUBMIT, r.EXIT)
    assert [int(o.qty) for o in exits] == [1], "no stop can be measured from it: out"
    desk.fill(int(exits[0].order_number), 20_000)
    assert desk.position().qty == 0 and desk.position().cost_ticks == 0
    a = desk.account
    assert a.balance_micros == a.equity_micros == 10_000_000_000 - 420_000, "the fee of the fill that has a price"
    assert a.realised_micros == 0 and a.peak_micros == 10_000_000_000 and a.day_net_micros == -420_000
    assert (a.trades, a.wins, a.losses, a.streak) == (1, 0, 0, 0), "nobody knows whether it won"


@pytest.mark.parametrize("price", NO_PRICE)
def test_an_exit_at_no_price_books_no_money_mes_hold_state_unreadable(price: int) -> None:
    desk = Desk()
    desk.enter()
    paid = int(desk.account.balance_micros)
    desk.fill(int(desk.live(r.STOP_LOSS)[0].number), price)
    a = desk.account
    assert desk.position().qty == 0 and standing(desk) == {"STATE_UNREADABLE"}
    assert a.balance_micros == a.equity_micros == paid and (a.wins, a.losses) == (0, 0)


def test_money_is_booked_again_in_the_round_trip_after_mes_hold_state_unreadable() -> None:
    """The unknown ends with the position that it began with: what a priced fill turns it into has its price."""
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.fill(number, 0)
    out = desk.live(r.EXIT)[0]
    desk.answer(r.FILL, int(out.number), side=SELL, qty=2, price_tick=20_000, fee_micros=840_000)  # one too many
    back = int(desk.live(r.EXIT)[0].number)
    before = int(desk.account.balance_micros)
    desk.fill(back, 19_990)
    assert desk.account.balance_micros - before == 10 * 1_250_000 - 420_000


def test_a_fill_of_an_unknown_order_at_no_price_before_any_mark_is_not_booked() -> None:
    desk = Desk(ready=False)
    desk.configure()
    desk.connect()
    desk.answer(r.FILL, 4_711, side=BUY, qty=1, price_tick=0)
    assert desk.position().qty == 0 and desk.account.reconciled == 0
    assert "STATE_UNREADABLE" in standing(desk)


def state_of(desk: Desk) -> tuple[int, ...]:
    a, p = desk.account, desk.position()
    money = (a.balance_micros, a.equity_micros, a.peak_micros, a.fees_micros, a.day_net_micros)
    return (*(int(value) for value in money), int(p.qty), int(p.cost_ticks))


SENSELESS: list[dict[str, int]] = [
    {"side": 0},
    {"side": SELL},
    {"side": 2},
    {"instrument": 1},
    {"instrument": ACCOUNT_SCOPE},
    {"instrument": 40},
    {"fee_micros": -1},
    {"fee_micros": -(2**60)},
    {"fee_micros": 20_001 * 1_250_000 + 1},
    {"qty": 2**40},
]


@pytest.mark.parametrize("said", SENSELESS, ids=str)
def test_a_fill_without_sense_is_not_booked_and_halts_p06(said: dict[str, int]) -> None:
    """Side, instrument and fee must fit the order; if not, only the venue's truth says what is held."""
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    before = state_of(desk)
    fill = {"side": BUY, "qty": 1, "price_tick": 20_001, "fee_micros": 420_000}
    out = desk.answer(r.FILL, number, **(fill | said))
    assert state_of(desk) == before and desk.order(number).filled == 0
    assert "STATE_UNREADABLE" in standing(desk) and desk.account.reconciled == 0
    assert [int(o.order_number) for o in sent(out, r.QUERY)] == [0], "the venue is asked for its truth"
    assert decision(desk.score()) == codes.NOT_RECONCILED
    desk.reconcile([(0, 1)])
    assert "MISMATCH" in standing(desk) and desk.account.reconciled == 0


@pytest.mark.parametrize(
    "said", [{"side": 0}, {"instrument": 1}, {"instrument": ACCOUNT_SCOPE}, {"fee_micros": -1}, {"qty": 2**40}], ids=str
)
def test_a_senseless_fill_of_an_unknown_order_is_not_booked_either_p06(said: dict[str, int]) -> None:
    desk = Desk()
    before = state_of(desk)
    desk.answer(r.FILL, 4_711, **({"side": BUY, "qty": 1, "price_tick": 20_001, "fee_micros": 420_000} | said))
    assert state_of(desk) == before
    assert "STATE_UNREADABLE" in standing(desk) and desk.account.reconciled == 0


def test_the_dearest_fee_and_none_at_all_are_booked_p06() -> None:
    for fee in (0, 20_001 * 1_250_000):
        desk = Desk()
        number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
        desk.answer(r.FILL, number, side=BUY, qty=1, price_tick=20_001, fee_micros=fee)
        assert desk.position().qty == 1 and desk.account.fees_micros == fee


@pytest.mark.parametrize("qty", [0, -1])
def test_a_fill_of_nothing_is_not_booked_and_halts_mes_hold_state_unreadable(qty: int) -> None:
    desk = Desk()
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001, qty=qty)
    assert desk.position().qty == 0 and desk.order(number).filled == 0
    assert standing(desk) == {"STATE_UNREADABLE"}


@pytest.mark.parametrize(
    ("side", "price", "stop", "target"), [(BUY, 5, 1, 21), (SELL, 9, 17, None), (SELL, 16, 24, None), (SELL, 17, 25, 1)]
)
def test_no_bracket_leg_is_priced_below_the_first_tick_mes_stop_04(side: int, price: int, stop: int, target) -> None:
    desk = Desk({"collar_ppm_max": 1_000_000}, ready=False)
    desk.configure()
    desk.connect()
    desk.command(r.START)
    desk.quote(16, 17)
    desk.event(r.TIMER)
    desk.enter(side, price)
    assert [int(o.stop_tick) for o in desk.live(r.STOP_LOSS)] == [stop]
    assert [int(o.price_tick) for o in desk.live(r.TARGET)] == ([] if target is None else [target])


def test_a_pause_never_closes_a_position_mes_risk_15_mes_acc_x17() -> None:
    desk = Desk(TIERS | {"streak_soft": 1, "stop_ticks": 4, "capital_micros": 2000 * USD})
    lose(desk, 4)
    assert standing(desk) == {"LOSS_STREAK"}
    desk = Desk()
    desk.enter()
    desk.account.streak_until_ns = desk.now_ns + 900 * S
    desk.event(r.TIMER)
    desk.event(r.TIMER, wait_ns=100 * S)
    assert "LOSS_STREAK" in standing(desk)
    assert desk.position().qty == 1 and desk.position().closing == 0 and len(desk.live()) == 2


def test_shocks_of_the_grid_scale_and_a_feed_gap_ends_them_mes_break_01_mes_hold_volatility_mes_hold_volume() -> None:
    desk = Desk()
    start = (desk.now_ns // (60 * S) + 1) * 60 * S
    for second in range(60 * 9 + 1):
        wild = 60 * 8 <= second < 60 * 9
        end = start + (second + 1) * S
        desk.now_ns = end - 1
        fields = {"open_tick": 20_000, "high_tick": 20_020 if wild else 20_001, "low_tick": 19_980 if wild else 19_999}
        desk.event(m.BAR, value=S, ts_venue_ns=end, close_tick=20_000, volume=0 if wild else 50, **fields)
    assert standing(desk) == {"VOLATILITY", "VOLUME"}
    desk.event(m.FEED, code=m.FEED_GAP)
    assert not {"VOLATILITY", "VOLUME"} & standing(desk)
