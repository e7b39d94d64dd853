"""What must work at the venue for what is held, re-stated: bracket, exit, clean-up, stop-or-flat (MES-LIVE-07, -08)."""

from typing import TYPE_CHECKING

from tests.oracle.rules.facts import (
    BY_EXCESS,
    BY_HOLD,
    BY_NAKED,
    BY_REVERSAL,
    BY_SIGNAL,
    BY_TIME,
    CANCELLING,
    ENTRY,
    EXIT,
    LIMIT,
    STOP,
    STOP_LOSS,
    TARGET,
    WORKING,
    Instrument,
    Order,
    S,
)

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk

__all__ = ["BY_REVERSAL", "BY_SIGNAL", "attempt_failed", "close", "converge", "forget_legs", "look_after"]


def close(i: Instrument, reason: int) -> None:
    """Only exits until flat; the first reason stays."""
    if not i.closing:
        i.closing, i.reason = True, reason


def demand_flat(d: "Desk", i: Instrument, reason: int) -> None:
    """By a hold or a person: the clock of the demand runs, though the position may be leaving already."""
    i.flatten_since = d.now if i.flatten_since is None else i.flatten_since
    close(i, reason)


def look_after(d: "Desk", i: Instrument) -> None:
    """Time exit, protection, cover, in this order."""
    d.check_position(i)
    if i.qty != 0 and d.held_too_long(i):
        close(i, BY_TIME)
        give_up_reversing(d, i)
    converge(d, i)
    stop_or_flat(d, i)


def converge(d: "Desk", i: Instrument) -> None:
    """Bring the working orders to what the position needs."""
    flatten = any(code in d.book.flattens for code in d.holds)
    if i.qty != 0 and flatten:
        demand_flat(d, i, BY_HOLD)
        give_up_reversing(d, i)
    live = d.live(i.index)
    if i.closing or any(code in d.book.stops_entry for code in (*d.holds, *i.holds)):
        cancel_entries(d, i)
    if i.qty == 0:
        for o in live:
            if o.role != ENTRY:
                d.ask_cancel(o)
        i.naked_since = i.leaving_since = None
        i.exit_retry = i.tries = i.allowed = 0
        if not live:
            i.closing, i.reason, i.stop, i.net = False, 0, None, None
            i.flatten_since = None
            forget_legs(i)
        return
    planned = i.stop is not None and i.qty * i.trip_side > 0
    if not i.closing and not planned:
        close(i, BY_EXCESS)
    if i.closing:
        leave(d, i)
        return
    leg(d, i, STOP_LOSS, STOP, i.stop if i.net is None else i.net)  # type: ignore[arg-type]
    if i.target is not None:
        leg(d, i, TARGET, LIMIT, i.target)


def forget_legs(i: Instrument) -> None:
    """Nothing is held, or something else."""
    i.stop_refused = None
    i.stop_mover = i.stop_refusals = 0
    i.target = i.before = i.refused = None
    i.mover = i.refused_times = 0


def cancel_entries(d: "Desk", i: Instrument) -> None:
    """Every open entry goes, and its time ends: found working later, the next timer asks again."""
    for o in d.live(i.index):
        if o.role == ENTRY:
            o.until = min(o.until, d.now)
            d.ask_cancel(o)


def give_up_reversing(d: "Desk", i: Instrument) -> None:
    """MES-REV-02: a FLATTEN or time exit before the exit's fill: no entry."""
    i.rev_side = 0


def leave(d: "Desk", i: Instrument) -> None:
    """Out at market, for what no exit works yet; the target goes, the stop stays until the exit is filled."""
    out = -1 if i.qty > 0 else 1
    leaving = 0
    for o in d.live(i.index):
        if o.role == TARGET or (o.role != ENTRY and o.side != out):
            d.ask_cancel(o)
        elif o.role == EXIT:
            leaving += o.left
            if o.status == WORKING and d.now - o.made >= attempt(d) and not d.limits.bar_mode:
                d.ask_cancel(o)
    if abs(i.qty) > leaving and d.now >= i.exit_retry:
        i.leaving_since = d.now if i.leaving_since is None else i.leaving_since
        kind, price = d.next_exit(i)
        d.submit(i, out, kind, EXIT, abs(i.qty) - leaving, price)


def attempt(d: "Desk") -> int:
    """MES-EOD-06: 2 s, three of which are the 6 s after which nothing may be uncovered (MES-LIVE-08)."""
    return d.limits.naked_ns_max * 2 // 3


def attempt_failed(d: "Desk", i: Instrument, o: Order) -> None:
    """At most 3 attempts, 2 s apart, then one every 5 s."""
    i.exit_retry = o.made + d.pause_after(i, o)


def pause_after(d: "Desk", i: Instrument, o: Order) -> int:
    """How long after a failed attempt of futures the next one leaves."""
    tried = 0 if i.leaving_since is None else o.made - i.leaving_since
    return attempt(d) if tried < 2 * attempt(d) else max(attempt(d), 5 * S)


def leg(d: "Desk", i: Instrument, role: int, kind: int, price: int) -> None:
    """Exactly one order of this role, closing all that is held, at its price."""
    out = -1 if i.qty > 0 else 1
    kept = None
    for o in d.live(i.index):
        if o.role != role:
            continue
        if kept is None and o.side == out and o.request != CANCELLING:
            kept = o
        else:
            d.ask_cancel(o)
    # no refusal withholds a stop; a target that was refused as it is waits
    withheld = role == TARGET and i.refused == (abs(i.qty), price) and d.now < i.target_retry
    if kept is None:
        if not withheld:
            d.submit(i, out, kind, role, abs(i.qty), price)
    elif withheld:
        pass
    elif role == STOP_LOSS and kept.price != price and i.stop_refused == price and d.now < i.stop_retry:
        if kept.left != abs(i.qty) and kept.price is not None:  # the old price for all that is held
            d.ask_modify(kept, kept.filled + abs(i.qty), kept.price)
    elif kept.left != abs(i.qty) or kept.price != price:
        d.ask_modify(kept, kept.filled + abs(i.qty), price)


def stop_or_flat(d: "Desk", i: Instrument) -> None:
    """N1: uncovered longer than allowed → out at market; twice as long → NAKED_POSITION, as when attempts are used up.

    Only a stop covers; where bars fill an exit at the next one, so does the exit.
    """
    bars = bool(d.limits.bar_mode)
    roles = (STOP_LOSS, EXIT) if bars else (STOP_LOSS,)
    cover = sum(o.left for o in d.live(i.index) if o.status == WORKING and o.role in roles and o.side * i.qty < 0)
    if i.qty != 0 and i.leaving_since is not None and not bars and d.now - i.leaving_since >= 3 * attempt(d):
        d.raise_hold("NAKED_POSITION")
    if i.qty != 0 and i.leaving_since is not None and not bars:
        d.leaves_since(i)
    if i.qty == 0 or cover >= abs(i.qty):
        i.naked_since = None
        d.hold_on(i, "STOP_UNPROTECTED", False)
        return
    if i.naked_since is None:
        i.naked_since = d.now
        return
    naked = d.now - i.naked_since
    if naked > d.limits.naked_ns_max:
        d.hold_on(i, "STOP_UNPROTECTED", True)
        close(i, BY_NAKED)
        converge(d, i)
    if naked > 2 * d.limits.naked_ns_max:
        d.raise_hold("NAKED_POSITION")
