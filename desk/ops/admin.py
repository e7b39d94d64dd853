"""The desk's trials in the admin: to read, to filter, never to change."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from desk.ops.models import DrillRun


@admin.register(DrillRun)
class DrillRunAdmin(ModelAdmin):
    list_display = ("id", "kind", "by", "started_at", "finished_at", "ok", "cancelled", "done", "detail")
    list_filter = ("kind", "ok", "cancelled")
    ordering = ("-id",)
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
