"""The ledger's lists as tables of text for files: every column named with its unit, every value exact.

Times are ISO 8601 in UTC with their offset, to the nanosecond; money has six decimals and a point, prices the venue's
decimals; nothing is grouped.  Read in pieces by primary order, so that a long session is never held in memory.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import MICROS, NANOS, text_from_ticks
from risk.core.gate import code_name
from risk.core.holds import CLEARINGS, EFFECTS, Hold, hold_of
from trading.core import orders as life
from trading.core.protect import CLOSE_REASONS
from trading.core.records import ORDER_TYPES, ROLES
from trading.models import Command, Decision, Fill, HoldEvent, Order, Session, Trade
from trading.reports.days import with_results
from trading.reports.moments import timeline
from trading.reports.session import exits, refusals
from trading.selectors import session_list

PIECE = 1000


class Column(NamedTuple):
    """A heading with its unit, and how a row's text is made."""

    name: str
    text: Callable[[Any], str]


def time_text(ns: int | None) -> str:
    """ns UTC → 2026-11-29T14:17:50.200000000+00:00; empty where there is none."""
    if ns is None:
        return ""
    return f"{datetime.fromtimestamp(ns // NANOS, UTC):%Y-%m-%dT%H:%M:%S}.{ns % NANOS:09d}+00:00"


def money_text(micros: int | None) -> str:
    """Micros → exact decimal text."""
    if micros is None:
        return ""
    whole, rest = divmod(abs(micros), MICROS)
    return f"{'-' if micros < 0 else ''}{whole}.{rest:06d}"


def price_text(tick: int | None, symbol: str) -> str:
    return "" if tick is None else text_from_ticks(tick, INSTRUMENTS[symbol].tick_nanos)


def words(text: object) -> str:
    """Text that somebody typed: never read as a formula by a spreadsheet."""
    plain = str(text)
    return f"'{plain}" if plain[:1] in ("=", "+", "-", "@", "\t", "\r") else plain


def _wall(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).isoformat()


def _lasted(row: Any) -> str:
    """Seconds from raised to cleared."""
    return money_text(None if row.cleared_ns is None else (row.cleared_ns - row.raised_ns) // 1000)


def _hold(row: HoldEvent) -> Hold:
    return hold_of(row.session.rules, row.bit)


def _side(row: Any) -> str:
    return {1: "BUY", -1: "SELL"}.get(row.side, "")


LISTS: dict[str, tuple[Any, str, list[Column]]] = {
    "orders": (Order, "seq", [
        Column("sent", lambda r: time_text(r.sent_ns)), Column("order", lambda r: str(r.number)),
        Column("symbol", lambda r: r.symbol), Column("side", _side), Column("qty", lambda r: str(r.qty)),
        Column("filled", lambda r: str(r.filled)), Column("role", lambda r: ROLES[r.role]),
        Column("type", lambda r: ORDER_TYPES[r.order_type]),
        Column("limit_price", lambda r: price_text(r.price_tick, r.symbol)),
        Column("stop_price", lambda r: price_text(r.stop_tick, r.symbol)),
        Column("status", lambda r: life.STATUSES[r.status]), Column("request", lambda r: life.REQUESTS[r.request]),
        Column("reason_code", lambda r: str(r.code)), Column("config_version_id", lambda r: str(r.version_id)),
        Column("scorer", lambda r: r.scorer), Column("by", lambda r: words(r.by)),
        Column("changed", lambda r: time_text(r.changed_ns)), Column("journal_seq", lambda r: str(r.seq)),
    ]),
    "fills": (Fill, "seq", [
        Column("time", lambda r: time_text(r.ts_ns)), Column("symbol", lambda r: r.symbol), Column("side", _side),
        Column("qty", lambda r: str(r.qty)), Column("price", lambda r: price_text(r.price_tick, r.symbol)),
        Column("fee", lambda r: money_text(r.fee_micros)), Column("order", lambda r: str(r.order_number)),
        Column("venue_ref", lambda r: str(r.venue_ref)), Column("journal_seq", lambda r: str(r.seq)),
    ]),
    "trades": (Trade, "seq", [
        Column("opened", lambda r: time_text(r.opened_ns)), Column("closed", lambda r: time_text(r.closed_ns)),
        Column("symbol", lambda r: r.symbol), Column("side", _side), Column("qty", lambda r: str(r.qty)),
        Column("entry_price", lambda r: price_text(r.entry_tick, r.symbol)),
        Column("exit_price", lambda r: price_text(r.exit_tick, r.symbol)),
        Column("gross", lambda r: money_text(r.gross_micros)), Column("fees", lambda r: money_text(r.fee_micros)),
        Column("net", lambda r: money_text(r.net_micros)),
        Column("exit", lambda r: CLOSE_REASONS.get(r.reason, str(r.reason))),
        Column("journal_seq", lambda r: str(r.seq)),
    ]),
    "decisions": (Decision, "seq", [
        Column("first", lambda r: time_text(r.ts_ns)), Column("last", lambda r: time_text(r.last_ns)),
        Column("symbol", lambda r: r.symbol), Column("side", _side), Column("code", lambda r: str(r.code)),
        Column("verdict", lambda r: code_name(r.session.rules, r.code)), Column("same", lambda r: str(r.same)),
        Column("score_ppm", lambda r: str(r.score_ppm)), Column("confidence_ppm", lambda r: str(r.confidence_ppm)),
        Column("price", lambda r: price_text(r.price_tick, r.symbol)), Column("order", lambda r: str(r.order_number)),
        Column("journal_seq", lambda r: str(r.seq)),
        Column("let_pass", lambda r: code_name(r.session.rules, r.passed) if r.passed else ""),
    ]),
    "holds": (HoldEvent, "seq", [
        Column("raised", lambda r: time_text(r.raised_ns)), Column("cleared", lambda r: time_text(r.cleared_ns)),
        Column("duration_s", _lasted),
        Column("hold", lambda r: r.code),
        Column("scope", lambda r: "account" if r.instrument < 0 else str(r.instrument)),
        Column("effect", lambda r: EFFECTS[_hold(r).effect]),
        Column("clears_by", lambda r: CLEARINGS[_hold(r).clearing]),
        Column("cause", lambda r: _hold(r).trigger), Column("journal_seq", lambda r: str(r.seq)),
        Column("left_by_session", lambda r: str(r.source) if r.source else ""),
    ]),
    "commands": (Command, "id", [
        Column("requested", lambda r: _wall(r.requested_at)), Column("finished", lambda r: _wall(r.finished_at)),
        Column("command", lambda r: r.kind), Column("by", lambda r: words(r.by)), Column("state", lambda r: r.state),
        Column("road", lambda r: r.road), Column("reason", lambda r: words(r.reason)),
        Column("detail", lambda r: words(r.detail)), Column("key", lambda r: str(r.key)),
        Column("journal_seq", lambda r: "" if r.seq is None else str(r.seq)),
    ]),
}  # fmt: skip
REPORTS: dict[str, tuple[Callable[[int], list[dict[str, Any]]], list[Column]]] = {
    "refusals": (refusals, [
        Column("code", lambda r: str(r["code"])), Column("reason", lambda r: r["name"]),
        Column("control", lambda r: r["control"]), Column("asks", lambda r: r["text"]),
        Column("count", lambda r: str(r["count"])), Column("pct_of_decisions", lambda r: f"{r['pct']:.3f}"),
    ]),
    "exits": (exits, [
        Column("exit", lambda r: r["name"]), Column("trades", lambda r: str(r["count"])),
        Column("net", lambda r: money_text(r["net_micros"])), Column("fees", lambda r: money_text(r["fee_micros"])),
    ]),
    "timeline": (lambda session_id: timeline(session_id, limit=1_000_000).rows[::-1], [
        Column("journal_seq", lambda r: str(r["seq"])),
        Column("session_time", lambda r: "" if r["us"] is None else time_text(r["us"] * 1000)),
        Column("wall_time", lambda r: "" if r["wall_us"] is None else time_text(r["wall_us"] * 1000)),
        Column("kind", lambda r: r["kind"]), Column("what", lambda r: r["what"]),
        Column("detail", lambda r: words(r["detail"])), Column("reason", lambda r: words(r["reason"])),
        Column("net", lambda r: money_text(r["net_micros"])),
    ]),
}  # fmt: skip
NAMES = (*LISTS, *REPORTS)
SESSION_COLUMNS = [
    Column("session", lambda r: r["key"]), Column("mode", lambda r: r["mode"]), Column("venue", lambda r: r["venue"]),
    Column("status", lambda r: r["status"]), Column("verdict", lambda r: r["verdict"]),
    Column("config", lambda r: r["version"]), Column("feed", lambda r: r["feed"]),
    Column("symbols", lambda r: " ".join(r["symbols"])), Column("scorer", lambda r: r["scorer"]),
    Column("currency", lambda r: r["currency"]), Column("net", lambda r: money_text(r["net_micros"])),
    Column("trades", lambda r: str(r["trades"])), Column("holds", lambda r: str(r["holds"])),
    Column("balance", lambda r: money_text(r["balance_micros"])), Column("created", lambda r: r["created_at"]),
    Column("started", lambda r: r["started_at"] or ""), Column("ended", lambda r: r["ended_at"] or ""),
    Column("by", lambda r: words(r["created_by"])), Column("reason", lambda r: words(r["reason"])),
]  # fmt: skip


def pieces(name: str, session_id: int) -> Iterator[list[list[str]]]:
    """A session's table in pieces of rows, the heading first, then oldest first.  Raises KeyError for another name."""
    if name in REPORTS:
        make, columns = REPORTS[name]
        yield [[column.name for column in columns]]
        yield [[column.text(row) for column in columns] for row in make(session_id)]
        return
    model, key, columns = LISTS[name]
    yield [[column.name for column in columns]]
    session = Session.objects.get(id=session_id)  # its rulebook names codes and effects
    every = model.objects.filter(session_id=session_id).order_by(key)
    after = -1
    while True:
        rows = list(every.filter(**{f"{key}__gt": after})[:PIECE])
        if not rows:
            return
        for row in rows:
            row.session = session
        yield [[column.text(row) for column in columns] for row in rows]
        after = getattr(rows[-1], key)


def session_pieces() -> Iterator[list[list[str]]]:
    """All sessions as a table, newest first."""
    yield [[column.name for column in SESSION_COLUMNS]]
    before: int | None = None
    while True:
        page = session_list(before, PIECE)
        yield [[column.text(row) for column in SESSION_COLUMNS] for row in with_results(page.rows)]
        if page.next_before is None:
            return
        before = page.next_before


def count(name: str, session_id: int) -> int:
    """Rows of a list in all."""
    model, _, _ = LISTS[name]
    return int(model.objects.filter(session_id=session_id).count())
