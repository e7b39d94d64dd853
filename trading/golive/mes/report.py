"""The futures' go-live gate over everything that is known of a candidate, stored as a report (MES-GATE-01).

The candidate is a stored configuration, the network that would score it, and the code on this disk.  Evidence is read
where it lies: what a walk-forward left, what was measured of the build, the paper sessions; each row names its run, its
hashes and when it was measured.  Nothing is measured here, and what is missing is missing.  Called by the command
`gatemes`.
"""

from pathlib import Path
from typing import NamedTuple

from trading.config.schema import Profile, profile_hash
from trading.golive.lineage import digest
from trading.golive.mes import build
from trading.golive.mes.candidate import lineage_of
from trading.golive.mes.paper import ROW as PAPER
from trading.golive.mes.paper import paper_evidence
from trading.golive.models import GateReport
from trading.golive.reports import Subject, store
from trading.golive.rows import MES
from trading.learning.artifacts import Artifact
from trading.research.gate import MES_CHECKS, Candidate, Decision, Evidence, decide
from trading.research.golive.evidence import merged
from trading.research.records import ResearchError
from trading.run.forward.report import evidence_in, network_key, network_of
from trading.run.search.ledger import Ledger
from trading.run.search.version import trial_code


class Asked(NamedTuple):
    """Who wants to go live: a profile, the walk-forward that speaks for it, its network (None: the walk's strategy)."""

    profile: Profile
    study: Path
    artifact: Artifact | None


class Answer(NamedTuple):
    """The gate's answer, and what it was given by."""

    candidate: Candidate
    decision: Decision
    evidence: dict[str, Evidence]


def candidate_of(asked: Asked) -> Candidate:
    """By hash.  Raises ResearchError for a folder that is no walk-forward."""
    with Ledger(asked.study, reading=True) as ledger:
        identity = ledger.identity()
    if identity.get("purpose") != "walkforward":
        raise ResearchError(f"{asked.study} holds no walk-forward")
    network = network_of(identity) if asked.artifact is None else asked.artifact.id
    return Candidate(profile_hash(asked.profile), network, trial_code())


def answer(asked: Asked, now_ns: int) -> Answer:
    """The gate, asked.  Raises ResearchError for evidence that cannot be read."""
    candidate = candidate_of(asked)
    found = merged([walk_evidence(asked), build.kept(candidate), {PAPER: paper_evidence(candidate, now_ns)}])
    return Answer(candidate, decide(MES_CHECKS, found, candidate, now_ns), found)


def walk_evidence(asked: Asked) -> dict[str, Evidence]:
    """What the walk left.  Its folds' networks speak for one that was made in their very way: from the same rows, in
    the same way of training; of any other one they stay another network's."""
    found = evidence_in(asked.study)
    if asked.artifact is None:
        return found
    way = recipe_of(asked.artifact)
    return {
        name: row._replace(network_hash=asked.artifact.id) if way and row.network_hash == way else row
        for name, row in found.items()
    }


def recipe_of(artifact: Artifact) -> str:
    """How a network was made, as a walk-forward that retrains names it; empty where the artifact does not say."""
    manifest = artifact.manifest
    try:
        rows, every_s, way = (manifest.data[name] for name in ("rows", "every_s", "way"))
        return network_key(rows, manifest.schema_hash, int(every_s), way)
    except (KeyError, ValueError):
        return ""


def store_answer(asked: Asked, found: Answer, by: str, now_ns: int) -> GateReport:
    """Keep the answer as a report."""
    candidate = found.candidate
    figures = {
        "missing": [row.name for row in found.decision.missing],
        "evidence": {name: row._asdict() for name, row in sorted(found.evidence.items())},
    }
    inputs = {"configuration": candidate.config_hash, "network": candidate.network_hash, "code": candidate.code_hash}
    inputs["evidence"] = digest(figures["evidence"])
    lineage = lineage_of(candidate.config_hash, candidate.network_hash)
    return store(Subject(MES, asked.profile.profile, lineage), found.decision, figures, inputs, by=by, now_ns=now_ns)
