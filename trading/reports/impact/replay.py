"""One recorded session lived again under other limits: its market, scores and commands, a venue that is simulated.

What the record cannot know of another life, the venue's answers, is left out and made anew by the simulated venue from
the best bid and ask that the journal holds; everything else goes through the same kernel in the same order.  The same
is done with the limits that ran: two lives are compared that differ in nothing else.  Called by `impact.preview`.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numba import njit

from marketdata.core.compiled import borrowed
from marketdata.core.records import ACCOUNT_SCOPE, BOOK, DEPTH, NO_TICK, NO_TIME, STATUS, new_depths, new_events
from risk.core.codes import APPROVED
from risk.core.holds import BIT
from risk.core.records import LIMIT_FIELDS, LIMIT_INDEX
from trading.brokers.port import BrokerTruth
from trading.core.kernel import step
from trading.core.records import (
    ACK,
    CONDITION,
    CONFIG,
    CONFIG_COMMIT,
    DECISION,
    ENTRY,
    FIRST_OUTPUT_KIND,
    HEDGE,
    HOLD_RAISED,
    QUERY,
    RECON,
    RECON_END,
    RECON_ORDER,
    ROUTE_FAILOVER,
    SCORE,
    SUBMIT,
    TRADE_CLOSED,
    UNKNOWN_OUTCOME,
    Params,
    State,
)
from trading.core.venue import engine, held
from trading.core.venue.state import Venue, new_venue
from trading.run.bodies.reconcile import recon_events
from trading.run.journal.recovery import is_sent
from trading.run.replica import Kernel
from trading.run.spec import SessionSpec, restrictions, version_word

_RESTRICTED = BIT["RESTRICTED"]
ANSWERS_AT_ONCE = 10_000  # of one event: beyond, venue and kernel would talk for ever
# Of a decision: (seq of its score) or, for a reversal that goes on, (instrument, score's time, side)
Key = tuple[int, ...]


class Version(NamedTuple):
    """The limits to live under: their fields, the version's number and hash, who is restricted (None: as it ran)."""

    limits: Mapping[str, int]
    number: int
    hash: str
    restricted: tuple[str, ...] | None = None


class Said(NamedTuple):
    """One decision: its reason, and how much it would send."""

    code: int
    qty: int


class Told(NamedTuple):
    """The market events of one part of the journal, with the books beside them."""

    events: np.ndarray
    depths: np.ndarray
    depth_of: np.ndarray


ENDED, BEFORE, MADE, AFTER, ASIDE = range(5)  # why `_go` came back


@njit(cache=True)
def _go(
    state: State, params: Params, venue: Venue, events: np.ndarray, i: int, told: np.ndarray, depths: np.ndarray,
    depth_of: np.ndarray, known: np.ndarray, said: np.ndarray, given: int, out: np.ndarray, answers: np.ndarray,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Kernel and venue through events[i:], until one of them says something or an event is not the record's to say.

    Returns (index of the next event, market events that the venue has, outputs or answers, why).  A score that was
    refused, and made nothing but its DECISION, leaves its reason in `said`.
    """
    state, params, venue = borrowed((state, params, venue))
    account, there = state.account[0], venue.account[0]
    while i < events.shape[0]:
        e = events[i]
        kind, ts_ns = e.kind, e.ts_ns
        if ACK <= kind <= UNKNOWN_OUTCOME:  # the record's venue
            i += 1
            continue
        if kind in (RECON, CONFIG, CONFIG_COMMIT) or (kind == CONDITION and e.code == _RESTRICTED):
            return i, given, 0, ASIDE
        busy = there.working_count > 0 or there.request_count > 0 or there.held_count > 0
        if busy and kind > STATUS:
            due = engine.next_due_ns(venue)
            if due != NO_TIME and due <= ts_ns:
                n = engine.advance(venue, ts_ns, answers)
                if n > 0:
                    return i, given, n, BEFORE
        e.seq = account.seq + 1
        n = step(state, params, events, i, out)
        i += 1
        if n == 1 and kind == SCORE and out[0].kind == DECISION and out[0].code != APPROVED:
            said[i - 1] = out[0].code  # nothing follows from a refusal
            continue
        if n > 0:
            return i, given, n, MADE
        if busy and kind <= STATUS:
            while given < known[i - 1]:
                n = engine.market_event(venue, told, given, depths, depth_of[given], answers)
                given += 1
                if n > 0:
                    return i, given, n, AFTER
            due = engine.next_due_ns(venue)
            if due != NO_TIME and due <= ts_ns:
                n = engine.advance(venue, ts_ns, answers)
                if n > 0:
                    return i, given, n, AFTER
    return i, given, 0, ENDED


class Life:
    """One kernel with its own venue.  `version` None: the limits that the journal itself brings."""

    def __init__(self, spec: SessionSpec, version: Version | None) -> None:
        self.kernel, self.version, self._spec = Kernel(), version, spec
        terms = [item.values for item in spec.instruments]
        how = spec.venue
        self.venue: Venue = new_venue(how.fill_model, terms, how.latency_ns, how.slip_ticks, slip_mode=how.slip_mode)
        self.decisions: dict[Key, Said] = {}
        self.holds: Counter[int] = Counter()
        self.orders = self.trades = self.won = self.closed_micros = self.questions = 0
        capital = spec.limits.get("capital_micros", spec.capital_micros)
        self.start_micros = capital if spec.past is None else spec.past.figures.get("balance_micros", capital)
        self._answers, self._nothing = engine.new_answers(), new_events(0)
        self._given = 0  # market events of the present part that the venue has
        self._committed = False

    @property
    def net_micros(self) -> int:
        """Equity, open positions at their mark, less what the session began with."""
        account = self.kernel.state.account[0]
        return int(account.equity_micros) - self.start_micros if account.version else 0

    @property
    def open_qty(self) -> int:
        """Contracts or lots that are still held, all instruments."""
        return int(np.abs(self.kernel.state.positions["qty"]).sum())

    def live(self, events: np.ndarray) -> None:
        """The inputs among recorded EVENTs, in order; any cut."""
        events = events[events["kind"] < FIRST_OUTPUT_KIND].copy()  # writable, as the compiled code expects
        market = np.flatnonzero(events["kind"] <= STATUS)
        told = Told(events[market], *best_levels(events[market]))
        known = np.searchsorted(market, np.arange(len(events)), side="right")
        kinds, times, seqs = (events[name].tolist() for name in ("kind", "ts_ns", "seq"))
        said = np.full(len(events), APPROVED, np.int64)
        i, self._given = 0, 0
        while True:
            i, self._given, count, why = _go(
                self.kernel.state, self.kernel.params, self.venue, events, i, *told, known, said, self._given,
                self.kernel.out, self._answers,
            )  # fmt: skip
            if why == ENDED:
                break
            if why == BEFORE:  # due before event i: answered before the kernel hears of the time
                self._hear(count, times[i])
                continue
            at, sent = (i - 1, self._nothing) if why != ASIDE else (i, self._nothing)
            until = int(known[at])
            if why == ASIDE:
                self._market(told, until)
                self._aside(events[at : at + 1])
                i += 1
                continue
            if why == MADE:
                sent = self._note(kinds[at], seqs[at], self.kernel.out[:count].copy())
            else:
                self._hear(count, 0)
            # the market reaches the kernel before its fills
            if len(sent) > 0 or (kinds[at] <= STATUS and self._busy()):
                self._market(told, until)
                self._advance(times[at])
                self._send(sent, times[at])
        self._market(told, len(told.events))
        for at in np.flatnonzero(said).tolist():
            self.decisions[(seqs[at],)] = Said(int(said[at]), 0)

    def _aside(self, row: np.ndarray) -> None:
        """What the record says of its venue and its configuration, and what is so in this life."""
        if row["kind"][0] == RECON:
            self._reconcile(row)
        elif row["kind"][0] == CONDITION:
            if self.version is None or self.version.restricted is None:
                self._send(self._apply(row), int(row["ts_ns"][0]))
        elif self.version is not None:
            self._configure(row)
        else:
            self._send(self._apply(row), int(row["ts_ns"][0]))

    # the kernel

    def _apply(self, row: np.ndarray) -> np.ndarray:
        """One input; returns what is to be sent."""
        made = self.kernel.apply(row)[1:]
        return made if len(made) == 0 else self._note(int(row["kind"][0]), int(row["seq"][0]), made)

    def _note(self, kind: int, seq: int, made: np.ndarray) -> np.ndarray:
        """Keep what is counted of one step's outputs; returns what is to be sent."""
        kinds = made["kind"]
        for out in made[kinds == DECISION]:
            key: Key = (seq,)
            if kind != SCORE:
                key = (int(out["instrument"]), int(out["ts_venue_ns"]), int(out["side"]))
            self.decisions[key] = Said(int(out["code"]), int(out["qty"]))
        for out in made[kinds == HOLD_RAISED]:
            self.holds[int(out["code"])] += 1
        for out in made[kinds == TRADE_CLOSED]:
            self.closed_micros += int(out["value"])
            if out["role"] != HEDGE:  # a hedge is money, no trade (MOEX-HEDGE-05)
                self.trades += 1
                self.won += int(out["value"]) > 0
        self.orders += int(((kinds == SUBMIT) & (made["role"] == ENTRY)).sum())
        return made[is_sent(kinds) & (kinds != ROUTE_FAILOVER)]  # a venue of our own has one route

    def _configure(self, row: np.ndarray) -> None:
        """The version's limits in the place of the first ones; what was handed over later stays out."""
        assert self.version is not None
        if row["kind"][0] == CONFIG_COMMIT:
            if not self._committed:
                row["ref"], row["value"] = self.version.number, version_word(self.version.hash)
                self._send(self._apply(row), int(row["ts_ns"][0]))
                self._restrict(int(row["ts_ns"][0]))
            self._committed = True
        elif row["instrument"][0] != ACCOUNT_SCOPE:
            self._apply(row)
        elif not self._committed:
            name = LIMIT_FIELDS[int(row["code"][0])]
            row["value"] = self.version.limits.get(name, int(row["value"][0]))
            self._apply(row)

    def _restrict(self, ts_ns: int) -> None:
        """The version's list in the place of those that the session had (P-25)."""
        if self.version is not None and self.version.restricted is not None:
            rows = restrictions(self._spec, self.version.restricted, ts_ns)
            for at in range(len(rows)):
                self._send(self._apply(rows[at : at + 1]), ts_ns)

    # the venue

    def _busy(self) -> bool:
        account = self.venue.account[0]
        return bool(account.working_count > 0 or account.request_count > 0 or account.held_count > 0)

    def _market(self, told: "Told", until: int) -> None:
        """Tell the venue the market up to event `until`; where nothing works it need not be told one by one."""
        while self._given < until:
            part = told.events[:until], self._given, told.depths, told.depth_of[:until]
            self._given, count = engine.market_batch(self.venue, *part, self._answers)
            self._hear(count, 0)

    def _advance(self, now_ns: int) -> None:
        due = engine.next_due_ns(self.venue)
        if due != NO_TIME and due <= now_ns:
            self._hear(engine.advance(self.venue, now_ns, self._answers), now_ns)

    def _send(self, sent: np.ndarray, now_ns: int) -> None:
        """Requests to the venue, and whatever follows from its answers."""
        waiting = [sent[i : i + 1].copy() for i in range(len(sent))]
        for _turn in range(ANSWERS_AT_ONCE):
            if not waiting:
                return
            row = waiting.pop(0)
            if row["kind"][0] == QUERY:
                self.questions += 1  # no answer is ever lost here: it asks because time jumped
                continue
            count = int(engine.request(self.venue, row, 0, self._answers))
            for answer in self._answers[:count].copy():
                more = self._answer(answer, now_ns)
                waiting += [more[i : i + 1].copy() for i in range(len(more))]
        raise AssertionError("venue and kernel answer each other without end")

    def _hear(self, count: int, now_ns: int) -> None:
        """Answers in the buffer, each applied at once; what the kernel sends on them goes out behind them."""
        for answer in self._answers[:count].copy():
            self._send(self._answer(answer, now_ns), now_ns)

    def _answer(self, answer: np.record, now_ns: int) -> np.ndarray:
        row = new_events(1)
        row[0] = answer
        row["ts_ns"] = max(int(answer["ts_ns"]), now_ns, int(self.kernel.state.account[0].now_ns))
        return self._apply(row)

    def _reconcile(self, row: np.ndarray) -> None:
        """Where the record agreed with its venue, this life agrees with its own."""
        if row["code"][0] != RECON_END:
            return
        lots = {int(i): int(self.venue.markets[i].qty) for i in np.flatnonzero(self.venue.markets["qty"])}
        truth = BrokerTruth(lots, self._working(), int(self.venue.account[0].ref))
        now_ns = int(row["ts_ns"][0])
        for event in recon_events(truth, now_ns):
            one = new_events(1)
            one[0] = event
            self._send(self._apply(one), now_ns)

    def _working(self) -> np.ndarray:
        """One RECON_ORDER row for each order that is open at the venue, and for each passive child on its way."""
        orders = [self.venue.orders[slot] for slot in held.open_slots(self.venue)]
        count = int(self.venue.account[0].request_count)
        sent = [self.venue.requests[i] for i in range(count) if held.is_sent(self.venue, i)]
        rows = new_events(len(orders) + len(sent))
        for row, order in zip(rows, orders + sent, strict=True):
            row["kind"], row["code"], row["order_number"] = RECON, RECON_ORDER, order.number
            row["instrument"], row["side"], row["qty"] = order.instrument, order.side, order.qty
            row["order_type"], row["role"] = order.order_type, order.role
            row["price_tick"], row["stop_tick"], row["until_ns"] = order.price_tick, order.stop_tick, order.until_ns
        for row, order in zip(rows, orders, strict=False):
            row["volume"] = order.filled
        return rows


def best_levels(events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(DEPTH rows, index of each event's row or −1): books of the one level that the journal holds.

    Deeper levels repeat the best price with nothing on it: a resting order there stands behind a queue that nobody saw,
    and is filled when its price is traded through, or after its level was seen at the top.
    """
    books = np.flatnonzero(events["kind"] == BOOK)
    depths = new_depths(max(1, len(books)))
    depth_of = np.full(len(events), -1, np.int32)
    depth_of[books] = np.arange(len(books), dtype=np.int32)
    if len(books) > 0:
        rows = events[books]
        for name in ("ts_ns", "ts_venue_ns", "instrument"):
            depths[name] = rows[name]
        for side in ("bid", "ask"):
            depths[f"{side}_tick"][:] = rows[f"{side}_tick"][:, None]
            depths[f"{side}_qty"][:, 0] = np.where(rows[f"{side}_tick"] == NO_TICK, 0, rows[f"{side}_qty"])
    assert depths.dtype == DEPTH
    return depths, depth_of


class Difference(NamedTuple):
    """What the second life did otherwise, decision by decision.

    `blocked`: entries that only the first made, `added`: that only the second made, `resized`: made by both with
    another quantity; `reasons`: why the blocked ones were refused.
    """

    blocked: int
    added: int
    resized: int
    reasons: dict[int, int]


def compare(first: Life, second: Life) -> Difference:
    """Two lives of one session."""
    blocked, added, resized = 0, 0, 0
    reasons: Counter[int] = Counter()
    for key in first.decisions.keys() | second.decisions.keys():
        one, other = first.decisions.get(key), second.decisions.get(key)
        taken = one is not None and one.code == APPROVED
        takes = other is not None and other.code == APPROVED
        if taken and takes:
            assert one is not None and other is not None
            resized += one.qty != other.qty
        elif taken:
            blocked += 1
            reasons[other.code if other is not None else APPROVED] += 1  # APPROVED: it was never asked for
        else:
            added += takes
    return Difference(blocked, added, resized, dict(reasons))


_SETTABLE = frozenset(LIMIT_INDEX)


def check_limits(limits: Mapping[str, int]) -> None:
    """Raises ValueError for a field that LIMITS does not have."""
    if unknown := sorted(set(limits) - _SETTABLE):
        raise ValueError(f"unknown limits: {', '.join(unknown)}")
