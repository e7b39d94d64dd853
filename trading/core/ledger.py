"""What a fill does to position and money, in integers.  The only place where accounting is done.

A position keeps Σ price x signed quantity of what is held (`cost_ticks`), never an average.  A partial close removes
the floor of the proportional cost, the last close the rest: Σ realised over a round trip is exact (MOEX-RISK-02),
whatever the prices were.
"""

import numpy as np
from numba import njit

from marketdata.core.units import PPM


@njit(cache=True)
def cost_share(cost_ticks: int, held: int, closed: int) -> int:
    """Part of the cost that `closed` of `held` takes with it: floor(cost x closed / held), without overflow."""
    return (cost_ticks // held) * closed + (cost_ticks % held) * closed // held


@njit(cache=True)
def fill(qty: int, cost_ticks: int, side: int, fill_qty: int, price_tick: int) -> tuple[int, int, int, int]:
    """Apply one fill: (signed qty, cost_ticks, realised ticks x contracts, closed qty) after it."""
    held = abs(qty)
    closed = 0
    realised = 0
    if qty * side < 0:
        closed = min(held, fill_qty)
        share = cost_share(cost_ticks if qty > 0 else -cost_ticks, held, closed)
        if qty > 0:
            realised = closed * price_tick - share
            cost_ticks -= share
        else:
            realised = share - closed * price_tick
            cost_ticks += share
        qty += side * closed
    opened = fill_qty - closed
    qty += side * opened
    cost_ticks += side * opened * price_tick
    return qty, cost_ticks, realised, closed


@njit(cache=True)
def open_micros(qty: int, cost_ticks: int, mark_tick: int, tick_value_micros: int) -> int:
    """Open profit at a mark, before exit costs, in micros."""
    return (qty * mark_tick - cost_ticks) * tick_value_micros


@njit(cache=True)
def fee_per_unit(price_tick: int, tick_value_micros: int, fee_micros: int, fee_ppm: int) -> int:
    """Fee of one contract or lot on one side, rounded up to a micro."""
    value = price_tick * tick_value_micros
    return fee_micros + (value // PPM) * fee_ppm + ((value % PPM) * fee_ppm + PPM - 1) // PPM


@njit(cache=True)
def nearest_average(ticks: int, qty: int) -> int:
    """Average price in whole ticks, half up (MOEX-STOP-02).  `ticks` = Σ price x quantity, both positive."""
    return (2 * ticks + qty) // (2 * qty)


@njit(cache=True)
def loss_to_stop(position: np.record, tick_value_micros: int) -> int:
    """Loss, ≥ 0, if the position were closed at its stop; without fees.  The stop must be set."""
    return max(0, -open_micros(position.qty, position.cost_ticks, position.stop_tick, tick_value_micros))
