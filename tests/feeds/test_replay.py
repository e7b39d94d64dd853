"""The replay feed: what it gives, that it never looks ahead, and that the same tape is always the same bytes."""

import csv
from datetime import datetime
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pytest

from marketdata.core.records import (
    BAR,
    BOOK,
    BUY,
    FEED,
    FEED_END,
    FLAG_BACKFILL,
    FLAG_CARRIED,
    FLAG_INVALID,
    NO_TIME,
    SELL,
    TRADE,
)
from marketdata.feeds.port import FeedError
from marketdata.feeds.registry import open_feed
from marketdata.feeds.tapes import with_carried
from tests.feeds.recordings import (
    ES_ID,
    FAR,
    NQ_ID,
    SECOND,
    T0,
    a_session,
    bar,
    open_file,
    order,
    spec,
    trade,
    whole,
    write_dbn,
)

MS = 1_000_000


@pytest.fixture
def session_file(tmp_path) -> Path:
    return write_dbn(tmp_path / "tape.mbo.dbn.zst", dbn.Schema.MBO, a_session())


def test_a_market_by_order_tape(session_file):
    feed = open_file(session_file, schema="mbo")
    past = feed.backfill()
    assert past.events["kind"].tolist() == [BOOK, BOOK]
    assert (past.events["flags"] & FLAG_BACKFILL != 0).all() and (past.depths["flags"] & FLAG_BACKFILL != 0).all()
    assert past.events["flags"][0] & FLAG_INVALID  # one side only
    assert feed.start_ns == feed.next_ns() == T0 + 500 * MS  # the market first trades
    batch = feed.read(FAR, 100)
    assert batch.events["kind"].tolist() == [TRADE, BOOK, BOOK, BAR, BOOK, BAR, TRADE, BOOK, BOOK, BAR, FEED]
    assert batch.depth_of.tolist() == [-1, 0, 1, -1, 2, -1, -1, 3, 4, -1, -1]
    assert batch.ended and batch.position == 11 and feed.next_ns() == NO_TIME
    carried = batch.events["flags"] & FLAG_CARRIED != 0
    assert np.flatnonzero(carried).tolist() == [5] and batch.events["volume"][5] == 0  # MES-DATA-20: no print in it
    trades = batch.events[batch.events["kind"] == TRADE]
    assert trades["side"].tolist() == [BUY, SELL] and trades["price_tick"].tolist() == [20001, 20000]
    book = batch.events[1]
    assert (book["bid_tick"], book["bid_qty"], book["ask_tick"], book["ask_qty"]) == (20000, 3, 20001, 3)
    assert batch.events["code"][-1] == FEED_END
    assert (batch.events["ts_ns"] == batch.events["ts_venue_ns"]).all() and not batch.events["seq"].any()


def test_bars_are_given_at_their_end_and_before_what_follows(session_file):
    """No look-ahead: a bar of second s is not seen before s + 1, and is complete then."""
    feed = open_file(session_file)
    early = feed.read(T0 + SECOND - 1, 100)
    assert BAR not in early.events["kind"]
    (one,) = feed.read(T0 + SECOND, 100).events
    assert (one["kind"], one["ts_venue_ns"], one["value"], one["volume"]) == (BAR, T0 + SECOND, SECOND, 2)
    assert [one[f"{name}_tick"] for name in ("open", "high", "low", "close")] == [20001] * 4


def test_nothing_later_than_asked_and_never_backwards(session_file):
    feed = open_file(session_file)
    last = NO_TIME
    while feed.next_ns() != NO_TIME:
        until = feed.next_ns() + 1
        times = feed.read(until, 1000).events["ts_venue_ns"]
        assert times.size and (times <= until).all() and (times >= last).all()
        last = int(times[-1])


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_read_limits_of_any_size_give_the_same_bytes(session_file, limit):
    assert whole(open_file(session_file), limit) == whole(open_file(session_file))


@pytest.mark.parametrize("position", range(12))
def test_seek_goes_on_with_the_same_bytes(session_file, position):
    rest = open_file(session_file)
    rest.read(FAR, position) if position else None
    want = whole(rest) if position < 11 else (b"", b"", [])
    again = open_file(session_file)
    again.read(FAR, 4)  # forwards and backwards
    again.seek(position)
    if position == 11:
        assert again.next_ns() == NO_TIME and again.read(FAR, 5).ended
    else:
        assert whole(again) == want


def test_seek_beyond_the_end_is_refused(session_file):
    with pytest.raises(FeedError, match="ends at position 11, before 12"):
        open_file(session_file).seek(12)


def test_the_caller_may_stamp_what_it_was_given(session_file):
    feed = open_file(session_file)
    first = feed.read(FAR, 5)
    first.events["ts_ns"] = 1
    first.depths["bid_tick"] = 7
    second = feed.read(FAR, 100)
    rest = open_file(session_file)
    rest.read(FAR, 5)
    want = rest.read(FAR, 100)
    assert second.events.tobytes() == want.events.tobytes() and second.depths.tobytes() == want.depths.tobytes()


def test_start_option_makes_the_rest_back_fill(session_file):
    feed = open_file(session_file, start="2024-01-02T15:00:01Z")
    assert feed.start_ns == T0 + SECOND
    assert feed.backfill().events["kind"].tolist() == [BOOK, BOOK, TRADE, BOOK, BOOK]
    assert feed.read(FAR, 1).events["kind"].tolist() == [BAR]
    with pytest.raises(FeedError, match="no event in the session"):
        open_file(session_file, start="2024-01-02T16:00:00Z")
    for text, words in (("2024-01-02T15:00:00", "no offset"), ("noon", "not a time like")):
        with pytest.raises(FeedError, match=words):
            open_file(session_file, start=text)


def test_back_fill_is_bounded(tmp_path):
    """A long past builds the book; only its last part is handed out."""
    records = [order(dbn.Action.ADD, dbn.Side.BID, k + 1, 5000 - 0.25 * (k % 15), 1, T0 + k) for k in range(3000)]
    records.append(order(dbn.Action.TRADE, dbn.Side.BID, 9, 5001, 1, T0 + SECOND))
    feed = open_file(write_dbn(tmp_path / "long.dbn", dbn.Schema.MBO, records))
    past = feed.backfill()
    assert past.events.size == past.depths.size == 1024
    assert past.depth_of.tolist() == list(range(1024))
    assert past.depths["bid_qty"][-1][:15].tolist() == [200] * 15  # all 3 000 orders are in the book
    assert feed.start_ns == T0 + SECOND


def test_es_tape_traded_as_mes(session_file):
    assert open_file(session_file, ["MES"], as_symbol="MES").read(FAR, 1).events["price_tick"][0] == 20001
    assert whole(open_file(session_file, ["MES"], as_symbol="ES:MES")) == whole(open_file(session_file))
    with pytest.raises(FeedError, match=r"holds ES, but the session trades MES: .* option as_symbol=ES:MES"):
        open_file(session_file, ["MES"])
    with pytest.raises(FeedError, match="as_symbol names MES, but the session trades ES"):
        open_file(session_file, as_symbol="MES")
    with pytest.raises(FeedError, match="ES cannot be traded as SBER: their price grids differ"):
        open_file(session_file, ["SBER"], as_symbol="SBER")


def test_other_instruments_are_left_out_and_counted(tmp_path):
    mixed = []
    for record in a_session():
        mixed += [record, order(dbn.Action.ADD, dbn.Side.BID, 77, 16000.1, 1, record.ts_recv, instrument_id=NQ_ID)]
    ids = {"ESH4": ES_ID, "NQH4": NQ_ID}
    feed = open_file(write_dbn(tmp_path / "two.dbn", dbn.Schema.MBO, mixed, ids))
    alone = open_file(write_dbn(tmp_path / "one.dbn", dbn.Schema.MBO, a_session()))
    assert whole(feed) == whole(alone)
    assert feed.counts()["other_instruments"] == 10
    assert open_file(tmp_path / "two.dbn", instrument_id=str(ES_ID)).read(FAR, 1).events["kind"][0] == TRADE


def test_two_instruments_of_one_file(tmp_path):
    records = []
    for k in range(4):
        records += [trade(5000 + k, 1, T0 + k * 400 * MS), trade(17000 + k, 2, T0 + k * 400 * MS, instrument_id=NQ_ID)]
    path = write_dbn(tmp_path / "t.dbn", dbn.Schema.TRADES, records, {"ESH4": ES_ID, "NQH4": NQ_ID})
    batch = open_file(path, ["NQ", "ES"], "trades").read(FAR, 100)
    bars = batch.events[batch.events["kind"] == BAR]
    assert bars["instrument"].tolist() == [0, 1, 0, 1]
    assert bars["volume"].tolist() == [6, 3, 2, 1]
    assert bars["ts_venue_ns"].tolist() == [T0 + SECOND] * 2 + [T0 + 2 * SECOND] * 2


def test_a_price_off_the_grid_names_the_record(tmp_path):
    records = [*a_session(), order(dbn.Action.ADD, dbn.Side.BID, 50, 4999.9, 1, T0 + 3 * SECOND)]
    path = write_dbn(tmp_path / "grid.dbn", dbn.Schema.MBO, records)
    with pytest.raises(
        FeedError, match=r"grid\.dbn: record 11 of ES .* off the tick grid \(its own price is 4999\.9\)"
    ):
        open_file(path)


def test_a_cut_file_is_refused_before_anything_is_sent(tmp_path, session_file):
    path = tmp_path / "cut.dbn.zst"
    path.write_bytes(session_file.read_bytes()[:-20])
    with pytest.raises(FeedError, match="cut inside a zstd frame"):
        open_file(path)


def test_ten_levels_tape(tmp_path):
    level = dbn.BidAskPair
    empty = [level() for _ in range(8)]

    def message(at_ns, action, last, bid, ask):
        return dbn.MBP10Msg(
            publisher_id=1,
            instrument_id=ES_ID,
            ts_event=at_ns,
            price=5000 * 10**9,
            size=2,
            action=action,
            side=dbn.Side.BID,
            depth=0,
            ts_recv=at_ns,
            flags=dbn.F_LAST if last else 0,
            ts_in_delta=0,
            sequence=1,
            levels=[
                level(bid_px=5000 * 10**9, ask_px=5000_250_000_000, bid_sz=bid, ask_sz=ask, bid_ct=1, ask_ct=1),
                level(bid_px=4999_750_000_000, ask_px=5000_500_000_000, bid_sz=9, ask_sz=8, bid_ct=1, ask_ct=1),
                *empty,
            ],
        )

    records = [
        message(T0, dbn.Action.ADD, True, 3, 5),
        message(T0 + 1, dbn.Action.TRADE, False, 3, 5),
        message(T0 + 2, dbn.Action.CANCEL, True, 3, 4),
        message(T0 + 3, dbn.Action.ADD, True, 3, 4),
    ]
    feed = open_file(write_dbn(tmp_path / "t.mbp10.dbn.zst", dbn.Schema.MBP_10, records), schema="mbp-10")
    assert feed.backfill().events["kind"].tolist() == [BOOK] and feed.start_ns == T0 + 1
    batch = feed.read(FAR, 100)
    assert batch.events["kind"].tolist() == [TRADE, BOOK, BAR, FEED]
    assert batch.depths["ask_qty"][0][:3].tolist() == [4, 8, 0]
    assert (batch.events["volume"][1], batch.events["value"][1]) == (12, 12)


@pytest.mark.parametrize(("schema", "rtype", "seconds"), [("ohlcv-1s", 32, 1), ("ohlcv-1m", 33, 60)])
def test_venue_bars(tmp_path, schema, rtype, seconds):
    step = seconds * SECOND
    records = [bar(T0 + k * step, (5000, 5001, 4999.75, 5000.5), 10 + k, rtype) for k in range(3)]
    kind = dbn.Schema.OHLCV_1S if seconds == 1 else dbn.Schema.OHLCV_1M
    batch = open_file(write_dbn(tmp_path / "b.dbn", kind, records), schema=schema).read(FAR, 100)
    assert batch.events["ts_venue_ns"][:3].tolist() == [T0 + (k + 1) * step for k in range(3)]
    assert batch.events["value"][:3].tolist() == [step] * 3
    one = batch.events[0]
    assert [one[f"{n}_tick"] for n in ("open", "high", "low", "close")] == [20000, 20004, 19999, 20002]


def test_seconds_without_a_print_are_carried(tmp_path):
    """MES-DATA-20: up to 300 s after the last print, over the borders of chunks too; minutes are left as they are."""
    at = [0, 1, 4, 1000]
    records = [bar(T0 + k * SECOND, (5000, 5001, 4999.75, 5000.5), 7, 32) for k in at]
    events = open_file(write_dbn(tmp_path / "b.dbn", dbn.Schema.OHLCV_1S, records)).read(FAR, 9999).events[:-1]
    seconds = ((events["ts_venue_ns"] - T0) // SECOND - 1).tolist()
    assert seconds == [*range(305), 1000]
    carried = events[events["flags"] & FLAG_CARRIED != 0]
    assert carried.size == 302 and not carried["volume"].any()
    for name in ("open_tick", "high_tick", "low_tick", "close_tick", "price_tick"):
        assert (carried[name] == 20002).all()
    assert events[events["flags"] == 0]["volume"].tolist() == [7] * 4
    one, last = with_carried(events[:1], events[:0])
    two, _ = with_carried(events[4:5], last)
    assert np.concatenate((one, two))["ts_venue_ns"].tolist() == events["ts_venue_ns"][:5].tolist()


def test_what_a_replay_refuses(tmp_path, session_file):
    for words, arguments in (
        ("unknown option 'zoen'", {"zoen": "UTC"}),
        ("format='xls' is unknown", {"format": "xls"}),
        ("instrument_id='x' is not a positive", {"instrument_id": "x"}),
        ("names 2 ids for 1 symbols", {"instrument_id": "1,2"}),
    ):
        with pytest.raises(FeedError, match=words):
            open_file(session_file, **arguments)
    with pytest.raises(FeedError, match="needs the path"):
        open_file("")
    with pytest.raises(FeedError, match="does not exist"):
        open_file(tmp_path / "nowhere.dbn")
    with pytest.raises(FeedError, match="unknown instrument 'XX'"):
        open_file(session_file, ["XX"])
    with pytest.raises(FeedError, match="schema 'tbbo' cannot be replayed"):
        open_file(session_file, schema="tbbo")
    with pytest.raises(FeedError, match="holds schema mbo, not trades"):
        open_file(session_file, schema="trades")


def test_the_registry_knows_it(session_file):
    feed = open_feed(spec(session_file))
    assert feed.start_ns == T0 + 500 * MS
    feed.close()


def test_the_recorded_es_morning(sample_data):
    """The real ESH4 file traded as MES: start, one-second bars exactly as derived, valid books after the open."""
    folder = sample_data / "cme_es_mbo"
    path = folder / "esh4_20231225_to2330.mbo.dbn.zst"
    feed = open_file(path, ["MES"], "mbo", as_symbol="MES")
    assert feed.start_ns == 1_703_545_200_105_900_877  # the opening trade, 23:00:00.106
    batch = feed.read(FAR, 10**6)
    kinds, counts = np.unique(batch.events["kind"], return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {BAR: 1799, TRADE: 1865, BOOK: 23067, FEED: 1}
    grid = batch.events[batch.events["kind"] == BAR]
    assert (np.diff(grid["ts_venue_ns"]) == SECOND).all()  # every second is on the grid (MES-DATA-20)
    bars = grid[grid["flags"] & FLAG_CARRIED == 0]
    assert bars.size == 606
    with open(folder / "esh4_20231225_to2330.ohlcv1s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    want = [
        (
            int(datetime.fromisoformat(row["ts"]).timestamp()) * SECOND + SECOND,
            *(round(float(row[name]) * 4) for name in ("open", "high", "low", "close")),
            int(row["volume"]),
        )
        for row in rows
    ]
    names = ["ts_venue_ns", "open_tick", "high_tick", "low_tick", "close_tick", "volume"]
    assert [tuple(int(one[name]) for name in names) for one in bars] == want
    books = batch.events[batch.events["kind"] == BOOK]
    late = books[books["ts_venue_ns"] > 1_703_545_205 * SECOND]
    assert late.size > 20_000 and not (late["flags"] & FLAG_INVALID).any()
    past = feed.backfill()
    assert 0 < past.events.size <= 1024 and (past.events["ts_venue_ns"] < feed.start_ns).all()
    again = open_file(path, ["MES"], "mbo", as_symbol="MES")
    again.seek(12_345)
    assert again.read(FAR, 10**6).events.tobytes() == batch.events[12_345:].tobytes()
    assert whole(open_file(path, ["MES"], as_symbol="MES"), 997)[0] == batch.events.tobytes()


def test_the_recorded_bars_and_trades_of_two_contracts(sample_data):
    folder = sample_data / "cme_dbn_small"
    minutes = folder / "historical_bars_catalog_futures_ohlcv-1m_2024-07-01T23-40_2024-07-02T00-10.dbn.zst"
    batch = open_file(minutes, ["MES", "MNQ"], "ohlcv-1m", as_symbol="ES:MES,NQ:MNQ").read(FAR, 1000)
    assert np.unique(batch.events["instrument"][:60], return_counts=True)[1].tolist() == [30, 30]
    assert (np.diff(batch.events["ts_venue_ns"]) >= 0).all()
    trades = folder / "historical_bars_catalog_futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
    events = open_file(trades, ["ES"], "trades").read(FAR, 1000).events
    assert (events["kind"] == TRADE).sum() == 120
    assert ((events["kind"] == BAR) & (events["flags"] & FLAG_CARRIED == 0)).sum() == 44
    assert events["qty"].sum() == events["volume"].sum()
    quotes = folder / "historical_bars_catalog_futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
    with pytest.raises(FeedError, match="holds schema mbp-1, which cannot be replayed"):
        open_file(quotes, ["ES"])
