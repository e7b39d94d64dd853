"""/sessions/N/reset/: lifts halts of a session by name (MES-RISK-13, MOEX-SEC-04).  A page of its own: it raises risk.

It says what stands and what lifting each of them does; the press must follow within 60 seconds, with a reason and the
password.  The session is paused first, its kernel refuses while it is not flat, and nothing trades again until somebody
resumes it.  The kill is not lifted here.
"""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from desk.accounts import stepup
from desk.accounts.forms import StepUpForm, filled
from desk.accounts.roles import may
from desk.audit import services as audit
from desk.dashboard.rights import require
from trading import selectors, services
from trading.core import states
from trading.models import Session

# What lifting does beside lifting; a halt that is not named here only goes.
EFFECTS_OF = {
    "EQUITY_KILL": gettext_lazy("The reference becomes the present equity: the total limit counts anew from there."),
    "STATE_UNREADABLE": gettext_lazy(
        "It is refused until a person has stated the figures, on the session's page or by manage.py sessions state."
    ),
}


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def reset(request: HttpRequest, session_id: int) -> HttpResponse:
    """Show the halts that stand and what lifting them does; on POST lift those that are ticked."""
    if request.method == "POST":
        require(request, "reset")
    session = Session.objects.filter(id=session_id).first()
    if session is None:
        raise Http404("no such session")
    halts = _halts(session)
    if not halts:
        messages.info(request, _("No halt stands in this session that could be lifted by name."))
        return redirect("session", session_id=session_id)
    about = f"reset {session_id} {','.join(str(halt['seq']) for halt in halts)}"  # another halt is another deed
    form = StepUpForm(filled(request), fresh=stepup.is_fresh(request))
    ticked = request.POST.getlist("hold") or [str(halt["code"]) for halt in halts if len(halts) == 1]
    if request.method == "POST" and form.is_valid():
        try:
            reason = stepup.require(request, about, form.given())
            command = services.reset_halt(session_id, ticked, request.user.get_username(), reason)
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except services.CommandRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            name, detail = request.user.get_username(), {"session": session.key, "halts": ticked, "reason": reason}
            audit.append(category="control", action="halts_reset", actor=name, detail=detail)
            if command.state == states.COMMAND_FAILED:
                messages.error(request, _("Not lifted: {why}").format(why=command.detail))
                return redirect("session", session_id=session_id)
            words = _("Asked to lift {names}: {state}. The session stays paused until somebody resumes it.")
            messages.success(request, words.format(names=", ".join(ticked), state=command.state))
            return redirect("session", session_id=session_id)
    return _page(request, session, halts, ticked, about, form)


def _halts(session: Session) -> list[dict[str, Any]]:
    """Standing halts that can be lifted by name, with what lifting does; none once a session is over."""
    if session.status in states.SESSION_OVER:
        return []
    bits = selectors.halt_bits(session.rules)
    standing = selectors.standing_holds(session.id)
    return [hold | {"effect_of": EFFECTS_OF.get(hold["code"], "")} for hold in standing if hold["code"] in bits]


def _page(
    request: HttpRequest,
    session: Session,
    halts: list[dict[str, Any]],
    ticked: list[str],
    about: str,
    form: StepUpForm,
) -> HttpResponse:
    """The page with a new ticket; what was typed stays, but the password."""
    fresh = stepup.is_fresh(request)
    shown = StepUpForm(initial={"reason": form.data.get("reason", ""), "ticket": ""}, fresh=fresh)
    shown.initial["ticket"] = stepup.make_ticket(request, about)
    context: dict[str, Any] = {
        "page": "sessions",
        "session": selectors.session_row(session.id),
        "halts": halts,
        "ticked": ticked,
        "held": [row for row in selectors.positions(session.id) if row["qty"] != 0],
        "may": may(request.user, "reset"),
        "form": shown,
        "faults": form.errors,
        "now": timezone.now(),
    }
    return render(request, "control/reset.html", context, status=422 if form.errors else 200)
