"""A moment of a session from its journal alone: what stood there then, nothing of later, and equal to the record."""

import pytest

from tests.redis_server import RedisServer
from tests.simulation.desk import Desk
from tests.simulation.kit import score
from trading.core.records import ACK, FILL
from trading.run.bodies.moment import NoJournal, moment
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
    desk.give(score(desk.now()))
    desk.step()
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
