"""The simulated feed's own tape of several shares through the engine, and MOEX-DATA-02's numbers of a share."""

import numpy as np
import pytest

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import ACCOUNT_SCOPE, BAR, FEED, FEED_GAP, new_depths, new_events
from marketdata.core.units import OffGrid, ticks_from_quotation
from marketdata.core.universe import buffers
from marketdata.core.universe.records import ACTIVE, ACTIVE_MAX, DEMOTED, OUTSIDE, POOL_MAX, SPREAD_ENTER
from marketdata.engine.driving import Driver
from marketdata.engine.live import Listed, LiveData, News
from marketdata.engine.memory import MemoryGuard
from marketdata.engine.numbers import numbers
from marketdata.feeds.port import Batch
from marketdata.feeds.registry import open_feed
from marketdata.feeds.simulated import START_TICKS
from tests.core.universe.kit import SECOND
from tests.feeds.test_simulated import Spec

SHARES = [name for name, listed in INSTRUMENTS.items() if listed.venue == "moex" and not listed.hedge]
WATCHED = SHARES[:3]
SECONDS = 65


def run(limit: int) -> tuple[LiveData, list[tuple[int, News]], int]:
    feed = open_feed(Spec(symbols=WATCHED, options={"backfill_s": "0", "rate": "0.2"}))
    listed = [Listed(name, INSTRUMENTS[name].tick_nanos, INSTRUMENTS[name].tick_value_micros) for name in WATCHED]
    data = LiveData(listed, 2, guard=MemoryGuard(sampler=lambda: 1))
    data.seed([], [], range(len(WATCHED)))
    for which in range(len(WATCHED)):
        data.set_confirmed(which, True)
    driver, done = Driver(data), []
    start = feed.next_ns()
    while True:
        batch = feed.read(start + SECONDS * SECOND, limit)
        done += driver.feed(batch)
        if len(batch.events) < limit:
            return data, done, start + SECONDS * SECOND


def test_the_same_tape_makes_the_same_engine_however_it_is_cut() -> None:
    data, done, now = run(100_000)
    again, same, _ = run(77)
    assert done == same
    assert data.members.tobytes() == again.members.tobytes()
    assert data.universe.tobytes() == again.universe.tobytes()
    assert data.states.tobytes() == again.states.tobytes()
    shown = numbers(data, now)
    assert shown["active"] == 2 and (data.members["state"][:2] == ACTIVE).all()
    assert all(row.spread is not None and row.samples >= 50 for row in shown["instruments"])
    assert (data.members["candles"] >= 1).all()
    assert data.gate(now, reconciled=True).passed


def test_the_simulated_market_has_thirty_shares_within_reach_of_the_criteria_moex_data_01() -> None:
    """As many as may be monitored; one tick of most is within the spread that may become active (MOEX-DATA-06)."""
    assert len(SHARES) == POOL_MAX
    ticks = [START_TICKS[name] for name in SHARES]
    assert all(1 / tick <= SPREAD_ENTER for tick in ticks)
    rubles = [START_TICKS[name] * INSTRUMENTS[name].tick_value_micros / 1e6 for name in SHARES]
    assert 50 < min(rubles) and max(rubles) < 50_000, "a lot is affordable"


def test_thirty_shares_rotate_through_fifteen_slots_moex_data_01_moex_data_08() -> None:
    """Seven minutes and a half of the simulated market: r is known after five, a dwell is over, a minute decides."""
    feed = open_feed(Spec(symbols=SHARES, options={"backfill_s": "900", "rate": "0.2"}))
    listed = [Listed(name, INSTRUMENTS[name].tick_nanos, INSTRUMENTS[name].tick_value_micros) for name in SHARES]
    data = LiveData(listed, guard=MemoryGuard(sampler=lambda: 1), cache_max=20)
    assert data.seed([], [], range(POOL_MAX)) == POOL_MAX
    for which in range(POOL_MAX):
        data.set_confirmed(which, True)
    driver = Driver(data)
    left: set[int] = set()
    driver.bootstrap(feed.backfill())
    for quarter in range(1, 4 * 450 + 1):
        now = feed.start_ns + quarter * SECOND // 4
        left |= {
            news.which for _, news in driver.feed(feed.read(now, 100_000)) + driver.until(now) if news.kind == DEMOTED
        }
        assert (data.members["state"] == ACTIVE).sum() <= ACTIVE_MAX
    assert left and data.universe["rotations"][0] >= len(left)
    assert (data.members["state"] == ACTIVE).sum() == ACTIVE_MAX and (data.members["state"] != OUTSIDE).all()
    assert data.buffers.counts[buffers.BY_SIZE] > 0 and data.cached == 20


def test_a_share_is_in_rubles_and_its_prices_are_whole_ticks_moex_data_02() -> None:
    for name in SHARES:
        share = INSTRUMENTS[name]
        assert share.currency == "RUB" and share.tick_value_micros * 1_000 == share.tick_nanos * share.lot
    assert ticks_from_quotation(305, 120_000_000, INSTRUMENTS["SBER"].tick_nanos) == 30_512
    with pytest.raises(OffGrid):
        ticks_from_quotation(305, 125_000_000, INSTRUMENTS["SBER"].tick_nanos)


def minute(which: int, number: int, close: int) -> np.ndarray:
    """A closed candle of the tape."""
    bar = new_events(1)
    bar["kind"], bar["instrument"], bar["value"] = BAR, which, 60 * SECOND
    bar["ts_ns"] = bar["ts_venue_ns"] = (number + 1) * 60 * SECOND
    bar["high_tick"], bar["low_tick"], bar["close_tick"] = close + 3, close - 2, close
    return bar


def test_behind_a_gap_the_candles_that_were_closed_before_it_are_there_again_moex_data_15() -> None:
    """The tape's own history up to now: vol_30m and the ranges are those of before, and nothing of after is in them."""

    def told(rows: list[np.ndarray]) -> LiveData:
        data = LiveData(
            [Listed(name, 10_000_000, 100_000) for name in WATCHED], 2, guard=MemoryGuard(sampler=lambda: 1)
        )
        data.seed([], [], range(len(WATCHED)))
        events = np.concatenate(rows)
        Driver(data).feed(Batch(events, new_depths(0), np.full(len(events), -1, np.int32), 0, False))
        return data

    gap = new_events(1)
    gap["kind"], gap["code"], gap["instrument"], gap["ts_ns"] = FEED, FEED_GAP, ACCOUNT_SCOPE, 20 * 60 * SECOND + 1
    before = [minute(which, k, 30_000 + k * 7 % 23 + which) for k in range(20) for which in range(2)]
    after = [minute(0, k, 31_000) for k in range(25, 28)]
    whole, holed, later = told(before), told([*before, gap]), told([*before, gap, *after])
    assert whole.members["candle_vol"][0] > 0
    for name in ("candles", "candle_vol", "candle_close"):
        assert holed.members[name].tobytes() == whole.members[name].tobytes(), name
    for name in ("candles", "candle_ns", "range_sum", "high_20", "low_20"):
        assert holed.states[name].tobytes() == whole.states[name].tobytes(), name
    assert later.members["candles"].tolist()[:2] == [23, 20] and (later.members["samples"] == 0).all()
    assert later.members["candle_vol"][0] ** 2 * 21 == pytest.approx(whole.members["candle_vol"][0] ** 2 * 19), (
        "two returns of 0 more; none spans the hole"
    )
