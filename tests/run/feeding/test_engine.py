"""The live data engine as the feed loop drives it: what the ring hears, what stands, and what a restart takes up."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from marketdata.core.records import ACCOUNT_SCOPE, FEED, FEED_GAP, METRIC, NO_TIME, new_depths, new_events
from marketdata.core.universe.records import ACTIVE, MONITORED, OUTSIDE, SECOND_NS, SUBSCRIBING
from marketdata.engine.telling import METRIC_INSTRUMENT, METRIC_MARKET, METRIC_MEMORY, indicators, states_of
from marketdata.feeds.port import Batch
from risk.core.holds import BIT
from tests.kernel.desk import Desk
from tests.run.feeding.kit import HEDGE, SHARES, Driven
from tests.simulation.kit import make_spec
from tests.why.recorded import record
from trading.core.records import START, TIMER
from trading.run.feeding.aide import Aide
from trading.run.feeding.engine import SILENT_NS, decode, open_engine
from trading.run.feeding.wishes import Wish

INTEGRITY, UNHEALTHY, NOT_ACTIVE = BIT["INTEGRITY"], BIT["UNHEALTHY"], BIT["NOT_ACTIVE"]


def until(truth: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not truth():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Driven]:
    driven = Driven(tmp_path)
    yield driven
    driven.engine.close()


def test_entries_are_held_until_every_active_book_is_there_moex_data_14(driven: Driven) -> None:
    driven.start()
    first = [(INTEGRITY, ACCOUNT_SCOPE, 1), *((UNHEALTHY, i, 0) for i in range(3))]
    assert driven.told == [*first, *((NOT_ACTIVE, i, 1) for i in range(3))]
    assert driven.states() == [SUBSCRIBING, SUBSCRIBING, MONITORED]
    driven.run(10)
    assert driven.states() == [ACTIVE, ACTIVE, MONITORED]
    assert driven.told[7:] == [(INTEGRITY, ACCOUNT_SCOPE, 0), (NOT_ACTIVE, 0, 0), (NOT_ACTIVE, 1, 0)]
    driven.silence(SILENT_NS // SECOND_NS + 2)
    assert driven.told[10:] == [(INTEGRITY, ACCOUNT_SCOPE, 1)], "three heartbeats were missed"
    driven.run(3)
    assert driven.told[11:] == [(INTEGRITY, ACCOUNT_SCOPE, 0)]
    driven.engine.lost(driven.now)
    driven.hear([])
    assert driven.told[12:] == [(INTEGRITY, ACCOUNT_SCOPE, 1)], "something may be missing in the ring"


def test_a_gap_of_the_tape_clears_what_was_and_holds_again_moex_data_15(driven: Driven) -> None:
    engine = driven.start()
    driven.run(5)
    assert (engine.live.members["book_ns"] > 0).all() and (INTEGRITY, ACCOUNT_SCOPE, 0) in driven.told
    gap = new_events(1)
    gap["kind"], gap["code"], gap["instrument"], gap["ts_ns"] = FEED, FEED_GAP, ACCOUNT_SCOPE, driven.now
    driven.hear(engine.feed(Batch(gap, new_depths(0), np.full(1, -1, np.int32), 0, False), driven.now))
    assert (engine.live.members["book_ns"] < 0).all()
    assert driven.told[-1] == (INTEGRITY, ACCOUNT_SCOPE, 1)
    driven.run(3)
    assert driven.told[-1] == (INTEGRITY, ACCOUNT_SCOPE, 0)


def test_an_operators_wish_is_done_by_the_brakes_moex_data_11_moex_data_15(driven: Driven) -> None:
    """A replace within the dwell is refused in words, later the two change places; a resync holds entries again."""
    engine = driven.start()
    driven.run(20)
    first, _, third = SHARES

    def asked(kind: str, *symbols: str) -> str:
        refusal = engine.asked(Wish("a", kind, 0, *symbols), driven.now)
        driven.hear([])
        return refusal

    assert asked("replace", first, third) == "the instrument to replace has not been active for long enough"
    assert asked("replace", first, "NONE") == "one of the two instruments is not in the pool"
    assert "knows no wish" in asked("rotate")
    driven.run(300)
    driven.told.clear()
    assert asked("replace", first, third) == "" and engine.counts["asked_replace"] == 1
    driven.run(2)
    assert driven.states() == [MONITORED, ACTIVE, ACTIVE]
    assert driven.told[:2] == [(NOT_ACTIVE, 0, 1), (NOT_ACTIVE, 2, 0)], "who left and who joined, in one step"
    assert asked("resync") == "" and (engine.live.members["book_ns"] < 0).all()
    assert [row for row in driven.told if row[0] == INTEGRITY] == [(INTEGRITY, ACCOUNT_SCOPE, 1)]
    driven.run(3)
    assert driven.told[-1] == (INTEGRITY, ACCOUNT_SCOPE, 0)


def test_metrics_of_each_second_say_what_the_engine_knows_moex_data_06_moex_data_17(driven: Driven) -> None:
    engine = driven.start()
    driven.run(30)
    events = driven.said[-1]
    assert (events["kind"] == METRIC).all() and events["code"].tolist() == [METRIC_MARKET, *[METRIC_INSTRUMENT] * 3]
    assert (events["ts_venue_ns"] == driven.now).all() and (events["ts_ns"] <= driven.now).all()
    seconds = [int(part["ts_venue_ns"][0]) for part in driven.said]
    assert len(seconds) == 30 and set(np.diff(seconds).tolist()) == {SECOND_NS}
    assert states_of(events) == list(enumerate(driven.states()))
    shown = engine.shown(driven.now)
    for row, one in zip(events[1:], shown["instruments"], strict=True):
        assert row["qty"] == one["samples"] > 20
        assert row["value"] == round(one["spread"] * 1e9) and row["score_ppm"] == round(one["vol_30m"] * 1e6)
        assert row["volume"] == -1 and one["r"] is None, "a baseline needs 300 samples"
        assert driven.now - row["until_ns"] == one["age_ns"]
    market = indicators(events[0])
    assert market is not None and not market.known, "r is not known yet"
    assert msgspec.json.decode(msgspec.json.encode(shown))["active"] == 2, "it can be shown as it is"


def test_back_fill_fills_the_rings_and_is_nobodys_present_book_moex_data_12(driven: Driven) -> None:
    engine = driven.start()
    live, states = engine.live, engine.live.states
    spans = driven.now - np.array([live.trades(i, driven.now)["ts_ns"][0] for i in range(3)])
    assert (spans > 50 * SECOND_NS).all() and (spans <= 64 * SECOND_NS).all(), "a minute in detail"
    assert (live.buffers.kept == 30).all() and (states["ring_next"] > 100).all()
    assert engine.counts["old_books"] > 300 and engine.counts["old_trades"] > 20 and engine.counts["candles"] == 3 * 15
    assert (live.members["book_ns"] == NO_TIME).all() and not live.buffers.current.any()
    assert driven.states() == [SUBSCRIBING, SUBSCRIBING, MONITORED]
    driven.run(1)
    assert states["refused"].tolist() == [0] * 3 and (live.members["rv_60"] > 0).all()


def test_a_restart_takes_up_what_the_holder_before_knew_moex_data_04_moex_risk_12(driven: Driven) -> None:
    before = driven.start()
    driven.run(40)
    members = before.live.members.copy()
    before.close()
    assert decode(driven.memory().read_bytes(), SHARES) is not None
    driven.told.clear()
    engine = driven.start(fresh=False)
    assert driven.told[0] == (INTEGRITY, ACCOUNT_SCOPE, 1)
    assert driven.states() == [SUBSCRIBING, SUBSCRIBING, MONITORED], "nobody is ACTIVE without a book"
    kept = (
        "baseline",
        "baseline_samples",
        "spread",
        "liquidity",
        "vol",
        "candles",
        "candle_close",
        "trading",
        "left_ns",
    )
    for name in kept:
        assert np.array_equal(engine.live.members[name], members[name]), name
    assert members["candles"].min() > 10, "of the back-fill"
    driven.run(3)
    assert driven.states() == [ACTIVE, ACTIVE, MONITORED]
    assert sorted(driven.told[-3:]) == [(INTEGRITY, ACCOUNT_SCOPE, 0), (NOT_ACTIVE, 0, 0), (NOT_ACTIVE, 1, 0)]


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_memory_that_is_not_ours_is_not_taken_up(driven: Driven, damage: str) -> None:
    driven.start()
    driven.run(5)
    driven.engine.close()
    data = driven.memory().read_bytes()
    assert decode(data[:-1] if damage == "cut" else data, SHARES if damage == "cut" else ["SBER"]) is None
    driven.memory().write_bytes(data[:-1])
    engine = driven.start(fresh=False)
    assert (engine.live.members["samples"] == 0).all()


def test_the_memory_guard_is_told_moex_data_13(tmp_path: Path) -> None:
    driven = Driven(tmp_path, rss_soft_bytes=1, rss_hard_bytes=1 << 40)
    engine = driven.start()
    try:
        driven.run(3)
        acts = [part for part in driven.said if part["code"][0] == METRIC_MEMORY]
        assert len(acts) == 1 and acts[0]["qty"][0] == 1, "once a crossing"
        assert acts[0]["value"][0] > 1
        assert engine.shown(driven.now)["memory"]["trim"] == 1
    finally:
        engine.close()


def test_a_session_without_a_universe_has_no_engine(tmp_path: Path) -> None:
    assert open_engine(make_spec(), tmp_path, 1) is None


def held(folder: Path, instruments: int, which: int) -> None:
    """A session with an order at work in one of its instruments."""
    desk = Desk(ready=False)
    for instrument in range(1, instruments):
        desk.add_instrument(instrument)
    desk.configure()
    desk.connect()
    desk.command(START)
    desk.quote(20_000, 20_001, instrument=which)
    desk.event(TIMER)
    desk.score(instrument=which)
    assert [int(order.instrument) for order in desk.live()] == [which]
    record(folder, desk.given, instruments=instruments)


def test_a_takeover_without_a_memory_gives_slots_to_what_is_held_first_moex_data_04(driven: Driven) -> None:
    """Whatever the order of the list, and whoever wrote the memory: one of other code is none."""
    held(driven.folder, 3, which=2)
    driven.start(fresh=False)
    assert driven.states() == [SUBSCRIBING, MONITORED, SUBSCRIBING]


def test_a_thread_that_fails_in_any_way_holds_everything_says_so_and_keeps_on_writing(tmp_path: Path) -> None:
    """MOEX-DATA-14: a view that stands still would let go of the book of a position that was opened since."""
    held(tmp_path / "7", 2, which=1)
    memory = tmp_path / "engine.bin"
    aide = Aide(tmp_path / "7", 1, memory)  # of the first instrument alone: what works in the second one has no place
    before = aide.view
    aide.start()
    try:
        until(lambda: aide.view is not before)
        assert aide.view.fault.startswith("IndexError")
        assert aide.view.pinned.tolist() == [True] and aide.view.reconciled_ns == NO_TIME
        aide.keep(b"memory")
        until(lambda: aide.kept == 1)
        assert memory.read_bytes() == b"memory" and aide.is_alive()
    finally:
        aide.end()


def test_the_hedge_is_watched_and_never_rotated_moex_data_01_moex_data_04(tmp_path: Path) -> None:
    """It takes no slot and is no candidate, so that nothing tells UNHEALTHY of it and sells shares in its place."""
    driven = Driven(tmp_path, [HEDGE, *SHARES])
    engine = driven.start()
    try:
        assert driven.states() == [OUTSIDE, SUBSCRIBING, SUBSCRIBING, MONITORED]
        driven.run(3)
        engine.live.members["spread"][0] = 1.0
        engine.live.universe["minute"] -= 1  # the next second ends a minute: whoever left the criteria is named
        driven.run(1)
        assert driven.states() == [OUTSIDE, ACTIVE, ACTIVE, MONITORED]
        assert engine.live.members["book_ns"][0] > 0 and engine.shown(driven.now)["subscriptions"]["wanted"] == 12
        assert (INTEGRITY, ACCOUNT_SCOPE, 0) in driven.told, "two shares are all that the gate waits for"
        assert (UNHEALTHY, 0, 1) not in driven.told
        assert {row for row in driven.told if row[0] == NOT_ACTIVE and row[1] == 0} == set(), "nor does it enter"
        assert all(0 not in dict(states_of(part)) for part in driven.said), "nobody may score it"
    finally:
        engine.close()


def test_what_an_engine_that_rotated_the_hedge_has_left_is_not_taken_up(tmp_path: Path) -> None:
    driven = Driven(tmp_path, [HEDGE, *SHARES])
    driven.start()
    driven.run(3)
    members = driven.engine.live.members
    members["state"][0], members["unhealthy"][0], members["state"][1:] = ACTIVE, 1, MONITORED
    driven.engine.close()
    driven.told.clear()
    engine = driven.start(fresh=False)
    try:
        assert driven.states() == [OUTSIDE, SUBSCRIBING, SUBSCRIBING, MONITORED]
        assert (UNHEALTHY, 0, 0) in driven.told
    finally:
        engine.close()
