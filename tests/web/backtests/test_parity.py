"""A session beside its backtest on a page: asked for, refused, shown with its first difference, page by page."""

import html
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client

from desk.accounts.roles import OPERATOR, VIEWER
from desk.audit.models import AuditRecord
from desk.backtests.models import CANCELLED, DONE, FAILED, ParityRun
from desk.backtests.parity import jobs
from marketdata.core.records import new_events
from tests.data.kit import signed_in, text_of
from tests.simulation.kit import START_NS, make_spec
from tests.why.recorded import shown_session, spec_of, write_frames
from trading import configs, services
from trading.core.records import DECISION, ENTRY, FILL, LIMIT, SUBMIT
from trading.models import Session
from trading.reports.parity import tell
from trading.reports.parity.venue import Answered
from trading.run.replica import Kernel
from trading.run.spec import FeedSpec, save_spec

pytestmark = pytest.mark.django_db
TRIPS = 40


@pytest.fixture
def session(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Session:
    """One that was made and never ran, in a runtime folder of the test's own and of the commands that it starts."""
    settings.VAR = tmp_path / "var"
    monkeypatch.setenv("DESK_VAR", str(settings.VAR))
    configs.ship()
    version = configs.find("demo-mes")
    account = services.demo_account(configs.profile_of(version))
    feed = FeedSpec(name="simulated", symbols=["MES"], seed=7)
    return services.create_session(account=account, version=version, feed=feed, by="alice")


def event(kind: int, number: int, side: int, tick: int) -> np.ndarray:
    row = new_events(1)
    row["kind"], row["order_number"], row["ref"], row["side"], row["qty"] = kind, number, number, side, 1
    row["price_tick"], row["fee_micros"], row["role"], row["order_type"] = tick, 420_000, ENTRY, LIMIT
    row["seq"], row["ts_ns"], row["ts_venue_ns"] = 10 * number, START_NS + number, START_NS + number
    return row


def proved(session: Session, *, worse_by: int = 0) -> None:
    """Forty round trips of two ticks; the backtest's last fill `worse_by` ticks lower."""
    spec = make_spec()
    told = [event(FILL, k + 1, 1 if k % 2 == 0 else -1, 100 if k % 2 == 0 else 102) for k in range(2 * TRIPS)]
    made = [row.copy() for row in told]
    made[-1]["price_tick"] -= worse_by
    fills = [Answered(*pair) for pair in zip(told, made, strict=True)]
    orders = np.concatenate([event(SUBMIT, k + 1, 1, 100) for k in range(3)])
    first = None if worse_by == 0 else tell._answer(spec, fills[-1])
    values = {
        "session": session.pk, "key": session.key, "profile": "demo-mes", "config_hash": "ab" * 32, "currency": "USD",
        "verdict": "identical" if worse_by == 0 else "differs", "frames": 4_321, "chain_fault": "",
        "journal_sha256": "cd" * 32, "state_sha256": "ef" * 32,
        "parts": [
            tell.decisions_part(4_321, None), tell.answers_part(None, "no books", 80), tell.scores_part(None, "none"),
        ],
        "orders": 3, "fills": len(fills), "sides": tell.side_values(spec, fills, 3), "first": first,
        "beside": {"command start": 1},
    }  # fmt: skip
    tell.write(jobs.folder_of(session.pk), spec, values, orders, fills)


def test_money_of_both_sides_is_exact_and_flat_or_not_told() -> None:
    """Two ticks of 1.25 USD a round trip, less two fees of 0.42."""
    spec = make_spec()
    fills = [Answered(event(FILL, 1, 1, 100), event(FILL, 1, 1, 100)), Answered(event(FILL, 2, -1, 102), None)]
    sides = tell.side_values(spec, fills, 2)
    assert sides["session"]["gross_micros"] == 2_500_000 and sides["session"]["net_micros"] == 1_660_000
    assert "backtest" not in sides, "not all of its fills are known"
    assert tell.side_values(spec, fills[:1], 1)["backtest"]["net_micros"] is None, "not flat"


def test_a_page_shows_both_and_the_first_difference(client: Client, session: Session) -> None:
    """UI-10: reading is anybody's; the tables go on by address, and are files."""
    victor = signed_in(client, "victor", VIEWER)
    path = f"/sessions/{session.pk}/parity/"
    assert path in text_of(victor, f"/sessions/{session.pk}/")
    assert "NOT COMPARED YET" in text_of(victor, path)
    proved(session)
    page = html.unescape(text_of(victor, path))
    assert "Identical: 3 orders, 80 fills." in page and "efefefefefefefef" in page
    assert page.count("+$66.40") == 2, "net of both"
    assert "?list=fills&from=50" in page and "from=50" not in text_of(victor, f"{path}?from=50")
    assert "SUBMIT" in text_of(victor, f"{path}?list=orders")
    whole = b"".join(victor.get(f"{path}fills.csv").streaming_content)  # type: ignore[attr-defined]
    assert whole.count(b"\n") == 2 * TRIPS + 1
    proved(session, worse_by=3)
    page = html.unescape(text_of(victor, path))
    assert "Session and backtest differ." in page and "THE FIRST DIFFERENCE" in page
    assert "25.50" in page and "24.75" in page, "what each side was paid"
    assert "+$66.40" in page and "+$62.65" in page
    for wrong in (f"{path}?list=trades", f"{path}journal.bin", "/sessions/77/parity/"):
        assert victor.get(wrong).status_code == 404, wrong
    (jobs.folder_of(session.pk) / "parity.json").write_text("{half")
    assert "cannot be shown" in text_of(victor, path)


def test_an_operator_has_it_compared_and_a_reader_does_not(client: Client, session: Session) -> None:
    path = f"/sessions/{session.pk}/parity/"
    victor = signed_in(client, "victor", VIEWER)
    assert [victor.post(f"{path}{deed}/").status_code for deed in ("start", "cancel")] == [403, 403]
    assert "Compare with its backtest" not in text_of(victor, path)
    row = jobs.ask(session.pk, "olga", lambda run_id: "")
    assert jobs.ask(session.pk, "olga", lambda run_id: "").pk == row.pk, "one at a time"
    olga = signed_in(Client(), "olga", OPERATOR)
    assert "waits for the batch worker" in text_of(olga, path)
    assert olga.post(f"{path}cancel/").headers["location"] == path
    row.refresh_from_db()
    assert row.state == CANCELLED and jobs.run(row.pk) == ""
    assert "Cancelled." in text_of(olga, path)
    assert AuditRecord.objects.filter(action="parity_cancelled", object=f"session {session.key}").exists()
    assert olga.post("/sessions/77/parity/start/").status_code == 404


@pytest.mark.processes
def test_a_session_without_a_journal_says_so(session: Session) -> None:
    row = jobs.ask(session.pk, "olga", lambda run_id: "")
    assert jobs.run(row.pk) == FAILED
    row = ParityRun.objects.get(pk=row.pk)
    assert "no session has a journal in" in row.detail, row.detail


@pytest.mark.processes
def test_a_difference_is_a_proof_that_was_made(session: Session) -> None:
    """The command's exit status is 1 for it, and for a failure: what was written tells them apart."""
    frames = Kernel().apply(np.concatenate(shown_session()))
    frames["code"][np.flatnonzero(frames["kind"] == DECISION)[-1]] += 1
    folder = services.session_folder(session.pk)
    folder.mkdir(parents=True, exist_ok=True)
    save_spec(folder, spec_of())
    write_frames(folder, frames)
    row = jobs.ask(session.pk, "olga", lambda run_id: "")
    assert jobs.run(row.pk) == DONE
    assert ParityRun.objects.get(pk=row.pk).verdict == tell.DIFFERS == jobs.read(session.pk)["verdict"]
