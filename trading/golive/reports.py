"""Reports of the go-live gate: made from what is stored, kept as a row that says by hash what it was made of.

A report never changes and none is deleted; the newest one of a lineage counts (`golive.standing`).  That nothing passes
is a result like any other: it says that nothing of it should trade for real.  Called by `manage.py gate` and by whoever
stores the answer of another gate.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings

from trading.configs import tell_audit
from trading.golive.evidence import Found, found_of
from trading.golive.joined import record_of
from trading.golive.lineage import digest, lineage_of, recipe_of, root_of
from trading.golive.models import GateReport
from trading.golive.rows import MOEX, hash_of
from trading.models import Account, ConfigVersion
from trading.research.figures import REPORT, Figure, Verdict, figure, judge, number
from trading.research.gate import Decision
from trading.research.gate_moex import PaperRecord, moex_gate
from trading.research.records import ResearchError
from trading.run.backtest.judged import row_values
from trading.run.forward.report import WALK
from trading.run.spec import ScorerSpec

STUDIES = "studies"  # where walk-forwards lie in the runtime folder


class Subject(NamedTuple):
    """What a report is about."""

    gate: str
    profile: str
    lineage: str
    account: Account | None = None
    rehearsal: bool = False


def store(
    subject: Subject, decision: Decision, figures: dict[str, Any], inputs: dict[str, str], *, by: str, now_ns: int
) -> GateReport:
    """Keep a gate's answer.  What names no lineage, or is a rehearsal, is kept as not passed."""
    may_pass = subject.lineage != "" and not subject.rehearsal
    row = GateReport(
        **subject._asdict(),
        passed=decision.passed and may_pass,
        rows=[row_values(verdict) for verdict in decision.rows],
        figures=figures,
        inputs=inputs,
        by=by,
        made_at=datetime.fromtimestamp(now_ns / 1e9, UTC),
    )
    row.hash = hash_of(row)
    row.save()
    detail: dict[str, object] = {"passed": row.passed, "rehearsal": row.rehearsal, "hash": row.hash}
    tell_audit("control", "gate_report", by, str(row)[:120], detail | {"lineage": row.lineage})
    return row


def make_moex(
    version: ConfigVersion, scorer: ScorerSpec, account: Account, *, by: str, now_ns: int, rehearse: bool = False
) -> GateReport:
    """The shares' gate for this version and scorer over the account's paper sessions of the last 60 days (MOEX-GATE).

    Raises ConfigError where the version cannot be loaded.  `rehearse`: over made-up markets, too; never passes.
    """
    root, recipe = root_of(version), recipe_of(scorer)
    lineage = lineage_of(root, recipe)
    found = found_of(version, lineage, account, now_ns, rehearse)
    record = record_of([], max(1, account.balance_micros), now_ns)
    fault = ""
    try:
        record = record_of(found.lived, max(1, account.balance_micros), now_ns)
        decision = moex_gate(record, now_ns)
    except ResearchError as error:
        fault = f"The sessions do not make one record: {error}"
        decision = moex_gate(record_of([], max(1, account.balance_micros), now_ns), now_ns)
    walks = walks_of(version, root)
    rows = (*_required(found, lineage, rehearse, fault), *decision.rows, _walked(walks), _optimism(record))
    decided = Decision(not any(row.blocks for row in rows), rows)
    days = record.days.trading_day.tolist()
    figures = {
        "sessions": [one.key for one in found.lived],
        "left_out": [list(one) for one in found.left_out],
        "faults": [list(one) for one in found.faults],
        "days": [days[0], days[-1]] if days else [],
        "walks": [name for name, _, _ in walks],
    }
    inputs = {"configuration": version.hash, "first of its lineage": root, "recipe": recipe, "code": settings.CODE_HASH}
    inputs |= {f"journal of {key}": head for key, head in found.inputs.items()}
    inputs |= {f"walk-forward {name}": hashed for name, hashed, _ in walks}
    subject = Subject(MOEX, version.profile, lineage, account, rehearse)
    return store(subject, decided, figures, inputs, by=by, now_ns=now_ns)


def _required(found: Found, lineage: str, rehearse: bool, fault: str) -> tuple[Verdict, ...]:
    """What must be so before any figure counts (MOEX-GATE-02)."""
    named = figure(1.0) if lineage else Figure(None, "The configuration or the scorer's recipe cannot be named")
    unread, n = len(found.faults), len(found.lived) + len(found.faults)
    first = found.faults[0] if found.faults else ("", "")
    text = "{value} of its sessions cannot be read; none may be missing."
    if unread:
        text = "{value} of its sessions cannot be read, none may be missing; {key}: {why}."
    words = {"key": first[0], "why": first[1].rstrip(".")}
    rows = [
        judge("lineage", named, ">=", 1.0, int(bool(lineage)), "lineage", "The lineage is named."),
        judge("sessions_read", figure(unread), "<=", 0.0, n, "sessions", text, words=words),
    ]
    other, n = len(found.elsewhere), n + len(found.elsewhere)
    text = "{value} of its sessions ran on another account; all of them must be judged."
    rows.append(judge("one_account", figure(other), "<=", 0.0, n, "sessions", text))
    if fault:
        rows.append(judge("record", Figure(None, fault), "<=", 0.0, n, "sessions", ""))
    if rehearse:
        made_up = "A rehearsal: made-up and recorded markets count here, and prove nothing."
        rows.append(judge("real_market", figure(1.0), "<=", 0.0, n, "sessions", made_up))
    return tuple(rows)


def _optimism(record: PaperRecord) -> Verdict:
    """MOEX-GATE-02: how much paper flatters.  No mode but paper exists, so nothing can be compared."""
    unknown = Figure(None, "Not known: no live trade of this lineage is stored to compare paper with")
    n = len(record.gross_micros)
    return judge("paper_optimism", unknown, "", None, n, "trades", "", REPORT)


def walks_of(version: ConfigVersion, root: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(name, SHA-256, values) of stored walk-forwards of this lineage's configurations, the newest first."""
    hashes = {version.hash, root}
    found = []
    for path in Path(settings.VAR).glob(f"{STUDIES}/*/{WALK}"):
        try:
            text = path.read_text(encoding="utf-8")
            values, at = json.loads(text), path.stat().st_mtime_ns
        except (OSError, ValueError):
            continue
        study = values.get("study", {}) if isinstance(values, dict) else {}
        if isinstance(study, dict) and study.get("configuration") in hashes:
            found.append((at, path.parent.name, digest(values), values))
    return [(name, hashed, values) for _, name, hashed, values in sorted(found, key=lambda one: one[:2], reverse=True)]


def _walked(walks: Sequence[tuple[str, str, dict[str, Any]]]) -> Verdict:
    """MOEX-GATE-02: what the newest walk-forward came to; it informs and passes nothing."""
    value, name, folds = Figure(None, "No walk-forward of this configuration is stored"), "", 0
    if walks:
        name, _, values = walks[0]
        sharpe = ((values.get("out_of_sample") or {}).get("returns") or {}).get("sharpe")
        folds = len(values.get("folds") or ())
        value = Figure(None, f"The newest walk-forward, {name}, has no Sharpe ratio")
        if isinstance(sharpe, int | float):
            value = Figure(float(sharpe))
    text = "The newest walk-forward, {name}, has a Sharpe ratio of {value} outside its sample; it passes nothing."
    return judge("walk_forward", value, "", None, folds, "folds", text, REPORT, words={"name": name})


def lines(row: GateReport) -> list[str]:
    """A report for a terminal."""
    answer = "PASSED" if row.passed else "NOT PASSED"
    head = f"{row.get_gate_display()} of {row.profile}: {answer}{' (a rehearsal)' if row.rehearsal else ''}"
    found = [
        head,
        f"lineage {row.lineage or 'not known'}, account {row.account or '–'}, {row.made_at:%Y-%m-%d %H:%M} UTC",
    ]
    for one in row.rows:
        asked = "" if one["bound"] is None else f"  [{one['relation']} {number(one['bound'])}]"
        found.append(f"  {one['state']:<14} {one['name']:<26} n = {one['n']:,} {one['n_of']}{asked}  {one['sentence']}")
    found += [f"  left out       {key}: {why}" for key, why in row.figures.get("left_out", ())]
    if not row.passed:
        found.append("Not passing is a valid result: it says that nothing of this lineage should trade for real.")
    return found
