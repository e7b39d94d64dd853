"""The account's limits by their rules: what raises a hold, when it counts, what clears it (MES-RISK, MES-HOLD)."""

import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE, BUY
from risk.core import codes
from risk.core.holds import BIT, FLATTEN_MASK, HOLDS, LABELS, label
from risk.core.records import MES
from tests.kernel.desk import Desk, S, decision, sent, standing
from trading.core import records as r

USD = 1_000_000
SMALL = {
    "capital_micros": 1000 * USD,
    "margin_micros_max": 1000 * USD,
    "loss_trade_micros_max": 900 * USD,
    "loss_day_micros_max": 50 * USD,
    "drawdown_day_micros_max": 75 * USD,
    "drawdown_micros_max": 200 * USD,
    "loss_total_micros_max": 300 * USD,
    "balance_micros_min": 700 * USD,
    "cooldown_entry_ns": 0,
    "cooldown_exit_ns": 0,
    "move_ticks_max": 10_000,
}
TIERS = SMALL | {"sizing": 1, "loss_trade_micros_max": 25 * USD}
WIDE = SMALL | {"loss_day_micros_max": 900 * USD, "drawdown_day_micros_max": 950 * USD}


def clean(desk: Desk) -> None:
    """Flat, and every order ended."""
    for order in desk.live():
        desk.answer(r.CANCELLED, int(order.number))


def lose(desk: Desk, ticks: int) -> None:
    """A round trip that loses `ticks` a contract (less than 0: wins) and the commission of $0.84."""
    desk.quote(20_000, 20_001, wait_ns=S)
    desk.enter()
    desk.fill(int(desk.live(r.STOP_LOSS)[0].number), 20_001 - ticks)
    clean(desk)
    desk.quote(20_000, 20_001)
    desk.event(m.TRADE, price_tick=20_000, qty=1)


def next_day(desk: Desk, day: int = 20260305) -> None:
    last = desk.kernel.params.windows[int(desk.account.window_count) - 1]
    start = int(last.end_ns)
    desk.event(r.WINDOW_SET, instrument=ACCOUNT_SCOPE, code=1, value=start, until_ns=start + 10**15, ref=day)
    desk.now_ns = start
    desk.event(r.TIMER)
    desk.quote(20_000, 20_001)
    desk.event(r.TIMER)


def trade_to(desk: Desk, price: int, marks: int = 1) -> None:
    for _ in range(marks):
        desk.event(m.TRADE, price_tick=price, qty=1)


# --- losses -----------------------------------------------------------------------------------------------------------
def test_daily_loss_is_booked_money_and_ends_at_the_roll_mes_hold_daily_loss() -> None:
    desk = Desk(SMALL)
    lose(desk, 29)  # $36.25 and $0.84
    assert standing(desk) == set()
    lose(desk, 10)  # $50.43 in all
    assert "DAILY_LOSS" in standing(desk)
    assert LABELS[label(MES, int(desk.account.holds))] == "STOPPED_FOR_DAY"
    desk.command(r.RESUME)
    assert "DAILY_LOSS" in standing(desk), "resume clears no STOPPED_FOR_DAY (MES-RISK-13)"
    next_day(desk)
    assert "DAILY_LOSS" not in standing(desk) and desk.account.day_net_micros == 0


def test_daily_drawdown_counts_from_todays_equity_peak_mes_hold_daily_drawdown() -> None:
    desk = Desk(SMALL | {"loss_day_micros_max": 70 * USD})
    desk.enter()
    trade_to(desk, 20_041)  # +$50
    peak = int(desk.account.day_peak_micros)
    assert peak == 1000 * USD + 50 * USD - 420_000
    trade_to(desk, 19_982, marks=2)  # 59 ticks: $73.75 below the peak
    assert standing(desk) == set()
    trade_to(desk, 19_981, marks=2)  # $75.00
    assert standing(desk) == set(), "not confirmed yet (MES-RISK-11)"
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["DAILY_DRAWDOWN"], "but it refuses from the first mark on"
    trade_to(desk, 19_981)
    assert standing(desk) == {"DAILY_DRAWDOWN"}
    assert desk.position().closing == 1
    next_day(desk)
    assert desk.account.day_peak_micros == desk.account.equity_micros


@pytest.mark.parametrize("how", ["marks", "time", "recovers", "bars"])
def test_a_breach_by_open_money_is_confirmed_mes_risk_11(how: str) -> None:
    desk = Desk(WIDE)
    desk.enter()  # its stop is never filled here
    if how == "bars":
        desk.kernel.params.limits[0].bar_mode = 1
    trade_to(desk, 20_001 - 240)  # $300 and a fee below the reference
    if how == "bars":
        assert "EQUITY_KILL" in standing(desk), "in bar mode at once"
    elif how == "marks":
        trade_to(desk, 20_001 - 240)
        assert "EQUITY_KILL" not in standing(desk)
        trade_to(desk, 20_001 - 240)
        assert "EQUITY_KILL" in standing(desk)
    elif how == "time":
        desk.event(r.TIMER, wait_ns=S - 2)
        assert "EQUITY_KILL" not in standing(desk)
        desk.event(r.TIMER, wait_ns=2)
        assert "EQUITY_KILL" in standing(desk)
    else:
        trade_to(desk, 20_001 - 240)
        trade_to(desk, 20_000)
        trade_to(desk, 20_001 - 240, marks=2)
        assert "EQUITY_KILL" not in standing(desk), "a mark out of breach starts the count anew"


def test_equity_kill_fires_once_and_is_rebased_mes_acc_x13_mes_risk_03_mes_hold_equity_kill() -> None:
    desk = Desk(WIDE | {"drawdown_micros_max": 299 * USD, "balance_micros_min": 0})
    for _ in range(4):  # gross losses of far more than $300, larger wins between
        lose(desk, 80)
        lose(desk, -90)
    assert standing(desk) == set(), "equity at or above the reference never trips it (MES-RISK-10)"
    for _ in range(3):
        lose(desk, 80)
    assert standing(desk) == {"ACCOUNT_DRAWDOWN"}, "which comes first on booked losses"
    desk.command(r.RESUME)
    lose(desk, 40)
    assert standing(desk) == {"EQUITY_KILL"}
    raised = sum(o.kind == r.HOLD_RAISED and o.code == BIT["EQUITY_KILL"] for o in desk.sent)
    assert raised == 1 and LABELS[label(MES, int(desk.account.holds))] == "HALTED"
    desk.command(r.RESUME)
    assert "EQUITY_KILL" in standing(desk), "resume does not clear a halt (MES-RISK-13)"
    desk.command(r.RESET_HALT)
    assert "EQUITY_KILL" not in standing(desk)
    assert desk.account.reference_micros == desk.account.equity_micros
    desk.command(r.RESUME)  # a reset pauses (K-05)
    lose(desk, 4)
    assert "EQUITY_KILL" not in standing(desk), "the next small loss does not fire it again"


def test_account_drawdown_is_rebased_by_resume_mes_acc_x14_mes_risk_04_mes_hold_account_drawdown() -> None:
    desk = Desk(WIDE | {"loss_total_micros_max": 990 * USD})
    while "ACCOUNT_DRAWDOWN" not in standing(desk):
        lose(desk, 40)
    assert LABELS[label(MES, int(desk.account.holds))] == "MANUAL_REVIEW"
    desk.command(r.RESET_HALT)
    assert "ACCOUNT_DRAWDOWN" in standing(desk), "reset_halt clears HALTED holds only"
    desk.command(r.RESUME, value=1 << BIT["OPERATOR_PAUSE"])
    assert "ACCOUNT_DRAWDOWN" in standing(desk), "narrowed to another code"
    assert desk.account.peak_micros != desk.account.balance_micros
    desk.command(r.RESUME)
    assert "ACCOUNT_DRAWDOWN" not in standing(desk)
    assert desk.account.peak_micros == desk.account.balance_micros
    lose(desk, 4)
    assert "ACCOUNT_DRAWDOWN" not in standing(desk)


def test_the_least_balance_is_a_condition_mes_hold_min_balance() -> None:
    desk = Desk(WIDE | {"drawdown_micros_max": 980 * USD, "loss_total_micros_max": 990 * USD})
    desk.event(r.TRANSFER, instrument=ACCOUNT_SCOPE, value=-300 * USD)
    assert desk.account.balance_micros == 700 * USD and standing(desk) == set(), "exactly $700 trades"
    lose(desk, 1)
    assert standing(desk) == {"MIN_BALANCE"}
    desk.command(r.RESUME)
    assert standing(desk) == {"MIN_BALANCE"}, "cleared by its condition alone"
    desk.event(r.TRANSFER, instrument=ACCOUNT_SCOPE, value=3 * USD)
    assert standing(desk) == set()


def test_a_transfer_moves_every_level_alike_mes_risk_01() -> None:
    desk = Desk(SMALL)
    a = desk.account
    before = [int(a[n]) for n in ("reference_micros", "peak_micros", "day_peak_micros", "balance_micros")]
    desk.event(r.TRANSFER, instrument=ACCOUNT_SCOPE, value=-250 * USD)
    after = [int(a[n]) for n in ("reference_micros", "peak_micros", "day_peak_micros", "balance_micros")]
    assert [y - x for x, y in zip(before, after, strict=True)] == [-250 * USD] * 4
    assert a.day_net_micros == 0 and standing(desk) == set()


# --- streak -----------------------------------------------------------------------------------------------------------
STREAK = WIDE | {
    "streak_soft": 3,
    "streak_hard": 5,
    "loss_total_micros_max": 990 * USD,
    "drawdown_micros_max": 980 * USD,
}


def held_for(desk: Desk) -> int:
    """Seconds from now to the end of LOSS_STREAK."""
    return round((int(desk.kernel.state.holds[BIT["LOSS_STREAK"]].until_ns) - desk.now_ns) / S)


def test_three_and_five_losses_pause_mes_hold_loss_streak_mes_acc_10c_4() -> None:
    desk = Desk(STREAK)
    lose(desk, 4)
    lose(desk, 4)
    assert standing(desk) == set()
    lose(desk, 4)
    assert standing(desk) == {"LOSS_STREAK"} and held_for(desk) == 900
    assert desk.account.streak == 3
    until = int(desk.kernel.state.holds[BIT["LOSS_STREAK"]].until_ns)
    desk.now_ns = until - 1
    desk.quote(20_000, 20_001, wait_ns=0)
    assert decision(desk.score(wait_ns=0)) == codes.HOLD_BASE + BIT["LOSS_STREAK"]
    desk.now_ns = until
    desk.quote(20_000, 20_001, wait_ns=0)
    assert standing(desk) == set(), "removed by an event, at its end exactly"
    assert desk.account.streak == 3, "the streak remains (MES-RISK-12)"
    desk.event(r.TIMER)
    lose(desk, 4)
    assert held_for(desk) == 900, "a fourth: 15 min anew"


def test_a_later_loss_lengthens_and_never_shortens_mes_risk_12_mes_acc_x15() -> None:
    desk = Desk(STREAK | {"spread_hold_ns": 60 * S})
    for _ in range(2):
        lose(desk, 4)
    desk.account.streak = 4
    lose(desk, 4)
    assert held_for(desk) == 1800
    until = int(desk.kernel.state.holds[BIT["LOSS_STREAK"]].until_ns)
    desk.quote(20_000, 20_006)  # a wide spread inside it
    assert "SPREAD" in standing(desk)
    desk.now_ns += 61 * S
    desk.event(m.FEED, code=m.FEED_BEAT)
    assert standing(desk) == {"LOSS_STREAK"}, "one clearing never takes another with it"
    assert int(desk.kernel.state.holds[BIT["LOSS_STREAK"]].until_ns) == until
    desk.quote(20_000, 20_001)
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["LOSS_STREAK"]


def test_wins_and_the_roll_end_a_streak_zero_does_not_mes_risk_08_mes_risk_09() -> None:
    desk = Desk(STREAK)
    lose(desk, 4)
    lose(desk, 4)
    lose(desk, -20)
    assert desk.account.streak == 0 and standing(desk) == set()
    lose(desk, 4)
    desk.position().trade_fee_micros = 0
    desk.quote(20_000, 20_001)
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.answer(r.FILL, number, side=BUY, qty=1, price_tick=20_001, fee_micros=0)
    stop = int(desk.live(r.STOP_LOSS)[0].number)
    desk.answer(r.FILL, stop, side=-1, qty=1, price_tick=20_001, fee_micros=0)
    clean(desk)
    assert desk.account.streak == 1, "exactly 0 is neither"
    assert (desk.account.day_trades, desk.account.day_wins, desk.account.day_losses) == (5, 1, 3)
    next_day(desk)
    assert desk.account.streak == 0 and desk.account.day_trades == 0


def test_record_result_counts_a_fill_once_mes_risk_21() -> None:
    desk = Desk(STREAK)
    lose(desk, 4)
    state = desk.account.streak, desk.account.balance_micros, desk.account.trades
    desk.event(r.FILL, order_number=2, ref=desk.ref - 1, side=-1, qty=1, price_tick=19_000, fee_micros=420_000)
    assert (desk.account.streak, desk.account.balance_micros, desk.account.trades) == state


def test_limits_are_raised_in_table_order_mes_risk_21() -> None:
    desk = Desk(STREAK)
    desk.account.streak = 2
    desk.quote(20_000, 20_001)
    desk.enter()
    limits = desk.kernel.params.limits[0]
    limits.loss_day_micros_max, limits.drawdown_micros_max, limits.loss_total_micros_max = 2 * USD, 3 * USD, 4 * USD
    out = desk.fill(int(desk.live(r.STOP_LOSS)[0].number), 19_990)
    raised = [int(o.code) for o in sent(out, r.HOLD_RAISED)]
    rows = [h.bit for h in HOLDS[MES]]
    assert {"EQUITY_KILL", "ACCOUNT_DRAWDOWN", "DAILY_LOSS", "LOSS_STREAK"} <= standing(desk)
    assert raised == sorted(raised, key=rows.index)
    kinds = [int(o.kind) for o in out]
    assert kinds.index(r.TRADE_CLOSED) < kinds.index(r.HOLD_RAISED)


def test_equity_is_balance_and_open_profit_at_the_mark_mes_risk_02() -> None:
    desk = Desk(SMALL)
    desk.enter()
    trade_to(desk, 20_005)
    assert desk.account.equity_micros == desk.account.balance_micros + 4 * 1_250_000
    trade_to(desk, 19_999)
    assert desk.account.equity_micros == 1000 * USD - 420_000 - 2 * 1_250_000


def test_a_position_without_a_known_stop_refuses_entries_mes_risk_06() -> None:
    desk = Desk(SMALL)
    desk.enter()
    desk.position().stop_tick = m.NO_TICK
    assert decision(desk.score()) == codes.LIMITS_UNKNOWN


# --- sizes ------------------------------------------------------------------------------------------------------------
def test_the_size_sent_is_the_size_approved_and_scaled_mes_size_04_mes_acc_10_20() -> None:
    desk = Desk(TIERS | {"capital_micros": 2000 * USD, "stop_ticks": 4})
    out = desk.score(confidence=720_000)
    assert [int(o.qty) for o in sent(out, r.SUBMIT)] == [3] == [int(o.qty) for o in sent(out, r.DECISION)]
    desk = Desk(TIERS | {"capital_micros": 2000 * USD, "stop_ticks": 4})
    desk.account.holds |= 1 << BIT["VOLATILITY"] | 1 << BIT["EOD_REDUCED"]
    out = desk.score(confidence=720_000)
    assert [int(o.qty) for o in sent(out, r.SUBMIT)] == [1], "min(0.5, 0.5), never their product"


def test_a_size_of_zero_is_refused_by_its_reason_mes_size_02() -> None:
    desk = Desk(TIERS | {"capital_micros": 900 * USD, "stop_ticks": 16})
    assert decision(desk.score(confidence=720_000)) == codes.RISK_TIER
    assert decision(Desk(TIERS | {"half_keep_one": 0}).score(confidence=650_000)) == codes.SIZE_HALF_SKIPPED
    assert decision(Desk(TIERS).score(confidence=650_000)) == codes.APPROVED


def test_remaining_daily_risk_is_not_enlarged_by_profit_mes_risk_07() -> None:
    desk = Desk(TIERS | {"capital_micros": 5000 * USD, "loss_trade_micros_max": 99 * USD, "stop_ticks": 16})
    first = int(sent(desk.score(confidence=950_000), r.SUBMIT)[0].qty)
    assert first == 2  # floor(50 / 20.84)
    desk = Desk(TIERS | {"capital_micros": 5000 * USD, "loss_trade_micros_max": 99 * USD, "stop_ticks": 16})
    desk.account.day_net_micros = 40 * USD
    assert int(sent(desk.score(confidence=950_000), r.SUBMIT)[0].qty) == first
    desk.account.day_net_micros = 0


def test_flatten_holds_close_and_the_others_do_not() -> None:
    for hold in HOLDS[MES]:
        desk = Desk()
        desk.enter()
        desk.account.holds |= 1 << hold.bit
        desk.quote(20_000, 20_001)
        assert (desk.position().closing == 1) == bool(int(FLATTEN_MASK[MES]) >> hold.bit & 1), hold.code
