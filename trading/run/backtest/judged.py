"""The part of `summary.json` in which a backtest criticises itself, and the same in plain words for the terminal.

Rows, bounds and sentences are those of `trading.research.criticism`; here they only get a result's arrays, what is
known of the trials before it, and its rivals.  What nobody told is null with a reason and stands in the way.  Called
by the commands `backtest`, `optimise` and `walkforward`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.units import text_from_micros
from trading.research.criticism import Search, Subject, criticise
from trading.research.figures import (
    FAILED,
    NO_DATA,
    NOT_APPLICABLE,
    PASSED,
    REPORT,
    Figure,
    Verdict,
    figure,
    judge,
    money,
)
from trading.research.luck.costs import cost_stress
from trading.research.luck.paths import Paths, bootstrapped_days, shuffled_trades
from trading.research.metrics import sharpe_ratio
from trading.research.records import Curve, Days, Trades, daily_returns
from trading.run.backtest.dearer import Rerun, verdict_of
from trading.run.backtest.engine import Result
from trading.run.backtest.rivals import Rivals
from trading.run.backtest.summary import arrays_of

WORDS = {PASSED: "passed", FAILED: "FAILED", NO_DATA: "NO DATA", NOT_APPLICABLE: "passed over"}
NONE = np.zeros(0)


class Known(NamedTuple):
    """What is known of the trials that were run on these data, this result among them.

    `trials`: how many; None: nobody said.  `sharpes` (N,) float64: daily Sharpe of those that are recorded, NaN where
    undefined; `returns` (D, N): their daily returns; `search`: where the result stands in a study.  `told_by` in words.
    """

    trials: int | None = None
    sharpes: np.ndarray = NONE
    returns: np.ndarray | None = None
    search: Search | None = None
    told_by: str = "nobody"


def subject_of(trades: Trades, days: Days, known: Known, rivals: Rivals | None, seed: int) -> Subject:
    """A result as research criticises it."""
    returns, why = daily_returns(days)
    own = sharpe_ratio(returns, 1) if not why else Figure(None, why)
    alone = np.array([np.nan if own.value is None else own.value])
    return Subject(
        trades,
        days,
        Curve(days.close_ns, days.equity_micros),
        trial_sharpes=known.sharpes if len(known.sharpes) else alone,
        trial_returns=known.returns,
        search=known.search,
        random_nets_micros=rivals.random_nets_micros if rivals else None,
        possible_micros=rivals.possible_micros if rivals else None,
        seed=seed,
        told=known.trials,
    )


def criticism_of(
    result: Result, known: Known, rivals: Rivals | None, seed: int = 1, reruns: Sequence[Rerun] = ()
) -> dict[str, Any]:
    """`criticism` of summary.json; `reruns`: the same at dearer costs, where it was traded anew.  Raises ResearchError
    where the trials contradict themselves."""
    trades, days = arrays_of(result)
    rows = list(criticise(subject_of(trades, days, known, rivals, seed)))
    if reruns:
        rows.append(verdict_of(reruns))
    if rivals is not None:
        rows.append(_against_holding(rivals, trades))
    return {
        "trials": {"count": known.trials, "told_by": known.told_by},
        "seed": seed,
        "blocked_by": [row.name for row in rows if row.blocks],
        "rows": [row_values(row) for row in rows],
        "cost_stress": stress_values(trades, reruns),
        "monte_carlo": _paths_values(trades, days, seed),
        "baselines": _rivals_values(rivals),
    }


def row_values(row: Verdict) -> dict[str, Any]:
    """One verdict for JSON."""
    return {
        "name": row.name,
        "value": row.value,
        "relation": row.relation,
        "bound": row.bound,
        "state": row.state,
        "weight": row.weight,
        "n": row.n,
        "n_of": row.n_of,
        "sentence": row.sentence,
    }


def spoken(criticism: dict[str, Any]) -> Iterator[str]:
    """The criticism in lines for a terminal: what stands in the way first, what has no bound last."""
    rows = criticism["rows"]
    order = (FAILED, NO_DATA, PASSED, NOT_APPLICABLE)
    judged = [row for state in order for row in rows if row["state"] == state]
    blocked = criticism["blocked_by"]
    yield (
        f"What this is worth: in its way {'stand' if len(blocked) > 1 else 'stands'} {', '.join(blocked)}."
        if blocked
        else "What this is worth: no required row of the criticism stands in its way; that proves no edge."
    )
    for row in judged:
        yield f"  {WORDS[row['state']]:<11} {row['name']}: {row['sentence']}"
    for row in rows:
        if row["state"] not in order:
            yield f"  {'told':<11} {row['name']}: {row['sentence']}"


def _against_holding(rivals: Rivals, trades: Trades) -> Verdict:
    text = "One contract held from the first bar to the last, nights included, would have made {held}; this made {net}."
    words = {"held": money(rivals.held_micros), "net": money(int(trades.net_micros.sum()))}
    value = figure(rivals.held_micros / 1_000_000)
    return judge("buy_and_hold", value, "", None, len(trades), "trades", text, REPORT, words=words)


def stress_values(trades: Trades, reruns: Sequence[Rerun] = ()) -> list[dict[str, Any]]:
    """MES-GUARD-05, three rows; money in dollars.  `rerun`: what trading anew came to, null where it was not done."""
    anew = {run.factor: {"trades": run.trades, "net": text_from_micros(run.net_micros)} for run in reruns}
    return [
        {
            "factor": float(row.factor),
            "net": text_from_micros(row.net_micros),
            "profit_factor": row.profit_factor.value,
            "wins": row.wins,
            "rerun": anew.get(row.factor),
        }
        for row in cost_stress(trades)
    ]


def _paths_values(trades: Trades, days: Days, seed: int) -> dict[str, Any]:
    """MES-GUARD-04: 5, 50, 95 % and the middle 95 % of other orders and of other days; null where nothing was drawn."""
    returns, _ = daily_returns(days)
    shuffled = shuffled_trades(trades.net_micros, days.start_micros, seed=seed) if len(trades) else None
    drawn = bootstrapped_days(returns, days.start_micros, seed=seed) if len(returns) else None
    return {"trades_in_other_order": _paths(shuffled), "days_drawn_anew": _paths(drawn)}


def _paths(found: Paths | None) -> dict[str, Any] | None:
    if found is None:
        return None

    def dollars(values: Sequence[float]) -> list[float]:
        return [round(value / 1_000_000, 2) for value in values]

    return {
        "paths": found.paths,
        "percentiles": [5, 50, 95, 2.5, 97.5],
        "end": dollars(found.end_micros),
        "drawdown": dollars(found.drawdown_micros),
        "drawdown_pct": [round(100 * share, 4) for share in found.drawdown_share],
        "chance_of_losing": {str(level // 1_000_000): chance for level, chance in found.loss_chance.items()},
    }


def _rivals_values(rivals: Rivals | None) -> dict[str, Any] | None:
    if rivals is None:
        return None
    nets = rivals.random_nets_micros
    random = None
    if len(nets):
        random = {
            "runs": len(nets),
            "trades_mean": float(rivals.random_trades.mean()),
            "net_mean": round(float(nets.mean()) / 1_000_000, 2),
            "net_best": text_from_micros(int(nets.max())),
        }
    possible = rivals.possible_micros
    return {
        "random": random,
        "buy_and_hold": text_from_micros(rivals.held_micros),
        "foresight": None if possible is None else text_from_micros(possible),
    }
