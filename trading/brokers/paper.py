"""The paper broker: the broker port over the paper venue's local socket, and the feed's way to bring the market there.

MES-LIVE-13: this object has no client, token or route to any order endpoint; it holds the path of a local socket.
Answers are delivered in order and exactly once, across reconnects, by the venue's own event number.
"""

import threading
import time
from collections import deque
from pathlib import Path

import numpy as np

from marketdata.core.records import EVENT
from trading.brokers.paper_link import VenueLink
from trading.brokers.port import BrokerTruth, OutcomeUnknown, RateLimited, Rejected, Unauthorized, Unreachable
from trading.brokers.wire import InstrumentTerms, Reply, Terms, events_of
from trading.core.records import ACK, CANCEL, CANCELLED, MODIFY, SUBMIT
from trading.run.clock import ClockRecord, SessionClock, boot_ns
from trading.run.spec import SessionSpec

VERBS = {SUBMIT: "submit", CANCEL: "cancel", MODIFY: "modify"}
SENT_KEPT = 1024  # orders whose time of sending is remembered
UNACKED_MAX = 8  # market frames on their way before the feed waits


def terms_of(spec: SessionSpec) -> Terms:
    """What the venue must know of a session to open its account."""
    return Terms(
        fill_model=spec.venue.fill_model,
        currency=spec.currency,
        instruments=[InstrumentTerms(item.symbol, item.values) for item in spec.instruments],
        latency_ns=spec.venue.latency_ns,
        slip_ticks=spec.venue.slip_ticks,
        seed=spec.venue.seed,
        slip_mode=spec.venue.slip_mode,
    )


def truth_of(reply: Reply) -> BrokerTruth:
    """A snapshot's reply as the port's record."""
    return BrokerTruth(reply.positions, events_of(reply.events), reply.ref, reply.position, reply.pending, reply.money)


class PaperBroker:
    """`trading.brokers.port.Broker` for one account of the paper venue; `terms` open it when it does not exist."""

    def __init__(
        self,
        socket_path: Path,
        account: str,
        terms: Terms | None = None,
        clock: ClockRecord | None = None,
        timeout_s: float = 1.0,
        role: str = "execution",
    ) -> None:
        self._account = account
        self._terms = terms
        self._clock = clock
        self._role = role
        self._timeout_s = timeout_s
        self._link = VenueLink(socket_path, timeout_s, self._pushed)
        self._arrived = threading.Condition()
        self._queue: deque[np.ndarray] = deque()
        self._delivered = 0  # ref of the last answer that entered the queue
        self._fence = -1  # of the connection, if one stands
        self._sent: dict[int, int] = {}  # order number → boot time at which its latest request left

    def connect(self, fence: int, after_ref: int) -> None:
        """Begin (or begin again) a session; see the port.  A connection that stands under this fence stays: what the
        venue keeps for it would end with it (MOEX-ROUTE-04)."""
        stands = self._link.connected and fence == self._fence
        self._fence = fence
        if stands:
            self._begin_at(after_ref)
            try:
                self._link.hello(*self._greeting(fence, after_ref))
                return
            except (Unreachable, OutcomeUnknown):
                pass  # it does not, then
            except (Rejected, RateLimited):
                self._link.close()
                raise
        self._link.close()
        self._begin_at(after_ref)
        try:
            self._link.connect(*self._greeting(fence, after_ref))
        except OutcomeUnknown as error:
            raise Unreachable(f"the venue did not answer the greeting: {error}") from None

    def _begin_at(self, ref: int) -> None:
        with self._arrived:
            self._queue.clear()
            self._delivered = ref

    def _greeting(self, fence: int, after_ref: int) -> tuple[str, str, int, int, Terms | None, ClockRecord | None]:
        pushes = after_ref if self._role == "execution" else -1
        return self._account, self._role, fence, pushes, self._terms, self._clock

    def submit(self, order: np.ndarray) -> None:
        """Send an order; see the port."""
        self._request(order, SUBMIT)

    def cancel(self, order: np.ndarray) -> None:
        """Ask to cancel; see the port."""
        self._request(order, CANCEL)

    def modify(self, order: np.ndarray) -> None:
        """Ask to change; see the port."""
        self._request(order, MODIFY)

    def request_all(self, orders: list[np.ndarray]) -> list[Exception | None]:
        """Send several requests before the first answer is waited for; see the port."""
        sent: list[int | Exception] = []
        for order in orders:
            try:
                sent.append(self._send(order))
            except (Unreachable, OutcomeUnknown) as error:
                sent.append(error)
        return [self._outcome(number) for number in sent]

    def _outcome(self, sent: int | Exception) -> Exception | None:
        if isinstance(sent, Exception):
            return sent
        try:
            self._link.wait(sent)
        except (Rejected, RateLimited, OutcomeUnknown, Unauthorized) as error:
            return error
        return None

    def _request(self, order: np.ndarray, kind: int) -> None:
        row = np.array(order, EVENT).reshape(1)
        row["kind"] = kind
        (outcome,) = self.request_all([row])
        if outcome is not None:
            raise outcome

    def _send(self, row: np.ndarray) -> int:
        if len(self._sent) >= SENT_KEPT:
            del self._sent[next(iter(self._sent))]
        self._sent[int(row["order_number"][0])] = boot_ns()
        return self._link.send(VERBS[int(row["kind"][0])], event=row.tobytes())

    def query(self, number: int) -> np.ndarray:
        """What became of an order; see the port."""
        return events_of(self._link.call("query", number=number).events)

    def snapshot(self) -> BrokerTruth:
        """The venue's truth; see the port."""
        return truth_of(self._link.call("snapshot"))

    def probe(self) -> None:
        """One round trip; see the port."""
        self._link.call("ping")

    def change_route(self, episode: int) -> None:
        """The local socket is the only way there is; see the port."""

    def events_since(self, ref: int) -> np.ndarray:
        """All answers after `ref`, whether delivered or not (for a gap that the kernel found)."""
        return events_of(self._link.call("events_since", after_ref=ref).events)

    def events(self, timeout_s: float) -> np.ndarray:
        """Answers not yet delivered; see the port."""
        deadline = time.monotonic() + timeout_s
        with self._arrived:
            while not self._queue:
                if not self._link.connected:
                    raise Unreachable("the connection to the venue is lost")
                left = deadline - time.monotonic()
                if left <= 0:
                    return np.zeros(0, EVENT)
                self._arrived.wait(left)
            parts = list(self._queue)
            self._queue.clear()
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _pushed(self, reply: Reply) -> None:
        with self._arrived:
            if reply.error == "":
                rows = events_of(reply.events)
                rows = rows[rows["ref"] > self._delivered]
                if len(rows) and rows["ref"][0] == self._delivered + 1:  # else from before the session began again
                    self._queue.append(self._stamped(rows))
                    self._delivered = int(rows["ref"][-1])
            self._arrived.notify_all()

    def _stamped(self, rows: np.ndarray) -> np.ndarray:
        """ACK and CANCELLED carry in `value` when the request left (see the port)."""
        rows = rows.copy()
        for i in np.flatnonzero((rows["kind"] == ACK) | (rows["kind"] == CANCELLED)):
            rows["value"][i] = self._sent.get(int(rows["order_number"][i]), 0)
            if rows["kind"][i] == CANCELLED:
                self._sent.pop(int(rows["order_number"][i]), None)
        return rows

    def close(self) -> None:
        """End the session."""
        self._link.close()


class PaperMarket:
    """The feed loop's end: brings each batch to the venue, at most UNACKED_MAX frames ahead of its replies.

    A batch that may not have arrived is simply sent again: the venue skips what it has, by tape position.
    """

    def __init__(
        self, socket_path: Path, account: str, terms: Terms, fence: int, clock: SessionClock, timeout_s: float = 1.0
    ) -> None:
        self._account = account
        self._terms = terms
        self._fence = fence
        self._clock = clock
        self._link = VenueLink(socket_path, timeout_s)
        self._unacked: deque[int] = deque()
        self.position = 0  # tape events that the venue has taken, as far as it said

    def connect(self) -> int:
        """Begin a session; returns the tape position that the venue has.  Raises Unreachable, Rejected."""
        self._unacked.clear()
        try:
            reply = self._link.connect(self._account, "feed", self._fence, -1, self._terms, self._clock.record())
        except OutcomeUnknown as error:
            raise Unreachable(f"the venue did not answer the greeting: {error}") from None
        self.position = reply.position
        return self.position

    def market(self, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray, position: int) -> None:
        """One batch that ends at tape position `position` (-1: outside the count).  Raises Unreachable, Rejected."""
        try:
            while len(self._unacked) >= UNACKED_MAX:
                self._take(self._unacked.popleft())
            number = self._link.send(
                "market",
                event=events.tobytes(),
                depths=depths.tobytes(),
                depth_of=np.asarray(depth_of, np.int32).tobytes(),
                position=position,
            )
        except OutcomeUnknown as error:
            raise Unreachable(str(error)) from None
        self._unacked.append(number)

    def drain(self) -> int:
        """Wait until the venue has taken everything that was sent; returns its tape position."""
        try:
            while self._unacked:
                self._take(self._unacked.popleft())
        except OutcomeUnknown as error:
            raise Unreachable(str(error)) from None
        return self.position

    def _take(self, number: int) -> None:
        self.position = self._link.wait(number).position

    def close(self) -> None:
        """End the session."""
        self._link.close()
