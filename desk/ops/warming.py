"""Compiles every kernel once, into the cache that all processes share: no process ever compiles on its first tick.

Each row of WARMERS runs one compiled part on a few made-up records.  A stamp in the cache's folder, which is named
after the hash of the code, says that it was done.  Called by `manage.py warm`, which `manage.py run` calls when needed.
"""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from desk.ops.child import die_with_parent

if TYPE_CHECKING:
    from marketdata.feeds.port import Batch

STAMP = "warm.json"


def stamp_path() -> Path:
    return Path(os.environ["NUMBA_CACHE_DIR"]) / STAMP


def is_warm() -> bool:
    """Whether everything was compiled for this version of the code; also true when nothing is compiled at all."""
    return os.environ.get("NUMBA_DISABLE_JIT") == "1" or stamp_path().exists()


def market() -> "Batch":
    """A second of a simulated market, for the warmers below; compiles the simulator itself."""
    from marketdata.feeds.registry import open_feed
    from trading.run.spec import FeedSpec

    feed = open_feed(FeedSpec(name="simulated", symbols=["MES"], seed=1, options={"backfill_s": "60"}))
    feed.backfill()
    batch = feed.read(feed.start_ns + 1_000_000_000, 50)
    feed.close()
    return batch


def frozen(array: np.ndarray) -> np.ndarray:
    """The same values as they come out of a stream: numba compiles read-only arrays apart from writable ones."""
    return np.frombuffer(array.tobytes(), array.dtype)


def warm_kernel() -> None:
    from marketdata.core.records import new_events
    from risk.margins import Form, measure
    from trading.core.records import TIMER
    from trading.run.journal.follow import follow
    from trading.run.replica import Kernel

    events = new_events(1)
    events["kind"] = TIMER
    kernel = Kernel()
    kernel.apply(events)
    follow(kernel, events)
    measure(Form(kernel.params.asking, kernel.params.limits))


def warm_features() -> None:
    from marketdata.core.features_schema import FEATURE_COUNT
    from marketdata.core.features_stream import new_states
    from marketdata.core.records import NO_TIME
    from trading.learning.scoring import THROTTLE_NS, open_scorer, scan

    batch = market()
    vector = np.zeros(FEATURE_COUNT)
    for form in (np.array, frozen):
        records = (form(batch.events), form(batch.depths), form(batch.depth_of))
        scan(new_states(1), np.full(1, NO_TIME, np.int64), *records, 0, THROTTLE_NS, vector)
    scorer = open_scorer("baseline", "", {})
    assert scorer is not None, "the baseline needs no artifact"
    scorer.score(vector)


def warm_bar_features() -> None:
    from trading.learning.feeding import rehearse
    from trading.learning.schemas import bars_schema

    rehearse(bars_schema("MES"))


def warm_venue() -> None:
    from trading.core.venue.warm import warm

    assert int(warm().account[0].ref) > 0, "the venue answers"


def warm_backtest() -> None:
    from desk.ops.bench.backtest import made_bars, once, plans

    result = once(plans()["full"], made_bars(1000)).result
    assert int(result.run.bars) == 1000, "every bar was driven"


def warm_books() -> None:
    import trading
    from marketdata.core.instruments import INSTRUMENTS
    from trading.config.schema import load_file
    from trading.run.tapes.engine import TapeRun, tape_calendar, tape_plan
    from trading.run.tapes.latency import constant

    batch, mes = market(), INSTRUMENTS["MES"]
    first_ns = int(batch.events["ts_ns"][0])
    plan = tape_plan(load_file(Path(trading.__file__).parent / "profiles" / "demo-mes.yaml"), mes)
    run = TapeRun(plan, tape_calendar(mes, first_ns), constant("1 ms"), first_ns)
    events, depth_of = run.inside(batch.events, batch.depth_of)
    run.feed(events, batch.depths, depth_of)
    result = run.end()
    assert int(result.run.bars) > 0, "an event was driven"


def warm_engine() -> None:
    from marketdata.engine.live import rehearse
    from trading.learning import bookfeeding

    rehearse()
    bookfeeding.rehearse()


WARMERS: tuple[tuple[str, Callable[[], None]], ...] = (
    ("kernel", warm_kernel),
    ("simulated market and features", warm_features),
    ("bar features", warm_bar_features),
    ("live data engine and book features", warm_engine),
    ("venue", warm_venue),
    ("backtest", warm_backtest),
    ("backtest over books", warm_books),
)


def seconds_of(warmer: Callable[[], None]) -> float:
    began = time.monotonic()
    warmer()
    return round(time.monotonic() - began, 2)


def in_worker() -> None:
    """A compiling process ends with its parent and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)


def warm(say: Callable[[str], None]) -> dict[str, float]:
    """Run all warmers side by side; seconds of each, also written to the stamp."""
    seconds = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context, initializer=in_worker) as pool:
        names = {pool.submit(seconds_of, warmer): name for name, warmer in WARMERS}
        for done in as_completed(names):
            name = names[done]
            seconds[name] = done.result()
            say(f"compiled {name} in {seconds[name]:.1f} s")
    path = stamp_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(seconds))
    return seconds
