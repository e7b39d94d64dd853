"""Session windows as integers: which phase a moment is in, and which trading day it belongs to.

`marketdata.calendars` turns exchange calendars and zones into WINDOW rows once; nothing in here knows a date.
Windows are half-open [start, end), sorted, and do not overlap; a moment in no window is AFTER_HOURS.
"""

import numpy as np
from numba import njit

# phases (MES-EOD); the order is that of a trading day
AFTER_HOURS, NORMAL, REDUCED, CLOSE_ONLY, AGGRESSIVE_EXIT, MUST_BE_FLAT = range(6)
PHASES = ("AFTER_HOURS", "NORMAL", "REDUCED", "CLOSE_ONLY", "AGGRESSIVE_EXIT", "MUST_BE_FLAT")

WINDOW = np.dtype(
    (np.record, [("start_ns", "<i8"), ("end_ns", "<i8"), ("phase", "<i8"), ("trading_day", "<i8")])
)  # trading_day is YYYYMMDD; an AFTER_HOURS window inside a session carries its day too
WINDOW_CAPACITY = 128


@njit(cache=True)
def window_at(windows: np.ndarray, count: int, now_ns: int) -> int:
    """Index of the window that contains `now_ns`; −1 when none does."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if windows[middle].end_ns <= now_ns:
            low = middle + 1
        else:
            high = middle
    if low < count and windows[low].start_ns <= now_ns:
        return low
    return -1


@njit(cache=True)
def day_at(windows: np.ndarray, count: int, now_ns: int) -> int:
    """Trading day of the last window that started at or before `now_ns` (MES-CAL-01); 0 before the first."""
    day = 0
    for i in range(count):
        if windows[i].start_ns > now_ns:
            break
        day = windows[i].trading_day
    return day
