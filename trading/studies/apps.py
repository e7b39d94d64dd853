"""Studies as a Django app: it has no models, for a study lives in a folder of its own; its commands are found here.

`trading/research` and `trading/run` know no Django, and the folder of trading's own commands is full.
"""

from django.apps import AppConfig


class StudiesConfig(AppConfig):
    name = "trading.studies"
    label = "studies"
    verbose_name = "Studies"
