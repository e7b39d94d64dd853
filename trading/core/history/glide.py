"""Bars that say nothing new, many at a time: between two moments at which anything is due only running figures change.

`coast` goes on flat, `ride` with a position whose bracket works as planned, up to the next bar that might do anything.
What adds up is added up, by `rows`; for the rest the rules' own functions are asked (`note_move`, `lost`, `note`).  A
bar that is not surely harmless goes the loop's way; so does every bar of a run that keeps its tape, which is how tests
compare the two, to the bit.  Called by `drive`.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.units import TICK_MAX
from risk.core.breakers import shocks, turn_minute
from risk.core.records import MES
from risk.core.stops import ATR_ROWS
from trading.core import ledger
from trading.core.history import books, ring
from trading.core.history.records import CARRY_NS, MINUTE_NS, NEVER_NS, POINTS_ROOM, Columns, Desk, Room
from trading.core.history.rows import Seen, carry_rows, first_from, survey, take_rows, tell_marks
from trading.core.market import MARKED
from trading.core.records import STOP_LOSS, TARGET
from trading.core.venue.state import Venue
from trading.core.watch.limits import (
    MONEY_REPRESENTABLE,
    ON_DAY,
    ON_DAY_DRAWDOWN,
    ON_TOTAL,
    limit_of,
    lost,
)
from trading.core.watch.moves import farthest, note_move

BLOCK = 16  # bars that are asked for a decision at once
NOT, FLAT, HELD = range(3)  # how the bars after this one may be passed
assert CARRY_NS > MINUTE_NS  # no silence within a minute ends a segment


@inner
def mood(wants: int, said: int, flat: bool) -> int:
    """What a bar of the short way tells of the next: it asked for nothing, or to look at a position that was fine."""
    if flat:
        return FLAT if wants == 0 else NOT
    return HELD if wants == MARKED and said == 0 else NOT


@inner
def decides(position: np.record, side: int) -> bool:
    """Whether this decision is put to the kernel: without a position, or against one that stays open (MES-BT-05)."""
    return side != 0 and (position.qty == 0 or (position.qty * side < 0 and position.closing == 0))


@inner
def coast(desk: Desk, room: Room, columns: Columns, first: int) -> int:
    """Without a position or an order, minute after minute.  Returns the index of the next bar to be told."""
    run = desk.run[0]
    account = desk.state.account[0]
    p = desk.state.positions[0]
    g = desk.state.grids[0]
    limits = desk.params.limits[0]
    bar_ns, end_ns = run.bar_ns, run.end_ns
    until_ns = _until(run, account, p, g)
    if until_ns == NO_TIME or not _is_on_minutes(run):
        return first
    starts, bars_most = columns.start_ns, MINUTE_NS // bar_ns
    n = starts.shape[0]
    points_max = room.points.shape[0] - POINTS_ROOM
    low, high = p.move_low_tick, p.move_high_tick  # of P-11's window, and of all bars that it was not told yet
    told, i = first, first
    while i < n and run.points < points_max:
        minute = g.minute
        turns = starts[i] >= (minute + 1) * MINUTE_NS
        if turns:
            minute += 1
        limit_ns = min((minute + 1) * MINUTE_NS, until_ns - bar_ns)
        last, seen = _plain(columns, i, min(n, i + bars_most), end_ns, limit_ns, run.contract, bar_ns)
        if last == i:
            break
        volatile, quiet = g.volatile, g.quiet
        if turns:
            carry_rows(g, min(starts[i], minute * MINUTE_NS), bar_ns)
            volatile, quiet = shocks(g)
            if volatile != g.volatile or quiet != g.quiet:
                break  # the rows that were carried stay: the grid would carry them now
        if max(high, seen.high) - min(low, seen.low) > limits.move_ticks_max:
            tell_marks(p, limits, columns, told, i, bar_ns)
            told = _tell_near(p, limits, columns, i, last, bar_ns)
            if told == i:
                break
            if told < last:
                last, seen = _plain(columns, i, told, end_ns, limit_ns, run.contract, bar_ns)
            low, high = p.move_low_tick, p.move_high_tick
        else:
            low, high = min(low, seen.low), max(high, seen.high)
        if turns:
            turn_minute(g, minute, columns.ticks[i, 1], columns.ticks[i, 2], volatile, quiet)
            _point_at(run, account, room.points, end_ns, starts[i])
            end_ns = starts[i] + bar_ns
        take_rows(g, columns, i, last, bar_ns, seen)
        if g.end_ns > end_ns:
            books.note(run, account, 0, g.end_ns, g.end_ns, (g.end_ns - end_ns) // bar_ns)
        end_ns = g.end_ns
        i = last
    if i > first:
        tell_marks(p, limits, columns, told, i, bar_ns)
        _arrive(run, account, p, end_ns, i - first, (end_ns - run.end_ns) // bar_ns - (i - first))
    return i


@inner
def _is_on_minutes(run: np.record) -> bool:
    """Minutes are whole rows, and end where a point of the curve may have to be kept."""
    if MINUTE_NS % run.bar_ns != 0 or run.end_ns % run.bar_ns != 0:
        return False
    return run.sample_ns == NEVER_NS or run.sample_ns % MINUTE_NS == 0


@inner
def _plain(
    columns: Columns, first: int, last: int, end_ns: int, limit_ns: int, contract: int, bar_ns: int
) -> tuple[int, Seen]:
    """Index behind the bars that are plain (see `rows`), without a decision and before `limit_ns`; what they are."""
    last = first_from(columns.start_ns, first, _next_decision(columns.side, first, last), limit_ns)
    if last == first:
        return first, Seen(0, 0, 0)
    plain, seen = survey(columns, first, last, end_ns, limit_ns, contract, bar_ns)
    if plain:
        return last, seen
    i, before_ns = first, end_ns
    while i < last:  # which of them is not
        plain, _ = survey(columns, i, i + 1, before_ns, limit_ns, contract, bar_ns)
        if not plain:
            break
        before_ns = columns.start_ns[i] + bar_ns
        i += 1
    if i > first:
        _, seen = survey(columns, first, i, end_ns, limit_ns, contract, bar_ns)
    return i, seen


@inner
def _next_decision(sides: np.ndarray, first: int, last: int) -> int:
    """Index of the first bar with a decision; `last` without one."""
    i = first
    while i + BLOCK <= last:
        some = 0
        for k in range(BLOCK):  # of a known number: a few instructions
            some |= sides[np.uint64(i + k)]
        if some != 0:
            break
        i += BLOCK
    while i < last and sides[i] == 0:
        i += 1
    return i


@inner
def _tell_near(p: np.record, limits: np.record, columns: Columns, first: int, last: int, bar_ns: int) -> int:
    """Closes as marks, one by one.  Returns the index of the first that may be too far (P-11)."""
    for k in range(first, last):
        close = columns.ticks[k, 3]
        if not _is_near(limits.move_ticks_max, close, p.move_low_tick, p.move_high_tick):
            return k
        _tell(p, limits, close, columns.start_ns[k] + bar_ns)
    return last


@inner
def _point_at(run: np.record, account: np.record, points: np.ndarray, end_ns: int, start_ns: int) -> None:
    """The points of a minute's first bar and of the rows without a print before it: one may have to be kept."""
    if start_ns > end_ns:
        books.point(run, account, 0, points, end_ns + run.bar_ns, start_ns)
    books.point(run, account, 0, points, start_ns + run.bar_ns, start_ns + run.bar_ns)


@inner
def ride(desk: Desk, columns: Columns, first: int) -> int:
    """With a position that only its bracket, a limit or a decision can end.  Returns as `coast`."""
    run = desk.run[0]
    account = desk.state.account[0]
    p = desk.state.positions[0]
    g = desk.state.grids[0]
    limits = desk.params.limits[0]
    if not is_steady(account, p, limits) or not is_bracketed(desk.venue, p):
        return first
    tick_value = desk.params.specs[0].tick_value_micros
    high_from, low_from = ring.reach(desk.venue)
    bar_ns, contract, qty, cost_ticks = run.bar_ns, run.contract, p.qty, p.cost_ticks
    until_ns = min(_until(run, account, p, g), min(run.sample_end_ns, (g.minute + 1) * MINUTE_NS) + 1)
    if limits.hold_ns_max > 0:
        until_ns = min(until_ns, p.opened_ns + limits.hold_ns_max)
    end_ns = run.end_ns
    missing, volume, top, bottom = 0, 0, -ring.FAR_TICK, ring.FAR_TICK
    i = first
    while i < columns.start_ns.shape[0]:
        start_ns = columns.start_ns[i]
        silence_ns = start_ns - end_ns
        rows = silence_ns // bar_ns if silence_ns > 0 else 0  # nearly always none: a division less
        if start_ns + bar_ns >= until_ns or silence_ns < 0 or rows * bar_ns != silence_ns:
            break
        if decides(p, columns.side[i]) or columns.contract[i] != contract:
            break
        high, low, close = columns.ticks[i, 1], columns.ticks[i, 2], columns.ticks[i, 3]
        if high >= high_from or low <= low_from or not low <= close <= high:
            break
        equity = account.balance_micros + ledger.open_micros(qty, cost_ticks, close, tick_value)
        is_near = _is_near(limits.move_ticks_max, close, p.move_low_tick, p.move_high_tick)
        if not is_near or breaches(account, limits, equity):
            break
        _tell(p, limits, close, start_ns + bar_ns)
        if rows > 0:  # lived through at the mark before
            books.note(run, account, qty, end_ns + bar_ns, end_ns + rows * bar_ns, rows)
            missing += rows
        end_ns = start_ns + bar_ns
        top, bottom = max(top, high), min(bottom, low)
        volume += columns.volume[i]
        run.high_tick = high
        run.low_tick = low
        books.held(run)
        account.equity_micros = equity
        account.day_peak_micros = max(account.day_peak_micros, equity)
        books.note(run, account, qty, end_ns, end_ns, 1)
        i += 1
    if i > first:
        take_rows(g, columns, first, i, bar_ns, Seen(bottom, top, volume))
        _arrive(run, account, p, end_ns, i - first, missing)
    return i


@inner
def _until(run: np.record, account: np.record, p: np.record, g: np.record) -> int:
    """A bar that ends before then meets no moment of the clock or the calendar.

    NO_TIME where none may be passed: every row is kept, a bar is a minute, or a figure is not that of the last one.
    """
    whole = run.sample_ns > run.bar_ns and run.bar_ns < MINUTE_NS and g.rows >= ATR_ROWS
    if not whole or account.rules != MES or account.version == 0 or p.move_tick == NO_TICK:
        return NO_TIME
    if account.equity_micros != run.equity_micros or account.holds != run.holds:
        return NO_TIME
    if run.row_ns != run.end_ns or g.end_ns != run.end_ns or g.print_ns != run.end_ns:
        return NO_TIME
    return min(account.clock_ns, run.stop_ns + 1)


@inner
def is_steady(account: np.record, p: np.record, limits: np.record) -> bool:
    """Nothing is under way that another mark or another second would carry on."""
    for which in (ON_TOTAL, ON_DAY, ON_DAY_DRAWDOWN):
        if account.open_since_ns[which] != NO_TIME:
            return False
    alone = account.instruments == 1 and p.closing == 0 and limits.loss_day_soft_ppm_max == 0
    return alone and p.naked_since_ns == NO_TIME and limits.trail_ticks <= 0


@inner
def is_bracketed(venue: Venue, p: np.record) -> bool:
    """Stop and target work as planned for all that is held, and nothing else does: there is nothing to converge to."""
    wanted = 1 if p.target_tick == NO_TICK else 2
    if venue.account[0].working_count != wanted:
        return False
    for i in range(wanted):
        order = venue.orders[venue.working[i]]
        if order.qty - order.filled != abs(p.qty):
            return False
        stops = order.role == STOP_LOSS and order.stop_tick == p.stop_tick
        if not stops and not (order.role == TARGET and order.price_tick == p.target_tick):
            return False
    return True


@inner
def breaches(account: np.record, limits: np.record, equity: int) -> bool:
    """Whether a limit that open money takes part in would be reached at this equity."""
    for which in (ON_TOTAL, ON_DAY, ON_DAY_DRAWDOWN):
        if lost(account, limits, which, equity) >= limit_of(account, limits, which):
            return True
    return not -MONEY_REPRESENTABLE < equity < MONEY_REPRESENTABLE


@inner
def _is_near(ticks_max: int, tick: int, low: int, high: int) -> bool:
    """Whether this is a mark, and not farther than `ticks_max` from any of a window that spans these (P-11).

    Before the window slides it holds more than after it: a mark that is near all of it stays near what is left.
    """
    return 0 < tick <= TICK_MAX and farthest(tick, low, high) <= ticks_max


@inner
def _tell(p: np.record, limits: np.record, tick: int, now_ns: int) -> None:
    """The next mark, told to the window of P-11."""
    p.mark_tick = tick
    is_far = note_move(p, limits, now_ns)
    assert not is_far


@inner
def _arrive(run: np.record, account: np.record, p: np.record, end_ns: int, bars: int, missing: int) -> None:
    """So many events were heard, the last one at `end_ns` with the mark as it stands."""
    account.seq += bars
    account.now_ns = end_ns
    account.feed_ts_ns = max(account.feed_ts_ns, end_ns)
    p.mark_bad = 0
    p.mark_half = 0
    p.last_tick = p.mark_tick
    p.last_ts_ns = end_ns
    run.start_ns = end_ns - run.bar_ns
    run.end_ns = end_ns
    run.row_ns = end_ns
    run.close_tick = p.mark_tick
    run.bars += bars
    run.carried += missing
