"""Fixtures of the gate's tests."""

import pytest


@pytest.fixture
def own_folder(tmp_path, settings):
    """A runtime folder of the test's own."""
    settings.VAR = tmp_path
    return tmp_path
