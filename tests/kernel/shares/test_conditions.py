"""Holds of shares that the kernel raises for one instrument by itself, and those that the loops tell (MOEX-RISK-05)."""

import pytest

from marketdata.core.records import ACCOUNT_SCOPE, BUY, NO_TIME
from risk.core import codes
from risk.core.holds import BIT, HOLD_CAPACITY
from risk.core.records import MOEX
from tests.kernel.desk import Desk, S, decision, sent, standing
from trading.core import records as r
from trading.core.protect import BY_TIME
from trading.run.context import LOOPS

SHARES = {"rules": MOEX, "day_loss_open": 1, "cooldown_entry_ns": 0, "cooldown_exit_ns": 0, "duplicate_ns": 0}


def two(**limits: int) -> Desk:
    """A desk of two shares."""
    desk = Desk(SHARES | limits, ready=False)
    desk.add_instrument(1)
    desk.configure()
    desk.connect()
    desk.command(r.START)
    for instrument in (0, 1):
        desk.quote(20_000, 20_001, instrument=instrument)
    desk.event(r.TIMER)
    return desk


def of(desk: Desk, code: str, instrument: int = 0) -> bool:
    """Whether this hold stands on the instrument."""
    return bool(desk.position(instrument).holds >> BIT[code] & 1)


def rows(out: list, kind: int, code: str) -> list[tuple[int, int]]:
    """(instrument, value) of the rows about this hold."""
    return [(int(o.instrument), int(o.value)) for o in sent(out, kind) if o.code == BIT[code]]


def tell(desk: Desk, code: str, value: int = 1, instrument: int = ACCOUNT_SCOPE, **fields: int) -> list:
    return desk.event(r.CONDITION, instrument=instrument, code=BIT[code], value=value, **fields)


def test_an_instrument_over_its_share_is_held_alone_moex_risk_04_moex_risk_05() -> None:
    """One lot is worth 25 000: above 240 of the capital of 10 000 in per cent, not above 260."""
    desk = two(instrument_ppm_max=2_600_000, gross_ppm_max=10**8)
    desk.enter(BUY)
    assert not of(desk, "INSTRUMENT_CAP")
    desk.kernel.params.limits[0].instrument_ppm_max = 2_400_000
    out = desk.event(r.TIMER)
    assert rows(out, r.HOLD_RAISED, "INSTRUMENT_CAP") == [(0, 20_000 * 1_250_000 + 625_000)]
    assert standing(desk) == set(), "the account's label stays (MOEX-TERM-04)"
    assert decision(desk.score(BUY)) == codes.HOLD_BASE + BIT["INSTRUMENT_CAP"]
    desk.quote(20_000, 20_001, instrument=1)
    assert decision(desk.score(BUY, instrument=1)) != codes.HOLD_BASE + BIT["INSTRUMENT_CAP"]
    desk.kernel.params.limits[0].instrument_ppm_max = 0
    assert rows(desk.event(r.TIMER), r.HOLD_CLEARED, "INSTRUMENT_CAP") != [], "a limit of 0 is none"
    assert not of(desk, "INSTRUMENT_CAP")


def test_an_unknown_outcome_holds_its_instrument_until_it_is_resolved_moex_risk_05() -> None:
    desk = two()
    number = int(sent(desk.score(BUY), r.SUBMIT)[0].order_number)
    out = desk.event(r.UNKNOWN_OUTCOME, order_number=number, instrument=0)
    assert rows(out, r.HOLD_RAISED, "OUTCOME_UNKNOWN") == [(0, 1)]
    assert of(desk, "OUTCOME_UNKNOWN") and not of(desk, "OUTCOME_UNKNOWN", 1)
    out = desk.answer(r.CANCELLED, number, code=r.CANCELLED_BY_VENUE)
    assert rows(out, r.HOLD_CLEARED, "OUTCOME_UNKNOWN") == [(0, 0)]
    assert not of(desk, "OUTCOME_UNKNOWN")


def test_a_position_without_a_confirmed_stop_is_unprotected_moex_risk_05() -> None:
    desk = two()
    number = int(sent(desk.score(BUY), r.SUBMIT)[0].order_number)
    desk.ack(number)
    desk.fill(number, 20_001)  # its stop is sent and never acknowledged
    for _ in range(2):
        desk.quote(20_000, 20_001, wait_ns=S)
        desk.event(r.TIMER)
    assert not of(desk, "STOP_UNPROTECTED"), "not before more than 3 s"
    desk.quote(20_000, 20_001, wait_ns=S)
    desk.quote(20_000, 20_001)
    assert of(desk, "STOP_UNPROTECTED") and desk.position().closing == 1
    for order in desk.live():
        desk.ack(int(order.number))
    assert not of(desk, "STOP_UNPROTECTED"), "the stop is confirmed"


@pytest.mark.parametrize("code", ["HEARTBEAT", "INTEGRITY", "ENSEMBLE_WEAK"])
def test_what_a_loop_sees_stands_while_it_is_so_moex_risk_05(code: str) -> None:
    desk = two()
    out = tell(desk, code, qty=7)
    assert standing(desk) == {code} and rows(out, r.HOLD_RAISED, code) == [(ACCOUNT_SCOPE, 7)]
    desk.event(r.MODEL, instrument=ACCOUNT_SCOPE, code=r.MODEL_READY, ref=r.CAUSE_OPERATOR)
    desk.command(r.RESUME, value=1 << BIT[code])
    assert standing(desk) == {code}, "neither a reload nor a person ends a condition"
    tell(desk, code, 0)
    assert standing(desk) == set()


@pytest.mark.parametrize("code", ["BROKER_AUTH", "STATE_LOST"])
def test_what_a_person_must_look_at_is_cleared_by_name_alone_moex_risk_05(code: str) -> None:
    desk = two()
    tell(desk, code)
    tell(desk, code, 0)
    desk.command(r.RESUME)
    assert standing(desk) == {code}
    desk.command(r.RESUME, value=1 << BIT[code])
    assert standing(desk) == set()


@pytest.mark.parametrize("cause_of", [r.CAUSE_CALIBRATE, r.CAUSE_TRAIN, r.CAUSE_OPERATOR])
def test_a_fall_back_to_the_heuristic_ends_with_a_reload_moex_risk_05_moex_ml_10(cause_of: int) -> None:
    desk = two()
    tell(desk, "ML_FALLBACK")
    tell(desk, "ML_FALLBACK", 0)
    for cause in (r.CAUSE_START, r.CAUSE_RESTORE, r.CAUSE_ROLLBACK):
        desk.event(r.MODEL, instrument=ACCOUNT_SCOPE, code=r.MODEL_BLOCKED)
        desk.event(r.MODEL, instrument=ACCOUNT_SCOPE, code=r.MODEL_READY, ref=cause)
        assert standing(desk) == {"ML_FALLBACK"}, "a set that nobody asked for ends only that there was none"
    desk.event(r.MODEL, instrument=ACCOUNT_SCOPE, code=r.MODEL_READY, ref=cause_of)
    assert standing(desk) == set()


def test_latency_stands_until_the_last_slow_stage_is_good_moex_acc_312() -> None:
    desk = two()
    for stage in (1, 3):
        tell(desk, "LATENCY", ref=stage)
    assert int(desk.kernel.state.holds[BIT["LATENCY"]].value) == 0b1010
    tell(desk, "LATENCY", 0, ref=1)
    assert standing(desk) == {"LATENCY"}
    tell(desk, "LATENCY", 0, ref=3)
    assert standing(desk) == set()
    tell(desk, "LATENCY", ref=2)
    assert int(desk.kernel.state.holds[BIT["LATENCY"]].value) == 0b100, "what ended is forgotten"


def test_an_unhealthy_instrument_loses_its_working_entry_alone_moex_data_09() -> None:
    desk = two()
    numbers = []
    for instrument in (0, 1):
        desk.quote(20_000, 20_001, instrument=instrument)
        numbers.append(int(sent(desk.score(BUY, instrument=instrument), r.SUBMIT)[0].order_number))
        desk.ack(numbers[-1])
    out = tell(desk, "UNHEALTHY", instrument=1)
    assert [int(o.order_number) for o in sent(out, r.CANCEL)] == [numbers[1]]
    assert of(desk, "UNHEALTHY", 1) and not of(desk, "UNHEALTHY") and standing(desk) == set()
    tell(desk, "UNHEALTHY", 0, instrument=1)
    assert not of(desk, "UNHEALTHY", 1)


def test_each_error_halves_and_the_third_needs_a_person_moex_risk_05() -> None:
    desk = two(errors_60s_max=3)
    desk.event(r.ERROR, instrument=ACCOUNT_SCOPE, value=1)
    assert standing(desk) == {"RISK_ERROR"}
    for _ in range(2):
        desk.event(r.ERROR, instrument=ACCOUNT_SCOPE, value=1)
    assert standing(desk) == {"RISK_ERROR", "RISK_ERROR_REPEAT"}


@pytest.mark.parametrize(("loop", "held"), [("risk", True), ("execution", True), ("inference", False), ("feed", False)])
def test_only_the_way_from_decision_to_venue_halves_by_its_errors_moex_risk_05(loop: str, held: bool) -> None:
    desk = two(errors_60s_max=3)
    desk.event(r.ERROR, instrument=ACCOUNT_SCOPE, code=LOOPS.index(loop) + 1, value=1)
    assert standing(desk) == ({"RISK_ERROR"} if held else set())
    desk.event(r.ERROR, instrument=ACCOUNT_SCOPE, code=LOOPS.index(loop) + 1, value=2)
    assert "RISK_ERROR_REPEAT" in standing(desk), "any three of them stop entries (T-10)"


def test_what_nobody_may_tell_says_nothing_moex_term_05() -> None:
    """Holds with a trigger of their own, numbers of no hold, instruments that are not there; and futures have none."""
    desk = two()
    for bit in (*range(HOLD_CAPACITY), HOLD_CAPACITY, 99, -1):
        if bit not in [BIT[code] for code in TOLD]:
            desk.event(r.CONDITION, instrument=ACCOUNT_SCOPE, code=bit, value=1)
    for instrument in (-1, 2, 31, 99):
        tell(desk, "UNHEALTHY", instrument=instrument)
    assert standing(desk) == set() and all(desk.position(i).holds == 0 for i in range(32))
    futures = Desk()
    for code in TOLD:
        assert not tell(futures, code, instrument=0) or code == "CLOCK_OFFSET", "whose clock matters, too"
        tell(futures, code, 0, instrument=0)
    assert futures.account.holds == 0 and futures.position().holds == 0
    assert futures.kernel.state.holds[BIT["LATENCY"]].until_ns in (0, NO_TIME)


def test_a_restricted_instrument_is_not_entered_and_may_be_left_p_25() -> None:
    """Its working entry goes, its position stays protected and leaves as ever; the other instrument trades on."""
    desk = two()
    desk.enter(BUY)
    desk.quote(20_000, 20_001, instrument=1)
    number = int(sent(desk.score(BUY, instrument=1), r.SUBMIT)[0].order_number)
    desk.ack(number)
    out = tell(desk, "RESTRICTED", instrument=1)
    assert [int(o.order_number) for o in sent(out, r.CANCEL)] == [number]
    assert rows(out, r.HOLD_RAISED, "RESTRICTED") == [(1, 0)] and standing(desk) == set()
    desk.answer(r.CANCELLED, number, code=r.CANCELLED_ON_REQUEST)
    desk.quote(20_000, 20_001, instrument=1)
    assert decision(desk.score(BUY, instrument=1)) == codes.HOLD_BASE + BIT["RESTRICTED"]
    tell(desk, "RESTRICTED", instrument=0)
    assert desk.position().qty > 0 and len(desk.live(r.STOP_LOSS)) == 1, "nothing is closed by it"
    out = desk.command(r.FLATTEN_ALL)
    assert len(sent(out, r.SUBMIT, r.EXIT)) == 1, "an exit is never refused"
    assert not rows(tell(desk, "RESTRICTED", 0, instrument=1), r.HOLD_CLEARED, "RESTRICTED")
    assert of(desk, "RESTRICTED", 1), "to lift it loosens: not before all is flat"
    tell(desk, "RESTRICTED", 0, instrument=0)
    tell(desk, "RESTRICTED", 1, instrument=0)
    exit_number = int(desk.live(r.EXIT)[0].number)
    desk.ack(exit_number)
    desk.fill(exit_number, 20_000)
    for order in desk.live():
        desk.answer(r.CANCELLED, int(order.number), code=r.CANCELLED_ON_REQUEST)
    assert not of(desk, "RESTRICTED", 1), "now it is"
    assert of(desk, "RESTRICTED", 0), "restricted again in between"


def test_futures_may_be_restricted_too_p_25() -> None:
    desk = Desk()
    tell(desk, "RESTRICTED", instrument=0)
    assert decision(desk.score(BUY)) == codes.HOLD_BASE + BIT["RESTRICTED"]
    tell(desk, "RESTRICTED", 0, instrument=0)
    assert decision(desk.score(BUY)) == codes.APPROVED


def test_an_instrument_that_is_not_active_is_not_entered_moex_risk_08_moex_data_05() -> None:
    """Row 4 names it, behind every hold of row 3; the other instrument trades on."""
    desk = two()
    out = tell(desk, "NOT_ACTIVE", instrument=0)
    assert rows(out, r.HOLD_RAISED, "NOT_ACTIVE") == [(0, 0)] and standing(desk) == set()
    assert decision(desk.score(BUY)) == codes.HOLD_BASE + BIT["NOT_ACTIVE"]
    tell(desk, "UNHEALTHY", instrument=0)
    assert decision(desk.score(BUY)) == codes.HOLD_BASE + BIT["UNHEALTHY"]
    assert decision(desk.score(BUY, instrument=1)) == codes.APPROVED
    tell(desk, "UNHEALTHY", 0, instrument=0)
    tell(desk, "NOT_ACTIVE", 0, instrument=0)
    desk.quote(20_000, 20_001)
    assert decision(desk.score(BUY)) == codes.APPROVED


def test_a_position_in_an_instrument_that_left_stays_managed_moex_risk_08_moex_data_05() -> None:
    """Its stop works on, and a person closes it as ever: only entries ask who is active."""
    desk = two()
    desk.enter(BUY)
    working = {int(order.number) for order in desk.live()}
    out = tell(desk, "NOT_ACTIVE", instrument=0)
    assert {int(order.number) for order in desk.live()} == working and sent(out, r.CANCEL) == []
    desk.command(r.FLATTEN_ALL)
    exits = [order for order in desk.live() if order.role == r.EXIT]
    assert [(int(order.side), int(order.qty)) for order in exits] == [(-1, int(desk.position(0).qty))]


def test_under_the_heuristic_alone_no_network_enters_moex_risk_08() -> None:
    desk = two()
    tell(desk, "ML_FALLBACK")
    assert decision(desk.score(BUY)) == codes.HOLD_BASE + BIT["ML_FALLBACK"]
    desk.event(r.MODEL, instrument=ACCOUNT_SCOPE, code=r.MODEL_READY, ref=r.CAUSE_OPERATOR)
    assert decision(desk.score(BUY)) == codes.APPROVED


def test_a_flatten_that_is_not_flat_in_thirty_seconds_calls_a_person_moex_exec_10() -> None:
    """FLATTEN_RESIDUAL (MOEX-RISK-05): by command or hold; it stays until somebody lifts it by name."""
    desk = two(naked_ns_max=1_000 * S)
    desk.enter(BUY)
    desk.command(r.FLATTEN_ALL)
    for _ in range(29):
        desk.quote(20_000, 20_001, wait_ns=S)
        desk.event(r.TIMER)
    assert standing(desk) == {"OPERATOR_PAUSE", "CANCEL_UNPROVEN"}, "the target's cancel was not answered (W-08)"
    out = desk.quote(20_000, 20_001, wait_ns=S) + desk.event(r.TIMER)
    assert rows(out, r.HOLD_RAISED, "FLATTEN_RESIDUAL") == [(ACCOUNT_SCOPE, 1)]
    number = int(desk.live(r.EXIT)[0].number)
    desk.ack(number)
    desk.fill(number, 20_000)
    desk.command(r.RESUME)
    for order in desk.live():
        desk.answer(r.CANCELLED, int(order.number))
    assert standing(desk) == {"FLATTEN_RESIDUAL"}, "flat at last, and a person must still look"
    desk.command(r.RESUME, value=1 << BIT["FLATTEN_RESIDUAL"])
    assert standing(desk) == set()


def test_a_flatten_of_what_leaves_already_has_its_own_thirty_seconds_moex_exec_10() -> None:
    """The time exit finds nobody; half a minute later somebody demands flat: another one, and a person must look."""
    desk = two(naked_ns_max=1_000 * S, hold_ns_max=10 * S)
    desk.enter(BUY)
    for _ in range(45):
        desk.quote(20_000, 20_001, wait_ns=S)
        desk.event(r.TIMER)
    assert desk.position().closing == 1 and desk.position().close_reason == BY_TIME
    desk.command(r.FLATTEN_ALL)
    raised = []
    for second in range(1, 32):
        out = desk.quote(20_000, 20_001, wait_ns=S) + desk.event(r.TIMER)
        raised += [second] if rows(out, r.HOLD_RAISED, "FLATTEN_RESIDUAL") else []
    assert raised == [30] and desk.position().close_reason == BY_TIME, "the first reason stays"
    number = int(desk.live(r.EXIT)[0].number)
    desk.ack(number)
    desk.fill(number, 20_000)
    for order in desk.live():
        desk.answer(r.CANCELLED, int(order.number))
    assert desk.position().closing == 0 and desk.position().flatten_ns == NO_TIME


def test_an_exit_of_the_strategy_is_no_flatten() -> None:
    desk = two(naked_ns_max=1_000 * S, hold_ns_max=10 * S)
    desk.enter(BUY)
    for _ in range(45):
        desk.quote(20_000, 20_001, wait_ns=S)
        desk.event(r.TIMER)
    assert desk.position().closing == 1 and standing(desk) == {"CANCEL_UNPROVEN"}, "no FLATTEN_RESIDUAL"


def test_a_lost_connection_is_back_after_three_probes_a_truth_and_the_gate_moex_dr_03_moex_risk_05() -> None:
    ms = 1_000_000
    desk = two(probe_slow_ns=50 * ms, probe_good_ns=40 * ms, probe_lost_ns=100 * ms)

    def probes(*round_trips: int) -> set[str]:
        for round_trip in round_trips:
            desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, value=round_trip * ms)
        return standing(desk)

    desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, code=r.PROBE_LOST)
    tell(desk, "INTEGRITY")
    held = {"NET_FAILOVER", "INTEGRITY"}
    assert probes(1, 80, 81, 1, 80) == held and desk.account.reconciled == 1, "never three in a row"
    assert probes(80) == held and desk.account.reconciled == 0, "the third: what was agreed before counts no more"
    assert probes(1) == held
    desk.reconcile()
    assert probes(1) == held, "the books have not passed their gate"
    tell(desk, "INTEGRITY", 0)
    assert probes(1) == set()
    desk.event(r.PROBE, instrument=ACCOUNT_SCOPE, code=r.PROBE_LOST)
    assert probes(1, 1, 1, 1) == {"NET_FAILOVER"}, "the next episode asks for a truth of its own"


TOLD = ("HEARTBEAT", "INTEGRITY", "ENSEMBLE_WEAK", "ML_FALLBACK", "BROKER_AUTH", "STATE_LOST", "LATENCY", "UNHEALTHY",
        "CLOCK_OFFSET", "NOT_ACTIVE")  # fmt: skip
