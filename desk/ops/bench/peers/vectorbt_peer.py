"""The common work in vectorbt: its flexible order function, in which the user writes the whole engine in Numba.

Runs in the peer's own environment.  vectorbt simulates cash and keeps the records; every rule of the work can be said.
"""

import numpy as np
import vectorbt as vbt
from numba import njit
from vectorbt.portfolio import nb
from vectorbt.portfolio.enums import NoOrder, SizeType

from desk.ops.bench.peers.program import Prepared, serve
from desk.ops.bench.peers.work import LOSERS, LOSS_DAY_MICROS, PAUSE_NS, SLIP_TICKS, STOP_TICKS, TARGET_TICKS, Work

HELD, ENTRY, PENDING, LEAVING, NET, DAY, LOST, PAUSE, PHASE = range(9)
WARM_BARS = 2_000
FEE_TICKS = 0.336  # 0.42 USD a side in ticks of 1.25 USD: prices are ticks here


@njit
def leave(s, tick, start_ns, terms):  # type: ignore[no-untyped-def]
    """The order that ends the position, with the books of the day."""
    held = s[HELD]
    net = (tick - s[ENTRY]) * held * terms[0] - 2 * terms[1]
    s[HELD] = s[LEAVING] = 0
    s[NET] += net
    s[LOST] = s[LOST] + 1 if net < 0 else 0
    if s[LOST] == LOSERS:
        s[LOST], s[PAUSE] = 0, start_ns + PAUSE_NS
    return 0, nb.order_nb(size=-held, price=tick, fixed_fees=FEE_TICKS, size_type=SizeType.Amount)


@njit
def bracket(s, opened, high, low):  # type: ignore[no-untyped-def]
    """(whether stop or target ended it, tick)."""
    held, entry = s[HELD], s[ENTRY]
    stop, target = entry - STOP_TICKS * held, entry + TARGET_TICKS * held
    if held > 0:
        if low <= stop:
            return True, min(opened, stop) - SLIP_TICKS
        return high >= target, target
    if high >= stop:
        return True, max(opened, stop) + SLIP_TICKS
    return low <= target, target


@njit
def orders(c, s, start_ns, ticks, side, flat, day, terms, limited):  # type: ignore[no-untyped-def]
    """Called again and again for a bar until it gives no order: PHASE is how far it is."""
    i = c.i
    if c.call_idx == 0:
        s[PHASE] = 0
        if day[i] != s[DAY]:
            s[DAY], s[NET] = day[i], 0
    if s[PHASE] == 0:
        s[PHASE] = 1
        if s[HELD] != 0 and (flat[i] != 0 or s[LEAVING] != 0):
            return leave(s, ticks[i, 0] - SLIP_TICKS * s[HELD], start_ns[i], terms)
    if s[PHASE] == 1:
        s[PHASE] = 2
        pending, s[PENDING] = s[PENDING], 0
        if pending != 0 and flat[i] == 0:
            s[HELD], s[ENTRY] = pending, ticks[i, 0] + SLIP_TICKS * pending
            size, price = float(pending), float(s[ENTRY])
            return 0, nb.order_nb(size=size, price=price, fixed_fees=FEE_TICKS, size_type=SizeType.Amount)
    if s[PHASE] == 2:
        s[PHASE] = 3
        if s[HELD] != 0:
            ended, tick = bracket(s, ticks[i, 0], ticks[i, 1], ticks[i, 2])
            if ended:
                return leave(s, tick, start_ns[i], terms)
    if s[HELD] != 0:
        s[LEAVING] = 1 if side[i] == -s[HELD] else 0
    elif side[i] != 0 and (not limited or (s[NET] > -LOSS_DAY_MICROS and start_ns[i] >= s[PAUSE])):
        s[PENDING] = side[i]
    return -1, NoOrder


def prepare(work: Work, limited: bool) -> Prepared:
    found = {}

    def run(count: int | None = None) -> None:
        columns = (work.start_ns, work.ticks, work.side, work.flat, work.day)
        cut = [column[:count] for column in columns]
        close = np.ascontiguousarray(cut[1][:, 3]).astype(np.float64)
        state = np.zeros(9, np.int64)
        words = {"flexible": True, "init_cash": 1e9, "freq": "1s", "max_orders": len(close) // 20 + 1_000}
        found["records"] = vbt.Portfolio.from_order_func(close, orders, state, *cut, work.terms, limited, **words)

    def trips() -> np.ndarray:
        rows = found["records"].trades.records
        rows = rows[rows["status"] == 1]
        side = np.where(rows["direction"] == 0, 1, -1)
        entered, left = work.start_ns[rows["entry_idx"]], work.start_ns[rows["exit_idx"]]
        ticks = [np.rint(rows[name]).astype(np.int64) for name in ("entry_price", "exit_price")]
        return np.stack([entered, left, side, *ticks], axis=1)

    run(WARM_BARS)  # compiles
    return Prepared(run, trips)


if __name__ == "__main__":
    serve("vectorbt", prepare)
