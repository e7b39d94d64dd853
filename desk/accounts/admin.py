"""People in the admin: who has an account, which role, closed or open.  Every change goes through `accounts.people`.

The library's own pages for users, groups and locked sign-ins are taken away: they would write around the services.
"""

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from unfold.decorators import display

from desk.accounts import people_pages
from desk.accounts.roles import role_of
from trading.admin import ReadOnlyAdmin, read_only

for model in (User, Group, AccessAttempt, AccessLog, AccessFailureLog):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
# A lock goes away by itself: nobody lifts it by deleting its row.
read_only(AccessAttempt, ("attempt_time", "username", "ip_address", "failures_since_start"), ("username",))


@admin.register(User)
class PersonAdmin(ReadOnlyAdmin):
    list_display = ("username", "role", "open", "last_login", "date_joined")
    list_filter = ("is_active", "groups")
    search_fields = ("username",)
    ordering = ("username",)
    actions = None

    @display(description="role", label={"admin": "warning", "operator": "info", "viewer": "default"})
    def role(self, row: User) -> str:
        return role_of(row)

    @display(description="may sign in", boolean=True)
    def open(self, row: User) -> bool:
        return row.is_active

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The person's page stands in the place of a form."""
        if not object_id.isdigit():
            return redirect(reverse("admin:auth_user_changelist"))
        return people_pages.person(request, int(object_id))

    def get_urls(self) -> list[URLPattern]:
        """Adding a person, in front of the library's own pages."""
        add = path("new/", self.admin_site.admin_view(people_pages.add), name="people_add")
        return [add, *super().get_urls()]
