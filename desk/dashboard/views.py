"""The Desk, and the commands as plain forms.  Each view makes one call of selectors or services and shows the answer.

Reading needs a signed-in person (the middleware asks), commanding an operator.  All forms work without JavaScript.
"""

import json
import uuid
from typing import Any

from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk.accounts import stepup
from desk.control import pace
from desk.dashboard import sessions
from desk.dashboard.api import KINDS, MOVES, RAISING, REASON_LENGTH_MAX, RIGHT_OF
from desk.dashboard.forms import FIRST_RUN, SessionForm, usual
from desk.dashboard.live import chart
from desk.dashboard.rights import require
from desk.dashboard.texts import page_texts
from trading import selectors, services

BACK = {"report": "session", "risk": "session-risk"}  # the page that a form stood on → where its answer is shown


@require_GET
def root(request: HttpRequest) -> HttpResponse:
    return redirect("desk")


@require_GET
@never_cache
def desk(request: HttpRequest, session_id: int | None = None) -> HttpResponse:
    """The Desk of one session: without a number, of the latest."""
    session_id = session_id or sessions.latest_id()
    context: dict[str, Any] = {
        "page": "desk",
        "form": SessionForm(initial=FIRST_RUN),
        "usual_json": json.dumps(usual()),
    }
    if session_id is not None:
        try:
            context["session"] = selectors.session_row(session_id)
        except ObjectDoesNotExist:
            raise Http404("no such session") from None
        stored = {name: value for name, value in sessions.stored_values(session_id).items() if ":" not in name}
        texts = page_texts(selectors.rulebook_of(session_id))
        context["page_data"] = {"session": session_id, "texts": texts, "stored": stored, "rail": chart.rail()}
        context["panes"] = sessions.PANES
    return render(request, "dashboard/desk.html", context)


@require_POST
def session_command(request: HttpRequest, session_id: int) -> HttpResponse:
    """A command as a plain form, for pages without JavaScript; it comes back to the page that it was given on."""
    kind, reason = request.POST.get("kind", ""), request.POST.get("reason", "").strip()[:REASON_LENGTH_MAX]
    require(request, RIGHT_OF.get(kind, "reduce"))
    if kind not in KINDS or kind in MOVES:  # a form names no price
        raise Http404("no such command")
    if not pace.take(request.user.pk, kind):
        return HttpResponse(pace.SENTENCE, status=429, content_type="text/plain")
    try:
        if kind in RAISING:
            given = stepup.Confirmation(reason, request.POST.get("password", ""))
            reason = stepup.require(request, f"{kind} {session_id}", given)
        said = give_command(session_id, kind, request.user.get_username(), reason)
        messages.success(request, said)
    except stepup.StepUpRefused as refusal:
        messages.error(request, f"{kind}: refused: {refusal}")
        if refusal.field == "password":
            return redirect(f"{reverse('accounts:confirm')}?next={reverse('desk-session', args=[session_id])}")
    except (services.CommandRefused, ObjectDoesNotExist) as error:
        messages.error(request, f"{kind}: refused: {error}")
    return redirect(BACK.get(request.POST.get("back", ""), "desk-session"), session_id=session_id)


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
