"""The book features' one step: live, paper, replay, training and batch all call it (MOEX-FEAT-07).

`add_book` makes the row of a book; trades, candles and market indicators that came before it in inbox order count.
`batch` is those in a loop over a tape of events.  A state goes on from call to call, so events may come one at a time
or in chunks of any size: every bit of the rows is the same.  Called by `engine`, benchmarks and tests.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from marketdata.core.bookfeatures.observe import observe, present_levels
from marketdata.core.bookfeatures.records import (
    BROKEN,
    EMPTY_BOOK,
    LOTS_MAX,
    NOT_FINITE,
    OLD,
    TICK_MAX,
    VALID,
    VECTORS,
    Rows,
    Tape,
)
from marketdata.core.bookfeatures.rings import enter_candle, enter_trade, halve_rings, leave_trades, record_book
from marketdata.core.bookfeatures.schema import BEFORE_MAX_NS, CANDLE_NS, FEATURE_COUNT
from marketdata.core.bookfeatures.vector import write_vector
from marketdata.core.compiled import inlined
from marketdata.core.records import (
    BAR,
    BOOK,
    BUY,
    FEED,
    FEED_DOWN,
    FEED_GAP,
    FLAG_CARRIED,
    LEVELS,
    NO_TICK,
    NO_TIME,
    SELL,
    TRADE,
)

Record = Any  # one record of BOOK_STATE, DEPTH or MARKET: the type checker cannot know its fields


@inlined
def _refuse(out: np.ndarray, at: int) -> None:
    for i in range(FEATURE_COUNT):
        out[at, i] = np.nan


@inlined
def _is_finite(out: np.ndarray, at: int) -> bool:
    """Whether all 88 are: infinity or NaN times 0 is NaN and stays it through any sum."""
    a = b = c = d = 0.0
    for i in range(0, FEATURE_COUNT, 4):
        a += out[at, i] * 0.0
        b += out[at, i + 1] * 0.0
        c += out[at, i + 2] * 0.0
        d += out[at, i + 3] * 0.0
    return (a + b) + (c + d) == 0.0


@inlined
def _reset(state: Record) -> None:
    """Forget everything but the tick size and the counts (MOEX-FEAT-07).  Rings are empty by their numbers alone."""
    state.now_ns = NO_TIME
    state.venue_ns = NO_TIME
    state.ts_ns = NO_TIME
    state.books = 0
    state.refused = 0
    state.mid2 = 0
    state.bids = 0
    state.asks = 0
    for i in range(LEVELS):
        state.bid_tick[i] = NO_TICK
        state.bid_qty[i] = 0
        state.ask_tick[i] = NO_TICK
        state.ask_qty[i] = 0
    state.ring_first = 0
    state.ring_next = 0
    state.ring_1 = 0
    state.ring_10 = 0
    state.ring_60 = 0
    state.square_1 = 0
    state.square_10 = 0
    state.square_60 = 0
    state.tail_1 = 0
    state.tail_10 = 0
    state.tail_60 = 0
    state.books_10 = 0
    state.trade_first = 0
    state.trade_next = 0
    state.trade_10 = 0
    state.trade_60 = 0
    state.lots_10 = 0
    state.lots_60 = 0
    state.sided_10 = 0
    state.sided_60 = 0
    state.signed_10 = 0
    state.signed_60 = 0
    state.value_60 = 0
    state.vectors = 0
    state.candles = 0
    state.candle_ns = NO_TIME
    state.candle_ret = 0.0
    state.open_ns = NO_TIME
    state.close_ns = NO_TIME
    state.market_ns = NO_TIME


@inlined
def _vector(state: Record, intervals: np.ndarray, out: np.ndarray, at: int) -> int:
    """The newest book's row: VALID, or why there is none."""
    if state.refused == 1:
        _refuse(out, at)
        return EMPTY_BOOK
    write_vector(state, intervals, out, at)
    if not _is_finite(out, at):
        _refuse(out, at)
        return NOT_FINITE
    place = state.vectors & (VECTORS - 1)
    for i in range(FEATURE_COUNT):
        state.vector_ring[place, i] = out[at, i]
    state.vectors += 1
    return VALID


@inlined
def _book(
    state: Record, depth: Record, ts_ns: int, venue_ns: int, intervals: np.ndarray, out: np.ndarray, at: int
) -> int:
    if state.venue_ns != NO_TIME and venue_ns < state.venue_ns:
        state.old += 1
        _refuse(out, at)
        return OLD
    bids = present_levels(depth.bid_tick, depth.bid_qty, 1)
    asks = present_levels(depth.ask_tick, depth.ask_qty, -1)
    if bids < 0 or asks < 0:
        state.broken += 1
        _refuse(out, at)
        return BROKEN
    now_ns = max(state.now_ns, ts_ns)
    has_before = state.books > 0 and now_ns - state.ts_ns <= BEFORE_MAX_NS
    observe(state, depth, bids, asks, has_before)
    state.now_ns = now_ns
    state.ts_ns = now_ns
    state.venue_ns = venue_ns
    leave_trades(state, now_ns)
    state.refused = 1 if state.mid2 == 0 else 0
    if state.refused == 1:
        state.empty += 1
    else:
        record_book(state)
    return _vector(state, intervals, out, at)


@inlined
def _trade(state: Record, ts_ns: int, tick: int, lots: int, side: int) -> int:
    if tick < 1 or tick > TICK_MAX or lots < 1 or lots > LOTS_MAX or side < SELL or side > BUY:
        state.broken += 1
        return BROKEN
    state.now_ns = max(state.now_ns, ts_ns)
    enter_trade(state, tick, lots, side)
    return VALID


@inlined
def _candle(state: Record, start_ns: int, high_tick: int, low_tick: int, close_tick: int) -> int:
    if low_tick < 1 or high_tick > TICK_MAX or close_tick < low_tick or close_tick > high_tick:
        state.broken += 1
        return BROKEN
    if state.candle_ns != NO_TIME and start_ns <= state.candle_ns:
        state.late_candles += 1
        return OLD
    enter_candle(state, start_ns, high_tick, low_tick, close_tick)
    return VALID


@inlined
def _market(state: Record, ts_ns: int, known: int, volatility: float, liquidity: float, index: float) -> None:
    finite = math.isfinite(volatility) and math.isfinite(liquidity) and math.isfinite(index)
    state.market_ns = NO_TIME
    if known != 0 and finite:
        state.market_ns = ts_ns
        state.market_volatility = volatility
        state.market_liquidity = liquidity
        state.market_index = index


# From Python, an array and an index: numba looks a record's type up anew on each call, which costs 6 us.


@njit(cache=True)
def add_book(
    states: np.ndarray,
    which: int,
    depths: np.ndarray,
    index: int,
    ts_ns: int,
    venue_ns: int,
    intervals: np.ndarray,
    out: np.ndarray,
    at: int,
) -> int:
    """The row of depths[index] (DEPTH), received at `ts_ns` with the venue's stamp `venue_ns`, of states[which].

    `intervals`: (n,) INTERVAL.  Writes row `at` of `out` (n, 88) float64.  Returns VALID, or a refusal
    (records.REFUSALS): then the row is NaN throughout.
    """
    return _book(states[which], depths[index], ts_ns, venue_ns, intervals, out, at)


@njit(cache=True)
def add_trade(states: np.ndarray, which: int, ts_ns: int, tick: int, lots: int, side: int) -> int:
    """A trade of states[which]; side +1 buy, -1 sell, 0 unknown.  VALID, or BROKEN: then it does not count."""
    return _trade(states[which], ts_ns, tick, lots, side)


@njit(cache=True)
def add_candle(states: np.ndarray, which: int, start_ns: int, high_tick: int, low_tick: int, close_tick: int) -> int:
    """A closed one-minute candle of states[which].  VALID; OLD when it is not later than the one before; BROKEN."""
    return _candle(states[which], start_ns, high_tick, low_tick, close_tick)


@njit(cache=True)
def set_market(states: np.ndarray, ts_ns: int, known: int, volatility: float, liquidity: float, index: float) -> None:
    """Market indicators (MOEX-DATA-07) for all states; known 0, or one that is not finite: unknown from now on."""
    for i in range(len(states)):
        _market(states[i], ts_ns, known, volatility, liquidity, index)


@njit(cache=True)
def reset(states: np.ndarray, which: int) -> None:
    """Model reload, resync or demotion of states[which] (MOEX-FEAT-07): as new, but for the counts."""
    _reset(states[which])


@njit(cache=True)
def halve(states: np.ndarray, which: int) -> None:
    """The time ring and the trades of states[which] lose their older halves (MOEX-DATA-13)."""
    halve_rings(states[which])


@inlined
def _facts(state: Record, event: Record) -> None:
    """A trade or candle of a tape."""
    if event.kind == TRADE:
        _trade(state, event.ts_ns, event.price_tick, event.qty, event.side)
    elif event.kind == BAR and event.value == CANDLE_NS and event["flags"] & FLAG_CARRIED == 0:
        start_ns = event.ts_venue_ns - CANDLE_NS
        _candle(state, start_ns, event.high_tick, event.low_tick, event.close_tick)


@njit(cache=True)
def batch(states: np.ndarray, tape: Tape, intervals: np.ndarray, first: int, rows: Rows) -> tuple[int, int]:
    """Events of a tape from index `first` on → one row a BOOK, until the tape ends or `rows` is full.

    states[EVENT.instrument] moves; an instrument outside changes nothing.  FEED_GAP and FEED_DOWN reset: what
    happened meanwhile is unknown.  Returns (next event, rows written).
    """
    events, depths, depth_of, markets, market_of = tape
    row_events, verdicts, features = rows
    at = 0
    for i in range(first, len(events)):
        event = events[i]
        which = event.instrument
        is_book = event.kind == BOOK and which >= 0 and which < len(states) and depth_of[i] >= 0
        if is_book and at == len(row_events):
            return i, at
        if market_of[i] >= 0:
            market = markets[market_of[i]]
            for k in range(len(states)):
                _market(states[k], market.ts_ns, market.known, market.volatility, market.liquidity, market.index)
        if is_book:
            depth = depths[depth_of[i]]
            verdicts[at] = _book(states[which], depth, event.ts_ns, event.ts_venue_ns, intervals, features, at)
            row_events[at] = i
            at += 1
        elif event.kind == FEED:
            if event.code == FEED_GAP or event.code == FEED_DOWN:
                for k in range(len(states)):
                    if which < 0 or which == k:
                        _reset(states[k])
        elif which >= 0 and which < len(states):
            _facts(states[which], event)
    return len(events), at
