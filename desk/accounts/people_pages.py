"""Pages about people inside the admin: one person's role, closing and opening an account, adding a person.

Giving a role and opening an account raise what somebody may do: two steps with reason and password.  Closing one is
one press.  Called by `accounts.admin`.
"""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from desk.accounts import people, stepup
from desk.accounts.forms import PersonForm, RoleForm, StepUpForm, filled
from desk.accounts.roles import ROLES, SENTENCES, may, missing, role_of


def _show(request: HttpRequest, title: str, form: StepUpForm, faults: Any, about: str, **context: Any) -> HttpResponse:
    """A form in the admin's frame, with a new ticket and without the passwords."""
    kind = type(form)
    kept = {name: form.data[name] for name in ("reason", "role", "username") if name in form.data}
    initial = {**form.initial, **kept, "ticket": stepup.make_ticket(request, about)}
    shown = kind(initial=initial, fresh=stepup.is_fresh(request))
    context = {**admin.site.each_context(request), "title": title, "form": shown, "faults": faults, **context}
    return render(request, "accounts/person.html", context, status=422 if faults else 200)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def person(request: HttpRequest, person_id: int) -> HttpResponse:
    """One account: its role, and what may be done with it."""
    row = User.objects.filter(pk=person_id).first()
    if row is None:
        raise Http404("no such person")
    form = RoleForm(filled(request), initial={"role": role_of(row)}, fresh=stepup.is_fresh(request))
    if request.method == "POST":
        if not may(request.user, "people"):
            raise PermissionDenied(missing(request.user, "people"))
        answer = _close(request, row) if request.POST.get("deed") == "close" else _change(request, row, form)
        if answer is not None:
            return answer
    context = {"person": row, "role": role_of(row), "sentence": SENTENCES[role_of(row)], "roles": ROLES}
    context["may"] = may(request.user, "people")
    return _show(request, row.username, form, form.errors if form.is_bound else {}, f"person {row.pk}", **context)


def _close(request: HttpRequest, row: User) -> HttpResponse:
    name = request.user.get_username()
    try:
        people.close(row, by=name, reason=request.POST.get("reason", "").strip() or f"closed by {name}")
        messages.success(request, _("%(name)s may not sign in any more.") % {"name": row.username})
    except people.PeopleRefused as refusal:
        messages.error(request, str(refusal))
    return redirect(reverse("admin:auth_user_change", args=[row.pk]))


def _change(request: HttpRequest, row: User, form: RoleForm) -> HttpResponse | None:
    """Give the role, or open the account again; None: the form says what is missing."""
    if not form.is_valid():
        return None
    name = request.user.get_username()
    try:
        reason = stepup.require(request, f"person {row.pk}", form.given())
        if request.POST.get("deed") == "reopen":
            people.reopen(row, by=name, reason=reason)
        else:
            people.give_role(row, form.cleaned_data["role"], by=name, reason=reason)
    except stepup.StepUpRefused as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        return None
    except people.PeopleRefused as refusal:
        form.add_error(None, str(refusal))
        return None
    messages.success(request, _("Done: %(name)s.") % {"name": row.username})
    return redirect(reverse("admin:auth_user_change", args=[row.pk]))


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """A new person with a role and a first password."""
    if not may(request.user, "people"):
        raise PermissionDenied(missing(request.user, "people"))
    form = PersonForm(filled(request), fresh=stepup.is_fresh(request))
    if request.method == "POST" and form.is_valid():
        data, name = form.cleaned_data, request.user.get_username()
        try:
            reason = stepup.require(request, "person new", form.given())
            row = people.add(data["username"], data["role"], data["first_password"], by=name, reason=reason)
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except people.PeopleRefused as refusal:
            form.add_error("username", str(refusal))
        except ValidationError as error:
            form.add_error(None, error)
        else:
            messages.success(request, _("%(name)s may sign in.") % {"name": row.username})
            return redirect(reverse("admin:auth_user_change", args=[row.pk]))
    faults = form.errors if form.is_bound else {}
    return _show(request, _("Add a person"), form, faults, "person new", may=True)
