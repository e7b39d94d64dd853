"""The admin's entrance: whoever may read may look, through the desk's one sign-in; roles decide what can be pressed.

Everything that changes anything goes through the services: the library's own ways around them (its sign-in form, its
password page) lead back to the desk's.
"""

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from unfold.sites import UnfoldAdminSite

from desk.accounts.roles import may_read


class DeskSite(UnfoldAdminSite):
    index_title = "Overview"

    def has_permission(self, request: HttpRequest) -> bool:
        return may_read(request.user)

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one sign-in page, with one count of wrong passwords."""
        target = request.GET.get("next", "")
        if not url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure()):
            target = "/admin/"
        if may_read(request.user):
            return redirect(target)
        return redirect(f"/sign-in/?{urlencode({'next': target})}")

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The account page changes it, ends the other sign-ins and audits it."""
        return redirect("accounts:account")

    def password_change_done(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect("accounts:account")
