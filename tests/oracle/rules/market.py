"""What prices and time do to the oracle's desk: marks, staleness, loss limits, phases, the roll, deadlines."""

from typing import TYPE_CHECKING

from marketdata.core import records as m
from tests.oracle.rules import protect
from tests.oracle.rules.facts import (
    AFTER_HOURS,
    AGGRESSIVE_EXIT,
    CLOSE_ONLY,
    ENTRY,
    MUST_BE_FLAT,
    NOTHING,
    Event,
    Instrument,
)
from tests.oracle.rules.holds import BY_CLOCK, BY_ROLL

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk

REPRESENTABLE = 2**61


def on_market(d: "Desk", e: Event) -> None:
    """History decides nothing.  Any message shows that the feed lives; a gap stands until the feed says it is up."""
    if e.flags & m.FLAG_BACKFILL:
        return
    d.feed_ts = d.now
    if e.kind == m.FEED:
        if e.code != m.FEED_BEAT:
            d.gap = e.code != m.FEED_UP
        if e.code != m.FEED_BEAT or "FEED_STALE" in d.holds:
            feed(d)
        return
    if "FEED_STALE" in d.holds:
        feed(d)
    i = d.instruments[e.instrument]
    if e.kind == m.STATUS:
        i.status = e.code
        return
    remember(d, i, e)
    if d.version == 0 or i.mark is None:
        return
    moved(d, i)
    if i.qty != 0:
        check_losses(d)
        protect.look_after(d, i)


def remember(d: "Desk", i: Instrument, e: Event) -> None:
    """The mark is the last print (MES-RISK-02); before the first print, the middle of a usable book."""
    if e.kind in (m.QUOTE, m.BOOK):
        two_sided = e.bid is not None and e.ask is not None and 0 < e.bid < e.ask
        i.book_ok = two_sided and not e.flags & m.FLAG_INVALID
        i.bid, i.ask, i.quote_ts = e.bid, e.ask, d.now
        if i.book_ok and i.last is None:
            i.mark = (e.bid + e.ask) // 2  # type: ignore[operator]
        return
    price = e.close if e.kind == m.BAR else e.price
    if price is not None and not e.flags & m.FLAG_INVALID:
        i.last = i.mark = price
        i.last_ts = d.now


def moved(d: "Desk", i: Instrument) -> None:
    """P-11: the mark against the mark at the start of the running window."""
    assert i.mark is not None
    if i.move is None:
        i.move, i.move_ts = i.mark, d.now
    if abs(i.mark - i.move) > d.limits.move_ticks_max:
        d.raise_hold("PRICE_MOVE", d.now + d.limits.move_hold_ns)
    if d.now - i.move_ts >= d.limits.move_window_ns:
        i.move, i.move_ts = i.mark, d.now


def feed(d: "Desk") -> None:
    """P-04: silence for too long, or a gap."""
    if d.version != 0:
        silent = d.feed_ts is None or d.now - d.feed_ts > d.limits.quote_age_ns_max
        d.follow("FEED_STALE", silent or d.gap)


def links(d: "Desk") -> None:
    """The desk's own links, its reconciliation and its limits."""
    d.follow("NO_LIMITS", d.version == 0)
    d.follow("NOT_RECONCILED", not d.reconciled)
    d.follow("EXECUTION_AWAY", not d.links["execution"])
    d.follow("DATABASE_AWAY", not d.links["database"])
    d.follow("STREAM_FULL", not d.links["stream"])


def check_losses(d: "Desk") -> None:
    """P-15, MES-RISK-11: daily and total loss, open loss included."""
    if d.version == 0:
        return
    equity = d.equity()
    if -(d.day_net + min(0, equity - d.balance)) >= d.limits.loss_day_micros_max:
        d.raise_hold("DAILY_LOSS")
    if d.reference - equity >= d.limits.loss_total_micros_max:
        d.raise_hold("TOTAL_LOSS")
    if abs(equity) > REPRESENTABLE:
        d.raise_hold("STATE_UNREADABLE")


def clock(d: "Desk") -> None:
    """Phase and trading day by the windows; TIME holds that are over (MES-EOD, MES-RISK-14, -15)."""
    d.phase = next((w[2] for w in d.windows if w[0] <= d.now < w[1]), AFTER_HOURS)
    d.follow("AFTER_HOURS", d.phase == AFTER_HOURS)
    d.follow("CLOSE_ONLY", d.phase == CLOSE_ONLY)
    d.follow("EOD", d.phase in (AGGRESSIVE_EXIT, MUST_BE_FLAT))
    day = next((w[3] for w in reversed(d.windows) if w[0] <= d.now), 0)
    if day != d.trading_day:
        d.trading_day, d.day_net, d.streak = day, 0, 0
        for code in BY_ROLL:
            d.clear_hold(code)
    for code in BY_CLOCK:
        if code in d.holds and d.now >= d.holds[code]:
            d.clear_hold(code)


def on_timer(d: "Desk") -> None:
    """Once a second of the session's clock."""
    clock(d)
    feed(d)
    links(d)
    check_losses(d)
    if d.version == 0:
        return
    for o in d.live():
        if o.role == ENTRY and o.until is not None and d.now >= o.until:
            d.ask_cancel(o)
        if o.request != NOTHING and d.now - o.sent > d.limits.ack_timeout_ns:
            d.ask_query(o)
