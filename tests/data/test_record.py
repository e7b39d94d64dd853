"""The market of a session out of its journal: the plain bars of its prints, without what a gap has cut, atomically."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import ACCOUNT_SCOPE, BAR, BOOK, FEED, FEED_GAP, FEED_UP, TRADE, new_events
from marketdata.feeds.books.recorded import Header, frame_bytes, head_bytes
from marketdata.feeds.options import parse_options
from marketdata.feeds.registry import open_feed
from marketdata.models import DataSet
from marketdata.selectors import data_set_path
from marketdata.store.chunks import load_bars
from tests.feeds.recordings import FAR, SECOND, T0, open_file
from tests.shell.frames import make_session
from tests.why.recorded import write_frames
from trading import services
from trading.run import recording
from trading.run.journal.segment import segment_path
from trading.run.spec import FeedSpec

pytestmark = pytest.mark.django_db
START_S = T0 // SECOND
GAP_AT = 700  # of the events
Second = list[int]


def tape(seed: int = 3, count: int = 1500, gap_at: int = GAP_AT) -> np.ndarray:
    """Prints over about half an hour, some seconds without any, quiet minutes too; the feed loses some on the way."""
    rng = np.random.default_rng(seed)
    events = new_events(count)
    waits = rng.choice([0.01, 0.2, 0.9, 3.0, 20.0], count, p=[0.5, 0.2, 0.2, 0.07, 0.03])
    events["kind"] = TRADE
    events["ts_venue_ns"] = T0 + (np.cumsum(waits) * 1e9).astype(np.int64)
    events["price_tick"] = 20_000 + np.cumsum(rng.integers(-2, 3, count))
    events["qty"] = rng.integers(1, 9, count)
    for k, code in ((gap_at, FEED_GAP), (gap_at + 1, FEED_UP)):
        events[k]["kind"], events[k]["code"], events[k]["instrument"] = FEED, code, ACCOUNT_SCOPE
    events["ts_ns"] = events["ts_venue_ns"]
    events["seq"] = np.arange(1, count + 1)
    return events


def plain(events: np.ndarray) -> list[Second]:
    """The same seconds, one print at a time, as anybody would write them: without those at the cuts."""
    found: list[Second] = []
    part: list[Second] = []
    for event in [*events, None]:
        if event is None or event["kind"] == FEED:
            found += part[1:-1]
            part = []
            continue
        t_s, tick, qty = int(event["ts_venue_ns"]) // SECOND, int(event["price_tick"]), int(event["qty"])
        if not part or part[-1][0] != t_s:
            part.append([t_s, tick, tick, tick, tick, 0])
        bar = part[-1]
        bar[2], bar[3], bar[4], bar[5] = max(bar[2], tick), min(bar[3], tick), tick, bar[5] + qty
    return found


def session_of(events: np.ndarray) -> str:
    session = make_session(status="ended")
    write_frames(services.session_folder(session.id), events)
    return str(session.id)


def record(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("record", *words, "--json", stdout=out)
    return dict(json.loads(out.getvalue()))


def stored(number: int) -> list[Second]:
    """The bars of a data set."""
    path = data_set_path(DataSet.objects.get(pk=number))
    bars = load_bars(path, "MES", parse_options({"bar_s": "1"}))
    return np.column_stack([bars.start_ns // SECOND, bars.ticks, bars.volume]).tolist()


def test_what_was_traded_is_kept_and_a_gap_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """MES-LIVE-03: the plain bars, but the seconds at both ends and on both sides of the gap."""
    events = tape()
    session = session_of(events)
    said = record(session)
    wanted = plain(events)
    assert stored(said["id"]) == wanted and len(wanted) > 200
    assert (said["bars"], said["gaps"], said["left_out"], said["late"]) == (len(wanted), 1, 4, 0)
    row = DataSet.objects.get()
    assert (row.bar_ns, row.symbols, row.rows) == (SECOND, ["MES"], len(wanted))
    assert (row.request["session"], row.request["last_seq"]) == (int(session), len(events))
    assert row.created_by.startswith("shell:")
    feed = open_file(data_set_path(row), ["MES"])
    bars = feed.read(FAR, 9999).events
    assert bars[bars["kind"] == BAR]["volume"].sum() == sum(bar[5] for bar in wanted), "and it replays"
    folder = data_set_path(row).parent
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    monkeypatch.setattr(recording, "CHUNK_FRAMES", 7)
    monkeypatch.setattr(recording, "ROOM", 3)
    again = record(f"s{session}")
    assert again["id"] == said["id"] and DataSet.objects.count() == 1, "however the journal is read"


@pytest.mark.parametrize("seed", range(4))
def test_random_tapes_and_places_of_the_gap(seed: int) -> None:
    events = tape(seed, count=400, gap_at=20 + 90 * seed)
    assert stored(record(session_of(events))["id"]) == plain(events)


def test_prints_of_a_second_that_is_over_are_counted_and_left_out() -> None:
    events = tape(count=300, gap_at=280)
    late = events[200].copy()
    late["ts_venue_ns"] = int(events[200]["ts_venue_ns"]) - 30 * SECOND
    given = np.concatenate([events[:201], late.reshape(1), events[201:]])
    given["seq"] = np.arange(1, len(given) + 1)
    said = record(session_of(given))
    assert said["late"] == 1 and stored(said["id"]) == plain(events)


def test_what_cannot_be_recorded_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="this folder holds no session"):
        record("7777777")
    with pytest.raises(CommandError, match="is no session: give its number"):
        record("tomorrow")
    key = session_of(tape(count=300, gap_at=200))
    with pytest.raises(CommandError, match="trades MES, not SBER"):
        record(key, "--symbol", "sber")
    silent = new_events(2)
    silent["kind"], silent["instrument"], silent["seq"] = FEED, ACCOUNT_SCOPE, [1, 2]
    with pytest.raises(CommandError, match="nothing was traded for two whole seconds"):
        record(session_of(silent))
    bars = new_events(5)
    bars["kind"], bars["seq"], bars["ts_venue_ns"] = BAR, np.arange(1, 6), T0 + np.arange(5) * SECOND
    with pytest.raises(CommandError, match="it was fed bars, which the store has"):
        record(session_of(bars))
    broken = segment_path(services.session_folder(int(key)), 1)
    data = bytearray(broken.read_bytes())
    data[-400] ^= 1
    broken.write_bytes(data)
    with pytest.raises(CommandError, match="does not match its hash"):
        record(key)
    assert not DataSet.objects.exists()


def test_the_books_of_a_session_become_a_data_set_that_replays(tmp_path: Path) -> None:
    """Two holders recorded; the second wrote the last batch of the first again, and its own end was cut off."""
    session = make_session(status="ended")
    folder = services.session_folder(session.id)
    feed = open_feed(FeedSpec("simulated", ["MES"], seed=2, options={"backfill_s": "5"}))
    batches = [feed.read(2**62, 64) for _ in range(30)]
    head = head_bytes(Header(["MES"], [INSTRUMENTS["MES"].tick_nanos], session.key))
    first, second = batches[:20], batches[19:]
    (folder / "feed-00000001.rec").write_bytes(head + b"".join(map(frame_bytes, first)))
    (folder / "feed-00000002.rec").write_bytes((head + b"".join(map(frame_bytes, second)))[:-5])
    found = record(str(session.id), "--books")
    assert found["batches"] == 30
    item = DataSet.objects.get(pk=found["id"])
    whole = [batch.events for batch in batches[:29]]
    books = sum(int((events["kind"] == BOOK).sum()) for events in whole)
    assert item.kind == "books" and item.request["batches"] == 30
    path = data_set_path(item)
    tape = open_feed(FeedSpec("replay", ["MES"], path=str(path)))
    events = np.concatenate([tape.backfill().events, tape.read(2**62, 10**6).events])
    assert int((events["kind"] == BOOK).sum()) == books > 100
    tape.close()
    again = record(str(session.id), "--books")
    assert again["id"] == found["id"], "the same recording is the same data set"


def test_a_session_that_recorded_nothing_says_how_to() -> None:
    session = make_session(status="ended")
    with pytest.raises(CommandError, match="start one with --record"):
        call_command("record", str(session.id), "--books")
