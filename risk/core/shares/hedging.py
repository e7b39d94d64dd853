"""Hedging of MOEX net exposure: when it is on, how large the hedge is, and what is reduced instead (MOEX-HEDGE).

N is the signed and G the gross notional of the lots held that are not the hedge, at the last valid mids, in micros
rounded up.  Shares are ppm.  The same call twice gives nothing the second time: a target, not an increment.  Pure.
"""

import numpy as np
from numba import njit

from marketdata.core.units import PPM
from risk.core.exact import share_floor

# HEDGE-05: what an adjustment is
NOTHING, HEDGE, UNHEDGE, REDUCE = 0, 1, 2, 3
ACTIONS = {NOTHING: "NOTHING", HEDGE: "HEDGE", UNHEDGE: "UNHEDGE", REDUCE: "REDUCE"}
FOR_CAP, FOR_IMBALANCE = 1, 2  # and why

RATIO_PPM_MIN, RATIO_PPM_MAX = 50_000, 250_000
NET_PPM = 100_000  # of C, `hedge_min_net`
OFF_NUMERATOR, OFF_DENOMINATOR = 4, 5  # off at 80 % of a threshold
OVER_CAP_NUMERATOR, OVER_CAP_DENOMINATOR = 21, 20  # 105 % of the cap
SPREAD_PPM_MAX = 500
COST_PPM_MAX = 800  # 8 bps, `hedge_max_cost_bps`
BOOK_AGE_NS_MAX = 1_000_000_000


@njit(cache=True)
def ratio_ppm(instrument_cap_ppm: int) -> int:
    """Threshold of |N|/G: clamp(2 x the instrument cap, 5 %, 25 %)."""
    return min(max(2 * instrument_cap_ppm, RATIO_PPM_MIN), RATIO_PPM_MAX)


@njit(cache=True)
def is_above(net_micros: int, gross_micros: int, capital_micros: int, ratio: int, net_ppm: int) -> bool:
    """The trigger: |N|/G above `ratio` **and** |N| above its share of C.  A lone position has ratio 1 always."""
    size = abs(net_micros)
    # an integer is above x exactly when it is above floor(x)
    return size > share_floor(gross_micros, ratio, PPM) and size > share_floor(capital_micros, net_ppm, PPM)


@njit(cache=True)
def is_on(was_on: bool, net_micros: int, gross_micros: int, capital_micros: int, ratio: int, net_ppm: int) -> bool:
    """On above both thresholds, off when either is at or below 80 % of its own, else as it was (MOEX-HEDGE-01)."""
    if gross_micros == 0:
        return False
    if is_above(net_micros, gross_micros, capital_micros, ratio, net_ppm):
        return True
    size = abs(net_micros)
    low_ratio = share_floor(gross_micros, OFF_NUMERATOR * ratio, OFF_DENOMINATOR * PPM)
    low_net = share_floor(capital_micros, OFF_NUMERATOR * net_ppm, OFF_DENOMINATOR * PPM)
    return was_on and size > low_ratio and size > low_net


@njit(cache=True)
def desired_lots(on: bool, net_micros: int, hedge_lot_micros: int, beta_ppm: int) -> int:
    """Signed hedge lots to hold: −sign(N) x floor(|N| x beta / lot notional) while on, else 0 (MOEX-HEDGE-02)."""
    if not on or net_micros == 0 or hedge_lot_micros <= 0:
        return 0
    lots = share_floor(abs(net_micros), beta_ppm, PPM) // hedge_lot_micros
    return -lots if net_micros > 0 else lots


@njit(cache=True)
def hedge_order(desired: int, held: int, working: int) -> tuple[int, int]:
    """(action, signed lots) that bring the hedge to `desired`; nothing while a hedge order works (MOEX-HEDGE-02).

    `held` and `working` are signed.  The part that shrinks the hedge is UNHEDGE; an order that would cross zero first
    unhedges to zero, and the next call opens the other side.
    """
    if working != 0 or desired == held:
        return NOTHING, 0
    if held != 0 and (desired == 0 or (desired > 0) != (held > 0)):
        return UNHEDGE, -held
    action = HEDGE if abs(desired) > abs(held) else UNHEDGE
    return action, desired - held


@njit(cache=True)
def is_cheap(
    bid_tick: int,
    ask_tick: int,
    tick_value_micros: int,
    fee_per_lot_micros: int,
    spread_ppm_max: int,
    cost_ppm_max: int,
) -> bool:
    """Spread within its limit, and round trip cost (spread and two commissions) within its own (MOEX-HEDGE-03).

    Both are shares of the mid; `fee_per_lot_micros` is one side's.
    """
    if not 0 < bid_tick < ask_tick:
        return False
    twice_mid = bid_tick + ask_tick
    twice_spread = 2 * (ask_tick - bid_tick)
    if twice_spread > share_floor(twice_mid, spread_ppm_max, PPM):
        return False
    twice_cost = twice_spread * tick_value_micros + 4 * fee_per_lot_micros
    return twice_cost <= share_floor(twice_mid * tick_value_micros, cost_ppm_max, PPM)


@njit(cache=True)
def lots_over_cap(held: int, lot_micros: int, capital_micros: int, cap_ppm: int) -> int:
    """Lots (≥ 0) by which a position is reduced to its cap, once it exceeds 105 % of it (MOEX-HEDGE-04)."""
    notional = abs(held) * lot_micros
    trigger = share_floor(capital_micros, OVER_CAP_NUMERATOR * cap_ppm, OVER_CAP_DENOMINATOR * PPM)
    if lot_micros <= 0 or notional <= trigger:
        return 0
    return abs(held) - share_floor(capital_micros, cap_ppm, PPM) // lot_micros


@njit(cache=True)
def lots_to_reduce(net_micros: int, capital_micros: int, net_ppm: int, held: int, lot_micros: int) -> int:
    """Lots (≥ 0) of one position on N's side that are sold where no hedge is possible: ceil((|N| − its share of C) /
    lot notional), at most the position (MOEX-HEDGE-03)."""
    excess = abs(net_micros) - share_floor(capital_micros, net_ppm, PPM)
    if excess <= 0 or lot_micros <= 0:
        return 0
    return min(abs(held), (excess + lot_micros - 1) // lot_micros)


@njit(cache=True)
def exposure(lots: np.ndarray, lot_micros: np.ndarray) -> tuple[int, int]:
    """(N, G) of signed lots at their notional a lot, both int64 arrays of one length."""
    net, gross = 0, 0
    for i in range(lots.shape[0]):
        net += lots[i] * lot_micros[i]
        gross += abs(lots[i]) * lot_micros[i]
    return net, gross


@njit(cache=True)
def plan_reductions(
    lots: np.ndarray, lot_micros: np.ndarray, capital_micros: int, ratio: int, net_ppm: int, out: np.ndarray
) -> int:
    """Reduce instead of hedging: from the largest position on N's side downwards until the trigger is false.

    Writes the lots (≥ 0) to take off each position to `out` (same length) and returns how many positions are reduced;
    `lots` and `lot_micros` are not changed.
    """
    left = lots.copy()
    out[:] = 0
    reduced = 0
    for _ in range(lots.shape[0]):
        net, gross = exposure(left, lot_micros)
        if not is_above(net, gross, capital_micros, ratio, net_ppm):
            break
        largest, size = -1, 0
        for i in range(left.shape[0]):
            if out[i] == 0 and left[i] * net > 0 and abs(left[i]) * lot_micros[i] > size:
                largest, size = i, abs(left[i]) * lot_micros[i]
        if largest < 0:
            break
        out[largest] = lots_to_reduce(net, capital_micros, net_ppm, left[largest], lot_micros[largest])
        left[largest] -= out[largest] if left[largest] > 0 else -out[largest]
        reduced += 1
    return reduced


def reason_text(why: int, net_micros: int, gross_micros: int) -> str:
    """`notional_over_cap`, or `exposure_imbalance_<ratio>_<long|short>` with the ratio to the nearest thousandth
    (MOEX-HEDGE-05); `exposure_imbalance_0.000_flat` where no shares are held, or as many on either side."""
    if why == FOR_CAP:
        return "notional_over_cap"
    thousandths = (2_000 * abs(net_micros) + gross_micros) // (2 * gross_micros) if gross_micros > 0 else 0
    side = "flat" if net_micros == 0 else "long" if net_micros > 0 else "short"
    return f"exposure_imbalance_{thousandths // 1000}.{thousandths % 1000:03d}_{side}"
