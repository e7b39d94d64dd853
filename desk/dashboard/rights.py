"""What a signed-in person may do on the pages, in the words that pages and views use.  `accounts.roles` decides."""

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from desk.accounts.roles import Person, may, missing
from trading.run.panic.page import make_token


def may_act(user: Person) -> bool:
    """Whether this person may send commands and start sessions."""
    return may(user, "reduce")


def require(request: HttpRequest, right: str) -> None:
    """Raise PermissionDenied, with a sentence, for who lacks the right (a 403 page)."""
    if not may(request.user, right):
        raise PermissionDenied(missing(request.user, right))


def rights(user: Person) -> list[str]:
    """The words that the page gets."""
    return ["read", "act"] if may_act(user) else ["read"]


def head(request: HttpRequest) -> dict[str, object]:
    """Context of every page: the guard's port, and for operators a token that may only reduce (KILL's second road)."""
    user = getattr(request, "user", None)
    values: dict[str, object] = {"guard_port": settings.GUARD_PORT}
    if user is not None and may_act(user):
        values["guard_token"] = make_token(settings.VAR, user.get_username())
    return values
