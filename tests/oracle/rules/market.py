"""What prices do to the oracle's desk: marks, the grid of bars, the spread, a trailing stop, the feed's own state."""

from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

from marketdata.core import records as m
from tests.oracle.rules import protect
from tests.oracle.rules.clock import feed
from tests.oracle.rules.facts import PRICE_MOST, Event, Instrument, average

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk


def on_market(d: "Desk", e: Event) -> None:
    """History primes the grid and decides nothing.  Any message shows that the feed lives."""
    d.measure(e)
    if e.flags & m.FLAG_BACKFILL:
        if e.kind == m.BAR:
            grid(d, e)
        return
    d.feed_ts = e.ts if d.feed_ts is None else max(d.feed_ts, e.ts)  # its own time: what waited in a queue is old
    if e.kind == m.FEED:
        on_feed(d, e)
        return
    if "FEED_STALE" in d.holds:
        feed(d)
    i = d.instruments[e.instrument]
    if e.kind == m.STATUS:
        i.status = e.code
        return
    is_mark = remember(d, i, e)
    if e.kind == m.BAR:
        grid(d, e)
        trail(d, i, e)
    if d.version == 0 or i.mark is None:
        return
    if e.kind in (m.QUOTE, m.BOOK):
        spread(d, i)
    moved(d, i)
    if i.qty != 0:
        d.check(is_mark)
        protect.look_after(d, i)


def on_feed(d: "Desk", e: Event) -> None:
    """An outage ends every segment (MES-DATA-21); a gap stands until the feed says that it is up."""
    if e.code != m.FEED_BEAT:
        d.gap = e.code != m.FEED_UP
        if d.gap:
            for i in d.instruments:
                i.grid.new_segment()
            shocks(d)
    if e.code != m.FEED_BEAT or "FEED_STALE" in d.holds:
        feed(d)


def remember(d: "Desk", i: Instrument, e: Event) -> bool:
    """The mark is the last print, or a bar's close (MES-RISK-02); before the first print the middle of a usable book.

    Returns whether this event is a mark (MES-RISK-11): a quote is none once there are prints.
    """
    if e.kind in (m.QUOTE, m.BOOK):
        two_sided = e.bid is not None and e.ask is not None and 0 < e.bid < e.ask <= PRICE_MOST
        i.book_ok = two_sided and not e.flags & m.FLAG_INVALID
        i.bid, i.ask, i.quote_ts = e.bid, e.ask, e.ts
        i.bid_qty, i.ask_qty = e.bid_qty, e.ask_qty
        if i.book_ok and (d.marks_by_mid or i.last is None):
            i.mid_seen = True
            i.exact = Fraction(e.bid + e.ask, 2)  # type: ignore[operator]
            i.mark = floor(i.exact)
            return True
        return False
    price = e.close if e.kind == m.BAR else e.price
    if e.flags & m.FLAG_INVALID:
        price = None
    if e.kind == m.BAR and price is None:  # nothing traded in it
        return False
    i.bad_mark = price is None or not 0 < price <= PRICE_MOST
    if price is None or i.bad_mark:
        return False
    if e.kind == m.BAR and d.marks_by_mid and d.limits.bar_mode != 1:
        return False  # a candle closes with a price of up to a minute ago: no trade of now (MOEX-STOP-04)
    i.last, i.last_ts = price, e.ts
    if d.marks_by_mid and i.mid_seen:
        return False
    i.mark = i.exact = price
    return True


def spread(d: "Desk", i: Instrument) -> None:
    """MES-HOLD-SPREAD: renewed by every quote that is too wide."""
    wide = i.book_ok and i.ask - i.bid > d.limits.spread_ticks_max  # type: ignore[operator]
    if wide and d.limits.spread_hold_ns > 0:
        d.raise_hold("SPREAD", d.now + d.limits.spread_hold_ns)


def grid(d: "Desk", e: Event) -> None:
    """One completed bar; at a minute's end VOLATILITY and VOLUME follow it (MES-BREAK-02)."""
    if e.close is not None and not e.flags & m.FLAG_INVALID and e.value > 0:
        carried = bool(e.flags & m.FLAG_CARRIED)
        bars = d.instruments[e.instrument].grid
        bars.bar(e.venue_ts - e.value, e.venue_ts, e.high, e.low, e.close, e.volume, carried)
        shocks(d)


def shocks(d: "Desk") -> None:
    d.follow("VOLATILITY", any(i.grid.volatile for i in d.instruments))
    d.follow("VOLUME", any(i.grid.quiet for i in d.instruments))


def trail(d: "Desk", i: Instrument, e: Event) -> None:
    """MES-STOP-05: a bar that closes so far in profit pulls the stop behind it, to the entry at least; never back."""
    step = d.limits.trail_ticks
    if i.qty == 0 or i.closing or i.stop is None or not step or step <= 0 or i.trip_entry_qty == 0:
        return
    if e.close is None or e.flags & m.FLAG_INVALID:
        return
    entry, side = average(i.trip_entry_ticks, i.trip_entry_qty), i.trip_side
    if (e.close - entry) * side < step:
        return
    best = max if side > 0 else min
    stop = best(i.stop, entry, e.close - side * step)
    if stop != i.stop:
        i.stop, i.trailed = stop, True


def moved(d: "Desk", i: Instrument) -> None:
    """P-11: the mark against the farthest mark of the window, which slides by eighths and keeps one more."""
    mark = i.mark
    assert mark is not None
    eighth = max(1, d.limits.move_window_ns // 8)
    if not i.parts:
        i.parts, i.part_start = [[mark, mark]], d.now
    passed = max(0, (d.now - i.part_start) // eighth)
    for _ in range(min(passed, 9)):  # a mark stands until the next one
        i.parts.insert(0, [i.moved_at, i.moved_at])
    i.part_start += passed * eighth
    i.parts, i.moved_at = i.parts[:9], mark
    i.parts[0] = [min(i.parts[0][0], mark), max(i.parts[0][1], mark)]
    if farthest(i) > d.limits.move_ticks_max:
        d.raise_hold("PRICE_MOVE", d.now + d.limits.move_hold_ns)


def farthest(i: Instrument) -> int:
    """Ticks between the mark and the farthest mark of the window."""
    assert i.mark is not None
    return max(max(i.mark - low, high - i.mark) for low, high in i.parts)
