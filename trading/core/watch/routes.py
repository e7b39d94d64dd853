"""How orders of shares go to the venue: whether they are routed at all, the price and type of each, and how much was
traded in the last minute (MOEX-ROUTE-03, -04).

The formulas are `risk.core.shares.routing`; here they meet a position.  Nothing is sent here.  Futures, and shares on
bars, which show no book, go to market.  Called by `entry`, `protect`, `watch.shares`.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import BUY, FLAG_BACKFILL, FLAG_INVALID, NO_TICK
from marketdata.core.units import NANOS, TICK_MAX
from risk.core.holds import BIT
from risk.core.records import MOEX, STOP_SHARES
from risk.core.shares import routing
from trading.core.records import BEST_PRICE, FILL_AND_KILL, MARKET

BOOK_AGE_NS_MAX = NANOS  # an older book prices no exit
TRADED_S = 60  # the window of v60
LADDER = 3  # attempts of an exit that follow each other at once; from then on one a second
# MARKET only for these, after two failed attempts
EMERGENCY_MASK = sum(1 << BIT[code] for code in ("RVI_HIGH", "KILL_SWITCH", "FLATTEN_RESIDUAL", "STOP_UNPROTECTED"))
_SIMPLE_MASK = 1 << BIT["NET_SLOW"] | 1 << BIT["RISK_ERROR"]
_SENT_AS = np.zeros(4, np.int64)
_SENT_AS[routing.FILL_AND_KILL] = FILL_AND_KILL
_SENT_AS[routing.BESTPRICE] = BEST_PRICE
_SENT_AS[routing.MARKET] = MARKET


@inner
def routed(limits: np.record) -> bool:
    """Whether orders follow MOEX-ROUTE: shares that follow their document's stops, on books."""
    return limits.rules == MOEX and limits.stop_method == STOP_SHARES and limits.bar_mode != 1


@inner
def is_hedge(spec: np.record, limits: np.record) -> bool:
    """Whether an instrument hedges shares: entered by no score, without a stop, in no streak (MOEX-HEDGE-05)."""
    return spec.hedge == 1 and limits.rules == MOEX


@inner
def simplified(account: np.record) -> bool:
    """SIMPLIFIED: an entry is a single child while the connection is slow or the risk step failed (MOEX-RISK-06)."""
    return account.holds & _SIMPLE_MASK != 0


@inner
def entry_tick(p: np.record, side: int) -> int:
    """Limit of the aggressive child: the far touch and 5 bps; NO_TICK without one."""
    best = p.ask_tick if side == BUY else p.bid_tick
    if not 0 < best <= TICK_MAX:
        return NO_TICK
    return routing.aggressive_tick(side, best, routing.ENTRY_SLIPPAGE_PPM)


@inner
def next_exit(account: np.record, p: np.record, limits: np.record) -> tuple[int, int]:
    """(order type, limit tick) of the next attempt to leave, and one attempt more; MARKET where nothing is routed."""
    if not routed(limits):
        return MARKET, NO_TICK
    side = -1 if p.qty > 0 else 1
    tries: int = p.exit_tries + 1
    p.exit_tries = tries
    fresh = account.now_ns - p.quote_ts_ns <= BOOK_AGE_NS_MAX and p.book_ok == 1
    best = p.ask_tick if side == BUY else p.bid_tick
    emergency = (account.holds | p.holds) & EMERGENCY_MASK != 0
    if fresh:
        sent, tick = routing.exit_child(tries, side, best, True, emergency, p.exit_allowed)
    else:
        sent, tick = routing.exit_child(tries, side, 0, False, emergency, p.exit_allowed)
    return _SENT_AS[sent], tick


@inner
def note_traded(p: np.record, e: np.record) -> None:
    """One print of the market; what came as history or without a price says nothing of the present pace."""
    if e["flags"] & (FLAG_BACKFILL | FLAG_INVALID) or e.qty <= 0 or not 0 < e.price_tick <= TICK_MAX:
        return
    second = e.ts_ns // NANOS
    passed = min(second - p.traded_at_s, TRADED_S)
    for k in range(passed):
        p.traded[(second - k) % TRADED_S] = 0
    if passed > 0:
        p.traded_at_s = second
    if p.traded_at_s - second < TRADED_S:
        p.traded[second % TRADED_S] += e.qty


@inner
def traded_last_minute(p: np.record, now_ns: int) -> int:
    """Lots of the last 60 s, the present second cut off at now: of 59 to 60 s, so never more than were traded."""
    last = now_ns // NANOS
    lots = 0
    for second in range(last - TRADED_S + 1, last + 1):
        if p.traded_at_s - TRADED_S < second <= p.traded_at_s:
            lots += p.traded[second % TRADED_S]
    return lots
