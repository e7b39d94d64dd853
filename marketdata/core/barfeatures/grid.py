"""Printed bars → the second grid and its segments (MES-DATA-20, -21): which seconds exist, and where everything resets.

A second without a print repeats the last close for up to CARRY_S seconds, inside the session.  A segment begins at the
first print of a session or contract, after a longer silence, and after an outage that was not back-filled; inside one,
seconds follow each other without a hole.  Called by `stream` alone; it touches no feature.
"""

from typing import Any

import numpy as np

from marketdata.core.barfeatures.records import BROKEN, CARRY_FIRST, LATE, OUTSIDE, TICK_MAX, VALID, VOLUME_MAX
from marketdata.core.barfeatures.schema import CARRY_S
from marketdata.core.compiled import inlined
from marketdata.core.records import NO_TIME

Record = Any  # one record of BAR_STATE or BAR_DAY: the type checker cannot know its fields


@inlined
def carries(state: Record, until_second: int) -> bool:
    """Whether the second after the newest row is on the grid without a print of its own and ends by `until_second`."""
    after = state.second + 1
    return (
        state.second != NO_TIME
        and after < until_second
        and after <= state.print_second + CARRY_S
        and after < state.day.close_s
    )


@inlined
def day_index(days: np.ndarray, second: int) -> int:
    """Index of the session that `second` lies in; −1 when none does."""
    low, high = 0, len(days)
    while low < high:
        middle = (low + high) // 2
        if days[middle].close_s <= second:
            low = middle + 1
        else:
            high = middle
    if low < len(days) and days[low].open_s <= second:
        return low
    return -1


@inlined
def bar_verdict(
    state: Record, second: int, open_tick: int, high_tick: int, low_tick: int, close_tick: int, volume: int
) -> int:
    """VALID, or why this print cannot be the next row."""
    if state.second != NO_TIME and second <= state.second:
        return LATE
    if low_tick <= 0 or high_tick > TICK_MAX or volume < 0 or volume > VOLUME_MAX:
        return BROKEN
    if open_tick < low_tick or open_tick > high_tick or close_tick < low_tick or close_tick > high_tick:
        return BROKEN
    if carries(state, second):
        return CARRY_FIRST
    return VALID


@inlined
def begins_segment(state: Record, second: int, contract: int, outage: int) -> bool:
    """Whether a print at `second` begins a segment."""
    return (
        state.second == NO_TIME
        or outage != 0
        or contract != state.contract
        or second >= state.day.close_s
        or second - state.print_second > CARRY_S
    )


@inlined
def enter_day(state: Record, days: np.ndarray, second: int) -> int:
    """Make the session of `second` the state's own.  VALID, or OUTSIDE: then nothing has changed."""
    index = day_index(days, second)
    if index < 0:
        return OUTSIDE
    found = days[index]
    state.day.trading_day = found.trading_day
    state.day.weekday = found.weekday
    state.day.open_s = found.open_s
    state.day.close_s = found.close_s
    state.day.rth_open_s = found.rth_open_s
    state.day.rth_close_s = found.rth_close_s
    state.day.wall_s = found.wall_s
    return VALID
