"""What the tests of stored books share: small recordings in both formats, an import, and the stored set read back."""

import gzip
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from marketdata.core.records import BAR, BOOK
from marketdata.feeds.books.tape import BookTape
from marketdata.feeds.options import parse_options
from marketdata.feeds.tapes import Block, join_blocks
from marketdata.store.importing import import_file
from marketdata.store.report import ImportReport

LOBSTER = "AAPL_20120621_{}_10_first998.csv"
COIN = "binance_cm_btcusd_perp_20240808.jsonl.gz"
SYMBOL = "SBER"  # its tick is a cent
TENTH = {"tick": "0.1"}  # of the perpetuals of Binance


def stored(path: Path, folder: Path, symbol: str = SYMBOL, **options: str) -> ImportReport:
    return import_file(path, symbol, parse_options(options), folder)


def tape_of(manifest: Path, symbol: str = SYMBOL) -> Block:
    """Everything that a replay of the set gives, its bars among it."""
    tape = BookTape(manifest, [symbol], parse_options({}))
    return join_blocks(list(tape.blocks()))


def without_bars(block: Block) -> Block:
    kept = block.events["kind"] != BAR
    return Block(block.events[kept], block.depths, block.depth_of[kept])


def books_of(block: Block) -> tuple[np.ndarray, np.ndarray]:
    """The BOOK events and their DEPTHs."""
    at = np.flatnonzero(block.events["kind"] == BOOK)
    return block.events[at], block.depths[block.depth_of[at]]


def head(sample_data: Path, lines: int, name: str = COIN) -> list[str]:
    """The first lines of a recording of Binance."""
    with gzip.open(sample_data / "crypto_l2" / name, "rt") as file:
        return list(islice(file, lines))


def recording(path: Path, lines: Sequence[str]) -> Path:
    """A recording of Binance of these lines."""
    path.write_text("".join(lines))
    return path


def lobster(
    folder: Path, messages: Sequence[str], levels: Sequence[str] | None = None, day: str = "2012-06-21"
) -> Path:
    """A message file of these lines, with its levels where there are any."""
    path = folder / f"ABC_{day}_34200000_57600000_message_2.csv"
    path.write_text("".join(f"{line}\n" for line in messages))
    if levels is not None:
        path.with_name(path.name.replace("message", "orderbook")).write_text("".join(f"{line}\n" for line in levels))
    return path
