"""T-02: the venue's money against our own fills, whenever a truth is told: an average price, a balance, a cent."""

import msgspec
import pytest

from tests.run.conduct.tape import Tape
from trading.core.records import ACK, FILL, RECON, RECON_BEGIN, RECON_END, RECON_POSITION
from trading.run.conduct.money import MoneyState, MoneyWatch

TICK_VALUE, FEE = 1_250_000, 840_000


def truth(tape: Tape, cash: int, fees: int, instrument: int = 0, ref: int | None = None) -> Tape:
    tape.add(RECON, 50, code=RECON_BEGIN)
    tape.add(RECON, 50, code=RECON_POSITION, instrument=instrument, volume=1, value=cash, fee_micros=fees)
    return tape.add(RECON, 50, code=RECON_END, ref=tape.ref if ref is None else ref)


def held() -> Tape:
    """Two bought at 100 and 103: the cash is −203 ticks."""
    tape = Tape()
    for at_s, price in ((1, 100), (2, 103)):
        tape.fill(at_s, tape.submit(at_s), price)
        tape.rows[-2]["fee_micros"] = FEE
    return tape


def said(tape: Tape) -> list[str]:
    return MoneyWatch([TICK_VALUE] * 2).note(tape.events())


def test_equal_money_says_nothing_and_a_second_delivery_counts_once_t_02() -> None:
    tape = held()
    tape.rows.append(tape.rows[-2])
    assert said(truth(tape, -203, 2 * FEE)) == []


@pytest.mark.parametrize(
    ("cash", "fees", "expected"),
    [
        (-206, 2 * FEE, ["the average price of instrument 0 by 1.50 ticks and in the balance by -3.75"]),
        (-203, 2 * FEE + 10_000, []),
        (-203, 2 * FEE + 10_001, ["the balance by -0.01"]),
        (0, 0, ["the average price of instrument 0 by 101.50 ticks and in the balance by 255.43"]),
    ],
)
def test_more_than_a_tick_of_the_average_or_a_cent_of_the_balance_differs_t_02(
    cash: int, fees: int, expected: list[str]
) -> None:
    assert said(truth(held(), cash, fees)) == [f"venue and desk differ in {words}" for words in expected]


def test_it_is_said_when_it_begins_and_again_only_after_it_was_over_t_02() -> None:
    tape = held()
    for fees in (FEE, FEE, 2 * FEE, FEE):
        truth(tape, -203, fees)
    assert len(said(tape)) == 2


def test_a_truth_of_another_moment_or_without_money_is_not_compared() -> None:
    assert said(truth(held(), 0, 0, ref=1)) == [], "answers that it contains are still on their way"
    tape = held()
    tape.add(RECON, 50, code=RECON_BEGIN).add(RECON, 50, code=RECON_POSITION).add(RECON, 50, code=RECON_END, ref=2)
    assert said(tape) == []


def test_answers_behind_a_gap_count_when_they_come_again_and_no_truth_is_compared_before_t_02() -> None:
    tape = Tape()
    first, second = tape.submit(1), tape.submit(2)
    tape.add(ACK, 3, order_number=second, ref=2)  # the fill before it is lost
    truth(tape, -100, 0, ref=2)
    for ref, kind, number in ((1, FILL, first), (2, ACK, second), (3, FILL, second)):
        tape.add(kind, 4, order_number=number, qty=1, price_tick=100 + 3 * (ref == 3), ref=ref)
    assert said(truth(tape, -203, 0, ref=3)) == []
    assert len(said(truth(tape, -213, 0, ref=3))) == 1, "and it looks on as before"


def test_an_instrument_that_the_venue_does_not_name_has_no_money_there() -> None:
    assert len(said(truth(held(), 0, 0, instrument=1))) == 1


def test_one_that_goes_on_where_another_stood_says_the_same_t_02() -> None:
    """At every place of a journal, between the parts of a truth, too."""
    tape = truth(held(), -206, 2 * FEE)
    events = truth(tape, -203, 2 * FEE).events()
    for place in range(len(events)):
        first, second = MoneyWatch([TICK_VALUE] * 2), MoneyWatch([TICK_VALUE] * 2)
        found = first.note(events[:place])
        second.go_on(msgspec.json.decode(msgspec.json.encode(first.state()), type=MoneyState))
        assert [*found, *second.note(events[place:])] == said(tape), place
