"""The marketdata package as a Django app.  Nothing happens at import."""

from django.apps import AppConfig


class MarketdataConfig(AppConfig):
    name = "marketdata"
    verbose_name = "Market data"
