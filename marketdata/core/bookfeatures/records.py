"""The records of the book features: one instrument's state, market indicators, schedule intervals, and verdicts.

Everything that is summed is an integer: ticks, half ticks, lots, and squared returns as multiples of 2^-103.  A sum
gains what enters its window and loses what leaves it, so it never drifts, and is 0 exactly when the window is flat.
A state is a plain record: it can be copied, stored and continued, and the rows after it are the same to the last bit.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.bookfeatures.schema import FEATURE_COUNT, TRADES
from marketdata.core.records import LEVELS, NO_TICK, NO_TIME

# a power of two above the longest look-back of each ring
RECORDS, PAIRS, CANDLES, VECTORS = 1024, 32, 32, 16

# columns of the time ring: what a step reads of one record lies side by side
NS, MID2, BOOKS = 0, 1, 2  # of its last book; half ticks; how many books its bucket had
SQUARE, TAIL = 3, 4  # of the return since the record before, 0 without one; what of it is below SQUARE_ONE
LOG, SPREAD_REL, IMBALANCE, IMBALANCE_1, CKS_5 = 0, 1, 2, 3, 4  # ln of mid2, and the features of these names

# Bounds that keep every sum inside int64; a book, trade or candle beyond them is BROKEN.
TICK_MAX = 1 << 24
QTY_MAX = 1 << 34  # lots of one level: sum of 20 levels x TICK_MAX stays below 2^63
LOTS_MAX = 1 << 24  # of one trade: TRADES x LOTS_MAX x TICK_MAX stays below 2^63
TICK_NANOS_MAX = 1 << 37
assert 20 * QTY_MAX * TICK_MAX < 2**63 and TRADES * LOTS_MAX * TICK_MAX < 2**63
assert 4 * TICK_MAX * QTY_MAX < 2**63 and 2 * TICK_MAX * TICK_NANOS_MAX < 2**63

# Squared log returns as whole numbers of 2^-63, and of 2^-103 for the rest: sums keep all digits of a small return.
# Above SQUARE_MAX every window that holds one is clipped at 10 a year anyway.
SQUARE_ONE = 2.0**63
TAIL_ONE = 2.0**40
SQUARE_MAX = 2.0**-10

BOOK_STATE = np.dtype(
    (
        np.record,
        [
            ("tick_nanos", "<i8"),  # tick size in 1e-9 of the quoted price
            ("now_ns", "<i8"),  # newest event; receipt never runs back: a stamp before it counts at this moment
            ("venue_ns", "<i8"),  # the venue's stamp of the newest accepted book
            ("books", "<i8"),  # accepted since reset
            # counted over the state's whole life
            ("old", "<i8"),  # books older than the last accepted one
            ("empty", "<i8"),  # books refused as EMPTY_BOOK
            ("broken", "<i8"),  # books, trades and candles out of bounds
            ("late_candles", "<i8"),  # candles not later than the one before
            ("lost_trades", "<i8"),  # of the last 60 s, for want of room
            # the newest accepted book
            ("ts_ns", "<i8"),
            ("refused", "<i8"),  # 1: it was an EMPTY_BOOK
            ("bid_tick", "<i8", (LEVELS,)),
            ("bid_qty", "<i8", (LEVELS,)),
            ("ask_tick", "<i8", (LEVELS,)),
            ("ask_qty", "<i8", (LEVELS,)),
            ("bids", "<i8"),  # present levels
            ("asks", "<i8"),
            ("mid2", "<i8"),  # half ticks; 0: no price ever since reset
            ("bid_total", "<i8"),  # lots
            ("ask_total", "<i8"),
            ("bid_slope", "<i8"),  # sum B_i (b_1 - b_i), lots x ticks
            ("ask_slope", "<i8"),
            ("imbalance", "<f8"),
            ("imbalance_1", "<f8"),
            ("imbalance_5", "<f8"),
            ("imbalance_10", "<f8"),
            ("spread_rel", "<f8"),
            # against the book before it
            ("ofi", "<f8"),
            ("gradient", "<f8"),
            ("cks_1", "<f8"),
            ("cks_5", "<f8"),
            ("cks_20", "<f8"),
            ("queue_bid", "<f8"),
            ("queue_ask", "<f8"),
            # true ranges of adjacent books in half ticks, by books & (PAIRS - 1); -1: no such pair
            ("pair_ring", "<i8", (PAIRS,)),
            # the time ring, by sequence & (RECORDS - 1): [ring_first, ring_next) are remembered
            ("ring_first", "<i8"),
            ("ring_next", "<i8"),
            ("ring_1", "<i8"),  # first record inside (t - 1 s, t]
            ("ring_10", "<i8"),
            ("ring_60", "<i8"),
            ("square_1", "<i8"),  # sums over the windows
            ("square_10", "<i8"),
            ("square_60", "<i8"),
            ("tail_1", "<i8"),
            ("tail_10", "<i8"),
            ("tail_60", "<i8"),
            ("books_10", "<i8"),
            ("ring_whole", "<i8", (RECORDS, 5)),  # columns NS to TAIL
            ("ring_ratio", "<f8", (RECORDS, 5)),  # columns LOG to CKS_5
            # trades, by sequence % TRADES
            ("trade_first", "<i8"),  # the ones before it were forgotten; whoever reads minds the room, too
            ("trade_next", "<i8"),
            ("trade_10", "<i8"),  # first trade inside (t - 10 s, t]
            ("trade_60", "<i8"),
            ("lots_10", "<i8"),
            ("lots_60", "<i8"),
            ("sided_10", "<i8"),  # lots of trades of a known side
            ("sided_60", "<i8"),
            ("signed_10", "<i8"),  # buy - sell lots
            ("signed_60", "<i8"),
            ("value_60", "<i8"),  # ticks x lots
            ("trade_ns", "<i8", (TRADES,)),
            ("trade_tick", "<i4", (TRADES,)),
            ("trade_lots", "<i4", (TRADES,)),
            ("trade_side", "<i1", (TRADES,)),
            # candles, by number & (CANDLES - 1), and what they say; changes with a candle only
            ("candles", "<i8"),  # taken since reset
            ("candle_ns", "<i8"),  # start of the newest
            ("candle_high", "<i8", (CANDLES,)),
            ("candle_low", "<i8", (CANDLES,)),
            ("candle_close", "<i8", (CANDLES,)),
            ("candle_range", "<i8", (CANDLES,)),  # true range, ticks
            ("range_sum", "<i8"),  # of the last five true ranges
            ("high_20", "<i8"),
            ("low_20", "<i8"),
            ("candle_ret", "<f8"),
            # the newest valid rows, by number & (VECTORS - 1)
            ("vectors", "<i8"),
            ("vector_ring", "<f8", (VECTORS, FEATURE_COUNT)),
            # the schedule's interval last found, and the market indicators
            ("open_ns", "<i8"),
            ("close_ns", "<i8"),
            ("market_ns", "<i8"),  # NO_TIME: unknown
            ("market_volatility", "<f8"),
            ("market_liquidity", "<f8"),
            ("market_index", "<f8"),
        ],
    )
)

# Indicators of MOEX-DATA-07; known = 0: unknown since ts_ns
MARKET = np.dtype(
    (
        np.record,
        [("ts_ns", "<i8"), ("known", "<i8"), ("volatility", "<f8"), ("liquidity", "<f8"), ("index", "<f8")],
    )
)
# The schedule's intervals [open, close) of an instrument without auctions, sorted, disjoint
INTERVAL = np.dtype((np.record, [("open_ns", "<i8"), ("close_ns", "<i8")]))

# Verdicts.  VALID is a row; the others are refusals: 88 NaN, and what is said here.
VALID = 1
EMPTY_WINDOW, EMPTY_BOOK, OLD, BROKEN, NOT_FINITE = -1, -2, -3, -4, -5
REFUSALS = {
    EMPTY_WINDOW: "no book was accepted since the reset",
    EMPTY_BOOK: "no price on either side and none before it",
    OLD: "older by the venue's time than the last accepted book: dropped",
    BROKEN: "not sorted best first, or a price or quantity out of bounds: dropped",
    NOT_FINITE: "a feature is not finite",
}


class Tape(NamedTuple):
    """Events in inbox order, with what belongs to them.  All arrays are contiguous."""

    events: np.ndarray  # (n,) EVENT; BOOK, TRADE, BAR of 60 s and FEED count
    depths: np.ndarray  # (m,) DEPTH, never empty
    depth_of: np.ndarray  # (n,) int32: row in depths of a BOOK, -1 for none (then it is no book)
    markets: np.ndarray  # (k,) MARKET, never empty
    market_of: np.ndarray  # (n,) int32: row in markets that became known just before the event, -1 for none


class Rows(NamedTuple):
    """Room for n rows: one a BOOK, whatever its verdict."""

    event: np.ndarray  # (n,) int64: index of the BOOK in its tape
    verdict: np.ndarray  # (n,) int8
    features: np.ndarray  # (n, 88) float64, NaN in all places of a refusal


def new_rows(count: int) -> Rows:
    """Room for `count` rows."""
    return Rows(np.empty(count, np.int64), np.empty(count, np.int8), np.empty((count, FEATURE_COUNT)))


def new_book_states(tick_nanos: list[int]) -> np.ndarray:
    """(n,) BOOK_STATE that have seen nothing, one an instrument; `tick_nanos`: tick sizes in 1e-9."""
    assert all(0 < size <= TICK_NANOS_MAX for size in tick_nanos)
    states = np.zeros(len(tick_nanos), BOOK_STATE)
    states["tick_nanos"] = tick_nanos
    for name in ("now_ns", "venue_ns", "ts_ns", "candle_ns", "open_ns", "close_ns", "market_ns"):
        states[name] = NO_TIME
    for name in ("bid_tick", "ask_tick"):
        states[name] = NO_TICK
    return states


def no_markets() -> np.ndarray:
    """(1,) MARKET of a tape that has none."""
    return np.zeros(1, MARKET)


def no_intervals() -> np.ndarray:
    """(0,) INTERVAL: no schedule is known."""
    return np.zeros(0, INTERVAL)
