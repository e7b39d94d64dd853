"""MES-MEM-07 and MES-DATA-03 over borders: chunks of any size over any layout equal the whole, and an oracle."""

import itertools
import random
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marketdata.core.quality import OTHER_CONTRACT, OUTSIDE_SESSION, REPEATED
from marketdata.feeds import columns, rawbars
from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.feeds.tabular import BarReader, Bars, join
from marketdata.store.chunks import ChunkReader, load_bars
from marketdata.store.hours import Hours
from tests.feeds.recordings import ES_ID, SECOND, T0, bar, write_dbn, write_text, write_zip

START = T0 // SECOND * SECOND
OPTIONS = parse_options({})
HEADER = "timestamp,open,high,low,close,volume\n"
Row = tuple[int, int, int]  # second, close in ticks, contract


def parquet(path: Path, rows: list[Row], groups: list[int] | None = None, contracts: tuple[str, ...] = ("ESH4",)):
    """One Parquet file of these rows; `groups`: sizes of its row groups, used in turn."""
    close = np.array([row[1] for row in rows], np.int64) * 250_000_000
    table = pa.table(
        {
            "timestamp": START + np.array([row[0] for row in rows], np.int64) * SECOND,
            "open": close,
            "high": close,
            "low": close,
            "close": close,
            "volume": np.ones(len(rows), np.uint64),
            "symbol": [contracts[row[2]] for row in rows],
        }
    )
    with pq.ParquetWriter(path, table.schema) as writer:
        at, turn = 0, 0
        while at < len(rows):
            size = (groups or [len(rows)])[turn % len(groups or [1])]
            writer.write_table(table.slice(at, size), row_group_size=size)
            at, turn = at + size, turn + 1
    return path


def flat(count: int) -> list[Row]:
    return [(k, 20_000 + k % 7, 0) for k in range(count)]


def equal(a: Bars, b: Bars) -> bool:
    """All but the places in the file, which a load leaves out."""
    return all(x.tobytes() == y.tobytes() for x, y in zip(a[:4], b[:4], strict=True))


@pytest.mark.parametrize("groups", [[1300], [1], [7], [1, 999, 3, 48]])
@pytest.mark.parametrize("size", [1, 7, 1000, 1024, 1299, 1300, 2000])
def test_any_layout_any_size_gives_exactly_what_was_asked_for(tmp_path, monkeypatch, groups, size):
    monkeypatch.setattr(columns, "BATCH_ROWS", 177)
    path = parquet(tmp_path / "bars.parquet", flat(1300), groups)
    seen: list[tuple[int, int]] = []
    reader = ChunkReader(path, "ES", OPTIONS, rows=size, progress=lambda done, of: seen.append((done, of)))
    assert reader.chunks == -(-1300 // size) and reader.source_rows == 1300 and not seen
    chunks = list(reader)
    assert [chunk.number for chunk in chunks] == list(range(reader.chunks))
    assert {chunk.rows for chunk in chunks[:-1]} <= {size} and sum(chunk.rows for chunk in chunks) == 1300
    assert all(chunk.bars.start_ns.size == chunk.rows for chunk in chunks)
    assert seen == [(k + 1, reader.chunks) for k in range(reader.chunks)]
    assert equal(join([chunk.bars for chunk in chunks]), load_bars(path, "ES", OPTIONS))
    assert np.concatenate([chunk.bars.row for chunk in chunks]).tolist() == list(range(1300))


def test_the_size_is_found_from_the_free_memory(tmp_path):
    path = parquet(tmp_path / "bars.parquet", flat(3000))
    reader = ChunkReader(path, "ES", OPTIONS)
    assert 1000 <= reader.rows <= 10_000_000 and reader.chunks == -(-3000 // reader.rows)
    assert sum(chunk.rows for chunk in reader) == 3000


@pytest.mark.parametrize("border", [1, 2, 3])
def test_a_repetition_and_a_step_back_over_a_border_are_found(tmp_path, monkeypatch, border):
    monkeypatch.setattr(columns, "BATCH_ROWS", border)
    rows = [(0, 1, 0), (1, 2, 0), (2, 3, 0), (2, 3, 0), (3, 4, 0)]
    path = parquet(tmp_path / "bars.parquet", rows, [border])
    options = parse_options({"bar_s": "1"})
    reader = ChunkReader(path, "ES", options, rows=border)
    bars = join([chunk.bars for chunk in reader])
    assert bars.ticks[:, 3].tolist() == [1, 2, 3, 4] and reader.reader.dropped == {REPEATED: 1}
    assert isinstance(reader.reader, BarReader)
    assert reader.reader.examples == [(4, "the same row was there before")]
    for row, words in (((2, 9, 0), "row 4: two different rows have the same time"), ((-1, 3, 0), "row 4: .* earlier")):
        parquet(path, [*rows[:3], row, rows[4]], [border])
        with pytest.raises(FeedError, match=words):
            list(ChunkReader(path, "ES", options, rows=border))


def oracle(rows: list[Row]) -> tuple[list[Row], int] | str:
    """Rules 6 to 8 as MES-DATA-03 says them, each on the survivors of the one before."""
    seen: set[Row] = set()
    kept = []
    for row in rows:
        if row not in seen:
            kept.append(row)
        seen.add(row)
    if len({row[0] for row in kept}) < len(kept):
        return "refused"
    if any(b[0] < a[0] for a, b in itertools.pairwise(kept)):
        return "refused"
    return kept, len(rows) - len(kept)


def messy(rng: random.Random) -> list[Row]:
    """Rows with repetitions near and far, and now and then a conflict or a step back."""
    rows = [(k, rng.randrange(1, 5), 0) for k in range(rng.randrange(1, 60))]
    for _ in range(rng.randrange(4)):
        at, length = rng.randrange(len(rows)), rng.randrange(1, 12)
        rows[at + length : at + length] = rows[at : at + length]
    if rng.random() < 0.3:
        rows.insert(rng.randrange(len(rows)), (rng.randrange(60), rng.randrange(1, 5), 0))
    return rows


def test_random_files_are_judged_as_the_rules_say(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "BATCH_ROWS", 5)
    refused = 0
    for seed in range(100):
        rng = random.Random(seed)
        rows, groups = messy(rng), [rng.randrange(1, 9) for _ in range(3)]
        path = parquet(tmp_path / "bars.parquet", rows, groups)
        want = oracle(rows)
        reader = ChunkReader(path, "ES", parse_options({"bar_s": "1"}), rows=rng.randrange(1, 20))
        if isinstance(want, str):
            refused += 1
            with pytest.raises(FeedError, match="time"):
                list(reader)
            continue
        bars = join([chunk.bars for chunk in reader])
        assert ((bars.start_ns - START) // SECOND).tolist() == [row[0] for row in want[0]], seed
        assert bars.ticks[:, 3].tolist() == [row[1] for row in want[0]], seed
        assert reader.reader.dropped[REPEATED] == want[1], seed
    assert 15 < refused < 80


def test_sorting_is_stable_and_comes_before_rule_6(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "BATCH_ROWS", 4)
    rows = flat(30)
    random.Random(1).shuffle(rows)
    path = parquet(tmp_path / "bars.parquet", [*rows, rows[3]])
    with pytest.raises(FeedError, match=r"earlier than that of the row before .*sort=true"):
        load_bars(path, "ES", parse_options({"bar_s": "1"}))
    bars = load_bars(path, "ES", parse_options({"sort": "true", "bar_s": "1"}))
    assert ((bars.start_ns - START) // SECOND).tolist() == list(range(30))
    with pytest.raises(FeedError, match="cannot be sorted in chunks"):
        ChunkReader(path, "ES", parse_options({"sort": "true"}), rows=5)
    parquet(path, [(5, 1, 0), (3, 1, 0), (3, 2, 0)])
    with pytest.raises(FeedError, match=r"row 3: two different .* the same time .* time 2024-01-02T15:00:03 UTC"):
        load_bars(path, "ES", parse_options({"sort": "true", "bar_s": "1"}))


def test_a_reader_goes_on_from_any_block(tmp_path, monkeypatch):
    """Its state is plain values: what the rules remember crosses a restart."""
    monkeypatch.setattr(columns, "BATCH_ROWS", 7)
    rows = flat(40)
    rows[20:20] = [rows[19], rows[12]]
    path = parquet(tmp_path / "bars.parquet", rows, [3, 11])
    whole = BarReader(path, "ES", OPTIONS, strict=False)
    states, parts = [whole.state()], []
    for bars in whole.chunks():
        parts.append(bars)
        states.append(whole.state())
    for k, state in enumerate(states[:-1]):
        again = BarReader(path, "ES", OPTIONS, strict=False, state=state)
        assert equal(join(list(again.chunks())), join(parts[k:])), k
        assert again.dropped == whole.dropped == {REPEATED: 2} and again.examples == whole.examples


def test_rolls_are_told_and_mixtures_refused(tmp_path, monkeypatch):
    """MES-DATA-22, rule 7: contracts one after another are a roll, side by side they are a mixture."""
    monkeypatch.setattr(columns, "BATCH_ROWS", 3)
    names = ("ESH4", "ESM4", "NQH4")
    day = 86_400
    rows = [(0, 1, 0), (1, 2, 0), (day, 3, 1), (day + 1, 4, 1), (day + 2, 9, 2), (3 * day, 5, 1)]
    path = parquet(tmp_path / "bars.parquet", rows, contracts=names)
    reader = ChunkReader(path, "ES", parse_options({"bar_s": "1"}), rows=2)
    bars = join([chunk.bars for chunk in reader])
    assert bars.ticks[:, 3].tolist() == [1, 2, 3, 4, 5]
    assert [reader.reader.contracts.names[code] for code in bars.contract] == ["ESH4|", "ESH4|", *["ESM4|"] * 3]
    assert isinstance(reader.reader, BarReader)
    assert reader.reader.rolls == [(START + day * SECOND, "ESH4", "ESM4")]
    assert reader.reader.dropped == {OTHER_CONTRACT: 1}
    parquet(path, [(0, 1, 0), (1, 2, 0), (1, 2, 1)], contracts=names)
    with pytest.raises(FeedError, match=r"row 3: two different .* the same time .* mixes contracts \(ESH4, ESM4"):
        load_bars(path, "ES", parse_options({"bar_s": "1"}))
    assert load_bars(path, "ES", parse_options({"bar_s": "1", "contract": "ESM4"})).start_ns.size == 1
    parquet(path, [(0, 1, 0), (1, 2, 1), (2, 2, 0), (3, 2, 1)], contracts=names)
    with pytest.raises(FeedError, match=r"mixes contracts: ESM4 and ESH4 take turns on 2024-01-02: name one"):
        load_bars(path, "ES", parse_options({"bar_s": "1"}))


def test_text_zips_and_dbn_are_counted_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(rawbars, "BLOCK_BYTES", 200)
    lines = [f"{START + k * SECOND},10,10.5,9.5,10,{k + 1}" for k in range(100)]
    text = write_text(tmp_path / "a.csv", HEADER + "\n".join(lines) + "\n\n\n")
    packed = write_text(tmp_path / "a.csv.gz", HEADER + "\n".join(lines))
    lean = "".join(f"{k * 60000},1676.5,1676.5,1676.5,1676.5,9\n" for k in range(100))
    zipped = write_zip(tmp_path / "minute.zip", {"20131007_es_minute_trade_201312.csv": lean})
    records = [bar(T0 + k * SECOND, (5000, 5001, 4999, 5000), k + 1, rtype=32) for k in range(100)]
    others = [bar(T0 + k * SECOND, (1, 1, 1, 1), 1, rtype=32, instrument_id=ES_ID + 1) for k in range(10)]
    raw = write_dbn(tmp_path / "a.dbn", dbn.Schema.OHLCV_1S, [*records[:50], *others, *records[50:]])
    for path, symbol, rows in ((text, "SBER", 100), (packed, "SBER", 100), (zipped, "ES", 100), (raw, "ES", 110)):
        reader = ChunkReader(path, symbol, OPTIONS, rows=30)
        assert (reader.source_rows, reader.chunks) == (rows, 4), path
        chunks = list(reader)
        assert [chunk.rows for chunk in chunks] == [30, 30, 30, rows - 90]
        assert sum(chunk.bars.start_ns.size for chunk in chunks) == 100
        assert equal(join([chunk.bars for chunk in chunks]), load_bars(path, symbol, OPTIONS))


def test_bars_outside_the_session_are_put_aside(tmp_path):
    """Rule 9: the halt from 17:00 to 18:00 New York, a weekend, and the early close of 2025-01-09."""
    halt = 7 * 3600  # START is 10:00 in New York on a Tuesday
    weekend = (4 * 24 + 2) * 3600
    early = (373 * 24) * 3600  # Thursday 2025-01-09, 10:00: closed at 09:30
    good = [(0, 1, 0), (halt - 1, 1, 0), (halt + 3600, 1, 0), (early - 1801, 1, 0)]
    bad = [(halt, 1, 0), (halt + 3599, 1, 0), (weekend, 1, 0), (early - 1800, 1, 0), (early, 1, 0)]
    path = parquet(tmp_path / "bars.parquet", sorted([*good, *bad]))
    reader = ChunkReader(path, "ES", parse_options({"bar_s": "1"}), rows=4, inside=Hours("cme").inside)
    bars = join([chunk.bars for chunk in reader])
    assert ((bars.start_ns - START) // SECOND).tolist() == [row[0] for row in sorted(good)]
    assert isinstance(reader.reader, BarReader)
    assert ((join(reader.reader.aside).start_ns - START) // SECOND).tolist() == [row[0] for row in sorted(bad)]
    assert reader.reader.dropped == {OUTSIDE_SESSION: 5}


def test_volumes_in_units_and_the_twin_of_a_row(tmp_path, monkeypatch):
    """Shares become lots after the rules have compared them."""
    monkeypatch.setattr(rawbars, "BLOCK_BYTES", 60)
    rows = [f"{START + k * SECOND},10,10.5,9.5,10,{k + 101}" for k in (0, 1, 2, 3, 1, 2, 4)]
    path = write_text(tmp_path / "a.csv", HEADER + "\n".join(rows))
    reader = ChunkReader(path, "SBER", parse_options({"volume_unit": "units", "bar_s": "1"}), rows=2)
    bars = join([chunk.bars for chunk in reader])
    assert bars.volume.tolist() == [10] * 5 and reader.reader.dropped == {REPEATED: 2}
