"""Sessions by day, the after-session report, why a trade was entered, and every table as CSV.  Reading only.

Lists stand 50 rows a page with a total; filters and moments are in the address, so that a link opens the same again.
"""

import csv
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from trading import selectors
from trading.reports import days, moments, session, tables
from trading.reports.health import health

LISTS = {
    "trades": selectors.trade_list,
    "orders": selectors.order_list,
    "fills": selectors.fill_list,
    "decisions": selectors.decision_list,
    "holds": selectors.hold_list,
    "commands": selectors.command_list,
}
US_MAX = 2**53


def number(text: str | None) -> int | None:
    """A whole number of an address; anything else counts as absent."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 17 else None


@require_GET
@never_cache
def session_list(request: HttpRequest) -> HttpResponse:
    """Sessions by day, 50 a page, newest first."""
    page = days.sessions_by_day(number(request.GET.get("before")))
    context = {
        "page": "sessions",
        "days": page.days,
        "next": page.next_before,
        "total": selectors.session_count(),
        "now": timezone.now(),
    }
    return render(request, "dashboard/sessions.html", context)


@require_GET
@never_cache
def report(request: HttpRequest, session_id: int) -> HttpResponse:
    """One session after (or during) its run; `?at=` shows a moment, `?list=` one of its lists."""
    name = request.GET.get("list", "trades")
    if name != "timeline" and name not in LISTS:
        raise Http404("no such list")
    try:
        found = session.report(session_id)
    except ObjectDoesNotExist:
        raise Http404("no such session") from None
    at = number(request.GET.get("at"))
    before = number(request.GET.get("before"))
    if at is not None and before is None:
        before = moments.first_after(session_id, name, at)
    page = moments.timeline(session_id, before) if name == "timeline" else LISTS[name](session_id, before)
    live = found["session"]["status"] in ("starting", "running", "stopping")
    context: dict[str, Any] = found | {
        "page": "sessions",
        "list": name,
        "lists": [(item, count_of(item, session_id)) for item in (*LISTS, "timeline")],
        "rows": page.rows,
        "next": page.next_before,
        "health": health(session_id, live),
        "curve": curve(session.net_curve(session_id)),
        "moment": None if at is None else moments.moment(session_id, at),
        "live": live,
        "now": timezone.now(),
    }
    return render(request, "dashboard/session.html", context)


def count_of(name: str, session_id: int) -> int:
    """Rows of a list in all."""
    return moments.timeline_count(session_id) if name == "timeline" else tables.count(name, session_id)


@require_GET
@never_cache
def trade(request: HttpRequest, session_id: int, seq: int) -> HttpResponse:
    """Why this round trip was entered: the decision, its score, the orders as sent, the fills (N6)."""
    try:
        found = moments.why(session_id, seq)
        row = selectors.session_row(session_id)
    except ObjectDoesNotExist:
        raise Http404("no such trade") from None
    return render(request, "dashboard/trade.html", found | {"page": "sessions", "session": row, "now": timezone.now()})


def curve(points: list[int], width: int = 600, height: int = 96) -> dict[str, Any] | None:
    """The net result after each trade as the points of a line, with where zero lies; None before the first trade."""
    if len(points) < 2:
        return None
    low, high = min(0, *points), max(0, *points)
    span = (high - low) or 1
    step = width / (len(points) - 1)

    def y(value: int) -> float:
        return round(4 + (height - 8) * (high - value) / span, 1)

    line = " ".join(f"{round(i * step, 1)},{y(value)}" for i, value in enumerate(points))
    shared = {"width": width, "height": height, "zero": y(0), "line": line}
    return shared | {"area": f"0,{y(0)} {line} {width},{y(0)}", "last": points[-1], "low": low, "high": high}


# files


@require_GET
@never_cache
def sessions_csv(request: HttpRequest) -> StreamingHttpResponse:
    """All sessions."""
    return _file(tables.session_pieces(), "sessions.csv")


@require_GET
@never_cache
def session_csv(request: HttpRequest, session_id: int, name: str) -> StreamingHttpResponse:
    """One table of one session, whole, whatever page is shown."""
    try:
        key = selectors.session_row(session_id)["key"]
    except ObjectDoesNotExist:
        raise Http404("no such session") from None
    if name not in tables.NAMES:
        raise Http404("no such table")
    return _file(tables.pieces(name, session_id), f"{key}-{name}.csv")


def _file(pieces: Iterator[list[list[str]]], name: str) -> StreamingHttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return StreamingHttpResponse(_texts(pieces), content_type="text/csv; charset=utf-8", headers=headers)


async def _texts(pieces: Iterator[list[list[str]]]) -> AsyncIterator[str]:
    """Piece by piece: the database is asked in a thread, and only as fast as the file is read."""
    following = sync_to_async(lambda: next(pieces, None))
    while (rows := await following()) is not None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows(rows)
        yield text.getvalue()
