"""What a purchase will take on the disk: its files, and where it goes into the store the joined file and the data set.

A packed file is taken for half of the vendor's own figure, which is of the plain records: on the safe side, for what is
paid for and cannot be kept is paid twice.  Called by the archive and the jobs; it asks no vendor.
"""

from collections.abc import Iterable
from pathlib import Path

from marketdata.databento.client import Quote
from marketdata.databento.request import DatabentoError
from marketdata.memory.disk import refusal

PACKED = 2  # a packed file has at most this part of the plain records


def file_bytes(quotes: Iterable[Quote]) -> int:
    """Of the files that are still to come."""
    return sum(quote.size for quote in quotes) // PACKED


def needed_bytes(quotes: Iterable[Quote], held: Iterable[int], stored: bool) -> int:
    """Of a whole purchase.  `held`: bytes of the files of its span that are there already; `stored`: they all are
    joined, and the joined file is imported."""
    files = file_bytes(quotes)
    return files + (2 * (files + sum(held)) if stored else 0)


def check(what: str, needed: int, folder: Path) -> None:
    """Raises DatabentoError, before anything is paid."""
    if why := refusal(what, needed, folder):
        raise DatabentoError(f"{why}; nothing of it was bought")
