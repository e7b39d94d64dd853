"""How old a page's picture gets, and how often it is painted: the socket's real pump against a clock that jumps."""

import asyncio
import itertools
import selectors
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from desk.dashboard.consumers import WAY_S, DeskConsumer
from desk.dashboard.hub import Picture
from desk.dashboard.wire import HZ, Cursor

SECONDS = 10.0
MADE_EVERY_S = 0.01  # the market moves all the time


class Jumping(selectors.DefaultSelector):
    """Waits for nothing: the time that a loop would sleep has passed at once."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing is due any more"
        self.now_s += timeout
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = Jumping()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now_s


async def watched(hz: int, hidden: bool = False) -> tuple[list[float], list[float]]:
    """When frames left, and how long each change took from its making to the page, in seconds of the loop's clock."""
    loop = asyncio.get_running_loop()
    picture = Picture("s1")
    consumer = DeskConsumer()
    made: list[float] = []  # not on the page yet
    left: list[float] = []
    ages: list[float] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] != "websocket.send":
            return
        left.append(loop.time())
        on_its_way, made[:] = made.copy(), []
        loop.call_later(WAY_S, arrived, consumer._waiting_for, on_its_way)

    def arrived(n: int, changes: list[float]) -> None:
        ages.extend(loop.time() - at for at in changes)
        consumer._take_ack(n, hidden)

    def make() -> None:
        made.append(loop.time())
        picture.put("quote:0", b'{"bid":1}', None)
        picture.wake()
        loop.call_later(MADE_EVERY_S, make)

    consumer.scope, consumer.base_send = {"headers": [], "user": User(pk=1, username="victor")}, send
    await consumer.connect()
    picture.sockets.add(consumer._wake)
    consumer._hz, consumer._cursor = hz, Cursor(picture)
    make()
    consumer._start(consumer._pump(1))
    await asyncio.sleep(SECONDS)
    for task in consumer._tasks:
        task.cancel()
    return left, ages


def measured(work: Callable[[], Any]) -> tuple[list[float], list[float]]:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        found: tuple[list[float], list[float]] = runner.run(work())
    return found


@pytest.mark.parametrize("hz", [1, 4, 5])
def test_a_slow_page_sees_nothing_older_than_its_period(hz: int) -> None:
    """A change that was made right after a frame waits longest; the way to the page is part of its age."""
    left, ages = measured(lambda: watched(hz))
    assert len(ages) > 0.8 * SECONDS / MADE_EVERY_S, "nearly all that was made arrived"
    assert 0.9 / hz < max(ages) <= 1 / hz + 1e-6
    assert SECONDS * hz <= len(left) <= SECONDS / (1 / hz - WAY_S) + 1, "no more frames than that needs"


def test_a_fast_page_gets_its_frames_and_no_more() -> None:
    left, _ = measured(lambda: watched(HZ))
    gaps = [after - before for before, after in itertools.pairwise(left[1:])]
    assert len(left) == pytest.approx(SECONDS * HZ, abs=2)
    assert min(gaps) > 0.8 / HZ and sum(gaps) / len(gaps) == pytest.approx(1 / HZ, rel=0.01)


def test_a_hidden_page_gets_one_a_second() -> None:
    left, _ = measured(lambda: watched(HZ, hidden=True))
    assert len(left) == pytest.approx(SECONDS, abs=2)
