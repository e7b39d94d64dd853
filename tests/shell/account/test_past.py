"""Which session a new one continues, by the database and the journals: no way round the day's loss (issue 4)."""

import shutil
from concurrent.futures import Future

import msgspec
import numpy as np
import pytest
from django.utils import timezone

from marketdata.core.records import ACCOUNT_SCOPE
from risk.core.holds import BIT
from tests.kernel.desk import T0, Desk
from tests.shell.account.kit import LOST, SIMULATED, USD, account_of, continued, lived, losing, made, spec_of
from tests.shell.frames import Tape, context_of, make_session
from trading import services
from trading.accounts import past
from trading.core import records as kinds
from trading.core import states
from trading.core.past import PAST_FIGURE, PAST_STATED
from trading.models import HoldEvent, Session
from trading.preflight import checks
from trading.preflight.probes import FAIL, PASS, UNKNOWN, WARN, Found
from trading.reports.session import report
from trading.run.journal.closing import read_closing, store_closing
from trading.run.journal.segment import segment_path
from trading.run.latch import clear_latch
from trading.run.replica import Kernel
from trading.run.spec import FeedSpec, PastSpec, SessionSpec, load_spec, setup_events
from trading.sinks import LedgerFollower

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]


def started(session: Session) -> SessionSpec:
    """Start it; the spec that its loops will read."""
    services.start_session(session.id, "alice")
    return load_spec(services.session_folder(session.id))


def test_a_new_session_opens_with_the_last_ones_day_mes_risk_22():
    """Stop, start anew: the loss, the streak and the hold are there, in the spec, the row and the kernel."""
    first = lived(losing())
    spec = started(made())
    assert spec.past is not None and (spec.past.session, spec.past.fault) == (first.id, "")
    assert spec.past.figures["day_net_micros"] == LOST and spec.past.figures["streak"] == 1
    assert [held.code for held in spec.past.holds] == ["DAILY_LOSS"]
    assert spec.capital_micros == 10_000 * USD + LOST, "the money it opens with"
    kernel = Kernel()
    kernel.apply(setup_events(spec, spec.created_ns))
    account = kernel.state.account[0]
    assert account.holds >> BIT["DAILY_LOSS"] & 1 and account.balance_micros == 10_000 * USD + LOST
    stored = spec_of(Session.objects.latest("id"))
    assert stored == spec and Session.objects.latest("id").spec["inputs"]["config"] == spec.version_hash


def test_the_first_session_of_an_account_has_no_past():
    lived(losing())
    other = services.open_account(name="other", venue="cme", currency="USD", balance_micros=1)
    assert started(made(account=other)).past is None


def test_another_profile_and_version_of_the_same_account_continue_it():
    """Money belongs to the account: neither a profile nor a looser version is a fresh budget."""
    first = lived(losing())
    spec = started(made(profile="mes-topstep", account=account_of()))
    assert spec.profile == "mes-topstep"
    assert spec.past is not None and spec.past.session == first.id


def test_one_account_trades_in_one_session_at_a_time():
    lived(losing(), status=states.RUNNING)
    second = made()
    with pytest.raises(services.StartRefused) as refused:
        services.start_session(second.id, "alice")
    assert refused.value.code == "ACCOUNT_BUSY" and "stop it first" in str(refused.value)
    second.refresh_from_db()
    assert second.status == states.CREATED, "it may be started when the other one is over"
    assert not services.session_folder(second.id).exists()


def test_two_made_sessions_do_not_both_start():
    one, two = made(), made()
    started(one)
    with pytest.raises(services.StartRefused) as refused:
        services.start_session(two.id, "alice")
    assert refused.value.code == "ACCOUNT_BUSY"


def test_a_start_between_reading_and_taking_the_account_is_refused(monkeypatch):
    """The past is read before the lock: whoever took the account meanwhile has changed it."""
    one, two = made(), made()
    find = past.find_past

    def slow(account, spec, own=0):
        found = find(account, spec, own)
        monkeypatch.setattr(services, "find_past", find)
        started(two)
        return found

    monkeypatch.setattr(services, "find_past", slow)
    with pytest.raises(services.StartRefused) as refused:
        services.start_session(one.id, "alice")
    assert refused.value.code == "ACCOUNT_BUSY" and "meanwhile" in str(refused.value)


@pytest.mark.parametrize("damage", ["gone", "empty", "flipped"])
def test_a_past_that_nobody_can_read_is_a_hold_never_fresh_mes_hold_state_unreadable(damage):
    first = lived(losing())
    path = segment_path(services.session_folder(first.id), 1)
    if damage == "gone":
        shutil.rmtree(path.parent)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        data = bytearray(path.read_bytes())
        data[256 * 30 + 9] ^= 4
        path.write_bytes(data)
    spec = started(made())
    assert spec.past is not None and spec.past.session == first.id and spec.past.fault
    assert "cannot be continued" in past.in_words(spec.past, spec)
    kernel = Kernel()
    kernel.apply(setup_events(spec, spec.created_ns))
    assert kernel.state.account[0].holds >> BIT["STATE_UNREADABLE"] & 1


def test_the_unread_past_is_not_forgotten_by_the_session_after_it():
    """Stopping the held session and starting another leaves the hold where it is."""
    first = lived(losing())
    shutil.rmtree(services.session_folder(first.id))
    second = made()
    spec = started(second)
    desk_rows = Kernel().apply(setup_events(spec, spec.created_ns))
    from trading.run.journal.writer import JournalWriter

    writer = JournalWriter(services.session_folder(second.id), second.id, 1, "code")
    nothing = np.zeros(len(desk_rows), np.int64)
    writer.append(desk_rows, np.zeros((len(desk_rows), 2), np.int64), nothing, durable=False)
    writer.close()
    Session.objects.filter(id=second.id).update(status=states.ENDED)
    third = started(made())
    assert third.past is not None and third.past.session == second.id
    assert [held.code for held in third.past.holds] == ["STATE_UNREADABLE"]


def test_what_never_had_a_kernel_is_nobodys_past():
    """Given up before its feed opened: no clock, no frame.  One that had frames is a past, whatever its status."""
    first = lived(losing())
    failed = made()
    Session.objects.filter(id=failed.id).update(status=states.FAILED, started_at=timezone.now())
    assert continued(spec_of(made())).session == first.id
    Session.objects.filter(id=failed.id).update(journal_seq=12)
    found = continued(spec_of(made()))
    assert (found.session, found.fault) == (failed.id, "its journal is missing")


def test_a_recording_begins_fresh_and_is_nobodys_past():
    """The same tape gives the same session, whatever was played before; the simulated market goes on from neither."""
    replay = {"name": "replay", "symbols": ["MES"], "path": "/march.dbn"}
    lived(losing(), feed=replay, created_ns=T0)
    simulated = spec_of(made())
    assert past.find_past(account_of(), simulated) is None
    first = lived(losing())
    assert continued(simulated).session == first.id
    recorded = msgspec.structs.replace(simulated, feed=FeedSpec("replay", ["MES"]), created_ns=T0 + 10**15)
    assert past.find_past(account_of(), recorded) is None
    assert "a recording begins with a fresh account: 10,000.00 USD" in past.in_words(None, recorded)
    Session.objects.filter(id=first.id).update(status=states.RUNNING)
    assert past.find_past(account_of(), recorded) is None, "a rehearsal needs the account of nobody"


def test_whatever_is_no_recording_trades_the_one_account():
    """A feed of which nothing is known here is no rehearsal: it continues, and it is the only one."""
    first = lived(losing(), feed={"name": "venue", "symbols": ["MES"]})
    live = msgspec.structs.replace(spec_of(made()), feed=FeedSpec("venue", ["MES"]))
    assert continued(live).session == first.id
    Session.objects.filter(id=first.id).update(status=states.RUNNING)
    with pytest.raises(past.AccountBusy):
        past.find_past(account_of(), live)


def test_an_older_session_that_still_runs_is_not_overlooked():
    running = lived(losing(), status=states.RUNNING)
    lived(losing())
    with pytest.raises(past.AccountBusy, match=f"session {running.key} .*stop it first"):
        past.find_past(account_of(), spec_of(made()))
    Session.objects.filter(id=running.id).update(status=states.STOPPING)
    with pytest.raises(past.AccountBusy, match="wait until it has ended"):
        past.find_past(account_of(), spec_of(made()))


def test_a_torn_set_up_is_no_past(own_folder):
    """Figures may be told and holds not: without limits nothing of it counts."""
    first = lived(losing())
    folder = services.session_folder(first.id)
    torn = msgspec.structs.replace(read_closing(folder, first.id), version=0)
    store_closing(folder, torn)
    assert continued(spec_of(made())).fault == "it never had limits"


def test_a_closing_of_an_older_build_is_made_again():
    first = lived(losing())
    folder = services.session_folder(first.id)
    closing = read_closing(folder, first.id)
    fewer = {name: value for name, value in closing.figures.items() if name != "streak"}
    store_closing(folder, msgspec.structs.replace(closing, figures=fewer))
    assert read_closing(folder, first.id) == closing


def test_the_days_limit_is_the_kernels_own_moex_risk_04():
    """The smaller of the amount and the share of the capital."""
    assert past._day_limit({"loss_day_micros_max": 50_000}, 1_000_000) == 50_000
    assert past._day_limit({"loss_day_micros_max": 50_000, "loss_day_share_ppm_max": 20_000}, 1_000_000) == 20_000
    assert past._day_limit({"loss_day_micros_max": 50_000, "loss_day_share_ppm_max": 20_000}, -5) == 0


def test_half_a_start_does_not_keep_the_account(monkeypatch):
    """Whatever breaks off a start: its row is over, and the next one may begin."""

    def broken(*args):
        raise RuntimeError("no loops today")

    half = made()
    with monkeypatch.context() as patch:
        patch.setattr(services, "note_name", broken)
        with pytest.raises(RuntimeError, match="no loops today"):
            services.start_session(half.id, "alice")
    half.refresh_from_db()
    assert half.status == states.FAILED and half.reason == "no loops today"
    assert started(made()).past is None


def test_the_killed_session_of_an_unlocked_desk_leaves_no_kill():
    """The latch on disk is the kill: while it stands no session starts, and a person's unlock has ended it (K-05)."""
    desk = losing(2)
    desk.command(kinds.KILL)
    lived(desk)
    clear_latch(services.var())
    spec = started(made())
    assert spec.past is not None and spec.past.holds == []


# what is shown


def test_pre_flight_and_report_say_what_was_inherited(client, django_user_model):
    first = lived(losing())
    second = made()
    spec = spec_of(second)
    line = past.in_words(continued(spec), spec)
    assert f"continues session {first.id}: balance 9,749.16, day −250.84 of −500.00 USD" in line
    assert "1 holds: DAILY_LOSS ends when the trading day rolls" in line
    started(second)
    shown = report(second.id)["past"]
    assert shown["session"] == first.id and shown["day_left_micros"] == 500 * USD + LOST
    assert report(first.id)["past"] is None
    client.force_login(django_user_model.objects.create_superuser("alice", password="ladder-and-tape-9"))
    page = client.get(f"/sessions/{second.id}/").content.decode()
    assert f"CONTINUES SESSION {first.id}" in page and "ends when the trading day rolls" in page
    assert "CONTINUES" not in client.get(f"/sessions/{first.id}/").content.decode()


def test_a_page_says_how_an_unreadable_past_is_stated(client, django_user_model):
    first = lived(losing())
    shutil.rmtree(services.session_folder(first.id))
    second = made()
    started(second)
    client.force_login(django_user_model.objects.create_superuser("alice", password="ladder-and-tape-9"))
    page = client.get(f"/sessions/{second.id}/").content.decode()
    assert f"manage.py sessions state {second.id}" in page and "its journal is missing" in page


def test_inherited_holds_are_no_breach_of_the_heir():
    """HoldEvent.source: what was brought breaks no rule of the session that brought it; what it raises itself does."""
    first = lived(losing())
    second = made()
    started(second)
    tape = Tape().add(kinds.HOLD_RAISED, code=BIT["DAILY_LOSS"], ref=first.id, instrument=-1)
    LedgerFollower(context_of(second)).apply(tape.frames())
    assert HoldEvent.objects.get().source == first.id
    assert report(second.id)["broken"] == []
    tape.add(kinds.HOLD_CLEARED, code=BIT["DAILY_LOSS"], instrument=-1)
    tape.add(kinds.HOLD_RAISED, code=BIT["DAILY_LOSS"], instrument=-1)
    LedgerFollower(context_of(second)).apply(tape.frames())
    assert [row["code"] for row in report(second.id)["broken"]] == ["DAILY_LOSS"]


def test_the_ledgers_balance_goes_on_from_what_was_told():
    session = make_session()
    tape = Tape().add(kinds.PAST, code=PAST_FIGURE, order_number=0, value=9_000 * USD, instrument=-1)
    trade = {"side": 1, "qty": 1, "open_tick": 1, "close_tick": 2, "until_ns": 1}
    tape.add(kinds.TRADE_CLOSED, ref=1, value=-5 * USD, volume=-4 * USD, fee_micros=USD, **trade)
    LedgerFollower(context_of(session)).apply(tape.frames())
    session.refresh_from_db()
    assert session.balance_micros == 8_995 * USD
    tape.add(kinds.PAST, code=PAST_STATED, value=7_000 * USD, instrument=-1)  # the kernel hears it under its hold alone
    LedgerFollower(context_of(session)).apply(tape.frames())
    session.refresh_from_db()
    assert session.balance_micros == 8_995 * USD
    tape.add(kinds.HOLD_RAISED, code=BIT["STATE_UNREADABLE"], instrument=-1)
    tape.add(kinds.PAST, code=PAST_STATED, value=7_000 * USD, instrument=-1)
    LedgerFollower(context_of(session)).apply(tape.frames())
    session.refresh_from_db()
    assert session.balance_micros == 7_000 * USD


def test_simulated_is_the_forms_own_feed():
    assert SIMULATED.name == past.SIMULATED


def test_what_was_started_last_is_continued_not_what_was_made_last():
    """A session that was made early and started late is the account's last one."""
    early = made()
    later = lived(losing())
    started(early)
    Session.objects.filter(id=early.id).update(status=states.ENDED)
    found = continued(spec_of(made()))
    assert (later.id > early.id, found.session) == (True, early.id)


def row_of(spec: SessionSpec) -> Found:
    """Pre-flight's row for a plan that has been read."""
    planned: Future[SessionSpec] = Future()
    planned.set_result(spec)
    return checks._past(account_of(), planned, 1.0)


def test_pre_flights_row_passes_warns_and_fails():
    spec = spec_of(made())
    fresh = row_of(spec)
    assert fresh.verdict == PASS and "the first session of this account" in fresh.value
    first = lived(losing())
    held = row_of(spec)
    assert held.verdict == WARN and f"continues session {first.id}" in held.value and "DAILY_LOSS" in held.value
    Session.objects.filter(id=first.id).update(status=states.RUNNING)
    busy = row_of(spec)
    assert busy.verdict == FAIL and f"session {first.key}" in busy.value and busy.advice
    Session.objects.filter(id=first.id).update(status=states.ENDED)
    shutil.rmtree(services.session_folder(first.id))
    lost = row_of(spec)
    assert lost.verdict == WARN and "until a person states the figures" in lost.value
    late: Future[SessionSpec] = Future()
    assert checks._past(account_of(), late, 0.0).verdict == WARN, "still being read"
    late.set_exception(services.StartRefused("NO_BOOK", "bars"))
    assert checks._past(account_of(), late, 1.0).verdict == UNKNOWN


def test_an_account_remembers_the_networks_under_which_it_waits_for_another_moex_ml_10():
    """None where nothing waits; then those of every session that had such a hold, so that none ends it by a start."""
    lived(losing(), scorer={"name": "network", "artifact": "/nets/0", "options": {}})
    assert continued(spec_of(made())).networks == []
    known: list[str] = []
    for artifact in ("/nets/1", "", "/nets/1", "/nets/2"):
        desk = Desk({})
        desk.event(kinds.MODEL, instrument=ACCOUNT_SCOPE, code=kinds.MODEL_BLOCKED)
        scorer: dict[str, object] = {"name": "network" if artifact else "baseline", "artifact": artifact, "options": {}}
        before = msgspec.to_builtins(PastSpec(session=1, networks=known)) if known else None
        lived(desk, scorer=scorer, past=before)
        known = continued(spec_of(made())).networks
    assert known == ["/nets/1", "", "/nets/2"]
