"""The 88 features of depth-20 books: a book in the batch, and a book from Python; and the books themselves.

The books are made here from a written seed, five a second, with trades between them; windows, refusals and every check
of the step are included.  Books from orders and from level changes are timed as messages into 20 levels.
"""

import time
from collections.abc import Callable

import numpy as np

from desk.ops.bench.table import Row, quantiles
from marketdata.core.bookfeatures import stream
from marketdata.core.bookfeatures.engine import BookFeatures
from marketdata.core.bookfeatures.records import VALID, Tape, new_book_states, new_rows, no_intervals, no_markets
from marketdata.core.bookfeatures.schema import FEATURE_COUNT, FEATURE_NAMES
from marketdata.core.books import deltas
from marketdata.core.records import BOOK, LEVELS, TRADE, new_depths, new_events

SEED = 7
BOOKS = 40_000
TRADES_A_BOOK = 2
BOOK_NS = 200_000_000
CALLS = 20_000
COLD = 2_000
ROUNDS = 7
ROOM = 2_048
TICK_NANOS = 10_000_000
START_NS = 1_700_000_000 * 10**9
UPDATES = 40_000
CHANGES = 8


def made_tape() -> Tape:
    """A random walk of two-sided books with holes between their levels, two trades before each."""
    rng = np.random.default_rng(SEED)
    n = BOOKS
    depths = new_depths(n)
    best = 25_000 + np.cumsum(rng.integers(-1, 2, n))
    steps = np.cumsum(rng.integers(1, 3, (n, LEVELS)), axis=1) - 1
    depths["bid_tick"] = best[:, None] - steps
    depths["ask_tick"] = best[:, None] + 1 + rng.integers(0, 2, n)[:, None] + steps
    depths["bid_qty"], depths["ask_qty"] = rng.integers(1, 500, (2, n, LEVELS))
    block = 1 + TRADES_A_BOOK
    events = new_events(block * n)
    events["kind"] = TRADE
    events["kind"][block - 1 :: block] = BOOK
    events["ts_ns"] = START_NS + BOOK_NS * (np.arange(block * n) // block)
    events["ts_venue_ns"] = events["ts_ns"]
    events["price_tick"] = np.repeat(best, block)
    events["qty"] = rng.integers(1, 50, block * n)
    events["side"] = rng.choice([-1, 0, 1], block * n)
    depth_of = np.full(block * n, -1, np.int32)
    depth_of[block - 1 :: block] = np.arange(n)
    return Tape(events, depths, depth_of, no_markets(), np.full(block * n, -1, np.int32))


def run_batch(tape: Tape) -> int:
    """The whole tape in blocks of ROOM rows; the number of books."""
    states, rows, intervals = new_book_states([TICK_NANOS]), new_rows(ROOM), no_intervals()
    at, total = 0, 0
    while at < len(tape.events):
        at, count = stream.batch(states, tape, intervals, at, rows)
        assert (rows.verdict[:count] == VALID).all()
        total += count
    return total


def call_samples(tape: Tape) -> np.ndarray:
    """Nanoseconds of one book through the engine from Python, for CALLS books after COLD ones, trades between them."""
    engine = BookFeatures(TICK_NANOS, FEATURE_NAMES)
    spent = []
    block = 1 + TRADES_A_BOOK
    count = block * (CALLS + COLD)
    columns = (tape.events[name][:count].tolist() for name in ("kind", "ts_ns", "price_tick", "qty", "side"))
    for kind, ts_ns, tick, qty, side, index in zip(*columns, tape.depth_of[:count].tolist(), strict=True):
        if kind == TRADE:
            engine.trade(ts_ns, tick, qty, side)
            continue
        began = time.perf_counter_ns()
        engine.book(tape.depths, index, ts_ns, ts_ns)
        spent.append(time.perf_counter_ns() - began)
    return np.array(spent[COLD:])


def made_updates() -> tuple[np.ndarray, np.ndarray]:
    """Level changes near the touch of a book of some hundred levels: (messages, changes)."""
    rng = np.random.default_rng(SEED)
    rows = rng.integers(0, 2, UPDATES * CHANGES)
    away = rng.geometric(0.08, UPDATES * CHANGES)
    ticks = np.where(rows == 0, 25_000 - away, 25_000 + away)
    changes = np.stack([rows, ticks, rng.integers(0, 90, UPDATES * CHANGES)], axis=1).astype(np.int64)
    messages = np.zeros(UPDATES, deltas.MESSAGE)
    messages["kind"] = deltas.UPDATE
    messages["kind"][0] = deltas.SNAPSHOT
    messages["after_id"], messages["last_id"] = np.arange(UPDATES), np.arange(UPDATES) + 1
    messages["first"], messages["count"] = CHANGES * np.arange(UPDATES), CHANGES
    messages["ts_ns"] = START_NS + 10**7 * np.arange(UPDATES)
    return messages, changes


def run_updates(messages: np.ndarray, changes: np.ndarray) -> int:
    """All updates into books and DEPTHs; the number of messages."""
    l2, at = deltas.new_l2(1), 0
    while at < len(messages):
        events, depths, depth_of = new_events(ROOM), new_depths(ROOM), np.full(ROOM, -1, np.int32)
        at, _, _, why = deltas.l2_events(l2, messages, changes, at, events, depths, depth_of)
        assert why in (deltas.DONE, deltas.OUTPUT_FULL)
    assert l2.state["gaps"][0] == l2.state["refused"][0] == 0
    return len(messages)


def cpu_ns(run: Callable[[], int]) -> tuple[float, int]:
    """CPU nanoseconds of one thing, median of ROUNDS after a first run; and how many things a run has."""
    total = run()
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        run()
        spent.append((time.process_time_ns() - began) / total)
    return float(np.median(spent)), total


def measure() -> list[Row]:
    """Rows: ns per book in the batch, us per book from Python, ns per level update into a DEPTH."""
    tape = made_tape()
    per_book, books = cpu_ns(lambda: run_batch(tape))
    messages, changes = made_updates()
    per_update, updates = cpu_ns(lambda: run_updates(messages, changes))
    note = f"{books} books of 20 levels, {FEATURE_COUNT} features, {TRADES_A_BOOK} trades a book, CPU time"
    return [
        Row("book features in the batch", per_book, "ns/book", note=note),
        *quantiles("book features, one book from Python", call_samples(tape) / 1000, "us", None, 10.0),
        Row(
            "level updates to depth-20 books",
            per_update,
            "ns/update",
            note=f"{updates} updates of {CHANGES} changes, CPU time",
        ),
    ]


if __name__ == "__main__":
    import sys

    from desk.ops.bench.table import as_text

    sys.stdout.write(as_text(measure(), {}) + "\n")
