"""Every trial of a study, on disk before it counts: one SQLite file to which rows are added and nothing else is done.

A commit is flushed to the disk before anybody is told of its trials; a process that is killed loses what it was still
computing and nothing more.  Triggers refuse to change or remove a row, for the number of trials is what a result is
deflated by (MES-GUARD-01).  The file carries the key of its study, so a folder that was moved is the same study.  One
process writes at a time.  Called by `study`, read by reports.
"""

import dataclasses
import fcntl
import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import numpy as np

from trading.research.luck.plateau import Point
from trading.research.records import Days, ResearchError
from trading.run.search import registry

FILE, LOCK = "study.sqlite3", "lock"
PART = " part "  # in the name of a stage: its trials are of the first bars alone of the stage that is named before it
SCHEMA = """
CREATE TABLE IF NOT EXISTS study (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS mark (id INTEGER PRIMARY KEY CHECK (id = 1), key TEXT NOT NULL);  -- of this very study
CREATE TABLE IF NOT EXISTS trial (
    id INTEGER PRIMARY KEY,
    stage TEXT NOT NULL,          -- which search of the study: "study", or a fold's part
    kind TEXT NOT NULL,           -- proposed by the method, a neighbour of the best, a look at a point, a backtest
    point TEXT NOT NULL,          -- places in the parameters' values, JSON
    score REAL,                   -- NULL: infeasible
    why TEXT NOT NULL,            -- and for which reason
    trades INTEGER NOT NULL,
    net_micros INTEGER NOT NULL,
    sharpe REAL,                  -- per day; NULL: undefined
    config_hash TEXT NOT NULL,
    equity BLOB NOT NULL,         -- int64 micros at each session's close; empty: it failed before its first bar
    rows BLOB NOT NULL,           -- the trades, and
    curve BLOB NOT NULL,          -- where equity turned, int64 rows of time and micros: where they were asked for
    UNIQUE (stage, point)
);
CREATE UNIQUE INDEX IF NOT EXISTS one_test ON trial (stage) WHERE kind = 'test';  -- MES-WF-02: tested once
CREATE TABLE IF NOT EXISTS stretch (   -- the sessions of a stage, the same for all of its trials
    stage TEXT PRIMARY KEY, start_ns INTEGER NOT NULL, start_micros INTEGER NOT NULL, trading_day BLOB NOT NULL,
    close_ns BLOB NOT NULL
);
CREATE TRIGGER IF NOT EXISTS trial_stays BEFORE UPDATE ON trial
    BEGIN SELECT RAISE(ABORT, 'a trial is never changed'); END;
CREATE TRIGGER IF NOT EXISTS trial_counts BEFORE DELETE ON trial
    BEGIN SELECT RAISE(ABORT, 'a trial is never removed'); END;
"""
COLUMNS = (
    "stage", "kind", "point", "score", "why", "trades", "net_micros", "sharpe", "config_hash", "equity", "rows",
    "curve",
)  # fmt: skip

NOTED_S = 5.0  # how often, at most, the count is told to the registry while trials are written
NONE = np.zeros((2, 0), np.int64)


class Trial(NamedTuple):
    """One configuration that was tried on one stretch of bars.

    `days`: every session of the stretch with the equity at its close; None where it failed before its first bar.
    `rows`: bytes of its TRADE rows; `curve` (2, P) int64: times and equity where it turned; empty unless asked for.
    """

    stage: str
    kind: str
    point: Point
    score: float | None
    why: str
    trades: int
    net_micros: int
    sharpe: float | None
    config_hash: str
    days: Days | None
    rows: bytes = b""
    curve: np.ndarray = NONE


class NoStudy(ResearchError):
    """A folder without trials: nothing was begun there, or only just."""


class Ledger:
    """The trials of one folder.  Use as a context; `reading`: nothing is written, nothing locked; `counted`: the file
    in which the desk counts all trials (`registry`), None: nobody counts these beside others.

    Raises ResearchError when another process works on it, or when it is no ledger.
    """

    def __init__(self, folder: Path, *, reading: bool = False, counted: Path | None = None) -> None:
        self.path = folder / FILE
        self._lock: IO[bytes] | None = None
        self._stretches: dict[str, Days] = {}
        self.counted, self._noted_s = counted, time.monotonic()
        if reading:
            if not self.path.is_file():
                raise NoStudy(f"{folder} holds no study")
            self._database = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)
        else:
            self._lock = _locked(folder)
            self._database = sqlite3.connect(self.path, isolation_level=None)
        try:
            if not reading:
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=FULL")
                self._database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
                self._mark()
            tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master")}
        except sqlite3.DatabaseError as error:
            self._let_go()
            raise ResearchError(f"{self.path} is no study: {error}") from None
        if not {"study", "trial", "stretch"} <= tables:
            self._let_go()
            raise NoStudy(f"{folder} holds no study")

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Tell the registry how many there are by now, and let go."""
        try:
            self._note()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._database.close()
        if self._lock is not None:
            self._lock.close()

    def _note(self) -> None:
        if self.counted is None or self._lock is None:
            return
        self._noted_s = time.monotonic()
        if identity := self.identity():
            data_hash, name = str(identity["data_hash"]), self.path.parent.name
            registry.note_study(self.counted, data_hash, self.key(), name, self.count())

    def identify(self, identity: dict[str, Any]) -> None:
        """Say what is searched, or prove that it is the same as before.  Raises ResearchError naming what differs."""
        known = self.identity()
        if not known:
            self._database.execute("BEGIN IMMEDIATE")
            rows = [(name, json.dumps(value)) for name, value in identity.items()]
            self._database.executemany("INSERT INTO study VALUES (?, ?)", rows)
            self._mark()
            self._database.execute("COMMIT")
            return
        for name in sorted({*known, *identity}):
            if known.get(name) != json.loads(json.dumps(identity.get(name))):
                raise ResearchError(
                    f"{self.path.parent} holds a study with another {name.replace('_', ' ')}:"
                    " name another folder with --out"
                )

    def identity(self) -> dict[str, Any]:
        """What is searched; empty before anybody said it."""
        return {name: json.loads(value) for name, value in self._database.execute("SELECT name, value FROM study")}

    def key(self) -> str:
        """What names this study, wherever its folder lies by now; a copy of the folder is the same study.  Empty before
        anybody said what is searched."""
        marked = "SELECT count(*) FROM sqlite_master WHERE name = 'mark'"
        if self._database.execute(marked).fetchone()[0]:
            row = self._database.execute("SELECT key FROM mark").fetchone()
            return str(row[0]) if row else ""
        return self._made_key()  # of an earlier version, and only read

    def _mark(self) -> None:
        """Give the study its key for good: of what it searches, and of the place where it began."""
        if key := self._made_key():
            self._database.execute("INSERT OR IGNORE INTO mark VALUES (1, ?)", (key,))

    def _made_key(self) -> str:
        identity = self.identity()
        return registry.key_of([str(self.path.parent.resolve()), identity]) if identity else ""

    def add(self, trials: Sequence[Trial]) -> None:
        """Write trials and flush them to the disk; when this returns they count.

        Raises ResearchError, and writes none, where one is known already or its stage was tested."""
        if not trials:
            return
        marks = ", ".join("?" * len(COLUMNS))
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for trial in trials:
                self._note_stretch(trial)
            self._database.executemany(
                f"INSERT INTO trial ({', '.join(COLUMNS)}) VALUES ({marks})", [_row(trial) for trial in trials]
            )
            self._database.execute("COMMIT")
        except BaseException as error:
            self._database.execute("ROLLBACK")
            self._stretches.clear()
            if isinstance(error, sqlite3.IntegrityError):
                raise ResearchError(f"{self.path.parent}: a trial was to be written a second time ({error})") from None
            raise
        if self.counted is not None and time.monotonic() - self._noted_s >= NOTED_S:
            self._note()

    def scores(self, stage: str) -> dict[Point, float | None]:
        """Score by point; None is infeasible."""
        found = self._database.execute("SELECT point, score FROM trial WHERE stage = ?", (stage,))
        return {tuple(json.loads(point)): score for point, score in found}

    def trials(self, stage: str | None = None, kind: str | None = None) -> list[Trial]:
        """In the order in which they were written."""
        where, given = ["1"], []
        for name, value in (("stage", stage), ("kind", kind)):
            if value is not None:
                where.append(f"{name} = ?")
                given.append(value)
        words = f"SELECT {', '.join(COLUMNS)} FROM trial WHERE {' AND '.join(where)} ORDER BY id"
        return [self._trial(row) for row in self._database.execute(words, given)]

    def one(self, stage: str, point: Point) -> Trial | None:
        """The trial of a point; None when it was not tried."""
        words = f"SELECT {', '.join(COLUMNS)} FROM trial WHERE stage = ? AND point = ?"
        row = self._database.execute(words, (stage, json.dumps(point))).fetchone()
        return None if row is None else self._trial(row)

    def _note_stretch(self, trial: Trial) -> None:
        days = trial.days
        if days is None or trial.stage in self._stretches:
            return
        known = (trial.stage, days.start_ns, days.start_micros, days.trading_day.tobytes(), days.close_ns.tobytes())
        self._database.execute("INSERT OR IGNORE INTO stretch VALUES (?, ?, ?, ?, ?)", known)
        self._stretches[trial.stage] = days

    def _trial(self, row: tuple[Any, ...]) -> Trial:
        stage, kind, point, score, why, trades, net, sharpe, config, equity, rows, curve = row
        days = self._days(stage, equity) if equity else None
        turns = np.frombuffer(curve, np.int64).reshape(2, -1)
        return Trial(stage, kind, tuple(json.loads(point)), score, why, trades, net, sharpe, config, days, rows, turns)

    def _days(self, stage: str, equity: bytes) -> Days:
        if stage not in self._stretches:
            words = "SELECT start_ns, start_micros, trading_day, close_ns FROM stretch WHERE stage = ?"
            start_ns, start_micros, day, close = self._database.execute(words, (stage,)).fetchone()
            day, close = np.frombuffer(day, np.int64), np.frombuffer(close, np.int64)
            self._stretches[stage] = Days(start_ns, start_micros, day, close, np.frombuffer(equity, np.int64))
        return dataclasses.replace(self._stretches[stage], equity_micros=np.frombuffer(equity, np.int64))

    def cut_short(self, stage: str) -> list[Trial]:
        """Trials of points that were given up on a part of the stage: of each the longest, in order of points."""
        words = (
            f"SELECT {', '.join(COLUMNS)} FROM trial WHERE substr(stage, 1, ?) = ?"
            " AND point NOT IN (SELECT point FROM trial WHERE stage = ?) ORDER BY id"
        )
        begins = stage + PART
        found = [self._trial(row) for row in self._database.execute(words, (len(begins), begins, stage))]
        longest = {trial.point: trial for trial in found}  # parts grow, so the last one is the longest
        return [longest[point] for point in sorted(longest)]

    def count(self) -> int:
        """Every configuration ever tried in this study on each of its stretches; parts of one count with it, once."""
        words = (
            "SELECT count(*) FROM (SELECT DISTINCT CASE instr(stage, :part) WHEN 0 THEN stage"
            " ELSE substr(stage, 1, instr(stage, :part) - 1) END, point FROM trial)"
        )
        return int(self._database.execute(words, {"part": PART}).fetchone()[0])


def others_on(folder: Path, data_hash: str, counted: Path | None = None) -> registry.Tried:
    """What else was tried on the same data: in the other studies of the same folder of studies, and in whatever the
    registry `counted` knows of.  One study counts once, in however many folders it lies."""
    found: dict[str, int] = {}  # trials by key
    own = ""
    for path in sorted(folder.resolve().parent.glob(f"*/{FILE}")):
        try:
            with Ledger(path.parent, reading=True) as other:
                if other.identity().get("data_hash") != data_hash:
                    continue
                key = other.key()
                if path.parent == folder.resolve():
                    own = key
                found[key] = max(found.get(key, 0), other.count())
        except NoStudy:
            continue  # begun by another process a moment ago: it has no trial yet
    known = frozenset(found)
    found.pop(own, None)
    trials, studies = sum(found.values()), len(found)
    if counted is None:
        return registry.Tried(trials, studies)
    far = registry.tried(counted, data_hash, known)
    return registry.Tried(trials + far.searched, studies + far.studies, far.backtests)


def _locked(folder: Path) -> IO[bytes]:
    file = open(folder / LOCK, "wb")  # noqa: SIM115 - held as long as the ledger
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ResearchError(
            f"another process works on the study in {folder}: wait for it, or name another folder"
        ) from None
    return file


def _row(trial: Trial) -> tuple[object, ...]:
    equity = b"" if trial.days is None else np.ascontiguousarray(trial.days.equity_micros, np.int64).tobytes()
    return (
        trial.stage, trial.kind, json.dumps(trial.point), trial.score, trial.why, trial.trades, trial.net_micros,
        trial.sharpe, trial.config_hash, equity, trial.rows, np.ascontiguousarray(trial.curve, np.int64).tobytes(),
    )  # fmt: skip
