"""What the chart needs before the first frame: bars so far, own fills and round trips.  Reads; the socket goes on.

Answers are JSON: bars are [t_s, open, high, low, close, volume] in ticks, times of marks are µs UTC.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from desk.dashboard.api import for_people, refusal
from trading import selectors, services
from trading.run.bodies.bars import LIMIT_MAX, read_bars

BARS_USUAL = 3_000
EVER_US = 2**53
MARKS_MAX = 5_000


def _whole(request: HttpRequest, name: str, usual: int) -> int:
    """A whole number of the query.  Raises ValueError for anything else."""
    text = request.GET.get(name, str(usual))
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name} must be a whole number")
    return int(text)


@require_GET
@for_people
@never_cache
def bars(request: HttpRequest, session_id: int) -> JsonResponse:
    """GET ?inst=0&tf=5&limit=3000&until=µs → {inst, tf, n, bars}; `n` counts all bars up to then."""
    try:
        inst, seconds = _whole(request, "inst", 0), _whole(request, "tf", 5)
        limit, until_us = min(_whole(request, "limit", BARS_USUAL), LIMIT_MAX), _whole(request, "until", EVER_US)
        folder = services.session_folder(session_id)
        found, count = read_bars(folder, inst, seconds, limit, until_us // 1_000_000)
    except ValueError as error:
        return refusal(400, str(error), "BAD_REQUEST")
    return JsonResponse({"inst": inst, "tf": seconds, "n": count, "bars": found})


@require_GET
@for_people
@never_cache
def marks(request: HttpRequest, session_id: int) -> JsonResponse:
    """GET ?inst=0&until=µs → {fills, trades}, oldest first, the newest 5 000 of each at most."""
    try:
        inst, until_us = _whole(request, "inst", 0), _whole(request, "until", EVER_US)
    except ValueError as error:
        return refusal(400, str(error), "BAD_REQUEST")
    lists = {"fills": selectors.fill_list, "trades": selectors.trade_list}
    return JsonResponse({name: _rows(select, session_id, inst, until_us) for name, select in lists.items()})


def _rows(select: Callable[..., selectors.Page], session_id: int, inst: int, until_us: int) -> list[dict[str, Any]]:
    found = select(session_id, limit=MARKS_MAX).rows
    return [row for row in reversed(found) if row["inst"] == inst and row["ts_us"] <= until_us]


@require_GET
@for_people
@never_cache
def session_rail(request: HttpRequest) -> JsonResponse:
    """GET → the sessions that the rail lists: what runs, then the newest that is over."""
    return JsonResponse({"sessions": rail()})


def rail(most: int = 9) -> list[dict[str, Any]]:
    """id, key, mode, status, symbols, feed of at most `most` sessions; those that run come first."""
    running = selectors.running_sessions()
    known = {row["id"] for row in running}
    past = [row for row in selectors.session_list(limit=most).rows if row["id"] not in known]
    names = ("id", "key", "mode", "status", "symbols", "feed")
    return [{name: row[name] for name in names} for row in [*running, *past][:most]]
