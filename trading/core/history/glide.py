"""Bars that say nothing new, many at a time: between two moments at which anything is due only running figures change.

`coast` goes on flat, `ride` with a position whose bracket works as planned, up to the next bar that might do anything.
What adds up is added up; for the rest the rules' own functions are asked (`note_move`, `take_bar`, `lost`, `note`).  A
bar that is not surely harmless goes the loop's way; so does every bar of a run that keeps its tape, which is how tests
compare the two, to the bit.  Called by `drive`.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.units import TICK_MAX
from risk.core.breakers import take_bar, true_range
from risk.core.records import MES
from risk.core.stops import ATR_ROWS
from trading.core import ledger
from trading.core.history import books, ring
from trading.core.history.records import CARRY_NS, MINUTE_NS, Columns, Desk
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
from trading.core.watch.moves import farthest, note_move, note_together, part_end_ns

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
def coast(
    run: np.record, account: np.record, p: np.record, g: np.record, limits: np.record, columns: Columns, first: int
) -> int:
    """Without a position or an order.  Returns the index of the next bar that is not passed here."""
    bar_ns = run.bar_ns
    last = _before_any(columns, first, run.contract, run.end_ns, _until(run, account, p, g), bar_ns)
    if last > first:
        last = _note_marks(p, limits, columns, first, last, bar_ns)
    if last > first:
        missing = _take_rows(g, columns, first, last, bar_ns)
        end_ns = columns.start_ns[last - 1] + bar_ns
        _arrive(run, account, p, end_ns, last - first, missing)
        books.note(run, account, 0, end_ns, end_ns, last - first + missing)
    return last


@inner
def _before_any(columns: Columns, first: int, contract: int, end_ns: int, until_ns: int, bar_ns: int) -> int:
    """Index of the first bar with a decision, of another contract, out of order, or not over before `until_ns`."""
    starts, sides, contracts = columns.start_ns[first:], columns.side[first:], columns.contract[first:]
    for k in range(starts.shape[0]):
        at = np.uint64(k)  # no place before the first: nothing to look for from the end
        start_ns = starts[at]
        # one question of four: each is cheap, and which of them it is does not matter
        if (start_ns + bar_ns >= until_ns) | (start_ns < end_ns) | (sides[at] != 0) | (contracts[at] != contract):
            return first + k
        end_ns = start_ns + bar_ns
    return columns.start_ns.shape[0]


@inner
def _note_marks(p: np.record, limits: np.record, columns: Columns, first: int, last: int, bar_ns: int) -> int:
    """Closes as marks, into the window of P-11 part by part.  Returns the index of the first that may be too far."""
    starts, ticks = columns.start_ns[first:last], columns.ticks[first:last]
    slides_ns, window_low, window_high = part_end_ns(p, limits), p.move_low_tick, p.move_high_tick
    close = p.mark_tick
    low, high = close, close  # of the marks that the window was not told yet
    ticks_max = limits.move_ticks_max
    for k in range(starts.shape[0]):
        at = np.uint64(k)
        tick = ticks[at, 3]
        if not _is_near(ticks_max, tick, window_low, window_high):
            last = first + k
            break
        now_ns = starts[at] + bar_ns
        if now_ns >= slides_ns:
            note_together(p, low, high, close)
            _tell(p, limits, tick, now_ns)
            slides_ns, window_low, window_high = part_end_ns(p, limits), p.move_low_tick, p.move_high_tick
            low, high = tick, tick
        else:
            low, high = min(low, tick), max(high, tick)
            window_low, window_high = min(window_low, tick), max(window_high, tick)
        close = tick
    note_together(p, low, high, close)
    p.mark_tick = close
    return last


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
    until_ns = _until(run, account, p, g)
    if limits.hold_ns_max > 0:
        until_ns = min(until_ns, p.opened_ns + limits.hold_ns_max)
    end_ns = run.end_ns
    missing = 0
    i = first
    while i < columns.start_ns.shape[0]:
        start_ns = columns.start_ns[i]
        silence_ns = start_ns - end_ns
        if start_ns + bar_ns >= until_ns or silence_ns < 0:
            break
        if decides(p, columns.side[i]) or columns.contract[i] != contract:
            break
        high, low, close = columns.ticks[i, 1], columns.ticks[i, 2], columns.ticks[i, 3]
        if high >= high_from or low <= low_from:
            break
        equity = account.balance_micros + ledger.open_micros(qty, cost_ticks, close, tick_value)
        is_near = _is_near(limits.move_ticks_max, close, p.move_low_tick, p.move_high_tick)
        if not is_near or breaches(account, limits, equity):
            break
        _tell(p, limits, close, start_ns + bar_ns)
        if silence_ns >= bar_ns:  # lived through at the mark before
            rows = silence_ns // bar_ns
            books.note(run, account, qty, end_ns + bar_ns, end_ns + rows * bar_ns, rows)
            missing += rows
        end_ns = start_ns + bar_ns
        run.high_tick = high
        run.low_tick = low
        books.held(run)
        account.equity_micros = equity
        account.day_peak_micros = max(account.day_peak_micros, equity)
        books.note(run, account, qty, end_ns, end_ns, 1)
        i += 1
    if i > first:
        _take_rows(g, columns, first, i, bar_ns)
        _arrive(run, account, p, end_ns, i - first, missing)
    return i


@inner
def _until(run: np.record, account: np.record, p: np.record, g: np.record) -> int:
    """A bar that ends before then meets no moment: of the clock, the calendar, the curve, the minute of the grid.

    NO_TIME where none may be passed: every row is kept, a bar is a minute, or a figure is not that of the last one.
    """
    whole = run.sample_ns > run.bar_ns and run.bar_ns < MINUTE_NS
    if not whole or account.rules != MES or account.version == 0 or p.move_tick == NO_TICK:
        return NO_TIME
    if account.equity_micros != run.equity_micros or account.holds != run.holds:
        return NO_TIME
    if run.row_ns != run.end_ns or g.end_ns != run.end_ns or g.print_ns != run.end_ns:
        return NO_TIME
    return min(account.clock_ns, min(run.stop_ns, run.sample_end_ns, (g.minute + 1) * MINUTE_NS) + 1)


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
def _take_rows(g: np.record, columns: Columns, first: int, last: int, bar_ns: int) -> int:
    """Bars of one minute into the grid, as `take_bar` does it one by one.  Returns the seconds without a print.

    True ranges are kept of the last ATR_ROWS bars alone: those of the rows before are overwritten by then.
    """
    starts, ticks, volumes = columns.start_ns[first:last], columns.ticks[first:last], columns.volume[first:last]
    count = starts.shape[0]
    end_ns, close, missing = g.end_ns, g.close_tick, 0
    if g.rows < ATR_ROWS:
        for k in range(count):
            if starts[k] - end_ns >= bar_ns:
                missing += (starts[k] - end_ns) // bar_ns
            end_ns = starts[k] + bar_ns
            take_bar(g, starts[k], end_ns, ticks[k, 1], ticks[k, 2], ticks[k, 3], volumes[k], False)
        return missing
    rows, volume, high, low = g.rows, g.volume, g.high_tick, g.low_tick
    kept = max(0, count - ATR_ROWS)
    for k in range(kept):
        at = np.uint64(k)
        silence_ns = starts[at] - end_ns
        if silence_ns > bar_ns:
            missing += silence_ns // bar_ns
        elif silence_ns == bar_ns:  # nearly every silence: a division less
            missing += 1
        silent = silence_ns >= bar_ns  # seconds without a print repeat the close
        high, low = max(high, close if silent else high), min(low, close if silent else low)
        end_ns = starts[at] + bar_ns
        volume += volumes[at]
        high, low = max(high, ticks[at, 1]), min(low, ticks[at, 2])
        close = ticks[at, 3]
    place, total = (rows + kept + missing) % ATR_ROWS, g.tr_sum
    for k in range(kept, count):
        if starts[k] - end_ns >= bar_ns:
            silent = (starts[k] - end_ns) // bar_ns
            missing += silent
            high, low = max(high, close), min(low, close)
            for _ in range(silent):
                place, total = _keep_range(g, place, total, true_range(close, close, close))
        place, total = _keep_range(g, place, total, true_range(ticks[k, 1], ticks[k, 2], close))
        end_ns = starts[k] + bar_ns
        volume += volumes[k]
        high, low = max(high, ticks[k, 1]), min(low, ticks[k, 2])
        close = ticks[k, 3]
    g.rows = rows + count + missing
    g.tr_sum = total
    g.volume = volume
    g.high_tick = high
    g.low_tick = low
    g.close_tick = close
    g.end_ns = end_ns
    g.print_ns = end_ns
    return missing


@inner
def _keep_range(g: np.record, at: int, total: int, height: int) -> tuple[int, int]:
    """One true range into the ring at its place, instead of the oldest.  Returns the next place and the ring's sum."""
    total += height - g.tr[at]
    g.tr[at] = height
    return (at + 1 if at + 1 < ATR_ROWS else 0), total


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
