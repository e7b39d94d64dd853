"""Configuration versions in the admin: the list is the library's, every page of one version is `desk.config.views`'.

No row can be added, changed or deleted here: drafts come from the edit page, states from activation.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from unfold.decorators import display

from desk.config import impact_pages, views
from trading.admin import ReadOnlyAdmin
from trading.core import states
from trading.models import ConfigVersion


@admin.register(ConfigVersion)
class ConfigVersionAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "short_hash", "author", "reason", "created", "activated", "used")
    list_filter = ("profile", "status")
    search_fields = ("profile", "author", "reason", "hash")
    ordering = ("profile", "-number")
    actions = None

    @display(description="version", ordering="profile")
    def name(self, row: ConfigVersion) -> str:
        return str(row)

    @display(
        description="state",
        ordering="status",
        label={states.ACTIVE: "success", states.DRAFT: "info", states.RETIRED: "default"},
    )
    def state(self, row: ConfigVersion) -> str:
        return row.status

    @display(description="hash")
    def short_hash(self, row: ConfigVersion) -> str:
        return row.hash[:12]

    @display(description="created, UTC", ordering="created_at")
    def created(self, row: ConfigVersion) -> str:
        return f"{row.created_at:%Y-%m-%d %H:%M}"

    @display(description="activated, UTC", ordering="activated_at")
    def activated(self, row: ConfigVersion) -> str:
        return f"{row.activated_at:%Y-%m-%d %H:%M}" if row.activated_at else "—"

    @display(description="first used, UTC", ordering="used_at")
    def used(self, row: ConfigVersion) -> str:
        return f"{row.used_at:%Y-%m-%d %H:%M}" if row.used_at else "never"

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The version's own page stands in the place of a form."""
        if not object_id.isdigit():
            return redirect(reverse("admin:trading_configversion_changelist"))
        return views.version(request, int(object_id))

    def get_urls(self) -> list[URLPattern]:
        """The pages of one version, in front of the library's own."""
        pages = {
            "<int:version_id>/edit/": (views.edit, "config_edit"),
            "<int:version_id>/export/": (views.export, "config_export"),
            "<int:version_id>/activate/": (views.activate, "config_activate"),
            "<int:version_id>/roll-back/": (views.roll_back, "config_roll_back"),
            "<int:version_id>/impact/": (impact_pages.page, "config_impact"),
            "<int:version_id>/impact/ask/": (impact_pages.ask, "config_impact_ask"),
            "<int:version_id>/impact/cancel/": (impact_pages.cancel, "config_impact_cancel"),
            "<int:version_id>/impact/rows.csv": (impact_pages.export, "config_impact_csv"),
            "<int:version_id>/hand-over/<int:session_id>/": (views.hand_over, "config_hand_over"),
            "diff/": (views.diff, "config_diff"),
            "import/": (views.upload, "config_import"),
        }
        own = [path(route, self.admin_site.admin_view(view), name=name) for route, (view, name) in pages.items()]
        return [*own, *super().get_urls()]
