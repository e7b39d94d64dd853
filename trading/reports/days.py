"""Sessions by day: mode, venue, net result, trades, holds, and whether they kept their rules.  Newest first, in pages.

The day is the one on which the session was made, in UTC; money is never added across currencies.  Called by the
sessions' page and its CSV.
"""

from typing import Any, NamedTuple

from django.db.models import Count, Q, Sum

from trading.models import HoldEvent, Session, Trade
from trading.reports.held import HEDGES
from trading.reports.session import BREACHES, verdict
from trading.selectors import PAGE, session_list


class Day(NamedTuple):
    """One day's sessions and what they made, by currency."""

    day: str
    rows: list[dict[str, Any]]
    net: dict[str, int]
    trades: int


class DayPage(NamedTuple):
    """One page.  `next_before` continues it; None at the end."""

    days: list[Day]
    next_before: int | None


def sessions_by_day(before: int | None = None, limit: int = PAGE) -> DayPage:
    """Sessions with their results, grouped; `before` is a session's id."""
    page = session_list(before, limit)
    rows = with_results(page.rows)
    days: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        days.setdefault(row["created_at"][:10], []).append(row)
    return DayPage([_day(name, found) for name, found in days.items()], page.next_before)


def with_results(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Session rows with net_micros, trades, holds and verdict, by three queries in all."""
    ids = [row["id"] for row in rows]
    counted = Count("id", filter=~Q(symbol__in=HEDGES))  # a hedge is money, no trade (MOEX-HEDGE-05)
    money = Trade.objects.filter(session_id__in=ids).values("session_id").annotate(net=Sum("net_micros"), n=counted)
    results = {row["session_id"]: row for row in money}
    held = HoldEvent.objects.filter(session_id__in=ids).values("session_id").annotate(n=Count("id"))
    holds = {row["session_id"]: row["n"] for row in held}
    broke: dict[int, list[dict[str, str]]] = {}
    for session_id, code in HoldEvent.objects.filter(session_id__in=ids, source=0, code__in=BREACHES).values_list(
        "session_id", "code"
    ):
        broke.setdefault(session_id, []).append({"code": code, "text": ""})
    starts = dict(Session.objects.filter(id__in=ids).values_list("id", "account__venue"))
    found = []
    for row in rows:
        result = results.get(row["id"])
        broken = broke.get(row["id"], [])
        found.append(
            row
            | {
                "venue": starts[row["id"]].upper(),
                "net_micros": result["net"] if result else 0 if row["started_at"] else None,
                "trades": result["n"] if result else 0,
                "holds": holds.get(row["id"], 0),
                "verdict": verdict(row, broken),
                "broken": sorted({item["code"] for item in broken}),
            }
        )
    return found


def _day(name: str, rows: list[dict[str, Any]]) -> Day:
    net: dict[str, int] = {}
    for row in rows:
        if row["net_micros"] is not None:
            net[row["currency"]] = net.get(row["currency"], 0) + row["net_micros"]
    return Day(name, rows, net, sum(row["trades"] for row in rows))
