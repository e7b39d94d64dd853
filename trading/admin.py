"""Trading in the admin: the ledger, the sessions and the loops, to read.  Whoever is signed in may read; nobody writes.

Configuration versions have pages of their own a floor above.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from trading.models import (
    Account,
    Command,
    Decision,
    Fill,
    HoldEvent,
    LoopLease,
    Order,
    Session,
    Trade,
)
from trading.overrides.models import OverrideRequest


class ReadOnlyAdmin(ModelAdmin):
    """Rows that only the journal, the services or the loops write."""

    ordering: tuple[str, ...] = ("-id",)
    list_per_page = 50

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_authenticated and request.user.is_active)

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
    ("session", "number", "symbol", "side", "role", "status", "request", "qty", "filled", "version_id"),
    ("role", "status", "symbol"),
)
read_only(Fill, ("session", "order_number", "symbol", "side", "qty", "price_tick", "fee_micros"), ("symbol", "side"))
read_only(Trade, ("session", "symbol", "side", "qty", "net_micros", "fee_micros", "reason"), ("symbol",))
read_only(Decision, ("session", "symbol", "side", "code", "passed", "same", "score_ppm", "confidence_ppm"), ("code",))
read_only(OverrideRequest, ("session", "symbol", "code", "asked_by", "agreed_by", "asked_at", "expires_at"), ("code",))
read_only(HoldEvent, ("session", "code", "instrument", "raised_ns", "cleared_ns"), ("code",))
