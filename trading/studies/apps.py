"""Studies as a Django app: its commands, and the tables by which workers share a study; the study itself is a folder.

`trading/research` and `trading/run` know no Django, and the folder of trading's own commands is full.
"""

from django.apps import AppConfig


class StudiesConfig(AppConfig):
    name = "trading.studies"
    label = "studies"
    verbose_name = "Studies"
