"""What is left when trading costs more than was assumed: the same trades at 1.0, 1.5 and 2.0 x costs (MES-GUARD-05).

Exact in micros, rounded against the trader.  Costs are commission and slippage; slippage is inside gross once, so the
dearer result takes off the surplus of both.  A re-run of the backtest at those costs is stricter, for it may trade
less and meet its limits earlier; whoever has one judges that as well.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from trading.research.figures import Figure, ratio
from trading.research.metrics import NO_TRADES
from trading.research.records import Trades, total

FACTORS = (Fraction(1), Fraction(3, 2), Fraction(2))
GATE_FACTOR = Fraction(3, 2)


class Dearer(NamedTuple):
    """All trades at one factor.  Net in micros; `profit_factor` and `mean_micros` as in MES-METRIC-08 and -09."""

    factor: Fraction
    net_micros: int
    mean_micros: Figure
    profit_factor: Figure
    wins: int


def dearer_net(trades: Trades, factor: Fraction) -> np.ndarray:
    """(n,) int64: net of each trade if all its costs were `factor` >= 1 times as high, the surplus rounded up."""
    assert factor >= 1
    cost = trades.commission_micros + trades.slippage_micros
    above, below = factor.numerator - factor.denominator, factor.denominator
    return trades.net_micros - -(-cost * above // below)


def cost_stress(trades: Trades) -> tuple[Dearer, ...]:
    """The three rows of MES-GUARD-05."""
    return tuple(_row(dearer_net(trades, factor), factor) for factor in FACTORS)


def costs_borne(trades: Trades) -> Figure:
    """How many times the assumed costs the trades could have borne before their net was 0."""
    cost = total(trades.commission_micros) + total(trades.slippage_micros)
    if len(trades) == 0:
        return Figure(None, NO_TRADES)
    return ratio(total(trades.net_micros) + cost, cost, "No costs were assumed, which no market grants")


def _row(net: np.ndarray, factor: Fraction) -> Dearer:
    won, lost = total(net[net > 0]), total(net[net < 0])
    why = "No trade lost" if len(net) else NO_TRADES
    mean = ratio(won + lost, len(net), NO_TRADES)
    return Dearer(factor, won + lost, mean, ratio(won, -lost, why), int((net > 0).sum()))
