"""A runtime folder and a folder of recordings of the test's own."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def inbox(tmp_path: Path, settings: Any) -> Path:
    """The one folder that the desk may read."""
    settings.VAR = tmp_path / "var"
    folder = tmp_path / "in"
    folder.mkdir()
    settings.IMPORT_FOLDERS = [folder]
    return folder
