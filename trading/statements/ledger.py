"""The desk's own statement of a day, from the ledger's rows: what a venue's is compared with (T-03).

Executions belong to a day as the venue's statement says, by their numbers; where it names none, by the day's hours.
Reads rows, writes nothing.
"""

from collections import Counter
from typing import NamedTuple

from django.db.models import Q, QuerySet

from marketdata.core.units import NANOS
from trading.brokers.paper_statement import Days, days_of
from trading.brokers.statement import DayStatement, Execution, OrderLine
from trading.core import orders as life
from trading.core import states
from trading.core.records import CANCELLED_UNSENT
from trading.models import TRANSFER, Command, Fill, Order, Session
from trading.run.spec import SessionSpec

LATE_NS = 10 * NANOS  # an order sent so shortly before a day's end may reach the venue in the next one


class Money(NamedTuple):
    """What the account opened with, and what was booked in or out since, in micros."""

    opening: int
    transfers: int


def money_of(session: Session) -> Money:
    """By the session's start, or by what a person stated later in its place."""
    stated = session.stated
    done = Command.objects.filter(session=session, kind=TRANSFER, state=states.DONE)
    done = done.filter(seq__gt=int(stated["seq"])) if stated else done
    opening = int(stated["balance_micros"]) if stated else int(session.spec["capital_micros"])
    return Money(opening, sum(done.values_list("argument", flat=True)))


def own_statement(session: Session, spec: SessionSpec, venue: DayStatement) -> DayStatement:
    """What the ledger has of the day of `venue`."""
    days, money = days_of(spec), money_of(session)
    before, of_day = _fills(session, days, venue)
    opening = money.opening + sum(_micros(spec, row) for row in before)
    fills = tuple(_execution(row) for row in of_day)
    held: Counter[str] = Counter()
    for row in (*before, *of_day):
        held[row.symbol] += row.side * row.qty
    positions = tuple(sorted((symbol, qty) for symbol, qty in held.items() if qty))
    closing = opening + money.transfers + sum(_micros(spec, row) for row in of_day)
    if venue.from_ref is not None and venue.to_ref is None and not positions:
        # the end of the session: its balance as the trades made it, which no fill of this list has touched
        closing = session.balance_micros if session.balance_micros is not None else money.opening + money.transfers
    return DayStatement(
        venue="desk",
        account=spec.key,
        currency=spec.currency,
        trading_day=venue.trading_day,
        opening_micros=opening,
        transfers_micros=money.transfers,
        closing_micros=closing,
        fees_micros=sum(fill.fee_micros for fill in fills),
        orders=_orders(session, fills),
        fills=fills,
        positions=positions,
        from_ref=venue.from_ref,
        to_ref=venue.to_ref,
    )


def demanded(session: Session, spec: SessionSpec, venue: DayStatement, named_before: set[int]) -> set[int]:
    """Numbers of the orders that this day's statement must name: sent in its time, and in no statement before it."""
    begin_ns, end_ns = _hours(days_of(spec), venue)
    rows = Order.objects.filter(session=session, sent_ns__gte=begin_ns - LATE_NS)
    if end_ns is not None:
        rows = rows.filter(sent_ns__lt=end_ns - LATE_NS)
    return set(rows.values_list("number", flat=True)) - named_before


def _hours(days: Days, venue: DayStatement) -> tuple[int, int | None]:
    """[begin, end) of its day; to the end of the session where the statement goes there."""
    begin_ns, end_ns = days.span(venue.trading_day)
    if venue.trading_day == days.numbers[0]:
        begin_ns = 0
    return begin_ns, None if venue.from_ref is not None and venue.to_ref is None else end_ns


def _fills(session: Session, days: Days, venue: DayStatement) -> tuple[list[Fill], list[Fill]]:
    """Fills before the day, and those of the day."""
    begin_ns, end_ns = _hours(days, venue)
    before, inside = Q(ts_ns__lt=begin_ns), Q(ts_ns__gte=begin_ns)
    if end_ns is not None:
        inside &= Q(ts_ns__lt=end_ns)
    if venue.from_ref is not None:  # fills without a number, of which the venue knows nothing, go by their time
        numbered = Q(venue_ref__gt=venue.from_ref)
        if venue.to_ref is not None:
            numbered &= Q(venue_ref__lte=venue.to_ref)
        inside = numbered | Q(venue_ref=0) & inside
        before = Q(venue_ref__gt=0, venue_ref__lte=venue.from_ref) | Q(venue_ref=0) & before
    rows: QuerySet[Fill] = Fill.objects.filter(session=session).order_by("seq")
    return list(rows.filter(before)), list(rows.filter(inside))


def _micros(spec: SessionSpec, row: Fill) -> int:
    """What a fill did to the cash balance."""
    value = spec.instruments[row.instrument].values["tick_value_micros"]
    return -row.side * row.qty * row.price_tick * value - row.fee_micros


def _execution(row: Fill) -> Execution:
    return Execution(
        row.venue_ref, row.order_number, row.symbol, row.side, row.qty, row.price_tick, row.fee_micros, row.ts_ns
    )


def _orders(session: Session, fills: tuple[Execution, ...]) -> tuple[OrderLine, ...]:
    """Every order of the session, each with what the day filled of it."""
    filled: Counter[int] = Counter()
    for fill in fills:
        filled[fill.order] += fill.qty
    rows = Order.objects.filter(session=session).order_by("number")
    return tuple(
        OrderLine(row.number, row.symbol, row.side, row.qty, filled[row.number], _never_stood(row)) for row in rows
    )


def _never_stood(row: Order) -> bool:
    """Refused by the venue or by the desk's own edge, or taken back before it was sent."""
    unsent = row.status == life.CANCELLED and row.filled == 0 and row.code == CANCELLED_UNSENT
    return row.status == life.REJECTED or unsent
