"""The 88 features of the newest book from the state, in the order of `schema` (MOEX-FEAT, section 2).

Only reads the state (but for the schedule's interval last found), which knows nothing of later events.  Finite for
every state with a mid: prices are positive, and a divisor that can be 0 has the case that the table names.  Called by
`stream` alone.
"""

import math
from typing import Any

import numpy as np

from marketdata.core.bookfeatures import schema as f
from marketdata.core.bookfeatures.observe import clip, ratio
from marketdata.core.bookfeatures.records import LOG, NS, PAIRS, RECORDS, SQUARE_ONE, TAIL_ONE
from marketdata.core.compiled import inlined
from marketdata.core.records import LEVELS, NO_TIME

Record = Any  # one record of BOOK_STATE: the type checker cannot know its fields
LAST = RECORDS - 1
BPS = 1e4
BPS_MAX = 500.0
RATE_MAX = 100.0
RV_MAX = 10.0
SECOND_NS = 1_000_000_000


@inlined
def annual(squares: int, tails: int, window_s: int) -> float:
    """rv(W): sum of squared returns → annual fraction, at most 10 (MOEX-FEAT-03)."""
    return min(math.sqrt((squares + tails / TAIL_ONE) / SQUARE_ONE / window_s * f.YEAR_S), RV_MAX)


@inlined
def _prices(state: Record, out: np.ndarray, at: int) -> None:
    tick = state.tick_nanos / 1e9
    mid2 = state.mid2
    out[at, f.IMBALANCE] = state.imbalance
    out[at, f.MID_PRICE] = mid2 * state.tick_nanos / 2e9
    out[at, f.MICROPRICE] = out[at, f.MID_PRICE]
    out[at, f.MICROPRICE_REL] = 0.0
    out[at, f.SPREAD] = 0.0
    out[at, f.SPREAD_REL] = state.spread_rel
    out[at, f.TWO_SIDED] = 0.0
    if state.bids > 0 and state.asks > 0:
        bid, ask = state.bid_tick[0], state.ask_tick[0]
        lots = state.bid_qty[0] + state.ask_qty[0]
        value = ask * state.bid_qty[0] + bid * state.ask_qty[0]
        out[at, f.MICROPRICE] = value / lots * tick
        # (value/lots - mid2/2) / (mid2/2), its difference in whole numbers
        out[at, f.MICROPRICE_REL] = clip(BPS * (2 * value - mid2 * lots) / (mid2 * lots), -BPS_MAX, BPS_MAX)
        out[at, f.SPREAD] = (ask - bid) * tick
        out[at, f.TWO_SIDED] = 1.0


@inlined
def _book(state: Record, out: np.ndarray, at: int) -> None:
    out[at, f.IMBALANCE_1] = state.imbalance_1
    out[at, f.IMBALANCE_5] = state.imbalance_5
    out[at, f.IMBALANCE_10] = state.imbalance_10
    out[at, f.OFI] = state.ofi
    out[at, f.BOOK_GRADIENT] = state.gradient
    out[at, f.OFI_CKS_1] = state.cks_1
    out[at, f.OFI_CKS_5] = state.cks_5
    out[at, f.OFI_CKS_20] = state.cks_20
    out[at, f.BID_TOTAL_LOG] = math.log1p(state.bid_total)
    out[at, f.ASK_TOTAL_LOG] = math.log1p(state.ask_total)
    out[at, f.BID_SLOPE] = math.log1p(ratio(state.bid_slope, state.bid_total))
    out[at, f.ASK_SLOPE] = math.log1p(ratio(state.ask_slope, state.ask_total))
    out[at, f.LEVELS_BID] = state.bids / LEVELS
    out[at, f.LEVELS_ASK] = state.asks / LEVELS
    out[at, f.QUEUE_DELTA_BID] = state.queue_bid
    out[at, f.QUEUE_DELTA_ASK] = state.queue_ask
    total = state.bid_total + state.ask_total
    for i in range(LEVELS):
        bid, ask = state.bid_qty[i], state.ask_qty[i]
        out[at, f.LVL_IMB + i] = ratio(bid - ask, bid + ask)
        out[at, f.LVL_SHARE + i] = ratio(bid + ask, total)


@inlined
def _return(state: Record, inside: int) -> float:
    """Log return in bps since the last record before the window whose first record is `inside`, else the oldest."""
    before = max(inside - 1, state.ring_first)
    change = state.ring_ratio[(state.ring_next - 1) & LAST, LOG] - state.ring_ratio[before & LAST, LOG]
    return clip(BPS * change, -BPS_MAX, BPS_MAX)


@inlined
def _windows(state: Record, out: np.ndarray, at: int) -> None:
    out[at, f.RET_1S] = _return(state, state.ring_1)
    out[at, f.RET_10S] = _return(state, state.ring_10)
    out[at, f.RET_60S] = _return(state, state.ring_60)
    volatility = annual(state.square_60, state.tail_60, 60)
    rv_10s = annual(state.square_10, state.tail_10, 10)
    out[at, f.VOLATILITY] = volatility
    out[at, f.RV_1S] = annual(state.square_1, state.tail_1, 1)
    out[at, f.RV_10S] = rv_10s
    out[at, f.RV_RATIO] = min(rv_10s / volatility, RV_MAX) if volatility > 0.0 else 0.0
    volatile = volatility > f.VOLATILE
    out[at, f.AGGRESSIVE_IMBALANCE] = 1.5 * state.imbalance if volatile else 0.0
    out[at, f.CONSERVATIVE_IMBALANCE] = 0.0 if volatile else 0.7 * state.imbalance
    out[at, f.BOOK_RATE_10S] = min(state.books_10 / 10.0, RATE_MAX)
    age_ns = state.ts_ns - state.ring_whole[state.ring_first & LAST, NS]
    out[at, f.HISTORY_FILL] = min(age_ns / (60.0 * SECOND_NS), 1.0)


@inlined
def _trades(state: Record, out: np.ndarray, at: int) -> None:
    out[at, f.TRADE_IMBALANCE_10S] = ratio(state.signed_10, state.sided_10)
    out[at, f.TRADE_IMBALANCE_60S] = ratio(state.signed_60, state.sided_60)
    out[at, f.TRADE_RATE_10S] = min((state.trade_next - state.trade_10) / 10.0, RATE_MAX)
    out[at, f.TRADE_VOLUME_10S] = math.log1p(state.lots_10)
    gap = 0.0
    if state.lots_60 > 0:
        # mid - VWAP in whole numbers, halves and lots taken out at the end
        gap = BPS * (state.mid2 - 2.0 * (state.value_60 / state.lots_60)) / state.mid2
    out[at, f.VWAP_GAP_60S] = clip(gap, -BPS_MAX, BPS_MAX)


@inlined
def _proxy2(state: Record) -> float:
    """Mean true range of the last up to five pairs of books in half ticks; 0 without a pair (MOEX-FEAT-05)."""
    total, pairs = 0, 0
    for k in range(1, min(state.books, f.HISTORY - 1) + 1):
        pair = state.pair_ring[(state.books - k) & (PAIRS - 1)]
        if pair < 0:
            continue
        total += pair
        pairs += 1
        if pairs == f.ATR_PAIRS:
            break
    return ratio(total, pairs)


@inlined
def _candles(state: Record, out: np.ndarray, at: int) -> None:
    mid2 = state.mid2
    enough = state.candles >= f.ATR_CANDLES
    range2 = 2.0 * state.range_sum / f.ATR_CANDLES if enough else _proxy2(state)
    out[at, f.ATR5_REL] = clip(range2 / mid2, 0.0, 0.5)
    out[at, f.ATR_PROXY] = 0.0 if enough else 1.0
    out[at, f.RANGE_20M_REL] = 0.0
    if state.candles > 0:
        span2 = max(2 * state.high_20, mid2) - min(2 * state.low_20, mid2)
        out[at, f.RANGE_20M_REL] = clip(span2 / mid2, 0.0, 1.0)
    out[at, f.CANDLE_RET_5M] = state.candle_ret


@inlined
def _session(state: Record, intervals: np.ndarray) -> float:
    """How far the moment is into the schedule's interval that contains it."""
    now_ns = state.ts_ns
    if state.open_ns == NO_TIME or now_ns < state.open_ns or now_ns >= state.close_ns:
        low, high = 0, len(intervals)
        while low < high:
            middle = (low + high) // 2
            if intervals[middle].close_ns <= now_ns:
                low = middle + 1
            else:
                high = middle
        if low == len(intervals) or intervals[low].open_ns > now_ns:
            return 0.0
        state.open_ns = intervals[low].open_ns
        state.close_ns = intervals[low].close_ns
    return (now_ns - state.open_ns) / (state.close_ns - state.open_ns)


@inlined
def _market(state: Record, out: np.ndarray, at: int) -> None:
    known = state.market_ns != NO_TIME and state.ts_ns - state.market_ns <= f.MARKET_AGE_NS
    out[at, f.MARKET_VOLATILITY] = clip(state.market_volatility, 0.0, 10.0) if known else 0.0
    out[at, f.MARKET_LIQUIDITY] = clip(state.market_liquidity, 0.0, 10.0) if known else 1.0
    out[at, f.MARKET_INDEX] = clip(state.market_index, 0.0, 1.0) if known else 0.0
    out[at, f.MARKET_KNOWN] = 1.0 if known else 0.0


@inlined
def write_vector(state: Record, intervals: np.ndarray, out: np.ndarray, at: int) -> None:
    """Write the features of the newest book into row `at` of `out` (n, 88) float64.  Only for a state with a mid."""
    _prices(state, out, at)
    _book(state, out, at)
    _windows(state, out, at)
    _trades(state, out, at)
    _candles(state, out, at)
    out[at, f.SESSION_POS] = _session(state, intervals)
    _market(state, out, at)
