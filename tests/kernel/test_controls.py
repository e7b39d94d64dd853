"""Controls under every rulebook: what a lost link does to working orders, when figures are computed anew, and what
neither document has a number for (P-15, P-18, P-26, W-08, T-09, entry filters)."""

import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE, BUY
from marketdata.core.sessions import NORMAL
from risk.core import codes
from risk.core.holds import BIT
from risk.core.records import MES, MOEX
from tests.kernel.desk import T0, Desk, S, decision, sent, standing
from tests.kernel.test_limits import USD
from trading.core import records as r
from trading.run.spec import statement


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


def a_trade(desk: Desk, out_at: int = 20_000) -> None:
    """In at 20 001, out at `out_at`, everything answered."""
    desk.enter()
    desk.command(r.FLATTEN_ALL)
    number = int(desk.live(r.EXIT)[0].number)
    desk.ack(number)
    desk.fill(number, out_at)
    for order in desk.live():
        desk.answer(r.CANCELLED, int(order.number), code=r.CANCELLED_ON_REQUEST)
    desk.command(r.RESUME)
    desk.quote(20_000, 20_001, wait_ns=S)


AGAIN = {"cooldown_entry_ns": 0, "cooldown_exit_ns": 0, "duplicate_ns": 0}


def test_a_share_of_the_daily_limit_stops_entries_and_closes_nothing_p15() -> None:
    """A quarter of 40 dollars: what one trade loses is 2.09, five of them 10.45."""
    desk = Desk(AGAIN | {"loss_day_micros_max": 40_000_000, "loss_day_soft_ppm_max": 250_000})
    for _ in range(4):
        a_trade(desk)
    assert "DAILY_LOSS_NEAR" not in standing(desk)
    a_trade(desk)
    assert standing(desk) == {"DAILY_LOSS_NEAR"}
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["DAILY_LOSS_NEAR"]
    desk.command(r.RESUME, value=1 << BIT["DAILY_LOSS_NEAR"])
    assert standing(desk) == {"DAILY_LOSS_NEAR"}, "no person ends a condition"
    desk.event(
        r.WINDOW_SET, instrument=ACCOUNT_SCOPE, code=NORMAL, value=T0 + 10**15, until_ns=T0 + 10**16, ref=20260305
    )
    desk.now_ns = T0 + 10**15
    prices = dict.fromkeys(("open_tick", "high_tick", "low_tick", "close_tick"), 20_000)
    desk.event(m.BAR, value=S, ts_venue_ns=T0 + 10**15, volume=50, **prices)
    assert "DAILY_LOSS_NEAR" not in standing(desk), "with its day, which a history tells by its bars alone"
    whole = Desk(AGAIN | {"loss_day_micros_max": 40_000_000})
    for _ in range(5):
        a_trade(whole)
    assert standing(whole) == set(), "0 is no soft level"


def test_too_many_entries_in_a_window_wait_for_a_person_p18() -> None:
    desk = Desk(AGAIN | {"entries_max": 2, "entries_window_ns": 60 * S})
    a_trade(desk)
    a_trade(desk)
    assert standing(desk) == set()
    assert decision(desk.score()) == codes.REPEATED
    assert standing(desk) == {"REPEATED_ENTRIES"}
    desk.quote(20_000, 20_001, wait_ns=61 * S)
    desk.event(r.TIMER)
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["REPEATED_ENTRIES"], "time does not end it"
    desk.command(r.RESUME)
    assert standing(desk) == set()
    a_trade(desk)
    desk.quote(20_000, 20_001, wait_ns=61 * S)
    desk.event(r.TIMER)
    a_trade(desk)
    assert decision(desk.score()) == codes.APPROVED, "the one before left the window"


def test_a_day_has_so_many_trades_p26() -> None:
    desk = Desk(AGAIN | {"trades_day_max": 2})
    a_trade(desk)
    a_trade(desk)
    assert decision(desk.score()) == codes.TRADES_DAY and desk.account.day_trades == 2
    two = Desk(AGAIN | {"trades_day_max": 1}, ready=False)
    two.add_instrument(1)
    two.configure()
    two.connect()
    two.command(r.START)
    for instrument in (0, 1):
        two.quote(20_000, 20_001, instrument=instrument)
    two.event(r.TIMER)
    assert decision(two.score()) == codes.APPROVED
    assert decision(two.score(instrument=1)) == codes.TRADES_DAY, "one that is asked for is begun"


def test_a_cancel_without_a_proof_calls_a_person_after_three_retries_w08() -> None:
    """The asking goes on; the venue's word alone ends the order."""
    desk = Desk({"entry_ttl_ns": S, "ack_timeout_ns": S})
    number = int(sent(desk.score(), r.SUBMIT)[0].order_number)
    desk.ack(number)
    asked = []
    for _ in range(12):
        desk.quote(20_000, 20_001)
        out = desk.event(r.TIMER, wait_ns=2 * S)
        asked += [int(o.kind) for o in out if o.kind in (r.CANCEL, r.QUERY)]
        if "CANCEL_UNPROVEN" in standing(desk):
            break
        if desk.order(number).request == 4:  # the venue says that it still works
            desk.answer(r.ACK, number)
    assert len(asked) == 5 and asked[0] == r.CANCEL, "a cancel, three retries, and the next one"
    assert desk.kernel.state.holds[BIT["CANCEL_UNPROVEN"]].limit == 3, "as every journal has it"
    assert decision(desk.score()) == codes.HOLD_BASE + BIT["CANCEL_UNPROVEN"]
    desk.command(r.RESUME)
    assert "CANCEL_UNPROVEN" in standing(desk), "no person proves it"
    desk.answer(r.REJECT, number, code=r.REJECTED_BY_VENUE)
    assert "CANCEL_UNPROVEN" in standing(desk), "neither does a refusal: it works"
    proof = desk.answer(r.CANCELLED, number, code=r.CANCELLED_ON_REQUEST)
    assert [int(o.code) for o in sent(proof, r.HOLD_CLEARED)] == [BIT["CANCEL_UNPROVEN"]] and standing(desk) == set()


@pytest.mark.parametrize("rules", [MES, MOEX])
@pytest.mark.parametrize("proof", [r.FILL, r.CANCELLED, r.RECON])
def test_an_unproven_cancel_ends_with_the_venues_word_alone_w08(rules: int, proof: int) -> None:
    """Of each of them: a fill, a cancel, or a reconciliation in which neither stands any more."""
    desk = Desk({"rules": rules, "entry_ttl_ns": S, "ack_timeout_ns": S, "recon_age_ns_max": 10**15}, ready=False)
    desk.add_instrument(1)
    desk.configure()
    desk.connect()
    desk.command(r.START)
    for instrument in (0, 1):
        desk.quote(20_000, 20_001, instrument=instrument)
    desk.event(r.TIMER)
    numbers = [int(sent(desk.score(instrument=k), r.SUBMIT)[0].order_number) for k in (0, 1)]
    for number in numbers:
        desk.ack(number)
    for _ in range(6):  # asked, and no answer
        desk.event(r.TIMER, wait_ns=2 * S)
    assert "CANCEL_UNPROVEN" in standing(desk)
    if proof == r.RECON:
        desk.event(r.ACK, order_number=numbers[0])  # a report: it works
        desk.event(r.ACK, order_number=numbers[1])
        desk.reconcile((), numbers[1:])
        assert "CANCEL_UNPROVEN" in standing(desk), "one is left"
        desk.reconcile()
    else:
        for at, number in enumerate(numbers):
            assert "CANCEL_UNPROVEN" in standing(desk), f"{2 - at} are left"
            order = desk.order(number)
            told = {"qty": 1, "side": int(order.side), "price_tick": 20_001, "instrument": at}
            desk.answer(proof, number, **(told if proof == r.FILL else {"instrument": at}))
    assert "CANCEL_UNPROVEN" not in standing(desk)


def test_a_clock_that_is_off_stops_entries_while_it_is_p04_t09() -> None:
    """The loop that asks a time server tells it; exits and stops go on."""
    desk = Desk()
    desk.enter()
    told = {"instrument": ACCOUNT_SCOPE, "code": BIT["CLOCK_OFFSET"]}
    out = desk.event(r.CONDITION, value=1, qty=71_000_000, **told)
    assert standing(desk) == {"CLOCK_OFFSET"} and int(sent(out, r.HOLD_RAISED)[0].value) == 71_000_000
    assert len(desk.live(r.STOP_LOSS)) == 1 and len(sent(desk.command(r.FLATTEN_ALL), r.SUBMIT, r.EXIT)) == 1
    desk.event(r.CONDITION, value=0, **told)
    assert standing(desk) == {"OPERATOR_PAUSE"}


def test_entry_filters_look_at_the_range_of_the_last_rows_mes_risk_20_mes_opt_01() -> None:
    """Fourteen rows of 3 ticks each; a range that nobody knows passes no filter."""
    desk = Desk(AGAIN | {"atr_ppm_min": 2_500_000})
    assert decision(desk.score()) == codes.FILTERED, "no row yet"
    second = desk.now_ns // S
    for k in range(14):
        row = {"high_tick": 20_002, "low_tick": 19_999, "close_tick": 20_000, "volume": 5, "value": S}
        desk.event(m.BAR, wait_ns=S, ts_venue_ns=(second + k + 1) * S, **row)
    desk.quote(20_000, 20_001)
    limits = desk.kernel.params.limits[0]
    for least, most, code in (
        (2_500_000, 0, codes.APPROVED), (3_000_000, 3_000_000, codes.APPROVED), (3_000_001, 0, codes.FILTERED),
        (0, 2_999_999, codes.FILTERED),
    ):  # fmt: skip
        limits.atr_ppm_min, limits.atr_ppm_max = least, most
        assert decision(desk.score(BUY)) == code, (least, most)
        for order in desk.live():
            desk.answer(r.REJECT, int(order.number))
        desk.quote(20_000, 20_001)


def test_the_form_knows_own_orders_of_the_other_side_p19() -> None:
    """A target stands at its price, an exit at market meets any; a stop stands in no book, and no own side counts."""
    desk = Desk(AGAIN)
    asking = desk.kernel.params.asking
    desk.score(BUY)
    assert asking[0].opposite_tick == 0
    number = int(desk.live(r.ENTRY)[0].number)
    desk.ack(number)
    desk.fill(number, 20_001)
    desk.score(BUY)
    assert asking[0].opposite_tick == 20_017
    desk.score(-BUY)
    assert asking[0].opposite_tick == 0
    desk.command(r.FLATTEN_ALL)
    desk.score(BUY)
    assert asking[0].opposite_tick == 1


def truth(desk: Desk, cash: int, fees: int, ref: int | None = None) -> None:
    """A reconciliation that agrees in what is held and works, and tells of money."""
    qty = int(desk.position().qty)
    desk.event(r.RECON, instrument=ACCOUNT_SCOPE, code=r.RECON_BEGIN)
    held = {"side": (qty > 0) - (qty < 0), "qty": abs(qty)}
    desk.event(r.RECON, instrument=0, code=r.RECON_POSITION, volume=1, value=cash, fee_micros=fees, **held)
    for order in desk.live():
        desk.event(r.RECON, instrument=0, code=r.RECON_ORDER, order_number=int(order.number))
    desk.event(r.RECON, instrument=ACCOUNT_SCOPE, code=r.RECON_END, ref=desk.ref if ref is None else ref)


@pytest.mark.parametrize(("rules", "hold"), [(MES, "MISMATCH"), (MOEX, "RECON_MISMATCH")])
@pytest.mark.parametrize(
    ("ticks", "fees", "differs"),
    [
        (0, 0, False), (0, 10_000, False), (0, 10_001, True), (0, -10_001, True), (1, 1_250_000, False),
        (2, 2_500_000, True), (-1, 0, True), (2**40, 0, True), (-(2**62), 2**62, True),
    ],
)  # fmt: skip
def test_money_that_differs_gates_at_once_and_only_the_venue_ends_it_t02(
    rules: int, hold: str, ticks: int, fees: int, differs: bool
) -> None:
    """One bought at 20 001, of 1.25 a tick: an average within a tick, a balance within a cent."""
    desk = Desk({"rules": rules})
    desk.enter()
    truth(desk, -20_001 + ticks, 420_000 + fees)
    assert (hold in standing(desk)) == differs and desk.account.reconciled == (0 if differs else 1)
    assert len(desk.live(r.STOP_LOSS)) == 1, "what is held stays as it was"
    if not differs:
        return
    desk.command(r.RESUME, value=1 << BIT[hold])
    assert hold not in standing(desk) and desk.account.reconciled == 0, "a person lifts the hold, the venue the rest"
    truth(desk, -20_001 + ticks, 420_000 + fees)
    assert hold in standing(desk), "it still differs"
    truth(desk, -20_001, 420_000)
    assert desk.account.reconciled == 1 and hold in standing(desk), "a person looks at what was"


def test_money_of_another_moment_or_of_a_venue_that_tells_none_is_not_compared_t02() -> None:
    desk = Desk()
    desk.enter()
    truth(desk, 0, 0, ref=desk.ref - 1)
    assert standing(desk) == set() and desk.account.reconciled == 1
    desk.reconcile([(0, 1)], [int(order.number) for order in desk.live()])
    assert standing(desk) == set()
    desk.command(r.FLATTEN_ALL)
    number = int(desk.live(r.EXIT)[0].number)
    desk.ack(number)
    desk.fill(number, 20_010)
    truth(desk, 9, 2 * 420_000)
    assert standing(desk) == {"OPERATOR_PAUSE"}, "flat again: 9 ticks were won"
    truth(desk, 8, 2 * 420_000)
    assert standing(desk) == {"OPERATOR_PAUSE", "MISMATCH", "NOT_RECONCILED"}


def test_a_difference_of_money_ends_with_a_truth_that_was_compared_t02() -> None:
    """Neither an older truth, nor one that tells no money, nor the link's return."""
    desk = Desk()
    desk.enter()
    truth(desk, -20_001, 500_000)
    assert desk.account.reconciled == 0
    truth(desk, -20_001, 420_000, ref=desk.ref - 1)
    assert desk.account.reconciled == 0, "of another moment"
    desk.reconcile([(0, 1)], [int(order.number) for order in desk.live()])
    assert desk.account.reconciled == 0, "no money was told"
    for up in (0, 1):
        desk.event(r.LINK, instrument=ACCOUNT_SCOPE, code=r.LINK_EXECUTION, value=up)
    desk.reconcile([(0, 1)], [int(order.number) for order in desk.live()])
    assert desk.account.reconciled == 0
    truth(desk, -20_001, 420_000)
    assert desk.account.reconciled == 1


@pytest.mark.parametrize("seen", [True, False])
def test_after_a_fill_without_a_price_a_person_and_the_venue_end_it_t02(seen: bool) -> None:
    """Flat, the figures stated: from then on the venue's money is the desk's, whether a truth had differed or not."""
    desk = Desk()
    desk.enter()
    desk.command(r.FLATTEN_ALL)
    number = int(desk.live(r.EXIT)[0].number)
    desk.ack(number)
    desk.fill(number, 0)
    for order in desk.live():
        desk.answer(r.CANCELLED, int(order.number), code=r.CANCELLED_ON_REQUEST)
    assert desk.position().qty == 0 and "STATE_UNREADABLE" in standing(desk)
    if seen:
        truth(desk, 9, 2 * 420_000)
        assert desk.account.reconciled == 0 and "MISMATCH" in standing(desk)
    figures = {"balance_micros": 900 * USD, "peak_micros": 950 * USD}
    event = statement(figures | {"reference_micros": 1_000 * USD, "day_net_micros": 0})
    fields = {name: int(event[name][0]) for name in ("code", "value", "volume", "qty", "fee_micros")}
    desk.event(r.PAST, instrument=ACCOUNT_SCOPE, **fields)
    assert desk.command(r.RESET_HALT)[-1].code == r.RECEIPT_DONE
    desk.reconcile()
    truth(desk, 9, 2 * 420_000)
    desk.command(r.RESUME)
    assert desk.account.reconciled == 1 and standing(desk) == set()
    truth(desk, 8, 2 * 420_000)
    assert desk.account.reconciled == 0 and "MISMATCH" in standing(desk), "what differs from then on differs"
