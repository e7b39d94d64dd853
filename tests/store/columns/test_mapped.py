"""Columns beside a data set: the same bars, made by the first pass, checked, bounded, gone with the data set.

Rules: MES-MEM-07, MES-DATA-03.
"""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from marketdata.feeds.options import ReplayOptions, parse_options
from marketdata.feeds.port import FeedError
from marketdata.feeds.tabular import BarReader, Bars, join
from marketdata.store.chunks import ChunkReader
from marketdata.store.columns import form
from marketdata.store.columns.form import ROW_BYTES, SUFFIX, folder_of, place_of
from marketdata.store.columns.kept import kept, noted, sweep
from marketdata.store.columns.mapped import MappedBars
from marketdata.store.hours import Hours
from marketdata.store.importing import remove_data_set
from marketdata.store.limits import Limit
from tests.store.imports import ANY_HOURS, in_a_child, killed_at_step, months, run

OPTIONS = parse_options({"bar_s": "1"})
ROWS = 2_400


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch, tmp_path):
    monkeypatch.setattr(form, "BLOCK_ROWS", 257)
    monkeypatch.setattr(Limit, "folders", tmp_path / "var" / "columns.folders")


def bare(path: Path, folder: Path, options: ReplayOptions = ANY_HOURS) -> Path:
    """A data set without columns: its first pass makes them."""
    limit, Limit.bytes = Limit.bytes, 0
    try:
        return run(path, folder, options)
    finally:
        Limit.bytes = limit


@pytest.fixture
def manifest(tmp_path) -> Path:
    return bare(months(tmp_path / "source.parquet"), tmp_path / "data")


def read(path: Path, rows: int = 1_000, **more: object) -> tuple[Bars, ChunkReader]:
    reader = ChunkReader(path, "ES", OPTIONS, rows=rows, **more)  # type: ignore[arg-type]
    try:
        return join([chunk.bars for chunk in reader]), reader
    finally:
        reader.close()


def files(path: Path) -> list[Path]:
    return [file for _, _, file in kept(folder_of(path))]


def same(a: Bars, b: Bars) -> bool:
    return all(x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("rows", [1, 256, 257, 258, 1_000, 10_000])
def test_a_second_pass_reads_the_columns_and_gives_the_same_bars(manifest, rows):
    first, before = read(manifest)
    assert isinstance(before.reader, BarReader) and len(files(manifest)) == 1
    second, after = read(manifest, rows)
    assert isinstance(after.reader, MappedBars) and same(first, second) and first.start_ns.size == ROWS
    assert after.reader.contracts.names == before.reader.contracts.names and after.reader.bar_ns == before.reader.bar_ns
    assert (after.source_rows, after.reader.rows, after.reader.dropped) == (ROWS, ROWS, before.reader.dropped)
    assert second.start_ns.flags.writeable  # jitted code is compiled for writable arrays


def test_a_pass_that_does_not_end_leaves_nothing(manifest):
    reader = ChunkReader(manifest, "ES", OPTIONS, rows=500)
    chunks = iter(reader)
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    reader.close()
    assert not folder_of(manifest).exists()


def test_only_a_data_set_read_as_it_is_has_columns(manifest, tmp_path):
    for words in ({"contract": "ESH4"}, {"volume_unit": "units"}, {"bar_s": "60"}, {"stamp": "end"}):
        assert place_of(manifest, "ES", parse_options(words)) is None, words
    assert place_of(tmp_path / "source.parquet", "ES", OPTIONS) is None
    plain = place_of(manifest, "ES", parse_options({}))
    assert plain is not None and plain == place_of(manifest, "ES", OPTIONS)
    assert plain != place_of(manifest, "MES", parse_options({"as_symbol": "ES:MES"}))


def test_other_files_have_other_columns(manifest, tmp_path):
    """Named after the hashes of what they were made from: what was made from other files is never read."""
    read(manifest)
    before = files(manifest)
    other = bare(months(tmp_path / "other.parquet", seed=5), tmp_path / "other")
    os.makedirs(folder_of(other))
    place = place_of(other, "ES", OPTIONS)
    assert place is not None and place.path.name != before[0].name
    os.link(before[0], place.path)  # as if somebody had copied them
    bars, reader = read(other)
    assert isinstance(reader.reader, BarReader) and not same(bars, read(manifest)[0])
    assert same(read(other)[0], bars)


@pytest.mark.parametrize("at", [0, 8, 300, -41, -1])
def test_a_changed_byte_is_found_before_any_bar_is_used(manifest, at):
    first, _ = read(manifest)
    path = files(manifest)[0]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))
    if at in (8, 300):  # in a block: the pass has begun
        with pytest.raises(FeedError, match=r"is damaged .* and was removed"):
            read(manifest)
        assert not path.exists()
    again, reader = read(manifest)
    assert isinstance(reader.reader, BarReader) and same(again, first) and path.exists()


def test_a_cut_file_is_not_read(manifest):
    first, _ = read(manifest)
    path = files(manifest)[0]
    os.truncate(path, path.stat().st_size - 1_000)
    again, reader = read(manifest)
    assert isinstance(reader.reader, BarReader) and same(again, first)
    os.truncate(path, 0)
    assert same(read(manifest)[0], first)


def test_bars_outside_the_sessions_are_left_out_as_they_are_from_parquet(manifest):
    inside = Hours("cme").inside
    without, before = read(manifest, inside=inside)  # drops rows: no columns are kept of that pass
    assert files(manifest) == [] and before.reader.dropped
    read(manifest)
    again, after = read(manifest, inside=inside)
    assert isinstance(after.reader, MappedBars) and same(again, without)
    assert after.reader.dropped == before.reader.dropped and 0 < again.start_ns.size < ROWS


def test_the_one_used_longest_ago_goes_first(tmp_path, monkeypatch):
    sets = [bare(months(tmp_path / f"{k}.parquet", seed=k), tmp_path / "data") for k in range(3)]
    monkeypatch.setattr(Limit, "bytes", 2 * (ROWS * ROW_BYTES + 2_000))
    for age, path in ((300, sets[0]), (200, sets[1])):
        read(path)
        (file,) = [file for file in files(path) if file.name.startswith(path.stem)]
        stamp = file.stat().st_mtime - age
        os.utime(file, (stamp, stamp))
    read(sets[0])  # used now
    read(sets[2])
    left = {file.name.rpartition("-")[0] for file in files(sets[0])}
    assert left == {sets[0].stem, sets[2].stem}
    monkeypatch.setattr(Limit, "bytes", 1_000)
    read(sets[1])
    assert len(files(sets[0])) == 2  # too large for the limit: nothing goes for what cannot come
    monkeypatch.setattr(Limit, "bytes", 0)
    assert isinstance(read(sets[0])[1].reader, BarReader)


def test_the_limit_bounds_the_columns_of_all_folders_together(tmp_path, monkeypatch):
    """Sets that lie in several folders share one limit; a folder that went is passed over."""
    sets = [bare(months(tmp_path / f"{k}.parquet", seed=k), tmp_path / f"data{k}") for k in range(3)]
    one = ROWS * ROW_BYTES + 2_000
    monkeypatch.setattr(Limit, "bytes", 2 * one)
    for age, path in ((300, sets[0]), (200, sets[1])):
        read(path)
        (file,) = files(path)
        os.utime(file, (file.stat().st_mtime - age,) * 2)
    read(sets[2])
    assert [len(files(path)) for path in sets] == [0, 1, 1]
    assert noted(folder_of(sets[0])) == sorted(folder_of(path) for path in sets)
    assert sum(size for _, size, _ in kept(*noted(folder_of(sets[0])))) <= 2 * one
    shutil.rmtree(tmp_path / "data1")
    read(sets[0])
    assert [len(files(path)) for path in (sets[0], sets[2])] == [1, 1]
    assert Limit.folders is not None and len(Limit.folders.read_text().splitlines()) == 3
    monkeypatch.setattr(Limit, "folders", None)
    assert noted(folder_of(sets[0])) == [folder_of(sets[0])]


def test_they_go_with_the_data_set(manifest, tmp_path):
    other = bare(months(tmp_path / "other.parquet", seed=5), tmp_path / "data")
    read(manifest)
    read(other)
    (mine,) = [file for file in files(manifest) if file.name.startswith(manifest.stem)]
    remove_data_set(manifest)
    assert not mine.exists() and len(files(other)) == 1
    mine.write_bytes(b"of a data set that is gone")
    (folder_of(other) / ".killed.part").write_bytes(b"")
    sweep(folder_of(other))
    assert list(folder_of(other).iterdir()) == files(other) and len(files(other)) == 1


def test_a_full_disk_costs_the_pass_nothing(manifest, monkeypatch, caplog):
    def full(path: object) -> object:
        return type("Usage", (), {"free": ROWS * ROW_BYTES})()

    monkeypatch.setattr(shutil, "disk_usage", full)
    bars, _ = read(manifest)
    assert bars.start_ns.size == ROWS and files(manifest) == [] and "no columns are kept" in caplog.text


WRITING = 5  # the folder is made, its part opened and wrapped, renamed, and the name made durable


@pytest.mark.parametrize("step", range(1, WRITING + 1))
def test_killed_at_any_step_leaves_whole_columns_or_none(manifest, step):
    """The reader stands already: every step that counts is the writer's own."""

    def work() -> None:
        reader = ChunkReader(manifest, "ES", OPTIONS, rows=1_000)
        killed_at_step(step)
        for _ in reader:
            pass

    assert in_a_child(work) == signal.SIGKILL, "the writer has fewer steps than it is killed at"
    parts = list(folder_of(manifest).glob("*")) if folder_of(manifest).exists() else []
    assert all(path.suffix == SUFFIX or path.name.startswith(".") for path in parts)
    first, _ = read(manifest)
    second, reader = read(manifest)
    assert isinstance(reader.reader, MappedBars) and same(first, second) and first.start_ns.size == ROWS
    assert len(list(folder_of(manifest).iterdir())) == 1


def test_any_contracts_keep_their_numbers(tmp_path):
    """A roll within the file: numbers and names are those of the data set."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = months(tmp_path / "source.parquet")
    table = pq.read_table(path)
    names = np.where(np.arange(ROWS) < 1_300, "ESH4", "ESM4")
    pq.write_table(table.set_column(table.schema.get_field_index("symbol"), "symbol", pa.array(names)), path)
    manifest = bare(path, tmp_path / "data")
    first, before = read(manifest)
    second, after = read(manifest, 400)
    assert same(first, second) and len(before.reader.contracts.names) == 2
    assert after.reader.contracts.names == before.reader.contracts.names
    assert np.count_nonzero(second.contract) == ROWS - 1_300
