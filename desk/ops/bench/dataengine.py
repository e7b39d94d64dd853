"""The live data engine by itself: a book on its way through it, an eviction pass, a second of thirty instruments.

The tape is the simulated market of as many shares as the desk knows; every event goes through the feed loop's own
driver, one at a time, which is the dearest way.  Wall time, in this process alone.  Called by `manage.py bench`; run as
a module it prints its table.
"""

import time

import numpy as np

from desk.ops.bench.table import Row, quantiles
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import BOOK
from marketdata.core.universe import buffers
from marketdata.core.universe.records import SECOND_NS, new_members
from marketdata.engine.driving import Driver
from marketdata.engine.live import Listed, LiveData, rehearse
from marketdata.engine.memory import MemoryGuard
from marketdata.feeds.port import Batch
from marketdata.feeds.registry import open_feed
from trading.run.spec import FeedSpec

SHARES = [symbol for symbol, item in INSTRUMENTS.items() if item.venue == "moex" and not item.hedge]
WARM_S, SECONDS = 5, 20
CACHED, PASSES = 50, 2000
BOOK_GOAL_US, EVICTION_GOAL_US = 10.0, 1000.0


def driver() -> Driver:
    """An engine of all shares, everybody confirmed."""
    listed = [Listed(name, INSTRUMENTS[name].tick_nanos, INSTRUMENTS[name].tick_value_micros) for name in SHARES]
    live = LiveData(listed, min(15, len(listed)), guard=MemoryGuard(sampler=lambda: 1))
    live.seed([], [], range(len(listed)))
    for which in range(len(listed)):
        live.set_confirmed(which, True)
    return Driver(live)


def books() -> tuple[np.ndarray, np.ndarray]:
    """(n,) ns of each book, (m,) ns of each second."""
    feed = open_feed(FeedSpec("simulated", SHARES, seed=1, options={"backfill_s": "0"}))
    tape = feed.read(feed.start_ns + (WARM_S + SECONDS) * SECOND_NS, 10**7)
    engine, spent = driver(), []
    first_ns = feed.start_ns + WARM_S * SECOND_NS
    seconds: list[int] = []
    for at in range(len(tape.events)):
        part = slice(at, at + 1)
        batch = Batch(tape.events[part], tape.depths, tape.depth_of[part], at + 1, False)
        now_ns = int(batch.events["ts_ns"][0])
        began = time.perf_counter_ns()
        engine.until(now_ns)
        lived = time.perf_counter_ns()
        engine.feed(batch)
        ended = time.perf_counter_ns()
        if now_ns < first_ns:
            continue
        if batch.events["kind"][0] == BOOK:
            spent.append(ended - lived)
        if lived - began > 5_000:
            seconds.append(lived - began)
    feed.close()
    return np.array(spent), np.array(seconds)


def evictions() -> np.ndarray:
    """(PASSES,) ns of a pass over 50 instruments with 30 books each, of which a quarter is expired or too many."""
    held, members = buffers.new_buffers(CACHED), new_members([1000] * CACHED)
    rng, spent = np.random.default_rng(1), np.empty(PASSES, np.int64)
    held.taken[:], held.kept[:] = buffers.HISTORY, buffers.HISTORY
    for at in range(PASSES):
        held.current[:] = 1
        held.used[:] = rng.permutation(CACHED)
        held.history["ts_ns"] = SECOND_NS * np.where(rng.random((CACHED, 1)) < 0.25, 0, 50)
        began = time.perf_counter_ns()
        buffers.evict(held, members, 61 * SECOND_NS, buffers.TTL_NS, 30)
        spent[at] = time.perf_counter_ns() - began
    return spent


def measure() -> list[Row]:
    """Rows: us a book through the engine, us a second, us an eviction pass."""
    rehearse()
    evictions()
    per_book, per_second = books()
    return [
        *quantiles("live data engine, one book of 20 levels", per_book / 1000, "us", None, BOOK_GOAL_US),
        *quantiles(f"live data engine, a second of {len(SHARES)} shares", per_second / 1000, "us", None, None),
        *quantiles(
            "live data engine, eviction pass over 50 x 30 books", evictions() / 1000, "us", None, EVICTION_GOAL_US
        ),
    ]


if __name__ == "__main__":
    import sys

    from desk.ops.bench.table import as_text

    sys.stdout.write(as_text(measure(), {}) + "\n")
