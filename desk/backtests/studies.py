"""What studies left in `var/studies`: searches and walk-forwards, as their ledgers and files tell them.  Reading only.

A study is named by its folder there and by nothing else.  One whose file is not written yet is at work or was stopped:
its ledger says how far it came.  What cannot be read is named, with the reason.  Called by the pages of studies.
"""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from django.conf import settings

from desk.backtests.models import SEARCH, WALK
from desk.backtests.runs import STUDIES
from trading.research.records import ResearchError
from trading.research.search.landscape import Weight, codes_of, plane, weight
from trading.run.search.ledger import FILE, Ledger

RESULTS = {SEARCH: "study.json", WALK: "walkforward.json"}
TABLES = {SEARCH: ("study.json", "trials.csv"), WALK: ("walkforward.json", "folds.csv", "out_of_sample.csv")}
USED = {  # what the pages read of each; a file without one of them was written by another version
    SEARCH: ("best", "criticism", "plateau", "trials"),
    WALK: (
        "study", "folds", "walk", "efficiency", "out_of_sample", "holdout", "combined", "criticism", "gate",
    ),
}  # fmt: skip
NAMED = ("strategy", "symbol", "settings", "space")  # and of what was searched
STUDIES_MAX = 200
LINES_MAX = 300  # of the picture of all parameters
WIDTH, HEIGHT, EDGE = 720, 260, 12


class Study(NamedTuple):
    """One folder.  `identity`: what is searched; `trials` on disk; `values`: its result, None while there is none."""

    name: str
    purpose: str
    identity: dict[str, Any]
    trials: int
    values: dict[str, Any] | None
    files: list[str]
    fault: str


class Axis(NamedTuple):
    """One parameter of the picture: where it stands, its values with the height of each."""

    name: str
    x: str
    marks: list[tuple[str, str]]


class Line(NamedTuple):
    """One trial through all parameters; `tone` best, good, rest; `words` to read."""

    points: str
    tone: str
    words: str


def folder() -> Path:
    """Where studies lie that were given no other place."""
    return Path(settings.VAR) / STUDIES


def names() -> list[str]:
    """Folders that hold a study, the one last written first."""
    place = folder()
    found = []
    for path in place.iterdir() if place.is_dir() else ():
        with contextlib.suppress(OSError):  # no study, or gone meanwhile
            found.append(((path / FILE).stat().st_mtime_ns, path.name))
    return [name for _, name in sorted(found, reverse=True)[:STUDIES_MAX]]


def study(name: str) -> Study | None:
    """A study of the list; None for any other name."""
    return read(name) if name in names() else None


def read(name: str) -> Study:
    """The study of a folder; `name` is one of `names`."""
    place = folder() / name
    try:
        with Ledger(place, reading=True) as ledger:
            identity, trials = ledger.identity(), ledger.count()
    except (ResearchError, sqlite3.Error) as error:
        return Study(name, "", {}, 0, None, [], str(error))
    purpose = str(identity.get("purpose", ""))
    if purpose not in RESULTS:
        return Study(name, purpose, identity, trials, None, [], "its ledger does not say what it is for")
    values, fault = None, ""
    try:
        values = json.loads((place / RESULTS[purpose]).read_text(encoding="utf-8"))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        fault = f"{RESULTS[purpose]}: {error}"
    if values is not None and (lacks := _lacks(purpose, identity, values)):
        values, fault = (
            None,
            f"{RESULTS[purpose]} was written by another version: it says nothing of {', '.join(lacks)}",
        )
    files = [item for item in TABLES[purpose] if (place / item).is_file()]
    return Study(name, purpose, identity, trials, values, files, fault)


def _lacks(purpose: str, identity: dict[str, Any], values: object) -> list[str]:
    """What the pages would read of a study and do not find."""
    known = values if isinstance(values, dict) else {}
    return [key for key in USED[purpose] if key not in known] + [key for key in NAMED if key not in identity]


def trials_of(found: Study) -> pl.DataFrame | None:
    """`trials.csv` by score, the best first, infeasible ones last; None without the file."""
    if "trials.csv" not in found.files:
        return None
    rows = pl.read_csv(folder() / found.name / "trials.csv", infer_schema=False)
    score = rows["score"].cast(pl.Float64, strict=False).alias("_score")
    return rows.with_columns(score).sort("_score", descending=True, nulls_last=True, maintain_order=True).drop("_score")


def picture(space: list[dict[str, Any]], trials: pl.DataFrame) -> tuple[list[Axis], list[Line]]:
    """Parallel coordinates: an axis a parameter, a line a feasible trial, the best LINES_MAX of them, the best last."""
    step = (WIDTH - 2 * EDGE) / max(1, len(space) - 1)
    heights: list[dict[str, str]] = []
    axes: list[Axis] = []
    for k, item in enumerate(space):
        words = [str(value) for value in item["values"]]
        room = (HEIGHT - 2 * EDGE) / max(1, len(words) - 1)
        heights.append({word: f"{HEIGHT - EDGE - place * room:.1f}" for place, word in enumerate(words)})
        axes.append(Axis(item["path"], f"{EDGE + k * step:.1f}", [*heights[-1].items()]))
    rows = [row for row in trials.head(LINES_MAX).to_dicts() if row["score"]]
    lines = []
    for rank, row in enumerate(rows):
        points = [
            f"{axis.x},{found[row[axis.name]]}"
            for axis, found in zip(axes, heights, strict=True)
            if row.get(axis.name) in found  # a parameter that did not exist for this trial is passed over
        ]
        tone = "best" if rank == 0 else "good" if rank < len(rows) / 10 else "rest"
        said = ", ".join(f"{axis.name} {row[axis.name]}" for axis in axes if row.get(axis.name))
        lines.append(Line(" ".join(points), tone, f"{row['score']}: {said}"))
    return axes, lines[::-1]


class Square(NamedTuple):
    """One cell of a heat map: the best score of its trials, None without a feasible one; how many are; `strength` of
    its colour by the rank of its score (0 .. 4); `top`: it has the best of all."""

    best: float | None
    feasible: int
    trials: int
    strength: int
    top: bool


class Map(NamedTuple):
    """Two parameters: `rows` are (value of y, squares by value of x), the highest value of y first."""

    x: str
    y: str
    columns: list[str]
    rows: list[tuple[str, list[Square]]]


def weights(space: list[dict[str, Any]], trials: pl.DataFrame) -> list[tuple[str, Weight]]:
    """Every parameter with its importance, the most important first, unknown ones last."""
    scores = _scores(trials)
    found = [(item["path"], weight(_codes(item, trials), scores)) for item in space]
    return sorted(found, key=lambda pair: (pair[1].share is None, -(pair[1].share or 0.0)))


def heat(space: list[dict[str, Any]], trials: pl.DataFrame, x: str, y: str) -> Map | None:
    """The best score for each pair of values of two parameters; None unless both are of the space and apart."""
    named = {item["path"]: item for item in space}
    if x == y or x not in named or y not in named:
        return None
    columns, lines = ([str(value) for value in named[path]["values"]] for path in (x, y))
    codes = _codes(named[x], trials), _codes(named[y], trials)
    cells = plane(*codes, _scores(trials), (len(lines), len(columns)))
    known = np.sort([cell.best for row in cells for cell in row if cell.best is not None])
    rows = []
    for name, row in zip(lines, cells, strict=True):
        squares = []
        for cell in row:
            rank = 0 if cell.best is None else int(np.searchsorted(known, cell.best, side="right"))
            top = cell.best is not None and cell.best == known[-1]
            squares.append(Square(*cell, strength=-(-4 * rank // max(1, len(known))), top=top))
        rows.append((name, squares))
    return Map(x, y, columns, rows[::-1])


def _codes(item: dict[str, Any], trials: pl.DataFrame) -> np.ndarray:
    values = [str(value) for value in item["values"]]
    told = trials[item["path"]].to_list() if item["path"] in trials.columns else [None] * len(trials)
    return codes_of(told, values)


def _scores(trials: pl.DataFrame) -> np.ndarray:
    """(n,) float64, NaN for infeasible ones."""
    return trials["score"].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
