"""The risk loop's body: the only reader of the inbox that decides, the only writer of journal and outbox.

Every event is journaled with its outputs before anything is sent, durably when there is something to send; the latch
and the fence are checked before each send.  A start is a recovery: snapshot, replay, new segment, outbox filled from
what the venue has not answered.  It never talks to a venue, a database or the web.
"""

import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from marketdata.core.records import EVENT, FEED, NO_TIME
from marketdata.core.units import NANOS
from trading.core.records import (
    COMMAND,
    CONFIG_COMMIT,
    ENTRY,
    FIRST_OUTPUT_KIND,
    LINK,
    LINK_EXECUTION,
    RECON,
    RECON_BEGIN,
    REJECT,
    REJECTED_LATCHED,
    SUBMIT,
    TIMER,
)
from trading.run.bodies.errors import error_event, forget_failures, kept_failures
from trading.run.bodies.risk_inputs import (
    Inputs,
    LatchWatch,
    LinkWatch,
    due_timers,
    gather,
    join,
    latch_identity,
    own_inputs,
    weave_timers,
)
from trading.run.clock import ClockMissing, SessionClock, boot_ns, load_clock
from trading.run.context import WAIT_S, Fenced, LoopContext
from trading.run.journal.closing import closing_of, store_closing
from trading.run.journal.recovery import account_event, encode_snapshot, is_sent, recover, store_snapshot
from trading.run.journal.writer import JournalWriter
from trading.run.replica import Kernel
from trading.run.spec import setup_events
from trading.run.streams import INBOX, OUTBOX, Board, Stream, StreamAway, StreamFull, StreamId, Tail, pack
from trading.run.telling.risk import RiskWatch, state_lost
from trading.run.telling.timeserver import TimeWatch

BATCH = 256  # inputs journaled together
READ_ENTRIES = 64
LOOK_NS = NANOS // 4  # how often health, latch and lengths are looked at (boot clock)
SNAPSHOT_EVENTS = 20_000
SNAPSHOT_NS = 60 * NANOS
ASKED_MAX = 100  # entries waiting in the outbox beyond which nothing more is asked
KEPT_KINDS = (COMMAND, CONFIG_COMMIT)  # what a person was told is done survives a power cut
RECON_RETRY_NS = NANOS  # a reconciliation that did not come is asked for again (boot clock)
log = structlog.get_logger("trading.risk_loop")


class RiskLoop:
    """Body of loop "risk".  One instance per holding of the lease."""

    def __init__(self) -> None:
        self._stack = ExitStack()  # what close() lets go
        self._snapshot_thread: threading.Thread | None = None
        self._writer: JournalWriter | None = None
        self.kernel = Kernel()  # knows nothing until recovered

    def open(self, context: LoopContext) -> None:
        """Connect nothing yet: the session's clock may not exist.  `step` starts as soon as it does."""
        self.context = context
        self._clock: SessionClock | None = None
        self._recon_asked_ns = NO_TIME
        self._recon_count = 0
        self._looked_ns = NO_TIME
        self._trimmed_boot_ns = 0
        self._streams_open = False
        self._read_after: StreamId = (0, 0)
        self._snapshot_fault: OSError | None = None
        self._withheld = np.zeros(0, EVENT)
        self.counts: dict[str, Any] = {"inputs": 0, "sent": 0, "withheld": 0, "snapshots": 0, "inbox": 0, "seq": 0}

    def step(self) -> int:
        """One batch: read, decide, journal, send.  Returns the number of inputs.  Raises Fenced, JournalFull."""
        if self._clock is None and not self._start():
            return 0
        clock = self._clock
        assert clock is not None
        self._look()
        own = self._own_events(clock.now())
        arrived = self._read(clock, wait=len(own) == 0)
        boot = boot_ns()
        if clock.tape:
            market = arrived[0]["ts_ns"][arrived[0]["kind"] <= FEED]
            if len(market) > 0:
                arrived = weave_timers(arrived, self._last_timer_ns, boot)
                clock.observe(int(market.max()))
        parts = [own_inputs(own, boot), arrived]
        if not clock.tape:
            parts.append(own_inputs(due_timers(self._last_timer_ns, clock.now(boot)), boot))
        inputs = join(parts)
        for start in range(0, len(inputs[0]), BATCH):
            part = slice(start, start + BATCH)
            self._handle((inputs[0][part], inputs[1][part], inputs[2][part]))
        self._tidy()
        self.counts["seq"] = self.kernel.seq
        self.context.beat(self.counts)
        return len(inputs[0])

    def close(self) -> None:
        """Let the journal go.  The next owner recovers from the last snapshot, as after a crash."""
        if self._snapshot_thread is not None:
            self._snapshot_thread.join()
            self._snapshot_thread = None
        try:
            self._leave_closing()
        finally:
            self._stack.close()

    def _leave_closing(self) -> None:
        """How the account stands now, for the session after it; where it is missing the journal says it again."""
        if self._writer is None or self.kernel.seq == 0 or self.kernel.seq + 1 != self._writer.next_seq:
            return
        try:
            self._writer.check_fence()
            store_closing(self.context.folder, closing_of(self.kernel, self.context.spec.id, self._writer.last_hash))
        except (Fenced, OSError) as error:
            log.warning("no_closing", session=self.context.spec.key, error=str(error))

    # start

    def _start(self) -> bool:
        """Recover and take the journal over.  False while the session has no clock."""
        context = self.context
        try:
            clock = load_clock(context.folder)
        except ClockMissing:
            context.beat({"state": "waiting for the feed to stamp the clock"})
            context.stop.wait(WAIT_S)
            return False
        self._writer = JournalWriter(context.folder, context.spec.id, context.fence, context.code_hash)
        self._stack.callback(self._writer.close)
        recovered = recover(
            context.folder, lambda replayed: context.beat({"state": "recovering", "replayed": replayed})
        )
        self.kernel, self._outstanding = recovered.kernel, recovered.outstanding
        self._inbox_at, self._last_timer_ns = recovered.inbox, recovered.last_timer_ns
        self._snapshot_seq, self._snapshot_ns = self.kernel.seq, boot_ns()
        self._latch = LatchWatch(lambda: latch_identity(context.guard))
        self._links = LinkWatch()
        server = None if context.time_server is None else TimeWatch(context.time_server)
        if server is not None:
            self._stack.callback(server.close)
        self._watch = RiskWatch(context.spec, clock, server)
        client = context.connect()
        self._stack.callback(client.close)
        self._inbox = Stream(client, context.spec.key, INBOX)
        self._tail = Tail(client, self._inbox)
        self._stack.callback(self._tail.close)
        self._outbox = Stream(client, context.spec.key, OUTBOX)
        self._board = Board(client, context.spec.key)
        if len(recovered.owed) > 0:  # a crash cut the outputs of the last input off: the replay made them again
            self._journal(recovered.owed, np.zeros((0, 2), np.int64), np.zeros(0, np.int64))
        if clock.tape and self.kernel.seq > 0:
            clock.observe(int(self.kernel.state.account[0].now_ns))
        self._clock = clock
        if self.kernel.seq == 0:
            self._handle(own_inputs(setup_events(context.spec, clock.now()), boot_ns()))
        if (failures := kept_failures(context.folder)) > 0:  # of the holders before: nobody else could hear them
            self._handle(own_inputs(error_event("risk", failures, clock.now()), boot_ns()))
            self._writer.sync()
            forget_failures(context.folder)
        if recovered.is_lost:
            self._handle(own_inputs(state_lost(clock.now()), boot_ns()))
        link = account_event(LINK, LINK_EXECUTION, clock.now(), value=0)  # unreconciled until execution proves more
        self._handle(own_inputs(link, boot_ns()))
        return True

    # inputs

    def _own_events(self, now_ns: int) -> np.ndarray:
        """Refusals of entries that the latch stopped on their way out, then the latch itself, links and what we see."""
        parts = [self._withheld, self._latch.due(self.kernel, now_ns), self._links.due(self.kernel, now_ns)]
        parts.append(self._watch.due(self.kernel, now_ns))
        self._withheld = np.zeros(0, EVENT)
        return gather(parts)

    def _read(self, clock: SessionClock, wait: bool) -> Inputs:
        """What has arrived in the inbox and is not journaled yet; waits for it until the next timer is due."""
        if not self._streams_open:
            if wait:
                self.context.stop.wait(min(WAIT_S / 2, max(0.001, self._until_timer_s(clock))))
            return join([])
        wait_s = min(WAIT_S, self._until_timer_s(clock)) if wait else 0.0
        try:
            entries = self._tail.read(self._read_after, wait_s, READ_ENTRIES)
        except StreamAway:
            self._lost_streams()
            return join([])
        parts: list[Inputs] = []
        for entry in entries:
            self._read_after = entry.id
            skip = self._inbox_at.skip(entry.id)
            if skip < 0:
                continue
            events = entry.events[skip:]
            ids = np.empty((len(events), 2), np.int64)
            ids[:] = entry.id
            parts.append((events, ids, np.full(len(events), entry.boot_ns, np.int64)))
        return join(parts)

    def _until_timer_s(self, clock: SessionClock) -> float:
        if clock.tape or self._last_timer_ns == NO_TIME:
            return WAIT_S
        return clock.wait_s(self._last_timer_ns + NANOS)

    # decide, journal, send

    def _handle(self, inputs: Inputs) -> None:
        """Apply, journal, send one batch."""
        events, ids, boots = inputs
        if len(events) == 0:
            return
        self.counts["inputs"] += len(events)
        timers = events["ts_ns"][events["kind"] == TIMER]
        if len(timers) > 0:
            self._last_timer_ns = int(timers[-1])
        begin = time.perf_counter_ns()
        frames = self.kernel.apply(events)
        took_ns = time.perf_counter_ns() - begin
        self._journal(frames, ids, boots)
        self._latch.note(frames)
        sent = is_sent(frames["kind"])
        if sent.any():
            self._send(frames[sent])
        self._watch.stepped(took_ns)

    def _journal(self, frames: np.ndarray, ids: np.ndarray, boots: np.ndarray) -> None:
        """Append inputs and outputs as the kernel interleaved them; durable when one of them is to be sent."""
        is_input = frames["kind"] < FIRST_OUTPUT_KIND
        all_ids = np.zeros((len(frames), 2), np.int64)
        all_ids[is_input] = ids
        all_boots = np.full(len(frames), boot_ns(), np.int64)
        all_boots[is_input] = boots
        assert self._writer is not None
        durable = bool(is_sent(frames["kind"]).any() or np.isin(frames["kind"], KEPT_KINDS).any())
        self._writer.append(frames, all_ids, all_boots, durable=durable)
        self._outstanding.note(frames)
        self._inbox_at.note(ids)

    def _send(self, outputs: np.ndarray) -> None:
        """To the outbox, unless the latch fell meanwhile: then no entry leaves, and the kernel is told."""
        if self._latch.standing():
            entries = (outputs["kind"] == SUBMIT) & (outputs["role"] == ENTRY)
            if entries.any():
                self._withhold(outputs[entries])
                outputs = outputs[~entries]
        if not self._streams_open or len(outputs) == 0:
            return  # they are outstanding: the next opening of the streams sends them
        try:
            self._append_outbox(outputs)
        except StreamAway:
            self._lost_streams()
        except StreamFull:
            self._streams_open = False  # opened again as soon as there is room; the journal keeps the outputs

    def _append_outbox(self, outputs: np.ndarray) -> None:
        entries = [(f"{row['seq']}-0".encode(), pack(outputs[i : i + 1])) for i, row in enumerate(outputs)]
        self._outbox.append_many(entries, fence=self.context.fence, loop="risk")
        self.counts["sent"] += len(outputs)

    def _withhold(self, outputs: np.ndarray) -> None:
        rejects = outputs.copy()
        rejects["kind"], rejects["code"], rejects["ref"], rejects["seq"] = REJECT, REJECTED_LATCHED, 0, 0
        self._withheld = gather([self._withheld, rejects])
        self.counts["withheld"] += len(outputs)

    # streams and health

    def _look(self) -> None:
        """Every LOOK_NS: streams, database beat, reconciliation, what others may see of us."""
        boot = boot_ns()
        if self._looked_ns != NO_TIME and boot - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = boot
        if self._snapshot_fault is not None:
            raise self._snapshot_fault
        try:
            if not (self._streams_open and self._inbox.present() and self._outbox.present()):
                self._open_streams()
            self._links.saw_database(self._board.beats("sinks"), boot)
            waiting = self._inbox.length()
            self.counts["inbox"] = waiting
            self.counts |= self._watch.shown()
            full = waiting >= self._inbox.cap * 9 // 10 or self._board.beats("full")
            self._links.stream_ok = self._streams_open and not full
            self._ask_recon(boot)
        except StreamAway:
            self._lost_streams()
        except StreamFull:
            self._links.stream_ok = False

    def _open_streams(self) -> None:
        """Open both streams and send what the venue has not answered and the outbox has not seen."""
        self._inbox.open(self._inbox_at.id)
        self._tail.close()
        self._read_after = self._inbox_at.before
        self._outbox.open((0, 0))
        rows = self._outstanding.rows(after_seq=self._outbox.last_id()[0])
        if self._latch.standing():
            rows = rows[(rows["kind"] != SUBMIT) | (rows["role"] != ENTRY)]
        if len(rows) > 0:
            self._append_outbox(rows)
        self._streams_open = True
        self._recon_asked_ns = NO_TIME

    def _lost_streams(self) -> None:
        self._streams_open = False
        self._links.stream_ok = False
        self._links.saw_database(False, boot_ns())

    def _ask_recon(self, boot: int) -> None:
        """Ask execution to reconcile: after a start, while unreconciled, and before the last one is too old (P-05)."""
        account, limits = self.kernel.state.account[0], self.kernel.params.limits[0]
        assert self._clock is not None
        if account.reconciled == 1:
            age = self._clock.now(boot) - int(account.recon_ts_ns)
            if limits.recon_age_ns_max <= 0 or age <= limits.recon_age_ns_max // 3:
                return
        elif self._recon_asked_ns != NO_TIME and boot - self._recon_asked_ns < RECON_RETRY_NS:
            return
        if self._outbox.length() >= ASKED_MAX:
            return  # execution is away: it reconciles by itself when it comes
        self._recon_asked_ns = boot
        self._recon_count += 1
        ask = account_event(RECON, RECON_BEGIN, self._clock.now(boot), ref=int(account.venue_ref))
        entry_id = f"{self.kernel.seq}-{self._recon_count}".encode()
        self._outbox.append_many([(entry_id, pack(ask))], fence=self.context.fence, loop="risk")

    # housekeeping

    def _tidy(self) -> None:
        """Trim what is journaled; snapshot now and then."""
        boot = boot_ns()
        if self._streams_open and boot - self._trimmed_boot_ns > NANOS // 10 and self._inbox_at.ms > 0:
            self._trimmed_boot_ns = boot
            try:
                self._inbox.trim(self._read_after)
            except StreamAway:
                self._lost_streams()
        due = self.kernel.seq - self._snapshot_seq >= SNAPSHOT_EVENTS
        due = due or (boot - self._snapshot_ns >= SNAPSHOT_NS and self.kernel.seq > self._snapshot_seq)
        if due and (self._snapshot_thread is None or not self._snapshot_thread.is_alive()):
            self._snapshot(boot)

    def _snapshot(self, boot: int) -> None:
        """Take the bytes here, write them beside the loop: an fsync of a snapshot must not delay an exit."""
        assert self._writer is not None
        self._writer.sync()  # a snapshot may never be newer than the journal
        seq = self.kernel.seq
        last_hash, fence = self._writer.last_hash, self.context.fence
        data = encode_snapshot(self.kernel, fence, last_hash, self._inbox_at, self._last_timer_ns, self._outstanding)
        self._snapshot_seq, self._snapshot_ns = seq, boot
        self.counts["snapshots"] += 1
        self._snapshot_thread = threading.Thread(target=self._store, args=(self.context.folder, seq, data), daemon=True)
        self._snapshot_thread.start()

    def _store(self, folder: Path, seq: int, data: bytes) -> None:
        try:
            store_snapshot(folder, seq, data)
        except OSError as error:
            self._snapshot_fault = error
