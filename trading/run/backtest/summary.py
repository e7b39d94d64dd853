"""`summary.json`: what a backtest came to, in the order of MES-BT-26.

The figures are those of `trading.research.metrics`, the one place that defines them; the drawdown alone comes from the
loop, which saw every point of the curve.  What is not defined is null, and `undefined` says why.  Called by `outputs`.
"""

from collections import Counter
from typing import Any

import numpy as np

from marketdata.core.records import NO_TIME
from marketdata.core.units import MICROS, NANOS, text_from_micros
from risk.core.gate import code_name
from risk.core.holds import CLEARINGS
from risk.core.records import MES
from trading.core.venue.state import FIXED
from trading.research.equity import NONE_FALLEN, Drawdown
from trading.research.figures import Figure, figure
from trading.research.metrics import consistency, costs, returns_of, risk_of, trade_figures
from trading.research.records import Days, Trades, session_of
from trading.run.backtest.engine import Result, reason_of
from trading.run.backtest.plan import Plan

SANITY = "sanity"  # profile of runs that check the loop itself


def utc(ts_ns: int) -> str | None:
    """ISO text in whole seconds with Z; None for never."""
    return None if ts_ns == NO_TIME else f"{np.datetime64(int(ts_ns) // NANOS, 's')}Z"


def trades_of(rows: np.ndarray, rules: int = MES) -> Trades:
    """(n,) TRADE as research reads them; `rules`: whose holds closed them."""
    return Trades(
        gross_micros=rows["gross_micros"],
        commission_micros=rows["fee_micros"],
        slippage_micros=rows["slip_micros"],
        entry_ns=rows["entry_ns"],
        exit_ns=rows["exit_ns"],
        bars_held=rows["bars_held"],
        exit_reason=[reason_of(trade, rules) for trade in rows],
        risk_micros=rows["risk_micros"],
    )


def arrays_of(result: Result) -> tuple[Trades, Days]:
    """A result as research reads it."""
    days, start_micros = result.days, result.plan.capital_micros
    return trades_of(result.trades, result.rules), Days(
        result.first_ns, start_micros, result.trading_days, days["ts_ns"], days["equity_micros"]
    )


def drawdown_of(result: Result, days: Days) -> Drawdown:
    """MES-METRIC-04 and the average of -05 over every point of the curve, whatever of it is kept."""
    run, start_ns = result.run, result.first_ns
    if int(run.worst_micros) == 0:
        none = Figure(None, NONE_FALLEN)
        return Drawdown(none, start_ns, start_ns, 0, start_ns, start_ns, none, none, 0, True)
    recovered = int(run.recovered_ns) != NO_TIME
    peak_ns = int(run.deepest_peak_ns)
    until_ns = int(run.recovered_ns) if recovered else int(run.point_ns)
    passed = session_of(days, np.array([peak_ns, until_ns], np.int64))
    return Drawdown(
        share=figure(float(run.deepest_share)),
        share_peak_ns=peak_ns,
        share_trough_ns=int(run.deepest_ns),
        micros=int(run.worst_micros),
        micros_peak_ns=int(run.worst_peak_ns),
        micros_trough_ns=int(run.worst_ns),
        average=figure(float(run.fall_share_sum) / int(run.all_points)),
        duration_s=figure((until_ns - peak_ns) / NANOS),
        duration_sessions=int(passed[1] - passed[0]),
        recovered=recovered,
    )


class _Undefined(dict[str, str]):
    """Names of the figures that are null, with the reason."""

    def of(self, name: str, found: Figure, times: float = 1.0) -> float | None:
        """The value, or None with its reason noted."""
        if found.value is None:
            self[name] = found.why
            return None
        return found.value * times

    def dollars(self, name: str, found: Figure) -> float | None:
        return self.of(name, found, 1 / MICROS)


def metrics(result: Result) -> dict[str, Any]:
    """returns, risk, drawdown, trades, consistency, costs, capital, and `undefined`."""
    trades, days = arrays_of(result)
    fall, returns = drawdown_of(result, days), returns_of(days)
    missing = _Undefined()
    risk = risk_of(days, returns.cagr, fall)
    return {
        "returns": {name: missing.of(name, found) for name, found in returns._asdict().items()}
        | {"source": "daily_equity"},
        "risk": {name: missing.of(name, found) for name, found in risk._asdict().items()},
        "drawdown": _drawdown(fall, missing),
        "trades": _trades(trades, missing),
        "consistency": _consistency(trades, days, missing),
        "costs": _costs(trades, missing),
        "capital": {
            "start": text_from_micros(result.plan.capital_micros),
            "end": text_from_micros(result.balance_micros),
            "peak": text_from_micros(int(result.run.peak_micros)),
            "reference": text_from_micros(result.reference_micros),
        },
        "undefined": dict(missing),
    }


def _drawdown(fall: Drawdown, missing: _Undefined) -> dict[str, Any]:
    """MES-METRIC-04; percent of the peak, and money."""
    fell = fall.micros > 0
    return {
        "pct": missing.of("drawdown_pct", fall.share, 100),
        "pct_from": utc(fall.share_peak_ns) if fell else None,
        "pct_at": utc(fall.share_trough_ns) if fell else None,
        "usd": text_from_micros(fall.micros),
        "usd_from": utc(fall.micros_peak_ns) if fell else None,
        "usd_at": utc(fall.micros_trough_ns) if fell else None,
        "average": missing.of("drawdown_average", fall.average, 100),
        "duration_s": missing.of("drawdown_duration_s", fall.duration_s),
        "duration_sessions": fall.duration_sessions,
        "recovered": fall.recovered,
    }


def _trades(trades: Trades, missing: _Undefined) -> dict[str, Any]:
    """MES-METRIC-07 to -10; money in dollars."""
    found = trade_figures(trades)
    return {
        "count": found.trades,
        "wins": found.wins,
        "losses": found.losses,
        "zeros": found.zeros,
        "win_rate": missing.of("win_rate", found.win_rate),
        "profit_factor": missing.of("profit_factor", found.profit_factor),
        "expectancy": missing.dollars("expectancy", found.expectancy_micros),
        "expectancy_r": missing.of("expectancy_r", found.expectancy_r),
        "mean_win": missing.dollars("mean_win", found.mean_win_micros),
        "mean_loss": missing.dollars("mean_loss", found.mean_loss_micros),
        "streaks": {"wins": found.longest_wins, "losses": found.longest_losses},
        "exit_reasons": found.exit_reasons,
        "net": text_from_micros(found.net_micros),
        "gross": text_from_micros(found.gross_micros),
    }


def _consistency(trades: Trades, days: Days, missing: _Undefined) -> dict[str, Any]:
    """MES-METRIC-11."""
    found = consistency(trades, days)
    return {
        "winning_days": missing.of("winning_days", found.winning_days),
        "days_with_trades": found.days_with_trades,
        "best_day": missing.dollars("best_day", found.best_day_micros),
        "best_day_pct": missing.of("best_day_pct", found.best_day, 100),
        "worst_day": missing.dollars("worst_day", found.worst_day_micros),
        "worst_day_pct": missing.of("worst_day_pct", found.worst_day, 100),
    }


def _costs(trades: Trades, missing: _Undefined) -> dict[str, Any]:
    """MES-METRIC-12."""
    found = costs(trades)
    return {
        "commission": text_from_micros(found.commission_micros),
        "slippage": text_from_micros(found.slippage_micros),
        "cost": text_from_micros(found.cost_micros),
        "per_trade": missing.dollars("cost_per_trade", found.per_trade_micros),
        "pct_of_gross": missing.of("cost_pct_of_gross", found.of_positive_gross, 100),
    }


def account(result: Result) -> dict[str, Any]:
    """holds and refusals, each by its code."""
    refused = {code_name(result.rules, code): count for code, count in sorted(result.decisions.items()) if code != 0}
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


def warnings(result: Result, outside: int, dropped: dict[str, int], basis: tuple[str, ...] | None = None) -> list[str]:
    """What a reader must know before believing a figure."""
    of_bars = (
        "bars carry no quotes: the spread counts as 1 tick (MES-BREAK-03); whole orders fill (MES-BT-20)",
        _slippage(result.plan),
    )
    told = list(of_bars if basis is None else basis)
    if result.plan.profile == SANITY:
        told.insert(0, "profile sanity: no limit binds, the stop lies beyond everything, there is no target (MES-SANE)")
    if (stopped := result.stopped_by) is not None:
        why = f"only an operator clears it ({stopped.hold.trigger})"
        told.insert(0, f"{stopped.hold.code} ended trading at {utc(stopped.since_ns)}: {why}")
    reasons = Counter(reason_of(trade, result.rules) for trade in result.trades)
    if closed := reasons["session_end"]:
        told.append(f"{closed} positions were open at a session's close and ended at its last print (MES-BT-16)")
    if outside:
        what = "bars" if basis is None else "events"
        told.append(f"{outside} {what} lie in no session of the calendar and were left out")
    told += [f"{count} rows of the data were left out: {why}" for why, count in dropped.items()]
    told += _excesses(result)
    told += _falls(result)
    return told


def _slippage(plan: Plan) -> str:
    """What fills rest on (MES-COST-06)."""
    if plan.slip_mode == FIXED:
        return f"slippage is fixed, {plan.slip_ticks} ticks a market or stop fill (MES-COST-06)"
    return "slippage is conditional: 1 tick, more in a shock of volatility or a thin minute (MES-COST-06)"


def _excesses(result: Result) -> list[str]:
    """Days that lost more than the daily limit and the slippage of their last exit (MES-BREAK-05)."""
    limit = result.plan.limits["loss_day_micros_max"]
    fixed = result.plan.slip_mode == FIXED
    slip = result.plan.slip_ticks * result.plan.instrument.tick_value_micros
    told = []
    for day in np.unique(result.trades["trading_day"]).tolist():
        rows = result.trades[result.trades["trading_day"] == day]
        lost = -int(rows["net_micros"].sum())
        slipped = slip * int(rows["qty"][-1]) if fixed else int(rows["exit_slip_micros"][-1])
        if lost > limit + slipped:
            what = f"more than the daily limit of {text_from_micros(limit)} and the last exit's slippage"
            told.append(f"{day} lost {text_from_micros(lost)}, {what}")
    return told


def _falls(result: Result) -> list[str]:
    """Falls of the booked balance from its peak beyond the drawdown limit, the deepest of each peak (MES-BREAK-05).

    At most one trade belongs to it: the hold that the breach raises ends trading until a person resumes it.
    """
    limit = result.plan.limits["drawdown_micros_max"]
    nets = result.trades["net_micros"].astype(np.int64)
    balance = result.plan.capital_micros + np.cumsum(nets)
    peak = np.maximum(np.maximum.accumulate(balance), result.plan.capital_micros)
    fallen = peak - balance
    told = []
    for top in np.unique(peak[fallen > limit]).tolist():
        at = int(np.flatnonzero(peak == top)[np.argmax(fallen[peak == top])])
        fall, lost = int(fallen[at]), -int(nets[at])
        over = text_from_micros(fall - limit)
        beyond = f"the balance fell {text_from_micros(fall)} from its peak, {over} beyond the limit"
        more = "" if fall - limit <= lost else ": more than that trade"
        told.append(
            f"{utc(int(result.trades['exit_ns'][at]))} {beyond}; the last trade lost {text_from_micros(lost)}{more}"
        )
    return told
