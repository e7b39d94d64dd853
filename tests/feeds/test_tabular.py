"""Bars from text, zips and Parquet: exact ticks and times, and one sentence for each thing that is wrong."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marketdata.core.quality import BAD_OHLC, MISSING, OFF_GRID, REPEATED
from marketdata.core.records import BAR
from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.feeds.sources import detect_format
from marketdata.feeds.tabular import BarReader, Bars
from marketdata.zones import ZoneError, utc_from_local
from tests.feeds.recordings import FAR, SECOND, open_file, spec, write_text, write_zip

FINAM = "<DATE>;<TIME>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>\n"
MINUTE = 60 * SECOND


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def read(path: Path, symbol: str = "SBER", *, strict: bool = True, **options: str) -> tuple[Bars, BarReader]:
    reader = BarReader(path, symbol, parse_options(options), strict=strict)
    chunks = list(reader.chunks())
    return Bars(*(np.concatenate([chunk[k] for chunk in chunks]) for k in range(3))), reader


def test_finam_is_moscow_time_stamped_at_the_end_in_shares(tmp_path):
    text = FINAM + "20180103;100500;226.8800000;230.0000000;226.3500000;227.4000000;1480160\r\n"
    text += "20180103;101000;227.3400000;227.5000000;226.7000000;226.9300000;291760\r\n\r\n"
    bars, reader = read(write_text(tmp_path / "SBER.csv.gz", text))
    assert (reader.format, reader.bar_ns) == ("finam", 5 * MINUTE)
    assert bars.start_ns.tolist() == [ns("2018-01-03T07:00:00"), ns("2018-01-03T07:05:00")]
    assert bars.ticks.tolist() == [[22688, 23000, 22635, 22740], [22734, 22750, 22670, 22693]]
    assert bars.volume.tolist() == [148016, 29176]  # lots of ten
    events = open_file(tmp_path / "SBER.csv.gz", ["SBER"]).read(FAR, 10).events
    assert events["kind"][:2].tolist() == [BAR, BAR]
    assert events["ts_venue_ns"][0] == ns("2018-01-03T07:05:00") and events["value"][0] == 5 * MINUTE


def test_moscow_was_utc_plus_four_before_2014(tmp_path):
    text = FINAM + "20130103;100500;1;1;1;1;10\n20130103;101000;1;1;1;1;10\n"
    bars, _ = read(write_text(tmp_path / "old.csv", text))
    assert bars.start_ns[0] == ns("2013-01-03T06:00:00")


def test_lean_minutes_are_milliseconds_since_midnight(tmp_path):
    path = write_zip(
        tmp_path / "minute.zip",
        {
            "20131007_es_minute_trade_201312.csv": "0,1676.5,1676.5,1676.5,1676.5,9\n"
            "60000,1676.5,1676.75,1676.5,1676.75,19\n",
            "20131007_es_minute_trade_201403.csv": "60000,1670.5,1670.5,1670.5,1670.5,1\n",
        },
    )
    bars, reader = read(path, "ES")
    assert (reader.format, reader.bar_ns) == ("lean", MINUTE)
    assert bars.start_ns.tolist() == [ns("2013-10-07T00:00:00"), ns("2013-10-07T00:01:00")]
    assert bars.ticks[1].tolist() == [6706, 6707, 6706, 6707]
    assert read(path, "ES", contract="201403")[0].volume.tolist() == [1]
    assert read(path, "MES", as_symbol="MES")[0].volume.tolist() == [9, 19]
    for symbol, options, words in (
        ("ES", {"contract": "201512"}, "holds no contract 201512; it holds 201312, 201403"),
        ("NQ", {}, "holds ES, but the session trades NQ"),
    ):
        with pytest.raises(FeedError, match=words):
            read(path, symbol, **options)


def test_lean_quotes_are_no_bars_and_a_cut_zip_is_refused(tmp_path):
    path = write_zip(tmp_path / "q.zip", {"20131007_es_minute_quote_201312.csv": "0,1,1,1,1,9,2,2,2,2,9\n"})
    with pytest.raises(FeedError, match="holds no trade bars"):
        read(path, "ES")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FeedError, match="is cut or no zip"):
        read(path, "ES")


CSV = "timestamp,open,high,low,close,volume\n2024-09-27 10:00:00,267.2,267.3,267.1,267.25,15\n"


def test_naive_times_need_a_zone(tmp_path):
    path = write_text(tmp_path / "bars.csv", CSV)
    with pytest.raises(FeedError, match=r"line 2 cannot be read: .* no zone is declared; .*zone=Area/City"):
        read(path)
    bars, _ = read(path, zone="Europe/Moscow", bar_s="60")
    assert bars.start_ns.tolist() == [ns("2024-09-27T07:00:00")]
    with pytest.raises(FeedError, match="time zone 'Moscow' is unknown"):
        read(path, zone="Moscow", bar_s="60")


@pytest.mark.parametrize(
    "time",
    ["2024-09-27T10:00:00+03:00", "2024-09-27T07:00:00Z", "2024-09-27 07:00:00.000Z", str(ns("2024-09-27T07:00:00"))],
)
def test_times_that_say_their_offset_need_no_zone(tmp_path, time):
    path = write_text(tmp_path / "bars.csv", CSV.replace("2024-09-27 10:00:00", time))
    assert read(path, bar_s="60")[0].start_ns.tolist() == [ns("2024-09-27T07:00:00")]


def test_an_hour_that_happens_twice_is_refused():
    twice = np.array([ns("2024-11-03T01:30:00")])
    never = np.array([ns("2024-03-10T02:30:00")])
    for hour in (twice, never):
        with pytest.raises(ZoneError, match="happens twice or never in America/New_York"):
            utc_from_local(hour, "America/New_York")
    assert utc_from_local(np.array([ns("2024-07-01T00:00:00")]), "America/New_York")[0] == ns("2024-07-01T04:00:00")


ARCHIVE = "uid-1;2024-09-27T04:00:00Z;267.2;267.2;267.26;267.19;15;\n"
ARCHIVE += "uid-1;2024-09-27T04:01:00Z;267.2;267.3;267.92;267.2;20;\n"


def test_an_archive_without_header_needs_its_columns(tmp_path):
    path = write_text(tmp_path / "archive.csv", ARCHIVE)
    with pytest.raises(FeedError, match="has no header line: declare its columns"):
        read(path)
    bars, _ = read(path, columns="uid,time,open,close,high,low,volume,_")
    assert bars.ticks[0].tolist() == [26720, 26726, 26719, 26720]
    with pytest.raises(FeedError, match="line 1 has 8 columns instead of 7"):
        read(path, columns="uid,time,open,close,high,low,volume")
    with pytest.raises(FeedError, match="bars need timestamp"):
        read(path, columns="uid,time,open,close,high,low,_,_")


def test_a_header_in_the_wrong_order_is_found_and_the_fix_is_named(tmp_path):
    text = "ticker;timestamp;Open;High;Low;Close;Volume\n"
    text += "RIH5;2025-03-10 08:59:00;115.31;115.2;115.31;115.13;113\n"
    text += "RIH5;2025-03-10 09:00:00;115.31;115.03;115.39;114.9;467\n"
    path = write_text(tmp_path / "RIH5_1min.csv", text)
    with pytest.raises(
        FeedError, match=r"row 2: open or close lies outside low to high .* columns=ticker,timestamp,open,cl"
    ):
        read(path, zone="Europe/Moscow")
    bars, _ = read(path, zone="Europe/Moscow", columns="ticker,timestamp,open,close,high,low,volume")
    assert bars.ticks[1].tolist() == [11531, 11539, 11490, 11503]


def many(lines: int) -> list[str]:
    return [f"2024-09-27T{k // 60:02d}:{k % 60:02d}:00Z,10,11,9.5,10.25,{k + 1}" for k in range(lines)]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("2024-09-27T05:00:00Z,10,11,9.5,10.25", "line 302 has 5 columns instead of 6"),
        ("", "row 302: a field is missing"),
        ("2024-09-27T05:00:00Z,10,11,9.5,ten,7", "line 302 cannot be read: .*'ten'"),
        ("2024-09-27T05:00:00Z,10,11,9.5,1e30,7", "line 302 cannot be read"),
        ("noon,10,11,9.5,10,7", "line 302 cannot be read: .*noon"),
        ("2024-09-27T05:00:00Z,10,11,9.5,10.255,7", r"row 302: a price is off the tick grid .* steps of 0.01"),
        ("2024-09-27T05:00:00Z,10,11,9.5,,7", "row 302: a field is missing"),
        ("2024-09-27T05:00:00Z,10,11,-9.5,10,7", "row 302: a price is not positive"),
        ("2024-09-27T05:00:00Z,12,11,9.5,10,7", "row 302: open or close lies outside low to high"),
        ("2024-09-27T05:00:10Z,10,11,9.5,10,7", "row 302: the bar does not start on a whole bar length"),
        ("2024-09-27T04:59:00Z,10,11,9.5,10,7", "row 302: two different rows have the same time"),
        ("2024-09-27T04:58:00Z,10,11,9.5,10,7", "row 302: the time is earlier than that of the row before"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path, bad, words):
    lines = ["timestamp,open,high,low,close,volume", *many(300), bad, *many(400)[301:]]
    path = write_text(tmp_path / "bars.csv", "\n".join(lines) + "\n")
    with pytest.raises(FeedError, match=words) as error:
        open_file(path, ["SBER"])  # read to its end before the first event
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_import_drops_and_counts_in_the_order_of_the_rules(tmp_path):
    """MES-DATA-03: rules 1 to 6 drop a row, 7 and 8 refuse the file."""
    lines = many(10)
    lines[2] = lines[2].replace("10.25", "")
    lines[4] = lines[4].replace("10.25", "10.255")
    lines[6] = lines[6].replace("11,9.5", "9,9.5")
    lines.insert(9, lines[8])
    path = write_text(tmp_path / "bars.csv", "timestamp,open,high,low,close,volume\n" + "\n".join(lines))
    bars, reader = read(path, strict=False)
    assert reader.dropped == {MISSING: 1, OFF_GRID: 1, BAD_OHLC: 1, REPEATED: 1}
    assert [row for row, _ in reader.examples] == [4, 6, 8, 11]
    assert bars.volume.tolist() == [1, 2, 4, 6, 8, 9, 10] and reader.rows == 11


def test_lines_count_over_the_borders_of_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("marketdata.feeds.rawbars.BLOCK_BYTES", 100)
    lines = many(200)
    path = write_text(tmp_path / "bars.csv", "timestamp,open,high,low,close,volume\n" + "\n".join(lines))
    assert read(path)[0].volume.tolist() == list(range(1, 201))
    lines[150] = "x" + lines[150]
    write_text(path, "timestamp,open,high,low,close,volume\n" + "\n".join(lines))
    with pytest.raises(FeedError, match="line 152 cannot be read"):
        read(path)


def test_a_cut_gzip_an_empty_and_an_unknown_file(tmp_path):
    path = write_text(tmp_path / "bars.csv.gz", "timestamp,open,high,low,close,volume\n" + "\n".join(many(500)))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FeedError, match="is cut or damaged"):
        read(path)
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    with pytest.raises(FeedError, match="is empty"):
        read(empty)
    only_header = write_text(tmp_path / "header.csv", FINAM)
    with pytest.raises(FeedError, match="holds no bar of SBER"):
        read(only_header)
    other = tmp_path / "notes.doc"
    other.write_bytes(b"what is this")
    with pytest.raises(FeedError, match="unknown format; known: dbn, parquet, finam, lean, csv"):
        detect_format(other)


def table(symbol: list[str], **columns: object) -> pa.Table:
    n = len(symbol)
    base: dict[str, object] = {
        "timestamp": pa.array([ns("2024-01-02T15:00:00") + k * SECOND for k in range(n)], pa.int64()),
        "open": pa.array([5000.25] * n),
        "high": pa.array([5000.5] * n),
        "low": pa.array([5000.0] * n),
        "close": pa.array([5000.25] * n),
        "volume": pa.array(range(1, n + 1), pa.uint64()),
        "symbol": symbol,
    }
    return pa.table({**base, **columns})


def test_parquet_bars(tmp_path):
    """MES-DATA-01: start stamps, float points or 1e-9 integers, a contract column."""
    path = tmp_path / "bars.parquet"
    pq.write_table(table(["ESH4", "ESH4", "ESM4", "ESH4"]), path)
    bars, reader = read(path, "ES")
    assert reader.format == "parquet" and reader.bar_ns == SECOND
    assert bars.volume.tolist() == [1, 2, 4]  # rows of the other contract are left out
    assert bars.ticks[0].tolist() == [20001, 20002, 20000, 20001]
    assert read(path, "ES", contract="ESM4", bar_s="1")[0].volume.tolist() == [3]
    nanos = {name: pa.array([5000_250_000_000] * 2, pa.int64()) for name in ("open", "high", "low", "close")}
    pq.write_table(table(["MES"] * 2, **nanos), path)
    assert read(path, "MES")[0].ticks.tolist() == [[20001] * 4] * 2
    with pytest.raises(FeedError, match="holds MES, but the session trades ES"):
        read(path, "ES")


def test_parquet_that_cannot_be_used(tmp_path):
    path = tmp_path / "bars.parquet"
    naive = pa.array([ns(f"2024-01-02T15:00:0{k}") // 1000 for k in range(2)], pa.timestamp("us"))
    pq.write_table(table(["ES"] * 2, timestamp=naive), path)
    with pytest.raises(FeedError, match="its timestamps are naive"):
        read(path, "ES")
    assert read(path, "ES", zone="America/New_York")[0].start_ns[0] == ns("2024-01-02T20:00:00")
    pq.write_table(table(["ES"] * 2, close=pa.array([5000.25, 5000.3])), path)
    with pytest.raises(FeedError, match="row 2: a price is off the tick grid"):
        read(path, "ES")
    pq.write_table(table(["ES"] * 2, close=pa.array([5000.25, float("nan")])), path)
    with pytest.raises(FeedError, match="row 2: a field is missing"):
        read(path, "ES")
    pq.write_table(table(["ES"] * 2).drop_columns(["symbol"]), path)
    with pytest.raises(FeedError, match="neither a column symbol nor instrument_id"):
        read(path, "ES")
    pq.write_table(table(["ES"] * 2).drop_columns(["volume"]), path)
    with pytest.raises(FeedError, match="has no column volume"):
        read(path, "ES")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(FeedError, match="is cut or no Parquet file"):
        read(path, "ES")


def test_two_files_are_merged_by_time(tmp_path):
    first = write_text(tmp_path / "a.csv", "timestamp,open,high,low,close,volume\n" + "\n".join(many(50)))
    second = write_text(tmp_path / "b.csv", "timestamp,open,high,low,close,volume\n" + "\n".join(many(80)[20:]))
    feed = open_file(f"{first},{second}", ["SBER", "GAZP"])
    events = feed.read(FAR, 1000).events[:-1]
    assert (np.diff(events["ts_venue_ns"]) >= 0).all()
    assert np.bincount(events["instrument"]).tolist() == [50, 60]
    assert events["instrument"][20:24].tolist() == [0, 1, 0, 1]


def test_schemas_of_a_bar_file(tmp_path):
    path = write_text(tmp_path / "a.csv", "timestamp,open,high,low,close,volume\n" + "\n".join(many(5)))
    with pytest.raises(FeedError, match=r"\(csv\) holds bars, not mbo"):
        open_file(path, ["SBER"], "mbo")
    assert spec(path).schema == ""
    with pytest.raises(FeedError, match="bars of 60 s, not ohlcv-1s"):
        open_file(path, ["SBER"], "ohlcv-1s")


@pytest.mark.parametrize(
    ("symbol", "first"), [("SBER", (22688, 23000, 22635, 22740)), ("GAZP", (13103, 13119, 13066, 13106))]
)
def test_recorded_moscow_shares(sample_data, symbol, first):
    """Every price of the recorded year is on the grid, and each tick is the text's own number."""
    path = sample_data / "moex_bars" / f"{symbol}_5min_2018.csv.gz"
    bars, reader = read(path, symbol)
    rows = [line.split(";") for line in gzip.decompress(path.read_bytes()).decode().split()[1:]]
    assert bars.start_ns.size == reader.rows == len(rows) == 26_661 and reader.bar_ns == 5 * MINUTE
    assert tuple(bars.ticks[0].tolist()) == first
    want = np.array([[int(text.replace(".", "")) for text in row[2:6]] for row in rows]) // 100_000
    assert (bars.ticks == want).all()
    assert (bars.volume * 10 == np.array([int(float(row[6])) for row in rows])).all()
    assert bars.start_ns[0] + 5 * MINUTE == ns("2018-01-03T07:05:00")  # 10:05 in Moscow is its end


def test_recorded_lean_minutes(sample_data):
    for path in sorted((sample_data / "cme_lean").glob("cme_minute_es_*_trade.zip")):
        bars, reader = read(path, "ES")
        assert reader.dropped == {} and reader.bar_ns == MINUTE
        assert datetime.fromtimestamp(bars.start_ns[0] // SECOND, UTC).strftime("%Y%m%d") == path.name.split("_")[3]
    bars, _ = read(sample_data / "cme_lean" / "cme_minute_es_20131007_trade.zip", "ES")
    assert bars.start_ns.size == 1344 and bars.ticks[1].tolist() == [6706, 6707, 6706, 6707]


def test_recorded_tinvest_minutes(sample_data):
    """The header says high, low, close; the values are close, high, low: refused, with the option that reads them."""
    path = sample_data / "moex_tinvest" / "RIH5_1min.csv.gz"
    with pytest.raises(FeedError, match="columns=ticker,timestamp,open,close,high,low,volume"):
        read(path, zone="Europe/Moscow")
    bars, _ = read(path, zone="Europe/Moscow", columns="ticker,timestamp,open,close,high,low,volume")
    assert bars.start_ns.size == 6911
