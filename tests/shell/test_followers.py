"""Ledger and audit followers: idempotent, one transaction with their cursor, and the sums agree to the micro."""

import itertools
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.db.models import Sum

from desk.audit import services as audit
from desk.audit.follower import AuditFollower
from desk.audit.models import AuditChanged, AuditRecord
from marketdata.core.records import METRIC
from marketdata.engine.telling import BY_INFERENCE, METRIC_MARKET, METRIC_MEMORY
from risk.core import codes
from risk.core.holds import BIT
from risk.core.records import MOEX
from risk.core.shares import hedging
from tests.shell.frames import Tape, context_of, make_session, round_trip
from trading import selectors
from trading.control import ref_of
from trading.core import records as kinds
from trading.models import Command, Decision, Fill, HoldEvent, Order, Session, SinkCursor, Trade
from trading.sinks import LedgerFollower

pytestmark = pytest.mark.django_db


def rows_of(session: Session) -> dict[str, list[tuple]]:
    tables: dict[str, Any] = {
        "orders": Order,
        "fills": Fill,
        "trades": Trade,
        "decisions": Decision,
        "holds": HoldEvent,
    }
    return {
        n: [tuple(r)[1:] for r in t.objects.filter(session=session).order_by("seq").values_list()]
        for n, t in tables.items()
    }


def test_a_round_trip_becomes_rows_and_the_ledger_equals_its_fills():
    session = make_session()
    follower = LedgerFollower(context_of(session))
    follower.apply(round_trip(Tape()).frames())
    session.refresh_from_db()
    assert [o.filled for o in Order.objects.filter(session=session).order_by("number")] == [2, 2]
    fills = Fill.objects.filter(session=session)
    assert fills.count() == 2, "the second delivery of a fill is no second fill"
    assert selectors.positions(session.id) == [{"inst": 0, "symbol": "MES", "qty": 0, "fee_micros": 1_680_000}]
    trade = Trade.objects.get(session=session)
    gross = sum(-f.side * f.qty * f.price_tick for f in fills) * 1_250_000
    assert trade.net_micros == gross - fills.aggregate(fees=Sum("fee_micros"))["fees"]
    assert session.balance_micros == 10_000_000_000 + trade.net_micros
    assert session.venue_ref == 3


def test_equal_refusals_fold_into_one_counted_line_and_an_approval_stands_alone():
    session = make_session()
    follower = LedgerFollower(context_of(session))
    frames = round_trip(Tape()).frames()
    follower.apply(frames[:2])
    follower.apply(frames[2:])
    rows = list(Decision.objects.filter(session=session).order_by("seq").values_list("code", "same", "seq", "last_seq"))
    assert rows == [(15, 3, 1, 3), (0, 1, 4, 4)]
    assert sum(same for _, same, _, _ in rows) == int(np.sum(frames["event"]["kind"] == kinds.DECISION))  # N6


def test_frames_given_twice_or_in_any_cut_make_the_same_rows():
    frames = round_trip(Tape()).frames()
    results = []
    for cuts in ([0, len(frames)], [0, 3, 9, len(frames)], list(range(len(frames) + 1))):
        session = make_session()
        follower = LedgerFollower(context_of(session))
        for start, end in itertools.pairwise(cuts):
            follower.apply(frames[start:end])
            follower.apply(frames[:end])  # again, from the start
        assert follower.cursor() == len(frames)
        results.append({name: len(rows) for name, rows in rows_of(session).items()})
    assert results == [{"orders": 2, "fills": 2, "trades": 1, "decisions": 2, "holds": 0}] * 3


def test_a_crash_inside_a_batch_leaves_neither_rows_nor_cursor():
    session = make_session()
    follower = LedgerFollower(context_of(session))
    frames = round_trip(Tape()).frames()
    broken = frames.copy()
    broken["event"]["instrument"][-1] = 9  # no such instrument: the batch fails at its last frame
    with pytest.raises(IndexError):
        follower.apply(broken)
    assert (follower.cursor(), Fill.objects.count(), Order.objects.count()) == (0, 0, 0)
    follower.apply(frames)
    assert Fill.objects.filter(session=session).count() == 2


def test_a_start_receipt_makes_the_session_run_and_the_command_done():
    session = make_session(status="starting")
    command = Command.objects.create(ref=77, session=session, kind="start", by="alice", requested_at=session.created_at)
    LedgerFollower(context_of(session)).apply(round_trip(Tape(), command_ref=77).frames())
    session.refresh_from_db()
    command.refresh_from_db()
    assert (session.status, command.state, command.seq) == ("running", "done", 1)


def test_a_hold_is_one_row_from_raised_to_cleared():
    session = make_session()
    follower = LedgerFollower(context_of(session))
    tape = Tape().add(kinds.HOLD_RAISED, code=10, instrument=-1, value=1, volume=2)
    tape.add(kinds.HOLD_RAISED, code=12, instrument=-1)
    follower.apply(tape.frames())
    assert {hold["code"] for hold in selectors.desk_snapshot(session.id)["holds"]} == {"OPERATOR_PAUSE", "FEED_STALE"}
    tape.add(kinds.HOLD_CLEARED, code=12, instrument=-1)
    follower.apply(tape.frames())
    standing = HoldEvent.objects.filter(session=session, cleared_seq=None)
    assert [hold.code for hold in standing] == ["OPERATOR_PAUSE"]
    assert selectors.desk_snapshot(session.id)["account"]["label"] == "PAUSED"


def test_an_instruments_hold_names_it_and_leaves_the_accounts_label_moex_term_04():
    session = make_session()
    tape = Tape().add(kinds.HOLD_RAISED, code=BIT["RESTRICTED"], instrument=0)
    LedgerFollower(context_of(session)).apply(tape.frames())
    shown = selectors.desk_snapshot(session.id)
    (hold,) = shown["holds"]
    assert (hold["code"], hold["scope"], hold["what"]) == ("RESTRICTED", 0, "MES")
    assert shown["account"]["label"] == selectors.strip_values(session.id)["label"] == "ACTIVE"


def test_an_answer_out_of_order_waits_until_the_gap_is_filled():
    """The kernel asks for missed answers and ignores what came too early; the ledger does the same."""
    session = make_session()
    tape = Tape().add(kinds.SUBMIT, order_number=1, side=1, qty=1, order_type=1, role=1, ref=1)
    early = {"order_number": 1, "side": 1, "qty": 1, "price_tick": 5, "fee_micros": 1}
    tape.add(kinds.FILL, ref=2, **early).add(kinds.ACK, order_number=1, ref=1).add(kinds.FILL, ref=2, **early)
    LedgerFollower(context_of(session)).apply(tape.frames())
    assert list(Fill.objects.filter(session=session).values_list("seq", flat=True)) == [4]


def test_commands_holds_and_orders_are_audited_once_in_an_unbroken_chain():
    session = make_session(status="starting")
    Command.objects.create(
        ref=77, session=session, kind="start", by="bob", reason="morning", requested_at=session.created_at
    )
    before = AuditRecord.objects.count()
    follower = AuditFollower(context_of(session))
    frames = round_trip(Tape(), command_ref=77).add(kinds.HOLD_RAISED, code=0, instrument=-1).frames()
    follower.apply(frames[:5])
    follower.apply(frames)
    rows = AuditRecord.objects.filter(seq__gt=before).order_by("seq")
    assert [(r.category, r.action, r.actor) for r in rows] == [
        ("command", "start", "bob"),
        ("session", "start_done", "bob"),
        ("order", "submit", "desk"),
        ("order", "submit", "desk"),
        ("hold", "raised", "desk"),
    ]
    assert rows[0].detail["reason"] == "morning"
    assert audit.verify().ok
    assert SinkCursor.objects.get(session=session, follower="audit").seq == len(frames)


def test_what_the_memory_guard_did_is_audited_and_no_other_metric_is_moex_data_13():
    session = make_session()
    before = AuditRecord.objects.count()
    tape = Tape().add(METRIC, code=METRIC_MEMORY, instrument=-1, qty=1, value=420 << 20)
    tape.add(METRIC, code=METRIC_MARKET, instrument=-1)
    tape.add(METRIC, code=METRIC_MEMORY, instrument=-1, qty=2, value=3 << 30, role=BY_INFERENCE)
    AuditFollower(context_of(session)).apply(tape.frames())
    rows = AuditRecord.objects.filter(seq__gt=before).order_by("seq")
    assert [(r.category, r.action, r.object, r.detail["resident_bytes"]) for r in rows] == [
        ("recovery", "memory_soft", f"{session.key} feed", 420 << 20),
        ("recovery", "memory_hard", f"{session.key} inference", 3 << 30),
    ]


def tamper(sql: str, *params: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


@pytest.mark.parametrize(
    ("sql", "params", "bad", "words"),
    [
        ("UPDATE audit_auditrecord SET actor = 'eve' WHERE seq = %s", (3,), 3, "does not match its hash"),
        ("DELETE FROM audit_auditrecord WHERE seq = %s", (2,), 3, "row 2 is missing"),
        ("UPDATE audit_auditrecord SET ts_ns = ts_ns + 1 WHERE seq = %s", (1,), 1, "does not match its hash"),
        ("UPDATE audit_auditrecord SET prev_hash = hash WHERE seq = %s", (4,), 4, "does not continue row 3"),
    ],
)
def test_verify_names_the_first_bad_row(sql, params, bad, words):
    for i in range(5):
        audit.append(category="security", action="sign_in", actor="alice", detail={"n": i})
    tamper(sql, *params)
    verdict = audit.verify()
    assert (verdict.ok, verdict.bad_seq) == (False, bad)
    assert words in verdict.fault


def test_a_log_that_was_cut_short_is_found_by_the_head_noted_earlier():
    for i in range(4):
        audit.append(category="security", action="sign_in", actor="alice", detail={"n": i})
    head = audit.verify().head
    tamper("DELETE FROM audit_auditrecord WHERE seq >= %s", 3)
    assert audit.verify().ok, "a shorter chain is a chain"
    assert "row 3 is missing" in audit.verify(anchor=head).fault


def test_an_audit_row_can_be_neither_changed_nor_deleted():
    audit.append(category="security", action="sign_in", actor="alice")
    row = AuditRecord.objects.get()
    with pytest.raises(AuditChanged):
        row.save()
    with pytest.raises(AuditChanged):
        row.delete()


def test_refs_are_positive_and_the_same_for_the_same_key():
    import uuid

    keys = [uuid.uuid4() for _ in range(200)]
    refs = {ref_of(key) for key in keys}
    assert len(refs) == 200 and all(0 < ref < 2**63 for ref in refs) and ref_of(keys[0]) in refs


def test_a_network_that_drifted_is_audited_and_one_in_its_band_is_not_moex_mon_03():
    session = make_session()
    tape = Tape().add(kinds.DRIFT, code=kinds.DRIFT_NONE).add(kinds.DRIFT, code=kinds.DRIFT_WARN)
    tape.add(kinds.DRIFT, code=kinds.DRIFT_CRITICAL, qty=24, value=4_200_000, ref=3)
    AuditFollower(context_of(session)).apply(tape.frames())
    rows = AuditRecord.objects.filter(category="control").order_by("seq")
    assert [row.action for row in rows] == ["data_drift", "data_drift", "circuit_breaker"]
    assert (rows[2].detail["worst_micro_sigma"], rows[2].detail["outside"]) == (4_200_000, 3)


def test_a_hold_of_one_instrument_is_no_status_of_the_account_and_is_audited_by_its_symbol():
    """MOEX-TERM-04: INSTRUMENT_CAP of one share pauses that share."""
    session = make_session()
    session.spec["limits"]["rules"] = MOEX
    session.save()
    tape = Tape().add(kinds.HOLD_RAISED, code=BIT["INSTRUMENT_CAP"], instrument=0, value=2, volume=1)
    LedgerFollower(context_of(session)).apply(tape.frames())
    shown = selectors.desk_snapshot(session.id)
    assert [hold["code"] for hold in shown["holds"]] == ["INSTRUMENT_CAP"]
    assert shown["account"]["label"] == selectors.strip_values(session.id)["label"] == "ACTIVE"
    tape.add(kinds.HOLD_RAISED, code=BIT["LOSS_STREAK"], instrument=-1)
    LedgerFollower(context_of(session)).apply(tape.frames())
    assert selectors.strip_values(session.id)["label"] == "PAUSED"
    before = AuditRecord.objects.count()
    follower = AuditFollower(context_of(session))
    follower.rules = MOEX  # of the spec, which frames make for futures
    follower.apply(tape.frames())
    rows = AuditRecord.objects.filter(seq__gt=before).order_by("seq")
    assert [row.object for row in rows] == [f"{session.key} MES INSTRUMENT_CAP", f"{session.key} LOSS_STREAK"]


def test_adjustments_of_the_hedging_task_and_routes_are_audited_moex_hedge_05_moex_risk_07():
    session = make_session()
    session.spec["limits"]["rules"] = MOEX
    session.save()
    rub = 1_000_000
    imbalance = {"side": -1, "qty": 3, "value": 90_000 * rub, "volume": 110_000 * rub, "ref": hedging.FOR_IMBALANCE}
    tape = Tape().add(kinds.ADJUSTMENT, code=hedging.HEDGE, score_ppm=codes.SPREAD, **imbalance)
    cap = {"side": 1, "qty": 2, "value": 60_000 * rub, "volume": 57_000 * rub, "ref": hedging.FOR_CAP}
    tape.add(kinds.ADJUSTMENT, code=hedging.REDUCE, **cap).add(kinds.ROUTE_FAILOVER, instrument=-1, ref=1)
    tape.add(kinds.ADJUSTMENT, code=hedging.UNHEDGE, side=1, qty=3, ref=hedging.FOR_IMBALANCE)  # the shares are gone
    before = AuditRecord.objects.count()
    AuditFollower(context_of(session)).apply(tape.frames())
    rows = list(AuditRecord.objects.filter(seq__gt=before).order_by("seq"))
    assert [(row.category, row.action) for row in rows] == [
        ("order", "hedge"), ("order", "reduce"), ("recovery", "route_failover"), ("order", "unhedge"),
    ]  # fmt: skip
    assert (rows[0].detail["reason"], rows[0].detail["refused"]) == ("exposure_imbalance_0.818_long", "SPREAD")
    assert rows[3].detail["reason"] == "exposure_imbalance_0.000_flat"
    assert rows[1].detail["reason"] == "notional_over_cap" and "refused" not in rows[1].detail


def test_a_fee_that_is_not_the_tables_raises_an_alert_mes_cost_02():
    """More than a cent a side and contract: the broker's own fee is booked all the same."""
    session = make_session()
    follower = AuditFollower(context_of(session))
    follower.fees = [(420_000, 0)]  # of the spec, which frames make with other numbers
    tape = Tape()
    for number, fee in ((1, 860_000), (2, 860_001), (3, 700_000)):
        tape.add(kinds.FILL, order_number=number, side=1, qty=2, price_tick=20_000, fee_micros=fee, ref=number)
    before = AuditRecord.objects.count()
    follower.apply(tape.frames())
    rows = AuditRecord.objects.filter(seq__gt=before).order_by("seq")
    assert [(row.category, row.action, row.actor) for row in rows] == [("order", "fee_differs", "venue")] * 2
    assert [row.object.rpartition("#")[2] for row in rows] == ["2", "3"]
    assert (rows[0].detail["booked_micros"], rows[0].detail["table_micros"]) == (860_001, 840_000)
    for number in (
        2,
        3,
        3,
    ):  # a venue gives its answers again after a restart; another fill of the order is another fee
        tape.add(kinds.FILL, order_number=number, side=1, qty=2, price_tick=20_000, fee_micros=860_001, ref=number)
    tape.add(kinds.FILL, order_number=3, side=1, qty=2, price_tick=20_000, fee_micros=860_001, ref=4)
    again = AuditFollower(context_of(session))
    again.fees = follower.fees
    again.apply(tape.frames())
    assert [(row.object.rpartition("#")[2], row.detail["ref"]) for row in rows.all()] == [("2", 2), ("3", 3), ("3", 4)]
