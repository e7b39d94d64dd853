"""Every configuration that was ever tried on a data set, wherever and however: one SQLite file (MES-GUARD-01).

A backtest is one row with its daily equity; a study is one row with the number of its trials, whose days are in its own
ledger.  The number only grows: triggers refuse to take a row away or to lower a count, and a study whose folder is gone
still counts.  A hold-out is known by its instrument and its sessions, whatever file they were read from.  Several
processes may write.  Called by the commands `backtest`, `optimise` and `walkforward`.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trading.research.records import Days, ResearchError

FILE = "trials.sqlite3"
BACKTEST, STUDY = "backtest", "study"
WAIT_S = 30.0  # for another process that writes
SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY,
    data_hash TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,            -- what was tried, as a digest
    name TEXT NOT NULL,
    count INTEGER NOT NULL,       -- configurations
    sharpe REAL,                  -- of a backtest, per day; NULL: undefined
    trading_day BLOB NOT NULL,    -- int64, and
    equity BLOB NOT NULL,         -- int64 micros at each session's close; empty: a study
    UNIQUE (data_hash, key)
);
CREATE TABLE IF NOT EXISTS opening (   -- of hold-outs (MES-WF-03)
    id INTEGER PRIMARY KEY, data_hash TEXT NOT NULL, first_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    by TEXT NOT NULL, at_ns INTEGER NOT NULL, config_hash TEXT NOT NULL, study TEXT NOT NULL,
    symbol TEXT NOT NULL DEFAULT ''    -- empty: written before openings named their instrument
);
CREATE TRIGGER IF NOT EXISTS opening_stays BEFORE DELETE ON opening
    BEGIN SELECT RAISE(ABORT, 'an opening is never removed'); END;
CREATE TRIGGER IF NOT EXISTS opening_is_told BEFORE UPDATE ON opening
    BEGIN SELECT RAISE(ABORT, 'an opening is never changed'); END;
CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE DELETE ON entry
    BEGIN SELECT RAISE(ABORT, 'a trial is never removed'); END;
CREATE TRIGGER IF NOT EXISTS entry_grows BEFORE UPDATE ON entry
    WHEN NEW.count < OLD.count OR NEW.data_hash <> OLD.data_hash OR NEW.key <> OLD.key
    BEGIN SELECT RAISE(ABORT, 'a count of trials only grows'); END;
"""
NOTE = """
INSERT INTO entry (data_hash, kind, key, name, count, sharpe, trading_day, equity) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (data_hash, key) DO UPDATE SET count = excluded.count WHERE excluded.count > entry.count
"""


class Opening(NamedTuple):
    """Somebody looked at a hold-out: the sessions `first_ns` .. `end_ns` of an instrument, read from some data, `by` a
    person, with one configuration; `study`: key of the study that traded it."""

    data_hash: str
    first_ns: int
    end_ns: int
    by: str
    at_ns: int
    config_hash: str
    study: str
    symbol: str


class Tried(NamedTuple):
    """What else was tried on the same data: trials of studies, how many studies, and backtests."""

    searched: int = 0
    studies: int = 0
    backtests: int = 0

    @property
    def trials(self) -> int:
        return self.searched + self.backtests

    def words(self) -> str:
        """What there is, after what is told already; empty for nothing."""
        parts = [f"{self.studies} more on these data beside it"] if self.studies else []
        if self.backtests:
            parts.append(f"{self.backtests} backtest{'s' if self.backtests > 1 else ''} of them")
        return "".join(f" and {part}" for part in parts)


def key_of(values: object) -> str:
    """A digest of what decides a result."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def note_backtest(path: Path, data_hash: str, key: str, name: str, days: Days, sharpe: float | None) -> None:
    """One configuration that was traded; the same one again is no other trial.  Raises ResearchError."""
    day, equity = (
        np.ascontiguousarray(column, np.int64).tobytes() for column in (days.trading_day, days.equity_micros)
    )
    with _opened(path) as database:
        database.execute(NOTE, (data_hash, BACKTEST, key, name, 1, sharpe, day, equity))


def note_study(path: Path, data_hash: str, key: str, name: str, count: int) -> None:
    """How many configurations a study has tried by now; `key` is its own, wherever it lies.  Raises ResearchError."""
    row = (data_hash, STUDY, key, name, count, None, b"", b"")
    with _opened(path) as database:
        database.execute(NOTE, row)


def note_opening(path: Path, opening: Opening) -> None:
    """A hold-out that is about to be looked at.  Raises ResearchError."""
    columns = ", ".join(Opening._fields)
    with _opened(path) as database:
        database.execute(f"INSERT INTO opening ({columns}) VALUES ({', '.join('?' * len(opening))})", opening)


def openings_of(path: Path, symbol: str, first_ns: int, end_ns: int) -> list[Opening]:
    """Openings of any of these sessions of an instrument, in order, whatever data they were read from.  One that names
    no instrument counts for every one: nobody can tell that it was another."""
    words = f"SELECT {', '.join(Opening._fields)} FROM opening WHERE symbol IN (?, '') AND first_ns < ? AND end_ns > ?"
    with _opened(path) as database:
        return [Opening(*row) for row in database.execute(f"{words} ORDER BY id", (symbol, end_ns, first_ns))]


def sharpes_of(path: Path, data_hash: str) -> np.ndarray:
    """(n,) float64 daily Sharpe ratio of each backtest on these data, NaN where undefined."""
    with _opened(path) as database:
        words = "SELECT sharpe FROM entry WHERE data_hash = ? AND kind = ? ORDER BY id"
        found = database.execute(words, (data_hash, BACKTEST)).fetchall()
    return np.array([np.nan if sharpe is None else sharpe for (sharpe,) in found], np.float64)


def tried(path: Path, data_hash: str, but: frozenset[str] = frozenset()) -> Tried:
    """What stands here of a data set, without the entries of these keys.  Raises ResearchError."""
    searched = studies = backtests = 0
    with _opened(path) as database:
        found = database.execute("SELECT kind, key, count FROM entry WHERE data_hash = ?", (data_hash,)).fetchall()
    for kind, key, count in found:
        if key in but:
            continue
        if kind == STUDY:
            searched, studies = searched + count, studies + (count > 0)
        else:
            backtests += 1
    return Tried(searched, studies, backtests)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, made when it is not there; what is written is on the disk at the end."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, timeout=WAIT_S)
        try:
            database.execute("PRAGMA synchronous=FULL")
            database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
            _renew(database)
            with database:
                yield database
        finally:
            database.close()
    except (sqlite3.DatabaseError, OSError) as error:
        raise ResearchError(f"{path}, in which trials are counted, cannot be used: {error}") from None


def _renew(database: sqlite3.Connection) -> None:
    """A file of an earlier version gets what it lacks; its rows stay as they are."""
    lacking = "SELECT count(*) = 0 FROM pragma_table_info('opening') WHERE name = 'symbol'"
    if not database.execute(lacking).fetchone()[0]:
        return
    database.execute("BEGIN IMMEDIATE")
    if database.execute(lacking).fetchone()[0]:  # no other process was faster
        database.execute("ALTER TABLE opening ADD COLUMN symbol TEXT NOT NULL DEFAULT ''")
    database.execute("COMMIT")
