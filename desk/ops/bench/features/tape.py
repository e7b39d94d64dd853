"""The common work of the feature benchmark: made-up bars of a million seconds, the same for the desk and its peers.

A file of arrays carries them to the processes that are measured.  Called by `peers` and, in those, by `tool`.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from desk.ops.bench.barfeatures import made_bars, made_days
from marketdata.core.barfeatures.records import Bars

DAYS = 13  # 1,076,400 seconds, an eighth of them without a print


class Tape(NamedTuple):
    """Printed bars and the trading days that cover them."""

    bars: Bars
    days: np.ndarray  # (DAYS,) BAR_DAY


def write(path: Path) -> None:
    """Make the tape and write it."""
    days = made_days(DAYS)
    np.savez(path, days=days, **made_bars(days)._asdict())


def read(path: Path) -> Tape:
    """The tape in memory."""
    with np.load(path) as held:
        return Tape(Bars(*(held[name] for name in Bars._fields)), held["days"])
