"""Broken files: one clear sentence each, and nothing of them in the store."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marketdata.feeds.options import parse_options
from marketdata.feeds.port import FeedError
from marketdata.store.importing import import_file
from tests.feeds.recordings import SECOND, T0, bar, write_dbn, write_text, write_zip

START = T0 // SECOND * SECOND
HEADER = "timestamp,open,high,low,close,volume\n"
N = 400


def lines(change: Callable[[list[list[str]]], None] = lambda rows: None, header: str = HEADER) -> str:
    """A CSV of good one-minute bars, changed."""
    rows = [[str(START + k * 60 * SECOND), "10", "10.5", "9.5", "10.25", str(k + 1)] for k in range(N)]
    change(rows)
    return header + "\n".join(map(",".join, rows)) + "\n"


def csv(text: str, name: str = "bars.csv") -> Callable[[Path], Path]:
    return lambda folder: write_text(folder / name, text)


def parquet(drop: str = "", rows: int = N, cut: int = 0, **columns: object) -> Callable[[Path], Path]:
    """A Parquet file of good one-minute bars, with other columns or without one, cut by so many bytes."""

    def make(folder: Path) -> Path:
        base: dict[str, object] = {name: np.full(N, 10.25) for name in ("open", "high", "low", "close")}
        base |= {"timestamp": START + np.arange(N) * 60 * SECOND, "volume": np.ones(N, np.uint64)}
        table = pa.table({**base, "symbol": ["SBER"] * N, **columns}).slice(0, rows)
        path = folder / "bars.parquet"
        pq.write_table(table.drop_columns([drop]) if drop else table, path)
        path.write_bytes(path.read_bytes()[: len(path.read_bytes()) - cut])
        return path

    return make


def raw(data: bytes, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def tape(cut: int, foreign: bool = False) -> Callable[[Path], Path]:
    """DBN seconds, cut or with a record of another schema in the middle."""

    def make(folder: Path) -> Path:
        records = [bar(START + k * SECOND, (5000, 5001, 4999, 5000), k + 1, rtype=32) for k in range(50)]
        if foreign:
            records[30] = bar(START + 30 * SECOND, (5000, 5001, 4999, 5000), 1, rtype=33)
        path = write_dbn(folder / "bars.dbn", dbn.Schema.OHLCV_1S, records)
        path.write_bytes(path.read_bytes()[: len(path.read_bytes()) - cut])
        return path

    return make


def spoiled(at: int, column: int, value: str, count: int = 1) -> str:
    def change(rows: list[list[str]]) -> None:
        for k in range(at, at + count):
            rows[k][column] = value

    return lines(change)


def swap(rows: list[list[str]]) -> None:
    rows[200], rows[201] = rows[201], rows[200]


def other_order(rows: list[list[str]]) -> None:
    for row in rows:
        row[2], row[3], row[4] = row[4], row[2], row[3]


def damaged(folder: Path) -> Path:
    """A Parquet file whose footer is whole and whose pages are not."""
    path = parquet()(folder)
    data = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    path.write_bytes(data[:4] + bytes(len(data) - footer - 4) + data[-footer:])
    return path


def cut_zip(folder: Path) -> Path:
    path = write_zip(folder / "minute.zip", {"20131007_es_minute_trade_201312.csv": "0,1,1,1,1,9\n"})
    path.write_bytes(path.read_bytes()[:-30])
    return path


NAIVE = pa.array(np.arange(N) * 60_000_000 + START // 1000, pa.timestamp("us"))
TWICE = "2024-11-03 01:30:00"
BROKEN = {
    "empty": (raw(b"", "bars.csv"), {}, "is empty; fetch the file again"),
    "only a header": (csv(HEADER), {}, "holds no bar of SBER"),
    "unknown format": (raw(b"what is this", "bars.doc"), {}, "unknown format; known: dbn, parquet"),
    "no header": (csv(lines(header="")), {}, "has no header line: declare its columns"),
    "header without a column": (csv(lines(header=HEADER.replace("volume", "noise"))), {}, "bars need timestamp"),
    "truncated line": (csv(lines()[:-25]), {}, f"line {N + 1} has 1 columns instead of 6"),
    "truncated gzip": (raw(gzip.compress(lines().encode())[:-40], "bars.csv.gz"), {}, "is cut or damaged"),
    "truncated parquet": (parquet(cut=9), {}, "is cut or no Parquet file"),
    "damaged pages": (damaged, {}, "is damaged after row 0"),
    "truncated dbn": (tape(cut=11), {}, "is cut inside record 50"),
    "mixed dbn": (tape(cut=0, foreign=True), {}, "record 31 .* is no ohlcv-1s record"),
    "truncated zip": (cut_zip, {}, "is cut or no zip"),
    "words for numbers": (csv(spoiled(7, 4, "ten")), {}, "line 9 cannot be read: .*'ten'"),
    "a number beyond all": (csv(spoiled(7, 4, "1e30")), {}, "line 9 cannot be read"),
    "prices as text": (parquet(close=["10.25"] * N), {}, "its column close is of type string, not int64 of 1e-9"),
    "volume as text": (parquet(volume=["1"] * N), {}, "its column volume is of type string, not whole numbers"),
    "times as text": (parquet(timestamp=["x"] * N), {}, "its column timestamp is of type string, not int64 ns"),
    "no volume": (parquet(drop="volume"), {}, "has no column volume"),
    "no contract": (parquet(drop="symbol"), {}, "neither a column symbol nor instrument_id"),
    "no rows": (parquet(rows=0), {}, "holds no bar of SBER"),
    "another instrument": (parquet(symbol=["GAZP"] * N), {}, "holds GAZP, but the session trades SBER"),
    "mixed contracts": (
        parquet(symbol=["ESH4", "ESM4"] * (N // 2), timestamp=START + np.arange(N) // 2 * 60 * SECOND),
        {},
        r"row 2: two different rows have the same time .* time 2024-01-02T15:00:00 UTC\); the file mixes contracts",
    ),
    "contracts take turns": (parquet(symbol=["ESH4", "ESM4"] * (N // 2)), {}, "mixes contracts: ESM4 and ESH4"),
    "unsorted": (csv(lines(swap)), {}, r"row 203: the time is earlier .* 2024-01-02T18:20:00 UTC\); sort the file"),
    "duplicate stamps": (
        csv(spoiled(7, 0, str(START + 6 * 60 * SECOND))),
        {},
        r"row 9: two different rows have the same time .* time 2024-01-02T15:06:00 UTC",
    ),
    "negative prices": (csv(spoiled(7, 3, "-9.5", 5)), {}, "5 of 400 rows are bad.*a price is not positive.*row 9"),
    "negative volume": (csv(spoiled(7, 5, "-1", 5)), {}, "5 rows: a price is not positive or the volume is negative"),
    "missing prices": (csv(spoiled(7, 4, "", 5)), {}, "5 of 400 rows are bad.*a field is missing or not finite"),
    "not finite": (parquet(close=[np.inf, np.nan] * (N // 2)), {}, "400 rows: a field is missing or not finite"),
    "off the grid": (csv(spoiled(7, 4, "10.255", 5)), {}, "5 rows: a price is off the tick grid"),
    "off the minute": (csv(spoiled(7, 0, str(START + 7 * 60 * SECOND + 1))), {}, "does not start on a whole bar"),
    "close above high": (csv(spoiled(7, 4, "11", 5)), {}, "5 rows: open or close lies outside low to high"),
    "wrong order of columns": (
        csv(lines(other_order)),
        {},
        "every row fits the order open, close, high, low: give the option columns=timestamp,open,close,high,low,volume",
    ),
    "naive times": (parquet(timestamp=NAIVE), {}, r"its timestamps are naive; .* zone=Area/City"),
    "unknown zone": (parquet(timestamp=NAIVE), {"zone": "Moscow"}, "time zone 'Moscow' is unknown"),
    "an hour that happens twice": (
        csv(spoiled(0, 0, TWICE, N)),
        {"zone": "America/New_York"},
        "happens twice or never in America/New_York",
    ),
    "times in milliseconds": (
        parquet(timestamp=START // 1_000_000 + np.arange(N) * 60_000),
        {},
        r"row 1: its time .* is not within 1990 and 2200: is the column in seconds, milliseconds or microseconds",
    ),
}


def test_there_are_more_than_twenty_kinds():
    assert len(BROKEN) >= 20


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_in_one_sentence_and_leaves_nothing(tmp_path, name):
    make, options, words = BROKEN[name]
    path = make(tmp_path)
    data = tmp_path / "data"
    symbol = "ES" if path.suffix in (".dbn", ".zip") or "contracts" in name else "SBER"
    with pytest.raises(FeedError) as error:
        import_file(path, symbol, parse_options({"bar_s": "60", **options} if path.suffix != ".dbn" else options), data)
    sentence = str(error.value)
    assert re.search(words, sentence), sentence
    assert "\n" not in sentence and len(sentence) < 500 and str(path) in sentence
    assert not data.exists() or list(data.iterdir()) == []


def test_the_files_are_good_but_for_what_is_broken(tmp_path):
    """The bases of the table above are stored; what was named as the fix reads the file of the wrong order."""
    options = parse_options({"bar_s": "60"})
    assert import_file(csv(lines())(tmp_path), "SBER", options, tmp_path / "data").rows == N
    assert import_file(parquet()(tmp_path), "SBER", options, tmp_path / "data").rows == N
    assert import_file(tape(cut=0)(tmp_path), "ES", parse_options({}), tmp_path / "data").rows == 50
    fixed = parse_options({"columns": "timestamp,open,close,high,low,volume"})
    assert import_file(csv(lines(other_order))(tmp_path), "SBER", fixed, tmp_path / "data").rows == N


def test_recorded_tinvest_minutes_are_refused_with_the_flag_that_fixes_them(tmp_path, sample_data):
    path = sample_data / "moex_tinvest" / "RIH5_1min.csv.gz"
    with pytest.raises(FeedError, match="give the option columns=ticker,timestamp,open,close,high,low,volume"):
        import_file(path, "SBER", parse_options({"zone": "Europe/Moscow"}), tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []
    fixed = {"zone": "Europe/Moscow", "columns": "ticker,timestamp,open,close,high,low,volume"}
    assert import_file(path, "SBER", parse_options(fixed), tmp_path / "data").rows == 6911


def test_recorded_shares_and_contracts_are_stored_whole(tmp_path, sample_data):
    shares = sample_data / "moex_bars" / "SBER_5min_2018.csv.gz"
    report = import_file(shares, "SBER", parse_options({}), tmp_path / "data")
    assert (report.rows, report.dropped, report.partitions, report.gaps) == (26_661, {}, 12, None)
    minutes = sample_data / "cme_lean" / "cme_minute_es_20131007_trade.zip"
    report = import_file(minutes, "ES", parse_options({}), tmp_path / "data")
    assert report.rows == 1344 and report.dropped == {}  # 17:00 to 17:15 was traded in 2013
    assert [(end - begin) // (60 * SECOND) for begin, end in report.gaps or []] == [15]  # the pause at 16:15
