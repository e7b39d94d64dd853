"""The streams on a real server: bounded, fenced, and nothing that counts lost when Redis starts empty."""

import time

import numpy as np
import pytest

from marketdata.core.records import DEPTH
from tests.redis_server import RedisServer
from tests.simulation.kit import numbered
from trading.run.clock import boot_ns
from trading.run.context import Fenced
from trading.run.streams import INBOX, MARKET, OUTBOX, ZERO_ID, Board, Stream, StreamAway, StreamFull, pack


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def stream(server):
    client = server.client()
    client.flushall()
    return Stream(client, "s1", INBOX)


def test_what_was_appended_is_read_back_with_depths_and_position(server, stream):
    stream.open(ZERO_ID)
    depths = np.zeros(2, DEPTH)
    depths["bid_qty"][1, 3] = 77
    before = boot_ns()
    given = stream.append(
        numbered(3),
        fence=1,
        loop="feed",
        depths=depths,
        depth_of=np.array([0, -1, 1]),
        position=12,
        mark=("feed", b"12"),
    )
    (entry,) = stream.read(ZERO_ID, 0, 10)
    assert entry.id == given
    assert entry.events.tobytes() == numbered(3).tobytes()
    assert entry.depths.tobytes() == depths.tobytes()
    assert entry.depth_of.tolist() == [0, -1, 1]
    assert entry.position == 12
    assert before <= entry.boot_ns <= boot_ns()
    assert stream.mark("feed") == b"12"
    assert stream.read(given, 1, 10) == []


def test_a_stream_that_its_reader_has_not_opened_takes_nothing(stream):
    with pytest.raises(StreamAway, match="not open"):
        stream.append(numbered(1), fence=1, loop="feed")
    assert stream.open(ZERO_ID) is True
    assert stream.open(ZERO_ID) is False
    stream.append(numbered(1), fence=1, loop="feed")
    assert stream.length() == 1


def test_a_full_stream_refuses_and_says_so(server, stream):
    small = Stream(server.client(), "s1", INBOX, cap=3)
    small.open(ZERO_ID)
    for _ in range(3):
        last = small.append(numbered(1), fence=1, loop="feed")
    with pytest.raises(StreamFull, match="3 entries"):
        small.append(numbered(1), fence=1, loop="feed")
    small.trim(last)
    small.append(numbered(1), fence=1, loop="feed")
    assert small.length() == 1


def test_an_older_fence_of_the_same_loop_is_refused(stream):
    stream.open(ZERO_ID)
    stream.append(numbered(1), fence=4, loop="feed")
    stream.append(numbered(1), fence=1, loop="inference")
    with pytest.raises(Fenced, match="fence 4 was here"):
        stream.append(numbered(1), fence=3, loop="feed")
    stream.append(numbered(1), fence=5, loop="feed")
    assert stream.length() == 3


def test_entries_with_ids_of_their_own_are_all_there_or_none(server, stream):
    out = Stream(server.client(), "s1", OUTBOX)
    out.open(ZERO_ID)
    out.append_many([(b"5-0", pack(numbered(1))), (b"9-0", pack(numbered(1)))], fence=1, loop="risk")
    assert out.last_id() == (9, 0)
    assert [entry.id for entry in out.read((5, 0), 0, 10)] == [(9, 0)]
    out.trim((9, 0))
    assert (out.length(), out.last_id()) == (0, (9, 0))


def test_ids_go_on_behind_the_journal_when_redis_starts_empty(server, stream):
    """The wall clock may have been set back meanwhile: an id must never come twice."""
    future = (int(time.time() * 1000) + 10**9, 5)
    stream.open(future)
    assert stream.append(numbered(1), fence=1, loop="feed") > future
    stream.client.flushall()
    assert stream.open(ZERO_ID) is True
    stream.append(numbered(1), fence=1, loop="feed")
    assert stream.open(future) is False  # there, but older than the journal, as after a lost second of the file
    assert stream.append(numbered(1), fence=1, loop="feed") > future


def test_fences_come_back_with_the_callers(tmp_path):
    server = RedisServer(tmp_path / "redis").start()
    try:
        old, new = (Stream(server.client(), "s1", MARKET) for _ in range(2))
        new.open(ZERO_ID)
        new.append(numbered(1), fence=7, loop="feed")
        server.kill()
        with pytest.raises(StreamAway):
            new.append(numbered(1), fence=7, loop="feed")
        server.restart(empty=True)
        new.open(ZERO_ID)
        new.append(numbered(1), fence=7, loop="feed")
        with pytest.raises(Fenced):
            old.append(numbered(1), fence=6, loop="feed")
        server.kill()
        server.restart(empty=False)
        assert new.length() <= 1  # up to a second may be lost: nothing that counts rests here alone
    finally:
        server.kill()


def test_the_board_shows_the_latest_and_beats_run_out(server, stream):
    board = Board(server.client(), "s1")
    board.put({"depth:0": b"abc"})
    board.show("feed", b"{}")
    assert board.latest() == {"depth:0": b"abc"}
    assert board.health() == {"feed": b"{}"}
    assert not board.beats("sinks")
    board.beat("sinks", 10_000)
    assert board.beats("sinks")
    board.beat("sinks", 1)
    time.sleep(0.02)  # the server's own clock
    assert not board.beats("sinks")


def test_what_the_browser_gets_is_kept_and_announced(server, stream):
    listener = server.client().pubsub()
    listener.subscribe("desk:live")
    assert listener.get_message(timeout=30)["type"] == "subscribe"
    Board(server.client(), "s1").publish({"account": b'{"label":"ACTIVE"}'}, 5_000_123)
    assert listener.get_message(timeout=30)["data"] == b'{"k":"s1","f":["account"],"at":5000}'
    assert stream.client.hget("desk:latest:s1", "account") == b'{"label":"ACTIVE"}'
