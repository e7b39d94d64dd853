"""The vendor on a local socket, and its own client pointed at it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from marketdata.databento.archive import Archive
from marketdata.databento.client import Vendor
from marketdata.databento.request import series
from marketdata.jobs import purchases
from marketdata.jobs.buying import VendorVoice
from tests.databento.server import KEY, Market, certificate, serving


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def place(pem: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Market, str]]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    with serving(pem) as found:
        yield found


@pytest.fixture
def market(place: tuple[Market, str]) -> Market:
    return place[0]


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def vendor_of(place: tuple[Market, str], slept: list[float]) -> Callable[..., Vendor]:
    """Vendors with this key; sleeping is only noted."""

    def make(key: str = KEY, timeout_s: float = 60.0) -> Vendor:
        return Vendor(key, place[1], timeout_s=timeout_s, pause_s=0.0, sleep=slept.append)

    return make


@pytest.fixture
def vendor(vendor_of: Callable[..., Vendor]) -> Vendor:
    return vendor_of()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "databento", series("MES.v.0", "ohlcv-1h"))


@pytest.fixture
def work(vendor_of: Callable[..., Vendor]) -> Callable[..., str]:
    """Do a purchase's work here, with a vendor that does not sleep."""
    return lambda row, voice=VendorVoice: purchases.run(row.pk, voice, vendor_of)
