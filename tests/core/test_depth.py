"""The order book against a plain one, and against the vendor's recorded levels."""

import hashlib
import os
import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.core import tape as core
from marketdata.core.depth import (
    CHANGED_DEEP,
    CHANGED_TOP,
    LEVELS_FULL,
    ORDERS_FULL,
    REPEATED_ORDERS,
    UNCHANGED,
    UNKNOWN_ORDERS,
    add_order,
    clear_instrument,
    fill_book_event,
    fill_depth,
    grow_levels,
    grow_orders,
    modify_order,
    new_book,
    reduce_order,
)
from marketdata.core.records import BOOK, FLAG_INVALID, LEVELS, NO_TICK, TRADE, new_depths, new_events
from tests.bootstrap import ROOT

BID, ASK = 0, 1  # rows of instrument 0

step = st.tuples(
    st.sampled_from("AAAAMCCR"),
    st.integers(1, 24),  # order id
    st.integers(0, 3),  # row: two instruments
    st.integers(-30, 30),  # tick
    st.integers(1, 9),  # size
)


class PlainBook:
    """The rules of the format, in dictionaries."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[int, int, int]] = {}

    def apply(self, action: str, number: int, row: int, tick: int, size: int) -> None:
        if action in "AM":
            self.orders[number] = (row, tick, size)
        elif action == "C" and number in self.orders:
            held = self.orders[number]
            left = held[2] - size
            if left > 0:
                self.orders[number] = (held[0], held[1], left)
            else:
                del self.orders[number]
        elif action == "R":
            self.orders = {k: v for k, v in self.orders.items() if v[0] // 2 != row // 2}

    def levels(self, row: int) -> list[tuple[int, int]]:
        sums: dict[int, int] = defaultdict(int)
        for where, tick, size in self.orders.values():
            if where == row:
                sums[tick] += size
        return sorted(sums.items(), reverse=row % 2 == 0)[:LEVELS]


@settings(max_examples=60, deadline=None)
@given(st.lists(step, max_size=120))
def test_the_book_equals_a_plain_one(steps):
    book, plain = new_book(2, orders=4, levels=2), PlainBook()
    for action, number, row, tick, size in steps:
        before = [plain.levels(r) for r in range(4)]
        plain.apply(action, number, row, tick, size)
        done = ORDERS_FULL
        while done in (ORDERS_FULL, LEVELS_FULL):
            if action == "A":
                done = add_order(book, number, row, tick, size)
            elif action == "M":
                done = modify_order(book, number, row, tick, size)
            elif action == "C":
                done = reduce_order(book, number, size)
            else:
                clear_instrument(book, row // 2)
                done = CHANGED_TOP
            if done == ORDERS_FULL:
                book = grow_orders(book)
            elif done == LEVELS_FULL:
                book = grow_levels(book)
        for instrument in (0, 1):
            depths = new_depths(1)
            fill_depth(book, instrument, depths, 0)
            for side, names in enumerate((("bid_tick", "bid_qty"), ("ask_tick", "ask_qty"))):
                want = plain.levels(2 * instrument + side)
                got = list(zip(depths[names[0]][0].tolist(), depths[names[1]][0].tolist(), strict=True))
                assert got == want + [(NO_TICK, 0)] * (LEVELS - len(want))
        if [plain.levels(r) for r in range(4)] != before:
            assert done == CHANGED_TOP  # what changes a shown level says so


def test_a_change_below_the_twenty_levels_is_deep():
    book = new_book(1)
    for k in range(LEVELS):
        assert add_order(book, k + 1, BID, 100 - k, 1) == CHANGED_TOP
    assert add_order(book, 99, BID, 10, 1) == CHANGED_DEEP
    assert reduce_order(book, 99, 1) == CHANGED_DEEP
    assert reduce_order(book, 1, 1) == CHANGED_TOP


def test_unknown_and_repeated_orders_are_counted():
    book = new_book(1)
    assert reduce_order(book, 5, 1) == UNCHANGED
    modify_order(book, 6, ASK, 10, 2)
    add_order(book, 6, ASK, 11, 3)
    assert book.counts[UNKNOWN_ORDERS] == 2
    assert book.counts[REPEATED_ORDERS] == 1
    assert book.levels[ASK, 0, 0] == 11 and book.level_count[ASK] == 1


@pytest.mark.parametrize(
    ("bid", "ask", "invalid"), [(10, 11, False), (10, 10, True), (12, 11, True), (10, None, True), (None, None, True)]
)
def test_a_crossed_locked_or_one_sided_book_is_invalid(bid, ask, invalid):
    book, depths, events = new_book(1), new_depths(1), new_events(1)
    if bid is not None:
        add_order(book, 1, BID, bid, 4)
        add_order(book, 3, BID, bid - 1, 5)
    if ask is not None:
        add_order(book, 2, ASK, ask, 6)
    fill_depth(book, 0, depths, 0)
    fill_book_event(depths, 0, events, 0)
    assert bool(events["flags"][0] & FLAG_INVALID) is invalid
    assert bool(depths["flags"][0] & FLAG_INVALID) is invalid
    assert events["volume"][0] == (9 if bid is not None else 0)  # all bids
    assert events["value"][0] == (6 if ask is not None else 0)


def a_tape(seed: int = 5, count: int = 4000) -> np.ndarray:
    """Random order messages in the vendor's layout; the seed is printed when a test fails."""
    rng = np.random.default_rng(seed)
    records = np.zeros(count, core.MBO)
    records["instrument_id"] = np.where(rng.random(count) < 0.05, 2, 1)
    records["ts_recv"] = np.cumsum(rng.integers(1, 40_000_000, count))
    records["order_id"] = rng.integers(1, 600, count)
    records["action"] = rng.choice([core.ADD, core.ADD, core.MODIFY, core.CANCEL, core.CANCEL, core.PRINT], count)
    records["side"] = rng.choice([core.ASK, core.BID], count)
    records["price"] = (4000 + rng.integers(-60, 60, count)) * 250_000_000
    records["size"] = rng.integers(1, 20, count)
    records["flags"] = np.where(rng.random(count) < 0.7, core.LAST_OF_EVENT, 0)
    return records


def run_tape(records: np.ndarray, room: int) -> bytes:
    """All events and depths of a tape, made in passes with output arrays of `room`."""
    tape, book = core.new_tape({1: 0}, [250_000_000]), new_book(1, orders=8, levels=4)
    events_out, depths_out, k = b"", b"", 0
    while k < records.size:
        events, depths, depth_of = new_events(room), new_depths(room), np.full(room, -1, np.int32)
        k, count, depth_count, why = core.mbo_events(tape, book, records, k, events, depths, depth_of)
        events_out += events[:count].tobytes()
        depths_out += depths[:depth_count].tobytes()
        if why == core.GROW_ORDERS:
            book = grow_orders(book)
        elif why == core.GROW_LEVELS:
            book = grow_levels(book)
        else:
            assert why in (core.DONE, core.OUTPUT_FULL)
    return events_out + depths_out


def test_blocks_of_any_size_give_the_same_bytes():
    records = a_tape()
    whole = run_tape(records, 8192)
    for room in (4, 7, 100, 1023):
        assert run_tape(records, room) == whole


def test_the_plain_interpreter_gives_the_same_bytes():
    """Parity: jitted = NUMBA_DISABLE_JIT=1."""
    program = (
        "import hashlib; from tests.core.test_depth import a_tape, run_tape;"
        "print(hashlib.sha256(run_tape(a_tape(count=600), 64)).hexdigest())"
    )
    plain = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", program],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    assert plain.stdout.strip() == hashlib.sha256(run_tape(a_tape(count=600), 64)).hexdigest()


def test_time_never_goes_back_and_foreign_records_are_counted():
    records = a_tape(count=300)
    records["ts_recv"][100] = 1  # a stamp that goes back is held at the time before it
    tape, book = core.new_tape({1: 0}, [250_000_000]), new_book(1)
    events, depths, depth_of = new_events(1000), new_depths(1000), np.full(1000, -1, np.int32)
    _, count, _, why = core.mbo_events(tape, book, records, 0, events, depths, depth_of)
    assert why == core.DONE
    assert (np.diff(events["ts_venue_ns"][:count]) >= 0).all()
    assert tape.scalars[core.FOREIGN] == (records["instrument_id"] == 2).sum()
    assert tape.scalars[core.LATE] == (1 if records["instrument_id"][100] == 1 else 0)


def recorded(sample_data, name: str) -> np.ndarray:
    from marketdata.feeds.dbn import DbnReader

    return DbnReader(sample_data / "cme_es_mbo" / name, "mbo").read(100_000)


def test_the_recorded_book_equals_the_derived_levels_in_all_rows(sample_data):
    """All 20 478 rows of the derived 10 levels, each after a record that ends an event and changed them."""
    import pyarrow.parquet as pq

    records = recorded(sample_data, "esh4_20231225_to2330.mbo.dbn.zst")
    assert records.size == 44_371
    tape, book = core.new_tape({17077: 0}, [250_000_000]), new_book(1)
    k, parts = 0, []
    while k < records.size:
        events, depths, depth_of = new_events(8192), new_depths(8192), np.full(8192, -1, np.int32)
        k, count, depth_count, why = core.mbo_events(tape, book, records, k, events, depths, depth_of)
        assert (events["kind"][:count] == BOOK).sum() == depth_count
        parts.append(depths[:depth_count])
        if why == core.GROW_ORDERS:
            book = grow_orders(book)
    depths = np.concatenate(parts)
    assert book.counts[UNKNOWN_ORDERS] == 0 and book.counts[REPEATED_ORDERS] == 0
    top = np.concatenate([depths[name][:, :10] for name in ("bid_tick", "bid_qty", "ask_tick", "ask_qty")], axis=1)
    changed = np.ones(top.shape[0], bool)
    changed[1:] = (top[1:] != top[:-1]).any(axis=1)
    table = pq.read_table(sample_data / "cme_es_mbo" / "esh4_20231225_to2330.mbp10.parquet")
    want = np.empty((table.num_rows, 40), np.int64)
    for side, (price, size) in enumerate((("bid_px", "bid_sz"), ("ask_px", "ask_sz"))):
        for level in range(10):
            points = np.nan_to_num(table[f"{price}{level + 1}"].to_numpy(), nan=0.0)
            sizes = np.nan_to_num(table[f"{size}{level + 1}"].to_numpy(), nan=0)
            want[:, 20 * side + level] = np.where(sizes > 0, np.rint(points * 4), NO_TICK)
            want[:, 20 * side + 10 + level] = sizes
    assert table.num_rows == changed.sum() == 20_478
    assert (top[changed] == want).all()
    assert (depths["ts_venue_ns"][changed] == table["ts_recv"].to_numpy()).all()
    crossed = depths["flags"] & FLAG_INVALID != 0
    assert crossed.any() and not crossed[depths["ts_venue_ns"] > 1_703_545_205 * 10**9].any()


def test_ten_venue_levels_become_a_depth():
    """mbp-10: a print, then the levels of the last record of the event; unchanged levels give no second book."""
    records = np.zeros(3, core.PRINTS)
    records["instrument_id"] = 1
    records["ts_recv"] = [10, 20, 30]
    records["action"] = [core.PRINT, core.CANCEL, core.CANCEL]
    records["side"] = [core.BID, core.ASK, core.ASK]
    records["price"], records["size"] = 5000 * 10**9, 2
    records["flags"] = [0, core.LAST_OF_EVENT, core.LAST_OF_EVENT]
    bid = np.full((3, 10), core.UNDEFINED_PRICE)
    ask = bid.copy()
    bid[:, 0], ask[:, 0], ask[:, 1] = 5000 * 10**9, 5000_250_000_000, 5000_500_000_000
    bid_size, ask_size = np.zeros((3, 10), np.uint32), np.zeros((3, 10), np.uint32)
    bid_size[:, 0], ask_size[:, 0], ask_size[:, 1] = 4, 5, 6
    tape = core.new_tape({1: 0}, [250_000_000])
    events, depths, depth_of = new_events(20), new_depths(20), np.full(20, -1, np.int32)
    out = core.print_events(tape, 0, events, depths, depth_of, records, bid, ask, bid_size, ask_size)
    assert out == (3, 2, 1, core.DONE)
    assert events["kind"][:2].tolist() == [TRADE, BOOK]
    assert depth_of[:2].tolist() == [-1, 0]
    assert (events["bid_tick"][1], events["ask_tick"][1], events["value"][1]) == (20000, 20001, 11)
    assert depths["ask_tick"][0][:3].tolist() == [20001, 20002, NO_TICK]
    assert depths["ts_venue_ns"][0] == 20
