"""A day of a data set as a chart: what the page asks in its address, and the points that its script draws.

The page works without the script, too: a set of bars has its line, every set the points as a file.  Times are UTC, or
the exchange's for who asks; a day is always a UTC day, as the store's are.
"""

import re
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from desk.dashboard.sessions import zone_of
from desk.data.files import csv_file, iso
from marketdata import selectors
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import NO_TICK
from marketdata.core.units import MICROS, NANOS, text_from_ticks
from marketdata.databento.definitions import DEFINITION
from marketdata.feeds.port import FeedError
from marketdata.models import DataSet
from marketdata.store.days.reading import Part
from marketdata.store.days.span import DAY_MINUTES, Span, span_of

DAY = re.compile(r"(19|20|21)\d\d-(0[1-9]|1[0-2])-\d\d")
MINUTE = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")
CANDLE_HEAD = ("from", "open", "high", "low", "close", "volume")
QUOTE_HEAD = ("from", "last_bid", "last_ask", "widest_spread_ticks", "books", "invalid", "lowest_bid", "highest_ask")


class Asked(NamedTuple):
    """Which part of which day, and in which zone its times are written."""

    day: date
    first: int  # minutes of the day
    last: int
    zone: str

    @property
    def whole(self) -> bool:
        """Whether it is the whole day."""
        return (self.first, self.last) == (0, DAY_MINUTES)


def asked_of(request: HttpRequest, row: DataSet) -> Asked | None:
    """What the address asks for; None without a day.  Anything that is no time counts as absent."""
    day = day_of(request.GET.get("day", ""))
    if day is None:
        return None
    first, last = minute_of(request.GET.get("from", ""), 0), minute_of(request.GET.get("to", ""), DAY_MINUTES)
    if last <= first:
        first, last = 0, DAY_MINUTES
    zone = zone_of(row.symbols) if request.GET.get("zone") == "exchange" and row.symbols else "UTC"
    return Asked(day, first, last, zone)


def day_of(text: str) -> date | None:
    """A day of an address; anything else counts as absent."""
    try:
        return date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        return None


def minute_of(text: str, absent: int) -> int:
    """ "14:30" → minutes of the day."""
    found = MINUTE.fullmatch(text)
    return absent if found is None else min(int(found[1]) * 60 + int(found[2]), DAY_MINUTES)


def form_values(row: DataSet, asked: Asked | None) -> dict[str, Any]:
    """What the page's form over the chart shows: the days that there are, and what was asked for."""
    first, last = (datetime.fromtimestamp(ns // NANOS, UTC).date() for ns in (row.first_ns, row.last_ns))
    ends = (asked.first, asked.last) if asked else (0, DAY_MINUTES)
    return {
        "drawable": row.kind != DEFINITION and bool(row.symbols),
        "first": first,
        "last": last,
        "day": asked.day if asked else first,
        "from": f"{ends[0] // 60:02d}:{ends[0] % 60:02d}",
        "to": f"{ends[1] // 60:02d}:{ends[1] % 60:02d}",
        "whole": asked is None or asked.whole,
        "zone": asked.zone if asked else "UTC",
        "exchange": zone_of(row.symbols) if row.symbols else "UTC",
        "hours": [f"{hour:02d}:00" for hour in range(25)],
    }


@require_GET
@never_cache
def points(request: HttpRequest, data_set_id: int) -> HttpResponse:
    """The points of a part of a day for the script, prices in ticks; 400 and 422 with one sentence."""
    row = selectors.find_data_set(data_set_id)
    asked = None if row is None else asked_of(request, row)
    if row is None:
        return JsonResponse({"error": _("There is no such data set.")}, status=404)
    if asked is None:
        return JsonResponse({"error": _("Say which day, like 2024-01-31.")}, status=400)
    try:
        return JsonResponse(_points(row, asked))
    except (FeedError, OSError) as error:
        return JsonResponse({"error": str(error)}, status=422)


@require_GET
@never_cache
def points_csv(request: HttpRequest, data_set_id: int) -> HttpResponse:
    """The same as a file, prices in the venue's decimals."""
    row = selectors.find_data_set(data_set_id)
    asked = None if row is None else asked_of(request, row)
    if row is None or asked is None:
        return HttpResponse(_("Say which data set and which day, like 2024-01-31."), status=404)
    try:
        found = _points(row, asked)
    except (FeedError, OSError) as error:
        return HttpResponse(str(error), status=422, content_type="text/plain; charset=utf-8")
    tick = found["tick_nanos"]

    def text(value: int | None) -> str:
        return "" if value is None else text_from_ticks(value, tick)

    candles = [[iso(t * MICROS), *map(text, prices), str(v)] for t, *prices, v in found["candles"]]
    quotes = [
        [iso(t * MICROS), text(bid), text(ask), "" if spread is None else str(spread), *counts, text(low), text(high)]
        for t, bid, ask, spread, books, invalid, low, high in found["quotes"]
        for counts in [(str(books), str(invalid))]
    ]
    lines = [QUOTE_HEAD, *quotes] if quotes else [CANDLE_HEAD, *candles]
    return csv_file(f"data-{row.pk}-{asked.day}.csv", lines)


def _points(row: DataSet, asked: Asked) -> dict[str, Any]:
    """Raises FeedError, OSError."""
    if row.kind == DEFINITION or not row.symbols:
        raise FeedError(_("Definitions of contracts hold no price: there is nothing to draw."))
    span = span_of(asked.day, asked.first, asked.last, row.bar_ns)
    part, gaps, rolls = selectors.day_part(row, span)
    instrument = INSTRUMENTS[row.symbols[0]]
    return {
        "symbol": instrument.symbol,
        "tick_nanos": instrument.tick_nanos,
        "decimals": selectors.decimals_of(instrument.symbol),
        "zone": asked.zone,
        "begin": span.begin_ns // NANOS,
        "end": span.end_ns // NANOS,
        "step": span.step_ns // NANOS,
        "rows": part.rows,
        "cut": None if part.cut_ns is None else part.cut_ns // NANOS,
        "candles": _candles(part, span),
        "quotes": _quotes(part, span),
        "gaps": None if gaps is None else [[begin // NANOS, -(-end // NANOS)] for begin, end in gaps],
        "rolls": [[at // NANOS, before, after] for at, before, after in rolls],
    }


def _candles(part: Part, span: Span) -> list[list[int]]:
    """[s UTC, open, high, low, close, lots]."""
    rows = zip(part.candles.at.tolist(), part.candles.ticks.tolist(), part.candles.volume.tolist(), strict=True)
    return [[span.time_s(at), *ticks, volume] for at, ticks, volume in rows]


def _quotes(part: Part, span: Span) -> list[list[int | None]]:
    """[s UTC, last bid, last ask, widest spread, books, those not valid, lowest bid, highest ask]; null: none."""
    if part.quotes is None:
        return []
    known = [[None if value == NO_TICK else value for value in column.tolist()] for column in part.quotes]
    return [[span.time_s(at), *row] for at, row in enumerate(zip(*known, strict=True))]
