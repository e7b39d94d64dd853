"""Recorded stream of Binance: lines of `<local time in ns> <the venue's JSON>` → trades and books, by update numbers.

Snapshots of REST (`lastUpdateId`), `depthUpdate` and `trade` are taken; lines of other streams are counted and left
out.  An update applies where it follows the book (`core.books.deltas`); behind a hole the book is withheld until the
next snapshot.  Numbers are taken from their digits: a price or size off the grid of the asked tick and lot refuses the
file.  Known at the local time, which never goes back here.  Called by `feeds.books.opening`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from marketdata.core.books import deltas
from marketdata.core.books.ladder import Ladder
from marketdata.core.depth import book_row
from marketdata.core.records import BUY, NO_TIME, SELL, new_depths, new_events
from marketdata.core.units import TICK_MAX
from marketdata.feeds.books.names import Lines
from marketdata.feeds.books.reader import BLOCK_EVENTS, BookReader
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.tapes import Block, join_blocks

MS_NS = 1_000_000
LINES = 1 << 11  # read at a time
LINE = re.compile(rb"(\d{16,19}) (\{.*\})\r?\n?", re.DOTALL)
NUMBER = re.compile(r"(\d{1,9})(?:\.(\d{1,9})0*)?", re.ASCII)
ROW_OF = {"b": book_row(0, BUY), "bids": book_row(0, BUY), "a": book_row(0, SELL), "asks": book_row(0, SELL)}
NO_MARKET_TRADE = "a trade that is none of the market (X is not MARKET)"
NO_QUANTITY = "a trade of nothing"
WENT_BACK = "the time of receipt went back: the one before was kept"
OTHER_STREAM = "a line of another stream"
SEEN = {
    "snapshots": "snapshots taken",
    "applied": "updates applied",
    "old": "stale: updates and snapshots older than the book",
    "gaps": "gaps: updates or snapshots that did not follow",
    "refused": "updates that cannot be",
    "forgotten": "updates thrown away while waiting for a snapshot",
}


class BinanceReader(BookReader):
    """See BookReader."""

    def __init__(
        self,
        path: Path,
        symbol: str,
        options: ReplayOptions,
        kept: dict[str, Any] | None = None,
        arrays: dict[str, np.ndarray] | None = None,
    ) -> None:
        super().__init__(path, symbol, options, kept)
        kept = kept or {}
        self._lines = Lines(path, self.rows, int(kept.get("offset", 0)))
        self._l2 = deltas.new_l2(1) if not arrays else _l2_of(arrays)
        self._market = str(kept.get("market", ""))  # the venue's own symbol
        self._ts_ns = int(kept.get("ts_ns", NO_TIME))
        self._venue_ns = int(kept.get("venue_ns", 0))
        self._messages: list[tuple[int, ...]] = []
        self._changes: list[tuple[int, int, int]] = []

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """See BookReader."""
        plain, arrays = super().state()
        plain |= {
            "offset": self._lines.offset,
            "market": self._market,
            "ts_ns": self._ts_ns,
            "venue_ns": self._venue_ns,
        }
        arrays |= {f"book_{name}": array.copy() for name, array in self._l2.book._asdict().items()}
        return plain, arrays | {name: getattr(self._l2, name).copy() for name in ("state", "waiting", "changes")}

    @property
    def verdicts(self) -> dict[str, int]:
        """See BookReader."""
        counts = self._l2.state[0]
        return super().verdicts | {words: int(counts[name]) for name, words in SEEN.items() if counts[name] > 0}

    def blocks(self) -> Iterator[Block]:
        """See BookReader."""
        while lines := self._lines.read(LINES):
            self._messages, self._changes = [], []
            for line in lines:
                self.rows += 1
                self._take(line)
            messages = np.array(self._messages, deltas.MESSAGE)
            changes = np.array(self._changes, np.int64).reshape(-1, 3)
            k, parts = 0, []
            while k < len(messages):
                k, block = self._pass(messages, changes, k)
                parts.append(block)
            block = join_blocks(parts)
            if block.events.size:  # one block for these lines: what is remembered is then that behind them
                yield self.told(block)
        self.end()

    def fault(self) -> str:
        """See BookReader."""
        if self._l2.state["snapshots"][0] == 0:
            return f"{self.path} holds no snapshot (lastUpdateId): from updates alone no book is known"
        return ""

    def _pass(self, messages: np.ndarray, changes: np.ndarray, k: int) -> tuple[int, Block]:
        """Messages from `k` on until an output array is full."""
        events, depths = new_events(BLOCK_EVENTS), new_depths(BLOCK_EVENTS)
        depth_of = np.full(BLOCK_EVENTS, -1, np.int32)
        k, count, books, why = deltas.l2_events(self._l2, messages, changes, k, events, depths, depth_of)
        if why == deltas.GROW:
            self._l2 = deltas.grow(self._l2)
        return k, Block(events[:count], depths[:books], depth_of[:count])

    # lines

    def _take(self, line: bytes) -> None:
        """One line into messages and changes.  Raises FeedError."""
        found = LINE.fullmatch(line)
        try:
            said = json.loads(found[2]) if found is not None else None
            if found is None or not isinstance(said, dict):
                raise ValueError("no local time and JSON object")
            data = said.get("data", said)
            self._pass_time(int(found[1]), data)
            self._message(data)
        except FeedError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            words = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise self.wrong(self.rows, f"cannot be read ({words}): is the file whole?") from None

    def _pass_time(self, ts_ns: int, data: dict[str, Any]) -> None:
        """Receipt and the venue's own stamp, neither earlier than before; and whose book it is."""
        if ts_ns < self._ts_ns:
            self._seen[WENT_BACK] += 1
        self._ts_ns = max(self._ts_ns, ts_ns)
        self._venue_ns = max(self._venue_ns, MS_NS * int(data.get("T", data.get("E", 0))))
        market = str(data.get("s", data.get("symbol", self._market)))
        if self._market not in ("", market):
            raise self.wrong(self.rows, f"is of {market}, the lines before of {self._market}: part the file")
        self._market = market

    def _message(self, data: dict[str, Any]) -> None:
        """Raises ValueError, KeyError, TypeError, FeedError."""
        kind = data.get("e")
        if "lastUpdateId" in data:
            first, count = self._levels(data, "bids", "asks")
            self._add(deltas.SNAPSHOT, 0, int(data["lastUpdateId"]), first, count)
        elif kind == "depthUpdate":
            first, count = self._levels(data, "b", "a")
            after = int(data["pu"]) if "pu" in data else int(data["U"]) - 1
            self._add(deltas.UPDATE, after, int(data["u"]), first, count)
        elif kind == "trade":
            self._trade(data)
        else:
            self.dropped[f"{OTHER_STREAM} ({kind or 'bookTicker'})"] += 1

    def _add(self, kind: int, after: int, last: int, first: int, count: int, *trade: int) -> None:
        stamps = self._ts_ns, self._venue_ns
        self._messages.append((*stamps, 0, kind, after, last, first, count, *(trade or (0, 0, 0))))

    def _levels(self, data: dict[str, Any], *sides: str) -> tuple[int, int]:
        """Changes of both sides; where they begin and how many they are."""
        first = len(self._changes)
        for side in sides:
            row = ROW_OF[side]
            for price, size in data[side]:
                self._changes.append((row, self._tick(price), self.lots(self.rows, _nanos(size))))
        return first, len(self._changes) - first

    def _trade(self, data: dict[str, Any]) -> None:
        if data.get("X", "MARKET") != "MARKET":
            self.drop(self.rows, NO_MARKET_TRADE)
            return
        size = self.lots(self.rows, _nanos(data["q"]))
        if size == 0:
            self.drop(self.rows, NO_QUANTITY)
            return
        side = SELL if data["m"] else BUY  # m: the buyer was resting
        self._add(deltas.PRINT, 0, 0, 0, 0, side, self._tick(data["p"]), size)

    def _tick(self, text: str) -> int:
        nanos = _nanos(text)
        tick, rest = divmod(nanos, self.tick_nanos)
        if rest:
            raise self.off_grid(self.rows, nanos)
        if not 0 < tick <= TICK_MAX:
            raise self.wrong(self.rows, f"has a price of {tick} ticks, not within 1 and {TICK_MAX}")
        return tick

    def close(self) -> None:
        """See BookReader."""
        self._lines.close()


def _nanos(text: str) -> int:
    """A decimal number in units of 1e-9, exactly.  Raises ValueError."""
    found = NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no number of at most nine decimals")
    return int(found[1] + (found[2] or "").ljust(9, "0"))


def _l2_of(arrays: dict[str, np.ndarray]) -> deltas.L2:
    book = Ladder(*(arrays[f"book_{name}"] for name in Ladder._fields))
    return deltas.L2(book, arrays["state"].view(deltas.L2_STATE), arrays["waiting"], arrays["changes"])
