"""The figures of a run, each exactly as MES-METRIC-01 .. -12 defines it.

Sums of money are exact integers; a figure that is undefined is None with its reason.  Annualisation is 252 sessions of
daily equity; no per-bar series is ever annualised.  Confidence (MES-METRIC-13) is in `intervals`, groups in
`breakdown`.  Called by `criticism`, by reports, and by whoever writes a run's summary.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from trading.research.equity import NONE_FALLEN, Drawdown, drawdown
from trading.research.figures import Figure, figure, ratio
from trading.research.records import Curve, Days, Trades, daily_returns, opening_micros, session_of, total

SESSIONS_A_YEAR = 252
SESSIONS_A_MONTH = 21
NO_TRADES = "There were no trades"
NO_SESSIONS = "There were no sessions"
TWO_SESSIONS = "At least two returns are needed"
NO_VARIANCE = "All returns are the same, so there is no deviation to divide by"


class Returns(NamedTuple):
    """MES-METRIC-01 .. -03, from daily equity."""

    total: Figure
    cagr: Figure
    monthly_mean: Figure
    sharpe: Figure
    sortino: Figure


class Risk(NamedTuple):
    """MES-METRIC-05 and -06; shares of 1, a loss at risk is positive."""

    calmar: Figure
    recovery_factor: Figure
    var_95: Figure
    var_99: Figure


class TradeFigures(NamedTuple):
    """MES-METRIC-07 .. -10.  Means in micros; streaks in trades."""

    trades: int
    wins: int
    losses: int
    zeros: int
    net_micros: int
    gross_micros: int
    win_rate: Figure
    profit_factor: Figure
    expectancy_micros: Figure
    expectancy_r: Figure
    mean_win_micros: Figure
    mean_loss_micros: Figure
    longest_wins: int
    longest_losses: int
    bars_held_mean: Figure
    exit_reasons: dict[str, int]


class Consistency(NamedTuple):
    """MES-METRIC-11.  Best and worst day of all sessions, in money and as a share of that day's opening equity."""

    days_with_trades: int
    winning_days: Figure
    best_day_micros: Figure
    worst_day_micros: Figure
    best_day: Figure
    worst_day: Figure


class Costs(NamedTuple):
    """MES-METRIC-12."""

    commission_micros: int
    slippage_micros: int
    cost_micros: int
    per_trade_micros: Figure
    of_positive_gross: Figure


class Metrics(NamedTuple):
    returns: Returns
    risk: Risk
    drawdown: Drawdown
    trades: TradeFigures
    consistency: Consistency
    costs: Costs


def measure(trades: Trades, days: Days, curve: Curve) -> Metrics:
    """All figures of one run.  Raises ResearchError where the arrays do not belong together."""
    fall = drawdown(days, curve)
    returns = returns_of(days)
    risk, closed = risk_of(days, returns.cagr, fall), trade_figures(trades)
    return Metrics(returns, risk, fall, closed, consistency(trades, days), costs(trades))


def plain(figures: Any) -> Any:
    """A figure, or a tuple of them, for JSON: an undefined one is {"value": null, "why": reason}."""
    if isinstance(figures, Figure):
        return figures.value if figures.value is not None else {"value": None, "why": figures.why}
    if hasattr(figures, "_asdict"):
        return {name: plain(value) for name, value in figures._asdict().items()}
    return figures


def sharpe_ratio(returns: np.ndarray, periods: int = SESSIONS_A_YEAR) -> Figure:
    """mean / sd (ddof 1) x sqrt(periods), risk-free rate 0 (MES-METRIC-02; Sharpe 1994).  `periods` 1: per day."""
    if len(returns) < 2:
        return Figure(None, TWO_SESSIONS)
    if returns.max() == returns.min():  # exact, where a computed deviation would leave rounding
        return Figure(None, NO_VARIANCE)
    return figure(float(returns.mean() / returns.std(ddof=1)) * math.sqrt(periods))


def sortino_ratio(returns: np.ndarray) -> Figure:
    """mean / sqrt(mean(min(r, 0)^2)) x sqrt(252), the mean over all sessions (MES-METRIC-03)."""
    if len(returns) == 0:
        return Figure(None, NO_SESSIONS)
    below = math.sqrt(float((np.minimum(returns, 0.0) ** 2).mean()))
    if below == 0.0:
        return Figure(None, "No session lost")
    return figure(float(returns.mean()) / below * math.sqrt(SESSIONS_A_YEAR))


def returns_of(days: Days) -> Returns:
    if len(days) == 0:
        return Returns(*[Figure(None, NO_SESSIONS)] * 5)
    end = days.end_micros
    whole = ratio(end - days.start_micros, days.start_micros, "")
    grown = -1.0 if end <= 0 else math.expm1(math.log(end / days.start_micros) * SESSIONS_A_YEAR / len(days))
    daily, why = daily_returns(days)
    if why:
        undefined = Figure(None, why)
        return Returns(whole, figure(grown), undefined, undefined, undefined)
    monthly = figure(float(daily.mean()) * SESSIONS_A_MONTH)
    return Returns(whole, figure(grown), monthly, sharpe_ratio(daily), sortino_ratio(daily))


def risk_of(days: Days, cagr: Figure, fall: Drawdown) -> Risk:
    calmar = Figure(None, cagr.why or NONE_FALLEN)
    if cagr.value is not None and fall.share.value is not None:
        calmar = figure(cagr.value / fall.share.value)
    recovery = ratio(days.end_micros - days.start_micros, fall.micros, NONE_FALLEN)
    daily, why = daily_returns(days)
    if len(daily) == 0:
        none = Figure(None, why or NO_SESSIONS)
        return Risk(calmar, recovery, none, none)
    at_risk = [figure(max(0.0, -float(np.quantile(daily, tail)))) for tail in (0.05, 0.01)]
    return Risk(calmar, recovery, *at_risk)


def trade_figures(trades: Trades) -> TradeFigures:
    net = trades.net_micros
    n = len(trades)
    wins, losses = net[net > 0], net[net < 0]
    won, lost = total(wins), total(losses)
    reasons = [str(reason) for reason in trades.exit_reason]
    return TradeFigures(
        trades=n,
        wins=len(wins),
        losses=len(losses),
        zeros=n - len(wins) - len(losses),
        net_micros=won + lost,
        gross_micros=total(trades.gross_micros),
        win_rate=ratio(len(wins), n, NO_TRADES),
        profit_factor=ratio(won, -lost, "No trade lost" if n else NO_TRADES),
        expectancy_micros=ratio(won + lost, n, NO_TRADES),
        expectancy_r=_expectancy_r(trades),
        mean_win_micros=ratio(won, len(wins), "No trade won"),
        mean_loss_micros=ratio(lost, len(losses), "No trade lost"),
        longest_wins=longest_run(net, 1),
        longest_losses=longest_run(net, -1),
        bars_held_mean=ratio(total(trades.bars_held), n, NO_TRADES),
        exit_reasons={reason: reasons.count(reason) for reason in sorted(set(reasons))},
    )


def _expectancy_r(trades: Trades) -> Figure:
    if len(trades) == 0:
        return Figure(None, NO_TRADES)
    unknown = int((trades.risk_micros == 0).sum())
    if unknown:
        return Figure(None, f"{unknown} of {len(trades)} trades have no known initial risk")
    return figure(float((trades.net_micros / trades.risk_micros).mean()))


def longest_run(net: np.ndarray, sign: int) -> int:
    """Longest run of trades of one sign; a zero result neither extends nor breaks it (MES-METRIC-10)."""
    decided = np.sign(net[net != 0]) == sign
    if not decided.any():
        return 0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], decided, [False])).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max())


def consistency(trades: Trades, days: Days) -> Consistency:
    """A day with trades wins when the sum of its trades' net is above 0; a trade belongs to the day of its exit."""
    traded, place = np.unique(session_of(days, trades.exit_ns), return_inverse=True)
    sums = np.zeros(len(traded), np.int64)
    np.add.at(sums, place, trades.net_micros)
    winning = ratio(int((sums > 0).sum()), len(traded), NO_TRADES)
    if len(days) == 0:
        return Consistency(0, winning, *[Figure(None, NO_SESSIONS)] * 4)
    change = days.equity_micros - opening_micros(days)
    daily, why = daily_returns(days)
    best, worst = Figure(None, why), Figure(None, why)
    if not why:
        best, worst = figure(float(daily.max())), figure(float(daily.min()))
    return Consistency(len(traded), winning, figure(int(change.max())), figure(int(change.min())), best, worst)


def costs(trades: Trades) -> Costs:
    commission, slippage = total(trades.commission_micros), total(trades.slippage_micros)
    positive = total(trades.gross_micros[trades.gross_micros > 0])
    return Costs(
        commission,
        slippage,
        commission + slippage,
        ratio(commission + slippage, len(trades), NO_TRADES),
        ratio(commission + slippage, positive, "No trade had a positive gross result"),
    )
