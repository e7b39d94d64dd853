"""Made-up one-second bars with everything that breaks features: gaps, flat stretches, empty volume, rolls, borders.

Sessions are written down by hand here (New York times of the exchange's notices), not read from the product's calendar.
"""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from marketdata.core.barfeatures.records import Bars
from tests.core.barfeatures.oracle import Hours, local_second

# trading day: New York close.  Regular days, the weeks of both DST changes, early closes, a date without RTH.
CLOSES = {
    "2024-03-08": (17, 0), "2024-03-11": (17, 0), "2024-03-12": (17, 0), "2024-07-03": (13, 15),
    "2024-07-05": (17, 0), "2024-11-01": (17, 0), "2024-11-04": (17, 0), "2024-11-29": (13, 15), "2025-01-08": (17, 0),
    "2025-01-09": (9, 30), "2025-01-10": (17, 0),
}  # fmt: skip


def hours_of(text: str) -> Hours:
    """The session of a trading day: from 18:00 on the evening before."""
    day = date.fromisoformat(text)
    evening = day - timedelta(days=1)
    return Hours(day, local_second(evening, 18, 0), local_second(day, *CLOSES[text]))


SESSIONS = [hours_of(text) for text in CLOSES]


def seconds_of(rng: np.random.Generator, first: int, count: int, gaps: bool) -> np.ndarray:
    """Seconds with a print, `count` of them or fewer, inside sessions."""
    steps = 1 + rng.geometric(rng.choice([0.3, 0.7, 0.95]), count) - 1
    if gaps:
        for at in rng.integers(1, count, 3):
            steps[at] = rng.choice([2, 61, 200, 299, 300, 301, 302, 900])
    seconds = first + np.concatenate([[0], np.cumsum(steps)[:-1]])
    inside = np.zeros(count, bool)
    for hours in SESSIONS:
        inside |= (seconds >= hours.open_s) & (seconds < hours.close_s)
    return seconds[inside]


def tape(seed: int) -> pd.DataFrame:
    """Columns second, open, high, low, close (ticks), volume, contract, outage: printed bars in order."""
    rng = np.random.default_rng(seed)
    hours = SESSIONS[rng.integers(len(SESSIONS))]
    half_past_nine = local_second(hours.day, 9, 30)
    starts = (
        hours.open_s,
        hours.open_s + int(rng.integers(0, 3600)),
        half_past_nine - int(rng.integers(60, 1800)),
        half_past_nine,
        half_past_nine + 6600,  # before the lunch period
        hours.close_s - int(rng.integers(1500, 5000)),
        local_second(hours.day, 15, 0) - 1500,
    )
    first = int(rng.choice([second for second in starts if second < hours.close_s - 60]))
    count = int(rng.integers(900, 2200))
    second = seconds_of(rng, first, count, gaps=rng.random() < 0.6)
    n = len(second)
    busy = np.repeat(rng.random(n // 50 + 1) < rng.choice([0.5, 1.0]), 50)[:n]  # the rest is flat
    size = int(rng.choice([1, 3, 12]))
    move = rng.integers(-size, size + 1, n) * busy
    price = int(rng.choice([400, 4_000, 18_000, 80_000]))
    close = np.maximum(price + np.cumsum(move), 40)
    start = np.maximum(close + rng.integers(-2, 3, n) * busy, 20)
    high = np.maximum(start, close) + rng.integers(0, 3, n) * busy
    low = np.minimum(start, close) - rng.integers(0, 3, n) * busy
    quiet = np.repeat(rng.random(n // 80 + 1) < 0.2, 80)[:n]  # printed bars without volume
    volume = np.where(quiet, 0, rng.integers(0, 40, n))
    contract = np.zeros(n, np.int64)
    if rng.random() < 0.2:
        contract[rng.integers(n) :] = 7
    outage = np.zeros(n, np.int64)
    if rng.random() < 0.15:
        outage[rng.integers(n)] = 1
    columns = {"second": second, "open": start, "high": high, "low": low, "close": close, "volume": volume}
    return pd.DataFrame(columns | {"contract": contract, "outage": outage}).astype(np.int64)


def as_bars(prints: pd.DataFrame) -> Bars:
    """The same as columns of the product."""
    return Bars(*(np.ascontiguousarray(prints[name].to_numpy(np.int64)) for name in prints.columns))
