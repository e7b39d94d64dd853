"""The signed-in pages.  Each view makes one call of selectors or services and shows what came back.

Reading needs a signed-in person (the middleware asks), changing an operator.  All forms work without JavaScript.
"""

import json
import uuid
from typing import Any

from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk.dashboard import sessions
from desk.dashboard.api import KINDS
from desk.dashboard.forms import SessionForm, usual
from desk.dashboard.live import chart
from desk.dashboard.rights import may_act
from desk.dashboard.texts import page_texts
from marketdata.feeds.port import FeedError
from trading import configs, selectors, services

LISTS = {
    "orders": selectors.order_list,
    "fills": selectors.fill_list,
    "trades": selectors.trade_list,
    "decisions": selectors.decision_list,
    "holds": selectors.hold_list,
    "commands": selectors.command_list,
}


@require_GET
def root(request: HttpRequest) -> HttpResponse:
    return redirect("desk")


@require_GET
@never_cache
def desk(request: HttpRequest, session_id: int | None = None) -> HttpResponse:
    """The Desk of one session: without a number, of the latest."""
    return _desk(request, session_id or sessions.latest_id(), SessionForm())


def _desk(request: HttpRequest, session_id: int | None, form: SessionForm, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {"page": "desk", "form": form, "usual_json": json.dumps(usual())}
    if session_id is not None:
        try:
            context["session"] = selectors.session_row(session_id)
        except ObjectDoesNotExist:
            raise Http404("no such session") from None
        stored = {name: value for name, value in sessions.stored_values(session_id).items() if ":" not in name}
        context["page_data"] = {"session": session_id, "texts": page_texts(), "stored": stored, "rail": chart.rail()}
        context["panes"] = sessions.PANES
    return render(request, "dashboard/desk.html", context, status=status)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


@require_GET
@never_cache
def session_list(request: HttpRequest) -> HttpResponse:
    """Sessions, 50 a page, newest first."""
    page = selectors.session_list(_number(request.GET.get("before")))
    total = selectors.session_count()
    context = {"page": "sessions", "rows": page.rows, "next": page.next_before, "total": total, "now": timezone.now()}
    return render(request, "dashboard/sessions.html", context)


@require_GET
@never_cache
def session(request: HttpRequest, session_id: int) -> HttpResponse:
    """One session's report: what it ran with, and its lists, 50 rows a page."""
    name = request.GET.get("list", "trades")
    if name not in LISTS:
        raise Http404("no such list")
    try:
        row = selectors.session_row(session_id)
    except ObjectDoesNotExist:
        raise Http404("no such session") from None
    page = LISTS[name](session_id, _number(request.GET.get("before")))
    context = {
        "page": "sessions",
        "session": row,
        "summary": selectors.session_summary(session_id),
        "list": name,
        "lists": list(LISTS),
        "rows": page.rows,
        "next": page.next_before,
        "texts": page_texts(),
        "now": timezone.now(),
    }
    return render(request, "dashboard/session.html", context)


@require_POST
def new_session(request: HttpRequest) -> HttpResponse:
    """Make and start a paper session; a refusal comes back with the form and its sentence."""
    if not may_act(request.user):
        raise PermissionDenied
    form = SessionForm(request.POST)
    if form.is_valid():
        try:
            made = _start(form, request.user.get_username())
        except (services.StartRefused, services.CommandRefused, FeedError, configs.ConfigError) as error:
            form.add_error(None, str(error))
        else:
            return redirect("desk-session", session_id=made)
    return _desk(request, sessions.latest_id(), form, status=422)


def _start(form: SessionForm, by: str) -> int:
    """Make and start; returns the session's id."""
    version = configs.find(form.cleaned_data["profile"])
    account = services.demo_account(configs.profile_of(version))
    made = services.create_session(
        account=account, version=version, feed=form.feed_spec(), scorer=form.scorer_spec(), by=by
    )
    services.start_session(made.id, by)
    return int(made.id)


@require_POST
def session_command(request: HttpRequest, session_id: int) -> HttpResponse:
    """A command as a plain form, for pages without JavaScript."""
    if not may_act(request.user):
        raise PermissionDenied
    kind = request.POST.get("kind", "")
    if kind not in KINDS:
        raise Http404("no such command")
    try:
        said = give_command(session_id, kind, request.user.get_username(), request.POST.get("reason", ""))
        messages.success(request, said)
    except (services.CommandRefused, ObjectDoesNotExist) as error:
        messages.error(request, f"{kind}: refused: {error}")
    return redirect("desk-session", session_id=session_id)


def give_command(session_id: int, kind: str, by: str, reason: str) -> str:
    """Give one command and say how it stands.  Raises CommandRefused."""
    if kind == "stop":
        stopped = services.stop_session(session_id, by, reason)
        return f"stop: session {stopped.key} is {stopped.status}"
    if kind == "resume":
        command = services.resume(session_id, by, reason)
    else:
        command = services.send_command(session_id, kind, by, reason, uuid.uuid4())
    return f"{kind}: {command.state}{f' ({command.detail})' if command.detail else ''}"
