"""The oracle: one desk that is told what happened and says what it would do, slowly and obviously.

`apply(event)` returns the outputs of one event as tuples (see `Desk.say`); all that it remembers is plain Python.
Written from the rulebook's rules; the kernel is compared with it, event by event.
"""

from math import ceil, floor
from typing import Any

from marketdata.core import records as m
from risk.core import codes
from risk.core.records import LIMIT_FIELDS, SPEC_FIELDS
from tests.oracle import heritage
from tests.oracle.rules import answers, clock, commands, limits, market, protect
from tests.oracle.rules.facts import (
    ENTRY,
    MARKET,
    OPEN,
    Event,
    Instrument,
    Limits,
    Order,
    S,
    fee_of_one,
)
from tests.oracle.rules.gate import Ask, refusal
from tests.oracle.rules.holds import BITS
from tests.oracle.rules.plan import Plan
from tests.oracle.rules.sending import Output, Sending
from trading.core import records as r

STORM = 60 * S
ENTRIES_KEPT = 32
SPEC_NAMES = {"tick_value_micros": "tick_value", "fee_micros": "fee", "fee_ppm": "fee_ppm", "margin_micros": "margin"}


class Desk(Sending):
    """A desk that knows nothing yet: not trading, not reconciled, no feed, no limits.

    Of futures; what another rulebook does in its own way it overrides (`tests.oracle.shares.desk`).
    """

    count = 2  # instruments that the sequences use
    marks_by_mid = False  # MES-RISK-02: by prints

    def __init__(self) -> None:
        super().__init__()
        self.instruments = [Instrument(k) for k in range(self.count)]
        self.limits: Any = Limits(LIMIT_FIELDS)
        self.staged: dict[str, int] = {}
        self.pending: dict[str, int] = {}
        self.waits_for_flat = False
        self.lifting: set[int] = set()  # instruments whose restriction ends once everything is flat
        self.pending_version = 0
        self.windows: list[tuple[int, int, int, int]] = []  # start, end, phase, trading day
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
        self.news: list[tuple[int, int]] = []
        self.trades = self.wins = self.losses = self.streak = 0
        self.past = 0  # the session that this one continues
        self.told: dict[str, int] = {}  # figures that were told and have not counted yet
        self.stated = False  # a person said what nobody could read
        self.money_off = self.money_taken = False  # the venue's differs; the next that it tells counts (T-02)
        self.past_holds: dict[str, int | None] = {}
        self.duplicates: list[int] = []
        self.entered: list[int] = []  # when the last entries were decided (P-18)

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
            self.proofs()
            self.check(False)
        elif e.kind == r.COMMAND:
            commands.on_command(self, e)
            self.check(False)
        elif e.kind == r.RECON:
            answers.on_recon(self, e)
            self.proofs()
            clock.links(self)
        elif e.kind == r.LINK:
            commands.on_link(self, e)
            clock.links(self)
        elif e.kind == r.PAST:
            heritage.on_past(self, e)
            self.check(False)
        elif e.kind == r.CONFIG_COMMIT:
            commands.on_commit(self, e)
            clock.links(self)
            self.check(False)
        else:
            commands.on_notice(self, e)
            self.check(False)

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
        i = self.instruments[e.instrument]
        self.follow("FEATURES_COLD", bool(e.flags & m.FLAG_INVALID))
        wanted = self.exit_wanted(i, e)
        self.decide(e, over_limit=wanted == "limit")
        if wanted == "reverse":
            i.rev_side, i.rev_score, i.rev_confidence, i.rev_ts = e.side, e.score, e.confidence, e.venue_ts
            protect.close(i, protect.BY_REVERSAL)
        elif wanted:
            protect.close(i, protect.BY_SIGNAL)

    def exit_wanted(self, i: Instrument, e: Event) -> str:
        """What a score asks of a position: exit, reverse, limit (of reversals), or nothing."""
        lim = self.limits
        fresh = 0 <= self.now - e.venue_ts <= (lim.score_age_ns_max or 0)
        asks = e.score * e.side >= (lim.score_ppm_min or 0)
        if i.qty * e.side >= 0 or i.closing or e.flags & m.FLAG_INVALID or not fresh or not asks:
            return ""
        if 0 < lim.reverse_confidence_ppm_min < e.confidence:
            rested = i.rev_exit is None or self.now - i.rev_exit >= lim.reverse_wait_ns
            return "reverse" if rested and i.rev_count < lim.reversals_max else "limit"
        return "exit" if e.confidence >= lim.exit_confidence_ppm_min else ""

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
        ask = self.ask(e, reversing)
        code = self.refusal(ask)
        if over_limit and code == "IN_POSITION":
            code = "REVERSAL_LIMIT"
        number = self.next_order if code == "APPROVED" else 0
        i = ask.i
        said = {"qty": ask.qty, "price": ask.stop, "value": ask.cost}
        if ask.passed:  # used up, whatever a later rule says (P-27)
            said |= {"role": getattr(codes, ask.passed), "until": i.override_ref}
            i.override, i.override_until, i.override_ref = "", 0, 0
        self.say(r.DECISION, e.instrument, side=e.side, code=code, number=number, **said)
        if code == "APPROVED":
            i.plan_stop, i.plan_target, i.asked = ask.stop, ask.plan.target, e.venue_ts
            i.plan_price = i.last if self.limits.bar_mode == 1 else ask.price
            self.entered = [*self.entered, self.now][-ENTRIES_KEPT:]
            self.enter(ask)
        elif code == "REPEATED":
            self.raise_hold("REPEATED_ENTRIES")
        elif code == "DUPLICATE":
            self.duplicates = [*self.duplicates, self.now][-3:]
            if len(self.duplicates) == 3 and self.now - self.duplicates[0] <= STORM:
                self.raise_hold("DUPLICATE_STORM")
        return code

    def plan(self, i: Instrument, e: Event) -> Plan:
        return Plan(self, i, e)

    def ask(self, e: Event, reversing: bool) -> Ask:
        return Ask(self, e, reversing)

    def refusal(self, ask: Ask) -> str:
        return refusal(self, ask)

    def enter(self, ask: Ask) -> None:
        """Send what was approved."""
        until = self.now + self.limits.entry_ttl_ns
        self.submit(ask.i, ask.e.side, MARKET, ENTRY, ask.qty, None, until)

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

    def set_spec(self, index: int, field: int, value: int) -> None:
        name = SPEC_FIELDS[field]
        setattr(self.instruments[index], SPEC_NAMES.get(name, name), value)

    # --- what another rulebook does in its own way --------------------------------------------------------------------
    def measure(self, e: Event) -> None:
        """What a market event measures, before marks and grid take it."""

    def due(self) -> set[str]:
        return limits.due(self)

    def check(self, is_mark: bool) -> None:
        limits.check(self, is_mark)

    def watch(self) -> None:
        """What else a timer looks at."""

    def of_instrument(self, i: Instrument) -> list[str]:
        """Holds of one instrument; a contract past its roll holds all, and is remembered by instrument."""
        return [*i.holds, *(["CONTRACT_ROLL"] if i.index in self.inactive else [])]

    def ending(self) -> list[tuple[str, int]]:
        """Holds that end by themselves, and when."""
        held = ((code, self.holds.get(code)) for code in self.book.by_clock)
        return [(code, until) for code, until in held if until is not None]

    def hold_on(self, i: Instrument, code: str, on: bool) -> None:
        """A hold of one instrument follows its condition."""
        if on == (code in i.holds) or not self.book.name(code):
            return
        self.say(r.HOLD_RAISED if on else r.HOLD_CLEARED, i.index, code=code)
        if not on:
            del i.holds[code]
            return
        i.holds[code] = self.now
        if code in self.book.stops_entry:
            protect.cancel_entries(self, i)  # at once, whatever the event was about (MOEX-RISK-09)

    def unreconciled(self) -> bool:
        return not self.reconciled

    def look_at_clock(self) -> None:
        """What else time alone changes."""

    def check_position(self, i: Instrument) -> None:
        """Whether what is held must be left, by rules that look at prices."""

    def held_too_long(self, i: Instrument) -> bool:
        """MES-STOP-06: at the very moment."""
        most = self.limits.hold_ns_max
        return most is not None and most > 0 and self.now - i.opened >= most

    def next_exit(self, i: Instrument) -> tuple[int, int | None]:
        """Type and price of the next order that leaves."""
        return MARKET, None

    def pause_after(self, i: Instrument, o: Order) -> int:
        """How long after a failed attempt to leave the next one goes."""
        return protect.pause_after(self, i, o)

    def begins(self, i: Instrument) -> None:
        """A round trip began."""

    def left(self, i: Instrument) -> None:
        """An order that closes was filled."""

    def leaves_since(self, i: Instrument) -> None:
        """For so long nothing that was sent has taken it out."""

    def stop_from_fill(self, i: Instrument, anchor: int) -> None:
        """MES-STOP-04: a later fill may only tighten the stop; no venue takes a price of nothing or less."""
        stop = max(1, anchor - i.trip_side * i.plan_stop)
        if i.stop is None or (stop - i.stop) * i.trip_side > 0:
            i.stop = stop

    def pause(self, until: int) -> None:
        """OPERATOR_PAUSE; futures know no end of it."""
        self.raise_hold("OPERATOR_PAUSE")

    def resume(self, narrowed: int) -> int:
        """A RESUME that names these holds, 0 = all; 0, or why it is refused."""
        commands.clear(self, self.book.by_resume, narrowed)
        return commands.why_none_named(self.book.by_resume, narrowed)

    def why_no_reset(self, narrowed: int) -> int:
        """What else forbids a RESET_HALT that names these; 0: nothing."""
        return 0

    def ends_with_a_set(self, e: Event) -> tuple[str, ...]:
        """Holds that a loaded set of networks ends."""
        return self.book.by_model

    def on_error(self, e: Event) -> None:
        """One error of a component."""

    def on_other(self, e: Event) -> None:
        """What the configuration restricts (P-25), and a clock that is off (T-09); futures hear nothing else."""
        if e.kind == r.CONDITION and e.code == BITS["RESTRICTED"]:
            commands.restrict(self, e)
        elif e.kind == r.CONDITION and e.code == BITS["CLOCK_OFFSET"]:
            self.follow("CLOCK_OFFSET", e.value == 1)
