"""A moment is an address: what stood at one session time, the timeline of a session, and why a trade was entered.

Ordered by the journal's seq, which both clocks share; times of holds and trades are session time, those of commands the
wall clock.  Called by the session's pages; nothing is written.
"""

from typing import Any

from django.db.models import Case, F, Max, Min, QuerySet, Sum, Value, When

from risk.core.gate import code_name
from risk.core.holds import EFFECTS, LABELS, hold_of
from trading.core.protect import CLOSE_REASONS
from trading.core.records import ENTRY
from trading.models import Command, ConfigVersion, Decision, Fill, HoldEvent, Order, Trade
from trading.selectors import PAGE, Page, at_us, fill_values, order_values, rulebook_of, trade_values, us

TIMES: dict[str, tuple[Any, str]] = {
    "orders": (Order, "sent_ns"),
    "fills": (Fill, "ts_ns"),
    "trades": (Trade, "closed_ns"),
    "decisions": (Decision, "ts_ns"),
    "holds": (HoldEvent, "raised_ns"),
}


def first_after(session_id: int, name: str, at: int) -> int | None:
    """Seq of the first row of a list that is later than session time `at` (µs); None when there is none."""
    if name not in TIMES:
        return None
    model, field = TIMES[name]
    rows: QuerySet[Any] = model.objects.filter(session_id=session_id, **{f"{field}__gte": (at + 1) * 1000})
    found = rows.aggregate(first=Min("seq"))["first"]
    return None if found is None else int(found)


def moment(session_id: int, at: int) -> dict[str, Any]:
    """What stood at session time `at` (µs): positions, holds, and the last decision before it."""
    until = (at + 1) * 1000
    signed = Case(When(side=1, then=F("qty")), default=Value(-1) * F("qty"))
    fills = Fill.objects.filter(session_id=session_id, ts_ns__lt=until).values("symbol").order_by("symbol")
    raised = HoldEvent.objects.filter(session_id=session_id, raised_ns__lt=until)
    holds = raised.exclude(cleared_ns__lt=until).order_by("seq")
    last = Decision.objects.filter(session_id=session_id, ts_ns__lt=until).order_by("-seq").first()
    return {
        "us": at,
        "positions": [row for row in fills.annotate(net=Sum(signed)) if row["net"]],
        "holds": [hold.code for hold in holds],
        "decision": None if last is None else code_name(rulebook_of(session_id), last.code),
        "same": 0 if last is None else last.same,
    }


def timeline(session_id: int, before: int | None = None, limit: int = PAGE) -> Page:
    """Commands, holds and round trips in the journal's order, newest first; `before` is a seq."""
    parts = (_commands, _holds, _trades)
    rows = [row for part in parts for row in part(session_id, before, limit)]
    rows.sort(key=lambda row: -row["seq"])
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, rows[-1]["seq"] if more else None)


def timeline_count(session_id: int) -> int:
    """How many rows the timeline has in all."""
    holds = HoldEvent.objects.filter(session_id=session_id)
    commands = Command.objects.filter(session_id=session_id, seq__isnull=False).count()
    trades = Trade.objects.filter(session_id=session_id).count()
    return commands + trades + holds.count() + holds.exclude(cleared_seq=None).count()


def _cut(rows: "QuerySet[Any]", field: str, before: int | None, limit: int) -> "QuerySet[Any]":
    if before is not None:
        rows = rows.filter(**{f"{field}__lt": before})
    return rows.order_by(f"-{field}")[: limit + 1]


def _commands(session_id: int, before: int | None, limit: int) -> list[dict[str, Any]]:
    rows = Command.objects.filter(session_id=session_id, seq__isnull=False)
    return [
        {
            "seq": row.seq,
            "us": None,
            "wall_us": at_us(row.requested_at),
            "kind": "command",
            "what": row.kind,
            "detail": f"{row.by}: {row.state}{f', road {row.road}' if row.road else ''}",
            "reason": row.reason,
            "net_micros": None,
        }
        for row in _cut(rows, "seq", before, limit)
    ]


def _holds(session_id: int, before: int | None, limit: int) -> list[dict[str, Any]]:
    rows = HoldEvent.objects.filter(session_id=session_id)
    rules = rulebook_of(session_id)
    found = []
    for row in _cut(rows, "seq", before, limit):
        hold = hold_of(rules, row.bit)
        detail = f"{EFFECTS[hold.effect]}, {LABELS[hold.label]}"
        shared = {"wall_us": None, "kind": "hold", "what": row.code, "reason": hold.trigger, "net_micros": None}
        found.append({"seq": row.seq, "us": us(row.raised_ns), "detail": f"raised: {detail}", **shared})
    for row in _cut(rows.exclude(cleared_seq=None), "cleared_seq", before, limit):
        lasted = (row.cleared_ns - row.raised_ns) / 1e9
        shared = {"wall_us": None, "kind": "hold", "what": row.code, "reason": "", "net_micros": None}
        detail = f"cleared after {lasted:.1f} s"
        found.append({"seq": row.cleared_seq, "us": us(row.cleared_ns), "detail": detail, **shared})
    return found


def _trades(session_id: int, before: int | None, limit: int) -> list[dict[str, Any]]:
    return [
        {
            "seq": row.seq,
            "us": us(row.closed_ns),
            "wall_us": None,
            "kind": "trade",
            "what": row.symbol,
            "detail": CLOSE_REASONS.get(row.reason, str(row.reason)),
            "reason": "",
            "net_micros": row.net_micros,
        }
        for row in _cut(Trade.objects.filter(session_id=session_id), "seq", before, limit)
    ]


def why(session_id: int, seq: int) -> dict[str, Any]:
    """Why a round trip was entered and left: its decision, orders, fills, the version it ran under.

    Raises Trade.DoesNotExist.
    """
    trade = Trade.objects.get(session_id=session_id, seq=seq)
    mine_before = Trade.objects.filter(session_id=session_id, instrument=trade.instrument, seq__lt=seq)
    after = mine_before.aggregate(last=Max("seq"))["last"] or 0  # flat to flat: what was filled since the one before
    fills = Fill.objects.filter(session_id=session_id, instrument=trade.instrument, seq__gt=after, seq__lte=seq)
    fills = fills.order_by("seq")
    numbers = {fill.order_number for fill in fills}
    mine = Order.objects.filter(session_id=session_id, instrument=trade.instrument)
    entry = mine.filter(number__in=numbers, role=ENTRY, side=trade.side).order_by("number").first()
    first = min(numbers, default=0) if entry is None else entry.number
    orders = mine.filter(number__gte=first, seq__lte=trade.seq)  # the bracket's other leg was sent, too
    decision = None
    if entry is not None:
        decision = Decision.objects.filter(session_id=session_id, order_number=entry.number).order_by("seq").first()
    version = ConfigVersion.objects.filter(id=entry.version_id).first() if entry is not None else None
    return {
        "trade": trade_values(trade) | {"exit": CLOSE_REASONS.get(trade.reason, str(trade.reason))},
        "gross_micros": trade.gross_micros,
        "held_us": (trade.closed_ns - trade.opened_ns) // 1000,
        "decision": decision,
        "decided_us": None if decision is None else us(decision.ts_ns),
        "waited_us": None if decision is None else (trade.opened_ns - decision.ts_ns) // 1000,
        "orders": [order_values(row) for row in orders.order_by("number")],
        "fills": [fill_values(row) for row in fills],
        "version": version,
    }


def same_decisions(session_id: int, seq: int, symbol: str) -> dict[str, Any] | None:
    """How often, and from when to when, the ledger counts what the decision `seq` said; None while it has no row."""
    rows = Decision.objects.filter(session_id=session_id, symbol=symbol, seq__lte=seq, last_seq__gte=seq)
    row = rows.order_by("-seq").first()
    if row is None:
        return None
    return {"same": row.same, "first_us": us(row.ts_ns), "last_us": us(row.last_ns), "last_seq": row.last_seq}


def submit_seq(session_id: int, number: int) -> int | None:
    """Journal number of the frame that sent an order; None while the ledger does not have it."""
    return Order.objects.filter(session_id=session_id, number=number).values_list("seq", flat=True).first()
