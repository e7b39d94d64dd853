"""One account of the paper venue: the simulated venue's core, the session's clock, fences and durable state together.

It answers calls as plain functions of bytes and numbers; sockets and timers are the process's.  Nothing that it returns
may be sent before `commit` has made it durable.
"""

from pathlib import Path

import numpy as np

from marketdata.core.records import DEPTH, EVENT, NO_TIME, new_events
from trading.brokers.paper_store import Meta, Store
from trading.brokers.wire import Reply, Terms, WireError, events_of
from trading.core import orders as life
from trading.core.records import (
    ACK,
    CANCELLED,
    FILL,
    RECON,
    RECON_ORDER,
    REJECT,
    REJECTED_UNKNOWN_ORDER,
)
from trading.core.venue import engine
from trading.core.venue.answers import slot_of
from trading.core.venue.held import is_held, is_sent, open_slots
from trading.core.venue.requests import is_known
from trading.core.venue.state import new_venue
from trading.run.clock import ClockRecord, SessionClock, boot_id


class Account:
    """An account that exists.  `store.meta` is never None here."""

    def __init__(self, store: Store) -> None:
        assert store.meta is not None
        self.store = store
        self.meta: Meta = store.meta
        self.venue = store.venue
        self._out = engine.new_answers()
        self._touched = False
        self.clock: SessionClock | None = None
        self._set_clock(self.meta.clock)

    @classmethod
    def open(cls, path: Path) -> "Account":
        """An account from its file."""
        store = Store(path)
        store.load()
        return cls(store)

    @classmethod
    def create(cls, path: Path, terms: Terms) -> "Account":
        """A new account.  Raises ValueError for terms under which no order could be booked."""
        venue = new_venue(
            terms.fill_model,
            [item.values for item in terms.instruments],
            terms.latency_ns,
            terms.slip_ticks,
            terms.seed,
            terms.touch,
            slip_mode=terms.slip_mode,
        )
        store = Store(path)
        store.create(venue, Meta(terms))
        return cls(store)

    # time

    def set_clock(self, record: ClockRecord) -> None:
        """The session's clock, as its feed stamped it."""
        if record != self.meta.clock:
            self._touched = True
            self.meta.clock = record
            self._set_clock(record)

    def _set_clock(self, record: ClockRecord | None) -> None:
        if record is None or record.boot_id not in ("", boot_id()):
            self.clock = None  # of another boot of the machine: the feed stamps a new one
        else:
            self.clock = SessionClock(record.start_ns, record.boot_ns, record.speed)

    def now_ns(self) -> int:
        """Session time: of the clock, or of the newest market event where there is no running clock."""
        seen = int(self.venue.account[0].now_ns)
        if self.clock is None or self.clock.tape:
            return seen
        return max(seen, self.clock.now())

    @property
    def on_tape(self) -> bool:
        """True when only the market moves time."""
        return self.clock is None or self.clock.tape

    def wait_s(self) -> float | None:
        """Real seconds until `advance` has something to do; None: nothing is due, or the market must move first."""
        due = int(engine.next_due_ns(self.venue))
        if due == NO_TIME:
            return None
        if self.clock is None or self.clock.tape:
            return 0.0 if due <= self.now_ns() else None
        return self.clock.wait_s(due)

    @property
    def waits(self) -> bool:
        """A request is on its way, or a passive child waits for its time."""
        account = self.venue.account[0]
        return bool(account.request_count > 0 or account.held_count > 0)

    def delay_s(self) -> float:
        """The venue's latency in real seconds, for the guard's requests."""
        if self.clock is None or self.clock.tape:
            return 0.0
        return self.meta.terms.latency_ns / (self.clock.speed * 1e9)

    # what comes in

    def _keep(self, count: int) -> int:
        """Take `count` answers from the buffer into the history, stamped with the time at which they can be known."""
        if count > 0:
            self._touched = True
            rows = self._out[:count].copy()
            rows["ts_ns"] = np.maximum(rows["ts_ns"], self.now_ns())
            self.store.history += rows.tobytes()
        return count

    def market(self, events: bytes, depths: bytes, depth_of: bytes, position: int) -> None:
        """A batch of the feed that ends at tape position `position` (-1: not counted, nothing is skipped)."""
        rows = events_of(events)
        if len(depths) % DEPTH.itemsize != 0 or len(depth_of) not in (0, 4 * len(rows)):
            raise WireError("depths do not fit the events")
        books = np.frombuffer(depths, DEPTH).copy()  # writable, as the compiled code expects
        index = np.frombuffer(depth_of, np.int32).copy() if depth_of else np.full(len(rows), -1, np.int32)
        if len(index) and int(index.max()) >= len(books):
            raise WireError("an event names a depth that is not in the frame")
        account = self.venue.account[0]
        first = 0
        if position >= 0:  # a batch sent again after a takeover: only what is new counts
            first = min(max(0, int(account.market_position) - (position - len(rows))), len(rows))
            account.market_position = max(int(account.market_position), position)
        while first < len(rows):
            first, count = engine.market_batch(self.venue, rows, first, books, index, self._out)
            self._keep(count)
        self.advance()

    def advance(self, to_ns: int | None = None) -> None:
        """Let session time pass."""
        now_ns = self.now_ns() if to_ns is None else to_ns
        if now_ns != NO_TIME:
            self._keep(engine.advance(self.venue, now_ns, self._out))

    def advance_to_due(self) -> None:
        """The tape stands still: what is due next arrives now."""
        due = int(engine.next_due_ns(self.venue))
        if due != NO_TIME:
            self.advance(max(due, self.now_ns()))

    def full(self) -> bool:
        """No room for another request on its way."""
        return bool(self.venue.account[0].request_count >= len(self.venue.requests))

    def request(self, event: bytes, kind: int) -> None:
        """SUBMIT, CANCEL or MODIFY.  Served when session time reaches its arrival."""
        rows = events_of(event)
        if len(rows) != 1 or int(rows["kind"][0]) != kind:
            raise WireError("a request carries one event of its own kind")
        self._touched = True
        self._keep(engine.request(self.venue, rows, 0, self._out))
        self.advance()

    def block(self, on: bool) -> None:
        """Admit no new order (K-02, step 2), or admit them again."""
        self._touched = True
        self.venue.account[0].blocked = int(on)

    def take_fence(self, role: str, fence: int) -> None:
        """From now on `fence` is the lowest that acts for this role."""
        if self.meta.fences.get(role) != fence:
            self._touched = True
            self.meta.fences[role] = fence

    def drop_kept(self) -> None:
        """Whoever sent the passive children that wait here is gone: they are answered CANCELLED (MOEX-ROUTE-04)."""
        self._keep(engine.drop_kept(self.venue, self._out))

    def cancel_all(self) -> int:
        """Returns how many orders were cancelled."""
        return self._counted(engine.cancel_all(self.venue, self._out), CANCELLED)

    def flatten(self) -> tuple[int, int]:
        """Returns (orders cancelled, fills that closed)."""
        count = engine.flatten(self.venue, self._out)
        kinds = self._out["kind"][:count]
        result = int((kinds == CANCELLED).sum()), int((kinds == FILL).sum())
        self._keep(count)
        return result

    def _counted(self, count: int, kind: int) -> int:
        found = int((self._out["kind"][:count] == kind).sum())
        self._keep(count)
        return found

    # what is asked

    @property
    def last_ref(self) -> int:
        """Number of the newest answer."""
        return int(self.venue.account[0].ref)

    def since(self, ref: int) -> bytes:
        """Answers after `ref`.  Raises LookupError for numbers that are not kept."""
        if ref > self.last_ref:
            raise LookupError(f"answer {ref} was never given; the last is {self.last_ref}")
        skip = ref - self.meta.first_ref + 1
        if skip < 0:
            raise LookupError(f"answers before {self.meta.first_ref} are no longer kept; reconcile by snapshot")
        return bytes(self.store.history[skip * EVENT.itemsize :])

    def query(self, number: int) -> bytes:
        """See Broker.query."""
        slot = int(slot_of(self.venue, number))
        if slot >= 0 and (self.venue.orders[slot].status == life.WORKING or is_held(self.venue, slot)):
            order = self.venue.orders[slot]
            return self._order_row(order, ACK, 0, order.filled).tobytes()
        history = np.frombuffer(bytes(self.store.history), EVENT)
        own = history[history["order_number"] == number]
        if len(own) or is_known(self.venue, number):
            return own.tobytes()
        row = new_events(1)
        row["kind"], row["code"], row["order_number"] = REJECT, REJECTED_UNKNOWN_ORDER, number
        row["ts_ns"] = row["ts_venue_ns"] = self.now_ns()
        return row.tobytes()

    def _order_row(self, order: np.record, kind: int, code: int, filled: int) -> np.ndarray:
        """An order, or a request on its way, as a row."""
        row = new_events(1)
        row["kind"], row["code"] = kind, code
        row["ts_ns"] = row["ts_venue_ns"] = self.now_ns()
        row["order_number"], row["instrument"], row["side"] = order.number, order.instrument, order.side
        row["order_type"], row["role"] = order.order_type, order.role
        row["qty"], row["volume"] = order.qty, filled
        row["price_tick"], row["stop_tick"], row["until_ns"] = order.price_tick, order.stop_tick, order.until_ns
        return row

    def _sent(self) -> list[np.record]:
        """Passive children on their way from here to the market: whoever kept them still answers for them."""
        count = int(self.venue.account[0].request_count)
        return [self.venue.requests[i] for i in range(count) if is_sent(self.venue, i)]

    def snapshot(self) -> Reply:
        """Positions, working orders with passive children that wait or are on their way, counters: the venue's own
        evidence."""
        account = self.venue.account[0]
        held = {int(i): int(self.venue.markets[i].qty) for i in np.flatnonzero(self.venue.markets["qty"])}
        paid = np.flatnonzero(self.venue.markets["fees_micros"] | self.venue.markets["cash_ticks"])
        markets = self.venue.markets
        money = {int(i): (int(markets[i].cash_ticks), int(markets[i].fees_micros)) for i in paid}
        orders = [self.venue.orders[slot] for slot in open_slots(self.venue)]
        rows = [self._order_row(order, RECON, RECON_ORDER, order.filled) for order in orders]
        rows += [self._order_row(request, RECON, RECON_ORDER, 0) for request in self._sent()]
        return Reply(
            events=b"".join(row.tobytes() for row in rows),
            positions=held,
            money=money,
            ref=self.last_ref,
            position=int(account.market_position),
            pending=int(account.request_count),
            blocked=bool(account.blocked == 1),
        )

    @property
    def changed(self) -> bool:
        """Something happened that must be durable before it is answered; market data alone is not."""
        return self._touched

    def commit(self) -> None:
        """Make all of it durable."""
        self.store.commit()
        self._touched = False
