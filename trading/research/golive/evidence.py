"""Evidence of the go-live gate as text, so that it outlives what measured it (MES-GATE-01).

A list of rows, each with value, sample, run, hashes and when it was measured.  What is measured again and comes to the
same keeps its first date: to judge the same trades once more makes them no younger.  Called by the walk-forward, the
measurements of a build, and the gate's report.
"""

import json
from collections.abc import Iterable, Mapping

from trading.research.gate import Evidence
from trading.research.records import ResearchError

TYPES: dict[str, type | tuple[type, ...]] = {
    "name": str, "value": (int, float, type(None)), "n": int, "run": str, "measured_ns": int, "config_hash": str,
    "network_hash": str, "code_hash": str, "why": str,
}  # fmt: skip


def text_of(evidence: Mapping[str, Evidence]) -> str:
    """JSON, one row a line of the gate, by name."""
    rows = [{"name": name, **evidence[name]._asdict()} for name in sorted(evidence)]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def evidence_from(text: str, where: str) -> dict[str, Evidence]:
    """The rows of a text by name.  Raises ResearchError, naming `where`, for what is no such text: nothing of it is
    believed then."""
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise ResearchError(f"{where} holds no evidence: {error}") from None
    found: dict[str, Evidence] = {}
    for row in rows if isinstance(rows, list) else [None]:
        if not isinstance(row, dict) or not _is_row(row) or row["name"] in found:
            raise ResearchError(f"{where} holds no evidence: {row!r:.120} is no row of it")
        name = row["name"]
        found[name] = Evidence(**{key: row[key] for key in Evidence._fields})
    return found


def _is_row(row: Mapping[str, object]) -> bool:
    if set(row) != set(TYPES):
        return False
    return all(isinstance(row[name], kind) and not isinstance(row[name], bool) for name, kind in TYPES.items())


def dated(new: Mapping[str, Evidence], old: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """`new`, with the earlier date where everything else of a row is as it was."""
    return {
        name: old[name]
        if name in old and old[name].measured_ns <= found.measured_ns and _same(found, old[name])
        else found
        for name, found in new.items()
    }


def _same(one: Evidence, other: Evidence) -> bool:
    return one._replace(measured_ns=0) == other._replace(measured_ns=0)


def merged(parts: Iterable[Mapping[str, Evidence]]) -> dict[str, Evidence]:
    """All rows of several sources.  Raises ResearchError where two of them answer one row: nobody chooses."""
    found: dict[str, Evidence] = {}
    for part in parts:
        if twice := sorted(set(found) & set(part)):
            raise ResearchError(f"two sources answer the gate's {', '.join(twice)}")
        found |= part
    return found
