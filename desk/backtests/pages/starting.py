"""/backtests/new/: choose, see what it takes, start.  Nothing is read of the data before Start but its size.

The strategy's code is not imported here: the estimate counts what any function needs.
"""

from typing import Any, NamedTuple
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
from desk.dashboard.rights import require
from marketdata.core.instruments import instrument
from marketdata.feeds.options import parse_options
from marketdata.selectors import data_set_path
from trading.management.history import STRATEGY, bounds, changes_of, refusals

TASK = "desk.backtests.tasks.run_backtest"


class NotStarted(Exception):
    """A backtest that may not begin; the text says why."""


class Estimate(NamedTuple):
    """Rows of the source, memory in MiB, seconds by this desk's last run of bars (None: there was none), sessions."""

    rows: int
    memory_mib: float
    warning: str
    seconds: int | None
    sessions: int


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
        return _page(request, form, size=_estimate(form))
    except NotStarted as refusal:
        return _page(request, form, fault=str(refusal))


def _page(request: HttpRequest, form: BacktestForm, *, size: Estimate | None = None, fault: str = "") -> HttpResponse:
    context: dict[str, Any] = {
        "page": "research",
        "form": form,
        "size": size,
        "fault": fault,
        "empty": not form.fields["data"].choices,  # type: ignore[attr-defined]
        "offers": list(strategies.offered().values()),
        "folder": strategies.folder(),
        "now": timezone.now(),
    }
    return render(request, "research/new.html", context, status=422 if fault or form.errors else 200)


def _estimate(form: BacktestForm) -> Estimate:
    """Raises NotStarted with the backtest's own sentence."""
    try:
        return _estimated(form)
    except refusals() as error:
        raise NotStarted(str(error)) from None
    except OSError as error:
        raise NotStarted(str(error)) from None


def _estimated(form: BacktestForm) -> Estimate:
    from risk.services import contract_fault
    from trading.config.paths import with_values
    from trading.configs import resolve
    from trading.run.backtest.outputs import curve_bytes
    from trading.run.backtest.plan import BacktestError, Calendar, plan_of
    from trading.run.backtest.signals import Strategy
    from trading.run.backtest.source import BarSource

    asked, row = form.request(), form.data_set()
    changes = {path: value for path, value in changes_of(asked.changes).items() if not path.startswith(STRATEGY)}
    profile = with_values(resolve(asked.config), changes)
    item = instrument(asked.symbol)
    plan = plan_of(profile, item)
    if fault := contract_fault(plan.limits, item):
        raise BacktestError(f"{profile.profile} cannot trade {item.symbol}: {fault}")
    calendar = Calendar.between(row.first_ns, row.last_ns)
    from_ns, to_ns = bounds(calendar, asked.first, asked.last)
    any_function = Strategy(asked.strategy, function=lambda bars: None)
    source = BarSource(
        data_set_path(row),
        item,
        parse_options(runs.reader_words(row, item.symbol)),
        any_function,
        from_ns=from_ns,
        to_ns=to_ns,
    )
    rows, needed, verdict = source.estimate(curve_bytes(plan, calendar))
    sessions = sum(from_ns < s.close_ns and s.open_ns < to_ns for s in calendar.sessions)
    return Estimate(rows, needed / 2**20, verdict.warning or "", _seconds(rows), sessions)


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
    _estimate(form)
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
