"""Fixtures of the gate's tests."""

import pytest

from marketdata.feeds import registry


@pytest.fixture
def own_folder(tmp_path, settings):
    """A runtime folder of the test's own."""
    settings.VAR = tmp_path
    return tmp_path


@pytest.fixture(autouse=True)
def live_feeds(monkeypatch):
    """A desk with two live feeds; the shipped one has none, and nothing could ever count."""
    assert not registry.LIVE
    monkeypatch.setattr(registry, "LIVE", frozenset({"live", "databento"}))
