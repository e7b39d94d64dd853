"""From the first look to a running session: /welcome/, pre-flight, and the start that asks pre-flight once more.

Everything works without JavaScript.  Looking needs a signed-in person, starting an operator; the rows are measured by
`trading.preflight`, which also decides.
"""

import json
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk.dashboard.forms import FIRST_RUN, SessionForm, usual
from desk.dashboard.pages.evidence import evidence
from desk.dashboard.rights import require
from marketdata.feeds.port import FeedError
from trading import configs, selectors, services
from trading.preflight import checks, hedging, plans

PAGES = {  # where a row is mended → the address's name
    "kill": "kill",
    "config": "admin:trading_configversion_changelist",
    "accounts": "admin:trading_account_changelist",
    "sessions": "sessions",
    "desk": "desk",
    "ops": "ops",
    "drills": "ops-drills",
    "gate": "gate",
}


def fix_address(page: str) -> str:
    """Where a failed row is mended; what has no page of its own is explained on this one."""
    if page == "form":
        return "#change"
    try:
        return reverse(PAGES[page])
    except NoReverseMatch:
        return "#processes"


def _fix(row: checks.Row, form: SessionForm, seen: checks.Preflight) -> str:
    """The address of one row: of a missing hedge, this pre-flight with the future in it."""
    if row.page != "hedge" or seen.version is None:
        return fix_address(row.page)
    asked = {name: form.data.get(name) or "" for name in form.fields}
    offered = hedging.futures(configs.profile_of(seen.version))
    asked["symbol"] = ", ".join([*form.cleaned_data["symbol"], *offered[:1]])
    return f"{reverse('preflight')}?{urlencode(asked)}"


@require_GET
@never_cache
def welcome(request: HttpRequest) -> HttpResponse:
    """First run: one button; what follows is in two clicks."""
    context = {
        "page": "welcome",
        "running": selectors.running_sessions()[:1],
        "sessions": selectors.session_count(),
        "first_run": FIRST_RUN,
    }
    return render(request, "dashboard/welcome.html", context)


@require_GET
@never_cache
def preflight(request: HttpRequest) -> HttpResponse:
    """Every check with its value, limit and what to do; without fields, of the demonstration."""
    form = SessionForm(request.GET if request.GET else FIRST_RUN)
    return _page(request, form, 200 if form.is_valid() else 422)


@require_POST
def new_session(request: HttpRequest) -> HttpResponse:
    """Check all again, make and start a paper session; a refusal comes back with the rows and its sentence."""
    require(request, "start")
    form = SessionForm(request.POST)
    if form.is_valid():
        try:
            made = checks.start(form.plan(), evidence(), request.user.get_username())
        except (services.StartRefused, services.CommandRefused, FeedError, configs.ConfigError) as error:
            form.add_error(None, str(error))
        else:
            return redirect("desk-session", session_id=made.id)
    return _page(request, form, 422)


def _page(request: HttpRequest, form: SessionForm, status: int) -> HttpResponse:
    context: dict[str, Any] = {"page": "preflight", "form": form, "usual_json": json.dumps(usual())}
    fields = form.fields.keys() - form.errors.keys()
    if fields == form.fields.keys():  # a refused start keeps its rows; a form with a fault has nothing to measure
        seen = checks.examine(form.plan(), evidence())
        context |= {
            "seen": seen,
            "rows": [row._asdict() | {"fix": _fix(row, form, seen)} for row in seen.rows],
            "good_s": plans.GOOD_S,
            "plan": form.plan(),
        }
    return render(request, "dashboard/preflight.html", context, status=status)
