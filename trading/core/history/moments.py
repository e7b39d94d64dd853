"""Step 1 of a bar (MES-BT-02): what time alone does between the last bar and this one, each thing at its own moment.

Windows of the calendar are told a day ahead; phases, the roll and the ends of holds come as beats of the feed at the
kernel's own `clock_ns`; a time exit at its second; a session's close ends what is open.  At one moment in this order.
Called by the loop over bars.
"""

from marketdata.core.compiled import inner
from marketdata.core.records import ACCOUNT_SCOPE, FEED_GAP, FEED_UP, NO_TIME
from trading.core.effects import blank
from trading.core.history import books, ring
from trading.core.history.records import (
    AHEAD_NS,
    BY_ROLL,
    BY_SESSION_END,
    CARRY_NS,
    MINUTE_NS,
    Desk,
    Room,
    Tables,
)
from trading.core.records import TIMER, WINDOW_SET

NOTHING, CLOCK, TIME_EXIT, CLOSE = range(4)


@inner
def advance(desk: Desk, room: Room, tables: Tables, until_ns: int) -> None:
    """Everything due up to `until_ns`, in order of time; rows without a print are carried as far as the grid goes."""
    run = desk.run[0]
    _tell_windows(desk, room, tables, until_ns)
    while True:
        at, what = _next(desk, tables, until_ns)
        if what == NOTHING:
            break
        carry(desk, room, tables, at)
        if what == CLOCK:
            ring.clock(desk, room, at)
        elif what == TIME_EXIT:
            ring.clock(desk, room, at)
            blank(room.one, 0, TIMER, ACCOUNT_SCOPE, at)
            ring.send(desk, room)
            ring.settle(desk, room)
        else:
            end_session(desk, room, tables, BY_SESSION_END, at)
    carry(desk, room, tables, until_ns)
    run.stop_ns = tables.close_ns[run.session]
    if run.window < tables.windows.shape[0]:
        run.stop_ns = min(run.stop_ns, tables.windows[run.window, 1] - AHEAD_NS)


@inner
def note_points(desk: Desk, room: Room, first_ns: int, last_ns: int) -> None:
    """So many points of the curve, all of the account as it stands now."""
    books.point(desk.run[0], desk.state.account[0], desk.state.positions[0].qty, room.points, first_ns, last_ns)


@inner
def _next(desk: Desk, tables: Tables, until_ns: int) -> tuple[int, int]:
    """(time, what) of the next moment, NOTHING when none is due up to `until_ns`."""
    account = desk.state.account[0]
    position = desk.state.positions[0]
    hold_ns = desk.params.limits[0].hold_ns_max
    at, what = until_ns + 1, NOTHING
    if account.clock_ns < at:
        at, what = max(account.clock_ns, account.now_ns), CLOCK
    if hold_ns > 0 and position.qty != 0 and position.closing == 0:
        due_ns = max(position.opened_ns + hold_ns, account.now_ns)
        if due_ns < at:
            at, what = due_ns, TIME_EXIT
    close_ns = tables.close_ns[desk.run[0].session]
    if close_ns < at:
        at, what = close_ns, CLOSE
    return at, what


@inner
def _tell_windows(desk: Desk, room: Room, tables: Tables, until_ns: int) -> None:
    run = desk.run[0]
    windows = tables.windows
    while run.window < windows.shape[0] and windows[run.window, 1] <= until_ns + AHEAD_NS:
        blank(room.one, 0, WINDOW_SET, ACCOUNT_SCOPE, desk.state.account[0].now_ns)
        e = room.one[0]
        e.code = windows[run.window, 0]
        e.value = windows[run.window, 1]
        e.until_ns = windows[run.window, 2]
        e.ref = windows[run.window, 3]
        run.window += 1
        ring.send(desk, room)
        ring.settle(desk, room)


@inner
def carry(desk: Desk, room: Room, tables: Tables, until_ns: int) -> None:
    """Rows without a print that end by `until_ns`: the account does not change in them, its curve goes on."""
    run = desk.run[0]
    if run.on_grid == 0 or run.bar_ns >= MINUTE_NS:
        return
    last = min(until_ns, run.start_ns + CARRY_NS + run.bar_ns, tables.close_ns[run.session])
    rows = (last - run.row_ns) // run.bar_ns
    if rows > 0:
        note_points(desk, room, run.row_ns + run.bar_ns, run.row_ns + rows * run.bar_ns)
        run.carried += rows
        run.row_ns += rows * run.bar_ns


@inner
def end_session(desk: Desk, room: Room, tables: Tables, reason: int, at_ns: int) -> None:
    """Close, or end of the data: nothing stays open, no entry waits, the day's account is written down (MES-BT-16)."""
    run = desk.run[0]
    if ring.force(desk, room, reason, at_ns):
        note_points(desk, room, at_ns, at_ns)
    ring.drop_entries(desk, room, at_ns)
    books.write_point(run, tables.days[run.session], at_ns)
    run.session += 1
    run.on_grid = 0


@inner
def new_segment(desk: Desk, room: Room, start_ns: int, contract: int) -> None:
    """Before a bar: has a segment ended, and has the contract changed (MES-DATA-21, MES-BT-17)?"""
    run = desk.run[0]
    if run.start_ns == NO_TIME:
        return
    changed = contract != run.contract
    if changed and ring.force(desk, room, BY_ROLL, start_ns):
        note_points(desk, room, start_ns, start_ns)
    if changed or start_ns - run.end_ns >= CARRY_NS:
        ring.drop_entries(desk, room, start_ns)
    if changed:  # the grid of the old contract ends: as after an outage, for no time at all
        ring.beat(desk, room, FEED_GAP, start_ns)
        ring.beat(desk, room, FEED_UP, start_ns)
