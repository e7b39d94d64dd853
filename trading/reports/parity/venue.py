"""The session's venue once more: its own requests and its own market through the simulated venue of a backtest.

Requests arrive when the record says that they were there; a backtest gives the venue every event of an earlier time
first (MOEX-PAPER-01).  In a session both reach the venue's process by different sockets: a request may have been served
before an event that is up to RACE_S older: where that order, and no other, gives the recorded answers, it is
taken, and counted.  Everything else that differs is a difference.  Called by `parity.proof`.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.records import FEED, FLAG_BACKFILL
from marketdata.core.units import NANOS
from trading.brokers.paper import terms_of
from trading.core.records import ACK, CANCELLED, CANCELLED_UNSENT, FILL, KIND_NAMES, PASSIVE, REJECT
from trading.core.venue import engine
from trading.core.venue.state import Venue, new_venue
from trading.reports.parity.record import NEVER, REQUESTS, Recorded
from trading.reports.parity.tape import TapeAgain
from trading.run.spec import SessionSpec

RACE_S = 0.25  # of the machine's time: longer than any socket takes
RACE_MAX = 256  # events
GROUP_MAX = 64  # answers of one moment that are held against each other together
SHOWN = (
    "kind",
    "order_number",
    "side",
    "qty",
    "volume",
    "price_tick",
    "stop_tick",
    "fee_micros",
    "code",
    "ts_venue_ns",
)


class Answered(NamedTuple):
    """A recorded answer and the backtest's, (1,) EVENTs; None: it gave none of this number."""

    told: np.ndarray
    made: np.ndarray | None

    @property
    def same(self) -> bool:
        return self.made is not None and _essence(self.made) == _essence(self.told)

    @property
    def harmless(self) -> bool:
        """A fill of the same order and size at another price: what follows can still be compared."""
        if self.made is None or self.told["kind"][0] != FILL or self.made["kind"][0] != FILL:
            return False
        return all(self.made[name][0] == self.told[name][0] for name in ("order_number", "qty", "side"))

    def fields(self) -> list[tuple[str, int, int | None]]:
        """What differs: (field, recorded, again)."""
        if self.made is None:
            return [("kind", int(self.told["kind"][0]), None)]
        pairs = [(name, int(self.told[name][0]), int(self.made[name][0])) for name in SHOWN]
        return [pair for pair in pairs if pair[1] != pair[2]]


class Race(NamedTuple):
    """A request that was served before `events` events of an earlier time had reached the venue."""

    seq: int
    order_number: int
    events: int
    ahead_ns: int  # of session time, to the earliest of them


class VenueAgain:
    """Attributes: compared, equal, aside (answers that were taken from the record), races, fills, first (difference),
    why (nothing is compared any more: why; empty while it is)."""

    def __init__(self, spec: SessionSpec, recorded: Recorded, tape: TapeAgain) -> None:
        terms = terms_of(spec)
        self.venue: Venue = new_venue(
            terms.fill_model,
            [item.values for item in terms.instruments],
            terms.latency_ns,
            terms.slip_ticks,
            terms.seed,
            terms.touch,
            slip_mode=terms.slip_mode,
        )
        self._latency_ns = terms.latency_ns
        self._window_ns = round(RACE_S * NANOS * max(1.0, spec.feed.speed))
        self._recorded, self._tape = recorded, tape
        self._refs = recorded.answers["ref"]
        self._out = engine.new_answers()
        self._made: dict[int, np.ndarray] = {}
        self.compared = self.equal = self.aside = self.differing = 0
        self.unasked = 0  # requests that nothing answered
        self.dropped = 0  # passive children that ended with who kept them
        self.late: list[int] = []  # ns by which requests arrived later than the latency says
        self.races: list[Race] = []
        self.fills: list[Answered] = []
        self.first: Answered | None = None
        self.why = ""

    def follow(self, events: np.ndarray) -> None:
        """The next EVENTs of the journal, in order.  Raises TapeDiffers."""
        kinds = events["kind"]
        if self.why == "":
            self._tape.confirm(events[(kinds < FEED) & (events["flags"] & FLAG_BACKFILL == 0)])
        wanted = np.isin(kinds, (*REQUESTS, ACK, FILL, REJECT, CANCELLED))
        for i in np.flatnonzero(wanted):
            row = events[i : i + 1]
            if int(kinds[i]) in REQUESTS:
                self._send(row)
            elif row["ref"][0] > 0:
                self._hear(row)
        if self.why:
            self._tape.forget()
        elif len(events) > 0:
            self._let_go(int(events["ts_ns"].max()))

    # requests

    def _send(self, row: np.ndarray) -> None:
        if self.why:
            return
        key = int(row["order_number"][0]), int(row["kind"][0])
        known = self._recorded.arrivals.get(key)
        arrive_ns = known.popleft() if known else None
        if arrive_ns == NEVER:
            return
        account = self.venue.account[0]
        sent_ns = int(row["ts_ns"][0])
        latency_ns = self._latency_ns
        if arrive_ns is None:
            self.unasked += 1
        else:
            latency_ns = max(0, arrive_ns - sent_ns)
            if latency_ns > self._latency_ns:
                self.late.append(latency_ns - self._latency_ns)
        if latency_ns == 0 or row["order_type"][0] == PASSIVE:  # served, or priced, at once
            self._market(self._tape.upto(sent_ns))
        asked = row.copy()
        if row["order_type"][0] == PASSIVE and arrive_ns is not None:  # kept back longer: whoever sends it was away
            asked["ts_venue_ns"] = max(int(row["ts_venue_ns"][0]), arrive_ns - self._latency_ns)
        account.latency_ns = latency_ns if row["order_type"][0] != PASSIVE else self._latency_ns
        self._keep(engine.request(self.venue, asked, 0, self._out))
        account.latency_ns = self._latency_ns

    # answers

    def _hear(self, row: np.ndarray) -> None:
        ref = int(row["ref"][0])
        place = int(np.searchsorted(self._refs, ref))
        if place == len(self._refs) or int(self._recorded.answers["seq"][place]) != int(row["seq"][0]):
            return  # it came twice
        if self._recorded.acted_ref and ref >= self._recorded.acted_ref and not self.why:
            self.why = "somebody acted at the venue itself, past the desk's loops: the guard, at a kill"
        if self.why:
            self.aside += 1
            if row["kind"][0] == FILL:
                self.fills.append(Answered(row.copy(), None))
            return
        if ref not in self._made:
            self._run(place)
        if ref not in self._made:
            self._drop(row)
        found = Answered(row.copy(), self._made.pop(ref, None))
        self.compared += 1
        self.equal += found.same
        if row["kind"][0] == FILL:
            self.fills.append(found)
        if not found.same:
            self.differing += 1
            self.first = self.first or found
            if not found.harmless:
                self.why = "the backtest's venue answered otherwise: what follows cannot be held against it"

    def _run(self, place: int) -> None:
        """Let the venue come to the time of a recorded answer, in the order that gives it, else in a backtest's."""
        group = self._group(place)
        told, ts_ns = self._recorded.answers[place], int(self._recorded.answers["ts_venue_ns"][place])
        end = self._tape.upto(ts_ns)
        least = max(self._tape.given, self._tape.before(ts_ns - self._window_ns))
        kept, made, given = [array.copy() for array in self.venue], dict(self._made), self._tape.given
        for turn, back in enumerate((*range(min(max(0, end - least), RACE_MAX) + 1), 0)):
            if turn:
                self._restore(kept, made, given)
            self._market(max(given, end - back))
            self._keep(engine.advance(self.venue, ts_ns, self._out))
            if all(_answers(self._made.get(int(row["ref"][0])), row) for row in group):
                if back:
                    ahead_ns = ts_ns - int(self._tape.events["ts_venue_ns"][end - back])
                    self.races.append(Race(int(told["seq"]), int(told["order_number"]), back, ahead_ns))
                return

    def _drop(self, told: np.ndarray) -> None:
        """Children that were kept back, and ended with the loop or the venue that kept them (MOEX-ROUTE-04): no
        backtest loses either, so that they did is the record's word."""
        if told["kind"][0] == CANCELLED and told["code"][0] == CANCELLED_UNSENT:
            count = engine.drop_kept(self.venue, self._out)
            self.dropped += count
            self._keep(count)

    def _group(self, place: int) -> list[np.ndarray]:
        """The recorded answers of one moment, from here on."""
        rows = self._recorded.answers[place : place + GROUP_MAX]
        same = (rows["ts_venue_ns"] == rows["ts_venue_ns"][0]) & (np.diff(rows["ref"], prepend=rows["ref"][0] - 1) == 1)
        count = len(rows) if same.all() else int(np.flatnonzero(~same)[0])
        return [rows[i : i + 1] for i in range(count)]

    def _restore(self, kept: list[np.ndarray], made: dict[int, np.ndarray], given: int) -> None:
        for array, before in zip(self.venue, kept, strict=True):
            array[:] = before
        self._made, self._tape.given = dict(made), given

    # the market

    def _market(self, end: int) -> None:
        """Give the venue what is before `end`, but what the session's never had (`Recorded.missed`)."""
        tape = self._tape
        while tape.given < end:
            stop, lost = self._stretch(end)
            if lost:
                tape.given = stop
                continue
            told = tape.events[:stop], tape.given, tape.depths, tape.depth_of[:stop]
            tape.given, count = engine.market_batch(self.venue, *told, self._out)
            self._keep(count)

    def _stretch(self, end: int) -> tuple[int, bool]:
        """(place up to which, from `given` on, all are alike, at most `end`; whether the venue of then lacked them)."""
        gone, at = self._tape.gone, self._tape.gone + self._tape.given
        for first, behind in self._recorded.missed:
            if at < first:
                return min(end, first - gone), False
            if at < behind:
                return min(end, behind - gone), True
        return end, False

    def _let_go(self, now_ns: int) -> None:
        """Events that no request can overtake any more go to the venue now, so that little is held."""
        account = self.venue.account[0]
        if account.request_count == 0 and account.held_count == 0:
            self._market(max(self._tape.given, self._tape.before(now_ns - self._window_ns)))

    def _keep(self, count: int) -> None:
        for row in (self._out[i : i + 1].copy() for i in range(count)):
            self._made[int(row["ref"][0])] = row


def _essence(row: np.ndarray) -> bytes:
    """All that the venue said: not when we heard it, nor when the request left, which the desk's own end writes in."""
    found = row.copy()
    found["seq"] = found["ts_ns"] = 0
    if int(row["kind"][0]) in (ACK, CANCELLED):
        found["value"] = 0
    return found.tobytes()


def _answers(made: np.ndarray | None, told: np.ndarray) -> bool:
    return Answered(told, made).same


def kind_name(row: np.ndarray) -> str:
    """Of an answer."""
    return KIND_NAMES.get(int(row["kind"][0]), str(int(row["kind"][0])))
