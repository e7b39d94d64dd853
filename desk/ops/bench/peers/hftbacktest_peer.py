"""The common work in hftbacktest: each bar becomes four prices of a one-tick-wide book, the strategy is Numba code.

Runs in the peer's own environment.  Not to be said in it: bars, a stop order (the strategy looks four times a second),
the stop before the target.  Slippage is the half spread of a tick; a limit fills when the other side is beyond it.
"""

from typing import Any

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    EXCH_EVENT,
    FILLED,
    GTC,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.types import DEPTH_EVENT, event_dtype
from numba import njit

from desk.ops.bench.peers.program import Prepared, serve
from desk.ops.bench.peers.work import (
    LOSERS,
    LOSS_DAY_MICROS,
    PAUSE_NS,
    SLIP_TICKS,
    STOP_TICKS,
    TARGET_TICKS,
    TICK,
    Work,
)

STEPS, STEP_NS = 4, 250_000_000
FAR = 20  # ticks beyond the book: a limit order that is a market order
DEEP = 1_000.0
WARM_BARS = 50


def events_of(work: Work) -> np.ndarray:
    """(m,) events: open, low, high, close at quarters of the second; only a changed price changes the book."""
    path = work.ticks[:, [0, 2, 1, 3]].ravel()
    at_ns = (work.start_ns[:, None] + np.arange(STEPS) * STEP_NS).ravel()
    moved = np.ones(path.size, bool)
    moved[1:] = path[1:] != path[:-1]
    path, at_ns = path[moved] * TICK, at_ns[moved]
    events = np.zeros((path.size, 4), event_dtype)  # the old bid and ask go, the new ones come
    events["exch_ts"] = events["local_ts"] = at_ns[:, None]
    kind = EXCH_EVENT | LOCAL_EVENT | DEPTH_EVENT
    events["ev"] = np.array([kind | BUY_EVENT, kind | SELL_EVENT, kind | BUY_EVENT, kind | SELL_EVENT])
    before = np.concatenate([path[:1], path[:-1]])
    for k, price in enumerate((before - TICK, before + TICK, path - TICK, path + TICK)):
        events["px"][:, k] = price
    events["qty"][:, 2:] = DEEP
    return events.ravel()


@njit
def cross(engine, number, side, depth):  # type: ignore[no-untyped-def]
    """One contract at the other side's price: its tick."""
    tick = depth.best_ask_tick if side > 0 else depth.best_bid_tick
    if side > 0:
        engine.submit_buy_order(0, number, (tick + FAR) * TICK, 1.0, GTC, LIMIT, False)
    else:
        engine.submit_sell_order(0, number, (tick - FAR) * TICK, 1.0, GTC, LIMIT, False)
    return tick


@njit
def rest(engine, number, side, tick):  # type: ignore[no-untyped-def]
    if side > 0:
        engine.submit_buy_order(0, number, tick * TICK, 1.0, GTC, LIMIT, False)
    else:
        engine.submit_sell_order(0, number, tick * TICK, 1.0, GTC, LIMIT, False)


@njit
def leave(engine, depth, number, held, entry, must):  # type: ignore[no-untyped-def]
    """(whether the position ended, tick): by its target, or across the book where it must go or the stop is reached."""
    order = engine.orders(0).get(number)
    if order is not None and order.status == FILLED:
        return True, entry + TARGET_TICKS * held
    last = depth.best_bid_tick + SLIP_TICKS
    if must or (last - entry) * held <= -STOP_TICKS:
        engine.cancel(0, number, False)
        return True, cross(engine, number + 1, -held, depth)
    return False, 0


@njit
def trade(engine, start_ns, side, flat, day, terms, limited, trips):  # type: ignore[no-untyped-def]
    """Round trips into `trips` (n, 5): how many."""
    count = held = pending = entry = entered = net = today = losers = pause_ns = 0
    number = 1
    leaving = False
    engine.elapse(1)
    for i in range(start_ns.size):
        if day[i] != today:
            today, net = day[i], 0
        ahead = start_ns[i] - engine.current_timestamp
        if ahead > 0:
            engine.elapse(ahead)
        depth = engine.depth(0)
        if held == 0 and pending != 0 and flat[i] == 0:
            held, entered = pending, i
            entry = cross(engine, number, held, depth)
            number += 1
            rest(engine, number, -held, entry + TARGET_TICKS * held)
        pending = 0
        if held != 0:
            must = flat[i] != 0 or (leaving and entered != i)
            for step in range(STEPS):
                done, tick = leave(engine, depth, number, held, entry, must)
                if done:
                    trips[count, 0], trips[count, 1], trips[count, 2] = start_ns[entered], start_ns[i], held
                    trips[count, 3], trips[count, 4] = entry, tick
                    count += 1
                    gained = (tick - entry) * held * terms[0] - 2 * terms[1]
                    net += gained
                    losers = losers + 1 if gained < 0 else 0
                    if losers == LOSERS:
                        losers, pause_ns = 0, start_ns[i] + PAUSE_NS
                    held, number, leaving = 0, number + 2, False
                    engine.clear_inactive_orders(0)
                    break
                if step < STEPS - 1:
                    engine.elapse(STEP_NS)
        if held != 0:
            leaving = side[i] == -held
        elif side[i] != 0 and (not limited or (net > -LOSS_DAY_MICROS and start_ns[i] >= pause_ns)):
            pending = side[i]
    return count


def engine_of(events: np.ndarray, work: Work) -> HashMapMarketDepthBacktest:
    fee, tick_micros = int(work.terms[1]) / 1e6, int(work.terms[0]) / 1e6
    asset = (
        BacktestAsset()
        .data([events])
        .linear_asset(tick_micros / TICK)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_qty_fee_model(fee, fee)
        .tick_size(TICK)
        .lot_size(1.0)
        .last_trades_capacity(0)
    )
    return HashMapMarketDepthBacktest([asset])


def prepare(work: Work, limited: bool) -> Prepared:
    events = events_of(work)
    columns = (work.start_ns, work.side.astype(np.int64), work.flat, work.day)
    trips = np.zeros((len(work.start_ns), 5), np.int64)
    found: dict[str, Any] = {"events": events}  # the engine reads them where they lie
    trade(engine_of(events, work), *(c[:WARM_BARS] for c in columns), work.terms, limited, trips)  # compiles
    trips[:] = 0
    engine = engine_of(events, work)

    def run() -> None:
        found["count"] = trade(engine, *columns, work.terms, limited, trips)

    def made() -> np.ndarray:
        return trips[: found["count"]].copy()

    return Prepared(run, made)


if __name__ == "__main__":
    serve("hftbacktest", prepare)
