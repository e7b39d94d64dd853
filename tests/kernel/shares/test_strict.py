"""Where random lives beside the oracle found the kernel less strict than the shares' document (tests/oracle/shares)."""

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE, BUY
from marketdata.core.sessions import AGGRESSIVE_EXIT
from risk.core import codes
from risk.core.holds import BIT
from tests.kernel.desk import Desk, S, decision, sent, standing
from tests.kernel.shares.test_conditions import of, tell, two
from tests.kernel.shares.test_routes import MS, shares
from trading.core import records as r
from trading.core.past import FIGURES, PAST_FIGURE, PAST_HOLD
from trading.core.states import INDEX_HIGH

MINUTE = 60 * S


def test_a_candles_close_is_no_trade_of_now_moex_stop_04() -> None:
    """The last valid book is older than a second: a candle that closed far below the stop is up to a minute old."""
    desk = shares(1)
    desk.enter(BUY)
    stop = int(desk.position().stop_tick)
    low = {"high_tick": stop, "low_tick": stop - 90, "close_tick": stop - 90, "volume": 9}
    desk.event(m.BAR, wait_ns=2 * S, value=MINUTE, **low)
    assert desk.position().closing == 0
    desk.event(m.TRADE, price_tick=stop - 90, qty=1)
    assert desk.position().closing == 1


def test_what_was_traded_at_no_price_has_no_pace_moex_route_04() -> None:
    desk = shares(10)
    desk.event(m.TRADE, price_tick=0, qty=6_000)
    desk.event(m.TRADE, price_tick=20_000, qty=1)
    second = sent(desk.score(BUY), r.SUBMIT)[1]
    assert second.ts_venue_ns - desk.now_ns == 5_000 * MS


def test_a_reset_after_the_index_has_no_time_of_its_own_moex_risk_05() -> None:
    """Outside the time of publication the last value is not stale: at night RVI_HIGH can be reset; in it, it cannot."""
    desk = Desk({"rules": 1, "day_loss_open": 1, "rvi_max": 4_000, "rvi_clear_max": 3_800, "rvi_age_ns_max": 60 * S})
    desk.event(r.INDEX, instrument=ACCOUNT_SCOPE, value=4_001)
    desk.event(r.INDEX, instrument=ACCOUNT_SCOPE, value=3_800)
    desk.now_ns += 61 * S
    assert desk.command(r.RESET_HALT)[-1].qty == INDEX_HIGH
    end = int(desk.kernel.params.windows[0].end_ns)
    desk.now_ns = end - S
    desk.event(r.INDEX, instrument=ACCOUNT_SCOPE, value=3_800)
    desk.now_ns = end + 61 * S
    desk.command(r.RESET_HALT)
    assert "RVI_HIGH" not in standing(desk)


def test_an_instrument_over_its_cap_loses_its_entry_whatever_the_event_is_of_moex_risk_09() -> None:
    desk = two(instrument_ppm_max=2_600_000, gross_ppm_max=10**8, move_ticks_max=100_000)
    desk.enter(BUY)
    number = int(sent(desk.score(BUY, instrument=1), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.quote(23_000, 23_001, instrument=1)  # nothing is held of it: nobody looks
    assert not of(desk, "INSTRUMENT_CAP", 1)
    out = desk.quote(20_000, 20_001)
    assert of(desk, "INSTRUMENT_CAP", 1)
    assert [int(o.order_number) for o in sent(out, r.CANCEL)] == [number]


def test_a_pause_that_was_over_before_the_session_is_not_raised_again_moex_risk_06() -> None:
    for end, stands in ((-S, set()), (60 * S, {"OPERATOR_PAUSE"})):
        desk = Desk({"rules": 1, "day_loss_open": 1}, ready=False)
        for index, name in enumerate(FIGURES):
            value = desk.limits["capital_micros"] if name.endswith("_micros") and index not in (3,) else 0
            desk.event(r.PAST, instrument=ACCOUNT_SCOPE, code=PAST_FIGURE, ref=1, order_number=index, value=value)
        until = desk.now_ns + end
        row = {"order_number": BIT["OPERATOR_PAUSE"], "until_ns": until}
        desk.event(r.PAST, instrument=ACCOUNT_SCOPE, code=PAST_HOLD, ref=1, **row)
        out = desk.configure()
        assert {int(o.code) for o in sent(out, r.HOLD_RAISED)} & {BIT["OPERATOR_PAUSE"]} == {BIT[c] for c in stands}


def test_a_passive_childs_ack_names_its_price_although_it_is_being_cancelled_moex_route_04() -> None:
    desk = shares(10)
    _, second = (int(o.order_number) for o in sent(desk.score(BUY), r.SUBMIT))
    desk.command(r.CANCEL_ALL)
    desk.answer(r.ACK, second, price_tick=20_000)
    assert desk.order(second).price_tick == 20_000


def test_an_old_reconciliation_is_a_hold_moex_risk_05() -> None:
    """RECON: none for 120 s; it takes working entries back, and a clean one ends it."""
    desk = two(recon_age_ns_max=120 * S)
    agreed = int(desk.account.recon_ts_ns)
    number = int(sent(desk.score(BUY), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.quote(20_000, 20_001, wait_ns=agreed + 120 * S - desk.now_ns)
    assert "RECON" not in standing(desk)
    out = desk.quote(20_000, 20_001)
    assert standing(desk) == {"RECON"} and number in [int(o.order_number) for o in sent(out, r.CANCEL)]
    desk.reconcile(orders=[number])
    assert "RECON" not in standing(desk)


def test_of_equal_holds_the_one_that_stands_longest_is_named_moex_term_04() -> None:
    """One label: FLATTEN before NO_ENTRY, then the earliest set; what is due and does not stand yet comes last."""
    desk = two()
    for first, second in (("INTEGRITY", "HEARTBEAT"), ("HEARTBEAT", "INTEGRITY")):
        tell(desk, first)
        tell(desk, second)
        assert decision(desk.score(BUY)) == codes.HOLD_BASE + BIT[first]
        tell(desk, first, 0)
        tell(desk, second, 0)
    tell(desk, "HEARTBEAT")
    start = desk.now_ns + S
    row = {"code": AGGRESSIVE_EXIT, "value": start, "until_ns": start + 60 * S, "ref": 20260304}
    desk.kernel.params.windows[0].end_ns = start
    desk.event(r.WINDOW_SET, instrument=ACCOUNT_SCOPE, **row)
    desk.quote(20_000, 20_001, wait_ns=S)
    assert decision(desk.score(BUY)) == codes.HOLD_BASE + BIT["EOD"], "SESSION_END flattens"
