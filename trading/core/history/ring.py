"""The ring inside a backtest: what the kernel sends reaches the simulated venue, and the kernel hears its answers.

One event at a time, in one order: an input, its outputs, the venue's answers to them, each again an input.  What the
loop has to say goes into the same line, and `settle` empties it.  No latency: bars say nothing about the time within
them (MES-BT-02).  Called by the loop over bars and by its clock.
"""

import numpy as np

from marketdata.core.compiled import compact, inlined, inner
from marketdata.core.records import ACCOUNT_SCOPE, FEED, NO_TICK, NO_TIME
from risk.core.codes import APPROVED
from risk.core.holds import FLATTEN_MASK, strongest
from trading.core.effects import blank
from trading.core.history import books
from trading.core.history.records import Desk, Room
from trading.core.kernel import step
from trading.core.protect import BY_HOLD
from trading.core.records import (
    CANCEL,
    CANCELLED_EXPIRED,
    DECISION,
    ENTRY,
    EXIT,
    FILL,
    LIMIT,
    MARKET,
    MODIFY,
    QUERY,
    RECON,
    RECON_BEGIN,
    RECON_END,
    RECON_ORDER,
    RECON_POSITION,
    STOP,
    SUBMIT,
    TRADE_CLOSED,
)
from trading.core.venue.answers import cancel, fill
from trading.core.venue.engine import request
from trading.core.venue.held import is_held, is_sent
from trading.core.venue.requests import free_slot, place
from trading.core.venue.slips import fill_ticks, slipped
from trading.core.venue.state import Venue

FAR_TICK = 2**62  # beyond every price


@inner
def keep_tape(run: np.record, tape: np.ndarray, e: np.record, out: np.ndarray, n: int) -> None:
    """Input and outputs as a journal has them, where somebody wants to read them."""
    if tape.shape[0] == 0:
        return
    assert run.tape + n < tape.shape[0]
    tape[run.tape] = e
    for k in range(n):
        tape[run.tape + 1 + k] = out[k]
    run.tape += n + 1


@inner
def heard(desk: Desk, room: Room, n: int) -> None:
    """What the kernel said in `room.out`: noted, and its requests served by the venue."""
    run = desk.run[0]
    account = desk.state.account[0]
    position = desk.state.positions[0]
    for k in range(n):
        o = room.out[k]
        if o.kind == SUBMIT or o.kind == CANCEL or o.kind == MODIFY:
            if o.kind == SUBMIT and o.role == EXIT:  # what is sent while a bar is met waits for the next one
                o.ts_ns = max(o.ts_ns, run.meet_end_ns)
            run.waiting += request(desk.venue, room.out, k, room.line[run.waiting :])
        elif o.kind == DECISION:
            room.decisions[o.code] += 1
            if o.code == APPROVED:
                run.asked_confidence_ppm = o.confidence_ppm
        elif o.kind == TRADE_CLOSED:
            books.closed(run, room.trades, o)
        assert o.kind != QUERY  # every answer arrives
    if position.closing == 1 and position.close_reason == BY_HOLD and run.exit_hold < 0:
        run.exit_hold = strongest(account.rules, account.holds & FLATTEN_MASK[account.rules])


@compact  # the only function that calls the kernel's step: each one more would be compiled with the whole of it
def settle(desk: Desk, room: Room) -> None:
    """The kernel hears everything that waits in line, and the venue's answers to what it then asks."""
    run = desk.run[0]
    account = desk.state.account[0]
    position = desk.state.positions[0]
    while run.told < run.waiting:
        room.one[0] = room.line[run.told]
        run.told += 1
        e = room.one[0]
        e.seq = account.seq + 1
        if e.kind == FILL and e.role != ENTRY:
            books.leaving(run, e, slipped(desk.venue, e))
        n = step(desk.state, desk.params, room.one, 0, room.out)
        keep_tape(run, room.tape, e, room.out, n)
        if e.kind == FILL and e.role == ENTRY:
            books.entered(run, position, e, account.trading_day, slipped(desk.venue, e))
        heard(desk, room, n)
    run.told = 0
    run.waiting = 0


@inlined
def say(desk: Desk, room: Room, kind: int, instrument: int, ts_ns: int) -> np.record:
    """One more event in line, blank but for this; the caller fills in the rest."""
    run = desk.run[0]
    blank(room.line, run.waiting, kind, instrument, ts_ns)
    run.waiting += 1
    return room.line[run.waiting - 1]


@inner
def beat(desk: Desk, room: Room, code: int, ts_ns: int) -> None:
    """The feed says that it lives, or that a segment ended: the grid's clock is the feed (MES-BT-04)."""
    e = say(desk, room, FEED, 0, ts_ns)
    e.code = code


@inner
def force(desk: Desk, room: Room, reason: int, ts_ns: int) -> None:
    """What is open ends at the last printed close, slipped, by the venue itself (MES-BT-16, -17, -19).

    `run.forced` names it until the caller has settled.  Whatever was pending is cancelled by the kernel, which finds
    itself flat.
    """
    run = desk.run[0]
    venue = desk.venue
    held = venue.markets[0].qty
    if held == 0:
        return
    side = -1 if held > 0 else 1
    slot = free_slot(venue)
    assert slot >= 0
    venue.account[0].own_number -= 1
    place(venue, slot, venue.account[0].own_number, 0, side, MARKET, EXIT, abs(held), NO_TICK, NO_TICK, NO_TIME, ts_ns)
    tick = run.close_tick + side * fill_ticks(venue, slot, ts_ns, run.bar_ns, False)
    run.waiting = fill(venue, room.line, run.waiting, slot, abs(held), tick, ts_ns)
    run.forced = reason


@inner
def drop_entries(desk: Desk, room: Room, ts_ns: int) -> None:
    """A segment has ended: an entry that waits for its next print has none (MES-BT-11)."""
    run = desk.run[0]
    venue = desk.venue
    i = 0
    while i < venue.account[0].working_count:
        slot = venue.working[i]
        if venue.orders[slot].role == ENTRY:
            run.waiting = cancel(venue, room.line, run.waiting, slot, ts_ns, CANCELLED_EXPIRED)
        else:
            i += 1


@inner
def reconcile(desk: Desk, room: Room, ts_ns: int) -> None:
    """The venue's own books, told as a broker tells them (P-05)."""
    venue = desk.venue
    held = venue.markets[0].qty
    e = say(desk, room, RECON, ACCOUNT_SCOPE, ts_ns)
    e.code = RECON_BEGIN
    if held != 0:
        e = say(desk, room, RECON, 0, ts_ns)
        e.code = RECON_POSITION
        e.side = 1 if held > 0 else -1
        e.qty = abs(held)
    for i in range(venue.account[0].working_count):
        _tell_order(desk, room, venue.orders[venue.working[i]].number, ts_ns)
    if venue.account[0].held_count > 0 or venue.account[0].request_count > 0:
        _tell_kept(desk, room, ts_ns)
    e = say(desk, room, RECON, ACCOUNT_SCOPE, ts_ns)
    e.code = RECON_END
    e.ref = venue.account[0].ref


@inner
def _tell_kept(desk: Desk, room: Room, ts_ns: int) -> None:
    """Passive children that wait for their time or are on their way: the server that keeps them knows them
    (MOEX-ROUTE-04)."""
    venue = desk.venue
    for slot in range(venue.account[0].orders_used if venue.account[0].held_count > 0 else 0):
        if is_held(venue, slot):
            _tell_order(desk, room, venue.orders[slot].number, ts_ns)
    for i in range(venue.account[0].request_count):
        if is_sent(venue, i):
            _tell_order(desk, room, venue.requests[i].number, ts_ns)


@inlined
def _tell_order(desk: Desk, room: Room, number: int, ts_ns: int) -> None:
    """One order that the venue, or the server before it, knows."""
    e = say(desk, room, RECON, 0, ts_ns)
    e.code = RECON_ORDER
    e.order_number = number


@inner
def reach(venue: Venue) -> tuple[int, int]:
    """(high, low): a bar that reaches neither can fill nothing that works; a market order is reached by any, and so is
    a stop that has become one and waits for a book (MOEX-PAPER-01): high is -FAR_TICK."""
    high_from, low_from = FAR_TICK, -FAR_TICK
    for i in range(venue.account[0].working_count):
        order = venue.orders[venue.working[i]]
        if order.order_type == STOP and order.triggered == 0:
            tick, above = order.stop_tick, order.side > 0
        elif order.order_type == LIMIT:
            tick, above = order.price_tick, order.side < 0
        else:
            tick, above = -FAR_TICK, True
        if above:
            high_from = min(high_from, tick)
        else:
            low_from = max(low_from, tick)
    return high_from, low_from


@inner
def touched(venue: Venue, high: int, low: int) -> bool:
    """Whether a bar of this range may fill anything that works."""
    high_from, low_from = reach(venue)
    return high >= high_from or low <= low_from
