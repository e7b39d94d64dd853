"""/sessions/N/state|transfer|abandon|lock|pause/: what only a person can do for an account, each on its own page.

Stating figures, moving money and giving a session up ask for the reason and the password, within 60 seconds of reading
what they do.  Locking oneself out and pausing reduce: they ask for nothing but the hour.  `trading.accounts.remedies`
decides.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from desk.accounts import stepup
from desk.accounts.forms import StepUpForm, filled
from desk.accounts.roles import may
from desk.control.forms import LockForm, PauseForm, StateForm, TransferForm
from desk.dashboard.rights import require
from marketdata.core.units import NANOS
from risk.core.records import MOEX
from trading import selectors, services
from trading.accounts import remedies
from trading.accounts.past import money_words
from trading.core import states
from trading.models import Command, Session
from trading.run.clock import ClockMissing, load_clock

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class Deed(NamedTuple):
    """One page.  `refused(session)`: why it cannot be asked for now, else ""; `do` says what was done."""

    right: str
    title: "StrPromise"
    effect: "StrPromise"
    button: "StrPromise"
    form: type[forms.Form]
    refused: Callable[[Session], str]
    do: Callable[[Session, dict[str, Any], str, str], str]


def _sent(command: Command) -> Command:
    """The command, once it went out.  Raises CommandRefused."""
    if command.state == states.COMMAND_FAILED:
        raise services.CommandRefused("NOT_SENT", command.detail)
    return command


def _cannot_state(session: Session) -> str:
    if session.status in states.SESSION_OVER:
        return _("The session is over: the next one of its account asks again.")
    held = any(hold["code"] == "STATE_UNREADABLE" for hold in selectors.standing_holds(session.id))
    return "" if held else _("Nothing is to be stated: STATE UNREADABLE does not stand in this session.")


def _state(session: Session, data: dict[str, Any], by: str, reason: str) -> str:
    figures = {f"{name}_micros": data[name] for name in ("balance", "peak", "reference", "day_net")}
    command = _sent(remedies.state_figures(session.id, figures, by, reason))
    words = _("Stated. Asked to lift STATE UNREADABLE: {state}. The session stays paused until somebody resumes it.")
    return words.format(state=command.state)


def _cannot_transfer(session: Session) -> str:
    return "" if session.status == states.RUNNING else _("Money moves in a running session only.")


def _transfer(session: Session, data: dict[str, Any], by: str, reason: str) -> str:
    row, made = remedies.transfer(session.id, data["amount"], by, reason, data["key"])
    if row.state == states.COMMAND_FAILED:
        raise services.CommandRefused("NOT_SENT", row.detail)
    amount = f"{money_words(data['amount'])} {session.spec.get('currency', '')}"
    if row.state == states.UNKNOWN:
        words = _("{amount} may be booked or not: Redis did not answer. Look at the balance before you book it again.")
    elif made:
        words = _("Booked: {amount}.")
    else:
        words = _("{amount} was booked once: this page had been sent before.")
    return words.format(amount=amount)


def _cannot_abandon(session: Session) -> str:
    over = session.status in (states.CREATED, *states.SESSION_OVER)
    return _("Only a session that was started and is not over is given up.") if over else ""


def _abandon(session: Session, data: dict[str, Any], by: str, reason: str) -> str:
    remedies.abandon(session.id, by, reason)
    return _("Session {key} is given up. The next one of its account opens with what its journal still tells.").format(
        key=session.key
    )


def _cannot_lock(session: Session) -> str:
    over = session.status in (states.CREATED, *states.SESSION_OVER)
    return _("Only a session that was started and is not over can be locked.") if over or not _now(session) else ""


def _lock(session: Session, data: dict[str, Any], by: str, reason: str) -> str:
    command = _sent(remedies.lock_out(session.id, data["until"], by, reason))
    until = datetime.fromtimestamp(data["until"] // NANOS, UTC)
    words = _("Locked until {until} UTC of the session's clock: {state}. Nothing shortens it.")
    return words.format(until=f"{until:%Y-%m-%d %H:%M:%S}", state=command.state)


def _cannot_pause(session: Session) -> str:
    if session.rules != MOEX:
        return _("Only a pause of shares has an end: of futures somebody resumes.")
    over = session.status in (states.CREATED, *states.SESSION_OVER)
    return _("Only a session that was started and is not over can be paused.") if over or not _now(session) else ""


def _pause(session: Session, data: dict[str, Any], by: str, reason: str) -> str:
    command = _sent(remedies.pause_until(session.id, data["until"], by, reason))
    until = datetime.fromtimestamp(data["until"] // NANOS, UTC)
    words = _("Paused until {until} UTC of the session's clock: {state}. A pause without an end stays one.")
    return words.format(until=f"{until:%Y-%m-%d %H:%M:%S}", state=command.state)


def _now(session: Session) -> datetime | None:
    """The session's clock, on a tape its start; None before it was stamped."""
    try:
        return datetime.fromtimestamp(load_clock(services.session_folder(session.id)).now() // NANOS, UTC)
    except ClockMissing:
        return None


DEEDS = {
    "state": Deed(
        "reset",
        lazy("State the figures"),
        lazy(
            "Nobody could read what the session before left. What you state is the account from now on, and its limits"
            " count from it. The session is paused first; STATE UNREADABLE goes; nothing trades until it is resumed."
        ),
        lazy("State them"),
        StateForm,
        _cannot_state,
        _state,
    ),
    "transfer": Deed(
        "reset",
        lazy("Book a transfer"),
        lazy(
            "Money that you moved in or out. Balance, reference and peaks move alike, so no limit comes nearer or goes"
            " farther, and it is no part of the day's result. It cannot be taken back but by another transfer."
        ),
        lazy("Book it"),
        TransferForm,
        _cannot_transfer,
        _transfer,
    ),
    "abandon": Deed(
        "unlock",
        lazy("Give the session up"),
        lazy(
            "For a session that can never end, because its journal no longer replays. It works under the kill latch"
            " alone, and once the venue shows nothing of it. Its account then opens under STATE UNREADABLE, unless the"
            " journal still tells it."
        ),
        lazy("Give it up"),
        StepUpForm,
        _cannot_abandon,
        _abandon,
    ),
    "lock": Deed(
        "reduce",
        lazy("Lock me out"),
        lazy(
            "Until that hour nothing is entered and what is held is closed now. Nobody can shorten it: no reset, no new"
            " session of this account. A later hour only makes it longer."
        ),
        lazy("Lock me out"),
        LockForm,
        _cannot_lock,
        _lock,
    ),
    "pause": Deed(
        "reduce",
        lazy("Pause until"),
        lazy(
            "Until that hour nothing is entered; what is held keeps its stop and its target. It ends by itself, or when"
            " somebody resumes. Under a pause without an end, or with a later one, that one stays."
        ),
        lazy("Pause entries"),
        PauseForm,
        _cannot_pause,
        _pause,
    ),
}


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def page(request: HttpRequest, session_id: int, name: str) -> HttpResponse:
    """Show what the deed does; on POST do it."""
    deed = DEEDS[name]
    if request.method == "POST":
        require(request, deed.right)
    session = Session.objects.filter(id=session_id).first()
    if session is None:
        raise Http404("no such session")
    why = deed.refused(session)
    if why:
        messages.info(request, why)
        return redirect("session", session_id=session_id)
    about = f"{name} {session.key}"
    form = _form(request, deed, filled(request))
    if request.method == "POST" and form.is_valid():
        try:
            reason = stepup.require(request, about, form.given()) if isinstance(form, StepUpForm) else ""
            said = deed.do(session, form.cleaned_data, request.user.get_username(), reason)
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except services.CommandRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, said)
            return redirect("session", session_id=session_id)
    return _page(request, session, name, about, form)


def _form(request: HttpRequest, deed: Deed, data: Any = None, initial: dict[str, Any] | None = None) -> forms.Form:
    if issubclass(deed.form, StepUpForm):
        return deed.form(data, initial=initial, fresh=stepup.is_fresh(request))
    return deed.form(data, initial=initial)


def _page(request: HttpRequest, session: Session, name: str, about: str, form: forms.Form) -> HttpResponse:
    """The page with a new ticket; what was typed stays, but the password."""
    deed, now = DEEDS[name], _now(session)
    typed = {field: form.data[field] for field in form.fields if field in form.data and field != "password"}
    if isinstance(form, StepUpForm):
        typed["ticket"] = stepup.make_ticket(request, about)
    if "key" in form.fields:
        typed["key"] = uuid.uuid4()
    if "until" in form.fields and "until" not in typed and now is not None:
        typed["until"] = f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M}"
    context: dict[str, Any] = {
        "page": "sessions",
        "session": selectors.session_row(session.id),
        "name": name,
        "address": f"session-{name}",
        "deed": deed,
        "clock": now,
        "held": [row for row in selectors.positions(session.id) if row["qty"] != 0],
        "may": may(request.user, deed.right),
        "form": _form(request, deed, None, typed),
        "faults": form.errors,
        "now": timezone.now(),
    }
    return render(request, "control/remedy.html", context, status=422 if form.errors else 200)
