"""The engine whole: rotations in flat memory, the memory guard's edges, resync, the gate, and what is shown."""

import gc

import numpy as np
import pytest

from marketdata.core.bookfeatures.records import VALID
from marketdata.core.records import NO_TIME
from marketdata.core.universe import step
from marketdata.core.universe.records import ACTIVE, DEMOTED, MONITORED, SUBSCRIBED, SUBSCRIBING
from marketdata.engine.live import Listed, LiveData
from marketdata.engine.memory import CLEAR, INFERENCE_LIMITS, NOTHING, TRIM, Limits, MemoryGuard, rss_bytes
from marketdata.engine.numbers import numbers
from marketdata.engine.room import Room
from marketdata.engine.subscriptions import BOOK, CHANNELS, Subscription, Subscriptions, TooMany
from marketdata.memory.available import MIB
from tests.core.universe.kit import SECOND, START, ladder


class Rss:
    """What the sampler says."""

    def __init__(self) -> None:
        self.bytes = 1

    def __call__(self) -> int:
        return self.bytes


def engine(count: int = 4, slots: int = 2, rss: Rss | None = None) -> LiveData:
    listed = [Listed(f"S{i:02d}", 10_000_000, 100_000) for i in range(count)]
    data = LiveData(listed, slots, guard=MemoryGuard(sampler=Rss() if rss is None else rss))
    data.seed([], [], range(count))
    for which in range(count):
        data.set_trading(which, True)
        data.set_confirmed(which, True)
    return data


def books(data: LiveData, now_ns: int) -> None:
    for which in range(len(data.symbols)):
        assert data.book(which, ladder(), 0, now_ns, now_ns) == VALID


def test_the_guard_acts_once_a_crossing_and_rearms_below_ninety_percent_moex_data_13_moex_acc_204() -> None:
    rss = Rss()
    guard = MemoryGuard(sampler=rss)
    said = []
    soft, hard = 400 * MIB, 700 * MIB
    steps = (soft, soft + 1, soft + 1, 360 * MIB, soft + 1, 360 * MIB - 1, soft + 1)
    for k, rss.bytes in enumerate((*steps, hard, hard + 1, hard + 1, 630 * MIB, hard + 1, 630 * MIB - 1, hard + 1)):
        said.append(guard.due(START + k * SECOND))
    assert said[:7] == [NOTHING, TRIM, NOTHING, NOTHING, NOTHING, NOTHING, TRIM]
    assert said[7:] == [NOTHING, CLEAR, NOTHING, NOTHING, NOTHING, NOTHING, CLEAR]
    assert guard.acted == {TRIM: 2, CLEAR: 2}
    assert Limits(1500 * MIB, 2500 * MIB) == INFERENCE_LIMITS


def test_the_guard_samples_at_most_once_a_second() -> None:
    rss = Rss()
    guard = MemoryGuard(sampler=rss)
    guard.due(START)
    rss.bytes = 900 * MIB
    assert guard.due(START + SECOND - 1) == NOTHING and guard.rss == 1
    assert guard.due(START + SECOND) == CLEAR
    with pytest.raises(ValueError, match="soft < hard"):
        Limits(2, 1)


def test_resident_memory_is_that_of_now_and_falls() -> None:
    """The known trap: a peak never falls.  64 MiB are written and given back."""
    before = rss_bytes()
    block = np.ones(64 * MIB, np.int8)
    during = rss_bytes()
    del block
    gc.collect()
    assert during - before > 48 * MIB and during - rss_bytes() > 48 * MIB


def test_soft_halves_the_rings_of_the_unpinned_and_hard_clears_them_moex_data_13() -> None:
    rss = Rss()
    data = engine(2, 2, rss)
    for k in range(20):
        books(data, START + k * SECOND)
        for which in range(2):
            data.trade(which, START + k * SECOND, 30_000, 1 + k, 1)
    data.set_pinned(0, True)
    rss.bytes = 400 * MIB + 1
    data.second(START + 20 * SECOND)
    assert data.buffers.kept.tolist() == [20, 10]
    assert data.buffers.current.tolist() == [1, 1]  # not expired
    assert (data.states["ring_next"] - data.states["ring_first"]).tolist() == [20, 10]
    assert [data.trades(which, START + 20 * SECOND)["lots"].min() for which in range(2)] == [1, 11]
    assert data.states["lots_60"].tolist() == [sum(range(1, 21)), sum(range(11, 21))]
    rss.bytes = 700 * MIB + 1
    data.second(START + 21 * SECOND)
    assert data.buffers.kept.tolist() == [20, 0]
    assert data.buffers.current.tolist() == [1, 0]
    assert data.states["books"].tolist() == [20, 0]
    assert numbers(data, START + 21 * SECOND)["evictions"] == {"ttl": 0, "size": 0, "memory": 1}
    assert data.book(1, ladder(), 0, START + 22 * SECOND, START + 22 * SECOND) == VALID


def minutes(data: LiveData, which: int, first: int, count: int) -> None:
    for k in range(first, first + count):
        tick = 30_000 + k * 37 % 101
        assert data.candle(which, START + k * 60 * SECOND, tick + 5 + k % 3, tick - 4, tick)


def test_soft_forgets_the_older_candles_as_if_they_had_never_been_moex_data_13() -> None:
    rss = Rss()
    data, fresh = engine(2, 2, rss), engine(2, 2)
    for which in range(2):
        minutes(data, which, 0, 24)
        minutes(fresh, which, 12 * which, 24 - 12 * which)
    data.set_pinned(0, True)
    rss.bytes = 400 * MIB + 1
    data.second(START + 1500 * SECOND)
    assert data.states["candles"].tolist() == [24, 12]
    for name in ("candle_ns", "candle_ret", "range_sum", "high_20", "low_20"):
        assert data.states[name].tolist() == fresh.states[name].tolist(), name
    minutes(data, 1, 24, 3)
    minutes(fresh, 1, 24, 3)
    assert data.states["range_sum"][1] == fresh.states["range_sum"][1], "it goes on from there"
    data.resync()
    data.refill()
    assert data.states["candles"].tolist() == [24, 15]
    rss.bytes = 700 * MIB + 1
    data.second(START + 1600 * SECOND)
    data.resync()
    data.refill()
    assert data.states["candles"].tolist() == [24, 0], "what was cleared does not come back"


def test_a_position_that_becomes_known_after_the_start_gets_a_slot_moex_data_04() -> None:
    data = engine(4, 2)
    books(data, START)
    data.settle(START)
    data.set_pinned(1, True)
    data.set_pinned(3, True)
    assert [news.kind for news in data.admit(1, START)] == [], "it has one"
    done = data.admit(3, START)
    assert [(news.kind, news.which) for news in done] == [(DEMOTED, 0), (SUBSCRIBED, 3)], "nothing is held in S00"
    data.settle(START)
    assert data.members["state"].tolist() == [MONITORED, ACTIVE, MONITORED, ACTIVE]
    data.set_pinned(2, True)
    assert data.admit(2, START) == [], "all slots are held"


def test_who_waits_for_its_first_book_makes_room_first_moex_data_04() -> None:
    data = engine(3, 2)
    data.book(0, ladder(), 0, START, START)
    data.settle(START)
    assert data.members["state"].tolist() == [ACTIVE, SUBSCRIBING, MONITORED]
    data.set_pinned(2, True)
    data.admit(2, START)
    assert data.members["state"].tolist() == [ACTIVE, MONITORED, SUBSCRIBING]


def test_clearing_returns_pages_to_the_system() -> None:
    room = Room((2, 32 * MIB), np.dtype("i1"))
    room.array[:] = 1
    before = rss_bytes()
    assert room.give_back(0) == 32 * MIB
    assert before - rss_bytes() > 24 * MIB
    assert not room.array[0].any() and room.array[1].all()


def test_a_room_gives_back_one_row_and_leaves_its_neighbours() -> None:
    data = engine(3, 1)
    data._history.array["ts_ns"] = 7
    data._history.give_back(1)
    assert data._history.array["ts_ns"].any(axis=1).tolist() == [True, False, True]


def test_ten_thousand_rotations_keep_objects_and_memory_flat_moex_data_10() -> None:
    data = engine(4, 2)
    books(data, START)
    data.settle(START)
    assert np.flatnonzero(data.members["state"] == ACTIVE).tolist() == [0, 1]
    data.universe["dwell_ns"] = data.universe["cooldown_ns"] = 0

    def rotate(times: int) -> None:
        for k in range(times):
            pair = ("S00", "S02") if k % 2 == 0 else ("S02", "S00")
            why, done = data.replace(*pair, START + 1)
            assert why == "" and len(done) == 3

    rotate(1_000)
    gc.collect()
    objects, memory = len(gc.get_objects()), rss_bytes()
    rotate(10_000)
    gc.collect()
    assert len(gc.get_objects()) - objects < 200
    assert rss_bytes() - memory < 2 * MIB
    assert data.universe["rotations"][0] == 11_000


def test_a_demotion_drops_the_model_state_and_keeps_monitored_metrics() -> None:
    data = engine()
    for k in range(3):
        books(data, START + k * SECOND)
        data.second(START + k * SECOND)
    data.universe["dwell_ns"] = 0
    assert data.replace("S00", "S02", START + 3 * SECOND)[0] == ""
    assert data.members["state"].tolist() == [MONITORED, ACTIVE, ACTIVE, MONITORED]
    assert data.states["books"].tolist() == [0, 3, 3, 3]
    assert data.members["samples"].tolist() == [3, 3, 3, 3]


def test_resync_clears_all_but_the_baselines_and_the_gate_stands_moex_data_15() -> None:
    data = engine()
    for k in range(3):
        books(data, START + k * SECOND)
        data.trade(0, START + k * SECOND, 30_000, 1, 1)
        data.second(START + k * SECOND)
    now = START + 3 * SECOND
    assert not data.gate(now, reconciled=False).passed
    assert data.gate(now, reconciled=True).passed
    kept = data.baselines()
    data.resync()
    report = data.gate(now, reconciled=True)
    assert not report.passed and report.missing == ["S00", "S01"]
    assert report.stale == report.empty == report.invalid == []
    assert data.baselines() == kept and set(kept) == set(data.symbols)
    assert len(data.trades(0, now)) == 0 and data.look(0, 0, now) is None
    assert data.members["samples"].tolist() == [0] * 4 and data.members["book_ns"].tolist() == [NO_TIME] * 4
    other = engine()
    other.restore_baselines(kept)
    assert other.baselines() == kept
    with pytest.raises(ValueError, match="S00"):
        other.restore_baselines({"S00": (float("nan"), 3)})
    books(data, now)
    assert data.gate(now, reconciled=True).passed


def test_a_lost_stream_confirms_nothing() -> None:
    data = engine()
    step.lose_stream(data.members)
    books(data, START)
    assert data.settle(START) == []
    assert (data.members["state"][:2] == SUBSCRIBING).all()


def test_the_operators_wish_is_answered_in_words_moex_data_11() -> None:
    data = engine()
    assert data.replace("S00", "XXXX", START) == ("one of the two instruments is not in the pool", [])
    assert data.replace("S00", "S02", START)[0] == "the instrument to replace is not active"


def test_exposed_numbers_and_unknown_stays_unknown_moex_data_17() -> None:
    data = engine()
    shown = numbers(data, START)
    assert shown["monitored"] == 4 and shown["active"] == 0 and shown["indicators"]["known_ns"] is None
    assert all(row.spread is row.r is row.vol_30m is row.age_ns is None for row in shown["instruments"])
    for k in range(300):
        books(data, START + k * SECOND)
        data.second(START + k * SECOND)
    shown = numbers(data, START + 301 * SECOND)
    first = shown["instruments"][0]
    assert (first.symbol, first.state, first.samples, first.age_ns) == ("S00", "ACTIVE", 300, 2 * SECOND)
    assert first.spread == pytest.approx(2 / 60_001) and first.r == pytest.approx(1.0) and first.vol_30m is None
    assert shown["active"] == 2 and shown["cache"] == 4 and shown["rss_bytes"] == 1
    assert shown["indicators"]["known"] and shown["indicators"]["index"] == pytest.approx(1 - 2 / 60_001 / 0.001)
    assert data.states["market_ns"][0] == START + 299 * SECOND  # the features hear the indicators


def test_thirty_instruments_need_ninety_subscriptions_moex_data_01_moex_data_16() -> None:
    registry = Subscriptions(range(30))
    assert len(registry.wanted) == 90
    assert registry.due(START) == registry.wanted  # 90 of the 100 a minute
    assert len(registry.due(START + SECOND)) == 10
    assert registry.due(START + 59 * SECOND) == []
    assert len(registry.due(START + 60 * SECOND)) == 90
    with pytest.raises(TooMany):
        Subscriptions(range(101))


def test_the_brokers_own_list_is_what_is_confirmed_after_a_connect() -> None:
    registry = Subscriptions([3, 5])
    for channel in CHANNELS:
        assert registry.confirm(Subscription(3, channel))
    assert registry.is_confirmed(3) and not registry.confirm(Subscription(9, BOOK))
    registry.connected([Subscription(5, BOOK), Subscription(8, BOOK)])
    assert not registry.is_confirmed(3) and registry.surplus == {Subscription(8, BOOK)}
    assert len(registry.missing()) == 5 and Subscription(5, BOOK) not in registry.due(START)
