"""A venue's statement against the desk's own, line by line and to the micro (T-03).  Pure.

Both are `DayStatement`s: what differs, or stands on one side alone, is a row with both values as text.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from marketdata.core.instruments import instrument
from marketdata.core.units import text_from_micros, text_from_ticks
from trading.brokers.statement import DayStatement, Execution, OrderLine


class Row(NamedTuple):
    """One difference.  `kind` of `models.KINDS`; an empty text: that side has nothing of it."""

    kind: str
    about: str
    venue: str
    desk: str


def compare(venue: DayStatement, desk: DayStatement, demanded: Collection[int]) -> list[Row]:
    """Differences, orders first.  `demanded`: numbers of the desk's orders that the statement must name."""
    found = [*_orders(venue, desk, demanded), *_fills(venue, desk)]
    for kind, name, told, own in (
        ("fees", "of the day", venue.fees_micros, desk.fees_micros),
        ("balance", "at the end", venue.closing_micros, desk.closing_micros),
    ):
        if told != own:
            found.append(Row(kind, name, *(f"{text_from_micros(n)} {venue.currency}" for n in (told, own))))
    there, here = dict(venue.positions), dict(desk.positions)
    for symbol in sorted({*there, *here}):
        if there.get(symbol, 0) != here.get(symbol, 0):
            found.append(Row("position", symbol, str(there.get(symbol, 0)), str(here.get(symbol, 0))))
    return found


def _orders(venue: DayStatement, desk: DayStatement, demanded: Collection[int]) -> Iterator[Row]:
    there = {line.number: line for line in venue.orders}
    here = {line.number: line for line in desk.orders}
    for number in sorted({*there, *demanded}):
        told, own = there.get(number), here.get(number)
        if told is not None and own is not None and told.qty == 0:
            told = told._replace(qty=own.qty)  # the statement does not say
        texts = ["" if line is None else _order_text(line) for line in (told, own)]
        if texts[0] != texts[1] and not (told is None and own is not None and own.refused):
            yield Row("order", f"#{number}", *texts)


def _fills(venue: DayStatement, desk: DayStatement) -> Iterator[Row]:
    """By the venue's own number.  The same number twice on one side is two lines: only the first has a partner."""
    there, here = _by_ref(venue.fills), _by_ref(desk.fills)
    for key in sorted({*there, *here}):
        texts = [_fill_text(side[key]) if key in side else "" for side in (there, here)]
        if texts[0] != texts[1]:
            yield Row("fill", str(key[0]), *texts)


def _by_ref(fills: tuple[Execution, ...]) -> dict[tuple[int, int], Execution]:
    found: dict[tuple[int, int], Execution] = {}
    for fill in fills:
        turn = 0
        while (fill.ref, turn) in found:
            turn += 1
        found[fill.ref, turn] = fill
    return found


def _side(side: int) -> str:
    return "buy" if side > 0 else "sell"


def _order_text(line: OrderLine) -> str:
    return f"{_side(line.side)} {line.qty} {line.symbol}, filled {line.filled}"


def _fill_text(fill: Execution) -> str:
    price = text_from_ticks(fill.price_tick, instrument(fill.symbol).tick_nanos)
    words = f"{_side(fill.side)} {fill.qty} {fill.symbol} at {price}, fee {text_from_micros(fill.fee_micros)}"
    return f"{words}, order #{fill.order}"
