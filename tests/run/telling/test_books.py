"""Stage `book` of LATENCY has its producer: what a book costs on its way into ring and engine (MOEX-MON-04)."""

import msgspec
import numpy as np

from risk.core.holds import BIT
from risk.core.records import MES
from tests.run.feeding.kit import SHARES, spec_of
from trading.core.watch.told import STAGES
from trading.run.clock import TAPE, SessionClock, boot_ns
from trading.run.spec import SessionSpec
from trading.run.telling import books
from trading.run.telling.books import BookWatch
from trading.run.telling.stages import BREACHES

MS = 1_000_000


def slow(spec: SessionSpec, speed: float, per_book_ns: int) -> np.ndarray:
    watch, clock = BookWatch(spec), SessionClock(0, boot_ns(), speed)
    for _ in range(BREACHES):
        watch.took(20 * per_book_ns, 20, clock)
    watch.took(90 * MS, 0, clock)  # a batch without a book
    return watch.due(clock)


def test_three_slow_books_put_the_stage_out_moex_mon_04() -> None:
    spec = spec_of(SHARES)
    (event,) = slow(spec, 1.0, 6 * MS)
    assert (int(event["code"]), int(event["ref"]), int(event["value"])) == (BIT["LATENCY"], STAGES.index("book"), 1)
    assert len(slow(spec, 1.0, 5 * MS)) == 0, "at the limit is good"
    assert len(slow(spec, TAPE, 6 * MS)) == 0, "nobody waits for a tape"
    futures = msgspec.structs.replace(spec, limits=spec.limits | {"rules": MES})
    assert len(slow(futures, 1.0, 6 * MS)) == 0


def test_it_is_looked_at_four_times_a_second_and_shows_its_quantiles() -> None:
    watch, clock = BookWatch(spec_of(SHARES)), SessionClock(0, boot_ns(), 1.0)
    assert len(watch.due(clock)) == 0
    for _ in range(BREACHES):
        watch.took(6 * MS, 1, clock)
    assert len(watch.due(clock)) == 0 and books.LOOK_NS == 250 * MS
    assert float(str(watch.shown()["book_us_p50"])) >= 6_000
