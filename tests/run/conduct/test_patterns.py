"""T-08: patterns in our own orders that a venue would ask about, and their harmless neighbours."""

import numpy as np

from tests.run.conduct.tape import DAY, Tape
from trading.core.records import EXIT, LIMIT
from trading.run.conduct.orders import Book
from trading.run.conduct.patterns import CLOSE, LAYERING, WASH, Report, conduct_of, report_of
from trading.run.journal.writer import JournalWriter

CLOSE_S = 3600


def report(tape: Tape) -> Report:
    book = Book()
    book.take(tape.events())
    return report_of(book)


def kinds(tape: Tape) -> list[str]:
    return [pattern.kind for pattern in report(tape).patterns]


def layers(tape: Tape, count: int, life_s: float = 1.0, side: int = 1) -> None:
    for i in range(count):
        tape.take_back(10 + i + life_s, tape.submit(10 + i, side=side, order_type=LIMIT))


def test_entries_taken_back_around_a_fill_of_the_other_side_t_08() -> None:
    tape = Tape()
    layers(tape, 3)
    tape.fill(15, tape.submit(15, side=-1), 100)
    (found,) = report(tape).patterns
    assert (found.kind, found.day, found.orders) == (LAYERING, DAY, (1, 2, 3, 4))
    tape.fill(16, tape.submit(16, side=-1), 101)
    assert kinds(tape) == [LAYERING], "an order counts once"


def test_what_is_no_layering() -> None:
    for count, life_s, side, fill_s in ((2, 1.0, 1, 15), (3, 6.0, 1, 20), (3, 1.0, -1, 15), (3, 1.0, 1, 90)):
        tape = Tape()
        layers(tape, count, life_s, side)
        tape.fill(fill_s, tape.submit(fill_s, side=-1), 100)
        assert kinds(tape) == [], (count, life_s, side, fill_s)


def test_a_buy_and_a_sell_at_one_price_within_a_second_t_08() -> None:
    tape = Tape()
    tape.fill(10, tape.submit(10), 100).fill(11, tape.submit(10.5, side=-1, role=EXIT), 100)
    assert kinds(tape) == [WASH]
    for price, at_s in ((101, 11.0), (100, 11.1)):
        harmless = Tape()
        harmless.fill(10, harmless.submit(10), 100)
        harmless.fill(at_s, harmless.submit(10.5, side=-1, role=EXIT), price)
        assert kinds(harmless) == []


def test_entries_that_are_much_of_the_last_minutes_volume_t_08() -> None:
    for own, others, expected in ((1, 9, [CLOSE]), (1, 10, []), (2, 9, [CLOSE])):
        tape = Tape()
        tape.trade(CLOSE_S - 240, others)
        tape.fill(CLOSE_S - 60, tape.submit(CLOSE_S - 60, qty=own), 100, qty=own)
        assert kinds(tape) == expected, (own, others)
    leaving = Tape()
    leaving.fill(CLOSE_S - 60, leaving.submit(CLOSE_S - 60, role=EXIT), 100)
    earlier = Tape()
    earlier.fill(CLOSE_S - 400, earlier.submit(CLOSE_S - 400), 100)
    assert kinds(leaving) == kinds(earlier) == []


def test_the_figures_of_a_day_from_its_journal_t_07(tmp_path) -> None:
    tape = Tape()
    layers(tape, 3)
    tape.fill(15, tape.submit(15, side=-1), 100)
    events = tape.events()
    writer = JournalWriter(tmp_path, 1, 1, "code")
    writer.append(events, np.zeros((len(events), 2), np.int64), np.zeros(len(events), np.int64), durable=True)
    writer.close()
    found = conduct_of(tmp_path)
    assert found == report(tape)
    assert found.days == {DAY: {"orders": 4, "messages": 7, "traded": 1, "fills": 1}}
