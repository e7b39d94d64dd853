"""Months joined into one file: the vendor's own reader sees the records of all, in order, and the ids day by day."""

from datetime import date
from pathlib import Path

import databento
import numpy as np
import pytest

from marketdata.databento.archive import Archive
from marketdata.databento.client import Vendor
from marketdata.databento.joined import file_name, join
from marketdata.databento.request import DatabentoError, Span, day_ns, series
from marketdata.databento.verify import verify
from tests.databento.server import IDS, Market
from tests.databento.test_archive import WHOLE, buy


@pytest.fixture
def minutes(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "databento", series("MES.v.0", "ohlcv-1m"))


def test_the_joined_file_is_all_parts_in_order(
    minutes: Archive, vendor: Vendor, market: Market, tmp_path: Path
) -> None:
    """MES-DBN-03: the roll inside the second month is one of the whole file."""
    parts = buy(minutes, vendor)
    assert len(parts) == 3
    path = tmp_path / file_name(parts, minutes.series)
    assert path.name == "MES.v.0-ohlcv-1m-2024-01-01-2024-03-11.dbn.zst"
    assert join(parts, minutes.series, path)
    theirs = [databento.DBNStore.from_file(part.path).to_ndarray() for part in parts]
    store = databento.DBNStore.from_file(path)
    rows = store.to_ndarray()
    assert np.array_equal(rows, np.concatenate(theirs)) and rows.size == sum(part.found.records for part in parts)
    mapped = [(part["start_date"], part["end_date"], part["symbol"]) for part in store.mappings["MES.v.0"]]
    assert mapped == [
        (date(2024, 1, 1), date(2024, 2, 15), str(IDS[0])),
        (date(2024, 2, 15), date(2024, 3, 12), str(IDS[1])),
    ]
    found = verify(path, minutes.series, WHOLE, rows.size)
    assert found.rolls == [["2024-02-15", str(IDS[0]), str(IDS[1])]] and found.version == 3
    again = tmp_path / "again.dbn.zst"
    assert join(parts, minutes.series, again) and again.read_bytes() == path.read_bytes()


def test_a_cancelled_joining_is_not_whole(minutes: Archive, vendor: Vendor, tmp_path: Path) -> None:
    parts = buy(minutes, vendor)
    assert not join(parts, minutes.series, tmp_path / "x.dbn.zst", lambda: True)


def test_parts_that_overlap_are_refused(minutes: Archive, vendor: Vendor, tmp_path: Path) -> None:
    (part,) = buy(minutes, vendor, Span(day_ns("2024-01-01"), day_ns("2024-02-01")))
    with pytest.raises(DatabentoError, match="overlap: move one aside"):
        join([part, part], minutes.series, tmp_path / "x.dbn.zst")
