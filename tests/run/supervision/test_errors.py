"""The kernel is told of the desk's own errors, bounded: ERROR_STORM by what really failed (T-10, MES-LIVE-21)."""

import errno
import os

import pytest

from marketdata.core.records import ACCOUNT_SCOPE
from tests.kernel.desk import Desk, standing
from tests.shell.frames import make_session, ring
from trading import wiring, worker
from trading.control import session_folder
from trading.core import records as kinds
from trading.leases import want_loops
from trading.run.bodies import errors
from trading.run.bodies.errors import ERRORS_MAX, ErrorTeller, error_event, keep_failure, kept_failures, tell_failure
from trading.run.clock import SessionClock, boot_ns, save_clock
from trading.run.context import LOOPS, LoopContext
from trading.run.streams import INBOX, ZERO_ID, Stream, StreamAway

START_NS = 1_772_636_400_000_000_000


def told(inbox: Stream) -> list[tuple[int, int, int]]:
    """(kind, code, value) of what came in."""
    rows = [event for entry in inbox.read(ZERO_ID, 0, 999) for event in entry.events]
    return [(int(row["kind"]), int(row["code"]), int(row["value"])) for row in rows]


@pytest.fixture
def inbox(redis_client) -> Stream:
    stream = Stream(redis_client, "s1", INBOX)
    stream.open(ZERO_ID)
    return stream


def test_a_burst_is_one_notice_of_no_more_than_the_kernel_counts(inbox, monkeypatch):
    teller = ErrorTeller(inbox, "inference")
    assert teller.tell(START_NS) == 0, "nothing failed"
    for _ in range(1_000):
        teller.note()
    assert teller.tell(START_NS) == ERRORS_MAX
    teller.note()
    assert teller.tell(START_NS) == 0, "once a second"
    monkeypatch.setattr(errors, "EVERY_NS", -1)
    assert teller.tell(START_NS) == 1 and teller.tell(START_NS) == 0
    code = LOOPS.index("inference") + 1
    assert told(inbox) == [(kinds.ERROR, code, ERRORS_MAX), (kinds.ERROR, code, 1)]


def test_what_cannot_be_told_waits(redis_client, monkeypatch):
    monkeypatch.setattr(errors, "EVERY_NS", -1)
    closed = Stream(redis_client, "s2", INBOX)  # its reader has not made it
    teller = ErrorTeller(closed, "feed")
    teller.note()
    assert teller.tell(START_NS) == 0 and teller.waiting == 1
    closed.open(ZERO_ID)
    teller.note()
    assert teller.tell(START_NS) == 2 and told(closed) == [(kinds.ERROR, 1, 2)]


def test_ten_of_them_stop_the_account_t10_mes_hold_error_storm(inbox):
    teller = ErrorTeller(inbox, "inference")
    for _ in range(10):
        teller.note()
    teller.tell(START_NS)
    desk = Desk({"errors_60s_max": 10})
    ((_, code, value),) = told(inbox)
    desk.event(kinds.ERROR, instrument=ACCOUNT_SCOPE, code=code, value=value - 1)
    assert standing(desk) == set()
    desk.event(kinds.ERROR, instrument=ACCOUNT_SCOPE, code=code, value=1)
    assert standing(desk) == {"ERROR_STORM"}


def test_an_event_names_the_loop():
    assert [int(error_event(loop, 1, START_NS)["code"][0]) for loop in LOOPS] == [1, 2, 3, 4, 5]
    assert int(error_event("feed", 99, START_NS)["value"][0]) == ERRORS_MAX
    assert int(error_event("feed", 1, START_NS)["instrument"][0]) == ACCOUNT_SCOPE


def test_a_redis_that_is_away_is_not_waited_for(redis_server, inbox):
    assert not tell_failure("redis://127.0.0.1:1/0", "s1", "feed", START_NS)
    assert tell_failure(redis_server, "s1", "feed", START_NS)
    assert told(inbox) == [(kinds.ERROR, 1, 1)]


def test_a_disk_that_takes_no_failure_does_not_hide_what_the_loop_died_of_t10(tmp_path, monkeypatch):
    """Telling never raises: the loop's own error is the one that is seen."""
    keep_failure(tmp_path / "gone")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        keep_failure(tmp_path)
    assert (kept_failures(tmp_path / "gone"), kept_failures(tmp_path)) == (0, 1)


class Failing:
    """A loop's body that opens and then fails with what nobody foresaw, or with what is foreseen."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def open(self, context: LoopContext) -> None:
        self.context = context

    def step(self) -> int:
        self.context.stop.set()  # what is foreseen is tried again; once is enough here
        raise self.error

    def close(self) -> None:
        pass


@pytest.mark.django_db
@pytest.mark.parametrize(("loop", "foreseen"), [("sinks", True), ("sinks", False), ("risk", False)])
def test_a_loop_that_fails_tells_it_and_an_outage_with_its_own_hold_does_not(
    loop, foreseen, redis_server, redis_client, tmp_path, settings, monkeypatch
):
    settings.VAR = tmp_path
    session = make_session(redis_url=redis_server)
    stream = ring(session, redis_client)
    save_clock(session_folder(session.id), SessionClock(START_NS, boot_ns(), 1.0))
    want_loops(session.id, (loop,), True)
    body = Failing(StreamAway("gone") if foreseen else RuntimeError("a fault of ours"))
    monkeypatch.setitem(wiring.BODIES, loop, lambda: body)
    holder = worker.Holder("here")
    if foreseen:
        assert holder.hold(session.id, session.key, loop) == "stopped"
        assert told(stream) == []
        return
    with pytest.raises(RuntimeError, match="a fault of ours"):
        holder.hold(session.id, session.key, loop)
    ours = kept_failures(session_folder(session.id))
    if loop == "risk":  # it is who would hear it: the holder after it does
        assert (told(stream), ours) == ([], 1)
    else:
        assert (told(stream), ours) == ([(kinds.ERROR, LOOPS.index(loop) + 1, 1)], 0)
    assert holder.names() == []


def test_a_session_without_a_clock_is_told_nothing(tmp_path, settings):
    settings.VAR = tmp_path
    wiring.report_failure(77, "feed")  # no folder, no spec
    assert not (tmp_path / "sessions" / "77").exists()
