"""Skipping the shares' gate for one trading day, and what pre-flight asks of live (MOEX-GATE-03, MOEX-OPS-03)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from desk.accounts.roles import ADMIN, OPERATOR, SENTENCES, VIEWER
from desk.alerts.mirror import exchange
from desk.alerts.models import Alert
from desk.audit.models import AuditRecord
from desk.control import gate
from tests.shell.test_reset_page import PASSWORD, signed_in, ticket_of
from trading import configs
from trading.golive import overrides
from trading.golive.lineage import lineage_of, recipe_of, root_of
from trading.golive.models import GateOverride, GateReport
from trading.golive.reports import Subject, store
from trading.golive.standing import day_at, skipped, standing
from trading.models import ConfigVersion
from trading.preflight import golive
from trading.research.figures import figure, judge
from trading.research.gate import Decision
from trading.run.spec import ScorerSpec

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]
REASON = "drill of the first live hour, flat by noon"
MONDAY = datetime(2026, 11, 30, 9, tzinfo=UTC)
BASELINE = ScorerSpec("baseline")
PATH = "/gate/override/"


def test_an_override_lasts_until_the_day_rolls_moex_gate_03_moex_acc_402() -> None:
    """05:00 MSK of Tuesday is 02:00 UTC: a nanosecond before, the gate is skipped; from there on it is asked again."""
    row = overrides.give("moex", by="olga", reason=REASON, now=MONDAY)
    assert row.trading_day == 20261130
    roll = datetime(2026, 12, 1, 2, tzinfo=UTC)
    for now, passed in ((MONDAY, True), (roll - timedelta(seconds=1), True), (roll, False)):
        found = standing("moex", "moex", "ab" * 32, now)
        assert found.passed == passed and bool(skipped(now)) == passed
    assert "skipped on trading day 20261130 by olga" in standing("moex", "moex", "", MONDAY).words
    assert not standing("mes", "cme", "ab" * 32, MONDAY).passed, "of one market alone"
    assert not standing("mes", "moex", "ab" * 32, MONDAY).passed, "the futures' gate has no override"
    with pytest.raises(IntegrityError), transaction.atomic():
        GateOverride.objects.create(venue="cme", trading_day=20261130, by="olga", reason=REASON, made_at=MONDAY)
    assert AuditRecord.objects.get(action="gate_overridden").detail["reason"] == REASON


def test_an_override_is_of_the_shares_alone_once_a_day_and_with_a_reason() -> None:
    for venue, reason, says in (("cme", REASON, "cannot be skipped"), ("moex", "  short  ", "10 characters")):
        with pytest.raises(overrides.OverrideRefused, match=says):
            overrides.give(venue, by="olga", reason=reason, now=MONDAY)
    overrides.give("moex", by="olga", reason=REASON, now=MONDAY)
    with pytest.raises(overrides.OverrideRefused, match="already"):
        overrides.give("moex", by="ada", reason=REASON, now=MONDAY)
    assert day_at("moex", datetime(1900, 1, 1, tzinfo=UTC)) is None or GateOverride.objects.count() == 1


def test_the_day_that_is_skipped_is_the_one_that_was_confirmed_moex_gate_03() -> None:
    """The day rolled between the press and the write: what was confirmed holds, and has ended."""
    assert gate._skip("olga", REASON, MONDAY).trading_day == 20261130
    assert OPERATOR in SENTENCES and "skips the shares' go-live gate" in SENTENCES[OPERATOR]


@pytest.mark.parametrize("role", [OPERATOR, ADMIN])
def test_two_steps_an_alert_and_a_word_on_every_page_moex_gate_03(client: Client, role: str) -> None:
    person = signed_in(client, "olga", role)
    page = person.get(PATH).content.decode()
    assert "every other check of a start stays" in page
    form: dict[str, Any] = {"reason": REASON, "ticket": ticket_of(page)}
    refused = person.post(PATH, form)
    assert refused.status_code == 422 and not GateOverride.objects.exists(), "without the password"
    wrong = person.post(PATH, form | {"password": PASSWORD, "ticket": "another"})
    assert wrong.status_code == 422 and not GateOverride.objects.exists()
    short = person.post(PATH, form | {"password": PASSWORD, "reason": "short"})
    assert short.status_code == 422 and not GateOverride.objects.exists()
    page = person.get(PATH).content.decode()
    assert person.post(PATH, form | {"password": PASSWORD, "ticket": ticket_of(page)}).status_code == 302
    assert GateOverride.objects.get().by == "olga"
    for path in ("/gate/", "/sessions/", "/welcome/", PATH):
        shown = person.get(path).content.decode()
        assert "gate skipped today" in shown and REASON in shown, path
    (told,) = exchange([], {}, []).rehearsals
    assert told.severity == "urgent" and REASON in told.text and "olga has the go-live gate" in told.text
    assert Alert.objects.get().kind == "GATE_OVERRIDE"


def test_a_viewer_reads_and_skips_nothing_moex_sec_04(client: Client) -> None:
    victor = signed_in(client, "victor", VIEWER)
    page = victor.get(PATH).content.decode()
    assert "Only an operator or an admin" in page and 'name="ticket"' not in page
    assert victor.post(PATH, {"reason": REASON, "password": PASSWORD, "ticket": "x"}).status_code == 403
    assert not GateOverride.objects.exists() and not Alert.objects.exists()


def test_reports_are_shown_with_their_samples_and_hashes_moex_gate_02(client: Client) -> None:
    victor = signed_in(client, "victor", VIEWER)
    assert "NO REPORT YET" in victor.get("/gate/").content.decode()
    rows = (judge("trades", figure(7), ">=", 500, 7, "trades", "There are {value} trades; {bound} are needed."),)
    figures = {"sessions": ["s1"], "left_out": [["s2", "its market is made up"]], "faults": [], "days": [1, 2]}
    inputs = {"journal of s1": "ab" * 32}
    row = store(
        Subject("moex", "moex-tinvest", "cd" * 32), Decision(False, rows), figures, inputs, by="olga",
        now_ns=round(MONDAY.timestamp() * 1e9),
    )  # fmt: skip
    assert f'href="/gate/{row.id}/"' in victor.get("/gate/").content.decode()
    page = victor.get(f"/gate/{row.id}/").content.decode()
    for words in ("7 trades; 500 are needed", "7 trades", "its market is made up", "ab" * 32, row.hash, "valid result"):
        assert words in page, words
    assert "is not what was stored" not in page
    GateReport.objects.filter(id=row.id).update(by="mallory")
    assert "is not what was stored" in victor.get(f"/gate/{row.id}/").content.decode()
    assert victor.get("/gate/99/").status_code == 404


def test_live_asks_for_a_passed_report_and_paper_only_shows_it_moex_ops_03() -> None:
    version = configs.version_for("moex-tinvest", by="alice")
    profile = configs.profile_of(version)
    shown = golive.row("paper", version, profile, BASELINE)
    assert shown.verdict == "skip" and "no report of this lineage; not needed for paper" in shown.value
    for mode in ("live", "production", "anything"):
        asked = golive.row(mode, version, profile, BASELINE)
        assert asked.verdict == "fail" and "no report" in asked.value and asked.advice
    lineage = lineage_of(root_of(version), recipe_of(BASELINE))
    rows = (judge("trades", figure(500), ">=", 500, 500, "trades", "."),)
    at = round(datetime.now(UTC).timestamp() * 1e9)
    subject = Subject("moex", "moex-tinvest", lineage)
    store(subject, Decision(True, rows), {}, {}, by="olga", now_ns=at - 2 * 10**9)
    nameless = golive.row("live", version, profile, BASELINE)
    assert nameless.verdict == "fail" and "another version" in nameless.value, "it does not say which it judged"
    store(subject, Decision(True, rows), {}, {"configuration": version.hash}, by="olga", now_ns=at - 10**9)
    assert golive.row("live", version, profile, BASELINE).verdict == "pass"
    other = ScorerSpec("baseline", options={"threshold": 0.5})
    assert golive.row("live", version, profile, other).verdict == "fail", "another scorer is another lineage"
    nobody = golive.row("live", version, profile, ScorerSpec("none"))
    assert nobody.verdict == "fail" and "cannot be named" in nobody.value


def test_a_report_of_a_tighter_version_opens_no_looser_one_moex_gate_02() -> None:
    """Rolling back after the tighter version passed: the lineage is the same, the report does not speak for it."""
    first = configs.version_for("moex-tinvest", by="alice")
    ConfigVersion.objects.filter(id=first.id).update(used_at=timezone.now())
    risk = first.values["risk"] | {"orders_open_max": 14}
    tighter = configs.store(configs.parse_profile(first.values | {"risk": risk}), author="ada", reason="tighter")
    lineage = lineage_of(root_of(tighter), recipe_of(BASELINE))
    rows = (judge("trades", figure(500), ">=", 500, 500, "trades", "."),)
    at = round(datetime.now(UTC).timestamp() * 1e9)

    def verdicts(judged: ConfigVersion, now_ns: int) -> list[str]:
        inputs = {"configuration": judged.hash}
        store(Subject("moex", "moex-tinvest", lineage), Decision(True, rows), {}, inputs, by="olga", now_ns=now_ns)
        return [golive.row("live", one, configs.profile_of(one), BASELINE).verdict for one in (first, tighter)]

    assert verdicts(tighter, at - 2 * 10**9) == ["fail", "pass"]
    assert verdicts(first, at - 10**9) == ["pass", "pass"], "what the looser one came to speaks for the tighter one"
