"""Bars and decisions come out of a file side by side, whatever rows are left out; within sessions alone."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marketdata.core.instruments import INSTRUMENTS
from marketdata.feeds.options import ReplayOptions
from tests.backtest.market import at
from tests.backtest.parts import S
from trading.run.backtest.plan import Calendar
from trading.run.backtest.signals import LooksAhead, Strategy, StrategyBars, check_prefix, decide, strategy_of
from trading.run.backtest.source import BarSource

FAR_NS = 2**62
ROWS = 4_000  # every other second: the last ten minutes of a session, the break behind it, the first hour of the next
FIRST_NS = at("2026-03-03", "16:50:00")


def test_inside_is_every_bars_own_place_mes_cal_01() -> None:
    calendar = Calendar.between(at("2026-03-03", "10:00"), at("2026-03-06", "10:00"))
    rng = np.random.default_rng(1)
    edges = np.concatenate([calendar.open_ns, calendar.close_ns])
    near = (edges[:, None] + np.array([-S, -1, 0, 1, S])).ravel()
    starts = np.sort(np.concatenate([near, rng.integers(edges.min() - 10**15, edges.max() + 10**15, 500)]))
    spans = list(zip(calendar.open_ns.tolist(), calendar.close_ns.tolist(), strict=True))
    naive = [any(opens <= start < closes for opens, closes in spans) for start in starts.tolist()]
    assert calendar.inside(starts).tolist() == naive
    assert 0 < sum(naive) < len(naive)
    assert calendar.inside(starts[:0]).size == 0


@pytest.mark.parametrize("bad", [(), (3, 1_700, ROWS - 1)])
@pytest.mark.parametrize("to_ns", [FAR_NS, FIRST_NS + 300 * S])
def test_decisions_stay_with_their_bars_mes_bt_03(tmp_path: Path, bad: tuple[int, ...], to_ns: int) -> None:
    start = FIRST_NS + np.arange(ROWS) * 2 * S
    price = 24_000 + np.arange(ROWS) % 7
    low = price.copy()
    low[list(bad)] = 0  # no bar
    side = (np.arange(ROWS) % 3 - 1).astype(np.int8)
    nanos = price * 250_000_000
    table = pa.table(
        {
            "timestamp": start,
            "open": nanos,
            "high": nanos,
            "low": low * 250_000_000,
            "close": nanos,
            "volume": np.full(ROWS, 5, np.uint64),
            "symbol": ["MESH6"] * ROWS,
            "signal": side,
            "confidence": (np.arange(ROWS) % 100) / 100,
        }
    )
    path = tmp_path / "bars.parquet"
    pq.write_table(table, path, row_group_size=700)
    calendar = Calendar.between(int(start[0]), int(start[-1]))
    strategy = strategy_of("column")
    source = BarSource(path, INSTRUMENTS["MES"], ReplayOptions(), strategy, from_ns=-FAR_NS, to_ns=to_ns)
    parts = [columns for _, columns in source.chunks(calendar, lambda done, total: None)]
    keep = calendar.inside(start) & (start < to_ns)
    keep[list(bad)] = False
    found = np.concatenate([part.start_ns for part in parts])
    assert found.tolist() == start[keep].tolist()
    assert np.concatenate([part.side for part in parts]).tolist() == side[keep].tolist()
    sure = np.concatenate([part.confidence_ppm for part in parts]).tolist()
    assert sure == ((np.arange(ROWS) % 100) * 10_000)[keep].tolist()


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("first", [0, 6_000, 59_990])
def test_looking_ahead_is_found_however_late_the_decisions_begin(first: int, quick: bool) -> None:
    """A function that needs long to warm up has none among the first thousands of bars, where it is asked first."""
    rng = np.random.default_rng(1)
    close = 24_000 + np.cumsum(rng.choice([-1, 1], 60_000))
    bars = StrategyBars(np.arange(60_000) * S, close, close, close, close, close, close * 0, 250_000_000)

    def behind(seen: StrategyBars) -> np.ndarray:
        side = np.sign(np.diff(seen.close, prepend=seen.close[:1]))
        side[:first] = 0
        return side

    def ahead(seen: StrategyBars) -> np.ndarray:
        side = np.sign(np.diff(seen.close, append=seen.close[-1:]))
        side[:first] = 0
        return side

    for function in (behind, ahead):
        strategy = Strategy("own", function=function)
        whole = decide(strategy, bars)
        assert whole.side.any()
        if function is behind:
            check_prefix(strategy, bars, whole, quick=quick)
        else:
            with pytest.raises(LooksAhead, match="own looks ahead: its decision on bar"):
                check_prefix(strategy, bars, whole, quick=quick)
