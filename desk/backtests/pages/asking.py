"""From a form to a queued run, the same way for every kind of run: the form, its estimate, Start, the same once more.

The form is sent by GET, which shows the estimate; Start sends the same fields by POST and is estimated once more.  What
a kind of run is, stands in its `Way`.  Called by the pages that start backtests, searches and walk-forwards.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _

from desk import presses
from desk.backtests import strategies
from desk.backtests.pages.forms import RunForm
from desk.backtests.pages.sizing import NotStarted
from desk.dashboard.rights import require
from marketdata.models import BatchRow


class Way(NamedTuple):
    """One kind of run.  `complete`: fields that ask for an estimate when the address has them; `estimate` and `begin`
    raise NotStarted; `begin` queues the run and answers with its page; `shown`: what else its page says."""

    form: type[RunForm]
    template: str
    complete: tuple[str, ...]
    estimate: Callable[[Any], dict[str, Any]]
    begin: Callable[[HttpRequest, Any], HttpResponse]
    shown: Callable[[], dict[str, Any]]


def new(request: HttpRequest, way: Way) -> HttpResponse:
    """The form; with its fields in the address the estimate, too."""
    require(request, "research")
    if any(name not in request.GET for name in way.complete):
        return _page(request, way, way.form(initial={"symbol": "MES", **request.GET.dict()}))
    form = way.form(request.GET)
    if not form.is_valid():
        return _page(request, way, form)
    try:
        return _page(request, way, form, estimate=way.estimate(form))
    except NotStarted as refusal:
        return _page(request, way, form, fault=str(refusal))


def start(request: HttpRequest, way: Way) -> HttpResponse:
    """Estimate once more and queue it."""
    require(request, "research")
    form = way.form(request.POST)
    if not form.is_valid():
        return _page(request, way, form)
    try:
        return way.begin(request, form)
    except NotStarted as refusal:
        return _page(request, way, form, fault=str(refusal))


def again(request: HttpRequest, way: Way, fields: dict[str, str], back: HttpResponse) -> HttpResponse:
    """A run's own fields once more; `back`: where a refusal is told."""

    def make() -> HttpResponse:
        form = way.form(fields)
        if not form.is_valid():
            raise NotStarted(_("Its data set, configuration or strategy is no longer offered: choose again."))
        return way.begin(request, form)

    return presses.again(request, "research", make, NotStarted, back)


def _page(
    request: HttpRequest, way: Way, form: RunForm, *, estimate: dict[str, Any] | None = None, fault: str = ""
) -> HttpResponse:
    context: dict[str, Any] = {
        "page": "research",
        "form": form,
        "estimate": estimate,
        "fault": fault,
        "empty": not form.fields["data"].choices,  # type: ignore[attr-defined]
        "folder": strategies.folder(),
        "refused": strategies.refused(),
        "now": timezone.now(),
        **way.shown(),
    }
    return render(request, way.template, context, status=422 if fault or form.errors else 200)


def by_pace(last: BatchRow | None, done: int, wanted: int) -> int | None:
    """Seconds of `wanted` units, as the last run took for `done`: start and criticism included; None without one."""
    if last is None or last.finished_at is None or last.started_at is None or done <= 0:
        return None
    return max(1, round((last.finished_at - last.started_at).total_seconds() * wanted / done))
