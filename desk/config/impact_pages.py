"""The impact preview's own pages: ask for one, watch it, read it, take it as CSV (N8).

Looking is everybody's; asking takes an operator's right to draft.  Nothing here activates: the activation page shows
the newest result and keeps its own form.
"""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from desk.accounts.roles import may
from desk.config import previews, selectors
from desk.config.models import OPEN
from desk.config.views import address, find, show
from desk.csvanswer import csv_answer
from desk.dashboard.rights import require
from trading.reports.impact import preview as impact

REFRESH_S = 2


@require_GET
def page(request: HttpRequest, version_id: int) -> HttpResponse:
    """The newest preview of a version: how far it is, or what came out."""
    row = find(version_id)
    run = previews.latest(row)
    context: dict[str, Any] = {
        "version": row,
        "active": selectors.active_of(row.profile),
        "fault": selectors.fault_of(row),
        "run": run,
        "result": previews.latest_done(row),
        "waiting": run is not None and run.state in OPEN,
        "refresh_s": REFRESH_S,
        "most": impact.SESSIONS_MAX,
        "usual": run.sessions if run is not None else impact.SESSIONS_USUAL,
        "may_ask": may(request.user, "draft"),
        "may_activate": may(request.user, "tighten"),
    }
    return show(request, "impact", _("Impact of %(version)s") % {"version": row}, **context)


@require_POST
def ask(request: HttpRequest, version_id: int) -> HttpResponse:
    """Queue a preview of the last N sessions."""
    require(request, "draft")
    row = find(version_id)
    text = request.POST.get("sessions", "")
    if fault := selectors.fault_of(row):
        messages.error(request, fault)
        return redirect(address(row))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= impact.SESSIONS_MAX):
        words = _("Ask for 1 to %(most)s sessions.") % {"most": impact.SESSIONS_MAX}
        messages.error(request, words)
    else:
        previews.ask(row, int(text), request.user.get_username())
    return redirect(address(row, "config_impact"))


@require_POST
def cancel(request: HttpRequest, version_id: int) -> HttpResponse:
    """End the preview that is at work."""
    require(request, "draft")
    row = find(version_id)
    run = previews.latest(row)
    if run is None or not previews.cancel(run.pk, request.user.get_username()):
        messages.info(request, _("No preview is at work."))
    return redirect(address(row, "config_impact"))


@require_GET
def export(request: HttpRequest, version_id: int) -> HttpResponse:
    """The newest result as CSV, one row a session."""
    row = find(version_id)
    run = previews.latest_done(row)
    if run is None:
        raise Http404("no preview of this version has ended")
    return csv_answer(f"{row.profile}-v{row.number}-impact.csv", impact.table(run.result))
