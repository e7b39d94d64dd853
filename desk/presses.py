"""The two presses that every page of batch jobs has: Cancel, and the same once more.

Each asks for the right first, then looks for the job, does the deed, and says in a message what came of it; a cancel
that found something to end leaves an audit row.  Called by the views of imports, purchases, backtests, searches and
proofs; the deed is theirs.
"""

from collections.abc import Callable
from typing import NamedTuple

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from desk.audit import services as audit
from desk.dashboard.rights import require


class Words(NamedTuple):
    """What a cancel says: when it was asked for, and when there was nothing to end."""

    asked: str
    over: str


def cancel(
    request: HttpRequest,
    right: str,
    action: str,
    about: Callable[[], str],
    end: Callable[[str], bool],
    words: Words,
    back: HttpResponse,
) -> HttpResponse:
    """Ask a job to end.  `action` and what `about` finds are the audit row's; `end(by)` is False when it is over.
    Raises PermissionDenied, and what `about` raises (Http404)."""
    require(request, right)
    job, by = about(), request.user.get_username()
    if end(by):
        audit.append(category="control", action=action, actor=by, object=job)
        messages.success(request, words.asked)
    else:
        messages.info(request, words.over)
    return back


def again(
    request: HttpRequest,
    right: str,
    make: Callable[[], HttpResponse],
    refusal: type[Exception],
    back: HttpResponse,
) -> HttpResponse:
    """Ask for the same once more: what `make` answers, or `back` with the refusal's words.  Raises PermissionDenied."""
    require(request, right)
    try:
        return make()
    except refusal as error:
        messages.error(request, str(error))
        return back
