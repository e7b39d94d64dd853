"""Orders of shares as they leave the kernel: an entry's children, the ladder of exits, their cancels (MOEX-ROUTE)."""

import pytest

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE, BUY, NO_TICK, SELL
from risk.core import codes
from risk.core.shares import routing
from tests.kernel.desk import Desk, S, decision, sent, standing
from tests.kernel.shares.test_limits import CAPS
from tests.kernel.shares.test_stops import FORMULA
from trading.core import records as r
from trading.core.protect import CLOSE_REASONS

MS = 1_000_000
LARGE = {
    "qty_max": 100, "position_max": 100, "value_micros_max": 10**13, "loss_trade_micros_max": 10**12,
    "loss_day_micros_max": 10**12, "loss_total_micros_max": 10**12, "duplicate_ns": 0,
}  # fmt: skip


def shares(qty: int, **limits: int) -> Desk:
    """A desk whose entries are `qty` lots; the book is 20 000 / 20 001."""
    return Desk(FORMULA | LARGE | {"qty_entry": qty} | limits)


def children(out: list) -> list[tuple[int, int, int]]:
    """(type, lots, limit) of the entries that left."""
    return [(int(o.order_type), int(o.qty), int(o.price_tick)) for o in sent(out, r.SUBMIT, r.ENTRY)]


@pytest.mark.parametrize("qty", [1, 5, 6, 7, 8, 9, 10, 13, 25, 100])
def test_exactly_the_slices_of_the_table_leave_moex_route_01_moex_acc_105(qty: int) -> None:
    desk = shares(qty)
    out = desk.score(BUY)
    assert decision(out) == codes.APPROVED
    _, _, slices, first, second = routing.route(qty, False)
    wanted = [(r.FILL_AND_KILL, first, 20_011), (r.PASSIVE, second, 20_011)]
    assert children(out) == wanted[:slices]
    assert sum(lots for _, lots, _ in children(out)) == qty


def test_a_short_entrys_limit_lies_below_the_bid_moex_route_03() -> None:
    assert children(shares(1).score(SELL)) == [(r.FILL_AND_KILL, 1, 19_990)]


def test_an_intent_lives_half_a_second_moex_risk_09() -> None:
    desk = shares(6)
    first, second = sent(desk.score(BUY), r.SUBMIT)
    assert first.until_ns == desk.now_ns + 500 * MS and first.ts_venue_ns == desk.now_ns
    assert second.ts_venue_ns == desk.now_ns + 5 * S, "no volume in the last minute: the longest gap (MOEX-ROUTE-04)"
    assert second.until_ns == second.ts_venue_ns + 500 * MS
    tight = shares(1, entry_ttl_ns=200 * MS)
    assert sent(tight.score(BUY), r.SUBMIT)[0].until_ns == tight.now_ns + 200 * MS, "a version may only shorten it"
    assert second.order_number == first.order_number + 1


@pytest.mark.parametrize(("lots", "gap_ms"), [(600, 1_000), (6_000, 200), (120, 5_000), (200, 3_000)])
def test_the_gap_follows_the_pace_of_the_last_minute_moex_route_04(lots: int, gap_ms: int) -> None:
    desk = shares(10)
    desk.event(m.TRADE, price_tick=20_000, qty=lots)
    second = sent(desk.score(BUY), r.SUBMIT)[1]
    assert second.ts_venue_ns - desk.now_ns == gap_ms * MS


def test_the_pace_forgets_what_is_older_than_a_minute_moex_route_04() -> None:
    desk = shares(10, quote_age_ns_max=600 * S)
    desk.event(m.TRADE, price_tick=20_000, qty=300)
    desk.event(m.TRADE, price_tick=20_000, qty=300, wait_ns=30 * S)
    desk.event(m.TRADE, price_tick=20_000, qty=10**6, flags=m.FLAG_BACKFILL)
    desk.quote(20_000, 20_001, wait_ns=29 * S)
    near = sent(desk.score(BUY), r.SUBMIT)[1]
    assert near.ts_venue_ns - desk.now_ns == 1_000 * MS, "600 lots in 59 s"
    for number in (1, 2):
        desk.answer(r.REJECT, number, code=r.REJECTED_BY_VENUE)
    desk.quote(20_000, 20_001, wait_ns=2 * S)
    far = sent(desk.score(BUY), r.SUBMIT)[1]
    assert far.ts_venue_ns - desk.now_ns == 2_000 * MS, "300 of them are left"


def test_simplified_sends_one_child_moex_risk_06_moex_acc_113() -> None:
    desk = shares(20, probe_slow_ns=50 * MS, probe_good_ns=40 * MS, probe_lost_ns=100 * MS)
    for _ in range(3):
        desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=51 * MS)
    assert standing(desk) == {"NET_SLOW"}
    assert children(desk.score(BUY)) == [(r.FILL_AND_KILL, 10, 20_011)], "half the size, one IOC child"


def test_every_slice_takes_a_token_moex_risk_10_moex_acc_110() -> None:
    assert decision(shares(10, bucket_capacity=1, bucket_refill_ns=S).score(BUY)) == codes.RATE
    desk = shares(10, bucket_capacity=3, bucket_refill_ns=S)
    desk.score(BUY)
    for number in (1, 2):
        desk.answer(r.REJECT, number, code=r.REJECTED_BY_VENUE)
    desk.quote(20_000, 20_001, wait_ns=S // 2)
    assert decision(desk.score(BUY)) == codes.RATE, "one of three is left"
    desk.quote(20_000, 20_001, wait_ns=S)
    assert decision(desk.score(BUY)) == codes.APPROVED


def test_the_plan_names_what_it_is_expected_to_cost_moex_route_02() -> None:
    row = sent(shares(5).score(BUY), r.DECISION)[0]
    assert row.fee_micros == 3_125_000, "half a tick of 1.25 for five lots; the commission here is none by value"


def test_a_high_regime_halves_the_size_moex_size_01() -> None:
    def lots(code: int) -> int:
        desk = shares(1, **CAPS)
        return int(sent(desk.score(BUY, 1_000_000, code=code), r.SUBMIT)[0].qty)

    assert [lots(code) for code in (0, r.REGIME_LOW, r.REGIME_NORMAL, r.REGIME_HIGH)] == [5, 5, 5, 2]


def test_a_hold_takes_both_children_back_moex_risk_09() -> None:
    desk = shares(10)
    numbers = [int(o.order_number) for o in sent(desk.score(BUY), r.SUBMIT)]
    assert [int(o.order_number) for o in sent(desk.command(r.PAUSE), r.CANCEL)] == numbers


def test_an_exit_takes_the_passive_child_back_moex_route_04() -> None:
    desk = shares(10)
    first, second = (int(o.order_number) for o in sent(desk.score(BUY), r.SUBMIT))
    desk.ack(first)
    desk.fill(first, 20_001)
    assert desk.position().qty == 8
    out = desk.quote(19_000, 19_001)
    assert [int(o.order_number) for o in sent(out, r.CANCEL)][:1] == [second]
    assert [int(o.qty) for o in sent(out, r.SUBMIT, r.EXIT)] == [8]


@pytest.mark.parametrize("role", [r.STOP_LOSS, r.TARGET])
def test_an_exit_that_fills_at_the_venue_takes_the_passive_child_back_too_moex_route_04(role: int) -> None:
    """What is stopped out is not bought back; a child that fills before its cancel leaves at once."""
    desk = shares(10, target_ticks=60)
    first, second = (int(o.order_number) for o in sent(desk.score(BUY), r.SUBMIT))
    desk.ack(first)
    desk.fill(first, 20_001)
    for order in desk.live():
        desk.ack(int(order.number)) if order.role != r.ENTRY else None
    leg = desk.live(role)[0]
    out = desk.fill(int(leg.number), 19_900 if role == r.STOP_LOSS else 20_061)
    assert desk.position().qty == 0 and second in [int(o.order_number) for o in sent(out, r.CANCEL)]
    assert [CLOSE_REASONS[int(o.code)] for o in sent(out, r.TRADE_CLOSED)] == [r.ROLES[role]]
    out = desk.fill(second, 20_000)
    assert [int(o.qty) for o in sent(out, r.SUBMIT, r.EXIT)] == [2]
    assert not sent(out, r.SUBMIT, r.STOP_LOSS)


def test_a_part_of_a_target_takes_the_passive_child_back_and_the_rest_stays_protected_moex_route_04() -> None:
    desk = shares(10, target_ticks=60)
    first, second = (int(o.order_number) for o in sent(desk.score(BUY), r.SUBMIT))
    desk.ack(first)
    desk.fill(first, 20_001)
    desk.ack(int(desk.live(r.TARGET)[0].number))
    out = desk.fill(int(desk.live(r.TARGET)[0].number), 20_061, qty=3)
    assert [int(o.order_number) for o in sent(out, r.CANCEL)] == [second]
    assert desk.position().qty == 5 and desk.position().closing == 0 and not sent(out, r.SUBMIT, r.EXIT)


def test_a_passive_child_counts_at_the_price_of_its_ack_moex_route_04() -> None:
    desk = shares(10)
    _, second = (int(o.order_number) for o in sent(desk.score(BUY), r.SUBMIT))
    assert desk.order(second).price_tick == 20_011
    desk.answer(r.ACK, second, price_tick=20_000)
    assert desk.order(second).price_tick == 20_000


def test_nobody_asks_after_a_child_that_is_kept_back_but_it_is_not_forgotten_moex_route_04() -> None:
    """Its answer is due once it was sent; long after the server should have ended it the kernel does."""
    desk = shares(10)
    first, second = (int(o.order_number) for o in sent(desk.score(BUY), r.SUBMIT))
    desk.ack(first)
    desk.answer(r.CANCELLED, first, code=r.CANCELLED_BY_VENUE)
    said: list = []
    for _ in range(9):
        desk.quote(20_000, 20_001, wait_ns=S)
        said += desk.event(r.TIMER)
    assert not sent(said, r.QUERY) and not sent(said, r.CANCEL)
    desk.ack(second)
    for _ in range(4):
        desk.quote(20_000, 20_001, wait_ns=S)
        said += desk.event(r.TIMER)
    assert [int(o.order_number) for o in sent(said, r.CANCEL)] == [second]


def leaving(desk: Desk, *commands: int) -> list:
    """The first attempt to leave, by a stop that was hit or by the commands; the book is 19 828 / 19 830."""
    desk.enter(BUY)
    out = desk.quote(19_828, 19_830)
    for command in commands:
        out += desk.command(command)
    return sent(out, r.SUBMIT, r.EXIT)


def next_attempt(desk: Desk, exit_order, kind: int = r.CANCELLED, code: int = r.CANCELLED_BY_VENUE) -> list:
    return sent(desk.answer(kind, int(exit_order.order_number), code=code), r.SUBMIT, r.EXIT)


def test_the_ladder_of_exits_moex_route_03() -> None:
    desk = shares(1)
    (first,) = leaving(desk, r.FLATTEN_ALL)
    assert (first.order_type, first.price_tick) == (r.FILL_AND_KILL, 19_809), "10 bps below the bid"
    (second,) = next_attempt(desk, first)
    assert (second.order_type, second.price_tick) == (r.FILL_AND_KILL, 19_769), "30 bps"
    (third,) = next_attempt(desk, second)
    assert (third.order_type, third.price_tick) == (r.BEST_PRICE, NO_TICK)
    assert next_attempt(desk, third) == [], "from here on one a second"
    assert sent(desk.quote(19_828, 19_830, wait_ns=S // 2), r.SUBMIT, r.EXIT) == []
    (fourth,) = sent(desk.quote(19_828, 19_830, wait_ns=S // 2), r.SUBMIT, r.EXIT)
    assert fourth.order_type == r.BEST_PRICE


def test_an_old_book_prices_no_exit_moex_route_03() -> None:
    desk = shares(1)
    desk.enter(BUY)
    desk.now_ns += S
    (first,) = sent(desk.command(r.FLATTEN_ALL), r.SUBMIT, r.EXIT)
    assert first.order_type == r.BEST_PRICE


def test_an_emergency_goes_to_market_after_two_failures_moex_route_03() -> None:
    desk = shares(1)
    desk.enter(BUY)
    (order,) = sent(desk.command(r.KILL), r.SUBMIT, r.EXIT)
    types = [int(order.order_type)]
    for _ in range(2):
        (order,) = next_attempt(desk, order)
        types.append(int(order.order_type))
    assert types == [r.FILL_AND_KILL, r.FILL_AND_KILL, r.MARKET]


@pytest.mark.parametrize(
    ("code", "then"), [(r.REJECTED_LIMIT_ONLY, r.FILL_AND_KILL), (r.REJECTED_BEST_ONLY, r.BEST_PRICE)]
)
def test_the_next_attempt_uses_the_type_that_is_allowed_moex_route_03(code: int, then: int) -> None:
    desk = shares(1)
    (order,) = leaving(desk, r.FLATTEN_ALL)
    types = []
    for _ in range(2):
        (order,) = next_attempt(desk, order, r.REJECT, code)
        types.append(int(order.order_type))
    assert types == [then, then]


def test_the_ladder_starts_anew_with_the_next_position_moex_route_03() -> None:
    desk = shares(1)
    (first,) = leaving(desk)
    (second,) = next_attempt(desk, first)
    desk.ack(int(second.order_number))
    desk.fill(int(second.order_number), 19_800)
    for order in desk.live():
        desk.answer(r.CANCELLED, int(order.number), code=r.CANCELLED_ON_REQUEST)
    assert desk.position().exit_tries == 0
    desk.quote(20_000, 20_001, wait_ns=60 * S)
    desk.event(r.TIMER)
    (again,) = leaving(desk, r.FLATTEN_ALL)
    assert again.order_type == r.FILL_AND_KILL


def test_a_version_without_the_documents_stops_goes_to_market_moex_route_01() -> None:
    """So do the futures."""
    desk = shares(10, stop_method=0)
    assert children(desk.score(BUY)) == [(r.MARKET, 10, NO_TICK)]
    assert children(Desk().score(BUY)) == [(r.MARKET, 1, NO_TICK)]


def test_lots_on_their_way_count_at_the_higher_of_mid_and_limit_moex_risk_04() -> None:
    """Five lots are 125 003.125 at the mid and 125 068.75 at their limit; the capital is 10 000."""
    assert decision(shares(5, gross_ppm_max=12_506_000).score(BUY)) == codes.LIMIT_EXPOSURE
    desk = shares(5, gross_ppm_max=12_507_000)
    assert decision(desk.score(BUY)) == codes.APPROVED
    limits = desk.kernel.params.limits[0]
    limits.gross_ppm_max = 12_506_000
    desk.event(r.TIMER)
    assert standing(desk) == {"EXPOSURE"}, "working at its limit it counts as much"
    desk = shares(5, gross_ppm_max=12_507_000)
    (row,) = sent(desk.score(SELL), r.SUBMIT)
    assert row.price_tick == 19_990
    desk.kernel.params.limits[0].gross_ppm_max = 12_500_400
    desk.event(r.TIMER)
    assert standing(desk) == set(), "a sale's limit lies below the mid: 125 003.125 of 125 004"


def test_a_kept_child_of_unknown_outcome_is_known_again_and_can_be_taken_back_moex_route_04() -> None:
    """The reply to its SUBMIT was lost; the venue says that it has it: an exit cancels it like any other."""
    desk = shares(10)
    first, second = (int(o.order_number) for o in sent(desk.score(BUY), r.SUBMIT))
    desk.ack(first)
    desk.fill(first, 20_001)
    desk.event(r.UNKNOWN_OUTCOME, order_number=second)
    assert desk.order(second).status == 5 and desk.position().holds != 0, "OUTCOME_UNKNOWN stands"
    desk.event(r.ACK, order_number=second, price_tick=20_011)  # a report has no number
    assert desk.position().holds == 0
    out = desk.quote(19_000, 19_001)
    assert second in [int(o.order_number) for o in sent(out, r.CANCEL)]


def test_a_reconciliation_names_kept_children_and_ends_none_moex_route_04() -> None:
    desk = shares(10)
    first, second = (int(o.order_number) for o in sent(desk.score(BUY), r.SUBMIT))
    desk.ack(first)
    desk.fill(first, 20_001)
    stop = int(desk.live(r.STOP_LOSS)[0].number)
    desk.ack(stop)
    for _ in range(2):
        desk.reconcile([(0, 8)], [stop, second])
        assert desk.order(second).status == 1 and standing(desk) == set()
    desk.answer(r.ACK, second, price_tick=20_000)
    assert desk.order(second).price_tick == 20_000, "sent, at the price of that moment"


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_kept_child_that_was_asked_after_and_is_then_refused_works_nowhere_moex_route_04(cancelled: bool) -> None:
    """Its server said that it has it; the venue refuses it when it is sent, before its cancel or after."""
    desk = shares(10)
    first, second = (int(o.order_number) for o in sent(desk.score(BUY), r.SUBMIT))
    desk.answer(r.CANCELLED, first, code=r.CANCELLED_BY_VENUE)
    desk.event(r.UNKNOWN_OUTCOME, order_number=second)
    desk.event(r.ACK, order_number=second, price_tick=20_011)
    if cancelled:
        assert [int(o.order_number) for o in sent(desk.event(r.TIMER), r.CANCEL)] == [second]
    assert decision(desk.score(BUY)) == codes.ENTRY_WORKING
    desk.answer(r.REJECT, second, code=r.REJECTED_BY_VENUE)
    assert desk.order(second).status == 4 and desk.live() == [] and desk.account.stale_answers == 0
    desk.quote(20_000, 20_001)
    assert decision(desk.score(BUY)) == codes.APPROVED


def test_a_kept_child_that_was_asked_after_and_is_then_sent_works_moex_route_04() -> None:
    desk = shares(10)
    first, second = (int(o.order_number) for o in sent(desk.score(BUY), r.SUBMIT))
    desk.answer(r.CANCELLED, first, code=r.CANCELLED_BY_VENUE)
    desk.event(r.UNKNOWN_OUTCOME, order_number=second)
    desk.event(r.ACK, order_number=second, price_tick=20_011)
    desk.answer(r.ACK, second, price_tick=20_000)
    assert (desk.order(second).status, desk.order(second).request) == (1, 0) and desk.order(second).price_tick == 20_000
