"""Stored history in the admin: to look at, never to edit (the file would no longer match its row)."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from marketdata.models import DataSet


@admin.register(DataSet)
class DataSetAdmin(ModelAdmin):
    list_display = ("id", "kind", "source", "rows", "created_at")
    list_filter = ("kind",)
    search_fields = ("source", "path", "source_hash")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: DataSet | None = None) -> bool:
        return bool(request.user.is_authenticated and request.user.is_active)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: DataSet | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: DataSet | None = None) -> bool:
        return False
