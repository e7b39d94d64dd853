"""/sessions/N/override/: one person asks to let a refusing rule pass once, another agrees within a minute (P-27).

Asking needs the reason, agreeing the reason and the password, and never both by one person.  Only rules that the gate's
table marks can be named.  `trading.overrides.services` decides; what happens is told to everybody who gets alerts.
"""

from typing import Any

from django import forms
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
from desk.accounts.forms import StepUpForm
from desk.accounts.roles import may
from desk.alerts import answering
from desk.control import pace
from desk.dashboard.pages.reports import number
from desk.dashboard.rights import require
from trading import selectors, services
from trading.core import states
from trading.models import Session
from trading.overrides import services as overrides
from trading.overrides.models import OverrideRequest


class AskForm(forms.Form):
    """Which rule of which instrument, and why."""

    instrument = forms.TypedChoiceField(coerce=int, label=gettext_lazy("Instrument"))
    code = forms.TypedChoiceField(coerce=int, label=gettext_lazy("Rule that refuses"))
    reason = forms.CharField(
        max_length=stepup.REASON_MAX,
        label=gettext_lazy("Reason, 10 characters or more"),
        widget=forms.TextInput(attrs={"autocomplete": "off", "minlength": "10"}),
    )

    def __init__(self, session: Session, *args: Any) -> None:
        super().__init__(*args)
        places: Any = self.fields["instrument"]
        places.choices = [(i, item["symbol"]) for i, item in enumerate(session.spec.get("instruments", []))]
        rules: Any = self.fields["code"]
        rules.choices = [
            (one.code, f"{one.name.replace('_', ' ')}: {one.text} ({one.control})")
            for one in overrides.choices(session.rules)
        ]


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def page(request: HttpRequest, session_id: int) -> HttpResponse:
    """The form, what waits, and what was; on POST `deed` asks or agrees."""
    if request.method == "POST":
        require(request, "override")
    session = Session.objects.filter(id=session_id).first()
    if session is None:
        raise Http404("no such session")
    if request.method != "POST":
        return _page(request, session, AskForm(session), {})
    if not pace.take(request.user.pk, "override"):
        return _page(request, session, AskForm(session), {}, [pace.SENTENCE])
    return _agree(request, session) if request.POST.get("deed") == "agree" else _ask(request, session)


def _ask(request: HttpRequest, session: Session) -> HttpResponse:
    form, by = AskForm(session, request.POST), request.user.get_username()
    if form.is_valid():
        data = form.cleaned_data
        try:
            row = overrides.ask(session.id, data["instrument"], data["code"], by, data["reason"])
        except services.CommandRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            rule = next(one.name for one in overrides.choices(session.rules) if one.code == row.code)
            words = f"{session.key} {row.symbol}: {by} asks to let {rule} pass once: {row.reason}"
            answering.tell_request(f"override:{row.id}", session.id, words)
            words = _("Asked for. Another operator or admin has %d seconds to agree on this page.")
            messages.success(request, words % overrides.WAIT_S)
            return redirect("session-override", session_id=session.id)
    return _page(request, session, form, {})


def _agree(request: HttpRequest, session: Session) -> HttpResponse:
    asked = number(request.POST.get("request")) or 0
    row = OverrideRequest.objects.filter(id=asked, session=session).first()
    if row is None:
        raise Http404("no such request")
    form = StepUpForm(request.POST, fresh=stepup.is_fresh(request))
    if form.is_valid():
        try:
            reason = stepup.require(request, _deed(row), form.given())
            row, command = overrides.agree(row.id, request.user.get_username(), reason)
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except services.CommandRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            if command.state == states.COMMAND_FAILED:
                messages.error(request, _("Not sent: {why}").format(why=command.detail))
            else:
                words = _("Agreed: {state}. The next entry of {symbol} that this rule alone refuses first passes it.")
                messages.success(request, words.format(state=command.state, symbol=row.symbol))
            return redirect("session-override", session_id=session.id)
    return _page(request, session, AskForm(session), {row.id: form})


def _deed(row: OverrideRequest) -> str:
    return f"override {row.id}"


def _page(
    request: HttpRequest, session: Session, form: AskForm, sent: dict[int, StepUpForm], faults: list[str] | None = None
) -> HttpResponse:
    """`sent`: forms of agreement that were refused, by request; what was typed stays, but the password."""
    by, now = request.user.get_username(), timezone.now()
    names = {one.code: one for one in overrides.choices(session.rules)}
    waiting = []
    for row in overrides.waiting(session.id):
        old = sent.get(row.id)
        initial = {"reason": old.data.get("reason", "") if old is not None else ""}
        initial["ticket"] = stepup.make_ticket(request, _deed(row))
        waiting.append(
            {
                "row": row,
                "rule": names.get(row.code),
                "own": row.asked_by == by,
                "left_s": max(0, int((row.expires_at - now).total_seconds())),
                "form": StepUpForm(initial=initial, fresh=stepup.is_fresh(request), auto_id=f"agree-{row.id}-%s"),
            }
        )
    said = [str(text) for one in (form, *sent.values()) for texts in one.errors.values() for text in texts]
    said += faults or []
    rows, following = overrides.history(session, number(request.GET.get("from")) or 0)
    context: dict[str, Any] = {
        "page": "risk",
        "session": selectors.session_row(session.id),
        "running": session.status == states.RUNNING,
        "ask": form,
        "waiting": waiting,
        "rows": rows,
        "next": following,
        "faults": said,
        "may": may(request.user, "override"),
        "seconds": overrides.WAIT_S,
        "now": now,
    }
    return render(request, "control/override.html", context, status=422 if said else 200)
