"""Manifests that pages list are parsed once while they stay what they are; their files are looked for each time."""

import json
import os
from pathlib import Path

import pytest

from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import data_set_files
from marketdata.store import coverage
from marketdata.store.coverage import Parsed, days, look
from tests.store.imports import months, run


@pytest.fixture
def manifest(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(coverage, "parsed", Parsed(coverage.PARSED_BYTES))
    return run(months(tmp_path / "bars.parquet"), tmp_path / "data")


def test_a_manifest_is_parsed_once_a_change(manifest):
    first = look(manifest)
    assert [look(manifest) is first for _ in range(3)] == [True] * 3 and coverage.parsed.count == 1
    assert len(days(manifest, "2024-02", first.gaps)) == 29 and coverage.parsed.count == 1
    told = manifest.stat()
    os.utime(manifest, ns=(told.st_atime_ns, told.st_mtime_ns + 1))
    assert look(manifest) == first and coverage.parsed.count == 2


def test_another_file_of_the_same_time_and_size_is_another(manifest):
    """Replaced in one step, as an import does: the inode tells it."""
    text, told = manifest.read_text(), manifest.stat()
    assert look(manifest).rolls == []
    other = manifest.with_name("other")
    changed = text.replace('"source": "bars.parquet"', '"source": "hars.parquet"', 1)
    assert len(changed) == len(text) and changed != text
    other.write_text(changed)
    os.utime(other, ns=(told.st_atime_ns, told.st_mtime_ns))
    os.replace(other, manifest)
    look(manifest)
    assert coverage.parsed.count == 2


def test_a_month_that_goes_is_missed_at_once_and_a_damaged_manifest_is_not_kept(manifest):
    assert len(look(manifest).months) == 5
    data_set_files(manifest)[2].unlink()
    with pytest.raises(FeedError, match=r"2024-03\.parquet of the data set .* is gone: import bars\.parquet again"):
        look(manifest)
    assert coverage.parsed.count == 1
    told = json.loads(manifest.read_text())
    del told["partitions"][0]["sha256"]
    manifest.write_text(json.dumps(told))
    for _ in range(2):
        with pytest.raises(FeedError, match="is a damaged manifest"):
            look(manifest)
    manifest.unlink()
    with pytest.raises(FeedError, match="is gone: import its source again"):
        look(manifest)


def test_what_is_kept_is_bounded_by_the_size_of_the_texts(tmp_path):
    sets = [run(months(tmp_path / f"{k}.parquet", seed=k), tmp_path / "data") for k in range(3)]
    kept = Parsed(2 * max(path.stat().st_size for path in sets))
    for path in (sets[0], sets[1], sets[0], sets[2], sets[0]):
        kept.of(path)
    assert kept.count == 3
    kept.of(sets[1])  # asked for longest ago: it went
    assert kept.count == 4


def test_books_have_no_months(sample_data, tmp_path):
    from tests.store.books.kit import LOBSTER, stored

    report = stored(sample_data / "lobster" / LOBSTER.format("message"), tmp_path)
    found = look(report.path)
    (file,) = data_set_files(report.path)
    assert found.months == [] and found.gaps == [] and found.files == (file,)
    assert found.bytes == file.stat().st_size + report.path.stat().st_size and len(found.data_hash) == 64
    assert found.rows_hash == report.rows_hash
