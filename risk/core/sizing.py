"""How many contracts or lots an entry may have: MES-SIZE in tiers of the balance, MOEX-SIZE-01 as the least of caps.

Pure integers: money in micros, shares in ppm, floors everywhere, so a size never exceeds what a division would allow.
The answer is (size, reason); a size of 0 always has a reason of `risk.core.codes`.  Called by trading's policy before
the gate, which refuses with that reason (MES-RISK-20, row 12).
"""

import numpy as np
from numba import njit

from marketdata.core.units import MICROS, PPM, QTY_MAX
from risk.core.codes import (
    APPROVED,
    BALANCE_TIER,
    CAP_BROKER,
    CAP_INSTRUMENT,
    MARGIN,
    RISK_DAILY,
    RISK_PER_TRADE,
    RISK_TIER,
    SIZE_HALF_SKIPPED,
    SIZE_ZERO,
    VENUE_LIMIT,
)

# (highest balance of the tier, most contracts, share of the balance at risk); a boundary belongs to the lower tier
TIERS = (
    (700 * MICROS - 1, 0, 0),
    (1_000 * MICROS, 1, 20_000),
    (1_500 * MICROS, 2, 20_000),
    (2_000 * MICROS, 3, 20_000),
    (3_000 * MICROS, 4, 20_000),
    (2**62, 10, 15_000),
)
# (least confidence, multiplier of the size), ppm
MULTIPLIERS = ((900_000, 2_000_000), (800_000, 1_500_000), (700_000, 1_000_000), (600_000, 500_000), (0, 0))
_TIERS = np.array(TIERS, np.int64)
_MULTIPLIERS = np.array(MULTIPLIERS, np.int64)


@njit(cache=True)
def share(amount: int, ppm: int) -> int:
    """floor(amount x ppm / 10^6) of a non-negative amount, without forming the product."""
    return (amount // PPM) * ppm + (amount % PPM) * ppm // PPM


@njit(cache=True)
def tier_at(balance_micros: int) -> int:
    """Index of the tier of this balance (MES-SIZE-01)."""
    at = 0
    while at < _TIERS.shape[0] - 1 and balance_micros > _TIERS[at, 0]:
        at += 1
    return at


@njit(cache=True)
def tier_max(balance_micros: int) -> int:
    """Most contracts at this balance."""
    return _TIERS[tier_at(balance_micros), 1]


@njit(cache=True)
def multiplier_ppm(confidence_ppm: int) -> int:
    """What the confidence makes of the size; 0 below the least confidence that trades."""
    at = 0
    while at < _MULTIPLIERS.shape[0] - 1 and confidence_ppm < _MULTIPLIERS[at, 0]:
        at += 1
    return _MULTIPLIERS[at, 1]


@njit(cache=True)
def tier_budget(balance_micros: int, tier_ppm_max: int) -> int:
    """T: the tier's share of the balance, lowered by the profile but never raised (MES-SIZE-01)."""
    ppm = _TIERS[tier_at(balance_micros), 2]
    if tier_ppm_max > 0:
        ppm = min(ppm, tier_ppm_max)
    return share(max(0, balance_micros), ppm)


@njit(cache=True)
def mes_cap(
    balance_micros: int,
    risk_micros: int,
    costs_micros: int,
    trade_micros: int,
    tier_micros: int,
    left_micros: int,
    margin_micros: int,
    qty_max: int,
) -> tuple[int, int]:
    """The least cap of MES-SIZE-02 step 5 and its reason; of equal caps the first in the rule's order.

    `risk_micros` is R and `costs_micros` C of one contract; `left_micros` the daily risk that remains (MES-RISK-07).
    """
    cap, reason = trade_micros // risk_micros, RISK_PER_TRADE
    other = tier_micros // risk_micros
    if other < cap:
        cap, reason = other, RISK_TIER
    other = max(0, left_micros) // (risk_micros + costs_micros)
    if other < cap:
        cap, reason = other, RISK_DAILY
    if margin_micros > 0:
        other = max(0, balance_micros) // margin_micros
        if other < cap:
            cap, reason = other, MARGIN
    if qty_max < cap:
        cap, reason = qty_max, VENUE_LIMIT
    return cap, reason


@njit(cache=True)
def mes_size(
    balance_micros: int,
    risk_micros: int,
    costs_micros: int,
    confidence_ppm: int,
    scale_ppm: int,
    limits: np.record,
    left_micros: int,
    margin_micros: int,
    asked: int,
) -> tuple[int, int]:
    """MES-SIZE-02: (contracts, reason).  `asked` > 0 is an operator's own size, passed unchanged or refused."""
    most = tier_max(balance_micros)
    if most == 0:
        return 0, BALANCE_TIER
    if risk_micros <= 0 or costs_micros < 0:
        return 0, SIZE_ZERO
    tier = tier_budget(balance_micros, limits.tier_ppm_max)
    trade = limits.loss_trade_micros_max
    cap, reason = mes_cap(
        balance_micros, risk_micros, costs_micros, trade, tier, left_micros, margin_micros, limits.qty_max
    )
    if asked > 0:
        if asked > most:
            return 0, BALANCE_TIER
        return (asked, APPROVED) if asked <= cap else (0, reason)
    base = min(most, tier // risk_micros)
    if base == 0:
        return 0, RISK_TIER
    factor = multiplier_ppm(confidence_ppm)
    if factor == 0:
        return 0, SIZE_ZERO
    size = min(most, base * factor // PPM) * scale_ppm // PPM
    if size == 0:
        if limits.half_keep_one != 1:
            return 0, SIZE_HALF_SKIPPED
        size = 1
    size = min(size, cap)
    return (size, APPROVED) if size > 0 else (0, reason)


@njit(cache=True)
def moex_size(
    capital_micros: int,
    lot_micros: int,
    loss_micros: int,
    confidence_ppm: int,
    scale_ppm: int,
    limits: np.record,
    held: int,
    gross_micros: int,
    depth: int,
    regime_ppm: int,
) -> tuple[int, int]:
    """MOEX-SIZE-01: (lots, reason).  V and K of one lot; `held`: lots held and working; `depth`: opposite lots shown;
    `regime_ppm`: 1/2 where volatility is high, else 1.

    The caps in the rule's order name ties.  An unknown depth is 0, hence no lot.
    """
    if lot_micros <= 0 or loss_micros <= 0 or capital_micros <= 0:
        return 0, SIZE_ZERO
    least, reason = QTY_MAX, CAP_BROKER
    for at in range(6):
        if at == 0:
            cap = (share(capital_micros, limits.instrument_ppm_max) - held * lot_micros) // lot_micros
        elif at == 1:
            cap = (share(capital_micros, limits.loss_stop_ppm_max) - held * loss_micros) // loss_micros
        elif at == 2:
            cap = (share(capital_micros, limits.gross_ppm_max) - gross_micros) // lot_micros
        elif at == 3:
            cap = limits.position_max - held
        elif at == 4:
            cap = share(depth, limits.participation_ppm_max)
        else:
            cap = limits.qty_max
        if max(0, cap) < least:
            least, reason = max(0, cap), CAP_INSTRUMENT + at
    lots = share(least, confidence_ppm)
    lots = lots * regime_ppm // PPM
    lots = lots * scale_ppm // PPM
    return (lots, APPROVED) if lots > 0 else (0, reason)
