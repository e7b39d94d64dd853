"""LOBSTER: order messages of one day, with the levels after each where their file lies beside → trades and books.

Message columns: seconds after midnight, type, order id, size, price x 10,000, direction of the resting order.  With the
file of levels every row is checked against what the messages make of the book, and no deeper level is shown than it has
(`core.books.published`); without it the book is known as far as the messages tell it (`core.books.orders`), and says
so.  Both files are read line by line.  Called by `feeds.books.opening`.
"""

import io
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from marketdata.core.books import orders, published
from marketdata.core.depth import Book, grow_levels, grow_orders, new_book
from marketdata.core.records import NO_TICK, NO_TIME, new_depths, new_events
from marketdata.core.units import NANOS, TICK_MAX
from marketdata.feeds.books.names import Lines, lobster_beside, lobster_name
from marketdata.feeds.books.reader import BLOCK_EVENTS, BookReader
from marketdata.feeds.options import ReplayOptions
from marketdata.feeds.port import FeedError
from marketdata.feeds.tapes import Block, join_blocks

ZONE = "America/New_York"
LINE = re.compile(rb"(\d{1,5})(?:\.(\d{1,9})\d*)?,([1-7]),(\d{1,18}),(\d{1,15}),(-?\d{1,15}),(-?1)\r?\n?")
PRICE_NANOS = 100_000  # of the last digit of a price
ABSENT = 9_999_999_999  # the price of a level that is not there
NEW, CANCEL, DELETE, VISIBLE, HIDDEN, CROSS, HALT = range(1, 8)
ACTIONS = {
    NEW: orders.ADD,
    CANCEL: orders.TAKE,
    DELETE: orders.TAKE,
    VISIBLE: orders.EXECUTE,
    HIDDEN: orders.HIDDEN,
    HALT: orders.HALT,
}
HALTED, QUOTED, RESUMED = -1, 0, 1  # "prices" of a halt
LINES = 1 << 12  # read at a time
LEVELS_MAX = 200
DIFFERENT_SHARE_MAX = 0.001
SEEN = {  # of the counts of core.books.orders
    orders.NAMELESS: "messages about orders from before the recording",
    orders.UNKNOWN: "messages about orders that were never added",
    orders.TOO_MUCH: "messages that take more than rests",
    orders.REPEATED: "orders that were added twice",
    orders.REFUSED: "messages that cannot be",
}
CROSSED_TRADE = "a trade of an auction, which is no order of the book"
QUOTES_RESUMED = "quoting resumed after a halt, which opens no trading"
OFF_GRID = "a hidden execution between two ticks"


class LobsterReader(BookReader):
    """A message file, and the file of levels beside it where there is one.  See BookReader."""

    def __init__(
        self,
        path: Path,
        symbol: str,
        options: ReplayOptions,
        kept: dict[str, Any] | None = None,
        arrays: dict[str, np.ndarray] | None = None,
    ) -> None:
        super().__init__(path, symbol, options, kept)
        kept, arrays = kept or {}, arrays or {}
        self.beside = lobster_beside(path)
        self._midnight_ns = _midnight(path, options.zone or ZONE)
        self._lines = Lines(path, self.rows, int(kept.get("offset", 0)))
        self._rows = None if self.beside is None else Lines(self.beside, self.rows, int(kept.get("beside_offset", 0)))
        self._book = Book(*(arrays[f"book_{name}"] for name in Book._fields)) if arrays else new_book(1)
        self._counts = arrays.get("counts", orders.new_counts())
        self._checks = arrays.get("checks", published.new_checks())
        self._sent_ns = int(kept.get("sent_ns", NO_TIME))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """See BookReader."""
        plain, arrays = super().state()
        plain |= {"offset": self._lines.offset, "sent_ns": self._sent_ns}
        if self._rows is not None:
            plain["beside_offset"] = self._rows.offset
        arrays |= {f"book_{name}": array.copy() for name, array in self._book._asdict().items()}
        return plain, arrays | {"counts": self._counts.copy(), "checks": self._checks.copy()}

    @property
    def verdicts(self) -> dict[str, int]:
        """See BookReader."""
        found = super().verdicts | {words: int(self._counts[at]) for at, words in SEEN.items() if self._counts[at] > 0}
        if self._rows is not None:
            found |= {
                "rows of levels compared": int(self._checks[published.ROWS]),
                "levels compared": int(self._checks[published.COMPARED]),
                "levels that came into view with their row": int(self._checks[published.LEARNED]),
                "rows of levels that differ": int(self._checks[published.DIFFERENT]),
            }
        return found

    def fault(self) -> str:
        """See BookReader."""
        different, rows = int(self._checks[published.DIFFERENT]), int(self._checks[published.ROWS])
        if different <= rows * DIFFERENT_SHARE_MAX or self.beside is None:
            return ""
        first = int(self._checks[published.FIRST_DIFFERENT]) + 1
        return (
            f"{different} of {rows} rows of {self.beside.name} are not what the messages make of the book, the first in"
            f" the row of kept message {first}: do the two files belong together?"
        )

    def blocks(self) -> Iterator[Block]:
        """See BookReader."""
        while lines := self._lines.read(LINES):
            messages, keep = self._messages(lines)
            levels = self._levels(lines)
            messages = messages[keep]
            if levels is not None:
                levels = np.ascontiguousarray(levels[keep])
            k, parts = 0, []
            while k < len(messages):
                k, block = self._pass(messages, levels, k)
                parts.append(block)
            block = join_blocks(parts)
            if block.events.size:  # one block for these lines: what is remembered is then that behind them
                yield self.told(block)
        if self._rows is not None and self._rows.read(1):
            raise FeedError(f"{self._rows.path} has more rows than {self.path.name} has messages: get both again")
        self.end()

    def _pass(self, messages: np.ndarray, levels: np.ndarray | None, k: int) -> tuple[int, Block]:
        """Messages from `k` on until an output array is full."""
        events, depths = new_events(BLOCK_EVENTS), new_depths(BLOCK_EVENTS)
        out = events, depths, np.full(BLOCK_EVENTS, -1, np.int32)
        if levels is None:
            k, count, books, why = orders.order_events(self._book, self._counts, messages, k, *out)
        else:
            k, count, books, why = published.published_events(
                self._book, self._counts, self._checks, messages, levels, k, *out
            )
        if why == orders.GROW_ORDERS:
            self._book = grow_orders(self._book)
        elif why == orders.GROW_LEVELS:
            self._book = grow_levels(self._book)
        return k, Block(events[:count], depths[:books], out[2][:count])

    # lines

    def _messages(self, lines: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """The messages of the lines, and which of them are kept."""
        messages, keep = np.zeros(len(lines), orders.MESSAGE), np.ones(len(lines), np.bool_)
        for k, line in enumerate(lines):
            self.rows += 1
            found = LINE.fullmatch(line)
            if found is None:
                raise self.wrong(
                    self.rows, "cannot be read as a message (seconds, type 1 to 7, order, size, price, direction)"
                )
            whole, part, kind, number, size, price, direction = found.groups()
            ts_ns = self._midnight_ns + int(whole) * NANOS + int((part or b"").ljust(9, b"0"))
            if self._sent_ns != NO_TIME and ts_ns < self._sent_ns:
                raise self.wrong(self.rows, "is earlier than the one before: the file is out of order")
            self._sent_ns = ts_ns
            message = self._message(int(kind), int(number), int(size), int(price), int(direction))
            if isinstance(message, str):
                self.drop(self.rows, message)
                keep[k] = False
            else:
                messages[k] = (ts_ns, ts_ns, 0, *message)
        return messages, keep

    def _message(
        self, kind: int, number: int, size: int, price: int, direction: int
    ) -> tuple[int, int, int, int, int] | str:
        """(action, side, order, tick, lots), or why the message is left out."""
        if kind == CROSS:
            return CROSSED_TRADE
        if kind == HALT:
            if price == QUOTED:
                return QUOTES_RESUMED
            if price not in (HALTED, RESUMED):
                raise self.wrong(self.rows, f"is a halt of {price}: -1, 0 or 1 were expected")
            return orders.HALT if price == HALTED else orders.RESUME, direction, 0, 0, 0
        tick, rest = divmod(price * PRICE_NANOS, self.tick_nanos)
        if rest:
            if kind == HIDDEN:
                return OFF_GRID
            raise self.off_grid(self.rows, price * PRICE_NANOS)
        if tick > TICK_MAX:
            raise self.wrong(self.rows, f"has a price of {tick} ticks, beyond {TICK_MAX}")
        return ACTIONS[kind], direction, number, tick, self.lots(self.rows, size * NANOS)

    def _levels(self, lines: list[bytes]) -> np.ndarray | None:
        """(n, levels, 4) int64 of the rows beside these messages: ticks and lots, NO_TICK where a level is absent."""
        if self._rows is None:
            return None
        rows = self._rows.read(len(lines))
        if len(rows) < len(lines):
            raise FeedError(
                f"{self._rows.path} has {self._rows.number} rows, fewer than {self.path.name} has messages:"
                " get both again"
            )
        first = self._rows.number - len(rows) + 1
        kinds = {f"f{i}": pa.int64() for i in range(4 * LEVELS_MAX)}
        try:
            table = pa_csv.read_csv(
                io.BytesIO(b"".join(rows)),
                read_options=pa_csv.ReadOptions(autogenerate_column_names=True, use_threads=False),
                parse_options=pa_csv.ParseOptions(ignore_empty_lines=False),
                convert_options=pa_csv.ConvertOptions(column_types=kinds, null_values=[]),
            )
            numbers = np.stack([column.to_numpy() for column in table.columns], axis=1)
        except pa.ArrowException as error:
            words = str(error).splitlines()[0]
            raise FeedError(f"{self._rows.path}: lines {first} to {first + len(rows) - 1}: {words}") from None
        count, rest = divmod(numbers.shape[1], 4)
        if rest or not count or count > LEVELS_MAX or len(numbers) != len(rows) or self.levels not in (0, count):
            raise FeedError(
                f"{self._rows.path}: lines {first} to {first + len(rows) - 1} are no rows of levels"
                f" ({numbers.shape[1]} columns; four a level were expected, as many in every row)"
            )
        self.levels = count
        return self._checked_levels(numbers.reshape(-1, count, 4), first)

    def _checked_levels(self, levels: np.ndarray, first: int) -> np.ndarray:
        """Prices and sizes of published levels in ticks and lots.  Raises FeedError for one off the grid."""
        made = np.empty_like(levels)
        for price_at, size_at in ((published.ASK_TICK, published.ASK_QTY), (published.BID_TICK, published.BID_QTY)):
            price, size = levels[:, :, price_at], levels[:, :, size_at]
            absent = (np.abs(price) == ABSENT) | (size == 0)
            nanos = np.where(absent, 0, price) * PRICE_NANOS
            off = (nanos % self.tick_nanos != 0) | (size < 0) | (np.where(absent, 1, price) <= 0)
            off |= size * NANOS % self.lot_nanos != 0
            if off.any():
                row, level = np.argwhere(off)[0].tolist()
                raise FeedError(
                    f"{self.beside}: line {first + row}: level {level + 1} ({price[row, level]},"
                    f" {size[row, level]}) is off the grid of ticks or lots"
                )
            made[:, :, price_at] = np.where(absent, NO_TICK, nanos // self.tick_nanos)
            made[:, :, size_at] = np.where(absent, 0, size * NANOS // self.lot_nanos)
        return made

    def close(self) -> None:
        """See BookReader."""
        self._lines.close()
        if self._rows is not None:
            self._rows.close()


def _midnight(path: Path, zone: str) -> int:
    """Midnight of the day in the file's name, ns UTC.  Raises FeedError."""
    name = lobster_name(path)
    if name is None:
        raise FeedError(f"{path} does not name its day as LOBSTER does (TICKER_2012-06-21_..._message_10.csv)")
    try:
        midnight = datetime(name.day.year, name.day.month, name.day.day, tzinfo=ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        raise FeedError(f"option zone={zone!r} is no time zone") from None
    return int(midnight.timestamp()) * NANOS
