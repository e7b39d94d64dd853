"""What must hold after every event of every life, whatever the rules in between say.

Checked on the oracle's desk while it lives; that the kernel is the same desk is the comparison's business.  Each check
speaks of the past it needs by itself: nothing here is a rule of the gate.
"""

from typing import NamedTuple

from marketdata.core import records as m
from tests.oracle.rules.desk import Desk
from tests.oracle.rules.facts import ENTRY, EXIT, NOTHING, OPEN, STOP_LOSS, WORKING, Event, Order, S
from tests.oracle.rules.holds import LABELS
from tests.oracle.rules.sending import Output
from trading.core import records as r

MARKET_KINDS = (m.QUOTE, m.TRADE, m.BAR, m.BOOK)


class Broken(AssertionError):
    """An invariant that does not hold; says which."""


class Before(NamedTuple):
    """What is needed from before the event."""

    holds: dict[str, int | None]
    qty: tuple[int, ...]
    of_instruments: tuple[frozenset[str], ...]
    day: int
    trading: bool


class Watch:
    """Checks one life.  `before()` ahead of each event, `after()` behind it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.seen: Before
        self.naked: list[int | None] = [None] * desk.count
        # of what is held now: the first and the latest exit that was sent; nothing else keeps the next one waiting
        self.first_exit: list[int | None] = [None] * desk.count
        self.latest_exit, self.exits = [0] * desk.count, [0] * desk.count
        self.apart = [0] * desk.count  # the longest that the one after it may wait, by any limits in force since

    def before(self) -> None:
        d = self.desk
        qty = tuple(i.qty for i in d.instruments)
        holds = tuple(frozenset(i.holds) for i in d.instruments)
        self.seen = Before(dict(d.holds), qty, holds, d.trading_day, d.trading)

    def after(self, e: Event, outputs: list[Output]) -> None:
        d = self.desk
        for k, i in enumerate(d.instruments):
            if i.qty == 0 or i.qty * self.seen.qty[k] < 0:
                self.first_exit[k], self.exits[k] = None, 0
        for output in outputs:
            if output[0] == r.SUBMIT:
                self._sent(output)
        for k, first in enumerate(self.first_exit):
            if first is not None:
                self.apart[k] = max(self.apart[k], self._apart(k, first))
        if d.holds != self.seen.holds:
            self._holds(e)
        if e.kind in (r.FILL, r.COMMAND, r.TIMER):
            if d.version and d.balance != d.balance_at_start + d.realised - d.fees:
                raise Broken("balance = capital + realised − fees")
            for i in d.instruments:
                if i.qty * i.cost < 0 or (i.qty == 0 and i.cost != 0):
                    raise Broken("the cost of nothing is nothing")
        if d.version:
            self._covered(e)

    def _sent(self, output: Output) -> None:
        """Own orders: an entry only from flat and under no hold, within its limits; the others only reduce."""
        _, instrument, side, _, _, role, _, qty, _, _, _ = output
        d, held = self.desk, self.desk.instruments[instrument].qty
        if role != ENTRY:
            leaving = sum(o.left for o in d.live(instrument) if o.role == EXIT and o.side == side)
            if side * held >= 0 or qty > abs(held) or leaving > abs(held):
                raise Broken(f"a reducing order of {side * qty} against {held}, {leaving} leaving")
            if role == EXIT:
                self.latest_exit[instrument], self.apart[instrument] = d.now, 0
                self.exits[instrument] += 1
                if self.first_exit[instrument] is None:
                    self.first_exit[instrument] = d.now
            return
        stands = [code for code in self.seen.holds if code in d.holds]
        stands += [code for code in self.seen.of_instruments[instrument] if code in d.instruments[instrument].holds]
        if any(code in d.book.stops_entry for code in stands):
            raise Broken("an entry under a hold")
        self._entered(instrument, qty)

    def _entered(self, instrument: int, qty: int) -> None:
        """An entry within the limits of futures."""
        d, held = self.desk, self.desk.instruments[instrument].qty
        limits = d.limits
        if limits.sizing == 1 and qty > 10:
            raise Broken("more contracts than any tier has")
        if held != 0 or not self.seen.trading or qty > min(limits.qty_max, limits.position_max):
            raise Broken("an entry on a position, before the start, or too large")
        i = d.instruments[instrument]
        loss = qty * i.plan_stop * (i.tick_value or 0)
        if loss > limits.loss_trade_micros_max or loss > limits.loss_day_micros_max - max(0, -d.day_net):
            raise Broken("an entry whose stop breaks a loss limit")
        in_all = limits.loss_total_micros_max - max(0, d.reference - d.equity())
        if limits.sizing == 0 and loss > in_all:  # a size by tiers has no such cap (MES-SIZE-02)
            raise Broken("an entry whose stop breaks the total loss limit")

    def _holds(self, e: Event) -> None:
        """Each hold comes down only by its own rule, so the label falls only so."""
        d = self.desk
        for code, until in self.seen.holds.items():
            if code in d.holds:
                ends = d.holds[code]  # None: never by itself
                if until is not None and ends is not None and ends < until:
                    raise Broken(f"{code} got shorter")
                continue
            if not self._may_clear(code, until, e):
                raise Broken(f"{code} came down by itself")
        now, then = (LABELS.index(d.book.label(holds)) for holds in (d.holds, self.seen.holds))
        if now > then and not self.seen.holds.keys() - d.holds.keys():
            raise Broken("a weaker label although no hold came down")

    def _may_clear(self, code: str, until: int | None, e: Event) -> bool:
        """Whether this event may take that hold down."""
        d = self.desk
        clearing = d.book.table[code][1]
        asked: tuple[str, ...] = ()
        if e.kind == r.COMMAND:
            asked = {r.RESUME: d.book.by_resume, r.RESET_HALT: d.book.by_reset}.get(e.code, ())
        loaded = e.kind == r.MODEL and e.code == r.MODEL_READY
        return (
            clearing == "CONDITION"
            or (clearing == "OPERATOR" and code in asked)
            or (clearing == "MODEL_RELOAD" and loaded)
            or (clearing == "TRADING_DAY" and d.trading_day != self.seen.day)
            or (clearing == "TIME" and until is not None and d.now >= until)
        )

    def _covered(self, e: Event) -> None:
        """N1: what is uncovered for longer than allowed is on its way out, and for twice as long it is a hold.

        Looked at when the desk looks: on a timer, or on a price of that instrument.
        """
        d = self.desk
        for k, i in enumerate(d.instruments):
            looks = e.kind == r.TIMER or (e.kind in MARKET_KINDS and e.instrument == k and not e.flags)
            if i.qty != 0 and i.tradable == 1 and looks:
                self._leaving(k)
            # a stop covers; where bars fill an exit at the next one, so does that
            cover = (STOP_LOSS, EXIT) if d.limits.bar_mode else (STOP_LOSS,)
            if i.qty == 0 or self._cover(k, cover, WORKING) >= abs(i.qty):
                self.naked[k] = None
                continue
            turned = i.qty * self.seen.qty[k] < 0  # another position: its time begins with the fill that made it
            if self.naked[k] is None or turned:
                self.naked[k] = d.now
            if not looks or i.tradable != 1:
                continue
            naked = d.now - self.naked[k]
            if naked > d.limits.naked_ns_max and self.first_exit[k] is None and not self._unanswered(k):
                raise Broken(f"uncovered for {naked} ns and not on its way out")
            if naked > 2 * d.limits.naked_ns_max and "NAKED_POSITION" not in d.holds:
                raise Broken("uncovered for twice as long and no hold")

    def _leaving(self, k: int) -> None:
        """MES-EOD-06: who must leave has an exit on its way, the last attempt 2 s ago or less (5 s after the third);
        one that lasts longer is being cancelled; and 6 s after the first attempt somebody was told.  Else a stop is."""
        d, i, first = self.desk, self.desk.instruments[k], self.first_exit[k]
        attempt = 2 * d.limits.naked_ns_max // 3
        if not i.closing:
            if any(code in d.book.flattens for code in d.holds):
                raise Broken("a FLATTEN hold stands and nothing closes the position")
            if self._cover(k, (STOP_LOSS,), None) == 0:
                raise Broken("neither on its way out nor a stop on its way")
            return
        if first is None and not self._unanswered(k):
            raise Broken("it must leave, and no exit was ever sent")
        late = first is not None and d.now >= self.latest_exit[k] + self.apart[k]
        if late and self._cover(k, (EXIT,), None) < abs(i.qty):
            raise Broken("it must leave, and the next attempt is late")
        if d.limits.bar_mode:
            return
        if any(o.role == EXIT and self._is_waited_for(o) for o in d.live(k)):
            raise Broken("an exit that does not fill is waited for")
        if first is not None and d.now - first >= 3 * attempt and "NAKED_POSITION" not in d.holds:
            raise Broken("the attempts to leave are used up and nobody was told")

    def _unanswered(self, k: int) -> bool:
        """Whether an exit of the position before this one is open for as much: a late fill made a new position, and
        a second exit beside one whose end is unknown might sell twice.  Not one that
        works past the end of its attempt and that nobody takes back."""
        held = self.desk.instruments[k].qty
        exits = [o for o in self.desk.live(k) if o.role == EXIT and o.side * held < 0]
        return sum(o.left for o in exits if self.desk.limits.bar_mode or not self._is_waited_for(o)) >= abs(held)

    def _is_waited_for(self, o: Order) -> bool:
        """Whether it works past the end of its attempt although it might be cancelled now."""
        d = self.desk
        over = d.now >= max(o.made + 2 * d.limits.naked_ns_max // 3, o.cancel_retry)
        return (o.status, o.request) == (WORKING, NOTHING) and over

    def _apart(self, k: int, first: int) -> int:
        """The longest that the next attempt of futures may wait after the latest one, by the limits of now.

        When it is due is settled as the latest one ends, so a tighter configuration shortens the waits behind it.
        """
        attempt = 2 * self.desk.limits.naked_ns_max // 3
        return attempt if self.latest_exit[k] - first < 2 * attempt else max(attempt, 5 * S)

    def _cover(self, instrument: int, roles: tuple[int, ...], status: int | None) -> int:
        held = self.desk.instruments[instrument].qty
        return sum(
            o.left
            for o in self.desk.orders
            if o is not None
            and o.instrument == instrument
            and o.role in roles
            and o.side * held < 0
            and (o.status == status or (status is None and o.status in OPEN))
        )
