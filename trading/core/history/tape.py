"""The loop over a recorded tape: books and trades through the very kernel and the venue of the ring (MOEX-PAPER-01).

Everything happens at its own moment: a request arrives after its latency, between two events of the tape if that is
when; a timer of the second comes before the events of its second; events of the very instant come before an arrival.
The kernel hears a market event, then what it did to our orders; events that reach nobody are passed by (`calm`), with
the same bytes left.  `told` are inputs alone: what the venue answers is made here.  Called by
`trading.run.tapes.engine`.
"""

from numba import njit

from marketdata.core.compiled import borrowed, compact, inner
from marketdata.core.records import ACCOUNT_SCOPE, FEED, FEED_BEAT, NO_TICK, NO_TIME, STATUS_CLOSED
from marketdata.core.units import NANOS
from risk.core.codes import APPROVED
from risk.core.holds import FLATTEN_MASK, strongest
from risk.core.records import MOEX
from trading.core import orders as life
from trading.core.history import books, calm, ring, rounds
from trading.core.history.records import (
    BY_DATA_END,
    BY_SESSION_END,
    CARRY_NS,
    NEVER_NS,
    POINTS_ROOM,
    Desk,
    Room,
    Tables,
)
from trading.core.history.rounds import FILLS_ROOM, Rounds, Told
from trading.core.kernel import finish, step
from trading.core.market import HELD, MARKED, follow_market, note_market
from trading.core.protect import BY_HOLD
from trading.core.records import (
    ACK,
    CANCEL,
    CANCELLED_BY_VENUE,
    DECISION,
    EXIT,
    FILL,
    MARKET,
    MODIFY,
    QUERY,
    RECON,
    RECON_END,
    SCORE,
    SUBMIT,
    TIMER,
    TRADE_CLOSED,
    UNKNOWN_OUTCOME,
)
from trading.core.venue import engine
from trading.core.venue.answers import cancel
from trading.core.venue.book import close_out
from trading.core.venue.requests import free_slot, place

TRADES_ROOM = 64  # most round trips that end between two events, and at one
NOTHING, AT_VENUE, AT_SECOND, AT_CLOSE = range(4)


@njit(cache=True)
def drive_tape(
    desk: Desk, room: Room, tables: Tables, kept: Rounds, told: Told, first: int, last: int, ends: bool
) -> int:
    """Events `first` … `last` − 1.  Returns the next index: below `last` when the rows of trades, points or fills are
    full, then the caller empties them and calls again; with `ends` the run is closed behind the last one."""
    desk, room, tables, kept, told = borrowed((desk, room, tables, kept, told))
    run = desk.run[0]
    r = kept.round[0]
    trades_max, points_max = room.trades.shape[0] - TRADES_ROOM, room.points.shape[0] - POINTS_ROOM
    fills_max = kept.fills.shape[0] - FILLS_ROOM
    fine = False
    i = first
    while i < last and run.trades < trades_max and run.points < points_max and r.fills < fills_max:
        i, wants = calm.pass_by(desk, room, tables, kept, told, i, last, fine)
        fine = False
        if wants != 0:
            fine = _follow(desk, room, kept, told, i, wants)
            i += 1
        elif i < last:
            ts_ns = told.events[i].ts_ns
            _pass_time(desk, room, tables, kept, ts_ns)
            _take(desk, room, kept, told, i, ts_ns)
            i += 1
    if ends and i == last:
        _conclude(desk, room, tables, kept)
    return i


@compact  # it calls settle
def _take(desk: Desk, room: Room, kept: Rounds, told: Told, i: int, ts_ns: int) -> None:
    """One input at its moment."""
    run = desk.run[0]
    kind = told.events[i].kind
    if kind <= FEED:
        _market(desk, room, kept, told, i)
        run.bars += 1
    elif ACK <= kind <= UNKNOWN_OUTCOME:
        return  # of the venue that was there when it was recorded
    elif kind == RECON:
        if told.events[i].code == RECON_END:
            ring.reconcile(desk, room, ts_ns)
    else:
        if kind == SCORE:
            run.scores += 1
            _agree(desk, room, kept, ts_ns)
        room.line[run.waiting] = told.events[i]
        run.waiting += 1
    _behind(desk, room, kept, ts_ns, kind == TIMER)


@compact  # it calls settle
def _behind(desk: Desk, room: Room, kept: Rounds, ts_ns: int, is_timer: bool) -> None:
    """What one input leaves to be done."""
    run = desk.run[0]
    settle(desk, room, kept)
    if is_timer:
        _point(desk, room, ts_ns)
    venue = desk.venue.account[0]
    due = venue.request_count > 0 and desk.venue.requests[0].arrive_ns <= ts_ns
    if due or (venue.held_count > 0 and engine.next_due_ns(desk.venue) <= ts_ns):
        run.waiting += engine.advance(desk.venue, ts_ns, room.line[run.waiting :])
        settle(desk, room, kept)
    if desk.state.positions[0].qty != 0:
        rounds.marked(run, kept, desk.state.positions[0].mark_tick)
    if run.on_grid == 0:
        run.on_grid = 1
        run.start_ns = ts_ns
    run.end_ns = max(run.end_ns, ts_ns)


@inner
def _market(desk: Desk, room: Room, kept: Rounds, told: Told, i: int) -> None:
    """A market event: the venue has it first, the kernel hears it first.

    Before the clock's next moment this is `kernel.step` without handing arrays about, as in the loop over bars.
    """
    run = desk.run[0]
    account = desk.state.account[0]
    e = room.bar[0]
    room.bar[0] = told.events[i]
    if e.kind != FEED:
        _reopen(desk, kept)
    now_ns = max(e.ts_ns, account.now_ns)
    if now_ns >= account.clock_ns:
        room.line[run.waiting] = e
        run.waiting += 1
        run.waiting += engine.market_event(
            desk.venue, told.events, i, told.depths, told.depth_of[i], room.line[run.waiting :]
        )
        return
    run.waiting += engine.market_event(
        desk.venue, told.events, i, told.depths, told.depth_of[i], room.line[run.waiting :]
    )
    e.seq = account.seq + 1
    account.now_ns = now_ns
    at = e.instrument
    wants = note_market(account, desk.state.positions[at], desk.state.grids[at], desk.params.limits[0], e)
    account.seq = e.seq
    _ask(desk, room, kept, wants)


@inner
def _ask(desk: Desk, room: Room, kept: Rounds, wants: int) -> int:
    """What must follow the market event in `room.bar`, which the kernel has noted.  Returns how much it said."""
    run = desk.run[0]
    e = room.bar[0]
    held, said = desk.state.account[0].holds, 0
    if wants != 0:
        said = follow_market(desk.state, desk.params, e, room.out, 0, wants)
        said = finish(desk.state, desk.params, room.out, said, held, e.seq)
    ring.keep_tape(run, room.tape, e, room.out, said)
    if said > 0:
        _heard(desk, room, kept, said)
    return said


@compact  # it calls settle
def _follow(desk: Desk, room: Room, kept: Rounds, told: Told, i: int, wants: int) -> bool:
    """What must follow an event that was passed by but for this.  True: the kernel only looked at what is held, and had
    nothing to say."""
    e = room.bar[0]
    room.bar[0] = told.events[i]
    e.seq = desk.state.account[0].seq
    said = _ask(desk, room, kept, wants)
    _behind(desk, room, kept, e.ts_ns, False)
    return said == 0 and (wants == MARKED or wants == HELD)


@inner
def _shut(desk: Desk, kept: Rounds) -> None:
    """Behind a close: what still arrives meets a market that is not open."""
    market = desk.venue.markets[0]
    r = kept.round[0]
    if r.shut == 0:
        r.shut = 1
        r.status = market.status
        market.status = STATUS_CLOSED


@inner
def _reopen(desk: Desk, kept: Rounds) -> None:
    """The market speaks again: it is as open as it last said."""
    r = kept.round[0]
    if r.shut == 1:
        r.shut = 0
        desk.venue.markets[0].status = r.status


@inner
def _heard(desk: Desk, room: Room, kept: Rounds, n: int) -> None:
    """What the kernel said in `room.out`: noted, and its requests sent on their way."""
    run = desk.run[0]
    account = desk.state.account[0]
    position = desk.state.positions[0]
    for k in range(n):
        o = room.out[k]
        if o.kind == SUBMIT or o.kind == CANCEL or o.kind == MODIFY:
            desk.venue.account[0].latency_ns = rounds.draw_latency(kept)
            run.waiting += engine.request(desk.venue, room.out, k, room.line[run.waiting :])
        elif o.kind == DECISION:
            room.decisions[o.code] += 1
            if o.code == APPROVED:
                run.asked_confidence_ppm = o.confidence_ppm
        elif o.kind == TRADE_CLOSED:
            rounds.closed(run, kept, room.trades, o)
        assert o.kind != QUERY  # every answer arrives, sooner than the kernel would ask for it
    if position.closing == 1 and position.close_reason == BY_HOLD and run.exit_hold < 0:
        run.exit_hold = strongest(account.rules, account.holds & FLATTEN_MASK[account.rules])


@compact  # the only function here that calls the kernel's step, see ring.settle
def settle(desk: Desk, room: Room, kept: Rounds) -> None:
    """The kernel hears everything that waits in line, and what is answered at once to what it then asks."""
    run = desk.run[0]
    account = desk.state.account[0]
    position = desk.state.positions[0]
    while run.told < run.waiting:
        room.one[0] = room.line[run.told]
        run.told += 1
        e = room.one[0]
        e.seq = account.seq + 1
        held = position.qty
        if e.kind == FILL:
            rounds.before_fill(run, kept, desk.venue, held, e)
        n = step(desk.state, desk.params, room.one, 0, room.out)
        ring.keep_tape(run, room.tape, e, room.out, n)
        _heard(desk, room, kept, n)
        if e.kind == FILL:
            rounds.after_fill(run, kept, position, held, e, account.trading_day)
    run.told = 0
    run.waiting = 0


@compact  # it calls settle
def _agree(desk: Desk, room: Room, kept: Rounds, ts_ns: int) -> None:
    """Before a score the books are compared, when the gate would call the last comparison old before the score is."""
    limits = desk.params.limits[0]
    if ts_ns - desk.state.account[0].recon_ts_ns > limits.recon_age_ns_max - limits.score_age_ns_max:
        ring.reconcile(desk, room, ts_ns)
        settle(desk, room, kept)


@inner
def _agree_ns(desk: Desk) -> int:
    """From when on a second compares the books, as the desk's loop does in a session: of shares an old comparison is a
    hold, which takes entries back (MOEX-OPS-04)."""
    account = desk.state.account[0]
    age_ns = desk.params.limits[0].recon_age_ns_max
    if account.rules != MOEX or account.recon_ts_ns == NO_TIME or age_ns <= 0:
        return NEVER_NS
    return account.recon_ts_ns + age_ns // 3 + 1


@inner
def _second(t_ns: int) -> int:
    """The whole second at or after a time."""
    return -(-t_ns // NANOS) * NANOS


@inner
def _next_timer(desk: Desk, kept: Rounds, until_ns: int) -> int:
    """When the next TIMER is due, NEVER_NS when the tape brings them.

    After five minutes without an event time passes from one moment of the kernel's clock, or comparison of the books,
    to the next.
    """
    run = desk.run[0]
    r = kept.round[0]
    if r.timers == 0:
        return NEVER_NS
    if r.timer_ns == NO_TIME:
        r.timer_ns = _second(until_ns)
    if run.end_ns != NO_TIME and r.timer_ns > run.end_ns + CARRY_NS:
        second_ns = until_ns // NANOS * NANOS
        clock_ns = max(min(desk.state.account[0].clock_ns, _agree_ns(desk)), run.end_ns)
        r.timer_ns = max(r.timer_ns, _second(clock_ns) if clock_ns < second_ns else second_ns)
    return r.timer_ns


@inner
def _next(desk: Desk, tables: Tables, kept: Rounds, until_ns: int) -> tuple[int, int]:
    """(time, what) of the next thing that is due before an event at `until_ns`; NOTHING when the event is next."""
    at, what = until_ns, NOTHING
    account = desk.venue.account[0]
    if account.request_count > 0 or account.working_count > 0 or account.held_count > 0:
        due_ns = engine.next_due_ns(desk.venue)
        if due_ns != NO_TIME and due_ns < at:
            at, what = due_ns, AT_VENUE
    timer_ns = _next_timer(desk, kept, until_ns)
    if timer_ns < at or (timer_ns == at and what == NOTHING):
        at, what = timer_ns, AT_SECOND
    if tables.close_ns[desk.run[0].session] <= at:
        at, what = tables.close_ns[desk.run[0].session], AT_CLOSE
    return at, what


@compact  # it calls settle
def _pass_time(desk: Desk, room: Room, tables: Tables, kept: Rounds, until_ns: int) -> None:
    """What time alone does before an event: arrivals and expiries at the venue, seconds, a session's close."""
    run = desk.run[0]
    at, what = _next(desk, tables, kept, until_ns)
    while what != NOTHING:
        if what == AT_VENUE:
            run.waiting += engine.advance(desk.venue, at, room.line[run.waiting :])
            settle(desk, room, kept)
        elif what == AT_SECOND:
            if at >= _agree_ns(desk):
                ring.reconcile(desk, room, at)
            ring.beat(desk, room, FEED_BEAT, at)  # a tape without a word is a quiet market, not a dead feed
            ring.say(desk, room, TIMER, ACCOUNT_SCOPE, at)
            settle(desk, room, kept)
            kept.round[0].timer_ns = at + NANOS
            if run.on_grid == 1 and at <= run.end_ns + CARRY_NS:
                _point(desk, room, at)
        else:
            _close(desk, room, tables, kept, BY_SESSION_END, at)
        at, what = _next(desk, tables, kept, until_ns)


@inner
def _point(desk: Desk, room: Room, ts_ns: int) -> None:
    """One point of the curve: the account as it stands now."""
    run = desk.run[0]
    if run.row_ns == NO_TIME or ts_ns > run.row_ns:
        run.row_ns = ts_ns
        books.point(run, desk.state.account[0], desk.state.positions[0].qty, room.points, ts_ns, ts_ns)


@compact  # it calls settle
def _close(desk: Desk, room: Room, tables: Tables, kept: Rounds, reason: int, at_ns: int) -> None:
    """A session's close or the end of the data: nothing stays open (MES-BT-16, -19), the last known book pays for it.

    What was pending is cancelled by the kernel, which finds itself flat; until the next market event nothing fills.
    """
    run = desk.run[0]
    venue = desk.venue
    run.waiting += engine.advance(venue, at_ns, room.line[run.waiting :])
    settle(desk, room, kept)
    held = venue.markets[0].qty
    if held != 0:
        side = -1 if held > 0 else 1
        slot = free_slot(venue)
        assert slot >= 0
        number = venue.account[0].own_number - 1
        venue.account[0].own_number = number
        place(venue, slot, number, 0, side, MARKET, EXIT, abs(held), NO_TICK, NO_TICK, NO_TIME, at_ns)
        run.waiting = close_out(venue, room.line, run.waiting, slot, at_ns)
        if venue.orders[slot].status == life.WORKING:  # no price was ever seen: it stays, and the caller can tell
            run.waiting = cancel(venue, room.line, run.waiting, slot, at_ns, CANCELLED_BY_VENUE)
        run.forced = reason
    _shut(desk, kept)
    settle(desk, room, kept)
    run.forced = 0
    account = desk.state.account[0]
    changed = held != 0 or account.equity_micros != run.equity_micros
    if run.on_grid == 1 and (changed or at_ns > run.row_ns):
        run.row_ns = at_ns
        books.point(run, account, desk.state.positions[0].qty, room.points, at_ns, at_ns)
    books.write_point(run, tables.days[run.session], at_ns)
    run.session += 1
    run.on_grid = 0


@compact  # it calls settle
def _conclude(desk: Desk, room: Room, tables: Tables, kept: Rounds) -> None:
    """Behind the last event."""
    run = desk.run[0]
    if run.on_grid == 1:
        _close(desk, room, tables, kept, BY_DATA_END, run.end_ns)
    books.end_curve(run, room.points)
