"""The risk loop on real streams and files: exactly once across a crash anywhere, nothing sent that is not journaled.

The test writes to the inbox and reads the outbox as feed and execution do; the loop is stepped by hand.
"""

import os

import numpy as np
import pytest

from marketdata.core.records import NO_TIME
from marketdata.core.units import NANOS
from risk.core.holds import BIT
from risk.core.records import MOEX
from tests.redis_server import RedisServer
from tests.simulation.desk import Desk
from tests.simulation.kit import START_NS, command, quote, score
from trading.core.records import (
    ACK,
    CANCEL,
    COMMAND,
    CONDITION,
    DECISION,
    ENTRY,
    ERROR,
    FILL,
    KILL,
    LINK,
    LINK_DATABASE,
    LINK_EXECUTION,
    LINK_LATCH,
    LINK_STREAM,
    RECON,
    REJECT,
    RESET_HALT,
    START,
    SUBMIT,
    TIMER,
)
from trading.run.bodies.errors import keep_failure, kept_failures
from trading.run.bodies.risk_inputs import due_timers, own_inputs, weave_timers
from trading.run.clock import SessionClock, boot_ns, save_clock
from trading.run.context import LOOPS, Fenced
from trading.run.journal.recovery import recover
from trading.run.journal.verify import verify_journal
from trading.run.journal.writer import JournalFull, JournalWriter
from trading.run.latch import clear_latch, write_latch
from trading.run.streams import ZERO_ID


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def desk(tmp_path, server):
    return Desk(tmp_path, server)


def test_the_first_start_configures_and_admits_nothing_yet(desk):
    """P-05, P-07: unreconciled, entries are refused with the reason."""
    assert desk.loop.kernel.state.account[0].version == 3
    assert desk.journal(LINK)["code"].tolist() == [LINK_EXECUTION, LINK_STREAM, LINK_DATABASE]
    desk.give(quote(desk.now()), command(START, desk.now()), score(desk.now()))
    desk.step()
    assert len(desk.journal(SUBMIT)) == 0
    assert desk.journal(DECISION)["code"].tolist() != [0]
    asked = [e.events[0] for e in desk.outbox.read(ZERO_ID, 0, 10)]
    assert {int(e["kind"]) for e in asked} == {RECON}, "execution was asked to reconcile"


def test_an_entry_is_journaled_then_sent_under_its_own_number(desk):
    desk.make_ready()
    desk.give(score(desk.now()))
    desk.step()
    (order,) = desk.sent()
    assert (order["kind"], order["role"], order["qty"]) == (SUBMIT, ENTRY, 1)
    assert desk.journal(SUBMIT).tobytes() == order.tobytes()
    assert verify_journal(desk.folder).ok


def test_a_missing_database_beat_holds_entries_after_three_seconds(desk):
    desk.make_ready()
    links = desk.loop._links
    boot = boot_ns()
    links.saw_database(True, boot)
    links.saw_database(False, boot + 3 * NANOS)
    assert links.database_ok
    links.saw_database(False, boot + 3 * NANOS + 1)
    assert not links.database_ok
    desk.server.client().delete("desk:s7:beat:sinks")
    desk.loop._links._database_seen_ns = boot - 4 * NANOS
    desk.step()
    assert desk.journal(LINK)[-1]["code"] == LINK_DATABASE
    assert desk.loop.kernel.state.account[0].database_up == 0
    desk.give(score(desk.now()))
    desk.step()
    assert len(desk.sent()) == 0
    desk.board.beat("sinks", 60_000)
    desk.step()
    assert desk.loop.kernel.state.account[0].database_up == 1


def test_the_latch_kills_once_and_keeps_out_until_it_is_gone(desk, tmp_path):
    desk.make_ready()
    write_latch(tmp_path, "test", "drill")
    desk.step()
    assert desk.journal(COMMAND)["code"].tolist() == [START, KILL]
    desk.give(score(desk.now()))
    desk.step()
    assert len(desk.sent()) == 0
    desk.give(command(RESET_HALT, desk.now(), ref=2))
    desk.step()
    assert desk.journal(COMMAND)["code"].tolist() == [START, KILL, RESET_HALT], "the same latch does not kill again"
    assert desk.loop.kernel.state.account[0].latched == 1
    clear_latch(tmp_path)
    desk.step()
    assert desk.journal(LINK)[-1]["code"] == LINK_LATCH
    assert desk.loop.kernel.state.account[0].latched == 0
    write_latch(tmp_path, "test", "again")
    desk.step()
    assert desk.journal(COMMAND)["code"].tolist()[-1] == KILL


def test_an_entry_that_meets_the_latch_on_its_way_out_does_not_leave(desk, tmp_path, monkeypatch):
    desk.make_ready()
    journal = desk.loop._journal

    def latch_after(*arguments):
        journal(*arguments)
        if (arguments[0]["kind"] == SUBMIT).any():
            write_latch(tmp_path, "test", "between journal and outbox")

    monkeypatch.setattr(desk.loop, "_journal", latch_after)
    desk.give(score(desk.now()))
    desk.step()
    assert len(desk.journal(SUBMIT)) == 1
    assert len(desk.sent()) == 0
    assert len(desk.journal(REJECT)) == 1
    assert desk.journal(COMMAND)["code"].tolist() == [START, KILL]
    desk.server.client().flushall()
    desk.step()
    assert len(desk.sent()) == 0, "nor when the outbox is filled again"


def test_exits_leave_under_the_latch(desk, tmp_path):
    desk.make_ready()
    desk.give(score(desk.now()))
    desk.step()
    (entry,) = desk.sent()
    desk.give(desk.answer(ACK, entry), desk.answer(FILL, entry), loop="execution")
    desk.step()
    write_latch(tmp_path, "test", "drill")
    desk.step()
    after = desk.sent()[3:]
    assert set(after["kind"].tolist()) <= {SUBMIT, CANCEL}
    exits = after[after["kind"] == SUBMIT]
    assert (exits["role"].tolist(), exits["side"].tolist()) == ([4], [-1])


def test_an_older_owner_neither_journals_nor_sends(desk):
    desk.make_ready()
    old = desk.loop
    desk.start()
    desk.make_ready()
    before = len(desk.sent())
    with pytest.raises(Fenced):
        old._handle(own_inputs(score(desk.now()), boot_ns()))
    assert len(desk.sent()) == before
    with pytest.raises(Fenced):
        old._append_outbox(desk.journal(TIMER)[:1])


def test_a_journal_that_cannot_be_written_sends_nothing(desk):
    desk.make_ready()
    os.dup2(os.open("/dev/full", os.O_WRONLY), desk.loop._writer._fd)
    desk.give(score(desk.now()))
    with pytest.raises(JournalFull, match="nothing may be sent"):
        desk.step()
    assert len(desk.sent()) == 0


def test_timers_are_whole_seconds_and_a_long_pause_is_one():
    last = START_NS
    assert (due_timers(last, last + NANOS - 1)["ts_ns"]).tolist() == []
    assert ((due_timers(last, last + 3 * NANOS)["ts_ns"] - last) // NANOS).tolist() == [1, 2, 3]
    assert ((due_timers(last, last + 5 * NANOS + 7)["ts_ns"] - last) // NANOS).tolist() == [1, 2, 3, 4, 5]
    assert ((due_timers(last, last + 6 * NANOS)["ts_ns"] - last) // NANOS).tolist() == [6]
    assert due_timers(NO_TIME, last + 5)["ts_ns"].tolist() == [last]


def test_on_a_tape_timers_stand_before_the_events_that_make_them_due():
    times = [0.2, 0.9, 1.1, 1.2, 3.5, 20.0]
    events = np.concatenate([quote(START_NS + round(t * NANOS)) for t in times])
    ids = np.arange(12).reshape(6, 2)
    woven, woven_ids, _ = weave_timers((events, ids, np.zeros(6, np.int64)), START_NS, 0)
    seen = [("T" if e["kind"] == TIMER else "q", (int(e["ts_ns"]) - START_NS) / NANOS) for e in woven]
    assert seen == [
        ("q", 0.2), ("q", 0.9), ("T", 1), ("q", 1.1), ("q", 1.2), ("T", 2), ("T", 3), ("q", 3.5), ("T", 20), ("q", 20.0)
    ]  # fmt: skip
    assert woven_ids[woven["kind"] != TIMER].tolist() == ids.tolist()
    assert not woven_ids[woven["kind"] == TIMER].any()


def test_the_loop_makes_a_timer_every_session_second(tmp_path, server):
    desk = Desk(tmp_path, server, speed=64.0)
    until = boot_ns() + 60 * NANOS
    while len(desk.journal(TIMER)) < 14 and boot_ns() < until:
        desk.loop.step()
    times = desk.journal(TIMER)["ts_ns"]
    assert len(times) >= 14
    assert (times % NANOS == 0).all()
    assert (np.diff(times) > 0).all()


def shares(tmp_path, server, speed: float = 1.0) -> Desk:
    """A desk under the shares' rulebook, whose quotes do not grow stale."""
    hour = 3600 * NANOS
    return Desk(tmp_path, server, speed, rules=MOEX, quote_age_ns_max=hour, naked_ns_max=hour)


def held(desk: Desk, code: str) -> bool:
    return bool(int(desk.loop.kernel.state.account[0].holds) >> BIT[code] & 1)


def test_its_own_failures_are_told_by_the_holder_after_t10_moex_risk_05(tmp_path, server):
    """RISK_ERROR for one, the storm for ten; told once, in the journal, so that a replay is exact."""
    desk = shares(tmp_path, server)
    for _ in range(2):
        keep_failure(desk.folder)
    desk.start()
    desk.start()
    assert held(desk, "RISK_ERROR") and not held(desk, "RISK_ERROR_REPEAT")
    assert [(int(e["code"]), int(e["value"])) for e in desk.journal(ERROR)] == [(LOOPS.index("risk") + 1, 2)]
    for _ in range(10):
        keep_failure(desk.folder)
    desk.start()
    assert held(desk, "RISK_ERROR_REPEAT") and kept_failures(desk.folder) == 0
    assert verify_journal(desk.folder).ok


def test_a_failure_is_forgotten_once_the_journal_has_it_on_disk_t10(tmp_path, server, monkeypatch):
    """A power cut between the two must not lose it."""
    desk, seen = shares(tmp_path, server), []
    keep_failure(desk.folder)
    sync = JournalWriter.sync

    def synced(writer: JournalWriter) -> None:
        sync(writer)
        seen.append((kept_failures(desk.folder), len(desk.journal(ERROR))))

    monkeypatch.setattr(JournalWriter, "sync", synced)
    desk.start()
    assert (1, 1) in seen and kept_failures(desk.folder) == 0


def beats_told(desk: Desk) -> np.ndarray:
    """CONDITIONs of HEARTBEAT in the journal; a slow machine tells of its slow steps as well."""
    told = desk.journal(CONDITION)
    return told[told["code"] == BIT["HEARTBEAT"]]


def test_books_that_stay_away_are_told_and_a_takeover_knows_of_it_moex_mon_05(tmp_path, server):
    """HEARTBEAT by the risk loop's own clock, in its journal, so that a replay is exact; books end it."""
    desk = shares(tmp_path, server, 1_000.0)
    desk.give(quote(desk.now()))
    deadline = boot_ns() + 60 * NANOS
    while not held(desk, "HEARTBEAT"):
        assert boot_ns() < deadline
        desk.loop.step()
    told = beats_told(desk)
    assert told["value"].tolist() == [1] and told["qty"][0] >= 15 * NANOS
    save_clock(desk.folder, SessionClock(desk.now(), boot_ns(), 1.0))  # so that a slow machine is in time
    desk.start()
    assert held(desk, "HEARTBEAT") and len(beats_told(desk)) == 1, "it stands by the journal alone"
    while held(desk, "HEARTBEAT"):
        assert boot_ns() < deadline
        desk.give(quote(desk.now()))
        desk.loop._watch._next_ns = 0
        desk.loop.step()
    assert verify_journal(desk.folder).ok


@pytest.mark.parametrize("damage", [True, False])
def test_checkpoints_that_cannot_be_used_leave_the_state_to_a_person_moex_store_09(tmp_path, server, damage):
    """STATE_LOST once, though the journal alone gave every byte of the state again; a sound snapshot says nothing."""
    desk = shares(tmp_path, server)
    desk.make_ready()
    before = desk.loop.kernel.snapshot()
    desk.loop._snapshot(boot_ns())
    thread = desk.loop._snapshot_thread
    assert thread is not None
    thread.join()
    (path,) = desk.folder.glob("snapshot-*.bin")
    if damage:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    assert recover(desk.folder).kernel.snapshot() == before
    desk.start()
    assert held(desk, "STATE_LOST") == damage
    assert verify_journal(desk.folder).ok
