"""When a frame goes: at once to a fast page, with the next batch to a slow one, and never later than a beat."""

import asyncio

import pytest

from desk.dashboard import consumers
from desk.dashboard.consumers import something_new
from desk.dashboard.hub import Signal

pytestmark = pytest.mark.asyncio
TURNS = 20  # of the event loop: enough for everything that waits for no time


@pytest.fixture(autouse=True)
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may end by waiting."""
    monkeypatch.setattr(consumers, "BATCH_S", 3600.0)
    monkeypatch.setattr(consumers, "BEAT_S", 3600.0)


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def test_a_fast_page_takes_what_is_there() -> None:
    wake = Signal()
    wake.set()
    await something_new(wake, 20)
    assert not wake.raised


async def test_a_slow_page_goes_with_the_next_batch() -> None:
    """What waited for its turn is up to a period old; the next batch is at hand, and both leave together."""
    wake = Signal()
    wake.set()
    turn = asyncio.ensure_future(something_new(wake, 4))
    await turns()
    assert not turn.done()
    wake.set()
    await turns()
    assert turn.done() and not wake.raised


@pytest.mark.parametrize("hz", [4, 20])
async def test_a_page_with_nothing_to_show_goes_with_the_first_batch(hz: int) -> None:
    wake = Signal()
    turn = asyncio.ensure_future(something_new(wake, hz))
    await turns()
    assert not turn.done()
    wake.set()
    await turns()
    assert turn.done() and not wake.raised


@pytest.mark.parametrize(("hz", "raised"), [(4, True), (4, False), (20, False)])
async def test_a_quiet_market_holds_no_frame_back(hz: int, raised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there goes after a batch's time, a beat after a beat's."""
    monkeypatch.setattr(consumers, "BATCH_S" if raised else "BEAT_S", 0.0)
    wake = Signal()
    if raised:
        wake.set()
    await something_new(wake, hz)
    assert not wake.raised
