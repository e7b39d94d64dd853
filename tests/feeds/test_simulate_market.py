"""`manage.py simulate_market`: same arguments, same file, whole or not at all; bad ones give one sentence."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from marketdata.core.records import BAR, BOOK, FLAG_CARRIED, LEVELS
from marketdata.feeds.registry import open_feed
from marketdata.synthetic import DataSetRequest, estimate_bytes, write_data_set
from tests.feeds.test_simulated import Spec

S = 1_000_000_000


def simulate(out: Path, **options: Any) -> dict[str, Any]:
    stream = StringIO()
    call_command("simulate_market", out=out, json=True, stdout=stream, **{"symbol": "MES", "seconds": 60, **options})
    return json.loads(stream.getvalue())


def test_bars_are_the_feeds_bars(tmp_path: Path) -> None:
    """MES-DATA-01: start times, prices in 1e-9; a second without a trade has no row."""
    done = simulate(tmp_path / "a.parquet", seconds=300, seed=5, rate="0.3")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.names == ["timestamp", "open", "high", "low", "close", "volume", "symbol"]
    feed = open_feed(Spec(seed=5, options={"rate": "0.3", "backfill_s": "0"}))
    events = feed.read(feed.start_ns + 300 * S, 1 << 40).events
    bars = events[(events["kind"] == BAR) & (events["flags"] & FLAG_CARRIED == 0)]
    assert done["rows"] == table.num_rows == bars.size and bars.size < 300
    assert (table["timestamp"].to_numpy() == bars["ts_ns"] - S).all()
    for name in ("open", "high", "low", "close"):
        assert (table[name].to_numpy() == bars[f"{name}_tick"] * 250_000_000).all()
    assert (table["volume"].to_numpy() == bars["volume"]).all()
    assert set(table["symbol"].to_pylist()) == {"MES"}
    assert done["first_ns"] == bars["ts_ns"][0] - S


def test_depth_is_the_feeds_depth(tmp_path: Path) -> None:
    done = simulate(tmp_path / "d.parquet", seconds=30, seed=5, kind="depth", symbol="SBER")
    table = pq.read_table(tmp_path / "d.parquet")
    feed = open_feed(Spec(seed=5, symbols=["SBER"], options={"backfill_s": "0"}))
    batch = feed.read(feed.start_ns + 30 * S - 1, 1 << 40)
    books = batch.depths[batch.depth_of[batch.events["kind"] == BOOK]]
    assert done["rows"] == table.num_rows == books.size > 200
    assert table.num_columns == 2 + 4 * LEVELS
    assert (table["timestamp"].to_numpy() == books["ts_ns"]).all()
    present = books["ask_qty"][:, 3] > 0
    assert (table["ask_px_03"].to_numpy()[present] == books["ask_tick"][present, 3] * 10_000_000).all()
    assert (table["bid_sz_19"].to_numpy() == books["bid_qty"][:, 19]).all()


def test_same_arguments_same_file(tmp_path: Path) -> None:
    first, second = (simulate(tmp_path / name, seed=3) for name in ("a.parquet", "b.parquet"))
    other = simulate(tmp_path / "c.parquet", seed=4)
    assert first["sha256"] == second["sha256"] != other["sha256"]
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_closed_hours_are_left_out(tmp_path: Path) -> None:
    """From Friday 16:59 the tape goes on on Sunday 18:00 New York (MES-DATA-03, rule 9 finds nothing)."""
    simulate(tmp_path / "w.parquet", seconds=120, start="2026-03-06T16:59:00-05:00")
    times = pq.read_table(tmp_path / "w.parquet")["timestamp"].to_numpy() // S
    friday, sunday = 1_772_834_340, 1_773_007_200
    assert friday <= times.min() and times.max() < sunday + 60
    assert not ((times >= friday + 60) & (times < sunday)).any()
    assert (times >= sunday).sum() > 40 and (times < friday + 60).sum() > 40
    closes = pq.read_table(tmp_path / "w.parquet")["close"].to_numpy()
    assert np.abs(np.diff(closes)).max() < 40 * 250_000_000, "the price goes on where it was"


def test_the_size_is_estimated(tmp_path: Path) -> None:
    for kind, seconds in (("bars", 20_000), ("depth", 2_000)):
        done = simulate(tmp_path / f"{kind}.parquet", seconds=seconds, kind=kind)
        request = DataSetRequest(symbol="MES", seconds=seconds, seed=1, out=tmp_path / "x.parquet", kind=kind)
        assert 0.5 < estimate_bytes(request) / done["bytes"] < 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"symbol": "XYZ"}, "unknown instrument 'XYZ'"),
        ({"seconds": 0}, "0 seconds is not within"),
        ({"seconds": 10**12}, "is not within"),
        ({"seed": -5}, "seed -5"),
        ({"kind": "ticks"}, "kind 'ticks' is unknown; known: bars, depth"),
        ({"rate": "much"}, "rate='much'"),
        ({"start": "2026-03-04"}, "no offset"),
    ],
)
def test_bad_arguments_are_one_sentence(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(CommandError, match=words) as error:
        simulate(tmp_path / "x.parquet", **options)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_bad_places_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"must end in \.parquet"):
        simulate(tmp_path / "x.csv")
    with pytest.raises(CommandError, match="does not exist; make it first"):
        simulate(tmp_path / "no" / "x.parquet")
    (tmp_path / "x.parquet").write_bytes(b"mine")
    with pytest.raises(CommandError, match="give --overwrite"):
        simulate(tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").read_bytes() == b"mine"
    assert simulate(tmp_path / "x.parquet", overwrite=True)["rows"] > 0


def test_a_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(seconds: int) -> None:
        raise KeyboardInterrupt

    request = DataSetRequest(symbol="MES", seconds=5_000, seed=1, out=tmp_path / "x.parquet")
    with pytest.raises(KeyboardInterrupt):
        write_data_set(request, stop)
    assert list(tmp_path.iterdir()) == []
