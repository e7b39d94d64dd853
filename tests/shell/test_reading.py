"""Reading the ledger: pages backwards without a gap, the picture from rows, and an admin that only shows."""

import json

import pytest
from django.test import override_settings

from desk.dashboard.texts import page_texts
from marketdata.core.records import ACCOUNT_SCOPE
from risk.core.codes import HOLD_BASE
from risk.core.holds import BIT
from risk.core.records import MES, MOEX
from tests.shell.frames import Tape, context_of, make_session
from trading import selectors
from trading.core import records as kinds
from trading.leases import want_loops
from trading.reports.moments import moment
from trading.reports.session import refusals
from trading.reports.tables import pieces
from trading.run.context import LOOPS
from trading.sinks import LedgerFollower

pytestmark = pytest.mark.django_db


def test_lists_page_backwards_without_a_gap():
    session = make_session()
    tape = Tape()
    for i in range(7):
        tape.add(kinds.DECISION, code=2 + i, side=1)
    LedgerFollower(context_of(session)).apply(tape.frames())
    first = selectors.decision_list(session.id, limit=3)
    second = selectors.decision_list(session.id, before=first.next_before, limit=3)
    third = selectors.decision_list(session.id, before=second.next_before, limit=3)
    assert [row["seq"] for page in (first, second, third) for row in page.rows] == [7, 6, 5, 4, 3, 2, 1]
    assert third.next_before is None


def test_the_snapshot_from_rows_says_so_and_serialises():
    session = make_session()
    want_loops(session.id, LOOPS, True)
    snapshot = selectors.desk_snapshot(session.id)
    assert snapshot["source"] == "database"
    assert {row["state"] for row in snapshot["loops"]} == {"not running"}
    assert json.loads(json.dumps(snapshot))["session"]["key"] == session.key
    assert [row["key"] for row in selectors.running_sessions()] == [session.key]


@pytest.mark.parametrize(("rules", "name"), [(MES, "DATABASE_AWAY"), (MOEX, "RECORD_DOWN")], ids=("mes", "moex"))
def test_a_reason_is_named_by_the_sessions_own_rulebook_wherever_it_is_shown(rules, name):
    session = make_session()
    session.spec["limits"]["rules"] = rules
    session.save()
    bit = BIT["DATABASE_AWAY"]
    tape = Tape().add(kinds.HOLD_RAISED, code=bit, instrument=ACCOUNT_SCOPE)
    tape.add(kinds.DECISION, code=HOLD_BASE + bit, side=1)
    LedgerFollower(context_of(session)).apply(tape.frames())
    assert [row["name"] for row in selectors.decision_list(session.id).rows] == [name]
    assert [row["code"] for row in selectors.hold_list(session.id).rows] == [name]
    assert [row["name"] for row in refusals(session.id)] == [name]
    assert moment(session.id, 10**6)["decision"] == name
    shown = {
        heading: [row for rows in pieces(heading, session.id) for row in rows] for heading in ("decisions", "holds")
    }
    assert name in shown["decisions"][1] and name in shown["holds"][1]
    assert page_texts(selectors.rulebook_of(session.id))["gate"][HOLD_BASE + bit][0] == name


PLAIN_STATIC = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}


@override_settings(STORAGES=PLAIN_STATIC)  # hashed names need the set-up's collectstatic
def test_the_admin_shows_the_ledger_and_changes_nothing(admin_client):
    session = make_session()
    for name in (
        "session",
        "order",
        "fill",
        "trade",
        "decision",
        "holdevent",
        "command",
        "looplease",
        "configversion",
        "account",
    ):
        assert admin_client.get(f"/admin/trading/{name}/").status_code == 200
        assert admin_client.get(f"/admin/trading/{name}/add/").status_code == 403
    assert admin_client.post(f"/admin/trading/session/{session.id}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.get("/admin/audit/auditrecord/").status_code == 200
