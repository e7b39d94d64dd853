"""Trading in the admin: the ledger to read, versions to read and activate through their services.  Nothing else."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from trading import configs
from trading.models import (
    Account,
    Command,
    ConfigVersion,
    Decision,
    Fill,
    HoldEvent,
    LoopLease,
    Order,
    Session,
    Trade,
)


class ReadOnlyAdmin(ModelAdmin):
    """Rows that only the journal, the services or the loops write."""

    ordering = ("-id",)
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def read_only(model: Any, columns: tuple[str, ...], filters: tuple[str, ...] = ()) -> None:
    """Register a model to be read."""
    admin.site.register(
        model, type(f"{model.__name__}Admin", (ReadOnlyAdmin,), {"list_display": columns, "list_filter": filters})
    )


read_only(Account, ("name", "venue", "currency", "mode", "balance_micros"), ("venue", "mode"))
read_only(Session, ("key", "status", "account", "version", "created_by", "created_at", "ended_at"), ("status", "mode"))
read_only(LoopLease, ("session", "loop", "desired", "owner", "fence", "state", "restarts"), ("loop", "desired"))
read_only(Command, ("session", "kind", "state", "by", "reason", "road", "requested_at"), ("kind", "state"))
read_only(
    Order,
    ("session", "number", "symbol", "side", "role", "status", "request", "qty", "filled"),
    ("role", "status", "symbol"),
)
read_only(Fill, ("session", "order_number", "symbol", "side", "qty", "price_tick", "fee_micros"), ("symbol", "side"))
read_only(Trade, ("session", "symbol", "side", "qty", "net_micros", "fee_micros", "reason"), ("symbol",))
read_only(Decision, ("session", "symbol", "side", "code", "same", "score_ppm", "confidence_ppm"), ("code", "symbol"))
read_only(HoldEvent, ("session", "code", "instrument", "raised_ns", "cleared_ns"), ("code",))


@admin.register(ConfigVersion)
class ConfigVersionAdmin(ReadOnlyAdmin):
    list_display = ("profile", "number", "status", "hash", "author", "reason", "created_at")
    list_filter = ("profile", "status")
    actions = ("activate",)

    @admin.action(description="Activate this version", permissions=["activate"])
    def activate(self, request: HttpRequest, queryset: "QuerySet[ConfigVersion]") -> None:
        """One version at a time, through the service that checks and audits it."""
        if queryset.count() != 1:
            self.message_user(request, "Choose exactly one version.", messages.ERROR)
            return
        version = queryset.get()
        try:
            configs.activate(version, by=request.user.get_username(), reason="activated in the admin")
        except configs.ConfigError as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        self.message_user(request, f"{version} is active for new sessions.")

    def has_activate_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)
