"""The simulated venue's statement of a trading day, from what the venue itself keeps: its answers and its own money.

Asked for by the reconcile role, which can read and nothing else.  Days are those of the session's windows; each answer
of the venue belongs to one of them, by its number.  What the account opened with and what was booked in or out is the
desk's word: a simulated account holds no money but that.  Called by `trading.statements`.
"""

from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trading.brokers.paper import PaperBroker
from trading.brokers.port import BrokerTruth, OutcomeUnknown, RateLimited, Rejected, Unreachable
from trading.brokers.statement import DayStatement, Execution, OrderLine
from trading.brokers.wire import UNKNOWN_ACCOUNT
from trading.core.records import ACK, CANCELLED, FILL
from trading.run.spec import SessionSpec

VENUE = "paper"


class StatementAway(RuntimeError):
    """The venue gave none; one sentence."""


class Days(NamedTuple):
    """Trading days in order and where each begins, ns UTC; a moment before the first belongs to the first."""

    numbers: list[int]
    begins_ns: list[int]

    def at(self, t_ns: int) -> int:
        """Place of the day that this moment belongs to: hours after a close are the day's until the next one begins."""
        return max(0, bisect_right(self.begins_ns, t_ns) - 1)

    def span(self, number: int) -> tuple[int, int | None]:
        """[begin, end) of a day, end None for the last.  Raises ValueError for a day that is none of them."""
        place = self.numbers.index(number)
        return self.begins_ns[place], self.begins_ns[place + 1] if place + 1 < len(self.begins_ns) else None


class Told(NamedTuple):
    """What the venue said: its answers after `after_ref`, and where it stands at the last of them."""

    after_ref: int
    answers: np.ndarray  # EVENT
    truth: BrokerTruth


def days_of(spec: SessionSpec) -> Days:
    """The trading days of a session, by its windows; without any, one day without a number."""
    begins: dict[int, int] = {}
    for _, _, start_ns, _, day in spec.windows:
        begins[day] = min(start_ns, begins.get(day, start_ns))
    found = sorted(begins.items(), key=lambda pair: pair[1])
    return Days([day for day, _ in found] or [0], [start for _, start in found] or [spec.created_ns])


def ask(spec: SessionSpec, after_ref: int) -> Told | None:
    """Answers after `after_ref` and the truth behind them; None where the venue never had the account.

    Raises StatementAway.
    """
    broker = PaperBroker(Path(spec.venue_socket), spec.key, role="reconcile")
    try:
        broker.connect(0, -1)
        truth = broker.snapshot()
        answers = broker.events_since(after_ref)
    except Rejected as error:
        if error.reason == UNKNOWN_ACCOUNT:
            return None
        raise StatementAway(str(error)) from None
    except (Unreachable, OutcomeUnknown, RateLimited) as error:
        raise StatementAway(str(error)) from None
    finally:
        broker.close()
    return Told(after_ref, answers[answers["ref"] <= truth.last_ref], truth)


def statements(
    spec: SessionSpec,
    told: Told,
    opening_micros: int,
    transfers_micros: int,
    until_place: int | None,
    first_place: int = 0,
) -> list[DayStatement]:
    """Statements of the days in which the venue answered, in order.

    `until_place`: only days of `days_of` before this place; None: all, and the last one is for good.  `opening_micros`:
    what the account brought, without its transfers.  `first_place`: of the first day without a statement; what
    came late for a day that has one belongs to the next.
    """
    days = days_of(spec)
    places = np.maximum(_places(days, told.answers), min(first_place, len(days.numbers) - 1))
    wanted = sorted({int(place) for place in places if until_place is None or place < until_place})
    money, held = _before(spec, told)
    balance = opening_micros + money
    from_ref, lines, found = told.after_ref, _lines(spec, told.answers), []
    for place in wanted:
        rows = told.answers[places == place]
        final = until_place is None and place == wanted[-1]
        fills = tuple(_execution(spec, row) for row in rows[rows["kind"] == FILL])
        fees, cash = sum(fill.fee_micros for fill in fills), _cash(spec, rows)
        for fill in fills:
            held[fill.symbol] += fill.side * fill.qty
        filled: Counter[int] = Counter()
        for fill in fills:
            filled[fill.order] += fill.qty
        numbers = sorted({int(number) for number in rows["order_number"]} & lines.keys())
        found.append(
            DayStatement(
                venue=VENUE,
                account=spec.key,
                currency=spec.currency,
                trading_day=days.numbers[place],
                opening_micros=balance,
                transfers_micros=transfers_micros,
                closing_micros=balance + transfers_micros + cash - fees,
                fees_micros=fees,
                orders=tuple(lines[number]._replace(filled=filled[number]) for number in numbers),
                fills=fills,
                positions=tuple(sorted((symbol, qty) for symbol, qty in held.items() if qty)),
                from_ref=from_ref,
                to_ref=None if final else int(rows["ref"][-1]),
            )
        )
        balance, from_ref = balance + cash - fees, int(rows["ref"][-1])
    return found


def nothing(spec: SessionSpec, place: int, opening_micros: int, transfers_micros: int) -> DayStatement:
    """The statement of an account at which nothing has ever happened."""
    day, closing = days_of(spec).numbers[place], opening_micros + transfers_micros
    return DayStatement(VENUE, spec.key, spec.currency, day, opening_micros, transfers_micros, closing, 0, from_ref=0)


def _places(days: Days, answers: np.ndarray) -> np.ndarray:
    """(n,) place of each answer's day: by when it happened, never before the one in front of it."""
    times = np.maximum.accumulate(answers["ts_venue_ns"]) if len(answers) else answers["ts_venue_ns"]
    return np.array([days.at(int(t_ns)) for t_ns in times], np.int64)


def _before(spec: SessionSpec, told: Told) -> tuple[int, "Counter[str]"]:
    """The account's money and positions in front of these answers: its own counters less what they did."""
    micros = 0
    held: Counter[str] = Counter()
    for place, item in enumerate(spec.instruments):
        cash_ticks, fees = told.truth.money.get(place, (0, 0))
        micros += cash_ticks * item.values["tick_value_micros"] - fees
        held[item.symbol] += told.truth.positions.get(place, 0)
    rows = told.answers[told.answers["kind"] == FILL]
    micros += int(rows["fee_micros"].sum()) - _cash(spec, rows)
    for row in rows:
        held[spec.instruments[int(row["instrument"])].symbol] -= int(row["side"]) * int(row["qty"])
    return micros, held


def _cash(spec: SessionSpec, rows: np.ndarray) -> int:
    """−Σ side x quantity x price of the fills among these answers, in micros."""
    return -sum(
        int(row["side"]) * int(row["qty"]) * int(row["price_tick"])
        * spec.instruments[int(row["instrument"])].values["tick_value_micros"]
        for row in rows[rows["kind"] == FILL]
    )  # fmt: skip


def _execution(spec: SessionSpec, row: np.void) -> Execution:
    symbol = spec.instruments[int(row["instrument"])].symbol
    names = ("side", "qty", "price_tick", "fee_micros", "ts_venue_ns")
    side, qty, tick, fee, at_ns = (int(row[name]) for name in names)
    return Execution(int(row["ref"]), int(row["order_number"]), symbol, side, qty, tick, fee, at_ns)


def _lines(spec: SessionSpec, answers: np.ndarray) -> dict[int, OrderLine]:
    """The desk's orders that stood at the venue, as it acknowledged them last.  The guard numbers its own below 0."""
    found: dict[int, OrderLine] = {}
    for row in answers[np.isin(answers["kind"], (ACK, CANCELLED, FILL)) & (answers["order_number"] > 0)]:
        number, kind = int(row["order_number"]), int(row["kind"])
        known = found.get(number)
        if kind == ACK:
            qty = int(row["qty"])
        elif kind == CANCELLED:  # what was left, and what was filled
            qty = int(row["qty"]) + int(row["volume"])
        else:
            qty = 0 if known is None else known.qty  # acknowledged in an earlier day: its statement has it
        symbol = spec.instruments[int(row["instrument"])].symbol
        found[number] = OrderLine(number, symbol, int(row["side"]), qty, 0)
    return found
