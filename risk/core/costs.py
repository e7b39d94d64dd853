"""Costs and what they do to a bracket: commission, slippage, break-even win rate (MES-COST), commission of shares.

Money in micros, distances in ticks, shares in ppm; exact, rounded only where the name or the docstring says so and then
against the trader.  Pure functions over scalars; callers are the fill models, the gate's figures and the screen.
"""

from numba import njit

from marketdata.core.units import PPM
from risk.core.exact import share_ceil

FEE_TOLERANCE_MICROS = 10_000  # $0.01 a side (MES-COST-02)
EDGE_TICKS = 4  # an UP or DOWN label is a move of at least this (MES-COST-04)
NORMAL_SLIP_TICKS = 1  # conditional slippage when nothing is unusual (MES-COST-06)


@njit(cache=True)
def round_trip_micros(fee_micros: int, contracts: int) -> int:
    """Commission of entry and exit: linear in contracts, charged per side (MES-COST-01)."""
    return 2 * contracts * fee_micros


@njit(cache=True)
def round_trip_cost_micros(fee_micros: int, tick_value_micros: int, slipped_ticks: int) -> int:
    """Cost of one contract in and out: two commissions and the ticks slipped on both sides together (MES-COST-03)."""
    return 2 * fee_micros + slipped_ticks * tick_value_micros


@njit(cache=True)
def edge_ceiling_micros(fee_micros: int, tick_value_micros: int, slip_ticks: int) -> int:
    """What the smallest labelled move nets, caught exactly, market in and out (MES-COST-04); may be negative."""
    return EDGE_TICKS * tick_value_micros - round_trip_cost_micros(fee_micros, tick_value_micros, 2 * slip_ticks)


@njit(cache=True)
def outcome_micros(
    stop_ticks: int, target_ticks: int, tick_value_micros: int, fee_micros: int, slip_ticks: int, from_signal: bool
) -> tuple[int, int]:
    """(W, L) of one contract: what a target gains and what a stop loses after costs, in micros (MES-COST-05).

    The stop exit slips, the limit target does not.  A bracket measured from the fill has the entry's slip inside its
    anchor; measured from the signal price it wins that much less and loses that much more.
    """
    cost = round_trip_micros(fee_micros, 1)
    anchor_ticks = slip_ticks if from_signal else 0
    win = (target_ticks - anchor_ticks) * tick_value_micros - cost
    loss = (stop_ticks + anchor_ticks + slip_ticks) * tick_value_micros + cost
    return win, loss


@njit(cache=True)
def break_even_ppm(win_micros: int, loss_micros: int) -> int:
    """Win rate at which a bracket earns nothing, L / (W + L), rounded up to a ppm; PPM when a win gains nothing."""
    if win_micros <= 0:
        return PPM
    return share_ceil(loss_micros, PPM, win_micros + loss_micros)


@njit(cache=True)
def slip_ticks(
    conditional: bool, fixed_ticks: int, spread_ticks: int, thin: bool, range_now: int, range_sum: int, samples: int
) -> int:
    """Adverse slippage of a market or stop fill in whole ticks (MES-COST-06).

    Mode fixed: `fixed_ticks`.  Mode conditional: the largest of normal 1, low liquidity 2 (spread over 2 ticks, or
    `thin`: minute volume under 10 % of normal), high volatility 2 (ratio > 3), extreme 4 (ratio > 5); plus half of
    (ratio − 1) when ratio > 3; rounded up.  ratio = `range_now` / (`range_sum` / `samples`), exact; 1 when no sample
    or a zero sum.
    """
    if not conditional:
        return fixed_ticks
    base = 2 if spread_ticks > 2 or thin else NORMAL_SLIP_TICKS
    if samples == 0 or range_sum == 0:
        return base
    now = range_now * samples  # ratio = now / range_sum
    if now > 5 * range_sum:
        base = 4
    elif now > 3 * range_sum:
        base = 2
    if now > 3 * range_sum:
        base += (now - range_sum + 2 * range_sum - 1) // (2 * range_sum)
    return base


@njit(cache=True)
def fee_differs(booked_micros: int, table_micros: int, contracts: int) -> bool:
    """True when the broker's fee of one side leaves the table by more than $0.01 a contract: an alert (MES-COST-02)."""
    return abs(booked_micros - contracts * table_micros) > contracts * FEE_TOLERANCE_MICROS


@njit(cache=True)
def commission_micros(price_tick: int, lots: int, tick_value_micros: int, fee_ppm: int) -> int:
    """Commission of one fill as a share of its value, rounded up to a micro (MOEX-PAPER-01)."""
    return share_ceil(price_tick * lots * tick_value_micros, fee_ppm, PPM)


@njit(cache=True)
def expected_cost_micros(lots: int, spread_ticks: int, price_tick: int, tick_value_micros: int, fee_ppm: int) -> int:
    """What an entry is expected to cost: half the spread and the commission, each rounded up (MOEX-ROUTE-02)."""
    half_spread = (lots * spread_ticks * tick_value_micros + 1) // 2
    return half_spread + commission_micros(price_tick, lots, tick_value_micros, fee_ppm)
