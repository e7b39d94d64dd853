"""A purchase and the disk: what there is no room for is never paid."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from marketdata.jobs import purchases
from marketdata.jobs.buying import VendorVoice
from marketdata.models import DONE, FAILED, DataSet
from tests.databento.server import KEY, Market
from tests.databento.test_purchases import PRICES, confirmed, priced, queued

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def account(place: tuple[Market, str], monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    monkeypatch.setenv("DATABENTO_GATEWAY", place[1])
    monkeypatch.setattr("marketdata.databento.client.PAUSE_S", 0.0)
    settings.VAR = tmp_path


def test_what_the_disk_has_no_room_for_is_never_paid(
    work: Callable[..., str], market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused on the page, at the worker, and month by month when the disk fills meanwhile; what is held stays."""
    row = priced(work)
    size = sum(quote.size for _, quote in purchases.plan_of(row).parts)
    buying = confirmed(row)
    free = [0]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free[0]))
    assert "needs about 0 MiB" in purchases.why_not(row) and "has 0 MiB free: make room" in purchases.why_not(row)
    assert work(buying) == FAILED and market.billed == []
    assert "nothing of it was bought" in purchases.find_run(buying.pk).detail
    free[0] = size * 2  # of files, joined file and data set a half, a half and a half of it
    went_on = purchases.go_on(purchases.find_run(buying.pk), "alice", queued)

    class Filling(VendorVoice):
        def progress(self, rows: int) -> None:
            free[0] = 0 if len(market.billed) == 1 else free[0]
            super().progress(rows)

    assert work(went_on, Filling) == FAILED and len(market.billed) == 1
    ended = purchases.find_run(went_on.pk)
    assert "the month from 2024-02-01" in ended.detail and ended.spent_micros == PRICES[0]
    free[0] = size * 2
    assert work(purchases.go_on(ended, "alice", queued)) == DONE and DataSet.objects.count() == 1
