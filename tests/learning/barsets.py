"""One-second bars for the tests of bar features: as a Parquet file of two contracts, and as the events of a feed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.core.barfeatures.records import Bars
from marketdata.core.records import BAR, EVENT, FEED, FEED_DOWN, FEED_GAP, FLAG_CARRIED
from marketdata.core.units import NANOS
from marketdata.feeds import tabular
from marketdata.feeds.options import parse_options
from marketdata.feeds.tapes import bar_events, with_carried
from trading.learning.bars.file import write_bar_file
from trading.learning.bars.rows import BarRows, Made
from trading.learning.dataset import Tape
from trading.learning.leakage.shipped import made_bars
from trading.learning.training import FEATURES, TrainRequest

TICK_NANOS = 250_000_000
CONTRACTS = ("MESH4", "MESM4")


def ten_days() -> Bars:
    """Ten mornings from 09:14:50 to 09:32:30 New York with gaps; the contract rolls before the eighth."""
    bars = made_bars(3, before_s=910, after_s=150)
    days = np.unique(bars.second // 86_400)
    return bars._replace(contract=(bars.second // 86_400 >= days[7]).astype(np.int64))


def write_parquet(path: Path, bars: Bars, *, step: int = 1) -> Path:
    """The bars as an MES-DATA-01 file in small row groups; `step`: seconds of a bar."""
    prices = dict(zip(("open", "high", "low", "close"), bars[1:5], strict=True))
    table = pa.table(
        {
            "timestamp": bars.second // step * step * NANOS,
            **{name: ticks * TICK_NANOS for name, ticks in prices.items()},
            "volume": bars.volume.astype(np.uint64),
            "symbol": pa.array([CONTRACTS[k] for k in bars.contract]).dictionary_encode(),
        }
    )
    pq.write_table(table, path, row_group_size=777)
    return path


def as_events(bars: Bars) -> np.ndarray:
    """BAR events as a feed of recorded bars makes them, carried seconds among them."""
    ticks = np.stack(bars[1:5], axis=1)
    checked = tabular.Bars(bars.second * NANOS, ticks, bars.volume)
    events, _ = with_carried(bar_events(checked, 0, NANOS), np.zeros(0, EVENT))
    return events


def printed(events: np.ndarray) -> Bars:
    """The printed bars of instrument 0 in a session's events; the first after an outage of the feed is marked."""
    outage, rows = 0, []
    for event in events[(events["kind"] == BAR) | (events["kind"] == FEED)]:
        if event["kind"] == FEED:
            outage |= int(event["code"] in (FEED_GAP, FEED_DOWN))
        elif not event["flags"] & FLAG_CARRIED:
            names = ("open_tick", "high_tick", "low_tick", "close_tick", "volume")
            rows.append((int(event["ts_venue_ns"]) // NANOS - 1, *(int(event[name]) for name in names), 0, outage))
            outage = 0
    return Bars(*np.ascontiguousarray(np.array(rows, np.int64).T))


def write(source: Path, out: Path, **more: object) -> Made:
    """The file of features of a file of bars."""
    rows = BarRows(source, "MES", parse_options({}), **more)  # type: ignore[arg-type]
    try:
        return write_bar_file(rows, out)
    finally:
        rows.close()


def bar_request(features: Path, out: Path, **changes: object) -> TrainRequest:
    """A request that trains on such a file in a second or two."""
    values: dict[str, object] = {
        "tape": Tape(name=FEATURES, symbols=["MES"], path=str(features)),
        "symbol": "MES",
        "seconds": 0,
        "out": str(out),
        "seed": 7,
        "hidden": (32, 16),
        "epochs": 2,
    }
    return TrainRequest(**(values | changes))  # type: ignore[arg-type]
