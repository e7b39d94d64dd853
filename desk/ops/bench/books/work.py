"""The work on books that desk and peer both do: level changes, trades, and the orders that the desk's kernel sent.

A file of columns, so that the peer's environment needs numpy alone.  The peer sends the very orders at the very times
and under the same latency; what is compared is what each of them was filled at.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

TICK, LOT = "0.10", "0.001"  # of BTCUSDT, the perpetual
LATENCY_NS = 20_000_000
COLUMNS = ("at_ns", "kind", "side", "tick", "lots")
ORDERS = ("sent_ns", "order_side", "order_lots")


class BookWork(NamedTuple):
    """(n,) int64 of the tape, see `l2.Columns`; (m,) int64 of market orders in order of sending."""

    at_ns: np.ndarray
    kind: np.ndarray
    side: np.ndarray
    tick: np.ndarray
    lots: np.ndarray
    sent_ns: np.ndarray
    order_side: np.ndarray
    order_lots: np.ndarray


def write(path: Path, work: BookWork) -> None:
    np.savez(path, **work._asdict())


def read(path: Path) -> BookWork:
    with np.load(path) as file:
        return BookWork(*(file[name] for name in (*COLUMNS, *ORDERS)))
