"""Bought months → one DBN file, for the store: a series is one data set, its rolls and gaps lie inside it.

The records are the vendor's bytes as they came; the header covers the whole span, with the mappings of all months, day
by day as the vendor told them (MES-DBN-03).  Memory is one piece of a file.  Called by `marketdata.jobs`.
"""

from collections.abc import Callable, Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import databento_dbn
import zstandard

from marketdata.databento.archive import Part
from marketdata.databento.request import DatabentoError, Series, words
from marketdata.feeds.dbn import plain_bytes
from marketdata.store.partitions import sync

LEVEL = 3


def file_name(parts: list[Part], what: Series) -> str:
    """Names the series and its UTC days, first to last."""
    first, last = words(parts[0].span.start_ns)[:10], words(parts[-1].span.end_ns - 1)[:10]
    return f"{what.symbol}-{what.schema}-{first}-{last}.dbn.zst"


def join(
    parts: list[Part],
    what: Series,
    path: Path,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda records: None,
) -> bool:
    """Write all parts, which follow each other, into one file.  False: cancelled, the file is not whole.  `progress` is
    told the records written so far.

    Raises DatabentoError for parts that do not fit together, FeedError for one that cannot be read, OSError."""
    for before, after in pairwise(parts):
        if before.span.end_ns > after.span.start_ns:
            raise DatabentoError(f"{before.path.name} and {after.path.name} overlap: move one aside, with its sidecar")
    versions = {part.found.version for part in parts}
    if len(versions) != 1:
        raise DatabentoError(f"the files of {what.symbol} are of DBN versions {sorted(versions)}: buy one of them anew")
    packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    with open(path, "wb") as file, packer.stream_writer(file, closefd=False) as out:
        out.write(_header(parts, what, versions.pop()))
        written = size = 0
        for part in parts:
            for piece in _records(part.path):
                out.write(piece)
                size = size or 4 * piece[0]  # of a record: its first byte counts words; one schema, one size
                written += len(piece)
                progress(written // size)
                if cancelled():
                    return False
    sync(path)
    return True


def _header(parts: list[Part], what: Series, version: int) -> bytes:
    instrument_id: Any = databento_dbn.SType.INSTRUMENT_ID
    return bytes(
        databento_dbn.Metadata(
            dataset=what.dataset,
            start=parts[0].span.start_ns,
            end=parts[-1].span.end_ns,
            stype_in=databento_dbn.SType.from_str(what.stype_in),
            stype_out=instrument_id,
            schema=databento_dbn.Schema.from_str(what.schema),
            symbols=[what.symbol],
            partial=sorted({name for part in parts for name in part.found.partial}),
            not_found=[],
            mappings=[
                SimpleNamespace(raw_symbol=name, intervals=intervals) for name, intervals in _mappings(parts).items()
            ],
            version=version,
        )
    )


def _mappings(parts: list[Part]) -> dict[str, list[SimpleNamespace]]:
    """The intervals of all parts; those that go on with the same id over a month's border are one."""
    found: dict[str, list[SimpleNamespace]] = {}
    for part in parts:
        for name, intervals in part.found.mappings.items():
            held = found.setdefault(name, [])
            for first, end, number in intervals:
                begin, until = date.fromisoformat(first), date.fromisoformat(end)
                if held and held[-1].symbol == number and held[-1].end_date >= begin:
                    held[-1].end_date = max(held[-1].end_date, until)
                else:
                    held.append(SimpleNamespace(start_date=begin, end_date=until, symbol=number))
    return found


def _records(path: Path) -> Iterator[bytes]:
    """The plain bytes behind the header."""
    head = b""
    left = -1  # bytes of the header that are still to come
    for piece in plain_bytes(path):
        if left < 0:
            head += piece
            if len(head) < 8:
                continue
            left, piece = 8 + int.from_bytes(head[4:8], "little"), head
        cut = min(left, len(piece))
        left -= cut
        if cut < len(piece):
            yield piece[cut:]
