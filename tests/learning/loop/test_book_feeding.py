"""Book features for the inference loop: the bits of the batch, indicators as told, candles of the session's bars."""

import numpy as np
import pytest

from marketdata.core.bookfeatures import stream
from marketdata.core.bookfeatures.records import VALID, Tape, new_book_states, new_rows, no_intervals, no_markets
from marketdata.core.bookfeatures.schema import FEATURE_NAMES
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import (
    ACCOUNT_SCOPE,
    BAR,
    BOOK,
    FEED,
    FEED_GAP,
    FLAG_BACKFILL,
    METRIC,
    QUOTE,
    new_events,
)
from marketdata.engine.telling import METRIC_MARKET
from marketdata.feeds.port import Batch
from marketdata.feeds.registry import open_feed
from trading.learning.bookfeeding import BOOKS_MIN, THROTTLE_NS, BookFeeding
from trading.learning.feeding import open_feeding
from trading.learning.schemas import BOOK_SCHEMA
from trading.learning.scoring import HeuristicScorer, ScorerError, open_scorer
from trading.run.spec import FeedSpec

SYMBOLS = ["SBER", "GAZP"]
SECOND = 1_000_000_000


def tape(seconds: int = 40) -> Batch:
    feed = open_feed(FeedSpec("simulated", SYMBOLS, seed=4, options={"backfill_s": "0", "rate": "0.5"}))
    batch = feed.read(feed.start_ns + seconds * SECOND, 1_000_000)
    feed.close()
    return batch


def told(ts_ns: int, known: int = 1) -> np.ndarray:
    event = new_events(1)
    event["kind"], event["code"], event["instrument"] = METRIC, METRIC_MARKET, ACCOUNT_SCOPE
    event["ts_ns"] = event["ts_venue_ns"] = ts_ns
    event["qty"], event["value"], event["volume"], event["score_ppm"] = known, 250_001, 990_000, 700_000
    return event


def moments(feeding: BookFeeding, batch: Batch, size: int) -> dict[int, bytes]:
    """Index in the tape → the vector of that moment."""
    found = {}
    for at in range(0, len(batch.events), size):
        part = slice(at, at + size)
        for index in feeding.moments(batch.events[part], batch.depths, batch.depth_of[part]):
            found[at + index] = feeding.vector.tobytes()
    return found


@pytest.mark.parametrize("size", [1, 97, 100_000])
def test_the_vectors_are_those_of_the_batch_however_the_stream_is_cut_moex_feat_07(size: int) -> None:
    batch = tape()
    found = moments(BookFeeding(SYMBOLS), batch, size)
    rows = new_rows(len(batch.events))
    states = new_book_states([INSTRUMENTS[symbol].tick_nanos for symbol in SYMBOLS])
    for which in range(len(states)):
        stream.reset(states, which)
    whole = Tape(batch.events, batch.depths, batch.depth_of, no_markets(), np.full(len(batch.events), -1, np.int32))
    _, count = stream.batch(states, whole, no_intervals(), 0, rows)
    vectors = {int(rows.event[i]): rows.features[i].tobytes() for i in range(count) if rows.verdict[i] == VALID}
    assert len(found) > 100
    assert all(vectors[index] == vector for index, vector in found.items())
    for which in range(len(SYMBOLS)):
        times = batch.events["ts_venue_ns"][[i for i in found if batch.events["instrument"][i] == which]]
        assert np.diff(times).min() >= THROTTLE_NS
    first = min(found)
    books = batch.events[:first]
    which = batch.events["instrument"][first]
    assert ((books["kind"] == BOOK) & (books["instrument"] == which)).sum() >= BOOKS_MIN - 1


def test_market_indicators_are_what_was_told_moex_data_07() -> None:
    batch, feeding = tape(), BookFeeding(SYMBOLS)
    half = len(batch.events) // 2
    for _ in feeding.moments(batch.events[:half], batch.depths, batch.depth_of[:half]):
        pass
    row = dict(zip(FEATURE_NAMES, feeding.vector, strict=True))
    assert row["market_known"] == 0.0 and row["market_liquidity"] == 1.0
    now_ns = int(batch.events["ts_ns"][half])
    for known, told_as in ((1, (0.250001, 0.99, 0.7, 1.0)), (0, (0.0, 1.0, 0.0, 0.0))):
        assert list(feeding.moments(told(now_ns, known), batch.depths[:0], np.full(1, -1, np.int32))) == []
        end = half + 200
        part = batch.events[half:end], batch.depths, batch.depth_of[half:end]
        vectors = [feeding.vector.copy() for _ in feeding.moments(*part)]
        row = dict(zip(FEATURE_NAMES, vectors[0], strict=True))
        names = ("market_volatility", "market_liquidity", "market_index", "market_known")
        assert tuple(row[name] for name in names) == told_as
        half = end


def minute_bars(first_ns: int, minutes: int, flags: int = 0) -> np.ndarray:
    bars = new_events(60 * minutes)
    bars["kind"], bars["value"], bars["flags"] = BAR, SECOND, flags
    bars["ts_venue_ns"] = bars["ts_ns"] = first_ns + SECOND * (1 + np.arange(len(bars)))
    price = 30_000 + np.arange(len(bars)) % 7
    for name in ("open_tick", "high_tick", "low_tick", "close_tick"):
        bars[name] = price
    return bars


def test_bars_of_the_past_are_candles_once_and_a_gap_ends_them_moex_feat_05() -> None:
    feeding, rows = BookFeeding(SYMBOLS), np.full(360, -1, np.int32)
    start = 1_700_000_040 * SECOND
    bars = minute_bars(start, 6, FLAG_BACKFILL)
    none = tape(1).depths[:0]
    assert list(feeding.moments(bars, none, rows)) == []
    assert feeding.states["candles"][0] == 6 and feeding.states["candle_ns"][0] == start + 300 * SECOND
    assert list(feeding.moments(bars, none, rows)) == [] and feeding.states["candles"][0] == 6
    feeding.missed()
    assert feeding.states["candles"][0] == 6, "the journal has them all"
    gap = new_events(1)
    gap["kind"], gap["code"], gap["instrument"] = FEED, FEED_GAP, ACCOUNT_SCOPE
    assert list(feeding.moments(gap, none, rows[:1])) == [] and feeding.states["candles"][0] == 0


def test_the_heuristic_names_a_side_of_a_book_that_leans_and_moves() -> None:
    scorer = open_scorer("heuristic", "", {})
    assert isinstance(scorer, HeuristicScorer) and scorer.schema == BOOK_SCHEMA
    features = np.zeros(len(FEATURE_NAMES))
    imbalance, volatility = FEATURE_NAMES.index("imbalance"), FEATURE_NAMES.index("volatility")
    for lean, moves, side in ((0.70, 0.02, 0), (0.71, 0.010, 0), (0.71, 0.011, 1), (-0.71, 0.011, -1)):
        features[imbalance], features[volatility] = lean, moves
        assert scorer.score(features) == (side, side * 700_000, 700_000), (lean, moves)
    with pytest.raises(ScorerError, match="no option"):
        open_scorer("heuristic", "", {"quota": 10.0})
    with pytest.raises(ScorerError, match="shares of 1"):
        open_scorer("heuristic", "", {"imbalance": 1.5})


def test_the_loop_opens_book_features_for_this_scorer() -> None:
    feeding = open_feeding(BOOK_SCHEMA, SYMBOLS)
    assert isinstance(feeding, BookFeeding) and feeding.warm() == 0 and feeding.step_ns(0) == 0
    events = tape(2).events
    quotes = events[events["kind"] == QUOTE]
    assert list(feeding.moments(quotes, tape(1).depths, np.full(len(quotes), -1, np.int32))) == []
