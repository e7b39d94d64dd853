"""The Operations pages: state of the running desk, latency against its budget, drills with their button.

Everybody who is signed in reads; operators run and cancel.  Each page works without JavaScript; with it, a run that is
under way refreshes itself.
"""

import csv
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk.accounts.roles import may
from desk.dashboard.rights import may_act
from desk.ops import selectors, tasks
from desk.ops.drills import record
from desk.ops.models import KINDS
from desk.ops.pages import health
from desk.ops.pages.summary import by_case, facts, stages
from desk.ops.pages.universe import engines

CSV_RUNS = (
    "id",
    "kind",
    "by",
    "state",
    "started_at",
    "finished_at",
    "seconds",
    "done",
    "failed",
    "ms",
    "detail",
    "code",
    "hash",
)
CSV_ROWS = ("name", "number", "value", "unit", "goal", "ok", "road", "detail")


@require_GET
@never_cache
def operations(request: HttpRequest) -> HttpResponse:
    """Loops, live data, hops, queues, latency, processes, disk, versions: each panel with its rows or its fault."""
    context: dict[str, Any] = {"page": "ops", "tab": "ops", "now": timezone.now(), "build": settings.BUILD}
    for name in ("loops", "hops", "queues", "processes", "disk", "versions"):
        context[name] = health.section(getattr(health, name))
    context["engines"] = health.section(engines)
    context["may_universe"] = may(request.user, "universe")
    bench = selectors.last_run("bench")
    context |= {"bench": bench, "stages": stages(bench), "drill": selectors.last_drill(), "run": selectors.open_run()}
    return render(request, "ops/operations.html", context)


@require_GET
@never_cache
def latency(request: HttpRequest) -> HttpResponse:
    """The last benchmark stage by stage against its budget, and how the figures moved over the last ones."""
    bench = selectors.last_run("bench")
    if request.GET.get("format") == "csv":
        return _csv("latency.csv", CSV_ROWS, [] if bench is None else bench["rows"])
    history = selectors.run_list(kind="bench", limit=10).rows
    if bench is not None:
        bench["head"] = facts(bench["head"])
    context = {"page": "ops", "tab": "latency", "bench": bench, "stages": stages(bench), "history": history}
    return render(request, "ops/latency.html", {**context, "now": timezone.now()})


@require_GET
@never_cache
def drills(request: HttpRequest) -> HttpResponse:
    """Runs by date, 50 a page; the last drill; the button."""
    before, kind = request.GET.get("before", ""), request.GET.get("kind", "")
    if kind and kind not in dict(KINDS):
        raise Http404("no such kind")
    number = int(before) if before.isascii() and before.isdigit() else None
    found = selectors.run_list(number, kind)
    if request.GET.get("format") == "csv":
        return _csv("drills.csv", CSV_RUNS, found.rows)
    context = {
        "page": "ops",
        "tab": "drills",
        "rows": found.rows,
        "next": found.next_before,
        "total": selectors.run_count(kind),
        "kind": kind,
        "kinds": KINDS,
        "drill": selectors.last_drill(),
        "run": selectors.open_run(),
        "before_it": selectors.batch_busy(),
        "queue_s": selectors.QUEUE_S,
        "jobs": tasks.JOBS.values(),
        "may_act": may_act(request.user),
        "now": timezone.now(),
    }
    return render(request, "ops/drills.html", context)


@require_GET
@never_cache
def drill(request: HttpRequest, run_id: int) -> HttpResponse:
    """One run: what it ran with, its cases, every row."""
    try:
        run = selectors.run_detail(run_id)
    except ObjectDoesNotExist:
        raise Http404("no such run") from None
    if request.GET.get("format") == "csv":
        return _csv(f"drill-{run_id}.csv", CSV_ROWS, run["rows"])
    run["head"] = facts(run["head"])
    context = {"page": "ops", "tab": "drills", "run": run, "cases": by_case(run["rows"]), "now": timezone.now()}
    return render(request, "ops/drill.html", {**context, "may_act": may_act(request.user)})


@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Queue a drill for the batch worker."""
    if not may_act(request.user):
        raise PermissionDenied
    job = tasks.JOBS.get(request.POST.get("job", ""))
    if job is None:
        raise Http404("no such drill")
    try:
        run_id = tasks.queue(job, request.user.get_username())
    except record.Busy as busy:
        messages.error(request, gettext("Not started: %(why)s.") % {"why": busy})
        return redirect("ops-drills")
    except tasks.NoBroker as away:
        messages.error(request, gettext("Not started, the job queue does not answer: %(why)s.") % {"why": away})
        return redirect("ops-drills")
    return redirect("ops-drill", run_id=run_id)


@require_POST
def cancel(request: HttpRequest, run_id: int) -> HttpResponse:
    """Ask a run to end."""
    if not may_act(request.user):
        raise PermissionDenied
    if record.cancel(run_id, request.user.get_username()):
        messages.success(request, gettext("Cancel asked: the drill ends after its present case and cleans up."))
    else:
        messages.error(request, gettext("Nothing to cancel: the run is over."))
    return redirect("ops-drill", run_id=run_id)


def _csv(name: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> HttpResponse:
    """A table as a file; times carry their offset.  Text that a spreadsheet would run is quoted."""
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv.writer(answer)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return answer


def _cell(value: Any) -> str:
    text = value.isoformat() if hasattr(value, "isoformat") else "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") and not isinstance(value, int | float) else text
