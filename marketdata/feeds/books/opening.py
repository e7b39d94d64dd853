"""The reader of a recording of books by its format.  Called by `marketdata.store.sets`."""

from pathlib import Path
from typing import Any

import numpy as np

from marketdata.feeds.books.binance import BinanceReader
from marketdata.feeds.books.lobster import LobsterReader
from marketdata.feeds.books.names import BINANCE, SESSION
from marketdata.feeds.books.reader import BookReader
from marketdata.feeds.books.session import SessionReader
from marketdata.feeds.options import ReplayOptions


def open_books(
    path: Path,
    kind: str,
    symbol: str,
    options: ReplayOptions,
    kept: dict[str, Any] | None = None,
    arrays: dict[str, np.ndarray] | None = None,
) -> BookReader:
    """`kept`, `arrays`: what `state` of an earlier pass told; then it goes on there.  Raises FeedError."""
    readers = {BINANCE: BinanceReader, SESSION: SessionReader}
    return readers.get(kind, LobsterReader)(path, symbol, options, kept, arrays)
