"""T-04 and N16 with the real parts: a journal on disk, a receiver over HTTP, the database, Redis; clocks moved on."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from desk.alerts import answering, mirror
from desk.alerts.channels import parse
from desk.alerts.models import Alert
from desk.alerts.teller import Setting, Shown, Teller, read_state
from desk.alerts.watching import Journals
from desk.audit.models import AuditRecord
from marketdata.core.records import ACCOUNT_SCOPE
from risk.core.holds import BIT
from tests.ops.alerts.receiver import Receiver, receiving
from tests.run.conduct.tape import Tape as Conduct
from tests.shell.frames import SECOND, Tape, make_session, ring
from trading import services
from trading.core import records as kinds
from trading.core import states
from trading.models import Command, Session
from trading.overrides.services import WAIT_S
from trading.run import guard
from trading.run.clock import boot_ns
from trading.run.journal.writer import JournalWriter
from trading.run.latch import write_latch
from trading.run.streams import ZERO_ID, Board

NO_REDIS = "redis://127.0.0.1:1/0"
PATIENCE_S = 30
T = TypeVar("T")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def second() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def var(tmp_path: Path, settings) -> Path:
    settings.VAR = tmp_path
    return tmp_path


class Clock:
    """The boot clock, which a test may move on."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return boot_ns() + self.ahead_ns

    def jump(self, seconds: float) -> None:
        self.ahead_ns += round(seconds * SECOND)


def until(teller: Teller, true: Callable[[], bool]) -> None:
    """Steps until it is so: what waits for is a real thread and a real socket."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        teller.step()


def shown_of(var: Path) -> Shown:
    """The state as the pages read it."""
    shown = read_state(var)
    assert shown is not None
    return shown


def trading_session(var: Path) -> tuple[Session, JournalWriter]:
    """A session on the guard's list, and the writer of its journal."""
    session = make_session()
    guard.watch(var, guard.Target(session.id, session.key, "1", "nowhere"), True)
    return session, JournalWriter(services.session_folder(session.id), session.id, 1, "code")


def append(writer: JournalWriter, tape: Tape) -> None:
    events = tape.frames()["event"].copy()
    events["seq"] = np.arange(writer.next_seq, writer.next_seq + len(events))
    zeros = np.zeros((len(events), 2), np.int64)
    writer.append(events, zeros, np.zeros(len(events), np.int64), durable=True)


def halt() -> Tape:
    return Tape().add(kinds.HOLD_RAISED, code=BIT["DAILY_LOSS"], instrument=ACCOUNT_SCOPE)


@pytest.mark.django_db
def test_a_hold_of_the_journal_is_sent_within_5_s_shown_and_answered_t_04(
    var: Path, receiver: Receiver, second: Receiver, redis_server: str, redis_client: Any
) -> None:
    session, writer = trading_session(var)
    append(writer, Tape().add(kinds.COMMAND, code=kinds.START, instrument=ACCOUNT_SCOPE))
    clock = Clock()
    teller = Teller(Setting(var, redis_server, parse(f"{receiver.url};{second.url}")), clock)
    board = Board(redis_client, session.key)

    def jump(seconds: float) -> None:
        """With loops that go on."""
        clock.jump(seconds)
        board.show("risk.run", b'{"beat_boot_ns": %d}' % clock())

    teller.step()
    append(writer, halt())
    begun = time.monotonic()
    until(teller, lambda: len(receiver.came) > 0)
    assert time.monotonic() - begun < 5 and "DAILY_LOSS" in receiver.texts()[0]
    jump(1)
    until(teller, lambda: Alert.objects.exclude(first_sent_at=None).exists())
    row = Alert.objects.get()
    assert (row.severity, row.kind, row.session) == ("urgent", "DAILY_LOSS", session.id)
    assert row.sent_through == ["webhook 127.0.0.1 #1"]
    assert (shown_of(var).urgent, shown_of(var).unsent) == (1, 0)
    jump(50)
    teller.step()
    assert second.came == []
    jump(10)  # 60 s without an answer: the next one
    until(teller, lambda: len(second.came) == 1)
    assert answering.acknowledge([row.id], "alice") == 1 and answering.acknowledge([row.id], "bob") == 0
    jump(1)
    teller.step()
    assert shown_of(var).urgent == 0
    jump(3600)
    for _ in range(5):
        teller.step()
    assert (len(receiver.came), len(second.came)) == (1, 1), "nobody is told again once somebody has answered"
    assert AuditRecord.objects.filter(action="alert_answered", actor="alice").count() == 1


@pytest.mark.django_db
def test_a_receiver_that_refuses_is_passed_over_and_a_restart_forgets_nothing_n16(
    var: Path, receiver: Receiver, second: Receiver, redis_server: str
) -> None:
    session, writer = trading_session(var)
    receiver.status = 500
    channels = parse(f"{receiver.url};{second.url}")
    teller = Teller(Setting(var, redis_server, channels))
    teller.step()
    append(writer, Tape().add(kinds.COMMAND, code=kinds.START, instrument=ACCOUNT_SCOPE))
    append(writer, halt())
    until(teller, lambda: len(second.came) == 1)
    until(teller, lambda: shown_of(var).urgent == 1 and shown_of(var).channels[0][1] != "")
    assert receiver.came == [] and shown_of(var).channels[0][1] == "it answered 500"
    append(writer, Tape().add(kinds.HOLD_RAISED, code=BIT["KILL_SWITCH"], instrument=ACCOUNT_SCOPE))
    receiver.status = 200
    again = Teller(Setting(var, redis_server, channels))  # the process died before it had seen that one
    until(again, lambda: len(receiver.came) == 1)
    assert "KILL_SWITCH" in receiver.texts()[0] and len(second.came) == 1, "what was sent is not sent again at once"
    guard.watch(var, guard.Target(session.id, session.key, "1", "nowhere"), False)
    append(writer, Tape().add(kinds.HOLD_RAISED, code=BIT["MISMATCH"], instrument=ACCOUNT_SCOPE))
    until(again, lambda: any("MISMATCH" in text for text in receiver.texts()))  # read to its end after it left


@pytest.mark.django_db(transaction=True)
def test_alerts_leave_while_the_database_and_redis_are_away_and_say_so_n16(var: Path, receiver: Receiver) -> None:
    _session, writer = trading_session(var)
    clock = Clock()
    teller = Teller(Setting(var, NO_REDIS, parse(receiver.url)), clock)
    teller.step()
    append(writer, Tape().add(kinds.COMMAND, code=kinds.START, instrument=ACCOUNT_SCOPE))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE alerts_alert RENAME TO alerts_gone")
    try:
        append(writer, halt())
        until(teller, lambda: len(receiver.came) == 1)
        for _ in range(4):
            clock.jump(4)
            teller.step()
        until(teller, lambda: any("the database takes nothing" in text for text in receiver.texts()))
        until(teller, lambda: any("Redis does not answer" in text for text in receiver.texts()))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE alerts_gone RENAME TO alerts_alert")
    clock.jump(1)
    teller.step()
    assert set(Alert.objects.values_list("kind", flat=True)) == {"DAILY_LOSS", "DATABASE", "REDIS"}, "they follow later"


def test_a_database_that_hangs_holds_up_no_alert_and_is_one_n16(var: Path, receiver: Receiver) -> None:
    clock, asked = Clock(), []

    def hang(work: Callable[[], T]) -> "Future[T]":
        asked.append(work)
        return Future()

    teller = Teller(Setting(var, NO_REDIS, parse(receiver.url)), clock)
    teller._aside = hang
    write_latch(var, "guard", "drill of the alerts")
    until(teller, lambda: len(receiver.came) == 1)
    clock.jump(11)
    until(teller, lambda: any("the database takes nothing" in text for text in receiver.texts()))
    assert len(asked) == 1, "nothing piles up before it"


def test_the_databases_own_thread_gives_back_what_it_found_and_what_went_wrong() -> None:
    aside, found = mirror.Aside(), mirror.Exchanged([("s1:7", "alice")], [])

    def away() -> mirror.Exchanged:
        raise mirror.MirrorAway("it is down")

    failed, done = aside(away), aside(lambda: found)
    assert done.result(PATIENCE_S) == found and isinstance(failed.exception(PATIENCE_S), mirror.MirrorAway)


@pytest.mark.django_db
def test_a_limit_that_comes_near_a_silent_loop_and_a_latch_are_told_once_t_04(
    var: Path, receiver: Receiver, redis_server: str, redis_client
) -> None:
    session, writer = trading_session(var)
    append(writer, Tape().add(kinds.COMMAND, code=kinds.START, instrument=ACCOUNT_SCOPE))
    clock = Clock()
    teller = Teller(Setting(var, redis_server, parse(receiver.url)), clock)
    board = Board(redis_client, session.key)
    gauge = {"id": "loss_day", "used": 810_000_000, "max": 1_000_000_000, "unit": "micros", "rule": "P-15", "pct": 81.0}
    full = {"id": "position", "used": 1, "max": 1, "unit": "contracts", "rule": "P-12", "pct": 100.0}

    def show(pct: float, beat_ns: int) -> None:
        board.publish({"risk": json.dumps([gauge | {"pct": pct}, full]).encode()}, boot_ns())
        board.show("risk.run", b'{"beat_boot_ns": %d}' % beat_ns)
        clock.jump(1)
        teller.step()

    for pct in (79.9, 81.0, 81.0, 76.0, 81.0, 74.0, 82.0):
        show(pct, clock())
    show(10.0, clock() - 11 * SECOND)
    write_latch(var, "guard", "drill of the alerts")
    clock.jump(1)
    until(teller, lambda: len(receiver.texts()) == 4)
    texts = receiver.texts()
    assert sum("loss_day is at" in text for text in texts) == 2, "again only after it was below 75 %"
    assert "at 81.0 % of its limit: 810.00 of 1000.00" in texts[0] and not any("position" in text for text in texts)
    assert sum("the risk loop has been silent for" in text for text in texts) == 1
    assert sum("drill of the alerts" in text for text in texts) == 1
    badge = redis_client.hget(f"desk:latest:{session.key}", "alerts")
    assert b'"urgent":2' in badge


@pytest.mark.django_db
def test_three_fills_that_stand_out_pause_the_session_as_soon_as_it_takes_it_t_05(
    var: Path, receiver: Receiver, redis_server: str, redis_client: Any
) -> None:
    session = make_session(redis_url=redis_server, limits={"collar_ticks_max": 20})
    guard.watch(var, guard.Target(session.id, session.key, "1", "nowhere"), True)
    writer = JournalWriter(services.session_folder(session.id), session.id, 1, "code")
    teller = Teller(Setting(var, redis_server, parse(receiver.url)))
    teller.step()
    tape = Conduct()
    for second in range(4):
        tape.quote(second, 100, 101)
        tape.fill(second, tape.submit(second), 130)
    events = tape.events()
    writer.append(events, np.zeros((len(events), 2), np.int64), np.zeros(len(events), np.int64), durable=True)
    until(teller, lambda: len(receiver.texts()) == 5)
    assert sum("outside of the collar of 20" in text for text in receiver.texts()) == 4
    failed = set(Command.objects.values_list("state", "by"))
    assert failed == {(states.COMMAND_FAILED, "alerts")}, "nobody has opened the inbox yet"
    inbox = ring(session, redis_client)
    clock = Clock()
    again = Teller(Setting(var, redis_server, parse(receiver.url)), clock)  # a crash forgets no pause
    for _ in range(3):
        clock.jump(1)
        again.step()
    (entry,) = inbox.read(ZERO_ID, 0, 9)
    assert [(int(e["kind"]), int(e["code"])) for e in entry.events] == [(kinds.COMMAND, kinds.PAUSE)], "once"
    assert Command.objects.get(state=states.ACCEPTED).by == "alerts"


@pytest.mark.django_db
def test_a_restart_reads_no_journal_from_its_begin_t_02(var: Path) -> None:
    """T-02: what was gathered is kept beside the cursors: frames that nobody could read again are not asked for."""
    session, writer = trading_session(var)
    tape = Conduct()
    for second, price in ((1, 100), (2, 103)):
        tape.fill(second, tape.submit(second), price)
        tape.rows[-2]["fee_micros"] = 840_000
    events = tape.events()
    writer.append(events, np.zeros((len(events), 2), np.int64), np.zeros(len(events), np.int64), durable=True)
    (var / "alerts").mkdir()
    first = Journals(var, {}, False)
    assert first.look(1, 1) == ([], {})
    first.keep()
    (path,) = services.session_folder(session.id).glob("*.seg")
    data = bytearray(path.read_bytes())
    data[256 * 2 + 9] ^= 4  # the first frames
    path.write_bytes(data)
    append(writer, money_told(cash=-203, fees=0, ref=tape.ref))
    found, _ = Journals(var, first.cursors(), False).look(2, 2)
    assert [alert.kind for alert in found] == ["MONEY_DIFFERS"] and "by 1.68" in found[0].text
    (var / "alerts" / f"{session.key}.read.json").unlink()
    assert Journals(var, first.cursors(), False).look(2, 2)[0] == [], "it would have to be read again, and is not there"


def money_told(cash: int, fees: int, ref: int) -> Tape:
    """The venue's truth of one instrument."""
    tape = Tape().add(kinds.RECON, code=kinds.RECON_BEGIN)
    tape.add(kinds.RECON, code=kinds.RECON_POSITION, volume=1, value=cash, fee_micros=fees)
    return tape.add(kinds.RECON, code=kinds.RECON_END, ref=ref)


@pytest.mark.django_db
def test_a_sign_of_life_and_a_rehearsal_n16(var: Path, receiver: Receiver) -> None:
    with receiving() as alarm:
        clock = Clock()
        teller = Teller(Setting(var, NO_REDIS, parse(receiver.url), alarm.url), clock)
        until(teller, lambda: len(alarm.came) == 1)
        assert alarm.came[0]["desk"] == "alive"
        answering.rehearse("test:1", "alice")
        clock.jump(21)
        until(teller, lambda: len(alarm.came) == 2 and len(receiver.came) == 1)
        assert "asked for by alice" in receiver.texts()[0]
        clock.jump(1)
        until(teller, lambda: Alert.objects.get().first_sent_at is not None)
        clock.jump(1)
        teller.step()
        assert len(receiver.came) == 1, "a test is sent once, then waits for its answer like any other"
        assert Alert.objects.get().raised_at <= timezone.now()


@pytest.mark.django_db
def test_a_request_for_an_override_ends_with_its_minute_p_27(var: Path) -> None:
    """P-27: nobody can agree any more, so nobody is asked to; the row stays, sent or not."""
    clock, later = Clock(), [0.0]
    teller = Teller(Setting(var, NO_REDIS, []), clock, lambda: time.time_ns() + round(later[0] * SECOND))
    answering.tell_request("override:1", 1, "olga asks for an override")
    teller.step()
    until(teller, lambda: (shown_of(var).urgent, shown_of(var).unsent) == (1, 0))
    clock.jump(WAIT_S / 2)
    later[0] = WAIT_S / 2
    teller.step()
    assert shown_of(var).urgent == 1
    later[0] = WAIT_S
    clock.jump(700)
    until(teller, lambda: shown_of(var).urgent == 0)
    answering.tell_request("override:2", 1, "olga asks again, and the alerts' process is away")
    Alert.objects.update(raised_at=timezone.now() - timedelta(seconds=WAIT_S))
    clock.jump(1)
    teller.step()
    assert mirror.rehearsals() == []
    assert set(Alert.objects.values_list("uid", "acknowledged_by")) == {
        ("override:1", mirror.LAPSED), ("override:2", mirror.LAPSED),
    }  # fmt: skip
    sent = (var / "alerts" / "sent.jsonl").read_text()
    assert sent.count("olga asks") == 1, "and it never went on to another channel"
