"""The simulated feed: a real book behind one tape, the same bytes for the same seed, however it is read."""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.core.records import (
    BAR,
    BOOK,
    FLAG_BACKFILL,
    FLAG_CARRIED,
    LEVELS,
    NO_TICK,
    QUOTE,
    STATUS,
    STATUS_OPEN,
    TRADE,
)
from marketdata.feeds.port import Batch, Feed, FeedError
from marketdata.feeds.registry import open_feed
from tests.bootstrap import ROOT

S = 1_000_000_000
# sha256 of events and depths of the first 20 s of seed 7: the tape may only change on purpose
GOLDEN = "235d3e657ce11cd80e7a6f20a431c940563f8e3bd69dedb73f4825a113cc7521"
SEEDS = st.integers(0, 2**63 - 1)


@dataclass
class Spec:
    """What `open_feed` reads."""

    symbols: list[str] = field(default_factory=lambda: ["MES"])
    seed: int = 1
    options: dict[str, str] = field(default_factory=lambda: {"backfill_s": "30"})
    name: str = "simulated"
    speed: float = 1.0
    path: str = ""
    schema: str = ""


def tape(seconds: int, **spec: object) -> Batch:
    feed = open_feed(Spec(**spec))
    return feed.read(feed.start_ns + seconds * S, 1 << 40)


def digest(batch: Batch) -> str:
    return hashlib.sha256(batch.events.tobytes() + batch.depths.tobytes() + batch.depth_of.tobytes()).hexdigest()


def read_all(feed: Feed, until_ns: int, limit: int) -> Batch:
    """Read in pieces of `limit`, glued together."""
    parts, before, places = [], 0, []
    while (part := feed.read(until_ns, limit)).events.size > 0:
        assert part.events.size <= limit
        parts.append(part)
        places.append(np.where(part.depth_of >= 0, part.depth_of + np.int32(before), np.int32(-1)))
        before += part.depths.size
    return Batch(
        np.concatenate([part.events for part in parts]),
        np.concatenate([part.depths for part in parts]),
        np.concatenate(places),
        parts[-1].position,
        False,
    )


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, rate=st.sampled_from(["0.2", "1", "5"]), symbol=st.sampled_from(["MES", "SBER", "GMKN"]))
def test_the_book_is_always_a_book(seed: int, rate: str, symbol: str) -> None:
    batch = tape(45, seed=seed, symbols=[symbol], options={"rate": rate, "backfill_s": "0"})
    events, depths = batch.events, batch.depths
    assert (np.diff(events["ts_ns"]) >= 0).all()
    assert (events["ts_ns"] == events["ts_venue_ns"]).all()
    quoted = events[(events["kind"] == QUOTE) | (events["kind"] == BOOK)]
    assert quoted.size > 0
    assert (quoted["bid_tick"] < quoted["ask_tick"]).all(), "crossed or locked"
    assert (quoted["bid_qty"] > 0).all() and (quoted["ask_qty"] > 0).all()
    assert (quoted["flags"] == 0).all()
    for side, sign in (("bid", -1), ("ask", 1)):
        ticks, sizes = depths[f"{side}_tick"], depths[f"{side}_qty"]
        present = sizes > 0
        assert (sizes >= 0).all() and ((ticks == NO_TICK) == ~present).all()
        assert (present[:, :-1] >= present[:, 1:]).all(), "an absent level before a present one"
        steps = sign * (ticks[:, 1:] - ticks[:, :-1])
        assert (steps[present[:, 1:]] > 0).all(), "levels out of order"


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_books_and_their_depths_agree(seed: int) -> None:
    batch = tape(30, seed=seed, symbols=["SBER", "GAZP"])
    books = batch.events["kind"] == BOOK
    assert ((batch.depth_of >= 0) == books).all()
    assert (batch.depth_of[books] == np.arange(batch.depths.size)).all()
    events, depths = batch.events[books], batch.depths
    for name in ("bid_tick", "ask_tick", "bid_qty", "ask_qty"):
        assert (events[name] == depths[name][:, 0]).all()
    assert (events["volume"] == depths["bid_qty"].sum(axis=1)).all()
    assert (events["value"] == depths["ask_qty"].sum(axis=1)).all()
    assert (events["instrument"] == depths["instrument"]).all()
    assert (events["ts_ns"] == depths["ts_ns"]).all()


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_every_trade_is_at_the_best_opposite_price(seed: int) -> None:
    """A QUOTE follows every change of a best price, so the tape alone proves it."""
    best: dict[int, tuple[int, int]] = {}
    checked = 0
    for event in tape(60, seed=seed, symbols=["MES", "SBER"]).events:
        if event.kind in (QUOTE, BOOK):
            if event.kind == BOOK and event.instrument in best:
                assert best[event.instrument] == (event.bid_tick, event.ask_tick), (
                    "a best price changed without a QUOTE"
                )
            best[event.instrument] = (event.bid_tick, event.ask_tick)
        if event.kind == TRADE and event.instrument in best:
            bid, ask = best[event.instrument]
            assert event.price_tick == (ask if event.side == 1 else bid)
            assert event.side in (1, -1) and event.qty > 0
            checked += 1
    assert checked > 100


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_bars_are_made_of_the_trades(seed: int) -> None:
    """MES-LIVE-03, MES-DATA-20: every second has a bar at its end; a second without a trade is carried."""
    feed = open_feed(Spec(seed=seed, symbols=["MES", "SBER"], options={"rate": "0.2", "backfill_s": "0"}))
    events = feed.read(feed.start_ns + 40 * S, 1 << 40).events
    for i in range(2):
        mine = events[events["instrument"] == i]
        trades, bars = mine[mine["kind"] == TRADE], mine[mine["kind"] == BAR]
        assert bars["ts_ns"].tolist() == [feed.start_ns + k * S for k in range(1, 41)]
        assert (bars["value"] == S).all() and (bars["price_tick"] == bars["close_tick"]).all()
        last = None
        for bar in bars:
            inside = trades[(trades["ts_ns"] >= bar.ts_ns - S) & (trades["ts_ns"] < bar.ts_ns)]
            ohlc = (bar.open_tick, bar.high_tick, bar.low_tick, bar.close_tick)
            assert (bar["flags"] & FLAG_CARRIED != 0) == (inside.size == 0)
            assert bar.volume == inside["qty"].sum()
            if inside.size > 0:
                price = inside["price_tick"]
                assert ohlc == (price[0], price.max(), price.min(), price[-1])
            elif last is not None:
                assert ohlc == (last,) * 4
            last = bar.close_tick


@pytest.mark.parametrize("limit", [1, 7, 2048, 100_000])
def test_reads_of_any_size_give_the_same_bytes(limit: int) -> None:
    spec = Spec(seed=9, symbols=["MES", "SBER"])
    whole = open_feed(spec).read(open_feed(spec).start_ns + 20 * S, 1 << 40)
    feed = open_feed(spec)
    pieces = read_all(feed, feed.start_ns + 20 * S, limit)
    assert digest(pieces) == digest(whole)
    assert pieces.position == whole.position == whole.events.size


def test_reading_by_the_clock_gives_the_same_bytes() -> None:
    feed = open_feed(Spec(seed=9))
    parts = [feed.read(feed.start_ns + k * 40_000_000, 1000).events for k in range(501)]
    assert np.concatenate(parts).tobytes() == tape(20, seed=9).events.tobytes()
    assert sum(part.size for part in parts) > 500


@settings(max_examples=12, deadline=None)
@given(position=st.integers(0, 6000), back=st.integers(0, 6000), limit=st.integers(1, 400))
def test_seek_then_read_is_read_from_there(position: int, back: int, limit: int) -> None:
    spec = Spec(seed=11, symbols=["MES", "GAZP"])
    whole = tape(200, seed=11, symbols=["MES", "GAZP"])
    feed = open_feed(spec)
    for target in (position, back):
        feed.seek(target)
        assert feed.next_ns() == whole.events["ts_ns"][target]
        part = feed.read(1 << 62, limit)
        assert part.position == target + limit
        assert part.events.tobytes() == whole.events[target : target + limit].tobytes()
        places = whole.depth_of[target : target + limit]
        assert (part.depth_of >= 0).tolist() == (places >= 0).tolist()
        assert part.depths[part.depth_of[part.depth_of >= 0]].tobytes() == whole.depths[places[places >= 0]].tobytes()


def test_seeds_differ_and_instruments_are_independent() -> None:
    assert tape(5, seed=1).events.tobytes() != tape(5, seed=2).events.tobytes()
    alone = tape(20, seed=3, symbols=["MES"]).events
    both = tape(20, seed=3, symbols=["MES", "NQ"]).events
    assert both[both["instrument"] == 0].tobytes() == alone.tobytes()
    assert (both["instrument"] == 1).sum() > 200


def test_the_tape_is_the_recorded_one() -> None:
    assert digest(tape(20, seed=7, symbols=["MES", "SBER"])) == GOLDEN


@pytest.mark.slow
def test_the_plain_interpreter_makes_the_same_bytes() -> None:
    code = "from tests.feeds.test_simulated import *; print(digest(tape(20, seed=7, symbols=['MES', 'SBER'])))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == GOLDEN


def test_the_session_starts_inside_a_session_with_twenty_minutes_of_history() -> None:
    feed = open_feed(Spec(options={}))
    batch = feed.backfill()
    events = batch.events
    assert feed.start_ns == 1_772_636_400 * S  # 2026-03-04 10:00 New York
    assert (events["flags"] & FLAG_BACKFILL == FLAG_BACKFILL).all()
    assert (batch.depths["flags"] & FLAG_BACKFILL == FLAG_BACKFILL).all()
    assert (np.diff(events["ts_ns"]) >= 0).all() and events["ts_ns"].max() <= feed.start_ns
    bars = events[events["kind"] == BAR]
    assert (bars["ts_ns"] == feed.start_ns - np.arange(bars.size - 1, -1, -1) * S).all()
    assert bars.size >= 1200
    minute = events[events["ts_ns"] > feed.start_ns - 60 * S]
    assert {TRADE, BOOK, QUOTE, BAR} == set(minute["kind"].tolist())
    assert batch.position == 0
    first = feed.read(feed.start_ns, 10).events
    assert first["kind"].tolist() == [STATUS] and first["code"].tolist() == [STATUS_OPEN]
    assert feed.read(feed.start_ns, 10).events.size == 0
    feed.close()
    with pytest.raises(FeedError, match="closed"):
        feed.read(feed.start_ns, 1)


def test_venue_clocks_and_start() -> None:
    assert open_feed(Spec(symbols=["SBER"])).start_ns == 1_772_611_200 * S  # 2026-03-04 11:00 Moscow
    given = Spec(options={"start": "2026-07-01T10:00:00-04:00", "backfill_s": "0"})
    assert open_feed(given).start_ns == 1_782_914_400 * S


@pytest.mark.slow
def test_it_looks_like_a_market() -> None:
    """Loose bounds: rates of a live market, a spread of one tick mostly, clusters of volume and of trade signs."""
    for seed in (1, 2, 3):
        batch = tape(1800, seed=seed)
        events = batch.events
        per_s = {kind: float((events["kind"] == kind).sum()) / 1800 for kind in (TRADE, BOOK, QUOTE)}
        assert 5 <= per_s[TRADE] <= 20 and 10 <= per_s[BOOK] <= 25
        assert 20 <= events.size / 1800 <= 60
        quotes = events[(events["kind"] == BOOK) | (events["kind"] == QUOTE)]
        spread = quotes["ask_tick"] - quotes["bid_tick"]
        assert np.median(spread) <= 2 and (spread == 1).mean() > 0.6 and (spread > 2).any()
        bars = events[events["kind"] == BAR]
        change = np.diff(bars["close_tick"]).astype(float)
        assert 0.4 < change.std() < 4.0, "ticks per second"
        assert abs(int(bars["close_tick"][-1]) - 20_000) < 800
        sides = events[events["kind"] == TRADE]["side"].astype(float)
        assert np.corrcoef(sides[:-1], sides[1:])[0, 1] > 0.1
        volume = bars["volume"].astype(float)
        assert np.corrcoef(volume[:-1], volume[1:])[0, 1] > 0.05
        assert (batch.depths["bid_qty"] > 0).sum(axis=1).min() >= 5
        full = ((batch.depths["bid_qty"] > 0).sum(axis=1) == LEVELS).mean()
        assert full > 0.9


def test_imbalance_moves_enough_to_show_signals() -> None:
    """Most quarter minutes have a moment in which one side of the five best levels is twice the other."""
    with_signal = []
    for seed in range(8):
        batch = tape(300, seed=seed)
        bid, ask = batch.depths["bid_qty"][:, :5].sum(axis=1), batch.depths["ask_qty"][:, :5].sum(axis=1)
        strong = batch.depths["ts_ns"][np.maximum(bid, ask) > 2 * np.minimum(bid, ask)]
        quarters = (strong - batch.events["ts_ns"][0]) // (15 * S)
        with_signal.append(np.unique(quarters).size / 20)
    assert np.mean(with_signal) > 0.8 and min(with_signal) > 0.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"symbols": []}, "1 to 32 symbols"),
        ({"symbols": ["MES", "mes"]}, "each once"),
        ({"symbols": ["XYZ"]}, "unknown instrument"),
        ({"seed": -1}, "seed -1"),
        ({"options": {"speed": "2"}}, "no option 'speed'"),
        ({"options": {"rate": "fast"}}, "rate='fast'"),
        ({"options": {"rate": "0"}}, "rate='0'"),
        ({"options": {"start": "yesterday"}}, "not a time"),
        ({"options": {"start": "2026-03-04T10:00:00"}}, "no offset"),
        ({"options": {"start": "2026-03-04T10:00:00.5Z"}}, "whole second"),
        ({"options": {"backfill_s": "-1"}}, "backfill_s"),
        ({"name": "imaginary"}, "feed 'imaginary' is unknown; known: replay, simulated"),
    ],
)
def test_bad_input_is_one_sentence(change: dict[str, object], words: str) -> None:
    with pytest.raises(FeedError, match=words) as error:
        open_feed(Spec(**change))
    assert "\n" not in str(error.value)
