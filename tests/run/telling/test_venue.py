"""The execution loop against the real venue process under the shares' rulebook: probes, times of acknowledgements."""

from dataclasses import replace

import msgspec
import pytest

from marketdata.core.units import NANOS
from risk.core.holds import BIT
from risk.core.records import MES, MOEX
from tests.redis_server import RedisServer
from tests.run.test_execution_loop import Desk, step_often
from trading.core.records import ACK, CONDITION, FILL, PROBE, PROBE_LOST
from trading.core.watch.told import STAGES
from trading.run.telling import probes


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
    desk.step_until(lambda: len(desk.got(PROBE)) >= 3, "probes")
    good = desk.got(PROBE)[-1]
    assert good["code"] == 0 and 0 < good["value"] < NANOS
    assert conditions(desk) == []
    desk.put(*(desk.order(number) for number in (1, 2, 3)))
    desk.step_until(lambda: (1, "broker") in conditions(desk), "three acknowledgements above 1 ns")
    assert len(desk.got(ACK)) == 3
    shown: dict[str, object] = {}
    desk.loop.context = replace(desk.loop.context, beat=shown.update)
    desk.loop.step()
    assert (shown["unknown"], shown["slow_acks"]) == (0, 3), "its figures take no other's name"
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
