"""/sessions/N/statements/: what the venue stated of each trading day against the ledger, and settling what differs.

Everybody reads.  Settling lets an account trade on although its books are not its venue's: an admin's, with the reason
and the password, within 60 seconds of reading what it does (T-03).
"""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from desk.accounts import stepup
from desk.accounts.forms import StepUpForm, filled
from desk.accounts.roles import may
from desk.dashboard.rights import require
from trading import selectors
from trading.control import CommandRefused
from trading.models import Session
from trading.statements import services

RIGHT = "settle"
SHOWN = 200  # differences of one statement; all of them are in the database


@require_GET
@never_cache
def page(request: HttpRequest, session_id: int) -> HttpResponse:
    """Every statement of the session, the newest first."""
    rows = services.listed(session_id)
    context = _session(session_id) | {"rows": [_cut(row) for row in rows], "may": may(request.user, RIGHT)}
    return render(request, "control/statements.html", context)


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def settle(request: HttpRequest, session_id: int, statement_id: int) -> HttpResponse:
    """Show what differs and what settling does; on POST do it."""
    if request.method == "POST":
        require(request, RIGHT)
    context = _session(session_id)
    row = next((row for row in services.listed(session_id) if row["id"] == statement_id), None)
    if row is None:
        raise Http404("no such statement")
    if not (row["open"] and row["current"]):
        messages.info(request, _("Nothing is to be settled of this statement."))
        return redirect("session-statements", session_id=session_id)
    about = f"settle {statement_id} {row['sha256']}"
    form = StepUpForm(filled(request), fresh=stepup.is_fresh(request))
    if request.method == "POST" and form.is_valid():
        try:
            reason = stepup.require(request, about, form.given())
            services.settle(statement_id, request.user.get_username(), reason)
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except CommandRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("Settled. What differed stays in the record."))
            return redirect("session-statements", session_id=session_id)
    shown = StepUpForm(initial={"reason": form.data.get("reason", "")}, fresh=stepup.is_fresh(request))
    shown.initial["ticket"] = stepup.make_ticket(request, about)
    context |= {"row": _cut(row), "form": shown, "faults": form.errors, "may": may(request.user, RIGHT)}
    return render(request, "control/settle.html", context, status=422 if form.errors else 200)


def _session(session_id: int) -> dict[str, Any]:
    if not Session.objects.filter(id=session_id).exists():
        raise Http404("no such session")
    return {"page": "sessions", "session": selectors.session_row(session_id), "now": timezone.now()}


def _cut(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the differences that a page shows, and how many more there are."""
    differences = row["differences"]
    return row | {"differences": differences[:SHOWN], "more": max(0, len(differences) - SHOWN)}
