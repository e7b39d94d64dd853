"""What a signed-in person may do: everybody reads, operators (staff) reduce and start.  Pages show it; views ask it."""

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest

from trading.run.panic.page import make_token


def may_act(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether this person may send commands and start sessions."""
    return bool(user.is_authenticated and user.is_active and getattr(user, "is_staff", False))


def rights(user: AbstractBaseUser | AnonymousUser) -> list[str]:
    """The words that the page gets."""
    return ["read", "act"] if may_act(user) else ["read"]


def head(request: HttpRequest) -> dict[str, object]:
    """Context of every page: the guard's port, and for operators a token that may only reduce (KILL's second road)."""
    user = getattr(request, "user", None)
    values: dict[str, object] = {"guard_port": settings.GUARD_PORT}
    if user is not None and may_act(user):
        values["guard_token"] = make_token(settings.VAR, user.get_username())
    return values
