"""The audit log in the admin: to read, to filter, never to change."""

from django.contrib import admin

from desk.audit.models import AuditRecord
from trading.admin import ReadOnlyAdmin


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin):
    list_display = ("seq", "category", "action", "actor", "object", "detail", "ts_ns")
    list_filter = ("category", "action", "actor")
    search_fields = ("object", "actor")
    ordering = ("-seq",)
