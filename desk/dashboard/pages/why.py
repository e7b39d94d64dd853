"""/sessions/<id>/why/: why the desk traded, or did not, at one moment, every rule with its margin; and the same as CSV.

`?at=15:42:07` (of the session's day; `zone=venue` for the venue's clock), `?at=<µs>`, `?seq=<journal number>`, or
`?order=<number of an entry>`.  The answer comes from the journal alone (`trading.reports.why`); rows of the ledger only
say where an order was sent and how often the same was said.
"""

import threading
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from desk.csvanswer import csv_answer
from trading import selectors, services
from trading.reports.moments import same_decisions, submit_seq
from trading.reports.why import table as why_table
from trading.reports.why.answer import Why, why
from trading.reports.why.find import Journal
from trading.reports.why.times import moment_us, venue_zone
from trading.run.bodies.moment import NoJournal
from trading.run.journal.segment import JournalBroken
from trading.run.spec import SpecError, load_spec

DIGITS_MAX = 15  # of a number that is asked for
AT_ONCE = threading.BoundedSemaphore(2)  # a far moment replays for seconds, in the process that also serves KILL
WAIT_S = 3.0


class Unanswered(Exception):
    """What was asked cannot be answered; one sentence, and the status of the page."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@require_GET
@never_cache
def page(request: HttpRequest, session_id: int) -> HttpResponse:
    """The nearest decision with all rules, or why there was none."""
    session = _session(session_id)
    context: dict[str, Any] = {"page": "sessions", "session": session, "now": timezone.now()}
    context |= {"at": request.GET.get("at", ""), "zone": request.GET.get("zone", "utc")}
    try:
        found = _answer(request, session_id)
    except Unanswered as refusal:
        return render(request, "dashboard/why.html", context | {"fault": str(refusal)}, status=refusal.status)
    context["found"] = found
    if (decided := found.decided) is not None:
        far_us = None if found.asked_us is None else decided.ts_us - found.asked_us
        context |= {"d": decided, "headline": why_table.headline(decided), "far_us": far_us}
        context["later"] = far_us is not None and far_us > 0
        context["same"] = same_decisions(session_id, decided.seq, decided.symbol)
    return render(request, "dashboard/why.html", context)


@require_GET
@never_cache
def rules_csv(request: HttpRequest, session_id: int) -> HttpResponse:
    """The rules of one decision, or the causes of a silence."""
    session = _session(session_id)
    try:
        found = _answer(request, session_id)
    except Unanswered as refusal:
        if refusal.status == 503:
            return HttpResponse(str(refusal), status=503, content_type="text/plain; charset=utf-8")
        raise Http404(str(refusal)) from None
    place = found.decided.seq if found.decided is not None else found.asked_us
    return csv_answer(f"{session['key']}-why-{place}.csv", why_table.table(found))


def _session(session_id: int) -> dict[str, Any]:
    try:
        return selectors.session_row(session_id)
    except ObjectDoesNotExist:
        raise Http404("no such session") from None


def _answer(request: HttpRequest, session_id: int) -> Why:
    """Raises Unanswered."""
    if not AT_ONCE.acquire(timeout=WAIT_S):
        raise Unanswered(_("Other moments are being looked up. Ask again in a few seconds."), 503)
    try:
        return _looked_up(request, session_id)
    finally:
        AT_ONCE.release()


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None


def _decision_of(session_id: int, number: int, journal: Journal) -> int:
    """Journal number of the decision that made an order.  Raises Unanswered, JournalBroken."""
    submitted = submit_seq(session_id, number)
    if submitted is None:
        raise Unanswered(_("The ledger has no order of this number, or not yet."), 404)
    found = journal.decision_of(number, submitted)
    if len(found) == 0:
        raise Unanswered(_("The gate was not asked for this order: it protects or closes what is held."), 404)
    return int(found["seq"][0])


def _looked_up(request: HttpRequest, session_id: int) -> Why:
    folder = services.session_folder(session_id)
    at, seq = request.GET.get("at", "").strip(), _number(request, "seq")
    try:
        if (number := _number(request, "order")) is not None:
            seq = _decision_of(session_id, number, Journal(folder))
        if seq is not None:
            return why(folder, seq=seq)
        if not at:
            return why(folder)
        journal, spec = Journal(folder), load_spec(folder)
        zone = venue_zone(spec) if request.GET.get("zone") == "venue" else "UTC"
        return why(folder, at_us=moment_us(at, zone, journal.first_us, journal.last_us))
    except (NoJournal, SpecError):
        raise Unanswered(_("This session has not run: it has no journal, and nothing was decided."), 404) from None
    except IndexError:  # the journal is being taken over: what was there a moment ago is there in a moment
        raise Unanswered(_("The journal is changing hands. Ask again in a few seconds."), 503) from None
    except LookupError:
        raise Unanswered(_("This number of the journal is no decision."), 404) from None
    except JournalBroken as error:
        text = _("The journal cannot be read to the end: %(error)s. Nothing of it is shown.")
        raise Unanswered(text % {"error": error}, 500) from None
    except ValueError as error:
        raise Unanswered(str(error), 422) from None
