"""Parts of days out of stored sets: bars, books and recordings, beside what was put in; memory stays bounded."""

import time
import tracemalloc
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marketdata.core.records import BOOK, FLAG_INVALID, NO_TICK, TRADE, new_events
from marketdata.core.units import NANOS
from marketdata.feeds.books import binance
from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.store.days import reading
from marketdata.store.days import seconds as seconds_file
from marketdata.store.days.reading import bars_part, books_part, recording_part
from marketdata.store.days.seconds import day_counts, seconds_of
from marketdata.store.days.span import span_of
from marketdata.store.importing import import_file, remove_data_set
from marketdata.store.sets import bookparts
from tests.data.recordings import books as made_up_books
from tests.feeds.recordings import T0, a_session, order, trade, write_dbn
from tests.store.books.kit import recording
from tests.store.books.test_binance import SNAPSHOT, said, update
from tests.store.imports import ANY_HOURS, START

DAY = date(2024, 1, 2)
MINUTES = 15 * 60  # T0 is 15:00 UTC


def seconds(folder: Path, count: int) -> Path:
    """So many 1-second bars of ES from 15:00 UTC, the close one tick higher with each, stored."""
    close = (20_000 + np.arange(count) % 500) * 250_000_000
    table = pa.table(
        {
            "timestamp": START + np.arange(count) * NANOS,
            **dict.fromkeys(("open", "high", "low", "close"), close),
            "volume": np.ones(count, np.uint64),
            "symbol": ["ES"] * count,
        }
    )
    pq.write_table(table, folder / "bars.parquet")
    return import_file(folder / "bars.parquet", "ES", ANY_HOURS, folder / "data").path


def test_an_hour_of_seconds(tmp_path):
    path = seconds(tmp_path, 5000)
    part = bars_part(path, span_of(DAY, MINUTES, MINUTES + 60, NANOS), "ES")
    assert (part.rows, part.candles.at.size, part.quotes, part.cut_ns) == (3600, 720, None, None)
    assert part.candles.ticks[0].tolist() == [20_000, 20_004, 20_000, 20_004] and int(part.candles.volume.sum()) == 3600
    assert bars_part(path, span_of(date(2024, 3, 1)), "ES").rows == 0, "a month that is not there"
    (file,) = path.parent.glob(f"{path.stem}.1/ES/*.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(FeedError, match="cannot be read"):
        bars_part(path, span_of(DAY), "ES")


def test_a_day_of_a_long_month_is_read_without_the_month(tmp_path, monkeypatch):
    """Memory of one day, whatever the month holds."""
    days = 20
    close = np.full(days * 86_400, 20_000 * 250_000_000)
    table = pa.table(
        {
            "timestamp": START + np.arange(close.size) * NANOS,
            **dict.fromkeys(("open", "high", "low", "close"), close),
            "volume": np.ones(close.size, np.uint64),
            "symbol": pa.array(["ES"]).take(pa.array(np.zeros(close.size, np.int32))),
        }
    )
    pq.write_table(table, tmp_path / "bars.parquet")
    path = import_file(tmp_path / "bars.parquet", "ES", ANY_HOURS, tmp_path / "data").path
    del table, close
    day = date(2024, 1, 10)
    bars_part(path, span_of(day, 0, 1440, NANOS), "ES")
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    part = bars_part(path, span_of(day, 0, 1440, NANOS), "ES")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert part.rows == 86_400 and part.candles.at.size == 1440
    assert peak < 32 << 20
    until = time.monotonic() + 60
    while pa.total_allocated_bytes() > before + (1 << 20) and time.monotonic() < until:
        time.sleep(0.05)  # the reader's threads let their last buffers go a moment after it has answered
    assert pa.total_allocated_bytes() <= before + (1 << 20)


def at(ns: int) -> tuple[date, int]:
    moment = datetime.fromtimestamp(ns // NANOS, UTC)
    return moment.date(), moment.hour * 60 + moment.minute


def test_books_have_their_best_prices_and_their_hole(tmp_path):
    """Two books, a hole in the updates, and the snapshot that ends it."""
    late = {**SNAPSHOT, "lastUpdateId": 30, "bids": [["99.00", "5"]]}
    source = recording(tmp_path / "x.jsonl", said(SNAPSHOT, update(), update(U=21, u=22), late))
    report = import_file(source, "SBER", parse_options({}), tmp_path / "data")
    day, minute = at(report.first_ns)
    part = books_part(report.path, span_of(day, minute, minute + 2))
    assert part.quotes is not None and part.rows == report.rows and part.candles.at.size == 0
    quotes = part.quotes
    assert int(quotes.books.sum()) == report.verdicts["books"]
    assert int(quotes.invalid.sum()) == report.verdicts["books that are not valid"] == 1
    last = int((report.last_ns - span_of(day, minute, minute + 2).begin_ns) // NANOS)
    assert quotes.bid[last] == 9900 and quotes.widest[last] == quotes.ask[last] - quotes.bid[last]
    assert (quotes.bid[last + 1 :] == NO_TICK).all(), "behind the last event nothing is known"
    none = books_part(report.path, span_of(date(2030, 1, 1)))
    assert none.rows == 0 and none.quotes is not None and (none.quotes.bid == NO_TICK).all()


def test_a_part_of_the_day_begins_with_the_book_that_stood(tmp_path, monkeypatch):
    """In row groups and batches of any size."""
    source = recording(tmp_path / "x.jsonl", said(SNAPSHOT, *(update(U=k, u=k, pu=k - 1) for k in range(11, 40))))
    report = import_file(source, "SBER", parse_options({}), tmp_path / "data")
    day, minute = at(report.first_ns)
    whole = books_part(report.path, span_of(day, minute, minute + 1)).quotes
    monkeypatch.setattr(reading, "BATCH_ROWS", 3)
    again = books_part(report.path, span_of(day, minute, minute + 1)).quotes
    assert whole is not None and again is not None
    assert all(np.array_equal(one, two) for one, two in zip(whole, again, strict=True))


def test_a_recording_of_orders_has_bars_and_books(tmp_path):
    path = write_dbn(tmp_path / "es.dbn.zst", dbn.Schema.MBO, a_session())
    part = recording_part(path, "mbo", span_of(DAY, MINUTES, MINUTES + 1), "ES", parse_options({}))
    assert part.quotes is not None and part.cut_ns is None
    assert part.candles.at.tolist() == [0, 2] and part.candles.ticks[0].tolist() == [20_001] * 4
    assert part.quotes.bid[0] == 20_000 and part.quotes.ask[0] == 20_001
    assert part.quotes.ask[3] == NO_TICK or part.quotes.ask[3] >= 20_001


def test_of_a_long_recording_a_page_reads_a_part_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "RECORDS_MAX", 1)
    add: Any = dbn.Action.ADD
    bid: Any = dbn.Side.BID
    many = [order(add, bid, k + 1, 5000.0, 1, T0 + k * NANOS) for k in range(20_000)]
    path = write_dbn(tmp_path / "es.dbn", dbn.Schema.MBO, many)
    part = recording_part(path, "mbo", span_of(DAY, MINUTES, MINUTES + 600), "ES", parse_options({}))
    assert part.cut_ns is not None and T0 < part.cut_ns < T0 + 20_000 * NANOS
    monkeypatch.undo()
    assert recording_part(path, "mbo", span_of(DAY, MINUTES, MINUTES + 600), "ES", parse_options({})).cut_ns is None


def test_a_recording_of_trades_has_bars_alone(tmp_path):
    path = write_dbn(tmp_path / "t.dbn", dbn.Schema.TRADES, [trade(5000, k + 1, T0 + k * NANOS) for k in range(5)])
    part = recording_part(path, "trades", span_of(DAY, MINUTES, MINUTES + 1), "ES", parse_options({}))
    assert part.quotes is None and part.candles.volume.tolist() == [1, 2, 3, 4, 5] and part.rows > 5


def same(one: reading.Part, two: reading.Part) -> bool:
    """Whether two pictures hold the same."""
    told = [(*part.candles, *(part.quotes or ())) for part in (one, two)]
    return one.rows == two.rows and all(np.array_equal(a, b) for a, b in zip(*told, strict=True))


SPANS = [(0, 1440), (MINUTES, MINUTES + 1), (MINUTES, MINUTES + 60), (MINUTES + 1, MINUTES + 2), (1000, 1440)]


def test_the_seconds_beside_a_recording_draw_what_the_recording_draws(tmp_path, monkeypatch):
    """Every part of a day, in row groups of any size, without a look into the recording."""
    monkeypatch.setattr(seconds_file, "GROUP_ROWS", 7)
    source = write_dbn(tmp_path / "es.dbn.zst", dbn.Schema.MBO, a_session())
    report = import_file(source, "ES", parse_options({}), tmp_path / "data")
    assert day_counts(seconds_of(report.path)) == {str(DAY): report.rows}
    wanted = [recording_part(source, "mbo", span_of(DAY, *ends), "ES", parse_options({})) for ends in SPANS]
    report.path.write_bytes(b"")
    found = [recording_part(report.path, "mbo", span_of(DAY, *ends), "ES", parse_options({})) for ends in SPANS]
    assert all(map(same, found, wanted)) and wanted[1].candles.at.size > 0
    remove_data_set(report.path)
    assert list((tmp_path / "data").iterdir()) == []


def test_the_seconds_beside_books_draw_what_the_books_draw(tmp_path, monkeypatch):
    """Over parts and row groups; a set that was stored without seconds is drawn up to a bound, and says so."""
    monkeypatch.setattr(seconds_file, "GROUP_ROWS", 3)
    monkeypatch.setattr(bookparts, "PART_ROWS", 40)
    monkeypatch.setattr(binance, "LINES", 50)
    source = made_up_books(tmp_path / "x.jsonl", 900, hole=400)
    report = import_file(source, "SBER", parse_options({}), tmp_path / "data")
    day, minute = at(report.first_ns)
    spans = [span_of(day, minute, minute + length) for length in (1, 2, 10)] + [span_of(day, minute + 1, minute + 2)]
    found = [books_part(report.path, span) for span in spans]
    parts = sorted(tmp_path.glob("data/*.1/SBER/*.seconds.parquet"))
    assert len(parts) == report.partitions > 3
    assert sum(day_counts(part)[str(day)] for part in parts) == report.rows
    parts[1].write_bytes(b"PAR1")
    assert day_counts(parts[1]) == {}
    assert all(map(same, [books_part(report.path, span) for span in spans], found)), "damaged: the books themselves"
    monkeypatch.setattr(reading, "ROWS_MAX", 1)
    monkeypatch.setattr(reading, "BATCH_ROWS", 8)
    cut = books_part(report.path, spans[2])
    assert cut.cut_ns is not None and 0 < cut.rows < found[2].rows


@pytest.mark.parametrize("seed", range(4))
def test_seconds_of_blocks_cut_anywhere_are_those_of_one_block(seed):
    rng = np.random.default_rng(seed)
    events = new_events(600)
    events["kind"] = rng.choice([BOOK, BOOK, TRADE], 600)
    times = np.sort(rng.integers(0, 90, 600)) * NANOS // 3 + START
    events["ts_ns"] = events["ts_venue_ns"] = times
    events["bid_tick"], events["ask_tick"] = rng.integers(90, 100, 600), rng.integers(100, 110, 600)
    events["flags"] = rng.choice([0, FLAG_INVALID], 600)
    cuts = [0, *sorted(rng.choice(np.arange(1, 600), 20, replace=False).tolist()), 600]
    one, many = seconds_file.Seconds(with_bars=True), seconds_file.Seconds(with_bars=True)
    whole = np.concatenate([one.see(events, times), one.end()])
    parts = [many.see(events[a:b], times[a:b]) for a, b in pairwise(cuts)]
    assert np.array_equal(np.concatenate([*parts, many.end()]), whole)
    assert int(whole["events"].sum()) == 600 and int(whole["books"].sum()) == int((events["kind"] == BOOK).sum())
