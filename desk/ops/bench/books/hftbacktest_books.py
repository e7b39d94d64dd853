"""The work on books in hftbacktest: the same level changes and trades, the desk's market orders at their times.

Runs in the peer's own environment: `python -m … WORK FILLS`.  A market order is a limit far through the book; partial
fills are on, latency is the constant one, the way back takes none.  What an order paid is the change of cash: of a fill
at several levels in one moment release 2.4.4 books the last alone, though the order is filled.
"""

import importlib.metadata
import json
import resource
import sys
from pathlib import Path

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    EXCH_EVENT,
    GTC,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.types import DEPTH_EVENT, TRADE_EVENT, event_dtype
from numba import njit

from desk.ops.bench.books.work import LATENCY_NS, LOT, TICK, BookWork, read

FAR = 1_000  # ticks through the book
WARM = 2_000  # events on which it compiles
PRINT = 1


def events_of(work: BookWork) -> np.ndarray:
    """(n,) events, known here when they happen there."""
    events = np.zeros(len(work.at_ns), event_dtype)
    events["exch_ts"] = events["local_ts"] = work.at_ns
    what = np.where(work.kind == PRINT, TRADE_EVENT, DEPTH_EVENT)
    events["ev"] = EXCH_EVENT | LOCAL_EVENT | what | np.where(work.side > 0, BUY_EVENT, SELL_EVENT)
    events["px"] = work.tick * float(TICK)
    events["qty"] = work.lots * float(LOT)
    return events


def engine_of(events: np.ndarray) -> HashMapMarketDepthBacktest:
    asset = (
        BacktestAsset()
        .data([events])
        .linear_asset(1.0)
        .constant_order_latency(LATENCY_NS, 0)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
        .trading_qty_fee_model(0.0, 0.0)
        .tick_size(float(TICK))
        .lot_size(float(LOT))
        .last_trades_capacity(0)
    )
    return HashMapMarketDepthBacktest([asset])


@njit
def replay(engine, sent_ns, side, lots, last_ns, tick, lot, paid):  # type: ignore[no-untyped-def]
    """Cash per lot, in ticks, of each order into `paid`."""
    engine.elapse(1)
    for k in range(sent_ns.size):
        ahead = sent_ns[k] - engine.current_timestamp
        if ahead > 0:
            engine.elapse(ahead)
        depth = engine.depth(0)
        before = engine.state_values(0).balance
        if side[k] > 0:
            engine.submit_buy_order(0, k + 1, (depth.best_ask_tick + FAR) * tick, lots[k] * lot, GTC, LIMIT, True)
        else:
            engine.submit_sell_order(0, k + 1, (depth.best_bid_tick - FAR) * tick, lots[k] * lot, GTC, LIMIT, True)
        paid[k] = (before - engine.state_values(0).balance) * side[k] / (lots[k] * lot) / tick
        engine.clear_inactive_orders(0)
    if last_ns > engine.current_timestamp:
        engine.elapse(last_ns - engine.current_timestamp)


def main() -> None:
    source, target = (Path(word) for word in sys.argv[1:])
    work = read(source)
    events = events_of(work)
    terms = (float(TICK), float(LOT))
    orders = (work.sent_ns, work.order_side, work.order_lots)
    few = events[:WARM]
    replay(engine_of(few), *(o[:0] for o in orders), int(few["local_ts"][-1]), *terms, np.zeros(0))
    engine, paid = engine_of(events), np.zeros(len(work.sent_ns))
    before = resource.getrusage(resource.RUSAGE_SELF)
    replay(engine, *orders, int(work.at_ns[-1]), *terms, paid)
    after = resource.getrusage(resource.RUSAGE_SELF)
    np.save(target, paid)
    version = importlib.metadata.version("hftbacktest")
    print(json.dumps({"version": version, "user_s": after.ru_utime - before.ru_utime}))


if __name__ == "__main__":
    main()
