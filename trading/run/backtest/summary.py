"""`summary.json`: what a backtest came to, in the definitions of MES-METRIC-01 to -12 and the order of MES-BT-26.

Money stays integer micros until it is written as text; ratios are floats.  What is not defined is null, and `undefined`
says why, never a number in its place.  Confidence intervals and the criticism (MES-METRIC-13, MES-GUARD) are not made
here.  Called by `outputs`.
"""

from collections import Counter
from math import sqrt
from typing import Any

import numpy as np

from marketdata.core.records import NO_TIME
from marketdata.core.units import NANOS, text_from_micros
from risk.core.gate import code_name
from risk.core.holds import CLEARINGS
from risk.core.records import MES
from trading.run.backtest.engine import Result, reason_of

YEAR, MONTH = 252, 21  # sessions


class Undefined(dict[str, str]):
    """Metrics that are null, with the reason; `value` notes one and gives None."""

    def value(self, name: str, number: float | None, reason: str) -> float | None:
        """The number, or None with its reason noted."""
        if number is None:
            self[name] = reason
            return None
        return number


def utc(ts_ns: int) -> str | None:
    """ISO text in whole seconds with Z; None for never."""
    return None if ts_ns == NO_TIME else f"{np.datetime64(int(ts_ns) // NANOS, 's')}Z"


def daily_returns(result: Result) -> np.ndarray:
    """(m,) float64, r_d = E_d / E_(d−1) − 1 over every session of the period; E_0 = starting capital."""
    equity = np.concatenate([[result.plan.capital_micros], result.days["equity_micros"]]).astype(np.float64)
    found: np.ndarray = equity[1:] / equity[:-1] - 1
    return found


def metrics(result: Result) -> dict[str, Any]:
    """returns, risk, drawdown, trades, consistency, costs, capital, and `undefined`."""
    missing = Undefined()
    returns = _returns(result, missing)
    drawdown = _drawdown(result)
    return {
        "returns": returns,
        "risk": _risk(result, returns, drawdown, missing),
        "drawdown": drawdown,
        "trades": _trades(result, missing),
        "consistency": _consistency(result, missing),
        "costs": _costs(result, missing),
        "capital": {
            "start": text_from_micros(result.plan.capital_micros),
            "end": text_from_micros(result.balance_micros),
            "peak": text_from_micros(int(result.run.peak_micros)),
            "reference": text_from_micros(result.reference_micros),
        },
        "undefined": dict(missing),
    }


def _returns(result: Result, missing: Undefined) -> dict[str, Any]:
    """MES-METRIC-01 to -03."""
    r = daily_returns(result)
    start, end, sessions = result.plan.capital_micros, result.balance_micros, len(r)
    deviation = float(np.std(r, ddof=1)) if sessions >= 2 else 0.0
    downside = sqrt(float(np.mean(np.minimum(r, 0.0) ** 2))) if sessions else 0.0
    sharpe = float(np.mean(r)) / deviation * sqrt(YEAR) if deviation > 0 else None
    sortino = float(np.mean(r)) / downside * sqrt(YEAR) if downside > 0 else None
    cagr = None if sessions == 0 else -1.0 if end <= 0 else (end / start) ** (YEAR / sessions) - 1
    return {
        "total": end / start - 1,
        "cagr": missing.value("cagr", cagr, "no session"),
        "monthly_mean": missing.value("monthly_mean", float(np.mean(r)) * MONTH if sessions else None, "no session"),
        "sharpe": missing.value("sharpe", sharpe, "fewer than 2 sessions, or all alike"),
        "sortino": missing.value("sortino", sortino, "no losing session"),
        "source": "daily_equity",
    }


def _risk(result: Result, returns: dict[str, Any], drawdown: dict[str, Any], missing: Undefined) -> dict[str, Any]:
    """MES-METRIC-05 and -06."""
    r = daily_returns(result)
    fall, share = int(result.run.worst_micros), float(result.run.deepest_share)
    net = result.balance_micros - result.plan.capital_micros
    calmar = returns["cagr"] / share if share > 0 and returns["cagr"] is not None else None
    tails = {part: max(0.0, -float(np.quantile(r, part))) if len(r) else None for part in (0.05, 0.01)}
    return {
        "calmar": missing.value("calmar", calmar, "no drawdown"),
        "recovery_factor": missing.value("recovery_factor", net / fall if fall > 0 else None, "no drawdown"),
        "var_95": missing.value("var_95", tails[0.05], "no session"),
        "var_99": missing.value("var_99", tails[0.01], "no session"),
    }


def _drawdown(result: Result) -> dict[str, Any]:
    """MES-METRIC-04, over every point of the curve, whatever is sampled."""
    run = result.run
    points = int(run.all_points)
    fell = int(run.deepest_ns) != NO_TIME
    end_ns = int(run.recovered_ns) if int(run.recovered_ns) != NO_TIME else int(run.point_ns)
    start_ns = int(run.deepest_peak_ns)
    inside = (result.days["ts_ns"] > start_ns) & (result.days["ts_ns"] <= end_ns)
    return {
        "pct": 100 * float(run.deepest_share),
        "pct_from": utc(start_ns) if fell else None,
        "pct_at": utc(int(run.deepest_ns)),
        "usd": text_from_micros(int(run.worst_micros)),
        "usd_from": utc(int(run.worst_peak_ns)) if int(run.worst_micros) > 0 else None,
        "usd_at": utc(int(run.worst_ns)),
        "average": 100 * float(run.fall_share_sum) / points if points else None,
        "duration_s": (end_ns - start_ns) // NANOS if fell else 0,
        "duration_sessions": int(inside.sum()) if fell else 0,
        "recovered": (not fell) or int(run.recovered_ns) != NO_TIME,
        "recovered_at": utc(int(run.recovered_ns)),
    }


def _runs(net: np.ndarray) -> dict[str, int]:
    """Longest runs of wins and of losses; a zero neither extends nor breaks one (MES-METRIC-10)."""
    best = {1: 0, -1: 0}
    sign, length = 0, 0
    for value in np.sign(net[net != 0]).tolist():
        length = length + 1 if value == sign else 1
        sign = int(value)
        best[sign] = max(best[sign], length)
    return {"wins": best[1], "losses": best[-1]}


def _trades(result: Result, missing: Undefined) -> dict[str, Any]:
    """MES-METRIC-07 to -10."""
    net = result.trades["net_micros"]
    count, wins, losses = len(net), net[net > 0], net[net < 0]
    shares = net / result.trades["risk_micros"] if count else net
    lost = abs(int(losses.sum()))

    def mean(values: np.ndarray, name: str) -> float | None:
        return missing.value(name, float(np.mean(values)) / 1e6 if len(values) else None, "no such trade")

    return {
        "count": count,
        "wins": len(wins),
        "losses": len(losses),
        "zeros": count - len(wins) - len(losses),
        "win_rate": missing.value("win_rate", len(wins) / count if count else None, "no trade"),
        "profit_factor": missing.value("profit_factor", int(wins.sum()) / lost if lost else None, "no losing trade"),
        "expectancy": mean(net, "expectancy"),
        "expectancy_r": missing.value("expectancy_r", float(np.mean(shares)) if count else None, "no trade"),
        "mean_win": mean(wins, "mean_win"),
        "mean_loss": mean(losses, "mean_loss"),
        "streaks": _runs(net),
        "exit_reasons": dict(sorted(Counter(reason_of(trade, MES) for trade in result.trades).items())),
        "net": text_from_micros(int(net.sum())),
        "gross": text_from_micros(int(result.trades["gross_micros"].sum())),
    }


def _consistency(result: Result, missing: Undefined) -> dict[str, Any]:
    """MES-METRIC-11."""
    traded = np.isin(result.trading_days, result.trades["trading_day"])
    equity = np.concatenate([[result.plan.capital_micros], result.days["equity_micros"]])
    moves, returns = np.diff(equity), daily_returns(result)
    none = len(moves) == 0
    share = float(np.mean(moves[traded] > 0)) if traded.any() else None
    return {
        "winning_days": missing.value("winning_days", share, "no day with trades"),
        "days_with_trades": int(traded.sum()),
        "best_day": None if none else text_from_micros(int(moves.max())),
        "best_day_pct": missing.value("best_day_pct", None if none else 100 * float(returns.max()), "no session"),
        "worst_day": None if none else text_from_micros(int(moves.min())),
        "worst_day_pct": missing.value("worst_day_pct", None if none else 100 * float(returns.min()), "no session"),
    }


def _costs(result: Result, missing: Undefined) -> dict[str, Any]:
    """MES-METRIC-12."""
    fees = int(result.trades["fee_micros"].sum())
    slips = int(result.trades["slip_micros"].sum())
    gross = result.trades["gross_micros"]
    won = int(gross[gross > 0].sum())
    count = len(gross)
    cost = fees + slips
    return {
        "commission": text_from_micros(fees),
        "slippage": text_from_micros(slips),
        "cost": text_from_micros(cost),
        "per_trade": missing.value("cost_per_trade", cost / count / 1e6 if count else None, "no trade"),
        "pct_of_gross": missing.value("cost_pct_of_gross", 100 * cost / won if won else None, "no gross profit"),
    }


def account(result: Result) -> dict[str, Any]:
    """holds and refusals, each by its code."""
    refused = {code_name(MES, code): count for code, count in sorted(result.decisions.items()) if code != 0}
    return {
        "decisions": sum(result.decisions.values()),
        "approved": result.decisions.get(0, 0),
        "holds": [
            {
                "code": row.hold.code,
                "raised": row.raised,
                "cleared": row.raised - int(row.stands),
                "clearing": CLEARINGS[row.hold.clearing],
                "stands_since": utc(row.since_ns) if row.stands else None,
            }
            for row in result.holds
        ],
        "refusals": refused,
    }


def warnings(result: Result, outside: int) -> list[str]:
    """What a reader must know before believing a figure."""
    told = [
        "bars carry no quotes: the spread counts as 1 tick (MES-BREAK-03); whole orders fill (MES-BT-20)",
        f"slippage is fixed, {result.plan.slip_ticks} ticks a market or stop fill (MES-COST-06)",
    ]
    if (stopped := result.stopped_by) is not None:
        why = f"only an operator clears it ({stopped.hold.trigger})"
        told.insert(0, f"{stopped.hold.code} ended trading at {utc(stopped.since_ns)}: {why}")
    reasons = Counter(reason_of(trade, MES) for trade in result.trades)
    if closed := reasons["session_end"]:
        told.append(f"{closed} positions were open at a session's close and ended at its last print (MES-BT-16)")
    if outside:
        told.append(f"{outside} bars lie in no session of the calendar and were left out")
    told += _excesses(result)
    return told


def _excesses(result: Result) -> list[str]:
    """Days that lost more than the daily limit (MES-BREAK-05)."""
    limit = result.plan.limits["loss_day_micros_max"]
    told = []
    for day in np.unique(result.trades["trading_day"]).tolist():
        net = int(result.trades["net_micros"][result.trades["trading_day"] == day].sum())
        if net < -limit:
            told.append(f"{day} lost {text_from_micros(-net)}, more than the daily limit of {text_from_micros(limit)}")
    return told
