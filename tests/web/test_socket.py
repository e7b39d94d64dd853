"""The socket's protocol against a real server: who may open it, frames, acknowledgement, resync, Redis lost."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from desk.dashboard.consumers import period_s
from tests.web.kit import Desk
from tests.web.socket_client import Tab

# Frames, their pace and their end: the database has no part in them, and sockets on PostgreSQL are opened by test_ring
# and by the tests of who may what (tests/web/access).
pytestmark = [pytest.mark.processes, pytest.mark.asyncio, pytest.mark.one_database]
PATIENCE_S = 120  # a loaded machine is slow, not wrong
STATE_KEYS = {
    "mode", "clock", "account", "pos:0", "quote:0", "book:0", "holds", "risk", "loops", "instruments", "orders",
}  # fmt: skip


async def test_a_stranger_is_told_so(desk: Desk) -> None:
    """UI-43: accepted first, so that the page sees 4401 and not 1006."""
    async with Tab(desk, name=None, session=None) as tab:
        assert await tab.code() == 4401


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null"])
async def test_a_foreign_page_cannot_open_it(desk: Desk, origin: str) -> None:
    """Another port of this machine is another program: its cookie would be ours, its Origin is not."""
    with pytest.raises(InvalidStatus) as refused:
        async with Tab(desk, origin=origin):
            pass
    assert refused.value.response.status_code == 403


async def test_hello_and_snap_carry_everything(desk: Desk) -> None:
    async with Tab(desk, name="victor") as tab:
        hello = await tab.read()
        assert (hello["k"], hello["user"], hello["rights"], hello["hz"]) == ("hello", "victor", ["read"], 20)
        assert {"market", "state", "loops"} <= set(hello["thresholds"])
        snap = await tab.read()
        assert snap["k"] == "snap"
        assert set(snap["d"]) >= STATE_KEYS
        assert set(snap["rows"]) == {"order", "fill", "trade", "decision", "command"}
        assert len(snap["d"]["book:0"]["bids"]) == 20


async def test_frames_follow_without_gaps(desk: Desk, control: Callable[..., None]) -> None:
    """n grows by one, rows continue where they ended, seq never falls, at most 20 frames a second."""
    control(fills=3)
    async with Tab(desk) as tab:
        before = await tab.opened()
        to = {name: stream["to"] for name, stream in before["rows"].items()}
        control(fills=to["fill"] + 5)
        n, seq = before["n"], before["seq"]
        sent_us: list[int] = []
        while len(sent_us) < 20 or to["fill"] < before["rows"]["fill"]["to"] + 5:
            frame = await tab.next()
            sent_us.append(frame["t"]["web"])
            assert frame["n"] == n + 1
            assert frame["seq"] >= seq
            assert frame["epoch"] == before["epoch"]
            n, seq = frame["n"], frame["seq"]
            for name, stream in frame["rows"].items():
                assert stream["from"] == to[name] + 1
                assert stream["to"] - stream["from"] + 1 == len(stream["items"])
                to[name] = stream["to"]
        assert to["fill"] == before["rows"]["fill"]["to"] + 5
        assert 4 <= rate(sent_us) <= 22, sent_us
        assert frame["t"]["web"] >= frame["t"]["worker"] > 0


def rate(sent_us: list[int]) -> float:
    """Frames a second by the server's own clock: a reader that comes late makes none of them sooner."""
    return (len(sent_us) - 1) / (sent_us[-1] - sent_us[0]) * 1_000_000


async def test_only_what_changed_is_sent(desk: Desk) -> None:
    async with Tab(desk) as tab:
        await tab.opened()
        frames = [await tab.next() for _ in range(10)]
        changed = set().union(*(frame["d"] for frame in frames))
        assert "quote:0" in changed
        assert not changed & {"instruments", "orders", "holds", "mode"}


async def test_one_frame_in_flight_and_the_newest_after_it(desk: Desk) -> None:
    """UI-20: nothing is sent before the ack; then the latest values, and `skipped` says what was overwritten."""
    async with Tab(desk) as tab, Tab(desk) as other:
        await tab.opened()
        await other.opened()
        seen = [await other.next() for _ in range(10)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tab.socket.recv(), 0.05)
        frame = await tab.next()
        assert frame["skipped"] > 5
        now_us = [one["d"]["clock"]["now_us"] for one in (*seen, frame) if "clock" in one["d"]]
        assert now_us == sorted(now_us), "as new as what another page was shown meanwhile"


async def test_a_stalled_page_is_closed_and_costs_no_memory(desk: Desk, control: Callable[..., None]) -> None:
    """UI-20: no ack for 5 s closes 4408; the server's memory stays flat under a burst of publications."""
    control(burst=10)
    async with Tab(desk) as warm:
        await warm.opened()
        for _ in range(10):
            await warm.next()
    before = memory_kb(desk)
    tabs = [Tab(desk) for _ in range(6)]
    for tab in tabs:
        await tab.__aenter__()
        await tab.opened()
    started = time.monotonic()
    assert await asyncio.gather(*(tab.code() for tab in tabs)) == [4408] * 6
    assert 3.5 < time.monotonic() - started < 9
    assert memory_kb(desk) - before < 25_000


def memory_kb(desk: Desk) -> int:
    with open(f"/proc/{desk.web.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


@pytest.mark.parametrize(
    "message",
    [
        {"k": "ack", "n": 999},
        {"k": "ack"},
        {"k": "buy", "qty": 1},
        {"k": "sub", "session": 1},
        {},
        {"k": "sub", "session": "x"},
    ],
)
async def test_what_is_not_understood_closes(desk: Desk, message: dict[str, Any]) -> None:
    async with Tab(desk) as tab:
        await tab.opened()
        await tab.send(**message)
        assert await tab.code() == 4400


async def test_a_session_that_does_not_exist(desk: Desk) -> None:
    async with Tab(desk, session=99) as tab:
        assert await tab.code() == 4403


async def test_a_ninth_socket_is_refused(desk: Desk) -> None:
    """UI-43."""
    tabs = [Tab(desk, session=None) for _ in range(9)]
    for tab in tabs:
        await tab.__aenter__()
    assert await asyncio.wait_for(tabs[8].code(), PATIENCE_S) == 4429
    for tab in tabs:
        await tab.socket.close()
    async with asyncio.timeout(PATIENCE_S):
        while not await opens(desk):  # the server counts a socket until it has heard of its end
            await asyncio.sleep(0.05)


async def opens(desk: Desk) -> bool:
    """Whether one more socket is taken."""
    async with Tab(desk) as tab:
        try:
            await tab.opened()
        except ConnectionClosed:
            assert tab.socket.close_code == 4429
            return False
        return True


async def test_resync_gives_a_whole_picture(desk: Desk) -> None:
    """UI-19."""
    async with Tab(desk) as tab:
        first = await tab.opened()
        await tab.send(k="resync", why="test")
        frame = await tab.next()
        while frame["k"] != "snap":
            frame = await tab.next()
        assert set(frame["d"]) == set(first["d"])
        assert frame["n"] > first["n"]


async def test_a_hidden_tab_gets_one_frame_a_second(desk: Desk) -> None:
    """UI-21."""
    async with Tab(desk) as tab:
        await tab.opened()
        await tab.ack(hidden=True)
        sent_us = []
        for _ in range(4):
            sent_us.append((await tab.read())["t"]["web"])
            await tab.ack(hidden=True)
        assert sent_us[3] - sent_us[1] > 1_800_000, "one that was late does not put off the next"


async def test_redis_lost_and_back_empty(desk: Desk) -> None:
    """The socket is kept, the bus is named by its age, and the new picture comes as a snap of another epoch."""
    async with Tab(desk) as tab:
        first = await tab.opened()
        desk.redis.kill()
        frame = await tab.next()
        while frame["t"]["web"] - frame["t"]["bus"] < 1_500_000:
            frame = await tab.next()
            assert frame["k"] == "f"
        desk.redis.restart(empty=True)
        async with asyncio.timeout(15):
            while frame["k"] != "snap" or "clock" not in frame["d"]:
                frame = await tab.next()
            assert frame["epoch"] != first["epoch"]
            while frame["t"]["web"] - frame["t"]["bus"] >= 1_000_000:
                frame = await tab.next()


async def test_a_new_epoch_comes_as_a_whole_picture(desk: Desk, control: Callable[..., None]) -> None:
    """UI-19: the sinks loop was taken over: never a frame of another epoch, always a snap."""
    async with Tab(desk) as tab:
        first = await tab.opened()
        control(epoch=2)
        frame = await tab.next()
        while frame["epoch"] == first["epoch"]:
            frame = await tab.next()
        assert frame["k"] == "snap"


async def test_a_page_may_ask_for_a_slower_rate(desk: Desk) -> None:
    """Four frames a second instead of twenty, and a little sooner; what changed meanwhile is in the next one."""
    async with Tab(desk, session=None) as tab:
        await tab.send(k="sub", session=1, hz=4)
        hello = await tab.read()
        assert hello["hz"] == 4
        assert (await tab.read())["k"] == "snap"
        frames = [await tab.next() for _ in range(8)]
        assert 0.6 <= rate([frame["t"]["web"] for frame in frames[1:]]) <= 1.02 / period_s(4), frames
        assert all("quote:0" in frame["d"] for frame in frames[1:])


@pytest.mark.parametrize("hz", [0, 21, -1, "20", 2.5, True, None])
async def test_a_rate_that_is_not_offered_closes(desk: Desk, hz: Any) -> None:
    async with Tab(desk, session=None) as tab:
        await tab.send(k="sub", session=1, hz=hz)
        assert await tab.code() == 4400
