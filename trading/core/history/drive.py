"""The loop over recorded bars: the very kernel and the venue of the ring, bar after bar in compiled code (MES-BT-02).

A bar that can fill nothing and at which no moment of the clock falls takes a short way, and where the account stays as
it is `glide` passes many at once; every other takes the five steps.  All say the same to the kernel, bit for bit: the
short way is `kernel.step` for a market event before the clock's next moment, without handing arrays about.  Called by
`trading.run.backtest`.
"""

import numpy as np
from numba import njit

from marketdata.core.compiled import borrowed, compact, inlined, inner
from marketdata.core.records import BAR, NO_TIME
from marketdata.core.units import PPM
from trading.core.effects import blank
from trading.core.history import books, glide, moments, ring
from trading.core.history.records import (
    BY_DATA_END,
    BY_SESSION_END,
    CARRY_NS,
    MINUTE_NS,
    POINTS_ROOM,
    TRADES_ROOM,
    Columns,
    Desk,
    Room,
    Tables,
)
from trading.core.kernel import finish
from trading.core.market import follow_market, note_market
from trading.core.records import SCORE
from trading.core.venue.bars import STAGES, STOPS, meet_stage, take_bar


@njit(cache=True)
def drive(desk: Desk, room: Room, tables: Tables, columns: Columns, first: int, ends: bool) -> int:
    """Bars from index `first` on.  Returns the next index: below n when the rows of trades or points are full, then the
    caller empties them and calls again; n when all are done, and with `ends` the run is closed behind the last one."""
    desk, room, tables, columns = borrowed((desk, room, tables, columns))
    run = desk.run[0]
    account = desk.state.account[0]
    position = desk.state.positions[0]
    grid = desk.state.grids[0]
    limits = desk.params.limits[0]
    venue = desk.venue.account[0]
    e = room.bar[0]
    trades_max, points_max = room.trades.shape[0] - TRADES_ROOM, room.points.shape[0] - POINTS_ROOM
    blank(room.bar, 0, BAR, 0, 0)
    n = columns.start_ns.shape[0]
    mood = glide.NOT
    i = first
    while i < n and run.trades < trades_max and run.points < points_max:
        if mood != glide.NOT:
            passed = i
            if mood == glide.FLAT:
                i = glide.coast(desk, room, columns, i)
            else:
                i = glide.ride(desk, columns, i)
            room.passed[0] += i - passed
            mood = glide.NOT
            continue
        start_ns, side, contract = columns.start_ns[i], columns.side[i], columns.contract[i]
        end_ns = start_ns + run.bar_ns
        _read(e, columns, i, run.bar_ns)
        free = position.qty == 0 and venue.working_count == 0
        due = _is_due(run, account, position, limits, contract, start_ns, end_ns)
        if not due and not free:
            due = glide.decides(position, side) or ring.touched(desk.venue, e.high_tick, e.low_tick)
        if due:
            _bar(desk, room, tables, start_ns, contract, side, columns.confidence_ppm[i])
            i += 1
            continue
        if position.qty != 0:
            moments.carry(desk, room, tables, start_ns)  # before the mark moves
            run.high_tick = e.high_tick
            run.low_tick = e.low_tick
            books.held(run)
        held, said = account.holds, 0
        e.seq = account.seq + 1
        account.now_ns = end_ns
        wants = note_market(account, position, grid, limits, e)
        account.seq = e.seq
        if wants != 0:
            said = follow_market(desk.state, desk.params, e, room.out, 0, wants)
            said = finish(desk.state, desk.params, room.out, said, held, e.seq)
        if room.tape.shape[0] > 0:
            ring.keep_tape(run, room.tape, e, room.out, said)
        else:
            mood = glide.mood(wants, said, free)
        if said > 0:
            ring.heard(desk, room, said)
            ring.settle(desk, room)
        if not _row(run, account, position.qty, start_ns, end_ns):
            moments.carry(desk, room, tables, start_ns)
            moments.note_points(desk, room, end_ns, end_ns)
        _move_on(run, e, start_ns, end_ns)
        if free and side != 0:
            _decide(desk, room, start_ns, side, columns.confidence_ppm[i])
            ring.settle(desk, room)
            if position.qty != 0 or venue.working_count != 0:
                mood = glide.NOT
        i += 1
    if ends and i == n:
        _conclude(desk, room, tables)
    return i


@inner
def _read(e: np.record, columns: Columns, i: int, bar_ns: int) -> None:
    """One printed bar as the kernel hears of it."""
    e.ts_ns = columns.start_ns[i] + bar_ns
    e.ts_venue_ns = e.ts_ns
    e.value = bar_ns
    e.open_tick = columns.ticks[i, 0]
    e.high_tick = columns.ticks[i, 1]
    e.low_tick = columns.ticks[i, 2]
    e.close_tick = columns.ticks[i, 3]
    e.volume = columns.volume[i]


@inner
def _is_due(
    run: np.record,
    account: np.record,
    position: np.record,
    limits: np.record,
    contract: int,
    start_ns: int,
    end_ns: int,
) -> bool:
    """Whether time alone does something before this bar or in it, or the bar begins a segment."""
    if end_ns >= account.clock_ns or end_ns > run.stop_ns or start_ns - run.end_ns >= CARRY_NS:
        return True
    return contract != run.contract or run.on_grid == 0 or _is_over(position, limits, start_ns)


@inner
def _is_over(position: np.record, limits: np.record, start_ns: int) -> bool:
    """Whether a time exit is due before this bar (MES-STOP-06)."""
    return position.qty != 0 and limits.hold_ns_max > 0 and position.opened_ns + limits.hold_ns_max <= start_ns


@inner
def _row(run: np.record, account: np.record, position: int, start_ns: int, end_ns: int) -> bool:
    """The points of a bar of the short way and of the seconds before it; False when one of them must be kept.

    Seconds that a position has lived through were noted before its mark moved.
    """
    silence_ns = start_ns - run.row_ns
    if end_ns > run.sample_end_ns or run.sample_ns <= run.bar_ns or (silence_ns > 0 and run.bar_ns >= MINUTE_NS):
        return False
    rows = silence_ns // run.bar_ns if silence_ns > 0 else 0
    run.carried += rows
    books.note(run, account, position, end_ns, end_ns, rows + 1)
    return True


@inner
def _move_on(run: np.record, e: np.record, start_ns: int, end_ns: int) -> None:
    run.start_ns = start_ns
    run.end_ns = end_ns
    run.row_ns = end_ns
    run.close_tick = e.close_tick
    run.bars += 1


@inlined
def _decide(desk: Desk, room: Room, start_ns: int, side: int, confidence_ppm: int) -> None:
    """A decision on a bar of the short way, put in line: the venue knows that bar first, as after the five steps."""
    run = desk.run[0]
    venue = desk.venue
    e = room.bar[0]
    run.high_tick = e.high_tick
    run.low_tick = e.low_tick
    venue.account[0].now_ns = e.ts_ns
    take_bar(venue, 0, start_ns, e.ts_ns, e.open_tick, e.high_tick, e.low_tick, e.close_tick)
    _score(desk, room, e.ts_ns, side, confidence_ppm)


@compact  # see ring.settle
def _bar(desk: Desk, room: Room, tables: Tables, start_ns: int, contract: int, side: int, confidence_ppm: int) -> None:
    """The five steps of MES-BT-02 for the printed bar in `room.bar`."""
    run = desk.run[0]
    venue = desk.venue
    position = desk.state.positions[0]
    e = room.bar[0]
    end_ns = start_ns + run.bar_ns
    while moments.prepare(desk, room, tables, start_ns, contract):
        ring.settle(desk, room)
    run.contract = contract
    run.high_tick = e.high_tick
    run.low_tick = e.low_tick
    venue.account[0].now_ns = max(venue.account[0].now_ns, start_ns)
    take_bar(venue, 0, start_ns, end_ns, e.open_tick, e.high_tick, e.low_tick, e.close_tick)
    run.meet_end_ns = end_ns
    for stage in range(STAGES):
        if stage == STOPS:
            venue.account[0].now_ns = end_ns
        if venue.account[0].working_count > 0:
            run.waiting = meet_stage(venue, 0, stage, room.line, run.waiting)
            ring.settle(desk, room)
    run.meet_end_ns = NO_TIME
    venue.account[0].now_ns = end_ns
    assert venue.markets[0].qty == position.qty
    if position.qty != 0:
        books.held(run)
    room.line[0] = e
    run.waiting = 1
    ring.settle(desk, room)
    _move_on(run, e, start_ns, end_ns)
    run.on_grid = 1
    moments.note_points(desk, room, end_ns, end_ns)
    if glide.decides(position, side):
        _score(desk, room, end_ns, side, confidence_ppm)
        ring.settle(desk, room)


@inlined
def _score(desk: Desk, room: Room, ts_ns: int, side: int, confidence_ppm: int) -> None:
    """Step 5: one decision in line.  Before it the books are compared, when the gate would call the last comparison old
    before the score is: a reversal asks it once more."""
    account = desk.state.account[0]
    limits = desk.params.limits[0]
    fresh_ns = limits.recon_age_ns_max - limits.score_age_ns_max
    if ts_ns - account.recon_ts_ns > fresh_ns:
        ring.reconcile(desk, room, ts_ns)
    e = ring.say(desk, room, SCORE, 0, ts_ns)
    e.side = side
    e.score_ppm = PPM if side > 0 else -PPM
    e.confidence_ppm = confidence_ppm
    desk.run[0].scores += 1


@compact  # see ring.settle
def _conclude(desk: Desk, room: Room, tables: Tables) -> None:
    """Behind the last bar: what is open ends at its close (MES-BT-19), or by the session's, when that is there."""
    run = desk.run[0]
    if run.on_grid == 1:
        at_close = tables.close_ns[run.session] <= run.end_ns
        moments.end_session(desk, room, BY_SESSION_END if at_close else BY_DATA_END, run.end_ns)
        ring.settle(desk, room)
        while moments.ending(desk, room, tables):
            ring.settle(desk, room)
    books.end_curve(run, room.points)
