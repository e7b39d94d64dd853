"""Step 1 of a bar (MES-BT-02): what time alone does between the last bar and this one, each thing at its own moment.

Windows of the calendar are told a day ahead; phases, the roll and the ends of holds come as beats of the feed at the
kernel's own `clock_ns`; a time exit at its second; a session's close, then another contract, ends what is open.  At one
moment in this order.  `prepare` puts the next thing in line and is asked again when the line has been settled.
Called by the loop over bars.
"""

from marketdata.core.compiled import inlined, inner
from marketdata.core.records import ACCOUNT_SCOPE, FEED_BEAT, FEED_GAP, FEED_UP, NO_TIME
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
# RUN.stage: what the line that was settled last was about
IN_TIME, ENDING, ENDED, AT_ROLL, READY = range(5)


@inner
def prepare(desk: Desk, room: Room, tables: Tables, start_ns: int, contract: int) -> bool:
    """The next thing that is due before a bar, put in line; False when nothing is left and the bar may be met."""
    run = desk.run[0]
    if run.stage == ENDING or run.stage == ENDED:
        if ending(desk, room, tables):
            return True
    changed = run.start_ns != NO_TIME and contract != run.contract
    if run.stage == IN_TIME:
        if _moment(desk, room, tables, start_ns):
            return True
        run.stage = AT_ROLL
        if changed:
            ring.force(desk, room, BY_ROLL, start_ns)
            return True
    if run.stage == AT_ROLL:
        run.stage = READY
        _note_forced(desk, room, start_ns)
        if changed or (run.start_ns != NO_TIME and start_ns - run.end_ns >= CARRY_NS):
            ring.drop_entries(desk, room, start_ns)
            if changed:  # the grid of the old contract ends: as after an outage, for no time at all
                ring.beat(desk, room, FEED_GAP, start_ns)
                ring.beat(desk, room, FEED_UP, start_ns)
            return True
    run.stage = IN_TIME
    return False


@inner
def _moment(desk: Desk, room: Room, tables: Tables, until_ns: int) -> bool:
    """Windows, then the next moment up to `until_ns`, in line; rows without a print before it are carried."""
    run = desk.run[0]
    if _tell_windows(desk, room, tables, until_ns):
        return True
    at, what = _next(desk, tables, until_ns)
    carry(desk, room, tables, min(at, until_ns))
    if what == CLOCK:
        ring.beat(desk, room, FEED_BEAT, at)
    elif what == TIME_EXIT:
        if desk.state.account[0].feed_ts_ns < at:
            ring.beat(desk, room, FEED_BEAT, at)
        else:
            ring.say(desk, room, TIMER, ACCOUNT_SCOPE, at)
    elif what == CLOSE:
        end_session(desk, room, BY_SESSION_END, at)
    else:
        run.stop_ns = tables.close_ns[run.session]
        if run.window < tables.windows.shape[0]:
            run.stop_ns = min(run.stop_ns, tables.windows[run.window, 1] - AHEAD_NS)
    return what != NOTHING


@inlined
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
def _tell_windows(desk: Desk, room: Room, tables: Tables, until_ns: int) -> bool:
    run = desk.run[0]
    windows = tables.windows
    told = False
    while run.window < windows.shape[0] and windows[run.window, 1] <= until_ns + AHEAD_NS:
        e = ring.say(desk, room, WINDOW_SET, ACCOUNT_SCOPE, desk.state.account[0].now_ns)
        e.code = windows[run.window, 0]
        e.value = windows[run.window, 1]
        e.until_ns = windows[run.window, 2]
        e.ref = windows[run.window, 3]
        run.window += 1
        told = True
    return told


@inlined
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
def end_session(desk: Desk, room: Room, reason: int, at_ns: int) -> None:
    """Close, or end of the data: nothing stays open (MES-BT-16); `ending` does the rest."""
    run = desk.run[0]
    ring.force(desk, room, reason, at_ns)
    run.stage = ENDING
    run.ended_ns = at_ns


@inner
def ending(desk: Desk, room: Room, tables: Tables) -> bool:
    """After the forced exit was heard: no entry waits; after that: the day's account is written down."""
    run = desk.run[0]
    if run.stage == ENDING:
        _note_forced(desk, room, run.ended_ns)
        ring.drop_entries(desk, room, run.ended_ns)
        run.stage = ENDED
        return True
    books.write_point(run, tables.days[run.session], run.ended_ns)
    run.session += 1
    run.on_grid = 0
    run.stage = IN_TIME
    return False


@inner
def _note_forced(desk: Desk, room: Room, at_ns: int) -> None:
    """An exit that the venue made has a point of its own."""
    run = desk.run[0]
    if run.forced != 0:
        note_points(desk, room, at_ns, at_ns)
        run.forced = 0
