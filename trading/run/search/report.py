"""What a study leaves behind for people: every trial as a table, and the best as a backtest that criticises itself.

`trials.csv`, `study.json` and the folder `best` beside the ledger; made anew from it whenever the study is run, and
equal to the byte when nothing was tried in between.  No clock of the machine is in them.  Called by the command
`optimise`.
"""

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trading.research.luck.plateau import Neighbour, Point, plateau
from trading.research.search.methods import Seen
from trading.research.search.space import Space
from trading.run.backtest import outputs
from trading.run.backtest.dearer import reruns_of
from trading.run.backtest.engine import Result
from trading.run.backtest.judged import criticism_of
from trading.run.backtest.plan import BacktestError, Plan
from trading.run.backtest.rivals import rivals_of
from trading.run.backtest.signals import Decisions
from trading.run.search.judgement import axes_of, known_in
from trading.run.search.ledger import Ledger, Trial
from trading.run.search.tape import chunks_of
from trading.run.search.trial import Bench, days_of, trade

TRIALS, STUDY, BEST = "trials.csv", "study.json", "best"
HEAD = ("trial", "stage", "kind")
TAIL = ("score", "trades", "net", "sharpe_daily", "config_hash", "why")


class Named(NamedTuple):
    """What names the inputs of a study in its results."""

    inputs: dict[str, Any]
    contracts: list[str]
    outside: int
    dropped: dict[str, int]


def trials_csv(trials: Sequence[Trial], space: Space) -> str:
    """One trial a line: values by parameter (empty where it did not exist), figures, the reason if infeasible."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    paths = [item.path for item in space.parameters]
    writer.writerow((*HEAD, *paths, *TAIL))
    for k, trial in enumerate(sorted(trials, key=lambda item: (item.stage, item.point))):  # whoever was done first
        values = space.values(trial.point)
        writer.writerow(
            (
                k + 1,
                trial.stage,
                trial.kind,
                *(values.get(path, "") for path in paths),
                "" if trial.score is None else repr(trial.score),
                trial.trades,
                f"{trial.net_micros / 1_000_000:.6f}",
                "" if trial.sharpe is None else repr(trial.sharpe),
                trial.config_hash,
                trial.why,
            )
        )
    return text.getvalue()


def best_run(bench: Bench, space: Space, point: Point, first: int, end: int, sample: str) -> tuple[Result, Decisions]:
    """The chosen point once more, its curve kept, and what it decided, asked in full whether it looks ahead.

    Raises BacktestError when it does, or when the run is not the one that was recorded."""
    plan = bench.plan(space.values(point))
    if not isinstance(plan, Plan):
        raise BacktestError(plan)
    decisions = bench.proven(point, end)
    plan = replace(plan, equity_sample=sample)
    return trade(plan, bench.subject.calendar, bench.tape, decisions, first, end), decisions


def same_as(result: Result, trial: Trial) -> None:
    """Raises BacktestError where a run is not what the ledger says: then the strategy or the code is not repeatable."""
    days = days_of(result)
    if trial.days is None or not np.array_equal(days.equity_micros, trial.days.equity_micros):
        raise BacktestError(
            "the best trial gives another result when it is run again: the strategy draws at random, or was changed"
        )


def write_best(
    ledger: Ledger, folder: Path, bench: Bench, best: Seen, rows: int, named: Named, runs: int, seed: int
) -> dict[str, Any]:
    """The best as a backtest in `best/`; its summary.  Raises BacktestError, OSError."""
    space = bench.subject.space
    result, decisions = best_run(bench, space, best.point, 0, rows, "minute")
    trial = ledger.one("study", best.point)
    assert trial is not None
    same_as(result, trial)
    known = known_in(ledger, folder, days_of(result))
    rivals = rivals_of(result, chunks_of(bench.tape, 0, rows), bench.subject.calendar, runs, seed)
    inputs = named.inputs | {"set": named.inputs["set"] | space.values(best.point)}
    values = outputs.summary_of(result, inputs, named.outside, named.dropped)
    whole = [(bench.tape.bar_ns, bench.tape.window(0, rows, decisions))]
    reruns = reruns_of(result.plan, whole, bench.subject.calendar)
    values["criticism"] = criticism_of(result, known, rivals, seed, reruns)
    outputs.write(folder / BEST, result, named.contracts, values)
    return values


def study_values(ledger: Ledger, space: Space, best: Seen | None, summary: dict[str, Any] | None) -> dict[str, Any]:
    """`study.json`: what was searched, how many trials, the best and its neighbourhood, why trials failed."""
    trials = ledger.trials("study")
    failures: dict[str, int] = {}
    for trial in trials:
        if trial.score is None:
            failures[trial.why] = failures.get(trial.why, 0) + 1
    identity = ledger.identity()
    given_up = len(ledger.cut_short("study"))
    return {
        "study": identity,
        "trials": {
            **({"given_up": given_up} if given_up else {}),  # on a part of the bars, by --prune
            "count": len(trials),
            "feasible": sum(trial.score is not None for trial in trials),
            "by_kind": {kind: sum(trial.kind == kind for trial in trials) for kind in sorted({t.kind for t in trials})},
            "infeasible": dict(sorted(failures.items(), key=lambda item: (-item[1], item[0]))[:20]),
        },
        "best": None if best is None else {"score": best.score, "set": space.values(best.point)},
        "plateau": None if best is None else _plateau(identity, space, trials, best),
        "criticism": None if summary is None else summary["criticism"],
    }


def _plateau(identity: dict[str, Any], space: Space, trials: Sequence[Trial], best: Seen) -> dict[str, Any]:
    found = plateau(axes_of(identity), best.point, {trial.point: trial.score for trial in trials})
    return {
        "kept": found.kept.value,
        "why": found.kept.why,
        "neighbours": [_neighbour(space, item) for item in found.neighbours],
    }


def _neighbour(space: Space, item: Neighbour) -> dict[str, Any]:
    value = space.values(item.point).get(item.axis)
    return {"parameter": item.axis, "step": item.step, "value": value, "score": item.score, "kept": item.kept}


def put(path: Path, text: str) -> None:
    """A file that appears whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(part, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def write_tables(ledger: Ledger, folder: Path, space: Space, values: dict[str, Any]) -> None:
    """`trials.csv` and `study.json`."""
    put(folder / TRIALS, trials_csv(ledger.trials("study"), space))
    put(folder / STUDY, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
