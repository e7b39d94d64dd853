"""The desk's trials in the admin: to read, to filter, never to change."""

from django.contrib import admin

from desk.ops.models import DrillRun
from trading.admin import ReadOnlyAdmin


@admin.register(DrillRun)
class DrillRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "by", "started_at", "finished_at", "ok", "cancelled", "done", "detail")
    list_filter = ("kind", "ok", "cancelled")
    ordering = ("-id",)
