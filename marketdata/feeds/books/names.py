"""Which files are recordings of books that the store imports, by their names and first bytes; what a name tells.

LOBSTER names a message file TICKER_DAY_..._message_LEVELS....csv and puts the levels after each message into a file of
the same name with `orderbook` in it.  Binance's stream is recorded as lines of a local time in ns and the venue's JSON.
Called by `feeds.sources` and the readers.
"""

import gzip
import re
import zlib
from datetime import date
from pathlib import Path
from typing import IO, NamedTuple, cast

from marketdata.feeds.port import FeedError

LOBSTER, BINANCE, SESSION = "lobster", "binance", "session"
BOOK_FORMATS = (LOBSTER, BINANCE, SESSION)
BOOKS = "books"  # the kind of what is made of them
LOBSTER_NAME = re.compile(
    r"(?P<ticker>[A-Za-z0-9.-]+)_(?P<year>\d{4})-?(?P<month>\d\d)-?(?P<day>\d\d)_(?:[^/]*_)?"
    r"(?P<what>message|orderbook)_\d+[^/]*\.csv(?:\.gz)?"
)
BINANCE_LINE = re.compile(rb"\d{16,19} \{")


class LobsterName(NamedTuple):
    """What the name of a LOBSTER file says."""

    ticker: str
    day: date
    what: str  # message or orderbook


def lobster_name(path: Path) -> LobsterName | None:
    """The parts of a name of LOBSTER's; None for another."""
    found = LOBSTER_NAME.fullmatch(path.name)
    if found is None:
        return None
    try:
        day = date(int(found["year"]), int(found["month"]), int(found["day"]))
    except ValueError:
        return None
    return LobsterName(found["ticker"], day, found["what"])


def lobster_beside(path: Path) -> Path | None:
    """The file of levels that belongs to a message file, where it is there."""
    head, _, tail = path.name.rpartition("_message_")
    for name in (f"{head}_orderbook_{tail}", f"{head}_orderbook_{tail}.gz", f"{head}_orderbook_{tail}"[:-3]):
        if name.endswith((".csv", ".csv.gz")) and (beside := path.with_name(name)).is_file():
            return beside
    return None


def book_format(path: Path) -> str:
    """LOBSTER, BINANCE, or empty.  Raises FeedError for a file of levels without its messages' name."""
    if (name := lobster_name(path)) is not None:
        if name.what == "orderbook":
            raise FeedError(f"{path} holds the levels beside a LOBSTER message file: give the message file")
        return LOBSTER
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        with open_lines(path) as stream:
            try:
                head = stream.read(21)
            except (OSError, EOFError, zlib.error) as error:
                raise cut(path, error) from None
        if BINANCE_LINE.match(head) is not None:
            return BINANCE
    return ""


def open_lines(path: Path) -> IO[bytes]:
    """The file's text, unpacked."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb") if packed else open(path, "rb"))


def cut(path: Path, error: Exception) -> FeedError:
    """What is said of a file that ends too early, or is damaged."""
    return FeedError(f"{path} is cut or damaged: {error}; fetch the file again")


class Lines:
    """Lines of a file from a byte of its text on.  Attributes: number (lines read so far), offset (bytes of them)."""

    LINE_BYTES_MAX = 1 << 24

    def __init__(self, path: Path, number: int = 0, offset: int = 0) -> None:
        self.path, self.number, self.offset = path, number, offset
        self._stream = open_lines(path)
        try:
            self._stream.seek(offset)
        except (OSError, EOFError, zlib.error) as error:
            raise cut(path, error) from None

    def read(self, count: int) -> list[bytes]:
        """The next lines, at most `count`; none at the end.  Raises FeedError."""
        found: list[bytes] = []
        try:
            while len(found) < count and (line := self._stream.readline(self.LINE_BYTES_MAX)):
                if len(line) == self.LINE_BYTES_MAX:
                    raise FeedError(f"{self.path} has a line of 16 MiB: it is no recording of books")
                found.append(line)
        except (OSError, EOFError, zlib.error) as error:
            raise cut(self.path, error) from None
        self.number += len(found)
        self.offset += sum(map(len, found))
        return found

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
