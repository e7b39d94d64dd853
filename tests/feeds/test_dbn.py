"""The DBN reader: every version, raw and compressed; and one sentence for each file that it cannot use."""

from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard

from marketdata.core.tape import MBO, MBP10, PRINTS
from marketdata.feeds.dbn import BBO, OHLCV, SCHEMAS, DbnReader, front_ids, root_of
from marketdata.feeds.port import FeedError
from tests.feeds.recordings import ES_ID, NQ_ID, T0, a_session, bar, metadata, trade, write_dbn


def read_all(path: Path, schema: str = "", rows: int = 3) -> np.ndarray:
    reader = DbnReader(path, schema)
    parts = []
    while (records := reader.read(rows)).size:
        parts.append(records)
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(MBO, dbn.MBOMsg), (PRINTS, dbn.TradeMsg), (MBP10, dbn.MBP10Msg), (OHLCV, dbn.OHLCVMsg), (BBO, dbn.BBOMsg)],
)
def test_our_records_lie_as_the_vendors_do(ours, theirs):
    vendor = np.dtype(theirs._dtypes)
    assert ours.itemsize == vendor.itemsize
    for name in set(ours.names) - {"levels"}:
        assert ours.fields[name][1] == vendor.fields[name][1], name
    if "levels" in ours.names:
        assert ours.fields["levels"][1] == vendor.fields["bid_px_00"][1]


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("name", ["tape.dbn", "tape.dbn.zst"])
def test_all_versions_read_as_the_vendors_decoder_does(tmp_path, version, name):
    path = write_dbn(tmp_path / name, dbn.Schema.MBO, a_session(), version=version)
    records = read_all(path, "mbo")
    decoder = dbn.DBNDecoder()
    data = path.read_bytes()
    decoder.write(zstandard.ZstdDecompressor().decompressobj().decompress(data) if name.endswith("zst") else data)
    theirs = [r for r in decoder.decode() if isinstance(r, dbn.MBOMsg)]
    assert len(theirs) == records.size == 10
    for ours, vendor in zip(records, theirs, strict=True):
        assert (ours["order_id"], ours["price"], ours["size"]) == (vendor.order_id, vendor.price, vendor.size)
        assert (ours["ts_recv"], chr(ours["action"]), chr(ours["side"])) == (vendor.ts_recv, vendor.action, vendor.side)


def test_frames_may_follow_each_other(tmp_path):
    data = metadata(dbn.Schema.TRADES, {"ESH4": ES_ID}) + b"".join(bytes(trade(5000, k + 1, T0 + k)) for k in range(9))
    pack = zstandard.ZstdCompressor().compress
    path = tmp_path / "two.dbn.zst"
    path.write_bytes(pack(data[:333]) + pack(data[333:]))
    assert read_all(path, "trades")["size"].tolist() == list(range(1, 10))


def test_a_send_time_after_each_record_is_skipped(tmp_path):
    body = b""
    for k in range(4):
        record = bytearray(bytes(trade(5000, k + 1, T0 + k)))
        record[0] += 2  # the length counts words of four bytes
        body += bytes(record) + (T0 + 5).to_bytes(8, "little")
    path = tmp_path / "out.dbn"
    path.write_bytes(metadata(dbn.Schema.TRADES, {"ESH4": ES_ID}, ts_out=True) + body)
    assert read_all(path)["size"].tolist() == [1, 2, 3, 4]


def cut_file(path: Path, keep: int) -> Path:
    path.write_bytes(path.read_bytes()[:keep])
    return path


def test_cut_inside_a_record(tmp_path):
    path = write_dbn(tmp_path / "tape.dbn", dbn.Schema.MBO, a_session())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FeedError, match=r"tape\.dbn is cut inside record 10 \(byte \d+ .* has 46 of 56 bytes\); fetch"):
        read_all(path)


def test_cut_anywhere_is_refused_and_never_half_read_in_silence(tmp_path):
    whole = write_dbn(tmp_path / "tape.dbn.zst", dbn.Schema.MBO, a_session()).read_bytes()
    for keep in range(len(whole)):
        path = tmp_path / "cut.dbn.zst"
        path.write_bytes(whole[:keep])
        with pytest.raises(FeedError, match=r"cut|empty|no DBN header"):
            read_all(path)


def test_damaged_bytes_inside_the_frame(tmp_path):
    path = write_dbn(tmp_path / "tape.dbn.zst", dbn.Schema.MBO, a_session() * 50)
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(FeedError, match=r"damaged zstd data before byte \d+"):
        read_all(path)


def test_header_cut(tmp_path):
    path = cut_file(write_dbn(tmp_path / "tape.dbn", dbn.Schema.MBO, a_session()), 100)
    with pytest.raises(FeedError, match=r"cut inside its header \(100 of \d+ bytes\)"):
        DbnReader(path)


def test_empty_missing_and_headerless_files(tmp_path):
    empty = tmp_path / "empty.dbn"
    empty.write_bytes(b"")
    with pytest.raises(FeedError, match="is empty"):
        DbnReader(empty)
    with pytest.raises(FeedError, match="does not exist"):
        DbnReader(tmp_path / "nowhere.dbn")
    fragment = tmp_path / "fragment.dbn"
    fragment.write_bytes(bytes(trade(5000, 1, T0)))
    with pytest.raises(FeedError, match="no DBN header at byte 0"):
        DbnReader(fragment)


def test_wrong_and_unknown_schema(tmp_path):
    path = write_dbn(tmp_path / "t.dbn", dbn.Schema.TRADES, [trade(5000, 1, T0)])
    with pytest.raises(FeedError, match="holds schema trades, not mbo"):
        DbnReader(path, "mbo")
    with pytest.raises(FeedError, match="schema 'mbp-1' cannot be replayed; known: mbo"):
        DbnReader(path, "mbp-1")
    day = write_dbn(tmp_path / "d.dbn", dbn.Schema.OHLCV_1D, [bar(T0, (1, 1, 1, 1), 1, 35)])
    with pytest.raises(FeedError, match="holds schema ohlcv-1d, which cannot be replayed"):
        DbnReader(day)


def test_a_foreign_record_among_them_is_named(tmp_path):
    path = write_dbn(tmp_path / "mixed.dbn", dbn.Schema.TRADES, [trade(5000, 1, T0), bar(T0, (1, 1, 1, 1), 1)])
    with pytest.raises(FeedError, match=r"cut inside record|record 2 at byte \d+ .* no trades record"):
        read_all(path)


def test_roots_and_the_front_contract():
    assert [root_of(s) for s in ("ESH4", "MESZ24", "ES.c.0", "ES.FUT", "SBER")] == ["ES", "MES", "ES", "ES", "SBER"]
    first = np.zeros(5, SCHEMAS["trades"][0])
    first["instrument_id"] = [7, 7, 7, 8, 9]
    assert front_ids({"ESH4": [8], "ESM4": [7], "NQH4": [9]}, "ES", first) == [7]  # most records
    assert front_ids({"ESH4": [8], "ESM4": [6]}, "ES", first) == [8]
    assert front_ids({"NQH4": [NQ_ID]}, "ES", first) == []


USED = ("mbo", "mbp-10", "trades", "bbo-1s", "ohlcv-1s", "ohlcv-1m")


def test_every_recorded_format_file_is_read_or_refused(sample_data):
    """Files of all schemas and versions: the six schemas decode, the others are refused with one sentence."""
    read = refused = 0
    for path in sorted((sample_data / "dbn_format").iterdir()):
        wanted = path.name.removeprefix("test_data.").split(".")[0]
        if wanted in USED:
            assert read_all(path, wanted).size == (4 if wanted == "bbo-1s" else 2)
            read += 1
        else:
            with pytest.raises(FeedError) as error:
                DbnReader(path)
            assert str(path) in str(error.value)
            refused += 1
    assert read == 24
    assert refused > 40
