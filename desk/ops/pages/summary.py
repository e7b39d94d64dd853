"""Rows of a run, folded for the eye: one line a case of a drill, one line a stage of the latency budget.  Pure."""

from statistics import median
from typing import Any

MANY = 3  # a name that comes so often is a case


def by_case(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Repeated names as one line each, in the order in which they first came; rows that came once are left out."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    found = []
    for name in names:
        same = [row for row in rows if row["name"] == name]
        if len(same) < MANY:
            continue
        values = [row["value"] for row in same if row["value"] is not None]
        found.append(
            {
                "name": name,
                "count": len(same),
                "failed": sum(row["ok"] is False for row in same),
                "median": median(values) if values else None,
                "worst": max(values, default=None),
                "unit": same[0]["unit"],
                "goal": same[0]["goal"],
                "roads": ", ".join(sorted({row["road"] for row in same if row.get("road")})),
            }
        )
    return found


def facts(head: dict[str, Any]) -> dict[str, str]:
    """What a run ran with, as words: lists with commas, switches as yes or no, underscores as spaces."""
    found = {}
    for name, value in head.items():
        if isinstance(value, list):
            words = ", ".join(str(item) for item in value)
        else:
            words = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
        found[name.replace("_", " ")] = words
    return found


def stages(bench: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Name, p50, p99, budgets and shares of a benchmark's figures that have both quantiles, in its order."""
    if bench is None:
        return []
    rows = {row["name"]: row for row in bench["rows"]}
    found = []
    for name, half in rows.items():
        if not name.endswith(", p50"):
            continue
        stage = name.removesuffix(", p50")
        tail = rows.get(f"{stage}, p99")
        if tail is None or tail["value"] is None:
            continue
        goal = tail.get("goal")
        found.append(
            {
                "name": stage.strip(),
                "inner": stage.startswith(" "),
                "unit": half["unit"],
                "p50": half["value"],
                "p50_goal": half.get("goal"),
                "p99": tail["value"],
                "p99_goal": goal,
                "share": min(1.0, tail["value"] / goal) if goal else None,
                "ok": None if goal is None else tail["value"] <= goal,
                "detail": tail.get("detail") or tail.get("note", ""),
            }
        )
    return found
