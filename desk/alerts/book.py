"""The alerts' own journal: one file of JSON lines under the runtime folder, which needs neither database nor Redis.

What was found, what was sent, who answered, and how far each session's journal was read.  A line counts once it is on
disk; where the disk takes none, the desk goes on telling from memory and says so.  Used by `teller` alone.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from desk.alerts.escalation import Standing
from desk.alerts.kinds import URGENT, Alert

FILE = "book.jsonl"
BYTES_MAX = 4_000_000  # then what still matters is written anew at the next start
UIDS_KEPT = 2_000


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: an alert, a delivery (`uid`, `channel`), an answer (`uid`, `by`), a pause that its session took
    (`uid`, `paused`), or a cursor (`key`, `seq`)."""

    alert: Alert | None = None
    uid: str = ""
    channel: str = ""
    by: str = ""
    at_ns: int = 0  # wall clock
    key: str = ""
    seq: int = 0
    paused: bool = False


class Book:
    """Open alerts by uid, cursors by session key.  `fault`: what the disk said last, empty while it takes lines."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.is_new = not self.path.exists()
        self.open: dict[str, Standing] = {}
        self.cursors: dict[str, int] = {}
        self.fault = ""
        self._known: dict[str, None] = {}  # in order, the oldest first
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for line in self._read():
            self._take(line)
        if not self.is_new and self.path.stat().st_size > BYTES_MAX:
            self._write_anew()

    def add(self, alerts: Iterable[Alert], cursors: dict[str, int]) -> list[Standing]:
        """Keep alerts that were not known, and the cursors that stand behind them.  Returns the new ones."""
        new = [alert for alert in alerts if alert.uid not in self._known]
        lines = [Line(alert=alert) for alert in new]
        lines += [Line(key=key, seq=seq) for key, seq in cursors.items() if self.cursors.get(key) != seq]
        self._keep(lines)
        return [self.open[alert.uid] for alert in new]

    def sent(self, uids: Iterable[str], channel: str, at_ns: int) -> None:
        """A channel took these alerts."""
        self._keep([Line(uid=uid, channel=channel, at_ns=at_ns) for uid in uids])

    def answered(self, uid: str, by: str, at_ns: int) -> None:
        """A person answered."""
        self._keep([Line(uid=uid, by=by, at_ns=at_ns)])

    def paused(self, uid: str) -> None:
        """The alert's session took the pause that it asks for."""
        self._keep([Line(uid=uid, paused=True)])

    def _keep(self, lines: list[Line]) -> None:
        for line in lines:
            self._take(line)
        if not lines:
            return
        try:
            with self.path.open("ab") as file:
                file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.fault = str(error)
        else:
            self.fault = ""

    def _take(self, line: Line) -> None:
        if line.alert is not None:
            self._known[line.alert.uid] = None
            if len(self._known) > UIDS_KEPT:
                del self._known[next(iter(self._known))]
            self.open[line.alert.uid] = Standing(line.alert)
        elif line.key:
            self.cursors[line.key] = line.seq
        elif (standing := self.open.get(line.uid)) is not None:
            standing.paused |= line.paused
            if line.channel:
                standing.delivered.append(line.channel)
                standing.asked = max(standing.asked, len(standing.delivered))
            if line.by or standing.alert.severity != URGENT:
                del self.open[line.uid]

    def _read(self) -> list[Line]:
        """Every whole line; one that a crash cut off, at the end, never counted."""
        if self.is_new:
            return []
        found, data = [], self.path.read_bytes()
        *lines, torn = data.split(b"\n")
        if torn:
            os.truncate(self.path, len(data) - len(torn))  # else the next line would be joined to it
        for text in lines:
            try:
                found.append(msgspec.json.decode(text, type=Line))
            except msgspec.MsgspecError as error:
                self.fault = f"a line of the book cannot be read: {error}"
        return found

    def _write_anew(self) -> None:
        lines = [Line(key=key, seq=seq) for key, seq in self.cursors.items()]
        for standing in self.open.values():
            lines.append(Line(alert=standing.alert))
            uid = standing.alert.uid
            lines += [Line(uid=uid, channel=name, at_ns=standing.alert.at_ns) for name in standing.delivered]
            lines += [Line(uid=uid, paused=True)] * standing.paused
        temporary = self.path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
