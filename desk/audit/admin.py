"""The audit log in the admin: to read, to filter, never to change."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from desk.audit.models import AuditRecord


@admin.register(AuditRecord)
class AuditRecordAdmin(ModelAdmin):
    list_display = ("seq", "category", "action", "actor", "object", "ts_ns")
    list_filter = ("category", "action", "actor")
    search_fields = ("object", "actor")
    ordering = ("-seq",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
