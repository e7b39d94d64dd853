"""Small studies for the tests of this room: minutes of seconds on a few dozen mornings, a strategy of
their own, the commands.

Prices run one way for half a minute and then another, so that following them pays; a strategy of its own can be made to
wait for a file, or to be stopped as Ctrl-C would.
"""

import json
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from django.core.management import call_command

import trading
from tests.backtest.market import at
from tests.backtest.parts import S

PROFILE = str(Path(trading.__file__).parent / "profiles" / "mes-topstep.yaml")  # a file: no database is asked
TICK = 250_000_000
RUN = 30  # bars that prices go one way
LAST = 10  # bars of a day behind its morning

STRATEGY = '''
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def follow(bars, lookback=5, threshold=3):
    """Go with a move of `threshold` ticks over `lookback` bars.  A file `stop` or `hold` names a lookback to end at."""
    for name in ("stop", "hold"):
        while (HERE / name).exists() and lookback >= int((HERE / name).read_text()):
            if name == "stop":
                raise KeyboardInterrupt
            time.sleep(0.02)
    side = np.zeros(len(bars.close), np.int8)
    move = bars.close[lookback:] - bars.close[:-lookback]
    side[lookback:] = np.where(np.abs(move) >= threshold, np.sign(move), 0)
    return side, np.full(len(side), 0.72)


def peeks(bars, ahead=0):
    side = np.zeros(len(bars.close), np.int8)
    n = len(side)
    side[: n - ahead] = np.sign(bars.close[ahead:] - bars.close[: n - ahead]) if ahead else 0
    return side


def glances(bars, lookback=5, threshold=3):
    """`follow`, but a minute and a half of the first morning knows what comes: too little for a quick look."""
    side, sure = follow(bars, lookback, threshold)
    side[30:120] = np.sign(np.diff(bars.close, append=bars.close[-1:]))[30:120]
    return side, sure


def tires(bars, lookback=5, threshold=3):
    if len(bars.close) > 3_000:
        raise ValueError("too many bars")
    return follow(bars, lookback, threshold)


def ragged(bars, depth=1):
    return [[0], [0] * depth]


def breaks(bars, depth=1):
    raise ValueError(f"no depth {depth}")

'''


def mornings(first: date, count: int) -> list[str]:
    """`count` weekdays from `first` on."""
    found: list[str] = []
    day = first
    while len(found) < count:
        if day.weekday() < 5:
            found.append(day.isoformat())
        day += timedelta(days=1)
    return found


def write_bars(path: Path, days: int, bars: int = 150, seed: int = 1, first: date = date(2025, 9, 8)) -> Path:
    """Seconds from 10:00 New York on each of so many weekdays, and LAST of them when all must be flat: a position that
    finds no print then ends a run."""
    rng = np.random.default_rng(seed)
    starts, closes, opens = [], [], []
    price = 24_000
    for day in mornings(first, days):
        way = np.repeat(rng.choice([-1, 1], -(-bars // RUN)), RUN)[:bars]
        step = way * (rng.random(bars) < 0.8) + rng.integers(-1, 2, bars)
        close = np.append(price + np.cumsum(step), np.zeros(LAST, np.int64))
        close[bars:] = close[bars - 1]
        opens.append(np.concatenate([[price], close[:-1]]))
        clocks = (at(day, "10:00:00") + np.arange(bars) * S, at(day, "16:05:02") + np.arange(LAST) * S)
        starts.append(np.concatenate(clocks))
        closes.append(close)
        price = int(close[-1])
    start, close, opened = (np.concatenate(parts) for parts in (starts, closes, opens))
    n = len(start)
    columns = {
        "timestamp": start,
        "open": opened * TICK,
        "high": (np.maximum(opened, close) + 1) * TICK,
        "low": (np.minimum(opened, close) - 1) * TICK,
        "close": close * TICK,
        "volume": np.full(n, 50, np.uint64),
        "symbol": ["MESZ5"] * n,
    }
    pq.write_table(pa.table(columns), path)
    return path


def write_strategy(folder: Path) -> None:
    (folder / "own_study.py").write_text(STRATEGY)


GRID = ("strategy.lookback=2..8/2", "strategy.threshold=2..4/1")  # 12 points


def words(data: Path, folder: str, **given: Any) -> dict[str, Any]:
    """Options of a study in the folder of the data."""
    options: dict[str, Any] = {
        "config": PROFILE, "data": str(data), "strategy": "own_study:follow", "param": list(GRID), "workers": 1,
        "min_trades": 5, "out": data.parent / folder, "json": True,
    }  # fmt: skip
    return options | given


def optimise(data: Path, folder: str = "study", **given: Any) -> dict[str, Any]:
    """The command; its JSON."""
    return ran("optimise", words(data, folder, **{"random": 0, **given}))


def walkforward(data: Path, folder: str = "walk", **given: Any) -> dict[str, Any]:
    """The command; its JSON.  Three folds of ten, four and four sessions of thirty-five."""
    sizes: dict[str, Any] = {"unit": "day", "train": 14, "validation": 7, "test": 7, "step": 7, "fold_trades": 5}
    return ran("walkforward", words(data, folder, **{**sizes, **given}))


def ran(command: str, options: dict[str, Any]) -> dict[str, Any]:
    told = StringIO()
    call_command(command, stdout=told, stderr=StringIO(), **options)
    return dict(json.loads(told.getvalue()))
