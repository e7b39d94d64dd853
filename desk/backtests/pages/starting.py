"""/backtests/new/: choose, see what it takes, start.  Nothing is read of the data before Start but its size."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk import batch
from desk.audit import services as audit
from desk.backtests import runs, strategies
from desk.backtests.models import DONE, BacktestRun
from desk.backtests.pages.forms import BacktestForm
from desk.backtests.pages.sizing import NotStarted, Size, size_of
from desk.dashboard.rights import require

TASK = "desk.backtests.tasks.run_backtest"


@require_GET
@never_cache
def new(request: HttpRequest) -> HttpResponse:
    """The form; with its fields in the address the estimate, too."""
    require(request, "research")
    if "data" not in request.GET or "config" not in request.GET:
        return _page(request, BacktestForm(initial={"symbol": "MES", **request.GET.dict()}))
    return _judged(request, BacktestForm(request.GET))


def _judged(request: HttpRequest, form: BacktestForm) -> HttpResponse:
    if not form.is_valid():
        return _page(request, form)
    try:
        return _page(request, form, size=size_of(form, curve="minute"))
    except NotStarted as refusal:
        return _page(request, form, fault=str(refusal))


def _page(request: HttpRequest, form: BacktestForm, *, size: Size | None = None, fault: str = "") -> HttpResponse:
    context: dict[str, Any] = {
        "page": "research",
        "form": form,
        "size": size,
        "seconds": None if size is None else _seconds(size.rows),
        "fault": fault,
        "empty": not form.fields["data"].choices,  # type: ignore[attr-defined]
        "offers": list(strategies.offered().values()),
        "folder": strategies.folder(),
        "refused": strategies.refused(),
        "now": timezone.now(),
    }
    return render(request, "research/new.html", context, status=422 if fault or form.errors else 200)


def _seconds(rows: int) -> int | None:
    """By the last backtest of this desk: its wall clock over its rows, start and criticism included."""
    last = BacktestRun.objects.filter(state=DONE, total__gt=0, finished_at__gt=F("started_at")).order_by("-id").first()
    if last is None or last.finished_at is None or last.started_at is None:
        return None
    return max(1, round((last.finished_at - last.started_at).total_seconds() * rows / last.total))


@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Estimate once more and queue the backtest."""
    require(request, "research")
    form = BacktestForm(request.POST)
    if not form.is_valid():
        return _page(request, form)
    try:
        made = _begin(request, form)
    except NotStarted as refusal:
        return _page(request, form, fault=str(refusal))
    return redirect("backtest-run", run_id=made.pk)


def _begin(request: HttpRequest, form: BacktestForm) -> BacktestRun:
    """Raises NotStarted."""
    size_of(form, curve="minute")
    asked, name = form.request(), request.user.get_username()
    made = runs.ask(form.data_set(), asked, name, lambda run_id: batch.send(TASK, run_id=run_id))
    detail = {"data_set": made.data_set_id, **asked._asdict()}
    audit.append(category="control", action="backtest_asked", actor=name, object=f"backtest {made.pk}", detail=detail)
    return made


def fields_of(run: BacktestRun) -> dict[str, str]:
    """What a run was asked for, as the form's fields."""
    fields = {name: str(getattr(run, name)) for name in ("config", "symbol", "strategy", "first", "last")}
    counts = {"seed": str(run.seed), "elsewhere": str(run.elsewhere)}
    return {"data": str(run.data_set_id or ""), **fields, "changes": "\n".join(run.changes), **counts}


def change_query(run: BacktestRun) -> str:
    """The address of the form with a run's fields."""
    return urlencode(fields_of(run))


@require_POST
def again(request: HttpRequest, run_id: int) -> HttpResponse:
    """The same once more, from the start."""
    require(request, "research")
    run = BacktestRun.objects.filter(pk=run_id).first()
    if run is None:
        raise Http404("no such backtest")
    form = BacktestForm(fields_of(run))
    try:
        if not form.is_valid():
            raise NotStarted(_("Its data set, configuration or strategy is no longer offered: choose again."))
        made = _begin(request, form)
    except NotStarted as refusal:
        messages.error(request, str(refusal))
        return redirect("backtest-run", run_id=run_id)
    return redirect("backtest-run", run_id=made.pk)
