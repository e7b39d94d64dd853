"""/kill/unlock/: releases the kill latch, by an admin, in two steps (K-05).  A page of its own: it raises risk.

The page says what stands, what is proved and what will happen; the press must follow within 60 seconds, with a reason
and the password again.  The services refuse what is not at least 60 s old or not proved flat; nothing trades by itself
afterwards: every session stays paused until a person resumes it.
"""

from typing import Any

import msgspec
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from desk.accounts import stepup
from desk.accounts.forms import StepUpForm, filled
from desk.accounts.roles import may
from desk.audit import services as audit
from desk.dashboard.rights import require
from trading import services
from trading.run import guard
from trading.run.latch import latch_age_s, read_latch


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def unlock(request: HttpRequest) -> HttpResponse:
    """Show the latch and what its release needs; on POST release it."""
    if request.method == "POST":
        require(request, "unlock")
    latch = read_latch(settings.VAR)
    if latch is None:
        messages.info(request, _("There is no latch to release."))
        return redirect("kill")
    about = f"unlock {latch['at_ns']}"  # a latch that fell anew is another deed
    form = StepUpForm(filled(request), fresh=stepup.is_fresh(request))
    if request.method == "POST" and form.is_valid():
        try:
            reason = stepup.require(request, about, form.given())
            services.unlock(request.user.get_username(), reason)
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except services.CommandRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            detail: dict[str, object] = {"reason": reason, "latch_by": str(latch["by"])}
            audit.append(category="control", action="unlocked", actor=request.user.get_username(), detail=detail)
            messages.success(request, _("Released. Sessions stay paused until somebody resumes them."))
            return redirect("kill")
        audit.append(
            category="control",
            action="unlock_refused",
            actor=request.user.get_username(),
            detail={"why": [str(text) for texts in form.errors.values() for text in texts]},
        )
    return _page(request, latch, about, form)


def _page(request: HttpRequest, latch: dict[str, object], about: str, form: StepUpForm) -> HttpResponse:
    """The page with a new ticket; what was typed stays, but the password."""
    status = 422 if form.errors else 200
    fresh = stepup.is_fresh(request)
    shown = StepUpForm(initial={"reason": form.data.get("reason", ""), "ticket": ""}, fresh=fresh)
    shown.initial["ticket"] = stepup.make_ticket(request, about)
    age, left = latch_age_s(latch), _left()
    context: dict[str, Any] = {
        "page": "kill",
        "no_kill": True,
        "latch": latch,
        "age": int(age),
        "old_enough": age >= guard.UNLOCK_AFTER_S,
        "wait": max(0, int(guard.UNLOCK_AFTER_S - age) + 1),
        "left": left,
        "may": may(request.user, "unlock"),
        "form": shown,
        "faults": form.errors,
        "now": timezone.now(),
    }
    return render(request, "control/unlock.html", context, status=status)


def _left() -> dict[str, str]:
    """What is not proved flat at the venue, now: a sentence for each account."""
    try:
        left = guard.look(settings.VAR)
    except msgspec.DecodeError as error:
        return {"the guard's settings": f"not readable: {error}"}
    return {key: _sentence(what) for key, what in left.items()}


def _sentence(what: dict[str, Any]) -> str:
    if "unknown" in what:
        return f"nobody knows: {what['unknown']}"
    held = ", ".join(str(item) for item in what["positions"]) or "none"
    return f"positions {held}; {what['orders']} orders working, {what['pending']} on their way"
