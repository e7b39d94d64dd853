"""Events with their 20 best levels as Parquet rows, and back: the one form in which the store keeps books.

One row an event.  A BOOK has its levels, best first, as lists of as many as there are; best prices and sums of its
EVENT are those of the levels and are not stored twice.  Called by `feeds.books.tape` and `marketdata.store.sets`.
"""

import numpy as np
import pyarrow as pa

from marketdata.core.records import BOOK, LEVELS, NO_TICK, new_depths, new_events
from marketdata.feeds.tapes import Block

SIDES = ("bid_tick", "bid_qty", "ask_tick", "ask_qty")
PLAIN = (  # fields of EVENT that are stored as they are
    ("ts_ns", pa.int64()),  # when it was known: receipt
    ("ts_venue_ns", pa.int64()),
    ("kind", pa.int16()),
    ("instrument", pa.int16()),
    ("side", pa.int16()),
    ("code", pa.int16()),
    ("flags", pa.int32()),
    ("ref", pa.int64()),
    ("price_tick", pa.int64()),  # null: none
    ("qty", pa.int64()),
)
SCHEMA = pa.schema([*PLAIN, *((name, pa.list_(pa.int64())) for name in SIDES)])


def table_of(block: Block) -> pa.Table:
    """The block as rows of SCHEMA."""
    events = block.events
    arrays = []
    for name, kind in PLAIN:
        values = np.ascontiguousarray(events[name])
        arrays.append(pa.array(values, kind, mask=values == NO_TICK if name == "price_tick" else None))
    is_book = events["kind"] == BOOK
    depths = block.depths[block.depth_of[is_book]]
    for ticks, sizes in (("bid_tick", "bid_qty"), ("ask_tick", "ask_qty")):
        there = depths[ticks] != NO_TICK
        counts = np.zeros(len(events), np.int32)
        counts[is_book] = there.sum(axis=1)
        offsets = pa.array(np.concatenate(([0], np.cumsum(counts))).astype(np.int32))
        for name in (ticks, sizes):
            arrays.append(pa.ListArray.from_arrays(offsets, pa.array(depths[name][there])))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def block_of(rows: pa.RecordBatch) -> Block:
    """The rows as a block.  Raises ValueError for what `table_of` did not write."""
    events = new_events(rows.num_rows)
    for name, _ in PLAIN:
        column = rows.column(name)
        filled = column.fill_null(int(NO_TICK)) if name == "price_tick" else column
        events[name] = filled.to_numpy(zero_copy_only=False)
    is_book = events["kind"] == BOOK
    depths = new_depths(int(is_book.sum()))
    for name in ("ts_ns", "ts_venue_ns", "instrument", "flags"):
        depths[name] = events[name][is_book]
    for name in SIDES:
        column = rows.column(name)
        counts = column.value_lengths().to_numpy(zero_copy_only=False)[is_book]
        if len(counts) and counts.max() > LEVELS:
            raise ValueError(f"more than {LEVELS} levels")
        there = np.arange(LEVELS) < counts[:, None]
        depths[name][there] = column.flatten().to_numpy(zero_copy_only=False)
    _show(events, depths, is_book)
    depth_of = np.where(is_book, np.cumsum(is_book) - 1, -1).astype(np.int32)
    return Block(events, depths, depth_of)


def _show(events: np.ndarray, depths: np.ndarray, is_book: np.ndarray) -> None:
    """Best prices and sums of the BOOKs, as `core.depth.fill_book_event` writes them."""
    for name in ("bid_tick", "ask_tick", "bid_qty", "ask_qty"):
        events[name][is_book] = depths[name][:, 0]
    events["volume"][is_book] = depths["bid_qty"].sum(axis=1)
    events["value"][is_book] = depths["ask_qty"].sum(axis=1)
