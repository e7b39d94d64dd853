"""What the shares' rulebook does otherwise: loss, streak, index, connection, drift, bucket, exposure (MOEX-RISK)."""

import numpy as np
import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE, SELL
from marketdata.core.sessions import NORMAL
from risk.core import codes
from risk.core.holds import BIT
from risk.core.records import MOEX, SPEC_INDEX
from tests.kernel.desk import Desk, S, decision, sent, standing
from tests.kernel.test_clock import at, phased
from tests.kernel.test_limits import USD, clean, lose
from trading.core import protect
from trading.core import records as r
from trading.run.bodies.snapshot import risk_value
from trading.run.journal.recovery import Outstanding

SHARES = {"rules": MOEX, "day_loss_open": 1, "streak_soft": 3, "streak_soft_pause_ns": 300 * S, "streak_restarts": 1}


def test_daily_loss_counts_open_money_and_takes_the_smaller_moex_risk_05_moex_acc_108() -> None:
    desk = Desk(SHARES | {"loss_day_micros_max": 500 * USD, "loss_day_share_ppm_max": 2_000})  # 0.2 % = $20
    desk.enter()
    for _ in range(3):
        desk.event(m.TRADE, price_tick=19_000, qty=1)
    assert standing(desk) == set(), "the mark is the mid of the last valid book (MOEX-RISK-01)"
    for _ in range(3):
        desk.quote(19_984, 19_986)  # $20 and a fee
    assert "DAILY_LOSS" in standing(desk)
    assert desk.position().closing == 0, "its effect here is NO_ENTRY"
    desk.command(r.RESUME)
    assert "DAILY_LOSS" in standing(desk)


CAPS = {"sizing": 2, "gross_ppm_max": 10**8, "instrument_ppm_max": 10**8, "loss_stop_ppm_max": 10**6} | {
    "participation_ppm_max": 10**6
}


def test_lots_by_caps_stop_at_the_budget_of_the_day_p14() -> None:
    """Open money counts, as it does for DAILY_LOSS (MOEX-RISK-05); the position elsewhere eats the budget."""
    desk = Desk(SHARES | CAPS | {"qty_max": 2, "loss_day_micros_max": 30 * USD}, ready=False)
    desk.add_instrument(1)
    desk.configure()
    desk.connect()
    desk.command(r.START)
    for instrument in (0, 1):
        desk.quote(20_000, 20_001, instrument=instrument)
    desk.event(r.TIMER)
    desk.enter()  # $12.09 to its stop, with slippage and fees
    for _ in range(2):
        desk.quote(19_992, 19_994)  # $10.42 lost by the mark: $19.58 left, $10.42 of it at the first one's stop
    assert standing(desk) == set()
    desk.quote(20_000, 20_001, instrument=1)
    assert decision(desk.score(instrument=1)) == codes.RISK_DAILY


def test_the_third_loss_refuses_for_exactly_300_s_moex_acc_106_moex_risk_06() -> None:
    desk = Desk(SHARES | {"cooldown_entry_ns": 0, "cooldown_exit_ns": 0})
    for _ in range(2):
        lose(desk, 4)
    assert desk.account.streak == 2 and standing(desk) == set()
    lose(desk, 4)
    assert standing(desk) == {"LOSS_STREAK"} and desk.account.streak == 0, "it starts anew"
    until = int(desk.kernel.state.holds[BIT["LOSS_STREAK"]].until_ns)
    at(desk, until - 1)
    assert decision(desk.score(wait_ns=0)) == codes.HOLD_BASE + BIT["LOSS_STREAK"]
    at(desk, until)
    assert decision(desk.score(wait_ns=0)) == codes.APPROVED


def test_the_volatility_index_closes_all_moex_acc_107() -> None:
    index = {"rvi_max": 4000, "rvi_clear_max": 3800, "rvi_age_ns_max": 60 * S}
    desk = Desk(SHARES | index)
    desk.event(r.TIMER)
    assert standing(desk) == {"RVI_STALE"}, "never seen is stale, never 0"
    desk.event(r.INDEX, instrument=ACCOUNT_SCOPE, value=4000)
    assert standing(desk) == set(), "40.00 does nothing"
    desk.enter()
    desk.event(r.INDEX, instrument=ACCOUNT_SCOPE, value=4001)
    assert "RVI_HIGH" in standing(desk) and desk.position().closing == 1
    number = int(desk.live(r.EXIT)[0].number)
    desk.ack(number)
    desk.fill(number, 20_000)
    clean(desk)
    assert desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_REFUSED, "refused while it is above 38.00"
    desk.event(r.INDEX, instrument=ACCOUNT_SCOPE, value=3800)
    assert desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_DONE
    at(desk, desk.now_ns + 61 * S)
    desk.event(r.TIMER)
    assert "RVI_STALE" in standing(desk)


def test_a_slow_connection_halves_and_a_lost_one_stops_entries_moex_acc_113() -> None:
    ms = 1_000_000
    desk = Desk(SHARES | {"probe_slow_ns": 50 * ms, "probe_good_ns": 40 * ms, "probe_lost_ns": 100 * ms})
    for _ in range(3):
        desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=51 * ms)
    assert standing(desk) == {"NET_SLOW"}
    for _ in range(30):
        desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=45 * ms)
    assert standing(desk) == {"NET_SLOW"}, "45 ms do not clear it"
    for _ in range(30):
        desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=40 * ms)
    assert standing(desk) == set()
    for _ in range(3):
        desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=101 * ms)
    assert "NET_FAILOVER" in standing(desk)
    desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, code=r.PROBE_LOST)
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["NET_FAILOVER"]


def test_a_watch_that_is_switched_off_takes_its_holds_along_moex_risk_05() -> None:
    """A limit of 0 is a condition that is false: nothing else would ever end these holds."""
    ms = 1_000_000
    watched = {"probe_slow_ns": 50 * ms, "probe_good_ns": 40 * ms, "probe_lost_ns": 100 * ms, "rvi_max": 4000}
    desk = Desk(SHARES | watched | {"rvi_clear_max": 3800, "rvi_age_ns_max": 60 * S, "gross_ppm_max": 10**8})
    desk.event(r.INDEX, instrument=ACCOUNT_SCOPE, value=3000)
    desk.enter()
    desk.kernel.params.limits[0].gross_ppm_max = 1_000_000
    desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, code=r.PROBE_LOST)
    for _ in range(2):
        desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=101 * ms)
    desk.quote(20_000, 20_001, wait_ns=61 * S)
    desk.event(r.TIMER)
    assert standing(desk) == {"NET_SLOW", "NET_FAILOVER", "RVI_STALE", "EXPOSURE"}
    for name in ("probe_slow_ns", "rvi_max", "gross_ppm_max"):
        setattr(desk.kernel.params.limits[0], name, 0)
    desk.event(r.TIMER)
    assert standing(desk) == set()


def test_a_reset_asks_of_the_index_only_where_it_concerns_it_moex_risk_05() -> None:
    desk = Desk(SHARES | {"rvi_max": 4000, "rvi_clear_max": 3800, "rvi_age_ns_max": 60 * S})
    desk.event(r.INDEX, instrument=ACCOUNT_SCOPE, value=4001)
    desk.command(r.KILL)
    assert desk.command(r.RESET_HALT, value=1 << BIT["KILL_SWITCH"])[-1].code == r.RECEIPT_DONE
    assert "RVI_HIGH" in standing(desk) and "KILL_SWITCH" not in standing(desk)
    assert desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_REFUSED
    desk.kernel.params.limits[0].rvi_max = 0
    assert desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_DONE
    assert "RVI_HIGH" not in standing(desk)


def test_a_probe_of_a_connection_that_nobody_watches_ends_its_holds_moex_risk_05() -> None:
    desk = Desk(SHARES | {"probe_slow_ns": 1, "probe_good_ns": 1, "probe_lost_ns": 1})
    desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, code=r.PROBE_LOST)
    assert standing(desk) == {"NET_FAILOVER"}
    desk.kernel.params.limits[0].probe_slow_ns = 0
    desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, code=r.PROBE_LOST)
    assert standing(desk) == set()


def test_drift_and_calibration_have_holds_of_their_own_moex_acc_112() -> None:
    desk = Desk(SHARES)
    desk.event(r.DRIFT, instrument=ACCOUNT_SCOPE, code=r.DRIFT_WARN)
    desk.event(r.DRIFT, instrument=ACCOUNT_SCOPE, code=r.DRIFT_CRITICAL)
    desk.event(r.JOB, instrument=ACCOUNT_SCOPE, code=1)
    desk.command(r.PAUSE)
    assert standing(desk) == {"DRIFT_WARN", "DRIFT_CRITICAL", "CALIBRATION", "OPERATOR_PAUSE"}
    desk.event(r.MODEL, instrument=ACCOUNT_SCOPE, code=r.MODEL_READY)
    assert standing(desk) == {"DRIFT_WARN", "DRIFT_CRITICAL", "CALIBRATION", "OPERATOR_PAUSE"}, "a start (MOEX-ML-10)"
    desk.event(r.MODEL, instrument=ACCOUNT_SCOPE, code=r.MODEL_READY, ref=r.CAUSE_CALIBRATE)
    assert standing(desk) == {"CALIBRATION", "OPERATOR_PAUSE"}, "a reload clears MODEL_RELOAD holds only"
    desk.event(r.JOB, instrument=ACCOUNT_SCOPE, code=0)
    assert standing(desk) == {"OPERATOR_PAUSE"}


def test_the_bucket_of_entry_slices_moex_risk_10_moex_acc_110() -> None:
    desk = Desk(SHARES | {"bucket_capacity": 2, "bucket_refill_ns": S // 2, "duplicate_ns": 0, "cooldown_entry_ns": 0})
    for _ in range(2):
        number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
        desk.answer(r.REJECT, number, code=r.REJECTED_BY_VENUE)
    assert decision(desk.score()) == codes.RATE
    desk.quote(20_000, 20_001, wait_ns=S // 2)
    assert decision(desk.score()) == codes.APPROVED


def test_every_entry_hold_cancels_a_working_entry_moex_risk_09() -> None:
    desk = Desk(SHARES)
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    assert [int(o.order_number) for o in sent(desk.command(r.PAUSE), r.CANCEL)] == [number]


def test_exposure_holds_until_96_percent_moex_risk_04_moex_risk_05() -> None:
    desk = Desk(SHARES | {"gross_ppm_max": 3_000_000, "value_micros_max": 10**12})  # 3 x $10,000 of 1 lot = $25,000
    desk.enter()
    assert "EXPOSURE" not in standing(desk)
    limits = desk.kernel.params.limits[0]
    limits.gross_ppm_max = 2_400_000
    desk.event(r.TIMER)
    assert "EXPOSURE" in standing(desk)
    limits.gross_ppm_max = 2_600_000  # 25 000 of 26 000 is more than 96 %
    desk.event(r.TIMER)
    assert "EXPOSURE" in standing(desk)
    limits.gross_ppm_max = 2_700_000
    desk.event(r.TIMER)
    assert "EXPOSURE" not in standing(desk)


def test_the_gauges_count_working_entries_as_the_gate_does_p_12_moex_risk_04() -> None:
    """P-12, P-13: one lot on its way stands in both, with nothing held; filled it is the same one."""
    desk = Desk(SHARES | {"gross_ppm_max": 3_000_000, "value_micros_max": 10**12})
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    for held in (0, 1):
        used = {row["id"]: row["used"] for row in risk_value(desk.kernel)}
        assert (int(desk.position().qty), used["position"]) == (held, 1)
        mark = 2 * int(desk.position().mark_tick) + int(desk.position().mark_half)
        assert used["gross"] == mark * 1_250_000 // 2
        desk.fill(number, 20_001)


def test_shares_leave_after_more_than_their_time_moex_stop_05() -> None:
    desk = Desk(SHARES | {"hold_ns_max": 300 * S})
    desk.enter()
    opened = int(desk.position().opened_ns)
    at(desk, opened + 300 * S)
    assert desk.position().closing == 0, "300 s are not more than 300 s"
    at(desk, opened + 300 * S + 1)
    assert desk.position().closing == 1 and desk.position().close_reason == protect.BY_TIME


def test_a_mid_between_two_ticks_is_rounded_against_us_moex_risk_04() -> None:
    """Equity down, exposure up; a tick of an odd number of micros makes half of it no whole one."""
    desk = Desk(SHARES | {"gross_ppm_max": 10**8}, ready=False)
    desk.configure()
    desk.event(r.CONFIG, instrument=0, code=SPEC_INDEX["tick_value_micros"], value=1_250_001)
    desk.connect()
    desk.command(r.START)
    desk.quote(20_000, 20_001)
    desk.event(r.TIMER)
    desk.enter(SELL, price=20_000)
    desk.quote(20_000, 20_001)  # the mid is half a tick against a short position
    assert desk.account.equity_micros == 10_000 * USD - 420_000 - 625_001
    desk.kernel.params.limits[0].gross_ppm_max = 2_400_000
    desk.event(r.TIMER)
    assert "EXPOSURE" in standing(desk)
    assert desk.kernel.state.holds[BIT["EXPOSURE"]].value == 20_000 * 1_250_001 + 625_001
    desk.quote(20_000, 20_002)
    assert desk.account.equity_micros == 10_000 * USD - 420_000 - 1_250_001


def test_lots_are_valued_at_the_mid_rounded_up_moex_size_01() -> None:
    """V = max(entry, ceil(mid)): of 25,000 RUB one lot of 20,000.5 ticks costs 20,001 ticks, so none fits in 25,000."""
    share = 2_500_000  # ppm of 10,000: 25,000 = 20,000 ticks of 1.25
    desk = Desk(SHARES | CAPS | {"instrument_ppm_max": share, "allow_short": 1, "confidence_ppm_min": 0})
    at_bid = decision(desk.score(SELL, confidence=1_000_000))
    assert at_bid == codes.CAP_INSTRUMENT
    desk.quote(19_999, 20_001)
    assert decision(desk.score(SELL, confidence=1_000_000)) == codes.APPROVED


def test_the_capital_is_fixed_at_the_roll_and_capped_moex_risk_01() -> None:
    desk = Desk(SHARES | {"cooldown_entry_ns": 0, "cooldown_exit_ns": 0})
    capital = int(desk.account.capital_micros)
    lose(desk, 8)
    assert desk.account.capital_micros == capital, "fixed for the day"
    at(desk, phased(desk, [NORMAL]))
    assert desk.account.capital_micros == desk.account.equity_micros < capital
    assert desk.account.streak == 1, "the roll clears TRADING_DAY holds only (MOEX-RISK-03)"


def test_resume_ends_a_pause_alone_the_others_by_name_moex_risk_06() -> None:
    desk = Desk(SHARES)
    for _ in range(10):
        desk.event(r.ERROR, instrument=ACCOUNT_SCOPE, value=1)
    desk.reconcile([(0, 5)])
    desk.command(r.PAUSE)
    desk.reconcile()
    others = {"RECON_MISMATCH", "RISK_ERROR_REPEAT", "RISK_ERROR"}
    assert standing(desk) == others | {"OPERATOR_PAUSE"}
    desk.command(r.RESUME)
    assert standing(desk) == others
    desk.command(r.RESUME, value=1 << BIT["RECON_MISMATCH"])
    assert standing(desk) == {"RISK_ERROR_REPEAT", "RISK_ERROR"}
    desk.command(r.RESUME, value=1 << BIT["RISK_ERROR_REPEAT"])
    assert standing(desk) == {"RISK_ERROR"}
    desk.command(r.RESUME, value=1 << BIT["RISK_ERROR"])
    assert standing(desk) == set()


@pytest.mark.parametrize("fills", [False, True])
def test_ten_shares_together_stay_below_half_of_the_capital_moex_acc_109_moex_risk_04(fills: bool) -> None:
    """Each is tried for 50 000 with a capital of 100 000; what works counts like what is held."""
    half, lots_value = 50_000 * USD, 250 * USD  # a lot of 200 ticks at 1.25
    desk = Desk(
        SHARES | CAPS | {"capital_micros": 2 * half, "gross_ppm_max": 500_000, "margin_micros_max": half}, ready=False
    )
    desk.limits |= {"qty_max": 200, "position_max": 200, "instrument_ppm_max": 500_000, "cooldown_entry_ns": 0}
    desk.limits |= dict.fromkeys(("loss_trade_micros_max", "loss_day_micros_max", "loss_total_micros_max"), half)
    for instrument in range(1, 10):
        desk.add_instrument(instrument)
    desk.configure()
    desk.connect()
    desk.command(r.START)
    gross = 0
    for instrument in range(10):
        book = {"bid_tick": 199, "ask_tick": 201, "bid_qty": 1000, "ask_qty": 1000}
        desk.event(m.QUOTE, instrument=instrument, **book)
        desk.event(r.TIMER)
        out = desk.score(instrument=instrument)
        for order in sent(out, r.SUBMIT, r.ENTRY):
            gross += int(order.qty) * lots_value
            desk.ack(int(order.order_number))
            if fills:
                desk.fill(int(order.order_number), 201)
        assert gross <= half
    assert gross > half * 9 // 10, "and most of it was used"


def test_one_route_is_asked_for_an_episode_moex_risk_07_moex_acc_113() -> None:
    ms = 1_000_000
    desk = Desk(SHARES | {"probe_slow_ns": 50 * ms, "probe_good_ns": 40 * ms, "probe_lost_ns": 100 * ms})
    for _ in range(3):
        desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=101 * ms)
    for _ in range(3):
        desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=101 * ms)
        desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, code=r.PROBE_LOST)
    assert [int(o.ref) for o in sent(desk.sent, r.ROUTE_FAILOVER)] == [1]
    for _ in range(3):
        desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=10 * ms)
    desk.reconcile()
    desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=10 * ms)
    assert standing(desk) == {"NET_SLOW"}
    desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, code=r.PROBE_LOST)
    assert [int(o.ref) for o in sent(desk.sent, r.ROUTE_FAILOVER)] == [1, 2], "the next episode"
    assert standing(desk) == {"NET_SLOW", "NET_FAILOVER"}
    futures = Desk({"probe_slow_ns": 50 * ms, "probe_good_ns": 40 * ms, "probe_lost_ns": 100 * ms})
    futures.event(r.PROBE, instrument=ACCOUNT_SCOPE, code=r.PROBE_LOST)
    assert not sent(futures.sent, r.ROUTE_FAILOVER), "a hold that the rulebook lacks asks for nothing"


def test_a_request_for_a_route_is_owed_until_its_episode_ends_moex_risk_07() -> None:
    """An outbox that is filled again after a crash has it while the hold stands, and not afterwards."""
    ms = 1_000_000
    desk = Desk(SHARES | {"probe_slow_ns": 50 * ms, "probe_good_ns": 40 * ms, "probe_lost_ns": 100 * ms})
    owed = Outstanding()
    rows = desk.kernel.apply(probe(desk, r.PROBE_LOST, -1))
    owed.note(rows)
    assert owed.rows()["kind"].tolist() == [r.ROUTE_FAILOVER]
    for _ in range(3):
        owed.note(desk.kernel.apply(probe(desk, 0, 10 * ms)))
    assert owed.rows()["kind"].tolist() == [r.ROUTE_FAILOVER]
    desk.reconcile()
    owed.note(desk.kernel.apply(probe(desk, 0, 10 * ms)))
    assert len(owed.rows()) == 0


def probe(desk: Desk, code: int, value: int) -> np.ndarray:
    desk.now_ns += S
    event = m.new_events(1)
    event["kind"], event["code"], event["value"], event["instrument"] = r.PROBE, code, value, ACCOUNT_SCOPE
    event["ts_ns"] = event["ts_venue_ns"] = desk.now_ns
    return event
