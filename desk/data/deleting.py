"""/data/N/delete/: takes a data set out of the store for good, by an admin, with step-up.  A page of its own.

It says what goes and who uses it; the press must follow within 60 seconds, with a reason and the password.  A set that
a session was fed from never goes: the session could not be replayed any more; one that a backtest waits for or reads,
not before that has ended.
"""

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
from desk.backtests.models import DONE, BacktestRun
from desk.backtests.runs import open_on
from desk.dashboard.rights import require
from marketdata import selectors
from marketdata.models import DataSet
from marketdata.services import DeleteRefused, FilesRemain, delete_data_set
from trading.selectors import sessions_fed_by


def users(row: DataSet) -> list[str]:
    """Who needs a data set, in words."""
    fed = [f"session {found['key']}" for found in sessions_fed_by(row.path.rpartition("/")[2])]
    return fed + open_on(row)


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, data_set_id: int) -> HttpResponse:
    """Show what would go; on POST take it away."""
    if request.method == "POST":
        require(request, "delete")
    row = DataSet.objects.filter(pk=data_set_id).first()
    if row is None:
        raise Http404("no such data set")
    about = f"delete data set {row.pk} {row.path}"
    form = StepUpForm(filled(request), fresh=stepup.is_fresh(request))
    if request.method == "POST" and form.is_valid():
        try:
            reason = stepup.require(request, about, form.given())
            gone = delete_data_set(data_set_id, users, lambda row: _note(request, row, reason))
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except DataSet.DoesNotExist:
            raise Http404("no such data set") from None
        except (DeleteRefused, OSError) as refusal:
            form.add_error(None, str(refusal))
        except FilesRemain as left:
            remedy = _("To free the space, import the same source again and delete that.")
            messages.warning(request, f"{left}. {remedy}")
            return redirect("data")
        else:
            words = _("Data set %(number)s, %(source)s, is gone.")
            messages.success(request, words % {"number": data_set_id, "source": gone.source})
            return redirect("data")
    return _page(request, row, about, form)


def _note(request: HttpRequest, gone: DataSet, reason: str) -> None:
    """The audit row; called in the transaction in which the set's row goes."""
    audit.append(
        category="control",
        action="data_set_deleted",
        actor=request.user.get_username(),
        object=f"data set {gone.pk}",
        detail={"path": gone.path, "source": gone.source, "source_hash": gone.source_hash, "reason": reason},
    )


def _page(request: HttpRequest, row: DataSet, about: str, form: StepUpForm) -> HttpResponse:
    """The page with a new ticket; what was typed stays, but the password."""
    fresh = stepup.is_fresh(request)
    shown = StepUpForm(initial={"reason": form.data.get("reason", ""), "ticket": ""}, fresh=fresh)
    shown.initial["ticket"] = stepup.make_ticket(request, about)
    context: dict[str, Any] = {
        "page": "data",
        "set": selectors.data_set_row(row),
        "users": users(row),
        "results": BacktestRun.objects.filter(data_set=row, state=DONE, deleted_at=None).count(),
        "may": may(request.user, "delete"),
        "form": shown,
        "faults": form.errors,
        "now": timezone.now(),
    }
    return render(request, "data/delete.html", context, status=422 if form.errors else 200)
