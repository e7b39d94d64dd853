"""The report of the shares' gate from stored sessions: what counts, what fails it (MOEX-GATE-01, -02)."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from desk.audit.models import AuditRecord
from tests.golive.kit import BASELINE, moment, ns_behind, stored
from tests.kernel.desk import Desk
from tests.run.test_daily import two_days
from tests.shell.frames import make_session
from trading import configs
from trading.control import session_folder
from trading.golive.evidence import Found, found_of
from trading.golive.lineage import lineage_of, recipe_of, root_of
from trading.golive.models import GateReport
from trading.golive.reports import Subject, make_moex, store
from trading.golive.rows import hash_of
from trading.golive.standing import standing
from trading.models import Account, ConfigVersion, Session
from trading.research.figures import figure, judge
from trading.research.gate import Decision

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]


def report(session: Session, desk: Desk, rehearse: bool = False) -> GateReport:
    return make_moex(
        session.version, BASELINE, session.account, by="olga", now_ns=ns_behind(desk), rehearse=rehearse
    )  # fmt: skip


def rows_of(row: GateReport) -> dict[str, dict[str, object]]:
    return {str(one["name"]): one for one in row.rows}


def test_a_stored_session_is_judged_by_its_trades_and_days_moex_gate_01() -> None:
    desk = two_days()
    session = stored(desk)
    row = report(session, desk)
    rows = rows_of(row)
    assert (rows["trades"]["value"], rows["trades"]["state"]) == (6.0, "failed")
    assert rows["days_with_a_trade"]["value"] == 2.0 and rows["sharpe"]["n"] == 2
    assert rows["sessions_read"]["state"] == rows["lineage"]["state"] == "passed"
    assert rows["paper_optimism"]["state"] == "no_data" and "Not known" in str(rows["paper_optimism"]["sentence"])
    assert not row.passed and row.figures["sessions"] == [session.key] and row.figures["days"] == [20260304, 20260305]
    assert row.hash == hash_of(GateReport.objects.get(id=row.id)) and len(row.inputs[f"journal of {session.key}"]) == 64
    assert AuditRecord.objects.filter(action="gate_report", actor="olga").count() == 1


def test_five_basis_points_a_side_are_charged_on_its_own_fills_moex_gate_02() -> None:
    """A contract at 20,001 and the like is worth $25,001: 5 bps of both sides are $25, where $0.84 were booked."""
    desk = two_days()
    session = stored(desk)
    rows = rows_of(report(session, desk))
    cost = rows["cost_per_trade"]["value"]
    assert isinstance(cost, float) and cost == pytest.approx(2 * 20_001 * 1.25 * 0.0005, rel=0.001)
    assert rows["win_rate"]["value"] == 0.0, "no trade earns that much"


def test_a_made_up_market_counts_in_a_rehearsal_alone_which_never_passes() -> None:
    desk = two_days()
    session = stored(desk, feed="simulated")
    row = report(session, desk)
    assert row.figures["left_out"] == [[session.key, "its market is made up"]]
    assert rows_of(row)["trades"]["value"] == 0.0
    tried = report(session, desk, rehearse=True)
    assert rows_of(tried)["trades"]["value"] == 6.0 and rows_of(tried)["real_market"]["state"] == "failed"
    assert tried.rehearsal and not tried.passed
    assert standing("moex", "moex", row.lineage, moment(ns_behind(desk))).report == row, (
        "a rehearsal counts for nothing"
    )


@pytest.mark.parametrize("how", ["gone", "behind", "spoilt"])
def test_a_session_that_cannot_be_read_fails_the_gate_moex_gate_02(how: str) -> None:
    """Missing evidence fails: a journal that is gone, a ledger that is behind, a ledger without its fills."""
    desk = two_days()
    session = stored(desk, read=200 if how == "behind" else None)
    if how == "gone":
        folder = session_folder(session.id)
        folder.rename(folder.with_name("elsewhere"))
    if how == "spoilt":
        session.fills.all().delete()
    row = report(session, desk)
    assert rows_of(row)["sessions_read"]["state"] == "failed" and not row.passed
    said = {"gone": "journal is gone", "behind": "its ledger is at frame 200", "spoilt": "has no fills"}[how]
    assert said in str(rows_of(row)["sessions_read"]["sentence"])


@pytest.mark.parametrize(
    ("feed", "why"), [("replay", "its market is a recording"), ("invented", "its market is not known to be a live one")]
)
def test_only_a_feed_that_is_known_to_be_live_counts_moex_gate_02(feed: str, why: str) -> None:
    session = make_session("ended")
    session.started_at = timezone.now()
    session.spec["feed"]["name"] = feed
    session.save()
    found = found_by(session, session.version, round(timezone.now().timestamp() * 1e9))
    assert not found.lived and found.left_out[0][1].startswith(why)


def found_by(session: Session, judged: ConfigVersion, now_ns: int) -> Found:
    return found_of(judged, lineage_of(root_of(judged), recipe_of(BASELINE)), session.account, now_ns)


def test_another_lineage_and_an_unknown_one_do_not_count() -> None:
    desk = two_days()
    session = stored(desk, recipe="ab" * 32)
    found = found_by(session, session.version, ns_behind(desk))
    assert found.left_out == [(session.key, "it is of another lineage")] and not found.lived
    session.spec["inputs"] = {}
    session.save()
    found = found_by(session, session.version, ns_behind(desk))
    assert found.left_out == [(session.key, "its lineage is not known")]


def with_loss(version: ConfigVersion, loss: str) -> ConfigVersion:
    """The same version with another daily loss."""
    ConfigVersion.objects.filter(id=version.id).update(used_at=timezone.now())
    risk = version.values["risk"] | {"loss_day_max": loss}
    return configs.store(configs.parse_profile(version.values | {"risk": risk}), author="ada", reason=loss)


def test_trades_of_a_looser_version_count_for_a_tighter_one_and_not_back_moex_gate_02() -> None:
    desk = two_days()
    session = stored(desk)
    first, tighter = session.version, with_loss(session.version, "400 USD")
    assert root_of(tighter) == root_of(first)
    assert found_by(session, tighter, ns_behind(desk)).lived
    session.version, session.spec["version_id"] = tighter, tighter.id
    session.save()
    session.orders.update(version_id=tighter.id)
    assert found_by(session, tighter, ns_behind(desk)).lived
    back = found_by(session, first, ns_behind(desk))
    assert back.left_out == [(session.key, "it ran under a version from which the judged one loosens")]
    assert not back.lived and not back.faults


def test_a_session_of_two_lineages_fails_the_gate_of_both_moex_gate_02() -> None:
    """A looser version in the middle of a session neither hides what was lost before nor brings its gains along."""
    desk = two_days()
    session = stored(desk)
    first, looser = session.version, with_loss(session.version, "600 USD")
    session.version = looser
    session.save()
    for judged in (first, looser):
        found = found_by(session, judged, ns_behind(desk))
        assert not found.lived and "only some count" in dict(found.faults)[session.key]
    row = rows_of(report(session, desk))["sessions_read"]
    assert row["state"] == "failed" and "only some count" in str(row["sentence"])


def test_a_session_of_the_lineage_on_another_account_fails_the_gate_moex_gate_02() -> None:
    """Losses on one account cannot be left behind by asking for the report of another."""
    desk = two_days()
    session = stored(desk)
    assert rows_of(report(session, desk))["one_account"]["state"] == "passed"
    values = {name: getattr(session.account, name) for name in ("venue", "currency", "balance_micros", "created_at")}
    fresh = Account.objects.create(name="fresh", **values)
    row = make_moex(session.version, BASELINE, fresh, by="olga", now_ns=ns_behind(desk))
    failed = rows_of(row)["one_account"]
    assert (failed["state"], failed["value"], failed["n"]) == ("failed", 1.0, 1) and not row.passed
    assert "another account" in str(failed["sentence"]) and session.account.name in row.figures["left_out"][0][1]


def good() -> Decision:
    return Decision(True, (judge("trades", figure(500), ">=", 500, 500, "trades", "There are {value} trades."),))


def test_what_names_no_lineage_is_never_kept_as_passed_moex_gate_02() -> None:
    now = moment(1_792_000_000_000_000_000)
    row = store(Subject("moex", "moex-tinvest", ""), good(), {}, {}, by="olga", now_ns=round(now.timestamp() * 1e9))
    assert not row.passed
    with pytest.raises(IntegrityError), transaction.atomic():
        GateReport.objects.filter(id=row.id).update(passed=True)


def test_only_the_newest_fresh_and_unchanged_report_counts_moex_ops_03() -> None:
    now = moment(1_792_000_000_000_000_000)
    at = round(now.timestamp() * 1e9)
    asked = ("moex", "moex", "ab" * 32)
    assert "no report" in standing(*asked, now).words and not standing(*asked, now).passed
    assert "cannot be named" in standing("moex", "moex", "", now).words
    subject = Subject("moex", "moex-tinvest", "ab" * 32)
    row = store(subject, good(), {}, {}, by="olga", now_ns=at)
    assert standing(*asked, now).passed and standing(*asked, now + timedelta(hours=24)).passed
    late = standing(*asked, now + timedelta(hours=24, seconds=1))
    assert not late.passed and "more than a day old" in late.words
    assert not standing(*asked, now - timedelta(seconds=1)).passed, "one from the future is no report"
    assert not standing("mes", "cme", "ab" * 32, now).passed and not standing("moex", "moex", "cd" * 32, now).passed
    GateReport.objects.filter(id=row.id).update(figures={"made": "up"})
    changed = standing(*asked, now)
    assert not changed.passed and "not what was stored" in changed.words
    failed = Decision(False, (judge("trades", figure(1), ">=", 500, 1, "trades", ""),))
    store(subject, failed, {}, {}, by="olga", now_ns=at + 1)
    assert standing(*asked, now + timedelta(seconds=1)).words.startswith("not passed"), "the newest one decides"


def test_the_command_makes_lists_and_shows_moex_gate_02() -> None:
    configs.ship(by="alice")
    out = StringIO()
    call_command("gate", "make", "--config", "moex-tinvest", "--by", "olga", stdout=out)
    text = out.getvalue()
    assert "MOEX-GATE of moex-tinvest: NOT PASSED" in text and "Not passing is a valid result" in text
    row = GateReport.objects.get()
    shown = StringIO()
    call_command("gate", "show", str(row.id), "--json", stdout=shown)
    assert json.loads(shown.getvalue())["hash"] == row.hash
    listed = StringIO()
    call_command("gate", "list", stdout=listed)
    assert listed.getvalue().startswith(f"{row.id} MOEX-GATE")
    with pytest.raises(CommandError, match="gatemes"):
        call_command("gate", "make", "--config", "mes-topstep")
    with pytest.raises(CommandError, match="no report"):
        call_command("gate", "show", "99")
    with pytest.raises(CommandError, match="no account"):
        call_command("gate", "make", "--account", "nobody's")


def test_a_report_s_hash_is_the_same_over_what_a_database_of_decimals_gives_back_moex_gate_02() -> None:
    """PostgreSQL keeps JSON numbers as decimals: 1e16 comes back as an integer, -0.0 as 0.0."""
    written = {"values": [-0.0, 1e16, 1e300, 1.0, 0.1, 2e-7, 5, True, None, "1e16"]}
    read = {"values": [0.0, 10**16, 10**300, 1.0, 0.1, 2e-7, 5, True, None, "1e16"]}
    made = moment(1_792_000_000_000_000_000)
    hashes = {hash_of(GateReport(gate="moex", rows=[], figures=figures, made_at=made)) for figures in (written, read)}
    assert len(hashes) == 1
    other = {"values": [0.0, 10**16 + 1, *read["values"][2:]]}
    assert hash_of(GateReport(gate="moex", rows=[], figures=other, made_at=made)) not in hashes
