"""The live books in bounded room: age, look-back, eviction, pins, and what is accepted (MOEX-DATA-03, -12)."""

import time

import numpy as np
import pytest

from marketdata.core.bookfeatures.records import BOOKS, EMPTY_BOOK, NS, OLD, VALID
from marketdata.core.records import FLAG_INVALID
from marketdata.core.universe import buffers
from marketdata.engine.live import Listed, LiveData
from marketdata.engine.memory import MemoryGuard
from tests.core.universe.kit import SECOND, START, ladder


def live(count: int = 2, cache_max: int = 50, rss: int = 1) -> LiveData:
    listed = [Listed(f"S{i:02d}", 10_000_000, 100_000) for i in range(count)]
    return LiveData(listed, guard=MemoryGuard(sampler=lambda: rss), cache_max=cache_max)


def give(data: LiveData, which: int, ts_ns: int, **book: int) -> int:
    return data.book(which, ladder(**book), 0, ts_ns, ts_ns)


def test_a_book_is_present_until_it_is_sixty_seconds_old_moex_acc_203() -> None:
    data = live()
    assert give(data, 0, START) == VALID
    assert data.look(0, 0, START + 59_900_000_000) is not None
    assert data.look(0, 0, START + 60_000_000_000) is None
    assert data.look(0, 0, START + 60_100_000_000) is None
    assert data.look(1, 0, START) is None


def test_the_ring_keeps_exactly_thirty_books_moex_data_12() -> None:
    data = live()
    for k in range(31):
        give(data, 0, START + k * SECOND // 5, bid=30_000 + k, ask=30_001 + k)
    now = START + 6 * SECOND
    seen = [data.look(0, -back, now) for back in range(30)]
    assert [int(book["bid_tick"][0]) for book in seen if book is not None] == list(range(30_030, 30_000, -1))
    assert seen[0] is not None and seen[29] is not None
    assert int(seen[0]["ts_ns"]) - int(seen[29]["ts_ns"]) == 29 * SECOND // 5  # at 200 ms it spans 6 s
    assert data.look(0, -30, now) is None and data.look(0, 1, now) is None


def test_the_fifty_first_instrument_evicts_the_least_recently_used() -> None:
    data = live(51)
    for which in range(51):
        give(data, which, START)
    assert data.look(0, 0, START) is not None  # used again: number 1 is now the oldest
    data.second(START + SECOND)
    assert data.cached == 50
    assert np.flatnonzero(data.buffers.current == 0).tolist() == [1]
    assert data.buffers.counts[buffers.BY_SIZE] == 1
    assert data.look(1, -1, START) is None and data.buffers.kept[1] == 1  # the ring is another buffer


def test_expired_ones_leave_first() -> None:
    data = live(3, cache_max=2)
    give(data, 0, START + 30 * SECOND)
    give(data, 1, START)
    give(data, 2, START + 30 * SECOND)
    data.second(START + 61 * SECOND)
    assert data.buffers.current.tolist() == [1, 0, 1]
    assert data.buffers.counts[: buffers.BY_MEMORY].tolist() == [1, 0]


def test_a_pinned_one_is_never_evicted_and_too_many_are_reported_cache_pinned() -> None:
    data = live(3, cache_max=1)
    for which in range(3):
        give(data, which, START)
    data.set_pinned(0, True)
    data.set_pinned(1, True)
    data.second(START + SECOND)
    assert data.buffers.current.tolist() == [1, 1, 0]
    assert data.cached == 2 and data.buffers.counts[buffers.PINNED_OVER] == 1
    data.second(START + 61 * SECOND)
    assert data.buffers.current.tolist() == [1, 1, 0]  # not for its age either


def test_invalid_books_are_stored_and_counted_and_never_used_for_a_mark_moex_data_03() -> None:
    data = live()
    give(data, 0, START)
    give(data, 0, START + SECOND, bid=30_010, ask=30_010)  # locked
    flagged = ladder()
    flagged["flags"] = FLAG_INVALID
    data.book(0, flagged, 0, START + 2 * SECOND, START + 2 * SECOND)
    member = data.members[0]
    assert member["invalid_books"] == 2 and member["valid_ns"] == START
    assert member["book_ns"] == START + 2 * SECOND and data.buffers.kept[0] == 3
    assert data.book(0, ladder(), 0, START + 3 * SECOND, START + SECOND) == OLD
    assert member["old_books"] == 1 and data.buffers.kept[0] == 3


def test_an_empty_book_stands_in_the_history_ring_and_is_no_record_of_the_time_ring() -> None:
    data = live()
    assert give(data, 0, START, levels=0) == EMPTY_BOOK
    assert data.look(0, 0, START) is not None and data.members["book_empty"][0] == 1
    assert data.states["ring_next"][0] == 0


def test_the_time_ring_spans_640_buckets_of_100_ms() -> None:
    data = live()
    for k in range(1_300):
        give(data, 0, START + k * 50_000_000)  # two books a bucket
    state = data.states[0]
    assert state["ring_next"] - state["ring_first"] == 640
    assert state["ring_whole"][(state["ring_next"] - 1) & 1023, BOOKS] == 2
    newest, oldest = (
        state["ring_whole"][at & 1023, NS] // 100_000_000 for at in (state["ring_next"] - 1, state["ring_first"])
    )
    assert newest - oldest == 639


def test_trades_of_64_s_and_at_least_200_are_there_and_240_candles() -> None:
    data = live()
    for k in range(250):
        assert data.trade(0, START + k * SECOND, 30_000 + k, 1, 1)
    times = data.trades(0, START + 249 * SECOND)["ts_ns"]
    assert len(times) == 200 and times[-1] == START + 249 * SECOND and (np.diff(times) == SECOND).all()
    for k in range(300):
        data.trade(0, START + 249 * SECOND + k * SECOND // 10, 30_000, 1, -1)
    assert len(data.trades(0, START + 279 * SECOND)) == 300 + 34  # those of the seconds 216 to 249
    for k in range(300):
        assert data.candle(0, START + k * 60 * SECOND, 30_001, 29_999, 30_000)
    assert data.members["candles"][0] == 300 and data.members["candle_ns"].shape[1] == 240


def test_value_is_the_money_of_ten_levels_of_both_sides() -> None:
    data = live()
    give(data, 0, START, bid=1_000, ask=1_001)
    ticks = sum(1_000 - k + 1_001 + k for k in range(10)) * 10
    assert data.members["value"][0] == pytest.approx(ticks * 0.1)


def test_one_eviction_pass_over_fifty_instruments_is_short_moex_acc_206() -> None:
    """50 x 30 books; the fastest of the passes, so that a busy machine does not decide."""
    data = live(50)
    for k in range(30):
        for which in range(50):
            give(data, which, START + k * SECOND)
    data.set_pinned(7, True)
    took = []
    for k in range(50):
        data.buffers.current[:] = 1
        begun = time.perf_counter()
        left = buffers.evict(data.buffers, data.members, START + (60 + k) * SECOND, buffers.TTL_NS, 10)
        took.append(time.perf_counter() - begun)
        assert left <= 10
    assert min(took) < 0.005
