"""/backtests/ and /backtests/N/: what was asked for, what is at work, what came of it.  Filters are in the address."""

from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk import presses
from desk.accounts.roles import may
from desk.backtests import runs
from desk.backtests.models import DONE, OPEN, RUNNING, WAITING, BacktestRun
from desk.backtests.pages.starting import change_query
from desk.dashboard.pages.reports import number
from desk.presses import Words
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import micros_from_text

PAGE = 50
SILENT_S = 30
CHOICES_MAX = 200


@require_GET
@never_cache
def backtests(request: HttpRequest) -> HttpResponse:
    """All of them by day, newest first; `?state=&config=&strategy=&data=&day=` filter, `?before=` goes on."""
    rows = _filtered(request, BacktestRun.objects.order_by("-id"))
    before = number(request.GET.get("before"))
    found = list((rows.filter(pk__lt=before) if before is not None else rows)[: PAGE + 1])
    asked = {name: value for name, value in request.GET.items() if name != "before" and value}
    context: dict[str, Any] = {
        "page": "research",
        "rows": [run_values(run) for run in (row.looked() for row in found[:PAGE])],
        "open": [
            run_values(run)
            for run in (row.looked() for row in BacktestRun.objects.filter(state__in=OPEN).order_by("id"))
            if run.state in OPEN
        ],
        "total": rows.count(),
        "any": BacktestRun.objects.exists(),
        "next": urlencode({**asked, "before": found[PAGE - 1].pk}) if len(found) > PAGE else "",
        "first": urlencode(asked),
        "filters": {name: asked.get(name, "") for name in ("state", "config", "strategy", "data", "day")},
        "choices": {
            name: list(BacktestRun.objects.order_by(name).values_list(name, flat=True).distinct()[:CHOICES_MAX])
            for name in ("config", "strategy")
        },
        "states": ("done", "failed", "cancelled", "waiting", "running"),
        "may": may(request.user, "research"),
        "now": timezone.now(),
    }
    return render(request, "research/backtests.html", context)


def _filtered(request: HttpRequest, rows: QuerySet[BacktestRun]) -> QuerySet[BacktestRun]:
    """What cannot be understood filters nothing."""
    for name in ("state", "config", "strategy"):
        if (value := request.GET.get(name)) and "\0" not in value:  # which a database of text refuses
            rows = rows.filter(**{name: value})
    if (data := number(request.GET.get("data"))) is not None:
        rows = rows.filter(data_set_id=data)
    try:
        day = date.fromisoformat(request.GET.get("day", ""))
    except ValueError:
        return rows
    return rows.filter(asked_at__date=day)


def run_values(run: BacktestRun) -> dict[str, Any]:
    """What the pages show of a run.  Money in micros, spans in µs."""
    working = run.state == RUNNING
    silent = run.silent_s()
    figures = run.figures or {}
    return {
        "id": run.pk,
        "about": f"{run.config}, {run.strategy}",
        "config": run.config,
        "symbol": run.symbol,
        "currency": INSTRUMENTS[run.symbol].currency if run.symbol in INSTRUMENTS else "",
        "strategy": run.strategy,
        "changes": run.changes,
        "books": run.books,
        "latency": run.latency,
        "seconds": run.seconds,
        "days": f"{run.first or '…'} – {run.last or '…'}" if run.first or run.last else "",
        "data_set": run.data_set_id,
        "data_path": run.data_path,
        "seed": run.seed,
        "elsewhere": run.elsewhere,
        "trials": run.trials,
        "state": run.state,
        "open": run.state in OPEN,
        "waiting": run.state == WAITING,
        "by": run.by,
        "asked_at": run.asked_at,
        "finished_at": run.finished_at,
        "share": min(1000, 1000 * run.done // run.total) if run.total else None,
        "words": run.words,
        "silent_us": silent * 1_000_000 if silent > SILENT_S else None,
        "cancel_asked_by": run.cancel_asked_by if working else "",
        "detail": run.detail,
        "deleted": run.deleted_at is not None,
        "shown": run.state == DONE and run.deleted_at is None,
        "net_micros": micros_from_text(figures["net"]) if "net" in figures else None,
        "trades": figures.get("trades"),
        "sharpe": figures.get("sharpe"),
        "drawdown_pct": figures.get("drawdown_pct"),
        "blocked": figures.get("blocked_by"),
    }


def found_run(run_id: int) -> BacktestRun:
    """As it is shown.  Raises Http404."""
    run = BacktestRun.objects.select_related("data_set").filter(pk=run_id).first()
    if run is None:
        raise Http404("no such backtest")
    return run.looked()


@require_GET
@never_cache
def run(request: HttpRequest, run_id: int) -> HttpResponse:
    """One backtest: how far it is, or what came of it."""
    found = found_run(run_id)
    context: dict[str, Any] = {
        "page": "research",
        "run": run_values(found),
        "change": change_query(found),
        "may": may(request.user, "research"),
        "now": timezone.now(),
    }
    return render(request, "research/run.html", context)


@require_POST
def cancel(request: HttpRequest, run_id: int) -> HttpResponse:
    """Ask a backtest to end."""
    return presses.cancel(
        request,
        "research",
        "backtest_cancelled",
        lambda: f"backtest {found_run(run_id).pk}",
        lambda by: runs.cancel(run_id, by),
        Words(_("Cancel asked: nothing of it will be written."), _("Nothing to cancel: the backtest is over.")),
        redirect("backtest-run", run_id=run_id),
    )
