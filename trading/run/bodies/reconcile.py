"""The one way in which the desk and the venue come to agree, at a start and after every reconnect.

`Answers` collects what the venue says, in order and once, and puts it into the inbox; it keeps everything while the
inbox cannot take it.  `reconcile` adds the venue's truth as RECON events exactly where it belongs: after all answers
that it contains, before any that it does not.  It never compares or corrects: the kernel does.  Called by the
execution loop.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np

from marketdata.core.records import ACCOUNT_SCOPE, new_events
from trading.brokers.port import BrokerTruth, Rejected, Unreachable
from trading.core.records import ACK, RECON, RECON_BEGIN, RECON_END, RECON_POSITION, UNKNOWN_OUTCOME
from trading.run.clock import boot_ns
from trading.run.context import Fenced
from trading.run.streams import StreamAway, StreamFull

ANSWERS_WAIT_S = 1.0  # answers that a truth contains arrive within this, or the connection counts as lost
ENTRY_EVENTS = 256
FENCED = "fenced"  # Rejected.reason of a venue that has seen a newer holder


class TruthSource(Protocol):
    """What of a Broker is needed here."""

    def snapshot(self) -> BrokerTruth: ...


def recon_events(truth: BrokerTruth, now_ns: int) -> np.ndarray:
    """BEGIN, POSITIONs of what is held or was traded (volume 1: with its money), ORDERs of what works, END.

    END's ref is the last answer that the truth contains.
    """
    held = {i: qty for i, qty in truth.positions.items() if qty != 0}
    positions = sorted((i, held.get(i, 0)) for i in {*held, *truth.money})
    events = new_events(len(positions) + len(truth.orders) + 2)
    events["kind"], events["instrument"] = RECON, ACCOUNT_SCOPE
    events["code"][0], events["code"][-1] = RECON_BEGIN, RECON_END
    for row, (instrument, qty) in zip(events[1:], positions, strict=False):
        row["code"], row["instrument"] = RECON_POSITION, instrument
        row["side"], row["qty"] = (qty > 0) - (qty < 0), abs(qty)
        if instrument in truth.money:
            row["volume"] = 1
            row["value"], row["fee_micros"] = truth.money[instrument]
    if len(truth.orders) > 0:
        events[1 + len(positions) : -1] = truth.orders
    events["ts_ns"], events["ts_venue_ns"] = now_ns, now_ns
    events["ref"][-1] = truth.last_ref
    return events


def is_answer(events: np.ndarray) -> np.ndarray:
    """Which EVENTs are the venue's own numbered answers."""
    answers: np.ndarray = (events["kind"] >= ACK) & (events["kind"] <= UNKNOWN_OUTCOME) & (events["ref"] != 0)
    return answers


def raise_if_fenced(error: Rejected) -> None:
    """Raises Fenced when the venue refused because it has seen a newer holder of this role."""
    if error.reason == FENCED:
        raise Fenced(str(error)) from error


class Answers:
    """What goes from the venue to the inbox.  Used by two threads: one collects, the other reconciles and refuses.

    `send(events)` appends to the inbox and raises StreamAway or StreamFull while it cannot.
    """

    def __init__(self, send: Callable[[np.ndarray], object]) -> None:
        self._send = send
        self._changed = threading.Condition()
        self._waiting: deque[np.ndarray] = deque()
        self._beyond: deque[np.ndarray] = deque()  # collected while a reconciliation is on
        self._reconciling = False
        self.collected_ref = 0  # last answer collected
        self.stuck = ""  # why the inbox does not take what waits; empty while it does
        self.counts = {"answers": 0, "repeated": 0, "recons": 0, "redelivered": 0}

    def start_at(self, ref: int) -> None:
        """The venue will send from `ref` + 1 on: what waits beyond it comes again."""
        with self._changed:
            if ref < self.collected_ref:
                self.counts["redelivered"] += 1
            self.collected_ref = ref
            for queue in (self._waiting, self._beyond):
                kept = [events[~is_answer(events) | (events["ref"] <= ref)] for events in queue]
                queue.clear()
                queue.extend(events for events in kept if len(events) > 0)

    def collect(self, answers: np.ndarray) -> None:
        """Take numbered answers from the venue; known ones are dropped.  Sends unless a reconciliation is on."""
        with self._changed:
            fresh = answers[answers["ref"] > self.collected_ref]
            self.counts["repeated"] += len(answers) - len(fresh)
            if len(fresh) > 0:
                self.counts["answers"] += len(fresh)
                self.collected_ref = int(fresh["ref"].max())
                (self._beyond if self._reconciling else self._waiting).append(fresh)
                self._changed.notify_all()
            self._flush()

    def tell(self, events: np.ndarray) -> None:
        """Send events of our own (refusals, link state, query reports) behind what waits."""
        with self._changed:
            if len(events) > 0:
                self._waiting.append(events)
            self._flush()

    def waiting(self) -> int:
        """Events that the inbox has not taken yet."""
        with self._changed:
            return sum(len(events) for events in (*self._waiting, *self._beyond))

    def reconcile(self, broker: TruthSource, now_ns: Callable[[], int]) -> None:
        """Put the venue's truth into the inbox.  Raises Unreachable when the answers it contains do not come."""
        with self._changed:
            self._reconciling = True
        try:
            truth = broker.snapshot()
            with self._changed:
                deadline = boot_ns() + round(ANSWERS_WAIT_S * 1e9)
                while self.collected_ref < truth.last_ref:
                    left_s = (deadline - boot_ns()) / 1e9
                    if left_s <= 0 or not self._changed.wait(left_s):
                        words = f"answers {self.collected_ref + 1} to {truth.last_ref} did not come"
                        raise Unreachable(words)
                self._split(truth.last_ref)
                self._waiting.append(recon_events(truth, now_ns()))
                self.counts["recons"] += 1
        finally:
            with self._changed:
                self._reconciling = False
                self._waiting.extend(self._beyond)
                self._beyond.clear()
                self._flush()

    def _split(self, last_ref: int) -> None:
        """Answers that the truth contains go before it, the others stay beyond."""
        later: deque[np.ndarray] = deque()
        for events in self._beyond:
            contained = events["ref"] <= last_ref
            if contained.any():
                self._waiting.append(events[contained])
            if not contained.all():
                later.append(events[~contained])
        self._beyond = later

    def _flush(self) -> None:
        """Send what waits, in order; what cannot be sent stays."""
        self.stuck = ""
        while self._waiting:
            events = self._waiting[0]
            try:
                self._send(events[:ENTRY_EVENTS])
            except (StreamAway, StreamFull) as error:
                self.stuck = str(error)
                return
            self._waiting.popleft()
            if len(events) > ENTRY_EVENTS:
                self._waiting.appendleft(events[ENTRY_EVENTS:])


def own_answer(event: np.ndarray, kind: int, code: int, now_ns: int) -> np.ndarray:
    """An answer of our own edge to one output: `ref` 0, for it is not the venue's."""
    answer = event.copy()
    answer["kind"], answer["code"], answer["ref"], answer["seq"] = kind, code, 0, 0
    answer["ts_ns"], answer["ts_venue_ns"], answer["value"] = now_ns, now_ns, 0
    return answer
