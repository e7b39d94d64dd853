"""What an operator asks of live data from the Operations page: replace a share of the active set, or resync.

The engine decides and answers within seconds; a refusal is its own sentence.  Neither raises a limit, and no step-up is
asked: a share that comes is gated like every other, a resync holds entries.  Every press leaves an audit row.
"""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from desk.dashboard.rights import require
from trading.control import CommandRefused
from trading.live import universe

REASON_MAX = 200


@require_POST
def replace(request: HttpRequest, session_id: int) -> HttpResponse:
    """One share of the watched ones for one of the active ones (MOEX-DATA-11)."""
    current, replacement = (request.POST.get(name, "")[:24] for name in ("current", "replacement"))
    by, reason = request.user.get_username(), request.POST.get("reason", "")[:REASON_MAX]
    done = _("%(coming)s takes the place of %(leaving)s as soon as its book is there.")
    return _asked(
        request,
        lambda: universe.replace(session_id, current, replacement, by, reason),
        done % {"coming": replacement, "leaving": current},
    )


@require_POST
def resync(request: HttpRequest, session_id: int) -> HttpResponse:
    """All books anew (MOEX-DATA-15)."""
    by, reason = request.user.get_username(), request.POST.get("reason", "")[:REASON_MAX]
    done = _("Live data begin anew: entries wait until every active share has a book again.")
    return _asked(request, lambda: universe.resync(session_id, by, reason), done)


def _asked(request: HttpRequest, ask: Callable[[], None], done: str) -> HttpResponse:
    """Ask, and say what came of it on the page of LIVE DATA."""
    require(request, "universe")
    try:
        ask()
    except CommandRefused as refusal:
        messages.error(request, _("Nothing was done: %(why)s.") % {"why": refusal})
    else:
        messages.success(request, done)
    return redirect("ops")
