"""Parts of days out of stored sets: bars, books and recordings, beside what was put in; memory stays bounded."""

import time
import tracemalloc
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marketdata.core.records import NO_TICK
from marketdata.core.units import NANOS
from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.store.days import reading
from marketdata.store.days.reading import bars_part, books_part, recording_part
from marketdata.store.days.span import span_of
from marketdata.store.importing import import_file
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
