"""A moment of a session from its journal alone: what stood there then, nothing of later, and equal to the record."""

import msgspec
import pytest

from marketdata.core.records import NO_TIME, TRADE, new_events
from marketdata.core.units import NANOS
from tests.redis_server import RedisServer
from tests.simulation.desk import Desk
from tests.simulation.kit import make_context, quote, score
from trading.core.records import ACK, FILL
from trading.run.bodies.bars import read_bars
from trading.run.bodies.moment import NoJournal, moment
from trading.run.bodies.sinks_loop import SinksLoop
from trading.run.spec import save_spec


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def desk(tmp_path, server):
    desk = Desk(tmp_path, server)
    save_spec(desk.folder, desk.spec)
    desk.make_ready()
    return desk


def test_before_and_after_a_fill(desk):
    before = len(desk.journal())
    for _ in range(10):  # a cold machine compiles in the first step, and the quote is old when it has
        desk.give(quote(desk.now()), score(desk.now()))
        desk.step()
        if len(desk.sent()) > 0:
            break
    (entry,) = desk.sent()
    desk.give(desk.answer(ACK, entry), desk.answer(FILL, entry), loop="execution")
    desk.step()
    end = moment(desk.folder)
    assert (end.seq, end.last_seq, end.same) == (len(desk.journal()), len(desk.journal()), True)
    assert end.values["pos:0"]["qty"] == 1
    assert end.values["mode"]["mode"] == "replay"
    assert end.values["rows:fill"]["to"] == 1
    then = moment(desk.folder, seq=before)
    assert (then.seq, then.same) == (before, True)
    assert then.values["pos:0"]["qty"] == 0
    assert then.values["rows:fill"]["items"] == []
    assert then.values["rows:decision"]["items"] == []
    fill_us = end.values["rows:fill"]["items"][0]["ts_us"]
    assert moment(desk.folder, at_us=fill_us).values["rows:fill"]["to"] == 1
    assert moment(desk.folder, at_us=end.first_us - 10**9).seq == 1, "before the start: the first event"
    assert moment(desk.folder, at_us=end.last_us + 10**9).seq == end.last_seq
    assert then.first_us <= then.at_us <= end.at_us == end.last_us


def test_a_session_that_never_ran(tmp_path):
    with pytest.raises(NoJournal):
        moment(tmp_path, seq=1)


def test_the_sinks_publish_and_keep_the_bars(desk):
    """What is printed becomes the page's bar, by the loop that serves the page; a restart goes on with the same bar."""
    second = desk.now() // NANOS
    tape = new_events(3)
    tape["kind"], tape["instrument"], tape["qty"] = TRADE, 0, (1, 2, 3)
    tape["ts_ns"], tape["price_tick"] = desk.now(), (20_001, 20_003, 20_002)
    tape["ts_venue_ns"] = (second * NANOS, second * NANOS, (second + 1) * NANOS)
    desk.give(tape)
    desk.step()
    for fence in (1, 2):
        loop = SinksLoop(lambda _: [])
        loop.open(make_context(desk.folder, desk.spec, "sinks", fence))
        for _ in range(5):
            loop._due_ns = NO_TIME
            loop.step()
        loop.close()
        picture = desk.server.client().hgetall("desk:latest:s7")
        bar = msgspec.json.decode(picture[b"bar:0:1"])
        assert (bar["t_us"], bar["c"], bar["v"], bar["n"]) == ((second + 1) * 1_000_000, 20_002, 3, 2), fence
        assert bar["before"] == [second, 20_001, 20_003, 20_001, 20_003, 3]
        assert b"bar:0" not in picture, "the tape's own bar is not the page's"
    assert read_bars(desk.folder, 0, 1) == ([[second, 20_001, 20_003, 20_001, 20_003, 3]], 1)
