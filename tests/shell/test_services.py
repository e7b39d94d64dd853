"""Starting and steering sessions: refusals with their reason, nothing half-written, reductions without a database."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from tests.shell.frames import Tape, context_of, make_session, ring, shipped
from trading import configs, control, services
from trading.core import records as kinds
from trading.core import states
from trading.models import Account, Command, LoopLease, Session
from trading.preflight import planning
from trading.run import guard
from trading.run.context import LOOPS
from trading.run.latch import clear_latch, read_latch, write_latch
from trading.run.loops import StoreAway
from trading.run.spec import FeedSpec, ScorerSpec, load_spec
from trading.run.streams import ZERO_ID
from trading.sinks import LedgerFollower

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]


def make(profile: str, feed: FeedSpec, **changes: Any) -> Session:
    version = shipped(profile)
    account = services.demo_account(configs.profile_of(version))
    return services.create_session(account=account, version=version, feed=feed, by="alice", **changes)


def refusal(profile: str, feed: FeedSpec, **changes: Any) -> tuple[str, str]:
    with pytest.raises(services.StartRefused) as error:
        make(profile, feed, **changes)
    assert Session.objects.count() == 0, "a refused session leaves no row"
    return error.value.code, str(error.value)


# making


def test_a_session_on_the_simulated_market_names_version_scorer_and_limits():
    session = make("demo-mes", FeedSpec("simulated", ["MES"], seed=3), scorer=ScorerSpec("baseline"))
    spec = session.spec
    assert (session.status, session.key, spec["id"]) == (states.CREATED, f"s{session.id}", session.id)
    assert spec["version_hash"] == session.version.hash and len(spec["version_hash"]) == 64
    assert spec["limits"]["bar_mode"] == 0 and spec["venue"]["fill_model"] == "book"
    assert session.version.used_at is None  # the row in hand is older
    session.version.refresh_from_db()
    assert session.version.used_at is not None


def test_an_unknown_mode_is_refused():
    assert refusal("demo-mes", FeedSpec("simulated", ["MES"]), mode="live")[0] == "MODE_UNKNOWN"
    assert refusal("mes-topstep", FeedSpec("simulated", ["MES"]), mode="moon")[0] == "MODE_UNKNOWN"


def test_an_instrument_or_account_of_another_venue_is_refused():
    assert refusal("demo-mes", FeedSpec("simulated", ["SBER"]))[0] == "INSTRUMENT"
    code, text = refusal("mes-topstep", FeedSpec("simulated", ["ES"]))
    assert code == "CONTRACT_TOO_LARGE"
    assert "one ES entry risks 114.62 USD to its stop of 8 ticks; a trade may risk 25.00 USD" in text
    version = shipped("demo-mes")
    other = services.open_account(name="roubles", venue="moex", currency="RUB", balance_micros=1)
    with pytest.raises(services.StartRefused) as error:
        services.create_session(account=other, version=version, feed=FeedSpec("simulated", ["MES"]), by="alice")
    assert error.value.code == "ACCOUNT_UNKNOWN"


def test_the_venues_profile_refuses_the_christmas_tape_with_its_hours_and_the_demo_profile_takes_it(sample_data):
    path = sample_data / "cme_es_mbo" / "esh4_20231225_to2330.mbo.dbn.zst"
    feed = FeedSpec("replay", ["MES"], path=str(path), options={"as_symbol": "ES:MES"})
    code, text = refusal("mes-topstep", feed)
    assert code == "OUT_OF_HOURS"
    assert (
        "2023-12-25 23:00 UTC to 2023-12-25 23:29 UTC" in text
        and "schedule 'topstep'" in text
        and "demo profile" in text
    )
    session = make("demo-mes", feed)
    assert session.spec["limits"]["bar_mode"] == 0


def test_the_venues_profile_refuses_bars_without_a_book_and_the_demo_profile_takes_them(sample_data):
    path = next((sample_data / "moex_bars").glob("*SBER*"))
    feed = FeedSpec("replay", ["SBER"], path=str(path), options={"zone": "Europe/Moscow"})
    code, text = refusal("moex-tinvest", feed)
    assert (code, "bars without a book" in text) == ("NO_BOOK", True)
    session = make("demo-moex", feed)
    assert session.spec["limits"]["bar_mode"] == 1
    assert session.spec["venue"]["fill_model"] == "bar"


def test_windows_are_cut_between_trading_days_only(monkeypatch):
    """MES-EOD: a day without its last window would never be flat."""
    feed = FeedSpec("simulated", ["MES"])
    whole = make("mes-topstep", feed).spec["windows"]
    days = sorted({row[4] for row in whole})
    assert len(days) > 5
    for room in (20, 21, 22, 23, 24, 25):
        monkeypatch.setattr(planning, "WINDOW_CAPACITY", room)
        cut = make("mes-topstep", feed).spec["windows"]
        assert len(cut) <= room
        assert cut == [row for row in whole if row[4] <= cut[-1][4]], "whole days, without a gap"


def test_a_missing_file_is_one_sentence_and_no_session(tmp_path):
    with pytest.raises(CommandError) as error:
        call_command("sessions", "new", "--feed", "replay", "--path", str(tmp_path / "no.dbn"))
    assert "no.dbn" in str(error.value) and Session.objects.count() == 0


# starting and commands


def test_a_start_writes_spec_and_guard_settings_wants_five_loops_and_waits_for_them_to_take_the_start():
    session = make("demo-mes", FeedSpec("simulated", ["MES"]))
    services.start_session(session.id, "alice")
    session.refresh_from_db()
    assert session.status == states.STARTING
    assert load_spec(services.session_folder(session.id)).key == session.key
    assert [t.key for t in guard.read_settings(services.var())] == [session.key]
    assert set(LoopLease.objects.filter(session=session, desired=True).values_list("loop", flat=True)) == set(LOOPS)
    assert Command.objects.get(session=session, kind="start").state == states.REQUESTED
    with pytest.raises(services.StartRefused, match="only a new one can start"):
        services.start_session(session.id, "alice")


def test_a_start_is_refused_while_the_latch_stands():
    session = make("demo-mes", FeedSpec("simulated", ["MES"]))
    write_latch(services.var(), "alice", "drill")
    with pytest.raises(services.StartRefused, match="latch"):
        services.start_session(session.id, "alice")
    session.refresh_from_db()
    assert session.status == states.CREATED
    clear_latch(services.var())


def test_a_command_goes_out_once_per_key_and_its_receipt_ends_it(redis_server, redis_client):
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    key = uuid.uuid4()
    first = services.send_command(session.id, "pause", "alice", "lunch", key=key)
    again = services.send_command(session.id, "pause", "alice", "lunch", key=key)
    assert (first.pk, first.state) == (again.pk, states.ACCEPTED)
    entries = inbox.read((0, 0), 0, 10)
    assert [(int(e.events["kind"][0]), int(e.events["code"][0]), int(e.events["ref"][0])) for e in entries] == [
        (kinds.COMMAND, kinds.PAUSE, control.ref_of(key))
    ]
    tape = Tape().add(kinds.COMMAND, code=kinds.PAUSE, ref=first.ref, instrument=-1)
    tape.add(kinds.RECEIPT, code=kinds.RECEIPT_REFUSED, value=kinds.PAUSE, ref=first.ref, instrument=-1)
    LedgerFollower(context_of(session)).apply(tape.frames())
    first.refresh_from_db()
    assert (first.state, first.seq) == (states.REFUSED, 1)


def test_without_redis_a_command_fails_in_words_and_is_not_lost_from_the_books():
    session = make_session()
    command = services.send_command(session.id, "flatten", "alice")
    assert command.state == states.COMMAND_FAILED and "Redis" in command.detail
    command.refresh_from_db()
    assert command.state == states.COMMAND_FAILED


def test_unknown_commands_and_sessions_are_refused():
    session = make_session()
    with pytest.raises(services.CommandRefused, match="'explode' is no command"):
        services.send_command(session.id, "explode", "alice")
    with pytest.raises(services.CommandRefused, match="never started"):
        services.send_command(9999, "pause", "alice")
    with pytest.raises(services.CommandRefused, match="needs a reason"):
        services.resume(session.id, "alice", " ")


class DatabaseAway:
    """Makes every short wait fail, as a locked database does."""

    def __init__(self, monkeypatch) -> None:
        import contextlib

        @contextlib.contextmanager
        def away(*_):
            raise StoreAway("database is locked")
            yield

        monkeypatch.setattr(control, "short_wait", away)
        monkeypatch.setattr(services, "short_wait", away)


def test_reductions_go_out_with_the_database_locked_and_their_rows_follow(redis_server, redis_client, monkeypatch):
    """N9: tightening succeeds with the database read-only; loosening waits."""
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    with monkeypatch.context() as patch:
        DatabaseAway(patch)
        command = services.send_command(session.id, "flatten", "alice", "too fast")
        with pytest.raises(services.CommandRefused, match="waits for the database"):
            services.send_command(session.id, "resume", "alice", "again")
    assert command.pk is None
    assert command.state == states.ACCEPTED
    assert inbox.length() == 1 and Command.objects.count() == 0
    tape = Tape().add(kinds.COMMAND, code=kinds.FLATTEN_ALL, ref=command.ref, instrument=-1)
    tape.add(kinds.RECEIPT, code=kinds.RECEIPT_DONE, value=kinds.FLATTEN_ALL, ref=command.ref, instrument=-1)
    LedgerFollower(context_of(session)).apply(tape.frames())
    row = Command.objects.get()
    assert (row.key, row.by, row.reason, row.state) == (command.key, "alice", "too fast", states.DONE)


def test_a_stop_goes_out_with_the_database_locked_and_the_row_follows(redis_server, redis_client, monkeypatch):
    """N9: stopping reduces."""
    session = make_session(redis_url=redis_server, status=states.RUNNING)
    inbox = ring(session, redis_client)
    with monkeypatch.context() as patch:
        DatabaseAway(patch)
        assert services.stop_session(session.id, "alice", "enough").status == states.RUNNING
    assert inbox.length() == 1
    ref = int(inbox.read(ZERO_ID, 0, 1)[0].events["ref"][0])
    LedgerFollower(context_of(session)).apply(
        Tape().add(kinds.COMMAND, code=kinds.STOP_SESSION, ref=ref, instrument=-1).frames()
    )
    session.refresh_from_db()
    assert session.status == states.STOPPING and session.stopping_at is not None


def test_a_command_without_a_receipt_becomes_unknown_and_a_late_receipt_still_ends_it(redis_server, redis_client):
    session = make_session(redis_url=redis_server, status=states.RUNNING)
    ring(session, redis_client)
    command = services.send_command(session.id, "pause", "alice")
    services.finish_if_flat(session.id)
    command.refresh_from_db()
    assert command.state == states.ACCEPTED
    Command.objects.update(accepted_at=timezone.now() - timedelta(seconds=services.RECEIPT_WITHIN_S + 1))
    services.finish_if_flat(session.id)
    command.refresh_from_db()
    assert command.state == states.UNKNOWN and "no receipt" in command.detail
    assert control.advance_command(command.ref, "receipt_done")


def test_a_kill_goes_on_when_a_sessions_files_cannot_be_read():
    """K-04: what the ring cannot be told, the guard does."""
    session = make_session()
    services.tell_guard(load_spec(services.session_folder(session.id)), True)
    (services.session_folder(session.id) / "spec.json").write_text("{")
    report = services.kill("alice", "fire", second_road=lambda by, reason: {"flat": True, "road": "guard"})
    assert (report.road, report.flat) == ("guard", True)
    assert [step.name for step in report.steps if not step.ok] == [f"{session.key}: its spec"]


def test_a_kill_latches_first_and_takes_the_second_road_when_redis_is_dead(monkeypatch):
    session = make_session()
    services.tell_guard(load_spec(services.session_folder(session.id)), True)
    calls = []

    def second(by: str, reason: str) -> dict:
        calls.append((by, reason, read_latch(services.var()) is not None))
        return {"flat": True, "road": "guard"}

    DatabaseAway(monkeypatch)
    report = services.kill("alice", "fire", second_road=second)
    assert calls == [("alice", "fire", True)]
    assert (report.road, report.flat, report.steps[0].name) == ("guard", True, "latched")
    assert report.ms < 2000
    monkeypatch.undo()
    with transaction.atomic():
        assert control.write_late() == 1
    row = Command.objects.get(kind="kill")
    assert (row.state, row.road, row.by) == (states.DONE, "guard", "alice")


def test_unlock_is_refused_at_once_without_a_reason_and_without_a_latch():
    with pytest.raises(services.CommandRefused, match="no latch to release"):
        services.unlock("alice", "all is well again")
    write_latch(services.var(), "alice", "drill")
    with pytest.raises(services.CommandRefused, match="the earliest release is after 60 s"):
        services.unlock("alice", "all is well again")
    with pytest.raises(services.CommandRefused, match="at least 10 characters"):
        services.unlock("alice", "ok")
    assert read_latch(services.var()) is not None


def test_a_stop_before_the_start_gives_the_session_up():
    session = make("demo-mes", FeedSpec("simulated", ["MES"]))
    assert services.stop_session(session.id, "alice").status == states.FAILED


# tables of states


@pytest.mark.parametrize("table", [states.SESSION, states.COMMAND, states.VERSION])
def test_tables_name_only_known_states_and_ends_are_ends(table):
    known = {*states.SESSION_STATES, *states.COMMAND_STATES, *states.VERSION_STATES}
    assert {state for state, _ in table} | set(table.values()) <= known
    if table is states.SESSION:
        assert not {state for state, _ in table} & set(states.SESSION_OVER)


def test_every_session_trigger_changes_exactly_the_states_of_its_table():
    for trigger in {trigger for _, trigger in states.SESSION}:
        for state in states.SESSION_STATES:
            session = make_session(status=state)
            moved = control.advance_session(session, trigger)
            session.refresh_from_db()
            assert (moved, session.status) == (
                (state, trigger) in states.SESSION,
                states.SESSION.get((state, trigger), state),
            )


def test_the_database_refuses_unknown_states():
    session = make_session()
    for changes in ({"status": "dreaming"}, {"mode": "live"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Session.objects.filter(id=session.id).update(**changes)
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.update(balance_micros=-1)


def test_a_rulebook_that_watches_the_index_needs_a_source_of_it_moex_risk_05(tmp_path):
    """MOEX-RISK-05: the simulated market brings it; a recording by its option, or the session is refused."""
    assert make("moex-tinvest", FeedSpec("simulated", ["SBER"])).spec["limits"]["rvi_max"] == 4000
    profile = configs.profile_of(shipped("moex-tinvest"))
    tape = FeedSpec("replay", ["SBER"], path="tape")
    with pytest.raises(services.StartRefused, match="option rvi") as error:
        planning._check_index(profile, profile.limits(), tape)
    assert error.value.code == "NO_INDEX"
    path = tmp_path / "rvi.csv"
    path.write_text("time,value\n2026-03-04T11:00:00+03:00,28.05\n")
    planning._check_index(profile, profile.limits(), FeedSpec("replay", ["SBER"], options={"rvi": str(path)}))
