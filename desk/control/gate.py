"""/gate/: reports of the go-live gate, and the day on which a person lets the shares' gate be skipped (MOEX-GATE-03).

A report is made by `manage.py gate make`, which reads every paper session of the lineage again; here it is shown.  The
override is two steps: a page that says what it does, and a press within 60 seconds with a reason and the password.
"""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from desk.accounts import stepup
from desk.accounts.forms import StepUpForm, filled
from desk.accounts.roles import may
from desk.alerts import answering
from desk.backtests.pages.results import verdicts
from desk.dashboard.pages.reports import number
from desk.dashboard.rights import require
from trading.golive import overrides
from trading.golive.models import GateOverride, GateReport
from trading.golive.rows import hash_of
from trading.golive.standing import day_at, skipped
from trading.research.figures import NOT_APPLICABLE, PASSED, REQUIRED

PAGE = 50
VENUE = "moex"


@require_GET
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """What is skipped today, and the reports, the newest first, 50 a page."""
    first = number(request.GET.get("from")) or 0
    found = list(GateReport.objects.select_related("account").order_by("-id")[first : first + PAGE + 1])
    context: dict[str, Any] = {
        "page": "research",
        "rows": [(row, len(blocking(row))) for row in found[:PAGE]],
        "next": first + PAGE if len(found) > PAGE else None,
        "skipped": skipped(timezone.now()),
        "may": may(request.user, "skip_gate"),
        "now": timezone.now(),
    }
    return render(request, "control/gate.html", context)


@require_GET
@never_cache
def report(request: HttpRequest, report_id: int) -> HttpResponse:
    """One report: every row with its sample, what was left out and why, and the hashes of what it was made of."""
    row = GateReport.objects.select_related("account").filter(id=report_id).first()
    if row is None:
        raise Http404("no such report")
    context: dict[str, Any] = {
        "page": "research",
        "row": row,
        "verdicts": verdicts({"rows": row.rows, "blocked_by": blocking(row)}),
        "whole": hash_of(row) == row.hash,
        "now": timezone.now(),
    }
    return render(request, "control/gate_report.html", context)


def blocking(row: GateReport) -> list[str]:
    """Names of the rows that stand in the way."""
    good = (PASSED, NOT_APPLICABLE)
    return [one["name"] for one in row.rows if one["weight"] == REQUIRED and one["state"] not in good]


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def override(request: HttpRequest) -> HttpResponse:
    """Say what skipping the gate does; on POST skip it for the market's present trading day."""
    if request.method == "POST":
        require(request, "skip_gate")
    now = timezone.now()
    day = day_at(VENUE, now)
    form = StepUpForm(filled(request), fresh=stepup.is_fresh(request))
    if request.method == "POST" and form.is_valid():
        try:
            reason = stepup.require(request, f"gate {day}", form.given())
            _skip(request.user.get_username(), reason, now)
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except overrides.OverrideRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.warning(request, _("The gate is skipped until the trading day rolls. Nothing else is."))
            return redirect("gate")
    return _override_page(request, day, form)


def _skip(by: str, reason: str, now: datetime) -> GateOverride:
    """Override and alert, both or neither, on the day of `now`, which was confirmed.  Raises OverrideRefused."""
    with transaction.atomic():
        row = overrides.give(VENUE, by=by, reason=reason, now=now)
        words = f"{by} has the go-live gate of {row.get_venue_display()} skipped on trading day {row.trading_day}"
        answering.tell_override(f"gate:{row.venue}:{row.trading_day}", f"{words}: {reason}")
    return row


def _override_page(request: HttpRequest, day: int | None, form: StepUpForm) -> HttpResponse:
    """The page with a new ticket; what was typed stays, but the password."""
    shown = StepUpForm(initial={"reason": form.data.get("reason", ""), "ticket": ""}, fresh=stepup.is_fresh(request))
    shown.initial["ticket"] = stepup.make_ticket(request, f"gate {day}")
    context: dict[str, Any] = {
        "page": "research",
        "day": day,
        "skipped": [row for row in skipped(timezone.now()) if row.venue == VENUE],
        "may": may(request.user, "skip_gate"),
        "form": shown,
        "faults": form.errors,
        "now": timezone.now(),
    }
    return render(request, "control/gate_override.html", context, status=422 if form.errors else 200)
