"""Recorded level changes and trades of a crypto exchange as columns, and as the messages that the desk makes books of.

One line of a recording: the local time in ns and the exchange's own JSON (Binance, futures or spot: a snapshot,
`depthUpdate`, `trade`).  Prices become ticks and quantities lots, exactly.  Used by the benchmark of books alone; it is
no feed of the desk.
"""

import gzip
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.books import deltas
from marketdata.core.depth import book_row

LEVEL, PRINT = 0, 1
ROWS = ("at_ns", "kind", "side", "tick", "lots", "message")
Rows = list[tuple[int, int, int, int, int, int]]


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
    """From the snapshot on; changes that the snapshot holds already are left out, and trades before it.

    Raises ValueError for a hole: futures say with `pu` what comes before.
    """
    rows: Rows = []
    early: list[dict[str, Any]] = []  # changes that came before the snapshot: what it lacks of them follows it
    known = -1  # id of the last change that the book has
    last_ns = message = 0
    for line in lines:
        stamp, _, text = line.partition(" ")
        said = json.loads(text)
        said = said.get("data", said)
        at_ns = last_ns = max(last_ns, int(stamp))
        updates: list[dict[str, Any]] = []
        if "lastUpdateId" in said:
            if known < 0:
                known = int(said["lastUpdateId"])
                _levels(rows, at_ns, said["bids"], said["asks"], tick, lot, message)
                message += 1
                updates = early
        elif said.get("e") == "depthUpdate":
            (early if known < 0 else updates).append(said)
        elif known >= 0 and said.get("e") == "trade" and said.get("X", "MARKET") == "MARKET":
            side = -1 if said["m"] else 1
            rows.append((at_ns, PRINT, side, whole(said["p"], tick), whole(said["q"], lot), message))
            message += 1
        for update in updates:
            if int(update["u"]) <= known:
                continue
            if int(update.get("pu", known)) > known:
                raise ValueError(f"the changes between {known} and {update['pu']} are missing")
            known = int(update["u"])
            _levels(rows, at_ns, update["b"], update["a"], tick, lot, message)
            message += 1
    return Columns(*np.array(rows, np.int64).reshape(-1, len(ROWS)).T.copy())


def _levels(
    rows: Rows,
    at_ns: int,
    bids: list[list[str]],
    asks: list[list[str]],
    tick: str,
    lot: str,
    message: int,
) -> None:
    for side, levels in ((1, bids), (-1, asks)):
        rows += [(at_ns, LEVEL, side, whole(p, tick), whole(q, lot), message) for p, q in levels]


def messages_of(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """((k,) MESSAGE, (n, 3) changes) for `deltas.l2_events`; the first is the snapshot, numbers count messages."""
    first = np.flatnonzero(np.diff(columns.message, prepend=-1))
    messages = np.zeros(len(first), deltas.MESSAGE)
    messages["ts_ns"] = messages["ts_venue_ns"] = columns.at_ns[first]
    prints = columns.kind[first] == PRINT
    messages["kind"] = np.where(prints, deltas.PRINT, deltas.UPDATE)
    messages["kind"][0] = deltas.SNAPSHOT
    messages["last_id"] = 1 + columns.message[first]
    messages["first"], messages["count"] = first, np.diff(first, append=len(columns.message))
    for name, column in (("side", columns.side), ("price_tick", columns.tick), ("qty", columns.lots)):
        messages[name] = np.where(prints, column[first], 0)
    rows = np.where(columns.side > 0, book_row(0, 1), book_row(0, -1))
    return messages, np.stack([rows, columns.tick, columns.lots], axis=1)
