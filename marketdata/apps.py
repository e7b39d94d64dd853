"""The marketdata package as a Django app.  Nothing happens at import."""

from pathlib import Path

from django.apps import AppConfig
from django.conf import settings

from marketdata.store.limits import Limit


class MarketdataConfig(AppConfig):
    name = "marketdata"
    verbose_name = "Market data"

    def ready(self) -> None:
        Limit.bytes = settings.COLUMN_CACHE_MB << 20
        Limit.folders = Path(settings.VAR) / "columns.folders"
