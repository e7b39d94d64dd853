"""Margins of the gate's rules (N6): the limit that a gauge names is exactly where the rule's mind turns."""

from dataclasses import dataclass

import numpy as np
import pytest

from marketdata.core.records import SELL, TRADE
from risk import margins
from risk.core import codes
from risk.core.codes import APPROVED
from risk.core.gate import RULES
from risk.core.records import LIMIT_DIRECTION, LIMIT_FIELDS, LIMIT_INDEX, MOEX
from risk.margins import Answer, Form, Gauge, measure
from tests.kernel.desk import Desk, S, decision
from tests.kernel.tape import Tape
from trading.core import records as r


def form_of(desk: Desk) -> Form:
    """What the gate saw of the last entry."""
    return Form(desk.kernel.params.asking, desk.kernel.params.limits)


def named(answers: tuple[Answer, ...], rule: str) -> Answer:
    return next(answer for answer in answers if answer.rule.function.__name__ == rule)


def gauge(answers: tuple[Answer, ...], rule: str, limit: str) -> Gauge:
    return next(gauge for gauge in named(answers, rule).gauges if gauge.limit.name == limit)


def first(answers: tuple[Answer, ...]) -> int:
    return next((int(answer.code or 0) for answer in answers if answer.verdict == margins.REFUSES), APPROVED)


def check_turns_there(form: Form, answer: Answer) -> None:
    """With the rule's other limits wide open: no objection at `used`, an objection one step tighter."""
    number = RULES.index(answer.rule)
    kept = form.limit_values.copy()
    for one in answer.gauges:
        name = one.limit.name
        tighter = 1 if LIMIT_DIRECTION[LIMIT_INDEX[name]] < 0 else -1
        for other in margins.LIMITED[number]:
            form.limit_values[LIMIT_INDEX[other]] = margins.ends(other)[1]
        form.limit_values[LIMIT_INDEX[name]] = one.used
        assert form.ask(number) == APPROVED, (answer.rule.text, name)
        if not one.beyond:
            form.limit_values[LIMIT_INDEX[name]] = one.used + tighter
            assert form.ask(number) != APPROVED, (answer.rule.text, name)
        assert (one.left >= 0) == (one.used >= one.value if one.at_least else one.used <= one.value)
        form.limit_values[:] = kept


@dataclass
class Seen:
    """What a random life showed."""

    forms: int = 0
    gauges: int = 0
    refusals: int = 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_gauge_of_a_random_life_is_exact_and_explains_its_rule(seed: int) -> None:
    """The first refusing rule is the recorded reason; who passes has no missed limit; nothing is left changed."""
    tape, seen = Tape(seed), Seen()

    def look(desk: Desk, kind: int, outputs: list[np.record]) -> None:
        if kind != r.SCORE:
            return
        code = decision(outputs)
        form = form_of(desk)
        before = form.asking.tobytes(), form.limits.tobytes()
        answers = measure(form)
        form.x.bad_field = desk.kernel.params.asking[0].bad_field
        assert (form.asking.tobytes(), form.limits.tobytes()) == before
        assert first(answers) == code
        assert [answer.place for answer in answers] == list(range(1, len(RULES) + 1))
        for answer in answers:
            missed = [one for one in answer.gauges if one.left < 0]
            assert not (answer.verdict == margins.PASSES and missed), answer
            check_turns_there(form, answer)
            seen.gauges += len(answer.gauges)
        seen.forms += 1
        seen.refusals += code != APPROVED

    tape.run(260, look)
    assert seen.forms >= 15 and seen.refusals >= 10 and seen.gauges >= 15 * seen.forms, seen


def test_the_numbers_of_one_refusal() -> None:
    """A spread of 6 ticks against 4: the gauge says 6 of at most 4, 2 over; the rules behind it were not reached."""
    desk = Desk()
    desk.event(TRADE, price_tick=20_003, qty=1)  # without a mid the collar asks for a recent trade
    desk.quote(20_000, 20_006)
    assert decision(desk.score(wait_ns=300_000_000)) == codes.SPREAD
    answers = measure(form_of(desk))
    one = gauge(answers, "spread", "spread_ticks_max")
    assert (one.value, one.used, one.left, one.at_least, one.pct) == (4, 6, -2, False, 150.0)
    assert named(answers, "spread").reached
    assert not any(answer.reached for answer in answers if answer.place > named(answers, "spread").place)
    age = gauge(answers, "fresh", "quote_age_ns_max")
    assert (age.used, age.value) == (300_000_000, 2 * S)
    sure = gauge(answers, "confidence", "confidence_ppm_min")
    assert (sure.at_least, sure.value, sure.used, sure.left) == (True, 550_000, 700_000, 150_000)
    reach = gauge(answers, "position_limit", "position_max")
    assert (reach.used, reach.value, reach.left) == (1, 3, 2)
    messages = gauge(answers, "message_rate", "messages_60s_max")
    assert (messages.used, messages.value) == (0 + 3 + 30, 200), "an entry brings three, the reserve stays"


def test_two_limits_that_both_refuse_are_both_missed() -> None:
    """Loosening one of them would not be enough: each is looked at with the other wide open."""
    desk = Desk({"spread_ppm_max": 50})
    desk.quote(20_000, 20_010)
    desk.score()
    spread = named(measure(form_of(desk)), "spread")
    assert {one.limit.name: one.left < 0 for one in spread.gauges} == {"spread_ticks_max": True, "spread_ppm_max": True}
    assert spread.code == codes.SPREAD


def test_what_no_limit_explains_has_no_gauge() -> None:
    """In a position: no limit of the rule would change that; the daily loss of the form is measured all the same."""
    desk = Desk()
    desk.enter()
    desk.quote(20_000, 20_001, wait_ns=6 * S)
    assert decision(desk.score()) == codes.IN_POSITION
    answers = measure(form_of(desk))
    assert named(answers, "flat").gauges == () and named(answers, "flat").verdict == margins.REFUSES
    day = gauge(answers, "day_risk", "loss_day_micros_max")
    form = form_of(desk)
    loss = form["stop_ticks"] + form.limit("slip_ticks_assumed")
    fees = 2 * form["fee_per_unit_micros"]
    spent = max(0, -form["day_net_micros"]) + form["open_risk_micros"]
    assert day.used == spent + loss * form["tick_value_micros"] + fees, "lost, at risk, and what this entry may lose"


def test_a_limit_that_is_off_or_without_a_say_is_no_gauge() -> None:
    desk = Desk()
    desk.score()
    answers = measure(form_of(desk))
    assert named(answers, "gross_limit").gauges == ()  # 0 sets no such limit
    assert named(answers, "bucket").gauges == ()
    names = {one.limit.name for one in named(answers, "cooled_down").gauges}
    assert names == set(), "nothing was filled yet: no cool-down runs"


def test_long_ago_is_beyond_what_a_profile_can_ask() -> None:
    desk = Desk({"quote_age_ns_max": 3600 * S, "recon_age_ns_max": 24 * 3600 * S, "score_age_ns_max": 3600 * S})
    number = desk.enter()
    stop = next(order for order in desk.live(r.STOP_LOSS))
    desk.fill(int(stop.number), int(stop.stop_tick))
    assert desk.position().qty == 0 and number > 0
    desk.quote(20_000, 20_001, wait_ns=2 * 3600 * S)
    desk.score()
    cooled = gauge(measure(form_of(desk)), "cooled_down", "cooldown_exit_ns")
    assert cooled.beyond and cooled.used == 3600 * S and cooled.left > 0


@pytest.mark.parametrize("ready", [False, True])
def test_behind_a_refusal_nothing_is_asked_that_lacks_its_inputs(ready: bool) -> None:
    """Without a configuration, or a price, a rule behind the first refusal says what it lacks, never a number."""
    desk = Desk(ready=ready)
    if ready:
        desk.kernel.params.asking[0].side = 0
        desk.kernel.state.positions[0].bid_tick = desk.kernel.state.positions[0].ask_tick = np.iinfo(np.int64).min
        desk.kernel.state.positions[0].book_ok = 0
    desk.score()
    answers = measure(form_of(desk))
    assert first(answers) != APPROVED
    blind = [answer for answer in answers if answer.verdict == margins.NOT_ASKED]
    assert blind and all(answer.blind and not answer.gauges and not answer.reached for answer in blind)
    lacking = {name for answer in blind for name in answer.blind}
    assert ("bid_tick" in lacking or "price_tick" in lacking) if ready else "limits_known" in lacking


def test_shares_are_measured_by_their_own_rulebook() -> None:
    """MOEX-RISK-08: another order of the same rules; a short sale that is not permitted has no gauge, but a place."""
    desk = Desk({"rules": MOEX, "allow_short": 0})
    desk.score(SELL)
    answers = measure(form_of(desk))
    places = {answer.rule.function.__name__: answer.place for answer in answers}
    assert places["limits_exist"] < places["trading"] < places["spread"] < places["signal"] < places["short_allowed"]
    assert named(answers, "short_allowed").code == codes.SHORT_NOT_ALLOWED


def test_what_a_rule_reads_is_taken_from_its_code() -> None:
    """Every field and limit of the forms is read by some rule, and no rule reads what it does not name."""
    by_name = {rule.function.__name__: number for number, rule in enumerate(RULES)}
    assert set(margins.READS[by_name["trade_risk"]]) >= {
        "qty",
        "stop_ticks",
        "fee_per_unit_micros",
        "tick_value_micros",
    }
    assert margins.READS[by_name["trading"]] == ("trading",)
    assert margins.LIMITED[by_name["spread"]] == ("spread_ticks_max", "spread_ppm_max")
    assert margins.LIMITED[by_name["collar"]] == ("last_age_ns_max", "collar_ppm_max", "collar_ticks_max")
    assert "loss_trade_micros_max" in margins.LIMITED[by_name["trade_risk"]], "also what a helper reads"
    gauged = {name for names in margins.LIMITED for name in names}
    asked = {
        "qty_max", "value_micros_max", "position_max", "margin_micros_max", "loss_day_micros_max", "orders_open_max",
        "loss_total_micros_max", "messages_1s_max", "stop_ticks_min", "stop_ticks_max", "move_ticks_max",
        "gross_ppm_max", "instrument_ppm_max", "cooldown_entry_ns", "score_ppm_min", "recon_age_ns_max", "duplicate_ns",
    }  # fmt: skip
    assert asked <= gauged <= set(LIMIT_FIELDS)


def test_a_rule_that_was_let_pass_is_told_apart_p27() -> None:
    """It refused, and is no refusal of the decision; every rule behind it was asked."""
    desk = Desk({"depth_ppm_max": 100_000})
    at = {"value": codes.DEPTH, "until_ns": desk.now_ns + S, "ref": 7}
    desk.event(r.COMMAND, instrument=0, code=r.OVERRIDE, **at)
    assert decision(desk.score()) == APPROVED
    answers = measure(form_of(desk))
    assert named(answers, "depth").verdict == margins.LET_PASS and named(answers, "depth").code == codes.DEPTH
    assert first(answers) == APPROVED and all(answer.reached for answer in answers)
