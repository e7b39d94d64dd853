"""Phases, the roll, holds that time or a condition ends, reversals, notices: all by the event's clock."""

import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE, BUY, SELL
from marketdata.core.sessions import AFTER_HOURS, AGGRESSIVE_EXIT, CLOSE_ONLY, MUST_BE_FLAT, NORMAL, PHASES, REDUCED
from risk.core import codes
from risk.core.holds import BIT
from risk.core.records import ANCHOR_SIGNAL
from tests.kernel.desk import Desk, S, decision, sent, standing
from tests.kernel.test_limits import SMALL, TIERS, USD, clean, lose
from trading.core import protect
from trading.core import records as r
from trading.run.replica import Kernel


def phased(desk: Desk, phases: list[int], seconds: int = 100) -> int:
    """Windows of these phases, one after the other, from the end of the last one on.  Returns where they begin."""
    start = int(desk.kernel.params.windows[int(desk.account.window_count) - 1].end_ns)
    for i, phase in enumerate(phases):
        at = start + i * seconds * S
        window = {"code": phase, "value": at, "until_ns": at + seconds * S, "ref": 20260305}
        desk.event(r.WINDOW_SET, instrument=ACCOUNT_SCOPE, **window)
    return start


def at(desk: Desk, ns: int) -> None:
    """The market at this moment, reconciled just before, the feed fresh."""
    desk.now_ns = ns - 1000
    held = int(desk.position().qty)
    desk.reconcile([(0, held)] if held else [], [int(o.number) for o in desk.live()])
    desk.now_ns = ns
    desk.event(m.FEED, wait_ns=0, code=m.FEED_BEAT)
    desk.quote(20_000, 20_001, wait_ns=0)


# --- end of day -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("phase", "hold", "code"),
    [
        (AFTER_HOURS, "AFTER_HOURS", "AFTER_HOURS"),
        (NORMAL, None, None),
        (REDUCED, "EOD_REDUCED", None),
        (CLOSE_ONLY, "CLOSE_ONLY", "EOD"),
        (AGGRESSIVE_EXIT, "EOD", "EOD"),
        (MUST_BE_FLAT, "EOD", "EOD"),
    ],
)
def test_each_phase_and_what_it_admits_mes_eod_01_mes_acc_10_19(phase: int, hold: str | None, code: str | None) -> None:
    desk = Desk()
    start = phased(desk, [phase])
    at(desk, start)
    assert standing(desk) == (set() if hold is None else {hold}), PHASES[phase]
    expected = codes.APPROVED if code is None else codes.HOLD_BASE + BIT[code]
    assert decision(desk.score(wait_ns=0)) == expected


def test_phases_are_half_open_and_follow_the_event_mes_eod_04() -> None:
    desk = Desk()
    start = phased(desk, [NORMAL, CLOSE_ONLY, NORMAL])
    at(desk, start + 100 * S - 1)
    assert decision(desk.score(wait_ns=0)) == codes.APPROVED
    clean(desk)
    at(desk, start + 100 * S)  # no timer: a quote is the first event of the phase
    assert decision(desk.score(wait_ns=0)) == codes.HOLD_BASE + BIT["EOD"]
    at(desk, start + 200 * S)
    assert standing(desk) == set()


def test_close_only_cancels_entries_and_keeps_the_bracket_mes_eod_01() -> None:
    desk = Desk()
    start = phased(desk, [NORMAL, CLOSE_ONLY, AGGRESSIVE_EXIT])
    at(desk, start + 90 * S)
    number = int(sent(desk.score(wait_ns=0), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001, qty=1)
    for order in desk.live():
        desk.ack(int(order.number))
    at(desk, start + 100 * S)
    assert desk.position().closing == 0 and len(desk.live(r.STOP_LOSS)) == 1, "stops, targets and exits go on"
    out = desk.event(r.TIMER, wait_ns=100 * S)
    assert [int(o.role) for o in sent(out, r.SUBMIT)] == [r.EXIT], "flatten by market"


def test_a_working_entry_goes_at_close_only_mes_eod_01() -> None:
    desk = Desk()
    start = phased(desk, [NORMAL, CLOSE_ONLY])
    at(desk, start + 99 * S)
    number = int(sent(desk.score(wait_ns=0), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.now_ns = start + 100 * S - 1
    assert [int(o.order_number) for o in sent(desk.quote(20_000, 20_001), r.CANCEL)] == [number]


def test_a_position_at_the_cut_off_needs_a_person_mes_eod_06_mes_hold_not_flat_at_cutoff() -> None:
    desk = Desk()
    start = phased(desk, [NORMAL, MUST_BE_FLAT, NORMAL])
    at(desk, start + 90 * S)
    desk.enter()
    desk.event(r.TIMER, wait_ns=20 * S)
    assert "NOT_FLAT_AT_CUTOFF" in standing(desk) and desk.position().closing == 1
    exit_number = int(desk.live(r.EXIT)[0].number)
    desk.ack(exit_number)
    desk.fill(exit_number, 20_000)
    clean(desk)
    at(desk, start + 200 * S)
    assert standing(desk) == {"NOT_FLAT_AT_CUTOFF"}
    desk.command(r.RESUME)
    assert standing(desk) == set()


def test_a_new_trade_in_reduced_has_a_tighter_bracket_mes_stop_02_mes_stop_03() -> None:
    desk = Desk({"target_ticks": 0, "target_ratio_ppm": 2_000_000})
    start = phased(desk, [REDUCED])
    at(desk, start)
    desk.enter()
    legs = {int(o.role): o for o in desk.live()}
    assert (legs[r.STOP_LOSS].stop_tick, legs[r.TARGET].price_tick) == (20_001 - 6, 20_001 + 12)


def test_the_roll_is_the_first_event_of_the_new_day_mes_risk_14() -> None:
    desk = Desk(SMALL)
    lose(desk, 4)
    a = desk.account
    assert a.day_net_micros != 0 and a.streak == 1
    start = phased(desk, [NORMAL])
    copy = Kernel.restore(desk.kernel.snapshot())  # also the first after a restart
    desk.kernel = copy
    desk.now_ns = start
    desk.event(m.TRADE, wait_ns=0, price_tick=20_000, qty=1)
    a = desk.account
    assert (a.trading_day, a.day_net_micros, a.streak, a.day_trades) == (20260305, 0, 0, 0)
    assert a.day_peak_micros == a.equity_micros


# --- bracket ----------------------------------------------------------------------------------------------------------
def test_the_bracket_may_be_measured_from_the_signal_mes_stop_04() -> None:
    desk = Desk({"bracket_anchor": ANCHOR_SIGNAL})
    desk.enter(price=20_004)  # 3 ticks of slippage
    legs = {int(o.role): o for o in desk.live()}
    assert (legs[r.STOP_LOSS].stop_tick, legs[r.TARGET].price_tick) == (20_001 - 8, 20_001 + 16)


def test_a_trailing_stop_moves_at_the_venue_and_names_its_exit_mes_stop_05() -> None:
    desk = Desk({"trail_ticks": 4})
    desk.enter()
    end = (desk.now_ns // S + 1) * S
    fields = {"open_tick": 20_001, "high_tick": 20_012, "low_tick": 20_001, "close_tick": 20_012, "volume": 9}
    desk.now_ns = end - 1
    out = desk.event(m.BAR, value=S, ts_venue_ns=end, **fields)
    assert [int(o.stop_tick) for o in sent(out, r.MODIFY, r.STOP_LOSS)] == [20_008]
    stop = int(desk.live(r.STOP_LOSS)[0].number)
    desk.ack(stop)
    closed = sent(desk.fill(stop, 20_008), r.TRADE_CLOSED)[0]
    assert closed.code == protect.BY_TRAIL


# --- reversals --------------------------------------------------------------------------------------------------------
REVERSE = {"reverse_confidence_ppm_min": 750_000, "exit_confidence_ppm_min": 550_000, "cooldown_exit_ns": 30 * S}


def reverse(desk: Desk, side: int, confidence: int) -> list:
    """An opposite score, its exit filled, the bracket cancelled.  Returns everything that was sent."""
    out = desk.score(side, confidence=confidence)
    exits = sent(out, r.SUBMIT, r.EXIT)
    if not exits:
        return out
    number = int(exits[0].order_number)
    desk.ack(number)
    out += desk.fill(number, 20_000)
    for order in desk.live():
        if order.role in (r.STOP_LOSS, r.TARGET):
            out += desk.answer(r.CANCELLED, int(order.number))
    return out


@pytest.mark.parametrize(
    ("confidence", "roles"), [(549_999, []), (550_000, [r.EXIT]), (750_000, [r.EXIT]), (750_001, [r.EXIT, r.ENTRY])]
)
def test_an_opposite_score_holds_exits_or_reverses_mes_rev_01(confidence: int, roles: list[int]) -> None:
    desk = Desk(REVERSE | {"cooldown_entry_ns": 0})
    desk.enter(BUY)
    out = reverse(desk, SELL, confidence)
    assert [int(o.role) for o in sent(out, r.SUBMIT)] == roles
    if r.ENTRY in roles:
        entry = sent(out, r.SUBMIT, r.ENTRY)[0]
        assert (int(entry.side), int(entry.qty)) == (SELL, 1)
        assert [int(o.code) for o in sent(out, r.DECISION)] == [codes.IN_POSITION, codes.APPROVED]


def test_a_reversals_entry_is_a_new_approval_mes_rev_02() -> None:
    """A hold that came up between refuses it, and so does a score that became too old."""
    desk = Desk(REVERSE)
    desk.enter(BUY)
    number = int(sent(desk.score(SELL, confidence=900_000), r.SUBMIT, r.EXIT)[0].order_number)
    desk.ack(number)
    desk.command(r.PAUSE)
    out = desk.fill(number, 20_000)
    for order in desk.live():
        out += desk.answer(r.CANCELLED, int(order.number))
    assert not sent(out, r.SUBMIT, r.ENTRY)
    assert decision(out) == codes.HOLD_BASE + BIT["OPERATOR_PAUSE"]
    desk = Desk(REVERSE)
    desk.enter(BUY)
    number = int(sent(desk.score(SELL, confidence=900_000), r.SUBMIT, r.EXIT)[0].order_number)
    desk.ack(number)
    desk.now_ns += 3 * S
    desk.quote(20_000, 20_001)
    out = desk.fill(number, 20_000)
    assert decision(out) == codes.SCORE_STALE and not sent(out, r.SUBMIT, r.ENTRY)


def test_reversals_are_rare_mes_rev_03() -> None:
    desk = Desk(REVERSE | {"cooldown_entry_ns": 0, "duplicate_ns": 0})
    desk.enter(BUY)
    side = SELL
    for _ in range(2):
        out = reverse(desk, side, 900_000)
        number = int(sent(out, r.SUBMIT, r.ENTRY)[0].order_number)
        desk.ack(number)
        desk.fill(number, 20_000)
        for order in desk.live():
            desk.ack(int(order.number))
        desk.now_ns += 30 * S
        desk.quote(20_000, 20_001)
        side = -side
    out = reverse(desk, side, 900_000)
    assert decision(out) == codes.REVERSAL_LIMIT, "two per chain"
    assert [int(o.role) for o in sent(out, r.SUBMIT)] == [r.EXIT], "exits only"
    assert desk.position().rev_count == 0, "the chain ended"


def test_a_second_reversal_waits_mes_rev_03() -> None:
    desk = Desk(REVERSE | {"cooldown_entry_ns": 0, "duplicate_ns": 0})
    desk.enter(BUY)
    out = reverse(desk, SELL, 900_000)
    number = int(sent(out, r.SUBMIT, r.ENTRY)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_000)
    for order in desk.live():
        desk.ack(int(order.number))
    desk.now_ns += 20 * S
    desk.quote(20_000, 20_001)
    out = desk.score(BUY, confidence=900_000)
    assert decision(out) == codes.REVERSAL_LIMIT


# --- holds of time and condition --------------------------------------------------------------------------------------
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


def test_a_mark_that_is_no_price_is_discarded_and_blocks_mes_risk_11() -> None:
    desk = Desk()
    for price in (0, -5, 2**40):
        desk.event(m.TRADE, price_tick=price, qty=1)
        assert desk.position().mark_tick == 20_000
        assert decision(desk.score()) == codes.FEED_STALE
    assert desk.position().bad_marks == 3
    desk.event(m.TRADE, price_tick=20_000, qty=1)
    assert decision(desk.score()) == codes.APPROVED


def test_a_state_out_of_range_halts_mes_hold_state_unreadable() -> None:
    desk = Desk()
    desk.account.balance_micros = 2**61
    desk.event(r.TIMER)
    assert "STATE_UNREADABLE" in standing(desk)
    desk.command(r.RESUME)
    assert "STATE_UNREADABLE" in standing(desk)


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
