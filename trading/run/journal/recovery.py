"""Restart = recovery = start: snapshot, replay, and what the venue still owes an answer for.

`Replayer` reruns the inputs of a journal and compares every output with the one that was recorded, bit for bit:
recovery, the sinks' continuous check and `replay --verify` are the same few lines.  A snapshot only shortens the way:
it is used when the journal still holds the very frame that it was made after, and never otherwise.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from marketdata.core.records import ACCOUNT_SCOPE, EVENT, NO_TIME, new_events
from risk.core.holds import BIT
from trading.core import orders as life
from trading.core.records import (
    ACK,
    CANCEL,
    FIRST_OUTPUT_KIND,
    HOLD_CLEARED,
    MODIFY,
    ORDER_STATE,
    QUERY,
    RECON,
    RECON_END,
    ROUTE_FAILOVER,
    SUBMIT,
    TIMER,
    UNKNOWN_OUTCOME,
)
from trading.run.clock import write_atomic
from trading.run.journal.reader import JournalReader
from trading.run.replica import Kernel, SnapshotRefused

CHUNK = 4096
SNAPSHOTS_KEPT = 3
UNCHECKED_MAX = 60_000  # frames: a journal so long has had a snapshot
_NAME = re.compile(r"^snapshot-(\d+)\.bin$")
_REQUEST_OF = {CANCEL: life.CANCELLING, MODIFY: life.MODIFYING, QUERY: life.QUERYING}
_FAILOVER = BIT["NET_FAILOVER"]


class ReplayDiffers(RuntimeError):
    """The journal says one thing and the kernel another: other code, or a damaged state.  Nothing may go on."""


def is_sent(kinds: Any) -> Any:
    """Which kinds (array or int) the execution loop serves: SENT_KINDS, without the cost of `np.isin`."""
    return ((kinds >= SUBMIT) & (kinds <= MODIFY)) | (kinds == QUERY) | (kinds == ROUTE_FAILOVER)


class Difference(NamedTuple):
    """First frame at which journal and kernel disagree; `computed` is empty when the kernel made nothing."""

    seq: int
    recorded: bytes
    computed: bytes


class Replayer:
    """A kernel that follows a journal.  `feed` takes frames in order, any cut."""

    def __init__(self, kernel: Kernel | None = None) -> None:
        self.kernel = Kernel() if kernel is None else kernel
        self.owed = np.zeros(0, EVENT)  # outputs of the last input that the journal has not shown yet

    def feed(self, events: np.ndarray) -> Difference | None:
        """Apply the inputs among `events` (EVENT), compare all.  Returns the first difference; not usable after one."""
        inputs = events[events["kind"] < FIRST_OUTPUT_KIND]
        computed = np.concatenate([self.owed, self.kernel.apply(inputs)])
        count = len(events)
        recorded_bytes = np.ascontiguousarray(events).tobytes()
        computed_bytes = computed[:count].tobytes()
        self.owed = computed[count:]
        if recorded_bytes == computed_bytes:
            return None
        size = EVENT.itemsize
        for i in range(count):
            ours, theirs = computed_bytes[i * size : (i + 1) * size], recorded_bytes[i * size : (i + 1) * size]
            if ours != theirs:
                return Difference(int(events["seq"][i]), theirs, ours)
        raise AssertionError("bytes differ but no frame does")


class Outstanding:
    """Outputs that the venue has not answered: what an empty outbox is filled with again.

    Follows the journal, outputs and answers alike; the kernel's own ORDER_STATE rows say which requests are still open.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], np.ndarray] = {}  # (order number, kind) -> the output

    def note(self, events: np.ndarray) -> None:
        """Follow these frames' EVENTs (seq order)."""
        kinds = events["kind"]
        wanted = np.flatnonzero((kinds >= FIRST_OUTPUT_KIND) | (kinds == RECON))
        for i in wanted:
            kind, number = int(kinds[i]), int(events["order_number"][i])
            if is_sent(kind):
                self._open[(number, kind)] = events[i : i + 1].copy()
            elif kind == ORDER_STATE:
                self._settle(number, int(events["code"][i]), int(events["value"][i]))
            elif kind == HOLD_CLEARED and events["code"][i] == _FAILOVER:
                self._open.pop((0, ROUTE_FAILOVER), None)  # the episode is over
            elif kind == RECON and events["code"][i] == RECON_END:
                self._open.pop((0, QUERY), None)  # the missed answers were asked for and have come

    def _settle(self, number: int, status: int, request: int) -> None:
        if status != life.NEW:
            self._open.pop((number, SUBMIT), None)
        for kind, open_request in _REQUEST_OF.items():
            if request != open_request or not life.is_open(status):
                self._open.pop((number, kind), None)

    def rows(self, after_seq: int = 0) -> np.ndarray:
        """Unanswered outputs with seq > `after_seq`, in order."""
        rows = sorted(self._open.values(), key=lambda row: int(row["seq"][0]))
        rows = [row for row in rows if row["seq"][0] > after_seq]
        return np.concatenate(rows) if rows else np.zeros(0, EVENT)

    def seqs(self) -> list[int]:
        """Seqs of the unanswered outputs."""
        return [int(seq) for seq in self.rows()["seq"]]

    def restore(self, reader: JournalReader, seqs: list[int]) -> None:
        """Load these outputs back from the journal."""
        for seq in seqs:
            self.note(reader.read(seq - 1, 1)["event"])


class InboxPosition:
    """How far the inbox is in the journal: the last entry, and how many of its events.  The only de-duplication."""

    def __init__(self, ms: int = 0, n: int = 0, count: int = 0) -> None:
        self.ms, self.n, self.count = ms, n, count

    @property
    def id(self) -> tuple[int, int]:
        """Id of the last entry of which something was journaled."""
        return self.ms, self.n

    @property
    def before(self) -> tuple[int, int]:
        """The id just before it: reading behind this one brings the last entry again, which may be half journaled."""
        if self.n > 0:
            return self.ms, self.n - 1
        return (self.ms - 1, 2**63 - 1) if self.ms > 0 else (0, 0)

    def note(self, ids: np.ndarray) -> None:
        """Follow journaled frames by their stream ids, (n, 2) int64; rows of zeros came from no stream."""
        carried = np.flatnonzero(ids[:, 0] != 0)
        if len(carried) == 0:
            return
        ms, n = int(ids[carried[-1], 0]), int(ids[carried[-1], 1])
        same = int(np.count_nonzero((ids[:, 0] == ms) & (ids[:, 1] == n)))
        self.count = self.count + same if (ms, n) == self.id else same
        self.ms, self.n = ms, n

    def skip(self, entry_id: tuple[int, int]) -> int:
        """How many leading events of this entry are journaled already; -1: all of them."""
        if entry_id < self.id:
            return -1
        return self.count if entry_id == self.id else 0


class _Stored(msgspec.Struct):
    seq: int
    fence: int
    frame_hash: bytes
    inbox: tuple[int, int, int]
    last_timer_ns: int
    outstanding: list[int]
    kernel: bytes


class Recovered(NamedTuple):
    """What a risk loop starts from."""

    kernel: Kernel
    outstanding: Outstanding
    inbox: InboxPosition
    last_timer_ns: int  # NO_TIME before the first
    owed: np.ndarray  # outputs of the last input that a crash cut off: to be appended first
    replayed: int
    is_lost: bool = False  # checkpoints must have been there and none could be used (MOEX-STORE-09)


def snapshot_path(folder: Path, seq: int) -> Path:
    """Where the snapshot after frame `seq` lies."""
    return folder / f"snapshot-{seq}.bin"


def snapshot_seqs(folder: Path) -> list[int]:
    """Seqs of the snapshots in the folder, newest first."""
    matches = (_NAME.match(path.name) for path in folder.iterdir())
    return sorted((int(match.group(1)) for match in matches if match is not None), reverse=True)


def encode_snapshot(
    kernel: Kernel, fence: int, frame_hash: bytes, inbox: InboxPosition, last_timer_ns: int, outstanding: Outstanding
) -> bytes:
    """A snapshot as bytes, with a checksum over all of it.  `frame_hash`: hash of the frame `kernel.seq`."""
    stored = _Stored(
        seq=kernel.seq,
        fence=fence,
        frame_hash=frame_hash,
        inbox=(inbox.ms, inbox.n, inbox.count),
        last_timer_ns=last_timer_ns,
        outstanding=outstanding.seqs(),
        kernel=kernel.snapshot(),
    )
    body = msgspec.msgpack.encode(stored)
    return hashlib.sha256(body).digest() + body


def store_snapshot(folder: Path, seq: int, data: bytes) -> None:
    """Write one snapshot whole, and drop all but the newest SNAPSHOTS_KEPT."""
    write_atomic(snapshot_path(folder, seq), data)
    for old in snapshot_seqs(folder)[SNAPSHOTS_KEPT:]:
        snapshot_path(folder, old).unlink(missing_ok=True)


def load_snapshot(folder: Path, reader: JournalReader, at_most: int) -> Recovered | None:
    """The newest snapshot with seq <= `at_most` that belongs to this journal and this code; None when there is none.

    Damaged ones and those of a fenced writer (their last frame is not in the journal) are passed over.
    """
    for seq in snapshot_seqs(folder):
        if seq > at_most:
            continue
        try:
            data = snapshot_path(folder, seq).read_bytes()
        except FileNotFoundError:  # the owner dropped it meanwhile
            continue
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            continue
        stored = msgspec.msgpack.decode(data[32:], type=_Stored)
        frame = reader.read(seq - 1, 1)
        if len(frame) == 0 or frame["hash"][0].tobytes() != stored.frame_hash:
            continue
        try:
            kernel = Kernel.restore(stored.kernel)
        except SnapshotRefused:
            continue
        outstanding = Outstanding()
        outstanding.restore(reader, stored.outstanding)
        inbox = InboxPosition(*stored.inbox)
        return Recovered(kernel, outstanding, inbox, stored.last_timer_ns, np.zeros(0, EVENT), 0)
    return None


def is_damaged(folder: Path) -> bool:
    """Whether a snapshot there is not what was written.  One of other code, or of a fenced writer, is no damage."""
    for seq in snapshot_seqs(folder):
        try:
            data = snapshot_path(folder, seq).read_bytes()
        except FileNotFoundError:
            continue
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            return True
    return False


def recover(folder: Path, progress: Callable[[int], None] = lambda replayed: None) -> Recovered:
    """Snapshot and replay up to the journal's end.  Raises ReplayDiffers, JournalBroken.

    `progress(frames replayed)` is called after every chunk: a long recovery is not a hung loop.
    """
    reader = JournalReader(folder)
    start = load_snapshot(folder, reader, reader.last_seq())
    is_lost = start is None and is_damaged(folder)
    if start is None:
        start = Recovered(Kernel(), Outstanding(), InboxPosition(), NO_TIME, np.zeros(0, EVENT), 0)
    replayer = Replayer(start.kernel)
    last_timer_ns, replayed, seq = start.last_timer_ns, 0, start.kernel.seq
    while True:
        frames = reader.read(seq, CHUNK)
        if len(frames) == 0:
            break
        difference = replayer.feed(frames["event"])
        if difference is not None:
            raise ReplayDiffers(f"replay of {folder.name} differs from its journal at seq {difference.seq}")
        start.outstanding.note(frames["event"])
        start.inbox.note(np.stack([frames["stream_ms"], frames["stream_n"]], axis=1))
        timers = frames["event"]["ts_ns"][frames["event"]["kind"] == TIMER]
        if len(timers) > 0:
            last_timer_ns = int(timers[-1])
        seq += len(frames)
        replayed += len(frames)
        progress(replayed)
    is_lost = is_lost or (replayed > UNCHECKED_MAX and len(snapshot_seqs(folder)) == 0)
    return start._replace(last_timer_ns=last_timer_ns, owed=replayer.owed, replayed=replayed, is_lost=is_lost)


def last_answer_ref(folder: Path) -> int:
    """Venue event number of the newest answer in the journal, 0 when there is none: where a new connection goes on."""
    reader = JournalReader(folder)
    end = reader.last_seq()
    while end > 0:
        start = max(0, end - CHUNK)
        events = reader.read(start, end - start)["event"]
        kinds = events["kind"]
        answers = (kinds >= ACK) & (kinds <= UNKNOWN_OUTCOME) & (events["ref"] != 0)
        if answers.any():
            return int(events["ref"][answers].max())
        end = start
    return 0


def account_event(kind: int, code: int, ts_ns: int, value: int = 0, ref: int = 0) -> np.ndarray:
    """One EVENT about the whole account, (1,)."""
    event = new_events(1)
    event["kind"], event["code"], event["instrument"] = kind, code, ACCOUNT_SCOPE
    event["ts_ns"], event["ts_venue_ns"], event["value"], event["ref"] = ts_ns, ts_ns, value, ref
    return event
