"""Exact shares of amounts in int64: what a limit of "5 % of C" or a fee of "5 bps" is, and how it is rounded.

A product of an amount and a share may leave int64, where jitted code overflows silently; here the amount is split, so
that no product is larger than the divisor squared plus the result.  Pure functions over scalars, for the rules.
"""

from numba import njit


@njit(cache=True)
def share_floor(value: int, numerator: int, denominator: int) -> int:
    """floor(value x numerator / denominator).  All ≥ 0, denominator ≥ 1; the result must fit int64."""
    return (value // denominator) * numerator + (value % denominator) * numerator // denominator


@njit(cache=True)
def share_ceil(value: int, numerator: int, denominator: int) -> int:
    """ceil(value x numerator / denominator), in the same bounds."""
    return (value // denominator) * numerator + ((value % denominator) * numerator + denominator - 1) // denominator


@njit(cache=True)
def value_at_half_ticks(lots: int, twice_tick: int, tick_value_micros: int) -> int:
    """Value of `lots` ≥ 0 at a price of twice_tick / 2 ticks (a mid may lie half a tick off the grid), rounded up to a
    micro (MOEX-RISK-04)."""
    return lots * (twice_tick // 2) * tick_value_micros + (lots * (twice_tick % 2) * tick_value_micros + 1) // 2
