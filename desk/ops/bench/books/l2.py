"""Recorded level changes and trades of a crypto exchange as columns, and the 20 best levels behind each message.

One line of a recording: the local time in ns and the exchange's own JSON (Binance, futures or spot: a snapshot,
`depthUpdate`, `trade`).  Prices become ticks and quantities lots, exactly.  Used by the benchmark of books alone; it is
no feed of the desk.
"""

import gzip
import json
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.core.records import BOOK, LEVELS, NO_TICK, TRADE, new_depths, new_events

LEVEL, PRINT = 0, 1
ROWS = ("at_ns", "kind", "side", "tick", "lots", "message")


class Columns(NamedTuple):
    """(n,) int64 each.  A LEVEL row sets what stands at a price (`side` +1 bid, −1 ask; 0 lots: nothing), a PRINT is a
    trade (`side` of the taker).  Rows of one message have its number."""

    at_ns: np.ndarray
    kind: np.ndarray
    side: np.ndarray
    tick: np.ndarray
    lots: np.ndarray
    message: np.ndarray


def whole(text: str, step: str) -> int:
    """How many steps a decimal number is.  Raises ValueError for one that is not on the grid."""
    steps = Decimal(text) / Decimal(step)
    if steps != steps.to_integral_value():
        raise ValueError(f"{text} is no multiple of {step}")
    return int(steps)


def lines_of(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt") as file:
        yield from file


def columns_of(lines: Iterable[str], tick: str, lot: str) -> Columns:
    """From the snapshot on; changes that the snapshot holds already are left out, and trades before it."""
    rows: list[tuple[int, int, int, int, int, int]] = []
    known = -1  # id of the last change that the book has
    last_ns = message = 0
    for line in lines:
        stamp, _, text = line.partition(" ")
        said = json.loads(text)
        said = said.get("data", said)
        at_ns = last_ns = max(last_ns, int(stamp))
        if "lastUpdateId" in said:
            if known < 0:
                known = int(said["lastUpdateId"])
                _levels(rows, at_ns, said["bids"], said["asks"], tick, lot, message)
                message += 1
        elif known < 0:
            continue
        elif said.get("e") == "depthUpdate" and int(said["u"]) > known:
            known = int(said["u"])
            _levels(rows, at_ns, said["b"], said["a"], tick, lot, message)
            message += 1
        elif said.get("e") == "trade" and said.get("X", "MARKET") == "MARKET":
            side = -1 if said["m"] else 1
            rows.append((at_ns, PRINT, side, whole(said["p"], tick), whole(said["q"], lot), message))
            message += 1
    return Columns(*np.array(rows, np.int64).reshape(-1, len(ROWS)).T.copy())


def _levels(
    rows: list[tuple[int, int, int, int, int, int]],
    at_ns: int,
    bids: list[list[str]],
    asks: list[list[str]],
    tick: str,
    lot: str,
    message: int,
) -> None:
    for side, levels in ((1, bids), (-1, asks)):
        rows += [(at_ns, LEVEL, side, whole(p, tick), whole(q, lot), message) for p, q in levels]


class Side:
    """One side of a book: prices in order, best first by `sign` x price."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._keys: list[int] = []
        self._lots: dict[int, int] = {}

    def set(self, tick: int, lots: int) -> None:
        key = -self._sign * tick
        if lots > 0:
            if key not in self._lots:
                insort(self._keys, key)
            self._lots[key] = lots
        elif self._lots.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def best(self, count: int) -> list[tuple[int, int]]:
        return [(-self._sign * key, self._lots[key]) for key in self._keys[:count]]


def tape_of(columns: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(EVENT, DEPTH, depth_of): a BOOK behind the last level of each message, a TRADE for each print."""
    sides = {1: Side(1), -1: Side(-1)}
    n = len(columns.at_ns)
    ends = np.ones(n, bool)
    ends[:-1] = columns.message[1:] != columns.message[:-1]
    count = int(((columns.kind == PRINT) | ends).sum())
    books = int(((columns.kind == LEVEL) & ends).sum())
    events, depths, depth_of = new_events(count), new_depths(max(1, books)), np.full(count, -1, np.int32)
    at = d = 0
    for i, (ns, kind, side, tick, lots, _) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        if kind == PRINT:
            e = events[at]
            e.kind, e.ts_ns, e.ts_venue_ns, e.side, e.price_tick, e.qty = TRADE, ns, ns, side, tick, lots
            at += 1
            continue
        sides[side].set(tick, lots)
        if ends[i]:
            e = events[at]
            e.kind, e.ts_ns, e.ts_venue_ns = BOOK, ns, ns
            depths[d].ts_ns = depths[d].ts_venue_ns = ns
            for name, mine in (("bid", sides[1]), ("ask", sides[-1])):
                for k, (level, shown) in enumerate(mine.best(LEVELS)):
                    depths[d][f"{name}_tick"][k], depths[d][f"{name}_qty"][k] = level, shown
                best = mine.best(1)
                e[f"{name}_tick"], e[f"{name}_qty"] = best[0] if best else (NO_TICK, 0)
            depth_of[at] = d
            at, d = at + 1, d + 1
    assert (at, d) == (count, books)
    return events, depths, depth_of
