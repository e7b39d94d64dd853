"""What a study says of its best: how many trials it was the best of, its neighbourhood, and the odds that it is luck.

All from the ledger, so that a result can be criticised long after its study.  Whatever else was tried on the same data,
beside it or as the desk counts it, counts too (MES-GUARD-01).  Called by `report`, the walk-forward and
`manage.py backtest --study`.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trading.research.criticism import Search
from trading.research.luck.plateau import Axis, Point
from trading.research.metrics import sharpe_ratio
from trading.research.records import Days, ResearchError, daily_returns
from trading.research.search.methods import Seen, best_of
from trading.research.search.objective import worth_of
from trading.run.backtest.engine import Result
from trading.run.backtest.judged import Known
from trading.run.search import registry
from trading.run.search.ledger import Ledger, Trial, others_on
from trading.run.search.trial import days_of

STAGE = "study"  # of a search over one stretch of bars
OUTSIDE = "backtest"  # kind of a trial that no search proposed


class Evidence(NamedTuple):
    """The trials of one stage: `sharpes` (N,) float64 per day, NaN where undefined; `returns` (D, N') float64 of those
    that were traded; `scores` by point."""

    sharpes: np.ndarray
    returns: np.ndarray
    scores: dict[Point, float | None]


def evidence_of(trials: Sequence[Trial]) -> Evidence:
    """What the trials of one stage show.  A trial whose account was lost has returns that mean nothing, as none."""
    ordered = sorted(trials, key=lambda trial: trial.point)  # sums of floats depend on their order
    sharpes = sharpes_of(ordered)
    columns = []
    for trial in ordered:
        if trial.days is not None:
            returns, why = daily_returns(trial.days)
            if not why:
                columns.append(returns)
    returns = np.column_stack(columns) if columns else np.zeros((0, 0))
    return Evidence(sharpes, returns, {trial.point: trial.score for trial in trials})


def sharpes_of(trials: Sequence[Trial]) -> np.ndarray:
    """(n,) float64 daily Sharpe ratio of each, NaN where undefined."""
    return np.array([np.nan if trial.sharpe is None else trial.sharpe for trial in trials], np.float64)


def axes_of(identity: dict[str, Any]) -> list[Axis]:
    """The axes of a study's space, as its ledger names them."""
    return [Axis(item["path"], len(item["values"]), bool(item["ordered"])) for item in identity["space"]]


def known_here(counted: Path, data_hash: str, key: str, name: str, days: Days, told: int | None) -> Known:
    """What the desk's registry knows of these data, this result written down first (`key`: what decides it).  `told`:
    how many trials somebody counts, this one included; the larger number is the truth.  Raises ResearchError."""
    own, why = daily_returns(days)
    sharpe = None if why else sharpe_ratio(own, 1).value
    registry.note_backtest(counted, data_hash, key, name, days, sharpe)
    count = registry.tried(counted, data_hash).trials
    by = "the desk's registry of trials"
    if told is not None and told > count:
        count, by = told, "--trials"
    return Known(trials=count, sharpes=registry.sharpes_of(counted, data_hash), told_by=by)


def known_of(folder: Path, result: Result, data_hash: str, counted: Path | None = None) -> Known:
    """What a study's ledger knows about a result of its data.  One that it never tried is one more trial, written down
    before it is told of; the same one only once.

    Raises ResearchError: no study, one of other data, or one that is being worked on when a trial must be added."""
    with Ledger(folder, reading=True, counted=counted) as ledger:
        if ledger.identity().get("data_hash") != data_hash:
            raise ResearchError(f"the study in {folder} searched other data")
        new = _untried(ledger, folder, result)
        if new is None:
            return known_in(ledger, folder, days_of(result))
    with Ledger(folder, counted=counted) as ledger:
        ledger.add([new])
        return known_in(ledger, folder, days_of(result))


def _untried(ledger: Ledger, folder: Path, result: Result) -> Trial | None:
    """The result as a trial outside the search, in a stage of its own; None where it is in the ledger already."""
    days, identity = days_of(result), ledger.identity()
    if _place(_trials_of(ledger, folder, STAGE), days) is not None:
        return None
    digest = hashlib.sha256(days.trading_day.tobytes() + days.equity_micros.tobytes()).hexdigest()
    stage = f"{OUTSIDE} {digest[:16]}"
    if ledger.one(stage, ()) is not None:
        return None
    net = np.ascontiguousarray(result.trades["net_micros"])
    worth = worth_of(identity["objective"], days, net, identity["least_trades"])
    config_hash = result.plan.config_hash
    return Trial(
        stage, OUTSIDE, (), worth.score, worth.why, len(net), int(net.sum()), worth.sharpe, config_hash, days
    )  # fmt: skip


def known_in(ledger: Ledger, folder: Path, days: Days, stage: str = STAGE) -> Known:
    """The same from an open ledger that holds the result.  The plateau is looked for where it stands, which must be the
    best."""
    identity = ledger.identity()
    trials = _trials_of(ledger, folder, stage)
    found = evidence_of(trials)
    own, why = daily_returns(days)
    sharpes = np.concatenate([found.sharpes, sharpes_of(ledger.cut_short(stage))])  # given up, and counted all the same
    best = best_of([Seen(point, score) for point, score in found.scores.items()])
    place = _place(trials, days)
    if place is None:
        alone = sharpe_ratio(own, 1).value if not why else None
        sharpes = np.append(sharpes, np.nan if alone is None else alone)
    chosen = place if place is None or best is None or found.scores[place] != best.score else best.point
    others = others_on(folder, str(identity.get("data_hash", "")), ledger.counted)
    return Known(
        trials=ledger.count() + others.trials,
        sharpes=sharpes,
        returns=found.returns if found.returns.size else None,
        search=None if chosen is None else Search(axes_of(identity), chosen, found.scores),
        told_by=f"the study in {folder.name}{others.words()}",
    )


def _trials_of(ledger: Ledger, folder: Path, stage: str) -> list[Trial]:
    trials = ledger.trials(stage)
    if not trials:
        raise ResearchError(f"{folder} holds no trial of a study over one stretch; run optimise first")
    return trials


def _place(trials: Sequence[Trial], days: Days) -> Point | None:
    """Where a result stands among the trials of a search."""
    return next((trial.point for trial in trials if trial.days is not None and _same(trial.days, days)), None)


def _same(one: Days, other: Days) -> bool:
    return np.array_equal(one.trading_day, other.trading_day) and np.array_equal(one.equity_micros, other.equity_micros)
