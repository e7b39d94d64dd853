"""Stops of shares, re-stated from MOEX-STOP-01 … -06 in exact fractions of a tick; the kernel computes them in floats.

The two may differ by the sixth place of a tick at most, which is what the rule allows beside the grid.
"""

from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from tests.oracle.rules.facts import BY_HOLD, BY_STOP, BY_TARGET, BY_TIME, BY_TRAIL, PPM, Instrument, S, average
from tests.oracle.rules.protect import close

if TYPE_CHECKING:
    from tests.oracle.shares.desk import SharesDesk

GRID = Fraction(1, 1_000_000)
CENT = 10_000_000  # 0.01 RUB in nanos
TRADE_AGE = 5 * S
NET_APART = 60 * S


def stop_tick(
    side: int, entry: int | None, atr: Fraction | None, spread: int | None, nanos: int | None, floor_ppm: int
) -> int | None:
    """Where the formula puts the stop of an entry at tick `entry`; what is missing counts as 0; None: STOP_INVALID."""
    if entry is None or entry < 2 or not nanos or nanos <= 0:
        return None
    offset = offset_ticks(entry, atr, spread, floor_ppm)
    exact = entry - side * offset
    if side == 1:
        exact = max(exact, Fraction(min(CENT, nanos), nanos))
        return min(max(ceil(exact - GRID), 1), entry - 1)
    return max(floor(exact + GRID), entry + 1)


def offset_ticks(entry: int, atr: Fraction | None, spread: int | None, floor_ppm: int) -> Fraction:
    return Fraction(9, 5) * (atr or 0) + max(Fraction(spread or 0), Fraction(floor_ppm * entry, PPM)) / 2


def from_best(side: int, best: Fraction, entry: int, offset: Fraction) -> int | None:
    """MOEX-STOP-03, anchor BEST: as far from the best mid, as a share of it, as the formula says of the entry."""
    exact = best * (1 - side * offset / entry)
    anchor = floor(best + Fraction(1, 2))
    if anchor < 2:
        return None
    if side == 1:
        return min(max(ceil(exact - GRID), 1), anchor - 1)
    return max(floor(exact + GRID), anchor + 1)


def tighter(side: int, old: int | None, new: int | None) -> int | None:
    """The nearer of two; a stop never loosens."""
    if old is None or new is None:
        return new if old is None else old
    return max(old, new) if side == 1 else min(old, new)


def fresh_spread(d: "SharesDesk", i: Instrument) -> int | None:
    """Between the touches of a valid book of the last second."""
    if not i.book_ok or i.quote_ts is None or d.now - i.quote_ts > S:
        return None
    return i.ask - i.bid  # type: ignore[operator]


def from_fill(d: "SharesDesk", i: Instrument) -> None:
    """From the average fill, with what the decision measured; the venue's stop half as far behind (MOEX-STOP-06)."""
    side, entry = i.trip_side, average(i.trip_entry_ticks, i.trip_entry_qty)
    of = d.shares[i.index]
    tick = stop_tick(side, entry, of.plan_range, of.plan_spread, i.tick_nanos, d.limits.spread_floor_ppm)
    if tick is None:
        return
    if i.stop is None:
        behind = ceil(Fraction(abs(entry - tick) * d.limits.net_widen_ppm, PPM))
        of.gap = tick - max(1, tick - behind) if side == 1 else behind
    i.stop = tighter(side, i.stop, tick)
    i.net = tighter(side, i.net, max(1, i.stop - side * of.gap))  # type: ignore[operator]
    of.net_moved = d.now


def price_of_now(d: "SharesDesk", i: Instrument) -> Fraction | int | None:
    """MOEX-STOP-04: the mid of a valid book of the last second; else a newer trade, newer than our fill, too."""
    book = d.shares[i.index].tape.valid
    if book is not None and d.now - book.ts <= S:
        return book.mid()
    at = i.last_ts
    if at is None or d.now - at > TRADE_AGE or (book is not None and at <= book.ts):
        return None
    return None if i.entry_fill is not None and at <= i.entry_fill else i.last


def check(d: "SharesDesk", i: Instrument) -> None:
    """One check of what is held: the first true exit of MOEX-STOP-05, else the stop tightens."""
    if i.qty == 0 or i.closing or i.stop is None or i.trip_entry_qty == 0:
        return
    price = price_of_now(d, i)
    if any(code in d.book.flattens for code in (*d.holds, *i.holds)):
        close(i, BY_HOLD)
    elif price is not None and (price <= i.stop if i.trip_side == 1 else price >= i.stop):
        close(i, BY_TRAIL if i.trailed else BY_STOP)
    elif d.held_too_long(i):
        close(i, BY_TIME)
    elif gained(d, i):
        close(i, BY_TARGET)
    else:
        tighten(d, i)


def gained(d: "SharesDesk", i: Instrument) -> bool:
    """MOEX-STOP-05, TAKE_PROFIT: by the mid of a valid book of the last second, against the average fill."""
    book, share = d.shares[i.index].tape.valid, Fraction(d.limits.take_profit_ppm, PPM)
    if share == 0 or book is None or d.now - book.ts > S:
        return False
    return bool(i.trip_side * (book.mid() * abs(i.qty) - abs(i.cost)) >= share * abs(i.cost))


def tighten(d: "SharesDesk", i: Instrument) -> None:
    """MOEX-STOP-03; without a range or a valid book nothing moves.  The venue's stop follows ours with
    the same distance, at most once in 60 s (MOEX-STOP-06)."""
    side, of = i.trip_side, d.shares[i.index]
    atr, spread = of.tape.average_range(), fresh_spread(d, i)
    if spread is not None:
        mid = Fraction(i.bid + i.ask, 2)  # type: ignore[operator]
        of.best = mid if of.best is None else max(side * of.best, side * mid) * side
    if atr is not None and spread is not None:
        entry, share = average(i.trip_entry_ticks, i.trip_entry_qty), d.limits.spread_floor_ppm
        candidate = stop_tick(side, entry, atr, spread, i.tick_nanos, share)
        if d.limits.trail_anchor == 1 and of.best is not None and entry > 0:
            candidate = from_best(side, of.best, entry, offset_ticks(entry, atr, spread, share))
        if candidate is not None:
            candidate = min(candidate, i.bid - 1) if side == 1 else max(candidate, i.ask + 1)  # type: ignore[operator]
        moved = tighter(side, i.stop, candidate)
        if moved != i.stop:
            i.stop, i.trailed = moved, True
    if i.net is not None and d.now - of.net_moved >= NET_APART:
        behind = tighter(side, i.net, max(1, i.stop - side * of.gap))  # type: ignore[operator]
        if behind != i.net:
            i.net, of.net_moved = behind, d.now
