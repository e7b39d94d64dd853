"""The oracle: one desk that is told what happened and says what it would do, slowly and obviously.

`apply(event)` returns the outputs of one event as tuples (see `Desk.say`); all that it remembers is plain Python.
Written from the rulebook's rules; the kernel is compared with it, event by event.
"""

from math import ceil, floor
from typing import Any

from marketdata.core import records as m
from risk.core.records import LIMIT_FIELDS, SPEC_FIELDS
from tests.oracle import heritage
from tests.oracle.rules import answers, clock, commands, limits, market, protect
from tests.oracle.rules.facts import (
    CANCELLING,
    ENTRY,
    MARKET,
    MODIFYING,
    NEW,
    NOTHING,
    OPEN,
    QUERYING,
    SUBMITTING,
    UNKNOWN,
    WORKING,
    Event,
    Instrument,
    Limits,
    Order,
    S,
    fee_of_one,
)
from tests.oracle.rules.gate import Ask, refusal
from tests.oracle.rules.holds import BY_CLOCK
from trading.core import records as r

Output = tuple[Any, ...]
INSTRUMENTS = 2  # that the sequences use
SLOTS_KEPT = 64  # terminal orders that the desk remembers before it forgets the oldest
STORM = 60 * S
SPEC_NAMES = {"tick_value_micros": "tick_value", "fee_micros": "fee", "fee_ppm": "fee_ppm", "margin_micros": "margin"}


class Desk:
    """A desk that knows nothing yet: not trading, not reconciled, no feed, no limits."""

    def __init__(self) -> None:
        self.now: Any = None
        self.instruments = [Instrument(k) for k in range(INSTRUMENTS)]
        self.limits: Any = Limits(LIMIT_FIELDS)
        self.staged: dict[str, int] = {}
        self.pending: dict[str, int] = {}
        self.waits_for_flat = False
        self.pending_version = 0
        self.windows: list[tuple[int, int, int, int]] = []  # start, end, phase, trading day
        self.orders: list[Order | None] = []
        self.next_order = 1
        self.holds: dict[str, int | None] = {}  # code → until
        self.trading = self.latched = self.reconciled = self.gap = False
        self.links = {"execution": False, "database": False, "stream": False}
        self.version = self.trading_day = self.phase = self.venue_ref = 0
        self.feed_ts: int | None = None
        self.recon_ts: int | None = None
        self.balance_at_start = 0
        self.balance = self.realised = self.fees = self.day_net = self.reference = 0
        self.peak = self.day_peak = self.day_base = self.capital = 0
        self.day_trades = self.day_wins = self.day_losses = 0
        self.breaches: dict[str, tuple[int, int]] = {}  # a limit in breach → since when, marks in a row
        self.streak_until: int | None = None
        self.present: int | None = None
        self.errors: list[int] = []
        self.inactive: frozenset[int] = frozenset()  # instruments whose contract is past its roll or inactive
        self.next_look = 0  # when time alone next changes something
        self.news: list[tuple[int, int]] = []
        self.trades = self.wins = self.losses = self.streak = 0
        self.past = 0  # the session that this one continues
        self.told: dict[str, int] = {}  # figures that were told and have not counted yet
        self.stated = False  # a person said what nobody could read
        self.past_holds: dict[str, int | None] = {}
        self.sent: list[int] = []  # the second of every message to the venue
        self.duplicates: list[int] = []
        self.out: list[Output] = []

    # --- one event ----------------------------------------------------------------------------------------------------
    def apply(self, e: Event) -> list[Output]:
        """What the desk does about one event, in order: first what time does, then the event."""
        self.out = []
        if self.now is None or e.ts > self.now:
            self.now = e.ts
        before = set(self.holds)
        if self.version != 0:
            clock.clock(self, False)
        if e.kind <= m.FEED:
            market.on_market(self, e)
        elif e.kind == r.SCORE:
            self.on_score(e)
            protect.look_after(self, self.instruments[e.instrument])
        elif e.kind == r.CONFIG:
            commands.on_config(self, e)
        elif e.kind == r.WINDOW_SET:
            commands.on_window(self, e)
            clock.clock(self, True)
        else:
            self._dispatch(e)
            self.settle()
        while not self.holds.keys() <= before:  # what a hold asks for is asked everywhere, at once
            before |= self.holds.keys()
            self.settle()
        return self.out

    def _dispatch(self, e: Event) -> None:
        if e.kind == r.TIMER:
            clock.on_timer(self)
        elif r.ACK <= e.kind <= r.UNKNOWN_OUTCOME:
            answers.on_answer(self, e)
            limits.check(self, False)
        elif e.kind == r.COMMAND:
            commands.on_command(self, e)
            limits.check(self, False)
        elif e.kind == r.RECON:
            answers.on_recon(self, e)
            clock.links(self)
        elif e.kind == r.LINK:
            commands.on_link(self, e)
            clock.links(self)
        elif e.kind == r.PAST:
            heritage.on_past(self, e)
            limits.check(self, False)
        elif e.kind == r.CONFIG_COMMIT:
            commands.on_commit(self, e)
            clock.links(self)
            limits.check(self, False)
        else:
            commands.on_notice(self, e)
            limits.check(self, False)

    def settle(self) -> None:
        """After what may concern anything: protection everywhere, reversals, a loosening that waited for flat."""
        if self.version == 0:
            return
        for i in self.instruments:
            if i.tradable == 1:
                protect.look_after(self, i)
                self.go_on_reversing(i)
        commands.loosen_when_flat(self)

    def on_score(self, e: Event) -> None:
        """MES-RISK-20 and MES-REV: an entry or the first reason against it; an opposite score closes or reverses.

        An exit needs no approval but the score's own freshness and strength: no hold may stop it.
        """
        i, lim = self.instruments[e.instrument], self.limits
        self.follow("FEATURES_COLD", bool(e.flags & m.FLAG_INVALID))
        wanted = ""
        fresh = 0 <= self.now - e.venue_ts <= (lim.score_age_ns_max or 0)
        asks = e.score * e.side >= (lim.score_ppm_min or 0)
        if i.qty * e.side < 0 and not i.closing and not e.flags & m.FLAG_INVALID and fresh and asks:
            if 0 < lim.reverse_confidence_ppm_min < e.confidence:
                rested = i.rev_exit is None or self.now - i.rev_exit >= lim.reverse_wait_ns
                wanted = "reverse" if rested and i.rev_count < lim.reversals_max else "limit"
            elif e.confidence >= lim.exit_confidence_ppm_min:
                wanted = "exit"
        self.decide(e, over_limit=wanted == "limit")
        if wanted == "reverse":
            i.rev_side, i.rev_score, i.rev_confidence, i.rev_ts = e.side, e.score, e.confidence, e.venue_ts
            protect.close(i, protect.BY_REVERSAL)
        elif wanted:
            protect.close(i, protect.BY_SIGNAL)

    def go_on_reversing(self, i: Instrument) -> None:
        """MES-REV-02: once the exit is filled and nothing works any more, a new approval of a new entry."""
        if i.rev_side == 0 or i.qty != 0:
            return
        if self.live(i.index) and self.now - i.rev_ts <= self.limits.score_age_ns_max:
            return
        e = Event(r.SCORE, self.now, instrument=i.index, side=i.rev_side, score=i.rev_score)
        e.confidence, e.venue_ts = i.rev_confidence, i.rev_ts
        i.rev_side = 0
        i.rev_count = i.rev_count + 1 if self.decide(e, reversing=True) == "APPROVED" else 0

    def decide(self, e: Event, over_limit: bool = False, reversing: bool = False) -> str:
        """One DECISION, and the entry when nothing objects."""
        ask = Ask(self, e, reversing)
        code = refusal(self, ask)
        if over_limit and code == "IN_POSITION":
            code = "REVERSAL_LIMIT"
        number = self.next_order if code == "APPROVED" else 0
        self.say(r.DECISION, e.instrument, side=e.side, code=code, number=number, qty=ask.qty, price=ask.stop)
        i = ask.i
        if code == "APPROVED":
            i.plan_stop, i.plan_target, i.asked = ask.stop, ask.plan.target, e.venue_ts
            i.plan_price = i.last if self.limits.bar_mode == 1 else ask.price
            self.submit(i, e.side, MARKET, ENTRY, ask.qty, None, self.now + self.limits.entry_ttl_ns)
        elif code == "DUPLICATE":
            self.duplicates = [*self.duplicates, self.now][-3:]
            if len(self.duplicates) == 3 and self.now - self.duplicates[0] <= STORM:
                self.raise_hold("DUPLICATE_STORM")
        return code

    # --- figures ------------------------------------------------------------------------------------------------------
    def equity(self) -> int:
        """Balance and open profit at the last marks, no exit cost (MES-RISK-02)."""
        total = self.balance
        for i in self.instruments:
            if i.qty != 0 and i.mark is not None:
                total += floor((i.qty * i.exact - i.cost) * (i.tick_value or 0))
        return total

    def open_risk(self) -> int | None:
        """MES-RISK-06: loss to the stops of positions and working entries, with fees; None without a stop."""
        total = 0
        for i in self.instruments:
            if i.qty == 0:
                continue
            if i.stop is None:
                return None
            loss = (i.cost - i.qty * i.stop) * i.tick_value  # type: ignore[operator]
            total += max(0, loss) + abs(i.qty) * fee_of_one(i, i.stop)
        for o in self.live():
            if o.role != ENTRY:
                continue
            i = self.instruments[o.instrument]
            if i.mark is None:
                return None
            if i.plan_stop <= 0:
                return None
            ticks = i.plan_stop + self.limits.slip_ticks_assumed
            total += o.left * (ticks * i.tick_value + 2 * fee_of_one(i, ceil(i.exact)))
        return total

    def messages(self) -> tuple[int, int]:
        """Messages sent in this second and in the last 60 (P-17)."""
        second = self.now // S
        self.sent = [at for at in self.sent if at > second - 60]
        return self.sent.count(second), len(self.sent)

    def live(self, instrument: int | None = None) -> list[Order]:
        """Orders that may still trade."""
        orders = [o for o in self.orders if o is not None and o.status in OPEN]
        return orders if instrument is None else [o for o in orders if o.instrument == instrument]

    def is_flat(self) -> bool:
        return not self.live() and all(i.qty == 0 for i in self.instruments)

    # --- saying and sending -------------------------------------------------------------------------------------------
    def say(self, kind: int, instrument: int, **fields: Any) -> None:
        """One output: (kind, instrument, side, code, type, role, number, qty, price, until, value)."""
        names = ("side", "code", "type", "role", "number", "qty", "price", "until", "value")
        empty = (0, 0, 0, 0, 0, 0, None, None, 0)
        self.out.append(
            (kind, instrument, *(fields.get(name, nothing) for name, nothing in zip(names, empty, strict=True)))
        )

    def send(self, kind: int, o: Order) -> None:
        """One message to the venue about an order."""
        o.sent = self.now
        self.sent.append(self.now // S)
        qty, price = (o.asked_qty, o.asked_price) if kind == r.MODIFY else (o.qty, o.price)
        self.say(
            kind, o.instrument, side=o.side, type=o.kind, role=o.role, number=o.number, qty=qty, price=price,
            until=o.until,
        )  # fmt: skip

    def submit(
        self, i: Instrument, side: int, kind: int, role: int, qty: int, price: int | None, until: int | None = None
    ) -> None:
        order = Order(self.next_order, i.index, side, kind, role, qty, price, until, self.now)
        self.next_order += 1
        self._remember(order)
        self.send(r.SUBMIT, order)

    def _remember(self, order: Order) -> None:
        """The desk remembers 64 orders, more only while they are open; the oldest ended one makes room."""
        ended = [k for k, o in enumerate(self.orders) if o is not None and o.status not in OPEN]
        if len(self.orders) < SLOTS_KEPT or not ended:
            self.orders.append(order)
        else:
            self.orders[min(ended, key=lambda k: self.orders[k].number)] = order  # type: ignore[union-attr]

    def ask_cancel(self, o: Order) -> None:
        """Not again while a cancel is in flight, not while the outcome is unknown."""
        if o.status in OPEN and o.status != UNKNOWN and o.request != CANCELLING and self.now >= o.cancel_retry:
            o.request = CANCELLING
            self.send(r.CANCEL, o)

    def ask_modify(self, o: Order, qty: int, price: int) -> None:
        """Only while nothing else is in flight."""
        if o.status == WORKING and o.request == NOTHING and self.now >= o.modify_retry:
            o.request, o.asked_qty, o.asked_price = MODIFYING, qty, price
            self.send(r.MODIFY, o)

    def ask_query(self, o: Order) -> None:
        """W-01: what became of it?  An order that never was acknowledged is unknown from now on, never "rejected"."""
        if o.status == NEW and o.request in (SUBMITTING, CANCELLING):
            o.status = UNKNOWN
        o.request = QUERYING
        self.send(r.QUERY, o)

    def ask_missed(self) -> None:
        """The venue's numbers have a gap: ask for everything after the last one applied."""
        self.sent.append(self.now // S)
        self.say(r.QUERY, m.ACCOUNT_SCOPE)

    def raise_hold(self, code: str, until: int | None = None) -> None:
        """Up; a TIME hold that stands may get longer, never shorter."""
        if code in BY_CLOCK and until is not None:
            self.next_look = min(self.next_look, until)
        if code in self.holds:
            if code in BY_CLOCK and until is not None and until > self.holds[code]:  # type: ignore[operator]
                self.holds[code] = until
            return
        self.holds[code] = until
        self.say(r.HOLD_RAISED, m.ACCOUNT_SCOPE, code=code, until=until)

    def clear_hold(self, code: str) -> None:
        """This one down; every other stays."""
        if code in self.holds:
            self.say(r.HOLD_CLEARED, m.ACCOUNT_SCOPE, code=code, until=self.holds.pop(code))

    def follow(self, code: str, on: bool) -> None:
        """A CONDITION hold follows its condition."""
        if on:
            self.raise_hold(code)
        else:
            self.clear_hold(code)

    def set_spec(self, index: int, field: int, value: int) -> None:
        name = SPEC_FIELDS[field]
        setattr(self.instruments[index], SPEC_NAMES.get(name, name), value)
