"""Recorded market messages → the desk's EVENTs and DEPTHs: trades, 1-second bars, books.

One pass, no look-ahead: a message becomes known at its receive time, a bar at its end, and what is written depends on
the messages before it alone, so blocks of any size give the same bytes.  Called by `feeds.replay` with the vendor's
records as arrays; when an output array or the book is full the pass stops, says why and can be continued.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from marketdata.core.bars import add_trade, close_until, new_bars
from marketdata.core.depth import (
    CHANGED_TOP,
    LEVELS_FULL,
    ORDERS_FULL,
    Book,
    add_order,
    book_row,
    clear_instrument,
    fill_book_event,
    fill_depth,
    modify_order,
    reduce_order,
)
from marketdata.core.records import BOOK, BUY, NO_SIDE, NO_TICK, NO_TIME, SELL, TRADE

SECOND_NS = 1_000_000_000
UNDEFINED_PRICE = np.iinfo(np.int64).max  # the vendor's "no price"
VENUE_LEVELS = 10  # levels of an mbp-10 record

# letters of the vendor's records
ADD, CANCEL, MODIFY, CLEAR, PRINT = 65, 67, 77, 82, 84  # A C M R T; F and N leave the book alone
ASK, BID = 65, 66  # A B; of a trade: who was the aggressor
LAST_OF_EVENT = 0x80

# why a pass stopped
DONE, OUTPUT_FULL, GROW_ORDERS, GROW_LEVELS, OFF_GRID = range(5)

# indexes in Tape.scalars
LAST_NS, NEXT_BAR_NS, FOREIGN, LATE, UNPRICED = range(5)

MBO_FIELDS = [
    # the vendor's market-by-order record; letters as numbers, ids and times as int64.  Read `size` and `flags` as
    # record["size"]: as attributes they are those of numpy, when code is not jitted
    ("length", "u1"),
    ("rtype", "u1"),
    ("publisher_id", "<u2"),
    ("instrument_id", "<u4"),
    ("ts_event", "<i8"),
    ("order_id", "<i8"),
    ("price", "<i8"),
    ("size", "<u4"),
    ("flags", "u1"),
    ("channel_id", "u1"),
    ("action", "u1"),
    ("side", "u1"),
    ("ts_recv", "<i8"),
    ("ts_in_delta", "<i4"),
    ("sequence", "<u4"),
]
TRADE_FIELDS = [
    ("length", "u1"),
    ("rtype", "u1"),
    ("publisher_id", "<u2"),
    ("instrument_id", "<u4"),
    ("ts_event", "<i8"),
    ("price", "<i8"),
    ("size", "<u4"),
    ("action", "u1"),
    ("side", "u1"),
    ("flags", "u1"),
    ("depth", "u1"),
    ("ts_recv", "<i8"),
    ("ts_in_delta", "<i4"),
    ("sequence", "<u4"),
]
MBO = np.dtype((np.record, MBO_FIELDS))
PRINTS = np.dtype((np.record, TRADE_FIELDS))
VENUE_LEVEL = np.dtype(
    [("bid_px", "<i8"), ("ask_px", "<i8"), ("bid_sz", "<u4"), ("ask_sz", "<u4"), ("bid_ct", "<u4"), ("ask_ct", "<u4")]
)
MBP10 = np.dtype((np.record, [*TRADE_FIELDS, ("levels", VENUE_LEVEL, (VENUE_LEVELS,))]))
assert MBO.itemsize == 56 and PRINTS.itemsize == 48 and MBP10.itemsize == 368


class Tape(NamedTuple):
    """Which instruments are taken from the tape, and what a pass carries over to the next block."""

    ids: np.ndarray  # (m,) int64 vendor's instrument ids
    place: np.ndarray  # (m,) int64 instrument of each id
    tick_nanos: np.ndarray  # (n,) int64 per instrument
    bars: np.ndarray  # (n,) BAR_STATE of core.bars
    levels: np.ndarray  # (n, 4, 10) int64: bid ticks, bid sizes, ask ticks, ask sizes of the last mbp-10 event
    dirty: np.ndarray  # (n,) int64: 1 while the event in progress has changed the 20 best levels
    scalars: np.ndarray  # (8,) int64, see LAST_NS ..


def new_tape(ids: dict[int, int], tick_nanos: list[int]) -> Tape:
    """`ids`: the vendor's instrument id → index of the instrument; `tick_nanos` per instrument."""
    n = len(tick_nanos)
    tape = Tape(
        ids=np.array(list(ids), np.int64),
        place=np.array(list(ids.values()), np.int64),
        tick_nanos=np.array(tick_nanos, np.int64),
        bars=new_bars(n),
        levels=np.full((n, 4, VENUE_LEVELS), NO_TICK, np.int64),
        dirty=np.zeros(n, np.int64),
        scalars=np.zeros(8, np.int64),
    )
    tape.scalars[LAST_NS] = NO_TIME
    tape.scalars[NEXT_BAR_NS] = NO_TIME
    return tape


@njit(cache=True, inline="always")
def _instrument(tape: Tape, vendor_id: int) -> int:
    for i in range(tape.ids.size):
        if tape.ids[i] == vendor_id:
            return tape.place[i]
    return -1


@njit(cache=True)
def _next_end(tape: Tape) -> int:
    """Earliest end of a bar in progress; NO_TIME when there is none."""
    first = NO_TIME
    for i in range(tape.bars.size):
        start = tape.bars[i].start_ns
        if start != NO_TIME and (first == NO_TIME or start + SECOND_NS < first):
            first = start + SECOND_NS
    return first


@njit(cache=True)
def _close_bars(tape: Tape, now_ns: int, events: np.ndarray, at: int) -> int:
    """Write the bars that ended by `now_ns`, earliest first; returns the next free index.  Stops when there may be no
    room for what one record can write: the next call goes on."""
    while tape.scalars[NEXT_BAR_NS] != NO_TIME and tape.scalars[NEXT_BAR_NS] <= now_ns:
        if at > events.size - tape.bars.size - 2:
            return at
        end = tape.scalars[NEXT_BAR_NS]
        for i in range(tape.bars.size):
            at = close_until(tape.bars, i, end, SECOND_NS, end, events, at)
        tape.scalars[NEXT_BAR_NS] = _next_end(tape)
    return at


@njit(cache=True)
def last_bars(tape: Tape, events: np.ndarray) -> int:
    """At the end of the tape: close the bars that have a print (MES-DATA-20: the grid ends with the last printed one).

    `events` has room for one bar of each instrument.  Returns how many were written.
    """
    at = 0
    for i in range(tape.bars.size):
        bar = tape.bars[i]
        if bar.start_ns != NO_TIME and bar.open_tick != NO_TICK:
            end = bar.start_ns + SECOND_NS
            at = close_until(tape.bars, i, end, SECOND_NS, end, events, at)
    return at


@njit(cache=True)
def _write_trade(tape: Tape, i: int, ts: int, tick: int, qty: int, side: int, events: np.ndarray, at: int) -> int:
    add_trade(tape.bars, i, ts, tick, qty, SECOND_NS)
    if tape.scalars[NEXT_BAR_NS] == NO_TIME:
        tape.scalars[NEXT_BAR_NS] = _next_end(tape)
    event = events[at]
    event.kind = TRADE
    event.instrument = i
    event.ts_ns = ts
    event.ts_venue_ns = ts
    event.side = BUY if side == BID else SELL if side == ASK else NO_SIDE
    event.price_tick = tick
    event.qty = qty
    return at + 1


@njit(cache=True)
def _write_book(i: int, ts: int, depths: np.ndarray, d: int, events: np.ndarray, at: int, depth_of: np.ndarray) -> None:
    """Stamp `depths[d]`, whose levels are filled in, and its BOOK event."""
    depth = depths[d]
    depth.ts_ns = ts
    depth.ts_venue_ns = ts
    depth.instrument = i
    event = events[at]
    event.kind = BOOK
    event.instrument = i
    event.ts_ns = ts
    event.ts_venue_ns = ts
    fill_book_event(depths, d, events, at)
    depth_of[at] = d


@njit(cache=True, inline="always")
def _known_ns(tape: Tape, ts_recv: int) -> int:
    """Receive time, never earlier than that of the message before."""
    last = tape.scalars[LAST_NS]
    return last if last != NO_TIME and ts_recv < last else ts_recv


@njit(cache=True, inline="always")
def _pass_time(tape: Tape, ts_recv: int) -> None:
    """The message is taken: its time is the last one; a stamp that went back is counted."""
    last = tape.scalars[LAST_NS]
    if last != NO_TIME and ts_recv < last:
        tape.scalars[LATE] += 1
    else:
        tape.scalars[LAST_NS] = ts_recv


@njit(cache=True)
def _apply_order(book: Book, record: np.record, i: int, tick: int) -> int:
    """One order message to the book; returns a code of core.depth."""
    size = int(record["size"])
    row = book_row(i, 1 if record.side == BID else -1)
    if record.action == ADD:
        return add_order(book, record.order_id, row, tick, size)
    if record.action == MODIFY:
        return modify_order(book, record.order_id, row, tick, size)
    if record.action == CANCEL:
        return reduce_order(book, record.order_id, size)
    if record.action == CLEAR:
        clear_instrument(book, i)
        return CHANGED_TOP
    return 0


@njit(cache=True)
def mbo_events(
    tape: Tape,
    book: Book,
    records: np.ndarray,
    start: int,
    events: np.ndarray,
    depths: np.ndarray,
    depth_of: np.ndarray,
) -> tuple[int, int, int, int]:
    """Market-by-order records from `start` on → events.  Returns (next record, events, depths, why it stopped).

    `events` and `depths` are fresh (new_events, new_depths), `depth_of` is filled with −1.  A BOOK follows the last
    record of each venue event that changed the 20 best levels.
    """
    at, d = 0, 0
    room = events.size - tape.bars.size - 2
    for k in range(start, records.size):
        record = records[k]
        i = _instrument(tape, record.instrument_id)
        if i < 0:
            tape.scalars[FOREIGN] += 1
            continue
        ts = _known_ns(tape, record.ts_recv)
        if tape.scalars[NEXT_BAR_NS] != NO_TIME and tape.scalars[NEXT_BAR_NS] <= ts:
            at = _close_bars(tape, ts, events, at)
        if at > room or d == depths.size:
            return k, at, d, OUTPUT_FULL
        tick = NO_TICK
        prices = record.action == ADD or record.action == MODIFY or record.action == PRINT
        if prices:
            if record.price == UNDEFINED_PRICE:
                tape.scalars[UNPRICED] += 1
                prices = False
            else:
                tick = record.price // tape.tick_nanos[i]
                if tick * tape.tick_nanos[i] != record.price:
                    return k, at, d, OFF_GRID
        if prices or record.action == CANCEL or record.action == CLEAR:
            done = 0
            if record.action != PRINT:
                done = _apply_order(book, record, i, tick)
            if done == ORDERS_FULL:
                return k, at, d, GROW_ORDERS
            if done == LEVELS_FULL:
                return k, at, d, GROW_LEVELS
            if done == CHANGED_TOP:
                tape.dirty[i] = 1
        _pass_time(tape, record.ts_recv)
        if prices and record.action == PRINT and record["size"] > 0:
            at = _write_trade(tape, i, ts, tick, int(record["size"]), record.side, events, at)
        if record["flags"] & LAST_OF_EVENT and tape.dirty[i] == 1:
            fill_depth(book, i, depths, d)
            _write_book(i, ts, depths, d, events, at, depth_of)
            tape.dirty[i] = 0
            d += 1
            at += 1
    return records.size, at, d, DONE


@njit(cache=True)
def _take_levels(
    tape: Tape, i: int, bid_px: np.ndarray, ask_px: np.ndarray, bid_sz: np.ndarray, ask_sz: np.ndarray
) -> int:
    """Ten venue levels → tape.levels[i].  Returns 1 when they differ from the last ones, 0 when not, −1 off grid."""
    changed = 0
    levels = tape.levels[i]
    for level in range(VENUE_LEVELS):
        for side in range(2):
            price = bid_px[level] if side == 0 else ask_px[level]
            size = int(bid_sz[level] if side == 0 else ask_sz[level])
            tick = NO_TICK
            if price == UNDEFINED_PRICE or size == 0:
                size = 0
            else:
                tick = price // tape.tick_nanos[i]
                if tick * tape.tick_nanos[i] != price:
                    return -1
            if levels[2 * side, level] != tick or levels[2 * side + 1, level] != size:
                levels[2 * side, level] = tick
                levels[2 * side + 1, level] = size
                changed = 1
    return changed


@njit(cache=True)
def _write_levels(tape: Tape, i: int, depths: np.ndarray, d: int) -> None:
    depth = depths[d]
    for level in range(VENUE_LEVELS):
        depth.bid_tick[level] = tape.levels[i, 0, level]
        depth.bid_qty[level] = tape.levels[i, 1, level]
        depth.ask_tick[level] = tape.levels[i, 2, level]
        depth.ask_qty[level] = tape.levels[i, 3, level]


@njit(cache=True)
def print_events(
    tape: Tape,
    start: int,
    events: np.ndarray,
    depths: np.ndarray,
    depth_of: np.ndarray,
    records: np.ndarray,
    bid_px: np.ndarray,
    ask_px: np.ndarray,
    bid_sz: np.ndarray,
    ask_sz: np.ndarray,
) -> tuple[int, int, int, int]:
    """`trades` or `mbp-10` records → events, as mbo_events.  The level arrays are (n, 10), or (0, 10) for `trades`."""
    at, d = 0, 0
    room = events.size - tape.bars.size - 2
    with_levels = bid_px.shape[0] > 0
    for k in range(start, records.size):
        record = records[k]
        i = _instrument(tape, record.instrument_id)
        if i < 0:
            tape.scalars[FOREIGN] += 1
            continue
        ts = _known_ns(tape, record.ts_recv)
        if tape.scalars[NEXT_BAR_NS] != NO_TIME and tape.scalars[NEXT_BAR_NS] <= ts:
            at = _close_bars(tape, ts, events, at)
        if at > room or d == depths.size:
            return k, at, d, OUTPUT_FULL
        is_print = record.action == PRINT and record["size"] > 0
        tick = NO_TICK
        if is_print and record.price == UNDEFINED_PRICE:
            tape.scalars[UNPRICED] += 1
            is_print = False
        elif is_print:
            tick = record.price // tape.tick_nanos[i]
            if tick * tape.tick_nanos[i] != record.price:
                return k, at, d, OFF_GRID
        if with_levels:
            changed = _take_levels(tape, i, bid_px[k], ask_px[k], bid_sz[k], ask_sz[k])
            if changed < 0:
                return k, at, d, OFF_GRID
            if changed == 1:
                tape.dirty[i] = 1
        _pass_time(tape, record.ts_recv)
        if is_print:
            at = _write_trade(tape, i, ts, tick, int(record["size"]), record.side, events, at)
        if record["flags"] & LAST_OF_EVENT and tape.dirty[i] == 1:
            _write_levels(tape, i, depths, d)
            _write_book(i, ts, depths, d, events, at, depth_of)
            tape.dirty[i] = 0
            d += 1
            at += 1
    return records.size, at, d, DONE
