"""/kill/: one page that needs no JavaScript: state, Pause, Cancel all, Flatten, and Kill, which needs no Redis either.

The same address takes the KILL button's POST and answers it with JSON.  Every action here reduces; none increases.  The
page's form carries the guard's token, so that it works while the database, and with it every sign-in, is away.
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from desk.control import pace
from desk.dashboard.rights import require
from desk.dashboard.views import give_command
from trading import selectors, services
from trading.run.latch import read_latch
from trading.run.panic.page import check_token

ACTIONS = ("pause", "cancel_all", "flatten")


class Bearer:
    """Who shows a valid reduce-only token: may reduce, by that name, and nothing else.  No row is read for it."""

    is_active = is_authenticated = True
    is_anonymous = is_staff = is_superuser = False

    def __init__(self, name: str) -> None:
        self.username = name
        self.pk = f"token of {name}"

    def get_username(self) -> str:
        """The name that the token was made for."""
        return self.username

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """The one right of a token."""
        return perm == "accounts.reduce"

    def has_module_perms(self, label: str) -> bool:
        """Whether it has any right of this application."""
        return label == "accounts"


class KillTokenMiddleware(MiddlewareMixin):
    """A POST of the kill page with a valid reduce-only token is that person's, without a look at the database.

    Stands before the sign-in's middleware.  The token was handed out by a page of this desk to somebody who may act.
    """

    def process_view(self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """Set `request.user` for this one address."""
        if request.method != "POST" or request.resolver_match is None or request.resolver_match.url_name != "kill":
            return
        if who := check_token(settings.VAR, request.POST.get("token", "")):
            request.user = Bearer(who)  # type: ignore[assignment]


@never_cache
@require_http_methods(["GET", "POST"])
def kill(request: HttpRequest) -> HttpResponse:
    """Show the state; on POST reduce.  Kill takes the ring's road and, where that does not prove flat, the guard's."""
    if request.method == "GET":
        return _page(request, None)
    require(request, "reduce")
    action, by = request.POST.get("action", ""), request.user.get_username()
    if action == "kill":
        report = services.kill(by, request.POST.get("reason", "").strip()[:500] or "kill page").as_dict()
        if "application/json" in request.headers.get("Accept", ""):
            return JsonResponse(report)
        return _page(request, report)
    if action not in ACTIONS:
        return HttpResponseBadRequest("no such action")
    if not pace.take(request.user.pk, action):
        return HttpResponse(pace.SENTENCE, status=429, content_type="text/plain")
    return _page(request, None, _reduce(action, by))


def _reduce(action: str, by: str) -> list[tuple[str, str]]:
    """Give the command to every session that runs, found by its files: no row is read.  What became of each."""
    specs, faults = services.specs_found()
    said = [("error", f"{what}: {action} not sent: {why}") for what, why in faults]
    for spec in specs:
        try:
            said.append(("success", f"{spec.key} {give_command(spec.id, action, by, 'kill page')}"))
        except services.CommandRefused as error:
            said.append(("error", f"{spec.key} {action}: refused: {error}"))
    return said or [("info", f"{action}: no session runs")]


def _page(request: HttpRequest, report: dict[str, Any] | None, said: Sequence[tuple[str, str]] = ()) -> HttpResponse:
    context: dict[str, Any] = {"page": "kill", "no_kill": True, "report": report, "now": timezone.now(), "said": said}
    context["latch"] = read_latch(settings.VAR)
    try:
        context["sessions"] = [row | selectors.strip_values(row["id"]) for row in selectors.running_sessions()]
        context["kills"] = selectors.last_kills()
    except DatabaseError as error:
        context["fault"] = f"The database does not answer ({error}); Kill works without it."
    return render(request, "dashboard/kill.html", context)
