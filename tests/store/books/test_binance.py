"""Binance's stream into the store: the venue's own best levels, gaps told and never mended, stopped imports that go on.

Rules: MOEX-DATA-03, MES-DATA-04.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from marketdata.core.records import BOOK, FEED, FEED_GAP, FEED_UP, FLAG_INVALID, NO_TICK, TRADE
from marketdata.feeds.books import binance as reading
from marketdata.feeds.port import FeedError
from marketdata.feeds.stored import data_set_files, read_manifest
from marketdata.store.report import ImportCancelled
from marketdata.store.sets import bookparts
from tests.core.books.recordings import COIN as COIN_GRID
from tests.core.books.recordings import binance
from tests.core.books.run import through_l2
from tests.core.books.test_deltas import follows_the_venue
from tests.store.books.kit import TENTH, books_of, head, recording, stored, tape_of, without_bars
from tests.store.imports import contents, in_a_child, killed_at_step

LINES = 2_500
S = 10**9


@pytest.fixture(scope="module")
def lines(sample_data) -> list[str]:
    return head(sample_data, LINES)


@pytest.fixture
def source(lines, tmp_path) -> Path:
    return recording(tmp_path / "coin.jsonl", lines)


def test_a_stored_recording_shows_the_venues_own_best_levels(sample_data, source, tmp_path):
    """The same events as the core makes of the messages, and the best levels of the venue's other stream."""
    report = stored(source, tmp_path / "data", **TENTH)
    want = binance(sample_data, COIN_GRID, LINES)
    made, l2 = through_l2(want.messages, want.changes)
    tape = without_bars(tape_of(report.path))
    names = "kind ts_ns side price_tick qty bid_tick ask_qty volume value flags ref"
    for name in names.split():
        assert np.array_equal(tape.events[name], made.events[name]), name
    for name in ("bid_tick", "bid_qty", "ask_tick", "ask_qty", "flags"):
        assert tape.depths[name].tobytes() == made.depths[name].tobytes(), name
    assert follows_the_venue(made._replace(events=tape.events), want, want.tickers) > 500
    times = tape.events["ts_ns"]
    assert (np.diff(times) >= 0).all() and np.array_equal(times, tape.events["ts_venue_ns"])
    found = report.verdicts
    assert (report.kind, report.rows_read, report.gaps) == ("books", LINES, [])
    assert found["snapshots taken"] == 1 and found["updates applied"] == l2.state["applied"][0] > 500
    assert found["books"] == (made.events["kind"] == BOOK).sum() and found["books that are not valid"] == 0
    other = LINES - len(want.messages)
    assert report.dropped == {f"{reading.OTHER_STREAM} (bookTicker)": other} and other > 500
    assert read_manifest(report.path)["tick_nanos"] == 10_000_000  # a tick of the tenth is one of the symbol's


def depth_lines(lines: list[str]) -> list[int]:
    return [k for k, line in enumerate(lines) if '"depthUpdate"' in line]


def test_a_lost_update_withholds_the_book_until_a_snapshot(lines, source, tmp_path):
    """Told as FEED_GAP with a book of nothing that is not valid; the next snapshot brings FEED_UP and the same book."""
    whole = without_bars(tape_of(stored(source, tmp_path / "whole", **TENTH).path))
    updates = depth_lines(lines)
    lost, rescue = updates[200], updates[400]
    said = json.loads(lines[rescue].partition(" ")[2])["data"]
    # the book of the undisturbed run behind update `rescue`, as far as twenty levels of it are known
    at = int(np.flatnonzero((whole.events["kind"] == BOOK) & (whole.events["ref"] <= said["u"]))[-1])
    depth = whole.depths[whole.depth_of[at]]
    sides = {
        name: [
            [f"{tick / 10:.1f}", str(qty)]
            for tick, qty in zip(depth[f"{side}_tick"].tolist(), depth[f"{side}_qty"].tolist(), strict=True)
        ]
        for name, side in (("bids", "bid"), ("asks", "ask"))
    }
    snapshot = json.dumps({"lastUpdateId": said["u"], **sides})
    stamp = lines[rescue].partition(" ")[0]
    kept = [*lines[:lost], *lines[lost + 1 : rescue + 1], f"{stamp} {snapshot}\n", *lines[rescue + 1 :]]
    report = stored(recording(tmp_path / "lost.jsonl", kept), tmp_path / "data", **TENTH)
    tape = without_bars(tape_of(report.path))
    feeds = np.flatnonzero(tape.events["kind"] == FEED)
    assert tape.events["code"][feeds].tolist() == [FEED_GAP, FEED_UP] and set(tape.events["instrument"][feeds]) == {-1}
    gap, up = feeds.tolist()
    withheld, back = gap + 1, up + 1
    assert tape.events["kind"][[withheld, back]].tolist() == [BOOK, BOOK]
    nothing = tape.depths[tape.depth_of[withheld]]
    assert nothing["flags"] == FLAG_INVALID == tape.events["flags"][withheld]
    assert nothing["bid_tick"].tolist() == nothing["ask_tick"].tolist() == [NO_TICK] * 20
    assert set(tape.events["kind"][withheld + 1 : up].tolist()) <= {TRADE}
    assert report.gaps == [(int(tape.events["ts_ns"][gap]), int(tape.events["ts_ns"][up]))]
    assert report.gaps[0][1] - report.gaps[0][0] > S
    found = report.verdicts
    assert found["gaps: updates or snapshots that did not follow"] == 1 and found["snapshots taken"] == 2
    assert found["books that are not valid"] == 1 == found["one side of the book is empty"]
    events, depths = books_of(tape)
    late, want = events["ref"] == said["u"], whole.depths[whole.depth_of[at]]
    assert late.any()
    for name in ("bid_tick", "bid_qty", "ask_tick", "ask_qty"):
        assert depths[late][-1][name].tolist() == want[name].tolist()


def test_a_gap_that_no_snapshot_ends_lasts_to_the_end(lines, tmp_path):
    updates = depth_lines(lines)
    kept = [*lines[: updates[200]], *lines[updates[200] + 1 :]]
    report = stored(recording(tmp_path / "lost.jsonl", kept), tmp_path / "data", **TENTH)
    events, depths = books_of(tape_of(report.path))
    assert report.gaps is not None
    assert len(report.gaps) == 1 and report.gaps[0][1] == report.last_ns
    assert depths["flags"][-1] == FLAG_INVALID and (depths["flags"][:-1] == 0).all() and len(events) < 250


SNAPSHOT = {"lastUpdateId": 10, "bids": [["100.00", "5"]], "asks": [["100.10", "6"]]}
TRADED = {"e": "trade", "s": "X", "p": "100.10", "q": "2", "m": False, "X": "MARKET"}


def update(**more: object) -> dict[str, object]:
    return {"e": "depthUpdate", "s": "X", "U": 11, "u": 12, "b": [["99.90", "1"]], "a": [], **more}


def said(*messages: dict[str, object], start: int = 1_723_161_256 * S) -> list[str]:
    return [f"{start + k * S} {json.dumps(message)}\n" for k, message in enumerate(messages)]


def test_what_is_left_out_is_said_and_crossed_books_stay_crossed(tmp_path):
    """MOEX-DATA-03: stale ones are dropped and counted, crossed ones are kept and flagged."""
    lines = said(
        SNAPSHOT,
        update(U=9, u=10),  # not newer than the book
        update(b=[["100.20", "3"]]),  # crosses it
        TRADED,
        {**TRADED, "X": "INSURANCE_FUND"},
        {**TRADED, "q": "0"},
        {"e": "aggTrade", "s": "X"},
        {**SNAPSHOT, "lastUpdateId": 11},
        {"e": "24hrTicker", "s": "X"},
    )
    lines.insert(4, lines.pop(3).replace("1723161259", "1723161257"))  # received before the one before it
    report = stored(recording(tmp_path / "x.jsonl", lines), tmp_path / "data")
    assert report.dropped == {
        reading.NO_MARKET_TRADE: 1,
        reading.NO_QUANTITY: 1,
        f"{reading.OTHER_STREAM} (aggTrade)": 1,
        f"{reading.OTHER_STREAM} (24hrTicker)": 1,
    }
    found = report.verdicts
    assert found["stale: updates and snapshots older than the book"] == 2
    assert found[reading.WENT_BACK] == 1
    assert found["the best bid is at or above the best ask"] == 1 == found["books that are not valid"]
    tape = without_bars(tape_of(report.path))
    assert tape.depths["flags"].tolist() == [0, FLAG_INVALID]
    assert tape.depths["bid_tick"][1][:2].tolist() == [10_020, 10_000]
    assert (np.diff(tape.events["ts_ns"]) >= 0).all()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (['1723161256000000000 {"lastUpdateId": 1'], r"line 1 cannot be read \(no local time"),
        ([*said(SNAPSHOT), "1723161257000000000 {nothing}\n"], r"line 2 cannot be read .*: is the file whole\?"),
        (said(SNAPSHOT, update(b=[["99.95.1", "1"]])), r"line 2 cannot be read \('99\.95\.1' is no number"),
        (said(SNAPSHOT, update(b=[["99.955", "1"]])), r"line 2 has a price of 99\.955, no whole .* ticks of 0\.01:"),
        (said(SNAPSHOT, update(b=[["99.95", "0.5"]])), r"line 2 has a size of 0\.5, no whole .* lots of 1: give"),
        (said(SNAPSHOT, update(b=[["99.95", "1_0"]])), r"line 2 cannot be read \('1_0' is no number"),
        (said(SNAPSHOT, {"e": "depthUpdate", "u": 1, "a": [], "b": []}), r"line 2 cannot be read \(no 'U'\)"),
        (said(SNAPSHOT, update(), {**TRADED, "s": "Y"}), r"line 3 is of Y, the lines before of X: part the file"),
        (said(update(), TRADED), r"holds no snapshot \(lastUpdateId\)"),
        (said(SNAPSHOT, update(b=[["0", "1"]])), r"line 2 has a price of 0 ticks"),
    ],
)  # fmt: skip
def test_a_broken_recording_is_one_sentence_and_leaves_nothing(tmp_path, lines, words):
    path = recording(tmp_path / "x.jsonl", lines)
    with pytest.raises(FeedError, match=words) as refusal:
        stored(path, tmp_path / "data", format="binance")
    assert "\n" not in str(refusal.value) and not list((tmp_path / "data").iterdir())


def test_sizes_are_lots_of_the_asked_size(tmp_path):
    path = recording(tmp_path / "x.jsonl", said(SNAPSHOT, update(b=[["99.90", "0.003"]])))
    report = stored(path, tmp_path / "data", lot="0.001")
    _, depths = books_of(tape_of(report.path))
    assert depths["bid_qty"][-1][:2].tolist() == [5_000, 3]
    with pytest.raises(FeedError, match=r"option lot='0' is nothing"):
        stored(path, tmp_path / "data", lot="0")
    with pytest.raises(FeedError, match=r"option tick='1e-2' is not a decimal number"):
        stored(path, tmp_path / "data", tick="1e-2")


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(reading, "LINES", 200)
    monkeypatch.setattr(bookparts, "GROUP_ROWS", 64)
    monkeypatch.setattr(bookparts, "PART_ROWS", 150)


def test_a_stopped_import_goes_on_behind_its_last_part_with_the_same_bytes(small_parts, source, tmp_path):
    whole = stored(source, tmp_path / "whole", **TENTH)
    want = contents(whole.path)
    assert len(want) > 5
    seen: list[int] = []
    with pytest.raises(ImportCancelled, match="the same import goes on from its last whole part"):
        import_file_until(source, tmp_path / "data", seen, 1_500)
    assert not list((tmp_path / "data").glob("*.json"))
    report = stored(source, tmp_path / "data", **TENTH)
    assert 500 < report.resumed_rows < LINES and contents(report.path) == want
    assert (report.rows_hash, report.verdicts, report.dropped) == (whole.rows_hash, whole.verdicts, whole.dropped)
    assert report.gaps == whole.gaps and report.examples == whole.examples
    assert len(list((tmp_path / "data").iterdir())) == 2
    again = stored(source, tmp_path / "data", **TENTH)
    assert again.held and again.path == report.path


def import_file_until(source: Path, folder: Path, seen: list[int], rows: int) -> None:
    from marketdata.feeds.options import parse_options
    from marketdata.store.importing import import_file

    import_file(
        source,
        "SBER",
        parse_options(TENTH),
        folder,
        progress=seen.append,
        cancelled=lambda: bool(seen) and seen[-1] >= rows,
    )


def test_a_damaged_checkpoint_is_not_believed(small_parts, source, tmp_path):
    want = contents(stored(source, tmp_path / "whole", **TENTH).path)
    for damage in ("state-*.npz", "parts/SBER/00001.parquet"):
        with pytest.raises(ImportCancelled):
            import_file_until(source, tmp_path / "data", [], 1_500)
        (victim,) = (tmp_path / "data").glob(f".*/{damage}")
        victim.write_bytes(victim.read_bytes()[:-1] + b"x")
        report = stored(source, tmp_path / "data", **TENTH)
        assert report.resumed_rows == 0 and contents(report.path) == want
        report.path.unlink()


def test_killed_at_any_step_nothing_half_is_seen(small_parts, lines, tmp_path):
    path = recording(tmp_path / "x.jsonl", lines[:800])
    want = contents(stored(path, tmp_path / "whole", **TENTH).path)
    outcomes = []
    for step in (2, 14, 26, 38):

        def work(at: int = step) -> None:
            killed_at_step(at)
            stored(path, tmp_path / f"data{at}", **TENTH)

        in_a_child(work)
        folder = tmp_path / f"data{step}"
        found = list(folder.glob("*.json")) if folder.exists() else []
        outcomes.append(bool(found))
        assert all(contents(manifest) == want for manifest in found)
        assert contents(stored(path, folder, **TENTH).path) == want
        assert len(list(folder.iterdir())) == 2
    assert not outcomes[0]


def test_a_manifest_of_books_names_its_files_and_a_damaged_one_is_refused(source, tmp_path):
    report = stored(source, tmp_path / "data", **TENTH)
    (file,) = data_set_files(report.path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data[:-100])
    with pytest.raises(
        FeedError, match=r"00001\.parquet of SBER-books-\w+\.json cannot be read .*: import the source again"
    ):
        tape_of(report.path)
    assert not stored(source, tmp_path / "data", **TENTH).held
    file = data_set_files(report.path)[0]
    file.unlink()
    with pytest.raises(FeedError, match=r"of the data set .* is gone: import coin\.jsonl again"):
        tape_of(report.path)
