"""A feed as a session received it: the same bytes in the file, a tape of all instruments, a data set of one's books.

Rules: MOEX-DATA-03, MES-LIVE-03.
"""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import (
    BAR,
    BOOK,
    FEED,
    FEED_END,
    FEED_GAP,
    FLAG_INVALID,
    QUOTE,
    TRADE,
    new_depths,
    new_events,
)
from marketdata.feeds.books.recorded import Header, RecordedTape, frame_bytes, frames, head_bytes
from marketdata.feeds.port import Batch, FeedError
from marketdata.feeds.registry import open_feed
from marketdata.feeds.tapes import join_blocks
from tests.simulation.kit import make_spec
from tests.store.books.kit import books_of, stored, tape_of, without_bars
from trading.run.feeding import recorder
from trading.run.feeding.recorder import Recorder, recording_files
from trading.run.spec import FeedSpec, InstrumentSpec

SYMBOLS = ["SBER", "GAZP"]
TICKS = [INSTRUMENTS[symbol].tick_nanos for symbol in SYMBOLS]
SECOND = 1_000_000_000
WAIT_S = 120.0


def batches(count: int = 60, seed: int = 3) -> list[Batch]:
    """Back-fill and the first batches of a simulated tape, received 3 ms late."""
    feed = open_feed(FeedSpec("simulated", SYMBOLS, seed=seed, options={"backfill_s": "5"}))
    found = [feed.backfill()._replace(position=-1)]
    for _ in range(count):
        batch = feed.read(2**62, 50)
        batch.events["ts_ns"] += 3_000_000
        found.append(batch)
    feed.close()
    return found


def until(truth: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not truth():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def write(path: Path, parts: list[Batch]) -> Path:
    path.write_bytes(head_bytes(Header(SYMBOLS, TICKS, "s1")) + b"".join(map(frame_bytes, parts)))
    return path


def only(parts: list[Batch], which: int) -> tuple[np.ndarray, np.ndarray]:
    """Trades and books of one instrument, one at a time, as anybody would pick them."""
    events, depths = [], []
    for batch in parts:
        for event, row in zip(batch.events, batch.depth_of.tolist(), strict=True):
            if event["instrument"] == which and batch.position >= 0 and event["kind"] in (TRADE, BOOK):
                events.append(event)
                if row >= 0:
                    depths.append(batch.depths[row])
    return np.array(events), np.array(depths)


def test_every_batch_comes_back_byte_for_byte(tmp_path: Path) -> None:
    parts = batches()
    found = [frame for frame, _ in frames(write(tmp_path / "feed.rec", parts))]
    assert len(found) == len(parts) and sum(len(part.depths) for part in parts) > 500
    for frame, part in zip(found, parts, strict=True):
        assert frame.position == part.position
        for name in ("events", "depths"):
            assert getattr(frame.block, name).tobytes() == getattr(part, name).tobytes()
        assert frame.block.depth_of.tolist() == part.depth_of.tolist()


def test_a_cut_end_is_no_frame_and_damage_is_refused(tmp_path: Path) -> None:
    parts = batches(5)
    path = write(tmp_path / "feed.rec", parts)
    data = path.read_bytes()
    for cut in (1, len(frame_bytes(parts[-1])) - 1):
        path.write_bytes(data[:-cut])
        assert len(list(frames(path))) == len(parts) - 1
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with pytest.raises(FeedError, match="damaged"):
        list(frames(path))
    path.write_bytes(b'{"format": "scalpdesk-feed"\n')
    with pytest.raises(FeedError, match="first line"):
        list(frames(path))


def test_the_tape_has_every_instrument_and_tells_what_is_missing(tmp_path: Path) -> None:
    """A batch that was sent twice by a takeover counts once; a hole is a gap."""
    parts = batches(12)
    sent = [*parts[:5], parts[4], *parts[5:8], *parts[9:]]
    path = write(tmp_path / "feed.rec", sent)
    tape = RecordedTape(path, ["GAZP", "SBER"])
    block = join_blocks(list(tape.blocks()))
    gaps = np.flatnonzero((block.events["kind"] == FEED) & (block.events["code"] == FEED_GAP))
    assert len(gaps) == 1 and tape.counts()["events missing"] == len(parts[8].events)
    assert (np.diff(block.events["ts_venue_ns"]) >= 0).all()
    for symbol, which in (("SBER", 1), ("GAZP", 0)):
        events, depths = only([part for part in parts if part is not parts[8]], SYMBOLS.index(symbol))
        mine = block.events[(block.events["instrument"] == which) & np.isin(block.events["kind"], (TRADE, BOOK))]
        assert len(mine) == len(events)
        assert (mine["ts_ns"] == events["ts_ns"]).all() and (mine["price_tick"] == events["price_tick"]).all()
        rows = block.depth_of[(block.events["instrument"] == which) & (block.events["kind"] == BOOK)]
        assert (block.depths["bid_tick"][rows] == depths["bid_tick"]).all()
        assert (block.depths["instrument"][rows] == which).all()


def test_one_instruments_books_become_a_data_set_and_stay_what_they_were(tmp_path: Path) -> None:
    parts = batches(40)
    end = new_events(1)
    end["kind"], end["code"], end["instrument"] = FEED, FEED_END, -1
    end["ts_ns"] = end["ts_venue_ns"] = int(parts[-1].events["ts_ns"][-1])
    last = Batch(end, new_depths(0), np.full(1, -1, np.int32), parts[-1].position + 1, True)
    report = stored(write(tmp_path / "s1.rec", [*parts, last]), tmp_path / "data", "GAZP")
    events, depths = only(parts, 1)
    read = without_bars(tape_of(report.path, "GAZP"))
    read = read._replace(events=read.events[read.events["kind"] != FEED])
    books, levels = books_of(read)
    assert (read.events["kind"][np.isin(read.events["kind"], (TRADE, BOOK))] == events["kind"]).all()
    for name in ("bid_tick", "bid_qty", "ask_tick", "ask_qty"):
        assert (levels[name] == depths[name]).all(), name
    assert (books["ts_ns"] == events["ts_ns"][events["kind"] == BOOK]).all(), "known when it was received"
    assert report.verdicts["books"] == len(depths) > 100 and report.gaps == []
    rest = np.concatenate([part.events for part in parts[1:]])
    rest = rest[rest["instrument"] == 1]
    assert sum(report.dropped.values()) == int(np.isin(rest["kind"], (BAR, QUOTE)).sum()) > 0


def test_a_hole_is_a_gap_of_the_data_set(tmp_path: Path) -> None:
    parts = batches(20)
    report = stored(write(tmp_path / "s1.rec", [*parts[:8], *parts[11:]]), tmp_path / "data")
    assert report.gaps is not None and len(report.gaps) == 1
    block = tape_of(report.path)
    at = int(np.flatnonzero((block.events["kind"] == FEED) & (block.events["code"] == FEED_GAP))[0])
    books = block.events[at:][block.events["kind"][at:] == BOOK]
    assert books["flags"][0] & FLAG_INVALID, "no book is known in the hole"


def test_another_symbol_or_grid_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "s1.rec", batches(3))
    with pytest.raises(FeedError, match="recorded SBER, GAZP, not LKOH"):
        stored(path, tmp_path / "data", "LKOH")
    with pytest.raises(FeedError, match="tick and lot"):
        stored(path, tmp_path / "data", tick="0.1")


def test_the_recorder_writes_what_it_was_given_and_counts_what_it_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [InstrumentSpec(symbol, {"tick_nanos": INSTRUMENTS[symbol].tick_nanos}) for symbol in SYMBOLS]
    spec = msgspec.structs.replace(make_spec(), instruments=rows)
    parts = batches(20)
    first = Recorder(tmp_path, spec, 1)
    first.start()
    for part in parts[:12]:
        first.take(part)
    first.end()
    monkeypatch.setattr(recorder, "EVENTS_MAX", 0)
    late = Recorder(tmp_path, spec, 2)
    late.take(parts[12])
    assert late.left_out == len(parts[12].events) and late.waiting == 0
    monkeypatch.undo()
    late.start()
    late.take(parts[13])
    late.end()
    assert not first.fault and not late.fault and late.bytes > 0
    found = [frame for path in recording_files(tmp_path) for frame, _ in frames(path)]
    assert [frame.position for frame in found] == [part.position for part in (*parts[:12], parts[13])]


def test_a_disk_that_takes_nothing_stops_no_loop(tmp_path: Path) -> None:
    spec = make_spec()
    gone = Recorder(tmp_path / "no such folder", spec, 1)
    gone.start()
    gone.join(60)
    gone.take(batches(1)[1])
    assert "FileNotFoundError" in gone.fault and gone.left_out > 0
    gone.end()


def test_a_disk_that_runs_low_ends_the_recording_and_is_left_to_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = batches(12)
    running = Recorder(tmp_path, make_spec(), 1)
    running.start()
    for part in parts[:6]:
        running.take(part)
    until(lambda: running.waiting == 0)
    monkeypatch.setattr(recorder, "FREE_BYTES_MIN", 1 << 62)
    monkeypatch.setattr(recorder, "LOOK_S", 0.0)
    running.take(parts[6])
    running.join(WAIT_S)
    running.take(parts[7])
    assert "recording stopped" in running.fault and not running.is_alive()
    assert running.left_out == len(parts[6].events) + len(parts[7].events) and running.waiting == 0
    assert [frame.position for frame, _ in frames(running.path)] == [part.position for part in parts[:6]]
    late = Recorder(tmp_path, make_spec(), 2)
    late.start()
    late.join(WAIT_S)
    assert late.fault and not late.path.exists(), "a takeover does not begin anew what the disk does not hold"


def test_a_fault_of_any_kind_is_told_and_what_waited_is_let_go_and_counted(tmp_path: Path) -> None:
    parts = batches(4)
    bad = parts[1]._replace(depth_of=np.array(["x"]))  # no number: the frame cannot be made
    failing = Recorder(tmp_path, make_spec(), 1)
    for part in (parts[0], bad, parts[2]):
        failing.take(part)
    failing.start()
    failing.join(WAIT_S)
    assert failing.fault.startswith("ValueError") and not failing._waiting
    assert failing.left_out == len(bad.events) + len(parts[2].events) and failing.waiting == 0
    assert [frame.position for frame, _ in frames(failing.path)] == [parts[0].position]
