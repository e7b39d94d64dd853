"""A new session is no new account: figures, streak and holds of the one before, in the kernel (issue 4, MES-RISK-22).

Each heir is a fresh kernel that is told, by the product's own rows, what another kernel left.
"""

from collections.abc import Mapping

import msgspec
import pytest

from marketdata.core.records import ACCOUNT_SCOPE, NO_TIME
from marketdata.core.sessions import NORMAL
from risk.core import codes
from risk.core.holds import BIT, BY_OPERATOR, BY_TIME, BY_TRADING_DAY, HALTED, HOLDS
from risk.core.records import MES, MOEX
from tests.kernel.desk import T0, Desk, S, decision, standing
from tests.kernel.test_limits import USD, lose
from trading.core import records as r
from trading.core.past import FIGURES, PAST_HOLD
from trading.run.journal.closing import Closing, closing_of, past_of
from trading.run.replica import Kernel
from trading.run.spec import PastSpec, past_events, statement

DAY = 20260304
FREE = {"cooldown_entry_ns": 0, "cooldown_exit_ns": 0, "move_ticks_max": 10_000}
LOSSES = FREE | {"loss_day_micros_max": 50 * USD, "drawdown_day_micros_max": 10_000 * USD}


def left(desk: Desk) -> Closing:
    """What a desk leaves to the session after it, as session 41."""
    return closing_of(desk.kernel, 41, bytes(32))


def heir(past: PastSpec, limits: Mapping[str, int], at: int = T0, day: int = DAY, start: bool = True) -> Desk:
    """A fresh session that opens with this past; its clock begins at `at`, on trading day `day`."""
    desk = Desk(dict(limits), ready=False)
    desk.now_ns = at
    rows = past_events(past, at)
    assert len(desk.kernel.apply(rows)) == len(rows), "nothing is said before the limits"
    desk.given.append(rows)
    desk.configure_limits()
    window = {"code": NORMAL, "value": at - S, "until_ns": at + 10**15, "ref": day}
    desk.event(r.WINDOW_SET, instrument=ACCOUNT_SCOPE, **window)
    if start:
        desk.connect()
        desk.command(r.START)
        desk.quote(20_000, 20_001)
        desk.event(r.TIMER)
    return desk


def after(desk: Desk, **changes: int) -> Desk:
    """The session that follows this one a second later, under the same limits."""
    limits = desk.limits | changes
    at = desk.now_ns + S
    return heir(past_of(left(desk), int(desk.account.rules), at), limits, at)


def test_a_new_session_has_no_fresh_daily_budget_mes_risk_22_mes_hold_daily_loss() -> None:
    """The defect of issue 4: stop, start anew, and the day's loss is still the day's loss; the roll alone ends it."""
    desk = Desk(LOSSES)
    lose(desk, 40)
    assert standing(desk) == {"DAILY_LOSS"}
    heir_desk = after(desk)
    assert standing(heir_desk) == {"DAILY_LOSS"}
    assert decision(heir_desk.score()) == codes.HOLD_BASE + BIT["DAILY_LOSS"]
    for name in FIGURES:
        assert heir_desk.account[name] == desk.account[name], name
    assert heir_desk.account.trades == 0, "the session's own counts begin anew"
    again = after(heir_desk, loss_day_micros_max=10_000 * USD)
    assert standing(again) == {"DAILY_LOSS"}, "another version of the limits lifts nothing"


def test_the_day_rolls_in_the_heir_by_its_own_clock_mes_risk_14() -> None:
    desk = Desk(LOSSES)
    lose(desk, 40)
    past = past_of(left(desk), MES, desk.now_ns + S)
    tomorrow = heir(past, desk.limits, desk.now_ns + 20 * 3600 * S, DAY + 1)
    assert standing(tomorrow) == set()
    assert (tomorrow.account.day_net_micros, tomorrow.account.streak, tomorrow.account.day_losses) == (0, 0, 0)
    assert tomorrow.account.balance_micros == desk.account.balance_micros
    assert tomorrow.account.day_peak_micros == tomorrow.account.equity_micros
    assert decision(tomorrow.score()) == codes.APPROVED


def test_an_accounts_day_never_goes_back_mes_risk_14() -> None:
    """A clock that begins on an earlier day is still in the account's day, until it has passed it."""
    desk = Desk(LOSSES)
    lose(desk, 40)
    past = past_of(left(desk), MES, T0)
    earlier = heir(past, desk.limits, T0, DAY - 1)
    assert earlier.account.trading_day == DAY and standing(earlier) == {"DAILY_LOSS"}
    same = {"value": T0 + 10**15, "until_ns": T0 + 2 * 10**15, "ref": DAY}
    earlier.event(r.WINDOW_SET, instrument=ACCOUNT_SCOPE, code=NORMAL, **same)
    earlier.event(r.TIMER, wait_ns=10**15 + S)
    assert standing(earlier) >= {"DAILY_LOSS"}, "the day it was lost on"
    last = {"value": T0 + 2 * 10**15, "until_ns": T0 + 3 * 10**15, "ref": DAY + 1}
    earlier.event(r.WINDOW_SET, instrument=ACCOUNT_SCOPE, code=NORMAL, **last)
    earlier.event(r.TIMER, wait_ns=10**15 + S)
    assert "DAILY_LOSS" not in standing(earlier) and earlier.account.day_net_micros == 0


def test_a_pause_by_time_keeps_its_end_and_the_streak_goes_on_mes_hold_loss_streak_mes_risk_09() -> None:
    limits = FREE | {"streak_soft": 3, "loss_day_micros_max": 5_000 * USD, "drawdown_day_micros_max": 10_000 * USD}
    desk = Desk(limits)
    for _ in range(3):
        lose(desk, 4)
    until = int(desk.kernel.state.holds[BIT["LOSS_STREAK"]].until_ns)
    heir_desk = after(desk)
    assert standing(heir_desk) == {"LOSS_STREAK"} and heir_desk.account.streak == 3
    assert heir_desk.kernel.state.holds[BIT["LOSS_STREAK"]].until_ns == until, "the same expiry"
    heir_desk.event(r.TIMER, wait_ns=until - heir_desk.now_ns - 1)
    assert "LOSS_STREAK" in standing(heir_desk)
    heir_desk.event(r.TIMER, wait_ns=1)
    assert "LOSS_STREAK" not in standing(heir_desk)
    heir_desk.quote(20_000, 20_001)
    lose(heir_desk, 4)
    assert heir_desk.account.streak == 4 and "LOSS_STREAK" in standing(heir_desk), "the fourth in a row"


def test_where_the_clock_begins_again_a_pause_keeps_what_was_left_and_a_lock_its_hour() -> None:
    limits = FREE | {"streak_soft": 1, "streak_soft_pause_ns": 60 * S, "loss_day_micros_max": 5_000 * USD}
    desk = Desk(limits | {"drawdown_day_micros_max": 10_000 * USD})
    lose(desk, 4)
    lock = desk.now_ns + 600 * S
    desk.command(r.LOCK, value=lock)
    held = {h.code: h for h in past_of(left(desk), MES, T0).holds}
    remaining = int(desk.kernel.state.holds[BIT["LOSS_STREAK"]].until_ns) - int(desk.account.now_ns)
    assert held["LOSS_STREAK"].until_ns == T0 + remaining
    assert held["OPERATOR_LOCK"].until_ns == lock, "nobody shortens it"
    over = heir(past_of(left(desk), MES, T0), desk.limits, lock + 1, DAY)
    assert standing(over) == set(), "what ended between the sessions is not raised"


def test_peaks_and_references_go_on_mes_risk_03_mes_risk_04() -> None:
    """A fall over two sessions is one fall: ACCOUNT_DRAWDOWN and EQUITY_KILL count from the account's own levels."""
    limits = FREE | {"loss_day_micros_max": 5_000 * USD, "drawdown_day_micros_max": 10_000 * USD}
    limits |= {"drawdown_micros_max": 200 * USD, "loss_total_micros_max": 300 * USD}
    desk = Desk(limits)
    lose(desk, 100)  # 126 dollars and a fee
    assert standing(desk) == set()
    second = after(desk)
    lose(second, 100)
    assert standing(second) == {"ACCOUNT_DRAWDOWN"}
    third = after(second)
    assert standing(third) == {"ACCOUNT_DRAWDOWN"}, "a person lifts it, a new session does not"
    third.command(r.RESUME)
    lose(third, 100)
    assert "EQUITY_KILL" in standing(third)


HELD = [hold for hold in HOLDS[MES] if hold.clearing in (BY_TIME, BY_TRADING_DAY, BY_OPERATOR)]


@pytest.mark.parametrize("hold", HELD, ids=lambda hold: hold.code)
def test_every_hold_that_its_rule_has_not_ended_stands_in_the_heir_mes_risk_22(hold) -> None:
    """Times, days and what only a person lifts; the stop ends with its session, the kill is the latch on disk."""
    desk = Desk(FREE)
    until = desk.now_ns + 3600 * S if hold.clearing == BY_TIME else NO_TIME
    desk.account.holds |= 1 << hold.bit
    desk.kernel.state.holds[hold.bit].until_ns = until
    desk.kernel.state.holds[hold.bit].since_ns = desk.now_ns
    heir_desk = after(desk)
    gone = hold.code in ("SESSION_STOPPED", "KILL_SWITCH")
    assert standing(heir_desk) == (set() if gone else {hold.code})
    if gone:
        return
    raised = [o for o in heir_desk.sent if o.kind == r.HOLD_RAISED and o.code == hold.bit]
    assert [int(o.ref) for o in raised] == [41], "its row names the session that left it"
    assert heir_desk.kernel.state.holds[hold.bit].since_ns == desk.kernel.state.holds[hold.bit].since_ns
    if hold.clearing == BY_OPERATOR:
        lifts = r.RESET_HALT if hold.label == HALTED else r.RESUME
        if hold.code != "STATE_UNREADABLE":
            assert heir_desk.command(lifts, value=1 << hold.bit)[-1].code == r.RECEIPT_DONE
            assert hold.code not in standing(heir_desk)


def test_conditions_are_asked_anew() -> None:
    desk = Desk(FREE)
    desk.event(r.LINK, instrument=ACCOUNT_SCOPE, code=r.LINK_DATABASE, value=0)
    assert standing(desk) == {"DATABASE_AWAY"}
    assert left(desk).holds == [] and standing(after(desk)) == set()


def test_no_event_before_the_limits_may_trade_and_none_after_them_changes_the_past() -> None:
    desk = Desk(LOSSES)
    lose(desk, 40)
    past = past_of(left(desk), MES, desk.now_ns)
    heir_desk = heir(past, desk.limits, desk.now_ns + S)
    names = (*FIGURES, "holds", "past", "past_holds", "told", "equity_micros")
    before = {name: int(heir_desk.account[name]) for name in names}
    rows = past_events(msgspec.structs.replace(past, figures=dict.fromkeys(FIGURES, 1)), heir_desk.now_ns)
    heir_desk.kernel.apply(rows)
    assert {name: int(heir_desk.account[name]) for name in names} == before, "told once, before the limits"


@pytest.mark.parametrize("missing", [*FIGURES, "all"])
def test_known_in_part_is_not_known_mes_hold_state_unreadable(missing: str) -> None:
    """MES-RISK-22: never fresh limits.  One figure that was not told, and nothing is entered."""
    figures = left(Desk(LOSSES)).figures
    figures = {} if missing == "all" else {name: value for name, value in figures.items() if name != missing}
    heir_desk = heir(PastSpec(session=41, figures=figures), LOSSES)
    assert standing(heir_desk) == {"STATE_UNREADABLE"}
    assert decision(heir_desk.score()) == codes.HOLD_BASE + BIT["STATE_UNREADABLE"]
    assert heir_desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_REFUSED


@pytest.mark.parametrize("value", [2**61, -(2**61), 2**62])
def test_a_figure_that_cannot_be_was_not_told_mes_hold_state_unreadable(value: int) -> None:
    figures = left(Desk(LOSSES)).figures | {"balance_micros": value}
    assert standing(heir(PastSpec(session=41, figures=figures), LOSSES)) == {"STATE_UNREADABLE"}


def unreadable(limits: Mapping[str, int] = LOSSES) -> Desk:
    """A session whose past nobody could read."""
    desk = heir(PastSpec(session=41, fault="its journal is missing"), limits)
    assert standing(desk) == {"STATE_UNREADABLE"}
    return desk


STATED = {"balance_micros": 900, "peak_micros": 950, "reference_micros": 1_000, "day_net_micros": -30}  # dollars


def state(desk: Desk, **changes: int) -> None:
    """A person states figures, in dollars."""
    event = statement({name: value * USD for name, value in (STATED | changes).items()})
    fields = {name: int(event[name][0]) for name in ("code", "value", "volume", "qty", "fee_micros")}
    desk.event(r.PAST, instrument=ACCOUNT_SCOPE, **fields)


def test_a_person_states_the_figures_and_lifts_it_mes_hold_state_unreadable_mes_risk_13() -> None:
    desk = unreadable()
    narrowed = 1 << BIT["STATE_UNREADABLE"]
    assert desk.command(r.RESET_HALT, value=narrowed)[-1].code == r.RECEIPT_REFUSED
    state(desk)
    assert standing(desk) == {"STATE_UNREADABLE"}, "it goes by the reset, with its reason"
    assert desk.command(r.RESET_HALT, value=narrowed)[-1].code == r.RECEIPT_DONE
    assert standing(desk) == {"OPERATOR_PAUSE"}, "who lifts a halt does not start trading"
    a = desk.account
    assert (a.balance_micros, a.equity_micros, a.peak_micros) == (900 * USD, 900 * USD, 950 * USD)
    assert (a.reference_micros, a.day_net_micros) == (1_000 * USD, -30 * USD)
    state(desk, balance_micros=5_000, peak_micros=5_000)
    assert a.balance_micros == 900 * USD and a.told == 0, "nobody states anything once it is lifted"
    desk.command(r.RESUME)
    desk.quote(20_000, 20_001)
    assert decision(desk.score()) == codes.APPROVED


def test_what_is_left_of_a_stated_day_counts_mes_risk_05() -> None:
    desk = unreadable()
    state(desk)
    assert desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_DONE
    desk.command(r.RESUME)
    assert desk.account.day_base_micros == desk.account.day_peak_micros == 930 * USD
    lose(desk, 16)  # $20.84 more
    assert "DAILY_LOSS" in standing(desk)


def test_a_statement_that_breaks_a_limit_raises_its_hold_mes_risk_21() -> None:
    desk = unreadable(LOSSES | {"drawdown_micros_max": 40 * USD})
    state(desk)
    assert "ACCOUNT_DRAWDOWN" in standing(desk)


@pytest.mark.parametrize(
    "wrong",
    [{"balance_micros": 2**42}, {"peak_micros": 899}, {"reference_micros": -(2**42)}, {"day_net_micros": 2**42}],
)
def test_a_statement_counts_whole_or_not_at_all_mes_hold_state_unreadable(wrong: dict[str, int]) -> None:
    desk = unreadable()
    balance = int(desk.account.balance_micros)
    state(desk, **wrong)
    assert desk.account.balance_micros == balance and desk.account.told == 0
    assert desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_REFUSED


def test_nobody_states_figures_while_something_is_held() -> None:
    desk = Desk(FREE)
    desk.enter()
    desk.account.holds |= 1 << BIT["STATE_UNREADABLE"]
    balance = int(desk.account.balance_micros)
    state(desk)
    assert desk.account.balance_micros == balance and desk.account.told == 0


def test_another_rulebooks_hold_is_not_raised() -> None:
    figures = left(Desk(LOSSES)).figures
    desk = Desk(LOSSES, ready=False)
    rows = past_events(PastSpec(session=41, figures=figures), T0)
    foreign = rows[:1].copy()
    foreign["code"], foreign["order_number"], foreign["until_ns"] = PAST_HOLD, BIT["RVI_HIGH"], NO_TIME
    for row in (rows, foreign):
        desk.kernel.apply(row)
    desk.configure()
    assert desk.account.holds >> BIT["RVI_HIGH"] & 1 == 0


def test_the_shares_continue_too_moex_risk_01_moex_risk_06() -> None:
    """C stays that of the day, the loss base too, and what the rulebook's operator must lift stays."""
    shares = FREE | {"rules": MOEX, "sizing": 2, "day_loss_open": 1, "loss_day_micros_max": 5_000 * USD}
    shares |= {"gross_ppm_max": 10**8, "instrument_ppm_max": 10**8, "loss_stop_ppm_max": 10**6, "bucket_capacity": 0}
    desk = Desk(shares)
    desk.account.day_base_micros += 7 * USD
    desk.account.capital_micros -= 3 * USD
    desk.account.holds |= 1 << BIT["RISK_ERROR"] | 1 << BIT["DAILY_LOSS"]
    heir_desk = after(desk)
    assert standing(heir_desk) == {"RISK_ERROR", "DAILY_LOSS"}
    assert heir_desk.account.day_base_micros == desk.account.day_base_micros
    assert heir_desk.account.capital_micros == desk.account.capital_micros


@pytest.mark.parametrize(("capital", "left_over"), [(6_000, 6_000), (10_000, 9_000), (20_000, 9_000)])
def test_a_smaller_capital_holds_at_once_a_larger_one_from_the_next_day_moex_risk_01(
    capital: int, left_over: int
) -> None:
    """C of an inherited day never exceeds what the new session may trade with; it is not raised before the roll."""
    shares = FREE | {"rules": MOEX, "sizing": 2, "day_loss_open": 1, "loss_day_micros_max": 5_000 * USD}
    shares |= {"gross_ppm_max": 10**8, "instrument_ppm_max": 10**8, "loss_stop_ppm_max": 10**6, "bucket_capacity": 0}
    desk = Desk(shares)
    desk.account.capital_micros = 9_000 * USD
    heir_desk = after(desk, capital_micros=capital * USD)
    assert heir_desk.account.capital_micros == left_over * USD
    assert heir_desk.account.balance_micros == desk.account.balance_micros, "the money itself is the account's"


def test_an_old_journal_without_a_past_opens_with_its_capital() -> None:
    """No PAST row at all is the first session of an account: as every journal before this rule."""
    desk = Desk(LOSSES)
    assert desk.account.past == 0 and standing(desk) == set()
    assert desk.account.balance_micros == desk.limits["capital_micros"]
    replayed = Kernel()
    for given in desk.given:
        replayed.apply(given)
    assert replayed.snapshot() == desk.kernel.snapshot()
