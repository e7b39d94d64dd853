"""/sessions/N/reset/: lifts holds of a session by name (MES-RISK-13, MOEX-RISK-06, MOEX-SEC-04).  A page of its own: it
raises risk.

It says what stands and what lifting each of them does; the press must follow within 60 seconds, with a reason and the
password.  The session is paused first, its kernel refuses to lift a halt while it is not flat, and nothing trades again
until somebody resumes it.  An admin alone lifts a day's loss of shares.  The kill is not lifted here.
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
from trading.accounts import remedies
from trading.core import states
from trading.models import Session

# What lifting does beside lifting; a hold that is not named here only goes.
EFFECTS_OF = {
    "EQUITY_KILL": gettext_lazy("The reference becomes the present equity: the total limit counts anew from there."),
    "STATE_UNREADABLE": gettext_lazy(
        "It is refused until a person has stated the figures, on the session's page or by manage.py sessions state."
    ),
    "DAILY_LOSS": gettext_lazy(
        "The day's loss counts from the present equity: entries may lose the whole limit once more today."
    ),
    "RECON_MISMATCH": gettext_lazy("It comes back with the next reconciliation while broker and desk still differ."),
    "RISK_ERROR": gettext_lazy("Sizes are whole again, and large entries are cut in two."),
}


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def reset(request: HttpRequest, session_id: int) -> HttpResponse:
    """Show the holds that stand and what lifting them does; on POST lift those that are ticked."""
    if request.method == "POST":
        require(request, "reset")
    session = Session.objects.filter(id=session_id).first()
    if session is None:
        raise Http404("no such session")
    halts = _halts(session, may(request.user, "day_loss"))
    if not halts:
        messages.info(request, _("No hold stands in this session that you could lift by name."))
        return redirect("session", session_id=session_id)
    about = f"reset {session_id} {','.join(str(halt['seq']) for halt in halts)}"  # another halt is another deed
    form = StepUpForm(filled(request), fresh=stepup.is_fresh(request))
    ticked = request.POST.getlist("hold") or [str(halt["code"]) for halt in halts if len(halts) == 1]
    if request.method == "POST" and form.is_valid():
        try:
            reason = stepup.require(request, about, form.given())
            admin = may(request.user, "day_loss")
            commands = remedies.lift(session_id, ticked, request.user.get_username(), reason, day_loss=admin)
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except services.CommandRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            name, detail = request.user.get_username(), {"session": session.key, "halts": ticked, "reason": reason}
            audit.append(category="control", action="halts_reset", actor=name, detail=detail)
            failed = [command.detail for command in commands if command.state == states.COMMAND_FAILED]
            if failed:
                messages.error(request, _("Not lifted: {why}").format(why=failed[0]))
                return redirect("session", session_id=session_id)
            words = _("Asked to lift {names}: {state}. The session stays paused until somebody resumes it.")
            messages.success(request, words.format(names=", ".join(ticked), state=commands[0].state))
            return redirect("session", session_id=session_id)
    return _page(request, session, halts, ticked, about, form)


def _halts(session: Session, day_loss: bool) -> list[dict[str, Any]]:
    """Standing holds that can be lifted by name, with what lifting does; none once a session is over."""
    if session.status in states.SESSION_OVER:
        return []
    known = {*selectors.halt_bits(session.rules), *selectors.named_bits(session.rules)}
    if day_loss and remedies.clears_day(session):
        known.add(remedies.DAY_LOSS)
    standing = [hold for hold in selectors.standing_holds(session.id) if hold["code"] in known]
    return [hold | {"effect_of": EFFECTS_OF.get(hold["code"], "")} for hold in standing]


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
