"""/compare/?r=1&r=2: up to six results; differing inputs first, then metrics, then the curves over each other."""

from typing import Any

import polars as pl
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from desk.backtests import reading
from desk.backtests.differing import COLUMNS, parting
from desk.backtests.models import DONE, BacktestRun
from desk.backtests.pages.views import run_values
from desk.dashboard.pages.reports import number
from desk.dashboard.templatetags.research_words import row_names
from marketdata.core.units import micros_from_text

MOST = 6
OFFERED = 50
HASHES = ("config_hash", "data_hash", "signals_hash", "strategy_hash", "code_hash", "calendar")
# as the page of a result calls them: part and name of its summary, and the words
METRICS = (
    ("trades", "net", lazy("net, after costs")),
    ("trades", "gross", lazy("gross")),
    ("costs", "commission", lazy("commission")),
    ("costs", "slippage", lazy("slippage, inside the prices")),
    ("trades", "count", lazy("trades")),
    ("trades", "win_rate", lazy("win rate")),
    ("trades", "profit_factor", lazy("profit factor")),
    ("trades", "expectancy", lazy("mean net of a trade")),
    ("returns", "sharpe", lazy("Sharpe, a year")),
    ("drawdown", "pct", lazy("deepest drawdown, %")),
    ("drawdown", "usd", lazy("deepest drawdown")),
    ("period", "sessions", lazy("sample, sessions")),
    ("period", "bars", lazy("sample, bars")),
)


@require_GET
@never_cache
def compare(request: HttpRequest) -> HttpResponse:
    """What cannot be shown is named; with fewer than two results the page asks for them."""
    ids = list(dict.fromkeys(k for k in map(number, request.GET.getlist("r")) if k is not None))[:MOST]
    by_id = BacktestRun.objects.filter(state=DONE).in_bulk(ids)
    asked = [by_id[k] for k in ids if k in by_id]
    faults = {run.pk: fault for run in asked if (fault := reading.fault_of(run))}
    shown = [run for run in asked if run.pk not in faults]
    context: dict[str, Any] = {
        "page": "research",
        "ids": ids,
        "faults": [*faults.items(), *((k, "there is no such result") for k in ids if k not in by_id)],
        "offered": [
            run_values(run) for run in BacktestRun.objects.filter(state=DONE, deleted_at=None).order_by("-id")[:OFFERED]
        ],
        "now": timezone.now(),
    }
    if len(shown) >= 2:
        context |= _side_by_side(shown)
    return render(request, "research/compare.html", context)


def _side_by_side(shown: list[BacktestRun]) -> dict[str, Any]:
    values = [reading.summary_of(run) for run in shown]
    inputs = [_inputs(run, value) for run, value in zip(shown, values, strict=True)]
    names = list(dict.fromkeys(name for one in inputs for name in one))
    rows = [(name, [one.get(name, "—") for one in inputs]) for name in names]
    start = micros_from_text(values[0]["capital"]["start"]) / 1_000_000
    trades = [reading.trades_of(run) for run in shown]
    return {
        "shown": [run_values(run) for run in shown],
        "differing": [(name, row) for name, row in rows if len(set(row)) > 1],
        "same": [(name, row[0]) for name, row in rows if len(set(row)) == 1],
        "metrics": [(words, [_text(v[part].get(name)) for v in values]) for part, name, words in METRICS],
        "partings": [_parting(shown[0], run, trades[0], trades[k]) for k, run in enumerate(shown) if k],
        "blocked": [row_names(v["criticism"]["blocked_by"]) or _("nothing") for v in values],
        "picture": reading.picture_of(shown, start),
    }


def _parting(first: BacktestRun, other: BacktestRun, ours: pl.DataFrame, theirs: pl.DataFrame) -> dict[str, Any]:
    """Where a result leaves the first one."""
    found = parting(ours, theirs)
    values: dict[str, Any] = {"first": first.pk, "other": other.pk, "trades": len(ours)}
    if found is None:
        return values | {"same": True}
    rows = [(name.replace("_", " "), (found.ours or {}).get(name), (found.theirs or {}).get(name)) for name in COLUMNS]
    return values | {"same": False, "number": found.same + 1, "names": found.names, "at": found.at, "rows": rows}


def _inputs(run: BacktestRun, values: dict[str, Any]) -> dict[str, str]:
    """Every input by name; changed values each by their own path."""
    told = {"configuration": run.config, "strategy": run.strategy, "traded as": run.symbol, "data": run.data_path}
    told |= {"first day": run.first or "all", "last day": run.last or "all"}
    told |= {path: value for path, _equals, value in (change.partition("=") for change in run.changes)}
    return told | {name.replace("_", " "): _told(values["run"].get(name)) for name in HASHES}


def _told(value: object) -> str:
    """An input: a hash by its first digits, more than one value each by its name."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return str(value or "—")[:16]


def _text(value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, float):
        return f"{value:,.3f}"
    whole, dot, decimals = str(value).partition(".")  # money, exact: as many digits as it has, two at least
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}" if dot else f"{value:,}" if isinstance(value, int) else whole
