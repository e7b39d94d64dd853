"""The execution loop's body: outbox to venue, venue's answers to inbox, nothing decided in between.

One thread serves the outbox in order, another collects answers.  Requests are identified by the kernel's order number;
one that may have been sent before is looked up first.  Entries that are too old or meet the latch are refused; exits
and cancels always go.  It reconciles at its start, after every reconnect and whenever the risk loop asks.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from marketdata.core.records import new_events
from marketdata.core.units import NANOS
from trading.brokers.port import Broker, OutcomeUnknown, RateLimited, Rejected, Unreachable
from trading.core.records import (
    CANCEL,
    ENTRY,
    EXIT,
    FILL,
    LINK,
    LINK_EXECUTION,
    MODIFY,
    QUERY,
    RECON,
    REJECT,
    REJECTED_BY_VENUE,
    REJECTED_EXPIRED,
    REJECTED_RATE,
    ROUTE_FAILOVER,
    SUBMIT,
    UNKNOWN_OUTCOME,
)
from trading.run.bodies.children import Output, Unsent, refusal_of
from trading.run.bodies.reconcile import Answers, own_answer, raise_if_fenced
from trading.run.clock import ClockMissing, SessionClock, boot_ns, load_clock
from trading.run.context import WAIT_S, LoopContext
from trading.run.journal.recovery import account_event, last_answer_ref
from trading.run.streams import INBOX, OUTBOX, ZERO_ID, Stream, StreamAway, Tail
from trading.run.telling.venue import VenueWatch

READ_ENTRIES = 64
TOGETHER_MAX = 16  # requests on their way at once
WAITED_NS = NANOS  # an exit that is older is held against the venue's position before it goes
REQUESTS = (SUBMIT, CANCEL, MODIFY)
NOT_ASKED = 2**62
BACK_OFF_S = (0.1, 1.0)  # first and longest wait between two attempts to connect

_NOTHING = new_events(0)

log = logging.getLogger(__name__)


class ExecutionLoop:
    """Body of loop "execution".  `make_broker` makes the one broker of a session, not connected."""

    def __init__(self, make_broker: Callable[[LoopContext], Broker]) -> None:
        self._make_broker = make_broker
        self._stack = ExitStack()
        self._ended = threading.Event()
        self._up = threading.Event()  # connected, as far as both threads know
        self._collector: threading.Thread | None = None

    def open(self, context: LoopContext) -> None:
        """Connect to Redis; the venue follows in `step`, from the first answer on that the journal lacks."""
        self.context = context
        outbox_client, inbox_client = context.connect(), context.connect()
        self._stack.callback(outbox_client.close)
        self._stack.callback(inbox_client.close)
        self._outbox = Stream(outbox_client, context.spec.key, OUTBOX)
        self._inbox = Stream(inbox_client, context.spec.key, INBOX)
        self._tail = Tail(outbox_client, self._outbox)
        self._stack.callback(self._tail.close)
        self._answers = Answers(self._send)
        self._answers.start_at(last_answer_ref(context.folder))
        self._broker = self._make_broker(context)
        self._stack.callback(self._broker.close)
        self._watch = VenueWatch(context.spec, self._broker.probe, self._answers.tell)
        self._clock: SessionClock | None = None
        self._pending: deque[Output] = deque()
        self._cursor = self._served = self._trimmed = ZERO_ID
        self._first_read = True  # what lies in the outbox at our start may have been sent by the holder before us
        self._unsent = Unsent()
        self._recon_wanted = False
        self._again_from = NOT_ASKED  # give answers again from behind this one
        self._not_before_ns = 0
        self._back_off_s = BACK_OFF_S[0]
        self._said_down = False
        self.counts = {"sent": 0, "refused": 0, "unknown": 0, "connects": 0, "limited": 0, "failovers": 0}
        self._fault: Exception | None = None
        self._ended.clear()
        self._collector = threading.Thread(target=self._collect, name="answers", daemon=True)
        self._collector.start()

    def step(self) -> int:
        """Serve what the outbox holds.  Returns the number of outputs served.  Raises Fenced."""
        if self._fault is not None:
            raise self._fault
        if self._clock is None and not self._find_clock():
            return 0
        self._read(wait=self._up.is_set() and not self._pending and not self._recon_wanted)
        served = 0
        if self._up.is_set() or self._connect():
            served = self._serve_pending()
            if self._recon_wanted and not self._pending:
                self._reconcile()
        assert self._clock is not None
        if not self._answers.stuck:
            self._watch.step(self._clock, up=self._up.is_set(), idle=not self._pending)
        self._trim()
        shown: dict[str, object] = {"state": "connected" if self._up.is_set() else "venue away"}
        shown |= {"pending": len(self._pending), "waiting": self._answers.waiting(), "stuck": self._answers.stuck}
        self.context.beat(shown | self.counts | self._answers.counts | self._watch.shown())
        return served

    def close(self) -> None:
        """End the session with the venue; orders there stay as they are."""
        self._ended.set()
        self._stack.close()
        if self._collector is not None:
            self._collector.join()
            self._collector = None
        self._up.clear()

    # venue

    def _connect(self) -> bool:
        """Connect when it is time to; then everything pending may have been sent before, and we reconcile."""
        if not self._said_down:
            self._said_down = True
            self._answers.tell(self._link(0))
        left_s = (self._not_before_ns - boot_ns()) / NANOS
        if left_s > 0:
            self.context.stop.wait(min(left_s, WAIT_S / 2))
            return False
        try:
            self._broker.connect(self.context.fence, self._answers.collected_ref)
        except Rejected as error:
            raise_if_fenced(error)
            raise
        except Unreachable as error:
            self._watch.reached(error)
            self._not_before_ns = boot_ns() + round(self._back_off_s * NANOS)
            self._back_off_s = min(2 * self._back_off_s, BACK_OFF_S[1])
            return False
        self._watch.reached(None)
        self._back_off_s = BACK_OFF_S[0]
        self.counts["connects"] += 1
        self._pending = deque(output._replace(again=True) for output in self._pending)
        self._recon_wanted, self._said_down = True, False
        self._answers.tell(self._link(1))
        self._up.set()
        return True

    def _collect(self) -> None:
        """The other thread; what ends it ends the loop, in `step`."""
        try:
            while not self._ended.is_set():
                self._collect_some()
        except Exception as error:  # noqa: BLE001 (raised again by the loop's own thread)
            self._fault = error

    def _collect_some(self) -> None:
        """Answers as they come, and what the inbox did not take before."""
        if not self._up.wait(WAIT_S):
            self._answers.tell(_NOTHING)
            return
        try:
            answers = self._broker.events(WAIT_S)
            self._watch.note(answers)
            self._answers.collect(answers)
        except Unreachable:
            self._up.clear()

    def _reconcile(self) -> None:
        """Answers again from where the asker stands, then the venue's truth: the one path for start and reconnect."""
        assert self._clock is not None
        try:
            if self._again_from < self._answers.collected_ref:
                self._answers.start_at(self._again_from)
                self._broker.connect(self.context.fence, self._again_from)
                self._up.set()  # the other thread saw the old connection end
            self._answers.tell(self._link(1))  # a risk loop that started anew takes us for away until it is told
            self._answers.reconcile(self._broker, self._clock.now)
        except Rejected as error:
            raise_if_fenced(error)
            raise
        except (Unreachable, OutcomeUnknown, RateLimited):
            self._up.clear()  # connecting again asks for the reconciliation again
            return
        self._recon_wanted, self._again_from = False, NOT_ASKED

    # outbox

    def _find_clock(self) -> bool:
        try:
            self._clock = load_clock(self.context.folder)
        except ClockMissing:
            self.context.beat({"state": "waiting for the feed to stamp the clock"})
            self.context.stop.wait(WAIT_S)
            return False
        return True

    def _read(self, wait: bool) -> None:
        """New outputs behind the cursor; without Redis nothing new is sent."""
        try:
            if self._first_read:
                self._resend_through = self._outbox.last_id()
                self._first_read = False
            entries = self._tail.read(self._cursor, WAIT_S if wait else 0.0, READ_ENTRIES)
        except StreamAway:
            if wait:
                self.context.stop.wait(WAIT_S / 2)
            return
        for entry in entries:
            self._cursor = entry.id
            again = entry.id <= self._resend_through
            for i in range(len(entry.events)):
                self._pending.append(Output(entry.id, entry.events[i : i + 1], again))

    def _serve_pending(self) -> int:
        """In order, until one has to wait.  Returns how many are done."""
        done = 0
        while self._pending and self._up.is_set():
            if boot_ns() < self._not_before_ns:
                self.context.stop.wait(min(WAIT_S, (self._not_before_ns - boot_ns()) / NANOS))
                break
            together = self._together()
            if len(together) > 1:
                outcomes = self._broker.request_all([output.event for output in together])
                settled = [self._settle(*pair) for pair in zip(together, outcomes, strict=True)]
            else:
                together, settled = [self._pending[0]], [self._serve(self._pending[0])]
            for _ in together:
                self._pending.popleft()
            stay = [output for output, over in zip(together, settled, strict=True) if not over]
            done += len(together) - len(stay)
            if stay:
                self._pending.extendleft(reversed(stay))
                break
            self._served = together[-1].id
        return done

    def _together(self) -> list[Output]:
        """The requests at the head that need not wait for each other: an exit leaves with the cancel before it."""
        found: dict[int, Output] = {}
        for output in self._pending:
            row = output.event[0]
            kind, number = int(row["kind"]), int(row["order_number"])
            if kind not in REQUESTS or number in found or output.again or len(found) == TOGETHER_MAX:
                break
            self._observe(row)
            if row["role"] == EXIT and self._waited(output):
                break
            if self._ours(row):
                break
            found[number] = output
        return list(found.values())

    def _observe(self, row: np.void) -> None:
        assert self._clock is not None
        self._clock.observe(int(row["ts_ns"]))
        self._watch.leaves(row)

    def _settle(self, output: Output, outcome: Exception | None) -> bool:
        """What became of a request.  False: it stays, to be tried again."""

        def answer() -> None:
            if outcome is not None:
                raise outcome
            self.counts["sent"] += 1

        return self._guarded(output, answer)

    def _serve(self, output: Output) -> bool:
        """One output.  False: it stays, to be tried again."""
        self._observe(output.event[0])
        return self._guarded(output, lambda: self._handle(output))

    def _handle(self, output: Output) -> None:
        assert self._clock is not None
        event, row = output.event, output.event[0]
        kind, number = int(row["kind"]), int(row["order_number"])
        if kind == RECON or (kind == QUERY and number == 0):
            self._recon_wanted = True
            self._again_from = min(self._again_from, int(row["ref"]))
        elif kind == QUERY:
            self._report(number)
        elif kind == ROUTE_FAILOVER:
            self._broker.change_route(int(row["ref"]))
            self.counts["failovers"] += 1
        elif kind == SUBMIT and (output.again or self._ours(row)) and self._known(number):
            pass  # it was sent before a crash: its answers come by themselves, and its CANCEL goes to the venue
        elif kind == SUBMIT and row["role"] == EXIT and self._waited(output) and not self._reduces(row):
            self._refuse(event, REJECTED_EXPIRED)  # what it was to close is closed: it would open the other side
        elif self._unsent.stays(row, self._pending):
            self._answers.tell(self._unsent.answer(event, self._clock.now()))
        elif refusal := self._refusal(row):
            self._refuse(event, refusal)
        else:
            self._request(kind, event)
            self.counts["sent"] += 1

    def _guarded(self, output: Output, work: Callable[[], None]) -> bool:
        """Do it, and turn the broker's four errors into what the ring must know.  False: the output stays."""
        event, row = output.event, output.event[0]
        assert self._clock is not None
        kind, number = int(row["kind"]), int(row["order_number"])
        try:
            work()
        except Rejected as error:
            raise_if_fenced(error)
            self._refuse(event, REJECTED_BY_VENUE)
        except RateLimited as error:
            self.counts["limited"] += 1
            if kind == SUBMIT and row["role"] == ENTRY:
                self._refuse(event, REJECTED_RATE)
            else:  # exits and cancels are not dropped
                self._not_before_ns = boot_ns() + round(error.wait_s * NANOS)
                return False
        except Unreachable:
            self._up.clear()
            return False
        except OutcomeUnknown:
            self.counts["unknown"] += 1
            if kind in REQUESTS:
                self._answers.tell(own_answer(event, UNKNOWN_OUTCOME, 0, self._clock.now()))
                self._ask(number)
        return True

    def _refusal(self, row: np.void) -> int:
        assert self._clock is not None
        return refusal_of(row, self.context.guard, self._clock.now())

    def _ours(self, row: np.void) -> bool:
        """Whether our own edge would answer this output: never one that the venue knows."""
        return self._unsent.stays(row, self._pending) or self._refusal(row) != 0

    def _request(self, kind: int, event: np.ndarray) -> None:
        if kind not in REQUESTS:
            raise ValueError(f"kind {kind} does not belong into an outbox")
        (outcome,) = self._broker.request_all([event])
        if outcome is not None:
            raise outcome

    def _waited(self, output: Output) -> bool:
        """Whether the position may have changed since this was decided, unseen by who decided it."""
        assert self._clock is not None
        age_ns = self._clock.now() - int(output.event["ts_ns"][0])
        return output.again or age_ns > WAITED_NS * max(1.0, self._clock.speed)

    def _reduces(self, row: np.void) -> bool:
        """By the venue's own word, now: it closes what is held there and no more."""
        held = self._broker.snapshot().positions.get(int(row["instrument"]), 0)
        return held * int(row["side"]) < 0 and int(row["qty"]) <= abs(held)

    def _refuse(self, event: np.ndarray, code: int) -> None:
        assert self._clock is not None
        self.counts["refused"] += 1
        self._unsent.note(event[0])
        self._answers.tell(own_answer(event, REJECT, code, self._clock.now()))

    def _known(self, number: int) -> bool:
        """Has the venue heard of this order?  Nothing yet (on its way) counts as yes."""
        report = self._broker.query(number)
        return not bool(((report["kind"] == REJECT) & (report["ref"] == 0)).any())

    def _report(self, number: int) -> None:
        """What the venue knows of an order, to the inbox; numbered answers and fills come by their own road only."""
        report = self._broker.query(number)
        self._answers.tell(report[(report["ref"] == 0) & (report["kind"] != FILL)])

    def _ask(self, number: int) -> None:
        """After an unknown outcome: ask once now; the kernel asks again by itself (W-01)."""
        try:
            self._report(number)
        except (Unreachable, OutcomeUnknown):
            self._up.clear()
        except (Rejected, RateLimited) as error:
            log.info("no report on order %d: %s", number, error)

    def _trim(self) -> None:
        if self._served > self._trimmed:
            try:
                self._outbox.trim(self._served)
            except StreamAway:
                return
            self._trimmed = self._served

    # inbox

    def _send(self, events: np.ndarray) -> None:
        self._inbox.append(events, fence=self.context.fence, loop="execution")

    def _link(self, up: int) -> np.ndarray:
        assert self._clock is not None
        return account_event(LINK, LINK_EXECUTION, self._clock.now(), value=up)
