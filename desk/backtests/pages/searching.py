"""/optimisation/new/ and /optimisation/new/walk/: choose what is searched, see how much it is, start; cancel, and go on
under the same name.

The work is `manage.py optimise` or `walkforward` on the batch worker.  The strategy's code is not imported here: its
arguments are checked by the names that its file says.
"""

from typing import Any
from urllib.parse import urlencode

from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk import batch, presses
from desk.audit import services as audit
from desk.backtests import searches, strategies, studies
from desk.backtests.models import DONE, OPEN, RUNNING, WAITING, SearchRun
from desk.backtests.pages import asking
from desk.backtests.pages.asking import Way, by_pace
from desk.backtests.pages.forms import SearchForm, WalkForm
from desk.backtests.pages.sizing import NotStarted, Size, folds_on, size_of
from desk.backtests.pages.views import SILENT_S
from desk.dashboard.rights import require
from desk.presses import Words
from trading.management.history import STRATEGY, refusals
from trading.research.search.methods import TRIALS
from trading.research.search.space import Space
from trading.studies.opening import check_values, space_from

TASK = "desk.backtests.tasks.run_search"
HANDS_MIN = 2  # workers of studies that answer: one alone is slower than the search on its own


def _estimate(form: SearchForm) -> dict[str, Any]:
    """Points, trials, folds, rows, memory, seconds by the last search's pace (None: unknown).  Raises NotStarted."""
    asked = form.request()
    size = size_of(form, curve="day")
    try:
        space = space_from({"space": asked.space or None, "param": asked.params})
        check_values(space, size.profile.to_values())
    except refusals() as error:
        raise NotStarted(str(error)) from None
    _check_arguments(space, asked.strategy)
    points = space.size()
    trials = min(points, asked.trials or TRIALS[asked.method])
    folds = folds_on(form) if isinstance(form, WalkForm) else None
    hands, fault = batch.workers()
    return {
        "points": points,
        "trials": trials,
        "folds": folds,
        "size": size,
        "seconds": _seconds(asked.purpose, trials if folds is None else trials * folds.runnable, size),
        "workers": searches.workers(),
        "hands": hands,
        "shared": hands >= HANDS_MIN,
        "hands_fault": fault,
        "goes_on": form.cleaned_data["name"] in studies.names(),
    }


def _check_arguments(space: Space, strategy: str) -> None:
    """Refuse what the function does not take, as its file says.  Raises NotStarted."""
    known = {text.partition("=")[0] for text in strategies.offered()[strategy].arguments}
    for item in space.parameters:
        if item.path.startswith(STRATEGY) and item.path not in known:
            takes = ", ".join(sorted(known)) or _("none")
            raise NotStarted(
                _("%(strategy)s takes no %(path)s; it takes: %(takes)s")
                % {"strategy": strategy, "path": item.path, "takes": takes}
            )


def _seconds(purpose: str, trials: int, size: Size) -> int | None:
    """By the last one of its kind: its wall clock over its trials and rows, start and criticism included."""
    rows = SearchRun.objects.filter(
        state=DONE, purpose=purpose, total__gt=0, data_set__rows__gt=0, finished_at__gt=F("started_at")
    )
    last = rows.select_related("data_set").order_by("-id").first()
    if last is None or last.data_set is None:
        return None
    return by_pace(last, last.total * last.data_set.rows, trials * size.rows)


def _begin(request: HttpRequest, form: SearchForm) -> HttpResponse:
    """Raises NotStarted."""
    shared = "distributed" in request.POST
    estimate = _estimate(form)
    if shared and not estimate["shared"]:
        raise NotStarted(
            _("%(count)s worker of the queue answers, and one alone has nobody to share the trials with.")
            % {"count": estimate["hands"]}
        )
    asked, by = form.request()._replace(distributed=shared), request.user.get_username()
    try:
        made = searches.ask(
            form.cleaned_data["name"], form.data_set(), asked, by, lambda run_id: batch.send(TASK, run_id=run_id)
        )
    except searches.Busy as refusal:
        raise NotStarted(str(refusal)) from None
    detail = {"data_set": made.data_set_id, "search": made.pk, **asked._asdict()}
    audit.append(category="control", action="search_asked", actor=by, object=f"study {made.name}", detail=detail)
    return redirect("study", name=made.name)


def _offers() -> dict[str, Any]:
    return {"offers": list(strategies.offered().values())}


SEARCH = Way(SearchForm, "research/search.html", ("name", "method"), _estimate, _begin, _offers)
WALK = Way(
    WalkForm, "research/search.html", ("name", "method"), _estimate, _begin, lambda: {**_offers(), "walks": True}
)


@require_GET
@never_cache
def new(request: HttpRequest) -> HttpResponse:
    """A search."""
    return asking.new(request, SEARCH)


@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Queue it."""
    return asking.start(request, SEARCH)


@require_GET
@never_cache
def walk(request: HttpRequest) -> HttpResponse:
    """A walk-forward."""
    return asking.new(request, WALK)


@require_POST
def start_walk(request: HttpRequest) -> HttpResponse:
    """Queue it."""
    return asking.start(request, WALK)


@require_POST
def cancel(request: HttpRequest, name: str) -> HttpResponse:
    """Ask a search to end."""
    return presses.cancel(
        request,
        "research",
        "search_cancelled",
        lambda: f"study {_search(name).name}",
        lambda by: searches.cancel(name, by),
        Words(_("Cancel asked: what was tried is kept."), _("Nothing to cancel: the search is over.")),
        redirect("study", name=name),
    )


def _search(name: str) -> SearchRun:
    """The last of this name.  Raises Http404."""
    row = searches.last_of(name)
    if row is None:
        raise Http404("no such search")
    return row


@require_POST
def go_on(request: HttpRequest, name: str) -> HttpResponse:
    """The same words under the same name once more."""
    require(request, "research")
    row = _search(name)
    fields = fields_of(row) | ({"distributed": "on"} if row.distributed else {})
    return asking.again(request, WALK if row.walk else SEARCH, fields, redirect("study", name=name))


def fields_of(row: SearchRun) -> dict[str, str]:
    """What a search was asked for, as the form's fields."""
    names = ("name", "config", "symbol", "strategy", "first", "last", "space", "method", "objective")
    fields = {name: str(getattr(row, name)) for name in names}
    fields |= {"min_trades": str(row.min_trades), "seed": str(row.seed), "trials": str(row.trials or "")}
    fields |= {name: "" if value is None else str(value) for name, value in row.walk.items()}
    lines = {name: "\n".join(getattr(row, name)) for name in ("changes", "params")}
    return {"data": str(row.data_set_id or ""), **fields, **lines}


def search_values(row: SearchRun) -> dict[str, Any]:
    """What the pages show of a search as a job.  Spans in µs."""
    working = row.state == RUNNING
    silent = row.silent_s()
    return {
        "name": row.name,
        "about": f"{row.strategy}, {row.config}, {row.method}",
        "purpose": row.purpose,
        "distributed": row.distributed,
        "open": row.state in OPEN,
        "waiting": row.state == WAITING,
        "state": row.state,
        "by": row.by,
        "asked_at": row.asked_at,
        "share": min(1000, 1000 * row.done // row.total) if row.total else None,
        "words": row.words,
        "silent_us": silent * 1_000_000 if silent > SILENT_S else None,
        "cancel_asked_by": row.cancel_asked_by if working else "",
        "detail": row.detail,
        "change": urlencode(fields_of(row)),
        "walks": bool(row.walk),
    }
