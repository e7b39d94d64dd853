"""Routing of MOEX orders: how an order is cut into children, and where each child's limit stands (MOEX-ROUTE).

One to five lots go as one aggressive child, more as an aggressive and a delayed passive one; exits and hedges are
always one child.  Prices are ticks, quantities lots, times ns, shares ppm.  Pure; called by the kernel's plan.
"""

from numba import njit

from marketdata.core.records import BUY, NO_TICK
from marketdata.core.units import NANOS, PPM
from risk.core.exact import share_floor

# strategies; aggressiveness is in tenths, so that 0.8 is exact
IOC, VWAP = 1, 2
STRATEGIES = {IOC: "ioc", VWAP: "vwap"}
IOC_LOTS_MAX = 5

# what an exit may be sent as (MOEX-ROUTE-03)
FILL_AND_KILL, BESTPRICE, MARKET = 1, 2, 3
EXIT_TYPES = {FILL_AND_KILL: "fill and kill", BESTPRICE: "best price", MARKET: "market"}
# what the venue allows after codes 30068 and 30103
ANY_TYPE, LIMIT_ONLY, BESTPRICE_ONLY = 0, 1, 2

ENTRY_SLIPPAGE_PPM = 500  # 5 bps
EXIT_SLIPPAGE_PPM = (1_000, 3_000)  # 10 bps, then 30 bps; from the third attempt on BESTPRICE
BESTPRICE_PPM = 3_000  # how far beyond the best opposite price a BESTPRICE order reaches
ENTRY_VALID_NS = 500 * NANOS // 1_000
GAP_NS_MIN, GAP_NS_MAX = NANOS // 5, 5 * NANOS
PASSIVE_TTL_NS = 5 * NANOS
VOLUME_WINDOW_S = 60


@njit(cache=True)
def route(lots: int, one_child: bool) -> tuple[int, int, int, int, int]:
    """(strategy, aggressiveness in tenths, slices, aggressive lots, passive lots) of an order (MOEX-ROUTE-01).

    `one_child`: SIMPLIFIED stands, or the order is an exit or a hedge.  Nothing is sent for `lots` ≤ 0.
    """
    if lots <= 0:
        return IOC, 10, 0, 0, 0
    if one_child or lots <= IOC_LOTS_MAX:
        return IOC, 10, 1, lots, 0
    aggressive = (8 * lots + 5) // 10
    return VWAP, 8, 2, aggressive, lots - aggressive


@njit(cache=True)
def aggressive_tick(side: int, best_opposite_tick: int, slippage_ppm: int) -> int:
    """Limit of an aggressive child: best opposite plus the slippage, rounded inward, never inside the best opposite."""
    slip = share_floor(best_opposite_tick, slippage_ppm, PPM)
    return best_opposite_tick + slip if side == BUY else best_opposite_tick - slip


@njit(cache=True)
def passive_tick(side: int, own_best_tick: int, first_limit_tick: int) -> int:
    """Price of a passive child when it is sent: own best, never beyond the first child's limit (MOEX-ROUTE-04)."""
    return min(own_best_tick, first_limit_tick) if side == BUY else max(own_best_tick, first_limit_tick)


@njit(cache=True)
def passive_gap_ns(lots: int, lots_last_minute: int) -> int:
    """How long the passive child waits: all lots of the plan at the pace of the last 60 s, from 0.2 s to 5 s.

    Rounded up to a ns; no volume in the last minute gives 5 s (MOEX-ROUTE-04).
    """
    if lots_last_minute <= 0:
        return GAP_NS_MAX
    gap = (lots * VOLUME_WINDOW_S * NANOS + lots_last_minute - 1) // lots_last_minute
    return min(max(gap, GAP_NS_MIN), GAP_NS_MAX)


@njit(cache=True)
def passive_window(decision_ns: int, gap_ns: int) -> tuple[int, int]:
    """(not_before_ns, valid_until_ns) of the passive child."""
    return decision_ns + gap_ns, decision_ns + gap_ns + ENTRY_VALID_NS


@njit(cache=True)
def exit_child(
    attempt: int, side: int, best_opposite_tick: int, book_ok: bool, emergency: bool, allowed: int
) -> tuple[int, int]:
    """(type, limit tick) of attempt 1, 2, … of an exit; the tick is NO_TICK for BESTPRICE and MARKET (MOEX-ROUTE-03).

    `book_ok`: a valid book not older than 1.0 s.  `emergency`: FLATTEN of RVI_HIGH, KILL_SWITCH, FLATTEN_RESIDUAL or
    STOP_UNPROTECTED.  `allowed`: what the venue left open after an earlier refusal.
    """
    if book_ok and allowed == LIMIT_ONLY:
        return FILL_AND_KILL, aggressive_tick(side, best_opposite_tick, EXIT_SLIPPAGE_PPM[min(attempt, 2) - 1])
    if emergency and attempt > 2 and allowed == ANY_TYPE:
        return MARKET, NO_TICK
    if not book_ok or attempt > 2 or allowed == BESTPRICE_ONLY:
        return BESTPRICE, NO_TICK
    return FILL_AND_KILL, aggressive_tick(side, best_opposite_tick, EXIT_SLIPPAGE_PPM[attempt - 1])
