"""The journals of the sessions that may trade, read for alerts beside the sinks and without Redis or database.

Which sessions those are says the guard's list; one that leaves it is read to its end.  It writes nothing.  Called by
`teller`.
"""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from desk.alerts.kinds import URGENT, WARNING, Alert, SessionKinds
from marketdata.core.units import NANOS
from risk.core.records import MES
from trading.run import guard
from trading.run.clock import write_atomic
from trading.run.conduct.money import MoneyState, MoneyWatch
from trading.run.conduct.watch import OUTLIERS, Watch, WatchState
from trading.run.journal.reader import CHUNK_FRAMES, JournalReader
from trading.run.journal.segment import JournalBroken
from trading.run.spec import SpecError, load_spec

FRAMES = 4096  # of one session in one look
MONEY_DIFFERS = "MONEY_DIFFERS"
LEFT_NS = 10 * NANOS  # boot clock: so long is a session read that has left the guard's list


class Watched(NamedTuple):
    """A session whose journal is read."""

    session: int
    key: str


class _Kept(msgspec.Struct):
    """What was gathered of a journal up to frame `seq`, so that a restart need not read it again."""

    seq: int
    windows: WatchState
    money: MoneyState


class _Followed:
    """One session.  `kept`: where its `_Kept` lies."""

    def __init__(self, folder: Path, watched: Watched, seq: int, kept: Path) -> None:
        spec = load_spec(folder)
        self.watched, self.seq, self.left_ns = watched, seq, 0
        self.reader = JournalReader(folder)
        symbols = [item.symbol for item in spec.instruments]
        self.kinds = SessionKinds(watched.session, watched.key, spec.limits.get("rules", MES), symbols, seq > 0)
        self.watch = Watch(max(0, spec.limits.get("collar_ticks_max", 0)))
        self.money = MoneyWatch([item.values["tick_value_micros"] for item in spec.instruments])
        self._kept = kept
        read = self._go_on(seq)
        while read < seq and len(frames := self.reader.read(read, min(CHUNK_FRAMES, seq - read))) > 0:
            self.watch.windows(frames["event"])
            self.money.note(frames["event"])  # sums count from the first fill; what differed then was told then
            read += len(frames)
        self.broken = False

    def _go_on(self, seq: int) -> int:
        """Take what was kept, unless it is of a later place than `seq`.  Returns up to where it is known."""
        try:
            found = msgspec.json.decode(self._kept.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return 0  # the journal tells it again
        if not 0 < found.seq <= seq:
            return 0
        self.watch.go_on(found.windows)
        self.money.go_on(found.money)
        return found.seq

    def keep(self) -> None:
        """Write down what was gathered; the cursor of `seq` stands in the book already.  Raises OSError."""
        write_atomic(self._kept, msgspec.json.encode(_Kept(self.seq, self.watch.state(), self.money.state())))

    def note(self, frames: np.ndarray, at_ns: int) -> list[Alert]:
        """Alerts of these FRAMEs: what the kernel and the venue said, and how the orders fared (T-02, T-05, T-07)."""
        found, key = self.kinds.note(frames["event"], at_ns), self.watched.key
        for one in self.watch.note(frames["event"]):
            severity, uid = URGENT if one.kind == OUTLIERS else WARNING, f"{key}:{one.kind}:{one.key}"
            found.append(Alert(uid, at_ns, severity, one.kind, f"{key}: {one.text}", self.watched.session))
        for words in self.money.note(frames["event"]):
            uid = f"{key}:{MONEY_DIFFERS}:{int(frames['event']['seq'][-1])}"
            found.append(Alert(uid, at_ns, URGENT, MONEY_DIFFERS, f"{key}: {words}", self.watched.session))
        return found


class Journals:
    """`cursors`: how far each session was read before.  `from_end`: sessions that are there already were read by none,
    and are followed from their end on.
    """

    def __init__(self, var: Path, cursors: dict[str, int], from_end: bool) -> None:
        self._var, self._cursors, self._from_end = var, dict(cursors), from_end
        self._followed: dict[str, _Followed] = {}
        self.fault = ""

    def look(self, at_ns: int, boot: int) -> tuple[list[Alert], dict[str, int]]:
        """What is new, and the cursors behind it.  `at_ns`: wall clock; `boot`: boot clock."""
        found: list[Alert] = []
        moved: dict[str, int] = {}
        self._choose(boot)
        self._from_end = False
        for key, one in self._followed.items():
            alerts = self._read(one, at_ns)
            found += alerts
            if alerts:
                moved[key] = one.seq
        return found, moved

    def watched(self) -> list[Watched]:
        """Sessions that the guard's list names."""
        return [one.watched for one in self._followed.values() if one.left_ns == 0]

    def cursors(self) -> dict[str, int]:
        """How far each session is read."""
        return {key: one.seq for key, one in self._followed.items()}

    def keep(self) -> None:
        """Have a restart read no journal from its begin; a disk that takes nothing costs that reading alone."""
        with suppress(OSError):
            for one in self._followed.values():
                if one.seq > 0 and not one.broken:
                    one.keep()

    def _choose(self, boot: int) -> None:
        try:
            targets = guard.read_settings(self._var)
        except (OSError, ValueError) as error:
            self.fault = f"the guard's list cannot be read: {error}"
            return
        self.fault = ""
        for target in targets:
            if target.key in self._followed:
                self._followed[target.key].left_ns = 0
                continue
            try:
                self._followed[target.key] = self._follow(Watched(target.session, target.key))
            except (SpecError, JournalBroken, OSError, ValueError) as error:
                self.fault = f"{target.key} cannot be followed: {error}"
        wanted = {target.key for target in targets}
        for key, one in list(self._followed.items()):
            if key not in wanted:
                one.left_ns = one.left_ns or boot
                if boot - one.left_ns > LEFT_NS:
                    self._cursors[key] = one.seq
                    del self._followed[key]
                    with suppress(OSError):
                        self._kept(key).unlink(missing_ok=True)

    def _follow(self, watched: Watched) -> _Followed:
        folder = self._var / "sessions" / str(watched.session)
        seq = self._cursors.get(watched.key, -1)
        if seq < 0:
            seq = JournalReader(folder).last_seq() if self._from_end else 0
        return _Followed(folder, watched, seq, self._kept(watched.key))

    def _kept(self, key: str) -> Path:
        return self._var / "alerts" / f"{key}.read.json"

    @staticmethod
    def _read(one: _Followed, at_ns: int) -> list[Alert]:
        if one.broken:
            return []
        try:
            frames = one.reader.read(one.seq, FRAMES)
        except (JournalBroken, OSError) as error:
            one.broken = True
            uid, words = f"{one.watched.key}:journal", f"{one.watched.key}: the journal cannot be read: {error}"
            return [Alert(uid, at_ns, URGENT, "JOURNAL_BROKEN", words, one.watched.session)]
        one.seq += len(frames)
        return one.note(frames, at_ns) if len(frames) else []
