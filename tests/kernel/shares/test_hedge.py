"""The hedging task in the kernel: when it runs, what it sends, what it does where no hedge is possible (MOEX-HEDGE,
MOEX-RISK-11, MOEX-ACC-111)."""

import pytest

from marketdata.core.records import BUY, NO_TICK, NO_TIME, SELL, STATUS, STATUS_HALTED
from risk.core import codes
from risk.core.holds import BIT
from risk.core.shares import hedging
from tests.kernel.desk import Desk, S, decision, sent, standing
from tests.kernel.shares.floor import HEDGE, PERIOD, PRICES, RUB, A, B, C, Floor, hedged, orders, rows
from trading.core import records as r
from trading.core.protect import CLOSE_REASONS
from trading.core.watch.tasks import due_ns
from trading.run.replica import Kernel


def test_a_task_runs_at_the_first_timer_past_a_multiple_and_missed_ones_collapse_moex_risk_11() -> None:
    assert due_ns(NO_TIME, 600, 300) == 600 and due_ns(NO_TIME, 601, 300) == NO_TIME
    assert due_ns(599, 600, 300) == 600 and due_ns(600, 899, 300) == NO_TIME
    assert due_ns(899, 905, 300) == 900, "past it"
    assert due_ns(100, 1_999, 300) == 1_800, "six in one"
    assert due_ns(100, 1_999, 0) == NO_TIME, "0 is off"


def test_the_published_story_through_the_kernel_moex_acc_111_moex_hedge_02() -> None:
    floor = Floor().story()
    out = floor.task()
    assert rows(out) == [(HEDGE, "HEDGE", -3, hedging.FOR_IMBALANCE)]
    assert orders(out) == [(HEDGE, r.ENTRY, -3, r.FILL_AND_KILL)], "one ioc child (MOEX-ROUTE-01)"
    (row,) = sent(out, r.ADJUSTMENT)
    assert (row.value, row.volume) == (90_000 * RUB, 110_000 * RUB)
    assert row.until_ns % PERIOD == 0 and row.until_ns <= floor.now_ns, "the task's time (MOEX-HEDGE-05)"
    assert hedging.reason_text(int(row.ref), int(row.value), int(row.volume)) == "exposure_imbalance_0.818_long"
    (order,) = sent(out, r.SUBMIT)
    assert row.order_number == order.order_number
    floor.say(r.ACK, int(order.order_number))
    floor.trade(int(order.order_number))
    assert floor.position(HEDGE).qty == -3
    assert rows(floor.task()) == [], "the second call does nothing"
    # A leaves: N 30 000 is below 80 % of 10 % of C
    floor.position(A).stop_tick = 2_000
    out = floor.books()
    floor.leave(out)
    assert floor.position(A).qty == 0
    out = floor.task()
    assert rows(out) == [(HEDGE, "UNHEDGE", 3, hedging.FOR_IMBALANCE)]
    assert [(i, role, lots) for i, role, lots, _ in orders(out)] == [(HEDGE, r.EXIT, 3)]
    floor.leave(out)
    assert floor.position(HEDGE).qty == 0 and floor.account.hedge_on == 0


def test_at_or_below_the_thresholds_nothing_happens_moex_hedge_01() -> None:
    floor = Floor()
    floor.hold(A, BUY, 50)  # N 50 000 is 10 % of C, not above
    assert rows(floor.task()) == [] and floor.account.hedge_on == 0
    floor.hold(B, BUY, 1)
    assert rows(floor.task()) == [(HEDGE, "HEDGE", -1, hedging.FOR_IMBALANCE)]


def test_between_its_multiples_the_task_does_not_run_moex_risk_11() -> None:
    floor = Floor().story()
    assert rows(floor.task()) == [(HEDGE, "HEDGE", -3, hedging.FOR_IMBALANCE)]
    floor = Floor().story()
    floor.now_ns = (floor.now_ns // PERIOD + 1) * PERIOD - 3 * S
    said = []
    for _ in range(2):
        said += floor.event(r.TIMER, wait_ns=S)
    assert rows(said) == []


def test_nothing_is_sent_while_a_hedge_order_works_moex_hedge_02() -> None:
    floor = Floor().story()
    (order,) = sent(floor.task(), r.SUBMIT)
    out = floor.task()
    assert rows(out) == [] and not sent(out, r.SUBMIT)
    floor.say(r.CANCELLED, int(order.order_number), code=r.CANCELLED_BY_VENUE)
    assert rows(floor.task()) == [(HEDGE, "HEDGE", -3, hedging.FOR_IMBALANCE)], "unfilled it is asked for again"


def test_a_hedge_is_never_naked_and_never_timed_moex_hedge_05() -> None:
    floor = Floor().story()
    hedged(floor)
    for _ in range(20):
        floor.now_ns += S - 8
        said = floor.books() + floor.event(r.TIMER)
        assert not sent(said, r.SUBMIT)
    assert floor.position(HEDGE).qty == -3 and standing(floor) == set()
    assert floor.position(HEDGE).holds == 0, "no STOP_UNPROTECTED, no INSTRUMENT_CAP (MOEX-HEDGE-03)"
    floor.kernel.params.limits[0].hold_ns_max = S
    floor.event(r.TIMER)
    assert [int(floor.position(i).closing) for i in PRICES] == [1, 1, 1, 0], "the time limit is the shares' own"


def test_a_held_hedge_stops_no_entry_and_counts_in_gross_moex_hedge_03() -> None:
    floor = Floor(gross_ppm_max=385_000).story()
    hedged(floor)  # 110 000 + 81 000 of 192 500
    assert standing(floor) == set()
    floor.books()
    assert decision(floor.score(BUY, instrument=B, qty=1)) == codes.IN_POSITION
    floor = Floor(gross_ppm_max=380_000).story()
    assert rows(floor.task())[0][1] == "HEDGE"
    assert int(sent(floor.sent, r.ADJUSTMENT)[0].score_ppm) == codes.LIMIT_EXPOSURE, "191 000 of 190 000"


def test_without_room_positions_are_reduced_and_the_on_state_ends_moex_hedge_03() -> None:
    floor = Floor(gross_ppm_max=380_000).story()
    out = floor.task()
    assert rows(out) == [(HEDGE, "HEDGE", -3, hedging.FOR_IMBALANCE), (A, "REDUCE", -40, hedging.FOR_IMBALANCE)]
    assert [(i, role, lots) for i, role, lots, _ in orders(out)] == [(A, r.EXIT, -40)]
    assert floor.account.hedge_on == 0
    stop = floor.live(r.STOP_LOSS)
    assert {int(o.instrument): int(o.qty) for o in stop}[A] == 60, "all that is held stays covered"
    floor.leave(out)
    assert floor.position(A).qty == 20 and floor.position(A).closing == 0 and floor.position(A).stop_tick != NO_TICK
    modified = [o for o in floor.sent if o.kind == r.MODIFY and o.instrument == A]
    assert modified and int(modified[-1].qty) - int(modified[-1].volume) == 20, "and the stop follows"
    assert rows(floor.task()) == [], "the trigger is false"


def test_a_reduction_goes_on_while_a_hedge_order_works_moex_hedge_02_moex_hedge_03() -> None:
    """The task that finds the hedge's order at work decides nothing new, and forgets nothing that it decided."""
    floor = Floor().story()
    hedged(floor)
    floor.kernel.params.limits[0].gross_ppm_max = 380_000
    floor.kernel.params.limits[0].hedge_beta_ppm = 2_000_000  # no room for twice the hedge: positions are reduced
    out = floor.task()
    reduced = {i: -lots for i, action, lots, _ in rows(out) if action == "REDUCE"}
    assert reduced and (HEDGE, r.EXIT) in [(i, role) for i, role, _, _ in orders(out)], "the hedge leaves, too"
    kept = {i: int(floor.position(i).keep_qty) for i in reduced}
    out = floor.task()  # its exit still works
    assert rows(out) == []
    assert {i: int(floor.position(i).keep_qty) for i in reduced} == kept, "what was decided goes on"


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("hold", codes.HOLD_BASE + BIT["OPERATOR_PAUSE"]), ("halted", codes.CLOSED), ("wide", codes.SPREAD),
        ("dear", codes.HEDGE_COST), ("crossed", codes.FEED_STALE), ("rate", codes.RATE),
    ],
)  # fmt: skip
def test_what_refuses_a_hedge_moex_hedge_03_moex_hedge_05(what: str, code: int) -> None:
    floor = Floor(**({"hedge_max_cost_ppm": 70} if what == "dear" else {})).story()
    if what == "wide":
        floor.kernel.params.limits[0].spread_ppm_max = 500
    if what == "hold":
        floor.command(r.PAUSE)
    if what == "halted":
        floor.event(STATUS, instrument=HEDGE, code=STATUS_HALTED)
    if what == "rate":
        floor.kernel.params.limits[0].bucket_capacity = 1
        floor.kernel.params.limits[0].bucket_refill_ns = 10_000 * S
        floor.account.bucket_full_ns = floor.now_ns + 10_000 * S
    at_ns = (floor.now_ns // PERIOD + 1) * PERIOD
    floor.now_ns = at_ns - S // 2
    floor.books()
    if what == "wide":
        floor.quote(26_990, 27_010, instrument=HEDGE)
    if what == "crossed":
        floor.quote(27_001, 26_999, instrument=HEDGE)
    out = floor.event(r.TIMER, wait_ns=at_ns - floor.now_ns)
    assert [int(o.score_ppm) for o in sent(out, r.ADJUSTMENT)][:1] == [code]
    assert rows(out)[1:] == [(A, "REDUCE", -40, hedging.FOR_IMBALANCE)], "exits are never refused"
    assert [(i, role, lots) for i, role, lots, _ in orders(out)] == [(A, r.EXIT, -40)]


def test_an_old_book_of_the_future_prices_no_hedge_moex_hedge_03() -> None:
    floor = Floor(quote_age_ns_max=60 * S).story()
    at_ns = (floor.now_ns // PERIOD + 1) * PERIOD
    floor.now_ns = at_ns - 2 * S
    floor.books()
    for i in (A, B, C):
        floor.quote(999, 1_001, instrument=i, wait_ns=S // 2)
    out = floor.event(r.TIMER, wait_ns=at_ns - floor.now_ns)
    assert [int(o.score_ppm) for o in sent(out, r.ADJUSTMENT)][:1] == [codes.FEED_STALE], "older than 1.0 s"


def test_without_a_future_positions_are_reduced_moex_hedge_03() -> None:
    floor = Floor()
    floor.kernel.params.specs[HEDGE].hedge = 0
    floor.kernel.params.specs[HEDGE].tradable = 0
    floor.story()
    assert rows(floor.task()) == [(A, "REDUCE", -40, hedging.FOR_IMBALANCE)]


def test_when_the_hedge_cannot_grow_it_is_taken_off_with_the_reductions_moex_hedge_03() -> None:
    """N 100 000 is hedged by three, a fourth lot finds no room: N goes down to 10 % of C, and the hedge with it."""
    floor = Floor(gross_ppm_max=420_000).story()
    hedged(floor)
    floor.kernel.params.limits[0].gross_ppm_max = 380_000
    floor.position(C).stop_tick = 1  # the short leaves: N 100 000, G 100 000
    floor.leave(floor.books())
    assert floor.position(C).qty == 0
    out = floor.task()
    assert rows(out) == [] and floor.account.hedge_on == 1, "three lots still are 81 000 of 100 000"
    floor.kernel.params.limits[0].hedge_beta_ppm = 1_100_000
    out = floor.task()
    assert [row[1] for row in rows(out)] == ["HEDGE", "REDUCE", "UNHEDGE"]
    assert {(i, role, lots) for i, role, lots, _ in orders(out)} == {(A, r.EXIT, -50), (HEDGE, r.EXIT, 3)}


def test_over_its_cap_a_position_is_reduced_first_moex_hedge_04() -> None:
    floor = Floor(instrument_ppm_max=125_000)
    floor.hold(A, BUY, 60)
    floor.hold(B, SELL, 60)
    floor.kernel.params.limits[0].instrument_ppm_max = 114_000  # cap 57 000, 105 % of it is 59 850
    out = floor.task()
    assert rows(out) == [(A, "REDUCE", -3, hedging.FOR_CAP), (B, "REDUCE", 3, hedging.FOR_CAP)]
    row = sent(out, r.ADJUSTMENT)[0]
    assert (row.value, row.volume) == (60_000 * RUB, 57_000 * RUB)
    floor.leave(out)
    assert (floor.position(A).qty, floor.position(B).qty) == (57, -57)
    assert rows(floor.task()) == []


def test_a_reduction_climbs_the_ladder_until_it_is_done_moex_route_03() -> None:
    floor = Floor(gross_ppm_max=380_000).story()
    (first,) = sent(floor.task(), r.SUBMIT)
    assert (first.order_type, first.qty) == (r.FILL_AND_KILL, 40)
    floor.say(r.ACK, int(first.order_number))
    floor.trade(int(first.order_number), qty=15)
    (second,) = sent(floor.say(r.CANCELLED, int(first.order_number), code=r.CANCELLED_BY_VENUE), r.SUBMIT, r.EXIT)
    assert (second.order_type, second.qty) == (r.FILL_AND_KILL, 25)
    (third,) = sent(floor.say(r.CANCELLED, int(second.order_number), code=r.CANCELLED_BY_VENUE), r.SUBMIT, r.EXIT)
    assert (third.order_type, third.qty) == (r.BEST_PRICE, 25)
    for _ in range(9):  # longer than a position may take to be left: it is not being left
        floor.books()
        floor.event(r.TIMER, wait_ns=S)
    assert "NAKED_POSITION" not in standing(floor)
    floor.say(r.ACK, int(third.order_number))
    floor.trade(int(third.order_number))
    assert floor.position(A).qty == 20
    assert (floor.position(A).keep_qty, floor.position(A).exit_tries) == (r.KEEP_ALL, 0)


def test_a_stop_that_is_hit_meanwhile_leaves_whole_moex_stop_05() -> None:
    floor = Floor(gross_ppm_max=380_000).story()
    floor.task()
    floor.position(A).stop_tick = 2_000
    out = floor.books()
    assert [(i, lots) for i, role, lots, _ in orders(out) if role == r.EXIT] == [(A, -20)], "40 are on their way"
    assert floor.position(A).closing == 1 and floor.position(A).keep_qty == r.KEEP_ALL


def test_a_flatten_ends_the_hedge_and_the_next_task_begins_anew_moex_hedge_05() -> None:
    floor = Floor().story()
    hedged(floor)
    out = floor.command(r.FLATTEN_ALL)
    assert (HEDGE, r.EXIT, 3) in [(i, role, lots) for i, role, lots, _ in orders(out)]
    floor.leave(out)
    assert [int(floor.position(i).qty) for i in PRICES] == [0, 0, 0, 0]
    out = floor.task()
    assert rows(out) == [] and floor.account.hedge_on == 0


def test_a_hedges_trades_count_in_money_and_in_no_streak_moex_hedge_05() -> None:
    floor = Floor().story()
    hedged(floor)
    before = (int(floor.account.wins), int(floor.account.losses), int(floor.account.day_trades))
    floor.kernel.params.limits[0].hedge_min_net_ppm = 500_000
    (order,) = sent(floor.task(), r.SUBMIT, r.EXIT)
    floor.say(r.ACK, int(order.order_number))
    balance = int(floor.account.balance_micros)
    out = floor.trade(int(order.order_number), price=27_100)
    (closed,) = sent(out, r.TRADE_CLOSED)
    assert (CLOSE_REASONS[int(closed.code)], int(closed.value)) == ("hedge", -300 * RUB)
    assert int(floor.account.balance_micros) == balance - 300 * RUB
    assert (int(floor.account.wins), int(floor.account.losses), int(floor.account.day_trades)) == before
    assert floor.account.streak == 0


def test_no_score_enters_or_leaves_the_hedge_moex_hedge_05() -> None:
    floor = Floor().story()
    assert decision(floor.score(BUY, instrument=HEDGE)) == codes.NOT_TRADING
    hedged(floor)
    floor.books()
    floor.score(BUY, instrument=HEDGE, confidence=1_000_000)
    assert floor.position(HEDGE).closing == 0


def test_a_hold_takes_a_working_hedge_back_moex_risk_09() -> None:
    floor = Floor().story()
    (order,) = sent(floor.task(), r.SUBMIT)
    out = floor.command(r.PAUSE)
    assert [int(o.order_number) for o in sent(out, r.CANCEL)] == [int(order.order_number)]
    assert order.until_ns - order.ts_ns == S // 2


def test_off_and_under_the_futures_rulebook_nothing_is_hedged() -> None:
    assert rows(Floor(hedge_every_ns=0).story().task()) == []
    desk = Desk({"hedge_every_ns": 0})
    desk.kernel.params.specs[0].hedge = 1
    desk.enter()
    assert desk.live(r.STOP_LOSS), "a future of the other rulebook keeps its stop"


def test_the_task_survives_a_snapshot_moex_acc_114() -> None:
    floor = Floor().story()
    hedged(floor)
    other = Kernel.restore(floor.kernel.snapshot())
    assert int(other.state.account[0].hedge_on) == 1
    assert int(other.state.account[0].timer_ns) == int(floor.account.timer_ns)
