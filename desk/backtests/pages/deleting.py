"""/results/N/delete/: takes a result's files away, by an admin, with step-up.  Its row stays: it was a trial."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from desk.accounts import stepup
from desk.accounts.forms import StepUpForm, filled
from desk.accounts.roles import may
from desk.audit import services as audit
from desk.backtests import runs
from desk.backtests.models import DONE, BacktestRun
from desk.backtests.pages.views import found_run, run_values
from desk.dashboard.rights import require


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, run_id: int) -> HttpResponse:
    """Show what would go; on POST take it away."""
    if request.method == "POST":
        require(request, "delete")
    run = found_run(run_id)
    if run.state != DONE or run.deleted_at is not None:
        raise Http404("no such result")
    about = f"delete result {run.pk}"
    form = StepUpForm(filled(request), fresh=stepup.is_fresh(request))
    if request.method == "POST" and form.is_valid():
        name = request.user.get_username()
        try:
            reason = stepup.require(request, about, form.given())
            runs.delete_files(run_id, name, lambda row: _note(name, row, reason))
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except BacktestRun.DoesNotExist:
            raise Http404("no such result") from None
        except OSError as error:
            what = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
            messages.warning(request, _("The result is gone, files of it remain: %(what)s") % {"what": what})
            return redirect("backtests")
        else:
            messages.success(request, _("The files of result %(id)s are gone; it stays counted.") % {"id": run_id})
            return redirect("backtests")
    return _page(request, run, about, form)


def _note(name: str, run: BacktestRun, reason: str) -> None:
    """The audit row; called in the transaction in which the result goes."""
    detail = {"files": run.files, "trial": run.trial, "reason": reason}
    audit.append(category="control", action="result_deleted", actor=name, object=f"result {run.pk}", detail=detail)


def _page(request: HttpRequest, run: BacktestRun, about: str, form: StepUpForm) -> HttpResponse:
    """The page with a new ticket; what was typed stays, but the password."""
    shown = StepUpForm(initial={"reason": form.data.get("reason", ""), "ticket": ""}, fresh=stepup.is_fresh(request))
    shown.initial["ticket"] = stepup.make_ticket(request, about)
    context: dict[str, Any] = {
        "page": "research",
        "run": run_values(run),
        "bytes": sum(size for size, _digest in run.files.values()),
        "may": may(request.user, "delete"),
        "form": shown,
        "faults": form.errors,
        "now": timezone.now(),
    }
    return render(request, "research/delete.html", context, status=422 if form.errors else 200)
