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
    assert {int(o["flags"]) for o in sent(out, r.SUBMIT)} <= {r.FLAG_DECIDED}, "what it slips by (MES-COST-06)"
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


# --- found by the oracle ----------------------------------------------------------------------------------------------
def test_a_reconciliation_of_the_past_holds_nobody_at_the_cut_off_mes_eod_06() -> None:
    desk = Desk()
    start = phased(desk, [NORMAL, MUST_BE_FLAT])
    at(desk, start + 50 * S)
    desk.enter()
    desk.reconcile([(0, 1)], [int(o.number) for o in desk.live()])
    desk.fill(int(desk.live(r.STOP_LOSS)[0].number), 19_993)
    clean(desk)
    desk.event(r.TIMER, wait_ns=60 * S)
    assert "NOT_FLAT_AT_CUTOFF" not in standing(desk), "flat is flat, whatever the broker showed before"
    desk.reconcile([(0, 1)])
    assert {"NOT_FLAT_AT_CUTOFF", "MISMATCH"} <= standing(desk), "what it shows now counts"


def test_quotes_confirm_no_breach_mes_risk_11() -> None:
    desk = Desk(SMALL | {"loss_day_micros_max": 70 * USD})
    desk.enter()
    desk.event(m.TRADE, price_tick=19_941, qty=1)
    for _ in range(5):
        desk.quote(19_940, 19_941)
    assert "DAILY_DRAWDOWN" not in standing(desk), "a mark is a print"
    for _ in range(2):
        desk.event(m.TRADE, price_tick=19_941, qty=1)
    assert "DAILY_DRAWDOWN" in standing(desk)


@pytest.mark.parametrize("cause", ["flatten", "time"])
def test_a_flatten_or_time_exit_ends_a_waiting_reversal_mes_rev_02(cause: str) -> None:
    desk = Desk(REVERSE | ({"hold_ns_max": S} if cause == "time" else {}))
    desk.enter(BUY)
    number = int(sent(desk.score(SELL, confidence=900_000), r.SUBMIT, r.EXIT)[0].order_number)
    desk.ack(number)
    if cause == "flatten":
        desk.command(r.KILL)
    else:
        desk.quote(20_000, 20_001, wait_ns=S)
    out = desk.fill(number, 20_000)
    for order in desk.live():
        out += desk.answer(r.CANCELLED, int(order.number))
    assert not sent(out, r.DECISION), "no entry is asked for any more"


def test_a_specification_never_changes_under_a_position_mes_inst_01() -> None:
    desk = Desk()
    desk.enter()
    desk.command(r.STOP_SESSION)
    desk.event(r.CONFIG, instrument=0, code=0, value=9_000_000)
    assert desk.kernel.params.specs[0].tick_value_micros == 1_250_000


def test_a_confidence_out_of_range_sizes_nothing_p06() -> None:
    desk = Desk(TIERS)
    assert decision(desk.score(confidence=-1)) >= codes.FIELD_BASE
    assert decision(desk.score(confidence=2_000_000)) >= codes.FIELD_BASE


def test_the_hold_of_an_invalid_row_stands_until_a_valid_one_mes_hold_features_cold() -> None:
    desk = Desk()
    desk.score(flags=m.FLAG_INVALID)
    assert standing(desk) == {"FEATURES_COLD"}
    desk.score(side=0)
    assert standing(desk) == set()
