"""Stored books as a tape of the feed `replay`: any cut gives the same bytes, and features stream as in the batch.

Rules: MES-DATA-20, MOEX-FEAT-07, MOEX-ACC-201.
"""

from pathlib import Path

import numpy as np
import pytest

from marketdata.core.bars import bars_of, new_bars
from marketdata.core.bookfeatures.records import VALID, Tape, no_markets
from marketdata.core.records import BAR, BOOK, FEED, FLAG_BACKFILL, FLAG_CARRIED, FLAG_INVALID, TRADE, new_events
from marketdata.feeds.books import tape as tapes
from marketdata.feeds.port import FeedError
from tests.core.bookfeatures.kit import one_at_a_time, whole
from tests.feeds.recordings import FAR, SECOND, open_file, write_text
from tests.store.books.kit import LOBSTER, TENTH, head, recording, stored, tape_of, without_bars
from tests.store.books.test_binance import SNAPSHOT, TRADED, said, update
from trading.learning import dataset
from trading.run.tapes.source import opened_tape

LINES = 2_500


@pytest.fixture(scope="module")
def coin(sample_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("coin")
    return stored(recording(folder / "coin.jsonl", head(sample_data, LINES)), folder / "data", **TENTH).path


@pytest.fixture(scope="module")
def share(sample_data, tmp_path_factory) -> Path:
    source = sample_data / "lobster" / LOBSTER.format("message")
    return stored(source, tmp_path_factory.mktemp("share")).path


def test_any_cut_of_a_replay_gives_the_same_bytes(coin, monkeypatch):
    feed = open_file(coin, ["SBER"])
    whole_batch = feed.read(FAR, 1 << 20)
    assert whole_batch.ended and (whole_batch.events["kind"] == BOOK).sum() > 800
    assert (np.diff(whole_batch.events["ts_venue_ns"]) >= 0).all()
    want = whole_batch.events.tobytes(), whole_batch.depths.tobytes()
    for rows in (1 << 12, 7, 500):
        monkeypatch.setattr(tapes, "ROWS", rows)
        feed = open_file(coin, ["SBER"])
        parts = [feed.read(FAR, 333) for _ in range(len(whole_batch.events) // 333 + 2)]
        assert b"".join(part.events.tobytes() for part in parts) == want[0], rows
        assert b"".join(part.depths.tobytes() for part in parts) == want[1], rows
    feed.seek(400)
    rest = feed.read(FAR, 1 << 20)
    assert rest.events.tobytes() == whole_batch.events[400:].tobytes()
    start = int(whole_batch.events["ts_ns"][600])
    feed = open_file(coin, ["SBER"], start=np.datetime_as_string(np.datetime64(start, "ns"), "us") + "Z")
    past = feed.backfill()
    assert len(past.depths) > 100 and (past.events["flags"] & FLAG_BACKFILL != 0).all() and feed.start_ns <= start


@pytest.mark.parametrize("name", ["coin", "share"])
def test_bars_of_a_second_are_those_of_the_trades(name, request):
    """Each at its end, before the first event that is not earlier; the grid ends with the last printed one."""
    block = tape_of(request.getfixturevalue(name))
    plain = without_bars(block)
    out = new_events(5_000)
    done, count = bars_of(new_bars(1), plain.events, 0, SECOND, out)
    assert done == len(plain.events)
    bars = block.events[block.events["kind"] == BAR]
    assert len(bars) > count > 0 and (bars["value"] == SECOND).all()
    for field in ("open_tick", "high_tick", "low_tick", "close_tick", "volume", "ts_venue_ns", "flags"):
        assert bars[field][:count].tolist() == out[field][:count].tolist(), field
    assert (bars["ts_ns"] == bars["ts_venue_ns"]).all()
    rest = bars["flags"][count:] & FLAG_CARRIED != 0  # the last one with a print, and those carried while books came
    assert not rest[0] and rest[1:].all()
    at = np.flatnonzero(block.events["kind"] == BAR)
    times = block.events["ts_ns"]
    assert all(times[k - 1] < times[k] or block.events["kind"][k - 1] == BAR for k in at.tolist() if k > 0)
    assert bars["volume"].sum() == plain.events["qty"][plain.events["kind"] == TRADE].sum()


@pytest.mark.parametrize("name", ["coin", "share"])
def test_features_of_stored_books_stream_as_in_the_batch(name, request):
    """All 88 features of every stored book, one event at a time and in one batch: equal to the bit."""
    block = tape_of(request.getfixturevalue(name))
    tape = Tape(*block, no_markets(), np.full(len(block.events), -1, np.int32))
    times = block.events["ts_ns"]
    sessions = [(int(times[0]) - 60 * SECOND, int(times[-1]) + SECOND)]
    batch = whole(tape, sessions, 10_000_000)
    single = one_at_a_time(tape, sessions, 10_000_000)
    assert len(batch.verdict) == (block.events["kind"] == BOOK).sum() > 800
    assert (batch.verdict == VALID).all() and np.isfinite(batch.features).all()
    assert single.features.tobytes() == batch.features.tobytes() and single.state == batch.state


def test_what_cannot_be_replayed_is_refused_with_what_to_do(coin, sample_data, tmp_path):
    with pytest.raises(FeedError, match=r"holds books of SBER, but the session trades GAZP: .*as_symbol=SBER:GAZP"):
        open_file(coin, ["GAZP"])
    assert open_file(coin, ["GAZP"], as_symbol="SBER:GAZP").next_ns() > 0
    with pytest.raises(FeedError, match="SBER cannot be traded as LKOH: their price grids differ"):
        open_file(coin, ["LKOH"], as_symbol="SBER:LKOH")
    with pytest.raises(FeedError, match="holds books of one instrument"):
        open_file(coin, ["SBER", "GAZP"])
    with pytest.raises(FeedError, match="books are replayed from one data set, not from 2"):
        open_file(f"{coin},{coin}", ["SBER", "GAZP"])
    with pytest.raises(FeedError, match="holds books, which have no schema mbo"):
        open_file(coin, ["SBER"], schema="mbo")
    raw = sample_data / "lobster" / LOBSTER.format("message")
    with pytest.raises(FeedError, match=r"is a recording of books \(lobster\): import it, and replay the data set"):
        open_file(raw, ["SBER"])
    with pytest.raises(FeedError, match="holds books, not bars"):
        stored(coin, tmp_path)
    bars = write_text(tmp_path / "bars.csv", "timestamp,open,high,low,close,volume\n1727395200000000000,1,1,1,1,1\n")
    with pytest.raises(FeedError, match="options tick and lot are for recordings of books"):
        stored(bars, tmp_path, tick="0.1")


def test_the_tape_says_nothing_about_the_feed_without_a_gap(coin):
    assert not (tape_of(coin).events["kind"] == FEED).any()


def test_a_backtest_over_books_hears_a_gap_as_a_book_that_is_not_valid(tmp_path):
    """It passes FEEDs by: the empty book says that nothing may be entered or filled until the snapshot."""
    late = {**SNAPSHOT, "lastUpdateId": 30}
    lines = said(SNAPSHOT, update(), TRADED, update(U=21, u=22), late, TRADED)
    manifest = stored(recording(tmp_path / "x.jsonl", lines), tmp_path / "data").path
    source = opened_tape(dataset.Tape(name="replay", symbols=["SBER"], path=str(manifest), schema="", options={}), 0)
    try:
        batches = [batch for batch, _ in source.batches()]
    finally:
        source.close()
    events = np.concatenate([batch.events for batch in batches])
    books = events[events["kind"] == BOOK]
    assert not (events["kind"] == FEED).any() and (events["kind"] == TRADE).sum() == 2
    assert [int(book["flags"]) & FLAG_INVALID for book in books] == [0, 0, FLAG_INVALID, 0]
    assert books["bid_qty"][2] == books["ask_qty"][2] == 0 and source.events > 0 and len(source.hash) == 64
