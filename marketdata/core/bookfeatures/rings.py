"""What the windows of the book features hold: the time ring of books, the trades, the candles (MOEX-DATA-12).

Window sums change by what enters and leaves; work per event is bounded and in the long run a few steps.  A window W at
t holds the stamps in (t - W, t].  Called by `stream` alone; nothing here knows a formula but the true range.
"""

import math
from typing import Any

from marketdata.core.bookfeatures.records import (
    BOOKS,
    CANDLES,
    CKS_5,
    IMBALANCE,
    IMBALANCE_1,
    LOG,
    MID2,
    NS,
    RECORDS,
    SPREAD_REL,
    SQUARE,
    SQUARE_MAX,
    SQUARE_ONE,
    TAIL,
    TAIL_ONE,
)
from marketdata.core.bookfeatures.schema import (
    ATR_CANDLES,
    BUCKET_NS,
    BUCKETS,
    CANDLE_GAP_NS,
    RANGE_CANDLES,
    TRADES,
)
from marketdata.core.compiled import inlined
from marketdata.core.records import BUY, NO_SIDE, NO_TIME

Record = Any  # one record of BOOK_STATE: the type checker cannot know its fields
SECOND_NS = 1_000_000_000
LAST = RECORDS - 1
RETURN_CANDLES = 5
RETURN_MAX = 1_000.0


@inlined
def _out_1(state: Record) -> None:
    """The oldest record of the window of 1 s leaves its sums; so `_out_10` and `_out_60` of theirs."""
    at = state.ring_1 & LAST
    state.square_1 -= state.ring_whole[at, SQUARE]
    state.tail_1 -= state.ring_whole[at, TAIL]
    state.ring_1 += 1


@inlined
def _out_10(state: Record) -> None:
    at = state.ring_10 & LAST
    state.square_10 -= state.ring_whole[at, SQUARE]
    state.tail_10 -= state.ring_whole[at, TAIL]
    state.books_10 -= state.ring_whole[at, BOOKS]
    state.ring_10 += 1


@inlined
def _out_60(state: Record) -> None:
    at = state.ring_60 & LAST
    state.square_60 -= state.ring_whole[at, SQUARE]
    state.tail_60 -= state.ring_whole[at, TAIL]
    state.ring_60 += 1


@inlined
def _leave(state: Record, now_ns: int) -> None:
    """Records that are 1, 10 and 60 seconds old leave the sums."""
    while state.ring_1 < state.ring_next and state.ring_whole[state.ring_1 & LAST, NS] <= now_ns - SECOND_NS:
        _out_1(state)
    while state.ring_10 < state.ring_next and state.ring_whole[state.ring_10 & LAST, NS] <= now_ns - 10 * SECOND_NS:
        _out_10(state)
    while state.ring_60 < state.ring_next and state.ring_whole[state.ring_60 & LAST, NS] <= now_ns - 60 * SECOND_NS:
        _out_60(state)


@inlined
def _begin_at(state: Record, first: int) -> None:
    """Record `first` is the oldest from now on: it has no record before it any more, hence no return.  The ones before
    it left every window."""
    state.ring_first = first
    if first < state.ring_next:
        square, tail = state.ring_whole[first & LAST, SQUARE], state.ring_whole[first & LAST, TAIL]
        state.ring_whole[first & LAST, SQUARE] = 0
        state.ring_whole[first & LAST, TAIL] = 0
        if state.ring_1 <= first:
            state.square_1 -= square
            state.tail_1 -= tail
        if state.ring_10 <= first:
            state.square_10 -= square
            state.tail_10 -= tail
        if state.ring_60 <= first:
            state.square_60 -= square
            state.tail_60 -= tail


@inlined
def _forget(state: Record, bucket: int) -> None:
    """Drop the records 640 or more buckets back."""
    first = state.ring_first
    while first < state.ring_next and state.ring_whole[first & LAST, NS] // BUCKET_NS <= bucket - BUCKETS:
        first += 1
    if first != state.ring_first:
        _begin_at(state, first)


@inlined
def halve_rings(state: Record) -> None:
    """The older half of the time ring and of the trades is forgotten, as if it had never been (MOEX-DATA-13)."""
    first = state.ring_next - (state.ring_next - state.ring_first + 1) // 2
    while state.ring_1 < first:
        _out_1(state)
    while state.ring_10 < first:
        _out_10(state)
    while state.ring_60 < first:
        _out_60(state)
    if first != state.ring_first:
        _begin_at(state, first)
    oldest = max(state.trade_first, state.trade_next - TRADES)
    state.trade_first = state.trade_next - (state.trade_next - oldest + 1) // 2
    while state.trade_10 < state.trade_first:
        _drop_10(state)
    while state.trade_60 < state.trade_first:
        _drop_60(state)


@inlined
def _square(state: Record, at: int) -> float:
    """The squared log return from the record before to record `at`, in units of SQUARE_ONE; 0 without one before."""
    if at == state.ring_first:
        return 0.0
    before = state.ring_whole[(at - 1) & LAST, MID2]
    change = math.log1p((state.ring_whole[at & LAST, MID2] - before) / before)  # exact for small moves, unlike ln - ln
    return min(change * change, SQUARE_MAX) * SQUARE_ONE


@inlined
def record_book(state: Record) -> None:
    """Make the newest book the record of its bucket, in place of an earlier book of the same one."""
    now_ns = state.ts_ns
    bucket = now_ns // BUCKET_NS
    _leave(state, now_ns)
    _forget(state, bucket)
    at = state.ring_next
    place = (at - 1) & LAST
    square_before, tail_before = 0, 0
    if at > state.ring_first and state.ring_whole[place, NS] // BUCKET_NS == bucket:
        at -= 1
        square_before, tail_before = state.ring_whole[place, SQUARE], state.ring_whole[place, TAIL]
        state.ring_whole[place, BOOKS] += 1
    else:
        state.ring_next += 1
        place = at & LAST
        state.ring_whole[place, BOOKS] = 1
    state.ring_whole[place, NS] = now_ns
    state.ring_whole[place, MID2] = state.mid2
    state.ring_ratio[place, LOG] = math.log(state.mid2)
    state.ring_ratio[place, SPREAD_REL] = state.spread_rel
    state.ring_ratio[place, IMBALANCE] = state.imbalance
    state.ring_ratio[place, IMBALANCE_1] = state.imbalance_1
    state.ring_ratio[place, CKS_5] = state.cks_5
    exact = _square(state, at)
    square = int(exact)
    tail = int((exact - square) * TAIL_ONE)
    state.ring_whole[place, SQUARE] = square
    state.ring_whole[place, TAIL] = tail
    state.square_1 += square - square_before
    state.tail_1 += tail - tail_before
    state.square_10 += square - square_before
    state.tail_10 += tail - tail_before
    state.square_60 += square - square_before
    state.tail_60 += tail - tail_before
    state.books_10 += 1


@inlined
def _drop_10(state: Record) -> None:
    at = state.trade_10 % TRADES
    lots, side = int(state.trade_lots[at]), int(state.trade_side[at])
    state.lots_10 -= lots
    state.signed_10 -= side * lots
    if side != NO_SIDE:
        state.sided_10 -= lots
    state.trade_10 += 1


@inlined
def _drop_60(state: Record) -> None:
    at = state.trade_60 % TRADES
    lots, side = int(state.trade_lots[at]), int(state.trade_side[at])
    state.lots_60 -= lots
    state.signed_60 -= side * lots
    if side != NO_SIDE:
        state.sided_60 -= lots
    state.value_60 -= int(state.trade_tick[at]) * lots
    state.trade_60 += 1


@inlined
def leave_trades(state: Record, now_ns: int) -> None:
    """Trades that are 10 and 60 seconds old leave the sums."""
    while state.trade_10 < state.trade_next and state.trade_ns[state.trade_10 % TRADES] <= now_ns - 10 * SECOND_NS:
        _drop_10(state)
    while state.trade_60 < state.trade_next and state.trade_ns[state.trade_60 % TRADES] <= now_ns - 60 * SECOND_NS:
        _drop_60(state)


@inlined
def enter_trade(state: Record, tick: int, lots: int, side: int) -> None:
    """A trade at the state's moment; when TRADES are younger than 60 s the oldest is lost, and counted."""
    leave_trades(state, state.now_ns)
    if state.trade_next - state.trade_60 == TRADES:
        if state.trade_10 == state.trade_60:
            _drop_10(state)
        _drop_60(state)
        state.lost_trades += 1
    at = state.trade_next % TRADES
    state.trade_ns[at] = state.now_ns
    state.trade_tick[at] = tick
    state.trade_lots[at] = lots
    state.trade_side[at] = side
    state.trade_next += 1
    state.lots_10 += lots
    state.lots_60 += lots
    state.value_60 += tick * lots
    if side != NO_SIDE:
        signed = lots if side == BUY else -lots
        state.sided_10 += lots
        state.sided_60 += lots
        state.signed_10 += signed
        state.signed_60 += signed


@inlined
def enter_candle(state: Record, start_ns: int, high_tick: int, low_tick: int, close_tick: int) -> None:
    """A closed candle, later than the one before; what the candles say is made anew."""
    last = CANDLES - 1
    count = state.candles
    top, bottom = high_tick, low_tick
    if state.candle_ns != NO_TIME and start_ns - state.candle_ns <= CANDLE_GAP_NS:
        before = state.candle_close[(count - 1) & last]
        top = max(high_tick, before)
        bottom = min(low_tick, before)
    state.candle_ns = start_ns
    state.candle_high[count & last] = high_tick
    state.candle_low[count & last] = low_tick
    state.candle_close[count & last] = close_tick
    state.candle_range[count & last] = top - bottom
    count += 1
    state.candles = count
    ranges = 0
    for k in range(1, min(count, ATR_CANDLES) + 1):
        ranges += state.candle_range[(count - k) & last]
    state.range_sum = ranges
    highest, lowest = high_tick, low_tick
    for k in range(1, min(count, RANGE_CANDLES) + 1):
        highest = max(highest, state.candle_high[(count - k) & last])
        lowest = min(lowest, state.candle_low[(count - k) & last])
    state.high_20 = highest
    state.low_20 = lowest
    state.candle_ret = 0.0
    if count >= 2:
        back = min(RETURN_CANDLES, count - 1)
        change = 1e4 * math.log(close_tick / state.candle_close[(count - 1 - back) & last])
        state.candle_ret = min(max(change, -RETURN_MAX), RETURN_MAX)
