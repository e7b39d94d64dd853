"""The specification's worked example, and every feature by numbers that can be checked by hand.

Rules: MOEX-FEAT-02 … -05, section 12.5, MOEX-DATA-12, MOEX-ACC-202.
"""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from marketdata.core.bookfeatures.engine import BookFeatures, BookRefused
from marketdata.core.bookfeatures.records import EMPTY_BOOK, EMPTY_WINDOW, LOTS_MAX, OLD, QTY_MAX, TICK_MAX, VALID
from marketdata.core.bookfeatures.schema import FEATURE_COUNT, FEATURE_NAMES
from marketdata.core.records import NO_TICK, new_depths
from tests.core.bookfeatures.kit import TICK_NANOS, Rows, as_tape, fill, intervals, whole
from tests.core.bookfeatures.oracle import Book, Candle, Event, Levels, Market, Reset, Trade

S = 10**9
T = 1_732_000_000 * S
BIDS_A, ASKS_A = ((10000, 10), (9999, 20), (9998, 30)), ((10002, 15), (10003, 5), (10005, 20))
BIDS_B, ASKS_B = ((10001, 4), (10000, 12), (9999, 20)), ((10002, 9), (10003, 5), (10005, 20))
# name: (A first, B after A)
EXAMPLE = {
    "imbalance": (0.2, 0.0285714286), "microprice": (100.008, 100.0130769231), "imbalance_1": (-0.2, -0.3846153846),
    "ofi": (0, -0.8571428143), "book_gradient": (0, -5.9999979000), "ofi_cks_1": (0, 0.5263157895),
    "ofi_cks_5": (0, 0.4941176471), "conservative_imbalance": (0.14, 0.02), "bid_slope": (0.8472978604, 0.8938178760),
    "queue_delta_bid": (0, 1), "queue_delta_ask": (0, -0.25), "ret_1s": (0, 0.4999375079),
    "volatility": (0, 0.0180974616), "rv_1s": (0, 0.1401823346), "atr5_rel": (0, 0.0000999850),
    "lvl_share_01": (0.25, 0.1857142857), "lvl_imb_01": (-0.2, -0.3846153846),
    # by the same two books, not in the specification's list
    "mid_price": (100.01, 100.015), "spread": (0.02, 0.01), "two_sided": (1, 1), "levels_bid": (0.15, 0.15),
    "ask_slope": (math.log(1 + 65 / 40), math.log(1 + 65 / 34)), "atr_proxy": (1, 1), "book_rate_10s": (0.1, 0.2),
    "history_fill": (0, 0.2 / 60), "aggressive_imbalance": (0, 0), "market_liquidity": (1, 1), "session_pos": (0, 0),
    "bid_total_log": (math.log(61), math.log(37)), "imbalance_5": (0.2, 0.0285714286),
}  # fmt: skip


def last(events: Sequence[Event], **sessions: list[tuple[int, int]]) -> dict[str, float]:
    """The features of the last book."""
    rows: Rows = whole(as_tape(events), sessions.get("sessions", []))
    assert rows.verdict[-1] == VALID
    return dict(zip(FEATURE_NAMES, rows.features[-1].tolist(), strict=True))


def book(at_s: float, bids: Levels = BIDS_A, asks: Levels = ASKS_A) -> Book:
    ts = T + round(at_s * S)
    return Book(ts, ts, bids, asks)


@pytest.mark.parametrize("name", EXAMPLE)
def test_the_worked_example(name):
    """Section 12.5."""
    first, second = EXAMPLE[name]
    assert last([book(0)])[name] == pytest.approx(first, abs=6e-11)
    assert last([book(0), book(0.2, BIDS_B, ASKS_B)])[name] == pytest.approx(second, abs=6e-11)


def test_a_first_book_alone_has_no_changes():
    """MOEX-FEAT-03: every feature that needs a previous book is 0; at exactly 60 s it still has one."""
    changes = ("ofi", "book_gradient", "ofi_cks_1", "ofi_cks_20", "queue_delta_bid", "queue_delta_ask")
    for start in ([], [book(-60.000000001, BIDS_B, ASKS_B)], [book(-1, BIDS_B, ASKS_B), Reset()]):
        found = last([*start, book(0)])
        assert [found[name] for name in changes] == [0] * 6
        assert found["atr5_rel"] == 0
    found = last([book(-60, BIDS_B, ASKS_B), book(0)])
    assert all(found[name] != 0 for name in changes)


@pytest.mark.parametrize(
    ("bids", "asks", "mid", "microprice", "spread"),
    [
        (BIDS_A, (), 100.02, 100.02, 0),  # the mid of the book before
        ((), ASKS_A, 100.02, 100.02, 0),
        ((), (), 100.02, 100.02, 0),
        (((10004, 1),), ((10002, 3),), 100.03, (100.02 * 1 + 100.04 * 3) / 4, -0.02),  # crossed: as it stands
    ],
)
def test_one_sided_empty_and_crossed_books(bids, asks, mid, microprice, spread):
    found = last([book(0, ((10001, 1),), ((10003, 1),)), book(100, bids, asks)])
    assert found["mid_price"] == pytest.approx(mid, abs=1e-12)
    assert found["microprice"] == pytest.approx(microprice, abs=1e-12)
    assert found["spread"] == pytest.approx(spread, abs=1e-12)
    assert found["two_sided"] == float(bool(bids and asks))
    assert last([book(0, ((10001, 1),), ())])["mid_price"] == 100.01  # nothing before: the side that is there
    assert last([book(0, (), ((10003, 1),))])["mid_price"] == 100.03


def test_empty_books_are_refused_and_stand_in_the_history():
    """MOEX-FEAT-02: EMPTY_BOOK makes no record, yet is the previous book of the next one."""
    rows = whole(as_tape([book(0, (), ()), book(1, (), ()), book(2)]))
    assert rows.verdict.tolist() == [EMPTY_BOOK, EMPTY_BOOK, VALID]
    assert np.isnan(rows.features[:2]).all() and np.isfinite(rows.features[2]).all()
    assert rows.column("book_rate_10s")[2] == 0.1 and rows.column("history_fill")[2] == 0
    assert (rows.column("queue_delta_bid")[2], rows.column("queue_delta_ask")[2]) == (1, 1)  # both sides are new
    assert rows.column("ofi_cks_1")[2] == pytest.approx((10 - 15) / 12.5, abs=1e-12)
    assert rows.column("ofi")[2] == 10  # from imbalance 0


def test_an_older_book_is_dropped_and_counted():
    """MOEX-DATA-03: by the venue's stamp; the same stamp is accepted."""
    engine = BookFeatures(TICK_NANOS, FEATURE_NAMES)
    assert engine.verdict == EMPTY_WINDOW and np.isnan(engine.vector).all()
    depths = new_depths(1)
    fill(depths, 0, BIDS_A, ASKS_A)
    assert engine.book(depths, 0, T, 50) == VALID
    assert engine.book(depths, 0, T + 1, 49) == OLD and np.isnan(engine.vector).all()
    assert engine.book(depths, 0, T + 2, 50) == VALID
    assert engine.states["old"][0] == 1 and engine.states["books"][0] == 2
    engine.reset()
    assert engine.verdict == EMPTY_WINDOW and np.isnan(engine.vector).all()
    assert engine.states["old"][0] == 1 and engine.states["books"][0] == 0


@pytest.mark.parametrize(
    ("side", "levels"),
    [
        ("bid", ((9999, 1), (10000, 1))),
        ("ask", ((10003, 1), (10002, 1))),
        ("bid", ((10000, 1), (10000, 2))),
        ("bid", ((10000, 0),)),
        ("bid", ((0, 1),)),
        ("ask", ((TICK_MAX + 1, 1),)),
        ("ask", ((10002, QTY_MAX + 1),)),
        ("bid", ((NO_TICK, 5),)),
        ("bid", ((NO_TICK, 0), (10000, 1))),
    ],
)
def test_a_book_that_cannot_be_is_refused_and_changes_nothing(side, levels):
    engine = BookFeatures(TICK_NANOS, FEATURE_NAMES)
    depths = new_depths(2)
    fill(depths, 0, BIDS_A, ASKS_A)
    fill(depths, 1, levels if side == "bid" else BIDS_A, levels if side == "ask" else ASKS_A)
    engine.book(depths, 0, T, T)
    before = engine.states.copy()
    with pytest.raises(BookRefused, match="not sorted best first"):
        engine.book(depths, 1, T + 1, T + 1)
    assert np.isnan(engine.vector).all()
    before["broken"] = 1
    assert engine.states.tobytes() == before.tobytes()


def test_trades_and_candles_out_of_bounds_do_not_count():
    engine = BookFeatures(TICK_NANOS, FEATURE_NAMES)
    assert not engine.trade(T, 0, 1, 1) and not engine.trade(T, 100, LOTS_MAX + 1, 1) and not engine.trade(T, 100, 1, 2)
    assert not engine.candle(T, 10, 11, 10) and not engine.candle(T, 11, 10, 12) and not engine.candle(T, 9, 0, 5)
    assert engine.states["broken"][0] == 6 and engine.states["trade_next"][0] == engine.states["candles"][0] == 0
    assert engine.candle(T, 10, 9, 9) and not engine.candle(T, 10, 9, 9)  # the same minute again
    assert engine.states["late_candles"][0] == 1


def test_the_adaptive_pair_changes_over_exactly_at_its_threshold():
    """MOEX-ACC-202: 0.15 itself is conservative."""
    move = 0.15 / math.sqrt(7_862_400 / 60)  # one return of this size in 60 s is a volatility of 0.15
    base, loud = 1_000_000, []
    for half_ticks in range(int(2 * base * move) - 2, int(2 * base * move) + 3):
        events = [
            book(0, ((base, 3),), ((base, 1),)),
            book(1, ((base, 3),), ((base + half_ticks, 1),)),
        ]
        found = last(events)
        loud.append(found["aggressive_imbalance"] != 0)
        assert loud[-1] == (found["volatility"] > 0.15)
        assert found["aggressive_imbalance"] == pytest.approx(0.75 if loud[-1] else 0)
        assert found["conservative_imbalance"] == pytest.approx(0 if loud[-1] else 0.35)
    assert loud == sorted(loud) and True in loud and False in loud


def test_windows_hold_what_is_younger_than_their_length():
    """(t - W, t]: a trade or record exactly W old has left; a look-up at t - W finds the record of exactly that age."""
    trades = [Trade(T - 10 * S, 10000, 5, 1), Trade(T - 10 * S + 1, 10000, 2, -1), Trade(T, 10000, 1, 0)]
    found = last([*trades, book(0)])
    assert found["trade_imbalance_10s"] == -1 and found["trade_imbalance_60s"] == pytest.approx(3 / 7)
    assert found["trade_rate_10s"] == 0.2 and found["trade_volume_10s"] == pytest.approx(math.log(4))
    vwap = 100.0
    assert found["vwap_gap_60s"] == pytest.approx(1e4 * (100.01 - vwap) / 100.01, abs=1e-9)
    moved = [book(-10, ((9000, 1),), ((9002, 1),)), book(-9.9, ((9100, 1),), ((9102, 1),)), book(0)]
    found = last(moved)
    assert found["ret_10s"] == 500  # from 90.01, at exactly t - 10 s
    assert found["ret_1s"] == 500 and found["ret_60s"] == 500
    # the return into the record at t - 9.9 s is in the window of 10 s, that into t - 10 s would not be
    squares = math.log(91.01 / 90.01) ** 2 + math.log(100.01 / 91.01) ** 2
    assert found["rv_10s"] == min(10, math.sqrt(squares / 10 * 7_862_400)) == 10
    assert found["book_rate_10s"] == 0.2


def test_the_last_book_of_a_bucket_is_its_record():
    """MOEX-DATA-12: what happened inside 100 ms is one record; n_books counts all of them."""
    events = [book(0.01), book(0.05, ((9000, 1),), ((9002, 1),)), book(0.09), book(0.2)]
    found = last(events)
    assert found["volatility"] == 0 and found["ret_1s"] == 0
    assert found["book_rate_10s"] == 0.4
    assert last(events[:2])["volatility"] == 0  # the only record has no record before it
    split = [book(0.01), book(0.0999), book(0.1, ((9000, 1),), ((9002, 1),))]
    assert last(split)["volatility"] == 10


def test_records_are_forgotten_after_640_buckets_and_their_returns_with_them():
    """MOEX-DATA-12: the record 640 buckets back is dropped; the one after it has no return any more."""
    far = ((9990, 1),), ((9992, 1),)
    assert last([book(0, *far), book(5), book(63.95)])["volatility"] > 0
    found = last([book(0, *far), book(5), book(64)])
    assert found["volatility"] == 0 and found["ret_60s"] == 0
    assert found["history_fill"] == pytest.approx(59 / 60)


def test_the_range_of_candles_and_its_proxy():
    """MOEX-FEAT-05: five candles, a previous one that starts at most 300 s earlier; else pairs of books."""
    minute = 60 * S
    candles: list[Event] = [Candle(T - (9 - k) * minute, 10010 + k, 10000 + k, 10005 + k) for k in range(5)]
    found = last([*candles, book(0)])
    # ranges: 10, then max(high, close before) - min(low, close before) = 10 each
    assert found["atr_proxy"] == 0 and found["atr5_rel"] == pytest.approx(0.10 / 100.01)
    assert found["range_20m_rel"] == pytest.approx((100.14 - 100.00) / 100.01)
    assert found["candle_ret_5m"] == pytest.approx(1e4 * math.log(10009 / 10005))  # the oldest: fewer than 6
    far = [*candles[:4], Candle(T - 6 * minute + 300 * S, 10100, 10090, 10095)]
    assert last([*far, book(0)])["atr5_rel"] == pytest.approx((40 + 10100 - 10008) / 5 * 0.01 / 100.01)
    far = [*candles[:4], Candle(T - 6 * minute + 300 * S + 1, 10100, 10090, 10095)]
    assert last([*far, book(0)])["atr5_rel"] == pytest.approx(50 / 5 * 0.01 / 100.01)
    found = last([*candles[:4], book(0), book(1, BIDS_B, ASKS_B)])
    assert found["atr_proxy"] == 1 and found["atr5_rel"] == pytest.approx(0.01 / 100.015)
    one_candle = last([candles[0], book(0)])
    assert one_candle["candle_ret_5m"] == 0 and one_candle["range_20m_rel"] == pytest.approx(0.10 / 100.01)
    late = [*candles, Candle(T - 9 * minute, 20000, 1, 10)]
    assert last([*late, book(0)])["range_20m_rel"] == pytest.approx(0.14 / 100.01)


def test_the_proxy_looks_at_29_pairs_and_takes_the_last_five_that_count():
    wide: tuple[Levels, Levels] = (((9900, 1),), ((10100, 1),))
    two = [book(0, *wide), book(1, *wide)]
    half: list[Event] = [book(2 + k, BIDS_A, ()) for k in range(28)]
    # 30 books: the oldest pair is still adjacent in the ring
    assert last([*two, *half])["atr5_rel"] == pytest.approx(2 / 100)
    assert last([*two, *half, book(31, BIDS_A, ())])["atr5_rel"] == 0
    pairs = [*two, *(book(2 + k, *wide) for k in range(5)), *(book(8 + k) for k in range(5))]
    ranges = [max(10002, mid) - min(10000, mid) for mid in (10000, 10001, 10001, 10001, 10001)]
    assert last(pairs)["atr5_rel"] == pytest.approx(sum(ranges) / 5 * 0.01 / 100.01)


def test_session_position_is_that_of_the_interval_that_contains_the_moment():
    sessions = [(T - 10 * S, T + 30 * S), (T + 40 * S, T + 140 * S)]
    for at, want in ((0, 0.25), (-10, 0), (29.999, 39.999 / 40), (30, 0), (35, 0), (40, 0), (90, 0.5), (140, 0)):
        assert last([book(at)], sessions=sessions)["session_pos"] == pytest.approx(want)
        again = last([book(-10), book(at)] if at > -10 else [book(at)], sessions=sessions)  # from a remembered one
        assert again["session_pos"] == pytest.approx(want)
    assert last([book(0)], sessions=[])["session_pos"] == 0
    assert intervals(sessions)["close_ns"].tolist() == [T + 30 * S, T + 140 * S]


def test_market_indicators_age_and_are_bounded():
    """Known and not older than 5.0 s; else 0, 1, 0."""
    names = ("market_volatility", "market_liquidity", "market_index", "market_known")

    def found(*events: Market) -> tuple[float, ...]:
        row = last([*events, book(0)])
        return tuple(row[name] for name in names)

    assert found(Market(T - 5 * S, True, 0.3, 0.8, 0.6)) == (0.3, 0.8, 0.6, 1)
    assert found(Market(T - 5 * S - 1, True, 0.3, 0.8, 0.6)) == (0, 1, 0, 0)
    assert found(Market(T, True, 11, 12, 1.5)) == (10, 10, 1, 1)
    assert found(Market(T, True, -1, -2, -3)) == (0, 0, 0, 1)
    assert found(Market(T - S, True, 0.3, 0.8, 0.6), Market(T, False, 0.3, 0.8, 0.6)) == (0, 1, 0, 0)
    assert found(Market(T, True, math.nan, 0.8, 0.6)) == found(Market(T, True, 1, math.inf, 0.6)) == (0, 1, 0, 0)
    assert found() == (0, 1, 0, 0)


@pytest.mark.parametrize("levels", [20, 10, 7, 1])
def test_any_depth_gives_88_finite_numbers(levels):
    """MOEX-ACC-201: depth 20, 10, 7, 1, one-sided; absent levels are 0."""
    bids = tuple((10000 - i, 3) for i in range(levels))
    asks = tuple((10001 + i, 1) for i in range(levels))
    for shown in ((bids, asks), (bids, ()), ((), asks)):
        rows = whole(as_tape([book(0, *shown)]))
        assert rows.features.shape == (1, FEATURE_COUNT) and np.isfinite(rows.features).all()
        assert (rows.column("levels_bid")[0] == levels / 20) == bool(shown[0])
        for i in range(20):
            share = rows.column(f"lvl_share_{i + 1:02d}")[0]
            assert (share > 0) == (i < levels)
    assert rows.column("lvl_imb_01")[0] == -1
