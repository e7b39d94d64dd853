"""A past that cannot be read just now is asked for again; it never becomes a lasting STATE_UNREADABLE (issue 4)."""

import fcntl
import os
import resource
import shutil
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.utils import timezone

from risk.core.holds import BIT
from tests.shell.account.kit import SIMULATED, USD, account_of, continued, lived, losing, made, spec_of
from tests.shell.account.test_past import row_of
from tests.shell.frames import Tape, context_of, make_session, round_trip, shipped
from trading import configs, services
from trading.accounts import past
from trading.core import records as kinds
from trading.core import states
from trading.core.past import PAST_STATED, STATED
from trading.core.records import FIRST_OUTPUT_KIND
from trading.leases import want_loops
from trading.models import Command, Session
from trading.preflight.probes import FAIL
from trading.run import guard
from trading.run.context import LOOPS
from trading.run.journal import recovery
from trading.run.journal.closing import CLOSING_FILE, FAULT_FILE, ClosingBusy, read_closing
from trading.run.journal.segment import segment_path
from trading.run.journal.writer import JournalWriter
from trading.run.replica import Kernel
from trading.run.spec import save_spec
from trading.sinks import LedgerFollower

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]


@async_to_sync
async def whole(answer: Any) -> str:
    """A file that comes in parts."""
    return b"".join([part async for part in answer.streaming_content]).decode()


@contextmanager
def claimed(session: Session):
    """A new owner has taken the journal's name and not written its header yet."""
    fd = os.open(segment_path(services.session_folder(session.id), 2), os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def no_file_left():
    """The process can open no file more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_takeover_during_a_start_is_waited_for_mes_risk_22():
    first = lived(losing())
    second = made()
    with claimed(first):
        with pytest.raises(services.StartRefused, match="being taken over; try again") as refused:
            services.start_session(second.id, "alice")
        shown = row_of(spec_of(second))
        profile = configs.profile_of(shipped())
        assert past.going_on(account_of(), "paper", profile, SIMULATED) == SIMULATED, "the start is refused anyway"
    assert refused.value.code == "ACCOUNT_BUSY"
    assert shown.verdict == FAIL and shown.advice == "Try again"
    second.refresh_from_db()
    assert second.status == states.CREATED
    assert continued(spec_of(second)).fault == "", "the owner is gone: what it had sealed says everything"


def test_no_file_left_is_no_fault_of_the_journal():
    first = lived(losing())
    folder = services.session_folder(first.id)
    with no_file_left(), pytest.raises(ClosingBusy, match="just now"):
        read_closing(folder, first.id)
    assert read_closing(folder, first.id).figures["streak"] == 1


def test_a_long_journal_is_read_by_a_command_and_never_by_a_page(monkeypatch):
    first = lived(losing())
    folder = services.session_folder(first.id)
    monkeypatch.setattr(past, "FRAMES_MAX", 0)  # any journal is long
    with pytest.raises(past.PastBusy, match=f"manage.py sessions closing {first.id}"):
        continued(spec_of(made()))
    assert not (folder / CLOSING_FILE).exists()
    call_command("sessions", "closing", str(first.id))
    assert (folder / CLOSING_FILE).exists()
    assert continued(spec_of(made())).figures["streak"] == 1


def test_a_long_journal_that_says_nothing_is_found_out_once(monkeypatch):
    """The command leaves why, by this code; a page then opens the account under STATE_UNREADABLE, without waiting."""
    first = lived(losing())
    folder = services.session_folder(first.id)
    frames = Kernel().apply(np.concatenate(losing().given)).copy()
    frames["value"][np.flatnonzero(frames["kind"] >= FIRST_OUTPUT_KIND)[-1]] += 1
    segment_path(folder, 1).unlink()
    writer = JournalWriter(folder, first.id, 1, "code")
    writer.append(frames, np.zeros((len(frames), 2), np.int64), np.zeros(len(frames), np.int64), durable=False)
    writer.close()
    monkeypatch.setattr(recovery, "CHUNK", len(frames) // 2)
    monkeypatch.setattr(past, "FRAMES_MAX", 0)
    with pytest.raises(past.PastBusy, match="sessions closing"):
        continued(spec_of(made()))
    with pytest.raises(CommandError, match="differs"):
        call_command("sessions", "closing", str(first.id))
    assert (folder / FAULT_FILE).exists()
    assert "differs" in continued(spec_of(made())).fault


# a start that was cut off


def test_a_start_that_was_cut_off_is_stopped_and_keeps_no_account():
    """The process died between taking the account and wanting the loops: there is no clock, no loop, nothing to ask."""
    half = made()
    Session.objects.filter(id=half.id).update(
        status=states.STARTING, started_at=timezone.now() - timedelta(seconds=services.HALF_START_S + 1)
    )
    second = made()
    with pytest.raises(services.StartRefused, match="stop it first"):
        services.start_session(second.id, "alice")
    assert services.stop_session(half.id, "bob").status == states.FAILED
    half.refresh_from_db()
    assert half.reason == "its start was cut off: stopped by bob"
    services.start_session(second.id, "alice")
    second.refresh_from_db()
    assert second.status == states.STARTING


def test_a_start_that_goes_on_is_not_given_up():
    """Young, or with loops wanted: somebody is about to take its commands."""
    young, wanted = made(), made()
    Session.objects.filter(id=young.id).update(status=states.STARTING, started_at=timezone.now())
    old = timezone.now() - timedelta(seconds=services.HALF_START_S + 1)
    Session.objects.filter(id=wanted.id).update(status=states.STARTING, started_at=old)
    want_loops(wanted.id, LOOPS, True)
    for session in (young, wanted):
        with pytest.raises(services.CommandRefused):
            services.stop_session(session.id, "bob")
        session.refresh_from_db()
        assert session.status == states.STOPPING


def test_a_start_that_was_given_up_meanwhile_wants_no_loops(monkeypatch):
    """It slept for a while between the two; a person has given it up by then."""
    session = made()

    def slow(folder, spec):
        save_spec(folder, spec)
        Session.objects.filter(id=session.id).update(status=states.FAILED)

    monkeypatch.setattr(services, "save_spec", slow)
    with pytest.raises(services.StartRefused, match="given up meanwhile"):
        services.start_session(session.id, "alice")
    assert not session.leases.filter(desired=True).exists()
    assert guard.read_settings(services.var()) == [], "no kill waits for a session that never was"


# what a person stated since


def test_the_session_page_shows_what_was_stated_since(client, django_user_model):
    """The card said for ever that nothing is known, and how to state it."""
    first = lived(losing())
    shutil.rmtree(services.session_folder(first.id))
    second = made()
    services.start_session(second.id, "alice")
    client.force_login(django_user_model.objects.create_superuser("alice", password="ladder-and-tape-9"))
    assert f"manage.py sessions state {second.id}" in client.get(f"/sessions/{second.id}/").content.decode()
    tape = Tape().add(kinds.HOLD_RAISED, code=BIT["STATE_UNREADABLE"], instrument=-1)
    figures = {"value": 900 * USD, "volume": 950 * USD, "qty": 1_000 * USD, "fee_micros": -30 * USD}
    tape.add(kinds.PAST, code=PAST_STATED, instrument=-1, **figures)
    LedgerFollower(context_of(second)).apply(tape.frames())
    second.refresh_from_db()
    stated = {name: second.stated[name] for name in STATED}
    assert stated == dict(zip(STATED, figures.values(), strict=True)) and second.stated["seq"] == 2
    page = client.get(f"/sessions/{second.id}/").content.decode()
    assert "a person stated the figures since" in page and "manage.py sessions state" not in page
    assert "950.00" in page and "1,000.00" in page


def test_an_order_names_scorer_and_person_p_22(client, django_user_model):
    """P-22: in the row, on the page and in the file."""
    session = make_session()
    Session.objects.filter(id=session.id).update(
        started_by="alice",
        spec=session.spec | {"scorer": {"name": "network"}, "inputs": {"artifact": "ab" * 32, "code": "c0de"}},
    )
    LedgerFollower(context_of(session)).apply(round_trip(Tape()).frames())
    rows = list(session.orders.order_by("number").values_list("scorer", "by"))
    assert rows == [(f"network {'ab' * 32}", "alice")] * 2
    session.refresh_from_db()
    assert session.orders.get(number=2).by == "alice", "nobody asked for that exit"
    session.spec = session.spec | {"scorer": {"name": "baseline"}, "inputs": {"artifact": "", "code": "c0de"}}
    assert session.scorer == "baseline c0de", "a formula is named by the code that holds it"
    client.force_login(django_user_model.objects.create_superuser("alice", password="ladder-and-tape-9"))
    page = client.get(f"/sessions/{session.id}/?list=orders").content.decode()
    assert f'title="network {"ab" * 32}"' in page and "<td>alice</td>" in page
    table = whole(client.get(f"/sessions/{session.id}/orders.csv"))
    assert "ab" * 32 in table and "scorer" in table.splitlines()[0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([("flatten", "bob", "done")], "bob"),
        ([("flatten", "bob", "refused")], "alice"),
        ([("flatten", "bob", "done"), ("resume", "carol", "done")], "alice"),
        ([("resume", "carol", "done"), ("lock", "dave", "done"), ("pause", "carol", "done")], "dave"),
    ],
)
def test_an_exit_names_who_asked_for_it_p_22(given, expected):
    session = make_session()
    Session.objects.filter(id=session.id).update(started_by="alice")
    tape = Tape()
    for ref, (kind, by, state) in enumerate(given, 1):
        now = session.created_at
        Command.objects.create(ref=ref, session=session, kind=kind, by=by, state=state, requested_at=now, seq=ref)
        tape.add(kinds.TIMER)  # the commands took these numbers
    LedgerFollower(context_of(session)).apply(round_trip(tape).frames())
    assert list(session.orders.order_by("number").values_list("role", "by")) == [
        (kinds.ENTRY, "alice"), (kinds.EXIT, expected),
    ]  # fmt: skip
