"""Other futures: the same bars up to a moment, and something else after it.

Each replaces every bar from an index on.  Two keep the times and go far up with heavy trade, far down with hardly any:
what looks ahead sees another sign, size and volume whatever it looks at; the third has no future at all.  Random, from
a generator that the caller seeds.
"""

import numpy as np

from marketdata.core.barfeatures.records import TICK_MAX, Bars

JUMP = (20, 400)  # ticks between the last bar that is kept and the first that is replaced
STEP = 12  # largest move of a second
SPREAD = 6  # largest wick
HEAVY, THIN = (2_000, 60_000), (0, 3)  # contracts a second
LOWEST = 50


def _replaced(bars: Bars, cut: int, rng: np.random.Generator, direction: int) -> Bars:
    """Bars from `cut` on walk away in one direction: +1 up with volume, -1 down almost without."""
    n = len(bars.second) - cut
    columns = [column.copy() for column in bars]
    _, opens, highs, lows, closes, volumes, _, _ = columns
    last = closes[cut - 1] if cut > 0 else closes[0]
    walk = last + direction * rng.integers(*JUMP) + np.cumsum(rng.integers(-STEP, STEP + 1, n))
    # far down near zero there is no room: the walk is reflected, and so differs from what was there all the same
    close = np.clip(LOWEST + np.abs(walk - LOWEST), LOWEST, TICK_MAX - STEP - SPREAD)
    close += close == closes[cut:]
    start = close + rng.integers(-STEP, STEP + 1, n)
    closes[cut:], opens[cut:] = close, start
    highs[cut:] = np.maximum(start, close) + rng.integers(0, SPREAD, n)
    lows[cut:] = np.minimum(start, close) - rng.integers(0, SPREAD, n)
    volumes[cut:] = rng.integers(*(HEAVY if direction > 0 else THIN), n)
    return Bars(*columns)


def up(bars: Bars, cut: int, rng: np.random.Generator) -> Bars:
    """From index `cut` on prices jump up and trade is heavy; times, contracts and outages stay."""
    return _replaced(bars, cut, rng, 1)


def down(bars: Bars, cut: int, rng: np.random.Generator) -> Bars:
    """From index `cut` on prices jump down and hardly anybody trades; times, contracts and outages stay."""
    return _replaced(bars, cut, rng, -1)


def cut_off(bars: Bars, cut: int, rng: np.random.Generator) -> Bars:
    """The data ends before index `cut`."""
    return Bars(*(column[:cut].copy() for column in bars))
