"""/alerts/: what somebody had to hear of, who was told, and the answer that ends the escalation (T-04, N16).

Answering lowers no guard and needs no password: whoever may reduce answers.  Each view makes one call and shows what
came of it.
"""

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from desk.accounts.roles import may
from desk.alerts import answering
from desk.alerts.models import Alert
from desk.alerts.teller import is_fresh, read_state
from desk.dashboard.pages.reports import number
from desk.dashboard.rights import require

PAGE = 50


@require_GET
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """The alerts, the newest first, 50 a page; `?open=1`: only those without an answer."""
    first, only_open = number(request.GET.get("from")) or 0, request.GET.get("open") == "1"
    rows = Alert.objects.filter(acknowledged_at=None) if only_open else Alert.objects.all()
    found = list(rows.order_by("-id")[first : first + PAGE + 1])
    state = read_state(settings.VAR)
    context: dict[str, Any] = {
        "page": "alerts",
        "rows": found[:PAGE],
        "next": first + PAGE if len(found) > PAGE else None,
        "only_open": only_open,
        "waiting": Alert.objects.filter(acknowledged_at=None).count(),
        "newest": found[0].id if found and first == 0 else None,
        "state": state,
        "alive": is_fresh(state),
        "outside": state is not None and any(outside for _name, _said, outside in state.channels),
        "may": may(request.user, "reduce"),
        "now": timezone.now(),
    }
    return render(request, "ops/alerts.html", context)


@require_POST
def acknowledge(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Answer one alert."""
    require(request, "reduce")
    row = Alert.objects.filter(id=alert_id).first()
    if row is None:
        raise Http404("no such alert")
    if answering.acknowledge([alert_id], request.user.get_username()):
        messages.success(request, _("Answered: %s") % row.text)
    else:
        messages.info(request, _("%s had answered already.") % row.acknowledged_by)
    return redirect("alerts")


@require_POST
def acknowledge_all(request: HttpRequest) -> HttpResponse:
    """Answer everything that the page showed: what came after its newest row waits on."""
    require(request, "reduce")
    newest = number(request.POST.get("newest")) or 0
    waiting = Alert.objects.filter(acknowledged_at=None, id__lte=newest)
    count = answering.acknowledge(list(waiting.values_list("id", flat=True)), request.user.get_username())
    messages.success(request, ngettext("%d alert answered.", "%d alerts answered.", count) % count)
    return redirect("alerts")


@require_POST
def rehearse(request: HttpRequest) -> HttpResponse:
    """Ask for a test: it goes out like an urgent alert, on from channel to channel until somebody answers."""
    require(request, "reduce")
    answering.rehearse(f"test:{uuid.uuid4()}", request.user.get_username())
    messages.success(request, _("A test is on its way. Answer it here once it has reached you."))
    return redirect("alerts")
