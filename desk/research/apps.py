"""The room of backtests on pages: asked for, run by the batch worker, read.  It trades nothing itself."""

from django.apps import AppConfig


class ResearchConfig(AppConfig):
    name = "desk.research"
    label = "desk_research"
    verbose_name = "Research"
