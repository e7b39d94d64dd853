"""Profiles and versions: one sentence for each fault, nothing half-written, stored values never change (MES-CONF)."""

import hashlib
import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from desk.audit.models import AuditRecord
from risk.core.records import LIMIT_FIELDS
from risk.schema import BY_KEY, FIELDS, MONEY, SWITCH, parse, text
from trading import configs
from trading.config.schema import LATER
from trading.core import states
from trading.models import ConfigVersion
from trading.run.spec import WATCH


def changed(path: str, value: object, name: str = "demo-mes") -> dict:
    values = json.loads(json.dumps(configs.load_file(configs.FOLDER / f"{name}.yaml").to_values()))
    section, _, key = path.rpartition(".")
    (values[section] if section else values)[key] = value
    return values


def faults(path: str, value: object, name: str = "demo-mes") -> list[str]:
    with pytest.raises(configs.ConfigError) as error:
        configs.parse_profile(changed(path, value, name))
    return error.value.faults


@pytest.mark.parametrize("name", configs.SHIPPED)
def test_shipped_profiles_set_every_limit_and_survive_export_and_import(name):
    profile = configs.load_file(configs.FOLDER / f"{name}.yaml")
    assert profile.profile == name
    assert tuple(profile.limits()) == LIMIT_FIELDS  # P-07: no limit is left unset
    again = configs.parse_yaml(configs.to_yaml(profile), "export")
    assert (again, configs.profile_hash(again)) == (profile, configs.profile_hash(profile))  # MES-CONF-03


def test_an_export_holds_exactly_the_schema_keys():
    import yaml

    values = yaml.safe_load(configs.to_yaml(configs.load_file(configs.FOLDER / "mes-topstep.yaml")))
    flat = {f"{a}.{b}" for a, inner in values.items() if isinstance(inner, dict) for b in inner}
    flat |= {a for a, inner in values.items() if not isinstance(inner, dict)}
    assert flat == set(configs.schema_keys())


def test_the_demo_profiles_are_refused_in_live_and_the_venues_profiles_keep_their_numbers():
    demo = configs.load_file(configs.FOLDER / "demo-mes.yaml")
    assert demo.modes == ["paper"]
    limits = configs.load_file(configs.FOLDER / "mes-topstep.yaml").limits()
    dollars = {k: v // 1_000_000 for k, v in limits.items() if "micros" in k}
    assert dollars["capital_micros"] == 1000  # MES-RISK-01
    assert (dollars["loss_trade_micros_max"], dollars["loss_day_micros_max"], dollars["loss_total_micros_max"]) == (
        25,
        50,
        300,
    )
    assert (limits["stop_ticks_min"], limits["stop_ticks_max"]) == (4, 16)  # MES-STOP-02
    assert limits["confidence_ppm_min"] == 600_000


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("risk.loss_day_maxx", "50 USD", "risk.loss_day_maxx: unknown key; did you mean risk.loss_day_max?"),
        ("markets", {}, "markets: unknown key; did you mean market?"),
        ("risk.loss_day_max", "50 RUB", "RUB is not the profile's currency; write it as 50 USD"),
        ("risk.loss_day_max", 50, "a bare number is not the profile's currency"),
        ("risk.quote_age_max", "2 USD", "is not a time: give it with a unit"),
        ("risk.quote_age_max", 2, "is not a time: give it with a unit"),
        ("risk.collar_max", "5 ticks", "is not a share"),
        ("risk.stop_ticks", "8 USD", "is not a whole number of ticks"),
        ("risk.stop_ticks", 8.5, "is not an amount with its unit"),
        ("risk.stop_ticks", "8.5", "finer than the desk counts"),
        ("risk.bar_mode", "yes", "is not true or false"),
        ("risk.confidence_min", "140 %", "is outside 0 % … 100 %"),
        ("risk.loss_day_max", "0.0000001 USD", "finer than the desk counts"),
        ("market.schedule", "weekdays", "is no schedule; known: all_hours, standard, topstep, moex"),
        ("market.instruments", ["SBER"], "SBER trades at moex in RUB, not at cme in USD"),
        ("market.instruments", ["XXX"], "instrument 'XXX' is unknown"),
        ("paper.latency", "20", "is not a time up to 60 s with its unit"),
        ("market.restricted", ["SBER"], "'SBER' is restricted and not among the instruments: MES"),
        ("watch.ml_max", "20", "'20' is not a time of 100 us to 10 s with its unit (us, ms, s)"),
        ("watch.heartbeat", "11 min", "is not a time of 1 s to 600 s with its unit"),
        ("watch.lunch_max", "1 s", "watch.lunch_max: unknown key; did you mean watch."),
        ("version", 2, "version: 2"),
    ],
)
def test_each_fault_is_one_clear_sentence(path, value, words):
    found = faults(path, value)
    assert len(found) == 1 and words in found[0] and "\n" not in found[0], found


def test_all_faults_are_told_together_and_contradictions_are_found():
    values = changed("risk.loss_day_max", "50 RUB")
    values["risk"]["nonsense"] = 1
    del values["risk"]["stop_ticks"]
    with pytest.raises(configs.ConfigError) as error:
        configs.parse_profile(values)
    assert len(error.value.faults) == 3  # MES-CONF-02
    assert "risk.stop_ticks: missing" in " ".join(error.value.faults)
    assert "the stop is farther than allowed" in faults("risk.stop_ticks", 60)[0]
    assert "one trade may lose more than a day" in faults("risk.loss_trade_max", "600 USD")[0]  # MES-CONF-06


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("demo-moex", {"risk.rules": "mes"}, "risk.rules (mes) is not the rulebook of market.venue (moex)"),
        ("demo-mes", {"risk.rules": "moex"}, "risk.rules (moex) is not the rulebook of market.venue (cme)"),
        ("demo-mes", {"risk.sizing": "caps"}, "caps are the shares' own"),
        ("mes-topstep", {"risk.stop_method": "shares"}, "shares is the shares' own"),
        ("moex-tinvest", {"risk.sizing": "tiers"}, "tiers are the futures' own"),
        ("moex-tinvest", {"risk.participation_max": "0 %"}, "risk.participation_max (0 %) with risk.sizing caps"),
        ("demo-moex", {"market.schedule": "topstep"}, "(topstep) does not belong to market.venue (moex)"),
        ("demo-mes", {"market.schedule": "moex"}, "(moex) does not belong to market.venue (cme)"),
        ("mes-topstep", {"market.schedule": "standard"}, "(standard) is not for live: it may end too late"),
        ("mes-topstep", {"modes": ["live"], "market.schedule": "all_hours"}, "(all_hours) is not for live"),
        ("moex-tinvest", {"market.schedule": "all_hours"}, "(all_hours) is not for live"),
        ("demo-mes", {"risk.streak_hard": 2}, "risk.streak_soft (3) is more than risk.streak_hard (2)"),
        ("demo-mes", {"risk.streak_hard_pause": "30 s"}, "the longer streak would pause for less"),
        ("demo-moex", {"risk.streak_soft_pause": "0 s"}, "the pause after losses would end at once"),
        ("mes-topstep", {"risk.reverse_confidence_min": "54 %"}, "a reversal is an exit, too"),
        ("moex-tinvest", {"risk.rvi_clear_max": 9000}, "risk.rvi_clear_max (9000) is more than risk.rvi_max (4000)"),
        ("moex-tinvest", {"risk.rvi_age_max": "0 s"}, "every value of the index would be too old"),
        ("moex-tinvest", {"risk.probe_good": "51 ms"}, "risk.probe_good (51 ms) is more than risk.probe_slow (50 ms)"),
        ("moex-tinvest", {"risk.probe_lost": "49 ms"}, "a round trip would be lost before it is slow"),
        ("moex-tinvest", {"risk.bucket_refill": "0 s"}, "an empty bucket would never fill again"),
        ("demo-moex", {"risk.instrument_max": "60 %"}, "one instrument may hold more than all of them"),
        ("demo-mes", {"risk.messages_1s_max": 201}, "a second may carry more than a minute"),
    ],
)
def test_a_profile_that_contradicts_itself_or_its_market_is_refused_mes_conf_06(name, values, words):
    whole = changed("title", "contradicting", name)
    for path, value in values.items():
        section, _, key = path.rpartition(".")
        (whole[section] if section else whole)[key] = value
    with pytest.raises(configs.ConfigError) as error:
        configs.parse_profile(whole)
    assert any(words in fault and "\n" not in fault for fault in error.value.faults), error.value.faults


def test_what_is_switched_off_contradicts_nothing():
    for name, path, value in (
        ("demo-mes", "risk.streak_hard", 0),
        ("demo-mes", "risk.exit_confidence_min", "90 %"),  # no reversal is configured
        ("demo-moex", "risk.rvi_clear_max", 9000),  # the index is not watched
        ("demo-moex", "risk.gross_max", "0 %"),  # no such limit
        ("demo-mes", "market.schedule", "standard"),  # on paper
    ):
        assert configs.parse_profile(changed(path, value, name)).profile == name


def test_broken_files_name_their_line(tmp_path):
    for content, words in (
        ("version: 1\nrisk: [", "line"),
        ("a: 1\na: 2", "given twice"),
        ("- 1", "something else"),
        ("\0", ""),
    ):
        path = tmp_path / "bad.yaml"
        path.write_text(content)
        with pytest.raises(configs.ConfigError) as error:
            configs.load_file(path)
        assert "bad.yaml" in str(error.value) and words in str(error.value)


@given(st.sampled_from(FIELDS), st.data())
def test_every_limit_survives_being_written_and_read(row, data):
    number = data.draw(st.integers(row.low, row.high))
    written = text(row, number, "USD")
    assert parse(row, written, "USD") == number
    assert isinstance(written, bool) == (row.kind == SWITCH)
    if row.kind == MONEY:
        assert str(written).endswith(" USD")


def test_keys_are_the_limits_names_without_their_unit():
    assert BY_KEY["loss_day_max"].name == "loss_day_micros_max"
    assert BY_KEY["quote_age_max"].name == "quote_age_ns_max"


# versions


@pytest.mark.django_db
def test_shipping_twice_stores_once_and_one_version_is_active_per_profile():
    first = configs.ship()
    assert [v.id for v in configs.ship()] == [v.id for v in first]
    assert ConfigVersion.objects.filter(status=states.ACTIVE).count() == len(configs.SHIPPED)
    with pytest.raises(IntegrityError), transaction.atomic():
        ConfigVersion.objects.create(
            profile="demo-mes",
            number=9,
            values={},
            hash="x",
            author="eve",
            reason="r",
            status="active",
            created_at=first[0].created_at,
        )


@pytest.mark.django_db
def test_activation_retires_the_one_before_is_audited_and_rolls_back():
    configs.ship()
    old = configs.find("demo-mes")
    new = configs.store(configs.parse_profile(changed("risk.stop_ticks", 10)), author="alice", reason="wider stop")
    assert (new.number, new.status) == (2, states.DRAFT)
    configs.activate(new, by="alice", reason="try it")
    old.refresh_from_db()
    assert (old.status, configs.find("demo-mes")) == (states.RETIRED, new)
    configs.activate(old, by="alice", reason="back")
    assert configs.find("demo-mes") == old
    actions = (
        AuditRecord.objects.filter(category="config", actor="alice").order_by("seq").values_list("action", "object")
    )
    assert list(actions) == [("stored", "demo-mes v2"), ("activated", "demo-mes v2"), ("activated", "demo-mes v1")]


@pytest.mark.django_db
def test_a_version_changed_behind_the_desks_back_is_never_used():
    version = configs.version_for("demo-mes", by="alice")
    ConfigVersion.objects.filter(id=version.id).update(values=changed("risk.stop_ticks", 10))
    version.refresh_from_db()
    with pytest.raises(configs.ConfigError, match="does not match its hash"):
        configs.profile_of(version)
    with pytest.raises(configs.ConfigError):
        configs.activate(version, by="eve", reason="sneaky")


def run(*words: str) -> str:
    out = StringIO()
    call_command("config", *words, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_the_command_shows_exports_imports_diffs_and_activates(tmp_path):
    path = tmp_path / "mine.yaml"
    run("export", "demo-mes", "--out", str(path))
    path.write_text(path.read_text().replace("stop_ticks: 8", "stop_ticks: 9"))
    assert json.loads(run("diff", "demo-mes", str(path), "--json")) == [{"path": "risk.stop_ticks", "old": 8, "new": 9}]
    assert json.loads(run("validate", str(path), "--json"))["ok"] is True
    run("ship")
    assert "demo-mes v2, draft" in run("import", str(path), "--by", "alice", "--reason", "tighter")
    assert "is active" in run("activate", "demo-mes@2", "--by", "alice", "--reason", "tighter")
    assert json.loads(run("show", "demo-mes", "--json"))["limits"]["stop_ticks"] == 9
    assert len(json.loads(run("list", "--json"))) == 5


@pytest.mark.django_db
def test_a_bad_file_fails_the_command_and_stores_nothing(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(configs.to_yaml(configs.load_file(configs.FOLDER / "demo-mes.yaml")).replace("500 USD", "500 kg"))
    with pytest.raises(CommandError, match="kg is not the profile's currency"):
        run("import", str(path), "--reason", "x")
    assert ConfigVersion.objects.count() == 0
    with pytest.raises(CommandError, match="did you mean demo-mes"):
        run("activate", "demo-mess", "--reason", "x")


# the rulebooks' own numbers


def test_the_futures_profile_holds_its_documents_numbers_mes_conf_06():
    limits = configs.load_file(configs.FOLDER / "mes-topstep.yaml").limits()
    dollars = {
        "capital": 1000, "loss_trade": 25, "loss_day": 50, "drawdown_day": 75, "drawdown": 200, "loss_total": 300,
    }  # fmt: skip
    for name, value in dollars.items():
        key = "capital_micros" if name == "capital" else f"{name}_micros_max"
        assert limits[key] == value * 1_000_000, name
    assert limits["balance_micros_min"] == 700_000_000
    assert (limits["streak_soft"], limits["streak_soft_pause_ns"] // 60_000_000_000) == (3, 15)
    assert (limits["streak_hard"], limits["streak_hard_pause_ns"] // 60_000_000_000) == (5, 30)
    assert (limits["exit_confidence_ppm_min"], limits["reverse_confidence_ppm_min"]) == (550_000, 750_000)
    assert (limits["stop_ticks"], limits["target_ticks"], limits["target_ratio_ppm"]) == (8, 0, 2_000_000)
    assert (limits["spread_ticks_max"], limits["spread_hold_ns"]) == (2, 60_000_000_000)


def test_the_shares_profile_holds_its_documents_numbers_moex_risk_04():
    limits = configs.load_file(configs.FOLDER / "moex-tinvest.yaml").limits()
    assert (limits["gross_ppm_max"], limits["instrument_ppm_max"], limits["loss_stop_ppm_max"]) == (
        500_000,
        50_000,
        2_500,
    )
    assert (limits["loss_day_micros_max"], limits["loss_day_share_ppm_max"]) == (10_000_000_000, 20_000)
    assert (limits["bucket_capacity"], limits["bucket_refill_ns"]) == (20, 600_000_000)
    assert (limits["rvi_max"], limits["rvi_clear_max"]) == (4000, 3800)
    assert (limits["probe_slow_ns"], limits["probe_good_ns"], limits["probe_lost_ns"]) == (50 * MS, 40 * MS, 100 * MS)
    assert (limits["streak_soft"], limits["streak_soft_pause_ns"] // SECOND) == (3, 300)


MS, SECOND = 1_000_000, 1_000_000_000


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("risk.drawdown_day_max", "50 USD", "risk.loss_day_max (50 USD) is not less than risk.drawdown_day_max (50"),
        ("risk.drawdown_max", "300 USD", "risk.drawdown_max (300 USD) is not less than risk.loss_total_max (300 USD)"),
        ("risk.loss_trade_max", "51 USD", "one trade may lose more than a day"),
        ("risk.capital", "650 USD", "the session would start below the balance that trades"),
        ("risk.confidence_min", "59 %", "risk.confidence_min is below 60 %"),
        ("risk.stop_ticks_max", 17, "reach beyond 4 to 16 ticks"),
        ("risk.sizing", "tears", "'tears' is unknown; known: fixed, tiers, caps"),
        ("risk.rules", "nyse", "'nyse' is unknown; known: mes, moex"),
        ("risk.rules", "moex", "tiers are the futures' own"),
        ("risk.target_ratio", "2 %", "is not a plain ratio"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused_with_the_reason_mes_conf_06(path, value, words):
    assert any(words in fault for fault in faults(path, value, "mes-topstep")), faults(path, value, "mes-topstep")


def test_a_value_that_a_later_form_added_leaves_the_hash_of_stored_versions_mes_conf_04():
    """A version that was stored before there was a list of restrictions is what its hash says while it is empty."""
    profile = configs.load_file(configs.FOLDER / "moex-tinvest.yaml")
    values = profile.to_values()
    del values["watch"], values["market"]["restricted"], values["paper"]["slip_mode"]
    assert configs.parse_profile(values) == profile
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert configs.profile_hash(profile) == hashlib.sha256(text.encode()).hexdigest()
    for path, value in (("market.restricted", ["SBER"]), ("watch.ml_max", "19 ms")):
        other = configs.parse_profile(changed(path, value, "moex-tinvest"))
        assert configs.profile_hash(other) != configs.profile_hash(profile)


def test_the_shares_profile_watches_by_its_documents_numbers_moex_mon_04_moex_mon_05():
    profile = configs.load_file(configs.FOLDER / "moex-tinvest.yaml")
    ms = {name: ns // 1_000_000 for name, ns in profile.watch.limits().items()}
    stages = {"book": 5, "features": 12, "ml": 20, "risk": 8, "broker": 1500}
    assert ms == stages | {"heartbeat": 5_000, "fallback": 10_000} and profile.watch.limits() == WATCH
    other = configs.parse_profile(changed("watch.ml_max", "19 ms", "moex-tinvest"))
    assert other.watch.limits() == WATCH | {"ml": 19_000_000}


def test_a_version_of_before_the_later_keys_is_read_and_keeps_its_hash():
    """What was stored without them has them off; a value that says something is part of the hash."""
    values = changed("title", "as it was")
    whole = configs.profile_hash(configs.parse_profile(values))
    for key in LATER:
        del values["risk"][key]
    old = configs.parse_profile(values)
    assert configs.profile_hash(old) == whole
    assert old.limits()["hedge_every_ns"] == 0
    hedged = configs.load_file(configs.FOLDER / "moex-tinvest.yaml")
    off = configs.parse_profile(hedged.to_values() | {"risk": hedged.to_values()["risk"] | {"hedge_every": "0 s"}})
    assert configs.profile_hash(off) != configs.profile_hash(hedged)
    assert (hedged.limits()["hedge_every_ns"], hedged.limits()["hedge_max_cost_ppm"]) == (300 * SECOND, 800)
