"""T-03 without a database: the form of a statement, the simulated venue's own, and what differs between two."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from marketdata.core.sessions import NORMAL
from risk.core.records import SPEC_FIELDS
from tests.brokers.desk import MES, Order
from tests.statements.venue import VenueAccount
from trading.brokers.paper_statement import days_of, nothing, statements
from trading.brokers.statement import (
    DayStatement,
    Execution,
    OrderLine,
    StatementRefused,
    read_statement,
    write_statement,
)
from trading.core.records import LIMIT
from trading.run.spec import FeedSpec, InstrumentSpec, ScorerSpec, SessionSpec, VenueSpec
from trading.statements.compare import Row, compare

HOUR = 3_600_000_000_000
T0 = 1_772_636_400_000_000_000  # 2026-03-04 15:00 UTC
VALUE, FEE = 1_250_000, 420_000
OPENING = 1_000_000_000


def spec() -> SessionSpec:
    """A session of two trading days of a day each."""
    days = [(-1, NORMAL, T0 + k * 24 * HOUR, T0 + (k * 24 + 8) * HOUR, 20260304 + k) for k in range(2)]
    return SessionSpec(
        id=7, key="s7", mode="paper", profile="demo-mes", version_id=1, version_hash="0" * 64, currency="USD",
        capital_micros=OPENING, limits={}, instruments=[InstrumentSpec("MES", dict.fromkeys(SPEC_FIELDS, 1) | MES)],
        feed=FeedSpec("simulated", ["MES"]), venue=VenueSpec(), scorer=ScorerSpec("none"), windows=days,
        created_ns=T0, venue_socket="nowhere", redis_url="redis://127.0.0.1:1/0",
    )  # fmt: skip


def day(**changes: Any) -> DayStatement:
    """A day with one round trip."""
    made = DayStatement(
        venue="paper", account="s7", currency="USD", trading_day=20260304, opening_micros=OPENING, transfers_micros=0,
        closing_micros=OPENING - 2 * FEE, fees_micros=2 * FEE,
        orders=(OrderLine(1, "MES", 1, 1, 1), OrderLine(2, "MES", -1, 1, 1)),
        fills=(Execution(2, 1, "MES", 1, 1, 20_000, FEE, T0), Execution(4, 2, "MES", -1, 1, 20_000, FEE, T0 + 1)),
        from_ref=0,
    )  # fmt: skip
    return made._replace(**changes)


def test_a_statement_is_read_as_it_was_written_t_03() -> None:
    """T-03: money and prices as exact text, and back; the file is for people, too."""
    written = write_statement(day(positions=(("MES", -2),), to_ref=4))
    assert read_statement(written) == day(
        positions=(("MES", -2),), to_ref=4, fills=tuple(f._replace(at_ns=T0) for f in day().fills)
    )
    file = msgspec.json.decode(written)
    assert file["closing"] == "999.160000" and file["fills"][0]["price"] == "5000.00"
    assert file["fills"][0]["at"] == "2026-03-04T15:00:00Z"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"form": "another"}, "another"),
        ({"closing": "1e400"}, "more money"),
        ({"fees": "0.0000001"}, "whole micros"),
        ({"positions": {"NOPE": 1}}, "unknown instrument"),
        ({"more": 1}, "more"),
    ],
)
def test_a_file_that_is_none_is_refused_with_a_sentence_t_03(changed: dict[str, object], words: str) -> None:
    file = msgspec.json.decode(write_statement(day())) | changed
    with pytest.raises(StatementRefused, match=words):
        read_statement(msgspec.json.encode(file))
    with pytest.raises(StatementRefused):
        read_statement(b"\xff")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("price", "5000.10", "not a multiple"), ("at", "2026-03-04T15:00:00", "offset"), ("qty", 0, "quantity")],
)
def test_a_fill_off_the_grid_or_without_its_time_is_refused_t_03(field: str, value: object, words: str) -> None:
    file = msgspec.json.decode(write_statement(day()))
    file["fills"][0][field] = value
    with pytest.raises(StatementRefused, match=words):
        read_statement(msgspec.json.encode(file))


def test_equal_to_the_micro_or_a_row_with_both_values_t_03() -> None:
    """T-03: orders, fills, fees and balance; what one side alone has stands with nothing beside it."""
    assert compare(day(), day(), {1, 2}) == []
    first, second = day().fills
    theirs = day(
        closing_micros=OPENING - 2 * FEE - 1,
        fees_micros=2 * FEE + 1,
        fills=(first._replace(fee_micros=FEE + 1), second._replace(ref=5)),
        orders=(OrderLine(1, "MES", 1, 1, 1),),
        positions=(("MES", 1),),
    )
    assert compare(theirs, day(), {1, 2}) == [
        Row("order", "#2", "", "sell 1 MES, filled 1"),
        Row(
            "fill", "2", "buy 1 MES at 5000.00, fee 0.420001, order #1", "buy 1 MES at 5000.00, fee 0.420000, order #1"
        ),
        Row("fill", "4", "", "sell 1 MES at 5000.00, fee 0.420000, order #2"),
        Row("fill", "5", "sell 1 MES at 5000.00, fee 0.420000, order #2", ""),
        Row("fees", "of the day", "0.840001 USD", "0.840000 USD"),
        Row("balance", "at the end", "999.159999 USD", "999.160000 USD"),
        Row("position", "MES", "1", "0"),
    ]


def test_the_same_execution_twice_is_two_lines_t_03() -> None:
    first, second = day().fills
    found = compare(day(fills=(first, first, second)), day(), {1, 2})
    assert [(row.kind, row.about, row.desk) for row in found] == [("fill", "2", "")]


def test_what_never_stood_at_the_venue_need_not_be_named_t_03() -> None:
    """T-03: an order that was refused; and one of another day is not demanded."""
    refused = OrderLine(3, "MES", 1, 1, 0, refused=True)
    other = OrderLine(4, "MES", 1, 1, 0)
    desk = day(orders=(*day().orders, refused, other))
    assert compare(day(), desk, {1, 2, 3}) == []
    assert [row.about for row in compare(day(), desk, {1, 2, 3, 4})] == ["#4"]
    unsaid = (day().orders[0]._replace(qty=0), day().orders[1])
    assert compare(day(orders=unsaid), desk, {1, 2}) == [], "a quantity that the statement does not tell"


def test_the_simulated_venue_states_its_days_from_its_own_books_t_03(tmp_path: Path) -> None:
    """T-03: a round trip on each of two days, and an order that works over the night."""
    venue = VenueAccount(tmp_path, spec())
    venue.book(T0)
    venue.send(Order(1, +1, 2), T0 + 1)
    venue.send(Order(2, -1, 2), T0 + 2)
    venue.send(Order(3, +1, 1, LIMIT, 90), T0 + 3)
    tomorrow = T0 + 24 * HOUR
    venue.book(tomorrow)
    venue.send(Order(5, -1, 1), tomorrow + 1)
    venue.send(Order(6, +1, 1), tomorrow + 2)
    told = venue.told()
    whole = statements(spec(), told, OPENING, 5, None)
    assert [(s.trading_day, s.from_ref, s.to_ref) for s in whole][1] == (20260305, whole[0].to_ref, None)
    one, two = whole
    assert (one.opening_micros, one.fees_micros) == (OPENING, 4 * FEE)
    assert one.closing_micros == OPENING + 5 - 2 * VALUE - 4 * FEE, "bought at 101, sold at 100, two lots"
    assert two.opening_micros == one.closing_micros - 5 and two.closing_micros == one.closing_micros - VALUE - 2 * FEE
    assert [line.number for line in one.orders if line.filled] == [1, 2]
    assert 3 in {line.number for line in one.orders} and {5, 6} <= {line.number for line in two.orders}
    assert [fill.price_tick for fill in (*one.fills, *two.fills)] == [101, 100, 100, 101]
    assert one.positions == two.positions == ()
    # day by day, as a running session is asked: the same
    (first,) = statements(spec(), told, OPENING, 5, 1)
    assert first == one and one.to_ref is not None
    (second,) = statements(spec(), venue.told(one.to_ref), OPENING, 5, None, 1)
    assert second._replace(orders=()) == two._replace(orders=())


def test_what_is_held_over_the_end_of_a_day_stands_there_t_03(tmp_path: Path) -> None:
    venue = VenueAccount(tmp_path, spec())
    venue.book(T0)
    venue.send(Order(1, +1, 2), T0 + 1)
    venue.book(T0 + 24 * HOUR)
    venue.send(Order(2, -1, 2), T0 + 24 * HOUR + 1)
    one, two = statements(spec(), venue.told(), OPENING, 0, None)
    assert (one.positions, two.positions) == ((("MES", 2),), ())
    assert one.closing_micros == two.opening_micros == OPENING - 2 * 101 * VALUE - 2 * FEE
    assert two.closing_micros == OPENING - 2 * VALUE - 4 * FEE


def test_an_account_without_an_answer_has_a_statement_of_nothing_t_03(tmp_path: Path) -> None:
    venue = VenueAccount(tmp_path, spec())
    assert statements(spec(), venue.told(), OPENING, 0, None) == []
    made = nothing(spec(), 1, OPENING, 7)
    assert (made.trading_day, made.closing_micros, made.orders, made.fills) == (20260305, OPENING + 7, (), ())
    assert days_of(spec()).at(T0 + 20 * HOUR) == 0, "the night after a close is that day's"
