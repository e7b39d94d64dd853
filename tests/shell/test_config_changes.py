"""What a change of configuration does, and its way into running sessions: every limit, both directions (UI-39)."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from desk.audit.models import AuditRecord
from desk.config.forms import DraftForm
from desk.config.selectors import running_rows
from marketdata.core.records import ACCOUNT_SCOPE
from risk.core.holds import BIT
from risk.core.records import LIMIT_DIRECTION, LIMIT_FIELDS, LIMIT_INDEX
from risk.schema import FIELDS, SWITCH
from tests.shell.frames import Tape, context_of, make_session
from tests.simulation.kit import make_spec
from trading import configs
from trading.config import fields, running
from trading.config.changes import KEPT_BY_SESSION, LOOSENS, NEUTRAL, TIGHTENS, compare, limit_effect, raises_risk
from trading.control import session_folder
from trading.core import records as kinds
from trading.core import states
from trading.models import Account, ConfigVersion, Session
from trading.preflight.planning import StartRefused, plan_session
from trading.run.replica import Kernel
from trading.run.spec import FeedSpec, load_spec, setup_events
from trading.run.streams import INBOX, Stream
from trading.run.versions import load_names, note_name
from trading.sinks import LedgerFollower

SHIPPED = {name: configs.load_file(configs.FOLDER / f"{name}.yaml") for name in configs.SHIPPED}
DEMO = SHIPPED["demo-mes"]


def changed(path: str, value: object) -> configs.Profile:
    values = json.loads(json.dumps(DEMO.to_values()))
    section, _, key = path.rpartition(".")
    (values[section] if section else values)[key] = value
    return configs.parse_profile(values)


# what a line does


@pytest.mark.parametrize("name", LIMIT_FIELDS)
def test_every_limit_tightens_and_loosens_as_its_direction_says(name: str) -> None:
    """UI-39, for each field of LIMITS, also those that are still to come."""
    direction = int(LIMIT_DIRECTION[LIMIT_INDEX[name]])
    words = {1: (LOOSENS, TIGHTENS), -1: (TIGHTENS, LOOSENS), 0: (NEUTRAL, NEUTRAL)}[direction]
    assert (limit_effect(name, 100, 101), limit_effect(name, 100, 99)) == words


@pytest.mark.parametrize(
    ("path", "value", "effect", "reach"),
    [
        ("risk.loss_day_max", "400 USD", TIGHTENS, "running sessions"),
        ("risk.loss_day_max", "600 USD", LOOSENS, "running sessions"),
        ("risk.confidence_min", "99 %", TIGHTENS, "running sessions"),
        ("risk.capital", "20000 USD", NEUTRAL, "new sessions"),
        ("market.instruments", ["MES", "MNQ"], LOOSENS, "new sessions"),
        ("market.schedule", "topstep", TIGHTENS, "new sessions"),
        ("modes", ["paper", "live"], LOOSENS, "new sessions"),
        ("paper.slip_ticks", 3, NEUTRAL, "new sessions"),
        ("market.restricted", ["MES"], TIGHTENS, "running sessions"),
        ("watch.heartbeat", "4 s", TIGHTENS, "new sessions"),
        ("watch.ml_max", "21 ms", LOOSENS, "new sessions"),
        ("title", "another title", NEUTRAL, "new sessions"),
    ],
)
def test_a_line_says_what_it_does_and_whom_it_reaches(path: str, value: object, effect: str, reach: str) -> None:
    if path == "market.instruments" and "MNQ" in DEMO.market.instruments:
        value = DEMO.market.instruments[:1]
        effect = TIGHTENS
    new = changed(path, value) if path != "modes" else DEMO.model_copy(update={path: value})  # no hours of live's own
    (line,) = compare(DEMO, new)
    assert (line.path, line.effect, line.reach) == (path, effect, reach)


def test_only_what_plainly_tightens_needs_no_step_up() -> None:
    """N9: neutral limits can act either way, so they ask as well; a title and the simulated venue never do."""
    assert not raises_risk(compare(DEMO, changed("risk.loss_day_max", "400 USD")))
    assert not raises_risk(compare(DEMO, changed("title", "another title")))
    assert raises_risk(compare(DEMO, changed("risk.loss_day_max", "600 USD")))
    assert raises_risk(compare(DEMO, changed("risk.stop_ticks", 9)))
    assert raises_risk(compare(changed("market.restricted", ["MES"]), DEMO)), "to take it off the list (P-25)"
    assert raises_risk(compare(changed("market.schedule", "topstep"), DEMO))


# described rows and the form made of them


@pytest.mark.parametrize("name", configs.SHIPPED)
def test_every_value_of_the_schema_is_described_once(name: str) -> None:
    rows = fields.rows(SHIPPED[name])
    assert [row.path for row in rows] == [key for key in configs.schema_keys() if key not in fields.FIXED]
    assert all(row.help and row.label for row in rows)
    risk = [row for row in rows if row.section == "risk"]
    assert len(risk) == len(FIELDS)
    assert all(row.bounds or row.kind == SWITCH for row in risk)
    money = next(row for row in risk if row.path == "risk.loss_day_max")
    assert (money.unit, "RUB" in money.bounds) == (SHIPPED[name].market.currency, name in ("demo-moex", "moex-tinvest"))


def data_of(profile: configs.Profile, **changes: Any) -> dict[str, Any]:
    """What a browser would send for this profile."""
    found: dict[str, Any] = {"reason": "as a test"}
    for row in fields.rows(profile):
        if row.kind == SWITCH:
            if row.value:
                found[row.path] = "on"
        else:
            found[row.path] = ", ".join(row.value) if row.kind == fields.LIST else row.value
    return found | changes


@pytest.mark.parametrize("name", configs.SHIPPED)
def test_the_form_gives_back_what_it_was_made_from(name: str) -> None:
    """A form that was not touched is the same profile, to the hash, and so it is refused as no change."""
    form = DraftForm(data_of(SHIPPED[name]), base=SHIPPED[name])
    assert not form.is_valid()
    assert list(form.errors) == ["__all__"] and "Nothing differs" in str(form.errors)
    other = DraftForm(data_of(SHIPPED[name], title="other"), base=SHIPPED[name])
    assert other.is_valid(), other.errors
    assert other.profile is not None and other.profile.limits() == SHIPPED[name].limits()


def test_all_faults_come_together_beside_their_fields() -> None:
    """MES-CONF-02: unit, range, number and word in one answer; a contradiction beside its value."""
    typed = {
        "risk.loss_day_max": "50 RUB", "risk.confidence_min": "140 %", "paper.latency": "20",
        "paper.slip_ticks": "many", "market.schedule": "weekdays", "risk.stop_ticks": "",
    }  # fmt: skip
    form = DraftForm(data_of(DEMO, **typed), base=DEMO)
    assert not form.is_valid()
    assert set(form.errors) == set(typed)
    assert "RUB is not the profile's currency" in form.errors["risk.loss_day_max"][0]
    assert len(form.faults()) == len(typed) and all(anchor.startswith("id_") for anchor, _, _ in form.faults())
    crossed = DraftForm(data_of(DEMO, **{"risk.loss_trade_max": "9000 USD"}), base=DEMO)
    assert not crossed.is_valid()
    assert "one trade may lose more than a day" in crossed.errors["risk.loss_trade_max"][0]


# into running sessions


def next_version(path: str, value: object) -> ConfigVersion:
    return configs.store(changed(path, value), author="alice", reason="as a test")


@pytest.mark.django_db
def test_activation_puts_every_limit_into_each_running_session_whole(own_folder, redis_server, redis_client) -> None:
    session, over = make_session(redis_url=redis_server), make_session(status="ended", redis_url=redis_server)
    inbox = Stream(redis_client, session.key, INBOX)
    inbox.open((0, 0))
    version = next_version("risk.capital", "20000 USD")
    done = running.activate(version, by="alice", reason="more capital from now on")
    assert [(h.key, h.state) for h in done.handovers] == [(session.key, running.SENT)], over.key
    (entry,) = inbox.read((0, 0), 0, 10)
    events = entry.events
    limits, commit, restricted = events[: len(LIMIT_FIELDS)], events[len(LIMIT_FIELDS)], events[len(LIMIT_FIELDS) + 1 :]
    assert set(limits["kind"]) == {kinds.CONFIG} and set(limits["instrument"]) == {ACCOUNT_SCOPE}
    assert (int(commit["kind"]), int(commit["ref"])) == (kinds.CONFIG_COMMIT, version.id)
    assert [(int(e["kind"]), int(e["instrument"]), int(e["value"])) for e in restricted] == [(kinds.CONDITION, 0, 0)]
    values = {LIMIT_FIELDS[int(e["code"])]: int(e["value"]) for e in limits}
    spec = load_spec(session_folder(session.id))
    assert {name: values[name] for name in KEPT_BY_SESSION} == {name: spec.limits[name] for name in KEPT_BY_SESSION}
    assert values["loss_day_micros_max"] == configs.profile_of(version).limits()["loss_day_micros_max"]
    version.refresh_from_db()
    assert version.used_at is not None
    assert load_names(session_folder(session.id))[version.id] == "demo-mes v2"
    actions = AuditRecord.objects.filter(actor="alice", category="config").order_by("seq")
    assert list(actions.values_list("action", "object"))[-2:] == [
        ("activated", "demo-mes v2"),
        ("handed_over", f"{session.key} demo-mes v2"),
    ]


@pytest.mark.django_db
def test_what_was_not_sent_is_said_and_audited_and_a_draft_is_never_handed_over(own_folder) -> None:
    session = make_session()  # its Redis does not run
    version = next_version("risk.loss_day_max", "400 USD")
    with pytest.raises(configs.ConfigError, match="only the active version"):
        running.hand_over(session, version, by="alice", reason="x")
    (handover,) = running.activate(version, by="alice", reason="tighter").handovers
    assert handover.state == running.NOT_SENT and "Redis" in handover.detail
    (row,) = running_rows(ConfigVersion.objects.get(id=version.id))
    assert (row.tone, "not sent" in row.words) == ("bad", True)
    assert AuditRecord.objects.get(action="handed_over").detail["state"] == running.NOT_SENT


@pytest.mark.django_db
def test_the_row_follows_the_journal_and_the_page_says_where_it_was_applied(own_folder) -> None:
    from desk.audit.follower import AuditFollower

    session = make_session()
    version = next_version("risk.loss_day_max", "600 USD")
    configs.activate(version, by="alice", reason="looser for a test")
    tape = Tape().add(kinds.CONFIG_ACTIVE, ref=version.id, value=1, instrument=ACCOUNT_SCOPE)
    for follower in (LedgerFollower(context_of(session)), AuditFollower(context_of(session))):
        follower.apply(tape.frames())
    session.refresh_from_db()
    assert session.version == version, "the row names the version in force"
    (row,) = running_rows(version)
    assert (row.tone, row.words) == ("waits", "tighter values applied at seq 1; looser ones wait for flat")
    tape.add(kinds.CONFIG_ACTIVE, ref=version.id, value=0, instrument=ACCOUNT_SCOPE)
    AuditFollower(context_of(session)).apply(tape.frames())
    (row,) = running_rows(version)
    assert (row.tone, row.words, row.obeys) == ("good", "applied at seq 2", "demo-mes v2")
    assert session.status == states.RUNNING


@pytest.mark.django_db
def test_the_kernel_takes_the_batch_as_the_version_in_force(own_folder) -> None:
    """Flat: tight and loose values hold at once, under the new version's number, and a replay sees the same."""
    session = make_session()
    spec = load_spec(session_folder(session.id))
    version = next_version("risk.loss_day_max", "600 USD")
    kernel = Kernel()
    kernel.apply(setup_events(spec))
    before = kernel.params.limits[0].loss_day_micros_max
    frames = kernel.apply(running.version_events(spec, configs.profile_of(version), version))
    active = frames[frames["kind"] == kinds.CONFIG_ACTIVE]
    assert [(int(e["ref"]), int(e["value"])) for e in active] == [(version.id, 1), (version.id, 0)]
    assert (before, int(kernel.params.limits[0].loss_day_micros_max)) == (500_000_000, 600_000_000)
    assert int(kernel.state.account[0].version) == version.id
    assert np.count_nonzero(kernel.params.limit_values == np.iinfo(np.int64).min) == 0


@pytest.mark.django_db
def test_a_running_session_obeys_the_list_of_restrictions_at_once_and_tells_the_audit_p_25(
    own_folder, redis_server, redis_client
) -> None:
    """Onto the list in one press, off it by a step-up; the instrument alone is held, the version in force."""
    session = make_session(redis_url=redis_server)
    inbox = Stream(redis_client, session.key, INBOX)
    inbox.open((0, 0))
    spec = load_spec(session_folder(session.id))
    kernel = Kernel()
    kernel.apply(setup_events(spec))
    told = []
    for symbols in ([spec.instruments[0].symbol], []):
        version = next_version("market.restricted", symbols)
        running.activate(version, by="alice", reason="as the list says")
        events = inbox.read((0, 0), 0, 10)[-1].events
        frames = kernel.apply(events)
        held = frames[np.isin(frames["kind"], (kinds.HOLD_RAISED, kinds.HOLD_CLEARED))]
        told += [(int(e["kind"]), int(e["code"]), int(e["instrument"])) for e in held if e["code"] == BIT["RESTRICTED"]]
        assert AuditRecord.objects.filter(action="handed_over").latest("seq").detail["restricted"] == symbols
    bit = BIT["RESTRICTED"]
    assert told == [(kinds.HOLD_RAISED, bit, 0), (kinds.HOLD_CLEARED, bit, 0)]


def test_a_new_session_opens_with_its_restrictions_and_one_of_nothing_else_is_refused_p_25() -> None:
    barred = msgspec.structs.replace(make_spec(), restricted=["MES"])
    kernel = Kernel()
    kernel.apply(setup_events(barred))
    assert int(kernel.state.positions[0].holds) == 1 << BIT["RESTRICTED"] and int(kernel.state.account[0].holds) > 0
    kernel = Kernel()
    kernel.apply(setup_events(make_spec()))
    assert int(kernel.state.positions[0].holds) == 0
    account = Account(name="paper", venue="cme", currency="USD", balance_micros=10**10)
    profile = changed("market.restricted", ["MES"])
    with pytest.raises(StartRefused, match="demo-mes restricts MES: nothing could be entered"):
        plan_session(
            account=account, version=ConfigVersion(id=3, hash="ab" * 32), profile=profile,
            feed=FeedSpec("simulated", ["MES"], seed=1),
        )  # fmt: skip


def test_names_survive_and_a_torn_file_has_none(tmp_path) -> None:
    note_name(tmp_path, 3, "demo-mes v1")
    note_name(tmp_path, 9, "demo-mes v2")
    assert load_names(tmp_path) == {3: "demo-mes v1", 9: "demo-mes v2"}
    (tmp_path / "versions.json").write_bytes(b"{")
    assert load_names(tmp_path) == {}


@pytest.mark.django_db
def test_sessions_of_other_profiles_are_left_alone(own_folder) -> None:
    make_session()
    assert Session.objects.count() == 1
    assert running.running("demo-moex") == []
    assert [s.status for s in running.running("demo-mes")] == [states.RUNNING]
