"""T-04, N16, without a process: what is an alert, who is asked when, what the book remembers, what a channel is."""

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from desk.alerts.book import Book
from desk.alerts.channels import CUT, TEXT_MAX, Channel, ChannelError, Refused, SendFailed, body, parse, post
from desk.alerts.escalation import ESCALATE_NS, IN_FLIGHT_NS, PAUSE_NS, REPEAT_NS, Standing
from desk.alerts.kinds import NOTE, SCHEDULED, URGENT, WARNING, Alert, SessionKinds, severity_of
from desk.alerts.looking import Looks
from desk.alerts.sender import Senders
from desk.alerts.watching import Watched
from marketdata.core.records import ACCOUNT_SCOPE
from risk.core import codes
from risk.core.holds import BIT, FLATTEN, HALTED, HOLDS, MANUAL_REVIEW
from risk.core.records import MES, MOEX
from tests.ops.alerts.receiver import receiving
from tests.redis_server import RedisServer
from tests.shell.frames import SECOND, Tape
from trading.core import records as kinds
from trading.run.streams import Board

ALERT = Alert("s1:7", 1, URGENT, "DAILY_LOSS", "s1 DAILY_LOSS: reached", 1)


def of(tape: Tape, started: bool = True) -> list[tuple[str, str]]:
    found = SessionKinds(1, "s1", MES, ["MES"], started).note(tape.frames()["event"], 5)
    return [(alert.kind, alert.severity) for alert in found]


def test_every_hold_but_the_calendars_own_is_an_alert_t_04() -> None:
    for rows in HOLDS.values():
        for hold in rows:
            severity = severity_of(hold)
            assert (severity == "") == (hold.code in SCHEDULED), hold.code
            if hold.label in (HALTED, MANUAL_REVIEW):
                assert severity == URGENT, hold.code
    closing = {hold.code: severity_of(hold) for hold in HOLDS[MES] if hold.effect == FLATTEN}
    assert (closing.pop("EOD"), closing.pop("SESSION_STOPPED"), set(closing.values())) == ("", NOTE, {URGENT})


def test_holds_refusals_and_rejections_of_a_journal_t_04() -> None:
    tape = Tape().add(kinds.HOLD_RAISED, code=BIT["DAILY_LOSS"], instrument=ACCOUNT_SCOPE, value=3, volume=2)
    tape.add(kinds.HOLD_CLEARED, code=BIT["DAILY_LOSS"], instrument=ACCOUNT_SCOPE)
    tape.add(kinds.HOLD_RAISED, code=BIT["AFTER_HOURS"], instrument=ACCOUNT_SCOPE)
    tape.add(kinds.DECISION, code=codes.NO_SIGNAL).add(kinds.DECISION, code=codes.COLLAR)
    tape.add(kinds.DECISION, code=codes.FIELD_BASE + 1).add(kinds.REJECT, code=kinds.REJECTED_BY_VENUE, order_number=4)
    found = of(tape)
    assert found[:3] == [("DAILY_LOSS", URGENT), ("DAILY_LOSS:CLEARED", NOTE), ("COLLAR", WARNING)]
    assert found[3][0].startswith("INPUT_INVALID:") and found[4] == ("REJECTED:1", WARNING) and len(found) == 5


def test_a_network_that_is_not_healthy_is_an_alert_with_its_figures_t_06_moex_mon_03() -> None:
    """A warning, urgent once it is confirmed; a healthy look is none, and nobody hears of the rotation."""
    tape = Tape().add(kinds.DRIFT, code=kinds.DRIFT_NONE).add(kinds.DRIFT, code=kinds.DRIFT_WARN)
    tape.add(kinds.DRIFT, code=kinds.DRIFT_CRITICAL, qty=24, value=4_200_000, ref=3)
    tape.add(kinds.HOLD_RAISED, code=BIT["NOT_ACTIVE"], instrument=0)
    found = SessionKinds(1, "s1", MOEX, ["SBER"], True).note(tape.frames()["event"], 5)
    assert [(alert.kind, alert.severity) for alert in found] == [("MODEL_HEALTH", WARNING), ("MODEL_HEALTH", URGENT)]
    assert "nothing can be compared" in found[0].text
    assert "3 of 24 compared features are out of their band, the worst by 4.2 sigma" in found[1].text


def test_what_repeats_within_a_minute_is_one_alert_and_an_urgent_one_never_waits() -> None:
    tape = Tape()
    for _ in range(90):  # one a second
        tape.add(kinds.DECISION, code=codes.COLLAR)
    for _ in range(2):
        tape.add(kinds.HOLD_RAISED, code=BIT["KILL_SWITCH"], instrument=ACCOUNT_SCOPE)
    assert of(tape) == [("COLLAR", WARNING)] * 2 + [("KILL_SWITCH", URGENT)] * 2


def test_a_session_that_does_not_trade_yet_only_notes_its_holds() -> None:
    tape = Tape().add(kinds.HOLD_RAISED, code=BIT["NO_LIMITS"], instrument=ACCOUNT_SCOPE)
    tape.add(kinds.COMMAND, code=kinds.START, instrument=ACCOUNT_SCOPE)
    tape.add(kinds.HOLD_RAISED, code=BIT["FEED_STALE"], instrument=ACCOUNT_SCOPE)
    assert of(tape, started=False) == [("NO_LIMITS", NOTE), ("FEED_STALE", WARNING)]


def deliver(standing: Standing, now_ns: int, channels: int, name: str) -> None:
    assert standing.is_due(now_ns)
    standing.take(now_ns)
    assert not standing.is_due(now_ns), "in flight"
    standing.delivered.append(name)
    standing.took(now_ns, channels)


def test_an_alert_without_an_answer_goes_on_at_60_and_120_s_n16() -> None:
    standing, asked = Standing(ALERT), []
    for second in (0, 60, 120):
        now_ns = second * SECOND
        assert not standing.is_due(now_ns - 1)
        asked.append(standing.channel(3))
        deliver(standing, now_ns, 3, f"c{standing.asked}")
    assert asked == [0, 1, 2]
    assert standing.due_ns == 2 * ESCALATE_NS + REPEAT_NS and standing.channel(3) == 0
    alone = Standing(ALERT)  # one channel: the same one three times
    for second in (0, 60, 120):
        deliver(alone, second * SECOND, 1, "only")
    assert alone.due_ns == 120 * SECOND + REPEAT_NS


def test_a_channel_that_takes_nothing_is_passed_over_at_once_n16() -> None:
    standing = Standing(ALERT)
    for expected in (0, 1, 2):  # all of them at this very moment
        assert standing.is_due(0) and standing.channel(3) == expected
        standing.take(0)
        standing.refused(0, 3)
    assert standing.due_ns == PAUSE_NS, "then again after a pause"
    for _ in range(60):
        standing.take(standing.due_ns)
        standing.refused(standing.due_ns, 3)
    assert standing.due_ns < 60 * 20 * SECOND, "which never grows beyond half a minute"


def test_a_channel_that_says_nothing_has_not_taken_it_after_10_s_n16() -> None:
    standing = Standing(ALERT)
    standing.take(0)
    assert not standing.is_overdue(IN_FLIGHT_NS - 1) and standing.is_overdue(IN_FLIGHT_NS)
    standing.refused(IN_FLIGHT_NS, 2)
    standing.take(IN_FLIGHT_NS)
    assert (standing.is_with(0, 2), standing.is_with(1, 2)) == (False, True), "a late refusal is not the second one's"


def results(senders: Senders, count: int) -> list[tuple[list[str], str]]:
    found: list[tuple[list[str], str]] = []
    deadline = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < deadline
        found += [(result.uids, result.why) for result in senders.results()]
    return found


def test_a_send_that_breaks_or_hangs_ends_no_thread_n16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "none://such")
    with pytest.raises(SendFailed, match="no answer"):
        post("http://127.0.0.1:1/secret", {})
    free, wanted = threading.Event(), ["break", "hang", "take"]

    def send(batch: Sequence[Alert]) -> None:
        what = wanted.pop(0)
        if what == "break":
            raise ValueError("secret")
        if what == "hang":
            free.wait(30)

    senders = Senders([Channel("c", send, True)], 0.5)
    try:
        for expected in ("it failed (ValueError)", "it did not end within 0 s", ""):
            senders.put(0, ALERT)
            assert results(senders, 1) == [([ALERT.uid], expected)]
    finally:
        free.set()
        senders.close(5)


def test_a_refused_batch_goes_one_by_one_and_what_is_urgent_first_n16() -> None:
    notes = [Alert(f"n{i}", 1, NOTE, "RATE", "x" * 300, 1) for i in range(10)]
    come, begun, sent = threading.Event(), threading.Event(), []

    def send(batch: Sequence[Alert]) -> None:
        begun.set()
        come.wait(30)  # until the rest waits behind it
        if len(batch) > 1:
            raise Refused("it answered 400")
        sent.append(batch[0].uid)

    senders = Senders([Channel("c", send, True)])
    senders.put(0, notes[0])
    assert begun.wait(30)
    for alert in (*notes[1:], ALERT):
        senders.put(0, alert)
    come.set()
    assert len(results(senders, 11)) == 11 and sent[:2] == ["n0", ALERT.uid]
    senders.close(5)
    text = str(body([*notes, ALERT])["text"])
    assert text.startswith("[URGENT]") and len(text) <= TEXT_MAX and text.endswith(CUT)


def test_the_book_gives_back_what_it_was_given_n16(tmp_path: Path) -> None:
    book = Book(tmp_path)
    warning = Alert("s1:9", 2, WARNING, "COLLAR", "s1 COLLAR", 1)
    assert book.is_new and len(book.add([ALERT, warning], {"s1": 9})) == 2
    assert book.add([ALERT], {"s1": 9}) == [], "the same thing found again"
    book.sent([ALERT.uid, warning.uid], "webhook a", 3)
    assert list(book.open) == [ALERT.uid], "what is not urgent is done once it is sent"
    with (tmp_path / "book.jsonl").open("ab") as file:
        file.write(b'{"uid":"s1:7","by":"al')  # a crash in the middle of a line
    again = Book(tmp_path)
    assert (again.open[ALERT.uid].delivered, again.open[ALERT.uid].channel(2)) == (["webhook a"], 1)
    assert (again.cursors, again.is_new, again.add([warning], {})) == ({"s1": 9}, False, [])
    again.answered(ALERT.uid, "alice", 4)
    assert again.open == {} and Book(tmp_path).open == {}


def test_loops_that_stay_down_after_a_reboot_or_show_nothing_are_silent_t_04(tmp_path: Path, redis_client: Any) -> None:
    looks = Looks(tmp_path, os.environ["DESK_REDIS_URL"])
    old, bare, healthy = (Watched(i, f"s{i}") for i in (1, 2, 3))
    beat = b'{"beat_boot_ns": %d}'

    def look(second: int) -> list[str]:
        Board(redis_client, "s3").show("risk.run", beat % (second * SECOND))
        return [alert.text for alert in looks.look((old, bare, healthy), 1, second * SECOND)]

    Board(redis_client, "s1").show("risk.run", beat % (3600 * SECOND))  # the machine was up for an hour
    assert look(20) == look(30) == []
    silent = "has been silent for 11 s"
    assert look(31) == [f"s1: the risk loop {silent}", f"s2: every loop {silent}"]
    assert look(32) == []
    for key in ("s1", "s2"):
        Board(redis_client, key).show("risk.run", beat % (33 * SECOND))
    assert look(33) == look(43) == [] and len(look(44)) == 2


def test_a_redis_without_memory_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis").start()
    try:
        with server.client() as client:
            client.config_set("maxmemory", 1)
            looks = Looks(tmp_path, server.url)
            looks.show([Watched(1, "s1")], b"{}", 1)
            assert client.hgetall("desk:latest:s1") == {}
    finally:
        server.kill()


def test_a_full_disk_stops_no_alert(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.path = Path("/dev/full")
    assert len(book.add([ALERT], {"s1": 1})) == 1 and ALERT.uid in book.open
    assert "No space left" in book.fault


def test_channels_as_they_are_named_and_no_secret_in_their_names(tmp_path: Path) -> None:
    with receiving() as receiver:
        told = tmp_path / "told"
        script = tmp_path / "tell.py"
        script.write_text(f"import sys\nopen({str(told)!r}, 'w').write(sys.stdin.read())\n")
        found = parse(f"{receiver.url}; command:{sys.executable} {script}; file:{tmp_path / 'out.jsonl'}")
        for channel in found:
            channel.send([ALERT])
        assert receiver.came[0]["text"] == "[URGENT] s1 DAILY_LOSS: reached" == json.loads(told.read_text())["text"]
        assert json.loads((tmp_path / "out.jsonl").read_text())["alert"]["uid"] == "s1:7"
        assert not any("secret" in channel.name for channel in found)
        assert [channel.outside for channel in found] == [True, True, False]
        receiver.status = 500
        with pytest.raises(SendFailed, match="answered 500"):
            found[0].send([ALERT])
    with pytest.raises(SendFailed) as refused:
        found[0].send([ALERT])
    assert "secret" not in str(refused.value)
    with pytest.raises(SendFailed, match="ended with 3"):
        parse(f"command:{sys.executable} -c 'raise SystemExit(3)'")[0].send([ALERT])
    for wrong in ("mailto:alice", "file:relative", "command:", "https:", "command:'a"):
        with pytest.raises(ChannelError):
            parse(wrong)
