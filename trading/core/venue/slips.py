"""What a market or stop fill slips, in whole ticks against the trader: fixed, or conditional (MES-COST-06).

What a decision asked for slips by the last evaluation before that decision; any other fill by the last one before it,
in the segment of its price.  Evaluations are those of MES-BREAK-02, of the venue's own grid of the same bars; a
backtest over bars lends it the kernel's.  Spreads are those of the last quote; bars have none, which counts as a tick
(MES-BREAK-03), and end with their segment.  Called by the engine and the fill models.
"""

import numpy as np
from numba import njit

from marketdata.core.records import (
    BAR,
    BOOK,
    FEED,
    FEED_BEAT,
    FEED_UP,
    FLAG_BACKFILL,
    FLAG_CARRIED,
    FLAG_INVALID,
    NO_TICK,
    NO_TIME,
    QUOTE,
)
from marketdata.core.units import PPM
from risk.core import breakers
from risk.core.costs import slip_ticks
from risk.core.exact import share_ceil
from trading.core.records import ENTRY, EXIT, FLAG_DECIDED, INSTRUMENT_CAPACITY, LIMIT, SUBMIT
from trading.core.venue.answers import slot_of
from trading.core.venue.state import BY_BOOK, Venue

UNQUOTED = 1  # ticks of a spread that nobody told (MES-BREAK-03)


@njit(cache=True)
def is_conditional(venue: Venue) -> bool:
    """Whether slippage follows the market; else none of what is below is kept."""
    return venue.slips[0].times_ppm > 0


@njit(cache=True)
def hear(venue: Venue, e: np.record) -> None:
    """One event of the feed, back-fill too, behind the fills that it made: into the grid, or the spread that stands."""
    if e.kind == FEED:
        if e.code != FEED_BEAT and e.code != FEED_UP:  # an outage ends every segment (MES-DATA-21)
            for i in range(INSTRUMENT_CAPACITY):
                breakers.new_segment(venue.grids[i])
                venue.slips[i].spread_ticks = UNQUOTED
    elif e.instrument < 0 or e.instrument >= INSTRUMENT_CAPACITY:
        return
    elif e.kind == BAR:
        if e.close_tick == NO_TICK or e["flags"] & FLAG_INVALID or e.value <= 0:
            return
        end_ns = e.ts_venue_ns
        carried = e["flags"] & FLAG_CARRIED != 0
        g = venue.grids[e.instrument]
        if _begins(g, end_ns - e.value):
            venue.slips[e.instrument].spread_ticks = UNQUOTED
        breakers.take_bar(g, end_ns - e.value, end_ns, e.high_tick, e.low_tick, e.close_tick, e.volume, carried)
    elif (e.kind == QUOTE or e.kind == BOOK) and venue.account[0].model != BY_BOOK:
        if e["flags"] & (FLAG_BACKFILL | FLAG_INVALID) == 0 and 0 < e.bid_tick < e.ask_tick:
            venue.slips[e.instrument].spread_ticks = e.ask_tick - e.bid_tick


@njit(cache=True)
def _begins(g: np.record, at_ns: int) -> bool:
    """Whether a price of this moment begins a segment after a silence; no spread outlives one (MES-DATA-21)."""
    return g.end_ns != NO_TIME and at_ns >= g.end_ns and at_ns - g.print_ns >= breakers.CARRY_NS


@njit(cache=True)
def _spread(venue: Venue, instrument: int) -> int:
    if venue.account[0].model != BY_BOOK:
        return venue.slips[instrument].spread_ticks
    bid, ask = venue.books[instrument].bid_tick[0], venue.books[instrument].ask_tick[0]
    return UNQUOTED if bid == NO_TICK or ask == NO_TICK else ask - bid


@njit(cache=True)
def _ticks(venue: Venue, instrument: int, g: np.record, spread_ticks: int) -> int:
    """By the last evaluation that this grid knows of; the whole of it again times what a stricter run asks for."""
    ranges, normal, samples = breakers.evaluated(g)
    ticks = slip_ticks(True, 0, spread_ticks, g.quiet == 1, ranges, normal, samples)
    return share_ceil(ticks, venue.slips[instrument].times_ppm, PPM)


@njit(cache=True)
def asked_ticks(venue: Venue, e: np.record) -> int:
    """What the order of a decision will slip, at the moment at which it is sent; 0: by its fill, or fixed.

    The entry of a reversal slips as the exit that it follows: the row that asked for both is one (MES-REV-02).
    """
    if e.kind != SUBMIT or e.instrument < 0 or e.instrument >= INSTRUMENT_CAPACITY:
        return 0
    row = venue.slips[e.instrument]
    decided = e["flags"] & FLAG_DECIDED != 0
    if row.times_ppm == 0 or (e.role != ENTRY and not (e.role == EXIT and decided)):
        return 0
    if e.role == ENTRY and decided:
        return row.asked_ticks
    at = e.instrument + 0  # a field of two bytes, widened
    ticks = _ticks(venue, at, venue.grids[at], _spread(venue, at))
    if e.role == EXIT:
        row.asked_ticks = ticks
    return ticks


@njit(cache=True)
def fill_ticks(venue: Venue, slot: int, at_ns: int, size_ns: int, printed: bool) -> int:
    """What an order slips that fills at `at_ns`.  `size_ns` of a bar, 0 for prints and books; `printed`: at a price of
    that moment, which may begin a segment; else at the last one before it.

    Every minute that has ended by then is evaluated first, on a copy of the grid (MES-BT-02, step 1).
    """
    order = venue.orders[slot]
    if venue.slips[order.instrument].times_ppm == 0:
        return venue.account[0].slip_ticks
    if venue.order_slips[slot] == 0:
        ahead = venue.ahead[0]
        venue.ahead[0] = venue.grids[order.instrument]
        spread_ticks = _spread(venue, order.instrument)
        if printed and _begins(ahead, at_ns):
            breakers.new_segment(ahead)
            spread_ticks = spread_ticks if venue.account[0].model == BY_BOOK else UNQUOTED
        breakers.pass_time(ahead, at_ns, size_ns)
        venue.order_slips[slot] = _ticks(venue, order.instrument, ahead, spread_ticks)
    return venue.order_slips[slot]


@njit(cache=True)
def slipped(venue: Venue, fill: np.record) -> int:
    """Ticks by which a fill on bars slipped; a limit's price has none (MES-COST-01)."""
    if fill.order_type == LIMIT:
        return 0
    if not is_conditional(venue):
        return venue.account[0].slip_ticks
    return venue.order_slips[slot_of(venue, fill.order_number)]
