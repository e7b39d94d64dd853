"""MES-MEM-01, -02, -04 to -06, -09: estimates from metadata, exact thresholds, refusals with numbers, chunk sizes."""

import contextlib
import gzip
import logging
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.memory.available import MIB, Available
from marketdata.memory.estimate import batch_bytes, column_bytes, feature_bytes, load_bytes, sequence_bytes
from marketdata.memory.guard import MemoryRefused, check, chunk_rows, judge
from marketdata.store.chunks import load_bars
from marketdata.store.estimates import estimate
from tests.feeds.recordings import T0, write_text

START = T0 // 10**9 * 10**9


def parquet(path, rows: int = 1000, **more):
    columns = {name: np.full(rows, 5000 * 10**9) for name in ("open", "high", "low", "close")}
    columns |= {"timestamp": START + np.arange(rows) * 10**9, "volume": np.ones(rows, np.uint64)}
    pq.write_table(pa.table({**columns, "symbol": pa.array(["ES"] * rows).dictionary_encode(), **more}), path)
    return path


def room(mib: float) -> Available:
    return Available(int(mib * MIB), 4096 * MIB, "/sys/fs/cgroup/desk")


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (pa.int64(), 8),
        (pa.uint64(), 8),
        (pa.float64(), 8),
        (pa.timestamp("ns"), 8),
        (pa.int32(), 4),
        (pa.float32(), 4),
        (pa.int16(), 2),
        (pa.int8(), 1),
        (pa.bool_(), 1),
        (pa.dictionary(pa.int32(), pa.string()), 4),
        (pa.dictionary(pa.int8(), pa.string()), 4),
        (pa.string(), 64),
        (pa.large_string(), 64),
    ],
)
def test_bytes_of_a_column_by_its_declared_type(kind, size):
    """MES-MEM-01."""
    assert column_bytes(kind) == size


def test_parquet_is_estimated_from_its_footer(tmp_path):
    """MES-MEM-01: max(rows × Σ column bytes, uncompressed) × 2.5."""
    assert load_bytes(parquet(tmp_path / "a.parquet")) == 1000 * (6 * 8 + 4) * 5 // 2
    long = pa.array([f"{k:0200d}" for k in range(1000)])
    path = parquet(tmp_path / "b.parquet", note=long)
    metadata = pq.read_metadata(path)
    uncompressed = sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    assert uncompressed > 1000 * (6 * 8 + 4 + 64) and load_bytes(path) == uncompressed * 5 // 2


def test_the_estimate_reads_no_data_page(tmp_path):
    """MES-MEM-09: every byte before the footer is destroyed, and the estimate is the same."""
    path = parquet(tmp_path / "bars.parquet", 20_000)
    options = parse_options({})
    before = estimate(path, options, tmp_path / "data")
    data = bytearray(path.read_bytes())
    footer = int.from_bytes(data[-8:-4], "little") + 8
    data[4:-footer] = b"\xff" * (len(data) - footer - 4)
    path.write_bytes(data)
    after = estimate(path, options, tmp_path / "data")
    assert (after.rows, after.load_bytes, after.chunk_rows) == (20_000, before.load_bytes, before.chunk_rows)
    with pytest.raises(FeedError, match="is damaged after row 0"):
        load_bars(path, "ES", options)


def test_text_is_weighed_by_its_first_rows(tmp_path):
    """MES-MEM-01: deep memory of the first 10,000 rows, scaled by the size of the file, × 2.5."""
    line = "2024-01-02T15:00:00Z,10.25,10.50,10.00,10.25,7\n"
    path = write_text(tmp_path / "bars.csv", "timestamp,open,high,low,close,volume\n" + line * 50_000)
    frame = pd.read_csv(path, nrows=10_000)
    want = int(frame.memory_usage(deep=True, index=False).sum()) * 5 * 2.5
    assert abs(load_bytes(path) - want) < want * 0.01
    packed = write_text(tmp_path / "bars.csv.gz", "timestamp,open,high,low,close,volume\n" + line * 50_000)
    assert load_bytes(packed) > 0
    with pytest.raises(FeedError, match="is empty"):
        load_bytes(write_text(tmp_path / "none.csv", "\n\n"))


@pytest.mark.parametrize("name", ["export.csv", "export.csv.gz"])
def test_of_text_without_lines_a_bounded_part_is_read(tmp_path, name):
    """A JSON export, or a bomb: the estimate of a page must not read it whole into the one web process."""
    path, content = tmp_path / name, b'{"bars": [' + bytes(96 << 20)
    path.write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    del content
    tracemalloc.start()
    try:
        with pytest.raises(FeedError, match="a line of more than 64 KiB"):
            load_bytes(path)
        assert tracemalloc.get_traced_memory()[1] < 24 * MIB
    finally:
        tracemalloc.stop()


def test_long_rows_are_weighed_by_the_bytes_that_were_read(tmp_path):
    """10,000 rows of 2 KB would be 20 MB; those that were read stand for the rest, the cut one left out."""
    line = "2024-01-02T15:00:00Z,10.25,10.50,10.00,10.25,7," + "x" * 2000 + "\n"
    few, many = (write_text(tmp_path / f"{n}.csv", "t,o,h,l,c,v,note\n" + line * n) for n in (1000, 8000))
    assert abs(load_bytes(many) - 8 * load_bytes(few)) < load_bytes(few) * 0.1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n" * 20_000, "is empty"),
        ("1,2\n" * 3 + "," * 2_000 + "\n", "2001 columns"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(tmp_path, text, words):
    with pytest.raises(FeedError, match=words):
        load_bytes(write_text(tmp_path / "odd.csv", text))


def test_a_header_alone_has_an_estimate_and_odd_delimiters_have_an_answer(tmp_path):
    path = write_text(tmp_path / "head.csv", "timestamp,open,high,low,close,volume\n\n  \n\n")
    assert load_bytes(path) > 0 and estimate(path, parse_options({}), tmp_path / "data").rows > 0
    for delimiter in ('"', "\n", "\r", "§", "\0"):
        with contextlib.suppress(FeedError):
            assert load_bytes(path, delimiter) > 0
    (tmp_path / "none.csv").touch()
    with pytest.raises(FeedError, match="is empty"):
        estimate(tmp_path / "none.csv", parse_options({"format": "csv"}), tmp_path / "data")
    damaged = tmp_path / "damaged.csv.gz"
    damaged.write_bytes(b"\x1f\x8b\x08\x00" + b"\xff" * 400)
    with pytest.raises(FeedError, match="is cut or damaged"):
        estimate(damaged, parse_options({}), tmp_path / "data")


def test_anything_else_is_ten_times_its_size(tmp_path):
    path = tmp_path / "tape.dbn.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + b"x" * 996)
    assert load_bytes(path) == 10_000


def test_features_and_sequences():
    """MES-MEM-02: 448 bytes a row and the state; a view costs nothing."""
    assert feature_bytes(1_000_000) - feature_bytes(0) == 448 * 1_000_000 and feature_bytes(0) > 0
    assert sequence_bytes(1000, lazy=True) == 0
    assert sequence_bytes(1000, lazy=False) == 1000 * 60 * 56 * 4
    assert batch_bytes(0, 1000, 10) == 16_000
    assert batch_bytes(64, 0, 100) == 64 * (60 * 56 * 4 + 800)


@pytest.mark.parametrize(
    ("needed", "warns", "fits"),
    [(69, False, True), (700, False, True), (701, True, True), (900, True, True), (901, False, False)],
)
def test_thresholds_are_exact(needed, warns, fits):
    """MES-MEM-04: exactly 0.70 does not warn, exactly 0.90 does not refuse."""
    verdict = judge(needed, Available(1000, 2000, "host"))
    assert (bool(verdict.warning), verdict.can_load) == (warns, fits)
    assert verdict.usage_ratio == needed / 1000 and bool(verdict.reason) == (not fits)


def test_thresholds_hold_for_numbers_that_floats_round():
    free = 10**18 + 10
    assert judge(free * 9 // 10, Available(free, free, "host")).can_load
    assert not judge(free * 9 // 10 + 1, Available(free, free, "host")).can_load
    assert not judge(free * 7 // 10, Available(free, free, "host")).warning
    assert judge(free * 7 // 10 + 1, Available(free, free, "host")).warning


def test_the_record_of_a_verdict():
    """MES-MEM-05."""
    verdict = judge(512 * MIB, room(1024))
    assert verdict.as_json() == {
        "can_load": True,
        "estimated_mb": 512.0,
        "available_mb": 1024.0,
        "total_mb": 4096.0,
        "usage_ratio": 0.5,
        "reason": "",
        "warning": "",
        "limited_by": "/sys/fs/cgroup/desk",
    }
    nothing = judge(1, Available(0, 0, "host"))
    assert not nothing.can_load and nothing.usage_ratio is None and nothing.reason


def test_a_load_that_does_not_fit_is_refused_with_the_way_that_streams(tmp_path):
    """MES-MEM-04: a typed error with required and available MiB."""
    path = parquet(tmp_path / "bars.parquet", 100_000)
    with pytest.raises(MemoryRefused) as error:
        load_bars(path, "ES", parse_options({}), room=room(10))
    refused = error.value
    assert refused.required_mib == pytest.approx(100_000 * 52 * 2.5 / MIB) and refused.available_mib == 10
    assert refused.limited_by == "/sys/fs/cgroup/desk"
    assert f"manage.py import_history {path} --symbol ES" in str(refused) and "ChunkReader(rows=10240)" in str(refused)
    assert load_bars(path, "ES", parse_options({}), room=room(14)).start_ns.size == 100_000


def test_warnings_and_skipping_are_logged(tmp_path, caplog):
    """MES-MEM-09: skipping is explicit and logged."""
    path = parquet(tmp_path / "bars.parquet", 100_000)
    with caplog.at_level(logging.WARNING):
        load_bars(path, "ES", parse_options({}), room=room(15))
    assert "more than 70%" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        bars = load_bars(path, "ES", parse_options({}), room=room(1), skip_memory_check="a test says so")
    assert bars.start_ns.size == 100_000
    assert "the memory check was skipped: a test says so" in caplog.text and "more than 90%" in caplog.text
    caplog.clear()
    check("x", 1, "y", room(100))
    assert not caplog.text


@pytest.mark.parametrize(
    ("free", "width", "rows"),
    [
        (4 * 200 * 5000, 200, 5000),
        (4 * 200 * 5000 - 1, 200, 4999),
        (0, 200, 1000),
        (4 * 200 * 1000 - 1, 200, 1000),
        (1 << 50, 8, 10_000_000),
        (None, 200, 100_000),
        (1 << 30, 0, 100_000),
    ],
)
def test_rows_of_a_chunk(free, width, rows):
    """MES-MEM-06."""
    assert chunk_rows(free, width) == rows
