"""What an import is about to take and what it did: plain records for a command, a page and a database row."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from marketdata.core.records import NO_TIME
from marketdata.databento.definitions import DEFINITION
from marketdata.feeds.books.names import BOOKS
from marketdata.feeds.dbn import BAR_SECONDS, SCHEMAS

BARS = "bars"
STORED_SCHEMAS = (*SCHEMAS, DEFINITION)  # of the vendor, that the store takes
KINDS = (BARS, *(schema for schema in SCHEMAS if schema not in BAR_SECONDS), BOOKS, DEFINITION)


class ImportCancelled(Exception):
    """Stopped by a person; nothing of it is visible, and the same import goes on from its last whole month or part."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an import will take, before anything is read.  Memory: of a whole load, with the verdict on it (MES-MEM-05)
    and the rows of a chunk that would fit (MES-MEM-06); and of the import itself, which reads in blocks."""

    format: str
    rows: int
    disk_bytes: int
    free_bytes: int
    load_bytes: int = 0
    verdict: dict[str, object] = field(default_factory=dict)
    chunk_rows: int = 0
    import_verdict: dict[str, object] = field(default_factory=dict)
    disk_warning: str = ""
    peak_bytes: int = 0  # of a whole load of bars, as near as it was measured; 0: not known


@dataclass(slots=True)
class ImportReport:
    """What an import did.  `path` is the stored file: of bars, the data set's manifest."""

    path: Path
    kind: str
    symbols: list[str]
    rows: int = 0
    rows_read: int = 0
    bar_ns: int = 0
    first_ns: int = NO_TIME
    last_ns: int = NO_TIME
    source: str = ""
    source_hash: str = ""
    dropped: dict[str, int] = field(default_factory=dict)  # reason → rows
    examples: list[tuple[int, str]] = field(default_factory=list)  # row of the source, reason
    rows_hash: str = ""
    partitions: int = 0
    rolls: list[tuple[int, str, str]] = field(default_factory=list)  # start of the first bar, contract before, after
    gaps: list[tuple[int, int]] | None = None  # ns UTC; None: the exchange's past hours are not known
    verdicts: dict[str, int] = field(default_factory=dict)  # of books: what was found → how often
    resumed_rows: int = 0  # rows of the source that an earlier, stopped import had read
    held: bool = False  # the data set was there already

    def as_json(self) -> dict[str, Any]:
        """Plain values for a database row or a command's output."""
        return {**asdict(self), "path": str(self.path)}
