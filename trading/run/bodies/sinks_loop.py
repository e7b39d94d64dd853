"""The sinks loop's body: follows the journal for everybody who must not slow it down.

Ledger, audit and whoever else follows gets every frame in order, each behind a cursor of its own; one that fails is
tried again and holds up nobody else.  A replica kernel reruns all inputs and compares every output with the journal,
all the time, and the browser's picture is made from it.  Nothing here can delay an exit.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

import numpy as np

from marketdata.core.records import NO_TIME
from marketdata.core.units import NANOS
from trading.run.bodies.bars import Bars
from trading.run.bodies.page import PageClock, Streams, page_values
from trading.run.bodies.snapshot import Rows, build
from trading.run.clock import ClockMissing, SessionClock, boot_ns, load_clock
from trading.run.context import LoopContext
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import Replayer, load_snapshot
from trading.run.journal.segment import JournalBroken
from trading.run.journal.verify import describe
from trading.run.replica import Kernel
from trading.run.streams import Board, StreamAway, StreamFull
from trading.run.versions import load_names

POLL_S = 0.02
PAUSE_S_MIN = 0.0005
BATCH = 512
PUBLISH_NS = NANOS // 20  # at whole multiples by the boot clock
BEAT_NS = NANOS // 4
SYNC_NS = NANOS // 10
BEAT_LIFE_MS = 1000
BEHIND_MAX = 5_000  # frames a follower may be behind before the database counts as away
RETRY_NS = NANOS // 4
ROWS_BACK = 20_000  # frames before the snapshot that are read to fill the last rows

log = logging.getLogger(__name__)


class Retry(RuntimeError):
    """A follower cannot take these frames now (database locked or away): give it the same ones again."""


class Follower(Protocol):
    """Somebody who follows the journal."""

    name: str

    def cursor(self) -> int:
        """Seq of the last frame it has for good; may raise Retry."""
        ...

    def apply(self, frames: np.ndarray) -> None:
        """Take FRAMEs cursor+1.. and keep frames and cursor together, or neither.  Raises Retry to get them again."""
        ...

    def publish(self) -> None:
        """After each look at the journal, often without a frame: tell whoever waits; must not fail without one."""
        ...


class _Followed:
    """One follower and where it stands."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.seq = -1  # not asked yet
        self.retry_ns = 0
        self.fault = ""
        self.faults = 0

    def advance(self, reader: JournalReader, through: int) -> int:
        """Give it the next batch, up to seq `through`.  Returns the number of frames it took."""
        if boot_ns() < self.retry_ns:
            return 0
        try:
            if self.seq < 0:
                self.seq = self.follower.cursor()
            if self.seq > through:
                raise JournalBroken(f"{self.follower.name} has rows up to {self.seq}, the journal ends at {through}")
            taken = 0
            if self.seq < through:
                frames = reader.read(self.seq, min(BATCH, through - self.seq))
                self.follower.apply(frames)
                taken = len(frames)
                self.seq += taken
            self.follower.publish()
        except Retry as error:
            self.retry_ns = boot_ns() + RETRY_NS
            self.faults += 1
            self.seq = -1  # ask again where it stands: nothing is lost and nothing comes twice
            if self.fault == "":
                log.warning("%s waits: %s", self.follower.name, error)
            self.fault = str(error)
            return 0
        self.fault = ""
        return taken


class SinksLoop:
    """Body of loop "sinks".  `make_followers` makes them for one session."""

    def __init__(self, make_followers: Callable[[LoopContext], list[Follower]]) -> None:
        self._make_followers = make_followers
        self._stack = ExitStack()

    def open(self, context: LoopContext) -> None:
        """Take the followers' cursors as they are; the replica starts at the newest snapshot."""
        self.context = context
        self._reader = JournalReader(context.folder)
        self._followed = [_Followed(follower) for follower in self._make_followers(context)]
        client = context.connect()
        self._stack.callback(client.close)
        self._board = Board(client, context.spec.key)
        self._rows = Rows()
        self._streams = Streams()
        self._bars = Bars(context.folder)
        self._clock: SessionClock | None = None
        self._names: dict[int, str] = {}
        self._fault = ""
        start = load_snapshot(context.folder, self._reader, self._reader.last_seq())
        self._replayer = Replayer(Kernel() if start is None else start.kernel)
        self._seq = self._replayer.kernel.seq
        self._rows.note(self._reader.read(max(0, self._seq - ROWS_BACK), min(self._seq, ROWS_BACK))["event"])
        self._published: dict[str, bytes] = {}
        self._due_ns = self._beat_ns = self._synced_ns = NO_TIME
        self._durable = 0
        self._shown: dict[str, object] = {}
        self.counts = {"seq": self._seq, "compared": 0, "published": 0, "bars_unsaved": 0}

    def step(self) -> int:
        """One batch for each follower and for the replica, then the picture.  Returns the frames handled."""
        durable = self._sync()
        handled = sum(followed.advance(self._reader, durable) for followed in self._followed)
        self._fill_bars()
        handled += self._follow_replica()
        self._publish()
        self._beat()
        self.context.beat(self._shown | self.counts)
        if handled == 0:
            self.context.stop.wait(self._pause_s())
        return handled

    def close(self) -> None:
        """Nothing to save: every follower keeps its own cursor."""
        self._stack.close()

    def _pause_s(self) -> float:
        """Until the next look at the journal, or until the next picture where that is sooner."""
        if self._fault:
            return POLL_S
        return min(POLL_S, max(PAUSE_S_MIN, (self._due_ns - boot_ns()) / NANOS))

    @property
    def fault(self) -> str:
        """What the continuous verification found; empty while every output equals."""
        return self._fault

    def _sync(self) -> int:
        """Seq through which the journal is on disk: rows of frames that a power cut takes back would outlive them."""
        boot = boot_ns()
        if self._synced_ns == NO_TIME or boot - self._synced_ns >= SYNC_NS:
            self._synced_ns = boot
            last_seq = self._reader.last_seq()
            if last_seq != self._durable:
                self._reader.sync()
                self._durable = last_seq
        return self._durable

    def _follow_replica(self) -> int:
        try:
            events = self._reader.read(self._seq, BATCH)["event"]
        except JournalBroken as error:
            self._found(str(error))
            return 0
        if len(events) == 0:
            return 0
        self._rows.note(events)
        if self._bars.seq == self._seq:
            self._chart(events)
        if self._fault == "":
            difference = self._replayer.feed(events)
            if difference is not None:
                self._found(describe(difference))
            self.counts["compared"] += len(events)
        self._seq += len(events)
        self.counts["seq"] = self._seq
        return len(events)

    def _fill_bars(self) -> None:
        """Bars start where their file ends, often before the replica: read on until both stand at the same place."""
        behind = self._seq - self._bars.seq
        if behind <= 0:
            return
        try:
            self._chart(self._reader.read(self._bars.seq, min(BATCH, behind))["event"])
        except JournalBroken as error:
            self._found(str(error))

    def _chart(self, events: np.ndarray) -> None:
        """A chart is worth no fault: a disk that refuses is told in the loop's health, the bars wait in memory."""
        try:
            self._bars.note(events)
            self.counts["bars_unsaved"] = 0
        except OSError as error:
            if self.counts["bars_unsaved"] == 0:
                log.warning("the bars cannot be kept: %s", error)
            self.counts["bars_unsaved"] = 1

    def _found(self, words: str) -> None:
        """A difference is shown until a person has looked at it; the picture stops rather than lies."""
        if self._fault == "":
            log.error("journal and kernel differ: %s", words)
            self._fault = words

    def _publish(self) -> None:
        boot = boot_ns()
        if self._fault or boot < self._due_ns:
            return
        self._due_ns = boot - boot % PUBLISH_NS + PUBLISH_NS
        try:
            latest, health = self._board.latest(), self._board.health()
            spec, epoch = self.context.spec, self.context.fence
            picture = build(self._replayer.kernel, self._rows, spec, latest, health, epoch)
            picture["account"]["version_name"] = self._version_name()
            now = PageClock(self._session_us(), boot)
            values = page_values(picture | self._bars.values(), self._streams, spec, now, self.context.code_hash, epoch)
            changed = {name: value for name, value in values.items() if self._published.get(name) != value}
            self._board.publish(changed, boot)
        except (StreamAway, StreamFull):
            self._published = {}  # whatever comes back may be empty: send all again
            return
        self._published = values
        self.counts["published"] += 1

    def _version_name(self) -> str:
        """Name of the configuration version in force, as whoever handed it over left it in the session's folder."""
        version = int(self._replayer.kernel.state.account[0].version)
        if version not in self._names:
            self._names = load_names(self.context.folder)
        return self._names.get(version, f"version {version}" if version else "no version")

    def _session_us(self) -> int | None:
        """Session time now; None while the feed loop has not stamped the clock.  On a tape: the kernel's own time."""
        if self._clock is None:
            try:
                self._clock = load_clock(self.context.folder)
            except ClockMissing:
                return None
        kernel_ns = int(self._replayer.kernel.state.account[0].now_ns)
        return (kernel_ns if self._clock.tape else self._clock.now()) // 1000

    def _beat(self) -> None:
        """The database counts as present while every follower takes frames and is not far behind."""
        boot = boot_ns()
        if self._beat_ns != NO_TIME and boot - self._beat_ns < BEAT_NS:
            return
        self._beat_ns = boot
        last_seq = self._reader.last_seq()
        behind = {f.follower.name: last_seq - max(f.seq, 0) for f in self._followed}
        faults = {f.follower.name: f.fault for f in self._followed if f.fault}
        healthy = not faults and all(n <= BEHIND_MAX for n in behind.values())
        self._shown = {"behind": behind, "faults": faults, "difference": self._fault}
        try:
            if healthy:
                self._board.beat("sinks", BEAT_LIFE_MS)
        except (StreamAway, StreamFull):
            self._published = {}
