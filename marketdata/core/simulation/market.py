"""A made-up market with a real limit order book behind it: one tape of trades, quotes, books and bars from a seed.

How it works, per instrument and in integers only (no float, so every machine makes the same bytes):
- limit, market and cancel orders arrive with exponential gaps; their rates come from a regime (quiet, trend up, trend
  down, volatile, thin), which a Markov chain changes; every market order excites the next ones for a while (clusters);
- a hidden flow, −1024 .. 1024, returns to the regime's drift and to the starting price; it tilts near limit orders,
  cancels and market orders alike.  So book imbalance and momentum carry some short-lived information: they are a
  demonstration of the desk's wiring, no claim that any market can be traded that way.
A QUOTE follows at once whenever a best price changes, a BOOK of 20 levels follows changes after a short pause, a BAR
closes at each whole second.  It knows no calendar and no feed; called by `feeds.simulated`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from marketdata.core.bars import add_trade, close_until, new_bars
from marketdata.core.records import BOOK, LEVELS, NO_TIME, QUOTE, TRADE
from marketdata.core.simulation.lob import (
    BEST_ASK,
    BEST_BID,
    COUNT,
    Lob,
    add_order,
    best_tick,
    new_lob,
    prune,
    qty_at,
    remove_order,
    side_orders,
    take_best,
    write_levels,
)
from marketdata.core.simulation.tables import (
    CANCEL_PPM,
    CLOSE_SPREAD,
    DRIFT,
    EXP_GAPS,
    LIMIT_RATE,
    MARKET_RATE,
    NEAR,
    NEXT_REGIME,
    NOISE,
    ORDER_SIZES,
    QUIET,
    SECONDS_MAX,
    SECONDS_MIN,
    SWEEP,
    TRADE_SIZES,
)

SECOND_NS = 1_000_000_000
PULSE_NS = 100_000_000
MASK32 = 0xFFFFFFFF
FLOW_MAX = 1024
EXCITE_MAX = 2048
SIDE_ORDERS_MIN = 24  # a side is never emptied: cancels and market orders stop here
WALK_MAX = 4  # prices that one market order may take
ROOM = 16  # events that one action may write

# indexes in Market.scalars
FLOW, EXCITE, REGIME, REGIME_UNTIL, LAST_SIDE = range(5)
NEXT_ORDER, NEXT_PULSE, NEXT_BAR, BOOK_DUE, BOOK_GAP, LAST_BOOK = range(5, 11)
ANCHOR, RATE_PERMILLE, SCALE = range(11, 14)


class Market(NamedTuple):
    """n instruments; each has a book, a random sequence and a state of its own and knows nothing of the others."""

    lob: Lob
    rng: np.ndarray  # (n, 4) int64, words of 32 bits, not all zero
    scalars: np.ndarray  # (n, 14) int64, see FLOW ..
    bars: np.ndarray  # (n,) BAR_STATE


def new_market(start_ns: int, words: np.ndarray, anchor: np.ndarray, scale: np.ndarray, rate_permille: int) -> Market:
    """A market that opens at `start_ns` (a whole second).  `words` (n, 4) int64 seed words of 32 bits, `anchor` (n,)
    starting price in ticks, `scale` (n,) units per size step, `rate_permille`: 1000 = the usual number of orders."""
    n = anchor.size
    assert start_ns % SECOND_NS == 0 and words.shape == (n, 4) and (words != 0).any(axis=1).all()
    assert (anchor > 4 * LEVELS).all() and (scale > 0).all() and rate_permille > 0
    scalars = np.zeros((n, 14), np.int64)
    scalars[:, ANCHOR] = anchor
    scalars[:, SCALE] = scale
    scalars[:, RATE_PERMILLE] = rate_permille
    scalars[:, LAST_SIDE] = 1
    scalars[:, BOOK_DUE] = NO_TIME
    scalars[:, LAST_BOOK] = start_ns
    market = Market(new_lob(n), words.copy(), scalars, new_bars(n))
    for i in range(n):
        _open(market, i, start_ns)
    return market


@njit(cache=True)
def _random(rng: np.ndarray, i: int) -> int:
    """Next 32 random bits (Marsaglia, "Xorshift RNGs", 2003: xorshift128)."""
    t = rng[i, 0]
    t ^= (t << 11) & MASK32
    t ^= t >> 8
    rng[i, 0] = rng[i, 1]
    rng[i, 1] = rng[i, 2]
    w = rng[i, 3]
    rng[i, 2] = w
    w ^= (w >> 19) ^ t
    rng[i, 3] = w
    return w


@njit(cache=True)
def _below(rng: np.ndarray, i: int, n: int) -> int:
    """A random integer in 0 .. n − 1; n < 2^31."""
    return (_random(rng, i) * n) >> 32


@njit(cache=True)
def _shrink(x: int, shift: int) -> int:
    """x / 2^shift towards zero: the same for both signs, unlike a shift."""
    return x >> shift if x >= 0 else -((-x) >> shift)


@njit(cache=True)
def _open(market: Market, i: int, start_ns: int) -> None:
    """Fill the book around the starting price and set the clocks of instrument `i`."""
    scalars, rng = market.scalars[i], market.rng
    for _ in range(16):
        _random(rng, i)
    for side in (1, -1):
        for distance in range(LEVELS + 10):
            for _ in range(2 + _below(rng, i, 4)):
                size = ORDER_SIZES[_below(rng, i, ORDER_SIZES.size)] * scalars[SCALE]
                add_order(market.lob, i, side, scalars[ANCHOR] - (side > 0) - side * distance, size)
    scalars[REGIME] = QUIET
    scalars[REGIME_UNTIL] = start_ns + (5 + _below(rng, i, 20)) * SECOND_NS
    scalars[NEXT_PULSE] = start_ns + _below(rng, i, PULSE_NS)
    scalars[NEXT_BAR] = start_ns + SECOND_NS
    scalars[BOOK_GAP] = _book_gap(market, i)
    scalars[NEXT_ORDER] = start_ns + _order_gap(market, i)


@njit(cache=True)
def _market_rate(market: Market, i: int) -> int:
    """Market orders per 1000 s: the regime's rate and what the last ones excited."""
    scalars = market.scalars[i]
    return MARKET_RATE[scalars[REGIME]] * (1024 + scalars[EXCITE]) >> 10


@njit(cache=True)
def _order_gap(market: Market, i: int) -> int:
    """ns to the next order of any kind: exponential, mean 1 / (sum of the rates)."""
    scalars = market.scalars[i]
    regime = scalars[REGIME]
    cancels = CANCEL_PPM[regime] * market.lob.scalars[i, COUNT] // 1000
    total = (LIMIT_RATE[regime] + _market_rate(market, i) + cancels) * scalars[RATE_PERMILLE] // 1000
    gap = EXP_GAPS[_below(market.rng, i, EXP_GAPS.size)]  # 1/65536 of the mean
    return 1 + gap * (1000 * SECOND_NS // max(total, 1)) // 65536


@njit(cache=True)
def _book_gap(market: Market, i: int) -> int:
    """ns between two books: 35 to 75 ms at the usual rate."""
    gap = 35_000_000 + _below(market.rng, i, 40_000_000)
    return max(1_000_000, gap * 1000 // market.scalars[i, RATE_PERMILLE])


@njit(cache=True)
def _pulse(market: Market, i: int, now_ns: int) -> None:
    """Ten times a second: the flow moves, the excitement fades, the regime may change, far orders are pruned."""
    scalars, rng = market.scalars[i], market.rng
    scalars[NEXT_PULSE] += PULSE_NS
    scalars[EXCITE] -= (scalars[EXCITE] + 15) >> 4
    if now_ns >= scalars[REGIME_UNTIL]:
        scalars[REGIME] = NEXT_REGIME[scalars[REGIME], _below(rng, i, NEXT_REGIME.shape[1])]
        regime = scalars[REGIME]
        seconds = SECONDS_MIN[regime] + _below(rng, i, SECONDS_MAX[regime] - SECONDS_MIN[regime])
        scalars[REGIME_UNTIL] = now_ns + seconds * SECOND_NS
    regime = scalars[REGIME]
    # back to the starting price: at 2 % away the pull is as strong as a trend
    away = market.lob.scalars[i, BEST_BID] - scalars[ANCHOR]
    pull = min(max(away * 350 * 50 // scalars[ANCHOR], -700), 700)
    flow = scalars[FLOW]
    flow += _shrink(DRIFT[regime] - pull - flow, 6) + _below(rng, i, 2 * NOISE[regime] + 1) - NOISE[regime]
    scalars[FLOW] = min(max(flow, -FLOW_MAX), FLOW_MAX)
    prune(market.lob, i)


@njit(cache=True)
def _limit_order(market: Market, i: int) -> None:
    scalars, rng, lob = market.scalars[i], market.rng, market.lob
    regime = scalars[REGIME]
    spread = lob.scalars[i, BEST_ASK] - lob.scalars[i, BEST_BID]
    size = ORDER_SIZES[_below(rng, i, ORDER_SIZES.size)]
    kind = _below(rng, i, 1024)
    tilt = _shrink(scalars[FLOW], 1)
    if kind >= NEAR[regime]:
        tilt = _shrink(tilt, 2)
    side = 1 if _below(rng, i, 1024) < 512 + tilt else -1
    own = best_tick(lob, i, side)
    if spread > 1 and _below(rng, i, 1024) < CLOSE_SPREAD[regime]:
        tick = own + side * (1 + (_below(rng, i, spread - 1) if spread > 2 else 0))
    elif kind < NEAR[regime]:
        deep = _below(rng, i, 16)
        tick = own - side * (0 if deep < 9 else 1 if deep < 13 else 2)
    else:
        tick = own - side * _below(rng, i, LEVELS + 8)
    units = scalars[SCALE]
    qty = size * units - (_below(rng, i, units) if units > 1 else 0)
    add_order(lob, i, side, tick, qty)  # a full book takes no more: the order is dropped


@njit(cache=True)
def _cancel(market: Market, i: int) -> None:
    """One random resting order leaves; those on the side that the flow favours stay more often."""
    rng, lob = market.rng, market.lob
    order = lob.live[i, _below(rng, i, lob.scalars[i, COUNT])]
    side = lob.side[i, order]
    stay = 256 + _shrink(side * market.scalars[i, FLOW] * 3, 3)
    if side_orders(lob, i, side) > SIDE_ORDERS_MIN and _below(rng, i, 1024) >= stay:
        remove_order(lob, i, order)


@njit(cache=True)
def _write_quote(market: Market, i: int, now_ns: int, kind: int, events: np.ndarray, at: int) -> int:
    event = events[at]
    lob = market.lob
    event.kind = kind
    event.instrument = i
    event.ts_ns = now_ns
    event.ts_venue_ns = now_ns
    event.bid_tick = lob.scalars[i, BEST_BID]
    event.ask_tick = lob.scalars[i, BEST_ASK]
    event.bid_qty = qty_at(lob, i, event.bid_tick)
    event.ask_qty = qty_at(lob, i, event.ask_tick)
    return at + 1


@njit(cache=True)
def _market_order(market: Market, i: int, now_ns: int, events: np.ndarray, at: int) -> int:
    """Take from the best prices: one TRADE per price, a QUOTE whenever a price is used up."""
    scalars, rng, lob = market.scalars[i], market.rng, market.lob
    tilt = _shrink(scalars[FLOW], 2) + scalars[LAST_SIDE] * 120
    side = 1 if _below(rng, i, 1024) < 512 + tilt else -1
    scalars[LAST_SIDE] = side
    scalars[EXCITE] = min(scalars[EXCITE] + 30, EXCITE_MAX)
    units = scalars[SCALE]
    left = TRADE_SIZES[_below(rng, i, TRADE_SIZES.size)] * units - (_below(rng, i, units) if units > 1 else 0)
    if _below(rng, i, 1024) < SWEEP[scalars[REGIME]]:
        left += qty_at(lob, i, best_tick(lob, i, -side))
    for _ in range(WALK_MAX):
        if left <= 0 or side_orders(lob, i, -side) <= SIDE_ORDERS_MIN:
            break
        tick = best_tick(lob, i, -side)
        taken = take_best(lob, i, side, left)
        left -= taken
        event = events[at]
        event.kind = TRADE
        event.instrument = i
        event.ts_ns = now_ns
        event.ts_venue_ns = now_ns
        event.side = side
        event.price_tick = tick
        event.qty = taken
        at += 1
        add_trade(market.bars, i, now_ns, tick, taken, SECOND_NS)
        if best_tick(lob, i, -side) != tick:
            at = _write_quote(market, i, now_ns, QUOTE, events, at)
    return at


@njit(cache=True)
def _order(market: Market, i: int, now_ns: int, events: np.ndarray, at: int) -> int:
    """The next order of instrument `i`; returns the next free index of `events`."""
    scalars, lob = market.scalars[i], market.lob
    regime = scalars[REGIME]
    limits, trades = LIMIT_RATE[regime], _market_rate(market, i)
    cancels = CANCEL_PPM[regime] * lob.scalars[i, COUNT] // 1000
    pick = _below(market.rng, i, limits + trades + cancels)
    if pick < trades:
        at = _market_order(market, i, now_ns, events, at)
    else:
        bid, ask = lob.scalars[i, BEST_BID], lob.scalars[i, BEST_ASK]
        if pick < trades + limits:
            _limit_order(market, i)
        else:
            _cancel(market, i)
        if bid != lob.scalars[i, BEST_BID] or ask != lob.scalars[i, BEST_ASK]:
            at = _write_quote(market, i, now_ns, QUOTE, events, at)
    if scalars[BOOK_DUE] == NO_TIME:
        scalars[BOOK_DUE] = max(now_ns + 1, scalars[LAST_BOOK] + scalars[BOOK_GAP])
    scalars[NEXT_ORDER] = now_ns + _order_gap(market, i)
    return at


@njit(cache=True)
def _next_of(market: Market, i: int) -> int:
    scalars = market.scalars[i]
    first = min(scalars[NEXT_ORDER], scalars[NEXT_PULSE], scalars[NEXT_BAR])
    if scalars[BOOK_DUE] != NO_TIME:
        first = min(first, scalars[BOOK_DUE])
    return first


@njit(cache=True)
def advance(
    market: Market,
    until_ns: int,
    events: np.ndarray,
    depths: np.ndarray,
    depth_of: np.ndarray,
    bare: int,
) -> tuple[int, int, int]:
    """Run the market up to `until_ns`, inclusive, or until an output array is full.

    `events` are fresh, `depth_of` is filled with −1.  The first `bare` events get no DEPTH (a fast-forward needs none).
    Returns (events, depths, 1 when `until_ns` was reached).
    """
    at, d = 0, 0
    n = market.scalars.shape[0]
    while True:
        i, now_ns = 0, _next_of(market, 0)
        for k in range(1, n):
            other = _next_of(market, k)
            if other < now_ns:
                i, now_ns = k, other
        if now_ns > until_ns:
            return at, d, 1
        if at + ROOM > events.size or d == depths.size:
            return at, d, 0
        scalars = market.scalars[i]
        if now_ns == scalars[NEXT_BAR]:
            at = close_until(market.bars, i, now_ns, SECOND_NS, now_ns, events, at)
            scalars[NEXT_BAR] += SECOND_NS
        elif now_ns == scalars[NEXT_PULSE]:
            _pulse(market, i, now_ns)
        elif now_ns == scalars[NEXT_ORDER]:
            at = _order(market, i, now_ns, events, at)
        else:
            at, d = _book(market, i, now_ns, events, at, depths, d, depth_of, bare)


@njit(cache=True)
def _book(
    market: Market,
    i: int,
    now_ns: int,
    events: np.ndarray,
    at: int,
    depths: np.ndarray,
    d: int,
    depth_of: np.ndarray,
    bare: int,
) -> tuple[int, int]:
    """Publish the book: event with totals of the 20 levels, and its DEPTH."""
    scalars = market.scalars[i]
    scalars[LAST_BOOK] = now_ns
    scalars[BOOK_DUE] = NO_TIME
    scalars[BOOK_GAP] = _book_gap(market, i)
    if at < bare:
        return at + 1, d
    depth = depths[d]
    depth.ts_ns = now_ns
    depth.ts_venue_ns = now_ns
    depth.instrument = i
    depth["flags"] = 0
    write_levels(market.lob, i, depth)
    event = events[at]
    total_bid, total_ask = 0, 0
    for level in range(LEVELS):
        total_bid += depth.bid_qty[level]
        total_ask += depth.ask_qty[level]
    event.volume = total_bid
    event.value = total_ask
    depth_of[at] = d
    return _write_quote(market, i, now_ns, BOOK, events, at), d + 1
