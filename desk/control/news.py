"""/news/: the operator's event list, windows in which nothing is entered (NEWS): read, add, import a CSV, take out.

Adding reduces: whoever may reduce adds, without a password.  Taking a window out raises risk, so its page asks for the
reason and the password.  A session that was told of a window keeps it until it ends, whatever happens to the list.
"""

from typing import Any

from django import forms
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
from desk.control.forms import NewsFileForm, NewsForm
from desk.dashboard.pages.reports import number
from desk.dashboard.rights import require
from trading.news import services
from trading.news.csvfile import NewsRefused
from trading.news.models import NewsWindow


@never_cache
@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """The list, 50 a page; on POST one window or a file more."""
    one, file = NewsForm(), NewsFileForm()
    if request.method == "POST":
        require(request, "reduce")
        if request.POST.get("deed") == "import":
            form: forms.Form = (file := NewsFileForm(request.POST, request.FILES))
        else:
            form = one = NewsForm(request.POST)
        if form.is_valid():
            try:
                added = _add(form, request.user.get_username())
            except NewsRefused as refusal:
                for fault in str(refusal).splitlines():
                    form.add_error(None, fault)
            except ValueError as refusal:
                form.add_error(None, str(refusal))
            else:
                words = _("%(new)d added, %(known)d stood already. Running sessions are told within a second or two.")
                messages.success(request, words % added._asdict())
                return redirect("news")
    rows, following = services.listed(number(request.GET.get("from")) or 0)
    context: dict[str, Any] = {
        "page": "news",
        "rows": rows,
        "next": following,
        "total": NewsWindow.objects.count(),
        "one": one,
        "file": file,
        "faults": one.errors or file.errors,
        "may": may(request.user, "reduce"),
        "may_remove": may(request.user, "loosen"),
        "now": timezone.now(),
    }
    return render(request, "control/news.html", context, status=422 if one.errors or file.errors else 200)


def _add(form: forms.Form, by: str) -> services.Added:
    """What the form holds, stored.  Raises ValueError, NewsRefused."""
    data = form.cleaned_data
    if isinstance(form, NewsFileForm):
        return services.import_csv(data["file"].read(), by=by, source=data["file"].name)
    return services.add_one(**data, by=by, source="page")


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def remove(request: HttpRequest, window_id: int) -> HttpResponse:
    """Show the window that would go; on POST take it out."""
    if request.method == "POST":
        require(request, "loosen")
    row = NewsWindow.objects.filter(id=window_id).first()
    if row is None:
        raise Http404("no such window")
    about = f"remove news {window_id}"
    form = StepUpForm(filled(request), fresh=stepup.is_fresh(request))
    if request.method == "POST" and form.is_valid():
        try:
            reason = stepup.require(request, about, form.given())
            services.remove(window_id, by=request.user.get_username(), reason=reason)
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except NewsWindow.DoesNotExist:
            raise Http404("no such window") from None
        else:
            messages.success(request, _("%s is out of the list.") % row.title)
            return redirect("news")
    shown = StepUpForm(initial={"reason": form.data.get("reason", "")}, fresh=stepup.is_fresh(request))
    shown.initial["ticket"] = stepup.make_ticket(request, about)
    context: dict[str, Any] = {
        "page": "news",
        "row": services.values(row),
        "form": shown,
        "faults": form.errors,
        "may": may(request.user, "loosen"),
        "now": timezone.now(),
    }
    return render(request, "control/news_remove.html", context, status=422 if form.errors else 200)
