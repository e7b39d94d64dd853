"""An import leaves the columns of its data set: those that the first pass would make, or none, whatever befalls it.

Rules: MES-MEM-07, MES-DATA-03.
"""

import functools
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marketdata.feeds import columns
from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.feeds.tabular import BarReader, Bars, join
from marketdata.store.chunks import ChunkReader
from marketdata.store.columns import form
from marketdata.store.columns.form import ROW_BYTES, folder_of
from marketdata.store.columns.kept import forget, kept
from marketdata.store.columns.mapped import MappedBars
from marketdata.store.importing import import_file
from marketdata.store.limits import Limit
from marketdata.store.report import ImportCancelled
from tests.feeds.recordings import ES_ID, SECOND, bar, write_dbn, write_text
from tests.store.imports import ANY_HOURS, START, contents, in_a_child, killed_at_step, months, run, visible

ROWS = 2_400  # of the file of months
STRIDE = 1 if os.environ.get("DESK_LONG_TESTS") == "1" else 5  # of the steps at which an import is killed
HEADER = "timestamp,open,high,low,close,volume\n"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch, tmp_path):
    monkeypatch.setattr(form, "BLOCK_ROWS", 257)
    monkeypatch.setattr(columns, "BATCH_ROWS", 150)
    monkeypatch.setattr(Limit, "folders", tmp_path / "var" / "columns.folders")


def read(path: Path, symbol: str = "ES", **options: str) -> tuple[Bars, ChunkReader]:
    reader = ChunkReader(path, symbol, parse_options(options), rows=1_000)
    try:
        return join([chunk.bars for chunk in reader]), reader
    finally:
        reader.close()


def left(folder: Path) -> list[Path]:
    """Whatever lies in the folder of columns."""
    return sorted((folder / form.FOLDER).glob("*")) + sorted((folder / form.FOLDER).glob(".*"))


def same(a: Bars, b: Bars) -> bool:
    return all(x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def named(path: Path) -> Path:
    return months(path / "bars.parquet")


def text_file(path: Path) -> Path:
    lines = "\n".join(f"{START + k * 60 * SECOND},5000,5001,4999,{5000 + k % 2},{k + 1}" for k in range(700))
    return write_text(path / "bars.csv", HEADER + lines)


def rolled(path: Path) -> Path:
    """Two contracts one after the other, named; a row that repeats the one before is dropped."""
    table = pq.read_table(months(path / "plain.parquet"))
    names = np.where(np.arange(ROWS) < 1_300, "ESH4", "ESM4")
    table = table.set_column(table.schema.get_field_index("symbol"), "symbol", pa.array(names))
    pq.write_table(pa.concat_tables([table.slice(0, 701), table.slice(700)]), path / "bars.parquet")
    return path / "bars.parquet"


def numbered(path: Path) -> Path:
    ohlc = (5000.0, 5001.0, 4999.0, 5000.25)
    records = [bar(START + k * SECOND, ohlc, k + 1, rtype=32, instrument_id=ES_ID) for k in range(600)]
    return write_dbn(path / "bars.dbn", dbn.Schema.OHLCV_1S, records)


@pytest.mark.parametrize(("source", "bar_s"), [(named, "1"), (text_file, "60"), (rolled, "1"), (numbered, "1")])
def test_what_the_import_leaves_is_what_the_first_pass_would_to_the_byte(
    tmp_path, source: Callable[[Path], Path], bar_s: str
):
    manifest = run(source(tmp_path), tmp_path / "data", parse_options({"hours": "any", "bar_s": bar_s}))
    (file,) = left(tmp_path / "data")
    want = file.read_bytes()
    first, reader = read(manifest, bar_s=bar_s)
    assert isinstance(reader.reader, MappedBars), "already the first pass is the fast one"
    forget(manifest)
    slow, reader = read(manifest, bar_s=bar_s)
    assert isinstance(reader.reader, BarReader) and same(first, slow)
    assert left(tmp_path / "data") == [file] and file.read_bytes() == want


def test_where_the_reader_must_say_more_the_first_pass_makes_them(tmp_path):
    """A contract that was named, bars of another root under the symbol, a set smaller than a block, no cache at all."""
    source = months(tmp_path / "bars.parquet")
    run(source, tmp_path / "named", parse_options({"hours": "any", "bar_s": "1", "contract": "ES"}))
    assert left(tmp_path / "named") == []
    as_mes = parse_options({"hours": "any", "bar_s": "1", "as_symbol": "ES:MES"})
    manifest = import_file(source, "MES", as_mes, tmp_path / "other").path
    with pytest.raises(FeedError, match="the session trades MES"):
        read(manifest, "MES")
    assert isinstance(read(manifest, "MES", as_symbol="ES:MES")[1].reader, MappedBars)
    small = months(tmp_path / "small.parquet", count=1, rows=200)
    run(small, tmp_path / "small")
    assert not (tmp_path / "small" / form.FOLDER).exists()


def test_without_a_cache_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(Limit, "bytes", 0)
    run(months(tmp_path / "bars.parquet"), tmp_path / "data")
    assert not (tmp_path / "data" / form.FOLDER).exists()


def test_a_stopped_import_leaves_none_and_the_one_that_goes_on_leaves_them_to_the_first_pass(tmp_path):
    source, folder = months(tmp_path / "bars.parquet"), tmp_path / "data"
    with pytest.raises(ImportCancelled):
        import_file(source, "ES", ANY_HOURS, folder, cancelled=lambda: bool(list(folder.glob(".*/checkpoint.json"))))
    assert not (folder / form.FOLDER).exists()
    report = import_file(source, "ES", ANY_HOURS, folder)
    assert report.resumed_rows > 0 and left(folder) == []
    first, reader = read(report.path, bar_s="1")
    assert isinstance(reader.reader, BarReader) and first.start_ns.size == ROWS and len(left(folder)) == 1


def test_the_disk_is_asked_first_where_the_rows_are_known_and_on_the_way_where_not(tmp_path, monkeypatch, caplog):
    """Columns only save time: without room for them the import is done without."""
    free = 10 * ROWS * ROW_BYTES
    asked = []

    def disk(path: object) -> object:
        asked.append(path)
        return type("Usage", (), {"free": free})()

    monkeypatch.setattr(shutil, "disk_usage", disk)
    source = months(tmp_path / "bars.parquet")
    free = int(1.9 * ROWS * ROW_BYTES)  # not twice what they take
    run(source, tmp_path / "known")
    assert not (tmp_path / "known" / form.FOLDER).exists() and "no columns are kept of bars.parquet" in caplog.text
    caplog.clear()
    asked.clear()
    free = 600 * ROW_BYTES
    text = text_file(tmp_path)
    assert visible(run(text, tmp_path / "text", parse_options({"hours": "any"})).parent)
    assert not (tmp_path / "text" / form.FOLDER).exists() and "no columns are kept of bars.csv" in caplog.text
    assert len(asked) > 2, "block by block"


def test_the_limit_holds_for_those_of_an_import_too(tmp_path, monkeypatch):
    """Of a text nobody knows the rows before: what was used longest ago goes when the file gets its name."""
    options = parse_options({"hours": "any"})
    old = run(months(tmp_path / "bars.parquet"), tmp_path / "data")
    (file,) = left(tmp_path / "data")
    monkeypatch.setattr(Limit, "bytes", file.stat().st_size + 1_000)
    new = run(text_file(tmp_path), tmp_path / "data", options)
    (stays,) = left(tmp_path / "data")
    assert stays.name.startswith(new.stem) and old.exists() and len(kept(folder_of(new))) == 1


def die_at(step: int, source: Path, folder: Path) -> None:
    killed_at_step(step)
    run(source, folder)


def test_killed_at_any_step_leaves_columns_of_a_whole_set_or_none(tmp_path):
    source, folder = months(tmp_path / "bars.parquet", count=2), tmp_path / "data"
    want, _ = read(run(source, tmp_path / "whole"), bar_s="1")
    hashes = contents(visible(tmp_path / "whole")[0])
    found: set[tuple[int, int]] = set()
    ended, step = int(signal.SIGKILL), 1
    while ended == signal.SIGKILL and step < 400:
        shutil.rmtree(folder, ignore_errors=True)
        ended = in_a_child(functools.partial(die_at, step, source, folder))
        named = [path for path in left(folder) if path.suffix == form.SUFFIX]
        sets = visible(folder)
        assert len(named) <= len(sets) <= 1, "no columns without a set"
        found.add((len(sets), len(named)))
        if ended == signal.SIGKILL:
            manifest = run(source, folder)
            assert contents(manifest) == hashes and same(read(manifest, bar_s="1")[0], want)
            assert len(left(folder)) == 1, "nothing of the killed one is left behind"
        step += STRIDE
    assert ended == 0 and found == {(0, 0), (1, 0), (1, 1)}
