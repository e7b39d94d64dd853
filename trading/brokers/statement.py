"""A venue's statement of one trading day: orders, executions, fees and balance in a file that anybody can write (T-03).

JSON; `_File` says its fields.  Money and prices are decimal text, exact.  A venue's own export is turned into this form
and imported with `manage.py statements import`; the simulated venue's is `paper_statement`'s.  Pure: bytes in, records
out.  Used by `trading.statements`, which compares one with the ledger.
"""

from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from marketdata.core.instruments import UnknownInstrument, instrument
from marketdata.core.units import NANOS, micros_from_text, text_from_micros, text_from_ticks, ticks_from_text

FORM: Literal["desk-statement-1"] = "desk-statement-1"
BYTES_MAX = 32 << 20
SIDES = {"buy": 1, "sell": -1}


class StatementRefused(ValueError):
    """A file that is no statement; one sentence that says where."""


class Execution(NamedTuple):
    """One fill.  `side` ±1, price in ticks, fee in micros, time in ns UTC."""

    ref: int
    order: int
    symbol: str
    side: int
    qty: int
    price_tick: int
    fee_micros: int
    at_ns: int


class OrderLine(NamedTuple):
    """One order.  `filled`: within the day.  `refused`: it never stood at the venue: no statement need name it."""

    number: int
    symbol: str
    side: int
    qty: int
    filled: int
    refused: bool = False


class DayStatement(NamedTuple):
    """One day of one account; money in micros of `currency`.  `to_ref` None: to the end of the account's life."""

    venue: str
    account: str
    currency: str
    trading_day: int
    opening_micros: int
    transfers_micros: int
    closing_micros: int
    fees_micros: int
    orders: tuple[OrderLine, ...] = ()
    fills: tuple[Execution, ...] = ()
    positions: tuple[tuple[str, int], ...] = ()  # held ones, by symbol
    from_ref: int | None = None  # None: by the day's hours
    to_ref: int | None = None


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    symbol: str
    side: Literal["buy", "sell"]
    qty: int
    filled: int


class _Fill(msgspec.Struct, forbid_unknown_fields=True):
    ref: int
    order: int
    symbol: str
    side: Literal["buy", "sell"]
    qty: int
    price: str
    fee: str
    at: datetime


class _File(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One file.

    `venue`: who states it.  `account`: its name there, of the simulated venue the session's key.  `currency`: of
    every amount.  `trading_day`: YYYYMMDD.  `opening`: the balance before the day's first execution; `transfers`:
    money booked in and out since the account was opened, signed; `closing`: opening + transfers + money of the
    executions - fees, in which what is held counts nothing; `fees`: of the day.  `orders`: qty as acknowledged last
    (0: not told), filled within the day.  `fills`: `ref` is the venue's own number, `at` has its offset.
    `positions`: symbol → signed quantity at the day's end, what is flat may be absent.  `from_ref`, `to_ref`: the
    day's executions are numbered above the first, up to the second; absent: by its hours.
    """

    form: Literal["desk-statement-1"]
    venue: str
    account: str
    currency: str
    trading_day: int
    opening: str
    transfers: str
    closing: str
    fees: str
    orders: list[_Order]
    fills: list[_Fill]
    positions: dict[str, int]
    from_ref: int | None = None
    to_ref: int | None = None


def read_statement(data: bytes) -> DayStatement:
    """A file's content, whole or not at all.  Raises StatementRefused."""
    if len(data) > BYTES_MAX:
        raise StatementRefused(f"{len(data)} bytes; a statement has {BYTES_MAX} at most")
    try:
        file = msgspec.json.decode(data, type=_File)
        return DayStatement(
            venue=file.venue,
            account=file.account,
            currency=file.currency,
            trading_day=file.trading_day,
            opening_micros=micros_from_text(file.opening),
            transfers_micros=micros_from_text(file.transfers),
            closing_micros=micros_from_text(file.closing),
            fees_micros=micros_from_text(file.fees),
            orders=tuple(_order(row) for row in file.orders),
            fills=tuple(_fill(row) for row in file.fills),
            positions=tuple(sorted((instrument(name).symbol, qty) for name, qty in file.positions.items() if qty)),
            from_ref=file.from_ref,
            to_ref=file.to_ref,
        )
    except (msgspec.MsgspecError, UnknownInstrument, ValueError) as error:
        raise StatementRefused(f"it is no statement of the form {FORM}: {error}") from None


def _order(row: _Order) -> OrderLine:
    _whole(row.qty >= 0 and row.filled >= 0, f"order {row.number}: {row.filled} filled of {row.qty}")
    return OrderLine(row.number, instrument(row.symbol).symbol, SIDES[row.side], row.qty, row.filled)


def _fill(row: _Fill) -> Execution:
    item = instrument(row.symbol)
    _whole(row.qty > 0, f"fill {row.ref}: quantity {row.qty}")
    _whole(row.at.tzinfo is not None, f"fill {row.ref}: its time has no offset")
    ticks = ticks_from_text(row.price, item.tick_nanos)
    at_ns = int(row.at.timestamp()) * NANOS + row.at.microsecond * 1000
    return Execution(row.ref, row.order, item.symbol, SIDES[row.side], row.qty, ticks, micros_from_text(row.fee), at_ns)


def _whole(truth: bool, words: str) -> None:
    if not truth:
        raise ValueError(words)


def write_statement(statement: DayStatement) -> bytes:
    """The file of a statement, readable for people, too; times to the microsecond."""
    file = _File(
        form=FORM,
        venue=statement.venue,
        account=statement.account,
        currency=statement.currency,
        trading_day=statement.trading_day,
        opening=text_from_micros(statement.opening_micros),
        transfers=text_from_micros(statement.transfers_micros),
        closing=text_from_micros(statement.closing_micros),
        fees=text_from_micros(statement.fees_micros),
        orders=[_Order(row.number, row.symbol, _word(row.side), row.qty, row.filled) for row in statement.orders],
        fills=[_fill_row(row) for row in statement.fills],
        positions=dict(statement.positions),
        from_ref=statement.from_ref,
        to_ref=statement.to_ref,
    )
    return msgspec.json.format(msgspec.json.encode(file))


def _word(side: int) -> Literal["buy", "sell"]:
    return "buy" if side > 0 else "sell"


def _fill_row(row: Execution) -> _Fill:
    at = datetime.fromtimestamp(row.at_ns // NANOS, UTC).replace(microsecond=row.at_ns % NANOS // 1000)
    price = text_from_ticks(row.price_tick, instrument(row.symbol).tick_nanos)
    fee = text_from_micros(row.fee_micros)
    return _Fill(row.ref, row.order, row.symbol, _word(row.side), row.qty, price, fee, at)
