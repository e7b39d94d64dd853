"""The alerts' process: finds, keeps, sends, escalates, gives a sign of life: silence is an alarm (T-04, N16).

It reads files first and needs neither database nor Redis to tell; it touches no order, and the one command that it
sends is a pause (T-05).  Run by `manage.py alerts`, one per desk, at a lower priority than the trading loops.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from desk.alerts import mirror
from desk.alerts.book import Book
from desk.alerts.channels import Channel, SendFailed, file_channel, post
from desk.alerts.escalation import ESCALATE_NS, Standing
from desk.alerts.kinds import URGENT, Alert
from desk.alerts.looking import Looks
from desk.alerts.sender import Senders
from desk.alerts.watching import Journals
from marketdata.core.units import NANOS
from trading import control
from trading.core import states
from trading.run.clock import boot_id, boot_ns
from trading.run.conduct.watch import OUTLIERS

STEP_S = 0.25
LOOK_NS = NANOS  # latch, Redis, database
CURSOR_NS = 60 * NANOS  # without an alert: how much a restart reads again at most
SHOW_NS = 5 * NANOS
BEAT_NS = 20 * NANOS
AWAY_NS = 10 * NANOS  # a database that takes nothing for so long is an alert itself
CLOSE_S = 5.0
STATE = "state.json"
PAUSING = (OUTLIERS,)
REASON_MAX = 500  # characters that a command keeps of its reason
log = structlog.get_logger("desk.alerts")


class Setting(NamedTuple):
    """What the process is given."""

    var: Path
    redis_url: str
    channels: list[Channel]  # empty: a file under the runtime folder
    heartbeat: str = ""  # URL of a receiver that raises an alarm when nothing comes any more


class Shown(msgspec.Struct, omit_defaults=True):
    """The state as pages read it from its file.  `at_boot_ns` of boot `boot`: when it was written."""

    boot: str
    at_boot_ns: int
    urgent: int  # without an answer
    unsent: int
    newest: str
    channels: list[tuple[str, str, bool]]  # name, what its last failure said (empty: none since), outside
    heartbeat: str  # "": none is named; "fine"; else what went wrong
    fault: str = ""


def folder(var: Path) -> Path:
    """Where book and state lie."""
    return var / "alerts"


def read_state(var: Path) -> Shown | None:
    """The state, whatever its age; None where there is none that can be read."""
    try:
        return msgspec.json.decode((folder(var) / STATE).read_bytes(), type=Shown)
    except (OSError, msgspec.MsgspecError):
        return None


def is_fresh(shown: Shown | None) -> bool:
    """Whether the process that wrote it is there."""
    return shown is not None and shown.boot == boot_id() and boot_ns() - shown.at_boot_ns < 4 * LOOK_NS


def _pause(alert: Alert) -> bool:
    """Fills that stood out: entries wait until a person has looked (T-05).

    Whether the session's inbox took it.  Each try is a command of its own: one that failed is never sent again.
    """
    try:
        row = control.send_command(alert.session, "pause", "alerts", alert.text[:REASON_MAX])
    except Exception as error:  # noqa: BLE001 - whatever it was, it is tried again, and alerts go on
        log.warning("pause_refused", uid=alert.uid, error=str(error))
        return False
    return row.state == states.ACCEPTED


class Teller:
    """One run.  `clock`: the boot clock; `wall`: the wall clock; both in ns."""

    def __init__(
        self, setting: Setting, clock: Callable[[], int] = boot_ns, wall: Callable[[], int] = time.time_ns
    ) -> None:
        self._setting, self._clock, self._wall = setting, clock, wall
        place = folder(setting.var)
        self._channels = setting.channels or [file_channel(place / "sent.jsonl")]
        self._book = Book(place)
        self._journals = Journals(setting.var, self._book.cursors, self._book.is_new)
        self._looks = Looks(setting.var, setting.redis_url)
        self._senders = Senders(self._channels)
        self._said = [""] * len(self._channels)
        self._newest, self._badge = "", b""
        self._unwritten: list[Alert] = []  # not in the database yet
        self._delivered: dict[str, tuple[list[str], int]] = {}
        self._aside: mirror.Doer = mirror.at_once
        self._pause_aside: mirror.Doer = mirror.at_once
        self._pausing: dict[str, Future[bool]] = {}  # by uid
        self._exchange: Future[mirror.Exchanged] | None = None
        self._out: tuple[list[Alert], dict[str, tuple[list[str], int]]] = [], {}  # what it writes
        self._away_since_ns = 0
        self._looked_ns = self._cursor_ns = self._shown_ns = self._beat_ns = 0
        self._beating: threading.Thread | None = None
        self._heartbeat = "" if not setting.heartbeat else "nothing was sent yet"
        now_ns = clock()
        for standing in self._book.open.values():
            if standing.delivered:
                standing.due_ns = now_ns + ESCALATE_NS  # a restart is no reason to say it again at once

    def step(self) -> None:
        """Look at everything that is due, and send what is."""
        boot, at_ns = self._clock(), self._wall()
        found, cursors = self._journals.look(at_ns, boot)
        keeps = False
        if boot - self._cursor_ns >= CURSOR_NS:
            self._cursor_ns, cursors, keeps = boot, self._journals.cursors(), True
        looks = boot - self._looked_ns >= LOOK_NS
        if looks:
            self._looked_ns = boot
            found += self._looks.look(self._journals.watched(), at_ns, boot)
        self._note(self._book.add(found, cursors))
        if keeps:
            self._journals.keep()
        self._results(boot, at_ns)
        self._send(boot, at_ns)
        if looks or found:
            self._pauses()
        if looks or (self._exchange is not None and self._exchange.done()):
            self._note(self._book.add(self._rows(boot, at_ns), {}))
            self._send(boot, at_ns)
        if looks or found:
            self._show(boot)
        self._beat(boot, at_ns)

    def run(self, stop: threading.Event) -> None:
        """Until `stop`."""
        self._aside, self._pause_aside = mirror.Aside(), mirror.Aside()  # both may have to wait for the database
        log.info("alerts_begin", channels=[channel.name for channel in self._channels])
        while not stop.wait(STEP_S):
            self.step()
        self._senders.close(CLOSE_S)
        self._results(self._clock(), self._wall())

    def _note(self, new: list[Standing]) -> None:
        for standing in new:
            self._newest = standing.alert.text
            self._unwritten.append(standing.alert)
            log.warning("alert", severity=standing.alert.severity, what=standing.alert.text, uid=standing.alert.uid)

    def _pauses(self) -> None:
        """Pauses that alerts ask for, until their session has them or a person has answered.

        The book says what is owed, so a crash loses none; a session that has left the guard's list trades no more.
        """
        trading = {one.session for one in self._journals.watched()}
        for uid, standing in self._book.open.items():
            owed = standing.alert.kind in PAUSING and not standing.paused and standing.alert.session in trading
            if owed and not self._looks.is_away and uid not in self._pausing:
                self._pausing[uid] = self._pause_aside(partial(_pause, standing.alert))
        for uid, took in list(self._pausing.items()):
            if took.done():
                del self._pausing[uid]
                if took.result():
                    self._book.paused(uid)

    def _send(self, boot: int, at_ns: int) -> None:
        for uid in [uid for uid, one in self._book.open.items() if mirror.has_lapsed(one.alert, at_ns)]:
            self._book.answered(uid, mirror.LAPSED, at_ns)
        for standing in self._book.open.values():
            if standing.is_overdue(boot):
                log.warning("alerts_channel_hangs", uid=standing.alert.uid)
                standing.refused(boot, len(self._channels))
            if standing.is_due(boot):
                which = standing.channel(len(self._channels))
                standing.take(boot)
                self._senders.put(which, standing.alert)

    def _results(self, boot: int, at_ns: int) -> None:
        for result in self._senders.results():
            name = self._channels[result.channel].name
            self._said[result.channel] = result.why
            standing = [self._book.open[uid] for uid in result.uids if uid in self._book.open]
            if result.why:
                log.warning("alerts_not_sent", channel=name, why=result.why, alerts=len(result.uids))
                for one in standing:
                    if one.is_with(result.channel, len(self._channels)):  # else it has gone on to another
                        one.refused(boot, len(self._channels))
                continue
            self._book.sent(result.uids, name, at_ns)
            for one in standing:
                one.took(boot, len(self._channels))
                before = self._delivered.get(one.alert.uid, ([], at_ns))
                self._delivered[one.alert.uid] = ([*one.delivered], before[1])

    def _rows(self, boot: int, at_ns: int) -> list[Alert]:
        """Database: rows out, answers and rehearsals in.  It may be away or hang; then that is an alert, too."""
        begins = self._exchange is None
        if self._exchange is None:
            self._away_since_ns = self._away_since_ns or boot  # until it has answered
            self._out, self._unwritten, self._delivered = (self._unwritten, self._delivered), [], {}
            waiting = [uid for uid, one in self._book.open.items() if one.waits_for_answer]
            self._exchange = self._aside(partial(mirror.exchange, *self._out, waiting))
        if not self._exchange.done():
            return [] if begins else self._database_away(boot, at_ns, "it does not answer")
        try:
            answers, found = self._exchange.result()
        except mirror.MirrorAway as error:
            found, delivered = self._out
            self._unwritten, self._delivered = found + self._unwritten, delivered | self._delivered
            return self._database_away(boot, at_ns, str(error)[:200])
        finally:
            self._exchange = None
        for uid, by in answers:
            self._book.answered(uid, by, at_ns)
        self._away_since_ns = 0
        return found

    def _database_away(self, boot: int, at_ns: int, why: str) -> list[Alert]:
        if boot - self._away_since_ns < AWAY_NS:
            return []
        uid = f"database:{self._away_since_ns}"
        return [Alert(uid, at_ns, URGENT, "DATABASE", f"the database takes nothing: {why}")]

    def _show(self, boot: int) -> None:
        """The state's file, and the badge of open pages."""
        standing = self._book.open.values()
        urgent = sum(one.waits_for_answer for one in standing)
        unsent = sum(not one.delivered for one in standing)
        channels = [(c.name, said, c.outside) for c, said in zip(self._channels, self._said, strict=True)]
        fault = self._book.fault or self._journals.fault
        shown = Shown(boot_id(), boot, urgent, unsent, self._newest, channels, self._heartbeat, fault)
        path = folder(self._setting.var) / STATE
        try:
            temporary = path.with_suffix(".new")
            temporary.write_bytes(msgspec.json.encode(shown))
            os.replace(temporary, path)
        except OSError as error:
            log.error("alerts_state_not_written", error=str(error))
        text = msgspec.json.encode({"urgent": urgent, "unsent": unsent})
        if text != self._badge or boot - self._shown_ns >= SHOW_NS:
            self._shown_ns, self._badge = boot, text
            self._looks.show(self._journals.watched(), text, boot)

    def _beat(self, boot: int, at_ns: int) -> None:
        """A sign of life for the receiver outside; a slow one holds up nothing, a second one waits for the first."""
        busy = self._beating is not None and self._beating.is_alive()
        if not self._setting.heartbeat or busy or boot - self._beat_ns < BEAT_NS:
            return
        self._beat_ns = boot
        urgent = sum(one.waits_for_answer for one in self._book.open.values())
        content: dict[str, object] = {"desk": "alive", "at_ns": at_ns, "urgent": urgent}
        self._beating = threading.Thread(target=self._give_sign, args=(content,), daemon=True)
        self._beating.start()

    def _give_sign(self, content: dict[str, object]) -> None:
        try:
            post(self._setting.heartbeat, content)
        except SendFailed as error:
            self._heartbeat = str(error)
        else:
            self._heartbeat = "fine"
