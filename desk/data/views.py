"""/data/ and /data/N/: what history the store holds, what it covers, where it came from and who uses it.  Reading only.

A month of a set opens its days, a day its chart; every table is a CSV file, too.
"""

import re
from pathlib import Path
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from desk.accounts.roles import may
from desk.dashboard.pages.reports import number
from desk.data.days import Asked, asked_of, form_values
from desk.data.files import csv_file, iso
from desk.data.importing import run_values
from desk.data.looks import chart, contract_rows, months_by_year, neighbours, weeks
from marketdata import imports, selectors
from marketdata.core.units import NANOS
from marketdata.databento.definitions import DEFINITION
from marketdata.feeds.port import FeedError
from marketdata.jobs import purchases
from marketdata.models import DataSet
from marketdata.store import coverage
from marketdata.store.sets.definitions import contracts, definitions
from trading.selectors import sessions_fed_by

PAGE = 50
CONTRACTS = 200  # shown on the page; the file has all
ENDED = 8
MONTH = re.compile(r"(19|20|21)\d\d-(0[1-9]|1[0-2])")
HEADS = {
    "months": ("month", "rows", "first", "last", "bytes", "gaps", "file", "sha256"),
    "gaps": ("from", "to", "seconds"),
    "dropped": ("reason", "rows"),
    "examples": ("row", "reason"),
    "verdicts": ("found", "count"),
    "rolls": ("at", "from", "to"),
    "contracts": ("symbol", "id", "tick", "unit", "first", "last", "told"),
}


@require_GET
@never_cache
def data_sets(request: HttpRequest) -> HttpResponse:
    """All sets, 50 a page, newest first; imports at work and the last ones that ended."""
    page = selectors.data_set_page(number(request.GET.get("before")))
    context: dict[str, Any] = {
        "page": "data",
        "rows": page.rows,
        "next": page.next_before,
        "total": DataSet.objects.count(),
        "open": [run_values(run) for run in imports.open_runs()],
        "ended": [run_values(run) for run in imports.ended_runs(ENDED)],
        "purchases": len(purchases.open_runs()),
        "may": may(request.user, "import"),
        "now": timezone.now(),
    }
    return render(request, "data/sets.html", context)


@require_GET
@never_cache
def data_set(request: HttpRequest, data_set_id: int) -> HttpResponse:
    """One set; `?month=2024-01` its days, `?day=2024-01-02` a chart, `?after=50` further gaps."""
    row = _find(data_set_id)
    asked = asked_of(request, row)
    found = selectors.data_set_row(row)
    stored: coverage.Stored | None = found["stored"]
    first = number(request.GET.get("after")) or 0
    tables = _tables(found)
    counted = _counted(row)
    months = stored.months or coverage.counted_months(counted, stored.gaps) if stored else []
    context: dict[str, Any] = {
        "page": "data",
        "set": found,
        "years": months_by_year(months),
        "tables": tables,
        "gaps": tables.get("gaps", [])[first : first + PAGE],
        "gap_count": len(stored.gaps or []) if stored else 0,
        "gaps_known": stored is not None and stored.gaps is not None,
        "first": first,
        "next": first + PAGE if stored and len(stored.gaps or []) > first + PAGE else None,
        "sessions": sessions_fed_by(row.path.rpartition("/")[2]),
        "may_delete": may(request.user, "delete"),
        "now": timezone.now(),
        "asked": asked,
        "form_day": form_values(row, asked),
        "beside": neighbours(asked.day) if asked else (),
        "query": request.GET.urlencode(),
    }
    if stored and found["definitions"]:
        context |= _contracts(row)
    if stored and months:
        context |= _closer(request.GET.get("month", ""), asked, row, found, stored, counted)
    return render(request, "data/set.html", context)


def _find(data_set_id: int) -> DataSet:
    row = DataSet.objects.filter(pk=data_set_id).first()
    if row is None:
        raise Http404("no such data set")
    return row


def _counted(row: DataSet) -> dict[str, int]:
    """Events by day, of books and recordings."""
    try:
        return selectors.day_counts(row)
    except (FeedError, OSError):
        return {}  # the page of the set says what is wrong with its files


def _contracts(row: DataSet) -> dict[str, Any]:
    """Of definitions: what was last said of each contract."""
    try:
        rows = contracts(definitions(selectors.data_set_path(row)))
    except (FeedError, OSError) as error:
        return {"contract_fault": str(error), "contract_count": 0}
    return {"contracts": contract_rows(rows[:CONTRACTS]), "contract_count": len(rows)}


def _closer(
    month: str,
    asked: Asked | None,
    row: DataSet,
    found: dict[str, Any],
    stored: coverage.Stored,
    counted: dict[str, int],
) -> dict[str, Any]:
    """The days of the month that is asked for, and of bars the plain picture of the day."""
    day = asked.day if asked else None
    month = f"{day:%Y-%m}" if day else month
    if not MONTH.fullmatch(month):
        return {}
    if not row.bar_ns:
        return {"month": month, "weeks": weeks(coverage.counted_days(month, counted, stored.gaps))}
    try:
        path = selectors.data_set_path(row)
        days = coverage.days(path, month, stored.gaps)
        shown = chart(coverage.day_bars(path, day), row.bar_ns, found["decimals"]) if day else None
    except (FeedError, FileNotFoundError) as error:
        return {"day_fault": str(error), "month": month}
    except OSError as error:
        return {"day_fault": str(coverage.unreadable(Path(row.path), error)), "month": month}
    return {"month": month, "weeks": weeks(days), "chart": shown}


# tables and files


def _tables(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Every table of a set, in the words of HEADS; times in µs."""
    stored: coverage.Stored | None = found["stored"]
    tables: dict[str, list[dict[str, Any]]] = {
        "dropped": [{"reason": reason, "rows": rows} for reason, rows in found["dropped"].items()],
        "examples": [{"row": row, "reason": reason} for row, reason in found["examples"]],
        "verdicts": [{"found": words, "count": count} for words, count in found["verdicts"].items()],
    }
    if stored is None:
        return tables
    return tables | {
        "months": [
            {
                **{name: part[name] for name in ("month", "rows", "bytes", "gaps", "file", "sha256")},
                "first": part["first_ns"] // 1000,
                "last": part["last_ns"] // 1000,
            }
            for part in stored.months
        ],
        "gaps": [
            {"from": begin // 1000, "to": end // 1000, "seconds": (end - begin) // NANOS}
            for begin, end in stored.gaps or []
        ],
        "rolls": [{"at": at // 1000, "from": old, "to": new} for at, old, new in stored.rolls],
    }


@require_GET
@never_cache
def table_csv(request: HttpRequest, data_set_id: int, name: str) -> HttpResponse:
    """One table of one set, whole."""
    if name not in HEADS:
        raise Http404("no such table")
    row = _find(data_set_id)
    tables = _tables(selectors.data_set_row(row)) | _contract_table(row)
    rows = ([_cell(head, row[head]) for head in HEADS[name]] for row in tables.get(name, []))
    return csv_file(f"data-{data_set_id}-{name}.csv", [HEADS[name], *rows])


def _contract_table(row: DataSet) -> dict[str, list[dict[str, Any]]]:
    """Of definitions every contract; of other sets, and of files that are gone, nothing."""
    if row.kind != DEFINITION:
        return {}
    try:
        return {"contracts": contract_rows(contracts(definitions(selectors.data_set_path(row))))}
    except (FeedError, OSError):
        return {}  # the page of the set says what is wrong with its files


def _cell(head: str, value: object) -> str:
    """Times as ISO 8601 with their offset; what is not known is empty."""
    if (value is not None and head in ("first", "last", "at", "told")) or (
        head in ("from", "to") and isinstance(value, int)
    ):
        return iso(int(str(value)))
    return "" if value is None else str(value)


@require_GET
@never_cache
def all_csv(request: HttpRequest) -> HttpResponse:
    """All sets."""
    head = (
        "id", "symbols", "schema", "from", "to", "rows", "bytes", "months", "gaps", "rolls", "dropped", "source",
        "source_sha256", "data_sha256", "path", "imported", "by", "fault",
    )  # fmt: skip
    return csv_file(
        "data.csv", [head, *(_line(selectors.data_set_row(row)) for row in DataSet.objects.order_by("-id"))]
    )


def _line(row: dict[str, Any]) -> list[str]:
    stored: coverage.Stored | None = row["stored"]
    gaps = "" if stored is None or stored.gaps is None else str(len(stored.gaps))
    figures = [str(stored.bytes), str(len(stored.months)), gaps, str(len(stored.rolls))] if stored else [""] * 4
    span = [iso(row["first_us"]), iso(row["last_us"])]
    head = [str(row["id"]), " ".join(row["symbols"]), row["schema"], *span, str(row["rows"]), *figures]
    origin = [row["source"], row["source_hash"], stored.data_hash if stored else "", row["path"]]
    return [*head, str(row["dropped_rows"]), *origin, row["at"].isoformat(), row["by"], row["fault"]]
