"""Step-up: whoever raises risk gives a reason and the password again, not older than five minutes (N9, K-05).

Two steps: a page says the effect in words and hands out a ticket; the press must follow within 60 seconds.  The API
gives reason and password in one request.  One service for admin, pages and API; tightening never comes here.  Wrong
passwords count as failed sign-ins, and lock like them.
"""

import time
from typing import NamedTuple

from django.contrib.auth import authenticate
from django.core import signing
from django.http import HttpRequest

from desk.audit import services as audit

FRESH_S = 300
TICKET_S = 60
REASON_MIN = 10
REASON_MAX = 500
CONFIRMED = "confirmed_at_s"
LOCKED = "too many wrong passwords: signing in and confirming are locked for 15 minutes after the last try"


class StepUpRefused(Exception):
    """What raises risk was not confirmed.  `field`: reason, password or ticket; `code` for tables."""

    def __init__(self, code: str, field: str, text: str) -> None:
        self.code, self.field = code, field
        super().__init__(text)


class Confirmation(NamedTuple):
    """What a person gave.  `ticket` None: no page stood between (API)."""

    reason: str
    password: str = ""
    ticket: str | None = None


def age_s(request: HttpRequest) -> float | None:
    """Seconds since the password was given again in this sign-in; None when it was not, or lies in the future."""
    at = request.session.get(CONFIRMED)
    age = None if not isinstance(at, int | float) else time.time() - at
    return age if age is not None and age >= 0 else None


def is_fresh(request: HttpRequest) -> bool:
    """Whether the password need not be asked for again."""
    age = age_s(request)
    return age is not None and age <= FRESH_S


def confirm(request: HttpRequest, password: str) -> None:
    """Take the password again.  Raises StepUpRefused; too many wrong ones lock the name like sign-in does."""
    name = request.user.get_username()
    person = authenticate(request, username=name, password=password)
    if person is None or person.pk != request.user.pk:
        audit.append(category="security", action="step_up_refused", actor=name, detail={"path": request.path})
        raise StepUpRefused("PASSWORD", "password", "That is not your password.")
    request.session[CONFIRMED] = time.time()
    audit.append(category="security", action="step_up", actor=name, detail={"path": request.path})


def make_ticket(request: HttpRequest, about: str) -> str:
    """What the page of the first step carries: good for 60 s, for this person and this deed alone."""
    return signing.dumps([request.user.pk, about], salt="desk.stepup")


def _check_ticket(request: HttpRequest, about: str, ticket: str) -> None:
    words = f"More than {TICKET_S} seconds have passed since the effect was shown. Read it again, then press again."
    try:
        found = signing.loads(ticket, salt="desk.stepup", max_age=TICKET_S)
    except signing.BadSignature:  # SignatureExpired is one of them
        raise StepUpRefused("TICKET", "ticket", words) from None
    if found != [request.user.pk, about]:
        words = "What was shown has changed meanwhile. Read it again, then press again."
        raise StepUpRefused("TICKET", "ticket", words)


def check_reason(reason: str) -> str:
    """The reason, stripped.  Raises StepUpRefused when it says too little or too much."""
    text = reason.strip()
    if len(text) < REASON_MIN:
        raise StepUpRefused("REASON", "reason", f"The reason needs {REASON_MIN} characters or more.")
    if len(text) > REASON_MAX:
        raise StepUpRefused("REASON", "reason", f"The reason is longer than {REASON_MAX} characters.")
    return text


def require(request: HttpRequest, about: str, given: Confirmation) -> str:
    """Everything that raising risk asks for.  Returns the reason; raises StepUpRefused with the first thing missing.

    `about` names the deed ("unlock …"): a ticket for another deed is refused.
    """
    reason = check_reason(given.reason)
    if given.ticket is not None:
        _check_ticket(request, about, given.ticket)
    if given.password:
        confirm(request, given.password)
    elif not is_fresh(request):
        words = f"This raises risk: give your password again (good for {FRESH_S // 60} minutes)."
        raise StepUpRefused("STEP_UP", "password", words)
    return reason
