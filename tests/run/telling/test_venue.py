"""The execution loop against the real venue process under the shares' rulebook: probes, times of acknowledgements."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from marketdata.core.records import new_events
from marketdata.core.units import NANOS
from risk.core.holds import BIT
from risk.core.records import MES, MOEX
from tests.redis_server import RedisServer
from tests.run.test_execution_loop import Desk, step_often
from tests.simulation.kit import START_NS, make_spec
from trading.brokers import paper_token
from trading.brokers.port import Rejected, Unauthorized
from trading.core.records import (
    ACK,
    CONDITION,
    ENTRY,
    EXIT,
    FILL,
    FILL_AND_KILL,
    PASSIVE,
    PROBE,
    PROBE_LOST,
    REJECT,
    SUBMIT,
)
from trading.core.watch.told import STAGES
from trading.run.bodies.reconcile import FENCED
from trading.run.clock import SessionClock, boot_ns
from trading.run.context import Fenced
from trading.run.telling import probes
from trading.run.telling.probes import Probes
from trading.run.telling.stages import BREACHES
from trading.run.telling.venue import WAITING_KEPT, VenueWatch


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def desk(tmp_path, server, request):
    desk = Desk(tmp_path, server, rules=request.param, probe_slow_ns=50_000_000)
    yield desk
    desk.loop.close()
    desk.market.close()
    desk.venue.kill()


def conditions(desk: Desk) -> list[tuple[int, str]]:
    """(value, stage) of LATENCY as the loop told it."""
    told = desk.got(CONDITION)
    return [(int(e["value"]), STAGES[int(e["ref"])]) for e in told if e["code"] == BIT["LATENCY"]]


@pytest.mark.parametrize("desk", [MOEX], indirect=True)
def test_the_venue_is_probed_and_its_acknowledgements_are_timed_moex_risk_05_moex_mon_04(desk, monkeypatch):
    """One round trip a second on the real socket; a venue that is killed is a lost one, until it is back."""
    monkeypatch.setattr(probes, "EVERY_NS", 1)
    desk.spec = msgspec.structs.replace(desk.spec, watch={"broker": 1})
    desk.start()
    desk.step_until(lambda: (desk.got(PROBE)["code"] == 0).sum() >= 3, "probes")  # a slow machine loses some at first
    probed = desk.got(PROBE)
    assert (probed["value"][probed["code"] == 0] > 0).all()
    assert conditions(desk) == []
    desk.put(*(desk.order(number) for number in (1, 2, 3)))
    desk.step_until(lambda: (1, "broker") in conditions(desk), "three acknowledgements above 1 ns")
    desk.step_until(lambda: len(desk.got(ACK)) == 3, "three acknowledgements")  # timed a moment before they are told
    shown: dict[str, object] = {}
    desk.loop.context = replace(desk.loop.context, beat=shown.update)
    desk.loop.step()
    own = desk.loop.counts["unknown"]  # requests without an answer: a slow machine may have some
    assert (shown["unknown"], shown["slow_acks"]) == (own, 3), "its figures take no other's name"
    before = len(desk.got(PROBE))
    desk.venue.kill()
    desk.step_until(lambda: PROBE_LOST in desk.got(PROBE)["code"][before:], "a lost one")
    assert desk.got(PROBE)["value"][-1] < 0
    desk.venue.start()
    desk.step_until(lambda: desk.got(PROBE)["code"][-1] == 0, "a good one again")


@pytest.mark.parametrize("desk", [MES], indirect=True)
def test_futures_are_neither_probed_nor_timed(desk, monkeypatch):
    monkeypatch.setattr(probes, "EVERY_NS", 1)
    desk.start()
    desk.put(desk.order(1))
    desk.step_until(lambda: len(desk.got(FILL)) == 1, "filled")
    step_often(desk.loop, 3)
    assert len(desk.got(PROBE, CONDITION)) == 0


def orders(order_type: int, *numbers: int) -> np.ndarray:
    """SUBMITs of entries as the outbox has them."""
    rows = new_events(len(numbers))
    rows["kind"], rows["role"], rows["order_type"], rows["order_number"] = SUBMIT, ENTRY, order_type, numbers
    return rows


def acks(sent: np.ndarray, after_ns: int, first_ref: int) -> np.ndarray:
    """Their acknowledgements, `after_ns` after they left."""
    rows = sent.copy()
    rows["kind"], rows["ref"] = ACK, first_ref + np.arange(len(rows))
    rows["value"] = boot_ns() - after_ns
    return rows


@pytest.fixture
def watch() -> tuple[VenueWatch, list[np.ndarray]]:
    """Without a venue, and what it told."""
    told: list[np.ndarray] = []
    return VenueWatch(make_spec(rules=MOEX), lambda: None, told.append), told


def slow(watch: VenueWatch, told: list[np.ndarray]) -> bool:
    """Whether LATENCY was told of the venue by now."""
    watch.step(SessionClock(START_NS, boot_ns(), 1.0), up=True, idle=False)
    return any(
        e["kind"] == CONDITION and e["code"] == BIT["LATENCY"] and e["value"] == 1 for part in told for e in part
    )


def test_a_passive_child_that_waits_for_its_turn_is_no_slow_venue_moex_mon_04_moex_route_04(watch):
    """It is acknowledged when it is released, up to five seconds later; the first children of entries are timed."""
    seen, told = watch
    children = orders(PASSIVE, *range(1, BREACHES + 1))
    for row in children:
        seen.leaves(row)
    seen.note(acks(children, 5 * NANOS, 1))
    assert not slow(seen, told)
    first = orders(FILL_AND_KILL, *range(11, 11 + BREACHES))
    for row in first:
        seen.leaves(row)
    seen.note(acks(first, 5 * NANOS, 11))
    assert slow(seen, told)


def test_an_answer_that_is_given_again_is_measured_once_moex_mon_04(watch):
    """A reconnect gives answers again: they came in time then, and say nothing of the venue's pace now."""
    seen, told = watch
    sent = orders(FILL_AND_KILL, *range(1, BREACHES + 1))
    given = acks(sent, 0, 1)
    seen.note(given)
    given["value"] -= 10 * NANOS
    seen.note(given)
    assert not slow(seen, told)
    late = acks(orders(FILL_AND_KILL, *range(11, 11 + BREACHES)), 10 * NANOS, BREACHES + 1)
    seen.note(np.concatenate([given, late]))
    assert slow(seen, told)


def test_no_more_waiting_children_are_remembered_than_there_is_room_for(watch):
    seen, told = watch
    for row in orders(PASSIVE, *range(1, WAITING_KEPT + BREACHES + 1)):
        seen.leaves(row)
    seen.note(acks(orders(PASSIVE, *range(1, BREACHES + 1)), 5 * NANOS, 1))
    assert slow(seen, told), "the oldest are forgotten"


@pytest.mark.parametrize("reason", ["rejected", FENCED])
def test_a_venue_that_knows_no_probe_is_a_lost_one_and_a_fence_ends_the_loop_moex_risk_05(reason):
    """An older venue process refuses the request: once a second, and no fault of ours."""

    def ask() -> None:
        raise Rejected("role execution may not call 'ping'", reason)

    taken = Probes(ask, watched=True)
    if reason == FENCED:
        with pytest.raises(Fenced):
            taken.take(True, lambda: START_NS)
    else:
        assert taken.take(True, lambda: START_NS)["code"].tolist() == [PROBE_LOST]


def test_probes_go_on_whatever_limits_a_session_began_with_moex_risk_05():
    """A version that is handed over may switch NET_SLOW on; while its limit is off the kernel counts none."""
    told: list[np.ndarray] = []
    watch = VenueWatch(make_spec(rules=MOEX, probe_slow_ns=0), lambda: None, told.append)
    watch.step(SessionClock(START_NS, boot_ns(), 1.0), up=True, idle=True)
    assert [int(e["code"]) for part in told for e in part if e["kind"] == PROBE] == [0]


def test_without_a_connection_probes_are_lost_whatever_waits_to_be_sent_moex_risk_05(watch):
    """An exit that waits for the venue must not hide that the venue is gone."""
    seen, told = watch
    clock = SessionClock(START_NS, boot_ns(), 1.0)
    seen.step(clock, up=True, idle=False)
    assert not any((part["kind"] == PROBE).any() for part in told), "orders first, while there is a connection"
    seen.step(clock, up=False, idle=False)
    probes = [e for part in told for e in part if e["kind"] == PROBE]
    assert [int(e["code"]) for e in probes] == [PROBE_LOST]


def test_a_token_that_a_probe_finds_good_again_is_told_on_a_connection_that_stays_moex_risk_05(monkeypatch):
    """Or what a person has cleared would be raised again every five seconds, with a good token."""
    monkeypatch.setattr(probes, "EVERY_NS", 0)
    found, told = [Unauthorized("refused"), None], list[np.ndarray]()

    def ask() -> None:
        if (error := found.pop(0)) is not None:
            raise error

    watch = VenueWatch(make_spec(rules=MOEX), ask, told.append)
    clock = SessionClock(START_NS, boot_ns(), 1.0)
    for _ in range(2):
        watch.step(clock, up=True, idle=True)
    watch.step(clock, up=True, idle=False)
    events = np.concatenate(told)
    auth = events[(events["kind"] == CONDITION) & (events["code"] == BIT["BROKER_AUTH"])]
    assert auth["value"].tolist() == [1, 0]


@pytest.mark.parametrize("desk", [MOEX], indirect=True)
def test_a_refused_token_is_told_until_it_is_taken_and_no_exit_is_lost_moex_risk_05(desk, monkeypatch):
    """BROKER_AUTH: by the probe where nothing is sent; the exit that waits leaves once the token is good again."""
    monkeypatch.setattr(probes, "EVERY_NS", 1)

    def auth() -> list[int]:
        return [int(e["value"]) for e in desk.got(CONDITION) if e["code"] == BIT["BROKER_AUTH"]]

    desk.start()
    desk.step_until(lambda: auth() == [0], "a good token is told, too")
    folder = desk.venue.socket.parent
    paper_token.refuse(folder, desk.spec.key, True)
    desk.step_until(lambda: auth()[-1] == 1, "refused")
    desk.put(desk.order(1, role=EXIT, qty=1))
    step_often(desk.loop, 3)
    assert len(desk.got(ACK)) == len(desk.got(REJECT)) == 0
    paper_token.refuse(folder, desk.spec.key, False)
    desk.step_until(lambda: auth()[-1] == 0, "taken again")
    desk.step_until(lambda: len(desk.got(ACK)) + len(desk.got(REJECT)) > 0, "the exit has its answer")
