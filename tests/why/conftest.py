"""Every test of sessions has a runtime folder of its own: numbers of sessions come again, folders must not."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def own_var(settings: Any, tmp_path: Path) -> None:
    settings.VAR = tmp_path / "var"
