"""T-09: the machine's clock against a time server on a real socket, one that lies included."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from risk.core.holds import BIT
from tests.simulation.kit import START_NS, make_spec
from trading.core.records import CONDITION
from trading.run.clock import SessionClock, boot_ns
from trading.run.journal.recovery import account_event
from trading.run.replica import Kernel
from trading.run.spec import setup_events
from trading.run.telling import timeserver
from trading.run.telling.risk import RiskWatch
from trading.run.telling.timeserver import PACKET, SINCE_1900_S, NoAnswer, Offset, TimeWatch, ask, read

MS = 1_000_000


def stamp(ns: int) -> tuple[int, int]:
    return (ns // 1_000_000_000 + SINCE_1900_S) & 0xFFFFFFFF, (ns % 1_000_000_000 << 32) // 1_000_000_000


def answer(question: bytes, ahead_ns: int, first: int = 0x24, stratum: int = 2, echo: int = 1) -> bytes:
    """What a server whose clock is ahead of ours says."""
    now = stamp(time.time_ns() + ahead_ns)
    originate = PACKET.unpack(question)[-2:] if echo else (1, 2)
    return PACKET.pack(first, stratum, 0, 0, 0, 0, 0, 0, 0, *originate, *now, *now)


@contextmanager
def serving(**lie: int) -> Iterator[tuple[str, int]]:
    """A time server of this machine."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            data, where = sock.recvfrom(512)
            if data == b"end":
                return
            sock.sendto(answer(data, **{"ahead_ns": 0} | lie), where)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield sock.getsockname()
    finally:
        sock.sendto(b"end", sock.getsockname())
        thread.join()
        sock.close()


@pytest.mark.parametrize("ahead_ns", [0, 70 * MS, -3_600_000 * MS])
def test_the_offset_is_found_within_half_of_the_way_t_09(ahead_ns: int) -> None:
    with serving(ahead_ns=ahead_ns) as server:
        found = ask(server)
    assert abs(found.offset_ns - ahead_ns) <= found.round_ns // 2 + MS and found.round_ns >= 0


@pytest.mark.parametrize("lie", [{"first": 0xE4}, {"first": 0x23}, {"stratum": 0}, {"stratum": 16}, {"echo": 0}])
def test_a_server_that_is_not_in_time_or_answers_somebody_else_is_no_answer_t_09(lie: dict[str, int]) -> None:
    with serving(**lie) as server, pytest.raises(NoAnswer):
        ask(server)


def test_what_is_no_answer_is_none() -> None:
    with pytest.raises(NoAnswer, match="too short"):
        read(b"x" * 47, 1, 0, MS, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(NoAnswer, match="no answer from"):
            ask(silent.getsockname(), timeout_s=0.02)
    late = answer(PACKET.pack(0x23, *[0] * 12, 0, 7), 0)
    with pytest.raises(NoAnswer, match="took"):
        read(late, 7, time.time_ns(), 501 * MS, 0)
    assert abs(read(late, 7, time.time_ns(), 0, 0).offset_ns) < 1_000 * MS
    after_2036 = PACKET.pack(0x24, 1, *[0] * 7, 0, 7, 5, 0, 5, 0)
    assert read(after_2036, 7, ((1 << 32) + 5 - SINCE_1900_S) * 1_000_000_000, 0, 0).offset_ns == 0


def test_the_answer_with_the_shortest_way_counts_and_an_old_one_does_not_t_09() -> None:
    with serving() as server:
        watch = TimeWatch(server, every_s=60)
        watch.close()
        watch._thread.join()
    begun = timeserver.begun_ns()
    watch._kept.clear()
    for offset_ms, way_ms, boot in ((70, 9, 5), (50, 1, 6), (90, 8, 7)):
        watch._kept.append(Offset(offset_ms * MS, way_ms * MS, boot, begun))
    assert watch.is_off(10) == (False, 50 * MS), "50 ms is within"
    assert watch.is_off(7 + timeserver.UNKNOWN_NS) == (True, 90 * MS)
    watch.begun = 5
    assert watch.is_off(8 + timeserver.UNKNOWN_NS) == (True, 0), "unknown is unknown"
    watch._kept.clear()
    assert watch.is_off(4 + timeserver.FIRST_NS) is None, "the first answer may still come"
    assert watch.is_off(5 + timeserver.FIRST_NS) == (True, 0), "a server that never answers holds soon after a start"
    assert timeserver.TIMEOUT_S * 1000 * MS < timeserver.FIRST_NS <= 10_000 * MS


@pytest.mark.parametrize(("set_ms", "is_off"), [(0, False), (30, False), (60, True), (-60, True), (1000, True)])
def test_a_clock_that_is_set_is_off_at_once_whatever_was_answered_before_t_09(set_ms: int, is_off: bool) -> None:
    """The answer with the shortest way may be two minutes old: what our clock moved by since then is known."""
    with serving() as server:
        watch = TimeWatch(server, every_s=60)
        watch.close()
        watch._thread.join()
        told = ask(server)
    assert abs(told.begun_ns - timeserver.begun_ns()) < 20 * MS, "of the clock as it is"
    watch._kept.clear()
    watch._kept.append(Offset(0, MS, boot_ns(), timeserver.begun_ns() - set_ms * MS))
    off = watch.is_off(boot_ns())
    assert off is not None and off[0] == is_off and abs(off[1] + set_ms * MS) < 10 * MS


def test_where_no_server_is_asked_any_more_the_hold_ends_once_t_09() -> None:
    """A holder that asked one has left it, and nobody would ever say that the clock is good."""
    clock, kernel = SessionClock(START_NS, boot_ns(), 1.0), Kernel()
    kernel.apply(setup_events(make_spec(), START_NS))
    watch = RiskWatch(make_spec(), clock)
    assert BIT["CLOCK_OFFSET"] not in watch.due(kernel, START_NS)["code"], "where it does not stand nothing is told"
    kernel.apply(account_event(CONDITION, BIT["CLOCK_OFFSET"], START_NS, value=1))
    assert int(kernel.state.account[0].holds) >> BIT["CLOCK_OFFSET"] & 1
    for expected in ([BIT["CLOCK_OFFSET"]], []):
        watch._next_ns = 0
        told = watch.due(kernel, START_NS)
        assert told["code"].tolist() == expected and not told["value"].any()
        kernel.apply(told)
        assert not int(kernel.state.account[0].holds) >> BIT["CLOCK_OFFSET"] & 1


def test_the_risk_loop_shows_it_and_tells_where_the_rulebook_knows_t_09() -> None:
    with serving(ahead_ns=70 * MS) as server:
        time_watch = TimeWatch(server, every_s=60)
        deadline = time.monotonic() + 60
        while time_watch.offset(boot_ns()) is None:
            assert time.monotonic() < deadline
        time_watch.close()
    clock = SessionClock(START_NS, boot_ns(), 1.0)
    watch = RiskWatch(make_spec(), clock, time_watch)
    told = watch.due(Kernel(), clock.now())
    found = time_watch.offset(boot_ns())
    assert found is not None and abs(found.offset_ns - 70 * MS) <= found.round_ns // 2 + MS
    assert watch.shown()["clock_offset_us"] == found.offset_ns // 1000
    assert told["code"].tolist() == [BIT["CLOCK_OFFSET"]], "the rulebook knows it"
    assert told["value"].tolist() == [int(abs(found.offset_ns) > timeserver.OFFSET_NS_MAX)]
