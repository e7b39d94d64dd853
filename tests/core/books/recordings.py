"""Recorded books of venues, read into the plain columns that `marketdata.core.books` takes: for tests alone.

Prices and sizes are taken from their digits, never through floats; what is off the grid fails the test that reads it.
"""

import gzip
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.core.books import deltas, orders
from marketdata.core.depth import book_row
from marketdata.core.records import BUY, NO_TICK, SELL, new_depths

MS_NS = 1_000_000


class Grid(NamedTuple):
    """How a venue's file writes numbers: units of its last digit in one tick and in one lot."""

    file: str
    price: int
    size: int
    tick_nanos: int


COIN = Grid("binance_cm_btcusd_perp_20240808.jsonl.gz", 1, 1, 100_000_000)
USD = Grid("binance_usdm_btcusdt_20240808.jsonl.gz", 10, 1, 100_000_000)
SPOT = Grid("binance_spot_btcusdt_20240808.jsonl.gz", 1_000_000, 1_000, 10_000_000)


class Binance(NamedTuple):
    """Messages with their changes, and the venue's own best levels by book number."""

    messages: np.ndarray  # (n,) deltas.MESSAGE in order of receipt
    changes: np.ndarray  # (m, 3)
    ticker_ids: np.ndarray  # (k,) sorted
    tickers: np.ndarray  # (k, 4) bid tick, bid size, ask tick, ask size


def digits(text: str, unit: int) -> int:
    """The number without its point, in units of `unit` of its last digit."""
    number, rest = divmod(int(text.replace(".", "")), unit)
    assert rest == 0, f"{text} is off the grid"
    return number


def lots(text: str, unit: int) -> int:
    """A size in lots, a part of one counted as a whole: nothing that is there becomes 0."""
    return -(-int(text.replace(".", "")) // unit)


def binance(folder: Path, grid: Grid, lines: int = 1 << 30) -> Binance:
    """The first `lines` lines of a recording: snapshots, updates, trades and best levels."""
    rows: list[tuple[int, ...]] = []
    changes: list[tuple[int, int, int]] = []
    tickers: dict[int, tuple[int, int, int, int]] = {}
    venue_ns = 0

    def add_changes(bids: list[list[str]], asks: list[list[str]]) -> tuple[int, int]:
        first = len(changes)
        for side, levels in ((BUY, bids), (SELL, asks)):
            row = book_row(0, side)
            changes.extend((row, digits(price, grid.price), lots(size, grid.size)) for price, size in levels)
        return first, len(changes) - first

    with gzip.open(folder / "crypto_l2" / grid.file, "rt") as file:
        for number, line in enumerate(file):
            if number == lines:
                break
            stamp, _, text = line.partition(" ")
            ts_ns = int(stamp)
            message = json.loads(text)
            data = message.get("data", message)
            venue_ns = max(venue_ns, MS_NS * data.get("T", data.get("E", 0)))
            if "lastUpdateId" in data:
                first, count = add_changes(data["bids"], data["asks"])
                rows.append((ts_ns, venue_ns, 0, deltas.SNAPSHOT, 0, data["lastUpdateId"], first, count, 0, 0, 0))
            elif data.get("e") == "depthUpdate":
                first, count = add_changes(data["b"], data["a"])
                after = data["pu"] if "pu" in data else data["U"] - 1
                rows.append((ts_ns, venue_ns, 0, deltas.UPDATE, after, data["u"], first, count, 0, 0, 0))
            elif data.get("e") == "trade":
                if float(data["q"]) > 0:
                    side = SELL if data["m"] else BUY
                    price, size = digits(data["p"], grid.price), lots(data["q"], grid.size)
                    rows.append((ts_ns, venue_ns, 0, deltas.PRINT, 0, 0, 0, 0, side, price, size))
            else:
                best = (digits(data["b"], grid.price), lots(data["B"], grid.size))
                tickers[data["u"]] = (*best, digits(data["a"], grid.price), lots(data["A"], grid.size))
    ids = np.array(sorted(tickers), np.int64)
    return Binance(
        np.array(rows, deltas.MESSAGE),
        np.array(changes, np.int64),
        ids,
        np.array([tickers[i] for i in ids.tolist()], np.int64),
    )


class Lobster(NamedTuple):
    """Messages, the 10 published levels after each, and the book before the first of them."""

    messages: np.ndarray  # (n,) orders.MESSAGE
    published: np.ndarray  # (n, 10, 4) ask tick, ask size, bid tick, bid size; prices of 0.01
    before: np.ndarray  # (1,) DEPTH


LOBSTER_ACTIONS = {1: orders.ADD, 2: orders.TAKE, 3: orders.TAKE, 4: orders.EXECUTE, 5: orders.HIDDEN, 7: orders.HALT}
MIDNIGHT_NS = 1_340_251_200 * 10**9  # 2012-06-21 00:00 New York, UTC


def lobster(folder: Path) -> Lobster:
    """AAPL, the first 998 messages of a day."""
    name = "AAPL_20120621_{}_10_first998.csv"
    rows = []
    for line in (folder / "lobster" / name.format("message")).read_text().splitlines():
        seconds, kind, order_id, size, price, direction = line.split(",")
        whole, _, part = seconds.partition(".")
        ts_ns = MIDNIGHT_NS + int(whole) * 10**9 + int(part.ljust(9, "0"))
        tick, rest = divmod(int(price), 100)
        action = LOBSTER_ACTIONS[int(kind)]
        assert rest == 0, f"{price} is no whole cent"
        rows.append((ts_ns, ts_ns, 0, action, int(direction), int(order_id), tick, int(size)))
    messages = np.array(rows, orders.MESSAGE)
    table = np.loadtxt(folder / "lobster" / name.format("orderbook"), np.int64, delimiter=",")
    published = table.reshape(len(table), 10, 4)
    published[:, :, (0, 2)] //= 100
    before = new_depths(1)
    first = messages[0]
    assert first.action == orders.ADD
    for side, tick_name, qty_name, tick_at, qty_at in (
        (SELL, "ask_tick", "ask_qty", 0, 1),
        (BUY, "bid_tick", "bid_qty", 2, 3),
    ):
        at = 0
        for level in published[0]:
            left = level[qty_at] - (first.qty if first.side == side and first.price_tick == level[tick_at] else 0)
            if left > 0:
                before[tick_name][0, at] = level[tick_at]
                before[qty_name][0, at] = left
                at += 1
        assert at >= 9 and before[tick_name][0, 10] == NO_TICK
    return Lobster(messages, published, before)


def bybit(folder: Path) -> Binance:
    """XRPUSDT with 500 levels: a snapshot and 49 updates, numbered one by one; no best levels beside them."""
    rows: list[tuple[int, ...]] = []
    changes: list[tuple[int, int, int]] = []
    with zipfile.ZipFile(folder / "crypto_l2" / "bybit_xrpusdt_ob500.data.zip") as archive:
        lines = archive.read("2024-12-01_XRPUSDT_ob500.data").decode().splitlines()
    for line in lines:
        message = json.loads(line)
        data, ts_ns, first = message["data"], MS_NS * message["ts"], len(changes)
        for side, levels in ((BUY, data["b"]), (SELL, data["a"])):
            row = book_row(0, side)
            changes.extend((row, digits(price, 1), digits(size, 1)) for price, size in levels)
        kind = deltas.SNAPSHOT if message["type"] == "snapshot" else deltas.UPDATE
        rows.append((ts_ns, ts_ns, 0, kind, data["u"] - 1, data["u"], first, len(changes) - first, 0, 0, 0))
    empty = np.zeros(0, np.int64)
    return Binance(np.array(rows, deltas.MESSAGE), np.array(changes, np.int64), empty, np.zeros((0, 4), np.int64))
