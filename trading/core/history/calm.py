"""Trades and books of a tape that reach no order and no moment of any clock, one after another.

They move the market, the mark and what follows from it; nobody is asked anything, so nothing is handed to the venue's
and the kernel's entry points.  A position is carried along while its bracket works as planned and the last look at it
was fine.  An event that is not surely harmless goes the loop's way; so does every event of a run that keeps its tape,
which is how tests compare the two, to the bit.  Called by `tape`.
"""

import numpy as np

from marketdata.core.compiled import inlined, inner
from marketdata.core.records import BOOK, FLAG_BACKFILL, NO_TICK, NO_TIME, TRADE
from risk.core.records import MES
from trading.core import ledger
from trading.core.history import glide, ring, rounds
from trading.core.history.records import CARRY_NS, NEVER_NS, Desk, Room, Tables
from trading.core.history.rounds import Rounds, Told
from trading.core.market import HELD, MARKED, note_market
from trading.core.venue import engine
from trading.core.venue.book import meet_book
from trading.core.venue.state import BY_BOOK


@inner
def pass_by(
    desk: Desk, room: Room, tables: Tables, kept: Rounds, told: Told, first: int, last: int, fine: bool
) -> tuple[int, int]:
    """Events `first` … `last` − 1, up to the first that is not surely harmless.  `fine`: the kernel has just looked at
    what is held and had nothing to say.

    Returns (index, 0): that event is next, untouched; or (index, wants): the kernel has noted it, and asks for this.
    """
    run = desk.run[0]
    account = desk.state.account[0]
    position = desk.state.positions[0]
    grid = desk.state.grids[0]
    limits = desk.params.limits[0]
    venue = desk.venue.account[0]
    market = desk.venue.markets[0]
    if room.tape.shape[0] > 0 or not _is_open(run, venue, kept):
        return first, 0
    until_ns = _until(run, account, tables, kept)
    due_ns = engine.next_due_ns(desk.venue) if venue.working_count > 0 else NO_TIME
    if due_ns == NO_TIME:
        due_ns = NEVER_NS
    high_from, low_from = ring.reach(desk.venue)
    if high_from <= -ring.FAR_TICK or _reaches(desk.venue.books[0], high_from, low_from):
        return first, 0  # a market order waits, or the book that stands triggers a stop as soon as anything is heard
    if market.last_tick != NO_TICK and (market.last_tick >= high_from or market.last_tick <= low_from):
        return first, 0
    fine = fine and _is_settled(desk)
    if fine and limits.hold_ns_max > 0:
        until_ns = min(until_ns, position.opened_ns + limits.hold_ns_max)
    tick_value = desk.params.specs[0].tick_value_micros
    wants = 0
    i = first
    while i < last:
        e = told.events[i]
        now_ns = max(e.ts_ns, account.now_ns)
        if (e.kind != TRADE and e.kind != BOOK) or e.instrument != 0 or e["flags"] & FLAG_BACKFILL != 0:
            break
        if now_ns >= until_ns or max(e.ts_ns, e.ts_venue_ns, venue.now_ns) >= due_ns:
            break
        if not _moves(desk, room, told, i, high_from, low_from):
            break
        account.now_ns = now_ns
        wants = note_market(account, position, grid, limits, e)
        account.seq += 1
        run.bars += 1
        if wants != 0:
            if not fine or (wants != MARKED and wants != HELD):
                break
            if not _is_carried(account, position, limits, tick_value):
                break
            wants = 0
        if position.qty != 0:
            rounds.marked(run, kept, position.mark_tick)
        run.end_ns = max(run.end_ns, e.ts_ns)
        i += 1
    room.passed[0] += i - first
    return i, wants


@inlined
def _moves(desk: Desk, room: Room, told: Told, i: int, high_from: int, low_from: int) -> bool:
    """The venue has the event.  False: it may reach what works there, and the venue has not had it."""
    e = told.events[i]
    venue = desk.venue.account[0]
    market = desk.venue.markets[0]
    at_ns = e.ts_venue_ns
    if e.kind == TRADE:
        if e.price_tick >= high_from or e.price_tick <= low_from:
            return False
        venue.now_ns = max(venue.now_ns, at_ns)
        market.last_tick = e.price_tick
        market.last_ns = at_ns
        return True
    at = told.depth_of[i]
    if at >= 0 and _reaches(told.depths[at], high_from, low_from):
        return False
    venue.now_ns = max(venue.now_ns, at_ns)
    if at >= 0:
        answers = meet_book(desk.venue, 0, told.depths, at, at_ns, room.line, 0)
        assert answers == 0
    return True


@inlined
def _is_carried(account: np.record, position: np.record, limits: np.record, tick_value_micros: int) -> bool:
    """The account at the mark as it now stands.  False: a limit may be breached, and nothing was changed."""
    equity = account.balance_micros
    equity += ledger.open_micros(position.qty, position.cost_ticks, position.mark_tick, tick_value_micros)
    equity += position.qty * position.mark_half * tick_value_micros // 2  # as in mark_equity
    if glide.breaches(account, limits, equity):
        return False
    account.equity_micros = equity
    account.day_peak_micros = max(account.day_peak_micros, equity)
    return True


@inner
def _is_open(run: np.record, venue: np.record, kept: Rounds) -> bool:
    """The market speaks, and nothing is on its way to or from the venue."""
    r = kept.round[0]
    if run.on_grid == 0 or run.waiting != 0 or r.shut == 1 or venue.model != BY_BOOK:
        return False
    return venue.request_count == 0 and venue.held_count == 0


@inner
def _until(run: np.record, account: np.record, tables: Tables, kept: Rounds) -> int:
    """An event before then meets no moment of the kernel's clock, no TIMER and no close; NO_TIME: that is not known."""
    r = kept.round[0]
    until_ns = min(account.clock_ns, tables.close_ns[run.session])
    if r.timers == 0:
        return until_ns
    if r.timer_ns == NO_TIME or r.timer_ns > run.end_ns + CARRY_NS:
        return NO_TIME
    return min(until_ns, r.timer_ns)


@inner
def _is_settled(desk: Desk) -> bool:
    """The bracket works as planned and nothing is under way that another second would carry on (futures alone)."""
    account = desk.state.account[0]
    position = desk.state.positions[0]
    if account.rules != MES or position.qty == 0 or position.exit_since_ns != NO_TIME:
        return False
    return glide.is_steady(account, position, desk.params.limits[0]) and glide.is_bracketed(desk.venue, position)


@inner
def _reaches(depth: np.record, high_from: int, low_from: int) -> bool:
    """Whether a touch of this book stands at or beyond what works: it may trigger a stop."""
    bid, ask = depth.bid_tick[0], depth.ask_tick[0]
    return (bid != NO_TICK and bid >= high_from) or (ask != NO_TICK and ask <= low_from)
