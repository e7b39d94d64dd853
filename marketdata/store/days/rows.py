"""What each second, or each slice of a picture, held: one record a second, and how records of one time become one.

Whoever has the seconds of a recording needs the recording no more to draw any part of it.  Pure.  Called by
`store.days.slices` and `store.days.seconds`.
"""

import numpy as np

from marketdata.core.records import BAR, BOOK, FLAG_CARRIED, FLAG_INVALID, NO_TICK
from marketdata.core.units import NANOS

BAR_NAMES = ("open", "high", "low", "close", "volume")
# `at` names the second (s UTC) or the slice; prices in ticks.  bid, ask: of the last book, NO_TICK where it has none or
# is not valid; widest: the widest spread; lowest, highest: of the bids and of the asks; volume NO_BAR: no bar.
NAMES = ("at", "events", "books", "invalid", "bid", "ask", "widest", "lowest", "highest", *BAR_NAMES)
ROW = np.dtype([(name, "<i8") for name in NAMES])
NO_LOW = np.iinfo(np.int64).max  # above every price
NO_BAR = -1


def blank(at: np.ndarray) -> np.ndarray:
    """(n,) times → (n,) ROW in which nothing happened."""
    rows = np.zeros(at.size, ROW)
    rows["at"] = at
    for name in ("bid", "ask", "widest", "highest", *BAR_NAMES):
        rows[name] = NO_TICK
    rows["lowest"], rows["volume"] = NO_LOW, NO_BAR
    return rows


def of_books(at: np.ndarray, bid: np.ndarray, ask: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Books in order, (n,) each: time of ROW, best ticks or NO_TICK, whether it is valid → a ROW for each time."""
    begins = _begins(at)
    ends = np.append(begins[1:], at.size) - 1
    bid, ask = np.where(valid, bid, NO_TICK), np.where(valid, ask, NO_TICK)
    both = (bid != NO_TICK) & (ask != NO_TICK)
    spread = np.where(both, np.where(both, ask, 0) - np.where(both, bid, 0), NO_TICK)
    rows = blank(at[begins])
    if at.size:
        rows["bid"], rows["ask"] = bid[ends], ask[ends]
        rows["books"] = ends - begins + 1
        rows["invalid"] = np.add.reduceat((~valid).astype(np.int64), begins)
        rows["widest"] = np.maximum.reduceat(spread, begins)
        rows["highest"] = np.maximum.reduceat(ask, begins)
        rows["lowest"] = np.minimum.reduceat(np.where(bid != NO_TICK, bid, NO_LOW), begins)
    return rows


def of_events(events: np.ndarray, times_ns: np.ndarray, with_bars: bool) -> np.ndarray:
    """EVENTs in order of `times_ns` → ROWs of their seconds, in order; `with_bars`: their 1-second bars, too, each in
    the second in which it began, which is the one before it is told."""
    at = times_ns // NANOS
    begins = _begins(at)
    counted = blank(at[begins])
    counted["events"] = np.diff(np.append(begins, at.size))
    book = events["kind"] == BOOK
    shown = events[book]
    parts = [counted, of_books(at[book], shown["bid_tick"], shown["ask_tick"], shown["flags"] & FLAG_INVALID == 0)]
    if with_bars:
        bars = events[(events["kind"] == BAR) & (events["flags"] & FLAG_CARRIED == 0)]
        made = blank(bars["ts_venue_ns"] // NANOS - 1)
        for name in BAR_NAMES:
            made[name] = bars[name if name == "volume" else f"{name}_tick"]
        parts.append(made)
    return in_order(np.concatenate(parts))


def in_order(rows: np.ndarray) -> np.ndarray:
    """ROWs in any order of time, those of one time in theirs → one of each time."""
    return merged(rows[np.argsort(rows["at"], kind="stable")])


def merged(rows: np.ndarray) -> np.ndarray:
    """ROWs in order of time, of which several may have the same → one of each time."""
    begins = _begins(rows["at"])
    if begins.size == rows.size:
        return rows
    found = rows[begins].copy()
    for name in ("events", "books", "invalid"):
        found[name] = np.add.reduceat(rows[name], begins)
    for name in ("widest", "highest"):
        found[name] = np.maximum.reduceat(rows[name], begins)
    found["lowest"] = np.minimum.reduceat(rows["lowest"], begins)
    for names, told in ((("bid", "ask"), rows["books"] > 0), (BAR_NAMES, rows["volume"] != NO_BAR)):
        last = np.maximum.reduceat(np.where(told, np.arange(rows.size), -1), begins)
        for name in names:  # of a time without any, the first row says so
            found[name] = rows[name][np.maximum(last, begins)]
    return found


def _begins(at: np.ndarray) -> np.ndarray:
    """Where each time begins, of times in order."""
    return np.flatnonzero(np.diff(at, prepend=at[:1] - 1))
