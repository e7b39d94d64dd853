"""What a benchmark prints: one row a figure, with its goal and, where one was run, the peer beside it.

Rows say what was measured in words that a stranger understands; nothing is judged here but the goal's comparison.
"""

from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """One figure.  `goal` is an upper bound in the same unit, a lower one with `least`, None where none was set."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    peer: str = ""
    ratio: float | None = None
    note: str = ""
    least: bool = False

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.least else self.value <= self.goal


FAILED = "failed: "  # begins the note of a row whose measurement could not be made


def failed(name: str, unit: str, why: str, goal: float | None = None, *, least: bool = False) -> Row:
    """A row of something that did not do its work: no figure, and the reason, told in one line."""
    last = [line for line in why.strip().splitlines() if line.strip()] or ["it said nothing"]
    return Row(name, float("nan"), unit, goal, note=f"{FAILED}{last[-1].strip()[:300]}", least=least)


def failures(rows: list[Row]) -> list[str]:
    """Names of the rows that have no figure because something failed."""
    return [row.name.strip() for row in rows if row.note.startswith(FAILED)]


def quantiles(
    name: str, samples: np.ndarray, unit: str, p50: float | None = None, p99: float | None = None
) -> list[Row]:
    """Rows for the median and the 99th percentile of one sample, with its size in the note."""
    if len(samples) == 0:
        return [Row(f"{name}, no sample", float("nan"), unit, p50)]
    note = f"n = {len(samples)}"
    return [
        Row(f"{name}, p50", float(np.percentile(samples, 50)), unit, p50, note=note),
        Row(f"{name}, p99", float(np.percentile(samples, 99)), unit, p99, note=note),
    ]


def as_text(rows: list[Row], head: dict[str, str]) -> str:
    """The table for a terminal."""
    lines = [f"{name}: {value}" for name, value in head.items()]
    width = max(len(row.name) for row in rows)
    for row in rows:
        goal = (
            ""
            if row.goal is None
            else f"goal {'>= ' if row.least else ''}{row.goal:g} {'met' if row.met else 'MISSED'}"
        )
        peer = "" if not row.peer else f"{row.peer} x {row.ratio:.2f}"
        lines.append(f"{row.name:<{width}}  {row.value:>10.3f} {row.unit:<9} {goal:<16} {peer} {row.note}".rstrip())
    return "\n".join(lines)


def as_json(rows: list[Row], head: dict[str, str]) -> dict[str, object]:
    """The same for machines."""
    return {"head": head, "rows": [row._asdict() | {"met": row.met} for row in rows]}
