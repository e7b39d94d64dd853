"""A stream on its way out: the market gives way while Redis is away and is counted, a notice never does."""

import numpy as np
import pytest

from marketdata.core.records import FEED, FEED_GAP, FEED_UP, NO_TIME, new_depths, new_events
from marketdata.core.units import NANOS
from marketdata.feeds.port import Batch
from marketdata.volatility import Index, IndexValues
from tests.redis_server import RedisServer
from trading.core.records import INDEX
from trading.run.bodies.feed_loop import cut
from trading.run.feeding.index import INDEX_MARK, IndexTeller
from trading.run.feeding.outlet import KEPT_EVENTS, Entry, Outlet, notice
from trading.run.journal.recovery import account_event
from trading.run.streams import INBOX, ZERO_ID, Stream

BATCH = 256
LIMITS = {"rvi_max": 4000, "rvi_age_ns_max": 60 * NANOS}
START = 1_700_000_000 * NANOS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def outlet(server: RedisServer) -> Outlet:
    """An outlet to a stream that its reader has not opened: as good as away."""
    client = server.client()
    client.flushall()
    return Outlet(Stream(client, "s1", INBOX), fence=1, makes_it=False)


def read(outlet: Outlet) -> np.ndarray:
    entries = outlet.stream.read(ZERO_ID, 0, 100_000)
    return np.concatenate([entry.events for entry in entries]) if entries else new_events(0)


def fill(outlet: Outlet, batches: int) -> None:
    for i in range(batches):
        outlet.offer(Entry(new_events(BATCH), None, None, BATCH * (i + 1)))
        outlet.flush(0)


def test_the_market_gives_way_and_is_told_as_a_gap(outlet: Outlet) -> None:
    fill(outlet, KEPT_EVENTS // BATCH + 3)
    assert outlet.away and outlet.skipped == 3 * BATCH
    outlet.stream.open(ZERO_ID)
    outlet.flush(99)
    events = read(outlet)
    assert events["code"][:2].tolist() == [FEED_GAP, FEED_UP]
    assert events["value"][0] == 3 * BATCH
    assert len(events) == 2 + KEPT_EVENTS
    assert outlet.skipped == 0 and outlet.takes_notices


def test_a_notice_between_the_market_never_gives_way(outlet: Outlet) -> None:
    """The mark of a notice goes with it, in the order in which both were offered."""
    fill(outlet, 2)
    outlet.offer(notice(account_event(INDEX, 0, 7, value=4100), (INDEX_MARK, b"7")))
    fill(outlet, KEPT_EVENTS // BATCH + 5)
    assert outlet.skipped == 7 * BATCH, "both batches before the notice and five after it"
    outlet.stream.open(ZERO_ID)
    outlet.flush(99)
    events = read(outlet)
    assert events["value"][events["kind"] == INDEX].tolist() == [4100]
    assert outlet.stream.mark(INDEX_MARK) == b"7"
    assert outlet.events_waiting == 0


def index_of(*values: tuple[int, int]) -> Index:
    """Values at (second, hundredths)."""
    times = np.array([START + second * NANOS for second, _ in values], np.int64)
    found = np.array([value for _, value in values], np.int64)

    def between(after: int, until: int) -> IndexValues:
        keep = (times > after) & (times <= until)
        return IndexValues(times[keep], found[keep])

    return Index(between, "test")


def values(outlet: Outlet) -> list[int]:
    events = read(outlet)
    return events["value"][events["kind"] == INDEX].tolist()


def test_no_value_of_the_index_is_lost_while_redis_is_away_moex_risk_05(outlet: Outlet) -> None:
    """An alarm of an outage that filled the room many times over is told; calm that is old by then is not news."""
    teller = IndexTeller(index_of((1, 2800), (90, 4100), (200, 2900), (300, 2950)), outlet, LIMITS, fresh=True)
    outlet.stream.open(ZERO_ID)
    teller.tell(START + 2 * NANOS)
    outlet.stream.client.delete(outlet.stream.key)
    outlet.offer(Entry(new_events(1), None, None, 1))
    outlet.flush(0)
    for second in range(3, 310):
        teller.tell(START + second * NANOS)
        fill(outlet, 1)
    assert outlet.skipped_total > 0 and not outlet.takes_notices
    outlet.stream.open(ZERO_ID)
    outlet.flush(START + 310 * NANOS)
    teller.tell(START + 310 * NANOS)
    assert values(outlet) == [4100, 2950]


def test_what_an_emptied_redis_may_have_lost_is_told_again(outlet: Outlet) -> None:
    teller = IndexTeller(index_of((2, 2800), (15, 4100), (30, 2900)), outlet, LIMITS, fresh=True)
    outlet.stream.open(ZERO_ID)
    teller.tell(START + 16 * NANOS)
    assert values(outlet) == [2800, 4100]
    outlet.stream.client.flushall()
    outlet.offer(Entry(new_events(1), None, None, 1))
    outlet.flush(0)
    teller.tell(START + 20 * NANOS)
    outlet.stream.open(ZERO_ID)
    outlet.flush(START + 31 * NANOS)
    teller.tell(START + 31 * NANOS)
    assert values(outlet) == [2800, 4100, 2900], "nobody may have journaled the first two"


def test_a_takeover_goes_on_behind_the_mark(outlet: Outlet) -> None:
    index = index_of((2, 2800), (15, 4100), (30, 2900))
    outlet.stream.open(ZERO_ID)
    IndexTeller(index, outlet, LIMITS, fresh=True).tell(START + 16 * NANOS)
    IndexTeller(index, outlet, LIMITS, fresh=False).tell(START + 31 * NANOS)
    assert values(outlet) == [2800, 4100, 2900]
    assert NO_TIME < START and FEED not in read(outlet)["kind"]


def test_a_cut_batch_keeps_each_event_with_its_depth():
    events, depths = new_events(6), new_depths(3)
    depths["ts_ns"] = [10, 20, 30]
    batch = Batch(events, depths, np.array([0, -1, 2, 1, -1, 2], np.int32), 6, False)
    part = cut(batch, 2, 6, position=4)
    assert part.depths["ts_ns"].tolist() == [20, 30]
    assert part.depth_of.tolist() == [1, 0, -1, 1]
    assert len(part.events) == 4
