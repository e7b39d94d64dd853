"""A data set of the store: months and manifest, the same bytes however they arrive, what is told of it."""

import functools
import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marketdata.feeds import columns
from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import SCHEMA_VERSION, data_set_files, read_manifest
from marketdata.memory.guard import MemoryRefused
from marketdata.store import importing, partitions
from marketdata.store.chunks import ChunkReader, load_bars, scan
from marketdata.store.importing import import_file
from marketdata.store.partitions import file_hash
from marketdata.store.report import ImportCancelled
from tests.feeds.recordings import FAR, SECOND, open_file
from tests.store.imports import ANY_HOURS, START, contents, months, run, visible, whole

DAY = 86_400


def bars(path: Path, seconds: list[int], **more: object) -> Path:
    """1-second bars at these seconds after 10:00 in New York on Tuesday 2024-01-02."""
    n = len(seconds)
    close = np.full(n, 5000 * SECOND)
    base = {"timestamp": START + np.array(seconds) * SECOND, "volume": np.ones(n, np.uint64), "symbol": ["ES"] * n}
    pq.write_table(pa.table({**dict.fromkeys(("open", "high", "low", "close"), close), **base, **more}), path)
    return path


def checkpoint_there(folder: Path) -> bool:
    return bool(list(folder.glob(".*/checkpoint.json")))


def test_a_data_set_is_months_and_a_manifest(tmp_path):
    source = months(tmp_path / "bars.parquet")
    manifest = run(source, tmp_path / "data")
    told = read_manifest(manifest)
    names = ["2024-01", "2024-02", "2024-03", "2024-04", "2024-05"]
    assert [part["file"] for part in told["partitions"]] == [f"ES/{name}.parquet" for name in names]
    assert told["schema_version"] == SCHEMA_VERSION and told["source_hash"] == file_hash(source)
    assert told["rows"] == sum(part["rows"] for part in told["partitions"]) == 2400
    for part, path in zip(told["partitions"], data_set_files(manifest), strict=True):
        held = pq.read_table(path)["timestamp"].to_numpy()
        assert (held[0], held[-1], held.size) == (part["first_ns"], part["last_ns"], part["rows"])
        assert set(held.astype("M8[ns]").astype("M8[M]").astype(str)) == {part["month"]}
        assert (part["sha256"], part["bytes"]) == (file_hash(path), path.stat().st_size)
    before = load_bars(source, "ES", ANY_HOURS)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole(manifest)[:3], before[:3], strict=True))
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [told["folder"], manifest.name]


def test_it_is_queried_lazily_and_replays_like_its_source(tmp_path):
    source = months(tmp_path / "bars.parquet")
    manifest = run(source, tmp_path / "data")
    later = START + 60 * DAY * SECOND
    want = int((pq.read_table(source)["timestamp"].to_numpy() > later).sum())
    assert scan(manifest).filter(pl.col("timestamp") > later).collect().height == want > 1000
    mine, theirs = open_file(manifest, ["ES"], bar_s="1"), open_file(source, ["ES"], bar_s="1")
    assert mine.read(FAR, 9999).events.tobytes() == theirs.read(FAR, 9999).events.tobytes()
    chunks = list(ChunkReader(manifest, "ES", ANY_HOURS, rows=1000))
    assert [chunk.bars.start_ns.size for chunk in chunks] == [1000, 1000, 400]


def test_the_same_bars_give_the_same_bytes_however_they_arrive(tmp_path, monkeypatch):
    monkeypatch.setattr(partitions, "GROUP_ROWS", 128)
    source = months(tmp_path / "bars.parquet")
    want = contents(run(source, tmp_path / "a"))
    assert pq.read_metadata(data_set_files(visible(tmp_path / "a")[0])[1]).num_row_groups == 5
    for k, rows in enumerate((1, 50, 128, 1000)):
        monkeypatch.setattr(columns, "BATCH_ROWS", max(rows, 20))
        assert contents(run(source, tmp_path / f"b{k}")) == want


def test_the_same_import_is_not_read_again_but_a_damaged_one_is_replaced(tmp_path):
    source = months(tmp_path / "bars.parquet")
    first = import_file(source, "ES", ANY_HOURS, tmp_path / "data")
    again = import_file(source, "ES", ANY_HOURS, tmp_path / "data")
    assert again.held and not first.held and again.path == first.path and again.rows == 2400
    want, victim = contents(first.path), data_set_files(first.path)[2]
    victim.write_bytes(victim.read_bytes()[:-1])
    third = import_file(source, "ES", ANY_HOURS, tmp_path / "data")
    assert not third.held and contents(third.path) == want and not victim.exists()
    third.path.write_text(third.path.read_text()[:300])
    with pytest.raises(FeedError, match="is a damaged manifest: import the source again"):
        whole(third.path)
    assert contents(run(source, tmp_path / "data")) == want
    assert len(list((tmp_path / "data").iterdir())) == 2


def test_a_manifest_cannot_name_files_elsewhere_or_of_another_version(tmp_path):
    manifest = run(months(tmp_path / "bars.parquet"), tmp_path / "data")
    told = json.loads(manifest.read_text())
    for fault, words in (
        ({"folder": ".."}, "names no files of its own"),
        ({"partitions": []}, "names no files of its own"),
        ({"partitions": [{"file": "/etc/passwd"}]}, "names no files of its own"),
        ({"schema_version": 99}, "has version 99, this desk reads 1"),
        ({"folder": "gone"}, r"is gone: import bars\.parquet again"),
    ):
        manifest.write_text(json.dumps({**told, **fault}))
        with pytest.raises(FeedError, match=words):
            data_set_files(manifest)


def test_gaps_and_rows_outside_the_session_are_told(tmp_path):
    """MES-DBN-09: scheduled closures are no gaps.  Rule 9: put aside, beside the months."""
    halt = 7 * 3600
    inside = [*range(600), *range(1200, 1800), *range(halt - 200, halt), *range(halt + 3600 + 10, halt + 6100)]
    source = bars(tmp_path / "bars.parquet", sorted([*inside, halt + 5]))
    report = import_file(source, "ES", parse_options({}), tmp_path / "data")
    told = [((a - START) // SECOND, (b - START) // SECOND) for a, b in report.gaps or []]
    assert told == [(600, 1200), (1800, halt - 200)]
    assert report.dropped == {"the bar lies outside the exchange's session": 1} and report.rows == len(inside)
    assert report.examples == [(inside.index(halt - 1) + 2, "the bar lies outside the exchange's session")]
    aside = pq.read_table(tmp_path / "data" / read_manifest(report.path)["folder"] / "aside.parquet")
    assert aside["timestamp"].to_pylist() == [START + (halt + 5) * SECOND]
    whole_week = bars(tmp_path / "b.parquet", [*inside, *(6 * DAY + k for k in inside)])
    found = import_file(whole_week, "ES", parse_options({}), tmp_path / "data").gaps
    assert found is not None and len(found) == 5  # the days between are one


def test_a_wrong_zone_shows_as_bars_outside_the_session(tmp_path):
    """MES-DATA-04: rules 1 to 5 and 9 together."""
    stamps = pa.array([START + (3600 * 7 + k - 300) * SECOND for k in range(600)], pa.timestamp("ns"))
    source = bars(tmp_path / "bars.parquet", list(range(600)), timestamp=stamps)
    with pytest.raises(FeedError, match=r"300 of 600 rows are bad, more than 0\.1 % .* is the zone right\?"):
        import_file(source, "ES", parse_options({"zone": "UTC"}), tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []
    assert import_file(source, "ES", parse_options({"zone": "UTC", "hours": "any"}), tmp_path / "data").rows == 600


@pytest.mark.parametrize("by", ["symbol", "instrument_id", "both"])
def test_contracts_are_kept_as_the_source_names_them(tmp_path, by):
    """MES-DATA-22: a roll is told, and the stored rows still show it."""
    seconds = [*range(10), *(DAY + k for k in range(10))]
    symbols, ids = ["ESH4"] * 10 + ["ESM4"] * 10, pa.array([11] * 10 + [12] * 10, pa.uint32())
    source = bars(tmp_path / "bars.parquet", seconds, symbol=symbols, instrument_id=ids)
    if by != "both":
        other = {"symbol": "instrument_id", "instrument_id": "symbol"}[by]
        pq.write_table(pq.read_table(source).drop_columns([other]), source)
    report = import_file(source, "ES", ANY_HOURS, tmp_path / "data")
    names = {"symbol": ("ESH4", "ESM4"), "instrument_id": ("11", "12"), "both": ("ESH4|11", "ESM4|12")}[by]
    assert report.rolls == [(START + DAY * SECOND, *names)]
    held = scan(report.path).collect()
    if by != "instrument_id":
        assert held["symbol"].cast(pl.String).to_list() == symbols
    if by != "symbol":
        assert held["instrument_id"].to_list() == ids.to_pylist()
    again = import_file(report.path, "ES", ANY_HOURS, tmp_path / "copy")
    assert (again.rows_hash, again.rolls) == (report.rows_hash, report.rolls)


def test_a_cancelled_import_shows_nothing_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "BATCH_ROWS", 100)
    source = months(tmp_path / "bars.parquet")
    want = contents(run(source, tmp_path / "other"))
    folder = tmp_path / "data"
    seen: list[int] = []
    for stop_after in (700, 1900):
        stop = functools.partial(lambda limit: seen[-1] >= limit, stop_after)
        with pytest.raises(ImportCancelled, match="goes on from its last whole month"):
            import_file(source, "ES", ANY_HOURS, folder, progress=seen.append, cancelled=stop)
        assert visible(folder) == [] and [path.name[0] for path in folder.iterdir()] == ["."]
    assert seen == [*range(100, 800, 100), *range(600, 2000, 100)]  # from the block in which January ended
    report = import_file(source, "ES", ANY_HOURS, folder)
    assert report.resumed_rows == 1700 and report.rows == 2400 and contents(report.path) == want
    assert len(list(folder.iterdir())) == 2


def test_what_a_stopped_import_left_is_not_trusted_blindly(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "BATCH_ROWS", 100)
    source = months(tmp_path / "bars.parquet")
    want = contents(run(source, tmp_path / "other"))
    for fault in ("cut", "gone", "checkpoint"):
        folder = tmp_path / fault
        stop = functools.partial(checkpoint_there, folder)
        with pytest.raises(ImportCancelled):
            import_file(source, "ES", ANY_HOURS, folder, cancelled=stop)
        (month,) = folder.glob(".*/parts/ES/2024-01.parquet")
        if fault == "cut":
            month.write_bytes(month.read_bytes()[:-1])
        elif fault == "gone":
            month.unlink()
        else:
            next(folder.glob(".*/checkpoint.json")).write_text("{")
        report = import_file(source, "ES", ANY_HOURS, folder)
        assert report.resumed_rows == 0 and contents(report.path) == want


def test_counts_and_reasons_survive_a_stop(tmp_path, monkeypatch):
    """Rows dropped, put aside and repeated are told once, also those of the block that is read twice."""
    monkeypatch.setattr(columns, "BATCH_ROWS", 500)
    seconds = [day * DAY + k for day in range(40) for k in range(100)]
    source = bars(tmp_path / "bars.parquet", sorted([*seconds, 50, 30 * DAY + 50]))
    options = parse_options({"bar_s": "1"})
    monkeypatch.setattr(importing, "DROPPED_SHARE_MAX", 1.0)  # weekends are in it
    want = import_file(source, "ES", options, tmp_path / "a")
    with pytest.raises(ImportCancelled):
        import_file(source, "ES", options, tmp_path / "b", cancelled=lambda: checkpoint_there(tmp_path / "b"))
    report = import_file(source, "ES", options, tmp_path / "b")
    assert report.resumed_rows > 0 and want.dropped["the same row was there before"] == 2
    for name in ("rows", "rows_read", "dropped", "examples", "gaps", "rolls", "rows_hash", "first_ns", "last_ns"):
        assert getattr(report, name) == getattr(want, name), name
    folders = [folder / read_manifest(visible(folder)[0])["folder"] for folder in (tmp_path / "a", tmp_path / "b")]
    assert pq.read_table(folders[0] / "aside.parquet") == pq.read_table(folders[1] / "aside.parquet")


def test_two_imports_of_one_file_do_not_meet(tmp_path):
    source = months(tmp_path / "bars.parquet")

    def second(rows: int) -> None:
        with pytest.raises(FeedError, match="another import of the same file is running"):
            import_file(source, "ES", ANY_HOURS, tmp_path / "data")

    assert import_file(source, "ES", ANY_HOURS, tmp_path / "data", progress=second).rows == 2400


def test_a_source_that_changes_meanwhile_is_refused(tmp_path):
    source = months(tmp_path / "bars.parquet")
    with pytest.raises(FeedError, match="was changed while it was read"):
        import_file(source, "ES", ANY_HOURS, tmp_path / "data", progress=lambda rows: source.touch())
    assert list((tmp_path / "data").iterdir()) == []


def test_an_import_checks_the_memory_that_it_needs_itself(tmp_path, monkeypatch, caplog):
    """MES-MEM-09."""
    monkeypatch.setattr(importing, "BLOCK_BYTES", 1 << 60)
    source = months(tmp_path / "bars.parquet")
    with pytest.raises(MemoryRefused, match="an import reads in blocks"):
        import_file(source, "ES", ANY_HOURS, tmp_path / "data")
    report = import_file(source, "ES", ANY_HOURS, tmp_path / "data", skip_memory_check="a test says so")
    assert report.rows == 2400 and "the memory check was skipped: a test says so" in caplog.text
