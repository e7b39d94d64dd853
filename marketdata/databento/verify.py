"""Is a downloaded file what was bought?  Read to its end by the vendor's own decoder, a piece at a time.

Checked: the zstd checksum, DBN version, dataset, schema, symbol, every record's time (inside the span, in order), its
instrument (mapped on its day), the count that the vendor promised.  No network; memory is one piece.
"""

import itertools
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import databento_dbn

from marketdata.core.units import NANOS
from marketdata.databento.request import BAR_SCHEMAS, DatabentoError, Series, Span, words
from marketdata.feeds.dbn import plain_bytes
from marketdata.feeds.port import FeedError

DAY_NS = 86_400 * NANOS
EPOCH = date(1970, 1, 1).toordinal()
VERSIONS = (1, 2, 3)


class Unsound(DatabentoError):
    """A file that is not what was bought."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a sound file holds.  mappings: symbol → intervals [first day, day after the last, vendor's id]."""

    version: int
    records: int
    first_ns: int  # 0 when there is no record
    last_ns: int
    mappings: dict[str, list[list[str]]]
    rolls: list[list[str]]  # [day of the vendor's change, id before, id after], from the mappings (MES-DBN-03)
    partial: list[str]  # symbols that the vendor resolved for a part of the span only


def verify(path: Path, series: Series, span: Span, records: int | None = None) -> Found:
    """Read a file to its end.  `records`: the count that the vendor promised.  Raises Unsound, OSError."""
    check = _Check(path.name, series, span)
    as_is: Any = databento_dbn.VersionUpgradePolicy.AS_IS  # the version told is the file's own
    decoder = databento_dbn.DBNDecoder(upgrade_policy=as_is)
    try:
        for piece in plain_bytes(path):
            decoder.write(piece)
            for record in decoder.decode():
                check.see(record)
    except (databento_dbn.DBNError, ValueError) as error:
        text = str(error) if isinstance(error, FeedError) else f"{path.name} cannot be decoded: {error}"
        raise Unsound(text) from None
    if left := len(decoder.buffer()):
        raise Unsound(f"{path.name} is cut inside a record: {left} bytes are left over")
    return check.end(records)


class _Check:
    def __init__(self, name: str, series: Series, span: Span) -> None:
        self._name, self._series, self._span = name, series, span
        self._by_event = series.schema in BAR_SCHEMAS
        self._head: Any = None
        self._records, self._first, self._last = 0, 0, 0
        self._seen: set[tuple[int, int]] = set()  # (vendor's id, day since 1970)

    def see(self, record: Any) -> None:
        """The header first, then every record.  Raises Unsound."""
        if self._head is None:
            self._header(record)
            return
        at = record.ts_event if self._by_event else record.ts_recv
        if not self._span.start_ns <= at < self._span.end_ns:
            raise Unsound(f"{self._name}: record {self._records + 1} is of {words(at)}, outside of what was asked")
        if at < self._last:
            raise Unsound(f"{self._name}: record {self._records + 1} steps back in time, to {words(at)}")
        if self._records == 0:
            self._first = at
        self._last = at
        self._records += 1
        self._seen.add((record.instrument_id, at // DAY_NS))

    def _header(self, head: Any) -> None:
        if not isinstance(head, databento_dbn.Metadata):
            raise Unsound(f"{self._name} does not begin with a DBN header")
        wanted = self._series
        if head.version not in VERSIONS:
            raise Unsound(f"{self._name} is DBN version {head.version}: known are 1 to 3")
        if head.dataset != wanted.dataset or str(head.schema) != wanted.schema:
            raise Unsound(
                f"{self._name} holds {head.schema} of {head.dataset}, not {wanted.schema} of {wanted.dataset}"
            )
        if list(head.symbols) != [wanted.symbol]:
            raise Unsound(f"{self._name} answers for {', '.join(head.symbols) or 'nothing'}, not for {wanted.symbol}")
        if head.not_found:
            raise Unsound(f"the vendor knows no {', '.join(head.not_found)} between the two days")
        self._head = head

    def end(self, promised: int | None) -> Found:
        if self._head is None:
            raise Unsound(f"{self._name} is empty")
        if promised is not None and promised != self._records:
            raise Unsound(f"{self._name} holds {self._records} records, the vendor promised {promised}")
        mappings = {
            str(name): sorted([str(part["start_date"]), str(part["end_date"]), str(part["symbol"])] for part in parts)
            for name, parts in self._head.mappings.items()
        }
        self._check_ids(mappings)
        return Found(
            self._head.version,
            self._records,
            self._first,
            self._last,
            mappings,
            _rolls(mappings.get(self._series.symbol, [])),
            list(self._head.partial),
        )

    def _check_ids(self, mappings: dict[str, list[list[str]]]) -> None:
        spans = [
            (date.fromisoformat(first).toordinal(), date.fromisoformat(end).toordinal(), number)
            for parts in mappings.values()
            for first, end, number in parts
        ]
        for number, day in sorted(self._seen):
            if not any(first <= day + EPOCH < end and number == int(name or 0) for first, end, name in spans):
                at = date.fromordinal(day + EPOCH)
                raise Unsound(f"{self._name}: instrument {number} on {at} is not what {self._series.symbol} stood for")


def _rolls(parts: list[list[str]]) -> list[list[str]]:
    return [[after[0], before[2], after[2]] for before, after in itertools.pairwise(parts) if before[2] != after[2]]
