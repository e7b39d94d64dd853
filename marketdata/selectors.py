"""Reads of the marketdata floor: which history is there, and where its files are."""

from pathlib import Path

from django.conf import settings
from django.db.models import QuerySet

from marketdata.models import DataSet


def data_sets(kind: str = "") -> QuerySet[DataSet]:
    """Stored data sets, the newest first; all kinds when `kind` is empty."""
    found = DataSet.objects.all()
    return found.filter(kind=kind) if kind else found


def data_set_path(data_set: DataSet) -> Path:
    """The stored file.  Raises FileNotFoundError with what to do when it is gone."""
    path = Path(settings.VAR) / data_set.path
    if not path.is_file():
        raise FileNotFoundError(f"{path} of data set {data_set.pk} is gone: import {data_set.source} again")
    return path
