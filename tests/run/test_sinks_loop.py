"""The sinks loop: every follower gets every frame once and in order, the replica compares all, the picture is whole."""

import msgspec
import numpy as np
import pytest

from marketdata.core.records import NO_TIME
from tests.redis_server import RedisServer
from tests.simulation.desk import Desk
from tests.simulation.kit import make_context, score
from trading.core.records import ACK, FILL
from trading.run.bodies.sinks_loop import Retry, SinksLoop
from trading.run.clock import boot_ns
from trading.run.journal.segment import FRAME, FRAME_BYTES, JournalBroken, link_frames
from trading.run.journal.verify import verify_journal
from trading.run.streams import Board


class Follower:
    """Keeps seqs; fails when told to."""

    def __init__(self, name: str, start: int = 0) -> None:
        self.name, self.start, self.published = name, start, 0
        self.seqs: list[int] = []
        self.locked = False

    def cursor(self) -> int:
        if self.locked:
            raise Retry("database is locked")
        return self.seqs[-1] if self.seqs else self.start

    def apply(self, frames: np.ndarray) -> None:
        if self.locked:
            raise Retry("database is locked")
        self.seqs += frames["event"]["seq"].tolist()

    def publish(self) -> None:
        self.published += 1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def desk(tmp_path, server):
    desk = Desk(tmp_path, server)
    desk.make_ready()
    return desk


def start(desk: Desk, *followers: Follower) -> SinksLoop:
    loop = SinksLoop(lambda _: list(followers))
    loop.open(make_context(desk.folder, desk.spec, "sinks", 1))
    return loop


def run(loop: SinksLoop, times: int = 5) -> None:
    for _ in range(times):
        loop._due_ns = loop._beat_ns = NO_TIME
        for followed in loop._followed:
            followed.retry_ns = 0
        loop.step()


def test_every_follower_gets_every_frame_once_from_its_own_cursor(desk):
    first, second = Follower("ledger"), Follower("audit", start=7)
    loop = start(desk, first, second)
    run(loop)
    desk.give(score(desk.now()))
    desk.step()
    run(loop)
    count = len(desk.journal())
    assert first.seqs == list(range(1, count + 1))
    assert second.seqs == list(range(8, count + 1))
    assert first.published > 0
    assert loop.counts["compared"] == count
    assert loop.fault == ""


def test_a_locked_database_holds_up_nobody_else_and_loses_nothing(desk):
    """The beat stops while a follower fails, so that entries are held (design 2); exits never hear of it."""
    ledger, audit = Follower("ledger"), Follower("audit")
    loop = start(desk, ledger, audit)
    ledger.locked = True
    board = Board(desk.server.client(), "s7")
    desk.server.client().delete("desk:s7:beat:sinks")
    run(loop)
    assert (ledger.seqs, len(audit.seqs)) == ([], len(desk.journal()))
    assert not board.beats("sinks")
    assert loop._shown["faults"] == {"ledger": "database is locked"}
    ledger.locked = False
    run(loop)
    assert ledger.seqs == list(range(1, len(desk.journal()) + 1))
    assert board.beats("sinks")


def test_a_follower_that_is_far_behind_stops_the_beat(desk, monkeypatch):
    import trading.run.bodies.sinks_loop as module

    monkeypatch.setattr(module, "BEHIND_MAX", 3)
    monkeypatch.setattr(module, "BATCH", 2)
    loop = start(desk, Follower("ledger"))
    desk.server.client().delete("desk:s7:beat:sinks")
    run(loop, times=1)
    assert not Board(desk.server.client(), "s7").beats("sinks")
    run(loop, times=100)
    assert Board(desk.server.client(), "s7").beats("sinks")


def test_a_frame_that_the_kernel_did_not_make_is_found(desk):
    """The chain is whole, the hash is right, and still the output is not what these inputs give."""
    loop = start(desk)
    run(loop)
    desk.give(score(desk.now()))
    desk.step()
    path = desk.loop._writer.path
    data = bytearray(path.read_bytes())
    frames = np.frombuffer(bytes(data[FRAME_BYTES:]), FRAME).copy()
    at = int(np.flatnonzero(frames["event"]["kind"] == 40)[0])
    frames["event"]["qty"][at] = 2
    link_frames(frames, bytes(data[FRAME_BYTES - 32 : FRAME_BYTES]))
    path.write_bytes(bytes(data[:FRAME_BYTES]) + frames.tobytes())
    run(loop)
    assert "qty recorded 2 computed 1" in loop.fault
    report = verify_journal(desk.folder)
    assert (report.chain_fault, report.first_difference, report.ok) == ("", at + 1, False)


def test_the_picture_tells_what_is_held_and_why_moex_risk_14(desk):
    loop = start(desk)
    desk.give(score(desk.now()))
    desk.step()
    (entry,) = desk.sent()
    desk.give(desk.answer(ACK, entry), desk.answer(FILL, entry), loop="execution")
    desk.step()
    run(loop)
    values = desk.server.client().hgetall("desk:latest:s7")
    picture = {name.decode(): msgspec.json.decode(value) for name, value in values.items()}
    assert picture["pos:0"]["qty"] == 1
    assert picture["pos:0"]["stop"]["tick"] == 20_001 - 8
    assert picture["pos:0"]["broker"] == {"qty": 0, "agrees": False}
    assert picture["account"]["label"] == "ACTIVE"
    assert picture["pos:0"]["naked"] is False
    assert (picture["mode"]["key"], picture["mode"]["mode"]) == ("s7", "paper")
    assert picture["instruments"]["0"]["decimals"] == 2
    fills, decisions, orders = (picture[f"rows:{name}"] for name in ("fill", "decision", "order"))
    assert (fills["to"], fills["items"][-1]["tick"]) == (1, 20_001)
    assert (decisions["to"], decisions["items"][-1]["code"]) == (1, 0)
    assert {row["role"] for row in orders["items"]} == {"entry", "stop", "target"}
    assert {row["role"] for row in picture["orders"]} == {"stop", "target"}, "working orders alone"
    assert (picture["seq"], picture["epoch"]) == (len(desk.journal()), 1)
    assert picture["quote:0"]["bid"] == 20_000
    assert {row["id"] for row in picture["risk"]} == {
        "loss_day",
        "drawdown_day",
        "drawdown",
        "loss_total",
        "position",
        "orders_open",
        "messages_60s",
    }
    assert all(abs(n) < 2**53 for n in numbers(picture)), "a browser's number"


def numbers(value: object) -> list[int]:
    """All integers inside a JSON value."""
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [value] if isinstance(value, int) else []


def test_a_restart_begins_at_the_snapshot_and_compares_on(desk):
    desk.give(score(desk.now()))
    desk.step()
    desk.loop._snapshot(boot_ns())
    desk.loop._snapshot_thread.join()
    desk.give(score(desk.now(), side=-1))
    desk.step()
    follower = Follower("ledger")
    loop = start(desk, follower)
    run(loop)
    assert 0 < loop.counts["compared"] < len(desk.journal())
    assert loop.fault == ""
    assert len(loop._rows.decisions) == 2, "rows before the snapshot are shown too"
    assert follower.seqs == list(range(1, len(desk.journal()) + 1))


def test_a_ledger_that_is_ahead_of_its_journal_is_refused_in_words(desk):
    """A power cut that took journaled frames back must not let new ones be passed over as known."""
    loop = start(desk, Follower("ledger", start=10_000))
    with pytest.raises(JournalBroken, match="ledger has rows up to 10000, the journal ends at"):
        loop.step()


def test_followers_get_only_frames_that_are_on_disk(desk, monkeypatch):
    synced: list[int] = []
    monkeypatch.setattr("trading.run.journal.reader.os.fdatasync", synced.append)
    follower = Follower("ledger")
    loop = start(desk, follower)
    loop.step()
    assert len(synced) == 1 and follower.seqs == list(range(1, verify_journal(desk.folder).frames + 1))
