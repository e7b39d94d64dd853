"""The oracle's desk under the shares' rulebook: what it does in another way than a desk of futures (MOEX-RISK, -STOP,
-ROUTE).  Hedging is off.
"""

from fractions import Fraction

from marketdata.core import records as m
from tests.oracle.measures.tape import Tape
from tests.oracle.rules import limits
from tests.oracle.rules.desk import Desk
from tests.oracle.rules.facts import (
    BEST_PRICE,
    ENTRY,
    FILL_AND_KILL,
    MARKET,
    PASSIVE,
    PPM,
    QUERYING,
    UNKNOWN,
    Event,
    Instrument,
    Order,
    S,
)
from tests.oracle.rules.gate import Ask
from tests.oracle.rules.holds import BITS
from tests.oracle.rules.plan import Plan
from tests.oracle.rules.protect import cancel_entries, close
from tests.oracle.shares import gate, stops, watch
from tests.oracle.shares.holds import MOEX_BOOK
from tests.oracle.shares.plan import SharesPlan, gap, reaching
from trading.core import records as r
from trading.core import states as why

MS = 1_000_000
SIMPLE = ("NET_SLOW", "RISK_ERROR")  # SIMPLIFIED while one of them stands
EMERGENCY = ("RVI_HIGH", "KILL_SWITCH", "FLATTEN_RESIDUAL", "STOP_UNPROTECTED")
LADDER = (10, 30)  # bps of the first two attempts to leave
INTENT = 500 * MS  # how long an entry intent lives
PASSIVE_LIFE, OVERDUE = 5 * S, S
RESIDUAL = 30 * S  # within which a flatten is proved


class Share:
    """What a desk of shares knows of one instrument besides."""

    def __init__(self) -> None:
        self.tape = Tape()
        self.plan_range: Fraction | None = None  # what the decision measured
        self.plan_spread: int | None = None
        self.best: Fraction | None = None  # the most favourable mid since the entry
        self.gap = self.net_moved = 0  # how far the venue's stop stands behind ours, and when it moved


class SharesDesk(Desk):
    """A desk of shares."""

    book = MOEX_BOOK
    count = 3
    marks_by_mid = True

    def __init__(self) -> None:
        super().__init__()
        self.shares = [Share() for _ in self.instruments]
        self.index = 0
        self.index_at: int | None = None
        self.slow = self.lost = self.good = self.back = 0  # probes in a row
        self.stages: frozenset[int] = frozenset()  # that are too slow
        self.left_tokens: Fraction | None = None  # None: nothing was taken yet
        self.tokens_at = 0

    # --- limits and methods -------------------------------------------------------------------------------------------
    def by_formula(self) -> bool:
        return bool(self.limits.stop_method == 3)

    def routed(self) -> bool:
        return self.by_formula() and self.limits.bar_mode != 1

    def simplified(self) -> bool:
        return any(code in self.holds for code in SIMPLE)

    def lost_today(self, money: int) -> int:
        """If equity were `money`."""
        return self.day_base - money if self.limits.day_loss_open == 1 else -self.day_net

    def day_limit(self) -> Fraction:
        return watch.day_limit(self)

    def due(self) -> set[str]:
        """Limits that the present state breaches, confirmed or not."""
        equity = self.equity()
        found = set()
        if self.reference - equity >= self.limits.loss_total_micros_max:
            found.add("TOTAL_LOSS")
        if self.lost_today(equity) >= self.day_limit() // 1:
            found.add("DAILY_LOSS")
        if limits.is_near(self, self.lost_today(equity), self.day_limit()):
            found.add("DAILY_LOSS_NEAR")
        return found

    def tokens(self) -> Fraction:
        """MOEX-RISK-10: of the bucket at this moment."""
        full = Fraction(self.limits.bucket_capacity)
        if self.left_tokens is None:
            return full
        return min(full, self.left_tokens + Fraction(self.now - self.tokens_at, self.limits.bucket_refill_ns))

    # --- what it hears ------------------------------------------------------------------------------------------------
    def measure(self, e: Event) -> None:
        if self.version != 0 and e.kind <= 4:
            self.shares[e.instrument].tape.note(e, self.instruments[e.instrument].grid)

    def check(self, is_mark: bool) -> None:
        watch.check(self, is_mark)

    def watch(self) -> None:
        watch.follow_index(self)
        watch.unwatched_probes(self)

    def unreconciled(self) -> bool:
        """MOEX-RISK-05, RECON: none since start or reconnect, the last one failed, or it is too old."""
        return super().unreconciled() or self.recon_ts is None or self._recon_is_old()

    def _recon_is_old(self) -> bool:
        most = self.limits.recon_age_ns_max
        return self.recon_ts is not None and (most is None or self.now - self.recon_ts > most)

    def look_at_clock(self) -> None:
        if self._recon_is_old():
            self.raise_hold("NOT_RECONCILED")

    def on_other(self, e: Event) -> None:
        watch.on_other(self, e)

    def ends_with_a_set(self, e: Event) -> tuple[str, ...]:
        """MOEX-ML-10: causes CALIBRATE, TRAIN and OPERATOR; any set ends that there is none."""
        lasting = e.ref in (r.CAUSE_CALIBRATE, r.CAUSE_TRAIN, r.CAUSE_OPERATOR)
        return self.book.by_model if lasting else ("MODEL_BLOCKED",)

    def on_error(self, e: Event) -> None:
        if self.version != 0 and e.code in (0, watch.RISK_LOOP, watch.EXECUTION_LOOP):
            self.raise_hold("RISK_ERROR")

    def ending(self) -> list[tuple[str, int]]:
        until = self.holds.get("OPERATOR_PAUSE")
        return super().ending() + ([("OPERATOR_PAUSE", until)] if until is not None else [])

    # --- a person -----------------------------------------------------------------------------------------------------
    def pause(self, until: int) -> None:
        """MOEX-RISK-06: one without an end replaces a timed one, never the reverse; a shorter never shortens."""
        timed = until > self.now
        if "OPERATOR_PAUSE" not in self.holds:
            self.raise_hold("OPERATOR_PAUSE", until if timed else None)
        elif not timed:
            self._renew_pause(None)
        elif (stands := self.holds["OPERATOR_PAUSE"]) is not None:
            self._renew_pause(max(stands, until))

    def _renew_pause(self, until: int | None) -> None:
        """Another end: the old one is over, the same pause stands anew and has never come down."""
        if (old := self.holds["OPERATOR_PAUSE"]) != until:
            self.say(r.HOLD_CLEARED, m.ACCOUNT_SCOPE, code="OPERATOR_PAUSE", until=old)
            self.say(r.HOLD_RAISED, m.ACCOUNT_SCOPE, code="OPERATOR_PAUSE", until=until)
            self.holds["OPERATOR_PAUSE"] = until

    def resume(self, narrowed: int) -> int:
        """MOEX-RISK-06: the pause alone, or the holds that are named; an admin's DAILY_LOSS among them."""
        named = [code for code in self.book.by_resume if narrowed >> BITS[code] & 1]
        if narrowed == 0:
            named = ["OPERATOR_PAUSE"]
        if narrowed >> BITS["DAILY_LOSS"] & 1 and self.limits.day_loss_open == 1:
            named.append("DAILY_LOSS")
            if "DAILY_LOSS" in self.holds:
                self.day_base = self.equity()  # a further full limit sets it again
                self.breaches.pop("DAILY_LOSS", None)
        if "REPEATED_ENTRIES" in named and "REPEATED_ENTRIES" in self.holds:
            self.entered.clear()
        for code in named:
            self.clear_hold(code)
        return 0 if named else why.NONE_NAMED

    def why_no_reset(self, narrowed: int) -> int:
        """RVI_HIGH stays while the index is above 38.00, or nobody knows where it is."""
        named = narrowed == 0 or narrowed >> BITS["RVI_HIGH"] & 1
        if not named or "RVI_HIGH" not in self.holds or self.limits.rvi_max <= 0:
            return 0
        return why.INDEX_HIGH if watch.index_is_stale(self) or self.index > self.limits.rvi_clear_max else 0

    # --- entries ------------------------------------------------------------------------------------------------------
    def exit_wanted(self, i: Instrument, e: Event) -> str:
        """MOEX-STOP-05, REVERSAL, after every exit that comes before it: of any age and strength, never a flip."""
        if self.by_formula():
            stops.check(self, i)
        against = i.qty * e.side < 0 and not i.closing and not e.flags & m.FLAG_INVALID
        return "exit" if against and self.limits.exit_confidence_ppm_min <= e.confidence <= PPM else ""

    def plan(self, i: Instrument, e: Event) -> Plan:
        return SharesPlan(self, i, e)

    def ask(self, e: Event, reversing: bool) -> Ask:
        return gate.SharesAsk(self, e)

    def refusal(self, ask: Ask) -> str:
        assert isinstance(ask, gate.SharesAsk)
        return gate.refusal(self, ask)

    def enter(self, ask: Ask) -> None:
        """The slices of the plan, exactly; each takes its token at the decision (MOEX-RISK-10, MOEX-ROUTE-04)."""
        assert isinstance(ask, gate.SharesAsk)
        i, side, of = ask.i, ask.e.side, self.shares[ask.i.index]
        if self.limits.bucket_capacity > 0:
            self.left_tokens, self.tokens_at = self.tokens() - ask.children, self.now
        if self.by_formula():
            of.plan_range, of.plan_spread = of.tape.average_range(), stops.fresh_spread(self, i)
        if not self.routed():
            self.submit(i, side, MARKET, ENTRY, ask.qty, None, self.now + self.limits.entry_ttl_ns)
            return
        first, *rest = ask.plan.slices
        until = self.now + min(self.limits.entry_ttl_ns, INTENT)
        self.submit(i, side, FILL_AND_KILL, ENTRY, first, ask.price, until)
        for lots in rest:
            starts = self.now + gap(ask.qty, of.tape.traded(self.now))
            self.submit(i, side, PASSIVE, ENTRY, lots, ask.price, starts + INTENT)
            self.out[-1] = (*self.out[-1][:-1], starts)  # not before
            order = next(o for o in self.live(i.index) if o.number == self.next_order - 1)
            order.sent, order.until = starts, starts + INTENT + PASSIVE_LIFE + OVERDUE

    # --- what is held -------------------------------------------------------------------------------------------------
    def check_position(self, i: Instrument) -> None:
        if i.qty != 0 and self.by_formula():
            stops.check(self, i)
        unknown = [o for o in self.live(i.index) if o.status == UNKNOWN or o.request == QUERYING]
        self.hold_on(i, "OUTCOME_UNKNOWN", bool(unknown))

    def held_too_long(self, i: Instrument) -> bool:
        """MOEX-STOP-05: after more than it."""
        most = self.limits.hold_ns_max
        return most is not None and most > 0 and self.now - i.opened > most

    def next_exit(self, i: Instrument) -> tuple[int, int | None]:
        """MOEX-ROUTE-03: at 10 bps, at 30 bps, then best price; without a fresh book at once best price."""
        if not self.routed():
            return MARKET, None
        i.tries += 1
        side = -1 if i.qty > 0 else 1
        fresh = stops.fresh_spread(self, i) is not None
        best = i.ask if side == 1 else i.bid
        limits = i.tries <= len(LADDER) and i.allowed != r.REJECTED_BEST_ONLY
        if fresh and best is not None and (limits or i.allowed == r.REJECTED_LIMIT_ONLY):
            return FILL_AND_KILL, reaching(side, best, LADDER[min(i.tries, len(LADDER)) - 1])
        urgent = any(code in EMERGENCY for code in (*self.holds, *i.holds))
        if urgent and i.tries > len(LADDER) and not i.allowed:
            return MARKET, None
        return BEST_PRICE, None

    def pause_after(self, i: Instrument, o: Order) -> int:
        """The first three attempts follow each other at once, the others a second apart."""
        if not self.routed():
            return super().pause_after(i, o)
        return S if i.tries > len(LADDER) else 0

    def begins(self, i: Instrument) -> None:
        self.shares[i.index].best = None

    def left(self, i: Instrument) -> None:
        """MOEX-ROUTE-04: what leaves takes back what is left of its entry; what fills after it leaves at once."""
        if self.routed():
            if i.qty == 0:
                close(i, i.reason)
            cancel_entries(self, i)

    def leaves_since(self, i: Instrument) -> None:
        """MOEX-EXEC-10: a flatten is proved within 30 s, or a person must look; why else it left is no matter."""
        if i.flatten_since is None or i.leaving_since is None:
            return
        if self.now - max(i.flatten_since, i.leaving_since) >= RESIDUAL:
            self.raise_hold("FLATTEN_RESIDUAL")

    def stop_from_fill(self, i: Instrument, anchor: int) -> None:
        if self.by_formula():
            stops.from_fill(self, i)
        else:
            super().stop_from_fill(i, anchor)
