"""What a trial is worth: one figure, higher is better, or none with its reason (MES-OPT-03).

Too few trades, an undefined or infinite figure make a trial infeasible: it is kept and counted, and is never the best.
The daily Sharpe ratio is measured beside it, whatever the objective, for all that luck is measured by it.  Pure.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.units import MICROS
from trading.research.figures import Figure, figure, ratio
from trading.research.metrics import NO_TRADES, returns_of, sharpe_ratio
from trading.research.records import Days, daily_returns, total

SHARPE, SORTINO, NET, NET_PER_TRADE = "sharpe", "sortino", "net", "net_per_trade"
OBJECTIVES = {
    SHARPE: "annual Sharpe ratio of daily equity",
    SORTINO: "annual Sortino ratio of daily equity",
    NET: "net in dollars",
    NET_PER_TRADE: "mean net of a trade in dollars",
}
TRADES_MIN = 30  # of a trial; below it a score is chance


class Worth(NamedTuple):
    """`score` None: infeasible, `why` says it.  `sharpe`: per day, None where undefined."""

    score: float | None
    why: str
    sharpe: float | None


def worth_of(objective: str, days: Days, net_micros: np.ndarray, trades_min: int = TRADES_MIN) -> Worth:
    """The worth of a run: its session days, and (n,) int64 net of each trade."""
    returns, why = daily_returns(days)
    sharpe = Figure(None, why) if why else sharpe_ratio(returns, 1)
    n = len(net_micros)
    if n < trades_min:
        return Worth(None, f"{n} trades, {trades_min} are needed", sharpe.value)
    found = _figure(objective, days, net_micros)
    return Worth(found.value, found.why, sharpe.value)


def _figure(objective: str, days: Days, net_micros: np.ndarray) -> Figure:
    if objective == NET:
        return figure(total(net_micros) / MICROS)
    if objective == NET_PER_TRADE:
        mean = ratio(total(net_micros), len(net_micros), NO_TRADES)
        return Figure(None, mean.why) if mean.value is None else figure(mean.value / MICROS)
    assert objective in (SHARPE, SORTINO)
    found: Figure = getattr(returns_of(days), objective)
    return found
