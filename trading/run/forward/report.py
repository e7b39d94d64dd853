"""What a walk-forward leaves behind: a row a fold, the joined tests as one record and what it is worth, the gate's
rows.

`folds.csv`, `out_of_sample.csv` and `walkforward.json` beside the ledger, made anew from it.  A gate row that the walk
has no evidence for stays without and blocks.  No clock of the machine is in them.  `evidence.json`, for the gate's
report, is dated by the moment that is handed in, or by an earlier one at which it said the same.  Called by the
command `walkforward`.
"""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.units import text_from_micros
from trading.research.criticism import Subject, criticise
from trading.research.figures import Figure, Verdict, figure
from trading.research.fold_results import WalkForward, concatenated, summarise
from trading.research.forward.joined import Outside, efficiency, joined
from trading.research.gate import MES_CHECKS, Candidate, Decision, Evidence, decide, evidence_of
from trading.research.golive.evidence import dated, evidence_from, text_of
from trading.research.golive.networks import Told, network_figures
from trading.research.luck.plateau import Point, plateau
from trading.research.luck.selection import overfit_probability
from trading.research.metrics import Metrics, measure, plain, returns_of
from trading.research.records import Days, Trades
from trading.research.search.space import Space
from trading.run.backtest import summary
from trading.run.backtest.dearer import Rerun, verdict_of
from trading.run.backtest.judged import row_values, stress_values
from trading.run.forward.holdout import Opened
from trading.run.forward.holdout import values_of as holdout_values
from trading.run.forward.walk import TEST, TRAIN, Outcome, stage_of
from trading.run.search.judgement import axes_of, sharpes_of
from trading.run.search.judgement import evidence_of as trials_of
from trading.run.search.ledger import Ledger, Trial, others_on
from trading.run.search.registry import key_of
from trading.run.search.report import put
from trading.run.search.trial import trades_from

FOLDS, CURVE, WALK, EVIDENCE = "folds.csv", "out_of_sample.csv", "walkforward.json", "evidence.json"
AT_COST, ANEW_AT_COST = "net_at_cost_1_5", "net_rerun_at_cost_1_5"


class Chosen(NamedTuple):
    """How one fold's choice came about: PBO of its training, and what one step away keeps there."""

    pbo: Figure
    plateau: Figure
    sharpes: np.ndarray


class Beside(NamedTuple):
    """What the outcomes do not hold: `config_hash` of the one configuration of all folds, empty where none was chosen;
    `reruns`: the tests traded anew at dearer costs; `break_even`: the win rate at which their brackets earn nothing;
    `told`: what retrained networks said of the rows of the tests."""

    config_hash: str = ""
    reruns: tuple[Rerun, ...] = ()
    break_even: Figure = Figure(None, "Nobody worked it out")
    told: Told | None = None


class Judged(NamedTuple):
    """Everything that is said of a walk."""

    walk: WalkForward
    choices: dict[int, Chosen]
    efficiency: Figure
    record: tuple[Trades, Days] | None
    metrics: Metrics | None
    rows: tuple[Verdict, ...]
    gate: Decision
    reruns: tuple[Rerun, ...]
    evidence: dict[str, Evidence]


def judged(
    ledger: Ledger,
    folder: Path,
    outcomes: Sequence[Outcome],
    start_micros: int,
    fold_trades: int,
    seed: int,
    now_ns: int,
    beside: Beside,
) -> Judged:
    """The walk, judged.  Raises ResearchError where its tests overlap: take a step as long as the test."""
    identity = ledger.identity()
    run = [outcome for outcome in outcomes if outcome.test is not None]
    choices = {outcome.fold.number: _choice(ledger, identity, outcome) for outcome in run}
    walk = summarise([outcome.result() for outcome in outcomes], fold_trades)
    kept = efficiency(*(_net_and_sessions(run, name) for name in (TRAIN, TEST)))
    # what would trade is what all folds together chose; a profile whose values were searched was itself never traded
    candidate = Candidate(beside.config_hash or identity["configuration"], network_of(identity), identity["code_hash"])
    evidence: dict[str, Evidence] = {}
    record: tuple[Trades, Days] | None = None
    metrics: Metrics | None = None
    rows: tuple[Verdict, ...] = ()
    if run:
        tests = [_outside(outcome) for outcome in run]
        trades, days, curve = joined(start_micros, tests)
        metrics = measure(trades, days, curve)
        sharpes = np.concatenate([choice.sharpes for choice in choices.values()])
        count = ledger.count() + others_on(folder, identity["data_hash"], ledger.counted).trials
        subject = Subject(trades, days, curve, sharpes, seed=seed, told=max(count, len(sharpes)))
        rows = tuple(row for row in criticise(subject) if row.name not in ("pbo", "plateau", *NOT_RUN))
        if beside.reruns:
            rows = (*rows, verdict_of(beside.reruns))
        record = (trades, days)
        figures = _figures(metrics, walk, choices, rows)
        figures["win_rate_surplus"] = (_surplus(metrics, beside.break_even), metrics.trades.trades)
        figures |= {} if beside.told is None else network_figures(beside.told)
        evidence = _evidence(figures, rows, candidate, now_ns, _run_name(ledger, identity))
    gate = decide(MES_CHECKS, evidence, candidate, now_ns)
    return Judged(walk, choices, kept, record, metrics, rows, gate, beside.reruns, evidence)


def network_of(identity: dict[str, Any]) -> str:
    """What decided in a walk, by hash: how its networks were made, else the strategy, else the column of its data."""
    if networks := identity.get("networks"):
        return network_key(networks["rows"], networks["schema"], networks["every_s"], networks.get("way", ""))
    return str(identity["strategy_hash"] or identity["data_hash"])


def network_key(rows: str, schema: str, every_s: int, way: str) -> str:
    """Of networks that were made alike: from rows of a file, by a schema, each of so many seconds, in a way."""
    return key_of([rows, schema, every_s, way])


NOT_RUN = ("random_as_good", "share_of_possible")  # rivals are of a backtest


def _outside(outcome: Outcome) -> Outside:
    test = outcome.test
    assert test is not None and test.days is not None
    return Outside(summary.trades_of(trades_from(test.rows)), test.days, test.curve)


def _choice(ledger: Ledger, identity: dict[str, Any], outcome: Outcome) -> Chosen:
    stage = stage_of(outcome.fold, TRAIN)
    found = trials_of(ledger.trials(stage))
    sharpes = np.concatenate([found.sharpes, sharpes_of(ledger.cut_short(stage))])  # given up, and counted all the same
    assert outcome.chosen is not None
    pbo = overfit_probability(found.returns).pbo if found.returns.size else Figure(None, "No trial left returns")
    return Chosen(pbo, plateau(axes_of(identity), outcome.chosen, found.scores).kept, sharpes)


def _net_and_sessions(run: Sequence[Outcome], name: str) -> list[tuple[int, int]]:
    trials = [getattr(outcome, name) for outcome in run]
    return [(trial.net_micros, len(trial.days)) for trial in trials if trial is not None and trial.days is not None]


def _run_name(ledger: Ledger, identity: dict[str, Any]) -> str:
    return f"walk-forward {ledger.key()[:12]} of {identity['data']}"


def _mean(figures: Sequence[tuple[int, Figure]]) -> Figure:
    """Mean over folds; one fold without the figure leaves it undefined: the weakest fold may not be left out."""
    for number, found in figures:
        if found.value is None:
            return Figure(None, f"Fold {number}: {found.why}")
    return figure(float(np.mean([found.value for _, found in figures]))) if figures else Figure(None, "No fold was run")


def _figures(
    metrics: Metrics, walk: WalkForward, choices: dict[int, Chosen], rows: Sequence[Verdict]
) -> dict[str, tuple[Figure, int]]:
    """What the walk says of rows of MES-GATE, each with the size of its sample."""
    closed, folds = metrics.trades.trades, len(walk.folds)
    sessions = next(row.n for row in rows if row.name == "deflated_sharpe")
    trials = sum(len(choice.sharpes) for choice in choices.values())
    return {
        "sharpe": (metrics.returns.sharpe, sessions),
        "calmar": (metrics.risk.calmar, sessions),
        "profit_factor": (metrics.trades.profit_factor, closed),
        "max_drawdown": (_fallen(metrics), sessions),
        "worst_day": (metrics.consistency.worst_day, sessions),
        "trades": (figure(closed), closed),
        "profitable_folds": (walk.profitable, folds),
        "worst_fold_sharpe": (walk.worst, folds),
        "fold_sharpe_deviation": (walk.deviation, folds),
        "pbo": (_mean([(number, choice.pbo) for number, choice in choices.items()]), trials),
        "plateau": (_mean([(number, choice.plateau) for number, choice in choices.items()]), trials),
    }


def _evidence(
    figures: dict[str, tuple[Figure, int]], rows: Sequence[Verdict], candidate: Candidate, now_ns: int, run: str
) -> dict[str, Evidence]:
    """What the walk proves of MES-GATE; every other row of the gate has no evidence.  Of the two ways to dearer costs,
    the same trades and trading anew, the worse one counts."""
    evidence = {
        name: Evidence(value.value, n, run, now_ns, *candidate, why=value.why) for name, (value, n) in figures.items()
    }
    told = {row.name: row for row in rows}
    evidence["deflated_sharpe"] = evidence_of(told["deflated_sharpe"], run, now_ns, candidate)
    dearer = [told[name] for name in (AT_COST, ANEW_AT_COST) if name in told]
    worst = min(dearer, key=lambda row: -math.inf if row.value is None else row.value)
    evidence[AT_COST] = evidence_of(worst, run, now_ns, candidate)
    return evidence


def _surplus(metrics: Metrics, break_even: Figure) -> Figure:
    won = metrics.trades.win_rate
    if won.value is None or break_even.value is None:
        return Figure(None, won.why or break_even.why)
    return figure(won.value - break_even.value)


def _fallen(metrics: Metrics) -> Figure:
    """A curve that never fell has a drawdown of nothing, which a gate may count."""
    return metrics.drawdown.share if metrics.drawdown.micros else figure(0.0)


def folds_csv(outcomes: Sequence[Outcome], space: Space, choices: dict[int, Chosen], notes: dict[int, str]) -> str:
    """One line a fold, the infeasible ones too."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    paths = [item.path for item in space.parameters]
    parts = ("train", "validation", "test")
    writer.writerow(
        (
            "fold", *(f"{part}_{edge}" for part in parts for edge in ("from", "to")), *paths,
            *(f"{part}_score" for part in parts), "test_trades", "test_net", "pbo", "plateau", "note",
        )
    )  # fmt: skip
    for outcome in outcomes:
        fold = outcome.fold
        values = {} if outcome.chosen is None else space.values(outcome.chosen)
        choice = choices.get(fold.number)
        spans = [
            summary.utc(ns) for part in parts for ns in (getattr(fold, part).open_ns, getattr(fold, part).close_ns)
        ]
        scores = [getattr(outcome, part) for part in parts]
        writer.writerow(
            (
                fold.number,
                *spans,
                *(values.get(path, "") for path in paths),
                *("" if trial is None or trial.score is None else repr(trial.score) for trial in scores),
                outcome.test.trades if outcome.test else 0,
                text_from_micros(outcome.test.net_micros if outcome.test else 0),
                "" if choice is None or choice.pbo.value is None else repr(choice.pbo.value),
                "" if choice is None or choice.plateau.value is None else repr(choice.plateau.value),
                notes.get(fold.number, ""),
            )
        )
    return text.getvalue()


def curve_csv(outcomes: Sequence[Outcome], days: Days | None) -> str:
    """The joined tests at each session's close."""
    lines = ["trading_day,close,equity,fold"]
    if days is not None:
        folds = [o.fold.number for o in outcomes if o.test is not None and o.test.days for _ in range(len(o.test.days))]
        columns = (days.trading_day.tolist(), days.close_ns.tolist(), days.equity_micros.tolist(), folds)
        for day, close_ns, equity, fold in zip(*columns, strict=True):
            lines.append(f"{day},{summary.utc(close_ns)},{text_from_micros(equity)},{fold}")
    return "\n".join(lines) + "\n"


def walk_values(
    ledger: Ledger,
    outcomes: Sequence[Outcome],
    space: Space,
    found: Judged,
    one: tuple[Point, list[Trial]] | None,
    holdout: str,
    opened: Opened | None,
) -> dict[str, Any]:
    """`walkforward.json`."""
    walk, metrics = found.walk, found.metrics
    notes = dict(walk.notes)
    return {
        "study": ledger.identity(),
        "trials": ledger.count(),
        "holdout": holdout,
        "opened": holdout_values(opened),
        "folds": [_fold_values(outcome, space, found.choices.get(outcome.fold.number), notes) for outcome in outcomes],
        "walk": {name: plain(getattr(walk, name)) for name in ("profitable", "mean", "deviation", "worst", "score")}
        | {"robust": walk.robust, "why_not": walk.why_not},
        "efficiency": plain(found.efficiency),
        "combined": None if one is None else _combined(space, *one),
        "out_of_sample": None if metrics is None else _metrics_values(metrics),
        "cost_stress": None if found.record is None else stress_values(found.record[0], found.reruns),
        "criticism": [row_values(row) for row in found.rows],
        "gate": {"passed": found.gate.passed, "rows": [row_values(row) for row in found.gate.rows]},
    }


def _fold_values(outcome: Outcome, space: Space, choice: Chosen | None, notes: dict[int, str]) -> dict[str, Any]:
    parts = {}
    for name in ("train", "validation", "test"):
        part, trial = getattr(outcome.fold, name), getattr(outcome, name)
        parts[name] = {
            "from": summary.utc(part.open_ns),
            "to": summary.utc(part.close_ns),
            "sessions": part.sessions,
            "embargoed": part.embargoed,
            "score": None if trial is None else trial.score,
            "trades": None if trial is None else trial.trades,
            "net": None if trial is None else text_from_micros(trial.net_micros),
        }
    return {
        "fold": outcome.fold.number,
        "note": notes.get(outcome.fold.number, ""),
        "set": None if outcome.chosen is None else space.values(outcome.chosen),
        "pbo": None if choice is None else plain(choice.pbo),
        "plateau": None if choice is None else plain(choice.plateau),
        **parts,
    }


def _combined(space: Space, point: Point, trials: Sequence[Trial]) -> dict[str, Any]:
    """One configuration for all folds, on the stretches of their tests (MES-OPT-05)."""
    days = [trial.days for trial in trials if trial.days is not None]
    sharpe = Figure(None, trials[0].why)
    if len(days) == len(trials):
        sharpe = returns_of(concatenated(days[0].start_micros, days)).sharpe
    return {
        "set": space.values(point),
        "trades": sum(trial.trades for trial in trials),
        "net": text_from_micros(sum(trial.net_micros for trial in trials)),
        "sharpe": plain(sharpe),
        "note": "made of choices from all folds: not outside the sample",
    }


def _metrics_values(metrics: Metrics) -> dict[str, Any]:
    """What the kept points tell exactly; how long a fall lasted they do not."""
    return {
        "returns": plain(metrics.returns),
        "calmar": plain(metrics.risk.calmar),
        "drawdown_share": plain(metrics.drawdown.share),
        "drawdown": text_from_micros(metrics.drawdown.micros),
        "trades": metrics.trades.trades,
        "net": text_from_micros(metrics.trades.net_micros),
        "profit_factor": plain(metrics.trades.profit_factor),
        "win_rate": plain(metrics.trades.win_rate),
        "cost": text_from_micros(metrics.costs.cost_micros),
        "worst_day": plain(metrics.consistency.worst_day),
    }


def write(folder: Path, outcomes: Sequence[Outcome], space: Space, found: Judged, values: dict[str, Any]) -> None:
    """The four files."""
    put(folder / FOLDS, folds_csv(outcomes, space, found.choices, dict(found.walk.notes)))
    put(folder / CURVE, curve_csv(outcomes, None if found.record is None else found.record[1]))
    put(folder / WALK, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    put(folder / EVIDENCE, text_of(dated(found.evidence, evidence_in(folder))))


def evidence_in(folder: Path) -> dict[str, Evidence]:
    """What a walk left for the gate's report; none before it did.  Raises ResearchError for a file that is none."""
    try:
        return evidence_from((folder / EVIDENCE).read_text(encoding="utf-8"), str(folder / EVIDENCE))
    except FileNotFoundError:
        return {}
