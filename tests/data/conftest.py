"""A runtime folder and a folder of recordings of the test's own, and a data set."""

from pathlib import Path
from typing import Any

import pytest

from marketdata import imports
from marketdata.models import DONE, DataSet
from tests.data.kit import HOLE, asked
from tests.data.recordings import minutes


@pytest.fixture(autouse=True)
def inbox(tmp_path: Path, settings: Any) -> Path:
    """The one folder that the desk may read."""
    settings.VAR = tmp_path / "var"
    folder = tmp_path / "in"
    folder.mkdir()
    settings.IMPORT_FOLDERS = [folder]
    return folder


@pytest.fixture
def stored(inbox: Path) -> DataSet:
    """Seven days of minutes with a hole on the first, and one bad row."""
    minutes(inbox / "ES_1min.csv", hole=HOLE, bad=7)
    run = imports.ask(asked("ES_1min.csv"), 2000, "olga", lambda run_id: "")
    assert imports.run(run.pk) == DONE
    return DataSet.objects.get()
