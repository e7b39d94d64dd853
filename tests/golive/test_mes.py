"""The futures' gate over stored evidence, and its report (MES-GATE-01): what is missing, stale or another's blocks."""

import json
import os
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.research.test_gate import passing
from tests.shell.frames import make_session, shipped
from trading import configs
from trading.golive.mes import build
from trading.golive.mes.candidate import lineage_of, network_of
from trading.golive.mes.paper import paper_evidence, proof_of
from trading.golive.mes.report import Asked, answer, candidate_of, store_answer
from trading.golive.models import GateReport
from trading.golive.rows import hash_of
from trading.golive.standing import standing
from trading.models import Session
from trading.reports.parity.tell import IDENTICAL, PROOF, folder_of
from trading.research.gate import BOTH, BUILD, MES_CHECKS, RESULT, Candidate, Evidence
from trading.research.golive.evidence import text_of
from trading.research.records import ResearchError
from trading.run.forward.report import EVIDENCE
from trading.run.search.ledger import Ledger
from trading.run.search.version import FLOORS, ROOT

pytestmark = pytest.mark.django_db

MADE = datetime(2026, 3, 16, 15, tzinfo=UTC)
DAY_NS = 86_400_000_000_000
NOW_NS = int(MADE.timestamp()) * 1_000_000_000 + 12 * DAY_NS
NETWORK = "network"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, settings: Any) -> Path:
    settings.VAR = tmp_path
    return tmp_path


def asked(folder: Path, identity: dict[str, Any] | None = None) -> Asked:
    """A walk-forward in this folder that stands for the shipped demo profile."""
    folder.mkdir(exist_ok=True)
    named = {"purpose": "walkforward", "strategy_hash": NETWORK, "data_hash": "d", "seed": 1, "configuration": "c"}
    with Ledger(folder) as ledger:
        ledger.identify(named | (identity or {}))
    return Asked(configs.profile_of(shipped()), folder, None)


def rows(candidate: Candidate, scopes: tuple[str, ...]) -> dict[str, Evidence]:
    """Evidence that passes, made a day before."""
    return {
        check.name: Evidence(passing(check).value, passing(check).n, "run 7", NOW_NS - DAY_NS, *candidate)
        for check in MES_CHECKS
        if check.scope in scopes and check.name != "paper_sessions"
    }


def proved(day: int, **changes: Any) -> Session:
    """A paper session of the demo profile on a live market, on the so many-th weekday, with its proof of parity."""
    session = make_session("ended")
    session.started_at, session.journal_seq = MADE + timedelta(days=day + 2 * (day // 5)), 500
    spec = session.spec | {"feed": {"name": "databento"}, "inputs": {"artifact": NETWORK}}
    session.spec = spec | changes.get("spec", {})
    session.status = changes.get("status", "ended")
    session.save()
    values = {
        "session": session.pk, "config_hash": session.version.hash, "frames": 500, "verdict": IDENTICAL,
        "chain_fault": "",
    }  # fmt: skip
    path = folder_of(Path(settings.VAR), session.pk) / PROOF
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(values | changes.get("proof", {})))
    made_ns = changes.get("made_ns", NOW_NS - DAY_NS)
    os.utime(path, ns=(made_ns, made_ns))
    return session


def complete(place: Path) -> Asked:
    """A candidate with evidence for every row."""
    subject = asked(place / "walk")
    candidate = candidate_of(subject)
    (place / "walk" / EVIDENCE).write_text(text_of(rows(candidate, (RESULT,))))
    build.keep(candidate, rows(candidate, (BUILD, BOTH)))
    for day in range(10):
        proved(day)
    return subject


def test_a_candidate_with_all_evidence_passes_and_its_report_is_stored_mes_gate_01(place: Path) -> None:
    subject = complete(place)
    found = answer(subject, NOW_NS)
    assert found.decision.passed, [row.sentence for row in found.decision.missing]
    row = store_answer(subject, found, "olga", NOW_NS)
    kept = GateReport.objects.get(pk=row.pk)
    assert (kept.gate, kept.passed, kept.profile, kept.by) == ("mes", True, "demo-mes", "olga")
    assert [one["name"] for one in kept.rows] == [check.name for check in MES_CHECKS]
    named = tuple(kept.inputs[name] for name in ("configuration", "network", "code"))
    assert named == tuple(found.candidate) and len(kept.inputs["evidence"]) == 64
    assert hash_of(kept) == kept.hash
    lineage = lineage_of(*found.candidate[:2])
    assert standing("mes", "cme", lineage, kept.made_at).passed, "what a start for real asks for"
    assert not standing("mes", "cme", lineage, kept.made_at + timedelta(days=2)).passed
    assert not standing("mes", "cme", lineage_of(found.candidate.config_hash, "another"), kept.made_at).passed
    assert lineage_of("", "n") == "" == lineage_of("c", network_of(str(place)))
    told = kept.figures["evidence"]["sharpe"]
    assert told["run"] == "run 7" and told["measured_ns"] == NOW_NS - DAY_NS
    assert told["config_hash"] == found.candidate.config_hash


def test_what_is_missing_stale_or_another_s_blocks_mes_gate_01(place: Path) -> None:
    subject = complete(place)

    def missing(given: Asked = subject, now_ns: int = NOW_NS) -> list[str]:
        found = answer(given, now_ns)
        assert not found.decision.passed
        return [row.name for row in found.decision.missing]

    required = [check.name for check in MES_CHECKS if check.weight == "required"]
    assert missing(now_ns=NOW_NS + 30 * DAY_NS) == required, "all of it is stale"
    other = configs.resolve("mes-topstep")
    assert missing(subject._replace(profile=other)) == required, "all of it is another configuration's"
    path = place / "walk" / EVIDENCE
    good = rows(candidate_of(subject), (RESULT,))
    path.write_text(text_of(good | {"sharpe": good["sharpe"]._replace(value=0.0)}))
    assert missing() == ["sharpe"], "a value of 0 is judged like any other"
    path.write_text(text_of({name: row for name, row in good.items() if name != "pbo"}))
    assert missing() == ["pbo"]
    path.write_text(text_of(good | {"pbo": good["pbo"]._replace(network_hash="another")}))
    assert missing() == ["pbo"]
    path.write_text("[")
    with pytest.raises(ResearchError, match="holds no evidence"):
        answer(subject, NOW_NS)
    path.write_text(text_of(good))
    build.file_of(candidate_of(subject)).unlink()
    assert missing() == [check.name for check in MES_CHECKS if check.scope != RESULT]


def test_no_walk_no_candidate(place: Path) -> None:
    with pytest.raises(ResearchError, match="holds no walk-forward"):
        candidate_of(asked(place / "search", {"purpose": "optimise"}))


def test_only_what_equals_its_replay_on_a_live_market_counts_mes_gate_01(place: Path) -> None:
    candidate = candidate_of(asked(place / "walk"))
    assert paper_evidence(candidate, NOW_NS).value == 0
    proved(0)
    proved(1, made_ns=NOW_NS - 3 * DAY_NS)
    proved(1, made_ns=NOW_NS - 2 * DAY_NS)
    found = paper_evidence(candidate, NOW_NS)
    assert (found.value, found.measured_ns) == (2, NOW_NS - 2 * DAY_NS), "a trading day counts once"
    refused: dict[str, dict[str, Any]] = {
        "its market was made up or recorded, or is not known to be live": {"spec": {"feed": {"name": "invented"}}},
        "it is not over, or it failed": {"status": "failed"},
        "it differs from its replay": {"proof": {"verdict": "decisions only"}},
        "its proof ends before its journal": {"proof": {"frames": 499}},
        "its proof is of another session": {"proof": {"config_hash": "x"}},
    }
    for day, (why, changes) in enumerate(refused.items(), start=2):
        assert proof_of(proved(day, **changes)).why == why
    proved(7, made_ns=NOW_NS - 31 * DAY_NS)
    proved(8, spec={"inputs": {"artifact": "another"}})
    session = proved(9)
    (folder_of(place, session.pk) / PROOF).unlink()
    found = paper_evidence(candidate, NOW_NS)
    assert found.value == 2 and "its proof is too old" in found.run and "not compared with its replay" in found.run


def test_what_pytest_says_is_a_pass_only_when_nothing_else_happened() -> None:
    assert build.counts_of("...\n12 passed in 3.14s\n") == (12, 0)
    assert build.counts_of("1 failed, 11 passed, 2 skipped in 3s") == (11, 3)
    assert build.counts_of("no tests ran in 0.01s") == (0, 0) == build.counts_of("")
    assert all((settings.BASE_DIR / path).is_file() for paths in build.TESTS.values() for path in paths)


def test_coverage_older_than_the_code_or_of_a_part_of_it_is_none(place: Path) -> None:
    candidate = candidate_of(asked(place / "walk"))
    file = place / "coverage.json"
    totals = {"covered_lines": 81, "num_statements": 100}
    product = [str(path.relative_to(ROOT)) for floor in FLOORS for path in (ROOT / floor).rglob("*.py")]
    file.write_text(json.dumps({"totals": totals, "files": {name: {} for name in product}}))
    assert build.covered(candidate, file)[:2] == (0.81, 100)
    left = [name for name in product if name != "trading/sinks.py"]
    file.write_text(json.dumps({"totals": totals, "files": {name: {} for name in left}}))
    with pytest.raises(ResearchError, match=r"leaves out 1 files of the product, trading/sinks.py"):
        build.covered(candidate, file)
    file.write_text(json.dumps({"totals": totals, "files": {name: {} for name in product}}))
    os.utime(file, ns=(DAY_NS, DAY_NS))
    with pytest.raises(ResearchError, match="measure it again"):
        build.covered(candidate, file)
    file.write_text("{}")
    with pytest.raises(ResearchError, match="is no report of coverage"):
        build.covered(candidate, file)


def test_the_command_measures_asks_stores_and_says_no_mes_gate_01(place: Path) -> None:
    """Features in batch and streaming, measured here; without a network nothing answers, and the row says so."""
    subject = asked(place / "walk")
    words = ["--config", "demo-mes", "--study", str(place / "walk"), "--measure", "--json"]
    for row in ("batch_streaming_difference", "inference_p99_ms"):
        words += ["--row", row]
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("gatemes", *words, stdout=out, stderr=StringIO())
    told = json.loads(out.getvalue())
    found = {row["name"]: row for row in told["rows"]}
    assert not told["passed"] and GateReport.objects.get(pk=told["report"]).inputs == told["inputs"]
    assert found["batch_streaming_difference"]["state"] == "passed" and found["batch_streaming_difference"]["n"] > 1_000
    assert found["inference_p99_ms"]["state"] == "no_data" and "No network" in found["inference_p99_ms"]["sentence"]
    assert found["prefix_test"]["sentence"] == "There is no evidence for this."
    assert set(build.kept(candidate_of(subject))) == {"batch_streaming_difference", "inference_p99_ms"}
    with pytest.raises(CommandError, match="sharpe is not measured here"):
        call_command("gatemes", *words, "--row", "sharpe", stdout=out, stderr=StringIO())
