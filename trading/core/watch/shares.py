"""Stops of shares while a position lives: the measured range, the stop at the fill, and the check (MOEX-STOP-01 … -06).

The formulas are `risk.core.shares.moex_stops`; here they meet a position.  Our own stop is tested against the mid and
closes at market; at the venue works a wider one, which protects when the desk cannot.  A position's fields of this room
stay untouched under the futures' rulebook.  Called by `market`, `answers`, `clock`, `entry`.
"""

import math

import numpy as np

from marketdata.core import records as market
from marketdata.core.compiled import inner
from marketdata.core.records import FLAG_CARRIED, FLAG_INVALID, NO_TICK, NO_TIME
from marketdata.core.units import NANOS, PPM, TICK_MAX
from risk.core.breakers import MINUTE_NS
from risk.core.holds import FLATTEN_MASK
from risk.core.records import MOEX, STOP_SHARES
from risk.core.shares import moex_stops as stops
from trading.core import ledger
from trading.core.protect import BY_HOLD, BY_STOP, BY_TARGET, BY_TIME, BY_TRAIL, close
from trading.core.records import RANGES_KEPT
from trading.core.watch.routes import note_traded

CANDLE_GAP_NS = 300 * NANOS  # a candle that starts later after the one before has no previous close (MOEX-FEAT-05)
PAIR_NS = 60 * NANOS  # two books that are further apart make no range
RING_BOOKS = 30  # of the history ring: a pair leaves with its older book (MOEX-DATA-12)


@inner
def by_formula(account: np.record, limits: np.record) -> bool:
    """Whether stops of this session follow MOEX-STOP."""
    return account.rules == MOEX and limits.stop_method == STOP_SHARES


@inner
def note(p: np.record, g: np.record, e: np.record) -> None:
    """One market event of the shares' rulebook, before marks and grid take it: ranges, and the pace of trading."""
    if e.kind == market.BAR:
        _note_bar(p, g, e)
    elif (e.kind == market.QUOTE or e.kind == market.BOOK) and e["flags"] & market.FLAG_BACKFILL == 0:
        _note_book(p, e)
    elif e.kind == market.TRADE:
        note_traded(p, e)


@inner
def _note_bar(p: np.record, g: np.record, e: np.record) -> None:
    """A bar of a minute is a candle.  Of shorter ones the grid makes it: a whole minute with a print.

    A longer bar is no candle, nor is a minute in which nothing was traded.
    """
    if e.close_tick == NO_TICK or e["flags"] & FLAG_INVALID or e.value <= 0:
        return
    start_ns = e.ts_venue_ns - e.value
    if e.value == MINUTE_NS:
        if e["flags"] & FLAG_CARRIED == 0:
            _take_candle(p, start_ns, e.high_tick, e.low_tick, e.close_tick)
    elif e.value < MINUTE_NS and g.end_ns != NO_TIME and start_ns >= g.end_ns and start_ns // MINUTE_NS != g.minute:
        if g.full == 1 and g.print_ns > g.minute * MINUTE_NS:
            _take_candle(p, g.minute * MINUTE_NS, g.high_tick, g.low_tick, g.close_tick)


@inner
def _take_candle(p: np.record, start_ns: int, high: int, low: int, close_tick: int) -> None:
    """True range of one closed minute, in ticks; a candle that is not newer than the last one is none."""
    if not 0 < low <= high <= TICK_MAX or (p.candles > 0 and start_ns <= p.candle_ns):
        return
    if p.candles > 0 and start_ns - p.candle_ns <= CANDLE_GAP_NS:
        p.candle_range[p.candles % RANGES_KEPT] = max(high, p.candle_close_tick) - min(low, p.candle_close_tick)
    else:
        p.candle_range[p.candles % RANGES_KEPT] = high - low
    p.candles += 1
    p.candle_ns = start_ns
    p.candle_close_tick = close_tick


@inner
def _note_book(p: np.record, e: np.record) -> None:
    """One book: whether it may price a stop, and its range with the book before, in half ticks (MOEX-FEAT-05)."""
    two_sided = 0 < e.bid_tick <= TICK_MAX and 0 < e.ask_tick <= TICK_MAX
    if two_sided and e.bid_tick < e.ask_tick and e["flags"] & FLAG_INVALID == 0:
        p.valid_ns = e.ts_ns
    if two_sided and p.book_twice_tick != NO_TICK and 0 <= e.ts_ns - p.book_ns <= PAIR_NS:
        at = p.pairs % RANGES_KEPT
        p.pair_range[at] = max(2 * e.ask_tick, p.book_twice_tick) - min(2 * e.bid_tick, p.book_twice_tick)
        p.pair_at[at] = p.books
        p.pairs += 1
    p.books += 1
    p.book_ns = e.ts_ns
    p.book_twice_tick = e.bid_tick + e.ask_tick if two_sided else NO_TICK


@inner
def measured(p: np.record) -> tuple[int, int]:
    """ATR5 as (Σ in half ticks, how many); (0, 0) when it is missing.  Candles first, before five of them the books."""
    total = 0
    if p.candles >= RANGES_KEPT:
        for k in range(RANGES_KEPT):
            total += 2 * p.candle_range[k]
        return total, RANGES_KEPT
    count = 0
    for k in range(min(p.pairs, RANGES_KEPT)):
        if p.books - p.pair_at[k] < RING_BOOKS:
            total += p.pair_range[k]
            count += 1
    return total, count


@inner
def _spread(p: np.record, now_ns: int) -> int:
    """Ticks between the touches of a valid book not older than 1 s; −1: not known."""
    if p.book_ok != 1 or now_ns - p.quote_ts_ns > stops.BOOK_AGE_NS_MAX:
        return -1
    return p.ask_tick - p.bid_tick


@inner
def _stop(side: int, entry_tick: int, total: int, count: int, spread: int, spec: np.record, limits: np.record) -> int:
    """The formula in this instrument's ticks; NO_TICK when it gives none or the tick is not known."""
    if spec.tick_nanos <= 0 or entry_tick <= 0:
        return NO_TICK
    tick = spec.tick_nanos / NANOS
    average = total * tick / (2.0 * count) if count > 0 else math.nan
    return stops.initial_stop_tick(side, entry_tick, average, spread * tick, limits.spread_floor_ppm / PPM, tick)


@inner
def planned_distance(p: np.record, spec: np.record, limits: np.record, side: int, entry_tick: int, now_ns: int) -> int:
    """Ticks from the price of an entry to its stop; 0: STOP_INVALID.  A range or spread that is missing counts as 0."""
    total, count = measured(p)
    tick = _stop(side, entry_tick, total, count, _spread(p, now_ns), spec, limits)
    return 0 if tick == NO_TICK else abs(entry_tick - tick)


@inner
def keep_plan(p: np.record, now_ns: int) -> None:
    """The measurements of the decision: the stop of its fills is made of the same."""
    p.plan_range, p.plan_ranges = measured(p)
    p.plan_spread = _spread(p, now_ns)


@inner
def on_entry_fill(p: np.record, spec: np.record, limits: np.record, now_ns: int) -> None:
    """Our stop from the average entry, the venue's behind it.  A later fill of the entry may only tighten both.

    A position that no formula protects gets no stop, and `protect` closes what has none.
    """
    side = p.trade_side
    anchor = ledger.nearest_average(p.trade_entry_ticks, p.trade_entry_qty)
    tick = _stop(side, anchor, p.plan_range, p.plan_ranges, p.plan_spread, spec, limits)
    if tick == NO_TICK:
        return
    if p.stop_tick == NO_TICK:
        p.net_gap = abs(tick - stops.net_tick(side, anchor, tick, limits.net_widen_ppm))
    p.stop_tick = stops.tighter(side, p.stop_tick, tick)
    p.net_tick = stops.tighter(side, p.net_tick, max(1, p.stop_tick - side * p.net_gap))
    p.net_ns = now_ns


@inner
def check(account: np.record, p: np.record, spec: np.record, limits: np.record) -> None:
    """One check of a held position: the first true exit, else the stop tightens (MOEX-STOP-03 … -05)."""
    if p.qty == 0 or p.closing == 1 or p.stop_tick == NO_TICK or p.trade_entry_qty == 0:
        return
    now_ns, side = account.now_ns, p.trade_side
    flatten = (account.holds | p.holds) & FLATTEN_MASK[MOEX] != 0
    upper = p.mark_tick + p.mark_half
    twice = stops.trigger_twice_tick(now_ns, p.valid_ns, p.mark_tick, upper, p.last_ts_ns, p.last_tick, p.entry_fill_ns)
    hit = twice != NO_TICK and stops.is_triggered(side, p.stop_tick, twice)
    profit = False
    if p.valid_ns != NO_TIME and now_ns - p.valid_ns <= stops.BOOK_AGE_NS_MAX:
        twice_mid = p.mark_tick + upper
        profit = stops.takes_profit(side, abs(p.cost_ticks), abs(p.qty), twice_mid, limits.take_profit_ppm)
    reason = stops.exit_reason(flatten, hit, now_ns, p.opened_ns, limits.hold_ns_max, profit, False)
    if reason == stops.BY_FLATTEN:
        close(p, BY_HOLD)
    elif reason == stops.BY_STOP_LOSS:
        close(p, BY_TRAIL if p.trailed == 1 else BY_STOP)
    elif reason == stops.BY_TIME_LIMIT:
        close(p, BY_TIME)
    elif reason == stops.BY_TAKE_PROFIT:
        close(p, BY_TARGET)
    else:
        _tighten(p, spec, limits, now_ns)


@inner
def _tighten(p: np.record, spec: np.record, limits: np.record, now_ns: int) -> None:
    """Without a range, a valid book of the last second or a tick nothing moves.  The venue's stop follows ours with the
    same distance, at most once in 60 s."""
    side = p.trade_side
    total, count = measured(p)
    spread = _spread(p, now_ns)
    if spread > 0:
        p.best_twice_tick = stops.best_tick(side, p.best_twice_tick, p.bid_tick, p.ask_tick)
    if count > 0 and spread > 0 and spec.tick_nanos > 0:
        tick = spec.tick_nanos / NANOS
        entry = ledger.nearest_average(p.trade_entry_ticks, p.trade_entry_qty)
        moved = stops.trailed_stop_tick(
            side, p.stop_tick, entry, p.best_twice_tick, limits.trail_anchor, total * tick / (2.0 * count),
            spread * tick, limits.spread_floor_ppm / PPM, tick, p.bid_tick, p.ask_tick,
        )  # fmt: skip
        if moved != p.stop_tick:
            p.stop_tick = moved
            p.trailed = 1
    if p.net_tick != NO_TICK and now_ns - p.net_ns >= stops.NET_STEP_NS_MIN:
        behind = stops.tighter(side, p.net_tick, max(1, p.stop_tick - side * p.net_gap))
        if behind != p.net_tick:
            p.net_tick = behind
            p.net_ns = now_ns
