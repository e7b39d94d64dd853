"""/data/databento/: history from the vendor: what it costs, a person's yes with the amount, then watch, cancel, go on.

Asking for a price is free and any operator's; buying asks for the right to spend, the amount typed as it stands there,
a reason and the password.  The work is the batch worker's, by `marketdata.jobs.purchases`; the key never comes here.
"""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from desk import batch, presses
from desk.accounts import stepup
from desk.accounts.forms import filled
from desk.accounts.roles import may
from desk.audit import services as audit
from desk.dashboard.rights import require
from desk.data.buying_forms import BuyForm, PriceForm
from desk.presses import Words
from marketdata.databento.archive import archives, dollars
from marketdata.databento.request import DatabentoError
from marketdata.jobs import purchases
from marketdata.jobs.buying import ASKS, BUYS, JOINS
from marketdata.jobs.purchases import NotBuyable, Queue
from marketdata.models import CANCELLED, DONE, FAILED, OPEN, RUNNING, WAITING, VendorRun

TASK = "marketdata.tasks.run_purchase"
SHOWN = 20
SILENT_S = 30


def _queue(run_id: int) -> str:
    return batch.send(TASK, run_id=run_id)


def _queue_noting(sent: list[int]) -> Queue:
    """The queue that tells whether this press made the run, or found the one of another press."""

    def queue(run_id: int) -> str:
        sent.append(run_id)
        return _queue(run_id)

    return queue


@never_cache
def vendor(request: HttpRequest) -> HttpResponse:
    """The form, what is held, the last runs; on POST ask for the price."""
    if request.method == "POST":
        require(request, "import")
    form = PriceForm(filled(request), initial=_given(request))
    if request.method == "POST" and form.is_valid():
        name = request.user.get_username()
        made = purchases.ask_price(*form.asked(), by=name, queue=_queue)
        detail = {"symbol": made.symbol, "schema": made.schema, "start": made.start, "end": made.end}
        audit.append(category="control", action="price_asked", actor=name, object=f"purchase {made.pk}", detail=detail)
        return redirect("data-vendor-run", run_id=made.pk)
    held, fault = _held()
    context: dict[str, Any] = {
        "page": "data",
        "form": form,
        "key_fault": purchases.key_fault(),
        "may": may(request.user, "import"),
        "held": held,
        "held_fault": fault,
        "runs": [run_values(row) for row in purchases.runs(SHOWN)],
        "now": timezone.now(),
    }
    return render(request, "data/vendor.html", context, status=422 if form.errors else 200)


def _given(request: HttpRequest) -> dict[str, str]:
    """Fields of the address, for who changes what was asked."""
    return {name: request.GET[name][:40] for name in ("symbol", "schema", "start", "end", "cap") if name in request.GET}


def _held() -> tuple[list[dict[str, Any]], str]:
    """Every series of which something is held; and why that cannot be told."""
    try:
        found = []
        for archive in archives(purchases.root()):
            parts = archive.parts()
            found.append(
                {
                    "symbol": archive.series.symbol,
                    "schema": archive.series.schema,
                    "files": len(parts),
                    "records": sum(part.found.records for part in parts),
                    "bytes": sum(part.size for part in parts),
                    "first_us": parts[0].span.start_ns // 1000,
                    "last_us": parts[-1].span.end_ns // 1000,
                    "dollars": dollars(sum(part.micros for part in parts)),
                }
            )
        return found, ""
    except (DatabentoError, OSError) as error:
        return [], str(error)


# a run


@require_GET
@never_cache
def run(request: HttpRequest, run_id: int) -> HttpResponse:
    """One run: how far it is, or what came of it; of a price that may be bought the form that buys."""
    return _page(request, _find(run_id))


def _find(run_id: int) -> VendorRun:
    try:
        return purchases.find_run(run_id)
    except VendorRun.DoesNotExist:
        raise Http404("no such run") from None


def _about(row: VendorRun) -> str:
    """The deed that a ticket is for: this run, for this much."""
    return f"buy what run {row.pk} priced for {purchases.plan_of(row).total.micros} micros"


def _page(request: HttpRequest, row: VendorRun, form: BuyForm | None = None, fault: str = "") -> HttpResponse:
    shown = None
    priced = row.purpose == VendorRun.PRICE and row.state == DONE
    why = purchases.why_not(row) if priced else ""
    bought = row.purchases.order_by("-id").first() if priced else None
    if priced and not why and bought is None and may(request.user, "spend"):
        typed = {name: form.data.get(name, "") for name in ("amount", "reason")} if form is not None else {}
        shown = BuyForm(initial=typed, fresh=stepup.is_fresh(request))
        shown.initial["ticket"] = stepup.make_ticket(request, _about(row))
    faults = form.errors if form is not None else {}
    asked = {
        "symbol": row.symbol,
        "schema": row.schema,
        "start": row.start,
        "end": row.end,
        "cap": dollars(row.cap_micros),
    }
    context: dict[str, Any] = {
        "page": "data",
        "run": run_values(row),
        "plan": plan_values(row) if row.plan else None,
        "parts": [part | {"dollars": dollars(part["micros"])} for part in row.report.get("parts", [])],
        "why_not": why,
        "form": shown,
        "faults": faults,
        "fault": fault,
        "bought": bought.pk if bought is not None else None,
        "change": f"?{urlencode({name: value for name, value in asked.items() if value})}",
        "may": may(request.user, "import"),
        "may_spend": may(request.user, "spend"),
        "now": timezone.now(),
    }
    return render(request, "data/vendor_run.html", context, status=422 if faults or fault else 200)


def run_values(row: VendorRun) -> dict[str, Any]:
    """What the pages show of a run."""
    price = row.purpose == VendorRun.PRICE
    left = row.total - row.done
    working = row.state == RUNNING
    return {
        "id": row.pk,
        "price": price,
        "symbol": row.symbol,
        "schema": row.schema,
        "start": row.start,
        "end": row.end,
        "state": row.state,
        "open": row.state in OPEN,
        "waiting": row.state == WAITING,
        "by": row.by,
        "asked_at": row.asked_at,
        "finished_at": row.finished_at,
        "step": {
            ASKS: _("asks the vendor for prices"),
            BUYS: _("buys month after month and reads each to its end"),
            JOINS: _("puts the months together"),
        }.get(row.step, _("puts the whole series into the store") if row.step else ""),
        "months": row.step in ("", ASKS),
        "done": row.done,
        "total": row.total,
        "share": min(1000, 1000 * row.done // row.total) if row.total else None,
        "rate": row.rate,
        "left_us": -(-left // row.rate) * 1_000_000 if working and row.rate > 0 and left > 0 else None,
        "silent_us": silent * 1_000_000 if (silent := row.silent_s()) > SILENT_S else None,
        "cancel_asked_by": row.cancel_asked_by if working else "",
        "detail": row.detail,
        "cap": dollars(row.cap_micros),
        "spent": dollars(row.spent_micros),
        "resumes": not price and row.state in (FAILED, CANCELLED),
        "data_set": row.data_set_id,
        "priced": row.priced_id,
    }


def plan_values(row: VendorRun) -> dict[str, Any]:
    """What was priced: the whole, and its months."""
    plan = purchases.plan_of(row)
    return {
        "dollars": dollars(plan.total.micros),
        "bytes": plan.total.size,
        "records": plan.total.records,
        "held": plan.held,
        "first_us": plan.span.start_ns // 1000,
        "last_us": plan.span.end_ns // 1000,
        "degraded": row.plan.get("degraded", []),
        "months": [
            {
                "first_us": span.start_ns // 1000,
                "last_us": span.end_ns // 1000,
                "dollars": dollars(quote.micros),
                "bytes": quote.size,
                "records": quote.records,
            }
            for span, quote in plan.parts
        ],
    }


@sensitive_post_parameters()
@require_POST
@never_cache
def buy(request: HttpRequest, run_id: int) -> HttpResponse:
    """Buy what was priced: amount, reason, password, within a minute of reading it."""
    require(request, "spend")
    row = _find(run_id)
    if why := purchases.why_not(row):
        messages.error(request, _("Nothing was bought: %(why)s.") % {"why": why})
        return redirect("data-vendor-run", run_id=run_id)
    form = BuyForm(request.POST, fresh=stepup.is_fresh(request))
    if not form.is_valid():
        return _page(request, row, form)
    name = request.user.get_username()
    sent: list[int] = []
    try:
        purchases.check_amount(row, form.cleaned_data["amount"])
        reason = stepup.require(request, _about(row), form.given())
        made = purchases.ask_purchase(row, form.cleaned_data["amount"], name, _queue_noting(sent))
    except NotBuyable as refusal:
        form.add_error("amount", str(refusal))
        return _page(request, row, form)
    except stepup.StepUpRefused as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        return _page(request, row, form)
    if sent:  # what comes of it is the run's to tell: nothing is bought yet
        _note("purchase_asked", name, made, micros=made.cap_micros, priced=row.pk, reason=reason)
    return redirect("data-vendor-run", run_id=made.pk)


@require_POST
def cancel(request: HttpRequest, run_id: int) -> HttpResponse:
    """Ask a run to end."""
    words = Words(
        _("Cancel asked: it ends after its present month, and keeps what was bought."),
        _("Nothing to cancel: it is over."),
    )
    return presses.cancel(
        request,
        "import",
        "purchase_cancelled",
        lambda: f"purchase {_find(run_id).pk}",
        lambda by: purchases.cancel(run_id, by),
        words,
        redirect("data-vendor-run", run_id=run_id),
    )


@require_POST
def again(request: HttpRequest, run_id: int) -> HttpResponse:
    """Go on with a purchase that was stopped, within the amount that was confirmed."""

    def make() -> HttpResponse:
        name, sent = request.user.get_username(), list[int]()
        made = purchases.go_on(_find(run_id), name, _queue_noting(sent))
        if sent:
            _note("purchase_resumed", name, made, micros=made.cap_micros - made.spent_micros, goes_on_with=run_id)
        return redirect("data-vendor-run", run_id=made.pk)

    return presses.again(request, "spend", make, NotBuyable, redirect("data-vendor-run", run_id=run_id))


def _note(action: str, actor: str, made: VendorRun, **more: Any) -> None:
    """A press that made a run; `state` tells whether it stands in the queue."""
    detail = {"symbol": made.symbol, "schema": made.schema, "state": made.state, **more}
    audit.append(category="control", action=action, actor=actor, object=f"purchase {made.pk}", detail=detail)
