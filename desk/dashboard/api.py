"""Commands by HTTP POST: the browser's only way to change anything.  Checked here, decided in the services.

A key made by the page makes a repeated request the same command.  Answers are JSON: the command's state, or one
sentence in `error`.  Signed-out people get 401 and people without the right 403, never a redirect.  What raises risk
(`resume`) asks for a reason and the password (step-up); what reduces asks for neither and works while the database
cannot be written.  A leg's move names instrument and tick; whether it may go there the kernel alone decides.
"""

import json
import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_POST

from desk.accounts import stepup
from desk.accounts.roles import may, missing
from desk.control import pace
from marketdata.core.records import ACCOUNT_SCOPE
from marketdata.core.units import TICK_MAX
from trading import selectors, services
from trading.control import ref_of
from trading.core import states
from trading.core.records import INSTRUMENT_CAPACITY
from trading.models import Command

MOVES = ("move_stop", "move_target")
RIGHT_OF = {"pause": "reduce", "resume": "resume", "cancel_all": "reduce", "flatten": "reduce", "stop": "reduce"}
RIGHT_OF |= dict.fromkeys(MOVES, "reduce")
KINDS = tuple(RIGHT_OF)
RAISING = ("resume",)
BODY_BYTES_MAX = 4_000
REASON_LENGTH_MAX = stepup.REASON_MAX

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


class Asked(NamedTuple):
    """One request, read."""

    key: uuid.UUID
    session: int
    kind: str
    reason: str
    password: str
    instrument: int = ACCOUNT_SCOPE
    tick: int = 0


def read_command(body: bytes) -> Asked:
    """A request's body.  Raises BadRequest."""
    if len(body) > BODY_BYTES_MAX:
        raise BadRequest("the body is too long")
    try:
        fields = json.loads(body)
        key, session, kind = uuid.UUID(str(fields["key"])), fields["session"], str(fields["kind"])
        reason, password = str(fields.get("reason", "")).strip(), str(fields.get("password", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRequest(f"expected JSON with key (a UUID), session, kind, reason: {error}") from None
    if not isinstance(session, int) or isinstance(session, bool) or session <= 0:
        raise BadRequest("session must be a positive number")
    if kind not in KINDS:
        raise BadRequest(f"kind {kind!r} is unknown; known: {', '.join(KINDS)}")
    if len(reason) > REASON_LENGTH_MAX:
        raise BadRequest(f"the reason is longer than {REASON_LENGTH_MAX} characters")
    if kind in RAISING and len(reason) < stepup.REASON_MIN:
        raise BadRequest(f"{kind} needs a reason of {stepup.REASON_MIN} characters or more")
    if kind not in MOVES:
        return Asked(key, session, kind, reason, password)
    at, tick = fields.get("inst"), fields.get("tick")
    if not _is_whole(at, INSTRUMENT_CAPACITY - 1) or not _is_whole(tick, TICK_MAX):
        raise BadRequest(f"{kind} needs inst (a place in the session's table) and tick (a whole price step above 0)")
    return Asked(key, session, kind, reason, password, at, tick)


def _is_whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def command_answer(row: dict[str, Any]) -> dict[str, Any]:
    """What the page may know of a command; `ms` from the request to its end, by the server's clock."""
    names = ("key", "cid", "kind", "state", "detail", "seq", "at_us", "accepted_us", "finished_us")
    ms = None if row["finished_us"] is None else (row["finished_us"] - row["at_us"]) // 1000
    return {name: row[name] for name in names} | {"ms": ms}


@sensitive_variables("asked")
@require_POST
@for_people
def give(request: HttpRequest) -> HttpResponse:
    """POST {key, session, kind, reason, password} → 202 with the command as it now stands.

    `password` is needed for what raises risk, unless it was given within five minutes: 403 STEP_UP says so.
    """
    try:
        asked = read_command(request.body)
        if not may(request.user, RIGHT_OF[asked.kind]):
            return refusal(403, missing(request.user, RIGHT_OF[asked.kind]), "NO_RIGHT")
        if not pace.take((request.user.pk, "moves") if asked.kind in MOVES else request.user.pk, asked.kind):
            return refusal(429, pace.SENTENCE, "TOO_MANY")
        if asked.kind in RAISING:
            given = stepup.Confirmation(asked.reason, asked.password)
            stepup.require(request, f"{asked.kind} {asked.session}", given)
        return JsonResponse(_do(asked, request.user.get_username()), status=202)
    except BadRequest as error:
        return refusal(400 if may(request.user, "reduce") else 403, str(error), "BAD_REQUEST")
    except stepup.StepUpRefused as error:
        if getattr(request, "axes_locked_out", False):
            request.axes_locked_out = False  # type: ignore[attr-defined]  # answered here: a fetch reads no page
            return refusal(429, stepup.LOCKED, "LOCKED")
        return refusal(403, str(error), error.code)
    except ObjectDoesNotExist:
        return refusal(404, "no such session", "UNKNOWN_SESSION")
    except services.CommandRefused as error:
        return refusal(409, str(error), error.code)


def _do(asked: Asked, by: str) -> dict[str, Any]:
    """Give the command.  The row of a stop may wait for the database; the stop itself never does (N9)."""
    if asked.kind != "stop":
        place = {"argument": asked.tick, "instrument": asked.instrument}
        return _answer(services.send_command(asked.session, asked.kind, by, asked.reason, asked.key, **place))
    services.stop_session(asked.session, by, asked.reason, key=asked.key)
    try:
        return _state(asked.key)
    except ObjectDoesNotExist:
        row = Command(key=asked.key, ref=ref_of(asked.key), session_id=asked.session, kind="stop", by=by)
        row.state, row.requested_at = states.ACCEPTED, timezone.now()
        return _answer(row)


def _answer(command: Command) -> dict[str, Any]:
    return command_answer(selectors.command_values(command))


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
