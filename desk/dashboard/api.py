"""Commands by HTTP POST: the browser's only way to change anything.  Checked here, decided in the services.

A key made by the page makes a repeated request the same command.  Answers are JSON: the command's state, or one
sentence in `error`.  Signed-out people get 401 and people without the right 403, never a redirect.
"""

import json
import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk.dashboard.rights import may_act
from trading import selectors, services

KINDS = ("pause", "resume", "cancel_all", "flatten", "stop")
BODY_BYTES_MAX = 4_000
REASON_LENGTH_MAX = 500
RESUME_REASON_MIN = 10

View = Callable[..., HttpResponse]


class BadRequest(ValueError):
    """A body that is not a command; the text says which field."""


def refusal(status: int, text: str, code: str = "") -> JsonResponse:
    return JsonResponse({"error": text, "code": code}, status=status)


def for_people(view: View) -> View:
    """401 for who is not signed in: a fetch cannot follow a redirect to a form."""

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return refusal(401, "sign in first", "SIGNED_OUT")
        return view(request, *args, **kwargs)

    return login_not_required(asked)  # the middleware leaves it alone: the answer above is ours


def read_command(body: bytes) -> tuple[uuid.UUID, int, str, str]:
    """key, session, kind and reason of a request's body.  Raises BadRequest."""
    if len(body) > BODY_BYTES_MAX:
        raise BadRequest("the body is too long")
    try:
        fields = json.loads(body)
        key, session, kind = uuid.UUID(str(fields["key"])), fields["session"], str(fields["kind"])
        reason = str(fields.get("reason", "")).strip()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRequest(f"expected JSON with key (a UUID), session, kind, reason: {error}") from None
    if not isinstance(session, int) or isinstance(session, bool) or session <= 0:
        raise BadRequest("session must be a positive number")
    if kind not in KINDS:
        raise BadRequest(f"kind {kind!r} is unknown; known: {', '.join(KINDS)}")
    if len(reason) > REASON_LENGTH_MAX:
        raise BadRequest(f"the reason is longer than {REASON_LENGTH_MAX} characters")
    if kind == "resume" and len(reason) < RESUME_REASON_MIN:
        raise BadRequest(f"resume needs a reason of {RESUME_REASON_MIN} characters or more")
    return key, session, kind, reason


def command_answer(row: dict[str, Any]) -> dict[str, Any]:
    """What the page may know of a command; `ms` from the request to its end, by the server's clock."""
    names = ("key", "cid", "kind", "state", "detail", "seq", "at_us", "accepted_us", "finished_us")
    ms = None if row["finished_us"] is None else (row["finished_us"] - row["at_us"]) // 1000
    return {name: row[name] for name in names} | {"ms": ms}


@require_POST
@for_people
def give(request: HttpRequest) -> HttpResponse:
    """POST {key, session, kind, reason} → 202 with the command as it now stands."""
    if not may_act(request.user):
        return refusal(403, "you may read, not command", "NO_RIGHT")
    try:
        key, session, kind, reason = read_command(request.body)
        if kind == "stop":
            services.stop_session(session, request.user.get_username(), reason, key=key)
            return JsonResponse(_state(key), status=202)
        command = services.send_command(session, kind, request.user.get_username(), reason, key)
        return JsonResponse(command_answer(selectors.command_values(command)), status=202)
    except BadRequest as error:
        return refusal(400, str(error), "BAD_REQUEST")
    except ObjectDoesNotExist:
        return refusal(404, "no such session", "UNKNOWN_SESSION")
    except services.CommandRefused as error:
        return refusal(409, str(error), error.code)


@require_GET
@for_people
@never_cache
def state(request: HttpRequest, key: uuid.UUID) -> HttpResponse:
    """GET the command's present state."""
    try:
        return JsonResponse(_state(key))
    except ObjectDoesNotExist:
        return refusal(404, "no such command", "UNKNOWN_COMMAND")


def _state(key: uuid.UUID) -> dict[str, Any]:
    return command_answer(selectors.command_by_key(str(key)))
