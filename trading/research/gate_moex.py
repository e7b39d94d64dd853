"""The shares' go-live gate (MOEX-GATE-01, -02): measures of a lineage's paper trades of the last 60 days, and bounds.

Whoever calls hands in the record of one lineage only; a commission below 5 bps a side is made up to that, in the trades
and in the equity.  Evidence that is missing fails.  Backtests inform and never pass this gate.  Called by whoever
decides on production, and by its report.
"""

from dataclasses import dataclass

import numpy as np

from marketdata.core.units import MICROS
from trading.research.equity import drawdown
from trading.research.figures import PASSED, REPORT, REQUIRED, Figure, Verdict, figure, judge, number, ratio
from trading.research.gate import DAY_NS, RESULT, Check, Decision, judged
from trading.research.intervals import DRAWS, Interval, sharpe_interval, trade_intervals
from trading.research.metrics import NO_TRADES, sharpe_ratio
from trading.research.records import Curve, Days, ResearchError, in_order, opening_micros, session_of, total

WINDOW_NS = 60 * DAY_NS
FEE_PPM = 500  # 5 bps a side
PPM = 1_000_000
BLOCK_DAYS = 5.0

# MOEX-GATE-01, in its order.
# fmt: off
MOEX_CHECKS = (
    Check("profit_factor", ">=", 1.8, REQUIRED, RESULT, "trades", 0,
          "Winning trades made {value} times what losing ones lost; at least {bound} is needed."),
    Check("sharpe", ">", 2.5, REQUIRED, RESULT, "days", 0,
          "The annual Sharpe ratio of daily net on capital is {value}; it must be above {bound}."),
    Check("max_drawdown", "<=", 0.02, REQUIRED, RESULT, "points", 0,
          "The deepest fall from a peak is {value} of it; at most {bound} is allowed."),
    Check("win_rate", ">=", 0.87, REQUIRED, RESULT, "trades", 0,
          "{value} of the trades won; at least {bound} is needed."),
    Check("trades", ">=", 500, REQUIRED, RESULT, "trades", 0, "There are {value} trades; {bound} are needed."),
    Check("days_with_a_trade", ">=", 20, REQUIRED, RESULT, "days", 0,
          "There was a trade on {value} days; {bound} are needed."),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class PaperRecord:
    """One lineage on paper over at most 60 days.  Trades (n,) int64 in the order of their exits; money in micros.

    `commission_micros` as booked; `turnover_micros`: traded value of both sides.  `days`: every trading day that the
    mode ran, with equity at its end; `capital_micros` (D,) int64: C of each (MOEX-RISK-01); `curve`: equity with open
    P&L at each fill and every 60 s.
    """

    gross_micros: np.ndarray
    commission_micros: np.ndarray
    turnover_micros: np.ndarray
    entry_ns: np.ndarray
    exit_ns: np.ndarray
    days: Days
    capital_micros: np.ndarray
    curve: Curve


def surcharge(record: PaperRecord) -> np.ndarray:
    """(n,) int64 >= 0: what each trade's commission lacks to 5 bps of its turnover, rounded up to a micro."""
    least = -(-record.turnover_micros * FEE_PPM // PPM)
    return np.maximum(least - record.commission_micros, 0)


def charged(record: PaperRecord) -> tuple[np.ndarray, Days, Curve]:
    """(net of each trade, days, curve) as if 5 bps a side had been paid; the surcharge is booked whole at the entry."""
    extra = surcharge(record)
    order = np.argsort(record.entry_ns, kind="stable")
    entries, paid = record.entry_ns[order], np.concatenate(([0], extra[order].cumsum()))
    days, curve = record.days, record.curve

    def less(ts_ns: np.ndarray, equity: np.ndarray) -> np.ndarray:
        return equity - paid[np.searchsorted(entries, ts_ns, side="right")]

    after = Days(
        days.start_ns, days.start_micros, days.trading_day, days.close_ns, less(days.close_ns, days.equity_micros)
    )
    net = record.gross_micros - record.commission_micros - extra
    return net, after, Curve(curve.ts_ns, less(curve.ts_ns, curve.equity_micros))


def moex_gate(record: PaperRecord, now_ns: int, seed: int = 1) -> Decision:
    """MOEX-GATE-01.  Raises ResearchError for a record that reaches outside the 60 days before `now_ns`."""
    _check(record, now_ns - WINDOW_NS, now_ns)
    net, days, curve = charged(record)
    returns = (days.equity_micros - opening_micros(days)) / record.capital_micros
    session = session_of(days, record.exit_ns)
    n, traded = len(net), len(np.unique(session))
    measured = {
        "profit_factor": (_profit_factor(net), n),
        "sharpe": (sharpe_ratio(returns), len(returns)),
        "max_drawdown": (_deepest(days, curve), len(curve)),
        "win_rate": (ratio(int((net > 0).sum()), n, NO_TRADES), n),
        "trades": (figure(n), n),
        "days_with_a_trade": (figure(traded), traded),
    }
    rows = [judged(check, *measured[check.name]) for check in MOEX_CHECKS]
    if n > 0 and total(net[net > 0]) > 0 and total(net[net < 0]) == 0:
        rows[0] = _nothing_lost(rows[0])
    shown = (*rows, *_reported(net, returns, seed), *_bounds(net, session, len(days), seed), *_costs(record))
    return Decision(not any(row.blocks for row in shown), shown)


def _check(record: PaperRecord, since_ns: int, now_ns: int) -> None:
    n, days = len(record.gross_micros), record.days
    for name in ("gross_micros", "commission_micros", "turnover_micros", "entry_ns", "exit_ns"):
        values = getattr(record, name)
        if values.shape != (n,) or values.dtype != np.int64:
            raise ResearchError(f"{name} is not ({n},) int64")
    if n and (int(record.commission_micros.min()) < 0 or int(record.turnover_micros.min()) <= 0):
        raise ResearchError("a commission is negative or a turnover not positive: no trade can be charged so")
    if n and int(record.turnover_micros.max()) > 2**62 // FEE_PPM:
        raise ResearchError("a turnover is larger than can be charged exactly")
    if len(record.capital_micros) != len(days) or (len(days) and int(record.capital_micros.min()) <= 0):
        raise ResearchError("every trading day needs its capital above 0")
    times = [days.start_ns, *days.close_ns[-1:].tolist(), *record.exit_ns[:1].tolist(), *record.exit_ns[-1:].tolist()]
    if min(times) < since_ns or max(times) > now_ns:
        raise ResearchError("the record reaches outside the 60 days that the gate looks at")
    if not in_order(record.exit_ns) or bool((record.exit_ns < record.entry_ns).any()):
        raise ResearchError("trades are not in the order of their exits, or one ends before it begins")


def _deepest(days: Days, curve: Curve) -> Figure:
    if len(curve) == 0:
        return Figure(None, "There are no equity points")
    share = drawdown(days, curve).share
    return share if share.value is not None else figure(0.0)  # never fell: that is a fall of 0


def _profit_factor(net: np.ndarray) -> Figure:
    won, lost = total(net[net > 0]), -total(net[net < 0])
    return ratio(won, lost, NO_TRADES if len(net) == 0 else "No trade won and none lost")


def _nothing_lost(row: Verdict) -> Verdict:
    """Without a losing trade the profit factor is infinite, which passes: the one undefined value that does."""
    spoken = "No trade lost, so the profit factor is beyond every bound."
    return Verdict(row.name, None, row.relation, row.bound, PASSED, row.n, row.n_of, spoken, {})


def _reported(net: np.ndarray, returns: np.ndarray, seed: int) -> tuple[Verdict, ...]:
    """MOEX-GATE-02: per-trade Sharpe, and the interval of the annual one by blocks of days."""
    per_trade = sharpe_ratio(net.astype(np.float64), 1)
    text = "Per trade, the mean net is {value} of its deviation."
    found = sharpe_interval(returns, seed=seed, mean_block=BLOCK_DAYS)
    return (
        judge("sharpe_per_trade", per_trade, "", None, len(net), "trades", text, REPORT),
        _low("sharpe", "the annual Sharpe ratio", found, 1.0),
    )


def _bounds(net: np.ndarray, session: np.ndarray, days: int, seed: int) -> tuple[Verdict, ...]:
    """MOEX-GATE-02: intervals of what the trades came to, by blocks of whole days."""
    found = trade_intervals(net, session, days, BLOCK_DAYS, DRAWS, seed)
    return (
        _low("mean_net", "the mean net of a trade", found.mean_net, 1.0 / MICROS),
        _low("win_rate", "the share of trades that won", found.win_rate, 1.0),
        _low("profit_factor", "the profit factor", found.profit_factor, 1.0),
    )


def _low(name: str, what: str, found: Interval, times: float) -> Verdict:
    """The lower end of an interval as a row that decides nothing; its sentence names both ends."""
    low = Figure(None, found.why) if found.low is None else figure(found.low * times)
    high = None if found.high is None else found.high * times
    between = f"With 95 % confidence {what} lies between {{low}} and {{high}}."
    words = {"low": number(low.value), "high": number(high)}
    return judge(f"{name}_interval_low", low, "", None, found.n, "days", between, REPORT, words=words)


def _costs(record: PaperRecord) -> tuple[Verdict, ...]:
    """MOEX-GATE-02: what trading cost, and what it had to be made up by."""
    n, booked, extra = len(record.gross_micros), total(record.commission_micros), total(surcharge(record))
    positive = total(record.gross_micros[record.gross_micros > 0])
    each = ratio(booked + extra, n * MICROS, NO_TRADES)
    share = ratio(booked + extra, positive, "No trade had a positive gross result")
    words = {"extra": number(extra / MICROS)}
    told = "A trade cost {value} in commission; {extra} in all was added to reach 5 bps a side."
    part = "Commission took {value} of what the trades that gained made before it."
    return (
        judge("cost_per_trade", each, "", None, n, "trades", told, REPORT, words=words),
        judge("cost_share", share, "", None, n, "trades", part, REPORT),
    )
