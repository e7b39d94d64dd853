"""Paper sessions that equal the replay of their own bars, as one row of the futures' go-live gate (MES-GATE-01).

A session counts when it traded the candidate's configuration with its network on a live market, is over, and its whole
journal was proved identical (`manage.py replay N --parity`, the session's page).  Any market but a live one is a
rehearsal and never counts; a trading day counts once.  Called by `report`.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings

from marketdata.calendars import trading_day_at
from marketdata.feeds.registry import is_live
from trading.core.states import ENDED
from trading.models import Session
from trading.reports.parity.tell import IDENTICAL, PROOF, folder_of
from trading.research.gate import STALE_NS, Candidate, Evidence

ROW = "paper_sessions"


class Proved(NamedTuple):
    """One session's proof: when it was made, and why it does not count (empty: it does)."""

    made_ns: int
    why: str


def paper_evidence(candidate: Candidate, now_ns: int) -> Evidence:
    """How many trading days of paper prove themselves, dated by the oldest proof among them.

    A proof that is too old is left out, so that new ones count without it."""
    days: dict[int, int] = {}  # trading day → its newest proof
    faults: dict[str, int] = {}
    seen = 0
    for session in Session.objects.filter(version__hash=candidate.config_hash, mode="paper").select_related("version"):
        if network_of(session) != candidate.network_hash:
            continue
        seen += 1
        found = proof_of(session)
        why = found.why or ("its proof is too old" if now_ns - found.made_ns > STALE_NS else "")
        if why:
            faults[why] = faults.get(why, 0) + 1
            continue
        assert session.started_at is not None
        day = trading_day_at("cme", int(session.started_at.timestamp()) * 1_000_000_000)
        days[day] = max(found.made_ns, days.get(day, 0))
    told = "; ".join(f"{count} of them: {why}" for why, count in sorted(faults.items()))
    run = f"{seen} paper sessions of this configuration and network"
    return Evidence(
        len(days), len(days), f"{run} ({told})" if told else run, min(days.values(), default=now_ns),
        candidate.config_hash, candidate.network_hash, why=told,
    )  # fmt: skip


def network_of(session: Session) -> str:
    """The hash of the network that scored it; empty where none did."""
    return str(session.spec.get("inputs", {}).get("artifact", ""))


def proof_of(session: Session) -> Proved:
    """What is known of one session."""
    if session.status != ENDED or session.started_at is None:
        return Proved(0, "it is not over, or it failed")
    if not is_live(str(session.spec.get("feed", {}).get("name", ""))):
        return Proved(0, "its market was made up or recorded, or is not known to be live")
    path = folder_of(Path(settings.VAR), session.pk) / PROOF
    try:
        made_ns = path.stat().st_mtime_ns
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Proved(0, "it was not compared with its replay")
    return Proved(made_ns, _fault(session, values if isinstance(values, dict) else {}))


def _fault(session: Session, values: dict[str, Any]) -> str:
    if values.get("session") != session.pk or values.get("config_hash") != session.version.hash:
        return "its proof is of another session"
    frames = values.get("frames")
    if not isinstance(frames, int) or frames < max(1, session.journal_seq):
        return "its proof ends before its journal"
    if values.get("verdict") != IDENTICAL or values.get("chain_fault") != "":
        return "it differs from its replay"
    return ""
