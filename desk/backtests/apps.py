"""The room of backtests on pages: asked for, run by the batch worker, read.  It trades nothing itself."""

from django.apps import AppConfig


class BacktestsConfig(AppConfig):
    name = "desk.backtests"
    label = "desk_backtests"
    verbose_name = "Backtests"
